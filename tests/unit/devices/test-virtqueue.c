/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "devices/virtio/device.h"
#include "virtq-rig.h"

#define MEMORY (4u << 20)
#define MAX_OUT 16u

/* A request of the echo device: the driver's side remembers what must come back. */
typedef struct {
    bool in_flight;
    VmmVirtqSegment out[2];
    VmmVirtqSegment in[2];
    uint8_t answer[48];
    uint32_t len;
} Request;

typedef struct {
    VirtqRig rig;
    Request requests[MAX_OUT];
    VmmChain chains[MAX_OUT];
    unsigned n_chains;
    uint32_t random;
    unsigned size;
} Echo;

static unsigned
pick (Echo *echo, unsigned n)
{
    echo->random = echo->random * 1103515245u + 12345u;
    return (echo->random >> 16) % n;
}

/* Fills some requests; returns whether the device is to be notified. */
static bool
echo_send (Echo *echo, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        VmmVirtqSegment out[2];
        VmmVirtqSegment in[2];
        unsigned n_out = 1 + pick (echo, 2);
        unsigned n_in = 1 + pick (echo, 2);
        Request *r;
        uint8_t *sent;
        int id;

        /* The memory of a request goes with its id, which is known only afterwards: so by a free request. */
        for (r = echo->requests; r < echo->requests + MAX_OUT && r->in_flight; r++)
            ;
        if (r == echo->requests + MAX_OUT)
            break;
        memcpy (out, r->out, sizeof out);
        memcpy (in, r->in, sizeof in);
        out[0].len = pick (echo, 20);
        out[1].len = 1 + pick (echo, 20);
        id = vmm_virtq_driver_add (echo->rig.driver, out, n_out, in, n_in);
        if (id < 0)
            break;
        r->len = 0;
        for (unsigned k = 0; k < n_out; k++) {
            sent = vmm_virtq_heap_bytes (&echo->rig.heap, out[k]);
            for (unsigned b = 0; b < out[k].len; b++) {
                sent[b] = (uint8_t)pick (echo, 256);
                if (r->len < n_in * 24)
                    r->answer[r->len++] = (uint8_t)~sent[b];
            }
        }
        /* The id travels in the memory: the driver finds the request by the chain's id. */
        r->in_flight = true;
        r->out[0].len = (uint32_t)id;
    }
    return vmm_virtq_driver_publish (echo->rig.driver);
}

static void
echo_pop (Echo *echo, unsigned n)
{
    while (n-- > 0 && echo->n_chains < echo->size) {
        VmmChain *chain = &echo->chains[echo->n_chains];

        if (!vmm_virtqueue_pop (echo->rig.queue, chain))
            return;
        echo->n_chains++;
    }
}

/* Answers some of the chains, in any order. */
static unsigned
echo_answer (Echo *echo, unsigned n)
{
    unsigned done = 0;

    for (; done < n && echo->n_chains > 0; done++) {
        unsigned i = pick (echo, echo->n_chains);
        VmmChain chain = echo->chains[i];
        uint8_t buf[48];
        size_t len = vmm_chain_read (&chain, buf, sizeof buf);

        for (size_t b = 0; b < len; b++)
            buf[b] = (uint8_t)~buf[b];
        vmm_chain_write (&chain, buf, len);
        vmm_virtqueue_push (echo->rig.queue, &chain);
        echo->chains[i] = echo->chains[--echo->n_chains];
        echo->chains[echo->n_chains] = chain;
    }
    return done;
}

static unsigned
echo_collect (Echo *echo)
{
    unsigned n = 0;
    uint32_t len;
    int id;

    while (vmm_virtq_driver_poll_used (echo->rig.driver, &id, &len)) {
        Request *r = echo->requests;
        uint32_t first;

        while (!r->in_flight || r->out[0].len != (uint32_t)id)
            r++;
        first = MIN (len, r->in[0].len);
        cr_assert_eq (len, r->len, "%u bytes came back, not %u", len, r->len);
        cr_assert (memcmp (vmm_virtq_heap_bytes (&echo->rig.heap, r->in[0]), r->answer, first) == 0);
        cr_assert (
            memcmp (vmm_virtq_heap_bytes (&echo->rig.heap, r->in[1]), r->answer + first, len - first) == 0);
        r->in_flight = false;
        n++;
    }
    return n;
}

static void
echo_init (Echo *echo, uint16_t size, unsigned mode)
{
    *echo = (Echo){.random = mode + size, .size = size};
    virtq_rig_init (&echo->rig, MEMORY, size, mode);
    for (unsigned i = 0; i < MAX_OUT; i++) {
        vmm_chain_init (&echo->chains[i], 8);
        for (unsigned k = 0; k < 2; k++) {
            echo->requests[i].out[k] = vmm_virtq_heap_alloc (&echo->rig.heap, 24);
            echo->requests[i].in[k] = vmm_virtq_heap_alloc (&echo->rig.heap, 24);
        }
    }
}

static void
echo_clear (Echo *echo)
{
    for (unsigned i = 0; i < MAX_OUT; i++)
        vmm_chain_clear (&echo->chains[i]);
    virtq_rig_clear (&echo->rig);
}

/* Batches of all sizes, answered in any order. */
static void
echo_run (uint16_t size, unsigned mode, unsigned n_chains)
{
    Echo echo;
    unsigned n = 0;

    echo_init (&echo, size, mode);
    while (n < n_chains) {
        unsigned before = echo.rig.n_interrupts;
        bool waits = vmm_virtq_driver_enable_interrupts (echo.rig.driver, 0);
        unsigned done;

        echo_send (&echo, pick (&echo, 5));
        echo_pop (&echo, pick (&echo, 5));
        done = echo_answer (&echo, pick (&echo, 5));
        cr_assert (!waits || vmm_virtq_driver_enable_interrupts (echo.rig.driver, 0),
                   "visible before publish");
        vmm_virtqueue_publish (echo.rig.queue);
        if (waits)
            cr_assert_eq (echo.rig.n_interrupts - before, done > 0, "mode %u: %u interrupts for %u chains",
                          mode, echo.rig.n_interrupts - before, done);
        cr_assert_eq (echo.rig.n_broken, 0, "%s", echo.rig.why);
        if (pick (&echo, 3) > 0)
            n += echo_collect (&echo);
    }
    echo_clear (&echo);
}

Test (virtqueue, traffic)
{
    for (unsigned i = 0; i < G_N_ELEMENTS (virtq_modes); i++)
        echo_run (16, virtq_modes[i], 2000);
    echo_run (4, VMM_VIRTQ_INDIRECT, 1000);
    echo_run (4, VMM_VIRTQ_PACKED | VMM_VIRTQ_INDIRECT | VMM_VIRTQ_EVENT_IDX, 1000);
    echo_run (7, VMM_VIRTQ_PACKED | VMM_VIRTQ_EVENT_IDX, 1000);
    /* More than the indexes of a split ring count. */
    echo_run (16, VMM_VIRTQ_EVENT_IDX, 66000);
}

Test (virtqueue, a_pop_that_finds_nothing_asks_for_a_notification)
{
    for (unsigned i = 0; i < G_N_ELEMENTS (virtq_modes); i++) {
        for (unsigned size = 1; size <= 4; size *= 2) {
            bool event_idx = (virtq_modes[i] & VMM_VIRTQ_EVENT_IDX) != 0;
            VmmVirtqSegment out;
            VirtqRig rig;

            virtq_rig_init (&rig, MEMORY, (uint16_t)size, virtq_modes[i]);
            out = vmm_virtq_heap_alloc (&rig.heap, 4);
            cr_assert_eq (virtq_rig_serve (&rig, 1), 0);
            for (unsigned n = 0; n < 100; n++) {
                cr_assert (virtq_rig_send (&rig, out, 1), "mode %u: no notification", virtq_modes[i]);
                if (size > 1)
                    cr_assert_eq (virtq_rig_send (&rig, out, 1), !event_idx, "the device knows already");
                cr_assert_eq (virtq_rig_serve (&rig, 9), MIN (size, 2u));
                vmm_virtqueue_publish (rig.queue);
                virtq_rig_collect (&rig);
            }
            virtq_rig_clear (&rig);
        }
    }
}

/* The whole ring is out when the pop finds nothing: what comes after it must be told nevertheless. */
Test (virtqueue, a_full_ring_asks_for_a_notification)
{
    for (unsigned i = 0; i < G_N_ELEMENTS (virtq_modes); i++) {
        VmmVirtqSegment out;
        VirtqRig rig;

        virtq_rig_init (&rig, MEMORY, 2, virtq_modes[i]);
        out = vmm_virtq_heap_alloc (&rig.heap, 4);
        for (unsigned n = 0; n < 5; n++) {
            virtq_rig_send (&rig, out, 2);
            cr_assert_eq (virtq_rig_serve (&rig, 9), 2);
            vmm_virtqueue_publish (rig.queue);
            cr_assert_eq (virtq_rig_collect (&rig), 2);
            cr_assert (virtq_rig_send (&rig, out, 1), "mode %u", virtq_modes[i]);
            cr_assert_eq (virtq_rig_serve (&rig, 9), 1);
            vmm_virtqueue_publish (rig.queue);
            cr_assert_eq (virtq_rig_collect (&rig), 1);
        }
        virtq_rig_clear (&rig);
    }
}

Test (virtqueue, a_busy_device_is_not_notified)
{
    for (unsigned i = 0; i < G_N_ELEMENTS (virtq_modes); i++) {
        VmmVirtqSegment out;
        VirtqRig rig;

        virtq_rig_init (&rig, MEMORY, 8, virtq_modes[i]);
        out = vmm_virtq_heap_alloc (&rig.heap, 4);
        for (unsigned n = 0; n < 40; n++) {
            cr_assert (vmm_virtqueue_arm (rig.queue));
            cr_assert (virtq_rig_send (&rig, out, 1), "mode %u: armed", virtq_modes[i]);
            vmm_virtqueue_set_kicks (rig.queue, false);
            cr_assert_eq (virtq_rig_serve (&rig, 9), 1);
            cr_assert (!virtq_rig_send (&rig, out, 1), "mode %u: busy", virtq_modes[i]);
            cr_assert (!vmm_virtqueue_is_empty (rig.queue));
            cr_assert (!vmm_virtqueue_arm (rig.queue), "mode %u: something came", virtq_modes[i]);
            cr_assert_eq (virtq_rig_serve (&rig, 9), 1);
            cr_assert (vmm_virtqueue_is_empty (rig.queue));
            cr_assert (!virtq_rig_send (&rig, out, 1), "mode %u: off again", virtq_modes[i]);
            cr_assert_eq (virtq_rig_serve (&rig, 9), 1);
            vmm_virtqueue_publish (rig.queue);
            virtq_rig_collect (&rig);
        }
        virtq_rig_clear (&rig);
    }
}

Test (virtqueue, interrupts_come_when_the_driver_wants_them)
{
    for (unsigned i = 0; i < G_N_ELEMENTS (virtq_modes); i++) {
        bool event_idx = (virtq_modes[i] & VMM_VIRTQ_EVENT_IDX) != 0;
        VmmVirtqSegment out;
        VirtqRig rig;

        virtq_rig_init (&rig, MEMORY, 8, virtq_modes[i]);
        out = vmm_virtq_heap_alloc (&rig.heap, 4);
        for (unsigned n = 0; n < 50; n++) {
            rig.n_interrupts = 0;
            vmm_virtq_driver_disable_interrupts (rig.driver);
            virtq_rig_send (&rig, out, 8);
            virtq_rig_serve (&rig, 1);
            vmm_virtqueue_publish (rig.queue);
            cr_assert_eq (rig.n_interrupts, 0, "mode %u: disabled", virtq_modes[i]);
            cr_assert_eq (virtq_rig_collect (&rig), 1);
            vmm_virtq_driver_enable_interrupts (rig.driver, 3);
            virtq_rig_serve (&rig, 3);
            vmm_virtqueue_publish (rig.queue);
            cr_assert_eq (rig.n_interrupts, !event_idx, "mode %u: three more", virtq_modes[i]);
            virtq_rig_serve (&rig, 3);
            vmm_virtqueue_publish (rig.queue);
            cr_assert_eq (rig.n_interrupts, event_idx ? 1 : 2, "mode %u: one for a batch", virtq_modes[i]);
            virtq_rig_serve (&rig, 1);
            vmm_virtqueue_publish (rig.queue);
            cr_assert_eq (rig.n_interrupts, event_idx ? 1 : 3, "mode %u: once", virtq_modes[i]);
            vmm_virtqueue_publish (rig.queue);
            cr_assert_eq (virtq_rig_collect (&rig), 7);
        }
        virtq_rig_clear (&rig);
    }
}

Test (virtqueue, unpopped_chains_come_again_in_order)
{
    for (unsigned i = 0; i < G_N_ELEMENTS (virtq_modes); i++) {
        VmmVirtqSegment out[3];
        VmmChain chains[3];
        VirtqRig rig;

        virtq_rig_init (&rig, MEMORY, 8, virtq_modes[i]);
        for (unsigned k = 0; k < 3; k++) {
            out[k] = vmm_virtq_heap_put (&rig.heap, &k, sizeof k);
            vmm_chain_init (&chains[k], 8);
        }
        for (unsigned n = 0; n < 50; n++) {
            unsigned value;

            for (unsigned k = 0; k < 3; k++)
                vmm_virtq_driver_add (rig.driver, &out[k], 1, out, k == 1);
            vmm_virtq_driver_publish (rig.driver);
            for (unsigned k = 0; k < 3; k++)
                cr_assert (vmm_virtqueue_pop (rig.queue, &chains[k]));
            vmm_chain_read (&chains[1], &value, sizeof value);
            for (unsigned k = 3; k-- > n % 3;)
                vmm_virtqueue_unpop (rig.queue, &chains[k]);
            for (unsigned k = n % 3; k < 3; k++) {
                cr_assert (vmm_virtqueue_pop (rig.queue, &chains[k]));
                cr_assert_eq (vmm_chain_read (&chains[k], &value, sizeof value), sizeof value);
                cr_assert_eq (value, k);
            }
            for (unsigned k = 0; k < 3; k++)
                vmm_virtqueue_push (rig.queue, &chains[k]);
            vmm_virtqueue_publish (rig.queue);
            cr_assert_eq (virtq_rig_collect (&rig), 3);
        }
        for (unsigned k = 0; k < 3; k++)
            vmm_chain_clear (&chains[k]);
        virtq_rig_clear (&rig);
    }
}

Test (virtqueue, a_chain_from_before_a_reset_is_not_pushed)
{
    for (unsigned i = 0; i < G_N_ELEMENTS (virtq_modes); i++) {
        VmmVirtqSegment out;
        VirtqRig rig;

        virtq_rig_init (&rig, MEMORY, 8, virtq_modes[i]);
        out = vmm_virtq_heap_alloc (&rig.heap, 4);
        virtq_rig_send (&rig, out, 2);
        cr_assert (vmm_virtqueue_pop (rig.queue, &rig.chain));
        vmm_virtqueue_disable (rig.queue);
        cr_assert (!vmm_virtqueue_is_enabled (rig.queue));
        cr_assert_eq (vmm_virtqueue_size (rig.queue), 0);
        for (unsigned again = 0; again < 2; again++) {
            vmm_virtqueue_push (rig.queue, &rig.chain);
            vmm_virtqueue_unpop (rig.queue, &rig.chain);
            vmm_virtqueue_publish (rig.queue);
            cr_assert_eq (virtq_rig_collect (&rig), 0);
            cr_assert_eq (rig.n_interrupts, 0);
            vmm_virtq_driver_reset (rig.driver);
            cr_assert (virtq_rig_enable (&rig));
        }
        virtq_rig_send (&rig, out, 1);
        cr_assert_eq (virtq_rig_serve (&rig, 9), 1);
        virtq_rig_clear (&rig);
    }
}

Test (virtqueue, enable_takes_only_rings_that_can_be)
{
    static const struct {
        bool good;
        bool packed;
        VmmVirtqueueLayout layout;
    } cases[] = {
        {true, false, {8, 0x1000, 0x2000, 0x3000}},
        {true, true, {7, 0x1000, 0x2000, 0x3000}},
        {true, false, {32768, 0x1000, 0x100000, 0x200000}},
        {false, false, {0, 0x1000, 0x2000, 0x3000}},
        {false, true, {0, 0x1000, 0x2000, 0x3000}},
        {false, false, {7, 0x1000, 0x2000, 0x3000}},
        {false, true, {32769, 0x1000, 0x100000, 0x200000}},
        {false, false, {8, 0x1008, 0x2000, 0x3000}},
        {false, false, {8, 0x1000, 0x2001, 0x3000}},
        {false, false, {8, 0x1000, 0x2000, 0x3002}},
        {true, false, {8, 0x1010, 0x2002, 0x3004}},
        {false, true, {8, 0x1008, 0x2000, 0x3000}},
        {false, true, {8, 0x1000, 0x2002, 0x3000}},
        {false, true, {8, 0x1000, 0x2000, 0x3002}},
        /* Up to the end of RAM, and one step further. */
        {true, false, {8, MEMORY - 128, 0x2000, 0x3000}},
        {false, false, {8, MEMORY - 112, 0x2000, 0x3000}},
        {true, false, {8, 0x1000, MEMORY - 22, 0x3000}},
        {false, false, {8, 0x1000, MEMORY - 20, 0x3000}},
        {true, false, {1, 0x1000, 0x2000, MEMORY - 16}},
        {false, false, {1, 0x1000, 0x2000, MEMORY - 12}},
        {true, true, {8, 0x1000, MEMORY - 4, 0x3000}},
        {false, true, {8, 0x1000, MEMORY, 0x3000}},
        {true, true, {8, 0x1000, 0x2000, MEMORY - 4}},
        {false, true, {8, 0x1000, 0x2000, MEMORY}},
        {false, false, {8, UINT64_MAX - 15, 0x2000, 0x3000}},
        {false, false, {8, 0x1000, UINT64_MAX - 1, 0x3000}},
        {false, true, {8, 0x1000, 0x2000, UINT64_MAX - 3}},
    };
    g_autoptr (VmmGuestMemory) memory = vmm_virtq_memory_new (MEMORY);
    VmmVirtqueueEvents events = {0};
    g_autoptr (VmmVirtqueue) queue = vmm_virtqueue_new (memory, 0, &events);

    for (unsigned i = 0; i < G_N_ELEMENTS (cases); i++) {
        cr_assert_eq (
            vmm_virtqueue_enable (queue, &cases[i].layout, cases[i].packed ? VMM_VIRTIO_F_RING_PACKED : 0),
            cases[i].good, "case %u", i);
        cr_assert_eq (vmm_virtqueue_is_enabled (queue), cases[i].good, "case %u", i);
    }
}

Test (virtqueue, buffers_may_cross_regions_and_rings_may_not)
{
    VmmMemRange ranges[] = {{0, 0x10000}, {0x10000, 0x10000}, {0x30000, 0x10000}};
    VmmMemBacking backing = {.kind = VMM_MEM_BACKING_ANON};
    g_autoptr (VmmGuestMemory) memory = vmm_guest_memory_new (ranges, 3, &backing, NULL);
    VmmVirtqueueLayout across = {8, 0x10000 - 64, 0x2000, 0x3000};
    VmmVirtqueueEvents events = {0};
    g_autoptr (VmmVirtqueue) queue = vmm_virtqueue_new (memory, 0, &events);
    VmmVirtqSegment out[] = {{0x10000 - 3, 6}, {0x30000, 2}, {0x100, 2}};
    g_autoptr (VmmVirtqDriver) driver = NULL;
    VmmVirtqueueLayout layout;
    VmmVirtqHeap heap;
    VmmChain chain;
    char text[16] = "";

    cr_assert (!vmm_virtqueue_enable (queue, &across, 0));
    vmm_virtq_heap_init (&heap, memory, 0x4000, 0x1000);
    driver = vmm_virtq_driver_new (&heap, 8, 0);
    layout = vmm_virtq_driver_layout (driver);
    cr_assert (vmm_virtqueue_enable (queue, &layout, 0));
    vmm_guest_memory_write (memory, 0x10000 - 3, "across", 6);
    vmm_guest_memory_write (memory, 0x30000, "ho", 2);
    vmm_guest_memory_write (memory, 0x100, "le", 2);
    vmm_chain_init (&chain, 4);
    vmm_virtq_driver_add (driver, out, 3, NULL, 0);
    vmm_virtq_driver_publish (driver);
    cr_assert (vmm_virtqueue_pop (queue, &chain));
    cr_assert_eq (chain.n_readable, 4);
    cr_assert_eq (vmm_chain_read (&chain, text, sizeof text), 10);
    cr_assert_str_eq (text, "acrosshole");
    vmm_chain_clear (&chain);
}

Test (virtqueue, empty_buffers_are_skipped)
{
    for (unsigned i = 0; i < G_N_ELEMENTS (virtq_modes); i++) {
        VmmVirtqSegment out[3];
        VmmVirtqSegment in[2];
        VirtqRig rig;

        virtq_rig_init (&rig, MEMORY, 8, virtq_modes[i]);
        out[0] = out[2] = (VmmVirtqSegment){UINT64_MAX, 0};
        out[1] = vmm_virtq_heap_put (&rig.heap, "a", 1);
        in[0] = out[0];
        in[1] = vmm_virtq_heap_alloc (&rig.heap, 1);
        vmm_virtq_driver_add (rig.driver, out, 3, in, 2);
        vmm_virtq_driver_add (rig.driver, out, 1, in, 1);
        vmm_virtq_driver_publish (rig.driver);
        cr_assert (vmm_virtqueue_pop (rig.queue, &rig.chain));
        cr_assert_eq (rig.chain.n_readable, 1);
        cr_assert_eq (rig.chain.n_writable, 1);
        cr_assert_eq (rig.chain.readable_left, 1);
        cr_assert_eq (rig.chain.writable_left, 1);
        vmm_virtqueue_push (rig.queue, &rig.chain);
        cr_assert (vmm_virtqueue_pop (rig.queue, &rig.chain));
        cr_assert_eq (rig.chain.n_readable + rig.chain.n_writable, 0);
        vmm_virtqueue_push (rig.queue, &rig.chain);
        vmm_virtqueue_publish (rig.queue);
        cr_assert_eq (virtq_rig_collect (&rig), 2);
        virtq_rig_clear (&rig);
    }
}

Test (virtqueue, counts_what_went_through_it)
{
    for (unsigned i = 0; i < G_N_ELEMENTS (virtq_modes); i++) {
        VmmVirtqueueCounters counters = {.requests = 1000};
        VmmVirtqSegment out, in;
        VirtqRig rig;
        char text[4];

        virtq_rig_init (&rig, MEMORY, 8, virtq_modes[i]);
        out = vmm_virtq_heap_put (&rig.heap, "question", 8);
        in = vmm_virtq_heap_alloc (&rig.heap, 100);
        for (unsigned k = 0; k < 3; k++)
            vmm_virtq_driver_add (rig.driver, &out, 1, &in, 1);
        vmm_virtq_driver_publish (rig.driver);
        /* The first one is not read at all, the second is given back as it came and comes again. */
        cr_assert (vmm_virtqueue_pop (rig.queue, &rig.chain));
        vmm_virtqueue_push (rig.queue, &rig.chain);
        cr_assert (vmm_virtqueue_pop (rig.queue, &rig.chain));
        vmm_chain_read (&rig.chain, text, sizeof text);
        vmm_virtqueue_unpop (rig.queue, &rig.chain);
        for (unsigned k = 0; k < 2; k++) {
            cr_assert (vmm_virtqueue_pop (rig.queue, &rig.chain));
            vmm_chain_read (&rig.chain, text, sizeof text);
            vmm_chain_write (&rig.chain, "answer", 6);
            vmm_virtqueue_push (rig.queue, &rig.chain);
        }
        vmm_virtqueue_publish (rig.queue);
        vmm_virtqueue_publish (rig.queue);
        vmm_virtqueue_add_counters (rig.queue, &counters);
        cr_assert_eq (counters.requests, 1003);
        cr_assert_eq (counters.bytes_from_guest, 8);
        cr_assert_eq (counters.bytes_to_guest, 12);
        cr_assert_eq (counters.interrupts, rig.n_interrupts);
        cr_assert_eq (counters.interrupts, 1);
        /* What was popped before a reset is not given back. */
        vmm_virtq_driver_add (rig.driver, &out, 1, NULL, 0);
        vmm_virtq_driver_publish (rig.driver);
        cr_assert (vmm_virtqueue_pop (rig.queue, &rig.chain));
        vmm_virtqueue_disable (rig.queue);
        vmm_virtqueue_push (rig.queue, &rig.chain);
        vmm_virtqueue_add_counters (rig.queue, &counters);
        cr_assert_eq (counters.requests, 1006);
        virtq_rig_clear (&rig);
    }
}
