/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_PLAIN_H
#define CLI_TEST_PLAIN_H

#include <stdbool.h>

#include <jansson.h>

#include "job.h"

/**
 * TestPlainStyle:
 * @colours: of a terminal
 * @marks: signs that are no ASCII
 * @columns: of a line; 0: as many as it takes
 *
 * How lines look.
 */
typedef struct {
    bool colours;
    bool marks;
    unsigned columns;
} TestPlainStyle;

char *test_plain_ended (const json_t *result, bool again, const TestPlainStyle *style);
char *test_plain_words (const json_t *result, const TestPlainStyle *style);
char *test_plain_log (const json_t *result, const TestPlainStyle *style);
char *test_plain_step (const TestJob *job, const char *state, double t, const TestPlainStyle *style);
char *test_plain_note (const char *text, const TestPlainStyle *style);

#endif
