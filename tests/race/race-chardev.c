/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU that sends and takes bytes, another that sends some without asking, the loop of the backend, and a
 * host that reads slowly and writes, at once. Every byte must arrive once and in order in both directions,
 * and nobody may wait for ever. Who sees all that is sent, and counts it, needs no lock for that.
 */
#include <fcntl.h>
#include <glib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "devices/chardev/chardev.h"

#define N_BYTES 100000u
#define ROOM 16u
/* What the other vCPU sends, where there is room. */
#define URGENT 1u
#define TOO_LONG_S 60

typedef struct {
    VmmChardev *chardev;
    int out[2];
    int in[2];
    GMutex lock; /* what follows: a UART in miniature */
    bool held_back;
    size_t n_fifo;
    size_t n_received;
    size_t n_seen;   /* the tap's */
    size_t n_urgent; /* that were taken: the other vCPU's */
    atomic_bool wrong;
    atomic_bool done;
} World;

static uint8_t
byte_at (size_t i)
{
    return i % 67 == 66 ? '\n' : (uint8_t)(' ' + i % 90);
}

static size_t
device_room (void *device)
{
    World *w = device;
    size_t room;

    g_mutex_lock (&w->lock);
    room = ROOM - w->n_fifo;
    g_mutex_unlock (&w->lock);
    return room;
}

static void
device_receive (void *device, const uint8_t *data, size_t len)
{
    World *w = device;

    g_mutex_lock (&w->lock);
    for (size_t i = 0; i < len; i++) {
        if (data[i] != byte_at (w->n_received + i))
            atomic_store (&w->wrong, true);
    }
    w->n_received += len;
    w->n_fifo += len;
    g_mutex_unlock (&w->lock);
}

static void
device_drained (void *device)
{
    World *w = device;

    g_mutex_lock (&w->lock);
    w->held_back = false;
    g_mutex_unlock (&w->lock);
}

static const VmmChardevFrontend frontend = {device_room, device_receive, device_drained};

/* Sends while it may, and takes what is in its FIFO. */
static void *
vcpu_main (void *data)
{
    World *w = data;
    size_t sent = 0;
    size_t received = 0;

    while (sent < N_BYTES || received < N_BYTES) {
        uint8_t run[40];
        size_t len = MIN (sizeof run, N_BYTES - sent);
        bool had_input;

        g_mutex_lock (&w->lock);
        if (!w->held_back && len > 0) {
            size_t taken;

            for (size_t i = 0; i < len; i++)
                run[i] = byte_at (sent + i);
            /* With the lock held, as a UART does: drained() comes after this is known. */
            taken = vmm_chardev_write (w->chardev, run, len);
            w->held_back = taken < len;
            sent += taken;
        }
        had_input = w->n_fifo > 0;
        w->n_fifo = 0;
        received = w->n_received;
        g_mutex_unlock (&w->lock);
        if (had_input)
            vmm_chardev_accept_input (w->chardev);
    }
    atomic_store (&w->done, true);
    return NULL;
}

/* As the virtio console's emergency write does: from a vCPU, while the device's own thread sends. */
static void *
urgent_main (void *data)
{
    World *w = data;
    const uint8_t urgent = URGENT;

    while (!atomic_load (&w->done)) {
        w->n_urgent += vmm_chardev_write (w->chardev, &urgent, 1);
        usleep (100);
    }
    return NULL;
}

static void
see (void *user, const uint8_t *data, size_t len)
{
    ((World *)user)->n_seen += len;
}

static void *
reader_main (void *data)
{
    World *w = data;
    uint8_t buf[3000];

    for (size_t got = 0; got < N_BYTES;) {
        ssize_t n = read (w->out[0], buf, sizeof buf);

        for (ssize_t i = 0; i < n; i++) {
            if (buf[i] != URGENT && buf[i] != byte_at (got++))
                atomic_store (&w->wrong, true);
        }
        if (got % 7 == 0)
            usleep (100);
    }
    return NULL;
}

static void *
writer_main (void *data)
{
    World *w = data;
    uint8_t buf[1000];

    for (size_t sent = 0; sent < N_BYTES;) {
        size_t len = MIN (sizeof buf, N_BYTES - sent);
        ssize_t n;

        for (size_t i = 0; i < len; i++)
            buf[i] = byte_at (sent + i);
        n = write (w->in[1], buf, len);
        sent += n > 0 ? (size_t)n : 0;
    }
    return NULL;
}

static gboolean
on_tick (gpointer data)
{
    return G_SOURCE_CONTINUE;
}

int
main (void)
{
    static void *(*const mains[]) (void *) = {vcpu_main, reader_main, writer_main, urgent_main};
    static World w;
    pthread_t threads[G_N_ELEMENTS (mains)];
    guint tick = g_timeout_add (5, on_tick, NULL);

    alarm (TOO_LONG_S);
    if (pipe2 (w.out, O_CLOEXEC) < 0 || pipe2 (w.in, O_CLOEXEC) < 0)
        return 1;
    w.chardev = vmm_chardev_new (NULL, w.in[0], w.out[1]);
    vmm_chardev_set_tap (w.chardev, see, &w);
    vmm_chardev_set_frontend (w.chardev, &frontend, &w);
    for (size_t i = 0; i < G_N_ELEMENTS (mains); i++)
        pthread_create (&threads[i], NULL, mains[i], &w);
    while (!atomic_load (&w.done))
        g_main_context_iteration (NULL, TRUE);
    pthread_join (threads[0], NULL);
    pthread_join (threads[3], NULL);
    vmm_chardev_flush (w.chardev, TOO_LONG_S * 1000);
    pthread_join (threads[1], NULL);
    pthread_join (threads[2], NULL);
    if (w.n_seen != N_BYTES + w.n_urgent)
        atomic_store (&w.wrong, true);
    vmm_chardev_free (w.chardev);
    g_source_remove (tick);
    if (atomic_load (&w.wrong)) {
        fprintf (stderr, "bytes were lost, doubled or out of order\n");
        return 1;
    }
    return 0;
}
