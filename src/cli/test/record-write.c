/* SPDX-License-Identifier: Apache-2.0 */
/* A session as a scenario, in the form that vmm-test(5) describes. */
#include <string.h>

#include "keys.h"
#include "record-internal.h"

/* vmm-test(5): what holds when a scenario says nothing. */
#define WITHIN_DEFAULT 60.0
#define SILENCE_DEFAULT 30.0
#define TIMEOUT_DEFAULT 300.0
/* Another host may be so much slower. */
#define MARGIN 4.0

#define NAME_CHARS_MAX 40u
#define SECRET "${password}"

typedef struct {
    const TestRecord *record;
    GString *text;
    GHashTable *names; /* of steps */
    GPtrArray *secrets;
} Writer;

/* In a file's value, ${ begins a variable, and $$ is a dollar. */
static char *
escape_dollars (const char *value)
{
    GString *escaped = g_string_new (NULL);

    for (const char *p = value; *p != '\0'; p++) {
        if (*p == '$' && (p[1] == '{' || p[1] == '$'))
            g_string_append_c (escaped, '$');
        /* A line end would begin another key. */
        g_string_append_c (escaped, *p == '\n' || *p == '\r' ? ' ' : *p);
    }
    return g_string_free (escaped, FALSE);
}

static void
write_key (Writer *writer, const char *key, const char *value)
{
    g_autofree char *escaped = escape_dollars (value);

    g_string_append_printf (writer->text, "%s = %s\n", key, escaped);
}

static void
write_seconds (Writer *writer, const char *key, double seconds, double otherwise)
{
    if (seconds > otherwise)
        g_string_append_printf (writer->text, "%s = %" G_GINT64_FORMAT "\n", key, (gint64)(seconds + 0.999));
}

/* The console that has the terminal: that of the first setting that says so. */
static char *
find_console (const TestRecord *record)
{
    for (guint i = 0; i < record->settings->len; i++) {
        const TestPair *pair = record->settings->pdata[i];
        g_auto (GStrv) words = g_strsplit (pair->value, ",", -1);

        if (strcmp (pair->name, "console") != 0 || g_strcmp0 (words[0], "stdio") != 0)
            continue;
        for (char **w = words; *w != NULL; w++) {
            if (g_str_has_prefix (*w, "name="))
                return g_strdup (*w + strlen ("name="));
        }
        return g_strdup ("hvc0");
    }
    return g_strdup ("serial");
}

static double
sum_seconds (const TestRecord *record)
{
    double sum = 0;

    for (guint i = 0; i < record->steps->len; i++)
        sum += ((const TestRecordStep *)record->steps->pdata[i])->took;
    return sum;
}

/* Of the kernel's reports, which would fail a run. */
static void
write_troubles (Writer *writer)
{
    const TestRecord *record = writer->record;
    g_autoptr (GString) allow = g_string_new (NULL);

    switch (record->end) {
    case VMM_VERDICT_PANIC:
        write_key (writer, "outcome",
                   record->first_trouble < VMM_KERNEL_N_TROUBLES
                       ? vmm_kernel_trouble_to_string (record->first_trouble)
                       : vmm_verdict_kind_to_string (record->end));
        return;
    case VMM_VERDICT_TRIPLE_FAULT:
    case VMM_VERDICT_HANG:
    case VMM_VERDICT_TIMEOUT:
    case VMM_VERDICT_CPU_ERROR:
        write_key (writer, "outcome", vmm_verdict_kind_to_string (record->end));
        break;
    default:
        break;
    }
    for (unsigned i = 0; i < VMM_KERNEL_N_TROUBLES; i++) {
        if (record->troubles[i])
            g_string_append_printf (allow, "%s%s", allow->len > 0 ? "; " : "",
                                    vmm_kernel_trouble_to_string ((VmmKernelTrouble)i));
    }
    if (allow->len > 0)
        write_key (writer, "allow", allow->str);
}

static const char *
find_setting (const TestRecord *record, const char *key)
{
    const char *value = NULL;

    for (guint i = 0; i < record->settings->len; i++) {
        const TestPair *pair = record->settings->pdata[i];

        if (strcmp (pair->name, key) == 0)
            value = pair->value;
    }
    return value;
}

static void
write_test (Writer *writer)
{
    const TestRecord *record = writer->record;
    g_autofree char *console = find_console (record);
    const char *timeout = find_setting (record, "timeout");
    gsize begin;

    g_string_append (writer->text, "[test]\n");
    begin = writer->text->len;
    if (strcmp (console, "serial") != 0)
        write_key (writer, "consoles", console);
    if (timeout != NULL)
        write_key (writer, "timeout", timeout);
    else
        write_seconds (writer, "timeout", sum_seconds (record) * MARGIN + WITHIN_DEFAULT, TIMEOUT_DEFAULT);
    write_troubles (writer);
    if (writer->text->len == begin)
        g_string_truncate (writer->text, begin - strlen ("[test]\n"));
    else
        g_string_append_c (writer->text, '\n');
}

static bool
repeats (const char *key)
{
    size_t n;
    const VmmConfigKey *keys = vmm_config_keys (&n);

    for (size_t i = 0; i < n; i++) {
        if (strcmp (keys[i].name, key) == 0)
            return keys[i].repeats;
    }
    return false;
}

/* Those that a scenario has at another place, or that are of this session only. */
static bool
is_of_machine (const TestPair *pair)
{
    bool console = strcmp (pair->name, "console") == 0 || strcmp (pair->name, "serial") == 0;

    if (console && (strcmp (pair->value, "stdio") == 0 || g_str_has_prefix (pair->value, "stdio,")))
        return false;
    return strcmp (pair->name, "timeout") != 0 && strcmp (pair->name, "control") != 0;
}

static void
write_machine (Writer *writer)
{
    const GPtrArray *settings = writer->record->settings;
    g_autoptr (GHashTable) counts = g_hash_table_new (g_str_hash, g_str_equal);

    g_string_append (writer->text, "[machine]\n");
    for (guint i = 0; i < settings->len; i++) {
        const TestPair *pair = settings->pdata[i];
        unsigned n = GPOINTER_TO_UINT (g_hash_table_lookup (counts, pair->name)) + 1;
        g_autofree char *key = n > 1 ? g_strdup_printf ("%s %u", pair->name, n) : g_strdup (pair->name);

        if (!is_of_machine (pair) ||
            (!repeats (pair->name) && find_setting (writer->record, pair->name) != pair->value))
            continue;
        g_hash_table_insert (counts, pair->name, GUINT_TO_POINTER (n));
        write_key (writer, key, pair->value);
    }
}

static char *
name_typed (const TestRecordStep *step, const char *key)
{
    g_autoptr (GString) text = g_string_new (NULL);
    GString *name = g_string_new (NULL);
    VmmTerminalFilter filter = {0}; /* arrows and the like */

    if (key != NULL) {
        g_string_append_printf (name, "key %s", key);
        return g_string_free (name, FALSE);
    }
    for (guint i = 0; i < step->bytes->len; i++) {
        if (vmm_terminal_filter_pass (&filter, step->bytes->data[i]) &&
            g_ascii_isprint (step->bytes->data[i]) && strchr ("[]", step->bytes->data[i]) == NULL)
            g_string_append_c (text, (char)step->bytes->data[i]);
    }
    g_strstrip (text->str);
    g_string_append_len (name, text->str, (gssize)MIN (strlen (text->str), NAME_CHARS_MAX));
    g_strchomp (name->str);
    if (*name->str == '\0')
        g_string_assign (name, "type");
    return g_string_free (name, FALSE);
}

static void
begin_step (Writer *writer, const char *name)
{
    g_autofree char *unique = g_strdup (name);

    for (unsigned n = 2; g_hash_table_contains (writer->names, unique); n++) {
        g_free (unique);
        unique = g_strdup_printf ("%s (%u)", name, n);
    }
    g_string_append_printf (writer->text, "\n[step %s]\n", unique);
    g_hash_table_add (writer->names, g_steal_pointer (&unique));
}

static void
write_expect (Writer *writer, const TestRecordStep *step)
{
    g_autofree char *pattern = NULL;
    bool literal;

    if (step->seen != NULL) {
        pattern = test_record_line_to_pattern (step->seen, &literal);
        write_key (writer, literal ? "expect-text" : "expect", pattern);
    }
    write_seconds (writer, "within", step->took * MARGIN, WITHIN_DEFAULT);
    write_seconds (writer, "silence", step->quiet * MARGIN, SILENCE_DEFAULT);
}

static void
write_secret (Writer *writer, const TestRecordStep *step)
{
    const GByteArray *bytes = step->bytes;
    size_t end = bytes->len - (bytes->len > 1 && bytes->data[bytes->len - 2] == '\r' ? 2 : 1);
    g_autofree char *secret = test_keys_encode_text (bytes->data, end);
    g_autofree char *enter = test_keys_encode_text (bytes->data + end, bytes->len - end);
    guint at = 0;

    /* The same one again has the same name. */
    while (at < writer->secrets->len && strcmp (writer->secrets->pdata[at], secret) != 0)
        at++;
    if (at == writer->secrets->len)
        g_ptr_array_add (writer->secrets, g_steal_pointer (&secret));
    if (at == 0)
        g_string_append_printf (writer->text, "send = ${password}%s\n", enter);
    else
        g_string_append_printf (writer->text, "send = ${password%u}%s\n", at + 1, enter);
}

/* What the next step has to wait for is then behind it. */
static void
write_pause (Writer *writer, const TestRecordStep *step)
{
    if (step->pause <= 0)
        return;
    begin_step (writer, "a moment");
    write_expect (writer, step);
    g_string_append_printf (writer->text, "sleep = %.1f\n", step->pause);
}

static void
write_typed (Writer *writer, const TestRecordStep *step)
{
    g_autofree char *key = test_keys_find_name (step->bytes->data, step->bytes->len);
    g_autofree char *name = NULL;
    g_autofree char *text = NULL;

    if (test_record_step_is_secret (step)) {
        begin_step (writer, "password");
        write_expect (writer, step);
        write_secret (writer, step);
        return;
    }
    name = name_typed (step, key);
    write_pause (writer, step);
    begin_step (writer, name);
    if (step->pause <= 0)
        write_expect (writer, step);
    text = key == NULL ? test_keys_encode_text (step->bytes->data, step->bytes->len) : NULL;
    write_key (writer, key != NULL ? "key" : "send", key != NULL ? key : text);
}

static void
write_end (Writer *writer, const TestRecordStep *step)
{
    const TestRecord *record = writer->record;
    g_autofree char *exit_text = g_strdup_printf ("exit %d", record->exit_code >> 1);
    const char *wait = "end", *name = "the end";

    switch (record->end) {
    case VMM_VERDICT_POWEROFF:
        name = wait = "poweroff";
        break;
    case VMM_VERDICT_REBOOT:
        name = wait = "reboot";
        break;
    case VMM_VERDICT_HALT:
        name = wait = "halt";
        break;
    case VMM_VERDICT_GUEST_EXIT:
        name = wait = exit_text;
        break;
    case VMM_VERDICT_STOPPED:
    case VMM_VERDICT_HOST_ERROR:
        wait = NULL;
        break;
    default:
        break;
    }
    /* Somebody has left: what could be seen then is what the guest gets to. */
    if (wait == NULL && step->seen == NULL)
        return;
    begin_step (writer, name);
    write_expect (writer, wait == NULL ? step : &(TestRecordStep){.took = step->took, .quiet = step->quiet});
    if (wait != NULL)
        write_key (writer, "wait", wait);
}

static void
write_steps (Writer *writer)
{
    const GPtrArray *steps = writer->record->steps;

    for (guint i = 0; i < steps->len; i++) {
        const TestRecordStep *step = steps->pdata[i];

        switch (step->kind) {
        case TEST_RECORD_TYPED:
            write_typed (writer, step);
            break;
        case TEST_RECORD_POWER_BUTTON:
            begin_step (writer, "power button");
            write_expect (writer, step);
            write_key (writer, "machine", "power-button");
            break;
        case TEST_RECORD_BREAK:
            begin_step (writer, "break");
            write_expect (writer, step);
            write_key (writer, "machine", "break");
            break;
        case TEST_RECORD_END:
            write_end (writer, step);
            break;
        }
    }
    /* Without a step it would be one of a guest that powers off. */
    if (g_hash_table_size (writer->names) == 0) {
        begin_step (writer, "a moment");
        write_key (writer, "sleep", "1");
    }
}

static void
write_secrets (const Writer *writer, GString *text)
{
    bool keep = writer->record->keep_secrets;

    if (writer->secrets->len == 0)
        return;
    if (!keep)
        g_string_append (
            text, "# What was typed without an echo is not in this file: it comes from the environment,\n"
                  "# or from vmm test --set password=TEXT.\n");
    g_string_append (text, "[variables]\n");
    for (guint i = 0; i < writer->secrets->len; i++) {
        g_autofree char *number = i > 0 ? g_strdup_printf ("%u", i + 1) : g_strdup ("");
        g_autofree char *value = escape_dollars (writer->secrets->pdata[i]);

        if (keep)
            g_string_append_printf (text, "password%s = %s\n", number, value);
        else
            g_string_append_printf (text, "password%s = ${env.PASSWORD%s}\n", number, number);
    }
    g_string_append_c (text, '\n');
}

/**
 * test_record_to_scenario:
 * @record: one that has ended
 *
 * Returns: (transfer full): the text of a file for vmm test
 */
char *
test_record_to_scenario (const TestRecord *record)
{
    g_autoptr (GHashTable) names = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr (GPtrArray) secrets = g_ptr_array_new_with_free_func (g_free);
    g_autoptr (GString) body = g_string_new (NULL);
    GString *text =
        g_string_new ("# A session, as vmm record has written it down. vmm test does it again.\n");
    Writer writer = {.record = record, .text = body, .names = names, .secrets = secrets};

    if (record->full)
        g_string_append (text, "# It was too long: its end is missing.\n");
    g_string_append_c (text, '\n');
    write_test (&writer);
    write_machine (&writer);
    write_steps (&writer);
    write_secrets (&writer, text);
    g_string_append_len (text, body->str, (gssize)body->len);
    return g_string_free (text, FALSE);
}
