/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first byte says what was negotiated and how large the queue is. Then five bytes are one step: a word of
 * the guest's memory is written, or the device does something. Each buffer that a chain has must be in that
 * memory.
 */
#include <stdlib.h>

#include "devices/virtio/device.h"
#include "vmm/core/bytes.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

#define STEP 5u
#define MEMORY_SIZE 0x10000u

static void
on_interrupt (void *user, unsigned index)
{
}

static void
on_broken (void *user, unsigned index, const char *why)
{
    if (why == NULL || (*(unsigned *)user)++ > 0)
        abort ();
}

static void
use (VmmGuestMemory *memory, VmmVirtqueue *queue, VmmChain *chain, uint8_t how)
{
    const uint8_t *start = vmm_guest_memory_ptr (memory, 0, MEMORY_SIZE);
    uint8_t buf[64] = {0};

    for (unsigned i = 0; i < chain->n_readable + chain->n_writable; i++) {
        const uint8_t *base = chain->iov[i].iov_base;

        if (base < start || chain->iov[i].iov_len == 0 ||
            chain->iov[i].iov_len > MEMORY_SIZE - (size_t)(base - start))
            abort ();
    }
    vmm_chain_read (chain, buf, how & 63);
    vmm_chain_write (chain, buf, how >> 2);
    if ((how & 1) != 0)
        vmm_virtqueue_unpop (queue, chain);
    else
        vmm_virtqueue_push (queue, chain);
}

static void
step (VmmGuestMemory *memory, VmmVirtqueue *queue, VmmChain *chain, const uint8_t *data)
{
    if ((data[0] & 0x80) == 0) {
        /* Words of the rings, which are in the first 4 KiB, and of tables behind them. */
        vmm_guest_memory_write (memory, (vmm_get_u16 (data) & 0xfffu) * 2u, data + 2, 2 + (data[4] & 1));
        return;
    }
    switch (data[0] & 3) {
    case 0:
        if (vmm_virtqueue_pop (queue, chain))
            use (memory, queue, chain, data[1]);
        break;
    case 1:
        vmm_virtqueue_publish (queue);
        break;
    case 2:
        vmm_virtqueue_set_kicks (queue, data[1] & 1);
        break;
    default:
        vmm_virtqueue_arm (queue);
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    VmmMemRange range = {0, MEMORY_SIZE};
    VmmMemBacking backing = {.kind = VMM_MEM_BACKING_ANON};
    VmmVirtqueueLayout layout = {.desc = 0, .driver = 0x400, .device = 0x600};
    unsigned n_broken = 0;
    VmmVirtqueueEvents events = {on_interrupt, on_broken, &n_broken};
    g_autoptr (VmmGuestMemory) memory = NULL;
    g_autoptr (VmmVirtqueue) queue = NULL;
    VmmChain chain;

    if (size < 1)
        return 0;
    memory = vmm_guest_memory_new (&range, 1, &backing, NULL);
    if (memory == NULL)
        return 0;
    queue = vmm_virtqueue_new (memory, 0, &events);
    vmm_chain_init (&chain, 16);
    layout.size = (uint16_t)(1u << (data[0] >> 3 & 3));
    if ((data[0] & 1) != 0)
        layout.size = (uint16_t)(layout.size + (data[0] >> 5));
    if (!vmm_virtqueue_enable (queue, &layout,
                               ((data[0] & 1) != 0 ? VMM_VIRTIO_F_RING_PACKED : 0) |
                                   ((data[0] & 2) != 0 ? VMM_VIRTIO_F_EVENT_IDX : 0) |
                                   ((data[0] & 4) != 0 ? VMM_VIRTIO_F_INDIRECT_DESC : 0)))
        abort ();
    for (size_t at = 1; at + STEP <= size; at += STEP)
        step (memory, queue, &chain, data + at);
    vmm_chain_clear (&chain);
    return 0;
}
