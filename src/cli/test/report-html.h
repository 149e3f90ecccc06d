/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_REPORT_HTML_H
#define CLI_TEST_REPORT_HTML_H

#include <jansson.h>

char *test_report_html (const json_t *document);

#endif
