/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Token buckets. Whoever finds a token in the bucket may begin, and takes as many as the work costs, also
 * when there are not so many: the bucket then has a debt, and the next one waits until it is paid off. So
 * nothing is too large to be begun, it need not be known how much the next one costs to say when it may
 * begin, and in the long run no more is done than the rate says.
 *
 * Time is the caller's: monotonic nanoseconds. Fractions of tokens are kept, so that often looking at a slow
 * bucket does not make it slower.
 */
#include "devices/virtio/limits.h"

#include <glib.h>

#define NS_PER_S UINT64_C (1000000000)

/**
 * vmm_bucket_init:
 * @rate: tokens per second, at most %VMM_BUCKET_RATE_MAX; 0: it never runs out
 * @now_ns: when that is
 *
 * Fills the bucket.
 */
void
vmm_bucket_init (VmmBucket *bucket, uint64_t rate, int64_t now_ns)
{
    *bucket = (VmmBucket){.rate = rate, .level = (int64_t)rate, .at_ns = now_ns};
}

static void
fill (VmmBucket *bucket, int64_t now_ns)
{
    uint64_t elapsed;
    uint64_t seconds;
    uint64_t part;
    int64_t missing = (int64_t)bucket->rate - bucket->level;

    if (now_ns <= bucket->at_ns)
        return;
    elapsed = (uint64_t)now_ns - (uint64_t)bucket->at_ns;
    bucket->at_ns = now_ns;
    seconds = elapsed / NS_PER_S;
    part = elapsed % NS_PER_S * bucket->rate + bucket->rest;
    /* Each whole second brings as much as the bucket holds. */
    if (seconds > (uint64_t)missing / bucket->rate ||
        seconds * bucket->rate + part / NS_PER_S >= (uint64_t)missing) {
        bucket->level = (int64_t)bucket->rate;
        bucket->rest = 0;
        return;
    }
    bucket->level += (int64_t)(seconds * bucket->rate + part / NS_PER_S);
    bucket->rest = part % NS_PER_S;
}

/**
 * vmm_bucket_wait:
 * @now_ns: when that is; time that goes backwards stands still
 *
 * Returns: in how many nanoseconds there will be a token; 0: there is one
 */
int64_t
vmm_bucket_wait (VmmBucket *bucket, int64_t now_ns)
{
    uint64_t missing;
    uint64_t part;

    if (bucket->rate == 0)
        return 0;
    fill (bucket, now_ns);
    if (bucket->level > 0)
        return 0;
    missing = (uint64_t)(1 - bucket->level);
    if (missing / bucket->rate >= (uint64_t)G_MAXINT64 / NS_PER_S - 1)
        return G_MAXINT64;
    part = missing % bucket->rate * NS_PER_S;
    /* What is there of the next token is less than one, and is taken from at least one. */
    if (part < bucket->rest)
        return (int64_t)((missing / bucket->rate) * NS_PER_S - (bucket->rest - part) / bucket->rate);
    return (int64_t)(missing / bucket->rate * NS_PER_S +
                     (part - bucket->rest + bucket->rate - 1) / bucket->rate);
}

/**
 * vmm_bucket_take:
 * @tokens: how many; there may be fewer
 *
 * After vmm_bucket_wait() has said 0.
 */
void
vmm_bucket_take (VmmBucket *bucket, uint64_t tokens)
{
    if (bucket->rate != 0)
        bucket->level -= (int64_t)MIN (tokens, (uint64_t)G_MAXINT64 / 2);
}

/**
 * vmm_limits_init:
 * @ops_per_s: operations per second; 0: any number
 * @bytes_per_s: bytes per second; 0: any number
 */
void
vmm_limits_init (VmmLimits *limits, uint64_t ops_per_s, uint64_t bytes_per_s, int64_t now_ns)
{
    vmm_bucket_init (&limits->ops, ops_per_s, now_ns);
    vmm_bucket_init (&limits->bytes, bytes_per_s, now_ns);
}

/**
 * vmm_limits_are_set:
 *
 * Returns: whether there is anything to be limited
 */
bool
vmm_limits_are_set (const VmmLimits *limits)
{
    return limits->ops.rate != 0 || limits->bytes.rate != 0;
}

/**
 * vmm_limits_take:
 * @bytes: how many the operation moves; one that moves none does not wait for those that did
 *
 * Begins one operation, if it may.
 *
 * Returns: 0: it may begin; else nothing was taken, and in so many nanoseconds it is worth asking again
 */
int64_t
vmm_limits_take (VmmLimits *limits, uint64_t bytes, int64_t now_ns)
{
    int64_t wait = vmm_bucket_wait (&limits->ops, now_ns);

    if (bytes > 0)
        wait = MAX (wait, vmm_bucket_wait (&limits->bytes, now_ns));
    if (wait > 0)
        return wait;
    vmm_bucket_take (&limits->ops, 1);
    vmm_bucket_take (&limits->bytes, bytes);
    return 0;
}
