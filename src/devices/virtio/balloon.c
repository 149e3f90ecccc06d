/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The memory balloon (virtio 1.2 section 5.5). The guest names pages that it will not use, and the host's
 * memory behind them is given back at once; a page that the guest takes back comes anew, as zeros, when it is
 * touched. So deflating is nothing but an answer. Which pages a guest names is its own risk: what is not RAM
 * is passed over, and nothing but its own memory can be lost.
 *
 * Statistics go round: the driver gives a buffer of them, the device keeps it and gives it back when it wants
 * newer ones. It does so for some seconds after somebody asked, and never unasked.
 *
 * Drivers do not agree on the number of the reporting queue: the specification counts those of features that
 * were not negotiated, Linux does not. Each queue after the first two that is not the statistics' takes
 * reports, therefore; of other kinds there are none here.
 */
#include "devices/virtio/balloon.h"

#include <stdlib.h>
#include <string.h>

#include "vmm/core/bytes.h"

#define QUEUE_SIZE 128u
#define N_QUEUES 5u
#define F_STATS_VQ (UINT64_C (1) << 1)
#define F_DEFLATE_ON_OOM (UINT64_C (1) << 2)
#define F_REPORTING (UINT64_C (1) << 5)
/* Section 5.5.4; what follows belongs to features that are not offered. */
#define CONFIG_ACTUAL 4u
#define CONFIG_SIZE 8u
/* A page is 4 KiB, whatever the guest's pages are (section 5.5.6). */
#define PAGE_SHIFT 12u
#define BATCH 256u
/* The pages of one chain, and the chains of one wake-up; what a chain has beyond is not given back. */
#define PAGES_PER_CHAIN 4096u
#define CHAINS_PER_WAKE 16u
#define STAT_SIZE 10u
#define STATS_PER_CHAIN 64u
#define POLL_NS INT64_C (1000000000)
#define POLLS 10u

enum { INFLATE, DEFLATE, STATS };

typedef struct {
    VmmVirtioDevice *device;
    VmmGuestMemory *memory;
    VmmVirtioBalloonConfig config;
    /* The loop's thread. */
    VmmChain chain;
    VmmChain stats_chain;
    bool has_stats_chain;
    VmmLoopTimer *timer;
    unsigned polls;  /* that are still to be done */
    uint32_t again;  /* queues to be looked at again; posted */
    bool quiet;      /* paused, or without a driver */
    GMutex lock;     /* of what follows */
    uint32_t target; /* pages */
    uint32_t actual; /* pages */
    bool asked;      /* posted, not yet run */
    uint32_t has;
    uint64_t stats[VMM_BALLOON_STATS];
} Balloon;

static uint64_t
balloon_features (void *model)
{
    const Balloon *balloon = model;

    return F_STATS_VQ | (balloon->config.deflate_on_oom ? F_DEFLATE_ON_OOM : 0) |
           (balloon->config.reporting ? F_REPORTING : 0);
}

static void
balloon_config_read (void *model, unsigned offset, void *buf, unsigned len)
{
    Balloon *balloon = model;
    uint8_t bytes[CONFIG_SIZE];

    g_mutex_lock (&balloon->lock);
    vmm_put_u32 (bytes, balloon->target);
    vmm_put_u32 (bytes + CONFIG_ACTUAL, balloon->actual);
    g_mutex_unlock (&balloon->lock);
    memcpy (buf, bytes + offset, len);
}

static void
balloon_config_write (void *model, unsigned offset, const void *buf, unsigned len)
{
    Balloon *balloon = model;
    uint8_t bytes[CONFIG_SIZE] = {0};

    g_mutex_lock (&balloon->lock);
    vmm_put_u32 (bytes + CONFIG_ACTUAL, balloon->actual);
    memcpy (bytes + offset, buf, len);
    balloon->actual = vmm_get_u32 (bytes + CONFIG_ACTUAL);
    g_mutex_unlock (&balloon->lock);
}

static int
compare_pages (const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Neighbours are given back together: one call of the kernel, and huge pages go whole. */
static void
discard_pages (Balloon *balloon, uint32_t *pages, unsigned n)
{
    unsigned i = 0;

    qsort (pages, n, sizeof *pages, compare_pages);
    while (i < n) {
        unsigned first = i++;

        while (i < n && pages[i] - pages[i - 1] <= 1)
            i++;
        vmm_guest_memory_discard (balloon->memory, (uint64_t)pages[first] << PAGE_SHIFT,
                                  ((uint64_t)pages[i - 1] - pages[first] + 1) << PAGE_SHIFT);
    }
}

static void
inflate (Balloon *balloon, VmmChain *chain)
{
    uint32_t pages[BATCH];
    unsigned done = 0;

    while (done < PAGES_PER_CHAIN) {
        unsigned n = (unsigned)(vmm_chain_read (chain, pages, sizeof pages) / sizeof pages[0]);

        if (n == 0)
            break;
        for (unsigned i = 0; i < n; i++)
            pages[i] = GUINT32_FROM_LE (pages[i]);
        discard_pages (balloon, pages, n);
        done += n;
    }
}

/* A chain of free pages (section 5.5.6.7), each buffer a run of them. */
static void
report (Balloon *balloon, const VmmChain *chain)
{
    uint64_t left = vmm_guest_memory_size (balloon->memory);

    for (unsigned i = 0; i < chain->n_writable; i++) {
        const struct iovec *run = &chain->iov[chain->n_readable + i];

        /* More than all there is cannot be free. */
        if (run->iov_len > left)
            break;
        left -= run->iov_len;
        vmm_guest_memory_discard_mapped (balloon->memory, run);
    }
}

static void
give_back_stats (Balloon *balloon)
{
    VmmVirtqueue *queue = vmm_virtio_device_queue (balloon->device, STATS);

    if (!balloon->has_stats_chain)
        return;
    balloon->has_stats_chain = false;
    vmm_virtqueue_push (queue, &balloon->stats_chain);
    vmm_virtqueue_publish (queue);
}

static void
read_stats (Balloon *balloon)
{
    uint8_t stat[STAT_SIZE];

    g_mutex_lock (&balloon->lock);
    balloon->has = 0;
    for (unsigned i = 0; i < STATS_PER_CHAIN; i++) {
        uint16_t tag;

        if (vmm_chain_read (&balloon->stats_chain, stat, sizeof stat) < sizeof stat)
            break;
        tag = vmm_get_u16 (stat);
        if (tag >= VMM_BALLOON_STATS)
            continue;
        balloon->has |= 1u << tag;
        balloon->stats[tag] = vmm_get_u64 (stat + 2);
    }
    g_mutex_unlock (&balloon->lock);
}

static void
take_stats (Balloon *balloon)
{
    VmmVirtqueue *queue = vmm_virtio_device_queue (balloon->device, STATS);

    /* A driver has one buffer. Should it give more, the first one stays. */
    if (balloon->has_stats_chain || !vmm_virtqueue_pop (queue, &balloon->stats_chain))
        return;
    balloon->has_stats_chain = true;
    read_stats (balloon);
}

static void balloon_notify (void *model, unsigned index);

static void
on_again (void *user)
{
    Balloon *balloon = user;
    uint32_t again = balloon->again;

    balloon->again = 0;
    for (unsigned i = 0; i < N_QUEUES && !balloon->quiet; i++) {
        if ((again >> i & 1) != 0)
            balloon_notify (balloon, i);
    }
}

static void
serve_later (Balloon *balloon, unsigned index)
{
    bool posted = balloon->again != 0;

    balloon->again |= 1u << index;
    if (!posted)
        vmm_loop_post (vmm_virtio_device_loop (balloon->device), on_again, balloon);
}

static void
balloon_notify (void *model, unsigned index)
{
    Balloon *balloon = model;
    VmmVirtqueue *queue = vmm_virtio_device_queue (balloon->device, index);
    uint64_t features = vmm_virtio_device_features (balloon->device);
    unsigned n = 0;

    if (index == STATS && (features & F_STATS_VQ) != 0) {
        take_stats (balloon);
        return;
    }
    while (n < CHAINS_PER_WAKE && vmm_virtqueue_pop (queue, &balloon->chain)) {
        if (index == INFLATE)
            inflate (balloon, &balloon->chain);
        else if (index != DEFLATE && (features & F_REPORTING) != 0)
            report (balloon, &balloon->chain);
        vmm_virtqueue_push (queue, &balloon->chain);
        n++;
    }
    vmm_virtqueue_publish (queue);
    if (n == CHAINS_PER_WAKE)
        serve_later (balloon, index);
}

static void
poll_stats (void *user)
{
    Balloon *balloon = user;

    if (balloon->quiet || balloon->polls == 0)
        return;
    balloon->polls--;
    give_back_stats (balloon);
    if (balloon->timer == NULL)
        balloon->timer = vmm_loop_timer_new (vmm_virtio_device_loop (balloon->device), poll_stats, balloon);
    if (balloon->timer != NULL)
        vmm_loop_timer_arm (balloon->timer, POLL_NS);
}

static void
on_asked (void *user)
{
    Balloon *balloon = user;
    bool polling = balloon->polls > 0;

    g_mutex_lock (&balloon->lock);
    balloon->asked = false;
    g_mutex_unlock (&balloon->lock);
    balloon->polls = POLLS;
    if (!polling)
        poll_stats (balloon);
}

static void
go_on (Balloon *balloon)
{
    balloon->quiet = false;
    poll_stats (balloon);
}

static void
balloon_activate (void *model)
{
    go_on (model);
}

static void
balloon_quiesce (void *model)
{
    Balloon *balloon = model;

    balloon->quiet = true;
    if (balloon->timer != NULL)
        vmm_loop_timer_disarm (balloon->timer);
    if (balloon->has_stats_chain)
        vmm_virtqueue_unpop (vmm_virtio_device_queue (balloon->device, STATS), &balloon->stats_chain);
    balloon->has_stats_chain = false;
}

static void
balloon_resume (void *model)
{
    go_on (model);
}

static void
balloon_queue_reset (void *model, unsigned index)
{
    Balloon *balloon = model;

    if (index == STATS)
        balloon->has_stats_chain = false;
}

static void
balloon_reset (void *model)
{
    Balloon *balloon = model;

    balloon->quiet = true;
    balloon->polls = 0;
    balloon->has_stats_chain = false;
    g_mutex_lock (&balloon->lock);
    balloon->actual = 0;
    balloon->has = 0;
    g_mutex_unlock (&balloon->lock);
}

static void
balloon_save (void *model, VmmStateWriter *writer)
{
    Balloon *balloon = model;

    g_mutex_lock (&balloon->lock);
    vmm_state_put_u32 (writer, balloon->target);
    vmm_state_put_u32 (writer, balloon->actual);
    g_mutex_unlock (&balloon->lock);
}

static bool
balloon_load (void *model, VmmStateReader *reader, uint32_t version)
{
    Balloon *balloon = model;
    uint32_t target = 0;
    uint32_t actual = 0;

    if (!vmm_state_get_u32 (reader, &target) || !vmm_state_get_u32 (reader, &actual) ||
        target > vmm_guest_memory_size (balloon->memory) >> PAGE_SHIFT)
        return false;
    g_mutex_lock (&balloon->lock);
    balloon->target = target;
    balloon->actual = actual;
    g_mutex_unlock (&balloon->lock);
    return true;
}

static void
end_timer (void *user)
{
    Balloon *balloon = user;

    if (balloon->timer != NULL)
        vmm_loop_timer_free (balloon->timer);
    balloon->timer = NULL;
    balloon->quiet = true;
}

static void
balloon_free (void *model)
{
    Balloon *balloon = model;

    /* What was posted has run after this. */
    if (balloon->device != NULL)
        vmm_loop_call (vmm_virtio_device_loop (balloon->device), end_timer, balloon);
    vmm_chain_clear (&balloon->chain);
    vmm_chain_clear (&balloon->stats_chain);
    g_mutex_clear (&balloon->lock);
    g_free (balloon);
}

static const VmmVirtioModel balloon_model = {
    .name = "balloon",
    .id = VMM_VIRTIO_ID_BALLOON,
    .features = balloon_features,
    .config_size = CONFIG_SIZE,
    .config_read = balloon_config_read,
    .config_write = balloon_config_write,
    .activate = balloon_activate,
    .notify = balloon_notify,
    .queue_reset = balloon_queue_reset,
    .quiesce = balloon_quiesce,
    .resume = balloon_resume,
    .reset = balloon_reset,
    .save = balloon_save,
    .load = balloon_load,
    .free = balloon_free,
};

static uint32_t
pages_of (const Balloon *balloon, uint64_t bytes)
{
    return (uint32_t)(MIN (bytes, vmm_guest_memory_size (balloon->memory)) >> PAGE_SHIFT);
}

/**
 * vmm_virtio_balloon_new:
 * @env: what it is made with
 * @config: what it is to do
 *
 * Returns: (transfer full) (nullable): the device; NULL when the host has no descriptors left
 */
VmmVirtioDevice *
vmm_virtio_balloon_new (const VmmVirtioEnv *env, const VmmVirtioBalloonConfig *config)
{
    Balloon *balloon = g_new0 (Balloon, 1);

    balloon->memory = env->memory;
    balloon->config = *config;
    balloon->quiet = true;
    balloon->target = pages_of (balloon, config->target);
    g_mutex_init (&balloon->lock);
    vmm_chain_init (&balloon->chain, VMM_CHAIN_IOV_MAX);
    vmm_chain_init (&balloon->stats_chain, VMM_CHAIN_IOV_MAX);
    balloon->device = vmm_virtio_device_new (env, &balloon_model, balloon, N_QUEUES, QUEUE_SIZE);
    return balloon->device;
}

/**
 * vmm_virtio_balloon_set_target:
 * @device: a balloon
 * @bytes: how large it is to be: whole pages of it, and at most all memory
 *
 * Asks the guest, and does not wait for it. Any thread.
 */
void
vmm_virtio_balloon_set_target (VmmVirtioDevice *device, uint64_t bytes)
{
    Balloon *balloon = vmm_virtio_device_model (device);

    g_mutex_lock (&balloon->lock);
    balloon->target = pages_of (balloon, bytes);
    g_mutex_unlock (&balloon->lock);
    vmm_virtio_device_config_changed (device);
}

/**
 * vmm_virtio_balloon_get:
 * @device: a balloon
 * @ret_info: (out caller-allocates): how it is
 *
 * Tells what is known, and asks the guest for newer statistics, for the next time. Any thread.
 */
void
vmm_virtio_balloon_get (VmmVirtioDevice *device, VmmVirtioBalloonInfo *ret_info)
{
    Balloon *balloon = vmm_virtio_device_model (device);
    bool asked;

    g_mutex_lock (&balloon->lock);
    ret_info->target = (uint64_t)balloon->target << PAGE_SHIFT;
    ret_info->actual = (uint64_t)balloon->actual << PAGE_SHIFT;
    ret_info->has = balloon->has;
    memcpy (ret_info->stats, balloon->stats, sizeof ret_info->stats);
    asked = balloon->asked;
    balloon->asked = true;
    g_mutex_unlock (&balloon->lock);
    if (!asked)
        vmm_loop_post (vmm_virtio_device_loop (device), on_asked, balloon);
}

/**
 * vmm_virtio_balloon_stat_name:
 * @stat: below %VMM_BALLOON_STATS
 *
 * Returns: what users call that statistic
 */
const char *
vmm_virtio_balloon_stat_name (unsigned stat)
{
    static const char *const names[VMM_BALLOON_STATS] = {
        "swap_in",      "swap_out",         "major_faults", "minor_faults",        "free_memory",
        "total_memory", "available_memory", "disk_caches",  "hugetlb_allocations", "hugetlb_failures",
    };

    return names[stat];
}
