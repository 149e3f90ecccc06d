/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pattern's look at the window, with a bound on what it costs.
 *
 * PCRE2 counts its steps anew for each byte where a match could begin, so its limit alone bounds nothing: a
 * million steps for each of 64 Ki bytes are many minutes. Hence each call gets only some of these bytes:
 * many, with few steps each, which is what a sensible pattern needs; where these do not suffice few bytes,
 * with many steps. The product, about 20 million steps, some 0.2 s, is the same. Where even these do not
 * suffice the pattern is given up, as it is when it takes more CPU time over all than anybody would want to
 * wait for.
 */
#include "vmm/expect-internal.h"

#include <time.h>

#define STARTS_MANY 4096u
#define STEPS_FEW 5000u
#define STARTS_FEW 32u
#define STEPS_MANY 600000u
#define HEAP_KIB 16384u

/* A look at a line takes less than reading the clock: where few bytes are looked at one try of some is
 * measured. */
#define STARTS_SHORT 512u
#define SAMPLED 16u

/* CPU time that a pattern may take: this, and this for each byte. */
#define BUDGET_NS INT64_C (1000000000)
#define BUDGET_NS_PER_BYTE INT64_C (1000)

/* The thread's own, so that a busy host makes no difference. */
static int64_t
cpu_ns (void)
{
    struct timespec ts;

    clock_gettime (CLOCK_THREAD_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* Whether a match begins in [@from, @last]. */
static int
try_some (VmmExpect *expect, VmmExpectPattern *pattern, size_t from, size_t last, bool thorough,
          uint32_t options)
{
    unsigned share = last - from < STARTS_SHORT ? SAMPLED : 1;
    bool measured = thorough || pattern->n_tries++ % share == 0;
    int64_t begin = measured ? cpu_ns () : 0;
    int rc;

    pcre2_set_offset_limit (expect->match_context, last);
    pcre2_set_match_limit (expect->match_context, thorough ? STEPS_MANY : STEPS_FEW);
    pcre2_set_heap_limit (expect->match_context, HEAP_KIB);
    /* The interpreter's stack may grow further than that of compiled code. */
    rc = pcre2_match (pattern->code, expect->bytes, expect->len, from,
                      options | (thorough ? PCRE2_NO_JIT : 0), pattern->match, expect->match_context);
    if (measured)
        pattern->spent_ns += (cpu_ns () - begin) * (thorough ? 1 : share);
    return rc;
}

static bool
is_over_budget (const VmmExpect *expect, const VmmExpectPattern *pattern)
{
    uint64_t bytes = MIN (vmm_expect_end (expect) - pattern->added_at, (uint64_t)INT64_MAX / 2000);

    return pattern->spent_ns > BUDGET_NS + (int64_t)bytes * BUDGET_NS_PER_BYTE;
}

/* Whether a match begins in [@from, @last]: PCRE2's code for it. */
static int
try_all (VmmExpect *expect, VmmExpectPattern *pattern, size_t from, size_t last, uint32_t options)
{
    size_t thorough_until = 0;

    while (from <= last) {
        bool thorough = from < thorough_until;
        size_t to = MIN (last, from + (thorough ? STARTS_FEW : STARTS_MANY) - 1);
        int rc = try_some (expect, pattern, from, to, thorough, options);

        if (rc >= 0 || rc == PCRE2_ERROR_PARTIAL)
            return rc;
        if ((rc != PCRE2_ERROR_NOMATCH && thorough) || is_over_budget (expect, pattern))
            return PCRE2_ERROR_MATCHLIMIT;
        if (rc == PCRE2_ERROR_NOMATCH)
            from = to + 1;
        else
            thorough_until = to + 1;
    }
    return PCRE2_ERROR_NOMATCH;
}

/* PCRE2 has found that a match may begin at @start, which depends on what follows: try without that. */
static int
decide (VmmExpect *expect, VmmExpectPattern *pattern, size_t start)
{
    size_t half = expect->window / 2;
    int rc;

    if (expect->settled) {
        rc = try_all (expect, pattern, start, expect->len, 0);
        return rc == PCRE2_ERROR_NOMATCH ? PCRE2_ERROR_PARTIAL : rc;
    }
    if (expect->len < expect->window || start >= half)
        return PCRE2_ERROR_PARTIAL;
    rc = try_all (expect, pattern, start, half - 1, 0);
    if (rc != PCRE2_ERROR_NOMATCH)
        return rc;
    pattern->from = expect->base + half;
    rc = try_all (expect, pattern, half, expect->len, PCRE2_PARTIAL_HARD);
    if (rc == PCRE2_ERROR_PARTIAL)
        pattern->from = expect->base + pcre2_get_ovector_pointer (pattern->match)[0];
    return rc;
}

/**
 * vmm_expect_look:
 *
 * Looks for a match of @pattern in all of the window, from where its next one may begin.
 */
void
vmm_expect_look (VmmExpect *expect, VmmExpectPattern *pattern)
{
    uint64_t end = vmm_expect_end (expect);
    int rc = PCRE2_ERROR_NOMATCH;

    if (pattern->from <= end)
        rc = try_all (expect, pattern, pattern->from - expect->base, expect->len, PCRE2_PARTIAL_HARD);
    if (rc == PCRE2_ERROR_PARTIAL) {
        size_t start = pcre2_get_ovector_pointer (pattern->match)[0];

        pattern->from = expect->base + start;
        rc = decide (expect, pattern, start);
    }
    if (rc >= 0) {
        pattern->from = expect->base + pcre2_get_startchar (pattern->match);
        pattern->start = expect->base + pcre2_get_ovector_pointer (pattern->match)[0];
        /* Another pattern may yet begin where an empty match is at the end. */
        pattern->look = pattern->start < end || expect->settled ? VMM_EXPECT_MATCH : VMM_EXPECT_UNDECIDED;
    } else if (rc == PCRE2_ERROR_PARTIAL) {
        pattern->look = VMM_EXPECT_UNDECIDED;
        pattern->start = pattern->from;
    } else if (rc == PCRE2_ERROR_NOMATCH) {
        pattern->look = VMM_EXPECT_NOTHING;
        pattern->from = MAX (pattern->from, end);
    } else {
        pattern->look = VMM_EXPECT_GAVE_UP;
    }
    pattern->seen = end;
    pattern->seen_settled = expect->settled;
}
