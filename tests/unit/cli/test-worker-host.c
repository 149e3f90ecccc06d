/* SPDX-License-Identifier: Apache-2.0 */
/* What runs of scenarios do to the host: files that they look at and leave, processes, their end. On
 * /dev/kvm. */
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>

#include "worker-kit.h"

static char *folder;

/* Whatever is written below TMPDIR can be seen. */
static void
enter (void)
{
    /* GLib asks for TMPDIR once, and must not have done so. */
    folder = g_mkdtemp (g_strdup ("/tmp/vmm-worker-XXXXXX"));
    cr_assert_not_null (folder);
    g_setenv ("TMPDIR", folder, TRUE);
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
    return strcmp (*(char *const *)a, *(char *const *)b);
}

/* Names in @path, sorted, with blanks between them. */
static char *
names_in (const char *path)
{
    g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
    GDir *dir = g_dir_open (path, 0, NULL);
    const char *name;

    cr_assert_not_null (dir);
    while ((name = g_dir_read_name (dir)) != NULL)
        g_ptr_array_add (names, g_strdup (name));
    g_dir_close (dir);
    g_ptr_array_sort (names, compare_names);
    g_ptr_array_add (names, NULL);
    return g_strjoinv (" ", (char **)names->pdata);
}

static void
leave (void)
{
    g_autofree char *command = g_strdup_printf ("rm -rf %s", folder);

    cr_assert_eq (system (command), 0);
    g_free (folder);
}

TestSuite (worker_host, .init = enter, .fini = leave);

static void
expect_nothing_left (void)
{
    g_autofree char *names = names_in (folder);

    cr_assert_str_eq (names, "");
}

static TestStep *
add_check (TestRun *run, const char *path)
{
    return add_step (run, "file", NULL, TEST_ACTION_CHECK_FILE, path);
}

static TestRun *
ended_run (void)
{
    TestRun *run = make_run ("poweroff");

    add_wait (run, "end", TEST_WAIT_POWEROFF);
    return run;
}

Test (worker_host, files_behind_the_end, .timeout = 60)
{
    need_kvm ();
    g_autofree char *path = g_build_filename (folder, "file", NULL);
    TestRun *run = ended_run ();

    cr_assert (g_file_set_contents (path, "one\ntwo\n", -1, NULL));
    add_check (run, path)->contains = g_strdup ("^two$");
    add_check (run, path);
    add_check (run, "/no/such/file")->exists = false;
    expect_verdict (run, "passed", "");
    run = ended_run ();
    add_check (run, path)->contains = g_strdup ("^three$");
    expect_verdict (run, "check-failed", "/file\": it has no match for /^three$/");
    run = ended_run ();
    add_check (run, path)->exists = false;
    expect_verdict (run, "check-failed", "/file\": it is there, and should not be");
    run = ended_run ();
    add_check (run, "/no/such/file");
    expect_verdict (run, "check-failed", "step \"file\": \"/no/such/file\": No such file or directory");
    /* One that never ends. */
    run = ended_run ();
    add_check (run, "/dev/zero")->contains = g_strdup ("x");
    expect_verdict (run, "check-failed", "it is neither a file nor a disk");
}

Test (worker_host, a_file_is_waited_for_while_the_guest_runs, .timeout = 60)
{
    need_kvm ();
    TestRun *run = make_run ("echo");
    g_autofree char *path = g_build_filename (folder, "file", NULL);
    TestStep *step;
    pid_t child;
    Told told;
    int fd;

    step = add_check (run, path);
    step->contains = g_strdup ("words");
    child = start_worker (run, NULL, &fd);
    g_usleep (G_USEC_PER_SEC / 2);
    cr_assert (g_file_set_contents (path, "words", -1, NULL));
    told = hear (child, fd);
    check_verdict (&told, "passed", "");
    told_clear (&told);
    unlink (path);
    step->within_us = G_USEC_PER_SEC / 2;
    expect_verdict (run, "check-failed", "/file\": No such file or directory");
}

Test (worker_host, a_folder_of_its_own, .timeout = 60)
{
    need_kvm ();
    TestRun *run = make_run ("echo");
    Told told;

    run->needs_tmp = true;
    g_ptr_array_add (run->machine, test_pair_new ("console", "file=" TEST_TMP "/port,name=port"));
    g_ptr_array_add (run->machine, test_pair_new ("control", TEST_TMP "/control"));
    add_step (run, "say", "> ", TEST_ACTION_SEND, "in " TEST_TMP "\r");
    add_expect (run, "said", "^line: in /.*/vmm-test-\\w+$");
    add_check (run, TEST_TMP "/port");
    told = do_run (run);
    check_verdict (&told, "passed", "");
    cr_assert_str_eq (text_of (json_array_get (told.events, 1), "event"), "tmp");
    cr_assert (g_str_has_prefix (text_of (json_array_get (told.events, 1), "path"), folder));
    expect_nothing_left ();
    told_clear (&told);
    test_run_free (run);
}

Test (worker_host, a_folder_is_removed_and_not_what_it_links_to, .timeout = 60)
{
    need_kvm ();
    TestRun *run = make_run ("echo");
    g_autofree char *outside = g_build_filename (folder, "outside", NULL);
    g_autofree char *file = g_build_filename (outside, "file", NULL);
    g_autofree char *names = NULL;
    g_autofree char *left = NULL;
    pid_t child;
    Told told;
    int fd;

    cr_assert_eq (mkdir (outside, 0700), 0);
    cr_assert (g_file_set_contents (file, "", -1, NULL));
    run->needs_tmp = true;
    add_check (run, TEST_TMP "/go");
    child = start_worker (run, NULL, &fd);
    while (names == NULL || strchr (names, ' ') == NULL) {
        g_free (names);
        names = names_in (folder);
        g_usleep (1000);
    }
    g_autofree char *tmp = g_build_filename (folder, strchr (names, ' ') + 1, NULL);
    g_autofree char *script = g_strdup_printf ("cd %s && mkdir -p a/b/c closed && touch a/b/c/f closed/f && "
                                               "ln -s %s link && chmod 0 closed && touch go",
                                               tmp, outside);

    cr_assert_eq (system (script), 0);
    told = hear (child, fd);
    check_verdict (&told, "passed", "");
    left = names_in (folder);
    cr_assert_str_eq (left, "outside");
    cr_assert (g_file_test (file, G_FILE_TEST_EXISTS));
    told_clear (&told);
    test_run_free (run);
}

Test (worker_host, signals_stop_it_in_good_order, .timeout = 60)
{
    need_kvm ();
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};

    for (size_t i = 0; i < G_N_ELEMENTS (signals); i++) {
        TestRun *run = make_run ("idle");
        struct pollfd spoken;
        pid_t child;
        Told told;

        run->needs_tmp = true;
        g_ptr_array_add (run->machine, test_pair_new ("control", TEST_TMP "/control"));
        add_wait (run, "end", TEST_WAIT_END);
        child = start_worker (run, NULL, &spoken.fd);
        spoken.events = POLLIN;
        /* Once it has spoken it can hear, too. */
        cr_assert_eq (poll (&spoken, 1, 30000), 1);
        kill (child, signals[i]);
        told = hear (child, spoken.fd);
        check_verdict (&told, "stopped", "by signal ");
        expect_nothing_left ();
        told_clear (&told);
        test_run_free (run);
    }
}

Test (worker_host, a_worker_ends_when_nobody_listens, .timeout = 60)
{
    need_kvm ();
    TestRun *run = make_run ("idle");
    struct pollfd spoken;
    pid_t child;
    int status;

    run->needs_tmp = true;
    g_ptr_array_add (run->machine, test_pair_new ("control", TEST_TMP "/control"));
    add_wait (run, "end", TEST_WAIT_END);
    child = start_worker (run, NULL, &spoken.fd);
    spoken.events = POLLIN;
    cr_assert_eq (poll (&spoken, 1, 30000), 1);
    close (spoken.fd);
    cr_assert_eq (waitpid (child, &status, 0), child);
    cr_assert (WIFEXITED (status) && WEXITSTATUS (status) == 1, "0x%x", status);
    expect_nothing_left ();
    test_run_free (run);
}

Test (worker_host, logs_hold_all_and_replace_nothing, .timeout = 60)
{
    need_kvm ();
    TestRun *run = make_run ("flood");
    g_autofree char *names = NULL;

    g_free (run->name);
    run->name = g_strdup ("a/b[1 2]");
    set_machine (run, "cmdline", "how=string bytes=65536");
    add_wait (run, "end", TEST_WAIT_POWEROFF);
    for (unsigned i = 1; i <= 2; i++) {
        g_autofree char *path = g_strdup_printf ("%s/a_b[1_2].serial%s.log", folder, i == 1 ? "" : ".2");
        const json_t *console;
        struct stat st;
        int fd;
        pid_t child = start_worker (run, folder, &fd);
        Told told = hear (child, fd);

        check_verdict (&told, "passed", "");
        console = json_array_get (json_object_get (told.result, "consoles"), 0);
        cr_assert_str_eq (text_of (console, "log"), path);
        cr_assert_eq (json_integer_value (json_object_get (console, "bytes")), 65536);
        cr_assert_eq (stat (path, &st), 0);
        cr_assert_eq (st.st_size, 65536);
        told_clear (&told);
    }
    names = names_in (folder);
    cr_assert_str_eq (names, "a_b[1_2].serial.2.log a_b[1_2].serial.log");
    test_run_free (run);
}

Test (worker_host, logs_of_runs_with_long_names, .timeout = 60)
{
    need_kvm ();
    TestRun *run = ended_run ();
    g_autofree char *names = NULL;

    g_free (run->name);
    run->name = g_strnfill (300, 'n');
    /* Where it is cut is in the middle of a character. */
    memcpy (run->name + 193, "\xc3\xa4", 2);
    for (unsigned i = 0; i < 2; i++) {
        int fd;
        pid_t child = start_worker (run, folder, &fd);
        Told told = hear (child, fd);

        check_verdict (&told, "passed", "");
        told_clear (&told);
    }
    names = names_in (folder);
    cr_assert (g_str_has_suffix (names, "n.serial.log"), "%s", names);
    cr_assert (g_utf8_validate (names, -1, NULL), "%s", names);
    test_run_free (run);
}

Test (worker_host, logs_without_a_folder, .timeout = 60)
{
    need_kvm ();
    TestRun *run = ended_run ();
    int fd;
    pid_t child = start_worker (run, "/no/such/folder", &fd);
    Told told = hear (child, fd);

    check_verdict (&told, "setup", "results \"/no/such/folder/by_hand[poweroff].serial.log\"");
    told_clear (&told);
    test_run_free (run);
}
