/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "devices/block/qcow2.h"
#include "qcow2-disk.h"

#define DISK_SIZE (UINT64_C (1) << 20)
#define CLUSTER 4096u
#define L2_OFFSET_MASK UINT64_C (0x00fffffffffffe00)

static int
write_cluster (VmmQcow2 *image, uint64_t offset, int byte)
{
    uint8_t bytes[CLUSTER];
    struct iovec iov = {bytes, sizeof bytes};

    memset (bytes, byte, sizeof bytes);
    return vmm_qcow2_write (image, offset, sizeof bytes, &iov, 1, 0);
}

static int
read_cluster (VmmQcow2 *image, uint64_t offset)
{
    uint8_t bytes[CLUSTER];
    struct iovec iov = {bytes, sizeof bytes};

    return vmm_qcow2_read (image, offset, sizeof bytes, &iov, 1, 0);
}

/* A disk of ours whose first four clusters have data. */
static void
make_disk (Qcow2Disk *disk)
{
    VmmQcow2Format format = {.version = 3, .cluster_bits = 12, .size = DISK_SIZE};
    VmmQcow2 *image;
    int fd;

    qcow2_disk_init (disk, DISK_SIZE, 1);
    fd = open (disk->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    cr_assert (vmm_qcow2_format (fd, &format, NULL));
    close (fd);
    image = qcow2_disk_open (disk, false);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq (write_cluster (image, i * CLUSTER, (int)i + 1), 0);
    cr_assert_eq (vmm_qcow2_commit (image), 0);
    vmm_qcow2_image_free (image);
}

static uint64_t
get64 (int fd, uint64_t at)
{
    uint64_t value = 0;

    cr_assert_eq (pread (fd, &value, sizeof value, (off_t)at), (ssize_t)sizeof value);
    return GUINT64_FROM_BE (value);
}

static void
put64 (int fd, uint64_t at, uint64_t value)
{
    value = GUINT64_TO_BE (value);
    cr_assert_eq (pwrite (fd, &value, sizeof value, (off_t)at), (ssize_t)sizeof value);
}

typedef struct {
    int fd;
    uint64_t l1;
    uint64_t l2;
    uint64_t rt;
    uint64_t block;
} Places;

static Places
find_places (const Qcow2Disk *disk)
{
    Places p = {.fd = open (disk->path, O_RDWR | O_CLOEXEC)};

    p.l1 = get64 (p.fd, 40);
    p.l2 = get64 (p.fd, p.l1) & L2_OFFSET_MASK;
    p.rt = get64 (p.fd, 48);
    p.block = get64 (p.fd, p.rt);
    return p;
}

static bool
is_marked (const Qcow2Disk *disk)
{
    int fd = open (disk->path, O_RDONLY | O_CLOEXEC);
    uint64_t features = get64 (fd, 72);

    close (fd);
    return (features & QCOW2_INCOMPATIBLE_CORRUPT) != 0;
}

/* The guest writes to its first cluster, whose entry leads to @target: it must not get there. */
static void
expect_safe (uint64_t (*target) (const Places *places))
{
    uint8_t before[CLUSTER], after[CLUSTER];
    Qcow2Disk disk;
    VmmQcow2 *image;
    Places places;

    make_disk (&disk);
    places = find_places (&disk);
    put64 (places.fd, places.l2, target (&places) | QCOW2_COPIED);
    cr_assert_geq (pread (places.fd, before, CLUSTER, (off_t)target (&places)), 0);
    image = qcow2_disk_open (&disk, false);
    cr_assert_not_null (image);
    cr_expect_eq (write_cluster (image, 0, 0xee), EIO);
    cr_expect_eq (write_cluster (image, 3 * CLUSTER, 0xee), EIO, "a damaged image is written");
    cr_expect_eq (vmm_qcow2_commit (image), 0);
    vmm_qcow2_image_free (image);
    cr_assert_geq (pread (places.fd, after, CLUSTER, (off_t)target (&places)), 0);
    before[79] = after[79] = 0; /* where the mark is, if that is the header */
    cr_expect_eq (memcmp (before, after, CLUSTER), 0);
    cr_expect (is_marked (&disk));
    cr_expect_null (qcow2_disk_open (&disk, false), "opened for writing without a repair");
    close (places.fd);
    qcow2_disk_clear (&disk);
}

static uint64_t
to_header (const Places *places)
{
    return 0;
}

static uint64_t
to_l1 (const Places *places)
{
    return places->l1;
}

static uint64_t
to_itself (const Places *places)
{
    return places->l2;
}

static uint64_t
to_block (const Places *places)
{
    return places->block;
}

Test (qcow2_damage, guest_data_is_not_written_to_tables)
{
    expect_safe (to_l1);
    expect_safe (to_itself);
    expect_safe (to_block);
}

Test (qcow2_damage, an_entry_behind_the_end_fails_only_its_request)
{
    Qcow2Disk disk;
    VmmQcow2 *image;
    Places places;

    make_disk (&disk);
    places = find_places (&disk);
    put64 (places.fd, places.l2, UINT64_C (1) << 40 | QCOW2_COPIED);
    image = qcow2_disk_open (&disk, true);
    cr_expect_eq (read_cluster (image, 0), EIO);
    cr_expect_eq (read_cluster (image, CLUSTER), 0);
    vmm_qcow2_image_free (image);
    close (places.fd);
    qcow2_disk_clear (&disk);
}

/* Refcounts of 0 for all: the next cluster to be given out would be a table. */
Test (qcow2_damage, tables_that_are_counted_as_free_are_not_given_out)
{
    uint8_t zeroes[CLUSTER] = {0};
    Qcow2Disk disk;
    VmmQcow2 *image;
    Places places;

    make_disk (&disk);
    places = find_places (&disk);
    cr_assert_eq (pwrite (places.fd, zeroes, CLUSTER, (off_t)places.block), CLUSTER);
    image = qcow2_disk_open (&disk, false);
    cr_expect_eq (write_cluster (image, 64 * CLUSTER, 1), EIO);
    vmm_qcow2_image_free (image);
    cr_expect (is_marked (&disk));
    close (places.fd);
    qcow2_disk_clear (&disk);
}

Test (qcow2_damage, an_image_whose_writer_was_killed_with_lazy_refcounts_is_repaired)
{
    Qcow2Disk disk;
    VmmQcow2 *image;
    Places places;

    if (!qcow2_have_tools ())
        cr_skip_test ("qemu-img and qemu-io are not installed");
    qcow2_disk_init (&disk, DISK_SIZE, 1);
    cr_assert_eq (
        qcow2_run (disk.folder, "qemu-img create -f qcow2 -o lazy_refcounts=on,cluster_size=4096 disk 1M"),
        0);
    cr_assert_eq (qcow2_run (disk.folder, "qemu-io -c 'write -P 5 0 300k' -c flush -c abort disk; true"), 0);
    memset (disk.model, 5, 300 << 10);
    places = find_places (&disk);
    cr_assert_eq (get64 (places.fd, 72) & QCOW2_INCOMPATIBLE_DIRTY, 1, "not dirty: nothing is tested");
    image = qcow2_disk_open (&disk, true);
    cr_assert_not_null (image);
    cr_expect (qcow2_disk_same (&disk, image));
    vmm_qcow2_image_free (image);
    image = qcow2_disk_open (&disk, false);
    cr_assert_not_null (image);
    vmm_qcow2_image_free (image);
    cr_expect_eq (get64 (places.fd, 72) & QCOW2_INCOMPATIBLE_DIRTY, 0);
    cr_expect (qcow2_disk_judge (&disk));
    close (places.fd);
    qcow2_disk_clear (&disk);
}

/* An entry without an offset is of no cluster: the header is never one. */
Test (qcow2_damage, the_header_is_nobodys_data)
{
    Qcow2Disk disk;
    VmmQcow2 *image;
    Places places;

    make_disk (&disk);
    places = find_places (&disk);
    put64 (places.fd, places.l2, to_header (&places) | QCOW2_COPIED);
    image = qcow2_disk_open (&disk, false);
    cr_expect_eq (write_cluster (image, 0, 0xee), 0);
    cr_expect_eq (vmm_qcow2_commit (image), 0);
    vmm_qcow2_image_free (image);
    image = qcow2_disk_open (&disk, true);
    cr_expect_not_null (image);
    vmm_qcow2_image_free (image);
    close (places.fd);
    qcow2_disk_clear (&disk);
}

/* Snapshots that all have one large L1 table: a small file in which there is much to look at. */
Test (qcow2_damage, what_a_file_says_to_look_at_again_and_again_is_looked_at_once, .timeout = 120)
{
    const uint64_t table = UINT64_C (1) << 24, entries = UINT64_C (1) << 22;
    const uint64_t snapshots = table + entries * 8;
    const uint64_t n = 60000, record = 40;
    Qcow2Disk disk;
    struct timespec used;
    Places p;

    make_disk (&disk);
    p = find_places (&disk);
    cr_assert_eq (ftruncate (p.fd, (off_t)(snapshots + n * record)), 0);
    for (uint64_t i = 0; i < n; i++) {
        put64 (p.fd, snapshots + i * record, table);
        put64 (p.fd, snapshots + i * record + 8, entries << 32);
    }
    put64 (p.fd, 64, snapshots);
    put64 (p.fd, 56, UINT64_C (1) << 32 | n); /* with the size of the refcount table before it */
    put64 (p.fd, 72, QCOW2_INCOMPATIBLE_DIRTY);
    close (p.fd);
    cr_assert_null (qcow2_disk_open (&disk, false), "it was repaired");
    clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &used);
#ifdef __SANITIZE_ADDRESS__
    used.tv_sec /= 8; /* each access costs so much more */
#endif
    cr_assert_lt (used.tv_sec, 3);
    qcow2_disk_clear (&disk);
}
