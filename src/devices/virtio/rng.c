/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The virtio entropy device (virtio 1.2 section 5.4): one queue of buffers, filled with the host's random
 * numbers. A request gets at most 64 KiB of them, which it may (a device "MUST place one or more random
 * bytes"), and one wake-up serves a bounded number: the loop belongs to other devices, too.
 */
#include "devices/virtio/rng.h"

#include <string.h>
#include <sys/random.h>

#define QUEUE_SIZE 64u
#define BYTES_PER_REQUEST (64u << 10)
#define BYTES_PER_WAKE (256u << 10)
#define REQUESTS_PER_WAKE QUEUE_SIZE

typedef struct {
    VmmVirtioDevice *device;
    VmmChain chain;
    bool again; /* posted, not yet run */
    bool quiet; /* paused, or without a driver */
} Rng;

static uint64_t
rng_features (void *model)
{
    return 0;
}

static void
rng_config_read (void *model, unsigned offset, void *buf, unsigned len)
{
}

static size_t
fill (VmmChain *chain)
{
    uint8_t bytes[4096];
    size_t done = 0;

    while (done < BYTES_PER_REQUEST && chain->writable_left > 0) {
        ssize_t n = getrandom (bytes, (size_t)MIN (sizeof bytes, chain->writable_left), 0);

        if (n <= 0)
            break;
        done += vmm_chain_write (chain, bytes, (size_t)n);
    }
    explicit_bzero (bytes, sizeof bytes);
    return done;
}

static void rng_notify (void *model, unsigned index);

static void
on_again (void *user)
{
    Rng *rng = user;

    rng->again = false;
    if (!rng->quiet)
        rng_notify (rng, 0);
}

static void
rng_notify (void *model, unsigned index)
{
    Rng *rng = model;
    VmmVirtqueue *queue = vmm_virtio_device_queue (rng->device, index);
    size_t done = 0;
    unsigned n = 0;

    while (done < BYTES_PER_WAKE && n < REQUESTS_PER_WAKE && vmm_virtqueue_pop (queue, &rng->chain)) {
        if (rng->chain.writable_left == 0) {
            vmm_virtqueue_fail (queue, "a request without a buffer to fill");
            break;
        }
        done += fill (&rng->chain);
        n++;
        vmm_virtqueue_push (queue, &rng->chain);
    }
    vmm_virtqueue_publish (queue);
    if ((done < BYTES_PER_WAKE && n < REQUESTS_PER_WAKE) || rng->again)
        return;
    rng->again = true;
    vmm_loop_post (vmm_virtio_device_loop (rng->device), on_again, rng);
}

static void
rng_activate (void *model)
{
    ((Rng *)model)->quiet = false;
}

static void
rng_quiesce (void *model)
{
    ((Rng *)model)->quiet = true;
}

static void
rng_resume (void *model)
{
    ((Rng *)model)->quiet = false;
}

static void
rng_reset (void *model)
{
    ((Rng *)model)->quiet = true;
}

static void
rng_save (void *model, VmmStateWriter *writer)
{
}

static bool
rng_load (void *model, VmmStateReader *reader, uint32_t version)
{
    return true;
}

static void
wait_for_posts (void *user)
{
}

static void
rng_free (void *model)
{
    Rng *rng = model;

    /* What it has posted to itself has run after this. */
    if (rng->device != NULL)
        vmm_loop_call (vmm_virtio_device_loop (rng->device), wait_for_posts, NULL);
    vmm_chain_clear (&rng->chain);
    g_free (rng);
}

static const VmmVirtioModel rng_model = {
    .name = "rng",
    .id = VMM_VIRTIO_ID_RNG,
    .features = rng_features,
    .config_read = rng_config_read,
    .activate = rng_activate,
    .notify = rng_notify,
    .quiesce = rng_quiesce,
    .resume = rng_resume,
    .reset = rng_reset,
    .save = rng_save,
    .load = rng_load,
    .free = rng_free,
};

/**
 * vmm_virtio_rng_new:
 * @env: what it is made with
 *
 * Returns: (transfer full) (nullable): the device; NULL when the host has no descriptors left
 */
VmmVirtioDevice *
vmm_virtio_rng_new (const VmmVirtioEnv *env)
{
    Rng *rng = g_new0 (Rng, 1);

    rng->quiet = true;
    vmm_chain_init (&rng->chain, VMM_CHAIN_IOV_MAX);
    rng->device = vmm_virtio_device_new (env, &rng_model, rng, 1, QUEUE_SIZE);
    return rng->device;
}
