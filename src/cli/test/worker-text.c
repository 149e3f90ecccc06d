/* SPDX-License-Identifier: Apache-2.0 */
/* Text of a guest, or of a file, that goes into a result: bounded, and valid UTF-8. */
#include <string.h>

#include "text.h"
#include "worker-internal.h"

#define LINE_CHARS 200u

/**
 * test_worker_line:
 * @text: any bytes
 *
 * Returns: (transfer full): as one line that a terminal can take, of at most 200 characters
 */
char *
test_worker_line (const char *text)
{
    GString *line = g_string_new (NULL);

    test_text_append_plain (line, (const uint8_t *)text, strlen (text), LINE_CHARS);
    return g_string_free (line, FALSE);
}

/**
 * test_worker_excerpt:
 * @capture: of what a command said
 *
 * Returns: (transfer full): what was kept of it, in one piece
 */
char *
test_worker_excerpt (const TestCapture *capture)
{
    json_t *json = test_capture_to_json (capture);
    const char *head = json_string_value (json_object_get (json, "head"));
    const char *tail = json_string_value (json_object_get (json, "tail"));
    char *text = tail == NULL || *tail == '\0'
                     ? g_strdup (head)
                     : g_strconcat (head, "\n[some of it is left out here]\n", tail, NULL);

    json_decref (json);
    return text;
}

/**
 * test_worker_text_to_json:
 * @text: (nullable)
 * @max: bytes that are taken of it at most
 *
 * Returns: (transfer full): a JSON string; null for NULL
 */
json_t *
test_worker_text_to_json (const char *text, size_t max)
{
    size_t len = text != NULL ? strnlen (text, max + 1) : 0;
    g_autoptr (GString) valid = g_string_new (NULL);

    if (text == NULL)
        return json_null ();
    if (len > max) {
        /* Not in the middle of a character. */
        while (max > 0 && ((uint8_t)text[max] & 0xc0) == 0x80)
            max--;
    }
    test_text_append_valid (valid, (const uint8_t *)text, MIN (len, max));
    if (len > max)
        g_string_append (valid, "…");
    return json_string (valid->str);
}
