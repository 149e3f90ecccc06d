/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vmm/vmm.h>

#include "remove-tree.h"
#include "scenario-file.h"

static char *folder;

static void
make_folder (void)
{
    folder = g_dir_make_tmp ("vmm-scenario-XXXXXX", NULL);
    cr_assert_not_null (folder);
}

static void
drop_folder (void)
{
    remove_tree (folder);
    g_free (folder);
}

static char *
put (const char *name, const char *text)
{
    char *path = g_build_filename (folder, name, NULL);

    cr_assert (g_file_set_contents (path, text, -1, NULL));
    return path;
}

static const char *
value_of (const TestFile *file, const char *title, const char *key)
{
    const TestEntry *entry = test_group_find (test_file_find (file, title), key);

    return entry != NULL ? entry->value : NULL;
}

static void
expect_load_error (const char *path, const char *said)
{
    g_autoptr (GError) error = NULL;

    cr_assert_null (test_file_load (path, &error));
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE));
    cr_assert_not_null (strstr (error->message, said), "\"%s\" does not say \"%s\"", error->message, said);
}

Test (scenario_file, values_are_as_they_were_typed)
{
    static const char text[] = "# comment\n\n[a]\n"
                               "regex =  \\d+\\.(x|y)$ \n"
                               "  list=a; b;\n"
                               "\tempty =\n"
                               "equals = a = b\n"
                               "hash = a # b\n"
                               "umlaut = ä\n"
                               "[b c]\n"
                               "two words = \\s\\n \\\\\n";
    g_autoptr (TestFile) file = test_file_parse (text, strlen (text), "x", NULL);

    cr_assert_not_null (file);
    cr_assert_str_eq (value_of (file, "a", "regex"), "\\d+\\.(x|y)$");
    cr_assert_str_eq (value_of (file, "a", "list"), "a; b;");
    cr_assert_str_eq (value_of (file, "a", "empty"), "");
    cr_assert_str_eq (value_of (file, "a", "equals"), "a = b");
    cr_assert_str_eq (value_of (file, "a", "hash"), "a # b");
    cr_assert_str_eq (value_of (file, "a", "umlaut"), "ä");
    cr_assert_str_eq (value_of (file, "b c", "two words"), "\\s\\n \\\\");
    cr_assert_eq (test_group_find (test_file_find (file, "b c"), "two words")->line, 11);
    cr_assert_str_eq (test_file_find (file, "b c")->kind, "b");
    cr_assert_str_eq (test_file_find (file, "b c")->name, "c");
}

Test (scenario_file, line_ends_of_other_systems_and_a_last_line_without_one_are_fine)
{
    static const char text[] = "[a]\r\nx = 1\r\n\r\ny = 2";
    g_autoptr (TestFile) file = test_file_parse (text, strlen (text), "x", NULL);

    cr_assert_str_eq (value_of (file, "a", "x"), "1");
    cr_assert_str_eq (value_of (file, "a", "y"), "2");
}

Test (scenario_file, builds_on_its_defaults, .init = make_folder, .fini = drop_folder)
{
    g_autofree char *base =
        put ("base.ini", "[machine]\nmem = 1G\ndisk = a\ndisk b = b\n[step x]\nexpect = base\n");
    g_autofree char *more = put (
        "more.ini", "[test]\ndefaults = base.ini\n[machine]\ndisk b = more\n[variables]\nHERE = ${dir}\n");
    g_autofree char *path = put ("t.test", "[test]\ndefaults = more.ini;\ntimeout = 3\n"
                                           "[step x]\nsend = own\n[machine]\ndisk = own\ncpus = 2\n");
    g_autoptr (GError) error = NULL;
    g_autoptr (TestFile) file = test_file_load (path, &error);
    const TestGroup *machine;

    cr_assert_not_null (file, "%s", error != NULL ? error->message : "");
    machine = test_file_find (file, "machine");
    cr_assert_str_eq (value_of (file, "machine", "mem"), "1G");
    cr_assert_str_eq (value_of (file, "machine", "disk"), "own");
    cr_assert_str_eq (value_of (file, "machine", "disk b"), "more");
    /* A disk that is replaced stays the first one. */
    cr_assert_str_eq (((TestEntry *)machine->entries->pdata[1])->key, "disk");
    cr_assert_str_eq (((TestEntry *)machine->entries->pdata[3])->key, "cpus");
    cr_assert_str_eq (value_of (file, "step x", "expect"), "base");
    cr_assert_str_eq (value_of (file, "step x", "send"), "own");
    cr_assert_str_eq (test_group_find (machine, "mem")->source->path, base);
    cr_assert_str_eq (test_group_find (machine, "disk b")->source->path, more);
    cr_assert_str_eq (((TestSource *)file->sources->pdata[0])->path, path);
    cr_assert_str_eq (test_group_find (machine, "mem")->source->folder, folder);
}

Test (scenario_file, names_defaults_from_anywhere, .init = make_folder, .fini = drop_folder)
{
    g_autofree char *base = put ("base.ini", "[machine]\nmem = 1G\n");
    g_autofree char *text =
        g_strdup_printf ("[test]\ndefaults = %s; ${dir}/../%s/base.ini\n", base, strrchr (folder, '/') + 1);
    g_autofree char *path = put ("t.test", text);
    g_autoptr (TestFile) file = test_file_load (path, NULL);

    cr_assert_not_null (file);
    cr_assert_str_eq (value_of (file, "machine", "mem"), "1G");
}

Test (scenario_file, tells_where_defaults_are_wrong, .init = make_folder, .fini = drop_folder)
{
    g_autofree char *absent = put ("a.test", "[test]\n\ndefaults = absent.ini\n");
    g_autofree char *of_unknown = put ("b.test", "[test]\ndefaults = ${X}/a\n");
    g_autofree char *bad = put ("bad.ini", "[test]\nx\n");
    g_autofree char *of_bad = put ("c.test", "[test]\ndefaults = bad.ini\n");
    g_autofree char *loop_a = put ("d.test", "[test]\ndefaults = e.test\n");
    g_autofree char *loop_b = put ("e.test", "[test]\ndefaults = ./d.test\n");
    g_autofree char *device = put ("f.test", "[test]\ndefaults = /dev/zero\n");
    g_autofree char *line_2 = g_strdup_printf ("%s:2: this is not", bad);

    expect_load_error (absent, "a.test:3: [test] defaults ");
    expect_load_error (absent, "absent.ini\": No such file or directory");
    expect_load_error (of_unknown, "b.test:2: [test] defaults: there is no variable ${X}");
    expect_load_error (of_bad, line_2);
    expect_load_error (loop_a, "e.test:2: [test] defaults ");
    expect_load_error (loop_b, "it is one of its own defaults");
    expect_load_error (device, "\"/dev/zero\": this is no regular file");
    expect_load_error (folder, "this is a folder");
}

Test (scenario_file, a_pipe_is_no_default, .init = make_folder, .fini = drop_folder, .timeout = 20)
{
    g_autofree char *fifo = g_build_filename (folder, "fifo", NULL);
    g_autofree char *path = put ("t.test", "[test]\ndefaults = fifo\n");

    cr_assert_eq (mkfifo (fifo, 0600), 0);
    expect_load_error (path, "this is no regular file");
}

Test (scenario_file, a_pipe_is_read_when_the_user_names_it)
{
    int fds[2];
    g_autofree char *path = NULL;
    g_autoptr (TestFile) file = NULL;

    cr_assert_eq (pipe (fds), 0);
    cr_assert_eq (write (fds[1], "[a]\nx = 1\n", 10), 10);
    close (fds[1]);
    path = g_strdup_printf ("/dev/fd/%d", fds[0]);
    file = test_file_load (path, NULL);
    close (fds[0]);
    cr_assert_not_null (file);
    cr_assert_str_eq (value_of (file, "a", "x"), "1");
}

Test (scenario_file, defaults_of_defaults_have_an_end, .init = make_folder, .fini = drop_folder)
{
    g_autofree char *first = NULL;

    for (unsigned i = 0; i < 10; i++) {
        g_autofree char *name = g_strdup_printf ("%u.ini", i);
        g_autofree char *text = g_strdup_printf ("[test]\ndefaults = %u.ini\n", i + 1);
        g_autofree char *path = put (name, text);

        if (i == 0)
            first = g_steal_pointer (&path);
    }
    expect_load_error (first, "there are too many defaults of defaults");
}

Test (scenario_file, what_is_too_large_is_no_scenario, .init = make_folder, .fini = drop_folder)
{
    g_autoptr (GString) text = g_string_new ("[a]\nx = ");
    g_autoptr (GString) keys = g_string_new ("[a]\n");
    g_autofree char *path = NULL;
    g_autofree char *of_keys = NULL;

    while (text->len <= TEST_VALUE_MAX + 8)
        g_string_append_c (text, 'x');
    path = put ("a.test", text->str);
    expect_load_error (path, "a.test:2: [a] x: the value is too long: 65536 bytes at most");
    while (text->len <= TEST_FILE_BYTES_MAX)
        g_string_append (text, "\n# and this is a comment");
    g_free (path);
    path = put ("a.test", text->str);
    expect_load_error (path, "this is longer than 1 MiB, and no scenario");
    expect_load_error ("/dev/zero", "this is no regular file");
    for (unsigned i = 0; i <= TEST_FILE_KEYS_MAX; i++)
        g_string_append_printf (keys, "k%u = 1\n", i);
    of_keys = put ("k.test", keys->str);
    expect_load_error (of_keys, "k.test:10001: there are more than 10000 groups and keys");
}
