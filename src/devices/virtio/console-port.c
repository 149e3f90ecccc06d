/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * One port: a queue each way, and a character backend. What the guest sends goes through a small buffer to
 * the host; what the host does not take stays there, and with it the chain that it came from, so that a guest
 * that sends more waits. A pause gives the chain back and notes how much of it was read.
 *
 * The backend works on another thread. Its input is put into a ring, and the loop is asked to look.
 */
#include <string.h>

#include "devices/virtio/console-internal.h"

/* The loop belongs to other devices, too. */
#define BYTES_PER_TURN (64u << 10)
#define CHAINS_PER_TURN 64u

static size_t
port_room (void *user)
{
    VmmPort *port = user;
    size_t room;

    g_mutex_lock (&port->lock);
    room = sizeof port->in - port->in_len;
    g_mutex_unlock (&port->lock);
    return room;
}

static void
port_input (void *user, const uint8_t *data, size_t len)
{
    VmmPort *port = user;
    unsigned at;
    unsigned first;

    g_mutex_lock (&port->lock);
    at = (port->in_start + port->in_len) % VMM_PORT_BUFFER;
    first = MIN ((unsigned)len, VMM_PORT_BUFFER - at);
    memcpy (port->in + at, data, first);
    memcpy (port->in, data + first, len - first);
    port->in_len += (unsigned)len;
    g_mutex_unlock (&port->lock);
    vmm_console_post (port->console);
}

static void
port_drained (void *user)
{
    vmm_console_post (((VmmPort *)user)->console);
}

static void
port_connected (void *user, bool connected)
{
    VmmPort *port = user;

    g_mutex_lock (&port->lock);
    port->host_changed = port->host_changed || port->host_open != connected;
    port->host_open = connected;
    g_mutex_unlock (&port->lock);
    vmm_console_post (port->console);
}

static const VmmChardevFrontend frontend = {
    .room = port_room,
    .receive = port_input,
    .drained = port_drained,
    .connected = port_connected,
};

/**
 * vmm_port_init:
 * @port: zeroes, with its name and queues
 *
 * On the backend's thread.
 */
void
vmm_port_init (VmmPort *port, VmmConsole *console, VmmChardev *chardev)
{
    port->console = console;
    port->chardev = chardev;
    g_mutex_init (&port->lock);
    vmm_chain_init (&port->chain, VMM_CHAIN_IOV_MAX);
    port->host_open = vmm_chardev_is_connected (chardev);
    vmm_chardev_set_frontend (chardev, &frontend, port);
}

/**
 * vmm_port_clear:
 *
 * On the backend's thread, the loop being done with the port; the backend was parted from it before.
 */
void
vmm_port_clear (VmmPort *port)
{
    vmm_chain_clear (&port->chain);
    g_mutex_clear (&port->lock);
}

/* Whether the host has taken all that was read. */
static bool
drain (VmmPort *port)
{
    while (port->out_start < port->out_end) {
        size_t n =
            vmm_chardev_write (port->chardev, port->out + port->out_start, port->out_end - port->out_start);

        if (n == 0)
            return false;
        port->out_start += (unsigned)n;
    }
    return true;
}

static bool
next_chain (VmmPort *port, VmmVirtqueue *queue)
{
    if (!vmm_virtqueue_pop (queue, &port->chain))
        return false;
    port->has_chain = true;
    port->sent = 0;
    /* Also when the guest has put a shorter one in its place: that is its own affair. */
    while (port->sent < port->skip) {
        size_t n = vmm_chain_read (&port->chain, port->out, MIN (sizeof port->out, port->skip - port->sent));

        if (n == 0)
            break;
        port->sent += n;
    }
    port->skip = 0;
    return true;
}

/**
 * vmm_port_send:
 *
 * Takes what the guest sends (virtio 1.2 section 5.3.6), as far as the host takes it.
 */
void
vmm_port_send (VmmPort *port)
{
    VmmVirtqueue *queue = vmm_virtio_device_queue (port->console->device, port->tx);
    unsigned chains = 0;
    size_t bytes = 0;

    /* When the host is too slow, it tells when it has caught up. */
    while (drain (port) && (port->has_chain || next_chain (port, queue))) {
        size_t n = vmm_chain_read (&port->chain, port->out, sizeof port->out);

        port->out_start = 0;
        port->out_end = (unsigned)n;
        port->sent += n;
        bytes += n;
        if (port->chain.readable_left == 0 && drain (port)) {
            vmm_virtqueue_push (queue, &port->chain);
            port->has_chain = false;
            chains++;
        }
        if (bytes >= BYTES_PER_TURN || chains >= CHAINS_PER_TURN) {
            vmm_console_post (port->console);
            break;
        }
    }
    vmm_virtqueue_publish (queue);
}

static size_t
fill (VmmPort *port, VmmChain *chain)
{
    size_t done = 0;

    g_mutex_lock (&port->lock);
    while (port->in_len > 0) {
        unsigned run = MIN (port->in_len, VMM_PORT_BUFFER - port->in_start);
        size_t n = vmm_chain_write (chain, port->in + port->in_start, run);

        if (n == 0)
            break;
        port->in_start = (port->in_start + (unsigned)n) % VMM_PORT_BUFFER;
        port->in_len -= (unsigned)n;
        done += n;
    }
    g_mutex_unlock (&port->lock);
    return done;
}

/**
 * vmm_port_receive:
 *
 * Gives the guest what the host has sent, when a program waits for it and there are buffers.
 */
void
vmm_port_receive (VmmPort *port)
{
    VmmVirtqueue *queue = vmm_virtio_device_queue (port->console->device, port->rx);
    VmmChain *chain = &port->console->chain;
    bool any = false;

    if (port->name != NULL && !port->guest_open)
        return;
    while (port_room (port) < VMM_PORT_BUFFER && vmm_virtqueue_pop (queue, chain)) {
        if (chain->writable_left == 0) {
            vmm_virtqueue_fail (queue, "a receive buffer that cannot be written");
            return;
        }
        any = fill (port, chain) > 0;
        vmm_virtqueue_push (queue, chain);
    }
    vmm_virtqueue_publish (queue);
    if (any)
        vmm_chardev_accept_input (port->chardev);
}

/**
 * vmm_port_quiesce:
 *
 * Gives the chain back that is being sent.
 */
void
vmm_port_quiesce (VmmPort *port)
{
    if (!port->has_chain)
        return;
    vmm_virtqueue_unpop (vmm_virtio_device_queue (port->console->device, port->tx), &port->chain);
    port->has_chain = false;
    port->skip = port->sent;
}

/**
 * vmm_port_forget_chain:
 *
 * The send queue was reset: what was read of it is still sent.
 */
void
vmm_port_forget_chain (VmmPort *port)
{
    port->has_chain = false;
    port->skip = 0;
}

/**
 * vmm_port_reset:
 *
 * There is no driver any more. What the host has sent is kept for the next one.
 */
void
vmm_port_reset (VmmPort *port)
{
    drain (port);
    vmm_port_forget_chain (port);
    port->out_start = 0;
    port->out_end = 0;
    port->ready = false;
    port->guest_open = false;
    port->tell = 0;
}

/**
 * vmm_port_save:
 *
 * After the quiesce.
 */
void
vmm_port_save (VmmPort *port, VmmStateWriter *writer)
{
    uint8_t in[VMM_PORT_BUFFER];
    unsigned len;

    vmm_state_put_bool (writer, port->ready);
    vmm_state_put_bool (writer, port->guest_open);
    vmm_state_put_u32 (writer, port->tell);
    vmm_state_put_u64 (writer, port->skip);
    vmm_state_put_bytes (writer, port->out + port->out_start, port->out_end - port->out_start);
    g_mutex_lock (&port->lock);
    len = port->in_len;
    for (unsigned i = 0; i < len; i++)
        in[i] = port->in[(port->in_start + i) % VMM_PORT_BUFFER];
    g_mutex_unlock (&port->lock);
    vmm_state_put_bytes (writer, in, len);
}

/**
 * vmm_port_load:
 *
 * Returns: false for what cannot be
 */
bool
vmm_port_load (VmmPort *port, VmmStateReader *reader)
{
    uint8_t in[VMM_PORT_BUFFER];
    uint32_t n_out = 0;
    uint32_t n_in = 0;

    if (!vmm_state_get_bool (reader, &port->ready) || !vmm_state_get_bool (reader, &port->guest_open) ||
        !vmm_state_get_u32 (reader, &port->tell) || (port->tell & ~(uint32_t)VMM_PORT_TELL_ALL) != 0 ||
        !vmm_state_get_u64 (reader, &port->skip) ||
        !vmm_state_get_bytes (reader, port->out, sizeof port->out, &n_out) ||
        !vmm_state_get_bytes (reader, in, sizeof in, &n_in))
        return false;
    port->out_start = 0;
    port->out_end = n_out;
    g_mutex_lock (&port->lock);
    memcpy (port->in, in, n_in);
    port->in_start = 0;
    port->in_len = n_in;
    /* Who is at the other end now is another matter than who was when it was saved. */
    port->host_changed = true;
    g_mutex_unlock (&port->lock);
    return true;
}
