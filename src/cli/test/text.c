/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest has written, as UTF-8: it may be anything. */
#include "text.h"

#include <string.h>

#include <vmm/vmm.h>

#define REPLACEMENT 0xfffdu
#define SYMBOL_FOR_NUL 0x2400u

/**
 * test_text_append_valid:
 * @text: gets it
 * @bytes: @len bytes, any
 *
 * Control characters stay as they are, but NUL, which is replaced by its picture; so are bytes that are no
 * UTF-8, by the replacement character.
 */
void
test_text_append_valid (GString *text, const uint8_t *bytes, size_t len)
{
    const char *p = (const char *)bytes, *end = p + len;

    while (p < end) {
        const char *bad;

        g_utf8_validate (p, end - p, &bad);
        g_string_append_len (text, p, bad - p);
        if (bad < end)
            g_string_append_unichar (text, *bad == '\0' ? SYMBOL_FOR_NUL : REPLACEMENT);
        p = bad + 1;
    }
}

/* Whether people see @c, and nothing else on their terminal changes by it. */
static bool
is_plain (gunichar c)
{
    switch (g_unichar_type (c)) {
    case G_UNICODE_CONTROL:
    case G_UNICODE_FORMAT:
    case G_UNICODE_LINE_SEPARATOR:
    case G_UNICODE_PARAGRAPH_SEPARATOR:
        return false;
    default:
        return true;
    }
}

/**
 * test_text_append_plain:
 * @text: gets it
 * @bytes: @len bytes, any: a line, from its beginning
 * @max_chars: no more than so many characters of it
 *
 * Text alone, for a line of somebody else's terminal: no escape sequences, no control characters, and tabs
 * are spaces.
 */
void
test_text_append_plain (GString *text, const uint8_t *bytes, size_t len, size_t max_chars)
{
    VmmTerminalFilter filter = {0};
    g_autofree uint8_t *passed = g_malloc (len + 1);
    g_autoptr (GString) valid = g_string_new (NULL);
    size_t n = 0, chars = 0;

    for (size_t i = 0; i < len; i++) {
        if (vmm_terminal_filter_pass (&filter, bytes[i]))
            passed[n++] = bytes[i] == '\t' ? ' ' : bytes[i];
    }
    test_text_append_valid (valid, passed, n);
    for (const char *p = valid->str; *p != '\0' && chars < max_chars; p = g_utf8_next_char (p)) {
        gunichar c = g_utf8_get_char (p);

        if (is_plain (c)) {
            g_string_append_unichar (text, c);
            chars++;
        }
    }
}
