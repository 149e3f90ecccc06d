/* SPDX-License-Identifier: Apache-2.0 */
/* What one run of a scenario is made of, inside the process that runs it. See worker.c. */
#ifndef CLI_TEST_WORKER_INTERNAL_H
#define CLI_TEST_WORKER_INTERNAL_H

#include <glib-unix.h>
#include <jansson.h>

#include "capture.h"
#include "cpu-time.h"
#include "shell.h"
#include "timeline.h"
#include "worker-search.h"
#include "worker.h"

/* Of a command's output: what a result holds at most, where each byte is replaced by a character of three. */
#define TEST_OUTPUT_MAX 50000u
/* Of a line for people, in bytes. */
#define TEST_REASON_MAX 4096u
#define TEST_SAMPLES 3u
/* Of all patterns of a console: that of the step that is being done; those of what is forbidden follow. */
#define TEST_STEP_PATTERN 0u

typedef struct _TestWorker TestWorker;

/**
 * TestConsole:
 * @index: into the run's consoles; -1: one that the scenario does not name, and that is listened to all the
 * same
 * @fd: ours; -1: it has ended
 * @guest_fd: the machine's; -1: given back
 * @to_send: what the guest has not taken yet
 * @asks: its patterns may have found something
 * @settled: it was quiet, and its patterns know
 * @at_line_end: nothing follows the last newline
 * @shell: (nullable): of the command that was typed at it
 * @log_error: (nullable): why the log is cut short
 * @last_us: when it last said something; 0: never
 * @fail_line: where what decided the verdict was said; 0: nowhere
 */
typedef struct {
    TestWorker *worker;
    char *name;
    int index;
    int fd;
    int guest_fd;
    GSource *readable;
    GSource *writable;
    GByteArray *to_send;
    TestCapture *capture;
    VmmExpect *expect;
    VmmKernelLog *log;
    TestShell *shell;
    char *log_path;
    char *log_error;
    int log_fd;
    bool asks;
    bool settled;
    bool at_line_end;
    int64_t last_us;
    uint64_t bytes;
    uint64_t lines;
    uint64_t fail_line;
} TestConsole;

/**
 * TestStream:
 * @fd: our end of a pipe; -1: it has ended
 * @theirs: the end that the run has; -1: given back
 */
typedef struct {
    TestWorker *worker;
    int fd;
    int theirs;
    GSource *source;
} TestStream;

/**
 * TestCommand:
 * @in: to the command; also its shell's commands
 * @out: from it
 * @err: from it
 * @to_send: what the guest has not taken yet
 * @shell: (nullable): of the step that runs in it
 * @mark: (nullable): what its standard error says when all of the step's was said
 * @status: of the step's command, which has ended
 * @output: (nullable): its output
 * @wanted: what the step wants to see of that, all of it
 * @unwanted: what it does not want to see
 * @patience: for the mark
 * @said: of the guest's command, which is no shell: its output
 * @complained: and its standard error
 * @errors: what the step wants to see of that
 * @held: what of standard error may be a part of the mark
 * @finishes: there is no more input
 */
typedef struct {
    TestStream in;
    TestStream out;
    TestStream err;
    GByteArray *to_send;
    TestShell *shell;
    char *mark;
    unsigned n_marks;
    int status;
    GBytes *output;
    TestSearch wanted;
    TestSearch unwanted;
    GSource *patience;
    TestCapture *said;
    TestCapture *complained;
    TestSearch errors;
    GString *held;
    bool finishes;
} TestCommand;

typedef enum { TEST_STEP_NOT_RUN, TEST_STEP_BEGUN, TEST_STEP_PASSED, TEST_STEP_FAILED } TestStepState;

/* What a step that has begun waits for. */
typedef enum {
    TEST_PHASE_EXPECT,
    TEST_PHASE_RUN,
    TEST_PHASE_WAIT,
    TEST_PHASE_SLEEP,
    TEST_PHASE_FILE
} TestPhase;

/**
 * TestStepResult:
 * @begin: seconds since the worker's start
 * @end: the same
 * @line: of the match; 0: none
 * @out: (nullable): what a command said
 * @err: (nullable): the same
 * @message: (nullable): why it failed
 */
typedef struct {
    TestStepState state;
    double begin;
    double end;
    uint64_t line;
    bool has_status;
    int status;
    char *out;
    char *err;
    char *message;
} TestStepResult;

/**
 * TestTrouble:
 * @kind: (nullable): the verdict that it makes; NULL: there is none
 * @reason: one line
 * @panicked: a panic is it, or has followed
 * @since_us: when it was found
 * @heard_us: when the last of what belongs to it was
 *
 * Something that was said and should not have been. The machine runs on for a moment, so that all of it is
 * heard.
 */
typedef struct {
    const char *kind;
    char *reason;
    bool panicked;
    int64_t since_us;
    int64_t heard_us;
} TestTrouble;

/**
 * TestEnd:
 * @there: the machine has ended
 * @exit_code: as in a VmmVerdict, as are the next two
 * @where: (nullable): where its first vCPU was, if the verdict tells
 * @json: all of it, for the result
 *
 * How the machine ended, kept beyond its life.
 */
typedef struct {
    bool there;
    VmmVerdictKind kind;
    int exit_code;
    char *reason;
    char *where;
    json_t *json;
    double first_instruction;
    double first_output;
    double end;
} TestEnd;

/* How the guest's command ended, as in a VmmRunResult. */
typedef struct {
    VmmCommandEnd end;
    int status;
    char *message;
    bool files_failed;
    json_t *json;
} TestCommandEnd;

/**
 * TestVerdict:
 * @kind: (nullable): NULL: not decided
 * @reason: one line
 * @step: the one that was being done; -1: none
 * @soft: what the kernel reports in its last words says more than this
 */
typedef struct {
    const char *kind;
    char *reason;
    int step;
    bool soft;
} TestVerdict;

/**
 * TestWorker:
 * @run: what is to be done
 * @own_run: (nullable): @run, where that is one with a folder of its own
 * @tmp: (nullable): that folder
 * @results: (nullable): where logs go
 * @start_us: all seconds count from it
 * @context: of the machine and of all sources
 * @consoles: of TestConsole
 * @kernel: (nullable): file of the kernel
 * @guest: (nullable): of a scenario with a [guest]; @machine is its
 * @step: which one is being done
 * @advance: it is done
 * @passing: all are; the machine is being ended
 * @active_us: when the guest last did something that can be seen
 * @cpus: how its CPUs have fared, as was last seen
 * @cpus_active: the same at @active_us
 * @cpus_begun: and when the step began
 * @host_cpus: how many it may use; 0: that was not asked yet
 * @work: how much that was, as its devices count
 * @boots: of the machine, as was last seen
 * @boots_passed: as they were when the last step passed
 */
struct _TestWorker {
    const TestRun *run;
    TestRun *own_run;
    char *tmp;
    const char *results;
    int event_fd;
    int signal_fd;
    bool deaf; /* nobody reads the events */
    int64_t start_us;
    GMainContext *context;
    GSource *signals;
    GSource *reader;
    GPtrArray *consoles;
    VmmConfig *config;
    char *kernel;
    VmmRun *guest;
    VmmMachine *machine;
    bool paused;
    TestCommand command;
    GPtrArray *notes; /* of char */

    unsigned step;
    TestStepResult *done; /* as many as steps, and one more for the guest's command */
    TestPhase phase;
    bool advance;
    bool passing;
    int64_t within_us; /* when the step's time is over, if the host has a CPU for the guest all the while */
    GSource *within;
    GSource *total;
    GSource *later; /* a sleep's end, the next look at a file */
    char *file_wrong;

    GSource *quiet;
    GSource *beat;
    int64_t beat_us;
    int64_t silent_us;
    GSource *trouble_end;
    int64_t active_us;
    TestCpuCount cpus;
    TestCpuTime cpus_active;
    TestCpuTime cpus_begun;
    unsigned host_cpus;
    int64_t told_us;
    uint64_t work;
    unsigned boots;
    unsigned boots_begun; /* when the step began */
    unsigned boots_passed;
    json_t *samples;
    bool sampling;

    TestTimeline *timeline;
    TestConsole *kernel_console;
    char *stage;
    json_t *reports;
    size_t report_bytes;

    TestTrouble trouble;
    TestVerdict verdict;
    TestEnd end;
    TestCommandEnd command_end;
};

/* worker-state.c */
void test_worker_init (TestWorker *worker, const TestRun *run, const char *results, int event_fd);
void test_worker_clear (TestWorker *worker);

/* worker-starved.c */
const VmmMachineInfo *test_worker_look_at_cpus (TestWorker *worker);
void test_worker_mark_active (TestWorker *worker);
void test_worker_mark_step (TestWorker *worker);
int64_t test_worker_starved_in_step (TestWorker *worker);
int64_t test_worker_starved_in_silence (TestWorker *worker);
int64_t test_worker_starved_in_run (TestWorker *worker);
int64_t test_worker_due (TestWorker *worker);
char *test_worker_explain_starved (int64_t us, int64_t starved_us, bool counts);

/* worker-source.c */
int64_t test_worker_now (void);
double test_worker_seconds (const TestWorker *worker, int64_t us);
GSource *test_worker_timer_new (TestWorker *worker, void (*func) (TestWorker *worker));
void test_worker_timer_arm (GSource *timer, int64_t at_us);
void test_worker_timer_stop (GSource *timer);
GSource *test_worker_watch (TestWorker *worker, int fd, GIOCondition condition, GUnixFDSourceFunc func,
                            void *user);
void test_worker_source_clear (GSource **source);

/* worker-text.c */
char *test_worker_line (const char *text);
char *test_worker_excerpt (const TestCapture *capture);
json_t *test_worker_text_to_json (const char *text, size_t max);

/* worker-events.c */
void test_worker_tell_stage (TestWorker *worker, const char *name);
void test_worker_tell_step (TestWorker *worker, unsigned index);
void test_worker_tell_console (TestWorker *worker, TestConsole *console);
void test_worker_tell_tmp (TestWorker *worker);
bool test_worker_tell_result (TestWorker *worker, json_t *result);

/* worker-tmp.c */
bool test_worker_make_tmp (TestWorker *worker, GError **error);
void test_worker_remove_tmp (TestWorker *worker);

/* worker-machine.c */
bool test_worker_make_machine (TestWorker *worker, GError **error);
const char *test_worker_name_error (const GError *error);
void test_worker_stop_machine (TestWorker *worker, const char *reason);
void test_worker_drop_machine (TestWorker *worker);

/* worker-console.c */
TestConsole *test_console_new (TestWorker *worker, const char *name, int index, GError **error);
void test_console_free (TestConsole *console);
void test_console_begin (TestConsole *console);
void test_console_send (TestConsole *console, const void *bytes, size_t len);
void test_console_drain (TestConsole *console, unsigned max);
void test_console_end (TestConsole *console);
bool test_console_has_bytes (const TestConsole *console);
bool test_console_pump (TestConsole *console);

/* worker-command.c */
bool test_command_is_status (int status, int wanted);
void test_command_on_patience (TestWorker *worker);
bool test_command_open (TestWorker *worker, GError **error);
void test_command_begin (TestWorker *worker);
void test_command_run (TestWorker *worker, const TestStep *step);
const char *test_command_last_line (TestWorker *worker);
void test_command_finish_input (TestWorker *worker);
void test_command_end (TestWorker *worker);
void test_command_clear (TestWorker *worker);
void test_command_judge (TestWorker *worker, int status, GBytes *output);

/* worker-steps.c */
void test_worker_on_within (TestWorker *worker);
void test_worker_on_later (TestWorker *worker);
void test_worker_begin_steps (TestWorker *worker);
void test_worker_pump (TestWorker *worker);
void test_worker_matched (TestWorker *worker, TestConsole *console, const VmmExpectEvent *event);
void test_worker_pass_step (TestWorker *worker);
void test_worker_judge_wait (TestWorker *worker);
const TestStep *test_worker_step (const TestWorker *worker);
TestStepResult *test_worker_step_result (TestWorker *worker);
void test_worker_end_steps (TestWorker *worker);
void test_worker_pass_command (TestWorker *worker);
int test_worker_failing_step (const TestWorker *worker);

/* worker-file.c */
void test_worker_check_file (TestWorker *worker);

/* worker-watch.c */
void test_worker_on_quiet (TestWorker *worker);
void test_worker_on_beat (TestWorker *worker);
void test_worker_on_total (TestWorker *worker);
void test_worker_begin_watch (TestWorker *worker);
void test_worker_heard (TestWorker *worker);
void test_worker_begin_silence (TestWorker *worker);
void test_worker_keep_sample (TestWorker *worker, int64_t us, const char *text);
void test_worker_sample (TestWorker *worker);
int64_t test_worker_silent_since (const TestWorker *worker);

/* worker-explain.c */
char *test_worker_explain_silence (const TestWorker *worker);
char *test_worker_last_words (const TestWorker *worker, const TestStep *step);
void test_worker_hear_all (TestWorker *worker);
void test_worker_time_is_over (TestWorker *worker, const TestStep *step);

/* worker-verdict.c */
const char *test_worker_name_end (VmmVerdictKind kind);
bool test_worker_is_over (const TestWorker *worker);
void test_worker_decide (TestWorker *worker, const char *kind, const char *reason);
void test_worker_fail (TestWorker *worker, const char *kind, const char *format, ...) G_GNUC_PRINTF (3, 4);
void test_worker_take_report (void *console, const VmmKernelReport *report);
void test_worker_suspect (TestWorker *worker, TestConsole *console, const char *kind, const char *reason,
                          uint64_t line);
bool test_worker_hears_report (const TestWorker *worker);
void test_worker_on_trouble_end (TestWorker *worker);
void test_worker_conclude (TestWorker *worker);

/* worker-result.c */
json_t *test_worker_result (TestWorker *worker);

#endif
