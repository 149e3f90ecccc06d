/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs several commands in turn, many rounds of them, and prints how long each run took. In turn, because a
 * machine gets faster and slower by the minute: what is compared must have had the same weather.
 *
 *     interleave ROUNDS PRELOAD COMMAND... [: COMMAND...]...
 *
 * Prints "COMMAND_INDEX EXIT_CODE WHOLE_NS FIRST_NS" for each run. Each command runs twice a round: once as
 * it is, for the whole process, and once with PRELOAD (first-run.c) for the time to the first guest
 * instruction.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_COMMANDS = 32 };

static uint64_t
now (void)
{
    struct timespec time;
    clock_gettime (CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void
die (const char *what)
{
    fprintf (stderr, "interleave: %s: %s\n", what, strerror (errno));
    exit (1);
}

/* The child; vfork's rules hold: nothing but dup2, setenv-free exec and _exit. */
static void
run_child (char **command, char **environment, int null)
{
    dup2 (null, 0);
    dup2 (null, 1);
    execve (command[0], command, environment);
    _exit (127);
}

/* Returns the time of the whole process, and in ret_first that to the first guest instruction, 0 for unknown.
 */
static uint64_t
time_run (char **command, char **environment, int pipe_in, int *ret_status, uint64_t *ret_first)
{
    static int null = -1;
    if (null < 0)
        null = open ("/dev/null", O_RDWR | O_CLOEXEC);
    uint64_t start = now ();
    pid_t pid = vfork ();
    if (pid == 0)
        run_child (command, environment, null);
    if (pid < 0 || waitpid (pid, ret_status, 0) != pid)
        die ("vfork");
    uint64_t end = now ();
    uint64_t first;
    *ret_first = read (pipe_in, &first, sizeof first) == sizeof first ? first - start : 0;
    return end - start;
}

int
main (int argc, char **argv)
{
    char **commands[MAX_COMMANDS];
    int n_commands = 0, ends[2], status;
    char preload[4096], fd_name[64];
    uint64_t first, ignored;

    if (argc < 4) {
        fprintf (stderr, "usage: interleave ROUNDS PRELOAD COMMAND... [: COMMAND...]...\n");
        return 2;
    }
    for (int i = 2; i < argc && n_commands < MAX_COMMANDS; i++) {
        if (i == 2 || !strcmp (argv[i], ":")) {
            commands[n_commands++] = argv + i + 1;
            if (i > 2)
                argv[i] = NULL;
        }
    }
    if (pipe2 (ends, O_NONBLOCK) != 0 || fcntl (ends[0], F_SETFD, FD_CLOEXEC) != 0)
        die ("pipe");
    snprintf (preload, sizeof preload, "LD_PRELOAD=%s", argv[2]);
    snprintf (fd_name, sizeof fd_name, "FIRST_RUN_FD=%d", ends[1]);
    char path[] = "PATH=/usr/bin:/bin";
    char *plain[] = {path, NULL}, *watched[] = {path, preload, fd_name, NULL};
    for (long round = strtol (argv[1], NULL, 10); round > 0; round--) {
        for (int i = 0; i < n_commands; i++) {
            uint64_t whole = time_run (commands[i], plain, ends[0], &status, &ignored);
            int code = WIFEXITED (status) ? WEXITSTATUS (status) : 128 + WTERMSIG (status);
            time_run (commands[i], watched, ends[0], &status, &first);
            printf ("%d %d %llu %llu\n", i, code, (unsigned long long)whole, (unsigned long long)first);
        }
    }
    return 0;
}
