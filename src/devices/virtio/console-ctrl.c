/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The control queues of a device with many ports (virtio 1.2 section 5.3.6.2). What the driver is to be told
 * is a few bits of each port, not a list of messages: a driver that takes none costs nothing, and one that
 * asks for the same again and again is told once.
 */
#include <string.h>

#include "devices/virtio/console-internal.h"
#include "vmm/core/bytes.h"

#define CONTROL_IN 2u
#define CONTROL_OUT 3u
#define HEADER_SIZE 8u
#define MESSAGES_PER_TURN 256u

/* Section 5.3.6.2.1. */
enum {
    EVENT_DEVICE_READY = 0,
    EVENT_PORT_ADD = 1,
    EVENT_PORT_READY = 3,
    EVENT_PORT_OPEN = 6,
    EVENT_PORT_NAME = 7,
};

/* Port 0 belongs to those drivers that know only one. */
static uint32_t
id_of (const VmmPort *port)
{
    return (uint32_t)(port - port->console->ports) + 1;
}

static void
on_device_ready (VmmConsole *console, uint16_t value)
{
    if (value == 0)
        vmm_virtio_device_warn (console->device, "the guest's driver could not set the device up");
    for (unsigned i = 0; value != 0 && i < console->n_ports; i++)
        console->ports[i].tell |= VMM_PORT_TELL_ADD;
}

static void
on_port_ready (VmmPort *port, uint16_t value)
{
    port->ready = value != 0;
    if (port->ready)
        port->tell |= VMM_PORT_TELL_NAME | VMM_PORT_TELL_OPEN;
    else
        vmm_virtio_device_warn (port->console->device, "the guest's driver could not add the port \"%s\"",
                                port->name);
}

static void
on_message (VmmConsole *console, const uint8_t *message)
{
    uint32_t id = vmm_get_u32 (message);
    uint16_t event = vmm_get_u16 (message + 4);
    uint16_t value = vmm_get_u16 (message + 6);
    VmmPort *port = id >= 1 && id <= console->n_ports ? &console->ports[id - 1] : NULL;

    if (event == EVENT_DEVICE_READY)
        on_device_ready (console, value);
    else if (event == EVENT_PORT_READY && port != NULL)
        on_port_ready (port, value);
    else if (event == EVENT_PORT_OPEN && port != NULL)
        port->guest_open = value != 0;
}

/**
 * vmm_console_read_control:
 *
 * Takes what the driver says.
 */
void
vmm_console_read_control (VmmConsole *console)
{
    VmmVirtqueue *queue = vmm_virtio_device_queue (console->device, CONTROL_OUT);
    uint8_t message[HEADER_SIZE];
    unsigned n = 0;

    while (n < MESSAGES_PER_TURN && vmm_virtqueue_pop (queue, &console->chain)) {
        if (vmm_chain_read (&console->chain, message, sizeof message) == sizeof message)
            on_message (console, message);
        vmm_virtqueue_push (queue, &console->chain);
        n++;
    }
    vmm_virtqueue_publish (queue);
    if (n == MESSAGES_PER_TURN)
        vmm_console_post (console);
}

/* The lowest bit that is set of @port's. */
static void
write_message (VmmPort *port, VmmChain *chain)
{
    uint32_t what = port->tell & -port->tell;
    uint8_t message[HEADER_SIZE];
    uint16_t event = EVENT_PORT_ADD;
    uint16_t value = 0;

    if (what == VMM_PORT_TELL_NAME) {
        event = EVENT_PORT_NAME;
        value = 1;
    } else if (what == VMM_PORT_TELL_OPEN) {
        event = EVENT_PORT_OPEN;
        g_mutex_lock (&port->lock);
        value = port->host_open;
        g_mutex_unlock (&port->lock);
    }
    vmm_put_u32 (message, id_of (port));
    vmm_put_u16 (message + 4, event);
    vmm_put_u16 (message + 6, value);
    vmm_chain_write (chain, message, sizeof message);
    if (event == EVENT_PORT_NAME)
        vmm_chain_write (chain, port->name, strlen (port->name));
    port->tell &= ~what;
}

/* Whether a host has come or gone since it was asked last. */
static bool
host_changed (VmmPort *port)
{
    bool changed;

    g_mutex_lock (&port->lock);
    changed = port->host_changed;
    port->host_changed = false;
    g_mutex_unlock (&port->lock);
    return changed;
}

/**
 * vmm_console_tell:
 *
 * Tells the driver what it is still to be told, as far as it has given buffers for that.
 */
void
vmm_console_tell (VmmConsole *console)
{
    VmmVirtqueue *queue = vmm_virtio_device_queue (console->device, CONTROL_IN);

    for (unsigned i = 0; i < console->n_ports; i++) {
        VmmPort *port = &console->ports[i];

        if (host_changed (port) && port->ready)
            port->tell |= VMM_PORT_TELL_OPEN;
        while (port->tell != 0 && vmm_virtqueue_pop (queue, &console->chain)) {
            if (console->chain.writable_left < HEADER_SIZE) {
                vmm_virtqueue_fail (queue, "a control buffer that no message fits in");
                return;
            }
            write_message (port, &console->chain);
            vmm_virtqueue_push (queue, &console->chain);
        }
    }
    vmm_virtqueue_publish (queue);
}
