/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A qcow2 image whose own thread writes, takes away and commits, while the loop's thread looks up where
 * clusters are. What the loop is told to be data must begin inside the file, though its last cluster may be
 * cut off.
 */
#include <glib.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/block/qcow2-image.h"
#include "devices/block/qcow2.h"

#define DISK_SIZE (UINT64_C (16) << 20)
#define PIECE 8192u
#define N_STEPS 3000u

typedef struct {
    VmmQcow2 *image;
    atomic_bool done;
    atomic_uint wrong;
} World;

static uint64_t
next_random (uint64_t *state)
{
    *state = *state * UINT64_C (6364136223846793005) + 1442695040888963407;
    return *state >> 33;
}

static void *
change (void *user)
{
    World *w = user;
    uint8_t bytes[PIECE] = {1};
    struct iovec iov = {bytes, sizeof bytes};
    uint64_t random = 1;
    int err = 0;

    for (unsigned i = 0; i < N_STEPS && err == 0; i++) {
        uint64_t offset = next_random (&random) % ((DISK_SIZE - PIECE) / 512) * 512;

        if (i % 8 == 7)
            err = vmm_qcow2_write_zeroes (w->image, offset, PIECE);
        else
            err = vmm_qcow2_write (w->image, offset, PIECE, &iov, 1, 0);
        if (err == 0 && i % 32 == 31)
            err = vmm_qcow2_commit (w->image);
    }
    w->wrong += err != 0;
    w->done = true;
    return NULL;
}

static void *
look (void *user)
{
    World *w = user;
    uint64_t random = 2;

    while (!w->done) {
        VmmQcow2Extent extent;

        vmm_qcow2_map (w->image, next_random (&random) % (DISK_SIZE / 512) * 512, 512, false, &extent);
        if (extent.kind == VMM_QCOW2_BAD ||
            (extent.kind == VMM_QCOW2_DATA && extent.host / 4096 * 4096 >= vmm_qcow2_file_size (w->image)))
            w->wrong++;
    }
    return NULL;
}

int
main (void)
{
    VmmQcow2Format format = {.version = 3, .cluster_bits = 12, .size = DISK_SIZE};
    int fd = memfd_create ("race", MFD_CLOEXEC);
    World w = {0};
    GThread *threads[2];

    if (fd < 0 || !vmm_qcow2_format (fd, &format, NULL))
        return 77;
    w.image = vmm_qcow2_image_open ("race", fd, false, NULL);
    if (w.image == NULL)
        return 1;
    w.image->no_sync = true;
    threads[0] = g_thread_new ("change", change, &w);
    threads[1] = g_thread_new ("look", look, &w);
    for (unsigned i = 0; i < G_N_ELEMENTS (threads); i++)
        g_thread_join (threads[i]);
    vmm_qcow2_image_free (w.image);
    printf ("%u wrong\n", w.wrong);
    return w.wrong == 0 ? 0 : 1;
}
