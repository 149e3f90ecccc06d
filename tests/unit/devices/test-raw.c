/* SPDX-License-Identifier: Apache-2.0 */
/* Raw images, with both engines: direct access of any shape, and what the loop's thread does itself: copies
 * into the page cache, while they are no more than that. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/block/raw-internal.h"

#define SECTOR 512u
#define SECTORS 1027u /* the last block of 4096 bytes is not whole */
#define DISK (SECTORS * SECTOR)
#define BLOCK 4096u
#define S INT64_C (1000000)

/* Which loop must not wait, and how often it did. */
static VmmLoop *loop;
static unsigned n_waits;
/* How many writes it did, and how long each takes, in microseconds. */
static unsigned n_copies;
static unsigned slow_us;
static struct statx fake_statx;
/* Not 0: files are block devices that are so large. */
static uint64_t fake_device;

static void
note (void)
{
    if (loop != NULL && vmm_loop_is_current (loop))
        __atomic_add_fetch (&n_waits, 1, __ATOMIC_RELAXED);
}

ssize_t __real_preadv64 (int fd, const struct iovec *iov, int n, off_t at);
ssize_t __wrap_preadv64 (int fd, const struct iovec *iov, int n, off_t at);
ssize_t
__wrap_preadv64 (int fd, const struct iovec *iov, int n, off_t at)
{
    note ();
    return __real_preadv64 (fd, iov, n, at);
}

ssize_t __real_pwritev64v2 (int fd, const struct iovec *iov, int n, off_t at, int flags);
ssize_t __wrap_pwritev64v2 (int fd, const struct iovec *iov, int n, off_t at, int flags);
ssize_t
__wrap_pwritev64v2 (int fd, const struct iovec *iov, int n, off_t at, int flags)
{
    if (loop != NULL && vmm_loop_is_current (loop))
        __atomic_add_fetch (&n_copies, 1, __ATOMIC_RELAXED);
    g_usleep (slow_us);
    return __real_pwritev64v2 (fd, iov, n, at, flags);
}

int __real_fallocate64 (int fd, int mode, off_t at, off_t len);
int __wrap_fallocate64 (int fd, int mode, off_t at, off_t len);
int
__wrap_fallocate64 (int fd, int mode, off_t at, off_t len)
{
    note ();
    return __real_fallocate64 (fd, mode, at, len);
}

int __real_fdatasync (int fd);
int __wrap_fdatasync (int fd);
int
__wrap_fdatasync (int fd)
{
    note ();
    return __real_fdatasync (fd);
}

int __real_statx (int fd, const char *path, int flags, unsigned mask, struct statx *ret);
int __wrap_statx (int fd, const char *path, int flags, unsigned mask, struct statx *ret);
int
__wrap_statx (int fd, const char *path, int flags, unsigned mask, struct statx *ret)
{
    if (fake_statx.stx_mask == 0)
        return __real_statx (fd, path, flags, mask, ret);
    *ret = fake_statx;
    return 0;
}

int __real_fstat64 (int fd, struct stat *ret);
int __wrap_fstat64 (int fd, struct stat *ret);
int
__wrap_fstat64 (int fd, struct stat *ret)
{
    int result = __real_fstat64 (fd, ret);

    if (fake_device != 0) {
        ret->st_mode = S_IFBLK | 0600;
        ret->st_size = 0;
    }
    return result;
}

int __real_ioctl (int fd, unsigned long request, void *arg);
int __wrap_ioctl (int fd, unsigned long request, void *arg);
int
__wrap_ioctl (int fd, unsigned long request, void *arg)
{
    if (fake_device == 0 || request != BLKGETSIZE64)
        return __real_ioctl (fd, request, arg);
    *(uint64_t *)arg = fake_device;
    return 0;
}

typedef struct {
    VmmBlockRequest request;
    struct iovec iov[2];
    uint8_t *memory;
    int error;
} Op;

typedef struct {
    VmmBlock *block;
    Op *ops;
    unsigned n;
    unsigned n_done;
    uint8_t shadow[DISK];
    int fd;
    bool drain;
} Rig;

static VmmRaw *
raw_of (Rig *rig)
{
    return (VmmRaw *)rig->block;
}

/* With @direct the file is treated as if its disk had blocks of 4096 bytes. */
static Rig *
set_up (bool threads, bool direct, VmmBlockCache cache)
{
    Rig *rig = g_new0 (Rig, 1);
    VmmBlockConfig config = {.path = (char *)"an image", .cache = cache, .discard = false};

    n_waits = 0;
    n_copies = 0;
    loop = vmm_loop_new ("raw", NULL);
    rig->fd = memfd_create ("raw", MFD_CLOEXEC);
    for (size_t i = 0; i < DISK; i++)
        rig->shadow[i] = (uint8_t)(i / 7 + i / 512);
    cr_assert_eq (write (rig->fd, rig->shadow, DISK), DISK);
    rig->block = vmm_raw_open (dup (rig->fd), &config, NULL);
    cr_assert_not_null (rig->block);
    raw_of (rig)->direct = direct;
    raw_of (rig)->cached_file = !direct;
    raw_of (rig)->memory_alignment = SECTOR;
    raw_of (rig)->offset_alignment = BLOCK;
    if (threads)
        vmm_raw_use_threads (rig->block);
    return rig;
}

static void
tear_down (Rig *rig)
{
    vmm_block_free (rig->block);
    g_clear_pointer (&loop, vmm_loop_free);
    close (rig->fd);
    g_free (rig);
}

static void
on_done (VmmBlockRequest *request, int error)
{
    Rig *rig = request->user;

    ((Op *)request)->error = error;
    __atomic_add_fetch (&rig->n_done, 1, __ATOMIC_RELEASE);
}

static void
do_attach (void *user)
{
    Rig *rig = user;

    cr_assert (rig->block->ops->attach (rig->block, loop, NULL));
}

static void
do_detach (void *user)
{
    Rig *rig = user;

    rig->block->ops->drain (rig->block);
    rig->block->ops->detach (rig->block);
}

static void
do_submit (void *user)
{
    Rig *rig = user;

    for (unsigned i = 0; i < rig->n; i++)
        rig->block->ops->submit (rig->block, &rig->ops[i].request);
    rig->block->ops->kick (rig->block);
    if (rig->drain)
        rig->block->ops->drain (rig->block);
}

/* All at once, waited for; each is done once and without an error. */
static void
run (Rig *rig, Op *ops, unsigned n)
{
    gint64 end = g_get_monotonic_time () + 20 * S;

    rig->ops = ops;
    rig->n = n;
    rig->n_done = 0;
    vmm_loop_call (loop, do_submit, rig);
    cr_assert (!rig->drain || rig->n_done == n, "drained: %u of %u", rig->n_done, n);
    while (__atomic_load_n (&rig->n_done, __ATOMIC_ACQUIRE) < n && g_get_monotonic_time () < end)
        g_usleep (100);
    cr_assert_eq (rig->n_done, n, "%u of %u", rig->n_done, n);
    for (unsigned i = 0; i < n; i++)
        cr_assert_eq (ops[i].error, 0, "%u: %s", i, g_strerror (ops[i].error));
}

/* @len bytes in two pieces, at an address that suits no disk. */
static void
prepare (Rig *rig, Op *op, VmmBlockOp what, uint64_t offset, uint64_t len)
{
    size_t cut = len > SECTOR ? SECTOR + 12 : 100;

    op->memory = g_malloc (len + 8192);
    op->iov[0] = (struct iovec){op->memory + 5, cut};
    op->iov[1] = (struct iovec){op->memory + 5 + cut, len - cut};
    op->request = (VmmBlockRequest){
        .op = what, .offset = offset, .len = len, .iov = op->iov, .n_iov = 2, .done = on_done, .user = rig};
}

static void
check_file (Rig *rig)
{
    g_autofree uint8_t *bytes = g_malloc (DISK);
    struct stat st;

    cr_assert_eq (fstat (rig->fd, &st), 0);
    cr_assert_eq (st.st_size, DISK, "the file has %ld bytes now", (long)st.st_size);
    cr_assert_eq (pread (rig->fd, bytes, DISK, 0), DISK);
    for (size_t i = 0; i < DISK; i++)
        cr_assert_eq (bytes[i], rig->shadow[i], "byte %zu of sector %zu", i % SECTOR, i / SECTOR);
}

static unsigned
random_sectors (GRand *rand, int below, unsigned max)
{
    unsigned sectors = (unsigned)g_rand_int_range (rand, 1, below);

    return MIN (sectors, max);
}

/* The whole disk in runs of a few sectors that share blocks with each other, in any order, all at once. */
static void
write_all (Rig *rig, GRand *rand)
{
    Op *ops = g_new0 (Op, SECTORS);
    unsigned n = 0;

    for (unsigned at = 0; at < SECTORS;) {
        unsigned sectors = random_sectors (rand, 18, SECTORS - at);
        Op *op = &ops[n++];

        prepare (rig, op, VMM_BLOCK_WRITE, at * SECTOR, sectors * SECTOR);
        for (size_t i = 0; i < op->request.len; i++)
            op->memory[5 + i] = rig->shadow[op->request.offset + i] = (uint8_t)g_rand_int (rand);
        at += sectors;
    }
    for (unsigned i = n - 1; i > 0; i--) {
        unsigned other = (unsigned)g_rand_int_range (rand, 0, (int)i);
        Op copy = ops[i];

        ops[i] = ops[other];
        ops[other] = copy;
    }
    for (unsigned i = 0; i < n; i++)
        ops[i].request.iov = ops[i].iov;
    run (rig, ops, n);
    for (unsigned i = 0; i < n; i++)
        g_free (ops[i].memory);
    g_free (ops);
}

static void
read_all (Rig *rig, GRand *rand)
{
    Op ops[64] = {0};

    for (unsigned i = 0; i < G_N_ELEMENTS (ops); i++) {
        unsigned at = (unsigned)g_rand_int_range (rand, 0, (int)SECTORS);
        unsigned sectors = random_sectors (rand, 300, SECTORS - at);

        prepare (rig, &ops[i], VMM_BLOCK_READ, at * SECTOR, sectors * SECTOR);
    }
    run (rig, ops, G_N_ELEMENTS (ops));
    for (unsigned i = 0; i < G_N_ELEMENTS (ops); i++) {
        cr_assert_arr_eq (ops[i].memory + 5, rig->shadow + ops[i].request.offset, ops[i].request.len);
        g_free (ops[i].memory);
    }
}

Test (raw, direct_access_takes_any_sector_and_any_memory, .timeout = 60)
{
    for (unsigned way = 0; way < 8; way++) {
        Rig *rig = set_up ((way & 1) != 0, (way & 2) != 0, VMM_BLOCK_CACHE_WRITEBACK);
        GRand *rand = g_rand_new_with_seed (way);

        rig->drain = (way & 4) != 0;
        vmm_loop_call (loop, do_attach, rig);
        for (unsigned i = 0; i < 5; i++) {
            write_all (rig, rand);
            check_file (rig);
            read_all (rig, rand);
        }
        vmm_loop_call (loop, do_detach, rig);
        cr_assert_eq (n_waits, 0, "the loop's thread did it");
        cr_assert_eq (n_copies > 0, (way & 3) == 0, "way %u: the loop's thread made %u copies", way,
                      n_copies);
        g_rand_free (rand);
        tear_down (rig);
    }
}

Test (raw, a_copy_that_waits_is_not_made_again_at_once, .timeout = 60)
{
    Rig *rig = set_up (false, false, VMM_BLOCK_CACHE_WRITEBACK);
    GRand *rand = g_rand_new_with_seed (1);
    unsigned n_slow;

    vmm_loop_call (loop, do_attach, rig);
    slow_us = 5000;
    for (unsigned i = 0; i < 4; i++)
        write_all (rig, rand);
    n_slow = n_copies;
    cr_assert_gt (n_slow, 0);
    cr_assert_lt (n_slow, 50, "%u of some hundred writes have waited", n_slow);
    check_file (rig);
    read_all (rig, rand);
    slow_us = 0;
    /* A busy host may make a quick one look slow. */
    for (unsigned i = 0; i < 20 && n_copies <= n_slow + 1; i++) {
        g_usleep (1100000);
        write_all (rig, rand);
    }
    cr_assert_gt (n_copies, n_slow + 1, "later it may be quick again");
    check_file (rig);
    vmm_loop_call (loop, do_detach, rig);
    g_rand_free (rand);
    tear_down (rig);
}

Test (raw, what_is_to_last_at_once_is_no_copy, .timeout = 60)
{
    Rig *rig = set_up (false, false, VMM_BLOCK_CACHE_WRITETHROUGH);
    GRand *rand = g_rand_new_with_seed (2);

    vmm_loop_call (loop, do_attach, rig);
    write_all (rig, rand);
    check_file (rig);
    vmm_loop_call (loop, do_detach, rig);
    cr_assert_eq (n_copies, 0);
    g_rand_free (rand);
    tear_down (rig);
}

/* This file system knows no FALLOC_FL_ZERO_RANGE, so all of it comes down to writing. */
Test (raw, zeroes_begin_and_end_where_they_are_to, .timeout = 60)
{
    static const struct {
        unsigned at;
        unsigned sectors;
    } rows[] = {{0, 8}, {9, 3}, {15, 2}, {17, 150}, {300, 1}, {1000, 27}, {1026, 1}};

    for (unsigned way = 0; way < 8; way++) {
        Rig *rig = set_up ((way & 1) != 0, (way & 2) != 0,
                           (way & 4) != 0 ? VMM_BLOCK_CACHE_WRITETHROUGH : VMM_BLOCK_CACHE_WRITEBACK);
        Op ops[G_N_ELEMENTS (rows) + 1] = {0};

        vmm_loop_call (loop, do_attach, rig);
        for (unsigned i = 0; i < G_N_ELEMENTS (rows); i++) {
            ops[i].request = (VmmBlockRequest){.op = VMM_BLOCK_WRITE_ZEROES,
                                               .offset = rows[i].at * SECTOR,
                                               .len = rows[i].sectors * SECTOR,
                                               .done = on_done,
                                               .user = rig};
            memset (rig->shadow + rows[i].at * SECTOR, 0, rows[i].sectors * SECTOR);
        }
        ops[G_N_ELEMENTS (rows)].request =
            (VmmBlockRequest){.op = VMM_BLOCK_FLUSH, .done = on_done, .user = rig};
        run (rig, ops, G_N_ELEMENTS (ops));
        check_file (rig);
        vmm_loop_call (loop, do_detach, rig);
        cr_assert_eq (n_waits, 0, "the loop's thread did it");
        tear_down (rig);
    }
}

/* Somebody has cut the file off: what is missing reads as zeroes. */
Test (raw, beyond_the_end_of_the_file_there_are_zeroes, .timeout = 60)
{
    for (unsigned way = 0; way < 4; way++) {
        Rig *rig = set_up ((way & 1) != 0, (way & 2) != 0, VMM_BLOCK_CACHE_WRITEBACK);
        GRand *rand = g_rand_new_with_seed (way);

        cr_assert_eq (ftruncate (rig->fd, 100 * SECTOR + 3), 0);
        memset (rig->shadow + 100 * SECTOR + 3, 0, DISK - 100 * SECTOR - 3);
        vmm_loop_call (loop, do_attach, rig);
        read_all (rig, rand);
        vmm_loop_call (loop, do_detach, rig);
        cr_assert_eq (n_waits, 0, "the loop's thread did it");
        g_rand_free (rand);
        tear_down (rig);
    }
}

#ifdef STATX_DIOALIGN
Test (raw, the_kernel_says_how_direct_access_is_aligned)
{
    static const struct {
        uint32_t mask, memory, offset;
        unsigned want_memory, want_offset;
    } rows[] = {
        {STATX_DIOALIGN, 4, 4096, 4, 4096},        {STATX_DIOALIGN, 512, 512, 512, 512},
        {STATX_SIZE, 4, 4096, SECTOR, SECTOR},     {STATX_DIOALIGN, 0, 0, SECTOR, SECTOR},
        {STATX_DIOALIGN, 3, 4096, SECTOR, SECTOR}, {STATX_DIOALIGN, 4, 1u << 20, SECTOR, SECTOR},
    };

    for (size_t i = 0; i < G_N_ELEMENTS (rows); i++) {
        VmmBlockConfig config = {.path = (char *)"an image"};
        int fd = memfd_create ("raw", MFD_CLOEXEC);
        VmmBlock *block;

        fake_statx.stx_mask = rows[i].mask;
        fake_statx.stx_dio_mem_align = rows[i].memory;
        fake_statx.stx_dio_offset_align = rows[i].offset;
        cr_assert_eq (ftruncate (fd, DISK), 0);
        block = vmm_raw_open (fd, &config, NULL);
        cr_assert_eq (((VmmRaw *)block)->memory_alignment, rows[i].want_memory, "row %zu", i);
        cr_assert_eq (((VmmRaw *)block)->offset_alignment, rows[i].want_offset, "row %zu", i);
        vmm_block_free (block);
    }
    memset (&fake_statx, 0, sizeof fake_statx);
}
#endif

/* With O_DIRECT as it is here, where the temporary files' file system has it. */
Test (raw, direct_access_for_real, .timeout = 60)
{
    for (unsigned way = 0; way < 2; way++) {
        Rig *rig = set_up (way == 1, false, VMM_BLOCK_CACHE_NONE);
        GRand *rand = g_rand_new_with_seed (way);
        char path[] = "/var/tmp/test-raw-XXXXXX";
        VmmBlockConfig config = {.path = path, .cache = VMM_BLOCK_CACHE_NONE};

        vmm_block_free (rig->block);
        close (rig->fd);
        rig->fd = mkstemp (path);
        cr_assert_geq (rig->fd, 0);
        cr_assert_eq (write (rig->fd, rig->shadow, DISK), DISK);
        cr_assert_eq (fsync (rig->fd), 0);
        rig->block = vmm_block_open (&config, NULL);
        g_unlink (path);
        if (rig->block == NULL)
            cr_skip_test ("no direct access in /var/tmp");
        cr_assert (raw_of (rig)->direct);
        if (way == 1)
            vmm_raw_use_threads (rig->block);
        vmm_loop_call (loop, do_attach, rig);
        write_all (rig, rand);
        read_all (rig, rand);
        check_file (rig);
        vmm_loop_call (loop, do_detach, rig);
        cr_assert_eq (n_waits, 0, "the loop's thread did it");
        g_rand_free (rand);
        tear_down (rig);
    }
}

Test (raw, a_file_grows_with_its_disk)
{
    Rig *rig = set_up (false, false, VMM_BLOCK_CACHE_WRITEBACK);
    struct stat st;

    cr_assert_eq (rig->block->ops->resize (rig->block, DISK + SECTOR), 0);
    cr_assert_eq (rig->block->limits.size, DISK + SECTOR);
    cr_assert_eq (fstat (rig->fd, &st), 0);
    cr_assert_eq (st.st_size, DISK + SECTOR);
    cr_assert_eq (rig->block->ops->resize (rig->block, DISK), EINVAL);
    cr_assert_eq (rig->block->ops->resize (rig->block, 2 * DISK + 1), EINVAL);
    /* Somebody has made it larger: nothing is cut off. */
    cr_assert_eq (ftruncate (rig->fd, 4 * DISK), 0);
    cr_assert_eq (rig->block->ops->resize (rig->block, 2 * DISK), 0);
    cr_assert_eq (fstat (rig->fd, &st), 0);
    cr_assert_eq (st.st_size, 4 * DISK);
    tear_down (rig);
}

Test (raw, a_block_device_has_to_grow_before_its_disk)
{
    VmmBlockConfig config = {.path = (char *)"a device"};
    int fd = memfd_create ("raw", MFD_CLOEXEC);
    VmmBlock *block;

    fake_device = DISK;
    block = vmm_raw_open (fd, &config, NULL);
    cr_assert_not_null (block);
    cr_assert_eq (block->limits.size, DISK);
    cr_assert_eq (block->ops->resize (block, DISK + SECTOR), ENOSPC);
    cr_assert_eq (block->limits.size, DISK);
    fake_device = 2 * DISK;
    cr_assert_eq (block->ops->resize (block, 2 * DISK + SECTOR), ENOSPC);
    cr_assert_eq (block->ops->resize (block, 2 * DISK), 0);
    cr_assert_eq (block->limits.size, 2 * DISK);
    fake_device = 0;
    vmm_block_free (block);
}
