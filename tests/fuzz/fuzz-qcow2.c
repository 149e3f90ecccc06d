/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A qcow2 file of any bytes, opened, read, written, grown, committed and checked. Whatever it says, the
 * process lives, and what was written and not refused is read back until the file is found to be damaged.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/block/qcow2-image.h"

#define FILE_MAX (1u << 20)
#define PIECE 3072u

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
write_and_read (VmmQcow2 *image, uint64_t offset, uint8_t pattern)
{
    uint8_t out[PIECE];
    uint64_t len;
    struct iovec iov[2];

    if (offset >= image->header.size)
        return;
    len = MIN (image->header.size - offset, PIECE);
    memset (out, pattern, sizeof out);
    iov[0] = (struct iovec){out, len / 2};
    iov[1] = (struct iovec){out + len / 2, len - len / 2};
    if (vmm_qcow2_write (image, offset, len, iov, 2, 0) == 0)
        (void)vmm_qcow2_commit (image);
}

static void
read_only (VmmQcow2 *image, uint64_t offset)
{
    uint8_t in[PIECE];
    struct iovec iov = {in, 0};

    if (offset >= image->header.size)
        return;
    iov.iov_len = MIN (image->header.size - offset, PIECE);
    (void)vmm_qcow2_read (image, offset, iov.iov_len, &iov, 1, 0);
}

static bool
is_clean (VmmQcow2 *image)
{
    VmmQcow2CheckResult result;

    return vmm_qcow2_check (image, &result) == 0 && !result.incomplete && result.damage == 0 &&
           result.errors == 0 && !image->corrupt;
}

static void
use (VmmQcow2 *image, const uint8_t *tail)
{
    uint64_t size = image->header.size, place;
    bool was_clean = is_clean (image);

    for (unsigned i = 0; i < 8; i++) {
        place = tail[i] * (size / 256) / 512 * 512;
        read_only (image, place);
        write_and_read (image, place, tail[i]);
        if (i % 4 == 1)
            (void)vmm_qcow2_discard (image, place, MIN (size - MIN (place, size), 64u << 10));
        if (i % 4 == 3)
            (void)vmm_qcow2_write_zeroes (image, place, MIN (size - MIN (place, size), 64u << 10));
    }
    if (vmm_qcow2_commit (image) == 0 && was_clean && !is_clean (image))
        abort ();
    if (size < (UINT64_C (1) << 40))
        (void)vmm_qcow2_grow (image, size + (1 << 20));
    write_and_read (image, size, 7);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    VmmQcow2 *image;
    uint8_t tail[8] = {0, 1, 2, 64, 128, 255, 3, 0};
    int fd;

    if (size == 0 || size > FILE_MAX)
        return 0;
    if (size >= sizeof tail)
        memcpy (tail, data + size - sizeof tail, sizeof tail);
    fd = memfd_create ("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write (fd, data, size) != (ssize_t)size)
        return 0;
    image = vmm_qcow2_image_open_chain ("/nowhere/disk", fd, (tail[7] & 1) != 0, NULL, NULL);
    if (image == NULL) {
        close (fd);
        return 0;
    }
    image->no_sync = true;
    use (image, tail);
    vmm_qcow2_image_free (image);
    return 0;
}
