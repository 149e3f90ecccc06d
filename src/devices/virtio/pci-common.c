/* SPDX-License-Identifier: Apache-2.0 */
/* The common configuration structure (virtio 1.2 section 4.1.4.3). See pci.c. */
#include "devices/virtio/pci-internal.h"

/* Registers of the common configuration (section 4.1.4.3). */
enum {
    COMMON_DEVICE_FEATURE_SELECT = 0x00,
    COMMON_DEVICE_FEATURE = 0x04,
    COMMON_DRIVER_FEATURE_SELECT = 0x08,
    COMMON_DRIVER_FEATURE = 0x0c,
    COMMON_CONFIG_VECTOR = 0x10,
    COMMON_N_QUEUES = 0x12,
    COMMON_STATUS = 0x14,
    COMMON_GENERATION = 0x15,
    COMMON_QUEUE_SELECT = 0x16,
    COMMON_QUEUE_SIZE = 0x18,
    COMMON_QUEUE_VECTOR = 0x1a,
    COMMON_QUEUE_ENABLE = 0x1c,
    COMMON_QUEUE_NOTIFY_OFF = 0x1e,
    COMMON_QUEUE_DESC = 0x20,
    COMMON_QUEUE_DRIVER = 0x28,
    COMMON_QUEUE_DEVICE = 0x30,
    COMMON_QUEUE_NOTIFY_DATA = 0x38,
    COMMON_QUEUE_RESET = 0x3a,
};

/**
 * vmm_virtio_pci_vector:
 * @vector: a field of @pci
 *
 * Returns: what it holds
 */
uint16_t
vmm_virtio_pci_vector (VmmVirtioPci *pci, const uint16_t *vector)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&pci->lock);

    return *vector;
}

/**
 * vmm_virtio_pci_check_vector:
 *
 * Returns: @vector where there is such a one; anything else is none (section 4.1.5.1.2)
 */
uint16_t
vmm_virtio_pci_check_vector (const VmmVirtioPci *pci, uint32_t vector)
{
    return vector < vmm_virtio_device_n_queues (pci->device) + 1 ? (uint16_t)vector
                                                                 : VMM_VIRTIO_PCI_NO_VECTOR;
}

static uint32_t
get_select (VmmVirtioPci *pci, const uint32_t *select)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&pci->lock);

    return *select;
}

static void
set_select (VmmVirtioPci *pci, uint32_t *select, uint32_t value)
{
    g_mutex_lock (&pci->lock);
    *select = value;
    g_mutex_unlock (&pci->lock);
}

static uint16_t
selected (VmmVirtioPci *pci)
{
    return vmm_virtio_pci_vector (pci, &pci->queue_select);
}

/* How wide the register at @offset is; 0: there is none that begins there. */
static unsigned
register_size (unsigned offset)
{
    if (offset < COMMON_CONFIG_VECTOR)
        return offset % 4 == 0 ? 4 : 0;
    if (offset == COMMON_STATUS || offset == COMMON_GENERATION)
        return 1;
    if (offset < COMMON_QUEUE_DESC)
        return offset % 2 == 0 ? 2 : 0;
    if (offset < COMMON_QUEUE_NOTIFY_DATA)
        return offset % 8 == 0 ? 8 : offset % 4 == 0 ? 4 : 0;
    return offset % 2 == 0 && offset < VMM_VIRTIO_PCI_COMMON_SIZE ? 2 : 0;
}

/* Accesses are as wide as the register, or half of 64 bits (section 4.1.3.1). */
static bool
access_is_good (unsigned offset, unsigned size)
{
    unsigned width = register_size (offset);

    return size == width || (width == 8 && size == 4);
}

static uint32_t
read_queue (VmmVirtioPci *pci, unsigned offset)
{
    uint16_t queue = selected (pci);

    switch (offset) {
    case COMMON_QUEUE_SIZE:
        return vmm_virtio_device_queue_size (pci->device, queue);
    case COMMON_QUEUE_VECTOR:
        return queue < vmm_virtio_device_n_queues (pci->device)
                   ? vmm_virtio_pci_vector (pci, &pci->queue_vectors[queue])
                   : VMM_VIRTIO_PCI_NO_VECTOR;
    case COMMON_QUEUE_ENABLE:
        return vmm_virtio_device_queue_enabled (pci->device, queue);
    case COMMON_QUEUE_NOTIFY_OFF:
        return queue < vmm_virtio_device_n_queues (pci->device) ? queue : 0;
    default:
        return 0;
    }
}

/**
 * vmm_virtio_pci_read_common:
 *
 * Returns: a register of the common configuration; all ones for an access that there is not
 */
uint64_t
vmm_virtio_pci_read_common (VmmVirtioPci *pci, unsigned offset, unsigned size)
{
    VmmVirtioDevice *device = pci->device;
    uint64_t address;

    if (!access_is_good (offset, size))
        return UINT64_MAX;
    if (offset >= COMMON_QUEUE_DESC && offset < COMMON_QUEUE_NOTIFY_DATA) {
        address = vmm_virtio_device_queue_address (device, selected (pci),
                                                   (VmmVirtioQueueAddress)((offset - COMMON_QUEUE_DESC) / 8));
        return address >> (8 * (offset % 8));
    }
    switch (offset) {
    case COMMON_DEVICE_FEATURE_SELECT:
        return get_select (pci, &pci->device_feature_select);
    case COMMON_DEVICE_FEATURE:
        return vmm_virtio_device_offered (device, get_select (pci, &pci->device_feature_select));
    case COMMON_DRIVER_FEATURE_SELECT:
        return get_select (pci, &pci->driver_feature_select);
    case COMMON_DRIVER_FEATURE:
        return vmm_virtio_device_accepted (device, get_select (pci, &pci->driver_feature_select));
    case COMMON_CONFIG_VECTOR:
        return vmm_virtio_pci_vector (pci, &pci->config_vector);
    case COMMON_N_QUEUES:
        return vmm_virtio_device_n_queues (device);
    case COMMON_STATUS:
        return vmm_virtio_device_status (device);
    case COMMON_GENERATION:
        return (uint8_t)vmm_virtio_device_config_generation (device);
    case COMMON_QUEUE_SELECT:
        return selected (pci);
    default:
        return read_queue (pci, offset);
    }
}

static void
set_locked (VmmVirtioPci *pci, uint16_t *field, uint16_t value)
{
    g_mutex_lock (&pci->lock);
    *field = value;
    g_mutex_unlock (&pci->lock);
}

/**
 * vmm_virtio_pci_forget_driver:
 *
 * The registers as after a reset.
 */
void
vmm_virtio_pci_forget_driver (VmmVirtioPci *pci)
{
    g_mutex_lock (&pci->lock);
    pci->device_feature_select = 0;
    pci->driver_feature_select = 0;
    pci->queue_select = 0;
    pci->config_vector = VMM_VIRTIO_PCI_NO_VECTOR;
    for (unsigned i = 0; i < vmm_virtio_device_n_queues (pci->device); i++)
        pci->queue_vectors[i] = VMM_VIRTIO_PCI_NO_VECTOR;
    g_mutex_unlock (&pci->lock);
    vmm_virtio_pci_read_isr (pci);
}

static void
write_queue (VmmVirtioPci *pci, unsigned offset, uint32_t value)
{
    VmmVirtioDevice *device = pci->device;
    uint16_t queue = selected (pci);

    switch (offset) {
    case COMMON_QUEUE_SIZE:
        vmm_virtio_device_set_queue_size (device, queue, (uint16_t)value);
        break;
    case COMMON_QUEUE_VECTOR:
        if (queue >= vmm_virtio_device_n_queues (device))
            break;
        set_locked (pci, &pci->queue_vectors[queue], vmm_virtio_pci_check_vector (pci, value));
        vmm_virtio_pci_call_follow (pci, queue);
        break;
    case COMMON_QUEUE_ENABLE:
        /* The driver must not write anything else (section 4.1.4.3.2). */
        if (value == 1)
            vmm_virtio_device_enable_queue (device, queue);
        break;
    case COMMON_QUEUE_RESET:
        if (value == 1)
            vmm_virtio_device_reset_queue (device, queue);
        break;
    default:
        break;
    }
}

/**
 * vmm_virtio_pci_write_common:
 *
 * A write of the common configuration.
 */
void
vmm_virtio_pci_write_common (VmmVirtioPci *pci, unsigned offset, unsigned size, uint64_t value)
{
    VmmVirtioDevice *device = pci->device;

    if (!access_is_good (offset, size))
        return;
    if (offset >= COMMON_QUEUE_DESC && offset < COMMON_QUEUE_NOTIFY_DATA) {
        uint64_t mask = size == 8 ? UINT64_MAX : UINT64_C (0xffffffff) << (8 * (offset % 8));

        vmm_virtio_device_set_queue_address (device, selected (pci),
                                             (VmmVirtioQueueAddress)((offset - COMMON_QUEUE_DESC) / 8), mask,
                                             value << (8 * (offset % 8)));
        return;
    }
    switch (offset) {
    case COMMON_DEVICE_FEATURE_SELECT:
        set_select (pci, &pci->device_feature_select, (uint32_t)value);
        break;
    case COMMON_DRIVER_FEATURE_SELECT:
        set_select (pci, &pci->driver_feature_select, (uint32_t)value);
        break;
    case COMMON_DRIVER_FEATURE:
        vmm_virtio_device_accept (device, get_select (pci, &pci->driver_feature_select), (uint32_t)value);
        break;
    case COMMON_CONFIG_VECTOR:
        set_locked (pci, &pci->config_vector, vmm_virtio_pci_check_vector (pci, (uint32_t)value));
        break;
    case COMMON_STATUS:
        vmm_virtio_device_set_status (device, (uint8_t)value);
        if ((uint8_t)value == 0)
            vmm_virtio_pci_forget_driver (pci);
        break;
    case COMMON_QUEUE_SELECT:
        set_locked (pci, &pci->queue_select, (uint16_t)value);
        break;
    default:
        write_queue (pci, offset, (uint32_t)value);
        break;
    }
}
