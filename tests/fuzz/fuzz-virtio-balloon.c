/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that tells nonsense to its balloon: each record is a chain for one of its queues, or a change of
 * the configuration. Afterwards the device must still answer, and memory that was not named be as it was.
 */
#include <string.h>

#include "devices/virtio/balloon.h"
#include "virtio-driver.h"
#include "vmm/core/guest-memory-internal.h"

#define RECORD 12u
#define RECORDS_MAX 200u
#define QUEUES 5u
#define MEMORY (4u << 20)
/* Offered or not, as memory is of huge pages or not. */
#define F_MUST_TELL_HOST (UINT64_C (1) << 0)
#define FEATURES ((UINT64_C (1) << 1) | (UINT64_C (1) << 5) | F_MUST_TELL_HOST)

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t len);

typedef struct {
    VmmVirtioDevice *device;
    VmmVirtqHeap heap;
    VmmVirtqDriver *queues[QUEUES];
} Fuzz;

static void
step (Fuzz *fuzz, const uint8_t *record)
{
    unsigned queue = record[0] % (QUEUES + 2);
    VmmVirtqSegment out;
    VmmVirtqSegment in = {(uint64_t)(256 + record[2]) << 12, (uint32_t)record[3] << 8 | 1};
    VmmVirtioBalloonInfo info;

    if (queue == QUEUES) {
        vmm_virtio_device_config_write (fuzz->device, record[1], 4, record[2]);
        vmm_virtio_balloon_set_target (fuzz->device, (uint64_t)record[3] << 16);
    } else if (queue > QUEUES) {
        vmm_virtio_balloon_get (fuzz->device, &info);
        if (info.target > MEMORY)
            __builtin_trap ();
        vmm_virtio_device_pause (fuzz->device);
        vmm_virtio_device_resume (fuzz->device);
    } else {
        /* Pages above the first MiB, which has the rings, or beyond all. */
        uint32_t page = record[1] & 0x80 ? UINT32_MAX - record[2] : 256u + record[2] % 255u;
        uint32_t pages[4] = {page, page + record[4], page - 1, page};

        if (queue == 2)
            memcpy (pages, record + 2, RECORD - 2);
        out = vmm_virtq_heap_put (&fuzz->heap, pages, record[5] % sizeof pages + 1);
        if (page - 1 < 256 || pages[1] < 256)
            return;
        vmm_virtq_driver_add (fuzz->queues[queue], &out, 1, &in, record[6] & 1 || queue > 2);
        vmm_virtq_driver_publish (fuzz->queues[queue]);
        vmm_virtio_device_notify (fuzz->device, queue);
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t len)
{
    const VmmVirtioBalloonConfig config = {0, true, true};
    VmmGuestMemory *memory = vmm_virtq_memory_new (MEMORY);
    VmmLoop *loop = vmm_loop_new ("fuzz", NULL);
    VmmVirtioEnv env = {.memory = memory, .loop = loop, .name = "balloon0"};
    Fuzz fuzz = {0};
    unsigned mode = len > 0 ? data[0] % 8 : 0;

    if (len > 0 && (data[0] & 0x40) != 0)
        memory->granule = 4 << 12;
    fuzz.device = vmm_virtio_balloon_new (&env, &config);
    vmm_virtq_heap_init (&fuzz.heap, memory, 0x1000, 0xff000);
    for (unsigned i = 0; i < QUEUES; i++)
        fuzz.queues[i] = vmm_virtq_driver_new (&fuzz.heap, 32, mode);
    if (!vmm_virtio_driver_negotiate (fuzz.device, vmm_virtq_driver_features (fuzz.queues[0]) | FEATURES))
        __builtin_trap ();
    for (unsigned i = 0; i < QUEUES; i++)
        vmm_virtio_driver_set_queue (fuzz.device, i, fuzz.queues[i]);
    vmm_virtio_driver_start (fuzz.device);
    for (size_t i = 1; i + RECORD <= len && i < RECORD * RECORDS_MAX; i += RECORD)
        step (&fuzz, data + i);
    if ((vmm_virtio_device_status (fuzz.device) & VMM_VIRTIO_STATUS_NEEDS_RESET) != 0)
        __builtin_trap ();
    vmm_virtio_device_set_status (fuzz.device, 0);
    vmm_virtio_device_free (fuzz.device);
    for (unsigned i = 0; i < QUEUES; i++)
        vmm_virtq_driver_free (fuzz.queues[i]);
    vmm_loop_free (loop);
    vmm_guest_memory_free (memory);
    return 0;
}
