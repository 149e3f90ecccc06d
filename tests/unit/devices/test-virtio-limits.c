/* SPDX-License-Identifier: Apache-2.0 */
/* Token buckets, by a clock that the tests turn. */
#include <criterion/criterion.h>
#include <glib.h>

#include "devices/virtio/limits.h"

#define S INT64_C (1000000000)
#define START (5 * S + 17)

/* How many operations of @bytes may begin at @now. */
static unsigned
begin_all (VmmLimits *limits, uint64_t bytes, int64_t now)
{
    unsigned n = 0;

    while (n < 100000 && vmm_limits_take (limits, bytes, now) == 0)
        n++;
    return n;
}

Test (limits, a_second_is_what_may_be_taken_at_once)
{
    VmmLimits limits;

    vmm_limits_init (&limits, 100, 0, START);
    cr_assert_eq (begin_all (&limits, 4096, START), 100);
    cr_assert_eq (begin_all (&limits, 4096, START + S / 2), 50);
    /* However long nothing happened. */
    cr_assert_eq (begin_all (&limits, 4096, START + 3600 * S), 100);
    cr_assert_eq (begin_all (&limits, 4096, G_MAXINT64), 100);
}

Test (limits, what_is_not_limited_never_waits)
{
    VmmLimits limits;

    vmm_limits_init (&limits, 0, 0, START);
    cr_assert_not (vmm_limits_are_set (&limits));
    cr_assert_eq (begin_all (&limits, G_MAXUINT64, START), 100000);
    vmm_limits_init (&limits, 0, 4096, START);
    cr_assert (vmm_limits_are_set (&limits));
    cr_assert_eq (begin_all (&limits, 512, START), 8);
    cr_assert_eq (begin_all (&limits, 0, START), 100000, "what moves nothing waits for bytes");
    vmm_limits_init (&limits, 1, 0, START);
    cr_assert (vmm_limits_are_set (&limits));
}

/* Who asks when he was told to may begin, and not a nanosecond before. */
Test (limits, the_wait_is_exact)
{
    static const uint64_t rates[] = {
        1, 3, 7, 1000, 999983, 1000000007, VMM_BUCKET_RATE_MAX - 1, VMM_BUCKET_RATE_MAX};
    static const uint64_t sizes[] = {1, 512, 4096, 1000003, UINT64_C (1) << 40};

    for (size_t i = 0; i < G_N_ELEMENTS (rates); i++) {
        for (size_t j = 0; j < G_N_ELEMENTS (sizes); j++) {
            VmmBucket bucket;
            int64_t now = START;

            vmm_bucket_init (&bucket, rates[i], now);
            vmm_bucket_take (&bucket, rates[i] - 1);
            for (unsigned n = 0; n < 20 && now < G_MAXINT64 / 4; n++) {
                int64_t wait;

                cr_assert_eq (vmm_bucket_wait (&bucket, now), 0);
                vmm_bucket_take (&bucket, sizes[j]);
                wait = vmm_bucket_wait (&bucket, now);
                if (wait == 0)
                    continue;
                if (wait > G_MAXINT64 / 2)
                    break; /* centuries */
                cr_assert_gt (wait, 0);
                now += wait - 1;
                cr_assert_eq (vmm_bucket_wait (&bucket, now), 1, "rate %" G_GUINT64_FORMAT, rates[i]);
                now++;
            }
        }
    }
}

Test (limits, nothing_is_too_large_and_all_is_paid_for)
{
    VmmLimits limits;

    vmm_limits_init (&limits, 0, 1000, START);
    cr_assert_eq (vmm_limits_take (&limits, 11000, START), 0);
    /* A debt of 10000, and one token. */
    cr_assert_eq (vmm_limits_take (&limits, 1, START), 10 * S + S / 1000);
    cr_assert_neq (vmm_limits_take (&limits, 1, START + 10 * S), 0);
    cr_assert_eq (vmm_limits_take (&limits, 1, START + 10 * S + S / 1000), 0);
    /* Even what cannot be paid in the life of a host does no harm. */
    cr_assert_eq (vmm_limits_take (&limits, G_MAXUINT64, START + 20 * S), 0);
    cr_assert_eq (vmm_limits_take (&limits, 1, START + 21 * S), G_MAXINT64);
}

/* However often it is looked at: fractions are not lost. */
Test (limits, in_the_long_run_it_is_the_rate)
{
    VmmLimits limits;
    unsigned n;

    vmm_limits_init (&limits, 7, 0, START);
    n = begin_all (&limits, 1, START);
    cr_assert_eq (n, 7);
    for (int64_t t = 0; t < 10 * S; t += 1000003)
        n += begin_all (&limits, 1, START + t);
    cr_assert_eq (n + begin_all (&limits, 1, START + 10 * S), 77);
}

Test (limits, both_hold_and_a_refusal_takes_nothing)
{
    VmmLimits limits;

    vmm_limits_init (&limits, 2, 4096, START);
    cr_assert_eq (vmm_limits_take (&limits, 4096, START), 0);
    for (unsigned i = 0; i < 10; i++)
        cr_assert_gt (vmm_limits_take (&limits, 512, START), 0);
    cr_assert_eq (vmm_limits_take (&limits, 0, START), 0, "a refusal took an operation");
    cr_assert_eq (vmm_limits_take (&limits, 0, START), S / 2);
    cr_assert_eq (vmm_limits_take (&limits, 512, START + S / 2), 0);
}

Test (limits, time_that_goes_back_stands_still)
{
    VmmLimits limits;

    vmm_limits_init (&limits, 1, 0, START);
    cr_assert_eq (vmm_limits_take (&limits, 0, START), 0);
    cr_assert_eq (vmm_limits_take (&limits, 0, 0), S);
    cr_assert_eq (vmm_limits_take (&limits, 0, START + S - 1), 1);
    cr_assert_eq (vmm_limits_take (&limits, 0, START + S), 0);
}
