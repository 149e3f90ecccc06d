/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_KEYS_H
#define CLI_TEST_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include <glib.h>

GBytes *test_keys_decode_text (const char *text, GError **error);
char *test_keys_encode_text (const uint8_t *bytes, size_t len);
GBytes *test_keys_decode_key (const char *name, GError **error);
char *test_keys_find_name (const uint8_t *bytes, size_t len);

#endif
