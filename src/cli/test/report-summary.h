/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_REPORT_SUMMARY_H
#define CLI_TEST_REPORT_SUMMARY_H

#include <stdbool.h>

#include <jansson.h>

char *test_report_summary (const json_t *document, bool colours);
char *test_report_total (const json_t *document);

#endif
