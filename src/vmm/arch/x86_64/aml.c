/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An encoder for as much of ACPI Machine Language as the DSDT needs (ACPI 6.5 chapter 20; resource
 * descriptors section 6.4). Terms go into a byte array in the order in which they are put; a term that has a
 * package length gets it when it ends, since the length's own size depends on it.
 */
#include "vmm/arch/x86_64/aml.h"

#include <string.h>

#include "vmm/arch/x86_64/table-bytes.h"

/* ACPI 6.5 section 20.3. */
#define OP_ZERO 0x00u
#define OP_ONE 0x01u
#define OP_NAME 0x08u
#define OP_BYTE 0x0au
#define OP_WORD 0x0bu
#define OP_DWORD 0x0cu
#define OP_STRING 0x0du
#define OP_QWORD 0x0eu
#define OP_SCOPE 0x10u
#define OP_BUFFER 0x11u
#define OP_PACKAGE 0x12u
#define OP_METHOD 0x14u
#define OP_EXTENDED 0x5bu
#define OP_EXT_REGION 0x80u
#define OP_EXT_FIELD 0x81u
#define OP_EXT_DEVICE 0x82u
#define OP_ARG0 0x68u
#define OP_AND 0x7bu
#define OP_NOTIFY 0x86u
#define OP_IF 0xa0u
#define OP_RETURN 0xa4u

#define NAME_SEGMENT 4u
#define METHOD_SERIALIZED 0x08u
#define REGION_SYSTEM_IO 1u
#define RESOURCE_END 0x79u      /* section 6.4.2.9 */
#define FIELD_BYTE_ACCESS 0x01u /* no lock, preserve */

/* Opens a gap of @len bytes at @at, by moving up what is behind. */
static void
insert (GByteArray *aml, size_t at, const uint8_t *bytes, size_t len)
{
    size_t behind = aml->len - at;

    g_byte_array_set_size (aml, (guint)(aml->len + len));
    memmove (aml->data + at + len, aml->data + at, behind);
    memcpy (aml->data + at, bytes, len);
}

/* Section 20.2.4: the length counts its own bytes. The DSDT stays far below the three bytes' 1 MiB. */
static size_t
encode_package_length (size_t inside, uint8_t bytes[3])
{
    size_t length = inside + 1;

    if (length <= 0x3f) {
        bytes[0] = (uint8_t)length;
        return 1;
    }
    length = inside + 2;
    if (length <= 0xfff) {
        bytes[0] = (uint8_t)(0x40 | (length & 0xf));
        bytes[1] = (uint8_t)(length >> 4);
        return 2;
    }
    length = inside + 3;
    bytes[0] = (uint8_t)(0x80 | (length & 0xf));
    bytes[1] = (uint8_t)(length >> 4);
    bytes[2] = (uint8_t)(length >> 12);
    return 3;
}

/**
 * vmm_aml_ref:
 * @aml: where to put it
 * @name: one segment, shorter ones being padded with '_', with an optional '\' before it
 *
 * Puts a name string (section 20.2.2).
 */
void
vmm_aml_ref (GByteArray *aml, const char *name)
{
    size_t len;

    if (name[0] == '\\') {
        vmm_table_put_u8 (aml, '\\');
        name++;
    }
    len = strlen (name);
    for (size_t i = 0; i < NAME_SEGMENT; i++)
        vmm_table_put_u8 (aml, i < len ? (uint8_t)name[i] : '_');
}

/**
 * vmm_aml_begin_scope:
 * @aml: where to put it
 * @name: an object that exists
 *
 * Returns: the mark for vmm_aml_end()
 */
size_t
vmm_aml_begin_scope (GByteArray *aml, const char *name)
{
    size_t mark;

    vmm_table_put_u8 (aml, OP_SCOPE);
    mark = aml->len;
    vmm_aml_ref (aml, name);
    return mark;
}

/**
 * vmm_aml_begin_device:
 * @aml: where to put it
 * @name: the device's name
 *
 * Returns: the mark for vmm_aml_end()
 */
size_t
vmm_aml_begin_device (GByteArray *aml, const char *name)
{
    size_t mark;

    vmm_table_put_u8 (aml, OP_EXTENDED);
    vmm_table_put_u8 (aml, OP_EXT_DEVICE);
    mark = aml->len;
    vmm_aml_ref (aml, name);
    return mark;
}

/**
 * vmm_aml_begin_method:
 * @aml: where to put it
 * @name: the method's name
 * @n_args: how many arguments it takes, at most 7
 * @serialized: whether only one thread may be in it
 *
 * Returns: the mark for vmm_aml_end()
 */
size_t
vmm_aml_begin_method (GByteArray *aml, const char *name, unsigned n_args, bool serialized)
{
    size_t mark;

    vmm_table_put_u8 (aml, OP_METHOD);
    mark = aml->len;
    vmm_aml_ref (aml, name);
    vmm_table_put_u8 (aml, (uint8_t)((n_args & 7) | (serialized ? METHOD_SERIALIZED : 0)));
    return mark;
}

/**
 * vmm_aml_begin_if:
 * @aml: where to put it
 *
 * The first term inside is the condition.
 *
 * Returns: the mark for vmm_aml_end()
 */
size_t
vmm_aml_begin_if (GByteArray *aml)
{
    vmm_table_put_u8 (aml, OP_IF);
    return aml->len;
}

/**
 * vmm_aml_begin_package:
 * @aml: where to put it
 * @n_elements: how many terms follow inside
 *
 * Returns: the mark for vmm_aml_end()
 */
size_t
vmm_aml_begin_package (GByteArray *aml, uint8_t n_elements)
{
    size_t mark;

    vmm_table_put_u8 (aml, OP_PACKAGE);
    mark = aml->len;
    vmm_table_put_u8 (aml, n_elements);
    return mark;
}

/**
 * vmm_aml_begin_field:
 * @aml: where to put it
 * @region: the operation region; accessed byte by byte
 *
 * Returns: the mark for vmm_aml_end()
 */
size_t
vmm_aml_begin_field (GByteArray *aml, const char *region)
{
    size_t mark;

    vmm_table_put_u8 (aml, OP_EXTENDED);
    vmm_table_put_u8 (aml, OP_EXT_FIELD);
    mark = aml->len;
    vmm_aml_ref (aml, region);
    vmm_table_put_u8 (aml, FIELD_BYTE_ACCESS);
    return mark;
}

/**
 * vmm_aml_end:
 * @aml: the array
 * @mark: what the matching begin returned
 *
 * Ends what was begun: its package length goes before what is inside.
 */
void
vmm_aml_end (GByteArray *aml, size_t mark)
{
    uint8_t length[3];
    size_t n = encode_package_length (aml->len - mark, length);

    insert (aml, mark, length, n);
}

/**
 * vmm_aml_begin_resources:
 * @aml: where to put it
 *
 * Begins a buffer of resource descriptors.
 *
 * Returns: the mark for vmm_aml_end_resources()
 */
size_t
vmm_aml_begin_resources (GByteArray *aml)
{
    vmm_table_put_u8 (aml, OP_BUFFER);
    return aml->len;
}

/**
 * vmm_aml_end_resources:
 * @aml: the array
 * @mark: what vmm_aml_begin_resources() returned
 *
 * Puts the end tag (checksum 0: not checked, section 6.4.2.9) and the buffer's size before the descriptors.
 */
void
vmm_aml_end_resources (GByteArray *aml, size_t mark)
{
    g_autoptr (GByteArray) size = g_byte_array_new ();

    vmm_table_put_u8 (aml, RESOURCE_END);
    vmm_table_put_u8 (aml, 0);
    vmm_aml_integer (size, aml->len - mark);
    insert (aml, mark, size->data, size->len);
    vmm_aml_end (aml, mark);
}

/**
 * vmm_aml_name:
 * @aml: where to put it
 * @name: the object's name; the term that follows is its value
 */
void
vmm_aml_name (GByteArray *aml, const char *name)
{
    vmm_table_put_u8 (aml, OP_NAME);
    vmm_aml_ref (aml, name);
}

/**
 * vmm_aml_integer:
 * @aml: where to put it
 * @value: the number; takes the shortest form
 */
void
vmm_aml_integer (GByteArray *aml, uint64_t value)
{
    if (value <= 1) {
        vmm_table_put_u8 (aml, value == 0 ? OP_ZERO : OP_ONE);
    } else if (value <= UINT8_MAX) {
        vmm_table_put_u8 (aml, OP_BYTE);
        vmm_table_put_u8 (aml, (uint8_t)value);
    } else if (value <= UINT16_MAX) {
        vmm_table_put_u8 (aml, OP_WORD);
        vmm_table_put_u16 (aml, (uint16_t)value);
    } else if (value <= UINT32_MAX) {
        vmm_table_put_u8 (aml, OP_DWORD);
        vmm_table_put_u32 (aml, (uint32_t)value);
    } else {
        vmm_table_put_u8 (aml, OP_QWORD);
        vmm_table_put_u64 (aml, value);
    }
}

/**
 * vmm_aml_string:
 * @aml: where to put it
 * @string: ASCII
 */
void
vmm_aml_string (GByteArray *aml, const char *string)
{
    vmm_table_put_u8 (aml, OP_STRING);
    g_byte_array_append (aml, (const uint8_t *)string, (guint)strlen (string) + 1);
}

/**
 * vmm_aml_eisa_id:
 * @aml: where to put it
 * @id: three capitals and four hexadecimal digits, as in "PNP0A08"
 *
 * Puts the compressed form: five bits a letter and four a digit, the most significant byte first (section
 * 19.3.4).
 */
void
vmm_aml_eisa_id (GByteArray *aml, const char *id)
{
    uint32_t value =
        (uint32_t)(id[0] & 0x1f) << 26 | (uint32_t)(id[1] & 0x1f) << 21 | (uint32_t)(id[2] & 0x1f) << 16;

    for (unsigned i = 0; i < 4; i++)
        value |= (uint32_t)g_ascii_xdigit_value (id[3 + i]) << (12 - 4 * i);
    vmm_table_put_u8 (aml, OP_DWORD);
    vmm_table_put_u32 (aml, GUINT32_SWAP_LE_BE (value));
}

/**
 * vmm_aml_port_region:
 * @aml: where to put it
 * @name: the operation region's name
 * @port: the first port
 * @size: how many ports
 */
void
vmm_aml_port_region (GByteArray *aml, const char *name, uint16_t port, uint8_t size)
{
    vmm_table_put_u8 (aml, OP_EXTENDED);
    vmm_table_put_u8 (aml, OP_EXT_REGION);
    vmm_aml_ref (aml, name);
    vmm_table_put_u8 (aml, REGION_SYSTEM_IO);
    vmm_aml_integer (aml, port);
    vmm_aml_integer (aml, size);
}

/**
 * vmm_aml_field_unit:
 * @aml: where to put it, inside a field
 * @name: the unit's name
 * @bits: its width, less than 64
 */
void
vmm_aml_field_unit (GByteArray *aml, const char *name, uint8_t bits)
{
    vmm_aml_ref (aml, name);
    vmm_table_put_u8 (aml, bits & 0x3f);
}

/**
 * vmm_aml_return_arg:
 * @aml: where to put it
 * @arg: which argument of the method to return, from 0
 */
void
vmm_aml_return_arg (GByteArray *aml, unsigned arg)
{
    vmm_table_put_u8 (aml, OP_RETURN);
    vmm_table_put_u8 (aml, (uint8_t)(OP_ARG0 + arg));
}

/**
 * vmm_aml_and:
 * @aml: where to put it
 * @name: an object, read once
 * @mask: the bits wanted
 */
void
vmm_aml_and (GByteArray *aml, const char *name, uint64_t mask)
{
    vmm_table_put_u8 (aml, OP_AND);
    vmm_aml_ref (aml, name);
    vmm_aml_integer (aml, mask);
    vmm_table_put_u8 (aml, OP_ZERO); /* no target: the value is used where it stands */
}

/**
 * vmm_aml_notify:
 * @aml: where to put it
 * @device: whom to tell
 * @value: what happened
 */
void
vmm_aml_notify (GByteArray *aml, const char *device, uint8_t value)
{
    vmm_table_put_u8 (aml, OP_NOTIFY);
    vmm_aml_ref (aml, device);
    vmm_aml_integer (aml, value);
}
