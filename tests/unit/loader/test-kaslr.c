/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "images.h"
#include "loader/kaslr.h"

#define LINKED (IMAGE_MAP + IMAGE_PHYS)

static const uint32_t add64[] = {0x81000100, 0x81000108, 0x81003ff8};
static const uint32_t sub32[] = {0x81000200};
static const uint32_t add32[] = {0x81000300, 0x81000304, 0x81003ffc};

static GByteArray *
table_new (bool with_inverse)
{
    GByteArray *t = g_byte_array_new ();

    image_add_relocs (t, add64, 3, sub32, with_inverse ? 1 : -1, add32, 3);
    return t;
}

Test (kaslr, three_lists_before_linux_6_15)
{
    g_autoptr (GByteArray) t = table_new (true);
    VmmKaslrTable table;

    cr_assert (vmm_kaslr_find (image_span (t), &table));
    cr_assert_eq (table.add64.len, 12);
    cr_assert_eq (table.sub32.len, 4);
    cr_assert_eq (table.add32.len, 12);
    cr_assert_eq (vmm_get_u32 (table.sub32.data), sub32[0]);
}

Test (kaslr, two_lists_since)
{
    g_autoptr (GByteArray) t = table_new (false);
    VmmKaslrTable table;

    cr_assert (vmm_kaslr_find (image_span (t), &table));
    cr_assert_eq (table.add64.len, 12);
    cr_assert_eq (table.sub32.len, 0);
    cr_assert_eq (table.add32.len, 12);
    cr_assert_eq (vmm_get_u32 (table.add32.data), add32[0]);
}

Test (kaslr, empty_lists_are_lists)
{
    g_autoptr (GByteArray) t = g_byte_array_new ();
    VmmKaslrTable table;

    image_add_relocs (t, NULL, 0, NULL, 0, NULL, 0);
    cr_assert (vmm_kaslr_find (image_span (t), &table));
    cr_assert_eq (table.add64.len + table.sub32.len + table.add32.len, 0);
    cr_assert (vmm_kaslr_check (&table, LINKED, 0));
}

Test (kaslr, other_bytes_are_no_table)
{
    static const uint8_t four_zeros[20] = {0, 0, 0, 0, 1, 0, 0, 0};
    static const uint8_t text[] = "~Module signature appended~\n";
    g_autoptr (GByteArray) t = table_new (true);
    VmmKaslrTable table;

    cr_assert_not (vmm_kaslr_find ((VmmSpan){t->data, 0}, &table));
    cr_assert_not (vmm_kaslr_find ((VmmSpan){t->data, t->len - 1}, &table));
    cr_assert_not (vmm_kaslr_find ((VmmSpan){t->data + 4, t->len - 4}, &table));
    cr_assert_not (vmm_kaslr_find ((VmmSpan){four_zeros, sizeof four_zeros}, &table));
    cr_assert_not (vmm_kaslr_find ((VmmSpan){text, 28}, &table));
    cr_assert_not (vmm_kaslr_find ((VmmSpan){t->data, 16}, &table), "one list only");
}

Test (kaslr, each_place_must_lie_wholly_inside)
{
    g_autoptr (GByteArray) t = table_new (true);
    VmmKaslrTable table;

    cr_assert (vmm_kaslr_find (image_span (t), &table));
    cr_assert (vmm_kaslr_check (&table, LINKED, 0x4000));
    cr_assert_not (vmm_kaslr_check (&table, LINKED, 0x3fff));
    cr_assert_not (vmm_kaslr_check (&table, LINKED + 0x200, 0x4000), "a place below the image");
    cr_assert_not (vmm_kaslr_check (&table, LINKED, 4));
    vmm_put_u32 (t->data + 4, 0x01000100);
    cr_assert_not (vmm_kaslr_check (&table, LINKED, 0x4000), "a place in the lower half");
}

Test (kaslr, values_move_by_the_offset)
{
    g_autoptr (GByteArray) t = table_new (true);
    g_autofree uint8_t *image = g_malloc0 (0x4000);
    const uint64_t delta = 0x12600000;
    VmmKaslrTable table;

    vmm_put_u64 (image + 0x100, LINKED + 0x10);
    vmm_put_u32 (image + 0x200, 0x1000);
    vmm_put_u32 (image + 0x300, 0x81000020);
    cr_assert (vmm_kaslr_find (image_span (t), &table));
    vmm_kaslr_apply (&table, LINKED, image, delta);
    cr_assert_eq (vmm_get_u64 (image + 0x100), LINKED + 0x10 + delta);
    cr_assert_eq (vmm_get_u32 (image + 0x200), (uint32_t)(0x1000 - delta));
    cr_assert_eq (vmm_get_u32 (image + 0x300), 0x81000020 + (uint32_t)delta);
    cr_assert_eq (vmm_get_u32 (image + 0x400), 0, "a byte that no list names");
}
