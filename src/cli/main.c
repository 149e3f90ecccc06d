/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/resource.h>

#include "cmd.h"

static const struct {
    const char *name;
    int (*run) (int argc, char **argv);
} commands[] = {
    {"boot", cmd_boot},     {"ctl", cmd_ctl},         {"disk", cmd_disk},
    {"doctor", cmd_doctor}, {"inspect", cmd_inspect}, {"kernel", cmd_kernel},
    {"record", cmd_record}, {"run", cmd_run},         {"test", cmd_test},
};

/* Where one is closed, the next file to be opened would take its number, and the guest's output or input.
 * What stands in for standard output takes nothing: whoever wanted something that is printed there is to be
 * told.
 */
static void
fill_standard_fds (void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl (fd, F_GETFD) < 0 && errno == EBADF)
            (void)!open ("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_RDWR);
    }
}

/* Each device has some descriptors, and the usual limit is there for programs that use select(). */
static void
raise_descriptor_limit (void)
{
    struct rlimit limit;

    if (getrlimit (RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit (RLIMIT_NOFILE, &limit);
    }
}

int
main (int argc, char **argv)
{
    fill_standard_fds ();
    raise_descriptor_limit ();
    /* Threads of vCPUs allocate next to nothing: an arena for each would only cost memory. */
    mallopt (M_ARENA_MAX, 1);
    /* "vmm --kernel …" is "vmm boot --kernel …": what most people want needs no word for it. */
    if (argc < 2 || argv[1][0] == '-')
        return cmd_boot (argc, argv);
    for (size_t i = 0; i < G_N_ELEMENTS (commands); i++) {
        if (strcmp (argv[1], commands[i].name) == 0)
            return commands[i].run (argc - 1, argv + 1);
    }
    fprintf (
        stderr,
        "vmm: \"%s\" is no command: say boot, run, test, record, ctl, disk, doctor, inspect or kernel, or "
        "options only; see vmm --help\n",
        argv[1]);
    return 2;
}
