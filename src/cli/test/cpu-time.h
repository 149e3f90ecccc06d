/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_CPU_TIME_H
#define CLI_TEST_CPU_TIME_H

#include <vmm/vmm.h>

/**
 * TestCpuTime:
 * @us: when that was, on the worker's clock
 * @n: elements of @vcpus; 0: nothing is known yet, which counts as nothing
 * @vcpus: (owned): over all boots of the guest
 *
 * What the host had let a guest's virtual CPUs do by some time. Zero is one of a guest that has not begun.
 */
typedef struct {
    int64_t us;
    unsigned n;
    VmmVcpuTime *vcpus;
} TestCpuTime;

/**
 * TestCpuCount:
 * @total: so far
 * @seen: (owned): what the machine said last, which is of its last boot
 * @boots: which one that was
 */
typedef struct {
    TestCpuTime total;
    VmmVcpuTime *seen;
    unsigned boots;
} TestCpuCount;

void test_cpu_count_clear (TestCpuCount *count);
void test_cpu_count_add (TestCpuCount *count, int64_t us, const VmmMachineInfo *info);
void test_cpu_time_clear (TestCpuTime *time);
void test_cpu_time_copy (TestCpuTime *to, const TestCpuTime *from);
int64_t test_cpu_time_starved (const TestCpuTime *since, const TestCpuTime *now, unsigned host_cpus);

#endif
