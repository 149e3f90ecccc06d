/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A network device pulls: it gives a backend buffers when the guest has given it some, and takes no frame
 * otherwise. So frames that the guest has no room for wait where they came from, in the tap's queue or in a
 * socket, and whoever sent them slows down. The other way round a backend that can take no more says so, and
 * the device leaves the frames with the guest.
 *
 * What waits is not for ever: a network may lose frames, and a peer that does not read must not stop a guest.
 * Each backend says in its file how long it waits.
 *
 * Backends: tap.c, an interface of the host; user.c, connections made by this process for the guest;
 * socket.c, another machine.
 */
#include "devices/net/net.h"

#include <string.h>

/**
 * vmm_net_attach:
 * @events: whom to tell; outlives the attachment
 * @user: what they get
 *
 * @loop's thread: begins. Nobody else is attached.
 *
 * Returns: false with %VMM_ERROR_HOST
 */
bool
vmm_net_attach (VmmNet *net, VmmLoop *loop, const VmmNetEvents *events, void *user, GError **error)
{
    net->events = events;
    net->user = user;
    if (net->ops->attach (net, loop, error))
        return true;
    net->events = NULL;
    return false;
}

/**
 * vmm_net_detach:
 *
 * The loop's thread: nothing is told any more after the return.
 */
void
vmm_net_detach (VmmNet *net)
{
    net->ops->detach (net);
    net->events = NULL;
    net->user = NULL;
}

/**
 * vmm_net_send_batch:
 * @frames: at most %VMM_NET_BATCH_MAX
 *
 * The loop's thread: sends them one after the other, together where the backend can.
 *
 * Returns: how many, from the first on, are sent or dropped; the rest found it full
 */
unsigned
vmm_net_send_batch (VmmNet *net, unsigned pair, const VmmNetFrame *frames, unsigned n)
{
    unsigned done = 0;

    if (net->ops->send_batch != NULL)
        return net->ops->send_batch (net, pair, frames, n);
    while (done < n && net->ops->send (net, pair, frames[done].iov, frames[done].n_iov) != VMM_NET_FULL)
        done++;
    return done;
}

/**
 * vmm_net_link_is_up:
 *
 * Any thread.
 *
 * Returns: whether frames can get anywhere
 */
bool
vmm_net_link_is_up (const VmmNet *net)
{
    return __atomic_load_n (&net->link_up, __ATOMIC_RELAXED);
}

/**
 * vmm_net_set_link:
 *
 * For backends: the loop's thread, or while nobody is attached.
 */
void
vmm_net_set_link (VmmNet *net, bool up)
{
    if (net->link_up == up)
        return;
    __atomic_store_n (&net->link_up, up, __ATOMIC_RELAXED);
    if (net->events != NULL)
        net->events->link_changed (net->user);
}

/**
 * vmm_net_warn:
 *
 * For backends: tells the user, while attached.
 */
void
vmm_net_warn (VmmNet *net, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    if (net->events == NULL)
        return;
    va_start (args, format);
    text = g_strdup_vprintf (format, args);
    va_end (args);
    net->events->warn (net->user, text);
}

/**
 * vmm_net_scatter:
 * @data: @len bytes
 *
 * Writes them into @iov, one element after the other.
 *
 * Returns: how many had room
 */
size_t
vmm_net_scatter (const struct iovec *iov, unsigned n_iov, const void *data, size_t len)
{
    size_t done = 0;

    for (unsigned i = 0; i < n_iov && done < len; i++) {
        size_t run = MIN (iov[i].iov_len, len - done);

        memcpy (iov[i].iov_base, (const uint8_t *)data + done, run);
        done += run;
    }
    return done;
}

/**
 * vmm_net_gather:
 * @buf: room for @max bytes
 *
 * Returns: how many bytes of @iov there were, or @max
 */
size_t
vmm_net_gather (const struct iovec *iov, unsigned n_iov, void *buf, size_t max)
{
    size_t done = 0;

    for (unsigned i = 0; i < n_iov && done < max; i++) {
        size_t run = MIN (iov[i].iov_len, max - done);

        memcpy ((uint8_t *)buf + done, iov[i].iov_base, run);
        done += run;
    }
    return done;
}

/**
 * vmm_net_free:
 * @net: (nullable) (transfer full): attached to nothing
 */
void
vmm_net_free (VmmNet *net)
{
    if (net == NULL)
        return;
    g_clear_pointer (&net->identity, g_free);
    net->ops->free (net);
}
