/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Saved state is one stream: a magic number, then sections. A section is a tag (the device's name), the
 * version of its contents, its length in bytes, and its fields; each field is a byte for its type and its
 * value. The types cost little and turn a field that was added, dropped or swapped into an error instead of
 * into a device with someone else's registers.
 *
 *   stream   "VMMSTAT1" section*
 *   section  u8 tag length, tag, u32 version, u32 length of the fields, fields
 *   field    'b' u8 | 'w' u16 | 'l' u32 | 'q' u64 | '?' bool | 'B' u32 length, bytes
 *
 * A reader believes nothing: every length is checked against what is there, a section must be used up to its
 * last byte, and after the first fault every get fails.
 */
#include "vmm/core/state.h"

#include <string.h>

#include "vmm/core/bytes.h"
#include "vmm/error.h"

#define MAGIC "VMMSTAT1"
#define MAGIC_LEN 8u
#define TAG_MAX 255u

struct _VmmStateWriter {
    GByteArray *bytes;
    guint section_start; /* of the fields of the open section; 0 when none is open */
};

struct _VmmStateReader {
    GBytes *bytes;
    VmmSpan all;
    size_t pos;
    size_t section_end;
    char *tag;   /* of the section that is open */
    char *fault; /* the first thing that was wrong in it */
};

/**
 * vmm_state_writer_new:
 *
 * Returns: (transfer full): a writer with an empty stream
 */
VmmStateWriter *
vmm_state_writer_new (void)
{
    VmmStateWriter *writer = g_new0 (VmmStateWriter, 1);

    writer->bytes = g_byte_array_new ();
    g_byte_array_append (writer->bytes, (const guint8 *)MAGIC, MAGIC_LEN);
    return writer;
}

/**
 * vmm_state_writer_free:
 * @writer: (nullable): with whatever it has written
 */
void
vmm_state_writer_free (VmmStateWriter *writer)
{
    if (writer == NULL)
        return;
    if (writer->bytes != NULL)
        g_byte_array_unref (writer->bytes);
    g_free (writer);
}

static void
append_u32 (VmmStateWriter *writer, uint32_t value)
{
    uint8_t buf[4];

    vmm_put_u32 (buf, value);
    g_byte_array_append (writer->bytes, buf, sizeof buf);
}

static void
put_field (VmmStateWriter *writer, char type, const void *data, size_t len)
{
    uint8_t t = (uint8_t)type;

    g_byte_array_append (writer->bytes, &t, 1);
    g_byte_array_append (writer->bytes, data, (guint)len);
}

/**
 * vmm_state_writer_begin:
 * @tag: the section's name, 1 to 255 bytes; longer ones are cut
 * @version: of the fields that follow
 *
 * Opens a section; the one before must have been ended.
 */
void
vmm_state_writer_begin (VmmStateWriter *writer, const char *tag, uint32_t version)
{
    uint8_t len = (uint8_t)MIN (strlen (tag), TAG_MAX);

    g_byte_array_append (writer->bytes, &len, 1);
    g_byte_array_append (writer->bytes, (const guint8 *)tag, len);
    append_u32 (writer, version);
    append_u32 (writer, 0);
    writer->section_start = writer->bytes->len;
}

/**
 * vmm_state_writer_end:
 *
 * Closes the open section.
 */
void
vmm_state_writer_end (VmmStateWriter *writer)
{
    vmm_put_u32 (writer->bytes->data + writer->section_start - 4, writer->bytes->len - writer->section_start);
    writer->section_start = 0;
}

/**
 * vmm_state_put_u8:
 *
 * Writes one field into the open section; so do the others.
 */
void
vmm_state_put_u8 (VmmStateWriter *writer, uint8_t value)
{
    put_field (writer, 'b', &value, sizeof value);
}

/**
 * vmm_state_put_u16:
 *
 * See vmm_state_put_u8().
 */
void
vmm_state_put_u16 (VmmStateWriter *writer, uint16_t value)
{
    put_field (writer, 'w', &value, sizeof value);
}

/**
 * vmm_state_put_u32:
 *
 * See vmm_state_put_u8().
 */
void
vmm_state_put_u32 (VmmStateWriter *writer, uint32_t value)
{
    put_field (writer, 'l', &value, sizeof value);
}

/**
 * vmm_state_put_u64:
 *
 * See vmm_state_put_u8().
 */
void
vmm_state_put_u64 (VmmStateWriter *writer, uint64_t value)
{
    put_field (writer, 'q', &value, sizeof value);
}

/**
 * vmm_state_put_bool:
 *
 * See vmm_state_put_u8().
 */
void
vmm_state_put_bool (VmmStateWriter *writer, bool value)
{
    uint8_t byte = value ? 1 : 0;

    put_field (writer, '?', &byte, sizeof byte);
}

/**
 * vmm_state_put_bytes:
 * @data: @len bytes
 *
 * See vmm_state_put_u8().
 */
void
vmm_state_put_bytes (VmmStateWriter *writer, const void *data, uint32_t len)
{
    put_field (writer, 'B', &len, sizeof len);
    g_byte_array_append (writer->bytes, data, len);
}

/**
 * vmm_state_writer_finish:
 *
 * Ends the stream; the writer can only be freed afterwards.
 *
 * Returns: (transfer full): the stream
 */
GBytes *
vmm_state_writer_finish (VmmStateWriter *writer)
{
    return g_byte_array_free_to_bytes (g_steal_pointer (&writer->bytes));
}

/**
 * vmm_state_reader_new:
 * @bytes: a stream; a reference is taken
 *
 * Returns: (transfer full): a reader before the first section
 */
VmmStateReader *
vmm_state_reader_new (GBytes *bytes)
{
    VmmStateReader *reader = g_new0 (VmmStateReader, 1);

    reader->bytes = g_bytes_ref (bytes);
    reader->all.data = g_bytes_get_data (bytes, &reader->all.len);
    return reader;
}

/**
 * vmm_state_reader_free:
 * @reader: (nullable)
 */
void
vmm_state_reader_free (VmmStateReader *reader)
{
    if (reader == NULL)
        return;
    g_bytes_unref (reader->bytes);
    g_free (reader->tag);
    g_free (reader->fault);
    g_free (reader);
}

static bool
header_fault (GError **error, const char *tag, const char *what)
{
    g_set_error (error, VMM_ERROR, VMM_ERROR_STATE, "saved state: section \"%s\": %s", tag, what);
    return false;
}

static bool
check_magic (VmmStateReader *reader)
{
    VmmSpan magic;

    if (reader->pos != 0)
        return true;
    if (!vmm_span_sub (reader->all, 0, MAGIC_LEN, &magic) || memcmp (magic.data, MAGIC, MAGIC_LEN) != 0)
        return false;
    reader->pos = MAGIC_LEN;
    return true;
}

/**
 * vmm_state_reader_enter:
 * @tag: the section that must come next
 * @max_version: the newest version that the caller understands
 * @ret_version: (out): the version that was saved
 *
 * Opens the next section.
 *
 * Returns: false with %VMM_ERROR_STATE when it is another one, is newer, or is cut off
 */
bool
vmm_state_reader_enter (VmmStateReader *reader, const char *tag, uint32_t max_version, uint32_t *ret_version,
                        GError **error)
{
    uint8_t tag_len;
    uint32_t version;
    uint32_t len;
    VmmSpan found;
    VmmSpan fields;

    if (!check_magic (reader))
        return header_fault (error, tag, "this is no saved state of vmm");
    if (!vmm_span_u8 (reader->all, reader->pos, &tag_len) ||
        !vmm_span_sub (reader->all, reader->pos + 1, tag_len, &found) ||
        !vmm_span_u32 (reader->all, reader->pos + 1 + tag_len, &version) ||
        !vmm_span_u32 (reader->all, reader->pos + 5 + tag_len, &len) ||
        !vmm_span_sub (reader->all, reader->pos + 9 + tag_len, len, &fields))
        return header_fault (error, tag, "the file ends before it");
    if (found.len != strlen (tag) || memcmp (found.data, tag, found.len) != 0)
        return header_fault (error, tag,
                             "another section is in its place: the machine was built with other devices");
    if (version > max_version)
        return header_fault (error, tag, "it was saved by a newer vmm");
    reader->pos += 9u + tag_len;
    reader->section_end = reader->pos + len;
    g_free (reader->tag);
    reader->tag = g_strdup (tag);
    g_clear_pointer (&reader->fault, g_free);
    *ret_version = version;
    return true;
}

/* The @len bytes of the next field, which must be of @type; NULL, now and ever after, when it is not there.
 */
static const uint8_t *
next_field (VmmStateReader *reader, char type, size_t len)
{
    size_t left = reader->section_end - reader->pos;
    const uint8_t *p;

    if (reader->fault != NULL || reader->tag == NULL)
        return NULL;
    p = reader->all.data + reader->pos;
    if (left < 1 || left - 1 < len) {
        reader->fault = g_strdup ("it ends too early");
        return NULL;
    }
    if (*p != (uint8_t)type) {
        reader->fault = g_strdup_printf ("the field at byte %zu is of another type", reader->pos);
        return NULL;
    }
    reader->pos += 1 + len;
    return p + 1;
}

/**
 * vmm_state_get_u8:
 * @ret_value: (out): untouched on failure
 *
 * Returns: false when the section's next field is not of this type, or anything was wrong before
 */
bool
vmm_state_get_u8 (VmmStateReader *reader, uint8_t *ret_value)
{
    const uint8_t *p = next_field (reader, 'b', sizeof *ret_value);

    if (p == NULL)
        return false;
    *ret_value = *p;
    return true;
}

/**
 * vmm_state_get_u16:
 *
 * Returns: see vmm_state_get_u8()
 */
bool
vmm_state_get_u16 (VmmStateReader *reader, uint16_t *ret_value)
{
    const uint8_t *p = next_field (reader, 'w', sizeof *ret_value);

    if (p == NULL)
        return false;
    *ret_value = vmm_get_u16 (p);
    return true;
}

/**
 * vmm_state_get_u32:
 *
 * Returns: see vmm_state_get_u8()
 */
bool
vmm_state_get_u32 (VmmStateReader *reader, uint32_t *ret_value)
{
    const uint8_t *p = next_field (reader, 'l', sizeof *ret_value);

    if (p == NULL)
        return false;
    *ret_value = vmm_get_u32 (p);
    return true;
}

/**
 * vmm_state_get_u64:
 *
 * Returns: see vmm_state_get_u8()
 */
bool
vmm_state_get_u64 (VmmStateReader *reader, uint64_t *ret_value)
{
    const uint8_t *p = next_field (reader, 'q', sizeof *ret_value);

    if (p == NULL)
        return false;
    *ret_value = vmm_get_u64 (p);
    return true;
}

/**
 * vmm_state_get_bool:
 *
 * Returns: see vmm_state_get_u8(); a value other than 0 and 1 is a fault
 */
bool
vmm_state_get_bool (VmmStateReader *reader, bool *ret_value)
{
    const uint8_t *p = next_field (reader, '?', 1);

    if (p == NULL)
        return false;
    if (*p > 1) {
        reader->fault = g_strdup ("a truth value is neither 0 nor 1");
        return false;
    }
    *ret_value = *p == 1;
    return true;
}

/**
 * vmm_state_get_bytes:
 * @buf: (out caller-allocates): room for @cap bytes
 * @ret_len: (out): how many there were
 *
 * Returns: see vmm_state_get_u8(); more than @cap bytes are a fault
 */
bool
vmm_state_get_bytes (VmmStateReader *reader, void *buf, uint32_t cap, uint32_t *ret_len)
{
    const uint8_t *p = next_field (reader, 'B', sizeof (uint32_t));
    uint32_t len;

    if (p == NULL)
        return false;
    len = vmm_get_u32 (p);
    if (len > cap || len > reader->section_end - reader->pos) {
        reader->fault = g_strdup_printf ("a field of %u bytes does not fit", len);
        return false;
    }
    memcpy (buf, reader->all.data + reader->pos, len);
    reader->pos += len;
    *ret_len = len;
    return true;
}

/**
 * vmm_state_reader_leave:
 *
 * Closes the open section, which must have been read to its end.
 *
 * Returns: false with %VMM_ERROR_STATE and the first fault when anything in the section was wrong
 */
bool
vmm_state_reader_leave (VmmStateReader *reader, GError **error)
{
    g_autofree char *tag = g_steal_pointer (&reader->tag);
    g_autofree char *fault = g_steal_pointer (&reader->fault);
    size_t left = reader->section_end - reader->pos;

    reader->pos = reader->section_end;
    if (tag == NULL)
        return header_fault (error, "(none)", "no section is open");
    if (fault != NULL)
        return header_fault (error, tag, fault);
    if (left != 0)
        return header_fault (error, tag, "it has more fields than expected");
    return true;
}
