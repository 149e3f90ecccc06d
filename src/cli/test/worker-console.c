/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A console of the machine: one end of a pair of sockets, whose other end the machine has. What comes goes in
 * pieces to all who look at it, none of whom keeps more than a bounded part, and is read as fast as that: a
 * guest that is faster is made to wait by its device. What goes to the guest waits here until it takes it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker-internal.h"
#include "write-all.h"

#define CHUNK 65536u
#define HEAD_MAX (64u << 10)
#define TAIL_MAX (128u << 10)
#define LOGS_MAX 10000u
/* Of a name, which may be of 255 bytes; the matrix makes longer ones. */
#define LOG_NAME_MAX 200u

static char *
name_log (const TestConsole *console)
{
    const char *run = console->worker->run->name;
    size_t len = MIN (strlen (run), LOG_NAME_MAX - MIN (strlen (console->name), LOG_NAME_MAX));
    char *name;

    /* Not inside of a character. */
    while (len > 0 && ((unsigned char)run[len] & 0xc0) == 0x80)
        len--;
    name = g_strdup_printf ("%.*s.%s", (int)len, run, console->name);
    for (char *p = name; *p != '\0'; p++) {
        if (*p == '/' || (unsigned char)*p <= ' ' || *p == 0x7f)
            *p = '_';
    }
    return name;
}

/* Never the same one twice: logs of a run that is repeated stand beside each other. */
static bool
open_log (TestConsole *console, GError **error)
{
    const char *folder = console->worker->results;
    g_autofree char *base = name_log (console);

    if (folder == NULL)
        return true;
    for (unsigned i = 1; i < LOGS_MAX && console->log_fd < 0; i++) {
        g_autofree char *name =
            i == 1 ? g_strdup_printf ("%s.log", base) : g_strdup_printf ("%s.%u.log", base, i);

        g_free (console->log_path);
        console->log_path = g_build_filename (folder, name, NULL);
        console->log_fd = open (console->log_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0666);
        if (console->log_fd < 0 && errno != EEXIST)
            break;
    }
    if (console->log_fd < 0) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "results \"%s\": %s", console->log_path,
                     g_strerror (errno));
        return false;
    }
    return true;
}

static bool
add_forbids (TestConsole *console, GError **error)
{
    const TestRun *run = console->worker->run;

    for (guint i = 0; i < run->forbids->len; i++) {
        const TestForbid *forbid = run->forbids->pdata[i];
        VmmExpectFlags flags = VMM_EXPECT_THROUGHOUT | (forbid->literal ? VMM_EXPECT_LITERAL : 0);

        if (forbid->console >= 0 && forbid->console != console->index)
            continue;
        if (!vmm_expect_add_pattern (console->expect, TEST_STEP_PATTERN + 1 + i, forbid->pattern, flags,
                                     error)) {
            g_prefix_error (error, "forbid \"%s\": ", forbid->name);
            return false;
        }
    }
    return true;
}

/**
 * test_console_new:
 * @name: of the console
 * @index: into the run's consoles, or -1
 *
 * Returns: (transfer full) (nullable): a console whose @guest_fd is for the machine
 */
TestConsole *
test_console_new (TestWorker *worker, const char *name, int index, GError **error)
{
    TestConsole *console = g_new0 (TestConsole, 1);
    int pair[2] = {-1, -1};
    bool ok = socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0;

    if (!ok)
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "a pair of sockets: %s", g_strerror (errno));
    console->worker = worker;
    console->name = g_strdup (name);
    console->index = index;
    console->fd = pair[0];
    console->guest_fd = pair[1];
    console->log_fd = -1;
    console->to_send = g_byte_array_new ();
    console->capture = test_capture_new (HEAD_MAX, TAIL_MAX);
    console->expect = vmm_expect_new (0, true);
    console->log = vmm_kernel_log_new (test_worker_take_report, console);
    if (!ok || !open_log (console, error) || !add_forbids (console, error)) {
        test_console_free (console);
        return NULL;
    }
    return console;
}

static void
close_fd (int *fd)
{
    if (*fd >= 0)
        close (*fd);
    *fd = -1;
}

/**
 * test_console_free:
 * @console: (nullable): the machine has gone
 */
void
test_console_free (TestConsole *console)
{
    if (console == NULL)
        return;
    test_worker_source_clear (&console->readable);
    test_worker_source_clear (&console->writable);
    close_fd (&console->fd);
    close_fd (&console->guest_fd);
    close_fd (&console->log_fd);
    g_byte_array_unref (console->to_send);
    test_capture_free (console->capture);
    vmm_expect_free (console->expect);
    vmm_kernel_log_free (console->log);
    test_shell_free (console->shell);
    g_free (console->log_path);
    g_free (console->log_error);
    g_free (console->name);
    g_free (console);
}

static void
write_log (TestConsole *console, const uint8_t *data, size_t len)
{
    if (console->log_fd < 0 || write_all (console->log_fd, data, len))
        return;
    console->log_error = g_strdup_printf ("\"%s\" is cut short: %s", console->log_path, g_strerror (errno));
    g_ptr_array_add (console->worker->notes, g_strdup (console->log_error));
    close_fd (&console->log_fd);
}

static void
follow_stages (TestConsole *console, const uint8_t *data, size_t len)
{
    TestWorker *worker = console->worker;
    const char *stage;

    if (console != worker->kernel_console)
        return;
    test_timeline_feed (worker->timeline, data, len, test_worker_seconds (worker, console->last_us));
    stage = test_timeline_stage (worker->timeline);
    if (stage == NULL || g_strcmp0 (stage, worker->stage) == 0)
        return;
    g_free (worker->stage);
    worker->stage = g_strdup (stage);
    test_worker_tell_stage (worker, stage);
}

static void
search (TestConsole *console, const uint8_t *data, size_t len)
{
    while (len > 0) {
        size_t n = vmm_expect_feed (console->expect, data, len);

        data += n;
        len -= n;
        console->asks = true;
        test_worker_pump (console->worker);
    }
}

static void
take (TestConsole *console, const uint8_t *data, size_t len)
{
    console->last_us = test_worker_now ();
    console->settled = false;
    console->bytes += len;
    for (const uint8_t *p = data; (p = memchr (p, '\n', (size_t)(data + len - p))) != NULL; p++)
        console->lines++;
    console->at_line_end = data[len - 1] == '\n';
    test_capture_feed (console->capture, data, len);
    write_log (console, data, len);
    follow_stages (console, data, len);
    vmm_kernel_log_feed (console->log, data, len);
    if (console->shell != NULL && test_shell_feed (console->shell, data, len)) {
        TestShell *shell = g_steal_pointer (&console->shell);
        g_autoptr (GBytes) output = test_shell_output (shell, NULL);

        test_command_judge (console->worker, test_shell_status (shell), output);
        test_shell_free (shell);
    }
    search (console, data, len);
    test_worker_heard (console->worker);
}

typedef enum { GOT_SOME, GOT_NONE, GOT_END } Got;

static Got
receive (TestConsole *console)
{
    uint8_t data[CHUNK];
    ssize_t n = console->fd >= 0 ? recv (console->fd, data, sizeof data, MSG_DONTWAIT) : 0;

    if (n > 0)
        take (console, data, (size_t)n);
    if (n > 0 || (n < 0 && errno == EINTR))
        return GOT_SOME;
    return n < 0 && errno == EAGAIN ? GOT_NONE : GOT_END;
}

static gboolean
on_readable (gint fd, GIOCondition condition, gpointer user)
{
    TestConsole *console = user;

    if (receive (console) != GOT_END)
        return G_SOURCE_CONTINUE;
    g_clear_pointer (&console->readable, g_source_unref);
    return G_SOURCE_REMOVE;
}

/**
 * test_console_begin:
 *
 * Listens from now on.
 */
void
test_console_begin (TestConsole *console)
{
    console->readable =
        test_worker_watch (console->worker, console->fd, G_IO_IN | G_IO_HUP, on_readable, console);
}

/**
 * test_console_drain:
 * @max: how often it is read at most
 *
 * Takes what is there.
 */
void
test_console_drain (TestConsole *console, unsigned max)
{
    while (max-- > 0 && receive (console) == GOT_SOME)
        ;
}

/**
 * test_console_end:
 *
 * The machine has gone: takes the last of what it said. What was not decided is decided.
 */
void
test_console_end (TestConsole *console)
{
    test_worker_source_clear (&console->readable);
    test_worker_source_clear (&console->writable);
    close_fd (&console->guest_fd);
    test_console_drain (console, G_MAXUINT);
    close_fd (&console->fd);
    vmm_kernel_log_finish (console->log);
    vmm_expect_settle (console->expect);
    console->settled = true;
    console->asks = true;
    test_worker_pump (console->worker);
}

/**
 * test_console_has_bytes:
 *
 * Returns: whether there is something that was not read yet
 */
bool
test_console_has_bytes (const TestConsole *console)
{
    uint8_t byte;

    return console->fd >= 0 && recv (console->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static gboolean
on_writable (gint fd, GIOCondition condition, gpointer user)
{
    TestConsole *console = user;
    ssize_t n = send (fd, console->to_send->data, console->to_send->len, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n > 0)
        g_byte_array_remove_range (console->to_send, 0, (guint)n);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        g_byte_array_set_size (console->to_send, 0);
    if (console->to_send->len > 0)
        return G_SOURCE_CONTINUE;
    g_clear_pointer (&console->writable, g_source_unref);
    return G_SOURCE_REMOVE;
}

/**
 * test_console_send:
 * @bytes: @len of them, which the guest gets in time
 */
void
test_console_send (TestConsole *console, const void *bytes, size_t len)
{
    g_byte_array_append (console->to_send, bytes, (guint)len);
    if (console->writable == NULL && console->fd >= 0 && len > 0)
        console->writable = test_worker_watch (console->worker, console->fd, G_IO_OUT, on_writable, console);
}

static void
take_forbidden (TestConsole *console, const VmmExpectEvent *event)
{
    TestWorker *worker = console->worker;
    const TestForbid *forbid = worker->run->forbids->pdata[event->id - TEST_STEP_PATTERN - 1];
    g_autofree char *what = NULL;
    g_autofree char *reason = NULL;

    /* A guest may say it a million times. */
    if (test_worker_is_over (worker))
        return;
    if (event->error != NULL) {
        reason = g_strdup_printf ("forbid \"%s\": %s", forbid->name, event->error);
        test_worker_suspect (worker, console, "failed-expectation", reason, 0);
        return;
    }
    what = test_worker_line (event->text.bytes);
    reason = g_strdup_printf ("forbid \"%s\": the guest said \"%s\", on line %" G_GUINT64_FORMAT " of %s",
                              forbid->name, what, event->line, console->name);
    test_worker_suspect (worker, console, "forbidden", reason, event->line);
}

/**
 * test_console_pump:
 *
 * Takes what its patterns found by now, until one of them ends the step.
 *
 * Returns: whether there was something
 */
bool
test_console_pump (TestConsole *console)
{
    VmmExpectEvent event;

    if (!console->asks)
        return false;
    while (!console->worker->advance || test_worker_is_over (console->worker)) {
        if (!vmm_expect_next (console->expect, &event)) {
            console->asks = false;
            break;
        }
        if (event.id == TEST_STEP_PATTERN)
            test_worker_matched (console->worker, console, &event);
        else
            take_forbidden (console, &event);
    }
    return true;
}
