/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that asks for entropy in every form, right or wrong, while the machine is paused, saved, loaded and
 * reset. Nothing beyond its buffers is written, each request is answered once, and an honest driver is served
 * afterwards.
 */
#include <string.h>

#include "devices/virtio/rng.h"
#include "virtio-driver.h"
#include "virtio-state.h"

#define RECORD 16u
#define RECORDS_MAX 200u
#define MEMORY (2u << 20)
#define HEAP_SIZE 0x80000u
#define ROOM 0x100000u
#define RING 32u

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t len);

typedef struct {
    VmmGuestMemory *memory;
    VmmLoop *loop;
    VmmVirtioDevice *device;
    VmmVirtqHeap heap;
    VmmVirtqDriver *queue;
    uint32_t room[RING]; /* of each chain */
    bool guilty;         /* the driver did what a device may answer with NEEDS_RESET */
    bool anywhere;       /* a state was loaded that may have had its ring anywhere */
} Fuzz;

static VmmVirtioDevice *
make_device (const Fuzz *fuzz)
{
    VmmVirtioEnv env = {.memory = fuzz->memory, .loop = fuzz->loop, .name = "rng0"};

    return vmm_virtio_rng_new (&env);
}

static void
restart (Fuzz *fuzz)
{
    if (!vmm_virtio_driver_negotiate (fuzz->device, vmm_virtq_driver_features (fuzz->queue)))
        __builtin_trap ();
    vmm_virtq_driver_reset (fuzz->queue);
    vmm_virtio_driver_set_queue (fuzz->device, 0, fuzz->queue);
    fuzz->guilty = false;
    if (!vmm_virtio_driver_start (fuzz->device))
        __builtin_trap ();
}

static void
nothing (void *user)
{
}

static void
notify (Fuzz *fuzz)
{
    vmm_virtq_driver_publish (fuzz->queue);
    vmm_virtio_device_notify (fuzz->device, 0);
    /* What the device leaves for later it posts to itself. */
    for (unsigned i = 0; i < 4; i++)
        vmm_loop_call (fuzz->loop, nothing, NULL);
}

static void
play_request (Fuzz *fuzz, const uint8_t *record)
{
    unsigned n_out = record[1] % 8 == 0 ? record[2] % 3 : 0;
    unsigned n_in = record[3] % 4;
    uint32_t room = 0;
    VmmVirtqSegment out = {ROOM, record[2]}, outs[2] = {out, out}, in[3];
    int id;

    for (unsigned i = 0; i < n_in; i++) {
        in[i] = (VmmVirtqSegment){ROOM, (uint32_t)record[4 + 2 * i] << (record[5 + 2 * i] % 12)};
        room += in[i].len;
    }
    if (n_out + n_in == 0)
        return;
    id = vmm_virtq_driver_add (fuzz->queue, outs, n_out, in, n_in);
    if (id < 0)
        return;
    fuzz->guilty |= room == 0;
    fuzz->room[id] = room;
    if (record[14] % 4 != 0)
        notify (fuzz);
}

static void
play_bad (Fuzz *fuzz, const uint8_t *record)
{
    if (vmm_virtq_driver_play_bad (fuzz->queue, record[2] % VMM_VIRTQ_BAD_LAST))
        notify (fuzz);
    restart (fuzz);
}

static void
play_load (Fuzz *fuzz, const uint8_t *record)
{
    g_autoptr (GBytes) state = vmm_virtio_state_save (fuzz->device);
    g_autoptr (GBytes) bad = vmm_virtio_state_spoil (state, record);
    VmmVirtioDevice *device = make_device (fuzz);

    if (vmm_virtio_state_load (device, bad)) {
        fuzz->anywhere = true;
        vmm_virtio_device_notify (device, 0);
        vmm_loop_call (fuzz->loop, nothing, NULL);
        if (!vmm_virtio_driver_negotiate (device, vmm_virtq_driver_features (fuzz->queue)))
            __builtin_trap ();
    }
    vmm_virtio_device_free (device);
    restart (fuzz);
    vmm_virtio_device_resume (fuzz->device);
}

static void
play_move (Fuzz *fuzz)
{
    g_autoptr (GBytes) state = vmm_virtio_state_save (fuzz->device);
    VmmVirtioDevice *device = make_device (fuzz);

    vmm_virtio_device_free (fuzz->device);
    fuzz->device = device;
    if (!vmm_virtio_state_load (device, state))
        __builtin_trap ();
    vmm_loop_call (fuzz->loop, nothing, NULL);
}

static void
play_machine (Fuzz *fuzz, const uint8_t *record)
{
    switch (record[1] % 6) {
    case 0:
        play_load (fuzz, record);
        break;
    case 1:
        play_move (fuzz);
        break;
    case 2:
        vmm_virtio_device_pause (fuzz->device);
        vmm_virtio_device_resume (fuzz->device);
        break;
    case 3:
        vmm_virtio_device_reset_queue (fuzz->device, 1 + record[2]);
        vmm_virtio_device_reset_queue (fuzz->device, 0);
        vmm_virtq_driver_reset (fuzz->queue);
        vmm_virtio_driver_set_queue (fuzz->device, 0, fuzz->queue);
        break;
    case 4:
        vmm_virtio_device_config_write (fuzz->device, record[2], 4, record[3]);
        if (vmm_virtio_device_config_read (fuzz->device, record[2], 8) != 0)
            __builtin_trap ();
        break;
    default:
        restart (fuzz);
    }
}

static void
check (Fuzz *fuzz)
{
    uint32_t len;
    int id;

    if ((vmm_virtio_device_status (fuzz->device) & VMM_VIRTIO_STATUS_NEEDS_RESET) != 0) {
        if (!fuzz->guilty)
            __builtin_trap ();
        restart (fuzz);
        return;
    }
    while (vmm_virtq_driver_poll_used (fuzz->queue, &id, &len)) {
        if (len == 0 || len > fuzz->room[id])
            __builtin_trap ();
    }
}

static void
check_honest (Fuzz *fuzz)
{
    static const uint8_t zeroes[64] = {0};
    VmmVirtqSegment in = vmm_virtq_heap_alloc (&fuzz->heap, sizeof zeroes);
    uint32_t len;

    restart (fuzz);
    vmm_virtq_driver_add (fuzz->queue, NULL, 0, &in, 1);
    notify (fuzz);
    if (!vmm_virtq_driver_poll_used (fuzz->queue, NULL, &len) || len != sizeof zeroes ||
        memcmp (vmm_virtq_heap_bytes (&fuzz->heap, in), zeroes, sizeof zeroes) == 0)
        __builtin_trap ();
}

/* All of it is the guest's rings, or room that was given. */
static void
check_memory (const Fuzz *fuzz)
{
    const uint8_t *bytes = vmm_guest_memory_ptr (fuzz->memory, 0, MEMORY);

    for (size_t i = HEAP_SIZE; i < ROOM && !fuzz->anywhere; i++) {
        if (bytes[i] != 0)
            __builtin_trap ();
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t len)
{
    Fuzz fuzz = {0};

    if (len == 0)
        return 0;
    fuzz.memory = vmm_virtq_memory_new (MEMORY);
    fuzz.loop = vmm_loop_new ("fuzz", NULL);
    fuzz.device = make_device (&fuzz);
    vmm_virtq_heap_init (&fuzz.heap, fuzz.memory, 0x1000, HEAP_SIZE - 0x1000);
    fuzz.queue = vmm_virtq_driver_new (&fuzz.heap, RING, data[0] % 16);
    restart (&fuzz);
    for (size_t i = 1; i + RECORD <= len && i < RECORD * RECORDS_MAX; i += RECORD) {
        if (data[i] % 8 < 5)
            play_request (&fuzz, data + i);
        else if (data[i] % 8 == 5)
            play_bad (&fuzz, data + i);
        else
            play_machine (&fuzz, data + i);
        check (&fuzz);
    }
    check_honest (&fuzz);
    check_memory (&fuzz);
    vmm_virtio_device_free (fuzz.device);
    vmm_virtq_driver_free (fuzz.queue);
    vmm_loop_free (fuzz.loop);
    vmm_guest_memory_free (fuzz.memory);
    return 0;
}
