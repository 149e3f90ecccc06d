/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include <string.h>

#include "devices/block/qcow2-header.h"
#include "vmm/error.h"

#define HEAD_SIZE 65536u

typedef struct {
    uint8_t bytes[HEAD_SIZE];
} Head;

static void
put32 (Head *head, size_t at, uint32_t value)
{
    vmm_put_u32 (head->bytes + at, GUINT32_TO_BE (value));
}

static void
put64 (Head *head, size_t at, uint64_t value)
{
    vmm_put_u64 (head->bytes + at, GUINT64_TO_BE (value));
}

/* A disk of 1 GiB, version 3. */
static Head *
new_head (void)
{
    Head *head = g_new0 (Head, 1);
    VmmQcow2Header header = {
        .version = 3,
        .cluster_bits = 16,
        .size = UINT64_C (1) << 30,
        .l1_size = 2,
        .l1_table_offset = 0x30000,
        .refcount_table_offset = 0x10000,
        .refcount_table_clusters = 1,
        .refcount_order = 4,
        .header_length = QCOW2_HEADER_V3_SIZE,
    };

    vmm_qcow2_header_update (&header, head->bytes);
    return head;
}

static void
expect_refused (Head *head, const char *text)
{
    g_auto (VmmQcow2Header) header = {0};
    g_autoptr (GError) error = NULL;

    cr_assert_not (vmm_qcow2_header_parse ("x", (VmmSpan){head->bytes, HEAD_SIZE}, &header, &error),
                   "not refused: %s", text);
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE));
    cr_assert_not_null (strstr (error->message, text), "\"%s\" is not in \"%s\"", text, error->message);
    g_free (head);
}

Test (qcow2_header, what_was_written_is_read)
{
    g_autofree Head *head = new_head ();
    g_auto (VmmQcow2Header) header = {0};

    cr_assert (vmm_qcow2_header_parse ("x", (VmmSpan){head->bytes, HEAD_SIZE}, &header, NULL));
    cr_expect_eq (header.size, UINT64_C (1) << 30);
    cr_expect_eq (header.l1_table_offset, 0x30000);
    cr_expect_eq (header.refcount_table_offset, 0x10000);
    cr_expect_null (header.backing_path);
}

Test (qcow2_header, the_backing_file_is_named_with_its_format)
{
    g_autofree Head *head = new_head ();
    g_auto (VmmQcow2Header) header = {0};

    put32 (head, 104, 0xe2792aca);
    put32 (head, 108, 3);
    memcpy (head->bytes + 112, "raw", 3);
    put64 (head, 8, 200);
    put32 (head, 16, 4);
    memcpy (head->bytes + 200, "base", 4);
    cr_assert (vmm_qcow2_header_parse ("x", (VmmSpan){head->bytes, HEAD_SIZE}, &header, NULL));
    cr_expect_str_eq (header.backing_path, "base");
    cr_expect_str_eq (header.backing_format, "raw");
}

/* One field of 32 bits at a time. */
Test (qcow2_header, what_is_beyond_the_limits_is_refused)
{
    static const struct {
        size_t at;
        uint32_t value;
        char text[32];
    } wrong[] = {
        {0, 0, "not a qcow2 file"},
        {4, 1, "version 1"},
        {4, 4, "version 4"},
        {20, 8, "2^8"},
        {20, 22, "2^22"},
        {32, 1, "encrypted"},
        {24, 0xffffffff, "damaged"},
        {36, 1, "too small"},
        {36, 0x10000000, "too large"},
        {44, 0x30001, "L1 table"},
        {56, 0, "refcount table"},
        {56, 0x1000000, "refcount table"},
        {52, 0x10200, "refcount table"},
        {60, 0x10000000, "snapshots"},
        {96, 7, "64 bits"},
        {100, 96, "96 bytes long"},
        {100, 0x20000, "bytes long"},
        {76, 4, "external data file"},
        {76, 16, "subclusters"},
        {76, 8, "compression"},
        {8, 1, "backing file"},
        {108, 0x20000, "longer than its cluster"},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS (wrong); i++) {
        Head *head = new_head ();

        if (wrong[i].at == 108)
            put32 (head, 104, 0x12345678);
        put32 (head, wrong[i].at, wrong[i].value);
        expect_refused (head, wrong[i].text);
    }
}

Test (qcow2_header, an_unknown_feature_is_refused_by_the_name_that_the_file_gives_it)
{
    Head *head = new_head ();

    put64 (head, 72, UINT64_C (1) << 42);
    put32 (head, 104, 0x6803f857);
    put32 (head, 108, 96);
    head->bytes[112 + 48 + 1] = 42;
    memcpy (head->bytes + 112 + 50, "time travel\n", 12);
    expect_refused (head, "\"time travel?\" (bit 42)");
    head = new_head ();
    put64 (head, 72, UINT64_C (1) << 42);
    expect_refused (head, "bit 42");
}
