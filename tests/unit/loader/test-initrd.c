/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "images.h"
#include "loader/initrd.h"
#include "vmm/error.h"

#define MIB ((uint64_t)1 << 20)

static const VmmInitrdPlace place = {
    .low_end = 64 * MIB,
    .addr_max = 0x7fffffff,
    .kernel_start = 16 * MIB,
    .kernel_end = 32 * MIB,
};

static int
file_of (const char *start, size_t len)
{
    int fd = memfd_create ("test", MFD_CLOEXEC);

    cr_assert_geq (fd, 0);
    cr_assert_eq (ftruncate (fd, (off_t)len), 0);
    cr_assert_eq (pwrite (fd, start, strlen (start), 0), (ssize_t)strlen (start));
    cr_assert_eq (pwrite (fd, "Z", 1, (off_t)len - 1), 1);
    return fd;
}

static void
add (VmmInitrd *initrd, int fd, const char *name)
{
    g_autoptr (GError) error = NULL;

    cr_assert (vmm_initrd_add (initrd, fd, name, &error), "%s", error != NULL ? error->message : "");
    close (fd);
}

Test (initrd, one_file_goes_to_the_top)
{
    g_autoptr (VmmGuestMemory) memory = image_guest_memory (64);
    g_autoptr (VmmInitrd) initrd = vmm_initrd_new ();
    uint64_t gpa = 0;
    char start[8], last;

    cr_assert_eq (vmm_initrd_size (initrd), 0);
    add (initrd, file_of ("070701xx", 5000), "a");
    cr_assert_eq (vmm_initrd_size (initrd), 5000);
    cr_assert_null (vmm_initrd_warning (initrd));
    cr_assert (vmm_initrd_load (initrd, memory, &place, &gpa, NULL));
    cr_assert_eq (gpa, 64 * MIB - 8192);
    cr_assert (vmm_guest_memory_read (memory, gpa, start, 8));
    cr_assert_arr_eq (start, "070701xx", 8);
    cr_assert (vmm_guest_memory_read (memory, gpa + 4999, &last, 1));
    cr_assert_eq (last, 'Z');
}

Test (initrd, several_files_start_at_multiples_of_four)
{
    g_autoptr (VmmGuestMemory) memory = image_guest_memory (64);
    g_autoptr (VmmInitrd) initrd = vmm_initrd_new ();
    uint64_t gpa = 0;
    char got[40];

    add (initrd, file_of ("070701", 13), "a");
    add (initrd, file_of ("070702", 7), "b");
    add (initrd, file_of ("\x1f\x8b", 9), "c");
    cr_assert_eq (vmm_initrd_size (initrd), 16 + 8 + 9);
    /* As if the kernel had been unpacked there. */
    vmm_guest_memory_fill (memory, 60 * MIB, 0xee, 4 * MIB);
    cr_assert (vmm_initrd_load (initrd, memory, &place, &gpa, NULL));
    cr_assert (vmm_guest_memory_read (memory, gpa, got, 33));
    cr_assert_arr_eq (got, "070701\0\0\0\0\0\0Z\0\0\0", 16);
    cr_assert_arr_eq (got + 16, "070702Z\0", 8);
    cr_assert_arr_eq (got + 24, "\x1f\x8b\0\0\0\0\0\0Z", 9);
}

Test (initrd, the_kernels_limit_is_kept)
{
    g_autoptr (VmmGuestMemory) memory = image_guest_memory (64);
    g_autoptr (VmmInitrd) initrd = vmm_initrd_new ();
    VmmInitrdPlace low = place;
    uint64_t gpa = 0;

    low.addr_max = 48 * MIB - 1;
    add (initrd, file_of ("070701", 4096), "a");
    cr_assert (vmm_initrd_load (initrd, memory, &low, &gpa, NULL));
    cr_assert_eq (gpa, 48 * MIB - 4096);
}

Test (initrd, it_goes_below_a_kernel_that_is_high)
{
    g_autoptr (VmmGuestMemory) memory = image_guest_memory (64);
    g_autoptr (VmmInitrd) initrd = vmm_initrd_new ();
    VmmInitrdPlace high = place;
    uint64_t gpa = 0;

    high.kernel_start = 40 * MIB;
    high.kernel_end = 62 * MIB;
    add (initrd, file_of ("070701", 8 * MIB), "a");
    cr_assert (vmm_initrd_load (initrd, memory, &high, &gpa, NULL));
    cr_assert_eq (gpa, 32 * MIB);
}

Test (initrd, too_large_says_the_sizes)
{
    g_autoptr (VmmGuestMemory) memory = image_guest_memory (64);
    g_autoptr (VmmInitrd) initrd = vmm_initrd_new ();
    g_autoptr (GError) error = NULL;
    uint64_t gpa = 77;

    add (initrd, file_of ("070701", 30 * MIB), "a.img");
    add (initrd, file_of ("070701", 3 * MIB), "b.img");
    cr_assert_not (vmm_initrd_load (initrd, memory, &place, &gpa, &error));
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE));
    cr_assert (image_error_has (error, "initrd \"a.img\" and 1 more: 33.0 MiB"), "%s", error->message);
    cr_assert (image_error_has (error, "64.0 MiB of guest memory"), "%s", error->message);
    cr_assert (image_error_has (error, "kernel's 16.0 MiB"), "%s", error->message);
    cr_assert_eq (gpa, 77);
}

Test (initrd, a_file_that_shrinks_is_noticed)
{
    g_autoptr (VmmGuestMemory) memory = image_guest_memory (64);
    g_autoptr (VmmInitrd) initrd = vmm_initrd_new ();
    g_autoptr (GError) error = NULL;
    int fd = file_of ("070701", 8192);
    uint64_t gpa;

    cr_assert (vmm_initrd_add (initrd, fd, "a", NULL));
    cr_assert_eq (ftruncate (fd, 5000), 0);
    close (fd);
    cr_assert_not (vmm_initrd_load (initrd, memory, &place, &gpa, &error));
    cr_assert (image_error_has (error, "became shorter while it was read, 5000 of 8192 bytes"), "%s",
               error->message);
}

Test (initrd, a_file_that_grows_keeps_its_size)
{
    g_autoptr (VmmGuestMemory) memory = image_guest_memory (64);
    g_autoptr (VmmInitrd) initrd = vmm_initrd_new ();
    int fd = file_of ("070701", 4096);
    uint64_t gpa = 0;
    uint8_t after;

    cr_assert (vmm_initrd_add (initrd, fd, "a", NULL));
    add (initrd, file_of ("070701", 4096), "b");
    cr_assert_eq (pwrite (fd, "more", 4, 4096), 4);
    close (fd);
    cr_assert (vmm_initrd_load (initrd, memory, &place, &gpa, NULL));
    cr_assert (vmm_guest_memory_read (memory, gpa + 4096, &after, 1));
    cr_assert_eq (after, '0');
}

Test (initrd, a_pipe_works)
{
    g_autoptr (VmmGuestMemory) memory = image_guest_memory (64);
    g_autoptr (VmmInitrd) initrd = vmm_initrd_new ();
    uint64_t gpa = 0;
    char got[10];
    int fds[2];

    cr_assert_eq (pipe (fds), 0);
    cr_assert_eq (write (fds[1], "070701pipe", 10), 10);
    close (fds[1]);
    add (initrd, fds[0], "/dev/stdin");
    cr_assert_eq (vmm_initrd_size (initrd), 10);
    cr_assert_null (vmm_initrd_warning (initrd));
    cr_assert (vmm_initrd_load (initrd, memory, &place, &gpa, NULL));
    cr_assert (vmm_guest_memory_read (memory, gpa, got, 10));
    cr_assert_arr_eq (got, "070701pipe", 10);
}

Test (initrd, what_cannot_be_read_is_refused)
{
    g_autoptr (VmmInitrd) initrd = vmm_initrd_new ();
    g_autoptr (GError) directory = NULL, empty = NULL, closed = NULL;
    int fd = open ("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int nothing = memfd_create ("test", MFD_CLOEXEC);

    cr_assert_not (vmm_initrd_add (initrd, fd, "/", &directory));
    cr_assert (g_error_matches (directory, VMM_ERROR, VMM_ERROR_USAGE));
    cr_assert (image_error_has (directory, "initrd \"/\": Is a directory"));
    cr_assert_not (vmm_initrd_add (initrd, nothing, "n", &empty));
    cr_assert (image_error_has (empty, "initrd \"n\": the file is empty"));
    cr_assert_not (vmm_initrd_add (initrd, -1, "c", &closed));
    cr_assert (image_error_has (closed, "initrd \"c\": Bad file descriptor"));
    cr_assert_eq (vmm_initrd_size (initrd), 0);
    close (fd);
    close (nothing);
}

Test (initrd, a_huge_file_is_refused_without_reading_it)
{
    g_autoptr (VmmInitrd) initrd = vmm_initrd_new ();
    g_autoptr (GError) error = NULL;
    int fd = memfd_create ("test", MFD_CLOEXEC);

    cr_assert_eq (ftruncate (fd, (off_t)1 << 40), 0);
    cr_assert_not (vmm_initrd_add (initrd, fd, "h", &error));
    cr_assert (image_error_has (error, "1048576.0 MiB"), "%s", error->message);
    close (fd);
}

Test (initrd, another_kind_of_file_is_warned_about)
{
    g_autoptr (VmmInitrd) initrd = vmm_initrd_new ();

    add (initrd, file_of ("070701", 4096), "good");
    cr_assert_null (vmm_initrd_warning (initrd));
    add (initrd, file_of ("hello", 4096), "bad");
    cr_assert_not_null (vmm_initrd_warning (initrd));
    cr_assert_not_null (strstr (vmm_initrd_warning (initrd), "initrd \"bad\""));
}

Test (initrd, none_is_the_callers_mistake)
{
    g_autoptr (VmmGuestMemory) memory = image_guest_memory (64);
    g_autoptr (VmmInitrd) initrd = vmm_initrd_new ();
    uint64_t gpa;

    cr_assert_not (vmm_initrd_load (initrd, memory, &place, &gpa, NULL));
    vmm_initrd_free (NULL);
}
