/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "images.h"
#include "loader/kallsyms.h"
#include "loader/kernel-image.h"
#include "loader/symbols.h"

#define BASE UINT64_C (0xffffffff81000000)
#define N 600u

static void
pad8 (GByteArray *b)
{
    static const guint8 zeros[8];

    g_byte_array_append (b, zeros, (guint)(-b->len & 7));
}

static void
put32 (GByteArray *b, uint32_t v)
{
    g_byte_array_append (b, (const guint8 *)&v, 4);
}

/* Token i is the character i, but for 1: "T", 2: "t", 3: "D" and 4: "func_". */
static void
put_tokens (GByteArray *b)
{
    uint16_t index[256];
    size_t start;

    pad8 (b);
    start = b->len;
    for (unsigned i = 0; i < 256; i++) {
        const char *words[] = {NULL, "T", "t", "D", "func_"};
        char one[2] = {(char)i, 0};
        const char *text = i > 0 && i < 5 ? words[i] : one;
        index[i] = (uint16_t)(b->len - start);
        g_byte_array_append (b, (const guint8 *)text, (guint)strlen (text) + 1);
    }
    pad8 (b);
    g_byte_array_append (b, (const guint8 *)index, sizeof index);
}

/* Number i: type T, t or D in turn, name func_i; the last but one has a name of 200 characters. */
static void
put_names (GByteArray *b)
{
    uint32_t markers[3] = {0};
    size_t start;

    pad8 (b);
    put32 (b, N);
    pad8 (b);
    start = b->len;
    for (unsigned i = 0; i < N; i++) {
        g_autoptr (GString) name = g_string_new (NULL);
        if (i % 256 == 0)
            markers[i / 256] = (uint32_t)(b->len - start);
        g_string_append_c (name, (char)(1 + i % 3));
        g_string_append_c (name, 4);
        g_string_append_printf (name, "%u", i);
        while (i == N - 2 && name->len < 200)
            g_string_append_c (name, 'x');
        guint8 head[2] = {(guint8)name->len, (guint8)(name->len >> 7)};
        if (name->len >= 0x80)
            head[0] |= 0x80;
        g_byte_array_append (b, head, name->len >= 0x80 ? 2 : 1);
        g_byte_array_append (b, (const guint8 *)name->str, (guint)name->len);
    }
    pad8 (b);
    g_byte_array_append (b, (const guint8 *)markers, sizeof markers);
}

static void
put_offsets (GByteArray *b, bool percpu_apart)
{
    const uint64_t base = BASE;

    pad8 (b);
    for (unsigned i = 0; i < N; i++)
        if (!percpu_apart)
            put32 (b, i * 0x40);
        else
            put32 (b, i < 10 ? i * 8 : (uint32_t)(-1 - (int32_t)(i * 0x40)));
    pad8 (b);
    g_byte_array_append (b, (const guint8 *)&base, 8);
}

static GByteArray *
tables (bool since_6_4, bool percpu_apart)
{
    GByteArray *b = g_byte_array_new ();

    g_byte_array_set_size (b, 4000);
    memset (b->data, 0x37, b->len);
    if (!since_6_4)
        put_offsets (b, percpu_apart);
    put_names (b);
    put_tokens (b);
    if (since_6_4)
        put_offsets (b, percpu_apart);
    put32 (b, 0x12345678);
    return b;
}

static void
expect (const VmmSymbols *symbols, uint64_t address, const char *text)
{
    g_autofree char *said = vmm_symbols_describe (symbols, address, 0);

    cr_assert (g_strcmp0 (said, text) == 0, "0x%lx is \"%s\", not \"%s\"", address, said, text);
}

Test (kallsyms, names_are_found_in_each_form)
{
    for (int form = 0; form < 4; form++) {
        g_autoptr (GByteArray) b = tables (form & 1, form & 2);
        g_autoptr (VmmSymbols) symbols = vmm_symbols_new_from_vmlinux (image_span (b), NULL);
        g_autofree char *longest = NULL;

        cr_assert_not_null (symbols, "form %d", form);
        /* Each third is data, and of the first ten, seven functions are in the per-CPU area. */
        cr_assert_eq (vmm_symbols_count (symbols), form & 2 ? 393 : 400);
        expect (symbols, BASE + 300 * 0x40 + 5, "func_300+0x5/0x40");
        expect (symbols, BASE + 301 * 0x40, "func_301+0x0/0x80");
        longest = vmm_symbols_describe (symbols, BASE + (N - 2) * 0x40, 0);
        cr_assert_not_null (longest);
        cr_assert (g_str_has_prefix (longest, "func_598xxxx"));
        cr_assert_gt (strlen (longest), 200);
    }
}

Test (kallsyms, absolute_symbols_stay_apart)
{
    g_autoptr (GByteArray) b = tables (true, true);
    g_autoptr (VmmSymbols) symbols = vmm_symbols_new_from_vmlinux (image_span (b), NULL);

    expect (symbols, 9 * 8, NULL);
    expect (symbols, BASE + 12 * 0x40, "func_12+0x0/0x40");
}

static bool
count (void *data, uint64_t address, const char *name, size_t len)
{
    unsigned *n = data;

    return ++*n < 10;
}

Test (kallsyms, the_walk_ends_when_told)
{
    g_autoptr (GByteArray) b = tables (true, false);
    unsigned n = 0;

    cr_assert (vmm_kallsyms_walk (image_span (b), count, &n));
    cr_assert_eq (n, 10);
}

Test (kallsyms, damaged_tables_are_none)
{
    g_autoptr (GByteArray) good = tables (true, false);
    unsigned n = 0;

    cr_assert_not (vmm_kallsyms_walk ((VmmSpan){NULL, 0}, count, &n));
    for (size_t cut = 0; cut < good->len - 4; cut += 97) {
        g_autofree uint8_t *copy = g_malloc (cut + 1);
        memcpy (copy, good->data, cut);
        cr_assert_not (vmm_kallsyms_walk ((VmmSpan){copy, cut}, count, &n));
    }
    /* The last address before the one in front of it. */
    vmm_put_u32 (good->data + good->len - 4 - 8 - 4, 0);
    cr_assert_not (vmm_kallsyms_walk (image_span (good), count, &n));
    cr_assert_eq (n, 0);
}

static void
check_stock_kernel (const char *path)
{
    g_autoptr (GMappedFile) file = g_mapped_file_new (path, FALSE, NULL);
    VmmSpan span = {(const uint8_t *)g_mapped_file_get_contents (file), g_mapped_file_get_length (file)};
    g_autoptr (VmmKernelImage) image = NULL;
    g_autoptr (VmmSymbols) symbols = NULL;
    g_autoptr (GError) error = NULL;

    cr_assert (vmm_kernel_image_parse (span, path, &image, &error));
    cr_assert (vmm_kernel_image_unpack (image, &error));
    symbols = vmm_symbols_new_from_vmlinux (image->vmlinux, &error);
    cr_assert_not_null (symbols, "%s: %s", path, error != NULL ? error->message : "");
    /* Two addresses that the headers tell too. */
    g_autofree char *entry = vmm_symbols_describe (symbols, IMAGE_MAP + image->elf.entry_gpa, 0);
    g_autofree char *pvh = vmm_symbols_describe (symbols, IMAGE_MAP + image->notes.pvh_entry, 0);
    cr_assert (g_str_has_prefix (entry, "startup_64+0x0/"), "%s: %s", path, entry);
    cr_assert (g_str_has_prefix (pvh, "pvh_start_xen+0x0/"), "%s: %s", path, pvh);
}

Test (kallsyms, stock_kernels, .timeout = 100)
{
    const char *dir = g_getenv ("VMM_TEST_KERNELS");
    g_autoptr (GDir) open_dir = dir != NULL ? g_dir_open (dir, 0, NULL) : NULL;
    const char *name;

    if (open_dir == NULL)
        cr_skip_test ("VMM_TEST_KERNELS names no directory with vmlinuz-* files");
    while ((name = g_dir_read_name (open_dir)) != NULL)
        if (g_str_has_prefix (name, "vmlinuz-")) {
            g_autofree char *path = g_build_filename (dir, name, NULL);
            check_stock_kernel (path);
        }
}
