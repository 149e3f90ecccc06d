/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_EXPECT_H
#define VMM_EXPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "vmm/export.h"

G_BEGIN_DECLS

#define VMM_EXPECT_WINDOW 65536u
#define VMM_EXPECT_WINDOW_MIN 4096u
#define VMM_EXPECT_TEXT_MAX 4096u
#define VMM_EXPECT_CAPTURES_MAX 16u

/**
 * VmmExpectFlags:
 * @VMM_EXPECT_REGEX: nothing special
 * @VMM_EXPECT_LITERAL: the pattern is plain text
 * @VMM_EXPECT_CASELESS: ASCII letters match in both cases
 * @VMM_EXPECT_THROUGHOUT: it looks at the whole stream, whatever else has matched, and its matches move no
 *   other pattern: for what must not appear
 */
typedef enum {
    VMM_EXPECT_REGEX = 0,
    VMM_EXPECT_LITERAL = 1 << 0,
    VMM_EXPECT_CASELESS = 1 << 1,
    VMM_EXPECT_THROUGHOUT = 1 << 2,
} VmmExpectFlags;

/**
 * VmmExpectText:
 * @name: the group's name; NULL when it has none
 * @bytes: its bytes, with a NUL behind them, and maybe among them; NULL for a group that took no part
 * @len: how many, without the NUL behind them; at most %VMM_EXPECT_TEXT_MAX
 * @cut: there were more
 *
 * What matched, as the patterns see it: without escape sequences, where those are stripped, and without the
 * carriage return of a line end.
 */
typedef struct {
    const char *name;
    const char *bytes;
    size_t len;
    bool cut;
} VmmExpectText;

/**
 * VmmExpectEvent:
 * @id: whose event it is
 * @error: NULL for a match; else one line that says why this pattern had to be given up, and nothing below is
 * set
 * @offset: where in the stream the match begins, in bytes from 0, all of those that were fed
 * @end: the byte behind it
 * @line: the line on which it begins, from 1
 * @text: what matched
 * @n_captures: groups of the pattern, at most %VMM_EXPECT_CAPTURES_MAX
 * @captures: what they hold
 *
 * What a pattern found. It belongs to its VmmExpect, until the next call for that.
 */
typedef struct {
    unsigned id;
    const char *error;
    uint64_t offset;
    uint64_t end;
    uint64_t line;
    VmmExpectText text;
    unsigned n_captures;
    const VmmExpectText *captures;
} VmmExpectEvent;

typedef struct _VmmExpect VmmExpect;

VMM_EXPORT VmmExpect *vmm_expect_new (size_t window, bool strip_escapes);
VMM_EXPORT void vmm_expect_free (VmmExpect *expect);
VMM_EXPORT bool vmm_expect_add_pattern (VmmExpect *expect, unsigned id, const char *pattern,
                                        VmmExpectFlags flags, GError **error);
VMM_EXPORT void vmm_expect_remove_pattern (VmmExpect *expect, unsigned id);
VMM_EXPORT size_t vmm_expect_feed (VmmExpect *expect, const uint8_t *data, size_t len);
VMM_EXPORT bool vmm_expect_next (VmmExpect *expect, VmmExpectEvent *ret_event);
VMM_EXPORT void vmm_expect_settle (VmmExpect *expect);
VMM_EXPORT bool vmm_expect_is_undecided (const VmmExpect *expect);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmExpect, vmm_expect_free)

G_END_DECLS

#endif
