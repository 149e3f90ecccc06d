/* SPDX-License-Identifier: Apache-2.0 */
/* Which parts of huge pages are in the balloon; see balloon-huge.c. */
#ifndef VMM_DEVICES_VIRTIO_BALLOON_HUGE_H
#define VMM_DEVICES_VIRTIO_BALLOON_HUGE_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/core/guest-memory.h"

typedef struct _VmmBalloonHuge VmmBalloonHuge;

VmmBalloonHuge *vmm_balloon_huge_new (VmmGuestMemory *memory);
void vmm_balloon_huge_free (VmmBalloonHuge *huge);
bool vmm_balloon_huge_inflate (VmmBalloonHuge *huge, uint64_t page);
void vmm_balloon_huge_deflate (VmmBalloonHuge *huge, uint64_t page);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmBalloonHuge, vmm_balloon_huge_free)

#endif
