/* SPDX-License-Identifier: Apache-2.0 */
/* How much of a time a busy host kept from a guest. */
#include "cpu-time.h"

#include <string.h>

void
test_cpu_time_clear (TestCpuTime *time)
{
    g_clear_pointer (&time->vcpus, g_free);
    time->n = 0;
}

void
test_cpu_count_clear (TestCpuCount *count)
{
    test_cpu_time_clear (&count->total);
    g_clear_pointer (&count->seen, g_free);
}

void
test_cpu_time_copy (TestCpuTime *to, const TestCpuTime *from)
{
    if (to->n != from->n) {
        g_free (to->vcpus);
        to->vcpus = g_new (VmmVcpuTime, from->n);
    }
    if (from->n > 0)
        memcpy (to->vcpus, from->vcpus, from->n * sizeof *from->vcpus);
    to->n = from->n;
    to->us = from->us;
}

/**
 * test_cpu_count_add:
 * @us: now
 * @info: of the machine, now
 */
void
test_cpu_count_add (TestCpuCount *count, int64_t us, const VmmMachineInfo *info)
{
    TestCpuTime *total = &count->total;

    if (total->n == 0) {
        total->n = info->cpus;
        total->vcpus = g_new0 (VmmVcpuTime, total->n);
        count->seen = g_new0 (VmmVcpuTime, total->n);
    }
    /* A boot has threads of its own. */
    if (info->boots != count->boots)
        memset (count->seen, 0, total->n * sizeof *count->seen);
    count->boots = info->boots;
    for (unsigned i = 0; i < MIN (total->n, info->cpus); i++) {
        const VmmVcpuTime *vcpu = &info->vcpu_times[i];
        VmmVcpuTime *seen = &count->seen[i];

        /* Nothing told. */
        if (vcpu->ran_ns < seen->ran_ns || vcpu->waited_ns < seen->waited_ns)
            continue;
        total->vcpus[i].ran_ns += vcpu->ran_ns - seen->ran_ns;
        total->vcpus[i].waited_ns += vcpu->waited_ns - seen->waited_ns;
        *seen = *vcpu;
    }
    total->us = us;
}

/**
 * test_cpu_time_starved:
 * @since: some time ago
 * @now: now
 * @host_cpus: how many CPUs of the host the guest may use
 *
 * A virtual CPU that waits does so for other work of the host, or for others of its own guest where those are
 * more than the host's CPUs. What they could have had together, and did not run, went to other work.
 *
 * Returns: for how many µs of the time between the guest was held up by other work: no longer than the
 * virtual CPU that fared worst waited
 */
int64_t
test_cpu_time_starved (const TestCpuTime *since, const TestCpuTime *now, unsigned host_cpus)
{
    int64_t elapsed = now->us - since->us, most = 0, ran = 0;
    unsigned active = 0;

    for (unsigned i = 0; i < now->n; i++) {
        VmmVcpuTime before = i < since->n ? since->vcpus[i] : (VmmVcpuTime){0};
        int64_t vcpu_ran = (now->vcpus[i].ran_ns - before.ran_ns) / 1000;
        int64_t vcpu_waited = (now->vcpus[i].waited_ns - before.waited_ns) / 1000;

        most = MAX (most, vcpu_waited);
        ran += vcpu_ran;
        active += vcpu_ran + vcpu_waited > 0;
    }
    if (active == 0)
        return 0;
    return CLAMP (elapsed - ran / MAX (MIN (active, host_cpus), 1), 0, MIN (most, MAX (elapsed, 0)));
}
