/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "vmm/arch/x86_64/aml.h"
#include "vmm/core/bytes.h"

static void
assert_bytes (GByteArray *aml, const uint8_t *expected, size_t len)
{
    cr_assert_eq (aml->len, len, "%u bytes, not %zu", aml->len, len);
    cr_assert_arr_eq (aml->data, expected, len);
}

Test (aml, integers_take_the_shortest_form)
{
    const uint8_t expected[] = {0x00, 0x01, 0x0a, 0x02, 0x0a, 0xff, 0x0b, 0x00, 0x01, 0x0c, 0x00, 0x00,
                                0x01, 0x00, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00};
    g_autoptr (GByteArray) aml = g_byte_array_new ();

    vmm_aml_integer (aml, 0);
    vmm_aml_integer (aml, 1);
    vmm_aml_integer (aml, 2);
    vmm_aml_integer (aml, 255);
    vmm_aml_integer (aml, 256);
    vmm_aml_integer (aml, 65536);
    vmm_aml_integer (aml, 1ull << 32);
    assert_bytes (aml, expected, sizeof expected);
}

Test (aml, names)
{
    const uint8_t expected[] = {'\\', '_', 'S', 'B', '_', 0x08, 'A', 'B', 'C', 'D', 0x0d, 'x', 0};
    g_autoptr (GByteArray) aml = g_byte_array_new ();

    vmm_aml_ref (aml, "\\_SB");
    vmm_aml_name (aml, "ABCD");
    vmm_aml_string (aml, "x");
    assert_bytes (aml, expected, sizeof expected);
}

/* The id of ACPI 6.5 section 19.3.4's own kind: PNP0A03 is 0x030ad041 in every firmware. */
Test (aml, eisa_id)
{
    g_autoptr (GByteArray) aml = g_byte_array_new ();

    vmm_aml_eisa_id (aml, "PNP0A03");
    cr_assert_eq (aml->len, 5);
    cr_assert_eq (aml->data[0], 0x0c);
    cr_assert_eq (vmm_get_u32 (aml->data + 1), 0x030ad041);
}

/* Section 20.2.4: the length counts itself, and takes 1, 2 or 3 bytes. */
static void
assert_package_length (unsigned inside, const uint8_t *expected, size_t n)
{
    g_autoptr (GByteArray) aml = g_byte_array_new ();
    size_t mark = vmm_aml_begin_if (aml);

    for (unsigned i = 0; i < inside; i++)
        vmm_aml_integer (aml, 1);
    vmm_aml_end (aml, mark);
    cr_assert_eq (aml->len, 1 + n + inside);
    cr_assert_arr_eq (aml->data + 1, expected, n);
    for (unsigned i = 0; i < inside; i++)
        cr_assert_eq (aml->data[1 + n + i], 0x01);
}

Test (aml, package_lengths)
{
    assert_package_length (0, (const uint8_t[]){1}, 1);
    assert_package_length (62, (const uint8_t[]){63}, 1);
    assert_package_length (63, (const uint8_t[]){0x41, 0x04}, 2);
    assert_package_length (4093, (const uint8_t[]){0x4f, 0xff}, 2);
    assert_package_length (4094, (const uint8_t[]){0x81, 0x00, 0x01}, 3);
}

Test (aml, resource_template)
{
    const uint8_t expected[] = {0x11, 0x10, 0x0a, 0x0d,                         /* buffer of 13 */
                                0x47, 0x01, 0xf8, 0x03, 0xf8, 0x03, 0x01, 0x08, /* io */
                                0x22, 0x10, 0x00, 0x79, 0x00};                  /* irq, end */
    g_autoptr (GByteArray) aml = g_byte_array_new ();
    size_t mark = vmm_aml_begin_resources (aml);

    vmm_aml_io (aml, 0x3f8, 8);
    vmm_aml_irq (aml, 4);
    vmm_aml_end_resources (aml, mark);
    assert_bytes (aml, expected, sizeof expected);
}

Test (aml, windows_end_inclusively)
{
    g_autoptr (GByteArray) aml = g_byte_array_new ();

    vmm_aml_memory32_window (aml, 0xc0000000, 0x20000000);
    cr_assert_eq (vmm_get_u16 (aml->data + 1) + 3u, aml->len);
    cr_assert_eq (vmm_get_u32 (aml->data + 14), 0xdfffffff);
    g_byte_array_set_size (aml, 0);
    vmm_aml_memory64_window (aml, 1ull << 40, 1ull << 38);
    cr_assert_eq (vmm_get_u16 (aml->data + 1) + 3u, aml->len);
    cr_assert_eq (vmm_get_u64 (aml->data + 22), (1ull << 40) + (1ull << 38) - 1);
}
