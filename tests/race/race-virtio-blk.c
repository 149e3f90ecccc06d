/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk with two queues, a vCPU at each, a third one that touches every register, one that resets the whole
 * disk, a machine that pauses, saves and grows it, and a host that gives requests back when it likes. Each
 * request is answered once, and each sector that is read is a whole one.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "devices/virtio/blk.h"
#include "fake-block.h"
#include "virtio-driver.h"
#include "virtio-state.h"
#include "vmm/core/timer.h"

#define MEMORY (4u << 20)
#define HEAP (1u << 20)
#define QUEUES 2u
#define RING 32u
#define REQUESTS 8u
#define SECTOR 512u
#define DISK_SECTORS 32u
#define SECTORS_EACH 3u
#define N_ROUNDS 150u
#define PENDING 0xee
/* FLUSH and CONFIG_WCE. */
#define FEATURES (UINT64_C (1) << 9 | UINT64_C (1) << 11)

typedef struct {
    uint32_t type;
    uint32_t reserved;
    uint64_t sector;
} Header;

typedef struct {
    VmmVirtqSegment header;
    VmmVirtqSegment data;
    VmmVirtqSegment status;
    int id; /* of its chain; -1: not with the device */
} Request;

typedef struct {
    VmmVirtqHeap heap; /* drivers take from it while they work */
    VmmVirtqDriver *driver;
    Request requests[REQUESTS];
    pthread_mutex_t lock;
    uint32_t stamp;
} Queue;

typedef struct {
    VmmGuestMemory *memory;
    VmmLoop *loop;
    FakeBlock *disk;
    VmmLimits limits;
    VmmVirtioDevice *device;
    Queue queues[QUEUES];
    pthread_rwlock_t running; /* vCPUs have it for reading, a machine that wants them to rest for writing */
    atomic_bool done;
    atomic_uint n_wrong;
    atomic_uint n_answered;
} World;

typedef struct {
    World *w;
    unsigned queue;
} Vcpu;

static void
wrong (World *w, const char *what)
{
    fprintf (stderr, "%s\n", what);
    atomic_fetch_add (&w->n_wrong, 1);
}

static void
on_warn (void *user, const char *text)
{
    wrong (user, text);
}

static void
enter (World *w)
{
    pthread_rwlock_rdlock (&w->running);
}

/* As a vCPU does that leaves an exit; writers are not to starve. */
static void
leave (World *w)
{
    pthread_rwlock_unlock (&w->running);
    sched_yield ();
}

static void
forget_requests (Queue *queue)
{
    for (unsigned i = 0; i < REQUESTS; i++)
        queue->requests[i].id = -1;
}

static void
check_answer (World *w, Queue *queue, Request *request)
{
    const Header *header = vmm_virtq_heap_bytes (&queue->heap, request->header);
    const uint8_t *data = vmm_virtq_heap_bytes (&queue->heap, request->data);
    const uint8_t *status = vmm_virtq_heap_bytes (&queue->heap, request->status);

    if (*status != 0)
        wrong (w, "a request failed, or has no answer");
    if (header->type == 0 && !fake_block_is_whole (data, header->sector, SECTORS_EACH * SECTOR))
        wrong (w, "a sector is torn");
    request->id = -1;
    atomic_fetch_add (&w->n_answered, 1);
}

static void
collect (World *w, Queue *queue)
{
    int id;

    while (vmm_virtq_driver_poll_used (queue->driver, &id, NULL)) {
        unsigned i = 0;

        while (i < REQUESTS && queue->requests[i].id != id)
            i++;
        if (i < REQUESTS)
            check_answer (w, queue, &queue->requests[i]);
        else
            wrong (w, "an answer to what was not asked");
    }
}

/* A read, a write or a flush. */
static void
ask (Queue *queue, Request *request, unsigned n)
{
    static const uint32_t types[] = {0, 1, 0, 1, 4};
    const Header header = {types[n % G_N_ELEMENTS (types)], 0, n * 7 % (DISK_SECTORS - SECTORS_EACH)};
    VmmVirtqSegment out[2] = {request->header, request->data};
    VmmVirtqSegment in[2] = {request->data, request->status};

    memcpy (vmm_virtq_heap_bytes (&queue->heap, request->header), &header, sizeof header);
    *(uint8_t *)vmm_virtq_heap_bytes (&queue->heap, request->status) = PENDING;
    if (header.type == 1)
        fake_block_fill (vmm_virtq_heap_bytes (&queue->heap, request->data), header.sector, ++queue->stamp,
                         SECTORS_EACH * SECTOR);
    if (header.type == 0)
        request->id = vmm_virtq_driver_add (queue->driver, out, 1, in, 2);
    else
        request->id = vmm_virtq_driver_add (queue->driver, out, header.type == 1 ? 2 : 1, in + 1, 1);
}

/* The vCPU that works with one queue. */
static void *
drive (void *user)
{
    Vcpu *vcpu = user;
    World *w = vcpu->w;
    Queue *queue = &w->queues[vcpu->queue];

    for (unsigned n = 1; !w->done; n++) {
        enter (w);
        pthread_mutex_lock (&queue->lock);
        collect (w, queue);
        if (n % 64 == 0) {
            vmm_virtio_device_reset_queue (w->device, vcpu->queue);
            vmm_virtq_driver_reset (queue->driver);
            forget_requests (queue);
            vmm_virtio_driver_set_queue (w->device, vcpu->queue, queue->driver);
        }
        for (unsigned i = 0; i < REQUESTS; i++) {
            if (queue->requests[i].id < 0)
                ask (queue, &queue->requests[i], n + i);
        }
        if (vmm_virtq_driver_publish (queue->driver))
            vmm_virtio_device_notify (w->device, vcpu->queue);
        pthread_mutex_unlock (&queue->lock);
        leave (w);
    }
    return NULL;
}

/* The vCPU that looks into everything, and turns the write cache on and off. */
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
        vmm_virtio_device_queue_address (w->device, queue, VMM_VIRTIO_QUEUE_DRIVER);
        vmm_virtio_device_config_read (w->device, i % 60, 8);
        vmm_virtio_device_config_write (w->device, 32, 1, i / 8 % 2);
        vmm_virtio_device_config_generation (w->device);
        leave (w);
    }
    return NULL;
}

static void
bring_up (World *w)
{
    for (unsigned i = 0; i < QUEUES; i++) {
        vmm_virtq_driver_reset (w->queues[i].driver);
        forget_requests (&w->queues[i]);
    }
    if (!vmm_virtio_driver_negotiate (w->device, vmm_virtq_driver_features (w->queues[0].driver) | FEATURES))
        wrong (w, "features were refused");
    for (unsigned i = 0; i < QUEUES; i++)
        vmm_virtio_driver_set_queue (w->device, i, w->queues[i].driver);
    if (!vmm_virtio_driver_start (w->device))
        wrong (w, "the disk did not come up");
}

/* The vCPU that begins from the beginning. */
static void *
reset (void *user)
{
    World *w = user;

    while (!w->done) {
        enter (w);
        for (unsigned i = 0; i < QUEUES; i++)
            pthread_mutex_lock (&w->queues[i].lock);
        vmm_virtio_device_set_status (w->device, 0);
        bring_up (w);
        for (unsigned i = 0; i < QUEUES; i++)
            pthread_mutex_unlock (&w->queues[i].lock);
        leave (w);
        g_usleep (3000);
    }
    return NULL;
}

static void *
host (void *user)
{
    World *w = user;

    for (unsigned i = 0; !w->done; i++) {
        if (i % 64 == 0)
            fake_block_set_pace (w->disk, i / 64 % 3);
        fake_block_complete (w->disk, i % 5 + 1);
        fake_block_complete (w->disk, 1);
        if (i % 4 == 0)
            g_usleep (100);
    }
    return NULL;
}

static void
set_up (World *w, unsigned mode, uint64_t ops_per_s)
{
    const VmmVirtioBlkConfig config = {.serial = "race", .n_queues = QUEUES, .limits = &w->limits};
    VmmVirtioEnv env;

    w->memory = vmm_virtq_memory_new (MEMORY);
    w->loop = vmm_loop_new ("race", NULL);
    vmm_limits_init (&w->limits, ops_per_s, 0, vmm_now_ns ());
    w->disk = fake_block_new (w->loop, DISK_SECTORS * SECTOR, false);
    env = (VmmVirtioEnv){.memory = w->memory, .loop = w->loop, .name = "disk0", .warn = on_warn, .user = w};
    w->device = vmm_virtio_blk_new (&env, &w->disk->block, &config);
    for (unsigned i = 0; i < QUEUES; i++) {
        Queue *queue = &w->queues[i];

        vmm_virtq_heap_init (&queue->heap, w->memory, (i + 1) * HEAP, HEAP);
        queue->driver = vmm_virtq_driver_new (&queue->heap, RING, mode);
        for (unsigned j = 0; j < REQUESTS; j++)
            queue->requests[j] = (Request){vmm_virtq_heap_alloc (&queue->heap, sizeof (Header)),
                                           vmm_virtq_heap_alloc (&queue->heap, SECTORS_EACH * SECTOR),
                                           vmm_virtq_heap_alloc (&queue->heap, 1), -1};
        pthread_mutex_init (&queue->lock, NULL);
    }
    pthread_rwlock_init (&w->running, NULL);
    bring_up (w);
}

static void
tear_down (World *w)
{
    vmm_virtio_device_free (w->device);
    if (w->disk->wrong != NULL)
        wrong (w, w->disk->wrong);
    fake_block_free (w->disk);
    for (unsigned i = 0; i < QUEUES; i++) {
        vmm_virtq_driver_free (w->queues[i].driver);
        pthread_mutex_destroy (&w->queues[i].lock);
    }
    pthread_rwlock_destroy (&w->running);
    vmm_loop_free (w->loop);
    vmm_guest_memory_free (w->memory);
}

/* The machine: its vCPUs rest while it pauses the disk and saves it, but not while it lets it grow. */
static void
pause_and_save (World *w)
{
    for (unsigned i = 0; i < N_ROUNDS && w->n_wrong == 0; i++) {
        g_autoptr (GBytes) state = NULL;

        pthread_rwlock_wrlock (&w->running);
        state = vmm_virtio_state_save (w->device);
        vmm_virtio_device_resume (w->device);
        pthread_rwlock_unlock (&w->running);
        if (i % 16 == 0 && !vmm_virtio_blk_resize (w->device, (DISK_SECTORS + i) * SECTOR, NULL))
            wrong (w, "the disk did not grow");
        g_usleep (1000);
    }
}

static unsigned
run (unsigned mode, uint64_t ops_per_s)
{
    World w = {0};
    Vcpu vcpus[QUEUES] = {{&w, 0}, {&w, 1}};
    pthread_t threads[5];

    set_up (&w, mode, ops_per_s);
    pthread_create (&threads[0], NULL, drive, &vcpus[0]);
    pthread_create (&threads[1], NULL, drive, &vcpus[1]);
    pthread_create (&threads[2], NULL, touch, &w);
    pthread_create (&threads[3], NULL, reset, &w);
    pthread_create (&threads[4], NULL, host, &w);
    pause_and_save (&w);
    w.done = true;
    for (unsigned i = 0; i < G_N_ELEMENTS (threads); i++)
        pthread_join (threads[i], NULL);
    tear_down (&w);
    printf ("mode %u, %u per second: %u answers\n", mode, (unsigned)ops_per_s, w.n_answered);
    if (w.n_answered == 0)
        wrong (&w, "nothing was answered");
    return w.n_wrong;
}

int
main (void)
{
    unsigned n_wrong = 0;

    n_wrong += run (VMM_VIRTQ_EVENT_IDX, 0);
    n_wrong += run (VMM_VIRTQ_PACKED | VMM_VIRTQ_INDIRECT, 0);
    /* Most of the time a request of each queue is held. */
    n_wrong += run (VMM_VIRTQ_EVENT_IDX, 500);
    n_wrong += run (VMM_VIRTQ_PACKED, 500);
    return n_wrong == 0 ? 0 : 1;
}
