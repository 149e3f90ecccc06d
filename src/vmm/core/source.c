/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/core/source.h"

/**
 * vmm_source_watch_fd:
 * @context: whose thread calls @callback
 * @fd: borrowed; open until the source is cleared
 * @condition: what is waited for
 * @callback: returns whether it is to be called again
 * @user: what it gets
 *
 * Returns: (transfer full): a source, to be ended by vmm_source_clear()
 */
GSource *
vmm_source_watch_fd (GMainContext *context, int fd, GIOCondition condition, GUnixFDSourceFunc callback,
                     void *user)
{
    GSource *source = g_unix_fd_source_new (fd, condition);

    g_source_set_callback (source, G_SOURCE_FUNC (callback), user, NULL);
    g_source_attach (source, context);
    return source;
}

/**
 * vmm_source_clear:
 * @source: (inout): a source or %NULL; %NULL afterwards
 *
 * It is not called any more; a callback may clear its own.
 */
void
vmm_source_clear (GSource **source)
{
    if (*source == NULL)
        return;
    g_source_destroy (*source);
    g_clear_pointer (source, g_source_unref);
}
