/* SPDX-License-Identifier: Apache-2.0 */
/* What of a guest's waiting is laid to the host. */
#include "cpu-time.h"

#include <criterion/criterion.h>

#define SECOND INT64_C (1000000000)

static VmmMachineInfo
info_of (VmmVcpuTime *times, unsigned n, unsigned boots)
{
    return (VmmMachineInfo){.cpus = n, .boots = boots, .vcpu_times = times};
}

/* Of @n virtual CPUs that each ran and waited so long in 10 seconds, on @host_cpus. */
static double
starved (unsigned n, double ran, double waited, unsigned host_cpus)
{
    VmmVcpuTime times[64] = {0};
    VmmMachineInfo info = info_of (times, n, 1);
    TestCpuCount count = {0};
    TestCpuTime since = {0};
    int64_t us;

    test_cpu_count_add (&count, 5000000, &info);
    test_cpu_time_copy (&since, &count.total);
    for (unsigned i = 0; i < n; i++)
        times[i] = (VmmVcpuTime){(int64_t)(ran * SECOND), (int64_t)(waited * SECOND)};
    test_cpu_count_add (&count, 15000000, &info);
    us = test_cpu_time_starved (&since, &count.total, host_cpus);
    test_cpu_time_clear (&since);
    test_cpu_count_clear (&count);
    return (double)us / 1e6;
}

static void
expect_about (double is, double should)
{
    cr_expect (is > should - 0.01 && is < should + 0.01, "%g, not %g", is, should);
}

Test (cpu_time, what_a_host_keeps_from_a_guest)
{
    /* Alone; idle; beside one busy loop; beside nine. */
    expect_about (starved (1, 10, 0, 2), 0);
    expect_about (starved (1, 0.1, 0, 2), 0);
    expect_about (starved (1, 5, 5, 1), 5);
    expect_about (starved (1, 1, 9, 1), 9);
    /* It sleeps most of the time, and waits a little now and then. */
    expect_about (starved (1, 0.5, 0.2, 1), 0.2);
    /* Two on one CPU of the host with two others' loops. */
    expect_about (starved (2, 2.5, 7.5, 1), 5);
}

/* More of them than the host has CPUs: they wait for each other, which no host is to blame for. */
Test (cpu_time, what_a_guest_keeps_from_itself)
{
    expect_about (starved (8, 2.5, 7.5, 2), 0);
    expect_about (starved (64, 0.3125, 9.6875, 2), 0);
    /* And two loops beside them, which get a fifth. */
    expect_about (starved (8, 2, 8, 2), 2);
}

Test (cpu_time, never_more_than_the_clock)
{
    expect_about (starved (4, 0, 40, 2), 10);
}

Test (cpu_time, each_boot_counts_from_the_beginning)
{
    VmmVcpuTime times[2] = {{3 * SECOND, 7 * SECOND}, {0, 0}};
    VmmMachineInfo info = info_of (times, 2, 1);
    TestCpuCount count = {0};

    test_cpu_count_add (&count, 10000000, &info);
    times[0] = (VmmVcpuTime){4 * SECOND, 8 * SECOND};
    info.boots = 2;
    test_cpu_count_add (&count, 22000000, &info);
    cr_expect_eq (count.total.vcpus[0].ran_ns, 7 * SECOND);
    cr_expect_eq (count.total.vcpus[0].waited_ns, 15 * SECOND);
    test_cpu_count_clear (&count);
}

/* A look that failed says nothing, and what came before is not counted again behind it. */
Test (cpu_time, a_host_that_does_not_tell_for_a_while)
{
    VmmVcpuTime times[1] = {{3 * SECOND, 7 * SECOND}};
    VmmMachineInfo info = info_of (times, 1, 1);
    TestCpuCount count = {0};

    test_cpu_count_add (&count, 10000000, &info);
    times[0] = (VmmVcpuTime){0, 0};
    test_cpu_count_add (&count, 11000000, &info);
    times[0] = (VmmVcpuTime){3 * SECOND, 9 * SECOND};
    test_cpu_count_add (&count, 12000000, &info);
    cr_expect_eq (count.total.vcpus[0].ran_ns, 3 * SECOND);
    cr_expect_eq (count.total.vcpus[0].waited_ns, 9 * SECOND);
    test_cpu_count_clear (&count);
}
