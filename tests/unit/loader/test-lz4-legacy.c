/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "images.h"
#include "loader/lz4-legacy.h"

#define BLOCK ((size_t)8 << 20)
#define BIG (BLOCK * 3 + 12345)

static uint8_t *
plain_new (size_t len)
{
    uint8_t *p = g_malloc (len);

    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)(i % 5 == 0 ? i >> 12 : i >> 20);
    return p;
}

Test (lz4_legacy, blocks_come_back_in_order)
{
    g_autofree uint8_t *plain = plain_new (BIG);
    g_autofree uint8_t *out = g_malloc (BIG);
    g_autoptr (GByteArray) packed = image_compress (VMM_COMPRESSION_LZ4_LEGACY, (VmmSpan){plain, BIG});
    size_t len = 0;

    cr_assert_eq (vmm_lz4_legacy_unpack (image_span (packed), out, BIG, false, &len), VMM_LZ4_OK);
    cr_assert_eq (len, BIG);
    cr_assert_eq (memcmp (out, plain, BIG), 0);
}

Test (lz4_legacy, short_blocks_in_the_middle)
{
    g_autofree uint8_t *plain = plain_new (BIG);
    g_autofree uint8_t *out = g_malloc (BIG);
    size_t first = BLOCK / 2, len = 0;
    g_autoptr (GByteArray) a = image_compress (VMM_COMPRESSION_LZ4_LEGACY, (VmmSpan){plain, first});
    g_autoptr (GByteArray) b =
        image_compress (VMM_COMPRESSION_LZ4_LEGACY, (VmmSpan){plain + first, BIG - first});

    /* Two archives, one after the other, magic number and all. */
    g_byte_array_append (a, b->data, b->len);
    cr_assert_eq (vmm_lz4_legacy_unpack (image_span (a), out, BIG, false, &len), VMM_LZ4_OK);
    cr_assert_eq (len, BIG);
    cr_assert_eq (memcmp (out, plain, BIG), 0);
}

Test (lz4_legacy, no_block_leaves_the_buffer)
{
    g_autofree uint8_t *plain = plain_new (BIG);
    g_autofree uint8_t *out = g_malloc (BIG + 64);
    g_autoptr (GByteArray) packed = image_compress (VMM_COMPRESSION_LZ4_LEGACY, (VmmSpan){plain, BIG});
    const size_t caps[] = {0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK, BIG - 1};

    for (size_t i = 0; i < G_N_ELEMENTS (caps); i++) {
        size_t len = 77;
        memset (out + caps[i], 0xa5, 64);
        cr_assert_eq (vmm_lz4_legacy_unpack (image_span (packed), out, caps[i], false, &len),
                      VMM_LZ4_TOO_BIG);
        cr_assert_eq (len, 77);
        for (unsigned k = 0; k < 64; k++)
            cr_assert_eq (out[caps[i] + k], 0xa5);
    }
}

Test (lz4_legacy, damage_in_any_block_is_noticed)
{
    g_autofree uint8_t *plain = plain_new (BIG);
    g_autofree uint8_t *out = g_malloc (BIG);
    g_autoptr (GByteArray) packed = image_compress (VMM_COMPRESSION_LZ4_LEGACY, (VmmSpan){plain, BIG});
    size_t pos = 4, len;

    for (unsigned i = 0; i < 4; i++) {
        uint32_t size = vmm_get_u32 (packed->data + pos);
        /* A block that ends in the middle of a sequence. */
        g_autoptr (GByteArray) bad = g_byte_array_new ();
        g_byte_array_append (bad, packed->data, packed->len);
        memset (bad->data + pos + 4 + size / 2, 0xff, size / 2);
        cr_assert_eq (vmm_lz4_legacy_unpack (image_span (bad), out, BIG, false, &len), VMM_LZ4_CORRUPT,
                      "block %u", i);
        pos += 4 + size;
    }
    VmmSpan cut = {packed->data, packed->len - 10};
    cr_assert_eq (vmm_lz4_legacy_unpack (cut, out, BIG, false, &len), VMM_LZ4_TRUNCATED);
    vmm_put_u32 (packed->data + 4, 0);
    cr_assert_eq (vmm_lz4_legacy_unpack (image_span (packed), out, BIG, false, &len), VMM_LZ4_CORRUPT);
    vmm_put_u32 (packed->data + 4, 0x7fffffff);
    cr_assert_eq (vmm_lz4_legacy_unpack (image_span (packed), out, BIG, false, &len), VMM_LZ4_CORRUPT);
}
