/* SPDX-License-Identifier: Apache-2.0 */
#include "recorders.h"

static void
record_level (void *chip, unsigned gsi, bool level)
{
    IrqRecorder *recorder = chip;

    recorder->calls++;
    if (level && !recorder->level)
        recorder->edges++;
    recorder->level = level;
}

static void
record_event (void *machine, VmmGuestEvent event, uint32_t arg)
{
    EventRecorder *recorder = machine;

    recorder->count++;
    recorder->last = event;
    recorder->arg = arg;
}

VmmIrqLine
irq_recorder_line (IrqRecorder *recorder)
{
    return (VmmIrqLine){.set = record_level, .chip = recorder, .gsi = 4};
}

VmmGuestEventSink
event_recorder_sink (EventRecorder *recorder)
{
    return (VmmGuestEventSink){.raise = record_event, .machine = recorder};
}
