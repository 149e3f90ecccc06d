/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_PRINTK_LINE_H
#define VMM_PRINTK_LINE_H

#include <stdbool.h>

#include <glib.h>

#include "vmm/export.h"

G_BEGIN_DECLS

/**
 * VmmPrintkLine:
 * @text: what the kernel says, behind all that printk puts before it
 * @stamped: a time stamp was before it
 * @seconds: that, since the kernel's start
 */
typedef struct {
    const char *text;
    bool stamped;
    double seconds;
} VmmPrintkLine;

VMM_EXPORT const char *vmm_printk_skip_stamp (const char *line);
VMM_EXPORT bool vmm_printk_is_stamp_before (const char *line, const char *end);
VMM_EXPORT VmmPrintkLine vmm_printk_parse (const char *line);

G_END_DECLS

#endif
