/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The virtio console (virtio 1.2 section 5.3), in two forms. A plain console has one port and no control
 * queues, and is the guest's hvc0: the size of its terminal is in the configuration space, and a kernel can
 * write to it before it has any driver. A device with many ports has named ones for programs
 * (/dev/virtio-ports/NAME in Linux), which may come and go with those who use them on the host.
 *
 * They are two devices because drivers do not agree on the message that tells the size of a terminal where
 * there are control queues: the specification has columns first, Linux reads rows first. In the
 * configuration space all see the same.
 */
#include "devices/virtio/console.h"

#include <string.h>

#include "devices/virtio/console-internal.h"
#include "vmm/core/bytes.h"

#define QUEUE_SIZE 64u
#define F_SIZE (UINT64_C (1) << 0)
#define F_MULTIPORT (UINT64_C (1) << 1)
#define F_EMERG_WRITE (UINT64_C (1) << 2)
/* Section 5.3.4. */
#define CONFIG_ROWS 2u
#define CONFIG_MAX_PORTS 4u
#define CONFIG_EMERGENCY 8u
#define CONFIG_SIZE 12u
/*
 * Linux takes the size up when it is told of a change, and before it has set up its console it drops it: so
 * it is told some times more after a driver has begun.
 */
#define REMINDER_NS INT64_C (200000000)
#define REMINDER_GROWTH 5
#define REMINDERS 3u
/* Of a device with many: the first port's, the control queues, and those of each port. */
#define QUEUES_FOR(ports) (2u * ((ports) + 2u))

static uint64_t
console_features (void *model)
{
    return ((VmmConsole *)model)->multiport ? F_MULTIPORT : F_SIZE | F_EMERG_WRITE;
}

static void
console_config_read (void *model, unsigned offset, void *buf, unsigned len)
{
    VmmConsole *console = model;
    uint8_t bytes[CONFIG_SIZE] = {0};

    g_mutex_lock (&console->lock);
    vmm_put_u16 (bytes, console->columns);
    vmm_put_u16 (bytes + CONFIG_ROWS, console->rows);
    g_mutex_unlock (&console->lock);
    vmm_put_u32 (bytes + CONFIG_MAX_PORTS, console->multiport ? console->n_ports + 1 : 1);
    memcpy (buf, bytes + offset, len);
}

/* Section 5.3.5.1: a character, with or without a driver. A host that is too slow loses it. */
static void
console_config_write (void *model, unsigned offset, const void *buf, unsigned len)
{
    VmmConsole *console = model;

    if (!console->multiport && offset == CONFIG_EMERGENCY)
        vmm_chardev_write (console->ports[0].chardev, buf, 1);
}

static void
take_resize (VmmConsole *console)
{
    bool resized;

    g_mutex_lock (&console->lock);
    resized = console->resized;
    console->resized = false;
    g_mutex_unlock (&console->lock);
    if (resized)
        vmm_virtio_device_config_changed (console->device);
}

static void
on_posted (void *user)
{
    VmmConsole *console = user;

    /* Before looking: what comes now asks again. */
    __atomic_store_n (&console->posted, false, __ATOMIC_SEQ_CST);
    take_resize (console);
    if (console->quiet)
        return;
    if (console->multiport)
        vmm_console_tell (console);
    for (unsigned i = 0; i < console->n_ports; i++) {
        vmm_port_send (&console->ports[i]);
        vmm_port_receive (&console->ports[i]);
    }
}

/**
 * vmm_console_post:
 *
 * Any thread: has the loop look at all that there may be to do.
 */
void
vmm_console_post (VmmConsole *console)
{
    if (!__atomic_exchange_n (&console->posted, true, __ATOMIC_SEQ_CST))
        vmm_loop_post (vmm_virtio_device_loop (console->device), on_posted, console);
}

static void
notify_control (VmmConsole *console, bool out)
{
    if (out)
        vmm_console_read_control (console);
    vmm_console_tell (console);
    /* A port may have been opened. */
    for (unsigned i = 0; out && i < console->n_ports; i++)
        vmm_port_receive (&console->ports[i]);
}

static void
console_notify (void *model, unsigned index)
{
    VmmConsole *console = model;

    if (console->quiet)
        return;
    if (console->multiport && (index == 2 || index == 3)) {
        notify_control (console, index == 3);
        return;
    }
    for (unsigned i = 0; i < console->n_ports; i++) {
        if (console->ports[i].tx == index)
            vmm_port_send (&console->ports[i]);
        if (console->ports[i].rx == index)
            vmm_port_receive (&console->ports[i]);
    }
}

static void
on_reminder (void *user)
{
    VmmConsole *console = user;

    if (console->quiet)
        return;
    vmm_virtio_device_config_changed (console->device);
    console->reminder_ns *= REMINDER_GROWTH;
    if (--console->reminders > 0)
        vmm_loop_timer_arm (console->reminder, console->reminder_ns);
}

static void
begin_reminders (VmmConsole *console)
{
    bool known;

    g_mutex_lock (&console->lock);
    known = console->columns != 0;
    g_mutex_unlock (&console->lock);
    if (!known)
        return;
    if (console->reminder == NULL)
        console->reminder =
            vmm_loop_timer_new (vmm_virtio_device_loop (console->device), on_reminder, console);
    console->reminders = REMINDERS;
    console->reminder_ns = REMINDER_NS;
    vmm_loop_timer_arm (console->reminder, console->reminder_ns);
}

static void
console_activate (void *model)
{
    VmmConsole *console = model;

    console->quiet = false;
    begin_reminders (console);
    vmm_console_post (console);
}

static void
console_queue_reset (void *model, unsigned index)
{
    VmmConsole *console = model;

    for (unsigned i = 0; i < console->n_ports; i++) {
        if (console->ports[i].tx == index)
            vmm_port_forget_chain (&console->ports[i]);
    }
}

static void
console_quiesce (void *model)
{
    VmmConsole *console = model;

    console->quiet = true;
    for (unsigned i = 0; i < console->n_ports; i++)
        vmm_port_quiesce (&console->ports[i]);
}

static void
console_resume (void *model)
{
    ((VmmConsole *)model)->quiet = false;
}

static void
console_reset (void *model)
{
    VmmConsole *console = model;

    console->quiet = true;
    for (unsigned i = 0; i < console->n_ports; i++)
        vmm_port_reset (&console->ports[i]);
}

static void
console_save (void *model, VmmStateWriter *writer)
{
    VmmConsole *console = model;

    vmm_state_put_u32 (writer, console->n_ports);
    for (unsigned i = 0; i < console->n_ports; i++)
        vmm_port_save (&console->ports[i], writer);
}

static bool
console_load (void *model, VmmStateReader *reader, uint32_t version)
{
    VmmConsole *console = model;
    uint32_t n_ports;

    if (!vmm_state_get_u32 (reader, &n_ports) || n_ports != console->n_ports)
        return false;
    for (unsigned i = 0; i < console->n_ports; i++) {
        if (!vmm_port_load (&console->ports[i], reader))
            return false;
    }
    return true;
}

static void
end_on_loop (void *user)
{
    VmmConsole *console = user;

    if (console->reminder != NULL)
        vmm_loop_timer_free (console->reminder);
}

static void
console_free (void *model)
{
    VmmConsole *console = model;

    for (unsigned i = 0; i < console->n_ports; i++)
        vmm_chardev_set_frontend (console->ports[i].chardev, NULL, NULL);
    /* What was posted has run after this. */
    if (console->device != NULL)
        vmm_loop_call (vmm_virtio_device_loop (console->device), end_on_loop, console);
    for (unsigned i = 0; i < console->n_ports; i++)
        vmm_port_clear (&console->ports[i]);
    vmm_chain_clear (&console->chain);
    g_mutex_clear (&console->lock);
    g_free (console->ports);
    g_free (console);
}

static const VmmVirtioModel console_model = {
    .name = "console",
    .id = VMM_VIRTIO_ID_CONSOLE,
    .features = console_features,
    .config_size = CONFIG_SIZE,
    .config_read = console_config_read,
    .config_write = console_config_write,
    .activate = console_activate,
    .notify = console_notify,
    .queue_reset = console_queue_reset,
    .quiesce = console_quiesce,
    .resume = console_resume,
    .reset = console_reset,
    .save = console_save,
    .load = console_load,
    .free = console_free,
};

static VmmConsole *
make (unsigned n_ports)
{
    VmmConsole *console = g_new0 (VmmConsole, 1);

    console->quiet = true;
    console->ports = g_new0 (VmmPort, n_ports);
    g_mutex_init (&console->lock);
    vmm_chain_init (&console->chain, VMM_CHAIN_IOV_MAX);
    return console;
}

/**
 * vmm_virtio_console_new:
 * @env: what it is made with
 * @chardev: its other end; borrowed, and joined with it until it is freed
 *
 * A plain console.
 *
 * Returns: (transfer full) (nullable): the device; NULL when the host has no descriptors left
 */
VmmVirtioDevice *
vmm_virtio_console_new (const VmmVirtioEnv *env, VmmChardev *chardev)
{
    VmmConsole *console = make (1);

    console->device = vmm_virtio_device_new (env, &console_model, console, 2, QUEUE_SIZE);
    if (console->device == NULL)
        return NULL;
    console->n_ports = 1;
    console->ports[0].tx = 1;
    vmm_port_init (&console->ports[0], console, chardev);
    return console->device;
}

/**
 * vmm_virtio_ports_new:
 * @env: what it is made with
 * @ports: (array length=n_ports): 1 to %VMM_VIRTIO_PORTS_MAX; their backends are joined with it until it is
 *   freed
 *
 * A device with named ports.
 *
 * Returns: (transfer full) (nullable): the device; NULL when the host has no descriptors left
 */
VmmVirtioDevice *
vmm_virtio_ports_new (const VmmVirtioEnv *env, const VmmVirtioPort *ports, unsigned n_ports)
{
    VmmConsole *console = make (n_ports);

    console->multiport = true;
    console->device = vmm_virtio_device_new (env, &console_model, console, QUEUES_FOR (n_ports), QUEUE_SIZE);
    if (console->device == NULL)
        return NULL;
    console->n_ports = n_ports;
    for (unsigned i = 0; i < n_ports; i++) {
        console->ports[i].name = ports[i].name;
        console->ports[i].rx = 2 * (i + 2);
        console->ports[i].tx = 2 * (i + 2) + 1;
        vmm_port_init (&console->ports[i], console, ports[i].chardev);
    }
    return console->device;
}

/**
 * vmm_virtio_console_resize:
 * @device: a plain console
 * @columns: of its terminal
 * @rows: of its terminal
 *
 * Any thread: tells the guest how large the terminal is, if that is new.
 */
void
vmm_virtio_console_resize (VmmVirtioDevice *device, unsigned columns, unsigned rows)
{
    VmmConsole *console = vmm_virtio_device_model (device);
    uint16_t width = (uint16_t)MIN (columns, UINT16_MAX);
    uint16_t height = (uint16_t)MIN (rows, UINT16_MAX);
    bool changed;

    g_mutex_lock (&console->lock);
    changed = console->columns != width || console->rows != height;
    console->columns = width;
    console->rows = height;
    console->resized = console->resized || changed;
    g_mutex_unlock (&console->lock);
    if (changed)
        vmm_console_post (console);
}
