/* SPDX-License-Identifier: Apache-2.0 */
/* The outputs of a command that runs in a guest; see run-session.c. */
#include "vmm/run-out.h"

#include <errno.h>
#include <poll.h>

#include "vmm/core/source.h"

/**
 * vmm_run_out_init:
 * @fd: where it goes, or -1 for nowhere; borrowed
 * @context: the one of the caller's thread
 */
void
vmm_run_out_init (VmmRunOut *out, int fd, GMainContext *context)
{
    *out = (VmmRunOut){.pending = g_byte_array_new (), .context = context};
    vmm_char_sink_init (&out->sink, fd);
}

/**
 * vmm_run_out_clear:
 * @out: initialized, or all zeroes: what is pending is lost
 */
void
vmm_run_out_clear (VmmRunOut *out)
{
    vmm_source_clear (&out->writable);
    vmm_char_sink_close (&out->sink);
    g_clear_pointer (&out->pending, g_byte_array_unref);
}

/**
 * vmm_run_out_is_empty:
 *
 * Returns: whether all that was put is written
 */
bool
vmm_run_out_is_empty (const VmmRunOut *out)
{
    return out->pending->len == out->done;
}

/* Writes what is taken now. */
static void
write_some (VmmRunOut *out)
{
    size_t before = out->done;

    while (!out->is_broken && !vmm_run_out_is_empty (out)) {
        ssize_t n =
            vmm_char_sink_write (&out->sink, out->pending->data + out->done, out->pending->len - out->done);

        if (n > 0) {
            out->done += (size_t)n;
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0 || errno == EAGAIN || errno == EWOULDBLOCK)
            break;
        /* The reader has gone, or the disk is full. */
        out->is_broken = true;
        out->done = out->pending->len;
        out->broken (out->user, errno);
    }
    before = out->done - before;
    if (vmm_run_out_is_empty (out)) {
        g_byte_array_set_size (out->pending, 0);
        out->done = 0;
    }
    if (before > 0)
        out->taken (out->user, before);
}

static gboolean
on_writable (gint fd, GIOCondition condition, gpointer user)
{
    VmmRunOut *out = user;

    write_some (out);
    if (!vmm_run_out_is_empty (out))
        return G_SOURCE_CONTINUE;
    g_clear_pointer (&out->writable, g_source_unref);
    return G_SOURCE_REMOVE;
}

/**
 * vmm_run_out_put:
 * @data: @len bytes
 *
 * Writes them, now or as the reader takes them.
 *
 * Returns: false when they are more than the window has room for: the guest breaks the rules
 */
bool
vmm_run_out_put (VmmRunOut *out, const uint8_t *data, size_t len)
{
    if (out->pending->len - out->done + len > VMM_RUN_OUT_WINDOW)
        return false;
    /* What is written already is not kept: the buffer stays as small as the window. */
    if (out->done > 0) {
        g_byte_array_remove_range (out->pending, 0, (guint)out->done);
        out->done = 0;
    }
    g_byte_array_append (out->pending, data, (guint)len);
    if (out->is_broken) {
        out->done = out->pending->len;
        out->taken (out->user, len);
        return true;
    }
    if (out->writable != NULL)
        return true;
    write_some (out);
    if (!vmm_run_out_is_empty (out)) {
        out->writable =
            vmm_source_watch_fd (out->context, vmm_char_sink_fd (&out->sink), G_IO_OUT, on_writable, out);
    }
    return true;
}

/**
 * vmm_run_out_flush:
 * @patience_us: how long to wait for the reader at most
 *
 * At the end: writes what is pending.
 */
void
vmm_run_out_flush (VmmRunOut *out, int64_t patience_us)
{
    gint64 end = g_get_monotonic_time () + patience_us;

    vmm_source_clear (&out->writable);
    write_some (out);
    while (!vmm_run_out_is_empty (out) && g_get_monotonic_time () < end) {
        struct pollfd pfd = {.fd = vmm_char_sink_fd (&out->sink), .events = POLLOUT};

        poll (&pfd, 1, 100);
        write_some (out);
    }
}
