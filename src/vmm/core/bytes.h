/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Little-endian fields at any alignment, and reads that cannot leave a buffer. Every parser of data that
 * we did not make goes through a VmmSpan, so that no header can send it out of bounds.
 */
#ifndef VMM_CORE_BYTES_H
#define VMM_CORE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Every architecture that vmm runs on is little-endian, and so is every format it reads. */
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "vmm supports little-endian hosts only"
#endif

static inline uint16_t
vmm_get_u16 (const void *p)
{
    uint16_t v;

    memcpy (&v, p, sizeof v);
    return v;
}

static inline uint32_t
vmm_get_u32 (const void *p)
{
    uint32_t v;

    memcpy (&v, p, sizeof v);
    return v;
}

static inline uint64_t
vmm_get_u64 (const void *p)
{
    uint64_t v;

    memcpy (&v, p, sizeof v);
    return v;
}

static inline void
vmm_put_u16 (void *p, uint16_t v)
{
    memcpy (p, &v, sizeof v);
}

static inline void
vmm_put_u32 (void *p, uint32_t v)
{
    memcpy (p, &v, sizeof v);
}

static inline void
vmm_put_u64 (void *p, uint64_t v)
{
    memcpy (p, &v, sizeof v);
}

/* @value rounded up to @align (a power of two); false when that does not fit in 64 bits. */
static inline bool
vmm_align_up (uint64_t value, uint64_t align, uint64_t *ret_value)
{
    uint64_t sum;

    if (__builtin_add_overflow (value, align - 1, &sum))
        return false;
    *ret_value = sum & ~(align - 1);
    return true;
}

/**
 * VmmSpan:
 * @data: first byte, borrowed
 * @len: bytes
 *
 * A read-only run of bytes that somebody else owns.
 */
typedef struct {
    const uint8_t *data;
    size_t len;
} VmmSpan;

/* The bytes [@off, @off + @len) of @span; false, with the output untouched, when they are not all there. */
static inline bool
vmm_span_sub (VmmSpan span, uint64_t off, uint64_t len, VmmSpan *ret_sub)
{
    if (off > span.len || len > span.len - off)
        return false;
    *ret_sub = (VmmSpan){span.data + off, (size_t)len};
    return true;
}

static inline bool
vmm_span_u8 (VmmSpan span, uint64_t off, uint8_t *ret_value)
{
    if (off >= span.len)
        return false;
    *ret_value = span.data[off];
    return true;
}

static inline bool
vmm_span_u16 (VmmSpan span, uint64_t off, uint16_t *ret_value)
{
    VmmSpan s;

    if (!vmm_span_sub (span, off, sizeof *ret_value, &s))
        return false;
    *ret_value = vmm_get_u16 (s.data);
    return true;
}

static inline bool
vmm_span_u32 (VmmSpan span, uint64_t off, uint32_t *ret_value)
{
    VmmSpan s;

    if (!vmm_span_sub (span, off, sizeof *ret_value, &s))
        return false;
    *ret_value = vmm_get_u32 (s.data);
    return true;
}

static inline bool
vmm_span_u64 (VmmSpan span, uint64_t off, uint64_t *ret_value)
{
    VmmSpan s;

    if (!vmm_span_sub (span, off, sizeof *ret_value, &s))
        return false;
    *ret_value = vmm_get_u64 (s.data);
    return true;
}

#endif
