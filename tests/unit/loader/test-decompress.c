/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "images.h"
#include "vmm/error.h"

#define PLAIN_LEN ((size_t)300000)

static const VmmCompression supported[] = {
    VMM_COMPRESSION_GZIP, VMM_COMPRESSION_XZ,         VMM_COMPRESSION_LZMA,
    VMM_COMPRESSION_ZSTD, VMM_COMPRESSION_LZ4_LEGACY, VMM_COMPRESSION_LZ4_FRAME,
};

/* Compressible, but not so well that the damage a test does would hit nothing. */
static uint8_t *
plain_new (size_t len)
{
    uint8_t *p = g_malloc (len);
    uint32_t x = 1;

    for (size_t i = 0; i < len; i++) {
        x = x * 1103515245 + 12345;
        p[i] = (uint8_t)(i % 7 < 4 ? i >> 8 : x >> 20);
    }
    return p;
}

Test (decompress, every_format_comes_back_as_it_was)
{
    g_autofree uint8_t *plain = plain_new (PLAIN_LEN);
    g_autofree uint8_t *out = g_malloc (PLAIN_LEN);

    for (size_t i = 0; i < G_N_ELEMENTS (supported); i++) {
        g_autoptr (GByteArray) packed = image_compress (supported[i], (VmmSpan){plain, PLAIN_LEN});
        g_autoptr (GError) error = NULL;
        size_t len = 0;

        cr_assert_eq (vmm_compression_detect (image_span (packed)), supported[i]);
        cr_assert (vmm_compression_supported (supported[i]));
        memset (out, 0, PLAIN_LEN);
        cr_assert (vmm_decompress (supported[i], image_span (packed), out, PLAIN_LEN, &len, &error), "%s: %s",
                   vmm_compression_name (supported[i]), error != NULL ? error->message : "");
        cr_assert_eq (len, PLAIN_LEN);
        cr_assert_arr_eq (out, plain, PLAIN_LEN);
    }
}

Test (decompress, lz4_of_several_blocks)
{
    const size_t big = ((size_t)8 << 20) * 2 + 12345;
    g_autofree uint8_t *plain = plain_new (big);
    g_autofree uint8_t *out = g_malloc (big);
    g_autoptr (GByteArray) packed = image_compress (VMM_COMPRESSION_LZ4_LEGACY, (VmmSpan){plain, big});
    size_t len = 0;

    cr_assert (vmm_decompress (VMM_COMPRESSION_LZ4_LEGACY, image_span (packed), out, big, &len, NULL));
    cr_assert_eq (len, big);
    cr_assert_arr_eq (out, plain, big);
}

Test (decompress, length_that_the_linux_build_appends_is_ignored)
{
    g_autofree uint8_t *plain = plain_new (PLAIN_LEN);
    g_autofree uint8_t *out = g_malloc (PLAIN_LEN);

    for (size_t i = 0; i < G_N_ELEMENTS (supported); i++) {
        g_autoptr (GByteArray) packed = image_compress (supported[i], (VmmSpan){plain, PLAIN_LEN});
        uint32_t size = PLAIN_LEN;
        size_t len = 0;

        g_byte_array_append (packed, (const guint8 *)&size, 4);
        cr_assert (vmm_decompress (supported[i], image_span (packed), out, PLAIN_LEN, &len, NULL), "%s",
                   vmm_compression_name (supported[i]));
        cr_assert_eq (len, PLAIN_LEN);
    }
}

Test (decompress, never_writes_beyond_the_buffer)
{
    g_autofree uint8_t *plain = plain_new (PLAIN_LEN);

    for (size_t i = 0; i < G_N_ELEMENTS (supported); i++) {
        g_autoptr (GByteArray) packed = image_compress (supported[i], (VmmSpan){plain, PLAIN_LEN});
        for (size_t cap = PLAIN_LEN - 1; cap > 1000; cap /= 3) {
            g_autofree uint8_t *out = g_malloc (cap + 64);
            g_autoptr (GError) error = NULL;
            size_t len = 77;

            memset (out + cap, 0xa5, 64);
            cr_assert_not (vmm_decompress (supported[i], image_span (packed), out, cap, &len, &error));
            cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE));
            cr_assert (image_error_has (error, "unpacks to more than"), "%s", error->message);
            cr_assert_eq (len, 77, "an output was touched on failure");
            for (unsigned k = 0; k < 64; k++)
                cr_assert_eq (out[cap + k], 0xa5);
        }
    }
}

Test (decompress, a_prefix_is_what_the_whole_starts_with)
{
    g_autofree uint8_t *plain = plain_new (PLAIN_LEN);

    for (size_t i = 0; i < G_N_ELEMENTS (supported); i++) {
        g_autoptr (GByteArray) packed = image_compress (supported[i], (VmmSpan){plain, PLAIN_LEN});
        uint8_t out[8192];
        size_t len = 0;

        cr_assert (vmm_decompress_prefix (supported[i], image_span (packed), out, sizeof out, &len, NULL),
                   "%s", vmm_compression_name (supported[i]));
        cr_assert_eq (len, sizeof out);
        cr_assert_arr_eq (out, plain, sizeof out);
    }
}

Test (decompress, a_prefix_longer_than_the_whole_is_the_whole)
{
    static const uint8_t hello[] = "hello, hello, hello, hello";

    for (size_t i = 0; i < G_N_ELEMENTS (supported); i++) {
        g_autoptr (GByteArray) packed = image_compress (supported[i], (VmmSpan){hello, sizeof hello});
        uint8_t out[64];
        size_t len = 0;

        cr_assert (vmm_decompress_prefix (supported[i], image_span (packed), out, sizeof out, &len, NULL));
        cr_assert_eq (len, sizeof hello);
        cr_assert_str_eq ((const char *)out, (const char *)hello);
    }
}

Test (decompress, a_cut_stream_is_an_error)
{
    g_autofree uint8_t *plain = plain_new (PLAIN_LEN);
    g_autofree uint8_t *out = g_malloc (PLAIN_LEN);

    for (size_t i = 0; i < G_N_ELEMENTS (supported); i++) {
        g_autoptr (GByteArray) packed = image_compress (supported[i], (VmmSpan){plain, PLAIN_LEN});
        VmmSpan half = {packed->data, packed->len / 2};
        g_autoptr (GError) error = NULL;
        size_t len;

        cr_assert_not (vmm_decompress (supported[i], half, out, PLAIN_LEN, &len, &error));
        cr_assert (image_error_has (error, "truncated"), "%s: %s", vmm_compression_name (supported[i]),
                   error->message);
    }
}

Test (decompress, damage_is_an_error_or_other_bytes_but_nothing_worse)
{
    g_autofree uint8_t *plain = plain_new (PLAIN_LEN);
    g_autofree uint8_t *out = g_malloc (PLAIN_LEN);
    unsigned noticed = 0;

    for (size_t i = 0; i < G_N_ELEMENTS (supported); i++) {
        g_autoptr (GByteArray) good = image_compress (supported[i], (VmmSpan){plain, PLAIN_LEN});
        for (unsigned at = 5; at < 200; at += 13) {
            g_autoptr (GByteArray) packed = g_byte_array_new ();
            size_t len = 0;

            g_byte_array_append (packed, good->data, good->len);
            packed->data[at] ^= 0x5a;
            if (!vmm_decompress (supported[i], image_span (packed), out, PLAIN_LEN, &len, NULL))
                noticed++;
            else
                cr_assert_leq (len, PLAIN_LEN);
        }
    }
    cr_assert_gt (noticed, 30);
}

Test (decompress, what_we_do_not_unpack_is_named)
{
    static const VmmCompression kinds[] = {VMM_COMPRESSION_BZIP2, VMM_COMPRESSION_LZO};

    for (size_t i = 0; i < G_N_ELEMENTS (kinds); i++) {
        g_autoptr (GByteArray) packed = image_compress (kinds[i], (VmmSpan){NULL, 0});
        g_autoptr (GError) error = NULL;
        uint8_t out[16];
        size_t len;

        cr_assert_eq (vmm_compression_detect (image_span (packed)), kinds[i]);
        cr_assert_not (vmm_compression_supported (kinds[i]));
        cr_assert_not (vmm_decompress (kinds[i], image_span (packed), out, sizeof out, &len, &error));
        cr_assert (image_error_has (error, vmm_compression_name (kinds[i])));
    }
}

Test (decompress, only_magic_numbers_is_truncated)
{
    for (size_t i = 0; i < G_N_ELEMENTS (supported); i++) {
        g_autoptr (GByteArray) packed = image_compress (supported[i], (VmmSpan){(const uint8_t *)"x", 1});
        for (size_t n = 0; n < 6; n++) {
            uint8_t out[16];
            size_t len;

            /* LZ4 of the kernel has no end mark: the bare magic number is an empty archive. */
            if (supported[i] == VMM_COMPRESSION_LZ4_LEGACY && n >= 4)
                continue;
            cr_assert_not (
                vmm_decompress (supported[i], (VmmSpan){packed->data, n}, out, sizeof out, &len, NULL));
        }
    }
}
