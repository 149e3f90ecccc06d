/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_WRITE_FILE_H
#define CLI_WRITE_FILE_H

#include <stdbool.h>
#include <sys/types.h>

#include <glib.h>

bool write_file (const char *path, const char *text, mode_t mode, bool replace, char **ret_left,
                 GError **error);

#endif
