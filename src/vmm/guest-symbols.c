/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The functions of a guest's kernel have names in a file that the user gives, or in the kernel itself. They
 * are read when a report wants them first: a stock kernel's are in its own kallsyms, which take a while.
 *
 * Names are for the addresses at which the kernel was linked. It runs elsewhere: by a distance that is known
 * where vmm has moved it, and is not where the guest's own decompressor did. A wrong name is worse than none,
 * so the CPU is asked, which holds the address of one function of Linux: the distance follows from that, and
 * so does that the symbols are another kernel's, whose distance would be none that KASLR chooses.
 */
#include "vmm/guest-symbols.h"

#include "loader/elf.h"
#include "loader/kaslr.h"
#include "loader/symbols.h"
#include "vmm/mapped-file.h"

/* CONFIG_PHYSICAL_ALIGN is a multiple of that on x86-64 (Linux: arch/x86/Kconfig). */
#define KASLR_STEP (UINT64_C (2) << 20)

struct _VmmGuestSymbols {
    char *path; /* NULL: none was given */
    VmmMappedFile file;
    VmmGuestSymbolsWarn warn;
    void *user;
    bool tried;
    VmmSymbols *symbols; /* NULL: there are none */
    uint64_t anchor;     /* where it was linked; 0: it is not among them */
};

/**
 * vmm_guest_symbols_new:
 * @path: (nullable): a System.map, or an ELF file with symbols; NULL for those of the kernel itself
 * @warn: told of what is wrong with them, when that is found
 * @user: what it gets
 * @error: return location
 *
 * Reads nothing yet.
 *
 * Returns: (transfer full) (nullable): symbols; NULL with %VMM_ERROR_USAGE when the file cannot be opened
 */
VmmGuestSymbols *
vmm_guest_symbols_new (const char *path, VmmGuestSymbolsWarn warn, void *user, GError **error)
{
    g_autoptr (VmmGuestSymbols) symbols = g_new0 (VmmGuestSymbols, 1);

    symbols->path = g_strdup (path);
    symbols->warn = warn;
    symbols->user = user;
    if (path != NULL && !vmm_mapped_file_open ("symbols", path, &symbols->file, error))
        return NULL;
    return g_steal_pointer (&symbols);
}

/**
 * vmm_guest_symbols_free:
 * @symbols: (nullable)
 */
void
vmm_guest_symbols_free (VmmGuestSymbols *symbols)
{
    if (symbols == NULL)
        return;
    vmm_symbols_free (symbols->symbols);
    vmm_mapped_file_close (&symbols->file);
    g_free (symbols->path);
    g_free (symbols);
}

static VmmSymbols *
read_file (VmmGuestSymbols *symbols)
{
    VmmSpan file = vmm_mapped_file_span (&symbols->file);
    VmmSymbols *read = vmm_elf_detect (file) ? vmm_symbols_new_from_vmlinux (file, NULL)
                                             : vmm_symbols_new_from_system_map (file, NULL);
    g_autofree char *text = NULL;

    if (read != NULL)
        return read;
    /* Debian's System.map is such a file. */
    text = g_strdup_printf ("symbols \"%s\": it names no functions: give a System.map, or a vmlinux that was "
                            "not stripped; the kernel's own names are used, if it has any",
                            symbols->path);
    symbols->warn (symbols->user, text);
    return NULL;
}

static void
read_all (VmmGuestSymbols *symbols, VmmKernelImage *image)
{
    symbols->tried = true;
    if (symbols->path != NULL)
        symbols->symbols = read_file (symbols);
    if (symbols->symbols == NULL && vmm_kernel_image_unpack (image, NULL))
        symbols->symbols = vmm_symbols_new_from_vmlinux (image->vmlinux, NULL);
    if (symbols->symbols != NULL)
        vmm_symbols_find (symbols->symbols, vmm_arch_kernel_anchor (), &symbols->anchor);
}

/* How far from where it was linked the kernel runs; false when that is not known, or it is another kernel. */
static bool
find_distance (const VmmGuestSymbols *symbols, const VmmLoadedKernel *kernel, uint64_t anchor,
               uint64_t *ret_distance)
{
    bool moved_by_guest = kernel->kaslr == VMM_KERNEL_KASLR_GUEST;

    *ret_distance = kernel->virt_offset;
    /* Some kernels have the system calls go through a page elsewhere; and others are no Linux. */
    if (symbols->anchor == 0 || anchor - VMM_LINUX_MAP >= VMM_LINUX_MAP_SIZE)
        return !moved_by_guest;
    *ret_distance = anchor - symbols->anchor;
    return *ret_distance < VMM_LINUX_MAP_SIZE && *ret_distance % KASLR_STEP == 0;
}

/**
 * vmm_guest_symbols_describe:
 * @symbols: symbols
 * @image: the kernel; unpacked when its own symbols are wanted
 * @kernel: how it was loaded
 * @sample: where a vCPU is
 *
 * Returns: (transfer full) (nullable): the function there, "schedule+0x1c/0xa0"; NULL where no symbols tell
 */
char *
vmm_guest_symbols_describe (VmmGuestSymbols *symbols, VmmKernelImage *image, const VmmLoadedKernel *kernel,
                            const VmmVcpuSample *sample)
{
    uint64_t distance;

    if (!symbols->tried)
        read_all (symbols, image);
    if (symbols->symbols == NULL || !find_distance (symbols, kernel, sample->anchor, &distance))
        return NULL;
    return vmm_symbols_describe (symbols->symbols, sample->pc, distance);
}
