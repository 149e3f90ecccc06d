/* SPDX-License-Identifier: Apache-2.0 */
/* Which of the patterns comes first, and what is told about it. */
#include "vmm/expect-internal.h"

#include <string.h>

/* Text that is undecided, and up to this long, is looked at each time. */
#define SHORT 1024u
/* What is longer must have grown by this part of it. */
#define GROWTH 8u

static bool
is_news (const VmmExpect *expect, const VmmExpectPattern *pattern)
{
    return pattern->seen != vmm_expect_end (expect) || pattern->seen_settled != expect->settled;
}

static bool
is_due (const VmmExpect *expect, const VmmExpectPattern *pattern)
{
    uint64_t end = vmm_expect_end (expect);

    if (!is_news (expect, pattern))
        return false;
    return pattern->seen == VMM_EXPECT_UNSEEN || expect->settled || expect->len == expect->window ||
           pattern->from + SHORT >= end || (end - pattern->seen) * GROWTH >= end - pattern->from;
}

/* Looks where it is worth it, or wherever there is news: whether there is a match. */
static bool
look_at_all (VmmExpect *expect, bool (*when) (const VmmExpect *, const VmmExpectPattern *))
{
    bool found = false;

    for (guint i = 0; i < expect->patterns->len; i++) {
        VmmExpectPattern *pattern = expect->patterns->pdata[i];

        if (pattern->dead)
            continue;
        if (when (expect, pattern))
            vmm_expect_look (expect, pattern);
        found = found || pattern->look >= VMM_EXPECT_MATCH;
    }
    return found;
}

/* The first, unless it may yet turn out that another one comes before it. */
static VmmExpectPattern *
find_first (const VmmExpect *expect)
{
    VmmExpectPattern *first = NULL;

    for (guint i = 0; i < expect->patterns->len; i++) {
        VmmExpectPattern *pattern = expect->patterns->pdata[i];

        if (pattern->dead)
            continue;
        if (pattern->look == VMM_EXPECT_GAVE_UP)
            return pattern;
        if (pattern->look == VMM_EXPECT_MATCH ||
            (pattern->look == VMM_EXPECT_UNDECIDED && !expect->settled)) {
            if (first == NULL || pattern->start < first->start)
                first = pattern;
        }
    }
    return first != NULL && first->look == VMM_EXPECT_MATCH ? first : NULL;
}

static uint64_t
offset_of (const VmmExpect *expect, uint64_t position)
{
    const VmmExpectMark *marks = (const VmmExpectMark *)(const void *)expect->marks->data;
    guint low = 0, high = expect->marks->len;

    while (high - low > 1) {
        guint middle = low + (high - low) / 2;

        if (marks[middle].position <= position)
            low = middle;
        else
            high = middle;
    }
    return marks[low].offset + (position - marks[low].position);
}

/* Matches mostly come in order, so that each line feed is counted once. */
static uint64_t
line_of (VmmExpect *expect, uint64_t position)
{
    const uint8_t *p, *end = expect->bytes + (position - expect->base);

    if (position < expect->lines_until) {
        expect->lines_until = expect->base;
        expect->lines = expect->lines_before;
    }
    for (p = expect->bytes + (expect->lines_until - expect->base);
         p < end && (p = memchr (p, '\n', end - p)) != NULL; p++)
        expect->lines++;
    expect->lines_until = position;
    return expect->lines + 1;
}

static VmmExpectText
copy_text (VmmExpect *expect, unsigned index, size_t start, size_t end)
{
    size_t len = MIN (end - start, VMM_EXPECT_TEXT_MAX);
    GString **copy = &expect->texts[index];

    if (*copy == NULL)
        *copy = g_string_new (NULL);
    g_string_truncate (*copy, 0);
    g_string_append_len (*copy, (const char *)expect->bytes + start, len);
    return (VmmExpectText){NULL, (*copy)->str, len, len < end - start};
}

static const char *
name_of (const VmmExpectPattern *pattern, unsigned group)
{
    uint32_t n_names = 0, size = 0;
    PCRE2_SPTR table = NULL;

    pcre2_pattern_info (pattern->code, PCRE2_INFO_NAMECOUNT, &n_names);
    pcre2_pattern_info (pattern->code, PCRE2_INFO_NAMEENTRYSIZE, &size);
    pcre2_pattern_info (pattern->code, PCRE2_INFO_NAMETABLE, &table);
    for (uint32_t i = 0; i < n_names; i++, table += size) {
        if (((unsigned)table[0] << 8 | table[1]) == group)
            return (const char *)table + 2;
    }
    return NULL;
}

static void
describe_match (VmmExpect *expect, const VmmExpectPattern *pattern, VmmExpectEvent *event)
{
    const size_t *offsets = pcre2_get_ovector_pointer (pattern->match);
    unsigned n = MIN (pcre2_get_ovector_count (pattern->match), 1 + VMM_EXPECT_CAPTURES_MAX);
    uint64_t end = expect->base + offsets[1];

    event->end = end > expect->base ? offset_of (expect, end - 1) + 1 : 0;
    /* An empty one is behind the byte before it: the next one may not be there yet. */
    event->offset = end > pattern->start ? offset_of (expect, pattern->start) : event->end;
    event->line = line_of (expect, pattern->start);
    event->text = copy_text (expect, 0, offsets[0], offsets[1]);
    for (unsigned i = 1; i < n; i++) {
        VmmExpectText *capture = &expect->captures[i - 1];

        *capture = (VmmExpectText){NULL, NULL, 0, false};
        if (offsets[2 * i] != PCRE2_UNSET)
            *capture = copy_text (expect, i, offsets[2 * i], offsets[2 * i + 1]);
        capture->name = name_of (pattern, i);
    }
    event->n_captures = n - 1;
    event->captures = expect->captures;
}

/* Later matches begin behind this one; behind the next byte where it was empty, lest it is found for ever. */
static void
consume (VmmExpect *expect, const VmmExpectPattern *matched)
{
    uint64_t end = expect->base + pcre2_get_ovector_pointer (matched->match)[1];
    uint64_t behind = end > matched->start ? end : end + 1;
    bool alone = matched->flags & VMM_EXPECT_THROUGHOUT;

    if (!alone)
        expect->consumed = behind;
    for (guint i = 0; i < expect->patterns->len; i++) {
        VmmExpectPattern *pattern = expect->patterns->pdata[i];

        if (pattern != matched && (alone || pattern->flags & VMM_EXPECT_THROUGHOUT))
            continue;
        if (pattern->from < behind || pattern == matched) {
            pattern->from = behind;
            pattern->seen = VMM_EXPECT_UNSEEN;
        }
    }
}

static void
describe_failure (VmmExpect *expect, const VmmExpectPattern *pattern, VmmExpectEvent *event)
{
    g_free (expect->error);
    expect->error = g_strdup_printf ("pattern \"%.80s\": takes too long on what the guest writes: "
                                     "avoid repetitions inside of repetitions",
                                     pattern->source);
    event->error = expect->error;
}

/**
 * vmm_expect_next:
 * @expect: what to ask
 * @ret_event: the first match, by where it begins, of those that are decided; or that a pattern was given up
 *
 * After a match all patterns look behind it only, but for those with %VMM_EXPECT_THROUGHOUT. One that was
 * given up is never heard of again.
 *
 * Returns: false when there is none, for now
 * Since: 0.1
 */
bool
vmm_expect_next (VmmExpect *expect, VmmExpectEvent *ret_event)
{
    VmmExpectEvent event = {0};
    VmmExpectPattern *first;

    if (!look_at_all (expect, is_due))
        return false;
    /* Who is first is known when all have seen the same. */
    look_at_all (expect, is_news);
    first = find_first (expect);
    if (first == NULL)
        return false;
    event.id = first->id;
    if (first->look == VMM_EXPECT_GAVE_UP) {
        first->dead = true;
        describe_failure (expect, first, &event);
    } else {
        describe_match (expect, first, &event);
        consume (expect, first);
    }
    *ret_event = event;
    return true;
}
