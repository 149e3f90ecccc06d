/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Somebody works at a console, and what they do becomes a scenario that does it again. A step is what was
 * typed up to the end of a line, or up to the guest's answer where a single key had one; before it comes the
 * line that was there to be read: as a rule a prompt. It is looked for in what came since the step before
 * began, since vmm test looks for it there, too. Where that is nothing (somebody types ahead, or a pipe is
 * standard input) the step waits for nothing, as they did.
 *
 * Where there is no prompt, the guest may need a moment before it takes a key: Ctrl-C ends the program that
 * runs, and not the one that is yet to be started. So pauses are kept there, within reason.
 *
 * A session is not the same each time. Numbers may be others, so patterns have them as such; what the kernel
 * says may come at any time, so it is no line to wait for; and the guest may be slower, so steps that took
 * long get more time.
 *
 * What is typed without an echo at a prompt is a secret, and does not go to a file, unless it is asked for.
 */
#include <string.h>

#include "record-internal.h"

/* Somebody has waited, and has not just typed on; longer than a guest needs people think. */
#define PAUSE_MIN 0.3
#define PAUSE_MAX 2.0

/* Of a session that may go on for days, or whose standard input is a disk. */
#define STEPS_MAX 1000u
#define BYTES_MAX (256u << 10)
#define STEP_BYTES_MAX 4096u

static void
free_step (TestRecordStep *step)
{
    test_record_line_free (step->seen);
    g_byte_array_unref (step->bytes);
    g_string_free (step->echo, TRUE);
    g_free (step);
}

static void
on_report (void *user, const VmmKernelReport *report)
{
    TestRecord *record = user;

    record->troubles[report->kind] = true;
    if (record->first_trouble == VMM_KERNEL_N_TROUBLES)
        record->first_trouble = report->kind;
}

/**
 * test_record_new:
 *
 * One thread at a time. All times are seconds since the machine was made.
 */
TestRecord *
test_record_new (void)
{
    TestRecord *record = g_new0 (TestRecord, 1);

    record->settings = g_ptr_array_new_with_free_func ((GDestroyNotify)test_pair_free);
    record->steps = g_ptr_array_new_with_free_func ((GDestroyNotify)free_step);
    record->line = g_string_new (NULL);
    record->log = vmm_kernel_log_new (on_report, record);
    record->first_trouble = VMM_KERNEL_N_TROUBLES;
    return record;
}

/**
 * test_record_free:
 * @record: (nullable)
 */
void
test_record_free (TestRecord *record)
{
    if (record == NULL)
        return;
    g_ptr_array_unref (record->settings);
    g_ptr_array_unref (record->steps);
    g_string_free (record->line, TRUE);
    test_record_line_free (record->last);
    vmm_kernel_log_free (record->log);
    g_free (record);
}

/**
 * test_record_keep_secrets:
 * @keep: the scenario has what was typed without an echo, too [false]
 */
void
test_record_keep_secrets (TestRecord *record, bool keep)
{
    record->keep_secrets = keep;
}

/**
 * test_record_set:
 * @key: of vmm-config(5)
 * @value: as the user has written it
 *
 * The machine has this setting.
 */
void
test_record_set (TestRecord *record, const char *key, const char *value)
{
    g_ptr_array_add (record->settings, test_pair_new (key, value));
}

static void
end_line (TestRecord *record)
{
    bool whole = record->line_from == 0 && !record->line_cut;
    size_t stamp = test_record_find_stamp (record->line->str);
    TestRecordLine *line;

    /* Without the kernel's message, the next line would be the rest of this one. */
    record->line_cut = stamp < record->line->len && (stamp > 0 || record->line_cut);
    while (record->line->len > record->line_from && record->line->str[record->line->len - 1] == '\r')
        g_string_truncate (record->line, record->line->len - 1);
    line = test_record_line_new (record->line->str + record->line_from, record->line->len - record->line_from,
                                 whole);
    /* The kernel's messages are no answer. */
    record->answered = record->answered || line != NULL || record->line->len == record->line_from;
    if (line != NULL) {
        test_record_line_free (record->last);
        record->last = line;
    }
    g_string_truncate (record->line, 0);
    record->line_from = 0;
}

static void
append_to_line (TestRecord *record, uint8_t byte)
{
    if (record->line->len == TEST_RECORD_LINE_MAX) {
        g_string_erase (record->line, 0, TEST_RECORD_LINE_MAX / 2);
        record->line_from -= MIN (record->line_from, TEST_RECORD_LINE_MAX / 2);
        record->line_cut = true;
    }
    /* NUL would end the text; nobody sees it. */
    if (byte != '\0')
        g_string_append_c (record->line, (char)byte);
}

static void
note_echo (TestRecord *record, uint8_t byte)
{
    TestRecordStep *step = record->steps->len > 0 ? record->steps->pdata[record->steps->len - 1] : NULL;

    if (step != NULL && step->echo->len < TEST_RECORD_ECHO_MAX && byte != '\0')
        g_string_append_c (step->echo, (char)byte);
}

/**
 * test_record_output:
 * @data: @len bytes that the console has written
 */
void
test_record_output (TestRecord *record, const uint8_t *data, size_t len, double t)
{
    record->quiet = MAX (record->quiet, t - MAX (record->output_t, record->typed_t));
    record->output_t = t;
    vmm_kernel_log_feed (record->log, data, len);
    for (size_t i = 0; i < len; i++) {
        if (!vmm_terminal_filter_pass (&record->filter, data[i]))
            continue;
        note_echo (record, data[i]);
        if (data[i] == '\n')
            end_line (record);
        else
            append_to_line (record, data[i]);
    }
}

/* The line that somebody reads now, of what came since the last step began. */
static TestRecordLine *
take_seen (TestRecord *record, bool *ret_prompt)
{
    bool whole = record->line_from == 0 && !record->line_cut;
    TestRecordLine *line = test_record_line_new (record->line->str + record->line_from,
                                                 record->line->len - record->line_from, whole);

    *ret_prompt = line != NULL;
    if (line == NULL)
        return g_steal_pointer (&record->last);
    g_clear_pointer (&record->last, test_record_line_free);
    return line;
}

/* The terminal shows control characters as ^C, sometimes: whether it did is no matter of the prompt behind.
 */
static void
skip_echo (TestRecord *record)
{
    const TestRecordStep *step = record->steps->len > 0 ? record->steps->pdata[record->steps->len - 1] : NULL;
    const char *text = record->line->str + record->line_from;

    if (step != NULL && step->bytes->len > 0 && step->bytes->data[step->bytes->len - 1] < ' ' &&
        text[0] == '^' && text[1] == (char)(step->bytes->data[step->bytes->len - 1] + '@'))
        record->line_from += 2;
}

static TestRecordStep *
begin_step (TestRecord *record, TestRecordKind kind, double t)
{
    TestRecordStep *step = g_new0 (TestRecordStep, 1);

    skip_echo (record);
    step->kind = kind;
    step->bytes = g_byte_array_new ();
    step->echo = g_string_new (NULL);
    step->seen = take_seen (record, &step->prompt);
    if (kind == TEST_RECORD_END)
        step->took = t - record->typed_t;
    else
        step->took = MAX (0, record->output_t - record->typed_t);
    step->quiet = record->quiet;
    if (kind == TEST_RECORD_TYPED && !step->prompt)
        step->pause = MIN (t - MAX (record->output_t, record->typed_t), PAUSE_MAX);
    if (step->pause < PAUSE_MIN)
        step->pause = 0;
    record->quiet = 0;
    record->typed_t = t;
    record->line_from = record->line->len;
    record->answered = false;
    g_ptr_array_add (record->steps, step);
    return step;
}

/* Keys after which something happens. */
static bool
ends_step (uint8_t byte, size_t len)
{
    return byte == '\r' || byte == '\n' || byte == '\003' || byte == '\004' || byte == '\032' ||
           byte == '\034' || len == STEP_BYTES_MAX;
}

/* How long the terminal's own answer is at @data, which nobody has typed: where the cursor is
 * (ECMA-48 8.3.14, CPR), what it is (8.3.24, DA), and how it is (8.3.35, DSR). Guests ask; vmm test does not
 * answer.
 */
static size_t
count_answer (const uint8_t *data, size_t len)
{
    size_t n = 2;

    if (len < 4 || data[0] != VMM_TERMINAL_ESCAPE || data[1] != '[')
        return 0;
    while (n < len && data[n] != '\0' && strchr ("0123456789;?>", data[n]) != NULL)
        n++;
    return n > 2 && n < len && (data[n] == 'R' || data[n] == 'c' || data[n] == 'n') ? n + 1 : 0;
}

static bool
is_full (TestRecord *record)
{
    record->full = record->full || record->steps->len >= STEPS_MAX || record->n_bytes >= BYTES_MAX;
    return record->full;
}

/**
 * test_record_typed:
 * @data: @len bytes that go to the guest, keys as they were typed
 *
 * All output that was there before has been told.
 */
void
test_record_typed (TestRecord *record, const uint8_t *data, size_t len, double t)
{
    for (size_t i = 0; i < len && !is_full (record); i++) {
        size_t answer = count_answer (data + i, len - i);
        TestRecordStep *step;

        if (answer > 0) {
            i += answer - 1;
            continue;
        }
        if (!record->open || record->answered)
            begin_step (record, TEST_RECORD_TYPED, t);
        step = record->steps->pdata[record->steps->len - 1];
        g_byte_array_append (step->bytes, data + i, 1);
        record->n_bytes++;
        record->open = !ends_step (data[i], step->bytes->len);
        /* One end of a line, of a text that is not from here. */
        if (data[i] == '\r' && i + 1 < len && data[i + 1] == '\n')
            g_byte_array_append (step->bytes, data + ++i, 1);
    }
    record->typed_t = t;
}

static void
add_action (TestRecord *record, TestRecordKind kind, double t)
{
    record->open = false;
    if (!is_full (record))
        begin_step (record, kind, t);
}

/**
 * test_record_power_button:
 *
 * It is pressed.
 */
void
test_record_power_button (TestRecord *record, double t)
{
    add_action (record, TEST_RECORD_POWER_BUTTON, t);
}

/**
 * test_record_break:
 *
 * A BREAK is sent.
 */
void
test_record_break (TestRecord *record, double t)
{
    add_action (record, TEST_RECORD_BREAK, t);
}

/**
 * test_record_end:
 * @verdict: how the machine ended
 */
void
test_record_end (TestRecord *record, const VmmVerdict *verdict, double t)
{
    vmm_kernel_log_finish (record->log);
    record->open = false;
    record->ended = true;
    record->end = verdict->kind;
    record->exit_code = verdict->exit_code;
    if (!is_full (record))
        begin_step (record, TEST_RECORD_END, t);
}

/**
 * test_record_is_full:
 *
 * Returns: whether the session was too long, and its end is missing
 */
bool
test_record_is_full (const TestRecord *record)
{
    return record->full;
}

static bool
asks_for_secret (const char *text)
{
    static const char *const words[] = {"pass", "secret", "pin", "token"};
    g_autofree char *lower = g_ascii_strdown (text, -1);

    for (size_t i = 0; i < G_N_ELEMENTS (words); i++) {
        if (strstr (lower, words[i]) != NULL)
            return true;
    }
    return false;
}

/**
 * test_record_step_is_secret:
 *
 * Returns: whether it was typed at a prompt and was not to be seen
 */
bool
test_record_step_is_secret (const TestRecordStep *step)
{
    const GByteArray *bytes = step->bytes;
    g_autofree char *prompt = NULL;
    bool colon, asks;

    if (step->kind != TEST_RECORD_TYPED || !step->prompt || step->seen == NULL || bytes->len < 2 ||
        bytes->data[0] <= ' ' || bytes->data[0] == 0x7f ||
        (bytes->data[bytes->len - 1] != '\r' && bytes->data[bytes->len - 1] != '\n'))
        return false;
    prompt = g_strchomp (g_strdup (step->seen->text->str));
    colon = g_str_has_suffix (prompt, ":");
    asks = asks_for_secret (prompt);
    /* Who is quick types before the echo is off. */
    if (step->echo->str[0] == (char)bytes->data[0])
        return asks && colon;
    /* The line has ended without it. */
    return asks || (colon && (step->echo->str[0] == '\r' || step->echo->str[0] == '\n'));
}

/**
 * test_record_lacks_secrets:
 *
 * Returns: whether something that was typed is not in the scenario
 */
bool
test_record_lacks_secrets (const TestRecord *record)
{
    for (guint i = 0; i < record->steps->len && !record->keep_secrets; i++) {
        if (test_record_step_is_secret (record->steps->pdata[i]))
            return true;
    }
    return false;
}
