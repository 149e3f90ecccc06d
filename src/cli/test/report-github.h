/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_REPORT_GITHUB_H
#define CLI_TEST_REPORT_GITHUB_H

#include <jansson.h>

char *test_report_github (const json_t *document, const char *root);

#endif
