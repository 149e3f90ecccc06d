/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * From a recognised image to bytes in guest memory and an address to start at. Three ways in
 * (#VmmKernelEntry):
 *
 * - unpacked: the host unpacks the vmlinux and starts it at its startup_64. The guest skips its own
 *   decompressor, the slowest part of a boot. What that decompressor does besides is done here (KASLR) or not
 *   needed: it builds page tables, which the caller has, and enables 5-level paging, which serves guests
 *   with more than 64 TiB.
 * - bzimage: the guest's own decompressor, by the 64-bit boot protocol.
 * - pvh: the 32-bit entry that an ELF note names. Such a kernel is loaded where it is linked.
 *
 * Nothing is written below 1 MiB, which belongs to the boot structures. The caller loads the initrd after the
 * kernel: unpacking in place leaves bytes behind the kernel that nobody needs.
 */
#include "loader/kernel-load.h"

#include <inttypes.h>

#include "loader/kaslr.h"
#include "loader/text.h"
#include "loader/vmlinux-load.h"
#include "vmm/error.h"

#define BZIMAGE_ENTRY64 0x200u

/* What x86 Linux says of itself in every bzImage, for a vmlinux that comes without the header. */
#define VMLINUX_PROTOCOL 0x020fu
#define VMLINUX_ALIGNMENT 0x200000u
#define VMLINUX_CMDLINE_MAX 2047u
#define VMLINUX_INITRD_ADDR_MAX 0x7fffffffu
#define VMLINUX_HEADER_LEN (0x26cu - VMM_SETUP_HEADER_OFFSET)

#define LOADER_UNDEFINED 0xffu

static const char *const entry_names[] = {
    [VMM_KERNEL_ENTRY_AUTO] = "auto",
    [VMM_KERNEL_ENTRY_BZIMAGE] = "bzimage",
    [VMM_KERNEL_ENTRY_UNPACKED] = "unpacked",
    [VMM_KERNEL_ENTRY_PVH] = "pvh",
};

/**
 * vmm_kernel_entry_name:
 * @entry: one of them
 *
 * Returns: (transfer none): what users call it
 */
const char *
vmm_kernel_entry_name (VmmKernelEntry entry)
{
    return (size_t)entry < G_N_ELEMENTS (entry_names) ? entry_names[entry] : "unknown";
}

/**
 * vmm_kernel_entry_from_name:
 * @name: what a user typed
 * @ret_entry: what it means
 *
 * Returns: false when it means nothing
 */
bool
vmm_kernel_entry_from_name (const char *name, VmmKernelEntry *ret_entry)
{
    for (size_t i = 0; i < G_N_ELEMENTS (entry_names); i++)
        if (strcmp (name, entry_names[i]) == 0) {
            *ret_entry = (VmmKernelEntry)i;
            return true;
        }
    return false;
}

static VmmKernelEntry
choose_entry (const VmmKernelImage *image)
{
    if (image->format == VMM_KERNEL_FORMAT_BZIMAGE)
        return vmm_compression_supported (image->bzimage.compression) ? VMM_KERNEL_ENTRY_UNPACKED
                                                                      : VMM_KERNEL_ENTRY_BZIMAGE;
    if (image->has_entry64 && (image->is_linux || !image->notes.has_pvh))
        return VMM_KERNEL_ENTRY_UNPACKED;
    return VMM_KERNEL_ENTRY_PVH;
}

static uint8_t *
field (VmmLoadedKernel *kernel, unsigned offset)
{
    return kernel->setup_header + (offset - VMM_SETUP_HEADER_OFFSET);
}

/* What a boot loader fills in, but for the initrd and the command line, which the caller has. */
static void
finish_header (VmmLoadedKernel *kernel)
{
    uint8_t *loadflags = field (kernel, VMM_SETUP_LOADFLAGS);

    *field (kernel, VMM_SETUP_TYPE_OF_LOADER) = LOADER_UNDEFINED;
    *loadflags |= VMM_SETUP_LOADFLAG_HIGH;
    /* Between decompressor and kernel the flag says that the address is random: the kernel then also
     * randomises its memory areas. The decompressor sets it by itself. */
    *loadflags &= (uint8_t)~VMM_SETUP_LOADFLAG_KASLR;
    if (kernel->kaslr == VMM_KERNEL_KASLR_DONE)
        *loadflags |= VMM_SETUP_LOADFLAG_KASLR;
    vmm_put_u32 (field (kernel, VMM_SETUP_CODE32_START), (uint32_t)kernel->start);
    vmm_put_u32 (field (kernel, VMM_SETUP_RAMDISK_IMAGE), 0);
    vmm_put_u32 (field (kernel, VMM_SETUP_RAMDISK_SIZE), 0);
    vmm_put_u32 (field (kernel, VMM_SETUP_CMD_LINE_PTR), 0);
    vmm_put_u64 (field (kernel, VMM_SETUP_SETUP_DATA), 0);
}

static void
copy_header (const VmmBzImage *bz, VmmLoadedKernel *kernel)
{
    memcpy (kernel->setup_header, bz->setup_header, sizeof kernel->setup_header);
    kernel->setup_header_len = bz->setup_header_len;
    kernel->initrd_addr_max = bz->initrd_addr_max;
    kernel->cmdline_max = bz->cmdline_max;
}

static void
make_header (const VmmElf *elf, VmmLoadedKernel *kernel)
{
    uint64_t size = elf->phys_end - elf->phys_start;

    kernel->setup_header_len = VMLINUX_HEADER_LEN;
    kernel->initrd_addr_max = VMLINUX_INITRD_ADDR_MAX;
    kernel->cmdline_max = VMLINUX_CMDLINE_MAX;
    vmm_put_u16 (field (kernel, VMM_SETUP_BOOT_FLAG), 0xaa55);
    memcpy (field (kernel, VMM_SETUP_MAGIC), "HdrS", 4);
    vmm_put_u16 (field (kernel, VMM_SETUP_VERSION), VMLINUX_PROTOCOL);
    vmm_put_u32 (field (kernel, VMM_SETUP_INITRD_ADDR_MAX), VMLINUX_INITRD_ADDR_MAX);
    vmm_put_u32 (field (kernel, VMM_SETUP_KERNEL_ALIGNMENT), VMLINUX_ALIGNMENT);
    *field (kernel, VMM_SETUP_RELOCATABLE) = 1;
    *field (kernel, VMM_SETUP_MIN_ALIGNMENT) = 21;
    vmm_put_u16 (field (kernel, VMM_SETUP_XLOADFLAGS), VMM_SETUP_XLF_KERNEL_64);
    vmm_put_u32 (field (kernel, VMM_SETUP_CMDLINE_SIZE), VMLINUX_CMDLINE_MAX);
    vmm_put_u64 (field (kernel, VMM_SETUP_PREF_ADDRESS), elf->phys_start);
    vmm_put_u32 (field (kernel, VMM_SETUP_INIT_SIZE), (uint32_t)size);
}

static bool
load_decompressor (const VmmBzImage *bz, VmmGuestMemory *memory, const VmmKernelLoadOptions *options,
                   VmmLoadedKernel *kernel, GError **error)
{
    uint64_t base = bz->pref_address;
    uint64_t size = MAX (bz->init_size, bz->kernel.len);

    /* Lower down it would move itself up to here, so there is no other place to try. */
    if (base < 0x100000 || base > options->low_end || size > options->low_end - base ||
        !vmm_guest_memory_contains (memory, base, size)) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
                     "it needs %s of memory from 0x%" PRIx64 " on, and guest memory there ends at 0x%" PRIx64
                     " (%s); give more than --mem %" PRIu64 "M",
                     vmm_size_text (size).s, base, options->low_end, vmm_size_text (options->low_end).s,
                     (base >> 20) + (size >> 20));
        return false;
    }
    vmm_guest_memory_write (memory, base, bz->kernel.data, bz->kernel.len);
    kernel->start = base;
    kernel->end = base + size;
    kernel->entry_gpa = base + BZIMAGE_ENTRY64;
    kernel->kaslr = options->kaslr ? VMM_KERNEL_KASLR_GUEST : VMM_KERNEL_KASLR_OFF;
    return true;
}

static bool
enter_pvh (const VmmElf *elf, const VmmElfNotes *notes, bool wanted, VmmLoadedKernel *kernel, GError **error)
{
    if (!notes->has_pvh) {
        g_set_error_literal (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
                             "it has no PVH entry (CONFIG_PVH is off); use --kernel-entry auto");
        return false;
    }
    if (notes->pvh_entry < elf->phys_start || notes->pvh_entry >= elf->phys_end) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
                     "its PVH entry 0x%" PRIx64 " lies outside of what is loaded (0x%" PRIx64 " to 0x%" PRIx64
                     ")",
                     notes->pvh_entry, elf->phys_start, elf->phys_end);
        return false;
    }
    kernel->entry_gpa = notes->pvh_entry;
    kernel->kaslr = wanted ? VMM_KERNEL_KASLR_LOST : VMM_KERNEL_KASLR_OFF;
    kernel->kaslr_lost = wanted ? "a kernel entered by PVH runs where it is linked" : NULL;
    return true;
}

/* The vmlinux in a bzImage, for either of its entries. */
static bool
load_unpacked (VmmKernelImage *image, VmmGuestMemory *memory, const VmmKernelLoadOptions *options,
               VmmLoadedKernel *kernel, GError **error)
{
    const VmmBzImage *bz = &image->bzimage;
    VmmKernelLoadOptions fixed = *options;
    VmmElfNotes notes = {0};
    VmmElf elf = {0};
    bool done = false;

    fixed.kaslr = options->kaslr && kernel->entry != VMM_KERNEL_ENTRY_PVH;
    if (!vmm_vmlinux_load_packed (bz, memory, &fixed, &done, kernel, &elf, &notes, error))
        return false;
    if (!done) {
        if (!vmm_kernel_image_unpack (image, error) ||
            !vmm_vmlinux_load_span (&image->elf, image->vmlinux, bz->relocatable, bz->kernel_alignment,
                                    memory, &fixed, kernel, error))
            return false;
        elf = image->elf;
        notes = image->notes;
    }
    if (kernel->entry == VMM_KERNEL_ENTRY_PVH)
        return enter_pvh (&elf, &notes, options->kaslr, kernel, error);
    if (!elf.is_64 || !elf.has_entry) {
        g_set_error_literal (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
                             "the vmlinux inside has no 64-bit entry; use --kernel-entry bzimage");
        return false;
    }
    return true;
}

static bool
load_elf (const VmmKernelImage *image, VmmGuestMemory *memory, const VmmKernelLoadOptions *options,
          VmmLoadedKernel *kernel, GError **error)
{
    VmmKernelLoadOptions fixed = *options;
    /* Only a Linux with CONFIG_RELOCATABLE carries the table, and only such a kernel may be moved. */
    bool movable = vmm_kernel_image_has_kaslr (image);

    if (kernel->entry == VMM_KERNEL_ENTRY_BZIMAGE) {
        g_set_error_literal (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
                             "it is an ELF file, not a bzImage; use --kernel-entry auto");
        return false;
    }
    if (kernel->entry == VMM_KERNEL_ENTRY_UNPACKED && !image->has_entry64) {
        g_set_error_literal (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
                             "it has no 64-bit entry; use --kernel-entry pvh");
        return false;
    }
    fixed.kaslr = options->kaslr && kernel->entry != VMM_KERNEL_ENTRY_PVH;
    if (!vmm_vmlinux_load_span (&image->elf, image->vmlinux, movable, VMLINUX_ALIGNMENT, memory, &fixed,
                                kernel, error))
        return false;
    if (kernel->entry == VMM_KERNEL_ENTRY_PVH)
        return enter_pvh (&image->elf, &image->notes, options->kaslr && image->is_linux, kernel, error);
    /* Other systems never had what they now do not lose. */
    if (!image->is_linux && kernel->kaslr == VMM_KERNEL_KASLR_LOST) {
        kernel->kaslr = VMM_KERNEL_KASLR_OFF;
        kernel->kaslr_lost = NULL;
    }
    return true;
}

static bool
load (VmmKernelImage *image, VmmGuestMemory *memory, const VmmKernelLoadOptions *options,
      VmmLoadedKernel *kernel, GError **error)
{
    if (image->format == VMM_KERNEL_FORMAT_ELF) {
        make_header (&image->elf, kernel);
        return load_elf (image, memory, options, kernel, error);
    }
    copy_header (&image->bzimage, kernel);
    if (kernel->entry == VMM_KERNEL_ENTRY_BZIMAGE)
        return load_decompressor (&image->bzimage, memory, options, kernel, error);
    return load_unpacked (image, memory, options, kernel, error);
}

/**
 * vmm_kernel_image_load:
 * @image: the kernel; may unpack itself (vmm_kernel_image_unpack()) where its layout leaves no other way
 * @memory: goes there; must be zero from 1 MiB on
 * @options: where and how
 * @ret_kernel: where it is and how to enter it
 * @error: %VMM_ERROR_NOT_BOOTABLE: does not fit, is damaged, or has not the entry that was asked for. Guest
 *   memory is undefined then
 *
 * Loads a kernel, see the essay above. The thread that owns @image.
 *
 * Returns: false on failure
 */
bool
vmm_kernel_image_load (VmmKernelImage *image, VmmGuestMemory *memory, const VmmKernelLoadOptions *options,
                       VmmLoadedKernel *ret_kernel, GError **error)
{
    VmmLoadedKernel kernel = {.entry = options->entry};
    GError *local = NULL;

    if (kernel.entry == VMM_KERNEL_ENTRY_AUTO)
        kernel.entry = choose_entry (image);
    if (!load (image, memory, options, &kernel, &local)) {
        if (!g_str_has_prefix (local->message, "kernel \""))
            g_prefix_error (&local, "kernel \"%s\": ", image->name);
        g_propagate_error (error, local);
        return false;
    }
    finish_header (&kernel);
    *ret_kernel = kernel;
    return true;
}
