/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The memory balloon (virtio 1.2 section 5.5). The guest names pages that it will not use, and the host's
 * memory behind them is given back at once; a page that the guest takes back comes anew, as zeros, when it is
 * touched. So deflating is nothing but an answer. Which pages a guest names is its own risk: what is not RAM
 * is passed over, and nothing but its own memory can be lost.
 *
 * Of huge pages only whole ones go back. What the guest reports as free is usually as large; what it inflates
 * is counted until a huge page is in the balloon as a whole (balloon-huge.c), if the driver tells before it
 * takes something back. Where nothing can come of it the user is told, once for each driver.
 *
 * Statistics go round: the driver gives a buffer of them, the device keeps it and gives it back when it wants
 * newer ones. It does so for some seconds after somebody asked, and never unasked.
 *
 * Drivers do not agree on the number of the reporting queue: the specification counts those of features that
 * were not negotiated, Linux does not. Each queue after the first two that is not the statistics' takes
 * reports, therefore; of other kinds there are none here.
 */
#include "devices/virtio/balloon-internal.h"

#include <string.h>

#include "vmm/core/bytes.h"

#define QUEUE_SIZE 128u
#define N_QUEUES 5u
#define F_MUST_TELL_HOST (UINT64_C (1) << 0)
#define F_STATS_VQ (UINT64_C (1) << 1)
#define F_DEFLATE_ON_OOM (UINT64_C (1) << 2)
#define F_REPORTING (UINT64_C (1) << 5)
/* Section 5.5.4; what follows belongs to features that are not offered. */
#define CONFIG_ACTUAL 4u
#define CONFIG_SIZE 8u
#define CHAINS_PER_WAKE 16u
#define STAT_SIZE 10u
#define STATS_PER_CHAIN 64u
#define POLL_NS INT64_C (1000000000)
#define POLLS 10u

enum { INFLATE, DEFLATE, STATS };

static uint64_t
balloon_features (void *model)
{
    const VmmBalloon *balloon = model;

    return F_STATS_VQ | (vmm_balloon_has_huge_pages (balloon) ? F_MUST_TELL_HOST : 0) |
           (balloon->config.deflate_on_oom ? F_DEFLATE_ON_OOM : 0) |
           (balloon->config.reporting ? F_REPORTING : 0);
}

static void
balloon_config_read (void *model, unsigned offset, void *buf, unsigned len)
{
    VmmBalloon *balloon = model;
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
    VmmBalloon *balloon = model;
    uint8_t bytes[CONFIG_SIZE] = {0};

    g_mutex_lock (&balloon->lock);
    vmm_put_u32 (bytes + CONFIG_ACTUAL, balloon->actual);
    memcpy (bytes + offset, buf, len);
    balloon->actual = vmm_get_u32 (bytes + CONFIG_ACTUAL);
    g_mutex_unlock (&balloon->lock);
}

static void
give_back_stats (VmmBalloon *balloon)
{
    VmmVirtqueue *queue = vmm_virtio_device_queue (balloon->device, STATS);

    if (!balloon->has_stats_chain)
        return;
    balloon->has_stats_chain = false;
    vmm_virtqueue_push (queue, &balloon->stats_chain);
    vmm_virtqueue_publish (queue);
}

static void
read_stats (VmmBalloon *balloon)
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
take_stats (VmmBalloon *balloon)
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
    VmmBalloon *balloon = user;
    uint32_t again = balloon->again;

    balloon->again = 0;
    for (unsigned i = 0; i < N_QUEUES && !balloon->quiet; i++) {
        if ((again >> i & 1) != 0)
            balloon_notify (balloon, i);
    }
}

static void
serve_later (VmmBalloon *balloon, unsigned index)
{
    bool posted = balloon->again != 0;

    balloon->again |= 1u << index;
    if (!posted)
        vmm_loop_post (vmm_virtio_device_loop (balloon->device), on_again, balloon);
}

static void
balloon_notify (void *model, unsigned index)
{
    VmmBalloon *balloon = model;
    VmmVirtqueue *queue = vmm_virtio_device_queue (balloon->device, index);
    uint64_t features = vmm_virtio_device_features (balloon->device);
    unsigned n = 0;

    if (index == STATS && (features & F_STATS_VQ) != 0) {
        take_stats (balloon);
        return;
    }
    while (n < CHAINS_PER_WAKE && vmm_virtqueue_pop (queue, &balloon->chain)) {
        if (index == INFLATE)
            vmm_balloon_inflate (balloon);
        else if (index == DEFLATE)
            vmm_balloon_deflate (balloon);
        else if (index != DEFLATE && (features & F_REPORTING) != 0)
            vmm_balloon_report (balloon);
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
    VmmBalloon *balloon = user;

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
    VmmBalloon *balloon = user;
    bool polling = balloon->polls > 0;

    g_mutex_lock (&balloon->lock);
    balloon->asked = false;
    g_mutex_unlock (&balloon->lock);
    balloon->polls = POLLS;
    if (!polling)
        poll_stats (balloon);
}

static void
go_on (VmmBalloon *balloon)
{
    balloon->quiet = false;
    poll_stats (balloon);
}

static void
balloon_activate (void *model)
{
    VmmBalloon *balloon = model;

    balloon->told = false;
    if (vmm_balloon_has_huge_pages (balloon) &&
        (vmm_virtio_device_features (balloon->device) & F_MUST_TELL_HOST) != 0)
        balloon->huge = vmm_balloon_huge_new (balloon->memory);
    go_on (balloon);
}

static void
balloon_quiesce (void *model)
{
    VmmBalloon *balloon = model;

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
    VmmBalloon *balloon = model;

    if (index == STATS)
        balloon->has_stats_chain = false;
}

static void
balloon_reset (void *model)
{
    VmmBalloon *balloon = model;

    balloon->quiet = true;
    balloon->polls = 0;
    balloon->has_stats_chain = false;
    g_clear_pointer (&balloon->huge, vmm_balloon_huge_free);
    g_mutex_lock (&balloon->lock);
    balloon->actual = 0;
    balloon->has = 0;
    g_mutex_unlock (&balloon->lock);
}

static void
balloon_save (void *model, VmmStateWriter *writer)
{
    VmmBalloon *balloon = model;

    g_mutex_lock (&balloon->lock);
    vmm_state_put_u32 (writer, balloon->target);
    vmm_state_put_u32 (writer, balloon->actual);
    g_mutex_unlock (&balloon->lock);
}

static bool
balloon_load (void *model, VmmStateReader *reader, uint32_t version)
{
    VmmBalloon *balloon = model;
    uint32_t target = 0;
    uint32_t actual = 0;

    if (!vmm_state_get_u32 (reader, &target) || !vmm_state_get_u32 (reader, &actual) ||
        target > vmm_guest_memory_size (balloon->memory) >> VMM_BALLOON_PAGE_SHIFT)
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
    VmmBalloon *balloon = user;

    if (balloon->timer != NULL)
        vmm_loop_timer_free (balloon->timer);
    balloon->timer = NULL;
    balloon->quiet = true;
}

static void
balloon_free (void *model)
{
    VmmBalloon *balloon = model;

    /* What was posted has run after this. */
    if (balloon->device != NULL)
        vmm_loop_call (vmm_virtio_device_loop (balloon->device), end_timer, balloon);
    vmm_balloon_huge_free (balloon->huge);
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
pages_of (const VmmBalloon *balloon, uint64_t bytes)
{
    return (uint32_t)(MIN (bytes, vmm_guest_memory_size (balloon->memory)) >> VMM_BALLOON_PAGE_SHIFT);
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
    VmmBalloon *balloon = g_new0 (VmmBalloon, 1);

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
    VmmBalloon *balloon = vmm_virtio_device_model (device);

    g_mutex_lock (&balloon->lock);
    balloon->target = pages_of (balloon, bytes);
    g_mutex_unlock (&balloon->lock);
    vmm_virtio_device_config_changed (device);
}

/**
 * vmm_virtio_balloon_target:
 *
 * Returns: how large it is to be, in bytes. Any thread
 */
uint64_t
vmm_virtio_balloon_target (VmmVirtioDevice *device)
{
    VmmBalloon *balloon = vmm_virtio_device_model (device);
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&balloon->lock);

    return (uint64_t)balloon->target << VMM_BALLOON_PAGE_SHIFT;
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
    VmmBalloon *balloon = vmm_virtio_device_model (device);
    bool asked;

    g_mutex_lock (&balloon->lock);
    ret_info->target = (uint64_t)balloon->target << VMM_BALLOON_PAGE_SHIFT;
    ret_info->actual = (uint64_t)balloon->actual << VMM_BALLOON_PAGE_SHIFT;
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
