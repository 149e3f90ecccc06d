/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "devices/virtio/device.h"
#include "virtq-rig.h"

#define MEMORY (4u << 20)
/* Two buffers of all of it are more than 4 GiB; nothing of it is touched. */
#define MUCH_MEMORY (UINT64_C (3) << 30)

/* What the words about each fault must name: that it was found, and not another. */
static const char *const words[VMM_VIRTQ_BAD_LAST] = {
    [VMM_VIRTQ_BAD_LOOP] = "longer than the queue",
    [VMM_VIRTQ_BAD_HEAD_RANGE] = "beyond the descriptor table",
    [VMM_VIRTQ_BAD_NEXT_RANGE] = "next descriptor beyond the table",
    [VMM_VIRTQ_BAD_INDEX_JUMP] = "more chains",
    [VMM_VIRTQ_BAD_INDIRECT_IN_INDIRECT] = "within an indirect table",
    [VMM_VIRTQ_BAD_INDIRECT_AND_NEXT] = "indirect table",
    [VMM_VIRTQ_BAD_INDIRECT_EMPTY] = "multiple of 16",
    [VMM_VIRTQ_BAD_INDIRECT_ODD] = "multiple of 16",
    [VMM_VIRTQ_BAD_INDIRECT_TOO_LONG] = "longer than the queue",
    [VMM_VIRTQ_BAD_INDIRECT_NOT_RAM] = "table is not in RAM",
    [VMM_VIRTQ_BAD_INDIRECT_LOOP] = "leads back",
    [VMM_VIRTQ_BAD_INDIRECT_NEXT_RANGE] = "next descriptor beyond the table",
    [VMM_VIRTQ_BAD_WRITABLE_FIRST] = "after a writable",
    [VMM_VIRTQ_BAD_NOT_RAM] = "buffer is not in RAM",
    [VMM_VIRTQ_BAD_HALF_RAM] = "buffer is not in RAM",
    [VMM_VIRTQ_BAD_WRAPS] = "buffer is not in RAM",
    [VMM_VIRTQ_BAD_4GIB] = "buffer is not in RAM",
    [VMM_VIRTQ_BAD_TOTAL] = "longer than 4 GiB",
};

/* A chain is out, others were served; then the fault. Whether it can be played. */
static bool
play (VmmVirtqBad bad, unsigned mode, uint64_t memory)
{
    VmmVirtqSegment out;
    VmmChain held;
    VirtqRig rig;
    bool played;

    virtq_rig_init (&rig, memory, 8, mode);
    vmm_chain_init (&held, 8);
    out = vmm_virtq_heap_alloc (&rig.heap, 4);
    for (unsigned i = 0; i < 5; i++) {
        virtq_rig_send (&rig, out, 1);
        virtq_rig_serve (&rig, 1);
        vmm_virtqueue_publish (rig.queue);
        virtq_rig_collect (&rig);
    }
    virtq_rig_send (&rig, out, 1);
    cr_assert (vmm_virtqueue_pop (rig.queue, &held));
    rig.n_interrupts = 0;
    played = vmm_virtq_driver_play_bad (rig.driver, bad);
    if (played) {
        cr_assert (!vmm_virtqueue_pop (rig.queue, &rig.chain), "%s, mode %u", vmm_virtq_bad_name (bad), mode);
        cr_assert_eq (rig.n_broken, 1, "%s, mode %u", vmm_virtq_bad_name (bad), mode);
        cr_assert (strstr (rig.why, words[bad]) != NULL, "%s, mode %u: %s", vmm_virtq_bad_name (bad), mode,
                   rig.why);
        cr_assert (vmm_virtqueue_is_broken (rig.queue));
        cr_assert (!vmm_virtqueue_pop (rig.queue, &rig.chain));
        cr_assert (vmm_virtqueue_arm (rig.queue), "nobody waits for it");
        vmm_virtqueue_push (rig.queue, &held);
        vmm_virtqueue_publish (rig.queue);
        cr_assert_eq (rig.n_broken, 1);
        cr_assert_eq (rig.n_interrupts, 0);
        /* A reset makes all good again. */
        vmm_virtq_driver_reset (rig.driver);
        cr_assert (virtq_rig_enable (&rig));
        cr_assert (!vmm_virtqueue_is_broken (rig.queue));
        virtq_rig_send (&rig, out, 1);
        cr_assert_eq (virtq_rig_serve (&rig, 9), 1);
    }
    vmm_chain_clear (&held);
    virtq_rig_clear (&rig);
    return played;
}

Test (virtqueue_hostile, each_broken_rule_breaks_the_queue)
{
    for (unsigned bad = 0; bad < VMM_VIRTQ_BAD_LAST; bad++) {
        unsigned n = 0;

        for (unsigned i = 0; i < G_N_ELEMENTS (virtq_modes); i++)
            n += play ((VmmVirtqBad)bad, virtq_modes[i], bad == VMM_VIRTQ_BAD_TOTAL ? MUCH_MEMORY : MEMORY);
        cr_assert_gt (n, 0, "%s was never played", vmm_virtq_bad_name ((VmmVirtqBad)bad));
    }
}

Test (virtqueue_hostile, indirect_must_be_negotiated)
{
    for (unsigned mode = 0; mode <= VMM_VIRTQ_PACKED; mode++) {
        VmmVirtqSegment out;
        VirtqRig rig;

        virtq_rig_init (&rig, MEMORY, 8, mode);
        out = vmm_virtq_heap_alloc (&rig.heap, 16);
        vmm_virtq_driver_put_desc (rig.driver, 0, out.gpa, 16, VMM_VIRTQ_DESC_INDIRECT, 0);
        vmm_virtq_driver_put_available (rig.driver, 0);
        vmm_virtq_driver_publish (rig.driver);
        cr_assert (!vmm_virtqueue_pop (rig.queue, &rig.chain));
        cr_assert_eq (rig.n_broken, 1);
        virtq_rig_clear (&rig);
    }
}

Test (virtqueue_hostile, a_chain_has_no_more_buffers_than_the_device_takes)
{
    for (unsigned i = 0; i < G_N_ELEMENTS (virtq_modes); i++) {
        VmmVirtqSegment out[5];
        VmmChain small;
        VirtqRig rig;

        virtq_rig_init (&rig, MEMORY, 16, virtq_modes[i]);
        vmm_chain_init (&small, 4);
        for (unsigned k = 0; k < 5; k++)
            out[k] = vmm_virtq_heap_alloc (&rig.heap, 4);
        vmm_virtq_driver_add (rig.driver, out, 4, NULL, 0);
        vmm_virtq_driver_add (rig.driver, out, 5, NULL, 0);
        vmm_virtq_driver_publish (rig.driver);
        cr_assert (vmm_virtqueue_pop (rig.queue, &small));
        cr_assert (!vmm_virtqueue_pop (rig.queue, &small));
        cr_assert_eq (rig.n_broken, 1);
        cr_assert (strstr (rig.why, "more buffers") != NULL);
        vmm_chain_clear (&small);
        virtq_rig_clear (&rig);
    }
}

/* A driver that offers the same chain again and again has not more in flight than the queue has entries. */
Test (virtqueue_hostile, no_more_is_out_than_the_queue_has)
{
    VmmVirtqSegment out;
    VirtqRig rig;

    virtq_rig_init (&rig, MEMORY, 8, 0);
    out = vmm_virtq_heap_alloc (&rig.heap, 4);
    vmm_virtq_driver_put_desc (rig.driver, 0, out.gpa, 4, 0, 0);
    vmm_virtq_driver_put_index (rig.driver, 8);
    for (unsigned i = 0; i < 8; i++)
        cr_assert (vmm_virtqueue_pop (rig.queue, &rig.chain));
    vmm_virtq_driver_put_index (rig.driver, 9);
    cr_assert (!vmm_virtqueue_pop (rig.queue, &rig.chain));
    cr_assert_eq (rig.n_broken, 1);
    virtq_rig_clear (&rig);

    virtq_rig_init (&rig, MEMORY, 4, VMM_VIRTQ_PACKED);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned slot = 0; slot < 4; slot++) {
            /* AVAIL and USED of either round, whatever is in flight. */
            vmm_virtq_driver_put_desc (rig.driver, slot, out.gpa, 4,
                                       round % 2 == 0 ? 0 : (1u << 15 | 1u << 7), 0);
            cr_assert_eq (vmm_virtqueue_pop (rig.queue, &rig.chain), round == 0);
        }
    }
    virtq_rig_clear (&rig);
}

static GBytes *
save (const VmmVirtqueue *queue)
{
    g_autoptr (VmmStateWriter) writer = vmm_state_writer_new ();

    vmm_state_writer_begin (writer, "queue", 1);
    vmm_virtqueue_save (queue, writer);
    vmm_state_writer_end (writer);
    return vmm_state_writer_finish (writer);
}

static bool
load (VmmVirtqueue *queue, GBytes *bytes)
{
    g_autoptr (VmmStateReader) reader = vmm_state_reader_new (bytes);
    uint32_t version;

    return vmm_state_reader_enter (reader, "queue", 1, &version, NULL) &&
           vmm_virtqueue_load (queue, reader) && vmm_state_reader_leave (reader, NULL);
}

Test (virtqueue_state, goes_on_in_the_middle_of_a_ring)
{
    for (unsigned i = 0; i < G_N_ELEMENTS (virtq_modes); i++) {
        VmmVirtqSegment out;
        VirtqRig rig;

        virtq_rig_init (&rig, MEMORY, 8, virtq_modes[i]);
        out = vmm_virtq_heap_alloc (&rig.heap, 4);
        for (unsigned n = 0; n < 30; n++) {
            VmmVirtqueueEvents events = {virtq_rig_on_interrupt, virtq_rig_on_broken, &rig};
            g_autoptr (GBytes) state = NULL;

            virtq_rig_send (&rig, out, 3);
            vmm_virtqueue_set_kicks (rig.queue, false);
            virtq_rig_serve (&rig, 1);
            vmm_virtqueue_publish (rig.queue);
            state = save (rig.queue);
            vmm_virtqueue_free (rig.queue);
            rig.queue = vmm_virtqueue_new (rig.memory, 0, &events);
            cr_assert (load (rig.queue, state));
            cr_assert_eq (virtq_rig_serve (&rig, 9), 2);
            vmm_virtqueue_publish (rig.queue);
            cr_assert_eq (virtq_rig_collect (&rig), 3);
            cr_assert (virtq_rig_send (&rig, out, 1), "kicks are wanted again");
            cr_assert_eq (virtq_rig_serve (&rig, 9), 1);
            vmm_virtqueue_publish (rig.queue);
            cr_assert_eq (virtq_rig_collect (&rig), 1);
        }
        virtq_rig_clear (&rig);
    }
}

Test (virtqueue_state, hostile_state_is_refused_or_harmless)
{
    for (unsigned mode = 0; mode <= VMM_VIRTQ_PACKED; mode++) {
        g_autoptr (GBytes) state = NULL;
        const uint8_t *good;
        unsigned refused = 0;
        VirtqRig rig;
        gsize len;

        virtq_rig_init (&rig, MEMORY, 8, mode);
        virtq_rig_send (&rig, vmm_virtq_heap_alloc (&rig.heap, 4), 3);
        state = save (rig.queue);
        good = g_bytes_get_data (state, &len);
        for (gsize at = 0; at < len; at++) {
            for (unsigned v = 0; v < 256; v += 15) {
                g_autofree uint8_t *copy = g_memdup2 (good, len);
                g_autoptr (GBytes) bad = NULL;

                copy[at] = (uint8_t)v;
                bad = g_bytes_new (copy, len);
                refused += !load (rig.queue, bad);
                virtq_rig_serve (&rig, 20);
                vmm_virtqueue_publish (rig.queue);
            }
        }
        cr_assert_gt (refused, 100);
        virtq_rig_clear (&rig);
    }
}

/* A state with these positions, for the ring of the rig's driver. */
static GBytes *
craft (const VirtqRig *rig, bool broken, uint16_t avail, uint16_t used, unsigned wraps)
{
    VmmVirtqueueLayout layout = vmm_virtq_driver_layout (rig->driver);
    uint64_t features = vmm_virtq_driver_features (rig->driver);
    g_autoptr (VmmStateWriter) writer = vmm_state_writer_new ();

    vmm_state_writer_begin (writer, "queue", 1);
    vmm_state_put_bool (writer, true);
    vmm_state_put_bool (writer, broken);
    vmm_state_put_bool (writer, (features & VMM_VIRTIO_F_RING_PACKED) != 0);
    vmm_state_put_bool (writer, (features & VMM_VIRTIO_F_EVENT_IDX) != 0);
    vmm_state_put_bool (writer, false);
    vmm_state_put_u16 (writer, layout.size);
    vmm_state_put_u64 (writer, layout.desc);
    vmm_state_put_u64 (writer, layout.driver);
    vmm_state_put_u64 (writer, layout.device);
    vmm_state_put_u16 (writer, avail);
    vmm_state_put_u16 (writer, used);
    vmm_state_put_bool (writer, (wraps & 1) != 0);
    vmm_state_put_bool (writer, (wraps & 2) != 0);
    vmm_state_writer_end (writer);
    return vmm_state_writer_finish (writer);
}

/* Positions of a packed ring with 8 slots: only those with nothing in between can be. */
Test (virtqueue_state, packed_positions_are_checked)
{
    static const uint16_t slots[] = {0, 1, 7, 8, 9, 0x7fff, 0x8000, 0xffff};
    VirtqRig rig;

    virtq_rig_init (&rig, MEMORY, 8, VMM_VIRTQ_PACKED | VMM_VIRTQ_EVENT_IDX);
    for (unsigned a = 0; a < G_N_ELEMENTS (slots); a++) {
        for (unsigned u = 0; u < G_N_ELEMENTS (slots); u++) {
            for (unsigned wraps = 0; wraps < 4; wraps++) {
                g_autoptr (GBytes) state = craft (&rig, false, slots[a], slots[u], wraps);
                bool can_be = slots[a] < 8 && a == u && (wraps == 0 || wraps == 3);

                cr_assert_eq (load (rig.queue, state), can_be, "%u, %u, wraps %u", slots[a], slots[u], wraps);
                cr_assert_eq (vmm_virtqueue_is_enabled (rig.queue), can_be);
            }
        }
    }
    virtq_rig_clear (&rig);
}

/* Of a ring that is broken anything inside may be said: it is not looked at any more. */
Test (virtqueue_state, a_broken_ring_stays_broken)
{
    VirtqRig rig;
    VmmVirtqSegment out;

    virtq_rig_init (&rig, MEMORY, 8, VMM_VIRTQ_PACKED);
    out = vmm_virtq_heap_alloc (&rig.heap, 4);
    virtq_rig_send (&rig, out, 1);
    for (unsigned at = 0; at < 10; at++) {
        g_autoptr (GBytes) state = craft (&rig, true, (uint16_t)at, 3, at & 3);

        cr_assert_eq (load (rig.queue, state), at < 8);
        cr_assert_eq (vmm_virtqueue_is_broken (rig.queue), at < 8);
        cr_assert_eq (virtq_rig_serve (&rig, 1), 0);
    }
    virtq_rig_clear (&rig);
}

/*
 * Positions that can be, and yet are not where the driver is: whatever the device then takes for chains, it
 * writes nothing beside the ring.
 */
Test (virtqueue_state, wrong_positions_stay_inside_the_ring)
{
    static const unsigned modes[] = {0, VMM_VIRTQ_EVENT_IDX, VMM_VIRTQ_PACKED,
                                     VMM_VIRTQ_PACKED | VMM_VIRTQ_EVENT_IDX};

    for (size_t m = 0; m < G_N_ELEMENTS (modes); m++) {
        for (unsigned at = 0; at < 16; at++) {
            unsigned position = (modes[m] & VMM_VIRTQ_PACKED) != 0 ? at % 8 : at * 0x1111u;
            g_autoptr (GBytes) state = NULL;
            g_autofree uint8_t *zeros = g_malloc0 (4096);
            VmmVirtqSegment out, guard;
            VirtqRig rig;

            virtq_rig_init (&rig, MEMORY, 8, modes[m]);
            guard = vmm_virtq_heap_alloc (&rig.heap, 4096);
            out = vmm_virtq_heap_alloc (&rig.heap, 4);
            virtq_rig_send (&rig, out, 3);
            state = craft (&rig, false, (uint16_t)position, (uint16_t)position, at < 8 ? 3 : 0);
            cr_assert (load (rig.queue, state));
            virtq_rig_serve (&rig, 20);
            vmm_virtqueue_publish (rig.queue);
            vmm_virtqueue_arm (rig.queue);
            cr_assert_arr_eq (vmm_virtq_heap_bytes (&rig.heap, guard), zeros, 4096);
            virtq_rig_clear (&rig);
        }
    }
}
