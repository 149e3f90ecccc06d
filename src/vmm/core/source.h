/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_CORE_SOURCE_H
#define VMM_CORE_SOURCE_H

#include <glib-unix.h>

/* Sources of a GMainContext; each call on the context's thread. */
GSource *vmm_source_watch_fd (GMainContext *context, int fd, GIOCondition condition,
                              GUnixFDSourceFunc callback, void *user);
void vmm_source_clear (GSource **source);

#endif
