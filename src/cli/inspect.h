/* SPDX-License-Identifier: Apache-2.0 */
/* What "vmm inspect" says of a kernel, for other commands that say it, too. */
#ifndef CLI_INSPECT_H
#define CLI_INSPECT_H

#include <jansson.h>
#include <stdbool.h>

#include <vmm/vmm.h>

void inspect_print (const char *path, const VmmImage *image, bool verbose);
json_t *inspect_json_text (const char *text);
json_t *inspect_to_json (const char *path, const VmmImage *image);

#endif
