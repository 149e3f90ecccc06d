/* SPDX-License-Identifier: Apache-2.0 */
/* A machine without a guest, for those who talk to machines: it defines what they call of machine.h. */
#ifndef VMM_TESTS_FAKE_MACHINE_H
#define VMM_TESTS_FAKE_MACHINE_H

#include "vmm/machine.h"

struct _VmmMachine {
    VmmMachineState state;
    unsigned stops;
    unsigned presses;
    unsigned breaks;
    uint64_t balloon_bytes;
    uint64_t disk_bytes;
    VmmMachineInfo info;
    VmmBalloonInfo balloon;
    VmmVerdict verdict;
};

#endif
