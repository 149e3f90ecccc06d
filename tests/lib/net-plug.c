/* SPDX-License-Identifier: Apache-2.0 */
#include "net-plug.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* For what runs on the loop's thread. */
typedef struct {
    NetPlug *plug;
    const VmmNetHeader *header;
    const void *frame;
    size_t len;
    int fd;
    bool on;
    VmmNetSend sent;
    unsigned n;
} Call;

static void
fail (const char *why)
{
    fprintf (stderr, "net-plug: %s\n", why);
    abort ();
}

static bool
receive_one (NetPlug *plug)
{
    uint8_t bytes[sizeof (VmmNetHeader) + VMM_NET_FRAME_MAX];
    uint8_t *frame = bytes + sizeof (VmmNetHeader);
    struct iovec iov[3] = {
        {bytes, sizeof (VmmNetHeader)}, {frame, 100}, {frame + 100, VMM_NET_FRAME_MAX - 100}};
    size_t len = plug->net->ops->receive (plug->net, 0, iov, G_N_ELEMENTS (iov));

    if (len > 0)
        g_queue_push_tail (&plug->frames, g_bytes_new (bytes, sizeof (VmmNetHeader) + len));
    return len > 0;
}

static void
on_rx_ready (void *user, unsigned pair)
{
    NetPlug *plug = user;

    if (plug->in_send)
        fail ("frames are told of from within send");
    while (receive_one (plug))
        ;
}

static void
on_tx_ready (void *user)
{
    NetPlug *plug = user;

    if (plug->in_send)
        fail ("room is told of from within send");
    plug->n_tx_ready++;
}

static void
on_link_changed (void *user)
{
    ((NetPlug *)user)->n_links++;
}

static void
on_warn (void *user, const char *text)
{
    NetPlug *plug = user;

    g_free (plug->warning);
    plug->warning = g_strdup (text);
}

static const VmmNetEvents events = {on_rx_ready, on_tx_ready, on_link_changed, on_warn};

static void
do_put (void *user)
{
    NetPlug *plug = user;

    if (!vmm_net_attach (plug->net, plug->loop, &events, plug, NULL))
        fail ("it cannot be attached");
    plug->net->ops->want_receive (plug->net, 0, true);
}

static void
do_pull (void *user)
{
    vmm_net_detach (((NetPlug *)user)->net);
}

void
net_plug_put (NetPlug *plug)
{
    vmm_loop_call (plug->loop, do_put, plug);
}

void
net_plug_pull (NetPlug *plug)
{
    vmm_loop_call (plug->loop, do_pull, plug);
}

NetPlug *
net_plug_new (VmmNet *net)
{
    NetPlug *plug = g_new0 (NetPlug, 1);

    plug->net = net;
    g_queue_init (&plug->frames);
    plug->loop = vmm_loop_new ("plug", NULL);
    net_plug_put (plug);
    return plug;
}

void
net_plug_free (NetPlug *plug)
{
    net_plug_pull (plug);
    vmm_loop_free (plug->loop);
    vmm_net_free (plug->net);
    g_queue_clear_full (&plug->frames, (GDestroyNotify)g_bytes_unref);
    g_free (plug->warning);
    g_free (plug);
}

static void
do_send (void *user)
{
    Call *call = user;
    NetPlug *plug = call->plug;
    VmmNetHeader header = *call->header;
    size_t half = call->len / 2;
    struct iovec iov[3] = {{&header, sizeof header},
                           {(void *)call->frame, half},
                           {(uint8_t *)call->frame + half, call->len - half}};

    if (call->fd >= 0)
        close (call->fd);
    plug->in_send = true;
    call->sent = plug->net->ops->send (plug->net, 0, iov, G_N_ELEMENTS (iov));
    plug->in_send = false;
    if (plug->net->ops->flush != NULL)
        plug->net->ops->flush (plug->net);
}

VmmNetSend
net_plug_send (NetPlug *plug, const VmmNetHeader *header, const void *frame, size_t len)
{
    Call call = {.plug = plug, .header = header, .frame = frame, .len = len, .fd = -1};

    vmm_loop_call (plug->loop, do_send, &call);
    return call.sent;
}

VmmNetSend
net_plug_close_and_send (NetPlug *plug, int fd, const void *frame, size_t len)
{
    const VmmNetHeader header = {0};
    Call call = {.plug = plug, .header = &header, .frame = frame, .len = len, .fd = fd};

    vmm_loop_call (plug->loop, do_send, &call);
    return call.sent;
}

static void
do_receive (void *user)
{
    NetPlug *plug = user;
    g_autoptr (GBytes) bytes = NULL;
    const uint8_t *data;

    if (g_queue_is_empty (&plug->frames))
        receive_one (plug);
    plug->len = 0;
    bytes = g_queue_pop_head (&plug->frames);
    if (bytes == NULL)
        return;
    data = g_bytes_get_data (bytes, &plug->len);
    plug->len -= sizeof plug->header;
    memcpy (&plug->header, data, sizeof plug->header);
    memcpy (plug->frame, data + sizeof plug->header, plug->len);
}

bool
net_plug_receive (NetPlug *plug, unsigned seconds)
{
    gint64 end = g_get_monotonic_time () + seconds * G_USEC_PER_SEC;

    do {
        vmm_loop_call (plug->loop, do_receive, plug);
        if (plug->len > 0)
            return true;
        g_usleep (200);
    } while (g_get_monotonic_time () < end);
    return false;
}

static void
do_want (void *user)
{
    Call *call = user;

    call->plug->net->ops->want_receive (call->plug->net, 0, call->on);
}

void
net_plug_want (NetPlug *plug, bool wanted)
{
    Call call = {.plug = plug, .on = wanted};

    vmm_loop_call (plug->loop, do_want, &call);
}

bool
net_plug_wait_link (const NetPlug *plug, bool up)
{
    gint64 end = g_get_monotonic_time () + 10 * G_USEC_PER_SEC;

    while (vmm_net_link_is_up (plug->net) != up) {
        if (g_get_monotonic_time () >= end)
            return false;
        g_usleep (200);
    }
    return true;
}

static void
count_tx_ready (void *user)
{
    Call *call = user;

    call->n = call->plug->n_tx_ready;
}

unsigned
net_plug_n_tx_ready (NetPlug *plug)
{
    Call call = {.plug = plug};

    vmm_loop_call (plug->loop, count_tx_ready, &call);
    return call.n;
}
