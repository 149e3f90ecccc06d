/* SPDX-License-Identifier: Apache-2.0 */
/* Commands typed at the shells that guests have, on a terminal with an echo, line editing and a prompt. */
#include "shell.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 20000
#define PROMPT "\033]0;title\a\033[01;32mroot@guest\033[00m:/# "

static const char *const shells[][5] = {
    {"dash", "-i"},
    {"bash", "--norc", "--noprofile", "-i"},
    {"busybox", "ash", "-i"},
};

typedef struct {
    TestShell *shell;
    pid_t pid;
    int fd;
} Session;

static bool
is_there (const char *program)
{
    g_autofree char *path = g_find_program_in_path (program);

    return path != NULL;
}

static void
exec_shell (const char *const *argv)
{
    const char *const env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "PS1=" PROMPT, "TERM=vt220",
                               "LC_ALL=C.UTF-8", NULL};

    execvpe (argv[0], (char *const *)argv, (char *const *)env);
    _exit (99);
}

static Session
start (const char *const *argv, unsigned short columns)
{
    struct winsize size = {.ws_row = 24, .ws_col = columns};
    Session session = {.shell = test_shell_new (true)};

    session.pid = forkpty (&session.fd, NULL, NULL, &size);
    cr_assert_geq (session.pid, 0);
    if (session.pid == 0)
        exec_shell (argv);
    return session;
}

static void
stop (Session *session)
{
    test_shell_free (session->shell);
    close (session->fd);
    kill (session->pid, SIGKILL);
    waitpid (session->pid, NULL, 0);
}

static void
run (Session *session, const char *command)
{
    g_autoptr (GBytes) line = test_shell_command (session->shell, command, NULL);
    uint8_t bytes[4096];
    ssize_t n;

    cr_assert_not_null (line);
    cr_assert_eq (write (session->fd, g_bytes_get_data (line, NULL), g_bytes_get_size (line)),
                  (ssize_t)g_bytes_get_size (line));
    do {
        struct pollfd poll_fd = {.fd = session->fd, .events = POLLIN};

        cr_assert_eq (poll (&poll_fd, 1, PATIENCE_MS), 1, "\"%s\" does not end", command);
        n = read (session->fd, bytes, sizeof bytes);
        cr_assert_gt (n, 0, "\"%s\": the shell is gone", command);
    } while (!test_shell_feed (session->shell, bytes, (size_t)n));
}

static void
check (Session *session, const char *command, int status, const char *expected)
{
    g_autoptr (GBytes) output = NULL;

    run (session, command);
    output = test_shell_output (session->shell, NULL);
    if (status >= 0)
        cr_expect_eq (test_shell_status (session->shell), status, "\"%s\": %d", command,
                      test_shell_status (session->shell));
    else
        cr_expect_neq (test_shell_status (session->shell), 0, "\"%s\"", command);
    if (expected == NULL)
        return;
    cr_expect_eq (g_bytes_get_size (output), strlen (expected), "\"%s\": \"%.*s\"", command,
                  (int)g_bytes_get_size (output), (const char *)g_bytes_get_data (output, NULL));
    cr_expect_eq (memcmp (g_bytes_get_data (output, NULL), expected,
                          MIN (strlen (expected), g_bytes_get_size (output))),
                  0, "\"%s\": \"%.*s\"", command, (int)g_bytes_get_size (output),
                  (const char *)g_bytes_get_data (output, NULL));
}

static void
check_commands (Session *session)
{
    g_autofree char *many = g_strnfill (500, 'x');
    g_autofree char *long_command = g_strdup_printf ("echo %s", many);
    g_autofree char *long_output = g_strdup_printf ("%s\n", many);

    check (session, "echo one; echo two", 0, "one\ntwo\n");
    check (session, "printf 'no line end'", 0, "no line end");
    check (session, "", 0, "");
    check (session, "exit_with () { return $1; }; exit_with 42", 42, "");
    check (session, "(exit 255)", 255, "");
    check (session, "echo 'it'\\''s' \"a \\\"quoted\\\"  word\" $((6*7)) \\$x", 0,
           "it's a \"quoted\"  word 42 $x\n");
    check (session, "echo wow! 'a!b' \"!!\" !x", 0, "wow! a!b !! !x\n");
    check (session, "printf '%s|' 'a\tb' \"c\td\"", 0, "a\tb|c\td|");
    check (session, "echo \303\244\342\202\254; echo %d%s; echo '\\n' | wc -c", 0, NULL);
    check (session, "cd /usr; kept=\"a b\"", 0, "");
    check (session, "pwd; echo \"$kept\"", 0, "/usr\na b\n");
    check (session, "cat; read x; echo read:$x", 0, "read:\n");
    check (session, "echo VMM-1-1=0; printf 'VMM-1-1+\\n'", 0, "VMM-1-1=0\nVMM-1-1+\n");
    check (session, "printf '\\033[31mred\\033[0m\\n'", 0, "red\n");
    check (session, "sh -c 'kill -9 $$'", 128 + SIGKILL, NULL);
    check (session, "no-such-command-at-all", 127, NULL);
    check (session, "true & wait", 0, NULL);
    check (session, "echo a # a comment", 0, "a\n");
    check (session, long_command, 0, long_output);
}

/* Without care, each of them would end more than the command in one shell or another. There is no "echo $("
 * here: bash 5.2 spoils its heap by that. */
static void
check_errors (Session *session)
{
    const char *const commands[] = {
        "if",       "echo 'unbalanced", "echo \"unbalanced", ")",
        "}",        ". /nonexist",      "readonly r=1; r=2", "export 1x=2",
        "false &&", "echo `",           "case x in",         "x() {",
        "echo ${",  "cat <<",           "cd /nonexist",
    };

    for (size_t i = 0; i < G_N_ELEMENTS (commands); i++)
        check (session, commands[i], -1, NULL);
    check (session, "echo alive", 0, "alive\n");
}

Test (shell_real, at_a_terminal, .timeout = 120)
{
    const unsigned short widths[] = {80, 31};

    for (size_t i = 0; i < G_N_ELEMENTS (shells); i++) {
        for (size_t j = 0; j < G_N_ELEMENTS (widths) && is_there (shells[i][0]); j++) {
            Session session = start (shells[i], widths[j]);

            check_commands (&session);
            check_errors (&session);
            /* This may end a shell that is not interactive. */
            check (&session, "echo ${x:?none}", -1, NULL);
            check (&session, "echo alive", 0, "alive\n");
            stop (&session);
        }
    }
}

/* An initramfs before anything is mounted. */
Test (shell_real, in_an_empty_root, .timeout = 60)
{
    g_autofree char *busybox = g_find_program_in_path ("busybox");
    g_autofree char *root = g_dir_make_tmp ("vmm-shell-XXXXXX", NULL);
    g_autofree char *copy = g_build_filename (root, "busybox", NULL);
    g_autofree char *contents = NULL;
    gsize len;
    const char *const argv[] = {"/usr/sbin/chroot", root, "/busybox", "ash", "-i", NULL};

    if (busybox == NULL || geteuid () != 0) {
        rmdir (root);
        cr_skip_test ("needs busybox, and root for chroot(1)");
    }
    cr_assert (g_file_get_contents (busybox, &contents, &len, NULL));
    cr_assert (g_file_set_contents_full (copy, contents, (gssize)len, G_FILE_SET_CONTENTS_NONE, 0755, NULL));
    {
        Session session = start (argv, 80);

        check (&session, "echo one; (exit 3)", 3, "one\n");
        check (&session, "read x; echo $x", 0, NULL);
        check (&session, "cd /; pwd", 0, "/\n");
        stop (&session);
    }
    unlink (copy);
    rmdir (root);
}

/* bash tells with each command what it runs, and shows the lines that it reads. */
Test (shell_real, which_shows_what_it_does, .timeout = 60)
{
    for (size_t i = 0; i < G_N_ELEMENTS (shells); i++) {
        Session session;

        if (!is_there (shells[i][0]))
            continue;
        session = start (shells[i], 80);
        check (&session, "set -v", 0, NULL);
        check (&session, "set -x", 0, NULL);
        check (&session, "false", 1, NULL);
        stop (&session);
    }
}

/* A shell that reads a pipe: nothing is echoed, and its output is the commands' alone. */
Test (shell_real, at_a_pipe, .timeout = 60)
{
    for (size_t i = 0; i < G_N_ELEMENTS (shells); i++) {
        const char *const argv[] = {shells[i][0], strcmp (shells[i][0], "busybox") == 0 ? "ash" : NULL, NULL};
        int fds[2];
        Session session = {.shell = test_shell_new (false)};

        if (!is_there (argv[0]))
            continue;
        cr_assert_eq (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        session.pid = fork ();
        if (session.pid == 0) {
            dup2 (fds[1], STDIN_FILENO);
            dup2 (fds[1], STDOUT_FILENO);
            dup2 (open ("/dev/null", O_WRONLY), STDERR_FILENO);
            exec_shell (argv);
        }
        close (fds[1]);
        session.fd = fds[0];
        check (&session, "echo one; echo two >&2; printf 'a\\r\\n\\033[1m\\000b'", 0, NULL);
        check (&session, "printf 'a\\r\\n\\033[1m'; (exit 3)", 3, "a\r\n\033[1m");
        check (&session, "cat; echo 'a\nb'", 0, "a\nb\n");
        check (&session, "cd /usr", 0, "");
        check (&session, "pwd", 0, "/usr\n");
        check_errors (&session);
        stop (&session);
    }
}
