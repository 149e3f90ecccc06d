/* SPDX-License-Identifier: Apache-2.0 */
/* A session that is being written down. See record.c. */
#ifndef CLI_TEST_RECORD_INTERNAL_H
#define CLI_TEST_RECORD_INTERNAL_H

#include "record.h"
#include "scenario.h"

#define TEST_RECORD_LINE_MAX 1024u
#define TEST_RECORD_ECHO_MAX 16u

typedef enum {
    TEST_RECORD_TYPED,
    TEST_RECORD_POWER_BUTTON,
    TEST_RECORD_BREAK,
    TEST_RECORD_END
} TestRecordKind;

/**
 * TestRecordLine:
 * @text: of a line of the console
 * @whole: it begins where the line does
 */
typedef struct {
    GString *text;
    bool whole;
} TestRecordLine;

/**
 * TestRecordStep:
 * @seen: (nullable): the line that was there before
 * @prompt: it was not ended, as the line of a prompt is not
 * @bytes: what was typed
 * @echo: the beginning of what came then, TEST_RECORD_ECHO_MAX bytes
 * @took: how long the guest took until then, in seconds
 * @quiet: how long it said nothing meanwhile
 * @pause: how long nothing happened then, before it was typed; where there was a prompt, 0
 */
typedef struct {
    TestRecordKind kind;
    TestRecordLine *seen;
    bool prompt;
    GByteArray *bytes;
    GString *echo;
    double took;
    double quiet;
    double pause;
} TestRecordStep;

/**
 * TestRecord:
 * @settings: of TestPair: of the machine
 * @steps: of TestRecordStep
 * @open: more may be typed in the last one
 * @answered: the guest has ended a line since a key was typed
 * @line: the console's line so far, without escape sequences
 * @line_from: where in it begins what came since the last step began
 * @line_cut: its beginning is missing, or the kernel has broken the line before it
 * @last: (nullable): the last line with text that ended since the last step began
 * @typed_t: when a key was typed last, or the session began
 * @output_t: when something was written last
 * @troubles: of each VmmKernelTrouble: whether the kernel reported it
 * @first_trouble: the first of them; VMM_KERNEL_N_TROUBLES: there was none
 * @ended: there is a verdict
 */
struct _TestRecord {
    bool keep_secrets;
    GPtrArray *settings;
    GPtrArray *steps;
    size_t n_bytes;
    bool open;
    bool answered;
    bool full;
    VmmTerminalFilter filter;
    GString *line;
    size_t line_from;
    bool line_cut;
    TestRecordLine *last;
    double typed_t;
    double output_t;
    double quiet;
    VmmKernelLog *log;
    bool troubles[VMM_KERNEL_N_TROUBLES];
    VmmKernelTrouble first_trouble;
    bool ended;
    VmmVerdictKind end;
    int exit_code;
};

size_t test_record_find_stamp (const char *line);
TestRecordLine *test_record_line_new (const char *text, size_t len, bool whole);
void test_record_line_free (TestRecordLine *line);
char *test_record_line_to_pattern (const TestRecordLine *line, bool *ret_literal);
bool test_record_step_is_secret (const TestRecordStep *step);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TestRecordLine, test_record_line_free)

#endif
