/* SPDX-License-Identifier: Apache-2.0 */
/* Which runs are made, of which scenarios. */
#include "remove-tree.h"
#include "select.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *folder;
static TestOptions options;

static void
put (const char *name, const char *text)
{
    g_autofree char *path = g_build_filename (folder, name, NULL);

    cr_assert (g_file_set_contents (path, text, -1, NULL));
}

static void
begin (void)
{
    folder = g_dir_make_tmp ("vmm-select-XXXXXX", NULL);
    options = (TestOptions){.load.time_scale = 1};
    put ("b.test", "[test]\ntags = slow\n[matrix]\ncpus = 1; 2\n");
    put ("a.test", "[test]\ntags = quick; boot\n");
    put ("c.test", "[test]\nname = sea\n");
    put (".hidden.test", "nonsense\n");
    put ("common.ini", "nonsense\n");
}

static void
end (void)
{
    remove_tree (folder);
    g_free (folder);
    test_options_clear (&options);
}

TestSuite (select, .init = begin, .fini = end);

static void
add_path (const char *name)
{
    g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
    g_autofree char *path = g_build_filename (folder, name, NULL);

    if (options.paths != NULL)
        g_strv_builder_addv (builder, (const char **)options.paths);
    g_strv_builder_add (builder, path);
    g_strfreev (options.paths);
    options.paths = g_strv_builder_end (builder);
}

/* The names of what is selected, or what is wrong. */
static void
expect (const char *expected)
{
    g_autoptr (GError) error = NULL;
    g_autoptr (GPtrArray) runs = test_select_runs (&options, &error);
    g_autoptr (GString) names = g_string_new (NULL);

    if (error != NULL)
        g_string_append (names, error->message);
    for (guint i = 0; runs != NULL && i < runs->len; i++)
        g_string_append_printf (names, "%s%s", i > 0 ? " " : "",
                                ((const TestRun *)g_ptr_array_index (runs, i))->name);
    g_string_replace (names, folder, "@", 0);
    cr_expect_str_eq (names->str, expected, "\"%s\"", names->str);
}

Test (select, a_folder_has_its_scenarios_by_name)
{
    add_path ("");
    expect ("a b[1] b[2] sea");
}

Test (select, files_are_taken_in_their_order_and_once)
{
    g_autofree char *link = g_build_filename (folder, "a-link", NULL);

    cr_assert_eq (symlink ("c.test", link), 0);
    add_path ("c.test");
    add_path ("a.test");
    add_path ("a-link");
    add_path ("");
    expect ("sea a b[1] b[2]");
}

Test (select, a_file_with_nothing_in_it_is_no_scenario)
{
    put ("empty.test", "\n# To be written.\n");
    add_path ("empty.test");
    expect ("@/empty.test: there is nothing in it: say at least [machine], which then may be empty");
    put ("empty.test", "[machine]\n");
    expect ("empty");
}

Test (select, by_name)
{
    add_path ("");
    options.only = g_strdup ("^b.*2|sea");
    expect ("b[2] sea");
}

Test (select, a_name_that_cannot_be_looked_through_is_told)
{
    put ("d.test", "[test]\nname = "
                   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\n");
    add_path ("");
    options.only = g_strdup ("(a|aa)+$|b$");
    expect ("only \"(a|aa)+$|b$\": it takes too long with the names of these runs: give a simpler one");
}

Test (select, by_tag)
{
    char *boot[] = {(char *)"none", (char *)"boot", NULL}, *slow[] = {(char *)"slow", NULL};

    add_path ("");
    options.tags = g_strdupv (boot);
    expect ("a");
    options.skip_tags = g_strdupv (boot);
    expect ("");
    g_clear_pointer (&options.tags, g_strfreev);
    expect ("b[1] b[2] sea");
    g_strfreev (options.skip_tags);
    options.skip_tags = g_strdupv (slow);
    expect ("a sea");
}

Test (select, a_name_is_a_line_of_text)
{
    put ("a\033[31m\n::error::\xff.test", "[matrix]\ncpus = 1; 2\n");
    add_path ("a\033[31m\n::error::\xff.test");
    expect ("a ::error::\xef\xbf\xbd[1] a ::error::\xef\xbf\xbd[2]");
}

Test (select, what_is_no_file_is_passed_over)
{
    g_autofree char *pipe = g_build_filename (folder, "pipe.test", NULL);
    g_autofree char *inside = g_build_filename (folder, "inside.test", NULL);

    cr_assert_eq (mkfifo (pipe, 0600), 0);
    cr_assert_eq (g_mkdir (inside, 0755), 0);
    add_path ("");
    expect ("a b[1] b[2] sea");
}

Test (select, a_link_that_leads_nowhere)
{
    g_autofree char *link = g_build_filename (folder, "aa.test", NULL);

    cr_assert_eq (symlink ("nowhere", link), 0);
    add_path ("");
    expect ("\"@/aa.test\": No such file or directory");
}

Test (select, two_runs_of_one_name)
{
    put ("d.test", "[test]\nname = sea\n");
    add_path ("");
    expect ("\"@/d.test\": a run is named \"sea\", and one of \"@/c.test\" is, too: give its [test] another "
            "name");
}

Test (select, what_is_not_there)
{
    g_autofree char *empty = g_build_filename (folder, "empty", NULL);

    g_mkdir (empty, 0755);
    add_path ("empty");
    expect ("\"@/empty\": no scenarios in this folder: their names end in .test");
    g_clear_pointer (&options.paths, g_strfreev);
    add_path ("nothing");
    expect ("\"@/nothing\": No such file or directory");
}

Test (select, a_pattern_that_is_none)
{
    g_autoptr (GError) error = NULL;

    add_path ("");
    options.only = g_strdup ("(");
    cr_assert_null (test_select_runs (&options, &error));
    cr_expect (g_str_has_prefix (error->message, "only \"(\": "), "%s", error->message);
}

Test (select, a_list_for_programs)
{
    g_autoptr (GPtrArray) runs = NULL;
    json_t *list, *second;

    add_path ("b.test");
    runs = test_select_runs (&options, NULL);
    list = test_select_to_json (runs);
    second = json_array_get (list, 1);
    cr_expect_eq (json_array_size (list), 2);
    cr_expect_str_eq (json_string_value (json_object_get (second, "name")), "b[2]");
    cr_expect_str_eq (json_string_value (json_object_get (json_object_get (second, "axes"), "cpus")), "2");
    cr_expect_eq (json_integer_value (json_object_get (second, "cpus")), 2);
    cr_expect (json_is_null (json_object_get (second, "kernel")));
    json_decref (list);
}
