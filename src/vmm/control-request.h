/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_CONTROL_REQUEST_H
#define VMM_CONTROL_REQUEST_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

#include "vmm/machine.h"

/* Bytes of a request, without its newline. */
#define VMM_CONTROL_LINE_MAX 65536u

char *vmm_control_answer (VmmMachine *machine, const char *line, size_t len, bool *ret_events);
char *vmm_control_describe_event (VmmMachine *machine, const char *event);
char *vmm_control_describe_overlong (void);

#endif
