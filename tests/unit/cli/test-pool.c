/* SPDX-License-Identifier: Apache-2.0 */
/* The pool with workers that do what workers should not do, too. Which of it is in a run's description. */
#include "judge.h"
#include "pool.h"
#include "remove-tree.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (UINT64_C (1) << 20)
#define MS INT64_C (1000)
#define SECOND (1000 * MS)

/* What the workers tell the tests beside the pool. */
typedef struct {
    atomic_uint cpus, most_cpus;
    atomic_uint runs, most_runs;
    atomic_uint attempts;
    unsigned fds;
    atomic_int pids[4];
    char order[64]; /* the first letters of the names */
} Shared;

typedef struct {
    GPtrArray *runs;
    TestPoolOptions options;
    GString *log; /* what the view was told */
    json_t *results;
    int signal;
    int to_send, then_send; /* when the workers listen; 0: nothing */
} Rig;

static Shared *shared;

static void
begin (void)
{
    shared = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

TestSuite (pool, .init = begin, .timeout = 60);

static void
say (int fd, const char *line)
{
    ssize_t n = 1;

    for (size_t len = strlen (line); len > 0 && n > 0; line += n, len -= (size_t)n)
        n = write (fd, line, len);
}

static void
say_result (int fd, const char *verdict)
{
    g_autofree char *line = g_strdup_printf (
        "{\"event\":\"result\",\"result\":{\"verdict\":\"%s\",\"reason\":\"because\",\"status\":\"pass\","
        "\"name\":\"forged\",\"steps\":7,\"seconds\":-3,\"consoles\":[{\"head\":\"h\",\"tail\":\"t\"}]}}\n",
        verdict);

    say (fd, line);
}

static void
raise_most (atomic_uint *most, unsigned now)
{
    unsigned old = atomic_load (most);

    while (old < now && !atomic_compare_exchange_weak (most, &old, now))
        ;
}

static void
be_busy (const TestRun *run, unsigned ms)
{
    raise_most (&shared->most_cpus, atomic_fetch_add (&shared->cpus, run->cpus) + run->cpus);
    raise_most (&shared->most_runs, atomic_fetch_add (&shared->runs, 1) + 1);
    g_usleep (ms * 1000);
    atomic_fetch_sub (&shared->cpus, run->cpus);
    atomic_fetch_sub (&shared->runs, 1);
}

static void
wait_for_ever (bool deaf)
{
    sigset_t set;

    sigemptyset (&set);
    sigaddset (&set, SIGTERM);
    sigprocmask (SIG_BLOCK, &set, NULL);
    for (int pid = getpid (), i = 0; i < 4; i++) {
        int none = 0;

        if (atomic_compare_exchange_strong (&shared->pids[i], &none, pid))
            break;
    }
    while (deaf)
        pause ();
    sigwaitinfo (&set, NULL);
}

static void
flood (int fd)
{
    char bytes[4096];

    memset (bytes, 'x', sizeof bytes);
    for (;;)
        (void)!write (fd, bytes, sizeof bytes);
}

static unsigned
count_fds (void)
{
    DIR *dir = opendir ("/proc/self/fd");
    unsigned n = 0;

    while (readdir (dir) != NULL)
        n++;
    closedir (dir);
    return n;
}

static bool
check_surroundings (void)
{
    sigset_t mask;
    char byte;

    sigprocmask (SIG_BLOCK, NULL, &mask);
    /* What was there before the pool, and one for its events. */
    return count_fds () == shared->fds + 1 && read (STDIN_FILENO, &byte, 1) == 0 && getpgrp () == getpid () &&
           !sigismember (&mask, SIGTERM) && !sigismember (&mask, SIGCHLD);
}

/* A worker that is killed, and what it calls its folder. */
static void
die_in (int fd, const char *path)
{
    g_autofree char *line = g_strdup_printf ("{\"event\":\"tmp\",\"path\":\"%s\"}\n", path);

    say (fd, line);
    raise (SIGKILL);
}

static int
do_evil (const char *what, int fd)
{
    if (strcmp (what, "crash") == 0) {
        fprintf (stderr, "assertion failed: \033[31mred\xff\n");
        raise (SIGKILL);
    } else if (strcmp (what, "crash late") == 0) {
        say_result (fd, "passed");
        raise (SIGKILL);
    } else if (*what == '/') {
        die_in (fd, what);
    } else if (strcmp (what, "code") == 0) {
        return 3;
    } else if (strcmp (what, "garbage") == 0) {
        say (fd, "\x01\x02{\n");
        wait_for_ever (true);
    } else if (strcmp (what, "array") == 0) {
        say (fd, "[1, 2]\n");
        say_result (fd, "passed");
    } else if (strcmp (what, "flood") == 0) {
        flood (fd);
    } else if (strcmp (what, "odd events") == 0) {
        say (fd, "{}\n{\"event\":7}\n{\"event\":\"step\",\"index\":-1,\"state\":\"begin\"}\n"
                 "{\"event\":\"step\",\"index\":99999999999,\"state\":\"begin\"}\n{\"event\":\"stage\"}\n"
                 "{\"event\":\"console\",\"line\":[]}\n{\"event\":\"result\"}\n{\"event\":\"result\","
                 "\"result\":[]}\n");
        say_result (fd, "passed");
    }
    return 0;
}

static int
worker (const TestRun *run, const char *results, int fd)
{
    const char *what = run->description;

    shared->order[strlen (shared->order)] = *run->name;
    if (strcmp (what, "pass") == 0 || strcmp (what, "panic") == 0) {
        say_result (fd, strcmp (what, "pass") == 0 ? "passed" : "panic");
    } else if (strcmp (what, "busy") == 0) {
        be_busy (run, 60);
        say_result (fd, "passed");
    } else if (strcmp (what, "steps") == 0) {
        say (fd, "{\"event\":\"stage\",\"name\":\"kernel\"}\n{\"event\":\"console\",\"line\":\"\\u001b["
                 "31mhi\\n\"}\n"
                 "{\"event\":\"step\",\"index\":0,\"name\":\"log in\",\"state\":\"begin\",\"t\":1.5}\n");
        g_usleep (50 * 1000);
        say_result (fd, "passed");
    } else if (strcmp (what, "much") == 0) {
        g_autofree char *text = g_strnfill (300000, 'x');
        g_autofree char *line = g_strdup_printf ("{\"event\":\"\",\"text\":\"%s\"}\n", text);

        atomic_fetch_add (&shared->runs, 1);
        say (fd, line);
        say_result (fd, "passed");
    } else if (strcmp (what, "deaf") == 0) {
        wait_for_ever (true);
    } else if (strcmp (what, "polite") == 0) {
        wait_for_ever (false);
        say_result (fd, "stopped");
    } else if (strcmp (what, "third") == 0) {
        say_result (fd, atomic_fetch_add (&shared->attempts, 1) == 2 ? "passed" : "panic");
    } else if (strcmp (what, "then host-error") == 0) {
        say_result (fd, atomic_fetch_add (&shared->attempts, 1) == 0 ? "panic" : "host-error");
    } else if (strcmp (what, "surroundings") == 0) {
        say_result (fd, check_surroundings () ? "passed" : "setup");
    } else if (strcmp (what, "log") == 0) {
        g_autofree char *path = g_build_filename (results, run->name, NULL);

        say_result (fd, g_file_set_contents (path, "log", -1, NULL) ? "panic" : "setup");
    } else {
        return do_evil (what, fd);
    }
    return 0;
}

static void
on_started (void *user, const TestJob *job)
{
    g_string_append_printf (((Rig *)user)->log, "+%s ", job->run->name);
}

static void
on_step (void *user, const TestJob *job, const char *state, double t)
{
    g_string_append_printf (((Rig *)user)->log, "%s:%u:%s:%s:%s:%.1f ", job->stage, job->step, job->step_name,
                            state, job->line, t);
}

static void
on_ended (void *user, const TestJob *job, const json_t *result, bool again)
{
    g_string_append_printf (((Rig *)user)->log, "%s%s=%s ", again ? "~" : "-", job->run->name,
                            test_status_to_string (test_result_status (result)));
}

static void
on_note (void *user, const char *text)
{
    g_string_append_printf (((Rig *)user)->log, "(%s) ", text);
}

static Rig *
rig_new (void)
{
    Rig *rig = g_new0 (Rig, 1);

    rig->runs = g_ptr_array_new_with_free_func ((GDestroyNotify)test_run_free);
    rig->log = g_string_new (NULL);
    rig->options = (TestPoolOptions){
        .worker = worker, .cpus = 4, .memory = 1024 * MIB, .retries = -1, .grace_us = 300 * MS};
    return rig;
}

static void
rig_free (Rig *rig)
{
    json_decref (rig->results);
    g_ptr_array_unref (rig->runs);
    g_string_free (rig->log, TRUE);
    g_free (rig);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Rig, rig_free)

static TestRun *
add (Rig *rig, const char *name, const char *what, unsigned cpus)
{
    TestRun *run = test_run_new ();

    run->name = g_strdup (name);
    run->description = g_strdup (what);
    run->cpus = cpus;
    run->memory = 64 * MIB;
    run->timeout_us = 60 * SECOND;
    g_ptr_array_add (rig->runs, run);
    return run;
}

/* Signals the process once all workers listen. */
static int64_t
signal_self (void *user, int64_t now_us)
{
    Rig *rig = user;

    if (rig->to_send == 0 || shared->pids[rig->runs->len - 2] == 0)
        return now_us + 10 * MS;
    raise (rig->to_send);
    rig->to_send = rig->then_send;
    rig->then_send = 0;
    return now_us + 10 * MS;
}

static void
rig_run (Rig *rig)
{
    const TestPoolView view = {
        .started = on_started, .step = on_step, .ended = on_ended, .note = on_note, .draw = signal_self};
    g_autoptr (TestPool) pool = test_pool_new (rig->runs, &rig->options, &view, rig);

    rig->signal = test_pool_run (pool);
    rig->results = test_pool_get_results (pool);
}

static const char *
get (const Rig *rig, size_t i, const char *key)
{
    const char *text = json_string_value (json_object_get (json_array_get (rig->results, i), key));

    return text != NULL ? text : "(none)";
}

static void
expect (const Rig *rig, size_t i, const char *status, const char *verdict, const char *reason)
{
    cr_expect_str_eq (get (rig, i, "status"), status, "run %zu: %s: %s", i, get (rig, i, "status"),
                      get (rig, i, "reason"));
    cr_expect_str_eq (get (rig, i, "verdict"), verdict);
    cr_expect (strstr (get (rig, i, "reason"), reason) != NULL, "run %zu: \"%s\"", i, get (rig, i, "reason"));
}

static void
expect_no_children (void)
{
    cr_expect (waitpid (-1, NULL, WNOHANG) < 0 && errno == ECHILD, "a child is left");
}

Test (pool, a_result_is_made_whole)
{
    g_autoptr (Rig) rig = rig_new ();
    json_t *result;

    add (rig, "a", "pass", 1);
    add (rig, "b", "panic", 1);
    rig_run (rig);
    cr_assert_eq (json_array_size (rig->results), 2);
    expect (rig, 0, "pass", "passed", "because");
    expect (rig, 1, "fail", "panic", "because");
    result = json_array_get (rig->results, 0);
    cr_expect_str_eq (get (rig, 0, "name"), "a", "a worker does not choose its name");
    cr_expect (json_is_array (json_object_get (result, "steps")));
    cr_expect (json_is_array (json_object_get (result, "notes")));
    cr_expect (json_number_value (json_object_get (result, "seconds")) == 0);
    cr_expect_null (json_object_get (result, "repeat"));
    cr_expect_eq (rig->signal, 0);
    expect_no_children ();
}

Test (pool, progress_is_told)
{
    g_autoptr (Rig) rig = rig_new ();

    add (rig, "a", "steps", 1);
    rig_run (rig);
    cr_assert_str_eq (rig->log->str, "+a kernel:1:log in:begin:hi:1.5 -a=pass ");
}

Test (pool, what_a_worker_finds)
{
    g_autoptr (Rig) rig = rig_new ();

    add (rig, "other", "busy", 1);
    add (rig, "a", "surroundings", 1);
    shared->fds = count_fds ();
    rig_run (rig);
    expect (rig, 1, "pass", "passed", "");
}

Test (pool, workers_that_go_wrong)
{
    g_autoptr (Rig) rig = rig_new ();
    struct rusage usage;

    add (rig, "0", "crash", 1);
    add (rig, "1", "crash late", 1);
    add (rig, "2", "code", 1);
    add (rig, "3", "silent", 1);
    add (rig, "4", "garbage", 1);
    add (rig, "5", "array", 1);
    add (rig, "6", "flood", 1);
    add (rig, "7", "odd events", 1);
    rig_run (rig);
    expect (rig, 0, "error", "host-error", "its worker was ended by signal 9 (Killed)");
    cr_expect_str_eq (get (rig, 0, "worker_output"), "assertion failed: \033[31mred\xef\xbf\xbd\n");
    expect (rig, 1, "error", "host-error", "after it had told its verdict, passed");
    expect (rig, 2, "error", "host-error", "exit code 3");
    expect (rig, 3, "error", "host-error", "told no result");
    expect (rig, 4, "error", "host-error", "no JSON object");
    expect (rig, 5, "error", "host-error", "no JSON object");
    expect (rig, 6, "error", "host-error", "does not end");
    getrusage (RUSAGE_SELF, &usage);
    cr_expect_lt (usage.ru_maxrss, 200 * 1024, "%ld KiB for a line without an end", usage.ru_maxrss);
    expect (rig, 7, "error", "host-error", "told no result");
    expect_no_children ();
}

Test (pool, a_dead_worker_leaves_no_folder)
{
    g_autoptr (Rig) rig = rig_new ();
    g_autofree char *own = g_dir_make_tmp ("vmm-test-XXXXXX", NULL);
    g_autofree char *other = g_dir_make_tmp ("vmm-pool-XXXXXX", NULL);
    g_autofree char *inner = g_build_filename (own, "folder", NULL);
    g_autofree char *within = g_build_filename (other, "vmm-test-x", NULL);

    g_mkdir (inner, 0);
    g_mkdir (within, 0755);
    add (rig, "a", own, 1);
    add (rig, "b", other, 1);
    add (rig, "c", within, 1);
    rig_run (rig);
    expect (rig, 0, "error", "host-error", "signal 9");
    cr_expect_not (g_file_test (own, G_FILE_TEST_EXISTS));
    cr_expect (g_file_test (within, G_FILE_TEST_EXISTS), "a worker has the parent remove what it likes");
    remove_tree (other);
}

/* In a process of its own: GLib asks for TMPDIR once. */
Test (pool, a_dead_worker_leaves_no_folder_in_a_tmpdir_with_a_slash)
{
    g_autoptr (Rig) rig = rig_new ();
    g_autofree char *tmp = g_mkdtemp (g_strdup ("/tmp/vmm-pool-XXXXXX"));
    g_autofree char *tmpdir = g_strconcat (tmp, "/", NULL);
    g_autofree char *own = g_build_filename (tmp, "vmm-test-x", NULL);

    g_setenv ("TMPDIR", tmpdir, TRUE);
    g_mkdir (own, 0700);
    add (rig, "a", own, 1);
    rig_run (rig);
    cr_expect_not (g_file_test (own, G_FILE_TEST_EXISTS));
    remove_tree (tmp);
}

Test (pool, one_that_does_not_end_is_killed)
{
    g_autoptr (Rig) rig = rig_new ();
    int64_t start_us = g_get_monotonic_time ();

    add (rig, "a", "deaf", 1)->timeout_us = 100 * MS;
    rig->options.overtime_us = 200 * MS;
    rig_run (rig);
    expect (rig, 0, "error", "host-error", "did not end");
    cr_expect_lt (g_get_monotonic_time () - start_us, 20 * SECOND);
    expect_no_children ();
}

/* Is held up, once the worker writes more than its pipe takes, for longer than that may take. */
static int64_t
be_held_up (void *user, int64_t now_us)
{
    bool *stops = user;

    if (atomic_load (&shared->runs) == 0)
        return now_us + 10 * MS;
    atomic_store (&shared->runs, 0);
    if (*stops)
        raise (SIGSTOP);
    else
        g_usleep (1500 * 1000);
    return G_MAXINT64;
}

static bool
run_and_be_held_up (bool stops)
{
    g_autoptr (Rig) rig = rig_new ();
    const TestPoolView view = {.draw = be_held_up};
    g_autoptr (TestPool) pool = NULL;

    add (rig, "a", "much", 1)->timeout_us = 200 * MS;
    rig->options.overtime_us = 100 * MS;
    rig->options.grace_us = 20 * SECOND;
    pool = test_pool_new (rig->runs, &rig->options, &view, &stops);
    test_pool_run (pool);
    rig->results = test_pool_get_results (pool);
    expect (rig, 0, "pass", "passed", "because");
    return strcmp (get (rig, 0, "status"), "pass") == 0;
}

Test (pool, who_was_stopped_itself_calls_nobody_late)
{
    pid_t pid = fork ();
    int status;

    if (pid == 0)
        _exit (run_and_be_held_up (true) ? 0 : 1);
    cr_assert_eq (waitpid (pid, &status, WUNTRACED), pid);
    cr_assert (WIFSTOPPED (status));
    g_usleep (500 * 1000);
    kill (pid, SIGCONT);
    waitpid (pid, &status, 0);
    cr_expect (WIFEXITED (status) && WEXITSTATUS (status) == 0);
}

Test (pool, who_was_held_up_calls_nobody_late)
{
    cr_expect (run_and_be_held_up (false));
}

Test (pool, the_budget_of_cpus_holds)
{
    g_autoptr (Rig) rig = rig_new ();

    for (unsigned i = 0; i < 12; i++)
        add (rig, "a", "busy", 1 + i % 3);
    rig_run (rig);
    cr_expect_leq (shared->most_cpus, 4);
    cr_expect_geq (shared->most_cpus, 3, "nothing ran at the same time");
    cr_expect_eq (json_array_size (rig->results), 12);
}

Test (pool, the_budget_of_memory_holds)
{
    g_autoptr (Rig) rig = rig_new ();

    for (unsigned i = 0; i < 6; i++)
        add (rig, "a", "busy", 1)->memory = 300 * MIB;
    rig->options.cpus = 16;
    rig_run (rig);
    cr_expect_eq (shared->most_runs, 3);
}

Test (pool, too_large_a_run_is_made_alone)
{
    g_autoptr (Rig) rig = rig_new ();

    add (rig, "a", "busy", 1);
    add (rig, "large", "busy", 9);
    add (rig, "larger", "busy", 10);
    add (rig, "b", "busy", 1)->memory = 5000 * MIB;
    add (rig, "c", "busy", 1);
    rig_run (rig);
    for (size_t i = 0; i < 5; i++)
        expect (rig, i, "pass", "passed", "");
    cr_expect_eq (shared->most_cpus, 10);
    cr_expect (strstr (rig->log->str, "(\"large\" has 9 CPUs, more than the 4 of --jobs") != NULL, "%s",
               rig->log->str);
    cr_expect (strstr (rig->log->str, "(\"larger\"") == NULL, "one note is enough");
    cr_expect (strstr (rig->log->str, "(\"b\" has 5000 MiB, more than the 1024 MiB of --memory") != NULL);
}

Test (pool, gaps_are_filled_but_not_for_ever)
{
    g_autoptr (Rig) rig = rig_new ();
    const char *large, *last;

    add (rig, "a", "busy", 1);
    add (rig, "L", "busy", 4);
    for (unsigned i = 0; i < 40; i++)
        add (rig, "s", "busy", 1);
    rig_run (rig);
    large = strstr (rig->log->str, "+L");
    last = g_strrstr (rig->log->str, "+s");
    cr_assert (large != NULL && last != NULL);
    cr_expect (strstr (rig->log->str, "+s") < large, "no gap was filled");
    cr_expect (large < last, "the large one had to wait for all");
}

/* So many descriptors more than there are, until the process ends. */
static void
leave_descriptors (unsigned n)
{
    rlim_t all = count_fds () - 3 + n; /* without "." and "..", and the one that is open for it */
    struct rlimit limit = {.rlim_cur = all, .rlim_max = all};

    setrlimit (RLIMIT_NOFILE, &limit);
}

Test (pool, who_has_no_descriptors_waits_for_those_of_others)
{
    g_autoptr (Rig) rig = rig_new ();

    for (unsigned i = 0; i < 12; i++)
        add (rig, "a", "busy", 1);
    rig->options.cpus = 12;
    leave_descriptors (2 + 3 * 2 + 2); /* signals, results, three that run, half of a start */
    rig_run (rig);
    for (size_t i = 0; i < 12; i++)
        expect (rig, i, "pass", "passed", "because");
    cr_expect_leq (shared->most_runs, 4);
    cr_expect_geq (shared->most_runs, 2, "nothing ran at the same time");
}

Test (pool, a_host_without_descriptors_is_told)
{
    g_autoptr (Rig) rig = rig_new ();

    add (rig, "a", "pass", 1);
    add (rig, "b", "pass", 1);
    leave_descriptors (2 + 3);
    rig_run (rig);
    expect (rig, 0, "error", "host-error", "a pipe for the run: Too many open files");
    expect (rig, 1, "error", "host-error", "a pipe for the run");
}

Test (pool, repeats_are_numbered)
{
    g_autoptr (Rig) rig = rig_new ();

    add (rig, "a", "pass", 1);
    add (rig, "b", "panic", 1);
    rig->options.repeat = 3;
    rig_run (rig);
    cr_assert_eq (json_array_size (rig->results), 6);
    for (size_t i = 0; i < 6; i++) {
        json_t *result = json_array_get (rig->results, i);

        cr_expect_eq (json_integer_value (json_object_get (result, "repeat")), 1 + (json_int_t)i / 2);
        cr_expect_str_eq (get (rig, i, "name"), i % 2 == 0 ? "a" : "b");
    }
}

static bool
has_console (const Rig *rig, size_t i)
{
    json_t *consoles = json_object_get (json_array_get (rig->results, i), "consoles");

    return json_object_get (json_array_get (consoles, 0), "head") != NULL;
}

Test (pool, one_console_of_a_good_run_is_enough)
{
    g_autoptr (Rig) rig = rig_new ();

    add (rig, "a", "pass", 1);
    add (rig, "b", "panic", 1);
    rig->options.repeat = 2;
    rig->options.cpus = 1;
    rig_run (rig);
    cr_expect (has_console (rig, 0));
    cr_expect (has_console (rig, 1));
    cr_expect_not (has_console (rig, 2));
    cr_expect (has_console (rig, 3), "of what failed nothing is lost");
}

Test (pool, a_retry_makes_it_flaky)
{
    g_autoptr (Rig) rig = rig_new ();
    json_t *attempts;

    add (rig, "a", "third", 1)->retries = 5;
    rig_run (rig);
    expect (rig, 0, "flaky", "passed", "passed at attempt 3; before: because");
    attempts = json_object_get (json_array_get (rig->results, 0), "attempts");
    cr_assert_eq (json_array_size (attempts), 2);
    cr_expect_str_eq (json_string_value (json_object_get (json_array_get (attempts, 1), "verdict")), "panic");
    cr_expect_str_eq (rig->log->str, "+a ~a=fail +a ~a=fail +a -a=flaky ");
}

Test (pool, retries_have_an_end)
{
    g_autoptr (Rig) rig = rig_new ();

    add (rig, "a", "panic", 1)->retries = 5;
    add (rig, "b", "crash", 1);
    add (rig, "c", "then host-error", 1);
    rig->options.retries = 1;
    rig_run (rig);
    expect (rig, 0, "fail", "panic", "because");
    cr_expect_eq (json_array_size (json_object_get (json_array_get (rig->results, 0), "attempts")), 1);
    cr_expect (strstr (rig->log->str, "~b") == NULL, "an error is not tried again");
    expect (rig, 2, "fail", "panic", "because");
    cr_expect_eq (json_array_size (json_object_get (json_array_get (rig->results, 2), "attempts")), 1);
}

Test (pool, fail_fast_ends_the_rest)
{
    g_autoptr (Rig) rig = rig_new ();

    add (rig, "a", "polite", 1);
    add (rig, "b", "panic", 3);
    add (rig, "c", "pass", 4);
    rig->options.fail_fast = true;
    rig_run (rig);
    expect (rig, 0, "skip", "stopped", "\"b\" failed, and --fail-fast ends the rest");
    expect (rig, 1, "fail", "panic", "because");
    expect (rig, 2, "skip", "stopped", "\"b\" failed");
    cr_expect_eq (test_judge_all (rig->results, rig->signal), 1);
}

Test (pool, a_signal_ends_all_in_good_order)
{
    g_autoptr (Rig) rig = rig_new ();

    add (rig, "a", "polite", 1);
    add (rig, "b", "deaf", 3)->outcome = g_strdup ("stopped");
    add (rig, "c", "pass", 4);
    rig->to_send = SIGTERM;
    rig_run (rig);
    cr_expect_eq (rig->signal, SIGTERM);
    expect (rig, 0, "error", "stopped", "vmm test was stopped by SIGTERM");
    expect (rig, 1, "error", "stopped", "vmm test was stopped by SIGTERM");
    expect (rig, 2, "skip", "stopped", "vmm test was stopped by SIGTERM");
    cr_expect_eq (test_judge_all (rig->results, rig->signal), 143);
    expect_no_children ();
}

Test (pool, a_second_signal_does_not_wait)
{
    g_autoptr (Rig) rig = rig_new ();
    int64_t start_us = g_get_monotonic_time ();

    add (rig, "a", "deaf", 1);
    add (rig, "b", "deaf", 1);
    add (rig, "c", "pass", 4);
    rig->to_send = rig->then_send = SIGINT;
    rig->options.grace_us = 50 * SECOND;
    rig_run (rig);
    cr_expect_lt (g_get_monotonic_time () - start_us, 20 * SECOND);
    expect (rig, 1, "error", "stopped", "vmm test was stopped by SIGINT");
    expect_no_children ();
}

/* In a process of its own, which is killed. */
static void
run_and_be_killed (void)
{
    g_autoptr (Rig) rig = rig_new ();

    add (rig, "a", "polite", 1);
    add (rig, "b", "polite", 1);
    add (rig, "c", "pass", 4);
    rig->to_send = SIGKILL;
    rig_run (rig);
}

static bool
is_gone (int pid)
{
    for (unsigned i = 0; i < 1000; i++) {
        g_autofree char *path = g_strdup_printf ("/proc/%d/stat", pid);
        g_autofree char *stat = NULL;

        /* Whoever takes orphans here may be in no hurry to bury them. */
        if (!g_file_get_contents (path, &stat, NULL, NULL) || strstr (stat, ") Z ") != NULL)
            return true;
        g_usleep (10 * 1000);
    }
    return false;
}

Test (pool, workers_end_when_the_parent_is_killed)
{
    pid_t pid = fork ();
    int status;

    if (pid == 0) {
        run_and_be_killed ();
        _exit (0);
    }
    waitpid (pid, &status, 0);
    cr_assert (WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL);
    cr_assert (shared->pids[0] != 0 && shared->pids[1] != 0);
    cr_expect (is_gone (shared->pids[0]));
    cr_expect (is_gone (shared->pids[1]));
}

Test (pool, signals_are_given_back)
{
    g_autoptr (Rig) rig = rig_new ();
    sigset_t mask;

    add (rig, "a", "pass", 1);
    rig_run (rig);
    sigprocmask (SIG_BLOCK, NULL, &mask);
    cr_expect_not (sigismember (&mask, SIGINT));
    cr_expect_not (sigismember (&mask, SIGCHLD));
}

Test (pool, logs_do_not_overwrite_each_other)
{
    g_autoptr (Rig) rig = rig_new ();
    g_autofree char *folder = g_dir_make_tmp ("vmm-pool-XXXXXX", NULL);
    static const char *const names[] = {"repeat-1/a", "repeat-1/attempt-2/a", "repeat-2/a",
                                        "repeat-2/attempt-2/a"};

    add (rig, "a", "log", 1)->retries = 1;
    rig->options.results = folder;
    rig->options.repeat = 2;
    rig_run (rig);
    for (size_t i = 0; i < G_N_ELEMENTS (names); i++) {
        g_autofree char *path = g_build_filename (folder, names[i], NULL);

        cr_expect (g_file_test (path, G_FILE_TEST_EXISTS), "%s", names[i]);
    }
    remove_tree (folder);
}
