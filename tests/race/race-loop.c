/* SPDX-License-Identifier: Apache-2.0 */
/* Several threads that post, call, watch and unwatch on one loop: nothing is lost, and nobody waits for ever.
 */
#include <glib.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/core/loop.h"

#define N_THREADS 4u
#define N_ROUNDS 2000u

typedef struct {
    VmmLoop *loop;
    unsigned count; /* the loop's thread only */
    unsigned rung;
} World;

static void
count (void *user)
{
    World *w = user;

    w->count++;
}

static void
on_rung (void *user, uint32_t events)
{
    World *w = user;

    w->rung++;
}

static void *
work (void *data)
{
    World *w = data;
    int fd = eventfd (0, EFD_NONBLOCK | EFD_CLOEXEC);

    for (unsigned i = 0; i < N_ROUNDS; i++) {
        vmm_loop_post (w->loop, count, w);
        if (i % 16 == 0) {
            VmmLoopWatch *watch = vmm_loop_watch (w->loop, fd, EPOLLIN | EPOLLET, on_rung, w);

            eventfd_write (fd, 1);
            vmm_loop_unwatch (watch);
        }
        if (i % 8 == 0)
            vmm_loop_call (w->loop, count, w);
    }
    close (fd);
    return NULL;
}

int
main (void)
{
    World w = {.loop = vmm_loop_new ("race", NULL)};
    pthread_t threads[N_THREADS];

    for (unsigned i = 0; i < N_THREADS; i++)
        pthread_create (&threads[i], NULL, work, &w);
    for (unsigned i = 0; i < N_THREADS; i++)
        pthread_join (threads[i], NULL);
    vmm_loop_free (w.loop);
    if (w.count != N_THREADS * (N_ROUNDS + N_ROUNDS / 8)) {
        fprintf (stderr, "%u of %u ran\n", w.count, N_THREADS * (N_ROUNDS + N_ROUNDS / 8));
        return 1;
    }
    return 0;
}
