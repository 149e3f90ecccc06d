/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "vmm/core/bytes.h"

Test (bytes, fields_are_little_endian_at_any_alignment)
{
    uint8_t buf[16] = {0};

    vmm_put_u16 (buf + 1, 0x1234);
    cr_assert_eq (buf[1], 0x34);
    cr_assert_eq (buf[2], 0x12);
    cr_assert_eq (vmm_get_u16 (buf + 1), 0x1234);
    vmm_put_u32 (buf + 3, 0x89abcdefu);
    cr_assert_eq (buf[3], 0xef);
    cr_assert_eq (buf[6], 0x89);
    cr_assert_eq (vmm_get_u32 (buf + 3), 0x89abcdefu);
    vmm_put_u64 (buf + 7, 0x0123456789abcdefull);
    cr_assert_eq (buf[7], 0xef);
    cr_assert_eq (buf[14], 0x01);
    cr_assert_eq (vmm_get_u64 (buf + 7), 0x0123456789abcdefull);
    cr_assert_eq (buf[0], 0);
    cr_assert_eq (buf[15], 0, "nothing beside the fields was written");
}

Test (bytes, align_up_rounds_and_reports_overflow)
{
    static const struct {
        uint64_t value;
        uint64_t align;
        uint64_t want;
    } cases[] = {
        {0, 4096, 0},
        {1, 4096, 4096},
        {4095, 4096, 4096},
        {4096, 4096, 4096},
        {4097, 4096, 8192},
        {7, 1, 7},
        {UINT64_MAX, 1, UINT64_MAX},
        {UINT64_MAX - 4095, 4096, UINT64_MAX - 4095},
    };
    uint64_t out = 77;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert (vmm_align_up (cases[i].value, cases[i].align, &out), "case %zu", i);
        cr_assert_eq (out, cases[i].want, "case %zu", i);
    }
    out = 77;
    cr_assert_not (vmm_align_up (UINT64_MAX, 4096, &out));
    cr_assert_not (vmm_align_up (UINT64_MAX - 4094, 4096, &out));
    cr_assert_eq (out, 77u, "untouched on failure");
}

/* On the heap and exactly sized, so that the address sanitizer sees any byte too many. */
static VmmSpan
make (uint8_t **ret_buf, size_t len)
{
    *ret_buf = malloc (len);
    for (size_t i = 0; i < len; i++)
        (*ret_buf)[i] = (uint8_t)(i + 1);
    return (VmmSpan){*ret_buf, len};
}

Test (bytes, span_fields_end_where_the_span_ends)
{
    uint8_t *buf;
    VmmSpan span = make (&buf, 9);
    uint8_t v8 = 0;
    uint16_t v16 = 0;
    uint32_t v32 = 0;
    uint64_t v64 = 0;

    cr_assert (vmm_span_u8 (span, 8, &v8));
    cr_assert_eq (v8, 9);
    cr_assert (vmm_span_u16 (span, 7, &v16));
    cr_assert_eq (v16, 0x0908);
    cr_assert (vmm_span_u32 (span, 5, &v32));
    cr_assert_eq (v32, 0x09080706u);
    cr_assert (vmm_span_u64 (span, 1, &v64));
    cr_assert_eq (v64, 0x0908070605040302ull);
    cr_assert_not (vmm_span_u8 (span, 9, &v8));
    cr_assert_not (vmm_span_u16 (span, 8, &v16));
    cr_assert_not (vmm_span_u32 (span, 6, &v32));
    cr_assert_not (vmm_span_u64 (span, 2, &v64));
    cr_assert_eq (v8, 9);
    cr_assert_eq (v16, 0x0908);
    cr_assert_eq (v32, 0x09080706u);
    cr_assert_eq (v64, 0x0908070605040302ull, "outputs stay as they were");
    free (buf);
}

Test (bytes, span_offsets_that_wrap_are_refused)
{
    uint8_t *buf;
    VmmSpan span = make (&buf, 9);
    VmmSpan sub = {NULL, 77};
    uint8_t v8;
    uint16_t v16;
    uint32_t v32;
    uint64_t v64;

    for (uint64_t back = 0; back < 16; back++) {
        cr_assert_not (vmm_span_u8 (span, UINT64_MAX - back, &v8));
        cr_assert_not (vmm_span_u16 (span, UINT64_MAX - back, &v16));
        cr_assert_not (vmm_span_u32 (span, UINT64_MAX - back, &v32));
        cr_assert_not (vmm_span_u64 (span, UINT64_MAX - back, &v64));
        cr_assert_not (vmm_span_sub (span, 1, UINT64_MAX - back, &sub));
        cr_assert_not (vmm_span_sub (span, UINT64_MAX - back, back + 1, &sub));
    }
    cr_assert_eq (sub.len, 77u);
    free (buf);
}

Test (bytes, sub_spans_stay_inside)
{
    uint8_t *buf;
    VmmSpan span = make (&buf, 9);
    VmmSpan sub, subsub;
    uint8_t v8;

    cr_assert (vmm_span_sub (span, 3, 4, &sub));
    cr_assert_eq (sub.data, buf + 3);
    cr_assert_eq (sub.len, 4u);
    cr_assert (vmm_span_sub (sub, 1, 3, &subsub));
    cr_assert_eq (subsub.data[0], 5);
    cr_assert_not (vmm_span_sub (sub, 1, 4, &subsub), "the outer span's bytes are not its own");
    cr_assert (vmm_span_sub (span, 9, 0, &sub), "an empty one at the end");
    cr_assert_not (vmm_span_u8 (sub, 0, &v8));
    cr_assert_not (vmm_span_sub (span, 10, 0, &sub));
    free (buf);
}

Test (bytes, empty_span_has_nothing)
{
    VmmSpan span = {NULL, 0};
    VmmSpan sub = {NULL, 77};
    uint8_t v8;
    uint64_t v64;

    cr_assert_not (vmm_span_u8 (span, 0, &v8));
    cr_assert_not (vmm_span_u64 (span, 0, &v64));
    cr_assert (vmm_span_sub (span, 0, 0, &sub));
    cr_assert_eq (sub.len, 0u);
}
