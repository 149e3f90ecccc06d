/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_REPORT_TAP_H
#define CLI_TEST_REPORT_TAP_H

#include <jansson.h>

char *test_report_tap (const json_t *document);

#endif
