/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "vmm/arch/x86_64/topology.h"
#include "vmm/error.h"

static VmmCpuTopology
make (unsigned cpus, unsigned sockets, unsigned cores, unsigned threads)
{
    VmmCpuTopology t = {0};
    g_autoptr (GError) error = NULL;

    cr_assert (vmm_cpu_topology_init (&t, cpus, sockets, cores, threads, &error), "%s",
               error != NULL ? error->message : "");
    return t;
}

static void
assert_shape (VmmCpuTopology t, unsigned sockets, unsigned cores, unsigned threads)
{
    cr_assert_eq (t.sockets, sockets, "%u sockets", t.sockets);
    cr_assert_eq (t.cores, cores, "%u cores", t.cores);
    cr_assert_eq (t.threads, threads, "%u threads", t.threads);
}

Test (topology, default_is_one_socket_of_cores)
{
    assert_shape (make (1, 0, 0, 0), 1, 1, 1);
    assert_shape (make (6, 0, 0, 0), 1, 6, 1);
}

Test (topology, what_is_not_given_follows)
{
    assert_shape (make (8, 2, 0, 0), 2, 4, 1);
    assert_shape (make (8, 0, 4, 0), 2, 4, 1);
    assert_shape (make (8, 0, 0, 2), 1, 4, 2);
    assert_shape (make (8, 2, 2, 0), 2, 2, 2);
    assert_shape (make (8, 0, 2, 2), 2, 2, 2);
    assert_shape (make (8, 2, 2, 2), 2, 2, 2);
}

static void
assert_refused (unsigned cpus, unsigned sockets, unsigned cores, unsigned threads, const char *part)
{
    VmmCpuTopology t = {7, 7, 7, 7};
    g_autoptr (GError) error = NULL;

    cr_assert_not (vmm_cpu_topology_init (&t, cpus, sockets, cores, threads, &error));
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE));
    cr_assert_not_null (strstr (error->message, part), "%s", error->message);
    assert_shape (t, 7, 7, 7);
}

Test (topology, wrong_products_are_refused)
{
    assert_refused (8, 3, 0, 0, "8 CPUs");
    assert_refused (8, 2, 3, 1, "product is 8");
    assert_refused (8, 16, 0, 0, "16 sockets");
    assert_refused (8, 0x80000000u, 0x80000000u, 4, "8 CPUs");
    assert_refused (1, 0xffffffffu, 0xffffffffu, 0xffffffffu, "1 CPUs");
    assert_refused (0, 0, 0, 0, "0 CPUs");
    assert_refused (VMM_CPU_TOPOLOGY_CPUS_MAX + 1, 0, 0, 0, "4096");
}

Test (topology, apic_ids_are_padded_to_powers_of_two)
{
    VmmCpuTopology t = make (12, 2, 3, 2);

    cr_assert_eq (vmm_x86_apic_core_shift (&t), 1);
    cr_assert_eq (vmm_x86_apic_package_shift (&t), 3);
    cr_assert_eq (vmm_x86_apic_id (&t, 0), 0);
    cr_assert_eq (vmm_x86_apic_id (&t, 1), 1);
    cr_assert_eq (vmm_x86_apic_id (&t, 5), 5);
    cr_assert_eq (vmm_x86_apic_id (&t, 6), 8);
    cr_assert_eq (vmm_x86_apic_id (&t, 11), 13);
    cr_assert_eq (vmm_x86_apic_id_max (&t), 13);
}

Test (topology, three_threads_take_two_bits)
{
    VmmCpuTopology t = make (6, 1, 2, 3);

    cr_assert_eq (vmm_x86_apic_core_shift (&t), 2);
    cr_assert_eq (vmm_x86_apic_id (&t, 3), 4);
}

Test (topology, x2apic_from_id_255_on)
{
    VmmCpuTopology below = make (255, 1, 255, 1), at = make (256, 1, 256, 1), padded = make (129, 43, 3, 1);

    cr_assert_not (vmm_x86_needs_x2apic (&below));
    cr_assert (vmm_x86_needs_x2apic (&at));
    cr_assert_eq (vmm_x86_apic_id_max (&padded), 42 * 4 + 2);
    padded = make (200, 40, 5, 1);
    cr_assert (vmm_x86_needs_x2apic (&padded), "40 sockets of 8 ids each end above 255");
}
