/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_CAPTURE_H
#define CLI_TEST_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>
#include <jansson.h>

#define TEST_CAPTURE_LINE_MAX 200u

typedef struct _TestCapture TestCapture;

TestCapture *test_capture_new (size_t head, size_t tail);
void test_capture_free (TestCapture *capture);
void test_capture_feed (TestCapture *capture, const uint8_t *data, size_t len);
const char *test_capture_last_line (TestCapture *capture);
GBytes *test_capture_get_bytes (const TestCapture *capture, bool *ret_cut);
json_t *test_capture_to_json (const TestCapture *capture);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TestCapture, test_capture_free)

#endif
