/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Every decoder writes into a buffer that the caller owns and knows the size of: no length in the input ever
 * becomes an allocation. That also lets the caller hand in guest memory, so that a kernel is unpacked
 * straight to where it runs. The only memory that the input has a say in is a decoder's window (xz, zstd),
 * and that is capped below.
 *
 * The Linux build appends the unpacked length, four bytes, to each payload that is not gzip. So a decoder
 * stops at the end of the first stream and does not mind what follows.
 */
#include "loader/decompress.h"

#include <lz4frame.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "loader/lz4-legacy.h"
#include "vmm/error.h"

/* xz of kernels uses windows of 32 to 128 MiB; zstd -22 --ultra uses 128 MiB. */
#define XZ_MEMORY_MAX ((uint64_t)192 << 20)
#define ZSTD_WINDOW_LOG_MAX 27

typedef struct {
    VmmCompression kind;
    const char *name;
    uint8_t magic[6];
    uint8_t magic_len;
} Codec;

static const Codec codecs[] = {
    {VMM_COMPRESSION_GZIP, "gzip", {0x1f, 0x8b}, 2},
    {VMM_COMPRESSION_XZ, "xz", {0xfd, '7', 'z', 'X', 'Z', 0}, 6},
    {VMM_COMPRESSION_LZMA, "lzma", {0x5d, 0, 0}, 3},
    {VMM_COMPRESSION_ZSTD, "zstd", {0x28, 0xb5, 0x2f, 0xfd}, 4},
    {VMM_COMPRESSION_LZ4_LEGACY, "lz4", {0x02, 0x21, 0x4c, 0x18}, 4},
    {VMM_COMPRESSION_LZ4_FRAME, "lz4", {0x04, 0x22, 0x4d, 0x18}, 4},
    {VMM_COMPRESSION_BZIP2, "bzip2", {'B', 'Z', 'h'}, 3},
    {VMM_COMPRESSION_LZO, "lzo", {0x89, 'L', 'Z', 'O', 0}, 5},
};

/**
 * vmm_compression_detect:
 * @in: the start of a file, 6 bytes at least for a sure answer
 *
 * Returns: what the first bytes say, %VMM_COMPRESSION_NONE when they are no magic number of ours
 */
VmmCompression
vmm_compression_detect (VmmSpan in)
{
    for (size_t i = 0; i < G_N_ELEMENTS (codecs); i++)
        if (in.len >= codecs[i].magic_len && memcmp (in.data, codecs[i].magic, codecs[i].magic_len) == 0)
            return codecs[i].kind;
    return VMM_COMPRESSION_NONE;
}

/**
 * vmm_compression_name:
 * @kind: any value
 *
 * Returns: (transfer none): its name in messages and reports, "none" included
 */
const char *
vmm_compression_name (VmmCompression kind)
{
    for (size_t i = 0; i < G_N_ELEMENTS (codecs); i++)
        if (codecs[i].kind == kind)
            return codecs[i].name;
    return "none";
}

/**
 * vmm_compression_supported:
 * @kind: any value
 *
 * Returns: whether vmm_decompress() takes it
 */
bool
vmm_compression_supported (VmmCompression kind)
{
    return kind != VMM_COMPRESSION_NONE && kind != VMM_COMPRESSION_BZIP2 && kind != VMM_COMPRESSION_LZO;
}

static bool
fail_corrupt (VmmCompression kind, const char *detail, GError **error)
{
    g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE, "its %s data is corrupt (%s); get the file again",
                 vmm_compression_name (kind), detail);
    return false;
}

static bool
fail_truncated (VmmCompression kind, size_t len, GError **error)
{
    g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
                 "truncated: its %s data stops after %zu bytes without an end; get the file again",
                 vmm_compression_name (kind), len);
    return false;
}

static bool
fail_too_big (VmmCompression kind, size_t cap, GError **error)
{
    g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE, "its %s data unpacks to more than %zu bytes",
                 vmm_compression_name (kind), cap);
    return false;
}

static unsigned
clamp_uint (size_t n)
{
    return (unsigned)MIN (n, (size_t)1 << 30);
}

static bool
unpack_gzip (VmmSpan in, uint8_t *out, size_t cap, bool prefix, size_t *ret_len, GError **error)
{
    z_stream z = {.next_in = (Bytef *)in.data, .next_out = out};
    const uint8_t *in_end = in.data + in.len;
    uint8_t *out_end = out + cap;
    int rc;

    /* 15: the largest window; 16: expect a gzip header. */
    if (inflateInit2 (&z, 15 + 16) != Z_OK)
        return fail_corrupt (VMM_COMPRESSION_GZIP, "no memory for the decoder", error);
    do {
        z.avail_in = clamp_uint ((size_t)(in_end - z.next_in));
        z.avail_out = clamp_uint ((size_t)(out_end - z.next_out));
        rc = inflate (&z, Z_NO_FLUSH);
    } while (rc == Z_OK && (z.avail_out != 0 || z.next_out != out_end));
    size_t len = (size_t)(z.next_out - out);
    bool no_input = z.next_in == in_end;
    bool full = len == cap;
    g_autofree char *detail = g_strdup (z.msg);
    inflateEnd (&z);

    if (rc == Z_STREAM_END || (full && prefix)) {
        *ret_len = len;
        return true;
    }
    if (rc == Z_OK || rc == Z_BUF_ERROR) {
        if (no_input && !full)
            return fail_truncated (VMM_COMPRESSION_GZIP, in.len, error);
        return fail_too_big (VMM_COMPRESSION_GZIP, cap, error);
    }
    return fail_corrupt (VMM_COMPRESSION_GZIP, detail != NULL ? detail : "bad stream", error);
}

/* xz and lzma-alone differ only in how the decoder is made. */
static bool
unpack_lzma (VmmCompression kind, VmmSpan in, uint8_t *out, size_t cap, bool prefix, size_t *ret_len,
             GError **error)
{
    lzma_stream strm = LZMA_STREAM_INIT;
    lzma_ret rc;

    if (kind == VMM_COMPRESSION_XZ)
        rc = lzma_stream_decoder (&strm, XZ_MEMORY_MAX, 0);
    else
        rc = lzma_alone_decoder (&strm, XZ_MEMORY_MAX);
    if (rc != LZMA_OK)
        return fail_corrupt (kind, "no memory for the decoder", error);
    strm.next_in = in.data;
    strm.avail_in = in.len;
    strm.next_out = out;
    strm.avail_out = cap;
    do
        rc = lzma_code (&strm, LZMA_RUN);
    while (rc == LZMA_OK && strm.avail_out != 0);
    /* A stream that exactly fills the buffer shows its end only when asked once more. */
    if (rc == LZMA_OK && !prefix)
        rc = lzma_code (&strm, LZMA_RUN);
    size_t len = cap - strm.avail_out;
    bool no_input = strm.avail_in == 0;
    bool full = strm.avail_out == 0;
    lzma_end (&strm);

    if (rc == LZMA_STREAM_END || (full && prefix)) {
        *ret_len = len;
        return true;
    }
    if (rc == LZMA_MEMLIMIT_ERROR)
        return fail_corrupt (kind, "it wants a window above 192 MiB", error);
    if (rc == LZMA_OK || rc == LZMA_BUF_ERROR) {
        if (no_input && !full)
            return fail_truncated (kind, in.len, error);
        return fail_too_big (kind, cap, error);
    }
    return fail_corrupt (kind, rc == LZMA_OPTIONS_ERROR ? "a filter that we do not have" : "bad stream",
                         error);
}

/* In one call the output itself is the window: no buffer of a size that the header chooses. */
static bool
unpack_zstd (VmmSpan in, uint8_t *out, size_t cap, size_t *ret_len, GError **error)
{
    size_t frame = ZSTD_findFrameCompressedSize (in.data, in.len);

    if (ZSTD_isError (frame)) {
        if (ZSTD_getErrorCode (frame) == ZSTD_error_srcSize_wrong)
            return fail_truncated (VMM_COMPRESSION_ZSTD, in.len, error);
        return fail_corrupt (VMM_COMPRESSION_ZSTD, ZSTD_getErrorName (frame), error);
    }
    size_t len = ZSTD_decompress (out, cap, in.data, frame);
    if (ZSTD_isError (len)) {
        if (ZSTD_getErrorCode (len) == ZSTD_error_dstSize_tooSmall)
            return fail_too_big (VMM_COMPRESSION_ZSTD, cap, error);
        return fail_corrupt (VMM_COMPRESSION_ZSTD, ZSTD_getErrorName (len), error);
    }
    *ret_len = len;
    return true;
}

static bool
unpack_zstd_prefix (VmmSpan in, uint8_t *out, size_t cap, size_t *ret_len, GError **error)
{
    ZSTD_DCtx *ctx = ZSTD_createDCtx ();
    ZSTD_inBuffer src = {in.data, in.len, 0};
    ZSTD_outBuffer dst = {out, cap, 0};
    size_t rc = 1, before;

    if (ctx == NULL)
        return fail_corrupt (VMM_COMPRESSION_ZSTD, "no memory for the decoder", error);
    ZSTD_DCtx_setParameter (ctx, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
    do {
        before = src.pos + dst.pos;
        rc = ZSTD_decompressStream (ctx, &dst, &src);
    } while (!ZSTD_isError (rc) && rc != 0 && dst.pos < cap && src.pos + dst.pos != before);
    ZSTD_freeDCtx (ctx);
    if (ZSTD_isError (rc))
        return fail_corrupt (VMM_COMPRESSION_ZSTD, ZSTD_getErrorName (rc), error);
    if (rc != 0 && dst.pos < cap)
        return fail_truncated (VMM_COMPRESSION_ZSTD, in.len, error);
    *ret_len = dst.pos;
    return true;
}

static bool
unpack_lz4_legacy (VmmSpan in, uint8_t *out, size_t cap, bool prefix, size_t *ret_len, GError **error)
{
    switch (vmm_lz4_legacy_unpack (in, out, cap, prefix, ret_len)) {
    case VMM_LZ4_OK:
        return true;
    case VMM_LZ4_TRUNCATED:
        return fail_truncated (VMM_COMPRESSION_LZ4_LEGACY, in.len, error);
    case VMM_LZ4_TOO_BIG:
        return fail_too_big (VMM_COMPRESSION_LZ4_LEGACY, cap, error);
    case VMM_LZ4_CORRUPT:
        break;
    }
    return fail_corrupt (VMM_COMPRESSION_LZ4_LEGACY, "bad block", error);
}

static bool
unpack_lz4_frame (VmmSpan in, uint8_t *out, size_t cap, bool prefix, size_t *ret_len, GError **error)
{
    LZ4F_dctx *ctx;
    size_t pos = 0, len = 0, hint = 1;

    if (LZ4F_isError (LZ4F_createDecompressionContext (&ctx, LZ4F_VERSION)))
        return fail_corrupt (VMM_COMPRESSION_LZ4_FRAME, "no memory for the decoder", error);
    while (hint != 0) {
        size_t dst = cap - len, src = in.len - pos;
        hint = LZ4F_decompress (ctx, out + len, &dst, in.data + pos, &src, NULL);
        if (LZ4F_isError (hint) || dst + src == 0)
            break;
        len += dst;
        pos += src;
    }
    LZ4F_freeDecompressionContext (ctx);
    if (LZ4F_isError (hint))
        return fail_corrupt (VMM_COMPRESSION_LZ4_FRAME, LZ4F_getErrorName (hint), error);
    if (hint != 0 && len == cap && !prefix)
        return fail_too_big (VMM_COMPRESSION_LZ4_FRAME, cap, error);
    if (hint != 0 && len < cap)
        return fail_truncated (VMM_COMPRESSION_LZ4_FRAME, in.len, error);
    *ret_len = len;
    return true;
}

static bool
unpack (VmmCompression kind, VmmSpan in, uint8_t *out, size_t cap, bool prefix, size_t *ret_len,
        GError **error)
{
    switch (kind) {
    case VMM_COMPRESSION_GZIP:
        return unpack_gzip (in, out, cap, prefix, ret_len, error);
    case VMM_COMPRESSION_XZ:
    case VMM_COMPRESSION_LZMA:
        return unpack_lzma (kind, in, out, cap, prefix, ret_len, error);
    case VMM_COMPRESSION_ZSTD:
        return prefix ? unpack_zstd_prefix (in, out, cap, ret_len, error)
                      : unpack_zstd (in, out, cap, ret_len, error);
    case VMM_COMPRESSION_LZ4_LEGACY:
        return unpack_lz4_legacy (in, out, cap, prefix, ret_len, error);
    case VMM_COMPRESSION_LZ4_FRAME:
        return unpack_lz4_frame (in, out, cap, prefix, ret_len, error);
    case VMM_COMPRESSION_NONE:
    case VMM_COMPRESSION_BZIP2:
    case VMM_COMPRESSION_LZO:
        break;
    }
    g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
                 "it is compressed with %s, which vmm does not unpack; use gzip, xz, zstd or lz4",
                 kind == VMM_COMPRESSION_NONE ? "an unknown method" : vmm_compression_name (kind));
    return false;
}

/**
 * vmm_decompress:
 * @kind: how @in is compressed
 * @in: one stream; what follows its end is ignored
 * @out: takes at most @cap bytes; undefined content on failure
 * @cap: bytes at @out
 * @ret_len: bytes written
 * @error: %VMM_ERROR_NOT_BOOTABLE: corrupt, truncated, larger than @cap, or a @kind that is not supported;
 *   the message is the tail of a sentence, for the caller to say whose
 *
 * Unpacks one stream whole. Any thread.
 *
 * Returns: false on failure
 */
bool
vmm_decompress (VmmCompression kind, VmmSpan in, uint8_t *out, size_t cap, size_t *ret_len, GError **error)
{
    return unpack (kind, in, out, cap, false, ret_len, error);
}

/**
 * vmm_decompress_prefix:
 * @kind: how @in is compressed
 * @in: one stream
 * @out: takes the first @cap bytes, or all when it unpacks to fewer
 * @cap: bytes at @out
 * @ret_len: bytes written
 * @error: as vmm_decompress(), but a stream that is damaged further on is not noticed
 *
 * Looks at the start of a stream at the cost of its start only. Any thread.
 *
 * Returns: false on failure
 */
bool
vmm_decompress_prefix (VmmCompression kind, VmmSpan in, uint8_t *out, size_t cap, size_t *ret_len,
                       GError **error)
{
    return unpack (kind, in, out, cap, true, ret_len, error);
}
