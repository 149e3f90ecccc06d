/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Reads a newc archive that comes in pieces of any size, from somebody who may mean harm. Header, name and a
 * link's target are collected in buffers of fixed size; content passes through. So an archive has no say in
 * how much memory is used, and each byte is looked at once.
 */
#include "loader/cpio-reader.h"

#include <sys/stat.h>

#include "loader/cpio.h"
#include "vmm/error.h"

#define FIELDS 13u
#define DIGITS 8u

typedef enum {
    IN_HEADER,
    IN_NAME,
    BEHIND_NAME,
    IN_TARGET,
    IN_CONTENT,
    BEHIND_CONTENT,
    AT_END,
    FAILED,
} State;

struct _VmmCpioReader {
    const VmmCpioReaderOps *ops;
    void *data;
    State state;
    uint64_t at;                          /* of the archive */
    uint64_t missing;                     /* bytes of the present part */
    VmmCpioReadEntry entry;               /* the present one, without its names */
    size_t len;                           /* of the part that is being collected */
    uint8_t header[VMM_CPIO_HEADER_SIZE]; /* the one of these that is being collected */
    char name[VMM_CPIO_PATH_MAX + 1];
    char target[VMM_CPIO_PATH_MAX + 1];
};

/**
 * vmm_cpio_reader_new:
 * @ops: who gets the entries; has to stay
 * @data: for them
 *
 * Any one thread at a time.
 *
 * Returns: (transfer full): a reader at the start of an archive
 */
VmmCpioReader *
vmm_cpio_reader_new (const VmmCpioReaderOps *ops, void *data)
{
    VmmCpioReader *reader = g_new0 (VmmCpioReader, 1);

    reader->ops = ops;
    reader->data = data;
    reader->missing = VMM_CPIO_HEADER_SIZE;
    return reader;
}

/**
 * vmm_cpio_reader_free:
 * @reader: (nullable): a reader
 */
void
vmm_cpio_reader_free (VmmCpioReader *reader)
{
    g_free (reader);
}

/**
 * vmm_cpio_reader_complete:
 * @reader: a reader
 *
 * Returns: whether the end of the archive was seen
 */
bool
vmm_cpio_reader_complete (const VmmCpioReader *reader)
{
    return reader->state == AT_END;
}

static bool
fail (const char *what, GError **error)
{
    g_set_error (error, VMM_ERROR, VMM_ERROR_STATE, "this is no cpio archive (newc): %s", what);
    return false;
}

static void
collect (VmmCpioReader *reader, State state, uint64_t size)
{
    reader->state = state;
    reader->missing = size;
    reader->len = 0;
}

static bool
read_field (const uint8_t *text, uint32_t *ret_value)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < DIGITS; i++) {
        int digit = g_ascii_xdigit_value ((char)text[i]);
        if (digit < 0)
            return false;
        value = value << 4 | (uint32_t)digit;
    }
    *ret_value = value;
    return true;
}

static bool
take_header (VmmCpioReader *reader, GError **error)
{
    const size_t magic = strlen (VMM_CPIO_MAGIC);
    uint32_t field[FIELDS];

    if (memcmp (reader->header, VMM_CPIO_MAGIC, magic) != 0)
        return fail ("a header does not start with " VMM_CPIO_MAGIC, error);
    for (unsigned i = 0; i < FIELDS; i++)
        if (!read_field (reader->header + magic + (size_t)i * DIGITS, &field[i]))
            return fail ("a number in a header is none", error);
    reader->entry = (VmmCpioReadEntry){
        .ino = field[0],
        .mode = field[1],
        .uid = field[2],
        .gid = field[3],
        .nlink = field[4],
        .mtime = field[5],
        .size = field[6],
        .major = field[9],
        .minor = field[10],
    };
    if (field[11] < 2 || field[11] > sizeof reader->name)
        return fail ("the length of a name cannot be", error);
    collect (reader, IN_NAME, field[11]);
    return true;
}

static bool
begin (VmmCpioReader *reader, const char *target, GError **error)
{
    VmmCpioReadEntry entry = reader->entry;

    entry.name = reader->name;
    entry.target = target;
    entry.size = target != NULL ? 0 : entry.size;
    return reader->ops->begin (reader->data, &entry, error);
}

static bool
take_name (VmmCpioReader *reader, GError **error)
{
    if (memchr (reader->name, '\0', reader->len) != reader->name + reader->len - 1)
        return fail ("a name does not end where it should", error);
    if (strcmp (reader->name, VMM_CPIO_TRAILER) == 0) {
        collect (reader, AT_END, 0);
        return true;
    }
    if (S_ISLNK (reader->entry.mode) && (reader->entry.size == 0 || reader->entry.size > VMM_CPIO_PATH_MAX))
        return fail ("the length of a link's target cannot be", error);
    collect (reader, BEHIND_NAME, -reader->at & 3);
    return S_ISLNK (reader->entry.mode) || begin (reader, NULL, error);
}

static bool
take_target (VmmCpioReader *reader, GError **error)
{
    reader->target[reader->len] = '\0';
    if (strlen (reader->target) != reader->len)
        return fail ("a link's target has a zero in it", error);
    collect (reader, BEHIND_CONTENT, -reader->at & 3);
    return begin (reader, reader->target, error) && reader->ops->end (reader->data, error);
}

/* The present part is whole: what comes next? */
static bool
next_part (VmmCpioReader *reader, GError **error)
{
    switch (reader->state) {
    case IN_HEADER:
        return take_header (reader, error);
    case IN_NAME:
        return take_name (reader, error);
    case BEHIND_NAME:
        collect (reader, S_ISLNK (reader->entry.mode) ? IN_TARGET : IN_CONTENT, reader->entry.size);
        return true;
    case IN_TARGET:
        return take_target (reader, error);
    case IN_CONTENT:
        collect (reader, BEHIND_CONTENT, -reader->at & 3);
        return reader->ops->end (reader->data, error);
    case BEHIND_CONTENT:
        collect (reader, IN_HEADER, VMM_CPIO_HEADER_SIZE);
        return true;
    case AT_END:
    case FAILED:
        break;
    }
    return fail ("it was given up", error);
}

static bool
take_bytes (VmmCpioReader *reader, VmmSpan bytes, GError **error)
{
    uint8_t *to = NULL;

    switch (reader->state) {
    case IN_HEADER:
        to = reader->header;
        break;
    case IN_NAME:
        to = (uint8_t *)reader->name;
        break;
    case IN_TARGET:
        to = (uint8_t *)reader->target;
        break;
    case IN_CONTENT:
        return reader->ops->content (reader->data, bytes, error);
    case BEHIND_NAME:
    case BEHIND_CONTENT:
    case AT_END:
    case FAILED:
        return true;
    }
    memcpy (to + reader->len, bytes.data, bytes.len);
    reader->len += bytes.len;
    return true;
}

static bool
feed (VmmCpioReader *reader, VmmSpan bytes, GError **error)
{
    for (;;) {
        while (reader->missing == 0 && reader->state != AT_END)
            if (!next_part (reader, error))
                return false;
        if (bytes.len == 0 || reader->state == AT_END)
            return true;
        VmmSpan part = {bytes.data, (size_t)MIN (bytes.len, reader->missing)};
        reader->missing -= part.len;
        reader->at += part.len;
        bytes = (VmmSpan){bytes.data + part.len, bytes.len - part.len};
        if (!take_bytes (reader, part, error))
            return false;
    }
}

/**
 * vmm_cpio_reader_feed:
 * @reader: a reader
 * @bytes: the next ones of the archive, as many as there are; what follows its end is not looked at
 * @error: %VMM_ERROR_STATE: this is no archive; or what the ops said
 *
 * Returns: false on failure, and from then on
 */
bool
vmm_cpio_reader_feed (VmmCpioReader *reader, VmmSpan bytes, GError **error)
{
    if (reader->state == FAILED)
        return fail ("it was given up", error);
    if (feed (reader, bytes, error))
        return true;
    reader->state = FAILED;
    return false;
}
