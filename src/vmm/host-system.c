/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of the host probe that is not KVM: memory, limits, and the kernel facilities that a machine uses
 * or is confined with. Each is found by the cheapest call that tells, never by the kernel's version.
 */
#include "vmm/host-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MIB (1024.0 * 1024)
#define GIB (1024.0 * MIB)
#define LITTLE_MEMORY (256ull << 20)
#define FEW_FILES 256
#define LANDLOCK_VERSION_QUESTION 1u

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#endif

static char *
format_bytes (uint64_t bytes)
{
    double value = (double)bytes;

    return value >= GIB ? g_strdup_printf ("%.4g GiB", value / GIB)
                        : g_strdup_printf ("%.0f MiB", value / MIB);
}

/* One "Name:   123 kB" line of /proc/meminfo, as bytes; 0 where there is none. */
static uint64_t
meminfo_field (const char *meminfo, const char *name)
{
    g_autofree char *key = g_strconcat (name, ":", NULL);
    const char *at = meminfo;

    while (!g_str_has_prefix (at, key)) {
        at = strchr (at, '\n');
        if (at++ == NULL)
            return 0;
    }
    return g_ascii_strtoull (at + strlen (key), NULL, 10) * 1024;
}

static void
probe_memory (VmmHostReport *report, const char *root)
{
    g_autofree char *path = g_strconcat (root, "/proc/meminfo", NULL);
    g_autofree char *meminfo = NULL;

    if (!g_file_get_contents (path, &meminfo, NULL, NULL))
        return;
    report->facts.memory_total = meminfo_field (meminfo, "MemTotal");
    report->facts.memory_available = meminfo_field (meminfo, "MemAvailable");

    bool little = report->facts.memory_available < LITTLE_MEMORY;
    g_autofree char *total = format_bytes (report->facts.memory_total);
    g_autofree char *available = format_bytes (report->facts.memory_available);
    vmm_host_report_add (report, "memory.available", "memory", little ? VMM_HOST_WARNING : VMM_HOST_OK,
                         g_strdup_printf ("%s of %s available", available, total),
                         little ? "too little for most guests: they would make the host swap"
                                : "guests get their memory from here, page by page as they touch it",
                         little ? "stop other programs, or give machines less with --mem" : NULL);
}

/* The kernel puts the mode in force into brackets: "always [madvise] never". */
static void
probe_thp (VmmHostReport *report, const char *root)
{
    g_autofree char *line = vmm_host_read_line (root, "/sys/kernel/mm/transparent_hugepage/enabled");
    char *mode = line != NULL ? strchr (line, '[') : NULL;
    char *end = mode != NULL ? strchr (mode, ']') : NULL;

    if (end == NULL)
        return;
    *end = '\0';
    g_strlcpy (report->facts.thp_mode, mode + 1, sizeof report->facts.thp_mode);

    bool never = g_str_equal (mode + 1, "never");
    vmm_host_report_add (
        report, "memory.thp", "transparent huge pages", never ? VMM_HOST_NOTE : VMM_HOST_OK,
        g_strdup (mode + 1),
        never ? "guest memory comes in small pages, which costs memory-heavy guests some speed"
              : "the kernel may back guest memory with huge pages by itself",
        never ? "\"echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled\"" : NULL);
}

static int
compare_page_sizes (const void *a, const void *b)
{
    const VmmHostHugePages *x = (const VmmHostHugePages *)a, *y = (const VmmHostHugePages *)b;

    return (x->size > y->size) - (x->size < y->size);
}

static uint64_t
read_number (const char *root, const char *folder, const char *name, const char *file)
{
    g_autofree char *path = g_strdup_printf ("%s/%s/%s", folder, name, file);
    g_autofree char *line = vmm_host_read_line (root, path);

    return line != NULL ? g_ascii_strtoull (line, NULL, 10) : 0;
}

static void
read_hugepages (VmmHostFacts *facts, const char *root)
{
    const char *folder = "/sys/kernel/mm/hugepages";
    g_autofree char *full = g_strconcat (root, folder, NULL);
    g_autoptr (GDir) dir = g_dir_open (full, 0, NULL);
    const char *name;

    while (dir != NULL && facts->n_hugepages < VMM_HOST_MAX_PAGE_SIZES &&
           (name = g_dir_read_name (dir)) != NULL) {
        if (!g_str_has_prefix (name, "hugepages-"))
            continue;
        facts->hugepages[facts->n_hugepages++] = (VmmHostHugePages){
            .size = g_ascii_strtoull (name + strlen ("hugepages-"), NULL, 10) * 1024,
            .total = read_number (root, folder, name, "nr_hugepages"),
            .free = read_number (root, folder, name, "free_hugepages"),
        };
    }
    qsort (facts->hugepages, facts->n_hugepages, sizeof facts->hugepages[0], compare_page_sizes);
}

static void
probe_hugepages (VmmHostReport *report, const char *root)
{
    g_autoptr (GString) pools = g_string_new (NULL);
    uint64_t total = 0;

    read_hugepages (&report->facts, root);
    for (unsigned i = 0; i < report->facts.n_hugepages; i++) {
        const VmmHostHugePages *pool = &report->facts.hugepages[i];
        g_autofree char *size = format_bytes (pool->size);
        g_string_append_printf (pools, "%s%s: %" G_GINT64_MODIFIER "u of %" G_GINT64_MODIFIER "u free",
                                pools->len > 0 ? ", " : "", size, (guint64)pool->free, (guint64)pool->total);
        total += pool->total;
    }
    if (report->facts.n_hugepages == 0)
        g_string_assign (pools, "not supported");
    vmm_host_report_add (
        report, "memory.hugepages", "huge page pools", VMM_HOST_OK, g_strdup (pools->str),
        total > 0 ? "reserved pages, for machines that ask for them"
                  : "nothing is reserved; only machines that ask for huge pages need it",
        total > 0 || report->facts.n_hugepages == 0
            ? NULL
            : "512 MiB of them: \"sudo sysctl vm.nr_hugepages=256\" (where a page has 2 MiB)");
}

static uint64_t
limit_value (rlim_t value)
{
    return value == RLIM_INFINITY ? G_MAXUINT64 : (uint64_t)value;
}

static char *
format_limit (uint64_t value)
{
    return value == G_MAXUINT64 ? g_strdup ("unlimited")
                                : g_strdup_printf ("%" G_GINT64_MODIFIER "u", (guint64)value);
}

static void
probe_limits (VmmHostReport *report)
{
    VmmHostFacts *facts = &report->facts;
    struct rlimit limit;

    if (getrlimit (RLIMIT_MEMLOCK, &limit) == 0) {
        facts->limit_memlock = limit_value (limit.rlim_cur);
        vmm_host_report_add (report, "limits.memlock", "locked memory", VMM_HOST_OK,
                             facts->limit_memlock == G_MAXUINT64 ? g_strdup ("unlimited")
                                                                 : format_bytes (facts->limit_memlock),
                             "only guest memory that is locked into RAM counts against it", NULL);
    }
    if (getrlimit (RLIMIT_NOFILE, &limit) == 0) {
        facts->limit_nofile = limit_value (limit.rlim_cur);
        facts->limit_nofile_hard = limit_value (limit.rlim_max);
        bool few = facts->limit_nofile < FEW_FILES;
        vmm_host_report_add (report, "limits.nofile", "open files", few ? VMM_HOST_WARNING : VMM_HOST_OK,
                             format_limit (facts->limit_nofile),
                             few ? "a machine with many vCPUs or queues needs more"
                                 : "each vCPU and each queue of a device takes a few",
                             few ? "raise it with \"ulimit -n 1024\"" : NULL);
    }
}

/* An answer other than ENOSYS and EPERM means that the facility is there and open to this process. */
static bool
syscall_available (long result)
{
    if (result >= 0) {
        close ((int)result);
        return true;
    }
    return errno != ENOSYS && errno != EPERM;
}

static void
probe_facilities (VmmHostReport *report, const char *root)
{
    VmmHostFacts *facts = &report->facts;

    /* No parameters: the kernel answers EFAULT after it has decided whether this process may. */
    facts->io_uring = syscall_available (syscall (SYS_io_uring_setup, 1, NULL));
    vmm_host_report_add (report, "kernel.io-uring", "io_uring", facts->io_uring ? VMM_HOST_OK : VMM_HOST_NOTE,
                         g_strdup (facts->io_uring ? "yes" : "no"),
                         facts->io_uring ? "disks can be served without a thread for each request"
                                         : "disks are served by threads instead",
                         facts->io_uring ? NULL
                                         : "see the sysctl kernel.io_uring_disabled, and container rules");

    facts->userfaultfd = syscall_available (syscall (SYS_userfaultfd, O_CLOEXEC));
    if (!facts->userfaultfd) {
        g_autofree char *node = g_strconcat (root, "/dev/userfaultfd", NULL);
        facts->userfaultfd = access (node, R_OK | W_OK) == 0;
    }
    vmm_host_report_add (report, "kernel.userfaultfd", "userfaultfd",
                         facts->userfaultfd ? VMM_HOST_OK : VMM_HOST_NOTE,
                         g_strdup (facts->userfaultfd ? "yes" : "no"),
                         facts->userfaultfd ? "guest memory can be brought in when it is first touched"
                                            : "guest memory cannot be brought in when it is first touched",
                         facts->userfaultfd ? NULL
                                            : "give this user /dev/userfaultfd, or set the sysctl "
                                              "vm.unprivileged_userfaultfd to 1");
}

static void
probe_confinement (VmmHostReport *report, const char *root)
{
    VmmHostFacts *facts = &report->facts;
    g_autofree char *controllers = vmm_host_read_line (root, "/sys/fs/cgroup/cgroup.controllers");
    g_autofree char *hybrid = vmm_host_read_line (root, "/sys/fs/cgroup/unified/cgroup.controllers");
    uint32_t action = SECCOMP_RET_KILL_PROCESS;

    facts->seccomp = syscall (SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
    vmm_host_report_add (report, "kernel.seccomp", "seccomp", facts->seccomp ? VMM_HOST_OK : VMM_HOST_WARNING,
                         g_strdup (facts->seccomp ? "yes" : "no"),
                         facts->seccomp ? "vmm's threads can be held to the system calls they need"
                                        : "vmm's threads cannot be held to the system calls they need",
                         facts->seccomp ? NULL : "use a kernel with CONFIG_SECCOMP_FILTER");

    long abi = syscall (SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION_QUESTION);
    facts->landlock_abi = abi > 0 ? (int)abi : 0;
    vmm_host_report_add (
        report, "kernel.landlock", "Landlock", abi > 0 ? VMM_HOST_OK : VMM_HOST_NOTE,
        abi > 0 ? g_strdup_printf ("version %ld", abi) : g_strdup ("no"),
        abi > 0 ? "vmm can be held to the files it was given"
                : "vmm cannot be held to the files it was given",
        abi > 0 ? NULL : "use a kernel with Landlock in CONFIG_LSM or on its command line, \"lsm=\"");

    facts->cgroup2 = controllers != NULL || hybrid != NULL;
    vmm_host_report_add (report, "kernel.cgroup2", "cgroup v2", facts->cgroup2 ? VMM_HOST_OK : VMM_HOST_NOTE,
                         g_strdup (controllers != NULL ? "yes"
                                   : facts->cgroup2    ? "beside v1"
                                                       : "no"),
                         facts->cgroup2 ? "the host can bound a machine's memory and processor time"
                                        : "no cgroup v2 tree is mounted to bound a machine's resources with",
                         facts->cgroup2 ? NULL
                                        : "mount one with \"sudo mount -t cgroup2 none /sys/fs/cgroup\"");
}

/* Adds the findings on everything but KVM to @report. */
void
vmm_host_probe_system (VmmHostReport *report, const char *root)
{
    probe_memory (report, root);
    probe_thp (report, root);
    probe_hugepages (report, root);
    probe_limits (report);
    probe_facilities (report, root);
    probe_confinement (report, root);
}
