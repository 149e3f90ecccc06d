/* SPDX-License-Identifier: Apache-2.0 */
#include "session-rig.h"

TestSuite (run_session, .init = enter, .fini = leave, .timeout = 60);

Test (run_session, describes_the_job)
{
    rig.job.folder = (char *)"/src";
    rig.job.user = (char *)"dev:staff";
    rig.job.term = (char *)"vt220";
    rig.job.columns = 100;
    rig.job.rows = 70000;
    g_ptr_array_add (rig.job.env, (char *)"A=b");
    g_ptr_array_add (rig.job.env, (char *)"C=");
    start ();
    check_heard (VMM_RUN_ARG, "[0]make[0]check");
    check_heard (VMM_RUN_ENV, "[0]A=b[0]C=");
    check_heard (VMM_RUN_CWD, "[0]/src");
    check_heard (VMM_RUN_USER, "[0]dev:staff");
    check_heard (VMM_RUN_START, "[0]");
    g_autofree char *pty = heard (VMM_RUN_PTY);
    cr_expect (memcmp (pty, "[0]\xff\xff\x64\0vt220", 12) == 0);
    vmm_run_session_resize (rig.session, 80, 24);
    pump ();
    g_autofree char *resize = heard (VMM_RUN_RESIZE);
    cr_expect (memcmp (resize, "[0]\x18\0\x50\0", 7) == 0);
}

Test (run_session, command_from_start_to_end)
{
    start ();
    say_text (VMM_RUN_DATA, VMM_RUN_STDOUT, "to out");
    say_text (VMM_RUN_DATA, VMM_RUN_STDERR, "to err");
    say_end (42);
    flush ();
    cr_expect_eq (rig.n_done, 0);
    say (VMM_RUN_DONE, 0, NULL, 0);
    flush ();
    check_pipe (rig.out[0], "to out");
    check_pipe (rig.err[0], "to err");
    check_heard (VMM_RUN_BYE, "[0]");
    cr_expect (end ()->done && end ()->kind == VMM_RUN_EXITED && end ()->status == 42);
    cr_expect_eq (rig.n_done, 1);
    cr_expect_null (end ()->broken);
}

Test (run_session, command_that_was_not_started_has_a_clean_message)
{
    start ();
    guest_put_exit (rig.says, VMM_RUN_NOT_STARTED, ENOENT, "x\x1b[2J\xc2\x9b\n\xff: not found");
    say (VMM_RUN_DONE, 0, NULL, 0);
    flush ();
    cr_expect (end ()->done && end ()->status == ENOENT);
    cr_expect_str_eq (end ()->message, "x [2J  \xef\xbf\xbd: not found");
}

Test (run_session, blocked_reader_holds_up_nothing_else)
{
    static uint8_t data[VMM_RUN_BODY_MAX];

    start ();
    for (unsigned i = 0; i < 4; i++)
        say (VMM_RUN_DATA, VMM_RUN_STDOUT, data, sizeof data);
    say_text (VMM_RUN_DATA, VMM_RUN_STDERR, "err");
    say_end (0);
    say (VMM_RUN_DONE, 0, NULL, 0);
    flush ();
    check_pipe (rig.err[0], "err");
    cr_expect (end ()->kind == VMM_RUN_EXITED && !end ()->done && rig.n_done == 0);
    cr_expect (vmm_run_session_is_complete (rig.session) && vmm_run_session_has_output (rig.session));
    for (size_t got = 0; got < 4 * sizeof data; pump ()) {
        ssize_t n = read (rig.out[0], data, sizeof data);

        cr_assert (n > 0);
        got += (size_t)n;
    }
    cr_expect (end ()->done && rig.n_done == 1);
}

Test (run_session, output_that_nobody_reads_is_told_as_lost)
{
    static uint8_t data[VMM_RUN_BODY_MAX];

    start ();
    for (unsigned i = 0; i < 3; i++)
        say (VMM_RUN_DATA, VMM_RUN_STDOUT, data, sizeof data);
    flush ();
    vmm_run_session_hear_out (rig.session);
    vmm_run_session_flush (rig.session, 1000);
    cr_expect_not_null (end ()->output_wrong);
}

Test (run_session, guest_may_send_what_it_was_allowed_again)
{
    static uint8_t data[VMM_RUN_BODY_MAX];
    int null = open ("/dev/null", O_WRONLY | O_CLOEXEC);

    rig.job.out_fd = null;
    start ();
    for (unsigned i = 0; i < 64; i++) {
        say (VMM_RUN_DATA, VMM_RUN_STDOUT, data, sizeof data);
        flush ();
    }
    cr_expect_null (end ()->broken, "%s", end ()->broken);
    cr_expect_geq (sum_heard (VMM_RUN_WINDOW, VMM_RUN_STDOUT), (uint64_t)64 * sizeof data);
    close (null);
}

Test (run_session, more_than_allowed)
{
    static uint8_t data[VMM_RUN_BODY_MAX];

    start ();
    /* What the pipe takes is allowed again. */
    for (unsigned i = 0; i < 5; i++)
        say (VMM_RUN_DATA, VMM_RUN_STDERR, data, sizeof data);
    flush ();
    cr_assert_null (end ()->broken);
    say (VMM_RUN_DATA, VMM_RUN_STDERR, data, sizeof data);
    flush ();
    expect_broken ("more than it was allowed");
}

/* What a guest does not read must not heap up here, however much it asks for. */
Test (run_session, guest_that_listens_to_nothing_costs_no_memory)
{
    int zero = open ("/dev/zero", O_RDONLY | O_CLOEXEC);
    uint64_t allowed = 0;

    rig.job.in_fd = zero;
    start ();
    for (unsigned i = 0; i < 4000; i++) {
        guest_put_number (rig.says, VMM_RUN_WINDOW, VMM_RUN_STDIN, 65536);
        if (send (rig.guest, rig.says->data, rig.says->len, MSG_DONTWAIT) > 0)
            allowed += 65536;
        g_byte_array_set_size (rig.says, 0);
        for (unsigned turn = 0; turn < 20; turn++)
            g_main_context_iteration (rig.context, FALSE);
        if (end ()->broken != NULL)
            break;
    }
    /* It has allowed more than is under way at most, and that is against the rules. */
    cr_expect_not_null (end ()->broken);
    cr_expect_lt (allowed, 2u << 20);
    close (zero);
}

static const struct {
    const char *what;
    unsigned type, stream;
    const char *body;
    size_t len;
} wrong[] = {
    {"nobody understands", 0, 0, "", 0},
    {"nobody understands", 99, 0, "", 0},
    {"nobody understands", VMM_RUN_ARG, 0, "x", 1},
    {"nobody understands", VMM_RUN_BYE, 0, "", 0},
    {"nobody understands", VMM_RUN_HELLO, 0, "\1\0\0\0", 4},
    {"nobody understands", VMM_RUN_EXIT, 0, "\0\0\0\0\0\0\0", 7},
    {"nobody understands", VMM_RUN_WINDOW, 0, "\1", 1},
    {"nobody understands", VMM_RUN_FILE_FAILED, 3, "\1", 1},
    {"stream that is not there", VMM_RUN_DATA, VMM_RUN_STDIN, "x", 1},
    {"stream that is not there", VMM_RUN_DATA, 4, "x", 1},
    {"stream that is not there", VMM_RUN_DATA, 255, "x", 1},
    {"stream that is not there", VMM_RUN_EOF, 4, "", 0},
    {"not asked for", VMM_RUN_DATA, VMM_RUN_FILES, "x", 1},
    {"not asked for", VMM_RUN_EOF, VMM_RUN_FILES, "", 0},
    {"not asked for", VMM_RUN_FILE_FAILED, VMM_RUN_FILES, "\2\0\0\0/x", 6},
    {"nobody sends", VMM_RUN_WINDOW, VMM_RUN_STDOUT, "\1\0\0\0", 4},
    {"nobody sends", VMM_RUN_WINDOW, VMM_RUN_STDIN, "\xff\xff\xff\xff", 4},
    {"cannot be", VMM_RUN_EXIT, 0, "\0\0\0\0\0\1\0\0", 8},
    {"cannot be", VMM_RUN_EXIT, 0, "\1\0\0\0\0\0\0\0", 8},
    {"cannot be", VMM_RUN_EXIT, 0, "\2\0\0\0\xff\xff\xff\xff", 8},
    {"cannot be", VMM_RUN_EXIT, 0, "\3\0\0\0\0\0\0\0", 8},
    {"before the command has ended", VMM_RUN_DONE, 0, "", 0},
};

Test (run_session, frames_against_the_rules)
{
    for (size_t i = 0; i < G_N_ELEMENTS (wrong); i++) {
        start ();
        say (wrong[i].type, wrong[i].stream, wrong[i].body, wrong[i].len);
        say_end (0); /* too late */
        say (VMM_RUN_DONE, 0, NULL, 0);
        flush ();
        expect_broken (wrong[i].what);
        cr_expect_eq (end ()->kind, -1);
        vmm_run_session_free (g_steal_pointer (&rig.session));
        close (rig.guest);
        rig.n_done = 0;
        g_byte_array_set_size (rig.heard, 0);
    }
}

Test (run_session, not_our_init)
{
    begin ();
    guest_put_number (rig.says, VMM_RUN_HELLO, 0, VMM_RUN_VERSION + 1);
    flush ();
    expect_broken ("not this vmm's own");
}

Test (run_session, text_before_a_greeting)
{
    begin ();
    g_byte_array_append (rig.says, (const guint8 *)"login: root\n\n\n\n\n", 16);
    flush ();
    expect_broken ("nobody understands");
}

Test (run_session, frame_that_is_too_long)
{
    static const uint8_t header[] = {VMM_RUN_DATA, 1, 0, 0, 1, 0, 1, 0};

    start ();
    g_byte_array_append (rig.says, header, sizeof header);
    flush ();
    expect_broken ("nobody understands");
}

Test (run_session, data_after_the_end_of_its_stream)
{
    start ();
    say (VMM_RUN_EOF, VMM_RUN_STDOUT, NULL, 0);
    say_text (VMM_RUN_DATA, VMM_RUN_STDOUT, "x");
    flush ();
    expect_broken ("stream that is not there");
}

Test (run_session, end_of_a_stream_twice)
{
    start ();
    say (VMM_RUN_EOF, VMM_RUN_STDERR, NULL, 0);
    say (VMM_RUN_EOF, VMM_RUN_STDERR, NULL, 0);
    flush ();
    expect_broken ("twice");
}

Test (run_session, last_word_before_the_end_of_output)
{
    start ();
    guest_put_exit (rig.says, VMM_RUN_EXITED, 0, "");
    say_text (VMM_RUN_DATA, VMM_RUN_STDOUT, "some of it");
    say (VMM_RUN_EOF, VMM_RUN_STDERR, NULL, 0);
    say (VMM_RUN_DONE, 0, NULL, 0);
    flush ();
    expect_broken ("before the end of the command's output");
    cr_expect_not (vmm_run_session_is_complete (rig.session));
}

/* All output of a terminal is one stream. */
Test (run_session, terminal_has_one_output)
{
    rig.job.term = (char *)"vt220";
    start ();
    guest_put_exit (rig.says, VMM_RUN_EXITED, 0, "");
    say (VMM_RUN_EOF, VMM_RUN_STDOUT, NULL, 0);
    say (VMM_RUN_DONE, 0, NULL, 0);
    flush ();
    cr_expect_null (end ()->broken);
    cr_expect (end ()->done);
}

Test (run_session, two_ends)
{
    start ();
    say_end (3);
    guest_put_exit (rig.says, VMM_RUN_EXITED, 0, "");
    flush ();
    expect_broken ("cannot be");
    cr_expect_eq (end ()->status, 3);
}

Test (run_session, nothing_is_heard_after_the_last_word)
{
    static uint8_t data[VMM_RUN_BODY_MAX];

    start ();
    for (unsigned i = 0; i < 4; i++)
        say (VMM_RUN_DATA, VMM_RUN_STDOUT, data, sizeof data); /* keeps it from being done */
    say_end (0);
    say (VMM_RUN_DONE, 0, NULL, 0);
    flush ();
    for (unsigned i = 0; i < 100; i++)
        say (VMM_RUN_DATA, VMM_RUN_STDOUT, data, sizeof data);
    flush ();
    cr_expect_null (end ()->broken);
    cr_expect_eq (rig.n_done, 0);
}

Test (run_session, guest_that_goes_away)
{
    start ();
    say_text (VMM_RUN_DATA, VMM_RUN_STDOUT, "last words");
    flush ();
    close (rig.guest);
    for (unsigned i = 0; i < 10; i++)
        g_main_context_iteration (rig.context, FALSE);
    vmm_run_session_hear_out (rig.session);
    check_pipe (rig.out[0], "last words");
    cr_expect (end ()->kind == -1 && rig.n_done == 0);
    cr_expect_not (vmm_run_session_signal (rig.session, 15));
}

Test (run_session, what_waits_in_the_port_is_heard_at_the_end)
{
    start ();
    say_text (VMM_RUN_DATA, VMM_RUN_STDOUT, "late");
    say_end (7);
    cr_assert_eq (send (rig.guest, rig.says->data, rig.says->len, 0), (ssize_t)rig.says->len);
    vmm_run_session_hear_out (rig.session);
    vmm_run_session_flush (rig.session, 1000);
    check_pipe (rig.out[0], "late");
    cr_expect (end ()->kind == VMM_RUN_EXITED && end ()->status == 7 && !end ()->done);
    cr_expect_not (vmm_run_session_is_complete (rig.session));
}

Test (run_session, input_goes_as_the_guest_allows)
{
    start ();
    cr_assert_eq (write (rig.in[1], "hello", 5), 5);
    pump ();
    check_heard (VMM_RUN_DATA, "");
    guest_put_number (rig.says, VMM_RUN_WINDOW, VMM_RUN_STDIN, 3);
    flush ();
    check_heard (VMM_RUN_DATA, "[0]hel");
    close (rig.in[1]);
    pump ();
    check_heard (VMM_RUN_EOF, "");
    guest_put_number (rig.says, VMM_RUN_WINDOW, VMM_RUN_STDIN, 3);
    flush ();
    check_heard (VMM_RUN_DATA, "[0]hel[0]lo");
    check_heard (VMM_RUN_EOF, "[0]");
}

Test (run_session, no_input_ends_at_once)
{
    rig.job.in_fd = -1;
    start ();
    check_heard (VMM_RUN_EOF, "[0]");
}

Test (run_session, input_that_cannot_be_read_is_at_its_end)
{
    int folder = open ("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    rig.job.in_fd = folder;
    start ();
    guest_put_number (rig.says, VMM_RUN_WINDOW, VMM_RUN_STDIN, 100);
    flush ();
    check_heard (VMM_RUN_EOF, "[0]");
    cr_assert_not_null (end ()->input_wrong);
    cr_expect_str_eq (end ()->input_wrong, "the command's standard input: Is a directory");
    close (folder);
}

/* As nohup(1) leaves it. */
Test (run_session, input_that_is_none_is_at_its_end)
{
    int null = open ("/dev/null", O_WRONLY | O_CLOEXEC);

    rig.job.in_fd = null;
    start ();
    guest_put_number (rig.says, VMM_RUN_WINDOW, VMM_RUN_STDIN, 100);
    flush ();
    check_heard (VMM_RUN_EOF, "[0]");
    cr_expect_null (end ()->input_wrong);
    close (null);
}

Test (run_session, input_that_nobody_reads_stays_with_its_sender)
{
    start ();
    guest_put_number (rig.says, VMM_RUN_WINDOW, VMM_RUN_STDIN, 100);
    say (VMM_RUN_EOF, VMM_RUN_STDIN, NULL, 0);
    flush ();
    cr_assert_eq (write (rig.in[1], "hello", 5), 5);
    pump ();
    check_heard (VMM_RUN_DATA, "");
    check_pipe (rig.in[0], "hello");
}

static size_t
take_x (void *user, uint8_t *data, size_t len)
{
    size_t kept = 0;

    for (size_t i = 0; i < len; i++) {
        if (data[i] == 'x')
            ++*(unsigned *)user;
        else
            data[kept++] = data[i];
    }
    return kept;
}

/* Keys for vmm arrive while the guest boots, and while it takes none. */
Test (run_session, filter_sees_keys_that_the_guest_does_not_take)
{
    unsigned keys = 0;
    char many[3000];

    rig.job.filter = take_x;
    rig.job.filter_user = &keys;
    begin ();
    cr_assert_eq (write (rig.in[1], "axb", 3), 3);
    pump ();
    cr_expect_eq (keys, 1);
    greet ();
    guest_put_number (rig.says, VMM_RUN_WINDOW, VMM_RUN_STDIN, 1);
    flush ();
    check_heard (VMM_RUN_DATA, "[0]a");
    memset (many, 'c', sizeof many);
    many[sizeof many - 1] = 'x';
    cr_assert_eq (write (rig.in[1], many, sizeof many), (ssize_t)sizeof many);
    close (rig.in[1]);
    pump ();
    cr_expect_eq (keys, 2);
    check_heard (VMM_RUN_EOF, "");
    guest_put_number (rig.says, VMM_RUN_WINDOW, VMM_RUN_STDIN, 65536);
    flush ();
    cr_expect_eq (sum_heard (VMM_RUN_DATA, VMM_RUN_STDIN), 1 + 1024);
    check_heard (VMM_RUN_EOF, "[0]");
}

Test (run_session, signals)
{
    begin ();
    cr_expect_not (vmm_run_session_signal (rig.session, SIGTERM), "there is no command yet");
    greet ();
    cr_expect (vmm_run_session_signal (rig.session, SIGTERM));
    cr_expect_not (vmm_run_session_signal (rig.session, 0));
    cr_expect_not (vmm_run_session_signal (rig.session, 65));
    pump ();
    g_autofree char *text = heard (VMM_RUN_SIGNAL);
    cr_expect (memcmp (text, "[0]\x0f\0\0", 7) == 0);
    say_end (0);
    flush ();
    cr_expect_not (vmm_run_session_signal (rig.session, SIGTERM), "it has ended");
}

Test (run_session, reader_that_goes_away_is_a_broken_pipe)
{
    start ();
    close (rig.out[0]);
    say_text (VMM_RUN_DATA, VMM_RUN_STDOUT, "x");
    say_text (VMM_RUN_DATA, VMM_RUN_STDOUT, "y");
    flush ();
    check_heard (VMM_RUN_EOF, "[1]");
    check_heard (VMM_RUN_SIGNAL, "");
    cr_expect_null (end ()->output_wrong);
    cr_expect_null (end ()->broken);
}

Test (run_session, disk_without_room_is_told)
{
    int full = open ("/dev/full", O_WRONLY | O_CLOEXEC);

    rig.job.err_fd = full;
    start ();
    say_text (VMM_RUN_DATA, VMM_RUN_STDERR, "x");
    flush ();
    cr_assert_not_null (end ()->output_wrong);
    cr_expect_not_null (strstr (end ()->output_wrong, "standard error: No space"), "%s",
                        end ()->output_wrong);
    close (full);
}

Test (run_session, file_that_cannot_be_written_is_told)
{
    g_autofree char *path = g_build_filename (rig.home, "file", NULL);
    int fd;

    cr_assert (g_file_set_contents (path, "", 0, NULL));
    fd = open (path, O_RDONLY | O_CLOEXEC);
    rig.job.out_fd = fd;
    start ();
    say_text (VMM_RUN_DATA, VMM_RUN_STDOUT, "x");
    flush ();
    cr_assert_not_null (end ()->output_wrong);
    cr_expect_str_eq (end ()->output_wrong, "the command's standard output: Bad file descriptor");
    close (fd);
}

Test (run_session, job_that_is_too_long)
{
    g_autoptr (GError) error = NULL;
    g_autofree char *word = g_strnfill (70000, 'x');
    char *argv[] = {(char *)"echo", word, NULL};

    cr_expect (vmm_run_job_check (&rig.job, NULL));
    rig.job.argv = argv;
    cr_expect_not (vmm_run_job_check (&rig.job, &error));
    cr_expect_not_null (strstr (error->message, "70000 bytes"), "%s", error->message);
    g_clear_error (&error);
    word[60000] = '\0';
    cr_expect (vmm_run_job_check (&rig.job, NULL));
    for (unsigned i = 0; i < 40; i++)
        g_ptr_array_add (rig.job.env, word);
    cr_expect_not (vmm_run_job_check (&rig.job, &error));
    cr_expect_not_null (strstr (error->message, "2 MiB"), "%s", error->message);
}
