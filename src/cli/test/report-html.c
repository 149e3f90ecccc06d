/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page for people: one file that needs no network. It is report.html with the style, the scripts and the
 * document put in. The document is data for the scripts, which make all that is seen of it, and put a guest's
 * text nowhere but into text nodes. Should one of them ever fail to, the page's policy allows no script but
 * the one that was put in here, by its hash, and no request to anywhere.
 */
#include "report-html.h"

#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "report-document.h"
#include "report-text.h"

/* Bytes of a console that go into the page; the rest is in the log that --results keeps. */
#define CONSOLE_OF_SUCCESS (64u * 1024)
#define CONSOLE_OF_FAILURE (1024u * 1024)

/* report-page.S */
extern const char test_report_page_html[];
extern const char test_report_page_css[];
extern const char test_report_page_js[];

static unsigned
count_lines (const char *text, size_t len)
{
    unsigned lines = 0;

    for (size_t i = 0; i < len; i++)
        lines += text[i] == '\n';
    return lines;
}

/* Where to cut @text so that some @want bytes are before it: behind a newline, or between characters. */
static size_t
find_cut (const char *text, size_t len, size_t want)
{
    size_t cut = MIN (want, len);

    while (cut > 0 && text[cut - 1] != '\n')
        cut--;
    if (cut == 0)
        cut = MIN (want, len);
    while (cut < len && ((unsigned char)text[cut] & 0xc0) == 0x80)
        cut++;
    return cut;
}

static void
set_text (json_t *console, const char *key, const char *text, size_t len)
{
    json_object_set_new (console, key, json_stringn (text, len));
}

/* Leaves the beginning and the end of what was written. */
static void
shorten_console (json_t *console, size_t limit)
{
    json_t *head = json_incref (json_object_get (console, "head"));
    json_t *tail = json_incref (json_object_get (console, "tail"));
    size_t head_len = json_string_length (head), tail_len = json_string_length (tail);
    bool was_cut = tail_len > 0;
    const char *rest = json_string_value (was_cut ? tail : head);
    size_t rest_len = was_cut ? tail_len : head_len, cut;
    json_int_t line = was_cut ? json_integer_value (json_object_get (console, "tail_line")) : 1;

    if (head_len + tail_len > limit && json_is_string (head)) {
        cut = find_cut (json_string_value (head), head_len, limit / 2);
        set_text (console, "head", json_string_value (head), cut);
        cut = rest_len > limit / 2 ? find_cut (rest, rest_len, rest_len - limit / 2) : 0;
        set_text (console, "tail", rest + cut, rest_len - cut);
        json_object_set_new (console, "tail_line", json_integer (line + count_lines (rest, cut)));
    }
    json_decref (head);
    json_decref (tail);
}

/* Returns: (transfer full): @document, with long consoles cut. */
static json_t *
prepare (const json_t *document)
{
    json_t *copy = json_deep_copy (document);
    json_t *runs = json_object_get (copy, "runs");

    for (size_t i = 0; i < json_array_size (runs); i++) {
        json_t *result = json_array_get (runs, i);
        json_t *consoles = json_object_get (result, "consoles");
        bool is_good = test_result_status (result) == TEST_STATUS_PASS;

        for (size_t j = 0; j < json_array_size (consoles); j++)
            shorten_console (json_array_get (consoles, j), is_good ? CONSOLE_OF_SUCCESS : CONSOLE_OF_FAILURE);
    }
    return copy;
}

/* JSON inside <script>: nothing in it may look like the end of the element, or like a comment. */
static void
append_data (GString *page, const json_t *document)
{
    json_t *copy = prepare (document);
    char *dump = json_dumps (copy, JSON_COMPACT | JSON_ENSURE_ASCII);
    const char *text = dump != NULL ? dump : "null";

    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '<' || *c == '>' || *c == '&')
            g_string_append_printf (page, "\\u%04x", (unsigned)*c);
        else
            g_string_append_c (page, *c);
    }
    free (dump);
    json_decref (copy);
}

/* CSP3, 2.3.1: 'sha256-' and the hash of an element's text in Base64. */
static void
append_source (GString *page, const char *directive, const char *text)
{
    g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
    guint8 digest[32];
    gsize len = sizeof digest;
    g_autofree char *base64 = NULL;

    g_checksum_update (checksum, (const guchar *)text, (gssize)strlen (text));
    g_checksum_get_digest (checksum, digest, &len);
    base64 = g_base64_encode (digest, len);
    g_string_append_printf (page, "; %s 'sha256-%s'", directive, base64);
}

static void
append_policy (GString *page)
{
    g_string_append (page, "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
                           "require-trusted-types-for 'script'");
    append_source (page, "style-src", test_report_page_css);
    append_source (page, "script-src", test_report_page_js);
}

static void
append_cell (GString *page, const char *text)
{
    g_autofree char *escaped = g_markup_escape_text (text, -1);

    g_string_append_printf (page, "<td>%s</td>", escaped);
}

/* For a browser without scripts. */
static void
append_table (GString *page, const json_t *document)
{
    const json_t *runs = json_object_get (document, "runs");

    for (size_t i = 0; i < json_array_size (runs); i++) {
        const json_t *result = json_array_get (runs, i);
        const char *status = test_status_to_string (test_result_status (result));
        g_autofree char *title = test_result_title (result);
        g_autofree char *verdict = test_text_line_of (result, "verdict");
        g_autofree char *reason = test_text_line_of (result, "reason");
        g_autofree char *seconds = test_text_seconds (test_result_seconds (result));

        g_string_append_printf (page, "<tr class=\"is-%s\">", status);
        append_cell (page, status);
        append_cell (page, title);
        append_cell (page, verdict);
        append_cell (page, reason);
        append_cell (page, seconds);
        g_string_append (page, "</tr>\n");
    }
}

/* One of the template's {{NAME}}. */
static void
append_part (GString *page, const char *name, size_t len, const json_t *document)
{
    g_autofree char *part = g_strndup (name, len);

    if (g_str_equal (part, "policy"))
        append_policy (page);
    else if (g_str_equal (part, "style"))
        g_string_append (page, test_report_page_css);
    else if (g_str_equal (part, "script"))
        g_string_append (page, test_report_page_js);
    else if (g_str_equal (part, "data"))
        append_data (page, document);
    else if (g_str_equal (part, "table"))
        append_table (page, document);
}

/**
 * test_report_html:
 * @document: of vmm test; whatever it lacks is left out
 *
 * Returns: (transfer full): it as a page
 */
char *
test_report_html (const json_t *document)
{
    GString *page = g_string_new (NULL);
    const char *rest = test_report_page_html;
    const char *mark, *end;

    while ((mark = strstr (rest, "{{")) != NULL && (end = strstr (mark, "}}")) != NULL) {
        g_string_append_len (page, rest, mark - rest);
        append_part (page, mark + 2, (size_t)(end - mark - 2), document);
        rest = end + 2;
    }
    g_string_append (page, rest);
    return g_string_free (page, FALSE);
}
