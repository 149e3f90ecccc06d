/* SPDX-License-Identifier: Apache-2.0 */
/* With writethrough a write lasts when it is done: its data, and the tables that lead to it. */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "devices/block/qcow2.h"
#include "qcow2-disk.h"

#define DISK_SIZE (UINT64_C (1) << 20)

static bool fail_syncs;

int __real_fdatasync (int fd);
int __wrap_fdatasync (int fd);
int
__wrap_fdatasync (int fd)
{
    if (!fail_syncs)
        return __real_fdatasync (fd);
    errno = EIO;
    return -1;
}

typedef struct {
    VmmBlock *block;
    VmmLoop *loop;
    VmmBlockRequest request;
    int error;
} Rig;

static void
on_done (VmmBlockRequest *request, int error)
{
    ((Rig *)request->user)->error = error;
}

static void
attach (void *user)
{
    Rig *rig = user;

    cr_assert (rig->block->ops->attach (rig->block, rig->loop, NULL));
}

static void
submit (void *user)
{
    Rig *rig = user;

    rig->block->ops->submit (rig->block, &rig->request);
    rig->block->ops->kick (rig->block);
    rig->block->ops->drain (rig->block);
}

static void
detach (void *user)
{
    Rig *rig = user;

    rig->block->ops->detach (rig->block);
}

/* Writes a sector, and waits for it; 0 or an errno. */
static int
write_sector (Rig *rig, uint64_t sector)
{
    uint8_t data[512] = {1};
    struct iovec iov = {data, sizeof data};

    rig->error = -1;
    rig->request = (VmmBlockRequest){
        .op = VMM_BLOCK_WRITE,
        .offset = sector * 512,
        .len = sizeof data,
        .iov = &iov,
        .n_iov = 1,
        .done = on_done,
        .user = rig,
    };
    vmm_loop_call (rig->loop, submit, rig);
    return rig->error;
}

Test (qcow2_through, no_write_lasts_before_the_tables_that_lead_to_it)
{
    VmmQcow2Format format = {.version = 3, .cluster_bits = 16, .size = DISK_SIZE};
    VmmBlockConfig config = {.cache = VMM_BLOCK_CACHE_WRITETHROUGH};
    Qcow2Disk disk;
    Rig rig = {0};
    int fd;

    qcow2_disk_init (&disk, DISK_SIZE, 1);
    fd = open (disk.path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    cr_assert (vmm_qcow2_format (fd, &format, NULL));
    config.path = disk.path;
    rig.block = vmm_qcow2_open (fd, &config, NULL);
    cr_assert_not_null (rig.block);
    rig.loop = vmm_loop_new ("test", NULL);
    vmm_loop_call (rig.loop, attach, &rig);
    /* The first write finds a place for the cluster, which does not last, and the second one is for that. */
    fail_syncs = true;
    cr_assert_eq (write_sector (&rig, 0), EIO);
    cr_assert_eq (write_sector (&rig, 1), EIO);
    fail_syncs = false;
    cr_assert_eq (write_sector (&rig, 2), 0);
    cr_assert_eq (write_sector (&rig, 1), 0);
    vmm_loop_call (rig.loop, detach, &rig);
    vmm_block_free (rig.block);
    vmm_loop_free (rig.loop);
    qcow2_disk_clear (&disk);
}
