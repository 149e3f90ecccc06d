/* SPDX-License-Identifier: Apache-2.0 */
/* vmm-test(5) says what is in the table, and its examples are scenarios. */
#include "scenario-keys.h"
#include "scenario-rig.h"

static char *manual;

static void
read_manual (void)
{
    cr_assert (g_file_get_contents (MANUAL, &manual, NULL, NULL), MANUAL);
}

static void
drop_manual (void)
{
    g_free (manual);
}

/* From the line that begins with @start to the next one that begins with @end. */
static char *
part (const char *text, const char *start, const char *end)
{
    g_autofree char *line = g_strconcat ("\n", start, NULL);
    g_autofree char *line_behind = g_strconcat ("\n", end, NULL);
    const char *from = strstr (text, line);
    const char *to = from != NULL ? strstr (from + 1, line_behind) : NULL;

    cr_assert_not_null (from, "no line that begins with \"%s\"", start);
    return to != NULL ? g_strndup (from, (gsize)(to - from)) : g_strdup (from);
}

static void
expect_key (const char *section, const TestGroupKind *kind, const TestKey *key)
{
    g_autofree char *start = g_strdup_printf (".It Cm %s Ns = Ns ", key->name);
    g_autofree char *item = part (section, start, ".It Cm ");

    cr_assert (!key->repeats || strstr (item, "This key repeats.") != NULL, "%s", key->name);
    cr_assert (key->fallback == NULL || strstr (item, key->fallback) != NULL, "[%s] %s: not its default, %s",
               kind->name, key->name, key->fallback);
}

Test (scenario_manual, has_all_groups_and_keys, .init = read_manual, .fini = drop_manual)
{
    size_t n;
    const TestGroupKind *kinds = test_group_kinds (&n);

    for (size_t i = 0; i < n; i++) {
        g_autofree char *title = g_strdup_printf (".Ss [%s%s]", kinds[i].name, kinds[i].named ? " NAME" : "");
        g_autofree char *section = part (manual, title, ".Ss ");

        for (const TestKey *key = kinds[i].keys; key != NULL && key->name != NULL; key++)
            expect_key (section, &kinds[i], key);
    }
}

Test (scenario_manual, has_all_reports_of_the_kernel, .init = read_manual, .fini = drop_manual)
{
    g_autofree char *section = part (manual, ".Sh VERDICTS", ".Sh");

    for (unsigned i = 0; i < VMM_KERNEL_N_TROUBLES; i++) {
        const char *name = vmm_kernel_trouble_to_string ((VmmKernelTrouble)i);
        g_autofree char *pattern = g_strdup_printf ("^\\.It Cm (\\S+ , )?%s( , \\S+)? Ta", name);

        cr_assert (g_regex_match_simple (pattern, section, G_REGEX_MULTILINE, 0), "%s", name);
    }
}

/* As mandoc shows it: the one escape that literal text needs. */
static char *
unescape (const char *text)
{
    g_autoptr (GString) plain = g_string_new (text);

    g_string_replace (plain, "\\e", "\\", 0);
    cr_assert_null (strstr (plain->str, "\\&"));
    return g_string_free (g_steal_pointer (&plain), FALSE);
}

Test (scenario_manual, has_examples_that_are_scenarios, .init = read_manual, .fini = drop_manual)
{
    g_auto (GStrv) parts = g_strsplit (manual, "\n.Bd -literal -offset indent\n", -1);
    unsigned n = 0;

    for (char **p = parts + 1; *p != NULL; p++) {
        g_autofree char *text = g_strndup (*p, (gsize)(strstr (*p, ".Ed") - *p));
        g_autofree char *plain = unescape (text);
        g_autoptr (GPtrArray) runs = *plain == '[' ? make_runs (plain) : NULL;

        n += runs != NULL;
    }
    cr_assert_eq (n, 7);
}
