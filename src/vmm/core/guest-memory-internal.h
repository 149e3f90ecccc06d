/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_CORE_GUEST_MEMORY_INTERNAL_H
#define VMM_CORE_GUEST_MEMORY_INTERNAL_H

#include "vmm/core/guest-memory.h"

struct _VmmGuestMemory {
    int fd;
    bool shared;      /* the mapping of fd */
    uint64_t granule; /* bytes of the host's pages */
    uint8_t *base;    /* first byte of the first region */
    void *mapping;
    size_t mapping_size;
    uint64_t size;
    size_t n_regions;
    VmmMemRegion regions[];
};

#endif
