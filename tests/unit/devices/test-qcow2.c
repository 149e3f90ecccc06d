/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/block/qcow2.h"
#include "qcow2-disk.h"

#define DISK_SIZE (UINT64_C (2) << 20)
#define N_REQUESTS 64u
#define PIECE 4096u

typedef struct {
    VmmBlock *block;
    VmmBlockRequest requests[N_REQUESTS];
    struct iovec iov[N_REQUESTS];
    int errors[N_REQUESTS];
    unsigned n;
    unsigned n_done;
    bool attached;
} Run;

static void
on_done (VmmBlockRequest *request, int error)
{
    Run *run = request->user;

    run->errors[request - run->requests] = error;
    run->n_done++;
}

static void
add (Run *run, VmmBlockOp op, uint64_t offset, void *data, uint64_t len)
{
    VmmBlockRequest *request = &run->requests[run->n];

    run->iov[run->n] = (struct iovec){data, len};
    *request = (VmmBlockRequest){.op = op, .offset = offset, .len = len, .done = on_done, .user = run};
    request->iov = &run->iov[run->n];
    request->n_iov = data != NULL;
    run->errors[run->n++] = -1;
}

/* On the loop's thread: all at once, and waits for all. */
static void
submit_all (void *user)
{
    Run *run = user;

    for (unsigned i = 0; i < run->n; i++)
        run->block->ops->submit (run->block, &run->requests[i]);
    run->block->ops->kick (run->block);
    run->block->ops->drain (run->block);
}

static void
attach_and_submit (void *user)
{
    Run *run = ((void **)user)[0];

    run->attached = run->block->ops->attach (run->block, ((void **)user)[1], NULL);
    submit_all (run);
}

static void
detach (void *user)
{
    Run *run = user;

    run->block->ops->detach (run->block);
}

static void
go (Run *run)
{
    g_autoptr (VmmLoop) loop = vmm_loop_new ("test", NULL);
    void *both[] = {run, loop};

    vmm_loop_call (loop, attach_and_submit, both);
    vmm_loop_call (loop, detach, run);
    cr_assert (run->attached);
    cr_assert_eq (run->n_done, run->n);
}

static VmmBlock *
open_block (Qcow2Disk *disk, VmmBlockConfig config)
{
    g_autoptr (GError) error = NULL;
    int fd = open (disk->path, (config.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    VmmBlock *block;

    config.path = disk->path;
    block = vmm_qcow2_open (fd, &config, &error);
    cr_assert_not_null (block, "%s", error != NULL ? error->message : "");
    return block;
}

/* An empty disk, made by ours. */
static void
make_disk (Qcow2Disk *disk)
{
    VmmQcow2Format format = {.version = 3, .cluster_bits = 12, .size = DISK_SIZE};
    int fd;

    qcow2_disk_init (disk, DISK_SIZE, 1);
    fd = open (disk->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    cr_assert (vmm_qcow2_format (fd, &format, NULL));
    close (fd);
}

Test (qcow2, requests_are_done_in_order_and_are_there_later)
{
    g_autofree uint8_t *out = g_malloc (16 * PIECE), *in = g_malloc0 (16 * PIECE);
    Run *run = g_new0 (Run, 1);
    Qcow2Disk disk;

    make_disk (&disk);
    for (unsigned i = 0; i < 16; i++)
        memset (out + i * PIECE, (int)i + 1, PIECE);
    memcpy (disk.model + 512, out, 16 * PIECE);
    run->block = open_block (&disk, (VmmBlockConfig){0});
    cr_assert_eq (run->block->limits.size, DISK_SIZE);
    for (unsigned i = 0; i < 16; i++)
        add (run, VMM_BLOCK_WRITE, 512 + i * PIECE, out + i * PIECE, PIECE);
    for (unsigned i = 0; i < 16; i++)
        add (run, VMM_BLOCK_READ, 512 + i * PIECE, in + i * PIECE, PIECE);
    add (run, VMM_BLOCK_FLUSH, 0, NULL, 0);
    go (run);
    for (unsigned i = 0; i < run->n; i++)
        cr_expect_eq (run->errors[i], 0);
    cr_expect_eq (memcmp (in, out, 16 * PIECE), 0);
    run->block->ops->free (run->block);
    if (qcow2_have_tools ())
        cr_expect (qcow2_disk_judge (&disk));
    qcow2_disk_clear (&disk);
    g_free (run);
}

Test (qcow2, what_cannot_be_done_fails_and_nothing_else_does)
{
    uint8_t bytes[512] = {1};
    Run *run = g_new0 (Run, 1);
    Qcow2Disk disk;

    make_disk (&disk);
    run->block = open_block (&disk, (VmmBlockConfig){.read_only = true});
    cr_assert (run->block->limits.read_only);
    add (run, VMM_BLOCK_WRITE, 0, bytes, sizeof bytes);
    add (run, VMM_BLOCK_READ, DISK_SIZE, bytes, sizeof bytes);
    add (run, VMM_BLOCK_READ, UINT64_MAX - 511, bytes, sizeof bytes);
    add (run, VMM_BLOCK_READ, DISK_SIZE - 512, bytes, sizeof bytes);
    go (run);
    cr_expect_eq (run->errors[0], EROFS);
    cr_expect_eq (run->errors[1], EINVAL);
    cr_expect_eq (run->errors[2], EINVAL);
    cr_expect_eq (run->errors[3], 0);
    cr_expect_eq (bytes[0], 0);
    run->block->ops->free (run->block);
    qcow2_disk_clear (&disk);
    g_free (run);
}

Test (qcow2, a_grown_disk_is_grown_in_the_file)
{
    Qcow2Disk disk;
    VmmBlock *block;

    make_disk (&disk);
    block = open_block (&disk, (VmmBlockConfig){0});
    cr_assert_eq (block->ops->resize (block, UINT64_C (1) << 40), 0);
    cr_expect_eq (block->limits.size, UINT64_C (1) << 40);
    cr_expect_neq (block->ops->resize (block, 512), 0);
    block->ops->free (block);
    block = open_block (&disk, (VmmBlockConfig){0});
    cr_expect_eq (block->limits.size, UINT64_C (1) << 40);
    block->ops->free (block);
    qcow2_disk_clear (&disk);
}

Test (qcow2, an_ephemeral_disk_begins_as_its_base_and_never_changes_it)
{
    VmmBlockConfig config = {.ephemeral = true, .format = VMM_BLOCK_FORMAT_RAW};
    g_autofree char *contents = NULL;
    uint8_t bytes[3][512] = {{0}, {9}, {0}};
    g_autoptr (GError) error = NULL;
    Run *run = g_new0 (Run, 1);
    Qcow2Disk disk;
    size_t len;

    qcow2_disk_init (&disk, DISK_SIZE, 1);
    memset (disk.model, 7, DISK_SIZE);
    cr_assert (g_file_set_contents (disk.path, (const char *)disk.model, (gssize)DISK_SIZE, NULL));
    config.path = disk.path;
    run->block = vmm_qcow2_open_ephemeral (memfd_create ("overlay", MFD_CLOEXEC),
                                           open (disk.path, O_RDONLY | O_CLOEXEC), &config, &error);
    cr_assert_not_null (run->block, "%s", error != NULL ? error->message : "");
    cr_assert_not (run->block->limits.read_only);
    add (run, VMM_BLOCK_READ, 512, bytes[0], 512);
    add (run, VMM_BLOCK_WRITE, 1024, bytes[1], 512);
    add (run, VMM_BLOCK_FLUSH, 0, NULL, 0);
    add (run, VMM_BLOCK_READ, 1024, bytes[2], 512);
    go (run);
    cr_expect_eq (bytes[0][511], 7);
    cr_expect_eq (bytes[2][0], 9);
    run->block->ops->free (run->block);
    cr_assert (g_file_get_contents (disk.path, &contents, &len, NULL));
    cr_expect (len == DISK_SIZE && memcmp (contents, disk.model, DISK_SIZE) == 0);
    qcow2_disk_clear (&disk);
    g_free (run);
}

#define DEPTH 24u
#define N_RANDOM 1200u
#define SECTORS_MAX 48u

typedef struct Stress Stress;

typedef struct {
    VmmBlockRequest request;
    struct iovec iov;
    uint8_t bytes[SECTORS_MAX * 512];
    Stress *stress;
    bool busy;
} Slot;

/* Many requests at once; no two of them for the same sector, though often for the same cluster. */
struct Stress {
    Qcow2Disk *disk;
    VmmBlock *block;
    VmmLoop *loop;
    Slot slots[DEPTH];
    unsigned n_submitted;
    unsigned n_wrong;
    unsigned n_busy;
};

static bool
is_taken (const Stress *stress, uint64_t offset, uint64_t len)
{
    for (unsigned i = 0; i < DEPTH; i++) {
        const VmmBlockRequest *other = &stress->slots[i].request;

        if (stress->slots[i].busy && offset < other->offset + other->len && other->offset < offset + len)
            return true;
    }
    return false;
}

static void
on_slot_done (VmmBlockRequest *request, int error)
{
    Slot *slot = request->user;
    Stress *stress = slot->stress;

    stress->n_wrong += error != 0;
    if (request->op == VMM_BLOCK_READ)
        stress->n_wrong += memcmp (slot->bytes, stress->disk->model + request->offset, request->len) != 0;
    slot->busy = false;
    stress->n_busy--;
}

static void
fill_slot (Stress *stress, Slot *slot)
{
    uint64_t *random = &stress->disk->random, kind = qcow2_random (random) % 16, len, offset;
    uint8_t byte = (uint8_t)qcow2_random (random);

    len = (qcow2_random (random) % SECTORS_MAX + 1) * 512;
    offset = qcow2_random (random) % ((DISK_SIZE - SECTORS_MAX * 512) / 512) * 512;
    if (is_taken (stress, offset, len))
        return;
    slot->iov = (struct iovec){slot->bytes, len};
    slot->request =
        (VmmBlockRequest){.op = VMM_BLOCK_READ, .offset = offset, .len = len, .iov = &slot->iov, .n_iov = 1};
    slot->request.done = on_slot_done;
    slot->request.user = slot;
    slot->stress = stress;
    if (kind < 7) {
        slot->request.op = VMM_BLOCK_WRITE;
        memset (slot->bytes, byte, len);
        memcpy (stress->disk->model + offset, slot->bytes, len);
    } else if (kind < 8) {
        slot->request.op = VMM_BLOCK_WRITE_ZEROES;
        memset (stress->disk->model + offset, 0, len);
    } else if (kind < 9) {
        slot->request.op = VMM_BLOCK_FLUSH;
        slot->request.offset = slot->request.len = 0;
    }
    slot->busy = true;
    stress->n_busy++;
    stress->n_submitted++;
    stress->block->ops->submit (stress->block, &slot->request);
}

static void
fill_slots (Stress *stress)
{
    for (unsigned i = 0; i < DEPTH; i++) {
        if (!stress->slots[i].busy)
            fill_slot (stress, &stress->slots[i]);
    }
    stress->block->ops->kick (stress->block);
}

static void
begin_stress (void *user)
{
    Stress *stress = user;

    cr_assert (stress->block->ops->attach (stress->block, stress->loop, NULL));
}

static void
go_on (void *user)
{
    fill_slots (user);
}

static void
end_stress (void *user)
{
    Stress *stress = user;

    stress->block->ops->drain (stress->block);
    stress->n_wrong += stress->n_busy;
    stress->block->ops->detach (stress->block);
}

Test (qcow2, many_at_once_do_not_get_into_each_others_way)
{
    Stress *stress = g_new0 (Stress, 1);
    Qcow2Disk disk;
    VmmQcow2 *image;

    make_disk (&disk);
    stress->loop = vmm_loop_new ("test", NULL);
    stress->disk = &disk;
    stress->block = open_block (&disk, (VmmBlockConfig){.discard = true});
    vmm_loop_call (stress->loop, begin_stress, stress);
    while (stress->n_submitted < N_RANDOM)
        vmm_loop_call (stress->loop, go_on, stress);
    vmm_loop_call (stress->loop, end_stress, stress);
    cr_expect_eq (stress->n_wrong, 0);
    stress->block->ops->free (stress->block);
    image = qcow2_disk_open (&disk, true);
    cr_expect (qcow2_disk_same (&disk, image));
    vmm_qcow2_image_free (image);
    if (qcow2_have_tools ())
        cr_expect (qcow2_disk_judge (&disk));
    vmm_loop_free (stress->loop);
    qcow2_disk_clear (&disk);
    g_free (stress);
}
