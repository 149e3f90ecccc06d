/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "images.h"
#include "ko.h"
#include "loader/modinfo.h"

static const char info[] = "license=GPL\0depends=virtio,virtio_ring\0alias=a\0alias=b\0depend=no\0name=x";

static bool
next_is (VmmSpan *modinfo, const char *key, const char *value)
{
    VmmSpan got;

    return vmm_modinfo_next (modinfo, key, &got) && got.len == strlen (value) &&
           memcmp (got.data, value, got.len) == 0;
}

Test (modinfo, values_are_found_by_key)
{
    g_autoptr (GByteArray) ko = ko_make (info, sizeof info);
    VmmSpan modinfo, rest, value;

    cr_assert (vmm_modinfo_find (image_span (ko), &modinfo));
    rest = modinfo;
    cr_assert (next_is (&rest, "depends", "virtio,virtio_ring"));
    cr_assert_not (vmm_modinfo_next (&rest, "depends", &value));
    rest = modinfo;
    cr_assert (next_is (&rest, "alias", "a"));
    cr_assert (next_is (&rest, "alias", "b"));
    cr_assert_not (vmm_modinfo_next (&rest, "alias", &value));
    rest = modinfo;
    cr_assert (next_is (&rest, "name", "x"));
}

Test (modinfo, an_end_without_a_zero_is_one)
{
    g_autoptr (GByteArray) ko = ko_make ("a=1\0b=2", 7);
    VmmSpan modinfo;

    cr_assert (vmm_modinfo_find (image_span (ko), &modinfo));
    cr_assert (next_is (&modinfo, "b", "2"));
    cr_assert_eq (modinfo.len, 0);
}

Test (modinfo, what_is_no_module_has_none)
{
    g_autoptr (GByteArray) ko = ko_make (info, sizeof info);
    VmmSpan modinfo;

    for (guint len = 0; len < ko->len; len++)
        cr_assert_not (vmm_modinfo_find ((VmmSpan){ko->data, len}, &modinfo), "%u", len);
    ko->data[4] = ELFCLASS32;
    cr_assert_not (vmm_modinfo_find (image_span (ko), &modinfo));
    ko->data[4] = ELFCLASS64;
    ko->data[sizeof (Elf64_Ehdr) + 3 * sizeof (Elf64_Shdr) + 12] = 'x';
    cr_assert_not (vmm_modinfo_find (image_span (ko), &modinfo));
}
