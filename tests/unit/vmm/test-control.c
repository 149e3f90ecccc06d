/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket as its programs see it, the bad ones too; the machine is a fake. */
#include "fake-machine.h"
#include "vmm/control.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct {
    VmmMachine machine;
    char *folder;
    char *path;
    VmmControl *control;
} Rig;

static void
set_up (Rig *rig)
{
    *rig = (Rig){.machine = {.state = VMM_MACHINE_RUNNING}};
    rig->folder = g_dir_make_tmp ("control-XXXXXX", NULL);
    rig->path = g_build_filename (rig->folder, "c", NULL);
    rig->control = vmm_control_new (&rig->machine, g_main_context_default (), rig->path, NULL);
    cr_assert_not_null (rig->control);
}

static void
tear_down (Rig *rig)
{
    vmm_control_free (rig->control);
    cr_assert_eq (g_access (rig->path, F_OK), -1, "the socket is left");
    g_rmdir (rig->folder);
    g_free (rig->folder);
    g_free (rig->path);
}

static int
connect_to (const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    g_strlcpy (address.sun_path, path, sizeof address.sun_path);
    cr_assert_eq (connect (fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void
run_loop (void)
{
    while (g_main_context_iteration (NULL, FALSE))
        ;
}

/* All that is there for a program now; NULL when it was closed. */
static char *
read_all (int fd)
{
    GString *text = g_string_new (NULL);
    char data[4096];
    ssize_t n;

    do {
        run_loop ();
        n = read (fd, data, sizeof data);
        if (n > 0)
            g_string_append_len (text, data, n);
    } while (n > 0);
    return g_string_free (text, n == 0 && text->len == 0);
}

static void
say (int fd, const char *text)
{
    cr_assert_eq (send (fd, text, strlen (text), MSG_NOSIGNAL), (ssize_t)strlen (text));
    run_loop ();
}

static void
expect (int fd, const char *answer)
{
    g_autofree char *text = read_all (fd);

    cr_assert_not_null (text);
    cr_assert_str_eq (text, answer);
}

static void
expect_part (int fd, const char *part)
{
    g_autofree char *text = read_all (fd);

    cr_assert_not_null (text);
    cr_assert_not_null (strstr (text, part), "%s", text);
}

static bool
is_closed (int fd)
{
    char byte;

    run_loop ();
    return recv (fd, &byte, 1, MSG_PEEK) == 0;
}

Test (control, only_its_owner_can_open_it)
{
    Rig rig;
    struct stat st;

    set_up (&rig);
    cr_assert_eq (g_lstat (rig.path, &st), 0);
    cr_assert_eq (st.st_mode & 07777, 0600);
    tear_down (&rig);
}

Test (control, commands_do_what_they_say)
{
    Rig rig;
    int fd;

    set_up (&rig);
    fd = connect_to (rig.path);
    say (fd, "{\"command\":\"pause\",\"id\":7}\n");
    expect (fd, "{\"ok\":true,\"id\":7}\n");
    cr_assert_eq (rig.machine.state, VMM_MACHINE_PAUSED);
    say (fd, "{\"command\":\"pause\",\"id\":\"again\"}\n");
    expect (fd, "{\"ok\":false,\"class\":\"busy\",\"error\":\"not now\",\"id\":\"again\"}\n");
    say (fd, "{\"command\":\"resume\"}\n{\"command\":\"power-button\"}\n");
    expect (fd, "{\"ok\":true}\n{\"ok\":true}\n");
    cr_assert_eq (rig.machine.presses, 1);
    say (fd, "{\"command\":\"break\"}\n");
    expect (fd, "{\"ok\":true}\n");
    say (fd, "{\"command\":\"break\",\"key\":1}\n");
    expect_part (fd, "this command has no \\\"key\\\"");
    cr_assert_eq (rig.machine.breaks, 1);
    say (fd, "{\"command\":\"balloon\",\"target_bytes\":8192,\"device\":\"balloon0\"}\n");
    expect (fd, "{\"ok\":true,\"target_bytes\":8192,\"actual_bytes\":4096,\"stats\":null}\n");
    say (fd, "{\"command\":\"resize\",\"device\":\"disk0\",\"bytes\":1048576}\n");
    expect (fd, "{\"ok\":true}\n");
    cr_assert_eq (rig.machine.disk_bytes, 1048576);
    say (fd, "{\"command\":\"status\"}\n");
    expect_part (
        fd, "\"devices\":[{\"name\":\"disk0\",\"kind\":\"disk\",\"requests\":64,\"bytes_from_guest\":33792,"
            "\"bytes_to_guest\":262208,\"kicks\":3,\"interrupts\":5}],\"vcpus\":["
            "{\"ran_seconds\":1.5,\"waited_seconds\":0.25},{\"ran_seconds\":0.0,\"waited_seconds\":0.0}]}");
    say (fd, "{\"command\":\"stop\"}\n");
    expect (fd, "{\"ok\":true}\n");
    say (fd, "{\"command\":\"stop\"}\n");
    expect_part (fd, "\"ok\":false");
    cr_assert_eq (rig.machine.stops, 1);
    close (fd);
    run_loop ();
    tear_down (&rig);
}

Test (control, what_is_no_request_is_answered_and_changes_nothing)
{
    static const char *const lines[] = {
        "garbage\n",
        "\n",
        "{}\n",
        "[1]\n",
        "{\"command\":1}\n",
        "{\"command\":\"fly\"}\n",
        "{\"command\":\"pause\",\"why\":1}\n",
        "{\"command\":\"pause\",\"command\":\"pause\"}\n",
        "{\"command\":\"pause\"\n",
        "{\"command\":\"balloon\",\"target_bytes\":-1}\n",
        "{\"command\":\"balloon\",\"target_bytes\":\"1\"}\n",
        "{\"command\":\"resize\",\"bytes\":1,\"device\":[]}\n",
        "{\"command\":\"pause\",\"id\":[[[[[[[[1]]]]]]]]}\n",
        "\xff\xfe\n",
    };
    Rig rig;
    int fd;

    set_up (&rig);
    fd = connect_to (rig.path);
    for (size_t i = 0; i < G_N_ELEMENTS (lines); i++) {
        say (fd, lines[i]);
        expect_part (fd, "{\"ok\":false,\"class\":\"usage\",");
    }
    cr_assert_eq (rig.machine.state, VMM_MACHINE_RUNNING);
    cr_assert_eq (rig.machine.balloon_bytes + rig.machine.disk_bytes, 0);
    close (fd);
    tear_down (&rig);
}

Test (control, a_request_may_come_in_pieces_and_may_never_end)
{
    Rig rig;
    int fd;
    int gone;

    set_up (&rig);
    fd = connect_to (rig.path);
    gone = connect_to (rig.path);
    say (fd, "{\"comm");
    say (gone, "{\"command\":\"stop\"");
    close (gone);
    run_loop ();
    say (fd, "and\":\"pause\"}\n");
    expect (fd, "{\"ok\":true}\n");
    cr_assert_eq (rig.machine.stops, 0);
    close (fd);
    tear_down (&rig);
}

Test (control, who_sends_and_closes_is_still_answered)
{
    Rig rig;
    int fd;
    g_autofree char *text = NULL;

    set_up (&rig);
    fd = connect_to (rig.path);
    cr_assert_eq (write (fd, "{\"command\":\"pause\"}\n", 20), 20);
    shutdown (fd, SHUT_WR);
    text = read_all (fd);
    cr_assert_str_eq (text, "{\"ok\":true}\n");
    cr_assert (is_closed (fd));
    close (fd);
    tear_down (&rig);
}

Test (control, a_line_without_an_end_is_cut_off)
{
    static char data[65536];
    Rig rig;
    int fd;
    size_t sent = 0;
    ssize_t n = 0;

    memset (data, 'x', sizeof data);
    set_up (&rig);
    fd = connect_to (rig.path);
    while (n >= 0 && sent < (16u << 20)) {
        n = send (fd, data, sizeof data, MSG_NOSIGNAL);
        sent += (size_t)MAX (n, 0);
        run_loop ();
    }
    cr_assert_lt (sent, 1u << 20);
    close (fd);
    fd = connect_to (rig.path);
    say (fd, "{\"command\":\"pause\"}\n");
    expect (fd, "{\"ok\":true}\n");
    close (fd);
    tear_down (&rig);
}

Test (control, who_does_not_read_answers_is_not_heard_and_disturbs_nobody)
{
    Rig rig;
    int stuck;
    int fd;
    size_t sent = 0;
    ssize_t n = 1;

    set_up (&rig);
    stuck = connect_to (rig.path);
    fd = connect_to (rig.path);
    while (n > 0 && sent < (16u << 20)) {
        n = send (stuck, "{\"command\":\"status\"}\n", 21, MSG_NOSIGNAL);
        sent += (size_t)MAX (n, 0);
        run_loop ();
    }
    cr_assert_eq (errno, EAGAIN);
    say (fd, "{\"command\":\"pause\"}\n");
    expect (fd, "{\"ok\":true}\n");
    close (stuck);
    close (fd);
    tear_down (&rig);
}

Test (control, events_are_told_to_those_who_asked)
{
    Rig rig;
    int listener;
    int other;

    set_up (&rig);
    listener = connect_to (rig.path);
    other = connect_to (rig.path);
    say (listener, "{\"command\":\"events\",\"id\":1}\n");
    expect (listener, "{\"ok\":true,\"id\":1}\n");
    vmm_control_tell (rig.control, "paused");
    expect (listener, "{\"event\":\"paused\"}\n");
    rig.machine.state = VMM_MACHINE_ENDED;
    rig.machine.verdict.reason = "over";
    vmm_control_tell (rig.control, "ended");
    expect (listener, "{\"event\":\"ended\",\"verdict\":\"poweroff\",\"exit_code\":0,\"reason\":\"over\"}\n");
    expect (other, "");
    close (other);
    close (listener);
    run_loop ();
    vmm_control_tell (rig.control, "paused");
    tear_down (&rig);
}

Test (control, who_does_not_read_events_is_dropped)
{
    Rig rig;
    int fd;
    g_autofree char *text = NULL;

    set_up (&rig);
    fd = connect_to (rig.path);
    say (fd, "{\"command\":\"events\"}\n");
    for (unsigned i = 0; i < 100000; i++)
        vmm_control_tell (rig.control, "paused");
    text = read_all (fd);
    cr_assert_lt (strlen (text), 1u << 20);
    cr_assert (is_closed (fd));
    close (fd);
    tear_down (&rig);
}

Test (control, there_is_an_end_to_the_number_of_programs)
{
    Rig rig;
    int fds[100];
    unsigned closed = 0;

    set_up (&rig);
    for (size_t i = 0; i < G_N_ELEMENTS (fds); i++) {
        fds[i] = connect_to (rig.path);
        run_loop ();
    }
    for (size_t i = 0; i < G_N_ELEMENTS (fds); i++) {
        closed += is_closed (fds[i]) ? 1 : 0;
        close (fds[i]);
    }
    cr_assert_eq (closed, 36);
    run_loop ();
    fds[0] = connect_to (rig.path);
    say (fds[0], "{\"command\":\"pause\"}\n");
    expect (fds[0], "{\"ok\":true}\n");
    close (fds[0]);
    tear_down (&rig);
}

Test (control, a_stale_socket_is_replaced_and_a_live_one_is_not)
{
    Rig rig;
    g_autoptr (GError) error = NULL;
    g_autofree char *other = NULL;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    VmmControl *second;

    set_up (&rig);
    cr_assert_null (vmm_control_new (&rig.machine, g_main_context_default (), rig.path, &error));
    cr_assert_not_null (strstr (error->message, "listens there already"), "%s", error->message);
    cr_assert_eq (g_access (rig.path, F_OK), 0, "the live one was removed");
    other = g_strconcat (rig.path, "2", NULL);
    g_strlcpy (address.sun_path, other, sizeof address.sun_path);
    cr_assert_eq (bind (fd, (const struct sockaddr *)&address, sizeof address), 0);
    close (fd);
    second = vmm_control_new (&rig.machine, g_main_context_default (), other, NULL);
    cr_assert_not_null (second);
    vmm_control_free (second);
    g_clear_error (&error);
    cr_assert (g_file_set_contents (other, "mine", -1, NULL));
    cr_assert_null (vmm_control_new (&rig.machine, g_main_context_default (), other, &error));
    cr_assert_not_null (strstr (error->message, "no socket"), "%s", error->message);
    cr_assert_eq (g_unlink (other), 0, "the file was removed");
    tear_down (&rig);
}
