/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "vmm/core/state.h"
#include "vmm/error.h"

typedef struct {
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    bool yes;
    bool no;
    uint8_t bytes[5];
    uint32_t len;
} Fields;

static const Fields sample = {0x12, 0x3456, 0x789abcde,      0x0123456789abcdefull,
                              true, false,  {1, 2, 3, 4, 5}, 5};

static void
put_all (VmmStateWriter *writer, const char *tag, uint32_t version)
{
    vmm_state_writer_begin (writer, tag, version);
    vmm_state_put_u8 (writer, sample.u8);
    vmm_state_put_u16 (writer, sample.u16);
    vmm_state_put_u32 (writer, sample.u32);
    vmm_state_put_u64 (writer, sample.u64);
    vmm_state_put_bool (writer, sample.yes);
    vmm_state_put_bool (writer, sample.no);
    vmm_state_put_bytes (writer, sample.bytes, sample.len);
    vmm_state_writer_end (writer);
}

static bool
get_all (VmmStateReader *reader, Fields *f)
{
    return vmm_state_get_u8 (reader, &f->u8) && vmm_state_get_u16 (reader, &f->u16) &&
           vmm_state_get_u32 (reader, &f->u32) && vmm_state_get_u64 (reader, &f->u64) &&
           vmm_state_get_bool (reader, &f->yes) && vmm_state_get_bool (reader, &f->no) &&
           vmm_state_get_bytes (reader, f->bytes, sizeof f->bytes, &f->len);
}

static GBytes *
two_sections (void)
{
    g_autoptr (VmmStateWriter) writer = vmm_state_writer_new ();

    put_all (writer, "serial", 3);
    put_all (writer, "rtc", 1);
    return vmm_state_writer_finish (writer);
}

/* Reads both sections to the end; what a machine does with a file. */
static bool
read_two (GBytes *bytes, Fields *a, Fields *b, GError **error)
{
    g_autoptr (VmmStateReader) reader = vmm_state_reader_new (bytes);
    uint32_t version;

    if (!vmm_state_reader_enter (reader, "serial", 3, &version, error))
        return false;
    get_all (reader, a);
    if (!vmm_state_reader_leave (reader, error) ||
        !vmm_state_reader_enter (reader, "rtc", 3, &version, error))
        return false;
    get_all (reader, b);
    return vmm_state_reader_leave (reader, error);
}

static void
assert_sample (const Fields *f)
{
    cr_assert_eq (f->u8, sample.u8);
    cr_assert_eq (f->u16, sample.u16);
    cr_assert_eq (f->u32, sample.u32);
    cr_assert_eq (f->u64, sample.u64);
    cr_assert (f->yes);
    cr_assert_not (f->no);
    cr_assert_eq (f->len, sample.len);
    cr_assert_arr_eq (f->bytes, sample.bytes, sizeof sample.bytes);
}

Test (state, fields_come_back_as_they_were_put)
{
    g_autoptr (GBytes) bytes = two_sections ();
    g_autoptr (GError) error = NULL;
    Fields a = {.no = true}, b = {.no = true};

    cr_assert (read_two (bytes, &a, &b, &error));
    cr_assert_null (error);
    assert_sample (&a);
    assert_sample (&b);
}

Test (state, version_comes_back)
{
    g_autoptr (GBytes) bytes = two_sections ();
    g_autoptr (VmmStateReader) reader = vmm_state_reader_new (bytes);
    uint32_t version = 0;

    cr_assert (vmm_state_reader_enter (reader, "serial", 7, &version, NULL));
    cr_assert_eq (version, 3u);
}

Test (state, empty_sections_and_empty_bytes_are_fine)
{
    g_autoptr (VmmStateWriter) writer = vmm_state_writer_new ();
    g_autoptr (GBytes) bytes = NULL;
    g_autoptr (VmmStateReader) reader = NULL;
    uint32_t version, len = 9;
    uint8_t buf[1];

    vmm_state_writer_begin (writer, "none", 1);
    vmm_state_writer_end (writer);
    vmm_state_writer_begin (writer, "empty", 1);
    vmm_state_put_bytes (writer, buf, 0);
    vmm_state_writer_end (writer);
    bytes = vmm_state_writer_finish (writer);
    reader = vmm_state_reader_new (bytes);
    cr_assert (vmm_state_reader_enter (reader, "none", 1, &version, NULL));
    cr_assert (vmm_state_reader_leave (reader, NULL));
    cr_assert (vmm_state_reader_enter (reader, "empty", 1, &version, NULL));
    cr_assert (vmm_state_get_bytes (reader, buf, 0, &len));
    cr_assert_eq (len, 0u);
    cr_assert (vmm_state_reader_leave (reader, NULL));
    cr_assert_not (vmm_state_reader_enter (reader, "more", 1, &version, NULL));
}

Test (state, truncated_at_every_byte_is_refused)
{
    g_autoptr (GBytes) bytes = two_sections ();

    for (size_t len = 0; len < g_bytes_get_size (bytes); len++) {
        /* An own copy of just that size, so that the address sanitizer sees any byte too many. */
        g_autoptr (GBytes) cut = g_bytes_new (g_bytes_get_data (bytes, NULL), len);
        g_autoptr (GError) error = NULL;
        Fields a, b;

        cr_assert_not (read_two (cut, &a, &b, &error), "%zu bytes were enough", len);
        cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_STATE), "%zu bytes", len);
    }
}

/* Any damage to a length, type, tag or version is noticed or changes values only; it never reads outside. */
Test (state, flipping_any_byte_is_survived)
{
    g_autoptr (GBytes) bytes = two_sections ();
    size_t len;
    const uint8_t *data = g_bytes_get_data (bytes, &len);

    for (size_t i = 0; i < len; i++) {
        for (unsigned flip = 1; flip < 256; flip = flip * 2 + 1) {
            g_autofree uint8_t *copy = g_malloc (len);
            g_autoptr (GBytes) bad = NULL;
            g_autoptr (GError) error = NULL;
            Fields a, b;

            memcpy (copy, data, len);
            copy[i] ^= (uint8_t)flip;
            bad = g_bytes_new_take (g_steal_pointer (&copy), len);
            if (!read_two (bad, &a, &b, &error))
                cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_STATE), "byte %zu", i);
            else
                cr_assert_gt (i, 7u, "the magic number was not looked at");
        }
    }
}

Test (state, another_section_is_refused_by_name)
{
    g_autoptr (GBytes) bytes = two_sections ();
    static const char *const wrong[] = {"rtc", "seria", "serial2", "", "Serial"};

    for (size_t i = 0; i < G_N_ELEMENTS (wrong); i++) {
        g_autoptr (VmmStateReader) reader = vmm_state_reader_new (bytes);
        g_autoptr (GError) error = NULL;
        uint32_t version = 77;

        cr_assert_not (vmm_state_reader_enter (reader, wrong[i], 9, &version, &error), "case %zu", i);
        cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_STATE));
        cr_assert_not_null (strstr (error->message, wrong[i]));
        cr_assert_eq (version, 77u);
        cr_assert (vmm_state_reader_enter (reader, "serial", 9, &version, NULL), "nothing was consumed");
    }
}

Test (state, newer_version_is_refused)
{
    g_autoptr (GBytes) bytes = two_sections ();
    g_autoptr (VmmStateReader) reader = vmm_state_reader_new (bytes);
    g_autoptr (GError) error = NULL;
    uint32_t version = 77;

    cr_assert_not (vmm_state_reader_enter (reader, "serial", 2, &version, &error));
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_STATE));
    cr_assert_not_null (strstr (error->message, "newer"), "%s", error->message);
    cr_assert_eq (version, 77u);
}

Test (state, field_of_another_type_is_refused_and_so_is_all_after_it)
{
    g_autoptr (GBytes) bytes = two_sections ();
    g_autoptr (VmmStateReader) reader = vmm_state_reader_new (bytes);
    g_autoptr (GError) error = NULL;
    uint32_t version;
    uint16_t v16 = 77;
    uint8_t v8 = 77;

    cr_assert (vmm_state_reader_enter (reader, "serial", 3, &version, NULL));
    cr_assert_not (vmm_state_get_u16 (reader, &v16));
    cr_assert_eq (v16, 77);
    cr_assert_not (vmm_state_get_u8 (reader, &v8), "a fault is kept");
    cr_assert_eq (v8, 77);
    cr_assert_not (vmm_state_reader_leave (reader, &error));
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_STATE));
    cr_assert_not_null (strstr (error->message, "serial"));
    cr_assert (vmm_state_reader_enter (reader, "rtc", 3, &version, NULL), "the next section is whole");
    cr_assert (vmm_state_get_u8 (reader, &v8));
    cr_assert_eq (v8, sample.u8);
}

Test (state, unread_fields_are_a_fault)
{
    g_autoptr (GBytes) bytes = two_sections ();
    g_autoptr (VmmStateReader) reader = vmm_state_reader_new (bytes);
    uint32_t version;
    uint8_t v8;

    cr_assert (vmm_state_reader_enter (reader, "serial", 3, &version, NULL));
    cr_assert (vmm_state_get_u8 (reader, &v8));
    cr_assert_not (vmm_state_reader_leave (reader, NULL));
}

Test (state, fields_end_with_their_section)
{
    g_autoptr (GBytes) bytes = two_sections ();
    g_autoptr (VmmStateReader) reader = vmm_state_reader_new (bytes);
    uint32_t version;
    uint8_t v8 = 77;
    Fields f;

    cr_assert_not (vmm_state_get_u8 (reader, &v8), "no section is open");
    cr_assert (vmm_state_reader_enter (reader, "serial", 3, &version, NULL));
    cr_assert (get_all (reader, &f));
    cr_assert_not (vmm_state_get_u8 (reader, &v8), "the next section's bytes are not this one's");
    cr_assert_eq (v8, 77);
    cr_assert_not (vmm_state_reader_leave (reader, NULL));
    cr_assert_not (vmm_state_reader_leave (reader, NULL), "no section is open");
}

Test (state, bytes_larger_than_the_buffer_are_refused)
{
    g_autoptr (VmmStateWriter) writer = vmm_state_writer_new ();
    g_autoptr (GBytes) bytes = NULL;
    g_autoptr (VmmStateReader) reader = NULL;
    uint8_t buf[5] = {9, 9, 9, 9, 9};
    uint32_t version, len = 77;

    vmm_state_writer_begin (writer, "a", 1);
    vmm_state_put_bytes (writer, sample.bytes, 5);
    vmm_state_writer_end (writer);
    bytes = vmm_state_writer_finish (writer);
    reader = vmm_state_reader_new (bytes);
    cr_assert (vmm_state_reader_enter (reader, "a", 1, &version, NULL));
    cr_assert_not (vmm_state_get_bytes (reader, buf, 4, &len));
    cr_assert_eq (len, 77u);
    cr_assert_eq (buf[0], 9);
    cr_assert_not (vmm_state_reader_leave (reader, NULL));
}

Test (state, truth_values_are_0_or_1)
{
    g_autoptr (VmmStateWriter) writer = vmm_state_writer_new ();
    g_autoptr (GBytes) bytes = NULL;
    g_autofree uint8_t *copy = NULL;
    g_autoptr (GBytes) bad = NULL;
    g_autoptr (VmmStateReader) reader = NULL;
    uint32_t version;
    bool v = true;
    size_t len;

    vmm_state_writer_begin (writer, "a", 1);
    vmm_state_put_bool (writer, false);
    vmm_state_writer_end (writer);
    bytes = vmm_state_writer_finish (writer);
    len = g_bytes_get_size (bytes);
    copy = g_memdup2 (g_bytes_get_data (bytes, NULL), len);
    copy[len - 1] = 2;
    bad = g_bytes_new_take (g_steal_pointer (&copy), len);
    reader = vmm_state_reader_new (bad);
    cr_assert (vmm_state_reader_enter (reader, "a", 1, &version, NULL));
    cr_assert_not (vmm_state_get_bool (reader, &v));
    cr_assert (v);
    cr_assert_not (vmm_state_reader_leave (reader, NULL));
}

/* Sections by hand: "VMMSTAT1", tag length, tag, version, length of the fields. */
static const struct {
    const char *what;
    uint8_t bytes[32];
    size_t len;
} hostile[] = {
    {"no magic number", {"VMMSTAT2\001a\001\0\0\0\0\0\0\0"}, 18},
    {"tag longer than the file", {"VMMSTAT1\377a\001\0\0\0\0\0\0\0"}, 18},
    {"fields longer than the file", {"VMMSTAT1\001a\001\0\0\0\001\0\0\0"}, 18},
    {"fields of 4 GiB", {"VMMSTAT1\001a\001\0\0\0\377\377\377\377"}, 18},
    {"no length", {"VMMSTAT1\001a\001\0\0\0"}, 14},
    {"only a magic number", {"VMMSTAT1"}, 8},
};

Test (state, hostile_headers_are_refused)
{
    for (size_t i = 0; i < G_N_ELEMENTS (hostile); i++) {
        g_autoptr (GBytes) bytes = g_bytes_new (hostile[i].bytes, hostile[i].len);
        g_autoptr (VmmStateReader) reader = vmm_state_reader_new (bytes);
        g_autoptr (GError) error = NULL;
        uint32_t version;

        cr_assert_not (vmm_state_reader_enter (reader, "a", 9, &version, &error), "%s", hostile[i].what);
        cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_STATE), "%s", hostile[i].what);
    }
}

Test (state, hostile_lengths_of_bytes_are_refused)
{
    static const uint8_t lens[][4] = {{2, 0, 0, 0}, {0xff, 0xff, 0xff, 0xff}, {0xff, 0xff, 0xff, 0x7f}};

    for (size_t i = 0; i < G_N_ELEMENTS (lens); i++) {
        uint8_t data[24] = "VMMSTAT1\001a\001\0\0\0\006\0\0\0B....x";
        uint8_t buf[16];
        g_autoptr (GBytes) bytes = NULL;
        g_autoptr (VmmStateReader) reader = NULL;
        uint32_t version, len = 77;

        memcpy (data + 19, lens[i], 4);
        bytes = g_bytes_new (data, 24);
        reader = vmm_state_reader_new (bytes);
        cr_assert (vmm_state_reader_enter (reader, "a", 9, &version, NULL));
        cr_assert_not (vmm_state_get_bytes (reader, buf, sizeof buf, &len), "case %zu", i);
        cr_assert_not (vmm_state_get_bytes (reader, buf, UINT32_MAX, &len), "case %zu", i);
        cr_assert_eq (len, 77u);
    }
}

Test (state, frees_take_null_and_half_written_streams)
{
    VmmStateWriter *writer = vmm_state_writer_new ();

    vmm_state_writer_begin (writer, "a", 1);
    vmm_state_put_u8 (writer, 1);
    vmm_state_writer_free (writer);
    vmm_state_writer_free (NULL);
    vmm_state_reader_free (NULL);
}
