/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>

#include "devices/virtio/balloon.h"
#include "virtio-driver.h"
#include "vmm/core/guest-memory-internal.h"

#define MIB (UINT64_C (1) << 20)
#define MEMORY (32 * MIB)
#define POOL (8 * MIB)
#define PAGE 4096u
#define F_MUST_TELL_HOST (UINT64_C (1) << 0)
#define F_STATS_VQ (UINT64_C (1) << 1)
#define F_REPORTING (UINT64_C (1) << 5)

enum { INFLATE, DEFLATE, STATS, REPORTING, N };

typedef struct {
    VmmGuestMemory *memory;
    VmmLoop *loop;
    VmmVirtioDevice *device;
    VmmVirtqHeap heap;
    VmmVirtqDriver *queues[N];
    unsigned *n_warnings;
} Rig;

static void
on_warning (void *user, const char *text)
{
    g_atomic_int_inc ((unsigned *)user);
}

/* Memory whose pages are @page bytes for the host, or for the balloon so: a test cannot count on huge ones.
 */
static Rig
set_up_with (uint64_t target, uint64_t page, uint64_t features)
{
    const VmmVirtioBalloonConfig config = {target, true, true};
    Rig rig = {.memory = vmm_virtq_memory_new (MEMORY), .loop = vmm_loop_new ("balloon", NULL)};
    VmmVirtioEnv env = {.memory = rig.memory, .loop = rig.loop, .name = "balloon0", .warn = on_warning};

    rig.memory->granule = page;
    rig.n_warnings = g_new0 (unsigned, 1);
    env.user = rig.n_warnings;
    rig.device = vmm_virtio_balloon_new (&env, &config);
    vmm_virtq_heap_init (&rig.heap, rig.memory, 0x1000, 4 * MIB);
    for (unsigned i = 0; i < N; i++)
        rig.queues[i] = vmm_virtq_driver_new (&rig.heap, 64, 0);
    cr_assert (vmm_virtio_driver_negotiate (rig.device, vmm_virtq_driver_features (rig.queues[0]) |
                                                            F_STATS_VQ | F_REPORTING | features));
    for (unsigned i = 0; i < N; i++)
        vmm_virtio_driver_set_queue (rig.device, i, rig.queues[i]);
    cr_assert (vmm_virtio_driver_start (rig.device));
    memset (vmm_guest_memory_ptr (rig.memory, POOL, POOL), 0xaa, POOL);
    return rig;
}

static Rig
set_up (uint64_t target)
{
    return set_up_with (target, PAGE, 0);
}

static void
tear_down (Rig *rig)
{
    vmm_virtio_device_set_status (rig->device, 0);
    vmm_virtio_device_free (rig->device);
    for (unsigned i = 0; i < N; i++)
        vmm_virtq_driver_free (rig->queues[i]);
    vmm_loop_free (rig->loop);
    vmm_guest_memory_free (rig->memory);
    g_free (rig->n_warnings);
}

static bool
wait_used (Rig *rig, unsigned queue)
{
    gint64 end = g_get_monotonic_time () + 10 * G_USEC_PER_SEC;

    while (g_get_monotonic_time () < end) {
        if (vmm_virtq_driver_poll_used (rig->queues[queue], NULL, NULL))
            return true;
        g_usleep (100);
    }
    return false;
}

static void
kick (Rig *rig, unsigned queue)
{
    vmm_virtq_driver_publish (rig->queues[queue]);
    vmm_virtio_device_notify (rig->device, queue);
}

static bool
send_pages (Rig *rig, unsigned queue, const uint32_t *pages, unsigned n)
{
    VmmVirtqSegment out = vmm_virtq_heap_put (&rig->heap, pages, n * 4);

    cr_assert (vmm_virtq_driver_add (rig->queues[queue], &out, 1, NULL, 0) >= 0);
    kick (rig, queue);
    return wait_used (rig, queue);
}

/* Pages of the pool that the host has given. */
static unsigned
resident (Rig *rig)
{
    unsigned char seen[POOL / PAGE];
    unsigned n = 0;

    cr_assert_eq (mincore (vmm_guest_memory_ptr (rig->memory, POOL, POOL), POOL, seen), 0);
    for (size_t i = 0; i < sizeof seen; i++)
        n += seen[i] & 1;
    return n;
}

Test (balloon, inflating_gives_memory_back)
{
    Rig rig = set_up (0);
    uint32_t pages[1024];

    cr_assert_eq (resident (&rig), POOL / PAGE);
    for (uint32_t i = 0; i < 1024; i++)
        pages[i] = (uint32_t)(POOL / PAGE) + 1023 - i;
    cr_assert (send_pages (&rig, INFLATE, pages, 1024));
    cr_assert_eq (resident (&rig), POOL / PAGE - 1024);
    cr_assert_eq (*vmm_guest_memory_ptr (rig.memory, POOL + 1024 * PAGE, 1), 0xaa);
    cr_assert (send_pages (&rig, DEFLATE, pages, 1024));
    cr_assert_eq (*vmm_guest_memory_ptr (rig.memory, POOL, 1), 0, "a page that came back is empty");
    tear_down (&rig);
}

Test (balloon, pages_that_are_none)
{
    Rig rig = set_up (0);
    const uint32_t pages[] = {UINT32_MAX, (uint32_t)(MEMORY / PAGE), 0x80000000, (uint32_t)(POOL / PAGE) + 3,
                              (uint32_t)(POOL / PAGE) + 3};

    cr_assert (send_pages (&rig, INFLATE, pages, G_N_ELEMENTS (pages)));
    cr_assert_eq (resident (&rig), POOL / PAGE - 1, "the good page among the bad ones");
    tear_down (&rig);
}

Test (balloon, free_page_reporting)
{
    Rig rig = set_up (0);
    VmmVirtqSegment in[2] = {{POOL, 2 * MIB}, {POOL + 4 * MIB, 64 * PAGE}};

    cr_assert (vmm_virtq_driver_add (rig.queues[REPORTING], NULL, 0, in, 2) >= 0);
    kick (&rig, REPORTING);
    cr_assert (wait_used (&rig, REPORTING));
    cr_assert_eq (resident (&rig), POOL / PAGE - 512 - 64);
    tear_down (&rig);
}

Test (balloon, target_and_actual)
{
    Rig rig = set_up (3 * MIB + 5);
    VmmVirtioBalloonInfo info;

    cr_assert_eq (vmm_virtio_device_config_read (rig.device, 0, 4), 3 * MIB / PAGE);
    vmm_virtio_balloon_set_target (rig.device, UINT64_MAX);
    cr_assert_eq (vmm_virtio_device_config_read (rig.device, 0, 4), MEMORY / PAGE, "at most what there is");
    vmm_virtio_device_config_write (rig.device, 4, 4, 7);
    vmm_virtio_device_config_write (rig.device, 0, 4, 9);
    vmm_virtio_balloon_get (rig.device, &info);
    cr_assert_eq (info.target, MEMORY);
    cr_assert_eq (info.actual, 7 * PAGE);
    cr_assert_eq (info.has, 0);
    tear_down (&rig);
}

static VmmVirtioBalloonInfo
wait_stat (Rig *rig, uint64_t free_memory)
{
    gint64 end = g_get_monotonic_time () + 10 * G_USEC_PER_SEC;
    VmmVirtioBalloonInfo info;

    do {
        g_usleep (100);
        vmm_virtio_balloon_get (rig->device, &info);
    } while (((info.has & 1u << 4) == 0 || info.stats[4] != free_memory) && g_get_monotonic_time () < end);
    return info;
}

Test (balloon, statistics)
{
    Rig rig = set_up (0);
    /* Tag 4, free memory; a tag that nobody knows; half a statistic. */
    uint8_t stats[25] = {4, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1};
    VmmVirtqSegment out = vmm_virtq_heap_put (&rig.heap, stats, sizeof stats);
    VmmVirtioBalloonInfo info;

    cr_assert (vmm_virtq_driver_add (rig.queues[STATS], &out, 1, NULL, 0) >= 0);
    kick (&rig, STATS);
    info = wait_stat (&rig, 0x1000);
    cr_assert_eq (info.has, 1u << 4);
    cr_assert_eq (info.stats[4], 0x1000);
    cr_assert (wait_used (&rig, STATS), "who asks gets newer ones");
    ((uint8_t *)vmm_virtq_heap_bytes (&rig.heap, out))[3] = 0x20;
    cr_assert (vmm_virtq_driver_add (rig.queues[STATS], &out, 1, NULL, 0) >= 0);
    kick (&rig, STATS);
    cr_assert_eq (wait_stat (&rig, 0x2000).stats[4], 0x2000);
    tear_down (&rig);
}

/* What the device keeps is the driver's again after a pause, and is not lost. */
Test (balloon, saved_and_loaded)
{
    Rig rig = set_up (5 * MIB);
    uint8_t stats[10] = {4, 0, 0, 0x10};
    VmmVirtqSegment out = vmm_virtq_heap_put (&rig.heap, stats, sizeof stats);
    g_autoptr (VmmStateWriter) writer = vmm_state_writer_new ();
    g_autoptr (GBytes) bytes = NULL;
    g_autoptr (VmmStateReader) reader = NULL;
    const VmmVirtioBalloonConfig config = {0, true, true};
    VmmVirtioEnv env = {.memory = rig.memory, .loop = rig.loop, .name = "balloon0"};
    VmmVirtioBalloonInfo info;
    uint32_t version = 0;

    vmm_virtio_device_config_write (rig.device, 4, 4, 77);
    cr_assert (vmm_virtq_driver_add (rig.queues[STATS], &out, 1, NULL, 0) >= 0);
    kick (&rig, STATS);
    vmm_virtio_device_pause (rig.device);
    vmm_state_writer_begin (writer, "balloon0", 1);
    vmm_virtio_device_save (rig.device, writer);
    vmm_state_writer_end (writer);
    bytes = vmm_state_writer_finish (writer);
    vmm_virtio_device_free (rig.device);
    rig.device = vmm_virtio_balloon_new (&env, &config);
    reader = vmm_state_reader_new (bytes);
    cr_assert (vmm_state_reader_enter (reader, "balloon0", 1, &version, NULL));
    cr_assert (vmm_virtio_device_load (rig.device, reader, version));
    vmm_virtio_device_resume (rig.device);
    info = wait_stat (&rig, 0x1000);
    cr_assert_eq (info.stats[4], 0x1000);
    cr_assert_eq (info.target, 5 * MIB);
    cr_assert_eq (info.actual, 77 * PAGE);
    tear_down (&rig);
}

#define HUGE_PAGE (2 * MIB)
#define PARTS ((unsigned)(HUGE_PAGE / PAGE))

/* Sends @n pages from @first on, @step apart, by chains as long as Linux's. */
static void
send_range (Rig *rig, unsigned queue, uint32_t first, unsigned n, unsigned step)
{
    uint32_t pages[256];

    for (unsigned done = 0; done < n;) {
        unsigned some = 0;

        for (; some < 256 && done < n; some++, done++)
            pages[some] = first + done * step;
        cr_assert (send_pages (rig, queue, pages, some));
    }
}

Test (balloon_huge, a_huge_page_goes_when_all_of_it_is_there, .timeout = 60)
{
    Rig rig = set_up_with (0, HUGE_PAGE, F_MUST_TELL_HOST);
    uint32_t pool = (uint32_t)(POOL / PAGE);

    /* Every second part of two huge pages, then the rest. */
    send_range (&rig, INFLATE, pool, PARTS, 2);
    cr_assert_eq (resident (&rig), POOL / PAGE);
    send_range (&rig, INFLATE, pool + 1, PARTS / 2 - 1, 2);
    cr_assert_eq (resident (&rig), POOL / PAGE, "one part is missing");
    send_range (&rig, INFLATE, pool + PARTS - 1, 1, 1);
    cr_assert_eq (resident (&rig), POOL / PAGE - PARTS);
    cr_assert_eq (*vmm_guest_memory_ptr (rig.memory, POOL + HUGE_PAGE, 1), 0xaa);
    /* All of it again is nothing new. */
    send_range (&rig, INFLATE, pool, PARTS, 1);
    cr_assert_eq (resident (&rig), POOL / PAGE - PARTS);
    cr_assert_eq (*rig.n_warnings, 0);
    tear_down (&rig);
}

/* What the guest has taken back must not go with the rest of its huge page. */
Test (balloon_huge, what_was_taken_back_stays, .timeout = 60)
{
    Rig rig = set_up_with (0, HUGE_PAGE, F_MUST_TELL_HOST);
    uint32_t pool = (uint32_t)(POOL / PAGE);

    send_range (&rig, INFLATE, pool, PARTS - 1, 1);
    send_range (&rig, DEFLATE, pool + 7, 1, 1);
    send_range (&rig, INFLATE, pool + PARTS - 1, 1, 1);
    cr_assert_eq (resident (&rig), POOL / PAGE);
    cr_assert_eq (*vmm_guest_memory_ptr (rig.memory, POOL + 7 * PAGE, 1), 0xaa);
    /* Nor is anything of the driver before remembered. */
    vmm_virtio_device_set_status (rig.device, 0);
    for (unsigned i = 0; i < N; i++)
        vmm_virtq_driver_reset (rig.queues[i]);
    cr_assert (vmm_virtio_driver_negotiate (rig.device, VMM_VIRTIO_F_VERSION_1 | F_MUST_TELL_HOST));
    vmm_virtio_driver_set_queue (rig.device, INFLATE, rig.queues[INFLATE]);
    cr_assert (vmm_virtio_driver_start (rig.device));
    send_range (&rig, INFLATE, pool + 7, 1, 1);
    cr_assert_eq (resident (&rig), POOL / PAGE);
    tear_down (&rig);
}

Test (balloon_huge, a_driver_that_does_not_tell_keeps_its_memory_and_the_user_hears_it, .timeout = 60)
{
    Rig rig = set_up_with (0, HUGE_PAGE, 0);

    send_range (&rig, INFLATE, (uint32_t)(POOL / PAGE), PARTS, 1);
    cr_assert_eq (resident (&rig), POOL / PAGE);
    cr_assert_eq (g_atomic_int_get (rig.n_warnings), 1, "once");
    tear_down (&rig);
}

Test (balloon_huge, reports_are_rounded_inwards, .timeout = 60)
{
    Rig rig = set_up_with (0, HUGE_PAGE, F_MUST_TELL_HOST);
    VmmVirtqSegment in[2] = {{POOL, HUGE_PAGE}, {POOL + 2 * MIB + PAGE, 4 * MIB}};

    cr_assert (vmm_virtq_driver_add (rig.queues[REPORTING], NULL, 0, in, 2) >= 0);
    kick (&rig, REPORTING);
    cr_assert (wait_used (&rig, REPORTING));
    cr_assert_eq (resident (&rig), POOL / PAGE - 2 * PARTS);
    cr_assert_eq (*vmm_guest_memory_ptr (rig.memory, POOL + 2 * MIB + PAGE, 1), 0xaa);
    cr_assert_eq (*vmm_guest_memory_ptr (rig.memory, POOL + 6 * MIB, 1), 0xaa);
    tear_down (&rig);
}

Test (balloon_huge, pages_that_are_none, .timeout = 60)
{
    Rig rig = set_up_with (0, HUGE_PAGE, F_MUST_TELL_HOST);
    const uint32_t pages[] = {UINT32_MAX, (uint32_t)(MEMORY / PAGE), (uint32_t)(MEMORY / PAGE) + 1,
                              0x80000000};

    cr_assert (send_pages (&rig, INFLATE, pages, G_N_ELEMENTS (pages)));
    cr_assert (send_pages (&rig, DEFLATE, pages, G_N_ELEMENTS (pages)));
    send_range (&rig, INFLATE, (uint32_t)(MEMORY / PAGE) - PARTS, PARTS, 1);
    cr_assert_eq (resident (&rig), POOL / PAGE);
    tear_down (&rig);
}

Test (balloon, small_pages_need_no_telling, .timeout = 60)
{
    Rig rig = set_up (0);

    cr_assert_eq (vmm_virtio_device_offered (rig.device, 0) & F_MUST_TELL_HOST, 0);
    tear_down (&rig);
}
