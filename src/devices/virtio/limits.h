/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_VIRTIO_LIMITS_H
#define VMM_DEVICES_VIRTIO_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

/* So that a second's nanoseconds, times the rate, fit into 64 bits. */
#define VMM_BUCKET_RATE_MAX (UINT64_C (1) << 34)

/**
 * VmmBucket:
 * @rate: tokens that come in per second, and that it holds at most; 0: it never runs out
 * @level: whole tokens in it; below 0 there is a debt
 * @rest: what is there beyond @level: in billionths of a token
 * @at_ns: up to when that was reckoned
 *
 * A token bucket. It is full at first, and one second's worth is what may be taken at once.
 */
typedef struct {
    uint64_t rate;
    int64_t level;
    uint64_t rest;
    int64_t at_ns;
} VmmBucket;

/**
 * VmmLimits:
 * @ops: of which each operation takes one
 * @bytes: of which it takes as many as it moves
 *
 * How much a device may do. It belongs to what is behind the device, and outlives the guest's reboots, which
 * would fill the buckets otherwise. One loop's thread uses it at a time.
 */
typedef struct {
    VmmBucket ops;
    VmmBucket bytes;
} VmmLimits;

void vmm_bucket_init (VmmBucket *bucket, uint64_t rate, int64_t now_ns);
int64_t vmm_bucket_wait (VmmBucket *bucket, int64_t now_ns);
void vmm_bucket_take (VmmBucket *bucket, uint64_t tokens);

void vmm_limits_init (VmmLimits *limits, uint64_t ops_per_s, uint64_t bytes_per_s, int64_t now_ns);
bool vmm_limits_are_set (const VmmLimits *limits);
int64_t vmm_limits_take (VmmLimits *limits, uint64_t bytes, int64_t now_ns);

#endif
