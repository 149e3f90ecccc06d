/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Patterns are looked for in a stream that has no end, comes in pieces of any size, and was written by a
 * guest. Three things follow.
 *
 * The answer must not depend on the pieces. PCRE2 can be told that more may follow (PCRE2_PARTIAL_HARD): then
 * it says "match" or "no match" only where no further byte could change that, and otherwise "undecided since
 * here". So `[0-9]+` waits for what is no digit, and `$` for the line feed. A prompt is followed by nothing,
 * though: vmm_expect_settle() says that the guest has been quiet for a while, and what is there is taken as
 * it is.
 *
 * Memory must be constant. The text is kept in a window. All before the first undecided byte is done with,
 * and when the window is full its first half is decided by force, and goes. So a match of up to half the
 * window is found wherever it lies; a longer one may not be.
 *
 * Time must be linear. What is undecided is looked at again, so after each look it must first grow by an
 * eighth, unless it is short; that delays an answer and does not change it. PCRE2's limit of matching steps
 * is for each byte where a match could begin: expect-look.c makes a limit for all of them.
 *
 * PCRE2 is called directly and not through GRegex, which hides the place of a partial match and the limits
 * (and before GLib 2.74 is the older PCRE); a GLib of today brings the library along.
 *
 * Patterns see the text as people do: the carriage returns before a line feed are no part of it, and escape
 * sequences of a terminal are stripped on demand. Bytes are bytes: there is no UTF-8, and a NUL is one, too.
 */
#include "vmm/expect-internal.h"

#include <string.h>

#include "vmm/error.h"

#define PATTERN_MAX 16384u
#define PATTERN_SHOWN 80

static void
pattern_free (VmmExpectPattern *pattern)
{
    pcre2_match_data_free (pattern->match);
    pcre2_code_free (pattern->code);
    g_free (pattern->source);
    g_free (pattern);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmExpectPattern, pattern_free)

/**
 * vmm_expect_new:
 * @window: bytes of text that are kept, twice the length of a match that is surely found; 0 for
 *   %VMM_EXPECT_WINDOW, and at least %VMM_EXPECT_WINDOW_MIN
 * @strip_escapes: the patterns see no escape sequences of a terminal
 *
 * One thread at a time.
 *
 * Returns: one without patterns
 * Since: 0.1
 */
VmmExpect *
vmm_expect_new (size_t window, bool strip_escapes)
{
    static const VmmExpectMark first = {0, 0};
    VmmExpect *expect = g_new0 (VmmExpect, 1);

    expect->window = window == 0 ? VMM_EXPECT_WINDOW : MAX (window, VMM_EXPECT_WINDOW_MIN);
    expect->bytes = g_malloc (expect->window);
    expect->strip = strip_escapes;
    expect->marks = g_array_new (FALSE, FALSE, sizeof (VmmExpectMark));
    g_array_append_val (expect->marks, first);
    expect->patterns = g_ptr_array_new_with_free_func ((GDestroyNotify)pattern_free);
    expect->compile_context = pcre2_compile_context_create (NULL);
    pcre2_set_newline (expect->compile_context, PCRE2_NEWLINE_LF);
    pcre2_set_max_pattern_length (expect->compile_context, PATTERN_MAX);
    expect->match_context = pcre2_match_context_create (NULL);
    expect->stack = pcre2_jit_stack_create (32 * 1024, 512 * 1024, NULL);
    pcre2_jit_stack_assign (expect->match_context, NULL, expect->stack);
    return expect;
}

/**
 * vmm_expect_free:
 * @expect: (nullable)
 *
 * Since: 0.1
 */
void
vmm_expect_free (VmmExpect *expect)
{
    if (expect == NULL)
        return;
    for (size_t i = 0; i < G_N_ELEMENTS (expect->texts); i++) {
        if (expect->texts[i] != NULL)
            g_string_free (expect->texts[i], TRUE);
    }
    g_ptr_array_unref (expect->patterns);
    g_array_unref (expect->marks);
    pcre2_match_context_free (expect->match_context);
    pcre2_compile_context_free (expect->compile_context);
    pcre2_jit_stack_free (expect->stack);
    g_free (expect->error);
    g_free (expect->bytes);
    g_free (expect);
}

/* For a message: one line of bounded length. */
static char *
shown (const char *source)
{
    char *text =
        g_strdup_printf ("%.*s%s", PATTERN_SHOWN, source, strlen (source) > PATTERN_SHOWN ? "…" : "");

    for (char *p = text; *p != '\0'; p++) {
        if (g_ascii_iscntrl (*p))
            *p = '?';
    }
    return text;
}

static bool
fail (const char *source, const char *why, GError **error)
{
    g_autofree char *text = shown (source);

    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "pattern \"%s\": %s", text, why);
    return false;
}

static bool
fail_to_compile (const char *source, int code, size_t at, GError **error)
{
    char message[160] = "";
    g_autofree char *why = NULL;

    pcre2_get_error_message (code, (PCRE2_UCHAR *)message, sizeof message);
    why = g_strdup_printf ("%s, at character %zu", message, at + 1);
    return fail (source, why, error);
}

static bool
compile (VmmExpect *expect, VmmExpectPattern *pattern, GError **error)
{
    uint32_t options = PCRE2_USE_OFFSET_LIMIT, behind = 0;
    int code = 0;
    size_t at = 0;

    if (pattern->flags & VMM_EXPECT_CASELESS)
        options |= PCRE2_CASELESS;
    if (pattern->flags & VMM_EXPECT_LITERAL)
        options |= PCRE2_LITERAL;
    else
        options |= PCRE2_MULTILINE | PCRE2_NEVER_UTF | PCRE2_NEVER_UCP;
    pattern->code = pcre2_compile ((PCRE2_SPTR)pattern->source, PCRE2_ZERO_TERMINATED, options, &code, &at,
                                   expect->compile_context);
    if (pattern->code == NULL)
        return fail_to_compile (pattern->source, code, at, error);
    pcre2_pattern_info (pattern->code, PCRE2_INFO_MAXLOOKBEHIND, &behind);
    if (behind >= VMM_EXPECT_CONTEXT)
        return fail (pattern->source, "it looks behind further than 255 bytes", error);
    /* Where this fails, on hosts without a JIT compiler, PCRE2 interprets. */
    pcre2_jit_compile (pattern->code, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);
    pattern->match = pcre2_match_data_create_from_pattern (pattern->code, NULL);
    return true;
}

/**
 * vmm_expect_add_pattern:
 * @expect: where it is looked for
 * @id: the caller's name for it, in its events
 * @pattern: a regular expression as in pcre2pattern(3), or plain text with %VMM_EXPECT_LITERAL; `^` and `$`
 * are the ends of lines, `.` is no line feed
 * @flags: how it is looked for
 *
 * It looks for matches behind the last match of the others, in text that was fed before, too, as far as it
 * still is in the window; with %VMM_EXPECT_THROUGHOUT in all of that. Of several matches that of the pattern
 * that was added first counts, where they begin at the same byte.
 *
 * Returns: false when it is no regular expression; %VMM_ERROR_USAGE
 * Since: 0.1
 */
bool
vmm_expect_add_pattern (VmmExpect *expect, unsigned id, const char *pattern, VmmExpectFlags flags,
                        GError **error)
{
    g_autoptr (VmmExpectPattern) added = g_new0 (VmmExpectPattern, 1);
    uint64_t first = expect->base > 0 ? expect->base + VMM_EXPECT_CONTEXT : 0;

    if (*pattern == '\0')
        return fail (pattern, "it is empty, and would match everywhere", error);
    if (!(flags & VMM_EXPECT_LITERAL) && strstr (pattern, "\\r\\n") != NULL)
        return fail (pattern, "line ends are seen as \\n, whatever the guest writes: leave out the \\r",
                     error);
    added->id = id;
    added->flags = flags;
    added->source = g_strdup (pattern);
    added->from = flags & VMM_EXPECT_THROUGHOUT ? first : MAX (first, expect->consumed);
    added->seen = VMM_EXPECT_UNSEEN;
    added->added_at = vmm_expect_end (expect);
    if (!compile (expect, added, error))
        return false;
    g_ptr_array_add (expect->patterns, g_steal_pointer (&added));
    return true;
}

/**
 * vmm_expect_remove_pattern:
 * @expect: what is not to look for it any more
 * @id: that of patterns that are not wanted any more; there may be none
 *
 * Since: 0.1
 */
void
vmm_expect_remove_pattern (VmmExpect *expect, unsigned id)
{
    for (guint i = expect->patterns->len; i > 0; i--) {
        const VmmExpectPattern *pattern = expect->patterns->pdata[i - 1];

        if (pattern->id == id)
            g_ptr_array_remove_index (expect->patterns, i - 1);
    }
}

/* Room for half a window: all that begins before it was decided on, if the caller asked for it. */
static void
drop_first_half (VmmExpect *expect)
{
    size_t n = expect->window / 2 - VMM_EXPECT_CONTEXT;
    guint before = 0;

    for (const uint8_t *p = expect->bytes; (p = memchr (p, '\n', expect->bytes + n - p)) != NULL; p++)
        expect->lines_before++;
    memmove (expect->bytes, expect->bytes + n, expect->len - n);
    expect->base += n;
    expect->len -= n;
    while (before + 1 < expect->marks->len &&
           g_array_index (expect->marks, VmmExpectMark, before + 1).position <= expect->base)
        before++;
    g_array_remove_range (expect->marks, 0, before);
    if (expect->lines_until < expect->base) {
        expect->lines_until = expect->base;
        expect->lines = expect->lines_before;
    }
    for (guint i = 0; i < expect->patterns->len; i++) {
        VmmExpectPattern *pattern = expect->patterns->pdata[i];

        pattern->from = MAX (pattern->from, expect->base + VMM_EXPECT_CONTEXT);
        pattern->seen = VMM_EXPECT_UNSEEN;
    }
}

/* @n bytes of text, for which there is room, that are at @offset in the stream. */
static void
append (VmmExpect *expect, const uint8_t *data, size_t n, uint64_t offset)
{
    VmmExpectMark mark = {vmm_expect_end (expect), offset};
    const VmmExpectMark *last = &g_array_index (expect->marks, VmmExpectMark, expect->marks->len - 1);

    if (offset - mark.position != last->offset - last->position)
        g_array_append_val (expect->marks, mark);
    memcpy (expect->bytes + expect->len, data, n);
    expect->len += n;
}

static size_t
text_before (const uint8_t *data, size_t len, uint8_t byte)
{
    const uint8_t *found = memchr (data, byte, len);

    return found != NULL ? (size_t)(found - data) : len;
}

/* As many of the @len > 0 bytes as can be taken in one go; none when only a held carriage return was. */
static size_t
take (VmmExpect *expect, const uint8_t *data, size_t len)
{
    size_t n;

    if (expect->strip && (expect->filter.state != VMM_TERMINAL_TEXT || *data == VMM_TERMINAL_ESCAPE) &&
        !vmm_terminal_filter_pass (&expect->filter, *data))
        return 1;
    if (expect->return_held && *data != '\r' && *data != '\n') {
        expect->return_held = false;
        append (expect, (const uint8_t *)"\r", 1, expect->return_at);
        return 0;
    }
    if (*data == '\r') {
        expect->return_at = expect->offset;
        expect->return_held = true;
        return 1;
    }
    expect->return_held = false;
    n = text_before (data, MIN (len, expect->window - expect->len), '\r');
    if (expect->strip)
        n = text_before (data, n, VMM_TERMINAL_ESCAPE);
    append (expect, data, n, expect->offset);
    return n;
}

/**
 * vmm_expect_feed:
 * @expect: whose stream goes on
 * @data: @len bytes of the stream, as they come
 *
 * Takes as many as there is room for, and at least one. Call vmm_expect_next() until it has nothing more
 * after each call: what it was not asked for is lost when room is needed.
 *
 * Returns: how many were taken
 * Since: 0.1
 */
size_t
vmm_expect_feed (VmmExpect *expect, const uint8_t *data, size_t len)
{
    size_t taken = 0;

    if (len > 0 && expect->len == expect->window)
        drop_first_half (expect);
    while (taken < len && expect->len < expect->window) {
        size_t n = take (expect, data + taken, len - taken);

        taken += n;
        expect->offset += n;
    }
    if (taken > 0)
        expect->settled = false;
    return taken;
}

/**
 * vmm_expect_settle:
 * @expect: whose stream has been quiet
 *
 * The guest has been quiet for a while, or has ended: vmm_expect_next() decides as if nothing followed. More
 * may be fed all the same.
 *
 * Since: 0.1
 */
void
vmm_expect_settle (VmmExpect *expect)
{
    expect->settled = true;
}

/**
 * vmm_expect_is_undecided:
 * @expect: one that was asked by vmm_expect_next()
 *
 * Returns: whether vmm_expect_settle() might make a difference; false after vmm_expect_next() has come to the
 * end of a settled stream
 * Since: 0.1
 */
bool
vmm_expect_is_undecided (const VmmExpect *expect)
{
    for (guint i = 0; i < expect->patterns->len; i++) {
        const VmmExpectPattern *pattern = expect->patterns->pdata[i];

        if (!pattern->dead && (pattern->seen != vmm_expect_end (expect) ||
                               (pattern->look != VMM_EXPECT_NOTHING && !pattern->seen_settled)))
            return true;
    }
    return false;
}
