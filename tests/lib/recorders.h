/* SPDX-License-Identifier: Apache-2.0 */
/* An interrupt line and a guest event sink that remember what they were told. */
#ifndef VMM_TESTS_RECORDERS_H
#define VMM_TESTS_RECORDERS_H

#include <stddef.h>

#include "vmm/core/guest-event.h"
#include "vmm/core/irq.h"

typedef struct {
    bool level;
    unsigned edges; /* low to high */
    unsigned calls;
} IrqRecorder;

typedef struct {
    unsigned count;
    VmmGuestEvent last;
    uint32_t arg;
} EventRecorder;

VmmIrqLine irq_recorder_line (IrqRecorder *recorder);
VmmGuestEventSink event_recorder_sink (EventRecorder *recorder);

#endif
