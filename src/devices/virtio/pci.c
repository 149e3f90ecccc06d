/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A virtio device as a PCI function (virtio 1.2 section 4.1), modern only: vendor capabilities tell where in
 * BAR 0 the structures are.
 *
 *   0x0000  common configuration     0x3000  notifications, 4 bytes for each queue
 *   0x1000  ISR status               0x4000  MSI-X table
 *   0x2000  device configuration     0x5000  MSI-X pending bits
 *
 * Here are registers only, and which of them selects what; all that they mean is the device core's. A queue's
 * notification is a doorbell that follows the BAR; where the host has none, the write comes here.
 *
 * Interrupts are MSI-X, or the function's pin where a guest leaves MSI-X off: see pci-interrupt.c.
 *
 * While the command register's Bus Master Enable is off (PCI 3.0 section 6.2.2) the device neither reads nor
 * writes memory: its queues rest, and messages are held back.
 *
 * Locks: one mutex guards the selectors and vectors, and is not held while the core is called. A second one,
 * to be taken before it, keeps the consequences of the command register in the order of its writes.
 */
#include "devices/virtio/pci-internal.h"

#define VENDOR_VIRTIO 0x1af4u
#define DEVICE_MODERN 0x1040u
#define SUBSYSTEM_MODERN 0x40u
#define CAPABILITY_VENDOR 0x09u
#define CAPABILITY_SIZE 16u
#define CAPABILITY_SIZE_LONG 20u
#define NOTIFY_MULTIPLIER 4u

enum {
    REGION_COMMON = 0x0000,
    REGION_ISR = 0x1000,
    REGION_DEVICE = 0x2000,
    REGION_NOTIFY = 0x3000,
    REGION_MSIX = 0x4000,
    REGION_PENDING = 0x5000,
    REGION_END = 0x6000,
    REGION_MASK = 0xf000,
};

/* Types of structures (section 4.1.4). */
enum {
    CAP_COMMON = 1,
    CAP_NOTIFY = 2,
    CAP_ISR = 3,
    CAP_DEVICE = 4,
    CAP_PCI = 5,
};

/* What lspci shows a kind of device as. */
static uint32_t
class_code (uint16_t id)
{
    switch (id) {
    case VMM_VIRTIO_ID_NET:
        return 0x020000;
    case VMM_VIRTIO_ID_BLOCK:
        return 0x018000;
    case VMM_VIRTIO_ID_CONSOLE:
        return 0x078000;
    case VMM_VIRTIO_ID_VSOCK:
        return 0x028000;
    default:
        return 0xff0000;
    }
}

static uint64_t
bar_read (void *transport, uint64_t offset, unsigned size)
{
    VmmVirtioPci *pci = transport;
    unsigned within = (unsigned)offset & ~(unsigned)REGION_MASK;

    switch (offset & REGION_MASK) {
    case REGION_COMMON:
        return vmm_virtio_pci_read_common (pci, within, size);
    case REGION_ISR:
        return within == 0 ? vmm_virtio_pci_read_isr (pci) : 0;
    case REGION_DEVICE:
        return vmm_virtio_device_config_read (pci->device, within, size);
    case REGION_MSIX:
        return vmm_pci_msix_table_read (pci->msix, within, size);
    case REGION_PENDING:
        return vmm_pci_msix_pending_read (pci->msix, within, size);
    default:
        return UINT64_MAX;
    }
}

static void
bar_write (void *transport, uint64_t offset, unsigned size, uint64_t value)
{
    VmmVirtioPci *pci = transport;
    unsigned within = (unsigned)offset & ~(unsigned)REGION_MASK;

    switch (offset & REGION_MASK) {
    case REGION_COMMON:
        vmm_virtio_pci_write_common (pci, within, size, value);
        break;
    case REGION_DEVICE:
        vmm_virtio_device_config_write (pci->device, within, size, value);
        break;
    case REGION_NOTIFY:
        vmm_virtio_device_notify (pci->device, within / NOTIFY_MULTIPLIER);
        break;
    case REGION_MSIX:
        vmm_pci_msix_table_write (pci->msix, within, size, value);
        break;
    default:
        break;
    }
}

/**
 * vmm_virtio_pci_bar_ops:
 *
 * The BAR on the MMIO bus.
 */
const VmmBusOps vmm_virtio_pci_bar_ops = {bar_read, bar_write};

static void
set_doorbells (VmmVirtioPci *pci, uint64_t address, bool on)
{
    for (unsigned i = 0; i < vmm_virtio_device_n_queues (pci->device); i++) {
        VmmDoorbell doorbell = {
            .gpa = address + REGION_NOTIFY + (uint64_t)i * NOTIFY_MULTIPLIER,
            .fd = vmm_virtio_device_doorbell (pci->device, i),
        };

        vmm_doorbell_set (&pci->config.doorbells, &doorbell, on);
    }
}

static void
on_bar_changed (void *device, unsigned bar, uint64_t address, bool mapped)
{
    VmmVirtioPci *pci = device;

    /* Where something else is already, the guest gets that: it put them there. */
    if (mapped && !vmm_bus_add (pci->config.mmio, vmm_virtio_device_name (pci->device), address,
                                VMM_VIRTIO_PCI_BAR_SIZE, &vmm_virtio_pci_bar_ops, pci, NULL))
        return;
    if (!mapped && !pci->mapped)
        return;
    pci->mapped = mapped;
    set_doorbells (pci, address, mapped);
    if (!mapped)
        vmm_bus_remove (pci->config.mmio, address);
}

/* The window of CAP_PCI (section 4.1.4.9): where an access of its data register goes. */
static bool
window_target (VmmVirtioPci *pci, uint64_t *ret_offset, unsigned *ret_size)
{
    uint32_t bar = vmm_pci_function_get (pci->function, pci->window + 4, 1);

    *ret_offset = vmm_pci_function_get (pci->function, pci->window + 8, 4);
    *ret_size = vmm_pci_function_get (pci->function, pci->window + 12, 4);
    return bar == VMM_VIRTIO_PCI_BAR && (*ret_size == 1 || *ret_size == 2 || *ret_size == 4) &&
           *ret_offset % *ret_size == 0 && *ret_offset < VMM_VIRTIO_PCI_BAR_SIZE;
}

static bool
on_config_read (void *device, unsigned offset, unsigned size, uint32_t *ret_value)
{
    VmmVirtioPci *pci = device;
    uint64_t target;
    unsigned width;

    if (pci->window == 0 || offset != pci->window + CAPABILITY_SIZE || !window_target (pci, &target, &width))
        return false;
    *ret_value = (uint32_t)bar_read (pci, target, width);
    return true;
}

/* What the command register says about interrupts and memory, done on return. */
static void
follow_command (VmmVirtioPci *pci)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&pci->command_lock);
    uint32_t command = vmm_pci_function_get (pci->function, VMM_PCI_COMMAND, 2);
    bool bus_master = (command & VMM_PCI_COMMAND_BUS_MASTER) != 0;

    if (bus_master != pci->bus_master)
        vmm_virtio_device_set_dma (pci->device, bus_master);
    pci->bus_master = bus_master;
    vmm_virtio_pci_update_line (pci);
}

static void
on_config_written (void *device, unsigned offset, unsigned size, uint32_t value)
{
    VmmVirtioPci *pci = device;
    uint64_t target;
    unsigned width;

    vmm_pci_msix_config_written (pci->msix, offset, size);
    if (vmm_pci_writes_register (offset, size, VMM_PCI_COMMAND))
        follow_command (pci);
    else
        vmm_virtio_pci_update_line (pci);
    if (offset == pci->window + CAPABILITY_SIZE && window_target (pci, &target, &width))
        bar_write (pci, target, width, value);
}

static const VmmPciFunctionOps function_ops = {on_config_read, on_config_written, on_bar_changed};

static bool
add_capability (VmmVirtioPci *pci, uint8_t type, uint32_t offset, uint32_t len, unsigned *ret_at,
                GError **error)
{
    bool is_long = type == CAP_NOTIFY || type == CAP_PCI;
    unsigned size = is_long ? CAPABILITY_SIZE_LONG : CAPABILITY_SIZE;

    if (!vmm_pci_function_add_capability (pci->function, CAPABILITY_VENDOR, size, ret_at, error))
        return false;
    vmm_pci_function_put (pci->function, *ret_at + 2, 1, size);
    vmm_pci_function_put (pci->function, *ret_at + 3, 1, type);
    vmm_pci_function_put (pci->function, *ret_at + 4, 1, VMM_VIRTIO_PCI_BAR);
    vmm_pci_function_put (pci->function, *ret_at + 8, 4, offset);
    vmm_pci_function_put (pci->function, *ret_at + 12, 4, len);
    return true;
}

static bool
add_capabilities (VmmVirtioPci *pci, GError **error)
{
    unsigned n = vmm_virtio_device_n_queues (pci->device);
    VmmPciMsixPlace place = {VMM_VIRTIO_PCI_BAR, REGION_MSIX, REGION_PENDING};
    unsigned at;

    if (!add_capability (pci, CAP_COMMON, REGION_COMMON, VMM_VIRTIO_PCI_COMMON_SIZE, &at, error) ||
        !add_capability (pci, CAP_ISR, REGION_ISR, 1, &at, error) ||
        !add_capability (pci, CAP_DEVICE, REGION_DEVICE, VMM_VIRTIO_CONFIG_MAX, &at, error) ||
        !add_capability (pci, CAP_NOTIFY, REGION_NOTIFY, n * NOTIFY_MULTIPLIER, &at, error))
        return false;
    vmm_pci_function_put (pci->function, at + CAPABILITY_SIZE, 4, NOTIFY_MULTIPLIER);
    if (!add_capability (pci, CAP_PCI, 0, 0, &pci->window, error))
        return false;
    vmm_pci_function_set_writable (pci->function, pci->window + 4, 1, 0xff);
    vmm_pci_function_set_writable (pci->function, pci->window + 8, 4, UINT32_MAX);
    vmm_pci_function_set_writable (pci->function, pci->window + 12, 4, UINT32_MAX);
    pci->msix = vmm_pci_msix_new (pci->function, n + 1, &place, &pci->config.msi, error);
    return pci->msix != NULL;
}

/**
 * vmm_virtio_pci_new:
 * @device: outlives the function
 * @config: what it needs of its machine; copied
 *
 * Returns: (transfer full) (nullable): a function to be put on a bus; NULL with %VMM_ERROR_HOST
 */
VmmVirtioPci *
vmm_virtio_pci_new (VmmVirtioDevice *device, const VmmVirtioPciConfig *config, GError **error)
{
    g_autoptr (VmmVirtioPci) pci = g_new0 (VmmVirtioPci, 1);
    uint16_t id = vmm_virtio_device_id (device);
    VmmPciIdentity identity = {
        .vendor_id = VENDOR_VIRTIO,
        .device_id = (uint16_t)(DEVICE_MODERN + id),
        .subsystem_vendor_id = VENDOR_VIRTIO,
        .subsystem_id = (uint16_t)(SUBSYSTEM_MODERN + id),
        .class_code = class_code (id),
        .revision = 1,
    };

    g_mutex_init (&pci->command_lock);
    g_mutex_init (&pci->lock);
    pci->device = device;
    pci->config = *config;
    vmm_virtio_pci_calls_new (pci);
    pci->queue_vectors = g_new (uint16_t, vmm_virtio_device_n_queues (device));
    pci->function = vmm_pci_function_new (vmm_virtio_device_name (device), &identity, &function_ops, pci);
    if (!vmm_pci_function_add_bar (pci->function, VMM_VIRTIO_PCI_BAR, VMM_PCI_BAR_MEMORY64,
                                   VMM_VIRTIO_PCI_BAR_SIZE, error) ||
        !add_capabilities (pci, error))
        return NULL;
    vmm_virtio_pci_put_pin (pci);
    vmm_virtio_pci_forget_driver (pci);
    vmm_virtio_device_set_dma (device, false);
    vmm_virtio_device_set_transport (device, &vmm_virtio_pci_interrupts, pci);
    return g_steal_pointer (&pci);
}

/**
 * vmm_virtio_pci_free:
 * @pci: (nullable): no vCPU runs, and the device was reset
 */
void
vmm_virtio_pci_free (VmmVirtioPci *pci)
{
    if (pci == NULL)
        return;
    vmm_virtio_device_set_transport (pci->device, NULL, NULL);
    vmm_pci_function_free (pci->function);
    vmm_pci_msix_free (pci->msix);
    vmm_virtio_pci_calls_free (pci);
    g_mutex_clear (&pci->lock);
    g_mutex_clear (&pci->command_lock);
    g_free (pci->queue_vectors);
    g_free (pci);
}

/**
 * vmm_virtio_pci_function:
 *
 * Returns: (transfer none): what to put on a bus
 */
VmmPciFunction *
vmm_virtio_pci_function (VmmVirtioPci *pci)
{
    return pci->function;
}

static void
device_reset (void *transport)
{
    VmmVirtioPci *pci = transport;

    vmm_virtio_device_set_status (pci->device, 0);
    vmm_virtio_pci_forget_driver (pci);
    vmm_pci_function_reset (pci->function);
    vmm_virtio_pci_put_pin (pci);
    vmm_pci_msix_reset (pci->msix);
    follow_command (pci);
}

static void
device_save (void *transport, VmmStateWriter *writer)
{
    VmmVirtioPci *pci = transport;

    vmm_pci_function_save (pci->function, writer);
    vmm_pci_msix_save (pci->msix, writer);
    vmm_state_put_u32 (writer, pci->device_feature_select);
    vmm_state_put_u32 (writer, pci->driver_feature_select);
    vmm_state_put_u16 (writer, pci->queue_select);
    vmm_state_put_u16 (writer, pci->config_vector);
    vmm_state_put_u8 (writer, pci->isr);
    for (unsigned i = 0; i < vmm_virtio_device_n_queues (pci->device); i++)
        vmm_state_put_u16 (writer, pci->queue_vectors[i]);
    vmm_virtio_device_save (pci->device, writer);
}

static bool
load_registers (VmmVirtioPci *pci, VmmStateReader *reader)
{
    uint16_t vector;
    uint8_t isr;

    if (!vmm_state_get_u32 (reader, &pci->device_feature_select) ||
        !vmm_state_get_u32 (reader, &pci->driver_feature_select) ||
        !vmm_state_get_u16 (reader, &pci->queue_select) || !vmm_state_get_u16 (reader, &vector) ||
        !vmm_state_get_u8 (reader, &isr))
        return false;
    pci->config_vector = vmm_virtio_pci_check_vector (pci, vector);
    for (unsigned i = 0; i < vmm_virtio_device_n_queues (pci->device); i++) {
        if (!vmm_state_get_u16 (reader, &vector))
            return false;
        pci->queue_vectors[i] = vmm_virtio_pci_check_vector (pci, vector);
    }
    vmm_virtio_pci_load_isr (pci, isr);
    return true;
}

static bool
device_load (void *transport, VmmStateReader *reader, uint32_t version)
{
    VmmVirtioPci *pci = transport;

    if (version != 1 || !vmm_pci_function_load (pci->function, reader) ||
        !vmm_pci_msix_load (pci->msix, reader) || !load_registers (pci, reader))
        return false;
    /* Before the device goes on where it was. */
    follow_command (pci);
    return vmm_virtio_device_load (pci->device, reader, version);
}

static void
device_free (void *transport)
{
    vmm_virtio_pci_free (transport);
}

/**
 * vmm_virtio_pci_device_ops:
 *
 * Reset, save (section version 1) and load of a #VmmVirtioPci with its device; free of the former alone.
 */
const VmmDeviceOps vmm_virtio_pci_device_ops = {
    .name = "virtio-pci",
    .reset = device_reset,
    .save = device_save,
    .load = device_load,
    .free = device_free,
};
