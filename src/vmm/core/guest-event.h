/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_CORE_GUEST_EVENT_H
#define VMM_CORE_GUEST_EVENT_H

#include <stddef.h>
#include <stdint.h>

/**
 * VmmGuestEvent:
 * @VMM_GUEST_EVENT_POWEROFF: the guest turned the machine off
 * @VMM_GUEST_EVENT_RESET: the guest asked for a reset
 * @VMM_GUEST_EVENT_EXIT: the guest ends the run and chooses the exit code (arg: the code, 0 to 255)
 * @VMM_GUEST_EVENT_PANICKED: the guest's kernel said that it panicked (arg: pvpanic event bits)
 *
 * What a guest can tell the machine through a device register.
 */
typedef enum {
    VMM_GUEST_EVENT_POWEROFF,
    VMM_GUEST_EVENT_RESET,
    VMM_GUEST_EVENT_EXIT,
    VMM_GUEST_EVENT_PANICKED,
} VmmGuestEvent;

/**
 * VmmGuestEventSink:
 * @raise: called on the vCPU thread that did the access; returns at once
 */
typedef struct {
    void (*raise) (void *machine, VmmGuestEvent event, uint32_t arg);
    void *machine;
} VmmGuestEventSink;

static inline void
vmm_guest_event_raise (const VmmGuestEventSink *sink, VmmGuestEvent event, uint32_t arg)
{
    if (sink->raise != NULL)
        sink->raise (sink->machine, event, arg);
}

#endif
