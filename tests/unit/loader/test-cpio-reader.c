/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include <stdio.h>
#include <sys/stat.h>

#include "cpio-list.h"
#include "images.h"
#include "loader/cpio-reader.h"
#include "loader/cpio.h"
#include "vmm/error.h"

static void
put (GByteArray *archive, const char *name, unsigned mode, const char *content)
{
    char header[VMM_CPIO_HEADER_SIZE + 1];
    const uint8_t zeros[4] = {0};

    snprintf (header, sizeof header, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", 7u, mode,
              1u, 2u, 1u, 3u, (unsigned)strlen (content), 0u, 0u, 8u, 9u, (unsigned)strlen (name) + 1, 0u);
    g_byte_array_append (archive, (const guint8 *)header, VMM_CPIO_HEADER_SIZE);
    g_byte_array_append (archive, (const guint8 *)name, (guint)strlen (name) + 1);
    g_byte_array_append (archive, zeros, -archive->len & 3);
    g_byte_array_append (archive, (const guint8 *)content, (guint)strlen (content));
    g_byte_array_append (archive, zeros, -archive->len & 3);
}

static GByteArray *
sample (void)
{
    GByteArray *archive = g_byte_array_new ();

    put (archive, "d", 040755, "");
    put (archive, "d/f", 0100644, "content");
    put (archive, "d/l", 0120777, "target");
    put (archive, "c", 020600, "");
    put (archive, "TRAILER!!!", 0, "");
    return archive;
}

static bool
ignore_entry (void *data, const VmmCpioReadEntry *entry, GError **error)
{
    return true;
}

static bool
ignore_content (void *data, VmmSpan bytes, GError **error)
{
    return true;
}

static bool
refuse_end (void *data, GError **error)
{
    if (data == NULL)
        return true;
    g_set_error_literal (error, VMM_ERROR, VMM_ERROR_HOST, "enough");
    return false;
}

static const VmmCpioReaderOps ops = {ignore_entry, ignore_content, refuse_end};

static GError *
error_of (GByteArray *archive)
{
    g_autoptr (VmmCpioReader) reader = vmm_cpio_reader_new (&ops, NULL);
    GError *error = NULL;

    cr_assert_not (vmm_cpio_reader_feed (reader, image_span (archive), &error));
    cr_assert_not (vmm_cpio_reader_complete (reader));
    cr_assert_not (vmm_cpio_reader_feed (reader, image_span (archive), NULL), "it goes on after a failure");
    return error;
}

Test (cpio_reader, pieces_of_any_size_are_the_same)
{
    g_autoptr (GByteArray) archive = sample ();

    for (size_t step = 1; step <= archive->len; step++) {
        g_autofree char *list = cpio_list (image_span (archive), step);
        cr_assert_str_eq (list, "d 40755 1:2 3\n"
                                "d/f 100644 1:2 3 =content\n"
                                "d/l 120777 1:2 3 >target\n"
                                "c 20600 1:2 3 8,9\n");
    }
}

Test (cpio_reader, an_archive_is_complete_with_its_trailer)
{
    g_autoptr (GByteArray) archive = sample ();
    g_autoptr (VmmCpioReader) reader = vmm_cpio_reader_new (&ops, NULL);

    cr_assert (vmm_cpio_reader_feed (reader, (VmmSpan){archive->data, archive->len - 5}, NULL));
    cr_assert_not (vmm_cpio_reader_complete (reader));
    cr_assert (vmm_cpio_reader_feed (reader, (VmmSpan){archive->data + archive->len - 5, 5}, NULL));
    cr_assert (vmm_cpio_reader_complete (reader));
    cr_assert (vmm_cpio_reader_feed (reader, (VmmSpan){(const uint8_t *)"whatever", 8}, NULL));
    vmm_cpio_reader_free (NULL);
}

Test (cpio_reader, damage_is_noticed)
{
    static const struct {
        size_t at;
        const char *bytes;
        const char *says;
    } damages[] = {
        {0, "070702", "does not start with 070701"},
        {14, "x", "a number in a header is none"},
        {94, "00000000", "length of a name"},
        {94, "00000001", "length of a name"},
        {94, "00001001", "length of a name"},
        {94, "FFFFFFFF", "length of a name"},
        {110, "\0", "a name does not end where it should"},
        {111, "x", "a name does not end where it should"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS (damages); i++) {
        g_autoptr (GByteArray) archive = sample ();
        memcpy (archive->data + damages[i].at, damages[i].bytes, MAX (strlen (damages[i].bytes), 1));
        g_autoptr (GError) error = error_of (archive);
        cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_STATE));
        cr_assert (image_error_has (error, damages[i].says), "%zu: %s", i, error->message);
    }
}

Test (cpio_reader, targets_of_links_have_limits)
{
    g_autofree char *longest = g_strnfill (VMM_CPIO_PATH_MAX, 'x');
    g_autofree char *too_long = g_strnfill (VMM_CPIO_PATH_MAX + 1, 'x');
    g_autoptr (GByteArray) good = g_byte_array_new (), bad = g_byte_array_new (), empty = g_byte_array_new ();
    g_autoptr (VmmCpioReader) reader = vmm_cpio_reader_new (&ops, NULL);

    put (good, "l", 0120777, longest);
    cr_assert (vmm_cpio_reader_feed (reader, image_span (good), NULL));
    put (bad, "l", 0120777, too_long);
    g_autoptr (GError) error = error_of (bad);
    cr_assert (image_error_has (error, "length of a link's target"));
    put (empty, "l", 0120777, "");
    g_autoptr (GError) none = error_of (empty);
    cr_assert (image_error_has (none, "length of a link's target"));
    memset (good->data + VMM_CPIO_HEADER_SIZE + 2 + 5, 0, 1);
    g_autoptr (GError) zero = error_of (good);
    cr_assert (image_error_has (zero, "has a zero in it"));
}

Test (cpio_reader, who_reads_can_stop_it)
{
    g_autoptr (GByteArray) archive = sample ();
    g_autoptr (VmmCpioReader) reader = vmm_cpio_reader_new (&ops, archive);
    g_autoptr (GError) error = NULL;

    cr_assert_not (vmm_cpio_reader_feed (reader, image_span (archive), &error));
    cr_assert (image_error_has (error, "enough"));
}
