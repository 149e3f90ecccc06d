/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A doorbell is a guest-physical address a write to which signals an eventfd inside KVM, without an exit to
 * us (KVM API section 4.59, KVM_IOEVENTFD). A device rings it by address and never learns what KVM is; tests
 * put a recorder there.
 */
#ifndef VMM_CORE_DOORBELL_H
#define VMM_CORE_DOORBELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * VmmDoorbell:
 * @gpa: where the guest writes
 * @size: how wide the write is: 2 or 4 bytes; 0: any width, and then @match is not looked at
 * @match: ring only for a write of @value
 * @fd: an eventfd, borrowed
 */
typedef struct {
    uint64_t gpa;
    uint32_t value;
    unsigned size;
    bool match;
    int fd;
} VmmDoorbell;

/**
 * VmmDoorbellHost:
 * @set: connects (@on) or disconnects; any thread; false when the host cannot, and the device then gets the
 *   write as an access of its registers. NULL: there are none
 */
typedef struct {
    bool (*set) (void *host, const VmmDoorbell *doorbell, bool on);
    void *host;
} VmmDoorbellHost;

static inline bool
vmm_doorbell_set (const VmmDoorbellHost *host, const VmmDoorbell *doorbell, bool on)
{
    return host->set != NULL && host->set (host->host, doorbell, on);
}

#endif
