/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_TESTS_VIRTIO_H
#define VMM_TESTS_VIRTIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pvh.h"

/*
 * Theory of operation
 *
 * A driver for modern virtio devices (virtio 1.2) that polls and never sleeps: split rings, no interrupts,
 * the same over PCI and over MMIO. It is for guests with one CPU and memory mapped one to one (start-user.S).
 *
 * A PCI function is found by configuration ports, and gets addresses from this driver where no firmware gave
 * it any. A device on MMIO is found by the virtio_mmio.device= words of the command line or else by the
 * resources of the LNRO0005 devices in the ACPI tables; AML is not interpreted, only searched.
 *
 * How a device is used: virtio_find, virtio_begin, virtio_queue_start for each queue, virtio_ready; then
 * virtio_add, virtio_kick, virtio_take.
 */

#define VIRTIO_ID_NET 1u
#define VIRTIO_ID_BLOCK 2u

#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX (1ull << 29)
#define VIRTIO_F_VERSION_1 (1ull << 32)

#define VIRTIO_QUEUE_MAX 256u
/* What virtio_queue_start needs for its rings, whatever the size. */
#define VIRTIO_QUEUE_MEMORY (16u << 10)

typedef struct {
    bool pci;
    volatile uint8_t *common; /* PCI: common configuration; MMIO: all registers */
    volatile uint8_t *notify; /* PCI */
    volatile uint8_t *config; /* the device's own */
    uint32_t notify_multiplier;
    uint64_t features; /* those that were negotiated */
} VirtioDevice;

typedef struct {
    uint64_t gpa;
    uint32_t size;
    uint16_t flags;
    uint16_t next;
} VirtioDescriptor;

typedef struct {
    uint16_t index;
    uint16_t size;
    bool event_idx;
    volatile uint8_t *doorbell;
    bool doorbell_wide; /* 32 bits */
    VirtioDescriptor *descriptors;
    volatile uint16_t *available; /* flags, index, ring[size], used_event */
    volatile uint16_t *used;      /* flags, index, {id, length: 32 bits each}[size], avail_event */
    uint16_t free_head;
    uint16_t n_free;
    uint16_t published; /* available index that the device was last told of */
    uint16_t next;      /* available index */
    uint16_t taken;     /* used index up to which this driver looked */
    uint64_t kicks;     /* writes to the doorbell */
} VirtioQueue;

/* A piece of a request's memory. */
typedef struct {
    const volatile void *at;
    uint32_t size;
    bool device_writes;
} VirtioPart;

/* The @nth device of a type, counted from 0, first over PCI and then over MMIO; returns false when there is
 * none */
bool virtio_find (const StartInfo *info, uint32_t id, uint32_t nth, VirtioDevice *ret_device);
/* Resets the device and negotiates: of @wanted and VERSION_1 what is offered; returns false when it refuses
 */
bool virtio_begin (VirtioDevice *device, uint64_t wanted);
/* @memory: VIRTIO_QUEUE_MEMORY bytes, aligned to 4096; @size: a power of two; the queue's maximum bounds it
 */
bool virtio_queue_start (VirtioDevice *device, VirtioQueue *queue, uint16_t index, void *memory,
                         uint16_t size);
void virtio_ready (VirtioDevice *device);
uint8_t virtio_status (const VirtioDevice *device);
uint32_t virtio_config32 (const VirtioDevice *device, uint32_t offset);
uint64_t virtio_config64 (const VirtioDevice *device, uint32_t offset);

/* Puts a chain into the queue without telling the device; returns its id, or -1 when there is no room. The
 * parts that the device reads come first. */
int virtio_add (VirtioQueue *queue, const VirtioPart *parts, uint32_t n);
/* Tells the device what is new, unless it said that it need not be told. */
void virtio_kick (VirtioQueue *queue);
/* The id of a chain that the device is done with, or -1 */
int virtio_take (VirtioQueue *queue, uint32_t *ret_written);

#endif
