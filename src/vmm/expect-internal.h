/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of VmmExpect share. Positions are those of the text that the patterns see, from 0. */
#ifndef VMM_EXPECT_INTERNAL_H
#define VMM_EXPECT_INTERNAL_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "vmm/expect.h"
#include "vmm/terminal-filter.h"

/* How much stays before the first byte where a match may begin, for `^`, `\b` and what looks behind. */
#define VMM_EXPECT_CONTEXT 256u

#define VMM_EXPECT_UNSEEN UINT64_MAX

/**
 * VmmExpectLook:
 * @VMM_EXPECT_NOTHING: no match begins in the text, whatever follows
 * @VMM_EXPECT_UNDECIDED: one may, and that depends on what follows
 * @VMM_EXPECT_MATCH: one does, whatever follows
 * @VMM_EXPECT_GAVE_UP: the pattern costs too much
 */
typedef enum {
    VMM_EXPECT_NOTHING,
    VMM_EXPECT_UNDECIDED,
    VMM_EXPECT_MATCH,
    VMM_EXPECT_GAVE_UP,
} VmmExpectLook;

/**
 * VmmExpectPattern:
 * @from: no match that begins before this is wanted any more, or possible
 * @seen: where the text ended when it was last looked at, or %VMM_EXPECT_UNSEEN
 * @seen_settled: it was looked at as if nothing followed
 * @look: what that told
 * @start: where the match begins, or may begin
 * @added_at: where the text ended when it was added
 * @spent_ns: CPU time that it took
 * @n_tries: how often PCRE2 was called for it
 * @dead: it was given up
 */
typedef struct {
    unsigned id;
    VmmExpectFlags flags;
    char *source;
    pcre2_code *code;
    pcre2_match_data *match;
    uint64_t from;
    uint64_t seen;
    bool seen_settled;
    VmmExpectLook look;
    uint64_t start;
    uint64_t added_at;
    int64_t spent_ns;
    unsigned n_tries;
    bool dead;
} VmmExpectPattern;

/* From this position on, until the next mark, an offset in the stream is this much further than a position.
 */
typedef struct {
    uint64_t position;
    uint64_t offset;
} VmmExpectMark;

struct _VmmExpect {
    size_t window;
    uint8_t *bytes;
    size_t len;
    uint64_t base;     /* position of the first of them */
    uint64_t consumed; /* position behind the last match */
    bool settled;

    bool strip;
    VmmTerminalFilter filter;
    uint64_t offset;    /* bytes fed */
    bool return_held;   /* a carriage return, which may belong to a line end */
    uint64_t return_at; /* its offset */
    GArray *marks;

    uint64_t lines; /* line feeds before @lines_until */
    uint64_t lines_until;
    uint64_t lines_before; /* before @base */

    GPtrArray *patterns;
    pcre2_compile_context *compile_context;
    pcre2_match_context *match_context;
    pcre2_jit_stack *stack;
    GString *texts[1 + VMM_EXPECT_CAPTURES_MAX];
    VmmExpectText captures[VMM_EXPECT_CAPTURES_MAX];
    char *error;
};

static inline uint64_t
vmm_expect_end (const VmmExpect *expect)
{
    return expect->base + expect->len;
}

void vmm_expect_look (VmmExpect *expect, VmmExpectPattern *pattern);

#endif
