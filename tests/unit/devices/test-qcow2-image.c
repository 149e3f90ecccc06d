/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devices/block/qcow2.h"
#include "qcow2-disk.h"

#define DISK_SIZE (UINT64_C (3) << 20)
#define LONGEST_LIFE_US 20000u

#define NEED_TOOLS                                                                                           \
    if (!qcow2_have_tools ())                                                                                \
    cr_skip_test ("qemu-img and qemu-io are not installed")

/* One random operation on the image and on the model. */
static void
step (Qcow2Disk *disk, VmmQcow2 *image)
{
    uint64_t kind = qcow2_random (&disk->random) % 16,
             most = qcow2_random (&disk->random) % 8 == 0 ? 1024 : 48;
    uint64_t offset = qcow2_random (&disk->random) % (disk->size / 512) * 512;
    uint64_t sectors = qcow2_random (&disk->random) % most + 1,
             len = MIN (sectors * 512, disk->size - offset);
    g_autofree uint8_t *bytes = g_malloc (len);
    struct iovec iov[3] = {{bytes, len / 3}, {bytes + len / 3, 7}, {bytes + len / 3 + 7, len - len / 3 - 7}};

    memset (bytes, (int)(qcow2_random (&disk->random) | 1), len);
    vmm_put_u64 (bytes + len / 2, qcow2_random (&disk->random));
    if (kind < 9) {
        cr_assert_eq (vmm_qcow2_write (image, offset, len, iov, 3, 0), 0);
        memcpy (disk->model + offset, bytes, len);
    } else if (kind < 11) {
        cr_assert_eq (vmm_qcow2_write_zeroes (image, offset, len), 0);
        memset (disk->model + offset, 0, len);
    } else if (kind < 13) {
        cr_assert_eq (vmm_qcow2_discard (image, offset, len), 0);
        iov[0] = (struct iovec){disk->model + offset, len}; /* either is right */
        cr_assert_eq (vmm_qcow2_read (image, offset, len, iov, 1, 0), 0);
    } else if (kind < 15) {
        cr_assert_eq (vmm_qcow2_read (image, offset, len, iov, 3, 0), 0);
        cr_assert_eq (memcmp (bytes, disk->model + offset, len), 0);
    } else {
        cr_assert_eq (vmm_qcow2_commit (image), 0);
    }
}

/* Random work on what @command made, which reads as the model does. */
static void
work (Qcow2Disk *disk, const char *command, unsigned rounds)
{
    cr_assert_eq (qcow2_run (disk->folder, command), 0);
    for (unsigned round = 0; round < rounds; round++) {
        g_autoptr (VmmQcow2) image = qcow2_disk_open (disk, false);
        VmmQcow2CheckResult result;

        cr_assert_not_null (image);
        image->no_sync = true;
        cr_assert (qcow2_disk_same (disk, image));
        for (unsigned i = 0; i < 100; i++)
            step (disk, image);
        cr_assert_eq (vmm_qcow2_commit (image), 0);
        cr_assert (qcow2_disk_same (disk, image));
        cr_assert_eq (vmm_qcow2_check (image, &result), 0);
        cr_expect (result.errors + result.leaks + result.damage == 0);
    }
    cr_expect (qcow2_disk_judge (disk), "%s", command);
}

Test (qcow2_image, random_work_leaves_what_was_written_and_a_clean_file)
{
    static const char *const commands[] = {
        "qemu-img create -f qcow2 -o cluster_size=512 disk 3M",
        "qemu-img create -f qcow2 -o cluster_size=4096,refcount_bits=1 disk 3M",
        "qemu-img create -f qcow2 -o refcount_bits=64 disk 3M",
        "qemu-img create -f qcow2 -o compat=0.10,cluster_size=1024 disk 3M",
        "qemu-img create -f qcow2 -o cluster_size=2M,lazy_refcounts=on disk 3M",
        "qemu-img create -f qcow2 -o preallocation=metadata,cluster_size=8192 disk 3M",
    };

    NEED_TOOLS;
    for (unsigned i = 0; i < G_N_ELEMENTS (commands); i++) {
        Qcow2Disk disk;

        qcow2_disk_init (&disk, DISK_SIZE, i);
        work (&disk, commands[i], 2);
        qcow2_disk_clear (&disk);
    }
}

static void
fill_base (Qcow2Disk *disk, uint64_t len)
{
    g_autofree char *base = g_build_filename (disk->folder, "base", NULL);

    for (uint64_t i = 0; i < len; i++)
        disk->model[i] = (uint8_t)(i >> 9 ^ i >> 14);
    cr_assert (g_file_set_contents (base, (const char *)disk->model, (gssize)len, NULL));
}

Test (qcow2_image, what_is_behind_is_read_and_never_written)
{
    static const char *const commands[] = {
        "qemu-img create -f qcow2 -b base -F raw disk 3M",
        "qemu-img create -f qcow2 -o cluster_size=512 -b base -F raw disk 3M",
        "qemu-img create -f qcow2 -o compat=0.10,cluster_size=4096 -b base -F raw disk 3M",
        "qemu-img convert -f raw -O qcow2 -c base mid && qemu-img create -f qcow2 -b mid -F qcow2 disk 3M",
        "qemu-img create -f qcow2 -o cluster_size=2048 -b base -F raw mid 2M &&"
        "qemu-img create -f qcow2 -b mid -F qcow2 disk 3M",
    };

    NEED_TOOLS;
    for (unsigned i = 0; i < G_N_ELEMENTS (commands); i++) {
        g_autofree char *command = g_strconcat (commands[i], " && sha1sum base > sum", NULL);
        Qcow2Disk disk;

        qcow2_disk_init (&disk, DISK_SIZE, 100 + i);
        fill_base (&disk, (2 << 20) - 512 * 3);
        work (&disk, command, 2);
        cr_expect_eq (qcow2_run (disk.folder, "sha1sum -c sum"), 0);
        qcow2_disk_clear (&disk);
    }
}

Test (qcow2_image, compressed_clusters_are_read_and_replaced)
{
    static const char *const commands[] = {
        "qemu-img convert -f raw -O qcow2 -c base disk",
        "qemu-img convert -f raw -O qcow2 -c -o cluster_size=512 base disk",
        "qemu-img convert -f raw -O qcow2 -c -o cluster_size=2M base disk",
        "qemu-img convert -f raw -O qcow2 -c -o compression_type=zstd base disk",
    };

    NEED_TOOLS;
    for (unsigned i = 0; i < G_N_ELEMENTS (commands); i++) {
        Qcow2Disk disk;

        qcow2_disk_init (&disk, DISK_SIZE, 200 + i);
        fill_base (&disk, DISK_SIZE);
        work (&disk, commands[i], 2);
        qcow2_disk_clear (&disk);
    }
}

Test (qcow2_image, snapshots_stay_as_they_are)
{
    g_autofree uint8_t *before = NULL;
    Qcow2Disk disk;

    NEED_TOOLS;
    qcow2_disk_init (&disk, DISK_SIZE, 300);
    fill_base (&disk, DISK_SIZE);
    before = g_memdup2 (disk.model, DISK_SIZE);
    work (&disk,
          "qemu-img convert -f raw -O qcow2 -o cluster_size=4096 base disk && qemu-img snapshot -c one disk",
          2);
    cr_assert_eq (qcow2_run (disk.folder, "qemu-img snapshot -a one disk"), 0);
    memcpy (disk.model, before, DISK_SIZE);
    cr_expect (qcow2_disk_judge (&disk));
    qcow2_disk_clear (&disk);
}

Test (qcow2_image, a_grown_disk_has_zeroes_at_its_end_whatever_is_behind)
{
    Qcow2Disk disk;

    NEED_TOOLS;
    qcow2_disk_init (&disk, DISK_SIZE, 400);
    fill_base (&disk, DISK_SIZE);
    cr_assert_eq (
        qcow2_run (disk.folder, "qemu-img create -f qcow2 -o cluster_size=512 -b base -F raw disk 1M"), 0);
    {
        g_autoptr (VmmQcow2) image = qcow2_disk_open (&disk, false);

        cr_assert_not_null (image);
        cr_assert_eq (vmm_qcow2_grow (image, DISK_SIZE), 0);
        memset (disk.model + (1 << 20), 0, DISK_SIZE - (1 << 20));
        cr_expect (qcow2_disk_same (&disk, image));
        cr_assert_eq (vmm_qcow2_commit (image), 0);
    }
    cr_expect (qcow2_disk_judge (&disk));
    qcow2_disk_clear (&disk);
}

/* What the child was told that lasts. */
typedef struct {
    volatile uint64_t committed;
} Shared;

/* Each commit is numbered; the model after n commits follows from the seed alone. */
static void
write_until_killed (Qcow2Disk *disk, Shared *shared)
{
    VmmQcow2 *image = qcow2_disk_open (disk, false);

    image->no_sync = true; /* the page cache outlives the process, and fsync would only make it slow */
    for (uint64_t n = shared->committed;; n++) {
        for (unsigned i = 0; i < 8; i++)
            step (disk, image);
        if (vmm_qcow2_commit (image) != 0)
            _exit (1);
        shared->committed = n + 1;
    }
}

static void
kill_once (Qcow2Disk *disk, Shared *shared, unsigned useconds)
{
    pid_t pid = fork ();

    if (pid == 0)
        write_until_killed (disk, shared);
    usleep (useconds);
    kill (pid, SIGKILL);
    waitpid (pid, NULL, 0);
}

/* Sectors that were not written since the last commit are as the model has them. */
static void
catch_up (Qcow2Disk *disk, uint64_t commits)
{
    g_autofree char *copy = g_build_filename (disk->folder, "copy", NULL);
    char *path = disk->path;
    VmmQcow2 *image;

    /* The same steps on another file. */
    disk->path = copy;
    image = qcow2_disk_open (disk, false);
    cr_assert_not_null (image);
    image->no_sync = true;
    for (uint64_t n = 0; n < commits * 8; n++)
        step (disk, image);
    cr_assert_eq (vmm_qcow2_commit (image), 0);
    vmm_qcow2_image_free (image);
    disk->path = path;
}

/* The file may hold up to eight steps more than the last commit, where they overwrote in place. */
static void
expect_between (Qcow2Disk *disk, VmmQcow2 *image)
{
    g_autofree uint8_t *bytes = g_malloc (disk->size), *old = g_memdup2 (disk->model, disk->size);
    struct iovec iov = {bytes, disk->size};
    bool touched[DISK_SIZE / 512] = {0};

    cr_assert_eq (vmm_qcow2_read (image, 0, disk->size, &iov, 1, 0), 0);
    for (uint64_t random = disk->random, i = 0; i < 8; i++) {
        uint64_t offset, len, most;

        (void)qcow2_random (&random);
        most = qcow2_random (&random) % 8 == 0 ? 1024 : 48;
        offset = qcow2_random (&random) % (disk->size / 512);
        len = qcow2_random (&random) % most + 1;
        len = MIN (len, disk->size / 512 - offset);
        (void)qcow2_random (&random);
        (void)qcow2_random (&random);
        memset (touched + offset, true, len);
    }
    for (uint64_t sector = 0; sector < disk->size / 512; sector++)
        cr_assert (touched[sector] || memcmp (bytes + sector * 512, old + sector * 512, 512) == 0,
                   "sector %" PRIu64 " is lost", sector);
}

static void
survive_kill (Qcow2Disk *disk, Shared *shared, unsigned useconds)
{
    g_autofree uint8_t *model = g_memdup2 (disk->model, disk->size);
    VmmQcow2 *image;

    cr_assert_eq (qcow2_run (disk->folder, "cp fresh disk && cp fresh copy"), 0);
    shared->committed = 0;
    kill_once (disk, shared, useconds);
    cr_assert_eq (qcow2_run (disk->folder, "qemu-img check -f qcow2 disk"), 0);
    catch_up (disk, shared->committed);
    image = qcow2_disk_open (disk, true);
    cr_assert_not_null (image);
    expect_between (disk, image);
    vmm_qcow2_image_free (image);
    memcpy (disk->model, model, disk->size);
}

static void
survive_kills (const char *command, unsigned kills, uint64_t seed)
{
    Shared *shared = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t when = seed;
    Qcow2Disk disk;

    qcow2_disk_init (&disk, DISK_SIZE, 0);
    fill_base (&disk, DISK_SIZE);
    cr_assert_eq (qcow2_run (disk.folder, command), 0);
    for (unsigned i = 0; i < kills; i++) {
        disk.random = qcow2_random (&when);
        survive_kill (&disk, shared, qcow2_random (&when) % LONGEST_LIFE_US);
    }
    qcow2_disk_clear (&disk);
    munmap (shared, sizeof *shared);
}

static unsigned
kills_wanted (void)
{
    const char *text = g_getenv ("VMM_TEST_KILLS");

    return text != NULL ? (unsigned)atoi (text) : 20;
}

static uint64_t
seed_wanted (void)
{
    const char *text = g_getenv ("VMM_TEST_SEED");

    return text != NULL ? g_ascii_strtoull (text, NULL, 0) : (uint64_t)g_get_real_time ();
}

static void
kill_test (const char *command)
{
    uint64_t seed = seed_wanted ();

    NEED_TOOLS;
    fprintf (stderr, "VMM_TEST_SEED=%" PRIu64 "\n", seed);
    survive_kills (command, kills_wanted (), seed);
}

Test (qcow2_image, a_killed_writer_leaves_a_clean_file_with_all_that_was_flushed)
{
    kill_test ("qemu-img create -f qcow2 -o cluster_size=4096 -b base -F raw fresh 3M");
}

Test (qcow2_image, a_killed_writer_of_small_clusters_leaves_a_clean_file)
{
    kill_test ("qemu-img convert -f raw -O qcow2 -c -o compat=0.10,cluster_size=512 base fresh");
}
