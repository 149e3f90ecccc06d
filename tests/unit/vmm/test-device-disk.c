/* SPDX-License-Identifier: Apache-2.0 */
/* The key disk: what it takes, what it says to mistakes, and what is told when an image's end fails. */
#include "devices/virtio/blk.h"
#include "vmm/device-kind.h"
#include "vmm/disk.h"
#include "vmm/error.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "virtio-driver.h"

#define MIB (UINT64_C (1) << 20)
#define F_FLUSH (UINT64_C (1) << 9)

static void
check_taken (const char *value)
{
    g_autoptr (VmmConfig) config = vmm_config_new ();
    g_autoptr (GError) error = NULL;

    cr_assert (vmm_config_set (config, "disk", value, &error), "%s", error->message);
}

/* The error names the whole value, and says @why. */
static void
check_refused (const char *value, const char *why)
{
    g_autoptr (VmmConfig) config = vmm_config_new ();
    g_autoptr (GError) error = NULL;

    cr_assert_not (vmm_config_set (config, "disk", value, &error), "%s is taken", value);
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE));
    cr_assert_not_null (strstr (error->message, why), "%s: %s", value, error->message);
    cr_assert_not_null (strstr (error->message, value), "%s: %s", value, error->message);
    cr_assert (g_str_has_prefix (error->message, "disk "), "%s", error->message);
}

Test (disk, all_words_are_taken)
{
    static const char *const values[] = {
        "a.img",
        "a,,b.img,readonly",
        "a.img,format=raw",
        "a.img,format=qcow2,ephemeral",
        "a.img,cache=writeback",
        "a.img,cache=writethrough",
        "a.img,cache=none",
        "a.img,readonly=on",
        "a.img,readonly=off,ephemeral=on",
        "a.img,discard",
        "a.img,discard=off",
        "a.img,queues=1",
        "a.img,queues=16",
        "a.img,serial=12345678901234567890",
        "a.img,serial=",
        "a.img,iops=0",
        "a.img,iops=1",
        "a.img,iops=1000000000",
        "a.img,bps=0",
        "a.img,bps=4096",
        "a.img,bps=10M",
        "a.img,bps=16G",
        "a.img,iops=100,bps=1m,queues=4,serial=x,cache=none,format=raw,discard",
    };

    for (size_t i = 0; i < G_N_ELEMENTS (values); i++)
        check_taken (values[i]);
}

Test (disk, mistakes_are_told)
{
    static const struct {
        const char *value;
        const char *why;
    } rows[] = {
        {"", "give an image file or a block device"},
        {",format=raw", "give an image file or a block device"},
        {"a.img,format=vmdk", "format=vmdk: say one of raw, qcow2"},
        {"a.img,format=", "format=: say one of"},
        {"a.img,format", "format=: say one of"},
        {"a.img,cache=unsafe", "cache=unsafe: say one of writeback, writethrough, none"},
        {"a.img,readonly=yes", "readonly=yes: say readonly, readonly=on or readonly=off"},
        {"a.img,ephemeral=1", "ephemeral=1: say ephemeral"},
        {"a.img,discard=unmap", "discard=unmap: say discard"},
        {"a.img,queues=0", "queues=0: give a number from 1 to 16"},
        {"a.img,queues=17", "queues=17: give a number from 1 to 16"},
        {"a.img,queues=two", "queues=two: give a number"},
        {"a.img,queues", "queues=: give a number"},
        {"a.img,serial=123456789012345678901", "at most 20 bytes"},
        {"a.img,iops=-1", "iops=-1: give a number from 0 to 1000000000"},
        {"a.img,iops=1000000001", "iops=1000000001: give a number"},
        {"a.img,iops=1K", "iops=1K: give a number"},
        {"a.img,iops=", "iops=: give a number"},
        {"a.img,bps=4095", "bps=4095: give bytes per second from 4K to 16G, or 0"},
        {"a.img,bps=17G", "give bytes per second from 4K to 16G, or 0"},
        {"a.img,bps=1X", "bps=1X: give a number with K, M, G or T"},
        {"a.img,bps=-1", "bps=-1: give a number"},
        {"a.img,bps", "bps=: give a number"},
        {"a.img,readonly,ephemeral", "exclude each other"},
        {"a.img,speed=9", "\"speed=9\" is not known"},
        {"a.img,Readonly", "\"Readonly\" is not known"},
        {"a.img,", "\"\" is not known"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS (rows); i++)
        check_refused (rows[i].value, rows[i].why);
}

typedef struct {
    char *folder;
    char *path;
    void *description;
    void *backend;
} Image;

/* An empty image of @format with @words behind its path, open. */
static void
open_image (Image *image, VmmDiskFormat format, const char *words)
{
    const VmmDeviceKind *kind = vmm_device_kind_find ("disk");
    VmmDeviceHost host = {.name = "disk0"};
    g_autofree char *value = NULL;
    g_autoptr (GError) error = NULL;

    image->folder = g_dir_make_tmp ("disk-XXXXXX", NULL);
    image->path = g_build_filename (image->folder, "a.img", NULL);
    cr_assert (vmm_disk_create (image->path, format, 64 * MIB, 0, NULL, VMM_DISK_RAW, false, &error), "%s",
               error->message);
    value = g_strconcat (image->path, words, NULL);
    image->description = kind->parse (value, NULL);
    cr_assert_not_null (image->description);
    image->backend = kind->open (image->description, &host, &error);
    cr_assert_not_null (image->backend, "%s", error->message);
}

static void
close_image (Image *image)
{
    const VmmDeviceKind *kind = vmm_device_kind_find ("disk");

    if (image->backend != NULL)
        kind->close (image->backend);
    kind->free_description (image->description);
    g_unlink (image->path);
    g_rmdir (image->folder);
    g_free (image->path);
    g_free (image->folder);
}

/* From now on no file grows beyond @bytes, as on a file system that is full. */
static void
limit_files (rlim_t bytes)
{
    struct rlimit limit;

    signal (SIGXFSZ, SIG_IGN);
    cr_assert_eq (getrlimit (RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    cr_assert_eq (setrlimit (RLIMIT_FSIZE, &limit), 0);
}

static void
fill_up (const Image *image)
{
    struct stat st;

    cr_assert_eq (g_stat (image->path, &st), 0);
    limit_files ((rlim_t)st.st_size);
}

/* One boot of a guest that writes a sector at each of @n places, flushes or not, and is gone, when the host
 * may be full. */
static void
boot (const Image *image, unsigned n, bool flush, bool full)
{
    const VmmDeviceKind *kind = vmm_device_kind_find ("disk");
    VmmVirtioEnv env = {
        .memory = vmm_virtq_memory_new (4 * MIB), .loop = vmm_loop_new ("disk", NULL), .name = "disk0"};
    VmmVirtioDevice *device = kind->make (image->description, image->backend, &env, NULL);
    VmmVirtqHeap heap;
    VmmVirtqDriver *queue;

    vmm_virtq_heap_init (&heap, env.memory, 0x1000, 3 * MIB);
    queue = vmm_virtq_driver_new (&heap, 16, 0);
    cr_assert (vmm_virtio_driver_negotiate (device, vmm_virtq_driver_features (queue) | F_FLUSH));
    vmm_virtio_driver_set_queue (device, 0, queue);
    cr_assert (vmm_virtio_driver_start (device));
    for (unsigned i = 0; i < n + flush; i++) {
        struct {
            uint32_t type, reserved;
            uint64_t sector;
        } header = {i < n ? 1 : 4, 0, i * 1000};
        uint8_t pending = 0xff;
        VmmVirtqSegment out[2] = {vmm_virtq_heap_put (&heap, &header, sizeof header),
                                  vmm_virtq_heap_alloc (&heap, 512)};
        VmmVirtqSegment in = vmm_virtq_heap_put (&heap, &pending, 1);
        gint64 end = g_get_monotonic_time () + 20 * G_USEC_PER_SEC;

        cr_assert_geq (vmm_virtq_driver_add (queue, out, i < n ? 2 : 1, &in, 1), 0);
        if (vmm_virtq_driver_publish (queue))
            vmm_virtio_device_notify (device, 0);
        while (!vmm_virtq_driver_poll_used (queue, NULL, NULL)) {
            cr_assert_lt (g_get_monotonic_time (), end);
            g_usleep (50);
        }
        cr_assert_eq (*(uint8_t *)vmm_virtq_heap_bytes (&heap, in), 0);
    }
    if (full)
        fill_up (image);
    vmm_virtio_device_set_status (device, 0);
    vmm_virtio_device_free (device);
    vmm_virtq_driver_free (queue);
    vmm_loop_free (env.loop);
    vmm_guest_memory_free (env.memory);
}

/* Also after a reboot, which tried to store it, too. */
Test (disk, what_cannot_be_stored_at_the_end_is_told, .timeout = 60)
{
    const VmmDeviceKind *kind = vmm_device_kind_find ("disk");
    g_autoptr (GError) error = NULL;
    Image image = {0};

    open_image (&image, VMM_DISK_QCOW2, ",format=qcow2");
    boot (&image, 3, false, true);
    boot (&image, 0, false, false);
    cr_assert_not (kind->settle (image.backend, &error));
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_HOST));
    cr_assert_not_null (strstr (error->message, image.path), "%s", error->message);
    cr_assert_not_null (strstr (error->message, g_strerror (EFBIG)), "%s", error->message);
    close_image (&image);
}

/* It is tried again until the end: when there is room by then, nothing is lost, and nothing is told. */
Test (disk, what_finds_room_until_the_end_is_not_lost, .timeout = 60)
{
    const VmmDeviceKind *kind = vmm_device_kind_find ("disk");
    g_autoptr (GError) error = NULL;
    Image image = {0};
    VmmDiskCheck found;

    open_image (&image, VMM_DISK_QCOW2, ",format=qcow2");
    boot (&image, 3, false, true);
    cr_assert_not (kind->settle (image.backend, NULL));
    limit_files (RLIM_INFINITY);
    cr_assert (kind->settle (image.backend, &error), "%s", error->message);
    kind->close (g_steal_pointer (&image.backend));
    cr_assert (vmm_disk_check (image.path, &found, NULL));
    cr_assert_eq (found.damage + found.errors + found.leaks, 0);
    cr_assert_eq (found.allocated, 3);
    close_image (&image);
}

Test (disk, who_has_nothing_left_to_store_hears_nothing, .timeout = 60)
{
    static const struct {
        VmmDiskFormat format;
        const char *words;
        bool flush;
    } rows[] = {
        {VMM_DISK_QCOW2, ",format=qcow2", true},
        {VMM_DISK_QCOW2, ",format=qcow2,cache=writethrough", false},
        {VMM_DISK_QCOW2, ",format=qcow2,ephemeral", false},
        {VMM_DISK_RAW, "", false},
    };
    const VmmDeviceKind *kind = vmm_device_kind_find ("disk");

    for (size_t i = 0; i < G_N_ELEMENTS (rows); i++) {
        g_autoptr (GError) error = NULL;
        Image image = {0};

        open_image (&image, rows[i].format, rows[i].words);
        cr_assert (kind->settle (image.backend, NULL));
        boot (&image, 3, rows[i].flush, true);
        cr_assert (kind->settle (image.backend, &error), "row %zu: %s", i, error->message);
        limit_files (RLIM_INFINITY);
        close_image (&image);
    }
}
