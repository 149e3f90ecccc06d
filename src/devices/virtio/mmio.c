/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A virtio device as memory-mapped registers (virtio 1.2 section 4.2, version 2): words of 32 bits, and the
 * device's configuration space from 0x100 on in any width. What they mean is the device core's; here is which
 * of them selects what, and the interrupt.
 *
 * The interrupt is a level: it is up as long as a bit of InterruptStatus is set, so several devices can share
 * an input. A queue's notification is a doorbell that matches its number; where the host has none, the write
 * comes here.
 *
 * Locks: one mutex guards selectors, status bits and the level of the line, so that the line is never left in
 * the state of a moment ago. It is not held while the core is called.
 */
#include "devices/virtio/mmio.h"

#define MAGIC 0x74726976u
#define VERSION 2u
#define VENDOR 0x204d4d56u /* "VMM " */
#define INTERRUPT_QUEUE 1u
#define INTERRUPT_CONFIG 2u

enum {
    REG_MAGIC = 0x000,
    REG_VERSION = 0x004,
    REG_DEVICE_ID = 0x008,
    REG_VENDOR_ID = 0x00c,
    REG_DEVICE_FEATURES = 0x010,
    REG_DEVICE_FEATURES_SEL = 0x014,
    REG_DRIVER_FEATURES = 0x020,
    REG_DRIVER_FEATURES_SEL = 0x024,
    REG_QUEUE_SEL = 0x030,
    REG_QUEUE_NUM_MAX = 0x034,
    REG_QUEUE_NUM = 0x038,
    REG_QUEUE_READY = 0x044,
    REG_QUEUE_NOTIFY = 0x050,
    REG_INTERRUPT_STATUS = 0x060,
    REG_INTERRUPT_ACK = 0x064,
    REG_STATUS = 0x070,
    REG_QUEUE_DESC = 0x080,
    REG_QUEUE_DRIVER = 0x090,
    REG_QUEUE_DEVICE = 0x0a0,
    REG_SHM_LEN_LOW = 0x0b0,
    REG_SHM_BASE_HIGH = 0x0bc,
    REG_QUEUE_RESET = 0x0c0,
    REG_CONFIG_GENERATION = 0x0fc,
    REG_CONFIG = 0x100,
};

struct _VmmVirtioMmio {
    VmmVirtioDevice *device;
    VmmVirtioMmioConfig config;
    GMutex lock; /* the rest */
    uint32_t device_features_sel;
    uint32_t driver_features_sel;
    uint32_t queue_sel;
    uint32_t interrupt_status;
};

static void
change_status (VmmVirtioMmio *mmio, uint32_t set, uint32_t clear)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&mmio->lock);
    bool was_up = mmio->interrupt_status != 0;
    bool is_up;

    mmio->interrupt_status = (mmio->interrupt_status | set) & ~clear;
    is_up = mmio->interrupt_status != 0;
    if (was_up && (!is_up || (mmio->config.edge && clear != 0)))
        vmm_irq_line_set (&mmio->config.irq, false);
    if (is_up && (!was_up || (mmio->config.edge && clear != 0)))
        vmm_irq_line_set (&mmio->config.irq, true);
}

static void
interrupt_queue (void *transport, unsigned index)
{
    change_status (transport, INTERRUPT_QUEUE, 0);
}

static void
interrupt_config (void *transport)
{
    change_status (transport, INTERRUPT_CONFIG, 0);
}

static const VmmVirtioInterrupts interrupts = {.queue = interrupt_queue, .config = interrupt_config};

static uint32_t
get (VmmVirtioMmio *mmio, const uint32_t *field)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&mmio->lock);

    return *field;
}

static void
put (VmmVirtioMmio *mmio, uint32_t *field, uint32_t value)
{
    g_mutex_lock (&mmio->lock);
    *field = value;
    g_mutex_unlock (&mmio->lock);
}

/* One of the six halves of addresses, low and high, at 0x80, 0x84, 0x90, ... */
static bool
is_address (uint64_t offset)
{
    return offset >= REG_QUEUE_DESC && offset < REG_SHM_LEN_LOW && (offset & 0xf) < 8;
}

static VmmVirtioQueueAddress
which_address (uint64_t offset)
{
    return (VmmVirtioQueueAddress)((offset - REG_QUEUE_DESC) / 0x10);
}

static uint32_t
read_register (VmmVirtioMmio *mmio, uint64_t offset)
{
    VmmVirtioDevice *device = mmio->device;

    switch (offset) {
    case REG_MAGIC:
        return MAGIC;
    case REG_VERSION:
        return VERSION;
    case REG_DEVICE_ID:
        return vmm_virtio_device_id (device);
    case REG_VENDOR_ID:
        return VENDOR;
    case REG_DEVICE_FEATURES:
        return vmm_virtio_device_offered (device, get (mmio, &mmio->device_features_sel));
    case REG_QUEUE_NUM_MAX:
        return vmm_virtio_device_queue_max (device, get (mmio, &mmio->queue_sel));
    case REG_QUEUE_READY:
        return vmm_virtio_device_queue_enabled (device, get (mmio, &mmio->queue_sel));
    case REG_INTERRUPT_STATUS:
        return get (mmio, &mmio->interrupt_status);
    case REG_STATUS:
        return vmm_virtio_device_status (device);
    case REG_CONFIG_GENERATION:
        return vmm_virtio_device_config_generation (device);
    default:
        /* There is no shared memory: its length and base are all ones (section 4.2.2). */
        return offset >= REG_SHM_LEN_LOW && offset <= REG_SHM_BASE_HIGH ? UINT32_MAX : 0;
    }
}

static void
set_status (VmmVirtioMmio *mmio, uint8_t status)
{
    vmm_virtio_device_set_status (mmio->device, status);
    if (status == 0)
        change_status (mmio, 0, UINT32_MAX);
}

static void
write_queue (VmmVirtioMmio *mmio, uint64_t offset, uint32_t value)
{
    VmmVirtioDevice *device = mmio->device;
    uint32_t queue = get (mmio, &mmio->queue_sel);

    if (is_address (offset)) {
        unsigned shift = (offset & 4) != 0 ? 32 : 0;

        vmm_virtio_device_set_queue_address (device, queue, which_address (offset),
                                             UINT64_C (0xffffffff) << shift, (uint64_t)value << shift);
    } else if (offset == REG_QUEUE_NUM) {
        vmm_virtio_device_set_queue_size (device, queue, (uint16_t)MIN (value, UINT16_MAX));
    } else if (offset == REG_QUEUE_READY && value == 1) {
        vmm_virtio_device_enable_queue (device, queue);
    } else if ((offset == REG_QUEUE_READY && value == 0) || (offset == REG_QUEUE_RESET && value == 1)) {
        vmm_virtio_device_reset_queue (device, queue);
    }
}

static void
write_register (VmmVirtioMmio *mmio, uint64_t offset, uint32_t value)
{
    switch (offset) {
    case REG_DEVICE_FEATURES_SEL:
        put (mmio, &mmio->device_features_sel, value);
        break;
    case REG_DRIVER_FEATURES:
        vmm_virtio_device_accept (mmio->device, get (mmio, &mmio->driver_features_sel), value);
        break;
    case REG_DRIVER_FEATURES_SEL:
        put (mmio, &mmio->driver_features_sel, value);
        break;
    case REG_QUEUE_SEL:
        put (mmio, &mmio->queue_sel, value);
        break;
    case REG_QUEUE_NOTIFY:
        vmm_virtio_device_notify (mmio->device, value);
        break;
    case REG_INTERRUPT_ACK:
        change_status (mmio, 0, value);
        break;
    case REG_STATUS:
        set_status (mmio, (uint8_t)value);
        break;
    default:
        write_queue (mmio, offset, value);
        break;
    }
}

static uint64_t
bus_read (void *transport, uint64_t offset, unsigned size)
{
    VmmVirtioMmio *mmio = transport;

    if (offset >= REG_CONFIG)
        return vmm_virtio_device_config_read (mmio->device, (unsigned)(offset - REG_CONFIG), size);
    return size == 4 && offset % 4 == 0 ? read_register (mmio, offset) : 0;
}

static void
bus_write (void *transport, uint64_t offset, unsigned size, uint64_t value)
{
    VmmVirtioMmio *mmio = transport;

    if (offset >= REG_CONFIG)
        vmm_virtio_device_config_write (mmio->device, (unsigned)(offset - REG_CONFIG), size, value);
    else if (size == 4 && offset % 4 == 0)
        write_register (mmio, offset, (uint32_t)value);
}

/**
 * vmm_virtio_mmio_bus_ops:
 *
 * The registers, %VMM_VIRTIO_MMIO_SIZE bytes.
 */
const VmmBusOps vmm_virtio_mmio_bus_ops = {bus_read, bus_write};

static void
set_doorbells (VmmVirtioMmio *mmio, bool on)
{
    for (unsigned i = 0; i < vmm_virtio_device_n_queues (mmio->device); i++) {
        VmmDoorbell doorbell = {
            .gpa = mmio->config.gpa + REG_QUEUE_NOTIFY,
            .value = i,
            .size = 4,
            .match = true,
            .fd = vmm_virtio_device_doorbell (mmio->device, i),
        };

        vmm_doorbell_set (&mmio->config.doorbells, &doorbell, on);
    }
}

/**
 * vmm_virtio_mmio_new:
 * @device: outlives the result
 * @config: copied
 *
 * Returns: (transfer full): registers to be put on a bus
 */
VmmVirtioMmio *
vmm_virtio_mmio_new (VmmVirtioDevice *device, const VmmVirtioMmioConfig *config)
{
    VmmVirtioMmio *mmio = g_new0 (VmmVirtioMmio, 1);

    g_mutex_init (&mmio->lock);
    mmio->device = device;
    mmio->config = *config;
    vmm_virtio_device_set_transport (device, &interrupts, mmio);
    set_doorbells (mmio, true);
    return mmio;
}

/**
 * vmm_virtio_mmio_free:
 * @mmio: (nullable): no vCPU runs, and the device was reset
 */
void
vmm_virtio_mmio_free (VmmVirtioMmio *mmio)
{
    if (mmio == NULL)
        return;
    set_doorbells (mmio, false);
    vmm_virtio_device_set_transport (mmio->device, NULL, NULL);
    g_mutex_clear (&mmio->lock);
    g_free (mmio);
}

static void
device_reset (void *transport)
{
    VmmVirtioMmio *mmio = transport;

    set_status (mmio, 0);
    mmio->device_features_sel = 0;
    mmio->driver_features_sel = 0;
    mmio->queue_sel = 0;
}

static void
device_save (void *transport, VmmStateWriter *writer)
{
    VmmVirtioMmio *mmio = transport;

    vmm_state_put_u32 (writer, mmio->device_features_sel);
    vmm_state_put_u32 (writer, mmio->driver_features_sel);
    vmm_state_put_u32 (writer, mmio->queue_sel);
    vmm_state_put_u32 (writer, mmio->interrupt_status);
    vmm_virtio_device_save (mmio->device, writer);
}

static bool
device_load (void *transport, VmmStateReader *reader, uint32_t version)
{
    VmmVirtioMmio *mmio = transport;
    uint32_t status;

    if (version != 1 || !vmm_state_get_u32 (reader, &mmio->device_features_sel) ||
        !vmm_state_get_u32 (reader, &mmio->driver_features_sel) ||
        !vmm_state_get_u32 (reader, &mmio->queue_sel) || !vmm_state_get_u32 (reader, &status))
        return false;
    change_status (mmio, status & (INTERRUPT_QUEUE | INTERRUPT_CONFIG), UINT32_MAX & ~status);
    return vmm_virtio_device_load (mmio->device, reader, version);
}

static void
device_free (void *transport)
{
    vmm_virtio_mmio_free (transport);
}

/**
 * vmm_virtio_mmio_device_ops:
 *
 * Reset, save (section version 1) and load of a #VmmVirtioMmio with its device; free of the former alone.
 */
const VmmDeviceOps vmm_virtio_mmio_device_ops = {
    .name = "virtio-mmio",
    .reset = device_reset,
    .save = device_save,
    .load = device_load,
    .free = device_free,
};
