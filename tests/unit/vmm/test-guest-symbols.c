/* SPDX-License-Identifier: Apache-2.0 */
/* Which name an address gets, wherever the kernel runs; and that it gets none rather than a wrong one. */
#include "vmm/guest-symbols.h"

#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "vmm/error.h"

#define TEXT UINT64_C (0xffffffff81000000)
#define ANCHOR UINT64_C (0xffffffff81a00080)
#define STEP UINT64_C (0x200000)

static const char linux_map[] = "ffffffff81000000 T startup_64\n"
                                "ffffffff81000040 t helper\n"
                                "ffffffff81a00080 T entry_SYSCALL_64\n"
                                "ffffffff81a00100 T last\n";
static const char other_map[] = "0000000000100000 T kmain\n"
                                "0000000000100400 T panic\n";

typedef struct {
    char path[32];
    VmmGuestSymbols *symbols;
    VmmKernelImage image;
    VmmLoadedKernel kernel;
    char *warning;
} Fixture;

static void
warn (void *user, const char *text)
{
    Fixture *f = user;

    g_free (f->warning);
    f->warning = g_strdup (text);
}

static void
init (Fixture *f, const char *map)
{
    g_autoptr (GError) error = NULL;
    int fd;

    memset (f, 0, sizeof *f);
    strcpy (f->path, "/tmp/guest-symbols-XXXXXX");
    fd = g_mkstemp (f->path);
    cr_assert_eq (write (fd, map, strlen (map)), (ssize_t)strlen (map));
    close (fd);
    f->symbols = vmm_guest_symbols_new (f->path, warn, f, &error);
    cr_assert_not_null (f->symbols, "%s", error != NULL ? error->message : "");
    unlink (f->path);
}

static void
clear (Fixture *f)
{
    vmm_guest_symbols_free (f->symbols);
    g_free (f->warning);
}

/* With a CPU at @pc whose register says @anchor, the function is @want. */
static void
expect (Fixture *f, uint64_t pc, uint64_t anchor, const char *want)
{
    VmmVcpuSample sample = {.pc = pc, .anchor = anchor};
    g_autofree char *name = vmm_guest_symbols_describe (f->symbols, &f->image, &f->kernel, &sample);

    cr_assert_eq (g_strcmp0 (name, want), 0, "%s instead of %s", name, want);
}

Test (guest_symbols, a_kernel_that_was_moved_here)
{
    Fixture f;

    init (&f, linux_map);
    f.kernel = (VmmLoadedKernel){.kaslr = VMM_KERNEL_KASLR_DONE, .virt_offset = 5 * STEP};
    /* Before the kernel has set the register up, and after that. */
    expect (&f, TEXT + 5 * STEP + 0x41, 0, "helper+0x1/0xa00040");
    expect (&f, TEXT + 5 * STEP + 0x41, ANCHOR + 5 * STEP, "helper+0x1/0xa00040");
    expect (&f, TEXT + 0x41, 0, NULL);
    /* A page table isolation that lets system calls go elsewhere first. */
    expect (&f, TEXT + 5 * STEP, 0xfffffe0000006000, "startup_64+0x0/0x40");
    clear (&f);
}

Test (guest_symbols, a_kernel_that_moves_itself)
{
    Fixture f;

    init (&f, linux_map);
    f.kernel.kaslr = VMM_KERNEL_KASLR_GUEST;
    expect (&f, TEXT + 0x41, 0, NULL);
    expect (&f, TEXT + 7 * STEP + 0x41, ANCHOR + 7 * STEP, "helper+0x1/0xa00040");
    expect (&f, TEXT + 0x41, ANCHOR, "helper+0x1/0xa00040");
    /* Not known: it does not lie where Linux is. */
    expect (&f, TEXT + 0x41, 0xfffffe0000006000, NULL);
    clear (&f);
}

Test (guest_symbols, those_of_another_kernel_name_nothing)
{
    Fixture f;

    init (&f, linux_map);
    expect (&f, TEXT + 0x41, ANCHOR + 0x40, NULL);
    expect (&f, TEXT + 0x41, ANCHOR - 4 * STEP, NULL);
    expect (&f, TEXT + 0x41, ANCHOR, "helper+0x1/0xa00040");
    clear (&f);
}

Test (guest_symbols, a_kernel_that_is_no_linux)
{
    Fixture f;

    init (&f, other_map);
    expect (&f, 0x100404, 0, "panic+0x4/0x1000");
    /* It may use that register, too. */
    expect (&f, 0x100404, ANCHOR + 0x40, "panic+0x4/0x1000");
    expect (&f, 0x90000, 0, NULL);
    clear (&f);
}

/* What Debian has in the place of a System.map. */
Test (guest_symbols, a_file_without_functions_is_told_of_once)
{
    Fixture f;

    init (&f, "ffffffffffffffff B The real System.map is in the linux-image-6.1.0-37-amd64-dbg package\n");
    cr_assert_null (f.warning);
    expect (&f, TEXT, 0, NULL);
    cr_assert_not_null (f.warning);
    cr_assert (g_str_has_prefix (f.warning, "symbols \"/tmp/guest-symbols-"), "%s", f.warning);
    cr_assert_not_null (strstr (f.warning, "it names no functions"));
    g_clear_pointer (&f.warning, g_free);
    expect (&f, TEXT, 0, NULL);
    cr_assert_null (f.warning);
    clear (&f);
}

Test (guest_symbols, a_file_that_is_not_there)
{
    g_autoptr (GError) error = NULL;

    cr_assert_null (vmm_guest_symbols_new ("/nonexistent/System.map", NULL, NULL, &error));
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE));
    cr_assert_not_null (strstr (error->message, "symbols \"/nonexistent/System.map\""));
}
