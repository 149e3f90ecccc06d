/* SPDX-License-Identifier: Apache-2.0 */
#include "qcow2-disk.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Are qemu-img and qemu-io here? */
bool
qcow2_have_tools (void)
{
    g_autofree char *img = g_find_program_in_path ("qemu-img"), *io = g_find_program_in_path ("qemu-io");

    return img != NULL && io != NULL;
}

/* The next of a series of numbers that depends on its start only. */
uint64_t
qcow2_random (uint64_t *state)
{
    uint64_t z = *state += UINT64_C (0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C (0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C (0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Runs @command in @folder; its exit code, with its output on stderr when that is not 0. */
int
qcow2_run (const char *folder, const char *command)
{
    g_autofree char *out = NULL, *err = NULL;
    char *argv[] = {(char *)"/bin/sh", (char *)"-c", (char *)command, NULL};
    int status = -1;

    if (!g_spawn_sync (folder, argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &out, &err, &status, NULL))
        return -1;
    if (status != 0)
        fprintf (stderr, "%s:\n%s%s\n", command, out, err);
    return WIFEXITED (status) ? WEXITSTATUS (status) : -1;
}

/* A folder, and a model of zeroes. */
void
qcow2_disk_init (Qcow2Disk *disk, uint64_t size, uint64_t seed)
{
    disk->folder = g_dir_make_tmp ("vmm-qcow2-XXXXXX", NULL);
    disk->path = g_build_filename (disk->folder, "disk", NULL);
    disk->model = g_malloc0 (size);
    disk->size = size;
    disk->random = seed;
}

void
qcow2_disk_clear (Qcow2Disk *disk)
{
    g_autoptr (GDir) dir = g_dir_open (disk->folder, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
        g_autofree char *path = g_build_filename (disk->folder, name, NULL);

        g_unlink (path);
    }
    g_rmdir (disk->folder);
    g_free (disk->folder);
    g_free (disk->path);
    g_free (disk->model);
}

VmmQcow2 *
qcow2_disk_open (const Qcow2Disk *disk, bool read_only)
{
    g_autoptr (GError) error = NULL;
    int fd = open (disk->path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    VmmQcow2 *image = vmm_qcow2_image_open_chain (disk->path, fd, read_only, NULL, &error);

    if (image == NULL) {
        fprintf (stderr, "%s\n", error->message);
        close (fd);
    }
    return image;
}

/* Does @image read as the model? */
bool
qcow2_disk_same (const Qcow2Disk *disk, VmmQcow2 *image)
{
    g_autofree uint8_t *bytes = g_malloc (disk->size);
    struct iovec iov = {bytes, disk->size};

    if (vmm_qcow2_read (image, 0, disk->size, &iov, 1, 0) != 0)
        return false;
    for (uint64_t i = 0; i < disk->size; i++) {
        if (bytes[i] != disk->model[i]) {
            fprintf (stderr, "byte %" PRIu64 " is 0x%02x, not 0x%02x\n", i, bytes[i], disk->model[i]);
            return false;
        }
    }
    return true;
}

/* Does qemu-img find the image without errors and leaks, and reads it as the model? */
bool
qcow2_disk_judge (const Qcow2Disk *disk)
{
    g_autofree char *raw = g_build_filename (disk->folder, "model.raw", NULL);

    return g_file_set_contents (raw, (const char *)disk->model, (gssize)disk->size, NULL) &&
           qcow2_run (disk->folder, "qemu-img check -f qcow2 disk") == 0 &&
           qcow2_run (disk->folder, "qemu-img compare -f qcow2 -F raw disk model.raw") == 0;
}
