/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/run-out.h"

static GMainContext *context;
static VmmRunOut out;
static size_t taken;
static unsigned n_broken;
static int broken_with;
static uint8_t big[VMM_RUN_OUT_WINDOW + 1];

static void
on_taken (void *user, size_t len)
{
    taken += len;
}

static void
on_broken (void *user, int error)
{
    n_broken++;
    broken_with = error;
}

static void
enter (void)
{
    context = g_main_context_new ();
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (uint8_t)(i * 7 + i / 251);
}

static void
leave (void)
{
    vmm_run_out_clear (&out);
    g_main_context_unref (context);
}

TestSuite (run_out, .init = enter, .fini = leave, .timeout = 30);

static void
open_out (int fd)
{
    vmm_run_out_init (&out, fd, context);
    out.taken = on_taken;
    out.broken = on_broken;
}

/* Reads all that comes, while the output is written; checks it against @expected. */
static void
expect (int fd, const uint8_t *expected, size_t len)
{
    g_autofree uint8_t *got = g_malloc (len);
    size_t at = 0;

    while (at < len) {
        ssize_t n = read (fd, got + at, MIN (len - at, 5000));

        cr_assert (n > 0, "after %zu: %s", at, g_strerror (errno));
        at += (size_t)n;
        g_main_context_iteration (context, FALSE);
    }
    cr_expect (memcmp (got, expected, len) == 0);
}

Test (run_out, slow_reader_gets_all_in_order)
{
    int fds[2];

    cr_assert_eq (pipe2 (fds, O_CLOEXEC), 0);
    open_out (fds[1]);
    cr_expect (vmm_run_out_put (&out, big, 200000));
    cr_expect (vmm_run_out_put (&out, big + 200000, 50000));
    cr_expect_not (vmm_run_out_is_empty (&out));
    cr_expect_lt (taken, 250000u);
    expect (fds[0], big, 250000);
    cr_expect (vmm_run_out_is_empty (&out));
    cr_expect_eq (taken, 250000);
    cr_expect_eq (n_broken, 0);
    cr_expect_eq (fcntl (fds[1], F_GETFL) & O_NONBLOCK, 0, "the flags are not ours");
}

Test (run_out, window_is_the_limit)
{
    int fds[2];
    size_t written;

    cr_assert_eq (pipe2 (fds, O_CLOEXEC), 0);
    open_out (fds[1]);
    cr_expect (vmm_run_out_put (&out, big, VMM_RUN_OUT_WINDOW));
    written = taken;
    cr_expect_gt (written, 0u);
    cr_expect_not (vmm_run_out_put (&out, big, written + 1));
    cr_expect (vmm_run_out_put (&out, big, written));
}

Test (run_out, nowhere)
{
    open_out (-1);
    cr_expect (vmm_run_out_put (&out, big, 1000));
    cr_expect (vmm_run_out_is_empty (&out));
    cr_expect_eq (taken, 1000);
}

/* Without the signal: this process does not ignore it. */
Test (run_out, reader_that_has_gone)
{
    int fds[2];

    cr_assert_eq (pipe2 (fds, O_CLOEXEC), 0);
    close (fds[0]);
    open_out (fds[1]);
    cr_expect (vmm_run_out_put (&out, big, 1000));
    cr_expect (vmm_run_out_put (&out, big, 1000));
    cr_expect (vmm_run_out_is_empty (&out));
    cr_expect_eq (taken, 2000);
    cr_expect_eq (n_broken, 1);
    cr_expect_eq (broken_with, EPIPE);
}

Test (run_out, reader_that_goes_while_output_waits)
{
    int fds[2];

    cr_assert_eq (pipe2 (fds, O_CLOEXEC), 0);
    open_out (fds[1]);
    cr_expect (vmm_run_out_put (&out, big, 200000));
    close (fds[0]);
    for (unsigned i = 0; i < 10; i++)
        g_main_context_iteration (context, FALSE);
    cr_expect (vmm_run_out_is_empty (&out));
    cr_expect_eq (taken, 200000);
    cr_expect_eq (n_broken, 1);
}

Test (run_out, flush_waits_so_long_and_no_longer)
{
    int fds[2];
    gint64 start = g_get_monotonic_time ();

    cr_assert_eq (pipe2 (fds, O_CLOEXEC), 0);
    open_out (fds[1]);
    cr_expect (vmm_run_out_put (&out, big, 200000));
    vmm_run_out_flush (&out, 50000);
    cr_expect_not (vmm_run_out_is_empty (&out));
    cr_expect_geq (g_get_monotonic_time () - start, 50000);
    pid_t reader = fork ();
    if (reader == 0) {
        char text[4096];

        while (read (fds[0], text, sizeof text) > 0)
            ;
        _exit (0);
    }
    vmm_run_out_flush (&out, 20 * G_USEC_PER_SEC);
    cr_expect (vmm_run_out_is_empty (&out));
    cr_expect_eq (taken, 200000);
    /* It has the other end too, as a copy of this process, and would wait for ever. */
    kill (reader, SIGKILL);
    cr_expect_eq (waitpid (reader, NULL, 0), reader);
}
