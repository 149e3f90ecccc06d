/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cpio-list.h"
#include "images.h"
#include "loader/archive.h"
#include "vmm/error.h"

#define MIB ((uint64_t)1 << 20)

static const VmmArchiveLimits limits = {16 * MIB, 1000, false};

typedef struct {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100], magic[8],
        owner[32], group[32], major[8], minor[8], prefix[155], pad[12];
} Tar;

/* POSIX ustar, by hand: it says what libarchive's own writer would not. */
static void
put (GByteArray *tar, char type, const char *name, const char *link, const char *content, uint64_t size)
{
    Tar t = {.type = type,
             .magic = "ustar",
             .mode = "0000644",
             .uid = "0000001",
             .gid = "0000002",
             .mtime = "00000000003",
             .major = "0000005",
             .minor = "0000001"};
    unsigned sum = 0;
    size_t len = strlen (content);

    snprintf (t.name, sizeof t.name, "%s", name);
    snprintf (t.link, sizeof t.link, "%s", link);
    snprintf (t.size, sizeof t.size, "%011llo", (unsigned long long)size & 077777777777);
    memcpy (t.magic + 6, "00", 2);
    memset (t.sum, ' ', 8);
    for (size_t i = 0; i < sizeof t; i++)
        sum += ((const uint8_t *)&t)[i];
    snprintf (t.sum, sizeof t.sum, "%06o", sum & 0777777);
    g_byte_array_append (tar, (const guint8 *)&t, sizeof t);
    g_byte_array_append (tar, (const guint8 *)content, (guint)len);
    guint end = (tar->len + 511) & ~511u, from = tar->len;
    g_byte_array_set_size (tar, end);
    memset (tar->data + from, 0, end - from);
}

static void
put_file (GByteArray *tar, const char *name, const char *content)
{
    put (tar, '0', name, "", content, strlen (content));
}

static void
put_end (GByteArray *tar)
{
    guint from = tar->len;

    g_byte_array_set_size (tar, from + 1024);
    memset (tar->data + from, 0, 1024);
}

static int
file_of (const GByteArray *bytes)
{
    int fd = memfd_create ("test", MFD_CLOEXEC);

    cr_assert_eq (write (fd, bytes->data, bytes->len), (ssize_t)bytes->len);
    cr_assert_eq (lseek (fd, 0, SEEK_SET), 0);
    return fd;
}

static char *
unpack_limited (const GByteArray *bytes, const char *under, const VmmArchiveLimits *limit, GError **error)
{
    int fd = file_of (bytes);
    g_autoptr (VmmCpio) cpio = vmm_cpio_new (16 * MIB, NULL);
    g_autoptr (VmmArchive) archive = vmm_archive_open (fd, "a.tar", limit, error);
    char *list = NULL;

    if (archive != NULL && vmm_archive_unpack (archive, cpio, under, error)) {
        int made = vmm_cpio_finish (cpio, NULL);
        list = cpio_list_fd (made);
        close (made);
    }
    close (fd);
    return list;
}

static char *
unpack (const GByteArray *bytes, const char *under)
{
    g_autoptr (GError) error = NULL;
    char *list = unpack_limited (bytes, under, &limits, &error);

    cr_assert_null (error, "%s", error != NULL ? error->message : "");
    return list;
}

static GByteArray *
sample (void)
{
    GByteArray *tar = g_byte_array_new ();

    put (tar, '5', "./", "", "", 0);
    put (tar, '5', "d/", "", "", 0);
    put_file (tar, "d/f", "content");
    put (tar, '1', "d/g", "d/f", "", 0);
    put (tar, '2', "d/l", "../f", "", 0);
    put (tar, '3', "c", "", "", 0);
    put (tar, '6', "p", "", "", 0);
    put_end (tar);
    return tar;
}

#define SAMPLE(under, inode)                                                                                 \
    under "d 40644 1:2 3\n" under "d/f 100644 1:2 3 #" inode "*2 =content\n" under                           \
          "d/g 100644 1:2 3 #" inode "*2 =\n" under "d/l 120644 1:2 3 >../f\n" under                         \
          "c 20644 1:2 3 5,1\n" under "p 10644 1:2 3 "

Test (archive, a_tar_is_unpacked)
{
    g_autoptr (GByteArray) tar = sample ();
    g_autofree char *list = unpack (tar, "");

    cr_assert (g_str_has_prefix (list, SAMPLE ("", "2")), "%s", list);
    g_autofree char *below = unpack (tar, "r");
    cr_assert (g_str_has_prefix (below, "r 40644 1:2 3\n" SAMPLE ("r/", "3")), "%s", below);
}

Test (archive, it_may_be_compressed)
{
    const VmmCompression kinds[] = {VMM_COMPRESSION_GZIP, VMM_COMPRESSION_XZ, VMM_COMPRESSION_ZSTD,
                                    VMM_COMPRESSION_LZMA};
    g_autoptr (GByteArray) tar = sample ();

    for (size_t i = 0; i < G_N_ELEMENTS (kinds); i++) {
        g_autoptr (GByteArray) packed = image_compress (kinds[i], image_span (tar));
        g_autofree char *list = unpack (packed, "");
        cr_assert (g_str_has_prefix (list, SAMPLE ("", "2")), "%s: %s", vmm_compression_name (kinds[i]),
                   list);
    }
}

Test (archive, names_stay_inside)
{
    g_autoptr (GByteArray) tar = g_byte_array_new ();

    put_file (tar, "../../etc/passwd", "1");
    put_file (tar, "/abs", "2");
    put (tar, '1', "h", "../r/../abs", "", 0);
    put_end (tar);
    g_autofree char *list = unpack (tar, "r");
    cr_assert_str_eq (list, "r 40755 0:0 0\nr/etc 40755 0:0 0\nr/etc/passwd 100644 1:2 3 =1\n"
                            "r/abs 100644 1:2 3 #4*2 =2\nr/h 100644 1:2 3 #4*2 =\n");
}

Test (archive, other_alphabets_come_through)
{
    g_autoptr (GByteArray) tar = g_byte_array_new ();
    const char *pax = "19 path=gr\303\274\303\237e/\320\266\n";

    put_file (tar, "b\303\244r", "1");
    put_file (tar, "latin-\344", "2");
    put (tar, 'x', "pax", "", pax, strlen (pax));
    put_file (tar, "short", "3");
    put_end (tar);
    g_autofree char *list = unpack (tar, "");
    cr_assert_str_eq (list,
                      "b\303\244r 100644 1:2 3 =1\nlatin-\344 100644 1:2 3 =2\n"
                      "gr\303\274\303\237e 40755 0:0 0\ngr\303\274\303\237e/\320\266 100644 1:2 3 =3\n");
}

static void
put_member (GByteArray *ar, const char *name, const GByteArray *content)
{
    g_autofree char *header =
        g_strdup_printf ("%-16s%-12u%-6u%-6u%-8o%-10u`\n", name, 0u, 0u, 0u, 0100644u, content->len);

    g_byte_array_append (ar, (const guint8 *)header, 60);
    g_byte_array_append (ar, content->data, content->len);
    if (content->len % 2 != 0)
        g_byte_array_append (ar, (const guint8 *)"\n", 1);
}

Test (archive, a_package_is_its_data)
{
    g_autoptr (GByteArray) ar = g_byte_array_new (), text = g_byte_array_new (), tar = sample (), bad = NULL;
    g_autoptr (GByteArray) packed = image_compress (VMM_COMPRESSION_XZ, image_span (tar));
    g_autoptr (GError) error = NULL;

    g_byte_array_append (text, (const guint8 *)"2.0\n", 4);
    g_byte_array_append (ar, (const guint8 *)"!<arch>\n", 8);
    put_member (ar, "debian-binary", text);
    put_member (ar, "control.tar.xz", text);
    bad = g_byte_array_new ();
    g_byte_array_append (bad, ar->data, ar->len);
    put_member (ar, "data.tar.xz", packed);
    g_autofree char *list = unpack (ar, "");
    cr_assert (g_str_has_prefix (list, SAMPLE ("", "2")), "%s", list);
    cr_assert_null (unpack_limited (bad, "", &limits, &error));
    cr_assert (image_error_has (error, "an ar archive without data.tar"), "%s", error->message);
}

Test (archive, a_cpio_archive_is_one)
{
    g_autoptr (VmmCpio) cpio = vmm_cpio_new (MIB, NULL);
    uint8_t bytes[4096];

    cr_assert (vmm_cpio_add_file (cpio, "a/b", NULL, (VmmSpan){(const uint8_t *)"c", 1}, NULL));
    cr_assert (vmm_cpio_add_hard_link (cpio, "a/c", NULL, "a/b", NULL));
    int fd = vmm_cpio_finish (cpio, NULL);
    ssize_t n = pread (fd, bytes, sizeof bytes, 0);
    close (fd);
    GByteArray archive = {bytes, (guint)n};
    g_autofree char *list = unpack (&archive, "");
    cr_assert_str_eq (list, "a 40755 0:0 0\na/b 100644 0:0 0 #2*2 =c\na/c 100644 0:0 0 #2*2 =\n");
}

Test (archive, its_size_has_a_limit)
{
    g_autoptr (GByteArray) tar = g_byte_array_new (), many = g_byte_array_new ();
    g_autoptr (GError) large = NULL, for_initrd = NULL, entries = NULL;

    put_file (tar, "small", "1");
    put (tar, '0', "bomb", "", "", (uint64_t)4 << 30);
    cr_assert_null (unpack_limited (tar, "", &limits, &large));
    cr_assert (g_error_matches (large, VMM_ERROR, VMM_ERROR_USAGE));
    cr_assert_str_eq (large->message, "archive \"a.tar\": unpacks to more than 16.0 MiB");
    /* Only an initrd's can be helped. */
    cr_assert_null (unpack_limited (tar, "", &(VmmArchiveLimits){16 * MIB, 1000, true}, &for_initrd));
    cr_assert_str_eq (for_initrd->message,
                      "archive \"a.tar\": unpacks to more than 16.0 MiB; give more --mem, "
                      "or use a disk");
    for (int i = 0; i < 5; i++)
        put_file (many, "x", "");
    put_end (many);
    cr_assert_null (unpack_limited (many, "", &(VmmArchiveLimits){MIB, 4, false}, &entries));
    cr_assert (image_error_has (entries, "more than 4 entries"), "%s", entries->message);
    g_free (unpack_limited (many, "", &(VmmArchiveLimits){0, 5, false}, NULL));
}

Test (archive, damage_is_reported)
{
    g_autoptr (GByteArray) cut = g_byte_array_new (), text = g_byte_array_new (), link = g_byte_array_new ();
    g_autoptr (GError) cut_error = NULL, text_error = NULL, link_error = NULL;

    put (cut, '0', "cut", "", "only this", 5000);
    cr_assert_null (unpack_limited (cut, "", &limits, &cut_error));
    cr_assert (image_error_has (cut_error, "archive \"a.tar\": "), "%s", cut_error->message);
    g_byte_array_append (text, (const guint8 *)"this is just text, and long enough", 34);
    cr_assert_null (unpack_limited (text, "", &limits, &text_error));
    cr_assert (image_error_has (text_error, "archive \"a.tar\": "), "%s", text_error->message);
    put (link, '1', "h", "missing", "", 0);
    put_end (link);
    cr_assert_null (unpack_limited (link, "", &limits, &link_error));
    cr_assert (image_error_has (link_error, "archive \"a.tar\": initrd: \"/h\": this is a hard link to "
                                            "\"missing\", which is not there"),
               "%s", link_error->message);
    vmm_archive_free (NULL);
}
