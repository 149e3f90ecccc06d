/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many machines this host can take at the same time. What the host has is not what this process may use:
 * a container's limits are in the control groups, in its own one and in those above it, in one of two forms
 * (Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst of the kernel).
 */
#include "budget.h"

#include <glib.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* How much is left to the rest of the host. */
#define MEMORY_PERCENT 90u
#define MAX_CPUS 8192u

/* Where a form of control groups has what. */
typedef struct {
    const char *mount;
    const char *controller; /* as /proc/self/cgroup names it, with a comma on both sides */
    const char *limit, *usage, *inactive, *quota, *period;
} Form;

static const Form forms[] = {
    {"/sys/fs/cgroup", ",,", "memory.max", "memory.current", "inactive_file ", "cpu.max", NULL},
    {"/sys/fs/cgroup/memory", ",memory,", "memory.limit_in_bytes", "memory.usage_in_bytes",
     "total_inactive_file ", NULL, NULL},
    {"/sys/fs/cgroup/cpu", ",cpu,", NULL, NULL, NULL, "cpu.cfs_quota_us", "cpu.cfs_period_us"},
};

static char *
read_file (const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename (folder, name, NULL);
    char *text = NULL;

    g_file_get_contents (path, &text, NULL, NULL);
    return text;
}

/* Returns false when there is no number at the begin of @text: "max", or nothing. */
static bool
parse_number (const char *text, uint64_t *ret_number)
{
    if (text == NULL || !g_ascii_isdigit (*text))
        return false;
    *ret_number = g_ascii_strtoull (text, NULL, 10);
    return true;
}

/* Behind @word, which begins a line. */
static uint64_t
number_behind (const char *text, const char *word)
{
    size_t len = strlen (word);

    for (const char *line = text; line != NULL; line = strchr (line, '\n')) {
        line += *line == '\n';
        if (strncmp (line, word, len) == 0)
            return g_ascii_strtoull (line + len, NULL, 10);
    }
    return 0;
}

/* The group of this process, as a path from the top of @form's tree. NULL: @form is not in use. */
static char *
find_group (const char *root, const Form *form)
{
    g_autofree char *text = read_file (root, "proc/self/cgroup");
    g_auto (GStrv) lines = text != NULL ? g_strsplit (text, "\n", -1) : NULL;

    /* "4:cpu,cpuacct:/a/b", "0::/a/b" */
    for (char **line = lines; line != NULL && *line != NULL; line++) {
        g_auto (GStrv) parts = g_strsplit (*line, ":", 3);
        g_autofree char *controllers = g_strv_length (parts) == 3 ? g_strdup_printf (",%s,", parts[1]) : NULL;

        if (controllers != NULL && strstr (controllers, form->controller) != NULL)
            return g_strdup (parts[2]);
    }
    return NULL;
}

typedef uint64_t (*LimitFunc) (const Form *form, const char *folder);

/* The least that @get finds in the group of this process and in those above it. */
static uint64_t
find_least (const char *root, const Form *form, LimitFunc get)
{
    g_autofree char *group = find_group (root, form);
    g_autofree char *top = g_build_filename (root, form->mount, NULL);
    g_autofree char *folder = group != NULL ? g_build_filename (top, group, NULL) : NULL;
    uint64_t least = G_MAXUINT64;

    /* In a container the tree may begin with its own group, whose path is that from outside. */
    while (folder != NULL && g_str_has_prefix (folder, top) && strlen (folder) > strlen (top)) {
        char *above = g_path_get_dirname (folder);

        least = MIN (least, get (form, folder));
        g_free (folder);
        folder = above;
    }
    return MIN (least, get (form, top));
}

static uint64_t
memory_of_group (const Form *form, const char *folder)
{
    g_autofree char *limit_text = form->limit != NULL ? read_file (folder, form->limit) : NULL;
    g_autofree char *usage_text = form->usage != NULL ? read_file (folder, form->usage) : NULL;
    g_autofree char *stat = read_file (folder, "memory.stat");
    uint64_t limit, usage = 0, inactive;

    if (!parse_number (limit_text, &limit))
        return G_MAXUINT64;
    parse_number (usage_text, &usage);
    /* The kernel takes back what it keeps of files, as soon as somebody needs the room. */
    inactive = form->inactive != NULL ? number_behind (stat, form->inactive) : 0;
    usage -= MIN (usage, inactive);
    return limit - MIN (limit, usage);
}

/* "200000 100000" or "max 100000", or these in two files, with -1 for no limit. */
static uint64_t
cpus_of_group (const Form *form, const char *folder)
{
    g_autofree char *quota_text = form->quota != NULL ? read_file (folder, form->quota) : NULL;
    g_autofree char *period_text = form->period != NULL ? read_file (folder, form->period) : NULL;
    const char *second = period_text != NULL  ? period_text
                         : quota_text != NULL ? strchr (quota_text, ' ')
                                              : NULL;
    uint64_t quota, period = second != NULL ? g_ascii_strtoull (second, NULL, 10) : 0;

    if (!parse_number (quota_text, &quota) || period == 0)
        return G_MAXUINT64;
    return MAX ((quota + period - 1) / period, 1);
}

static uint64_t
find_limit (const char *root, LimitFunc get)
{
    uint64_t least = G_MAXUINT64;

    for (size_t i = 0; i < G_N_ELEMENTS (forms); i++)
        least = MIN (least, find_least (root, &forms[i], get));
    return least;
}

static unsigned
count_allowed_cpus (void)
{
    cpu_set_t *set = CPU_ALLOC (MAX_CPUS);
    size_t size = CPU_ALLOC_SIZE (MAX_CPUS);
    int n = set != NULL && sched_getaffinity (0, size, set) == 0 ? CPU_COUNT_S (size, set) : 0;

    CPU_FREE (set);
    return n > 0 ? (unsigned)n : g_get_num_processors ();
}

/**
 * test_budget_cpus:
 * @root: "/", or a tree to be tested with
 *
 * Returns: how many CPUs this process may use
 */
unsigned
test_budget_cpus (const char *root)
{
    return (unsigned)MIN (find_limit (root, cpus_of_group), count_allowed_cpus ());
}

/**
 * test_budget_memory:
 * @root: "/", or a tree to be tested with
 *
 * Returns: bytes that machines may have without hurting the host
 */
uint64_t
test_budget_memory (const char *root)
{
    g_autofree char *text = read_file (root, "proc/meminfo");
    uint64_t available = number_behind (text, "MemAvailable:") * 1024;

    if (available == 0)
        available = G_MAXUINT64;
    available = MIN (available, find_limit (root, memory_of_group));
    return available / 100 * MEMORY_PERCENT;
}
