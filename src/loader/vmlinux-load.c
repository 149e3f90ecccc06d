/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Puts a vmlinux where it runs. Each page that is touched costs, on a nested host very much, so a packed
 * kernel is unpacked straight into guest memory, at such a place that its first and largest segments land
 * where they belong, and only the rest is moved, downwards and in order, as the kernel's own decompressor
 * does it (Linux: arch/x86/boot/compressed/misc.c, parse_elf()). An ELF file that is not laid out so that
 * this is safe is unpacked elsewhere and copied.
 *
 *            base - lead                 base
 *   guest    |.........|ELF headers, gap|text, rodata, data|percpu|init, bss|tables|
 *   becomes                             |text, rodata, data|percpu|init, bss|  left over: free memory
 *
 * Then the virtual addresses are changed, when KASLR is asked for (kaslr.c). The rules for the two random
 * numbers are the kernel's (Linux: arch/x86/boot/compressed/kaslr.c): the virtual address is any multiple of
 * the kernel's alignment from its linked address on for which the image fits in the 1 GiB that is mapped for
 * it; the physical one any such multiple that has RAM.
 */
#include "loader/vmlinux-load.h"

#include <inttypes.h>

#include "loader/kaslr.h"
#include "loader/text.h"
#include "vmm/error.h"

/* Program headers follow the ELF header at once; every linker does it so. */
#define HEAD_MAX 8192u

#define LOW_MEMORY_END 0x100000u
#define PAGE ((size_t)VMM_GUEST_PAGE_SIZE)

static bool
fail_no_room (uint64_t start, uint64_t room, uint64_t low_end, GError **error)
{
    uint64_t end = start + MIN (room, UINT64_MAX - start);

    g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
                 "it needs %s of memory from 0x%" PRIx64 " on, and guest memory there ends at 0x%" PRIx64
                 " (%s); give more than --mem %" PRIu64 "M",
                 vmm_size_text (room).s, start, low_end, vmm_size_text (low_end).s, end >> 20);
    return false;
}

/**
 * vmm_vmlinux_choose_base:
 * @elf: the kernel
 * @options: memory limits and random numbers
 * @place: @align and @room are read, @base is set
 * @error: %VMM_ERROR_NOT_BOOTABLE
 *
 * Chooses the physical address: a random one when there is a choice, else the linked one.
 *
 * Returns: false when the kernel does not fit at all
 */
bool
vmm_vmlinux_choose_base (const VmmElf *elf, const VmmKernelLoadOptions *options, VmmVmlinuxPlace *place,
                         GError **error)
{
    uint64_t linked = elf->phys_start, align = place->align;
    uint64_t max = options->phys_max != 0 ? MIN (options->phys_max, options->low_end) : options->low_end;
    uint64_t image = elf->phys_end - elf->phys_start;

    if (linked < LOW_MEMORY_END) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
                     "a segment loads at 0x%" PRIx64
                     ", in the first 1 MiB, where the boot structures and the "
                     "ACPI tables are; link it at 0x100000 or above",
                     linked);
        return false;
    }
    if (linked > options->low_end || image > options->low_end - linked)
        return fail_no_room (linked, image, options->low_end, error);
    place->base = linked;
    if (!options->kaslr || align == 0)
        return true;
    /* Nothing below the linked address: the kernel's own decompressor does not go there either. */
    uint64_t skip = options->phys_min > linked ? (options->phys_min - linked + align - 1) / align : 0;
    uint64_t room = MAX (place->room, image);
    if (linked > max || room > max - linked || (max - linked - room) / align < skip)
        return true;
    uint64_t slots = (max - linked - room) / align - skip + 1;
    place->base = linked + (skip + options->random_physical % slots) * align;
    return true;
}

static bool
lost (VmmLoadedKernel *kernel, const char *why)
{
    kernel->kaslr = VMM_KERNEL_KASLR_LOST;
    kernel->kaslr_lost = why;
    return false;
}

static bool
find_relocations (const VmmElf *elf, VmmSpan tail, uint64_t len, VmmKaslrTable *ret_table,
                  VmmLoadedKernel *kernel)
{
    if (!elf->is_64 || elf->load[0].vaddr != VMM_LINUX_MAP + elf->phys_start)
        return lost (kernel, "the kernel is not linked where x86-64 Linux is");
    if (!vmm_kaslr_find (tail, ret_table))
        return lost (kernel,
                     "the image has no relocation table (CONFIG_RANDOMIZE_BASE is off, or it was cut off)");
    if (!vmm_kaslr_check (ret_table, elf->load[0].vaddr, len))
        return lost (kernel, "the image's relocation table points outside of the image");
    return true;
}

/**
 * vmm_vmlinux_relocate:
 * @elf: the kernel
 * @tail: what followed the ELF file; must not overlap the first @len bytes of @image
 * @align: the kernel's alignment
 * @len: bytes of the image that may change
 * @image: its first byte
 * @options: random number
 * @kernel: KASLR fields are set
 *
 * Moves the kernel to a random virtual address, or says why not.
 */
void
vmm_vmlinux_relocate (const VmmElf *elf, VmmSpan tail, uint64_t align, uint64_t len, uint8_t *image,
                      const VmmKernelLoadOptions *options, VmmLoadedKernel *kernel)
{
    uint64_t size = MAX (elf->phys_end - elf->phys_start, elf->file_end + tail.len);
    VmmKaslrTable table;

    kernel->kaslr = VMM_KERNEL_KASLR_OFF;
    if (!options->kaslr || !find_relocations (elf, tail, len, &table, kernel))
        return;
    if (align == 0 || elf->phys_start > VMM_LINUX_MAP_SIZE || size > VMM_LINUX_MAP_SIZE - elf->phys_start) {
        lost (kernel, "the kernel fills its address space");
        return;
    }
    uint64_t slots = (VMM_LINUX_MAP_SIZE - elf->phys_start - size) / align + 1;
    uint64_t delta = options->random_virtual % slots * align;
    vmm_kaslr_apply (&table, elf->load[0].vaddr, image, delta);
    kernel->kaslr = VMM_KERNEL_KASLR_DONE;
    kernel->virt_offset = delta;
}

static void
describe (const VmmElf *elf, uint64_t base, VmmLoadedKernel *kernel)
{
    kernel->start = base;
    kernel->end = base + (elf->phys_end - elf->phys_start);
    kernel->entry_gpa = elf->entry_gpa - elf->phys_start + base;
}

/*
 * Whether the segments can be moved within the unpacked file: in file order and in memory order alike, so
 * that moving each one down, in order, never overwrites one that still has to move. @ret_lead is how far
 * before the kernel's first byte the file must start, so that no segment has to move up.
 */
static bool
can_move_in_place (const VmmElf *elf, uint64_t *ret_lead)
{
    uint64_t lead = UINT64_MAX;

    for (unsigned i = 0; i < elf->n_loads; i++) {
        const VmmElfSegment *s = &elf->load[i];
        uint64_t rel = s->paddr - elf->phys_start;
        if (s->paddr < elf->phys_start || s->offset < rel)
            return false;
        lead = MIN (lead, s->offset - rel);
        if (i > 0 && (s->paddr < s[-1].paddr || s->offset < s[-1].offset + s[-1].filesz))
            return false;
    }
    *ret_lead = lead;
    return true;
}

static void
move_segments (const VmmElf *elf, uint8_t *file, uint8_t *image)
{
    for (unsigned i = 0; i < elf->n_loads; i++) {
        const VmmElfSegment *s = &elf->load[i];
        uint8_t *to = image + (s->paddr - elf->phys_start);
        if (to != file + s->offset)
            memmove (to, file + s->offset, s->filesz);
    }
}

/* What the unpacked file left where segments want zeros; the rest of guest memory is zero already. */
static void
clear_bss (const VmmElf *elf, const uint8_t *file_end, uint8_t *image)
{
    for (unsigned i = 0; i < elf->n_loads; i++) {
        const VmmElfSegment *s = &elf->load[i];
        uint8_t *from = image + (s->paddr - elf->phys_start) + s->filesz;
        uint8_t *to = from + (s->memsz - s->filesz);
        if (from < file_end)
            memset (from, 0, (size_t)(MIN ((const uint8_t *)to, file_end) - from));
    }
}

static bool
unpack_in_place (const VmmBzImage *bz, const VmmElf *elf, uint64_t lead, const VmmVmlinuxPlace *place,
                 VmmGuestMemory *memory, const VmmKernelLoadOptions *options, VmmLoadedKernel *kernel,
                 VmmElfNotes *ret_notes, GError **error)
{
    uint64_t span = MAX (lead + (elf->phys_end - elf->phys_start), bz->payload_unpacked);
    uint8_t *file = vmm_guest_memory_ptr (memory, place->base - lead, span);
    size_t len;

    if (file == NULL)
        return fail_no_room (place->base, span - lead, options->low_end, error);
    if (!vmm_decompress (bz->compression, bz->payload, file, bz->payload_unpacked, &len, error))
        return false;
    if (len != bz->payload_unpacked || elf->file_end > len) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
                     "it unpacks to %zu bytes, and its headers say %" PRIu64 "; get the file again", len,
                     MAX (bz->payload_unpacked, elf->file_end));
        return false;
    }
    vmm_elf_read_notes (elf, (VmmSpan){file, len}, ret_notes);
    uint8_t *image = file + lead;
    move_segments (elf, file, image);
    /* The table stays where it was unpacked; places that would hit it are not accepted. */
    uint64_t before_table = elf->file_end > lead ? elf->file_end - lead : 0;
    vmm_vmlinux_relocate (elf, (VmmSpan){file + elf->file_end, len - elf->file_end}, place->align,
                          MIN (before_table, elf->phys_end - elf->phys_start), image, options, kernel);
    clear_bss (elf, file + len, image);
    describe (elf, place->base, kernel);
    return true;
}

/**
 * vmm_vmlinux_load_packed:
 * @bzimage: a kernel with a payload whose compression we have
 * @memory: goes there
 * @options: where and how
 * @ret_done: false when the file's layout does not allow it: unpack it and use vmm_vmlinux_load_span()
 * @kernel: address and KASLR fields are set
 * @ret_elf: the headers of the vmlinux
 * @ret_notes: its notes
 * @error: %VMM_ERROR_NOT_BOOTABLE; the message is the tail of a sentence. Guest memory is undefined then
 *
 * Unpacks a kernel to where it runs.
 *
 * Returns: false on failure
 */
bool
vmm_vmlinux_load_packed (const VmmBzImage *bzimage, VmmGuestMemory *memory,
                         const VmmKernelLoadOptions *options, bool *ret_done, VmmLoadedKernel *kernel,
                         VmmElf *ret_elf, VmmElfNotes *ret_notes, GError **error)
{
    g_autofree uint8_t *head = g_malloc (HEAD_MAX);
    VmmVmlinuxPlace place = {.align = bzimage->relocatable ? bzimage->kernel_alignment : 0};
    uint64_t lead, told = bzimage->payload_unpacked;
    size_t len;

    if (!vmm_decompress_prefix (bzimage->compression, bzimage->payload, head, HEAD_MAX, &len, error) ||
        !vmm_elf_parse ((VmmSpan){head, len}, told, ret_elf, error))
        return false;
    *ret_done = can_move_in_place (ret_elf, &lead) && told <= VMM_KERNEL_UNPACKED_MAX;
    if (!*ret_done)
        return true;
    place.room = MAX (told, lead) - lead;
    if (!vmm_vmlinux_choose_base (ret_elf, options, &place, error))
        return false;
    *ret_done =
        lead <= place.base - LOW_MEMORY_END && vmm_guest_memory_contains (memory, place.base - lead, told);
    if (!*ret_done)
        return true;
    return unpack_in_place (bzimage, ret_elf, lead, &place, memory, options, kernel, ret_notes, error);
}

/* Guest memory is zero: pages of zeros need not be copied, and then cost the host nothing. */
static void
copy_sparse (uint8_t *to, VmmSpan from)
{
    static const uint8_t zeros[VMM_GUEST_PAGE_SIZE];

    for (size_t n, i = 0; i < from.len; i += n) {
        n = MIN (PAGE - ((uintptr_t)(to + i) & (PAGE - 1)), from.len - i);
        if (n < PAGE || memcmp (from.data + i, zeros, PAGE) != 0)
            memcpy (to + i, from.data + i, n);
    }
}

/**
 * vmm_vmlinux_load_span:
 * @elf: its headers, with every segment inside @vmlinux
 * @vmlinux: the ELF file, with the relocation table behind it where there is one
 * @relocatable: it may run at other physical addresses than the linked one
 * @align: in steps of this
 * @memory: goes there, and is zero there
 * @options: where and how
 * @kernel: address and KASLR fields are set
 * @error: %VMM_ERROR_NOT_BOOTABLE; the message is the tail of a sentence
 *
 * Copies the segments of a vmlinux to where it runs.
 *
 * Returns: false on failure
 */
bool
vmm_vmlinux_load_span (const VmmElf *elf, VmmSpan vmlinux, bool relocatable, uint64_t align,
                       VmmGuestMemory *memory, const VmmKernelLoadOptions *options, VmmLoadedKernel *kernel,
                       GError **error)
{
    VmmVmlinuxPlace place = {.align = relocatable ? align : 0};
    uint64_t len = elf->phys_end - elf->phys_start;
    VmmSpan tail = {vmlinux.data, 0};
    VmmSpan bytes;

    if (!vmm_vmlinux_choose_base (elf, options, &place, error))
        return false;
    uint8_t *image = vmm_guest_memory_ptr (memory, place.base, len);
    if (image == NULL)
        return fail_no_room (place.base, len, options->low_end, error);
    for (unsigned i = 0; i < elf->n_loads; i++)
        if (vmm_span_sub (vmlinux, elf->load[i].offset, elf->load[i].filesz, &bytes))
            copy_sparse (image + (elf->load[i].paddr - elf->phys_start), bytes);
    if (elf->file_end < vmlinux.len)
        vmm_span_sub (vmlinux, elf->file_end, vmlinux.len - elf->file_end, &tail);
    vmm_vmlinux_relocate (elf, tail, align, len, image, options, kernel);
    describe (elf, place.base, kernel);
    return true;
}
