/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_TIMELINE_H
#define CLI_TEST_TIMELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>
#include <jansson.h>

#define TEST_TIMELINE_INITCALLS_MAX 200u

typedef struct _TestTimeline TestTimeline;

TestTimeline *test_timeline_new (void);
void test_timeline_free (TestTimeline *timeline);
void test_timeline_feed (TestTimeline *timeline, const uint8_t *data, size_t len, double t);
void test_timeline_restarted (TestTimeline *timeline, double t);
const char *test_timeline_stage (const TestTimeline *timeline);
bool test_timeline_kernel_offset (const TestTimeline *timeline, double *ret_offset);
json_t *test_timeline_stages (const TestTimeline *timeline, double first_instruction, double first_output,
                              double end);
json_t *test_timeline_initcalls (const TestTimeline *timeline);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TestTimeline, test_timeline_free)

#endif
