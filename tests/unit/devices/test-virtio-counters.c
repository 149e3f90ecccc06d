/* SPDX-License-Identifier: Apache-2.0 */
/* What a device tells of its work: nothing is counted twice or forgotten, and nobody who asks disturbs it. */
#include <criterion/criterion.h>

#include "transport-rig.h"

static VmmVirtioCounters
counters (const Rig *rig)
{
    VmmVirtioCounters counters;

    vmm_virtio_device_get_counters (rig->device, &counters);
    return counters;
}

Test (virtio_counters, a_kick_is_counted_once_however_often_one_asks, .timeout = 60)
{
    Rig *rig = set_up (false);

    cr_assert_eq (counters (rig).kicks, 0);
    bring_up_mmio (rig);
    for (unsigned i = 1; i <= 20; i++) {
        ask (rig, BAR + 0x50, 4);
        cr_assert_eq (counters (rig).kicks, i);
        cr_assert_eq (counters (rig).kicks, i);
        cr_assert_eq (counters (rig).queues.requests, i);
        cr_assert_eq (counters (rig).queues.interrupts, i);
        cr_assert_gt (counters (rig).queues.bytes_to_guest, 0);
        cr_assert_eq (counters (rig).queues.bytes_from_guest, 0);
    }
    /* The driver resets the device: it is the same one. */
    put (rig, BAR + 0x70, 4, 0);
    cr_assert_eq (counters (rig).kicks, 20);
    cr_assert_eq (counters (rig).queues.requests, 20);
    tear_down (rig);
}

typedef struct {
    Rig *rig;
    bool end;
} Asker;

static gpointer
ask_on (gpointer user)
{
    Asker *asker = user;

    while (!__atomic_load_n (&asker->end, __ATOMIC_RELAXED))
        (void)counters (asker->rig);
    return NULL;
}

/* ask() waits for the answer of a single kick: one that got lost would never be answered. */
Test (virtio_counters, no_kick_is_lost_to_one_who_asks_all_the_time, .timeout = 120)
{
    Rig *rig = set_up (false);
    Asker asker = {.rig = rig};
    GThread *threads[2];

    bring_up_mmio (rig);
    for (size_t i = 0; i < G_N_ELEMENTS (threads); i++)
        threads[i] = g_thread_new ("asker", ask_on, &asker);
    for (unsigned i = 0; i < 2000; i++)
        ask (rig, BAR + 0x50, 4);
    __atomic_store_n (&asker.end, true, __ATOMIC_RELAXED);
    for (size_t i = 0; i < G_N_ELEMENTS (threads); i++)
        g_thread_join (threads[i]);
    cr_assert_eq (counters (rig).kicks, 2000);
    cr_assert_eq (counters (rig).queues.requests, 2000);
    tear_down (rig);
}
