/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include <vmm/vmm.h>

json_t *report_verdict_to_json (const VmmVerdict *v, int64_t start_ns);
json_t *report_command_to_json (const VmmRunResult *result);
bool report_is_sink (const char *path);
bool report_check_path (const char *option, const char *path, GError **error);
bool report_write_text (const char *option, const char *path, const char *text, GError **error);
bool report_write_verdict (const char *path, const VmmVerdict *verdict, int64_t process_start_ns,
                           GError **error);
bool report_write_run (const char *path, const VmmRunResult *result, int64_t process_start_ns,
                       GError **error);
bool report_write_error (const char *path, const GError *failure, GError **error);

#endif
