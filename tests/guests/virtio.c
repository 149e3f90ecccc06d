/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio.h"

#include "cpu.h"

#define STATUS_ACKNOWLEDGE 1u
#define STATUS_DRIVER 2u
#define STATUS_DRIVER_OK 4u
#define STATUS_FEATURES_OK 8u

#define DESCRIPTOR_NEXT 1u
#define DESCRIPTOR_WRITE 2u
#define AVAILABLE_NO_INTERRUPT 1u
#define USED_NO_NOTIFY 1u

/* Offsets in the rings' memory. */
#define AVAILABLE_AT 8192u
#define USED_AT 12288u

/* The registers of both transports (virtio 1.2 sections 4.1.4.3 and 4.2.2). */
typedef struct {
    uint16_t device_features_select, device_features;
    uint16_t driver_features_select, driver_features;
    uint16_t status;
    uint16_t queue_select, queue_max, queue_size, queue_enable;
    uint16_t queue_desc, queue_driver, queue_device;
} Registers;

static const Registers pci_registers = {0, 4, 8, 12, 20, 22, 24, 24, 28, 32, 40, 48};
static const Registers mmio_registers = {0x14, 0x10, 0x24, 0x20, 0x70, 0x30,
                                         0x34, 0x38, 0x44, 0x80, 0x90, 0xa0};

static const Registers *
registers (const VirtioDevice *device)
{
    return device->pci ? &pci_registers : &mmio_registers;
}

static void
write32 (const VirtioDevice *device, uint32_t at, uint32_t value)
{
    *(volatile uint32_t *)(device->common + at) = value;
}

static uint32_t
read32 (const VirtioDevice *device, uint32_t at)
{
    return *(volatile uint32_t *)(device->common + at);
}

/* Registers that have 16 bits over PCI and 32 over MMIO. */
static void
write_short (const VirtioDevice *device, uint32_t at, uint16_t value)
{
    if (device->pci)
        *(volatile uint16_t *)(device->common + at) = value;
    else
        write32 (device, at, value);
}

static uint32_t
read_short (const VirtioDevice *device, uint32_t at)
{
    return device->pci ? *(volatile uint16_t *)(device->common + at) : read32 (device, at);
}

uint8_t
virtio_status (const VirtioDevice *device)
{
    uint32_t at = registers (device)->status;

    return device->pci ? device->common[at] : (uint8_t)read32 (device, at);
}

static void
set_status (const VirtioDevice *device, uint8_t status)
{
    uint32_t at = registers (device)->status;

    if (device->pci)
        device->common[at] = status;
    else
        write32 (device, at, status);
}

static uint64_t
offered (const VirtioDevice *device)
{
    const Registers *at = registers (device);
    uint64_t low;

    write32 (device, at->device_features_select, 0);
    low = read32 (device, at->device_features);
    write32 (device, at->device_features_select, 1);
    return (uint64_t)read32 (device, at->device_features) << 32 | low;
}

bool
virtio_begin (VirtioDevice *device, uint64_t wanted)
{
    const Registers *at = registers (device);

    set_status (device, 0);
    while (virtio_status (device) != 0)
        cpu_pause ();
    set_status (device, STATUS_ACKNOWLEDGE);
    set_status (device, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
    device->features = offered (device) & (wanted | VIRTIO_F_VERSION_1);
    write32 (device, at->driver_features_select, 0);
    write32 (device, at->driver_features, (uint32_t)device->features);
    write32 (device, at->driver_features_select, 1);
    write32 (device, at->driver_features, (uint32_t)(device->features >> 32));
    set_status (device, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
    return (virtio_status (device) & STATUS_FEATURES_OK) != 0 && (device->features & VIRTIO_F_VERSION_1) != 0;
}

static void
write_address (const VirtioDevice *device, uint32_t at, const volatile void *address)
{
    write32 (device, at, (uint32_t)(uintptr_t)address);
    write32 (device, at + 4, (uint32_t)((uintptr_t)address >> 32));
}

bool
virtio_queue_start (VirtioDevice *device, VirtioQueue *queue, uint16_t index, void *memory, uint16_t size)
{
    const Registers *at = registers (device);
    uint8_t *bytes = memory;
    uint32_t max;

    write_short (device, at->queue_select, index);
    max = read_short (device, at->queue_max);
    size = size > VIRTIO_QUEUE_MAX ? VIRTIO_QUEUE_MAX : size;
    size = size > max ? (uint16_t)max : size;
    if (size == 0)
        return false;
    for (uint32_t i = 0; i < VIRTIO_QUEUE_MEMORY; i++)
        bytes[i] = 0;
    *queue = (VirtioQueue){.index = index, .size = size, .n_free = size};
    queue->event_idx = (device->features & VIRTIO_F_EVENT_IDX) != 0;
    queue->descriptors = memory;
    queue->available = (volatile uint16_t *)(bytes + AVAILABLE_AT);
    queue->used = (volatile uint16_t *)(bytes + USED_AT);
    queue->available[0] = AVAILABLE_NO_INTERRUPT;
    queue->available[2 + size] = 0x8000;
    for (uint32_t i = 0; i < size; i++)
        queue->descriptors[i].next = (uint16_t)(i + 1);
    write_short (device, at->queue_size, size);
    write_address (device, at->queue_desc, queue->descriptors);
    write_address (device, at->queue_driver, queue->available);
    write_address (device, at->queue_device, queue->used);
    queue->doorbell_wide = !device->pci;
    queue->doorbell = device->pci ? device->notify + read_short (device, 30) * device->notify_multiplier
                                  : device->common + 0x50;
    write_short (device, at->queue_enable, 1);
    return true;
}

void
virtio_ready (VirtioDevice *device)
{
    set_status (device, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
}

uint32_t
virtio_config32 (const VirtioDevice *device, uint32_t offset)
{
    return *(volatile uint32_t *)(device->config + offset);
}

uint64_t
virtio_config64 (const VirtioDevice *device, uint32_t offset)
{
    return (uint64_t)virtio_config32 (device, offset + 4) << 32 | virtio_config32 (device, offset);
}

int
virtio_add (VirtioQueue *queue, const VirtioPart *parts, uint32_t n)
{
    uint16_t head = queue->free_head;
    uint16_t at = head;

    if (n == 0 || n > queue->n_free)
        return -1;
    for (uint32_t i = 0; i < n; i++) {
        VirtioDescriptor *descriptor = &queue->descriptors[at];
        bool last = i + 1 == n;

        descriptor->gpa = (uintptr_t)parts[i].at;
        descriptor->size = parts[i].size;
        descriptor->flags =
            (uint16_t)((last ? 0 : DESCRIPTOR_NEXT) | (parts[i].device_writes ? DESCRIPTOR_WRITE : 0));
        at = descriptor->next;
    }
    queue->free_head = at;
    queue->n_free = (uint16_t)(queue->n_free - n);
    queue->available[2 + queue->next % queue->size] = head;
    queue->next++;
    return head;
}

void
virtio_kick (VirtioQueue *queue)
{
    uint16_t before = queue->published;
    bool wanted;

    /* x86 keeps stores in order; the load below must come after them. */
    __asm__ volatile("" : : : "memory");
    queue->available[1] = queue->next;
    queue->published = queue->next;
    __asm__ volatile("mfence" : : : "memory");
    if (queue->event_idx) {
        uint16_t event = queue->used[2 + 4 * queue->size];

        /* virtio 1.2 section 2.7.10 */
        wanted = (uint16_t)(queue->next - event - 1) < (uint16_t)(queue->next - before);
    } else {
        wanted = (queue->used[0] & USED_NO_NOTIFY) == 0;
    }
    if (!wanted || queue->next == before)
        return;
    queue->kicks++;
    if (queue->doorbell_wide)
        *(volatile uint32_t *)queue->doorbell = queue->index;
    else
        *(volatile uint16_t *)queue->doorbell = queue->index;
}

/* Gives a chain's descriptors back to the free list. */
static void
release (VirtioQueue *queue, uint16_t head)
{
    uint16_t last = head;
    uint16_t n = 1;

    for (; (queue->descriptors[last].flags & DESCRIPTOR_NEXT) != 0; n++)
        last = queue->descriptors[last].next;
    queue->descriptors[last].next = queue->free_head;
    queue->free_head = head;
    queue->n_free = (uint16_t)(queue->n_free + n);
}

int
virtio_take (VirtioQueue *queue, uint32_t *ret_written)
{
    volatile uint32_t *element;
    uint16_t head;

    if (queue->used[1] == queue->taken)
        return -1;
    __asm__ volatile("" : : : "memory");
    element = (volatile uint32_t *)(queue->used + 2) + 2 * (queue->taken % queue->size);
    head = (uint16_t)element[0];
    if (ret_written != NULL)
        *ret_written = element[1];
    queue->taken++;
    release (queue, head);
    /* Interrupts are not wanted, whichever way the device is told that. */
    queue->available[2 + queue->size] = (uint16_t)(queue->taken + 0x8000);
    return head;
}
