/* SPDX-License-Identifier: Apache-2.0 */
/* What a process may use of its host, in trees as containers see them. */
#include "budget.h"
#include "remove-tree.h"

#include <criterion/criterion.h>
#include <glib/gstdio.h>

#define MIB (UINT64_C (1) << 20)

static char *root;

static void
begin (void)
{
    root = g_dir_make_tmp ("vmm-budget-XXXXXX", NULL);
}

static void
end (void)
{
    remove_tree (root);
    g_free (root);
}

TestSuite (budget, .init = begin, .fini = end);

static void
put (const char *name, const char *text)
{
    g_autofree char *path = g_build_filename (root, name, NULL);
    g_autofree char *folder = g_path_get_dirname (path);

    cr_assert_eq (g_mkdir_with_parents (folder, 0755), 0);
    cr_assert (g_file_set_contents (path, text, -1, NULL));
}

Test (budget, a_plain_host)
{
    put ("proc/meminfo", "MemTotal:       24000000 kB\nMemFree: 1 kB\nMemAvailable:   1024000 kB\n");
    cr_assert_eq (test_budget_memory (root), 1024000 * UINT64_C (1024) / 100 * 90);
    cr_assert_geq (test_budget_cpus (root), 1);
    cr_assert_eq (test_budget_cpus (root), test_budget_cpus ("/nowhere"));
}

Test (budget, an_unreadable_host_has_no_limit)
{
    cr_assert_gt (test_budget_memory (root), UINT64_C (1) << 60);
}

Test (budget, the_least_of_all_groups_counts)
{
    put ("proc/meminfo", "MemAvailable:   10240000 kB\n");
    put ("proc/self/cgroup", "0::/job/step\n");
    put ("sys/fs/cgroup/job/step/memory.max", "max\n");
    put ("sys/fs/cgroup/job/step/cpu.max", "max 100000\n");
    put ("sys/fs/cgroup/job/memory.max", "1073741824\n");
    put ("sys/fs/cgroup/job/memory.current", "524288000\n");
    put ("sys/fs/cgroup/job/memory.stat", "anon 1\ninactive_file 104857600\nactive_file 7\n");
    put ("sys/fs/cgroup/job/cpu.max", "50000 100000\n");
    cr_assert_eq (test_budget_memory (root), (1024 - 400) * MIB / 100 * 90);
    cr_assert_eq (test_budget_cpus (root), 1, "half a CPU is one CPU");
}

Test (budget, a_tree_that_begins_with_the_container)
{
    put ("proc/self/cgroup", "4:memory:/docker/1234\n2:cpu,cpuacct:/docker/1234\n");
    put ("sys/fs/cgroup/memory/memory.limit_in_bytes", "209715200\n");
    put ("sys/fs/cgroup/memory/memory.usage_in_bytes", "209715200\n");
    put ("sys/fs/cgroup/memory/memory.stat", "cache 1\ntotal_inactive_file 104857600\n");
    put ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    put ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    cr_assert_eq (test_budget_memory (root), 100 * MIB / 100 * 90);
    cr_assert_eq (test_budget_cpus (root), test_budget_cpus ("/nowhere"));
    put ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000\n");
    cr_assert_eq (test_budget_cpus (root), 1);
}

Test (budget, nonsense_is_no_limit)
{
    put ("proc/meminfo", "MemAvailable:   1024 kB\n");
    put ("proc/self/cgroup", "nonsense\n0::\n0::/../..\n:::::\n");
    put ("sys/fs/cgroup/memory.max", "many\n");
    put ("sys/fs/cgroup/cpu.max", "1\n");
    cr_assert_eq (test_budget_memory (root), MIB / 100 * 90);
    cr_assert_geq (test_budget_cpus (root), 1);
}
