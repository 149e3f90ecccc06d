/* SPDX-License-Identifier: Apache-2.0 */
/* "vmm test": boots machines as scenarios say, tells what came of it, and the exit code is the truth. */
#include "cmd.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vmm/vmm.h>

#include "budget.h"
#include "columns.h"
#include "judge.h"
#include "lines.h"
#include "live.h"
#include "options.h"
#include "plain.h"
#include "pool.h"
#include "report.h"
#include "report-document.h"
#include "report-github.h"
#include "report-html.h"
#include "report-junit.h"
#include "report-summary.h"
#include "report-tap.h"
#include "report-text.h"
#include "scenario-keys.h"
#include "select.h"
#include "table.h"
#include "test-options.h"
#include "worker.h"

/* How long somebody who has sent a signal waits for one who reads the summary. */
#define MAX_LAST_WORDS_SECONDS 5

typedef struct {
    TestOptions options;
    char **command_line;
    FILE *out; /* what people read; NULL: nothing is to be read */
    TestPlainStyle style;
    TestLive *live;   /* NULL: no terminal to draw on */
    TestLines *lines; /* NULL: there is one */
    TestPool *pool;
    int64_t start_us;
} Session;

static void
say (Session *session, char *lines)
{
    if (session->live != NULL)
        test_live_say (session->live, lines);
    else if (session->lines != NULL)
        test_lines_say (session->lines, lines);
    g_free (lines);
}

static void
on_step (void *user, const TestJob *job, const char *state, double t)
{
    Session *session = user;

    if (session->options.verbose && strcmp (state, "begin") != 0)
        say (session, test_plain_step (job, state, t, &session->style));
}

static void
on_ended (void *user, const TestJob *job, const json_t *result, bool again)
{
    Session *session = user;
    char *words = test_plain_words (result, &session->style);
    char *log = test_plain_log (result, &session->style);

    /* Of many that were not made, one line at the end tells. */
    if (test_result_status (result) != TEST_STATUS_SKIP || session->options.verbose)
        say (session, test_plain_ended (result, again, &session->style));
    if (words != NULL)
        say (session, words);
    if (log != NULL)
        say (session, log);
}

static void
on_note (void *user, const char *text)
{
    Session *session = user;

    say (session, test_plain_note (text, &session->style));
}

static int64_t
on_draw (void *user, int64_t now_us)
{
    Session *session = user;
    TestLiveState state;

    if (session->live == NULL)
        return test_lines_draw (session->lines, now_us);
    state = (TestLiveState){.running = test_pool_get_running (session->pool), .start_us = session->start_us};
    test_pool_count (session->pool, &state.n_ended, &state.n_jobs, &state.n_bad);
    return test_live_draw (session->live, &state, now_us);
}

static void
on_resized (void *user)
{
    Session *session = user;

    test_live_resized (session->live);
    session->style.columns = test_live_columns (session->live);
}

static void
on_continued (void *user)
{
    test_live_continued (((Session *)user)->live);
}

/* Standard output, unless a report is to have it. */
static void
open_view (Session *session)
{
    FILE *out = test_options_use_stdout (&session->options) ? stderr : stdout;
    const char *term = g_getenv ("TERM");
    int fd = fileno (out);

    if (session->options.quiet)
        return;
    session->out = out;
    session->style.colours = cli_colours_wanted (out);
    fflush (out);
    if (isatty (fd) && tcgetpgrp (fd) == getpgrp () && term != NULL && strcmp (term, "dumb") != 0) {
        session->live = test_live_new (fd, session->style.colours);
        session->style.columns = test_live_columns (session->live);
        session->style.marks = test_columns_utf8_wanted ();
    } else {
        session->lines = test_lines_new (fd);
    }
}

static TestPool *
make_pool (Session *session, const GPtrArray *runs)
{
    const TestOptions *options = &session->options;
    const TestPoolOptions pool = {.worker = test_worker_run,
                                  .cpus =
                                      options->cpus > 0 ? (unsigned)options->cpus : test_budget_cpus ("/"),
                                  .memory = options->memory > 0 ? options->memory : test_budget_memory ("/"),
                                  .repeat = (unsigned)options->repeat,
                                  .retries = options->retries,
                                  .fail_fast = options->fail_fast,
                                  .results = options->results};
    TestPoolView view = {.step = on_step, .ended = on_ended, .note = on_note};

    if (session->out != NULL)
        view.draw = on_draw;
    if (session->live != NULL) {
        view.resized = on_resized;
        view.continued = on_continued;
    }
    return test_pool_new (runs, &pool, &view, session);
}

static bool
write_report (const TestReportOption *report, const json_t *document, GError **error)
{
    static const struct {
        const char *option;
        char *(*make) (const json_t *document);
    } makers[TEST_N_REPORTS] = {{"json", test_document_to_text},
                                {"junit", test_report_junit},
                                {"tap", test_report_tap},
                                {"html", test_report_html}};
    g_autofree char *text = NULL;

    for (size_t i = 0; i < TEST_N_REPORTS; i++) {
        if (strcmp (makers[i].option, report->option) == 0)
            text = makers[i].make (document);
    }
    if (strcmp (report->path, TEST_STDOUT) != 0)
        return report_write_text (report->option, report->path, text, error);
    if (fputs (text, stdout) >= 0 && fflush (stdout) == 0)
        return true;
    g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "%s \"-\": %s", report->option, g_strerror (errno));
    return false;
}

/* @sinks: those that somebody has to read, and not those that are files; @wrong: gets a line for each that
 * could not be written. */
static void
write_reports (const Session *session, const json_t *document, bool sinks, GPtrArray *wrong)
{
    TestReportOption reports[TEST_N_REPORTS];

    test_options_reports (&session->options, reports);
    for (size_t i = 0; i < TEST_N_REPORTS; i++) {
        const char *path = reports[i].path;
        g_autoptr (GError) error = NULL;

        if (path == NULL || (strcmp (path, TEST_STDOUT) == 0 || report_is_sink (path)) != sinks)
            continue;
        if (!write_report (&reports[i], document, &error))
            g_ptr_array_add (wrong, g_strdup (error->message));
    }
}

static void
print_summary (const Session *session, const json_t *document)
{
    g_autofree char *summary =
        session->out != NULL ? test_report_summary (document, session->style.colours) : NULL;

    if (summary != NULL) {
        fprintf (session->out, "\n%s", summary);
        fflush (session->out);
    }
}

/* Where they are to be seen: GitHub reads both streams. */
static void
print_annotations (const Session *session, const json_t *document)
{
    const char *actions = g_getenv ("GITHUB_ACTIONS"), *workspace = g_getenv ("GITHUB_WORKSPACE");
    FILE *out = test_options_use_stdout (&session->options) ? stderr : stdout;
    g_autofree char *folder = g_get_current_dir ();
    g_autofree char *text = NULL;

    if (!session->options.github &&
        (session->out == NULL || actions == NULL || strcmp (actions, "true") != 0))
        return;
    text = test_report_github (document, workspace != NULL ? workspace : folder);
    fputs (text, out);
    fflush (out);
}

static json_t *
make_document (const Session *session, json_t *results, const char *started)
{
    const TestDocumentFacts facts = {.version = VMM_VERSION,
                                     .started = started,
                                     .seconds = (double)(g_get_monotonic_time () - session->start_us) / 1e6,
                                     .command_line = (const char *const *)session->command_line,
                                     .repeats = session->options.repeat > 0};

    return test_document_new (results, &facts);
}

static volatile sig_atomic_t code_of_late_end;

static void
on_late (int signal)
{
    _exit (code_of_late_end);
}

/* Whoever has sent a signal has an end, also where nobody reads what is still to be said. */
static void
end_in_time (const TestPool *pool, int code)
{
    const struct sigaction action = {.sa_handler = on_late};
    int64_t seconds = (test_pool_get_end_time (pool) - g_get_monotonic_time ()) / G_TIME_SPAN_SECOND;
    sigset_t set;

    code_of_late_end = code;
    sigaction (SIGALRM, &action, NULL);
    sigemptyset (&set);
    sigaddset (&set, SIGALRM);
    sigprocmask (SIG_UNBLOCK, &set, NULL);
    alarm ((unsigned)CLAMP (seconds, 1, MAX_LAST_WORDS_SECONDS));
}

/* What is written here may have to wait for somebody who reads it: signals end it. */
static void
say_results (Session *session, const json_t *document, GPtrArray *wrong)
{
    g_clear_pointer (&session->live, test_live_free);
    g_clear_pointer (&session->lines, test_lines_free);
    print_summary (session, document);
    print_annotations (session, document);
    write_reports (session, document, true, wrong);
    for (guint i = 0; i < wrong->len; i++)
        options_say (false, g_ptr_array_index (wrong, i));
}

static int
make_runs (Session *session, const GPtrArray *runs)
{
    g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
    g_autofree char *started = g_date_time_format_iso8601 (now);
    g_autoptr (GPtrArray) wrong = g_ptr_array_new_with_free_func (g_free);
    json_t *document, *results;
    int signal_number, code;

    session->start_us = g_get_monotonic_time ();
    open_view (session);
    session->pool = make_pool (session, runs);
    signal_number = test_pool_run (session->pool);
    results = test_pool_get_results (session->pool);
    code = test_judge_all (results, signal_number);
    document = make_document (session, results, started);
    write_reports (session, document, false, wrong);
    if (signal_number != 0)
        end_in_time (session->pool, code);
    /* Signals have waited until the files were written. */
    g_clear_pointer (&session->pool, test_pool_free);
    say_results (session, document, wrong);
    json_decref (document);
    json_decref (results);
    return wrong->len > 0 && code == 0 ? TEST_EXIT_NOT_JUDGED : code;
}

/* Returns: the exit code; what was cut off is no list, and no schema. */
static int
end_stdout (GError **error)
{
    if (fflush (stdout) == 0 && !ferror (stdout))
        return 0;
    g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "standard output: %s", g_strerror (errno));
    return TEST_EXIT_NOT_JUDGED;
}

static int
list_runs (const Session *session, const GPtrArray *runs, GError **error)
{
    const char *json_path = session->options.json;
    json_t *list = test_select_to_json (runs);
    g_autofree char *text = test_document_to_text (list);

    json_decref (list);
    if (json_path != NULL && strcmp (json_path, TEST_STDOUT) != 0)
        return report_write_text ("json", json_path, text, error) ? 0 : TEST_EXIT_NOT_JUDGED;
    if (json_path != NULL)
        fputs (text, stdout);
    for (guint i = 0; json_path == NULL && i < runs->len; i++)
        printf ("%s\n", ((const TestRun *)g_ptr_array_index (runs, i))->name);
    return end_stdout (error);
}

/* So that nobody waits in vain. */
static bool
check_places (const TestOptions *options, GError **error)
{
    TestReportOption reports[TEST_N_REPORTS];

    test_options_reports (options, reports);
    for (size_t i = 0; i < TEST_N_REPORTS; i++) {
        const char *path = reports[i].path;

        if (path != NULL && strcmp (path, TEST_STDOUT) != 0 &&
            !report_check_path (reports[i].option, path, error))
            return false;
    }
    if (options->results == NULL)
        return true;
    if (g_mkdir_with_parents (options->results, 0777) != 0 || access (options->results, W_OK | X_OK) != 0) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "results \"%s\": %s", options->results,
                     g_strerror (errno));
        return false;
    }
    return true;
}

static int
print_schema (GError **error)
{
    g_autofree char *text = test_scenario_schema_json ();

    fputs (text, stdout);
    return end_stdout (error);
}

/* Returns: the exit code; with an error set, that of the error is meant. */
static int
do_test (Session *session, int argc, char **argv, GError **error)
{
    g_autoptr (GPtrArray) runs = NULL;

    if (!test_options_parse (&session->options, argc, argv, error))
        return VMM_EXIT_USAGE;
    if (session->options.schema)
        return print_schema (error);
    if (!check_places (&session->options, error))
        return VMM_EXIT_USAGE;
    runs = test_select_runs (&session->options, error);
    if (runs == NULL || !test_options_check_runs (&session->options, runs, error))
        return VMM_EXIT_USAGE;
    if (session->options.list)
        return list_runs (session, runs, error);
    if (runs->len == 0)
        options_say (false, "there are no such runs: nothing was tested; see vmm test --list");
    return make_runs (session, runs);
}

/**
 * cmd_test:
 *
 * Makes the runs of scenarios.
 */
int
cmd_test (int argc, char **argv)
{
    Session session = {.command_line = g_new0 (char *, (gsize)argc + 2)};
    bool quiet = test_options_ask_for_quiet (argc, argv);
    g_autoptr (GError) error = NULL;
    int code;

    /* What is written to and read by nobody is an error, and no end. */
    signal (SIGPIPE, SIG_IGN);
    signal (SIGXFSZ, SIG_IGN);
    g_set_prgname ("vmm test");
    session.command_line[0] = g_strdup ("vmm");
    for (int i = 0; i < argc; i++)
        session.command_line[i + 1] = g_strdup (argv[i]);
    code = do_test (&session, argc, argv, &error);
    if (error != NULL) {
        g_autofree char *line = test_text_to_line (error->message);

        options_say (false, line);
        /* For git bisect run, 2 would be a bad commit. */
        if (code == VMM_EXIT_USAGE && quiet)
            code = TEST_EXIT_QUIET_USAGE;
    }
    g_strfreev (session.command_line);
    test_options_clear (&session.options);
    return code;
}
