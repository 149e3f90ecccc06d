/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory map that a kernel starts with, and Linux's zero page (Documentation/arch/x86/zero-page.rst and
 * boot.rst, whose names the fields have here).
 */
#include "vmm/arch/x86_64/boot-params.h"

#include <asm/bootparam.h>

#include "vmm/arch/x86_64/layout.h"
#include "vmm/error.h"

#define BOOT_FLAG 0xaa55u
#define HDRS_MAGIC 0x53726448u /* "HdrS" */
#define PROTOCOL_2_12 0x020cu  /* the first with xloadflags and the upper halves of addresses */
#define LOADER_UNDEFINED 0xffu
#define HEAP_END 0xfe00u
#define CMDLINE_DEFAULT_MAX 2047u
#define GIB4 0x100000000ull

/* The setup header may grow up to here before it meets the next field of the zero page. */
#define SETUP_HEADER_MAX                                                                                     \
    (offsetof (struct boot_params, edd_mbr_sig_buffer) - offsetof (struct boot_params, hdr))

/**
 * vmm_x86_memory_ranges:
 * @size: bytes of guest memory, a multiple of %VMM_GUEST_PAGE_SIZE, more than 1 MiB
 * @ret_ranges: where that memory is in the guest-physical address space
 * @ret_n: how many ranges
 * @error: %VMM_ERROR_USAGE
 *
 * Memory starts at 0 and goes around the hole below 4 GiB.
 */
bool
vmm_x86_memory_ranges (uint64_t size, VmmMemRange ret_ranges[VMM_X86_MEM_RANGES_MAX], size_t *ret_n,
                       GError **error)
{
    if (size <= VMM_X86_HIGH_RAM_START || size % VMM_GUEST_PAGE_SIZE != 0 || size > 1ull << 52) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "memory of %" G_GUINT64_FORMAT " bytes: give more than 1 MiB, in units of 4 KiB", size);
        return false;
    }
    ret_ranges[0] = (VmmMemRange){0, MIN (size, VMM_X86_HOLE32_START)};
    *ret_n = 1;
    if (size > VMM_X86_HOLE32_START) {
        ret_ranges[1] = (VmmMemRange){VMM_X86_RAM64_START, size - VMM_X86_HOLE32_START};
        *ret_n = 2;
    }
    return true;
}

static bool
e820_add (VmmX86E820 *e820, uint64_t gpa, uint64_t size, uint32_t type, GError **error)
{
    uint64_t end;

    if (e820->n == VMM_X86_E820_MAX) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "memory map: more than %u ranges", VMM_X86_E820_MAX);
        return false;
    }
    if (__builtin_add_overflow (gpa, size, &end) ||
        (e820->n > 0 && gpa < e820->entries[e820->n - 1].gpa + e820->entries[e820->n - 1].size)) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "memory map: the range at 0x%" G_GINT64_MODIFIER "x overlaps what is before it", gpa);
        return false;
    }
    e820->entries[e820->n++] = (VmmX86E820Entry){gpa, size, type};
    return true;
}

/* The fixed parts of the hole below 4 GiB that are neither RAM nor free for PCI. */
static bool
e820_add_hole (VmmX86E820 *e820, GError **error)
{
    /* Linux takes an ECAM that early only when the firmware says that it is reserved. */
    if (!e820_add (e820, VMM_X86_ECAM_BASE, VMM_X86_ECAM_SIZE, VMM_X86_E820_RESERVED, error))
        return false;
    /* KVM's own pages for real mode (KVM_SET_IDENTITY_MAP_ADDR, KVM_SET_TSS_ADDR: one page and three). */
    return e820_add (e820, VMM_X86_KVM_IDENTITY_MAP, 4 * VMM_GUEST_PAGE_SIZE, VMM_X86_E820_RESERVED, error);
}

/**
 * vmm_x86_e820_build:
 * @ranges: RAM, sorted by address; the first starts at 0 and is larger than 1 MiB
 * @n_ranges: how many
 * @ret_e820: the map
 * @error: %VMM_ERROR_USAGE when the ranges are not so, or overlap the hole below 4 GiB
 *
 * Low RAM ends at %VMM_X86_LOW_RAM_END; from there to 1 MiB all is reserved (the ACPI tables lie there).
 */
bool
vmm_x86_e820_build (const VmmMemRange *ranges, size_t n_ranges, VmmX86E820 *ret_e820, GError **error)
{
    VmmX86E820 e820 = {.n = 0};
    bool hole_done = false;

    if (n_ranges == 0 || ranges[0].gpa != 0 || ranges[0].size <= VMM_X86_HIGH_RAM_START) {
        g_set_error_literal (error, VMM_ERROR, VMM_ERROR_USAGE,
                             "memory map: the first range must start at 0 and be larger than 1 MiB");
        return false;
    }
    if (!e820_add (&e820, 0, VMM_X86_LOW_RAM_END, VMM_X86_E820_RAM, error) ||
        !e820_add (&e820, VMM_X86_LOW_RAM_END, VMM_X86_HIGH_RAM_START - VMM_X86_LOW_RAM_END,
                   VMM_X86_E820_RESERVED, error) ||
        !e820_add (&e820, VMM_X86_HIGH_RAM_START, ranges[0].size - VMM_X86_HIGH_RAM_START, VMM_X86_E820_RAM,
                   error))
        return false;
    for (size_t i = 1; i < n_ranges; i++) {
        if (!hole_done && ranges[i].gpa >= VMM_X86_ECAM_BASE) {
            if (!e820_add_hole (&e820, error))
                return false;
            hole_done = true;
        }
        if (!e820_add (&e820, ranges[i].gpa, ranges[i].size, VMM_X86_E820_RAM, error))
            return false;
    }
    if (!hole_done && !e820_add_hole (&e820, error))
        return false;
    *ret_e820 = e820;
    return true;
}

/* A header for a kernel that has none but is entered by the same protocol. */
static void
default_header (struct setup_header *hdr)
{
    hdr->boot_flag = BOOT_FLAG;
    hdr->header = HDRS_MAGIC;
    hdr->version = PROTOCOL_2_12;
    hdr->loadflags = LOADED_HIGH;
    hdr->xloadflags = XLF_KERNEL_64 | XLF_CAN_BE_LOADED_ABOVE_4G;
    hdr->cmdline_size = CMDLINE_DEFAULT_MAX;
}

/* Whether the kernel takes addresses of 64 bits in its header. */
static bool
takes_high_addresses (const struct setup_header *hdr)
{
    return hdr->version >= PROTOCOL_2_12 && (hdr->xloadflags & XLF_CAN_BE_LOADED_ABOVE_4G) != 0;
}

static bool
fill_addresses (struct boot_params *zero, const VmmX86BootParams *params, GError **error)
{
    uint64_t initrd_end;

    if (__builtin_add_overflow (params->initrd_gpa, params->initrd_size, &initrd_end) ||
        ((initrd_end > GIB4 || params->cmdline_gpa >= GIB4) && !takes_high_addresses (&zero->hdr))) {
        g_set_error_literal (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
                             "kernel: it does not take an initrd above 4 GiB; use a smaller initrd");
        return false;
    }
    zero->hdr.cmd_line_ptr = (uint32_t)params->cmdline_gpa;
    zero->ext_cmd_line_ptr = (uint32_t)(params->cmdline_gpa >> 32);
    zero->hdr.ramdisk_image = 0;
    zero->hdr.ramdisk_size = 0;
    if (params->initrd_size != 0) {
        zero->hdr.ramdisk_image = (uint32_t)params->initrd_gpa;
        zero->ext_ramdisk_image = (uint32_t)(params->initrd_gpa >> 32);
        zero->hdr.ramdisk_size = (uint32_t)params->initrd_size;
        zero->ext_ramdisk_size = (uint32_t)(params->initrd_size >> 32);
    }
    zero->acpi_rsdp_addr = params->rsdp_gpa;
    if (params->setup_data_gpa != 0)
        zero->hdr.setup_data = params->setup_data_gpa;
    return true;
}

static bool
fill_e820 (struct boot_params *zero, const VmmX86E820 *e820, GError **error)
{
    if (e820->n > E820_MAX_ENTRIES_ZEROPAGE || e820->n > VMM_X86_E820_MAX) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "memory map: %zu ranges are too many", e820->n);
        return false;
    }
    for (size_t i = 0; i < e820->n; i++) {
        zero->e820_table[i].addr = e820->entries[i].gpa;
        zero->e820_table[i].size = e820->entries[i].size;
        zero->e820_table[i].type = e820->entries[i].type;
    }
    zero->e820_entries = (uint8_t)e820->n;
    return true;
}

/**
 * vmm_x86_boot_params_write:
 * @memory: guest memory
 * @params: what the kernel is to know
 * @error: %VMM_ERROR_NOT_BOOTABLE when the kernel cannot take what it is given
 *
 * Writes struct boot_params to %VMM_X86_ZERO_PAGE_GPA: the image's own setup header, of it as much as the
 * zero page has room for, and in it what the boot loader must fill in. There is no video: screen_info is
 * zero.
 */
bool
vmm_x86_boot_params_write (VmmGuestMemory *memory, const VmmX86BootParams *params, GError **error)
{
    struct boot_params zero = {0};

    if (params->setup_header.len == 0)
        default_header (&zero.hdr);
    else
        memcpy ((uint8_t *)&zero + offsetof (struct boot_params, hdr), params->setup_header.data,
                MIN (params->setup_header.len, SETUP_HEADER_MAX));
    zero.hdr.type_of_loader = LOADER_UNDEFINED;
    zero.hdr.loadflags |= CAN_USE_HEAP;
    zero.hdr.heap_end_ptr = HEAP_END;
    if (!fill_addresses (&zero, params, error) || !fill_e820 (&zero, params->e820, error))
        return false;
    if (!vmm_guest_memory_write (memory, VMM_X86_ZERO_PAGE_GPA, &zero, sizeof zero)) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "zero page: no guest RAM at 0x%x",
                     VMM_X86_ZERO_PAGE_GPA);
        return false;
    }
    return true;
}
