/* SPDX-License-Identifier: Apache-2.0 */
#include "session-rig.h"

/* The files that come back. */
TestSuite (run_session_files, .init = enter, .fini = leave, .timeout = 60);

static void
add_output (const char *guest, const char *name)
{
    VmmRunOutput *output = g_new0 (VmmRunOutput, 1);

    output->guest_path = g_strdup (guest);
    output->host_path = g_build_filename (rig.home, name, NULL);
    g_ptr_array_set_free_func (rig.job.outputs, vmm_run_output_free);
    g_ptr_array_add (rig.job.outputs, output);
}

static GString *
archive_of (const char *name, const char *content)
{
    GString *archive = g_string_new (NULL);
    const struct {
        const char *name, *content;
        unsigned mode;
    } entries[] = {{name, content, 0100644}, {"TRAILER!!!", "", 0}};

    for (size_t i = 0; i < 2; i++) {
        g_string_append_printf (archive, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", 7u,
                                entries[i].mode, 0u, 0u, 1u, 0u, (unsigned)strlen (entries[i].content), 0u,
                                0u, 0u, 0u, (unsigned)strlen (entries[i].name) + 1, 0u);
        g_string_append_len (archive, entries[i].name, (gssize)strlen (entries[i].name) + 1);
        while (archive->len % 4 != 0)
            g_string_append_c (archive, '\0');
        g_string_append (archive, entries[i].content);
        while (archive->len % 4 != 0)
            g_string_append_c (archive, '\0');
    }
    return archive;
}

static void
say_archive (const char *name, const char *content)
{
    GString *archive = archive_of (name, content);

    say (VMM_RUN_DATA, VMM_RUN_FILES, archive->str, archive->len / 2);
    say (VMM_RUN_DATA, VMM_RUN_FILES, archive->str + archive->len / 2, archive->len - archive->len / 2);
    g_string_free (archive, TRUE);
}

static char *
content_of (const char *name)
{
    g_autofree char *path = g_build_filename (rig.home, name, NULL);
    char *content = NULL;

    g_file_get_contents (path, &content, NULL, NULL);
    return content;
}

Test (run_session_files, files_come_back)
{
    add_output ("/w/a", "first");
    add_output ("/w/b", "second");
    start ();
    check_heard (VMM_RUN_OUTPUT, "[0]/w/a[0]/w/b");
    say_end (0);
    say_archive ("a", "one");
    say (VMM_RUN_EOF, VMM_RUN_FILES, NULL, 0);
    say_archive ("b", "two");
    say (VMM_RUN_EOF, VMM_RUN_FILES, NULL, 0);
    say (VMM_RUN_DONE, 0, NULL, 0);
    flush ();
    vmm_run_session_hear_out (rig.session);
    g_autofree char *first = content_of ("first");
    g_autofree char *second = content_of ("second");
    cr_expect_str_eq (first, "one");
    cr_expect_str_eq (second, "two");
    cr_expect (end ()->done);
    cr_expect_null (end ()->files_wrong, "%s", end ()->files_wrong);
}

Test (run_session_files, files_that_fail_do_not_stop_the_next_ones)
{
    add_output ("/w/a", "no/such/folder/a");
    add_output ("/w/b", "second");
    add_output ("/w/c", "third");
    start ();
    say_end (0);
    say_archive ("a", "one");
    say (VMM_RUN_EOF, VMM_RUN_FILES, NULL, 0);
    guest_put (rig.says, VMM_RUN_FILE_FAILED, 3, "\2\0\0\0/w/b", 8);
    say (VMM_RUN_EOF, VMM_RUN_FILES, NULL, 0);
    say_archive ("c", "three");
    say (VMM_RUN_EOF, VMM_RUN_FILES, NULL, 0);
    say (VMM_RUN_DONE, 0, NULL, 0);
    flush ();
    g_autofree char *third = content_of ("third");
    cr_expect_str_eq (third, "three");
    cr_assert_not_null (end ()->files_wrong);
    cr_expect_not_null (strstr (end ()->files_wrong, "no/such/folder"), "%s", end ()->files_wrong);
    cr_expect (end ()->done);
}

Test (run_session_files, files_that_are_missing_are_told)
{
    add_output ("/w/a", "first");
    start ();
    say_end (0);
    say (VMM_RUN_DONE, 0, NULL, 0); /* as if all had been sent */
    flush ();
    vmm_run_session_hear_out (rig.session);
    cr_assert_not_null (end ()->files_wrong);
    cr_expect_not_null (strstr (end ()->files_wrong, "\"/w/a\""));
}

Test (run_session_files, empty_archive_is_told)
{
    add_output ("/w/a", "first");
    start ();
    say_end (0);
    say (VMM_RUN_EOF, VMM_RUN_FILES, NULL, 0);
    say (VMM_RUN_DONE, 0, NULL, 0);
    flush ();
    cr_assert_not_null (end ()->files_wrong);
}

Test (run_session_files, file_in_the_middle_goes)
{
    add_output ("/w/a", "first");
    start ();
    say_end (0);
    GString *archive = archive_of ("a", "0123456789");
    say (VMM_RUN_DATA, VMM_RUN_FILES, archive->str, 118);
    flush ();
    vmm_run_session_hear_out (rig.session);
    g_autoptr (GDir) dir = g_dir_open (rig.home, 0, NULL);
    cr_expect_null (g_dir_read_name (dir));
    cr_expect_not_null (end ()->files_wrong);
    g_string_free (archive, TRUE);
}

Test (run_session_files, files_before_the_end_of_the_command)
{
    add_output ("/w/a", "first");
    start ();
    say_archive ("a", "one");
    flush ();
    expect_broken ("not asked for");
}

Test (run_session_files, more_files_than_were_asked_for)
{
    add_output ("/w/a", "first");
    start ();
    say_end (0);
    say_archive ("a", "one");
    say (VMM_RUN_EOF, VMM_RUN_FILES, NULL, 0);
    say_archive ("a", "two");
    flush ();
    expect_broken ("not asked for");
    g_autofree char *first = content_of ("first");
    cr_expect_str_eq (first, "one");
}
