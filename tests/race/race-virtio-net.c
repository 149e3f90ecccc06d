/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network card with two pairs of queues, a vCPU at each, a third one that touches every register, one that
 * resets queues and the whole card, a machine that pauses and saves, and a network that sends all the time,
 * fills up and loses its link. Each frame that comes in is a whole one, and comes in once.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "devices/virtio/net.h"
#include "fake-net.h"
#include "virtio-driver.h"
#include "virtio-state.h"

#define MEMORY (4u << 20)
#define HEAP (1u << 20)
#define PAIRS 2u
#define QUEUES (2 * PAIRS + 1)
#define RING 16u
#define BUFFERS 12u
#define BUFFER_LEN 1600u
#define FRAME_LEN 700u
#define HEADER sizeof (VmmNetHeader)
#define N_ROUNDS 150u
/* CTRL_VQ and MQ. */
#define FEATURES (UINT64_C (1) << 17 | UINT64_C (1) << 22)

typedef struct {
    VmmVirtqHeap heap; /* drivers take from it while they work */
    VmmVirtqDriver *rx;
    VmmVirtqDriver *tx;
    VmmVirtqSegment buffers[BUFFERS];
    VmmVirtqSegment out;
    int ids[BUFFERS]; /* of their chains; -1: not with the device */
    pthread_mutex_t lock;
    uint32_t last_name;
} Pair;

typedef struct {
    VmmGuestMemory *memory;
    VmmLoop *loop;
    FakeNet *net;
    VmmVirtioDevice *device;
    VmmVirtqHeap heap;
    Pair pairs[PAIRS];
    VmmVirtqDriver *control;
    VmmVirtqSegment command;
    VmmVirtqSegment ack;
    pthread_rwlock_t running; /* vCPUs have it for reading, a machine that wants them to rest for writing */
    atomic_bool done;
    atomic_uint n_wrong;
    atomic_uint n_received;
} World;

typedef struct {
    World *w;
    unsigned pair;
} Vcpu;

static void
wrong (World *w, const char *what)
{
    fprintf (stderr, "%s\n", what);
    atomic_fetch_add (&w->n_wrong, 1);
}

/* As a vCPU does that leaves an exit; writers are not to starve. */
static void
enter (World *w)
{
    pthread_rwlock_rdlock (&w->running);
}

static void
leave (World *w)
{
    pthread_rwlock_unlock (&w->running);
    sched_yield ();
}

static void
forget_buffers (Pair *pair)
{
    for (unsigned i = 0; i < BUFFERS; i++)
        pair->ids[i] = -1;
}

static void
collect (World *w, Pair *pair)
{
    uint32_t len, name;
    int id;

    while (vmm_virtq_driver_poll_used (pair->rx, &id, &len)) {
        for (unsigned i = 0; i < BUFFERS; i++) {
            const uint8_t *bytes = vmm_virtq_heap_bytes (&w->heap, pair->buffers[i]);

            if (pair->ids[i] != id)
                continue;
            pair->ids[i] = -1;
            if (len != HEADER + FRAME_LEN || !fake_net_is_whole (bytes + HEADER, FRAME_LEN, &name))
                wrong (w, "a frame is torn");
            else if (name <= pair->last_name)
                wrong (w, "a frame came twice, or out of turn");
            else
                pair->last_name = name;
            atomic_fetch_add (&w->n_received, 1);
        }
    }
    while (vmm_virtq_driver_poll_used (pair->tx, NULL, NULL))
        ;
}

static void
refill (World *w, Pair *pair, unsigned index)
{
    for (unsigned i = 0; i < BUFFERS; i++) {
        if (pair->ids[i] < 0)
            pair->ids[i] = vmm_virtq_driver_add (pair->rx, NULL, 0, &pair->buffers[i], 1);
    }
    vmm_virtq_driver_add (pair->tx, &pair->out, 1, NULL, 0);
    if (vmm_virtq_driver_publish (pair->rx))
        vmm_virtio_device_notify (w->device, 2 * index);
    if (vmm_virtq_driver_publish (pair->tx))
        vmm_virtio_device_notify (w->device, 2 * index + 1);
}

static void
reset_queue (World *w, unsigned index, VmmVirtqDriver *driver)
{
    vmm_virtio_device_reset_queue (w->device, index);
    vmm_virtq_driver_reset (driver);
    vmm_virtio_driver_set_queue (w->device, index, driver);
}

/* The vCPU that works with one pair. */
static void *
drive (void *user)
{
    Vcpu *vcpu = user;
    World *w = vcpu->w;
    Pair *pair = &w->pairs[vcpu->pair];

    for (unsigned i = 1; !w->done; i++) {
        enter (w);
        pthread_mutex_lock (&pair->lock);
        collect (w, pair);
        if (i % 64 == 0) {
            reset_queue (w, 2 * vcpu->pair, pair->rx);
            forget_buffers (pair);
        }
        if (i % 48 == 0)
            reset_queue (w, 2 * vcpu->pair + 1, pair->tx);
        refill (w, pair, vcpu->pair);
        pthread_mutex_unlock (&pair->lock);
        leave (w);
    }
    return NULL;
}

/* The vCPU that looks into everything. */
static void *
touch (void *user)
{
    World *w = user;

    for (unsigned i = 0; !w->done; i++) {
        unsigned queue = i % (QUEUES + 1);

        enter (w);
        vmm_virtio_device_notify (w->device, queue);
        vmm_virtio_device_status (w->device);
        vmm_virtio_device_queue_enabled (w->device, queue);
        vmm_virtio_device_queue_address (w->device, queue, VMM_VIRTIO_QUEUE_DESC);
        vmm_virtio_device_set_queue_size (w->device, QUEUES, 4);
        vmm_virtio_device_config_read (w->device, i % 12, 8);
        vmm_virtio_device_config_write (w->device, i % 12, 1, i);
        vmm_virtio_device_config_generation (w->device);
        vmm_virtio_device_accepted (w->device, i % 3);
        leave (w);
    }
    return NULL;
}

/* How many pairs the card is to use: each command is answered, unless its queue is reset. */
static void
set_pairs (World *w, uint8_t n)
{
    const uint8_t command[] = {4, 0, n, 0};

    memcpy (vmm_virtq_heap_bytes (&w->heap, w->command), command, sizeof command);
    if (vmm_virtq_driver_add (w->control, &w->command, 1, &w->ack, 1) < 0)
        return;
    vmm_virtq_driver_publish (w->control);
    vmm_virtio_device_notify (w->device, QUEUES - 1);
    for (unsigned i = 0; !vmm_virtq_driver_poll_used (w->control, NULL, NULL); i++) {
        if (i > 20000) {
            wrong (w, "a command was not answered");
            return;
        }
        g_usleep (100);
    }
}

static void
bring_up (World *w)
{
    for (unsigned i = 0; i < PAIRS; i++) {
        vmm_virtq_driver_reset (w->pairs[i].rx);
        vmm_virtq_driver_reset (w->pairs[i].tx);
        forget_buffers (&w->pairs[i]);
    }
    vmm_virtq_driver_reset (w->control);
    if (!vmm_virtio_driver_negotiate (w->device, vmm_virtq_driver_features (w->control) | FEATURES))
        wrong (w, "features were refused");
    for (unsigned i = 0; i < PAIRS; i++) {
        vmm_virtio_driver_set_queue (w->device, 2 * i, w->pairs[i].rx);
        vmm_virtio_driver_set_queue (w->device, 2 * i + 1, w->pairs[i].tx);
    }
    vmm_virtio_driver_set_queue (w->device, QUEUES - 1, w->control);
    if (!vmm_virtio_driver_start (w->device))
        wrong (w, "the card did not come up");
}

/* The vCPU that commands, and begins from the beginning. */
static void *
command (void *user)
{
    World *w = user;

    for (unsigned i = 1; !w->done; i++) {
        enter (w);
        if (i % 16 == 0) {
            for (unsigned j = 0; j < PAIRS; j++)
                pthread_mutex_lock (&w->pairs[j].lock);
            vmm_virtio_device_set_status (w->device, 0);
            bring_up (w);
            for (unsigned j = 0; j < PAIRS; j++)
                pthread_mutex_unlock (&w->pairs[j].lock);
        }
        if (i % 8 == 0)
            reset_queue (w, QUEUES - 1, w->control);
        set_pairs (w, i % 4 == 3 ? 1 : PAIRS);
        leave (w);
        g_usleep (200);
    }
    return NULL;
}

static void *
send_frames (void *user)
{
    World *w = user;

    for (uint32_t i = 1; !w->done; i++) {
        fake_net_give (w->net, i % PAIRS, (VmmNetHeader){0}, i, FRAME_LEN);
        if (i % 10 == 0)
            fake_net_set_full (w->net, i / 10 % PAIRS, i % 20 == 0);
        if (i % 32 == 0)
            fake_net_set_link (w->net, i % 64 == 0);
        if (i % 16 == 0)
            g_usleep (100);
    }
    return NULL;
}

static void
on_warn (void *user, const char *text)
{
    wrong (user, text);
}

static void
set_up (World *w, unsigned mode)
{
    const VmmVirtioNetConfig config = {{0x52, 0x54, 0, 0, 0, 1}, 1500};
    VmmVirtioEnv env;

    w->memory = vmm_virtq_memory_new (MEMORY);
    w->loop = vmm_loop_new ("race", NULL);
    w->net = fake_net_new (w->loop, PAIRS, 0, mode % 2 == 0);
    env = (VmmVirtioEnv){.memory = w->memory, .loop = w->loop, .name = "net0", .warn = on_warn, .user = w};
    w->device = vmm_virtio_net_new (&env, &w->net->net, &config);
    vmm_virtq_heap_init (&w->heap, w->memory, 0x1000, HEAP - 0x1000);
    for (unsigned i = 0; i < PAIRS; i++) {
        Pair *pair = &w->pairs[i];

        vmm_virtq_heap_init (&pair->heap, w->memory, (i + 1) * HEAP, HEAP);
        pair->rx = vmm_virtq_driver_new (&pair->heap, RING, mode);
        pair->tx = vmm_virtq_driver_new (&pair->heap, RING, mode);
        pair->out = vmm_virtq_heap_alloc (&pair->heap, 200);
        for (unsigned j = 0; j < BUFFERS; j++)
            pair->buffers[j] = vmm_virtq_heap_alloc (&pair->heap, BUFFER_LEN);
        pthread_mutex_init (&pair->lock, NULL);
    }
    w->control = vmm_virtq_driver_new (&w->heap, RING, mode);
    w->command = vmm_virtq_heap_alloc (&w->heap, 4);
    w->ack = vmm_virtq_heap_alloc (&w->heap, 1);
    pthread_rwlock_init (&w->running, NULL);
    bring_up (w);
}

static void
tear_down (World *w)
{
    vmm_virtio_device_free (w->device);
    if (w->net->wrong != NULL)
        wrong (w, w->net->wrong);
    fake_net_free (w->net);
    for (unsigned i = 0; i < PAIRS; i++) {
        vmm_virtq_driver_free (w->pairs[i].rx);
        vmm_virtq_driver_free (w->pairs[i].tx);
        pthread_mutex_destroy (&w->pairs[i].lock);
    }
    vmm_virtq_driver_free (w->control);
    pthread_rwlock_destroy (&w->running);
    vmm_loop_free (w->loop);
    vmm_guest_memory_free (w->memory);
}

/* The machine: its vCPUs rest while it pauses the card and saves it; the network does not. */
static void
pause_and_save (World *w)
{
    for (unsigned i = 0; i < N_ROUNDS && w->n_wrong == 0; i++) {
        g_autoptr (GBytes) state = NULL;

        pthread_rwlock_wrlock (&w->running);
        state = vmm_virtio_state_save (w->device);
        vmm_virtio_device_resume (w->device);
        pthread_rwlock_unlock (&w->running);
        g_usleep (1000);
    }
}

static unsigned
run (unsigned mode)
{
    World w = {0};
    Vcpu vcpus[PAIRS] = {{&w, 0}, {&w, 1}};
    pthread_t threads[5];

    set_up (&w, mode);
    pthread_create (&threads[0], NULL, drive, &vcpus[0]);
    pthread_create (&threads[1], NULL, drive, &vcpus[1]);
    pthread_create (&threads[2], NULL, touch, &w);
    pthread_create (&threads[3], NULL, command, &w);
    pthread_create (&threads[4], NULL, send_frames, &w);
    pause_and_save (&w);
    w.done = true;
    for (unsigned i = 0; i < G_N_ELEMENTS (threads); i++)
        pthread_join (threads[i], NULL);
    tear_down (&w);
    printf ("mode %u: %u frames\n", mode, w.n_received);
    if (w.n_received == 0)
        wrong (&w, "no frame came in");
    return w.n_wrong;
}

int
main (void)
{
    static const unsigned modes[] = {VMM_VIRTQ_EVENT_IDX, VMM_VIRTQ_PACKED | VMM_VIRTQ_INDIRECT};
    unsigned n_wrong = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS (modes); i++)
        n_wrong += run (modes[i]);
    return n_wrong == 0 ? 0 : 1;
}
