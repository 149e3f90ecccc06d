/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_TEXT_H
#define CLI_TEST_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include <glib.h>

void test_text_append_valid (GString *text, const uint8_t *bytes, size_t len);
void test_text_append_plain (GString *text, const uint8_t *bytes, size_t len, size_t max_chars);

#endif
