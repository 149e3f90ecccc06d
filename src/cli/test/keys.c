/* SPDX-License-Identifier: Apache-2.0 */
/* What is typed at a console, as people write it in a file, and as bytes. */
#include "keys.h"

#include <stdbool.h>
#include <string.h>

#include <vmm/vmm.h>

#include "scenario-values.h"

#define SHOWN_MAX 40

#define KNOWN_ESCAPES "\\n \\r \\t \\e \\\\ \\s (a space) and \\xNN (a byte in hexadecimal)"

static const struct {
    char letter;
    char byte;
} escapes[] = {{'n', '\n'}, {'r', '\r'}, {'t', '\t'}, {'e', '\033'}, {'\\', '\\'}, {'s', ' '}};

/* Those of xterm, which the terminal types linux and vt220 have too, F1 to F4 apart. */
static const struct {
    const char *name;
    const char *bytes;
} keys[] = {
    {"enter", "\r"},       {"tab", "\t"},         {"esc", "\033"},         {"space", " "},
    {"backspace", "\177"}, {"up", "\033[A"},      {"down", "\033[B"},      {"right", "\033[C"},
    {"left", "\033[D"},    {"home", "\033[H"},    {"end", "\033[F"},       {"insert", "\033[2~"},
    {"delete", "\033[3~"}, {"pageup", "\033[5~"}, {"pagedown", "\033[6~"}, {"f1", "\033OP"},
    {"f2", "\033OQ"},      {"f3", "\033OR"},      {"f4", "\033OS"},        {"f5", "\033[15~"},
    {"f6", "\033[17~"},    {"f7", "\033[18~"},    {"f8", "\033[19~"},      {"f9", "\033[20~"},
    {"f10", "\033[21~"},   {"f11", "\033[23~"},   {"f12", "\033[24~"},
};

/* Appends what the escape at @p, behind its backslash, means. Returns what is behind it, or NULL. */
static const char *
decode_escape (const char *p, GByteArray *bytes)
{
    uint8_t byte;

    for (size_t i = 0; i < G_N_ELEMENTS (escapes); i++) {
        if (*p == escapes[i].letter) {
            byte = (uint8_t)escapes[i].byte;
            g_byte_array_append (bytes, &byte, 1);
            return p + 1;
        }
    }
    if (p[0] != 'x' || !g_ascii_isxdigit (p[1]) || !g_ascii_isxdigit (p[2]))
        return NULL;
    byte = (uint8_t)(g_ascii_xdigit_value (p[1]) * 16 + g_ascii_xdigit_value (p[2]));
    g_byte_array_append (bytes, &byte, 1);
    return p + 3;
}

static void
set_escape_error (const char *p, GError **error)
{
    if (*p == '\0') {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "a single \\ at the end; \\\\ is one, and the escapes are " KNOWN_ESCAPES);
        return;
    }
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                 "\"\\%.*s\": no such escape; they are " KNOWN_ESCAPES ", and \\\\ is a backslash",
                 (int)(g_utf8_next_char (p) - p), p);
}

/**
 * test_keys_decode_text:
 * @text: with the escapes that vmm-test(5) lists, in UTF-8
 * @error: %VMM_ERROR_USAGE: one that is not among them
 *
 * Returns: (transfer full) (nullable): the bytes that it stands for
 */
GBytes *
test_keys_decode_text (const char *text, GError **error)
{
    g_autoptr (GByteArray) bytes = g_byte_array_new ();

    for (const char *p = text; *p != '\0';) {
        size_t plain = strcspn (p, "\\");
        const char *next;

        g_byte_array_append (bytes, (const uint8_t *)p, (guint)plain);
        p += plain;
        if (*p == '\0')
            break;
        next = decode_escape (p + 1, bytes);
        if (next == NULL) {
            set_escape_error (p + 1, error);
            return NULL;
        }
        p = next;
    }
    return g_byte_array_free_to_bytes (g_steal_pointer (&bytes));
}

/* How many bytes at @p are a character that people can see; 0: none. */
static size_t
count_visible (const uint8_t *p, size_t len)
{
    gunichar c = g_utf8_get_char_validated ((const char *)p, (gssize)MIN (len, 6));

    if (c == 0 || c == (gunichar)-1 || c == (gunichar)-2 || !g_unichar_isprint (c))
        return 0;
    /* A space that looks like another, and what joins with the character before it, would not be noticed. */
    if (c != ' ' && (g_unichar_isspace (c) || g_unichar_iszerowidth (c)))
        return 0;
    return (size_t)g_unichar_to_utf8 (c, NULL);
}

static void
append_escape (GString *text, uint8_t byte)
{
    for (size_t i = 0; i < G_N_ELEMENTS (escapes); i++) {
        if (byte == (uint8_t)escapes[i].byte) {
            g_string_append_printf (text, "\\%c", escapes[i].letter);
            return;
        }
    }
    g_string_append_printf (text, "\\x%02x", byte);
}

/**
 * test_keys_encode_text:
 * @bytes: @len bytes, any
 *
 * Blanks at both ends are escaped, since a file's values lose them.
 *
 * Returns: (transfer full): one line of UTF-8 from which test_keys_decode_text() makes the same bytes
 */
char *
test_keys_encode_text (const uint8_t *bytes, size_t len)
{
    GString *text = g_string_new (NULL);

    for (size_t i = 0; i < len;) {
        bool plain = bytes[i] != '\\' && (bytes[i] != ' ' || (i > 0 && i + 1 < len));
        size_t n = plain ? count_visible (bytes + i, len - i) : 0;

        if (n > 0)
            g_string_append_len (text, (const char *)bytes + i, (gssize)n);
        else
            append_escape (text, bytes[i]);
        i += MAX (n, 1);
    }
    return g_string_free (text, FALSE);
}

static void
set_key_error (const char *name, GError **error)
{
    const char *names[G_N_ELEMENTS (keys) + 1] = {NULL};
    const char *meant;
    g_autoptr (GString) known = g_string_new (NULL);

    for (size_t i = 0; i < G_N_ELEMENTS (keys); i++) {
        names[i] = keys[i].name;
        if (keys[i].name[0] != 'f')
            g_string_append_printf (known, "%s, ", keys[i].name);
    }
    meant = test_suggest (name, names);
    if (meant != NULL)
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "\"%.*s\" is no key: did you mean \"%s\"?", SHOWN_MAX,
                     name, meant);
    else
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "\"%.*s\" is no key; they are %sf1 to f12 and ctrl-a to ctrl-z", SHOWN_MAX, name,
                     known->str);
}

/**
 * test_keys_decode_key:
 * @name: "enter", "ctrl-c"; vmm-test(5) lists them
 * @error: %VMM_ERROR_USAGE: there is no such key
 *
 * Returns: (transfer full) (nullable): what a terminal sends for it
 */
GBytes *
test_keys_decode_key (const char *name, GError **error)
{
    if (g_str_has_prefix (name, "ctrl-") && g_ascii_islower (name[5]) && name[6] == '\0') {
        uint8_t byte = (uint8_t)(name[5] - 'a' + 1);

        return g_bytes_new (&byte, 1);
    }
    for (size_t i = 0; i < G_N_ELEMENTS (keys); i++) {
        if (strcmp (name, keys[i].name) == 0)
            return g_bytes_new_static (keys[i].bytes, strlen (keys[i].bytes));
    }
    set_key_error (name, error);
    return NULL;
}

/**
 * test_keys_find_name:
 * @bytes: @len bytes
 *
 * Returns: (transfer full) (nullable): the name of the key that a terminal sends them for, when there is one
 */
char *
test_keys_find_name (const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < G_N_ELEMENTS (keys); i++) {
        if (len == strlen (keys[i].bytes) && memcmp (bytes, keys[i].bytes, len) == 0)
            return g_strdup (keys[i].name);
    }
    if (len == 1 && bytes[0] >= 1 && bytes[0] <= 26)
        return g_strdup_printf ("ctrl-%c", 'a' + bytes[0] - 1);
    return NULL;
}
