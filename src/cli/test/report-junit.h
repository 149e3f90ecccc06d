/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_REPORT_JUNIT_H
#define CLI_TEST_REPORT_JUNIT_H

#include <jansson.h>

char *test_report_junit (const json_t *document);

#endif
