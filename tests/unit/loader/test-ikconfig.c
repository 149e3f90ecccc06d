/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "images.h"
#include "loader/ikconfig.h"

static GByteArray *
vmlinux_with (const char *config, size_t cut)
{
    GByteArray *v = g_byte_array_new ();
    g_autoptr (GByteArray) packed =
        image_compress (VMM_COMPRESSION_GZIP, (VmmSpan){(const uint8_t *)config, strlen (config)});

    g_byte_array_set_size (v, 5000);
    memset (v->data, 0x55, v->len);
    g_byte_array_append (v, (const guint8 *)"IKCFG_ST", 8);
    g_byte_array_append (v, packed->data, (guint)(packed->len - cut));
    g_byte_array_append (v, (const guint8 *)"IKCFG_ED", 8);
    g_byte_array_append (v, (const guint8 *)"more", 4);
    return v;
}

Test (ikconfig, the_text_comes_out)
{
    g_autoptr (GByteArray) v = vmlinux_with ("CONFIG_PVH=y\nCONFIG_PCI=y\n", 0);
    g_autofree char *text = vmm_ikconfig_extract (image_span (v), NULL);

    cr_assert_str_eq (text, "CONFIG_PVH=y\nCONFIG_PCI=y\n");
}

Test (ikconfig, none_is_said)
{
    g_autoptr (GByteArray) v = vmlinux_with ("CONFIG_PVH=y\n", 0);
    g_autoptr (GError) error = NULL;
    VmmSpan without_end = {v->data, v->len - 8};

    cr_assert_null (vmm_ikconfig_extract (without_end, &error));
    cr_assert (image_error_has (error, "CONFIG_IKCONFIG"));
    cr_assert_null (vmm_ikconfig_extract ((VmmSpan){NULL, 0}, NULL));
}

Test (ikconfig, damage_is_said)
{
    g_autoptr (GByteArray) v = vmlinux_with ("CONFIG_PVH=y\nCONFIG_PCI=y\n", 12);
    g_autoptr (GError) error = NULL;

    cr_assert_null (vmm_ikconfig_extract (image_span (v), &error));
    cr_assert (image_error_has (error, "truncated"), "%s", error->message);
}
