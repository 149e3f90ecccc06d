/* SPDX-License-Identifier: Apache-2.0 */
/* What is written arrives, in order, and is seen; and nobody waits for ever for who does not read. */
#include "relay.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    GString *text;
    int fds[2];
    Relay *relay;
} Rig;

static void
on_seen (void *user, const uint8_t *data, size_t len)
{
    g_string_append_len (user, (const char *)data, (gssize)len);
}

static Rig
open_rig (void)
{
    Rig rig = {.text = g_string_new (NULL)};

    cr_assert_eq (pipe2 (rig.fds, O_CLOEXEC), 0);
    rig.relay = relay_new (rig.fds[1], on_seen, rig.text, NULL);
    cr_assert_not_null (rig.relay);
    return rig;
}

static void
close_rig (Rig *rig)
{
    relay_free (rig->relay);
    g_string_free (rig->text, TRUE);
    close (rig->fds[0]);
    close (rig->fds[1]);
}

static void
put (const Rig *rig, const char *text)
{
    cr_assert_eq (write (relay_get_fd (rig->relay), text, strlen (text)), (ssize_t)strlen (text));
}

static void
check_arrived (const Rig *rig, const char *expected)
{
    char bytes[100] = "";

    cr_assert_eq (read (rig->fds[0], bytes, sizeof bytes - 1), (ssize_t)strlen (expected));
    cr_assert_str_eq (bytes, expected);
}

Test (relay, what_was_written_is_seen_at_once)
{
    Rig rig = open_rig ();

    put (&rig, "one");
    relay_look (rig.relay);
    cr_assert_str_eq (rig.text->str, "one");
    put (&rig, "two");
    relay_look (rig.relay);
    cr_assert_str_eq (rig.text->str, "onetwo");
    relay_start (rig.relay);
    put (&rig, "three");
    relay_finish (rig.relay);
    check_arrived (&rig, "onetwothree");
    cr_assert_str_eq (rig.text->str, "onetwothree");
    cr_assert_eq (fcntl (rig.fds[1], F_GETFL) & O_NONBLOCK, 0, "the flags are somebody else's");
    close_rig (&rig);
}

Test (relay, it_goes_on_without_being_asked, .timeout = 20)
{
    Rig rig = open_rig ();

    relay_start (rig.relay);
    put (&rig, "one");
    check_arrived (&rig, "one");
    put (&rig, "two");
    check_arrived (&rig, "two");
    relay_finish (rig.relay);
    close_rig (&rig);
}

Test (relay, who_does_not_read_is_not_waited_for, .timeout = 20)
{
    Rig rig = open_rig ();
    g_autofree char *wall = g_strnfill (200000, 'x');

    relay_start (rig.relay);
    put (&rig, wall);
    relay_finish (rig.relay);
    cr_assert_eq (rig.text->len, 200000);
    close_rig (&rig);
}

Test (relay, who_reads_no_more, .timeout = 20)
{
    Rig rig = open_rig ();

    signal (SIGPIPE, SIG_IGN);
    relay_start (rig.relay);
    close (rig.fds[0]);
    rig.fds[0] = open ("/dev/null", O_RDONLY | O_CLOEXEC);
    put (&rig, "one");
    put (&rig, "two");
    relay_finish (rig.relay);
    cr_assert_str_eq (rig.text->str, "onetwo");
    close_rig (&rig);
}

Test (relay, a_file_is_appended_to)
{
    g_autofree char *path = g_strdup ("/tmp/test-relay-XXXXXX");
    g_autofree char *text = NULL;
    g_autoptr (GString) seen = g_string_new (NULL);
    int fd = g_mkstemp_full (path, O_RDWR | O_APPEND | O_CLOEXEC, 0600);
    Relay *relay = relay_new (fd, on_seen, seen, NULL);

    cr_assert_eq (write (fd, "before ", 7), 7);
    relay_start (relay);
    cr_assert_eq (write (relay_get_fd (relay), "after", 5), 5);
    relay_finish (relay);
    cr_assert (g_file_get_contents (path, &text, NULL, NULL));
    cr_assert_str_eq (text, "before after");
    relay_free (relay);
    close (fd);
    unlink (path);
}
