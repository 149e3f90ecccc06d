/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_VIRTIO_VIRTQUEUE_H
#define VMM_DEVICES_VIRTIO_VIRTQUEUE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/core/guest-memory.h"
#include "vmm/core/state.h"

/* The largest queue that a split ring can have (virtio 1.2 section 2.7). */
#define VMM_VIRTQUEUE_SIZE_MAX 32768u
/* What our devices offer at most; a chain can be that long and, through an indirect table, not longer. */
#define VMM_VIRTQUEUE_SIZE_LIMIT 1024u
/* The buffers of one chain, after those that cross the edge of a memory region were split. */
#define VMM_CHAIN_IOV_MAX (VMM_VIRTQUEUE_SIZE_LIMIT + 8u)

/**
 * VmmChain:
 * @id: what push gives back: the head's index (split) or the buffer id (packed)
 * @n_slots: ring slots that it takes (packed)
 * @n_readable: elements of @iov that the device may read; they come first
 * @n_writable: elements of @iov, after the readable ones, that the device may write
 * @readable: bytes that the device may read, all together
 * @readable_left: bytes that have not been read or taken yet
 * @writable_left: bytes that have not been written or taken yet
 * @written: bytes that were written or taken for writing, from the first writable byte on without a gap: what
 *   comes after a skip does not count (virtio 1.2 section 2.7.8.2); push reports it
 * @iov: (array): where the buffers are in this process; of capacity @max_iov
 *
 * A descriptor chain that was popped (virtio 1.2 sections 2.7.4, 2.8.6): a device sees its buffers only,
 * as two streams of bytes, and never a descriptor. Its memory is the device's own, to be set up once by
 * vmm_chain_init() and used again and again. The buffers stay valid as long as the machine's memory; the
 * guest may change their contents at any moment.
 */
typedef struct {
    struct iovec *iov;
    unsigned max_iov;
    unsigned n_readable;
    unsigned n_writable;
    uint64_t readable;
    uint64_t readable_left;
    uint64_t writable_left;
    uint64_t written;
    unsigned n_slots;
    uint16_t id;
    /* Private: where each stream goes on. */
    unsigned read_index;
    size_t read_offset;
    unsigned write_index;
    size_t write_offset;
    bool skipped;
} VmmChain;

void vmm_chain_init (VmmChain *chain, unsigned max_iov);
void vmm_chain_clear (VmmChain *chain);
size_t vmm_chain_read (VmmChain *chain, void *buf, size_t len);
size_t vmm_chain_write (VmmChain *chain, const void *buf, size_t len);
size_t vmm_chain_skip_writable (VmmChain *chain, size_t len);
unsigned vmm_chain_take_readable (VmmChain *chain, size_t len, struct iovec *iov, unsigned max_iov);
unsigned vmm_chain_take_writable (VmmChain *chain, size_t len, struct iovec *iov, unsigned max_iov);

/**
 * VmmVirtqueueLayout:
 * @size: entries; a power of two for a split ring
 * @desc: gpa of the descriptor table, or of the packed ring
 * @driver: gpa of the available ring, or of the driver's event suppression structure
 * @device: gpa of the used ring, or of the device's event suppression structure
 */
typedef struct {
    uint16_t size;
    uint64_t desc;
    uint64_t driver;
    uint64_t device;
} VmmVirtqueueLayout;

/**
 * VmmVirtqueueEvents:
 * @interrupt: the driver wants to hear of used buffers: raise the queue's interrupt
 * @broken: the ring is malformed, in @why's words: the device needs a reset. Called once, and every pop fails
 *   from then on
 *
 * Both are called on the thread that uses the queue.
 */
typedef struct {
    void (*interrupt) (void *user, unsigned index);
    void (*broken) (void *user, unsigned index, const char *why);
    void *user;
} VmmVirtqueueEvents;

/**
 * VmmVirtqueueCounters:
 * @requests: chains that were given back to the driver
 * @bytes_from_guest: what was read of them
 * @bytes_to_guest: what was written to them
 * @interrupts: how often the driver was told, or would have been if its device had a way
 *
 * What went through a queue since it was made, over all resets.
 */
typedef struct {
    uint64_t requests;
    uint64_t bytes_from_guest;
    uint64_t bytes_to_guest;
    uint64_t interrupts;
} VmmVirtqueueCounters;

typedef struct _VmmVirtqueue VmmVirtqueue;

/* Life: by the device core. */
VmmVirtqueue *vmm_virtqueue_new (VmmGuestMemory *memory, unsigned index, const VmmVirtqueueEvents *events);
void vmm_virtqueue_free (VmmVirtqueue *queue);
bool vmm_virtqueue_enable (VmmVirtqueue *queue, const VmmVirtqueueLayout *layout, uint64_t features);
void vmm_virtqueue_disable (VmmVirtqueue *queue);
bool vmm_virtqueue_is_enabled (const VmmVirtqueue *queue);
bool vmm_virtqueue_is_broken (const VmmVirtqueue *queue);
bool vmm_virtqueue_is_of (const VmmVirtqueue *queue, uint64_t features);
void vmm_virtqueue_add_counters (const VmmVirtqueue *queue, VmmVirtqueueCounters *sum);
void vmm_virtqueue_addresses (const VmmVirtqueue *queue, const void **ret_desc, const void **ret_driver,
                              const void **ret_device);
uint32_t vmm_virtqueue_base (const VmmVirtqueue *queue);
bool vmm_virtqueue_set_base (VmmVirtqueue *queue, uint32_t base);
void vmm_virtqueue_save (const VmmVirtqueue *queue, VmmStateWriter *writer);
bool vmm_virtqueue_load (VmmVirtqueue *queue, VmmStateReader *reader);

/*
 * Use: by a device, on its loop's thread. A simple device, at a notification:
 *
 *   while (vmm_virtqueue_pop (queue, &chain)) {
 *       ... vmm_chain_read (), vmm_chain_write () ...
 *       vmm_virtqueue_push (queue, &chain);
 *   }
 *   vmm_virtqueue_publish (queue);
 *
 * While kicks are wanted, as they are at first, a pop that finds nothing has seen to it that the driver
 * notifies of the next chain. A busy device spares the driver's notifications while it works:
 *
 *   vmm_virtqueue_set_kicks (queue, false);
 *   do {
 *       while (vmm_virtqueue_pop (queue, &chain))
 *           ... start the request; push when it is done ...
 *   } while (!vmm_virtqueue_arm (queue));
 */
unsigned vmm_virtqueue_size (const VmmVirtqueue *queue);
bool vmm_virtqueue_pop (VmmVirtqueue *queue, VmmChain *chain);
void vmm_virtqueue_unpop (VmmVirtqueue *queue, const VmmChain *chain);
void vmm_virtqueue_push (VmmVirtqueue *queue, const VmmChain *chain);
void vmm_virtqueue_publish (VmmVirtqueue *queue);
void vmm_virtqueue_fail (VmmVirtqueue *queue, const char *why);
bool vmm_virtqueue_is_empty (VmmVirtqueue *queue);
void vmm_virtqueue_set_kicks (VmmVirtqueue *queue, bool wanted);
bool vmm_virtqueue_arm (VmmVirtqueue *queue);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmVirtqueue, vmm_virtqueue_free)

#endif
