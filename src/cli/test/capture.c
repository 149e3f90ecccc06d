/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A report shows what a console said, and a guest may say more than anybody wants to keep. So the first bytes
 * are kept, where a boot begins, and the last ones, where it fails. The last ones are in a ring that is
 * filled once the first are complete: no byte is in both, and as long as the ring has not gone round, none is
 * missing. Where some are, both parts are cut at an end of a line, unless a line is so long that half of the
 * part would go.
 */
#include "capture.h"

#include <string.h>

#include "text.h"

/* Where the last line is looked for. */
#define RECENT_MAX 4096u

struct _TestCapture {
    uint8_t *head;
    size_t head_max;
    size_t head_len;
    uint8_t *ring;
    size_t ring_max; /* the tail, and the byte before it */
    uint64_t ring_bytes;
    uint64_t line_ends;
    uint8_t last;
    GString *last_line;
};

/**
 * test_capture_new:
 * @head: how many bytes of the beginning are kept
 * @tail: and of the end
 *
 * One thread at a time.
 */
TestCapture *
test_capture_new (size_t head, size_t tail)
{
    TestCapture *capture = g_new0 (TestCapture, 1);

    capture->head = g_malloc (head + 1);
    capture->head_max = head;
    capture->ring = g_malloc (tail + 1);
    capture->ring_max = tail + 1;
    capture->last_line = g_string_new (NULL);
    return capture;
}

/**
 * test_capture_free:
 * @capture: (nullable)
 */
void
test_capture_free (TestCapture *capture)
{
    if (capture == NULL)
        return;
    g_free (capture->head);
    g_free (capture->ring);
    g_string_free (capture->last_line, TRUE);
    g_free (capture);
}

static uint64_t
count_line_ends (const uint8_t *data, size_t len)
{
    uint64_t n = 0;

    for (size_t i = 0; i < len; i++)
        n += data[i] == '\n';
    return n;
}

static void
feed_ring (TestCapture *capture, const uint8_t *data, size_t len)
{
    size_t skipped = len > capture->ring_max ? len - capture->ring_max : 0;
    size_t at, before_wrap;

    capture->ring_bytes += skipped;
    data += skipped;
    len -= skipped;
    at = capture->ring_bytes % capture->ring_max;
    before_wrap = MIN (len, capture->ring_max - at);
    memcpy (capture->ring + at, data, before_wrap);
    memcpy (capture->ring, data + before_wrap, len - before_wrap);
    capture->ring_bytes += len;
}

/**
 * test_capture_feed:
 * @data: @len bytes that the console has written
 */
void
test_capture_feed (TestCapture *capture, const uint8_t *data, size_t len)
{
    size_t to_head = MIN (len, capture->head_max - capture->head_len);

    if (len == 0)
        return;
    capture->line_ends += count_line_ends (data, len);
    capture->last = data[len - 1];
    memcpy (capture->head + capture->head_len, data, to_head);
    capture->head_len += to_head;
    feed_ring (capture, data + to_head, len - to_head);
}

/* Appends the last @max bytes at most of what is in the ring. */
static void
append_ring (const TestCapture *capture, GByteArray *bytes, size_t max)
{
    size_t len = (size_t)MIN (capture->ring_bytes, MIN (capture->ring_max, max));
    size_t at = (capture->ring_bytes - len) % capture->ring_max;
    size_t before_wrap = MIN (len, capture->ring_max - at);

    g_byte_array_append (bytes, capture->ring + at, (guint)before_wrap);
    g_byte_array_append (bytes, capture->ring, (guint)(len - before_wrap));
}

/* The last bytes that are known, at most RECENT_MAX. Where the ring is small there are few. */
static GByteArray *
get_recent (const TestCapture *capture)
{
    GByteArray *recent = g_byte_array_sized_new (1);

    if (capture->ring_bytes < MIN (RECENT_MAX, capture->ring_max)) {
        size_t n = MIN (capture->head_len, RECENT_MAX - (size_t)capture->ring_bytes);

        g_byte_array_append (recent, capture->head + capture->head_len - n, (guint)n);
    }
    append_ring (capture, recent, RECENT_MAX);
    return recent;
}

/**
 * test_capture_last_line:
 *
 * Returns: (transfer none): the last line with something to see, as plain text, cut to
 *   %TEST_CAPTURE_LINE_MAX characters; "" as long as there is none. It is valid until the next call
 */
const char *
test_capture_last_line (TestCapture *capture)
{
    g_autoptr (GByteArray) recent = get_recent (capture);
    g_autoptr (GString) line = g_string_new (NULL);

    for (size_t end = recent->len; end > 0;) {
        size_t begin = end;

        /* What follows a carriage return is written over the line. */
        while (begin > 0 && recent->data[begin - 1] != '\n' && recent->data[begin - 1] != '\r')
            begin--;
        g_string_truncate (line, 0);
        test_text_append_plain (line, recent->data + begin, end - begin, TEST_CAPTURE_LINE_MAX);
        if (*g_strstrip (line->str) != '\0') {
            g_string_assign (capture->last_line, line->str);
            break;
        }
        end = begin > 0 ? begin - 1 : 0;
    }
    return capture->last_line->str;
}

static bool
continues_character (uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* How much of the head is shown when something is missing behind it. */
static size_t
cut_head (const TestCapture *capture)
{
    const uint8_t *line_end = memrchr (capture->head, '\n', capture->head_len);
    size_t end = capture->head_len;

    if (line_end != NULL && (size_t)(line_end - capture->head) >= end / 2)
        return (size_t)(line_end - capture->head) + 1;
    /* Not inside of a character: it would look like a wrong one. */
    for (size_t n = 1; n <= MIN (end, 3); n++) {
        const char *p = (const char *)capture->head + end - n;

        if (g_utf8_get_char_validated (p, (gssize)n) == (gunichar)-2)
            return end - n;
    }
    return end;
}

/* Where the tail begins in the @ring, which has one byte more than it may show. */
static size_t
cut_tail (const GByteArray *ring)
{
    const uint8_t *line_end = memchr (ring->data, '\n', ring->len);
    size_t begin = 1;

    if (line_end != NULL && (size_t)(line_end - ring->data) <= ring->len / 2)
        return (size_t)(line_end - ring->data) + 1;
    for (unsigned i = 0; i < 3 && begin < ring->len && continues_character (ring->data[begin]); i++)
        begin++;
    return begin;
}

/* Both ends; whether something is missing between them. */
static bool
get_ends (const TestCapture *capture, GByteArray *head, GByteArray *tail)
{
    bool missing = capture->ring_bytes > capture->ring_max;

    g_byte_array_append (head, capture->head, (guint)(missing ? cut_head (capture) : capture->head_len));
    append_ring (capture, missing ? tail : head, SIZE_MAX);
    if (missing)
        g_byte_array_remove_range (tail, 0, (guint)cut_tail (tail));
    return missing;
}

/**
 * test_capture_get_bytes:
 * @ret_cut: (nullable): something is missing
 *
 * Returns: (transfer full): what was kept, and a line that says how much is missing, where something is
 */
GBytes *
test_capture_get_bytes (const TestCapture *capture, bool *ret_cut)
{
    g_autoptr (GByteArray) bytes = g_byte_array_sized_new (1);
    g_autoptr (GByteArray) tail = g_byte_array_sized_new (1);
    bool missing = get_ends (capture, bytes, tail);

    if (missing) {
        uint64_t n = capture->head_len + capture->ring_bytes - bytes->len - tail->len;
        bool in_line = bytes->len > 0 && bytes->data[bytes->len - 1] != '\n';
        g_autofree char *note =
            g_strdup_printf ("%s[%" G_GUINT64_FORMAT " bytes are left out]\n", in_line ? "\n" : "", n);

        g_byte_array_append (bytes, (const uint8_t *)note, (guint)strlen (note));
        g_byte_array_append (bytes, tail->data, tail->len);
    }
    if (ret_cut != NULL)
        *ret_cut = missing;
    return g_byte_array_free_to_bytes (g_steal_pointer (&bytes));
}

static json_t *
to_string (const GByteArray *bytes)
{
    g_autoptr (GString) text = g_string_new (NULL);

    test_text_append_valid (text, bytes->data, bytes->len);
    return json_stringn_nocheck (text->str, text->len);
}

/**
 * test_capture_to_json:
 *
 * Returns: (transfer full): bytes and lines of the whole; head: what was kept of the beginning, and all of it
 *   where nothing is missing; tail: the end, else "", and tail_line: the number of its first line, from 1.
 *   Text is UTF-8, with its control characters, but for NUL
 */
json_t *
test_capture_to_json (const TestCapture *capture)
{
    g_autoptr (GByteArray) head = g_byte_array_sized_new (1);
    g_autoptr (GByteArray) tail = g_byte_array_sized_new (1);
    uint64_t bytes = capture->head_len + capture->ring_bytes;
    uint64_t lines = capture->line_ends + (bytes > 0 && capture->last != '\n');
    uint64_t tail_line;

    get_ends (capture, head, tail);
    tail_line = capture->line_ends - count_line_ends (tail->data, tail->len) + 1;
    return json_pack ("{s:I, s:I, s:o, s:o, s:I}", "bytes", (json_int_t)bytes, "lines", (json_int_t)lines,
                      "head", to_string (head), "tail", to_string (tail), "tail_line", (json_int_t)tail_line);
}
