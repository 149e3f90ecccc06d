/* SPDX-License-Identifier: Apache-2.0 */
/* The input is an archive; the first byte makes its limits. What comes out keeps to them. */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/archive.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

#define ARCHIVE_MAX (4u << 20)

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    VmmArchiveLimits limits = {(uint64_t)data[0] << 12, 64, data[0] & 1};
    g_autoptr (VmmCpio) cpio = vmm_cpio_new (ARCHIVE_MAX, NULL);
    int fd = memfd_create ("fuzz", MFD_CLOEXEC);
    struct stat st;

    if (fd < 0 || write (fd, data + 1, size - 1) != (ssize_t)size - 1 || lseek (fd, 0, SEEK_SET) != 0)
        abort ();
    g_autoptr (VmmArchive) archive = vmm_archive_open (fd, "fuzz", &limits, NULL);
    if (archive != NULL)
        vmm_archive_unpack (archive, cpio, "under", NULL);
    int made = vmm_cpio_finish (cpio, NULL);
    if (made < 0 || fstat (made, &st) < 0 || st.st_size > ARCHIVE_MAX)
        abort ();
    close (made);
    close (fd);
    return 0;
}
