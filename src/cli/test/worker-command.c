/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands in the guest. With a [guest], vmm-init starts one: the scenario's own, whose end is the machine's,
 * or a shell that the steps' commands are given to, through a pipe. Without one, a step's command is typed at
 * the shell that some console shows.
 *
 * A command's output is searched as it comes, in constant memory, as a console is; its beginning and its end
 * are kept for people. The shell tells a command's end in its output. Standard error is another stream, which
 * may come later: so the shell is then asked to write a mark there, and all before it was the command's.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "worker-internal.h"

#define PIPE_BYTES (1 << 20)
/* Of an output, its beginning and its end: what a result holds. */
#define PART_MAX 8192u
#define PATIENCE_US (2 * G_USEC_PER_SEC)

static void
close_fd (int *fd)
{
    if (*fd >= 0)
        close (*fd);
    *fd = -1;
}

static bool
open_stream (TestWorker *worker, TestStream *stream, bool input, GError **error)
{
    int fds[2];

    if (pipe2 (fds, O_CLOEXEC) < 0) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "a pipe: %s", g_strerror (errno));
        return false;
    }
    stream->worker = worker;
    stream->fd = fds[input ? 1 : 0];
    stream->theirs = fds[input ? 0 : 1];
    fcntl (stream->fd, F_SETFL, O_NONBLOCK);
    /* At the machine's end there is nobody to read while its last words are written. */
    fcntl (stream->fd, F_SETPIPE_SZ, PIPE_BYTES);
    return true;
}

/**
 * test_command_open:
 *
 * Makes the streams of the guest's command.
 *
 * Returns: false with an error
 */
bool
test_command_open (TestWorker *worker, GError **error)
{
    TestCommand *command = &worker->command;
    bool shell = worker->run->command == NULL;

    if ((shell && !open_stream (worker, &command->in, true, error)) ||
        !open_stream (worker, &command->out, false, error) ||
        !open_stream (worker, &command->err, false, error))
        return false;
    command->to_send = g_byte_array_new ();
    command->held = g_string_new (NULL);
    command->said = test_capture_new (PART_MAX, PART_MAX);
    command->complained = test_capture_new (PART_MAX, PART_MAX);
    vmm_run_set_streams (worker->guest, command->in.theirs, command->out.theirs, command->err.theirs);
    return true;
}

static void
judge (TestWorker *worker)
{
    TestCommand *command = &worker->command;
    g_autoptr (GBytes) output = g_steal_pointer (&command->output);

    g_clear_pointer (&command->mark, g_free);
    test_worker_timer_stop (command->patience);
    test_command_judge (worker, command->status, output);
}

/**
 * test_command_on_patience:
 *
 * A timer: the mark does not come.
 */
void
test_command_on_patience (TestWorker *worker)
{
    if (worker->command.mark == NULL)
        return;
    judge (worker);
    test_worker_pump (worker);
}

static gboolean
on_writable (gint fd, GIOCondition condition, gpointer user)
{
    TestCommand *command = user;
    ssize_t n = write (fd, command->to_send->data, command->to_send->len);

    if (n > 0)
        g_byte_array_remove_range (command->to_send, 0, (guint)n);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        g_byte_array_set_size (command->to_send, 0);
    if (command->to_send->len > 0)
        return G_SOURCE_CONTINUE;
    if (command->finishes)
        close_fd (&command->in.fd);
    g_clear_pointer (&command->in.source, g_source_unref);
    return G_SOURCE_REMOVE;
}

static void
give (TestWorker *worker, const void *bytes, size_t len)
{
    TestCommand *command = &worker->command;

    g_byte_array_append (command->to_send, bytes, (guint)len);
    if (command->in.source == NULL && command->in.fd >= 0)
        command->in.source = test_worker_watch (worker, command->in.fd, G_IO_OUT, on_writable, command);
}

/* The command has ended, and its output with it. */
static void
ask_for_mark (TestWorker *worker)
{
    TestCommand *command = &worker->command;
    g_autofree char *line = NULL;

    command->status = test_shell_status (command->shell);
    command->output = test_shell_output (command->shell, NULL);
    g_clear_pointer (&command->shell, test_shell_free);
    command->mark = g_strdup_printf ("vmm-test-%08x-%u", g_random_int (), command->n_marks++);
    line = g_strdup_printf ("echo %s >&2\n", command->mark);
    give (worker, line, strlen (line));
    test_worker_timer_arm (command->patience, test_worker_now () + PATIENCE_US);
}

static void
take_output (TestWorker *worker, const uint8_t *data, size_t len)
{
    TestCommand *command = &worker->command;

    if (worker->run->command != NULL)
        test_capture_feed (command->said, data, len);
    else if (command->shell != NULL && test_shell_feed (command->shell, data, len))
        ask_for_mark (worker);
}

/* @len bytes of what is held are no part of the mark. */
static void
let_go (TestCommand *command, size_t len)
{
    test_capture_feed (command->complained, (const uint8_t *)command->held->str, len);
    test_search_feed (&command->errors, command->held->str, len);
    g_string_erase (command->held, 0, (gssize)len);
}

static void
take_error (TestWorker *worker, const uint8_t *data, size_t len)
{
    TestCommand *command = &worker->command;
    size_t mark = command->mark != NULL ? strlen (command->mark) : 0;
    const char *found = NULL;

    g_string_append_len (command->held, (const char *)data, (gssize)len);
    if (mark > 0)
        found = memmem (command->held->str, command->held->len, command->mark, mark);
    if (found == NULL) {
        size_t keep = mark > 0 ? mark - 1 : 0;

        let_go (command, command->held->len - MIN (command->held->len, keep));
        return;
    }
    let_go (command, (size_t)(found - command->held->str));
    g_string_truncate (command->held, 0);
    judge (worker);
}

/* Whether there may be more. */
static bool
receive (TestStream *stream)
{
    TestWorker *worker = stream->worker;
    uint8_t data[65536];
    ssize_t n = stream->fd >= 0 ? read (stream->fd, data, sizeof data) : 0;

    if (n > 0 && stream == &worker->command.out)
        take_output (worker, data, (size_t)n);
    else if (n > 0)
        take_error (worker, data, (size_t)n);
    if (n > 0)
        test_worker_mark_active (worker);
    return n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN));
}

static gboolean
on_readable (gint fd, GIOCondition condition, gpointer user)
{
    TestStream *stream = user;
    bool more = receive (stream);

    test_worker_pump (stream->worker);
    if (more)
        return G_SOURCE_CONTINUE;
    g_clear_pointer (&stream->source, g_source_unref);
    return G_SOURCE_REMOVE;
}

static void
listen_to (TestStream *stream)
{
    stream->source =
        test_worker_watch (stream->worker, stream->fd, G_IO_IN | G_IO_HUP | G_IO_ERR, on_readable, stream);
}

/**
 * test_command_begin:
 *
 * Listens to the guest's command from now on, if it has one.
 */
void
test_command_begin (TestWorker *worker)
{
    if (worker->guest == NULL)
        return;
    listen_to (&worker->command.out);
    listen_to (&worker->command.err);
}

static void
look_for (TestSearch *search, const char *pattern)
{
    g_autoptr (GError) error = NULL;

    test_search_clear (search);
    if (pattern != NULL && !test_search_init (search, pattern, true, &error))
        search->wrong = g_strdup (error->message);
}

/* All of the output is searched, of which only the beginning and the end are kept. */
static void
on_output (void *user, const uint8_t *data, size_t len)
{
    TestWorker *worker = user;
    TestCommand *command = &worker->command;
    const TestStep *step = test_worker_step (worker);

    if (data == NULL) {
        look_for (&command->wanted, step != NULL ? step->output : NULL);
        look_for (&command->unwanted, step != NULL ? step->output_not : NULL);
        return;
    }
    test_search_feed (&command->wanted, data, len);
    test_search_feed (&command->unwanted, data, len);
}

static TestShell *
new_shell (TestWorker *worker, bool console)
{
    TestShell *shell = test_shell_new (console);

    test_shell_watch (shell, on_output, worker);
    return shell;
}

static TestShell *
give_to_console (TestWorker *worker, const TestStep *step, GError **error)
{
    TestConsole *console = worker->consoles->pdata[step->console];
    TestShell *shell = new_shell (worker, true);
    g_autoptr (GBytes) bytes = test_shell_command (shell, step->text, error);

    if (bytes != NULL)
        test_console_send (console, g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
    console->shell = shell;
    return bytes != NULL ? shell : NULL;
}

static TestShell *
give_to_guest (TestWorker *worker, const TestStep *step, GError **error)
{
    TestCommand *command = &worker->command;
    TestShell *shell = new_shell (worker, false);
    g_autoptr (GBytes) bytes = test_shell_command (shell, step->text, error);

    command->shell = shell;
    test_capture_free (command->complained);
    command->complained = test_capture_new (PART_MAX, PART_MAX);
    test_search_clear (&command->errors);
    if (bytes == NULL ||
        (step->error != NULL && !test_search_init (&command->errors, step->error, true, error)))
        return NULL;
    give (worker, g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
    return shell;
}

/**
 * test_command_run:
 * @step: the one that is being done
 *
 * Gives its command to a shell; test_command_judge() follows.
 */
void
test_command_run (TestWorker *worker, const TestStep *step)
{
    bool in_guest = worker->guest != NULL && worker->run->command == NULL;
    g_autoptr (GError) error = NULL;

    if ((in_guest ? give_to_guest : give_to_console) (worker, step, &error) == NULL)
        test_worker_fail (worker, "setup", "%s", error->message);
}

static TestCapture *
capture_output (GBytes *output)
{
    TestCapture *capture = test_capture_new (PART_MAX, PART_MAX);

    if (output != NULL)
        test_capture_feed (capture, g_bytes_get_data (output, NULL), g_bytes_get_size (output));
    return capture;
}

/* For people: what the command said last; its complaints tell more than its output. */
static char *
last_line (TestWorker *worker, GBytes *output)
{
    g_autoptr (TestCapture) capture = capture_output (output);
    TestCapture *complained = worker->command.complained;
    const char *line = complained != NULL ? test_capture_last_line (complained) : "";

    return g_strdup (*line != '\0' ? line : test_capture_last_line (capture));
}

/**
 * test_command_is_status:
 * @status: what a command ended with
 * @wanted: as @status of #TestStep
 */
bool
test_command_is_status (int status, int wanted)
{
    return wanted == TEST_STATUS_ANY || (wanted == TEST_STATUS_FAILURE ? status != 0 : status == wanted);
}

static bool
check_status (TestWorker *worker, const TestStep *step, int status, GBytes *output)
{
    g_autofree char *what = NULL;
    g_autofree char *last = NULL;

    if (test_command_is_status (status, step->status))
        return true;
    what = test_worker_line (step->text);
    last = last_line (worker, output);
    if (step->status == TEST_STATUS_FAILURE)
        test_worker_fail (worker, "command-failed",
                          "\"%s\" exited with 0, and a failure was expected; its last line was \"%s\"", what,
                          last);
    else
        test_worker_fail (worker, "command-failed",
                          "\"%s\" exited with %d, and %d was expected; its last line was \"%s\"", what,
                          status, step->status, last);
    return false;
}

/* Whether the command's output is as it should be, which was looked at as it came. */
static bool
check_output (TestWorker *worker, const TestStep *step, TestSearch *search, bool want, GBytes *output)
{
    g_autofree char *what = NULL;
    g_autofree char *last = NULL;

    if (test_search_finish (search) == want && search->wrong == NULL)
        return true;
    if (search->wrong != NULL) {
        test_worker_fail (worker, "failed-expectation", "%s", search->wrong);
        return false;
    }
    what = test_worker_line (want ? step->output : step->output_not);
    last = last_line (worker, output);
    test_worker_fail (worker, "failed-expectation",
                      "%s match for /%s/ in the output of \"%s\"; its last line was \"%s\"",
                      want ? "no" : "a", what, step->text, last);
    return false;
}

static bool
check_errors (TestWorker *worker, const TestStep *step)
{
    TestSearch *search = &worker->command.errors;
    g_autofree char *what = NULL;

    if (step->error == NULL || test_search_finish (search))
        return true;
    what = test_worker_line (step->error);
    if (search->wrong != NULL)
        test_worker_fail (worker, "failed-expectation", "%s", search->wrong);
    else
        test_worker_fail (worker, "failed-expectation",
                          "no match for /%s/ in the standard error of \"%s\"; its last line was \"%s\"", what,
                          step->text, test_capture_last_line (worker->command.complained));
    return false;
}

/**
 * test_command_judge:
 * @status: that the step's command ended with
 * @output: (nullable): what it said
 *
 * Passes the step that is being done, or fails it.
 */
void
test_command_judge (TestWorker *worker, int status, GBytes *output)
{
    const TestStep *step = test_worker_step (worker);
    TestStepResult *result = test_worker_step_result (worker);
    g_autoptr (TestCapture) capture = capture_output (output);

    if (step == NULL || worker->phase != TEST_PHASE_RUN || worker->advance || test_worker_is_over (worker))
        return;
    result->has_status = true;
    result->status = status;
    result->out = test_worker_excerpt (capture);
    if (worker->command.complained != NULL)
        result->err = test_worker_excerpt (worker->command.complained);
    if (check_status (worker, step, status, output) &&
        (step->output == NULL || check_output (worker, step, &worker->command.wanted, true, output)) &&
        (step->output_not == NULL || check_output (worker, step, &worker->command.unwanted, false, output)) &&
        check_errors (worker, step))
        test_worker_pass_step (worker);
}

/**
 * test_command_finish_input:
 *
 * There are no more commands: the guest's shell ends.
 */
void
test_command_finish_input (TestWorker *worker)
{
    TestCommand *command = &worker->command;

    command->finishes = true;
    if (command->in.source == NULL)
        close_fd (&command->in.fd);
}

/**
 * test_command_end:
 *
 * The machine has gone: takes the last that its command said.
 */
void
test_command_end (TestWorker *worker)
{
    TestCommand *command = &worker->command;
    TestStepResult *result = &worker->done[worker->run->steps->len];
    TestStream *const outputs[] = {&command->out, &command->err};

    test_worker_source_clear (&command->in.source);
    for (size_t i = 0; i < G_N_ELEMENTS (outputs); i++) {
        test_worker_source_clear (&outputs[i]->source);
        close_fd (&outputs[i]->theirs);
        while (receive (outputs[i]))
            ;
        close_fd (&outputs[i]->fd);
    }
    if (command->held != NULL)
        let_go (command, command->held->len);
    /* The step's command has ended, and only the mark behind its standard error was on its way. */
    if (command->mark != NULL)
        judge (worker);
    if (worker->run->command == NULL || command->said == NULL)
        return;
    result->out = test_worker_excerpt (command->said);
    result->err = test_worker_excerpt (command->complained);
}

/**
 * test_command_last_line:
 *
 * Returns: (transfer none): what the guest's command said last
 */
const char *
test_command_last_line (TestWorker *worker)
{
    TestCommand *command = &worker->command;
    const char *line = test_capture_last_line (command->complained);

    return *line != '\0' ? line : test_capture_last_line (command->said);
}

/**
 * test_command_clear:
 */
void
test_command_clear (TestWorker *worker)
{
    TestCommand *command = &worker->command;
    TestStream *const streams[] = {&command->in, &command->out, &command->err};

    for (size_t i = 0; i < G_N_ELEMENTS (streams); i++) {
        test_worker_source_clear (&streams[i]->source);
        close_fd (&streams[i]->fd);
        close_fd (&streams[i]->theirs);
    }
    test_worker_source_clear (&command->patience);
    g_clear_pointer (&command->to_send, g_byte_array_unref);
    g_clear_pointer (&command->shell, test_shell_free);
    g_clear_pointer (&command->output, g_bytes_unref);
    g_clear_pointer (&command->mark, g_free);
    if (command->held != NULL)
        g_string_free (g_steal_pointer (&command->held), TRUE);
    g_clear_pointer (&command->said, test_capture_free);
    g_clear_pointer (&command->complained, test_capture_free);
    test_search_clear (&command->errors);
    test_search_clear (&command->wanted);
    test_search_clear (&command->unwanted);
}
