/* SPDX-License-Identifier: Apache-2.0 */
/* The character backend against real descriptors: pipes, sockets, files and terminals. */
#include "devices/chardev/chardev.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

/* A device that takes up to @room bytes and keeps them. */
typedef struct {
    size_t room;
    GByteArray *got;
    unsigned drained;
} Device;

static size_t
device_room (void *device)
{
    return ((Device *)device)->room;
}

static void
device_receive (void *device, const uint8_t *data, size_t len)
{
    Device *d = device;

    cr_assert_leq (len, d->room, "more input than there is room for");
    d->room -= len;
    g_byte_array_append (d->got, data, (guint)len);
}

static void
device_drained (void *device)
{
    ((Device *)device)->drained++;
}

static const VmmChardevFrontend frontend = {device_room, device_receive, device_drained};

static size_t
write_text (VmmChardev *chardev, const char *text)
{
    return vmm_chardev_write (chardev, (const uint8_t *)text, strlen (text));
}

/* What is in @fd now, without waiting. */
static char *
read_now (int fd)
{
    GString *text = g_string_new (NULL);
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    char buf[4096];

    while (poll (&pfd, 1, 0) == 1 && (pfd.revents & POLLIN)) {
        ssize_t n = read (fd, buf, sizeof buf);

        if (n <= 0)
            break;
        g_string_append_len (text, buf, n);
    }
    return g_string_free (text, FALSE);
}

static void
cr_assert_reads (int fd, const char *expected)
{
    g_autofree char *text = read_now (fd);

    cr_assert_str_eq (text, expected, "read \"%s\", expected \"%s\"", text, expected);
}

/* Runs the loop until @fd has something to read, or for a second. */
static void
run_until_readable (int fd)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    gint64 end = g_get_monotonic_time () + G_USEC_PER_SEC;

    while (poll (&pfd, 1, 1) == 0 && g_get_monotonic_time () < end)
        g_main_context_iteration (NULL, FALSE);
}

static void
run_loop (int ms)
{
    gint64 end = g_get_monotonic_time () + ms * 1000;

    do {
        while (g_main_context_iteration (NULL, FALSE))
            ;
        g_usleep (200);
    } while (g_get_monotonic_time () < end);
}

static void
make_pipe (int fds[2])
{
    cr_assert_eq (pipe2 (fds, O_CLOEXEC), 0);
}

Test (chardev, a_line_leaves_at_once_and_a_prompt_by_the_timer)
{
    int fds[2];
    make_pipe (fds);
    VmmChardev *chardev = vmm_chardev_new (NULL, -1, fds[1]);

    cr_assert_eq (write_text (chardev, "one\ntwo"), 7);
    cr_assert_reads (fds[0], "one\ntwo");
    cr_assert_eq (write_text (chardev, "login: "), 7);
    cr_assert_reads (fds[0], "");
    run_until_readable (fds[0]);
    cr_assert_reads (fds[0], "login: ");
    /* The timer is armed again for the next. */
    write_text (chardev, "password: ");
    run_until_readable (fds[0]);
    cr_assert_reads (fds[0], "password: ");
    vmm_chardev_free (chardev);
}

Test (chardev, a_long_run_without_a_newline_leaves_before_the_timer)
{
    g_autofree char *run = g_strnfill (3000, 'x');
    int fds[2];
    make_pipe (fds);
    VmmChardev *chardev = vmm_chardev_new (NULL, -1, fds[1]);

    write_text (chardev, run);
    cr_assert_reads (fds[0], run);
    vmm_chardev_free (chardev);
}

Test (chardev, what_is_left_leaves_with_flush_or_at_the_end)
{
    int fds[2];
    make_pipe (fds);
    VmmChardev *chardev = vmm_chardev_new (NULL, -1, fds[1]);

    write_text (chardev, "a");
    vmm_chardev_flush (chardev, 0);
    cr_assert_reads (fds[0], "a");
    write_text (chardev, "b");
    vmm_chardev_free (chardev);
    cr_assert_reads (fds[0], "b");
}

/* Letters in an order that shows what is lost or doubled. */
static uint8_t
letter (size_t i)
{
    return i % 61 == 60 ? '\n' : (uint8_t)('A' + i % 59);
}

static size_t
write_letters (VmmChardev *chardev, size_t from, size_t len)
{
    g_autofree uint8_t *data = g_malloc (len);

    for (size_t i = 0; i < len; i++)
        data[i] = letter (from + i);
    return vmm_chardev_write (chardev, data, len);
}

static void
check_slow_reader (int read_fd, int write_fd)
{
    Device device = {.got = g_byte_array_new ()};
    VmmChardev *chardev = vmm_chardev_new (NULL, -1, write_fd);
    size_t sent = 0;
    size_t got = 0;
    uint8_t buf[8192];

    vmm_chardev_set_frontend (chardev, &frontend, &device);
    for (;;) {
        size_t n = write_letters (chardev, sent, 1000);

        sent += n;
        if (n < 1000)
            break;
        cr_assert_lt (sent, 64u << 20, "a host that does not read takes everything");
    }
    run_loop (20);
    cr_assert_eq (device.drained, 0, "nobody has read");
    while (got < sent) {
        ssize_t n = read (read_fd, buf, sizeof buf);

        cr_assert_gt (n, 0);
        for (ssize_t i = 0; i < n; i++)
            cr_assert_eq (buf[i], letter (got + (size_t)i), "byte %zu", got + (size_t)i);
        got += (size_t)n;
        run_loop (0);
    }
    run_loop (20);
    cr_assert_eq (got, sent);
    cr_assert_eq (device.drained, 1, "told %u times of the room", device.drained);
    cr_assert_eq (write_letters (chardev, 0, 1000), 1000);
    vmm_chardev_free (chardev);
    g_byte_array_unref (device.got);
}

Test (chardev, a_slow_pipe_holds_the_device_back, .timeout = 30)
{
    int fds[2];
    make_pipe (fds);
    check_slow_reader (fds[0], fds[1]);
    /* That the pipe's own descriptor still blocks is the program's business. */
    cr_assert_eq (fcntl (fds[1], F_GETFL) & O_NONBLOCK, 0);
}

Test (chardev, a_slow_socket_holds_the_device_back, .timeout = 30)
{
    int fds[2];
    cr_assert_eq (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    check_slow_reader (fds[0], fds[1]);
    cr_assert_eq (fcntl (fds[1], F_GETFL) & O_NONBLOCK, 0);
}

Test (chardev, flush_waits_for_a_slow_host_but_not_for_ever, .timeout = 30)
{
    int fds[2];
    make_pipe (fds);
    VmmChardev *chardev = vmm_chardev_new (NULL, -1, fds[1]);
    while (write_letters (chardev, 0, 1000) == 1000)
        ;
    gint64 start = g_get_monotonic_time ();

    vmm_chardev_flush (chardev, 100);
    gint64 took = g_get_monotonic_time () - start;
    cr_assert_geq (took, 100 * 1000);
    cr_assert_lt (took, 5 * G_USEC_PER_SEC);
    vmm_chardev_free (chardev);
}

/* More than the buffer in one call, to a host that takes it all: nobody may wait for a drained() then. */
Test (chardev, a_large_write_to_a_file_is_taken_whole)
{
    char path[] = "/tmp/test-chardev-XXXXXX";
    int fd = g_mkstemp (path);
    size_t size = 200000;
    g_autofree uint8_t *back = g_malloc (size + 1);
    VmmChardev *chardev = vmm_chardev_new (NULL, -1, fd);

    unlink (path);
    cr_assert_eq (write_letters (chardev, 0, size), size);
    vmm_chardev_flush (chardev, 1000);
    cr_assert_eq (pread (fd, back, size + 1, 0), (ssize_t)size);
    for (size_t i = 0; i < size; i++)
        cr_assert_eq (back[i], letter (i), "byte %zu", i);
    vmm_chardev_free (chardev);
    close (fd);
}

/* The file's offset is the program's: what it has written before stays, and both go on behind each other. */
Test (chardev, a_file_is_written_where_its_descriptor_stands)
{
    char path[] = "/tmp/test-chardev-XXXXXX";
    int fd = g_mkstemp (path);
    VmmChardev *chardev = vmm_chardev_new (NULL, -1, fd);
    char buf[64] = {0};

    unlink (path);
    cr_assert_eq (write (fd, "before\n", 7), 7);
    write_text (chardev, "guest\n");
    cr_assert_eq (write (fd, "after\n", 6), 6);
    cr_assert_eq (pread (fd, buf, sizeof buf - 1, 0), 19);
    cr_assert_str_eq (buf, "before\nguest\nafter\n");
    vmm_chardev_free (chardev);
    close (fd);
}

Test (chardev, without_a_host_output_goes_nowhere)
{
    VmmChardev *chardev = vmm_chardev_new (NULL, -1, -1);

    for (unsigned i = 0; i < 1000; i++)
        cr_assert_eq (write_letters (chardev, 0, 1000), 1000);
    vmm_chardev_free (chardev);
}

/* The tests below run with SIGPIPE at its default, which ends a process: a library may not let it come. */
static void
check_reader_gone (int write_fd)
{
    VmmChardev *chardev = vmm_chardev_new (NULL, -1, write_fd);
    sigset_t pending;

    for (unsigned i = 0; i < 300; i++)
        cr_assert_eq (write_letters (chardev, 0, 1000), 1000, "a guest whose reader has gone runs on");
    sigpending (&pending);
    cr_assert_not (sigismember (&pending, SIGPIPE), "a signal was left behind");
    vmm_chardev_free (chardev);
}

Test (chardev, a_pipe_whose_reader_has_gone_ends_nobody)
{
    int fds[2];
    make_pipe (fds);
    signal (SIGPIPE, SIG_DFL);
    close (fds[0]);
    check_reader_gone (fds[1]);
}

Test (chardev, nor_does_one_whose_reader_goes_while_output_waits)
{
    int fds[2];
    make_pipe (fds);
    VmmChardev *chardev = vmm_chardev_new (NULL, -1, fds[1]);
    Device device = {.got = g_byte_array_new ()};

    signal (SIGPIPE, SIG_DFL);
    vmm_chardev_set_frontend (chardev, &frontend, &device);
    while (write_letters (chardev, 0, 1000) == 1000)
        ;
    close (fds[0]);
    run_loop (20);
    cr_assert_eq (device.drained, 1, "the device waits for ever");
    cr_assert_eq (write_letters (chardev, 0, 1000), 1000);
    vmm_chardev_free (chardev);
    g_byte_array_unref (device.got);
}

Test (chardev, a_socket_whose_peer_has_gone_ends_nobody)
{
    int fds[2];
    cr_assert_eq (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    signal (SIGPIPE, SIG_DFL);
    close (fds[0]);
    check_reader_gone (fds[1]);
}

Test (chardev, a_program_that_ignores_or_has_blocked_the_signal_finds_it_so)
{
    int fds[2];
    sigset_t set;
    sigset_t now;
    make_pipe (fds);
    close (fds[0]);
    signal (SIGPIPE, SIG_IGN);
    check_reader_gone (fds[1]);
    cr_assert_eq (signal (SIGPIPE, SIG_DFL), SIG_IGN);
    /* One of its own that is pending stays. */
    sigemptyset (&set);
    sigaddset (&set, SIGPIPE);
    pthread_sigmask (SIG_BLOCK, &set, NULL);
    raise (SIGPIPE);
    VmmChardev *chardev = vmm_chardev_new (NULL, -1, fds[1]);
    write_text (chardev, "line\n");
    vmm_chardev_free (chardev);
    sigpending (&now);
    cr_assert (sigismember (&now, SIGPIPE));
    pthread_sigmask (SIG_SETMASK, NULL, &now);
    cr_assert (sigismember (&now, SIGPIPE));
}

Test (chardev, a_full_disk_does_not_stop_the_guest)
{
    int fd = open ("/dev/full", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        cr_skip_test ("no /dev/full here");

    check_reader_gone (fd);
    close (fd);
}

Test (chardev, what_a_full_disk_does_not_take_is_known_to_be_lost)
{
    int full = open ("/dev/full", O_WRONLY | O_CLOEXEC);
    int fds[2];
    if (full < 0)
        cr_skip_test ("no /dev/full here");
    make_pipe (fds);
    g_autoptr (VmmChardev) stored = vmm_chardev_new (NULL, -1, full);
    g_autoptr (VmmChardev) unread = vmm_chardev_new (NULL, -1, fds[1]);

    cr_assert_eq (vmm_chardev_lost (stored), 0);
    write_text (stored, "a line\n");
    cr_assert_eq (vmm_chardev_lost (stored), ENOSPC);
    /* Nobody wants to have it. */
    close (fds[0]);
    write_text (unread, "a line\n");
    cr_assert_eq (vmm_chardev_lost (unread), 0);
    close (full);
}

Test (chardev, input_comes_only_as_far_as_there_is_room)
{
    int fds[2];
    make_pipe (fds);
    Device device = {.room = 3, .got = g_byte_array_new ()};
    VmmChardev *chardev = vmm_chardev_new (NULL, fds[0], -1);
    int left;

    cr_assert_eq (write (fds[1], "abcdefgh", 8), 8);
    run_loop (5);
    cr_assert_eq (device.got->len, 0, "input before there was a device");
    vmm_chardev_set_frontend (chardev, &frontend, &device);
    run_loop (10);
    cr_assert_eq (device.got->len, 3);
    /* What it does not take stays with the sender. */
    cr_assert_reads (fds[0], "defgh");
    cr_assert_eq (write (fds[1], "ij", 2), 2);
    left = (int)device.room;
    cr_assert_eq (left, 0);
    device.room = 16;
    vmm_chardev_accept_input (chardev);
    run_loop (10);
    cr_assert_eq (device.got->len, 5);
    cr_assert_arr_eq (device.got->data, "abcij", 5);
    vmm_chardev_free (chardev);
    g_byte_array_unref (device.got);
}

Test (chardev, a_loop_without_room_sleeps)
{
    int fds[2];
    make_pipe (fds);
    Device device = {.room = 0, .got = g_byte_array_new ()};
    VmmChardev *chardev = vmm_chardev_new (NULL, fds[0], -1);

    vmm_chardev_set_frontend (chardev, &frontend, &device);
    cr_assert_eq (write (fds[1], "abc", 3), 3);
    run_loop (10);
    cr_assert_not (g_main_context_pending (NULL), "it would spin until there is room");
    vmm_chardev_free (chardev);
    g_byte_array_unref (device.got);
}

Test (chardev, the_end_of_input_is_not_the_end_of_output)
{
    int in[2];
    int out[2];
    make_pipe (in);
    make_pipe (out);
    Device device = {.room = 100, .got = g_byte_array_new ()};
    VmmChardev *chardev = vmm_chardev_new (NULL, in[0], out[1]);

    vmm_chardev_set_frontend (chardev, &frontend, &device);
    cr_assert_eq (write (in[1], "last", 4), 4);
    close (in[1]);
    run_loop (10);
    cr_assert_eq (device.got->len, 4);
    cr_assert_not (g_main_context_pending (NULL), "it would spin at the end of input");
    write_text (chardev, "still here\n");
    cr_assert_reads (out[0], "still here\n");
    vmm_chardev_free (chardev);
    g_byte_array_unref (device.got);
}

static size_t
drop_x (void *user, uint8_t *data, size_t len)
{
    size_t kept = 0;

    for (size_t i = 0; i < len; i++) {
        if (data[i] != 'x')
            data[kept++] = data[i];
    }
    return kept;
}

Test (chardev, a_filter_sees_input_first)
{
    int fds[2];
    make_pipe (fds);
    Device device = {.room = 100, .got = g_byte_array_new ()};
    VmmChardev *chardev = vmm_chardev_new (NULL, fds[0], -1);

    vmm_chardev_set_filter (chardev, drop_x, NULL);
    vmm_chardev_set_frontend (chardev, &frontend, &device);
    cr_assert_eq (write (fds[1], "xaxbx", 5), 5);
    run_loop (10);
    cr_assert_eq (device.got->len, 2);
    cr_assert_arr_eq (device.got->data, "ab", 2);
    cr_assert_eq (write (fds[1], "xxx", 3), 3);
    run_loop (10);
    cr_assert_eq (device.got->len, 2);
    vmm_chardev_free (chardev);
    g_byte_array_unref (device.got);
}

static size_t
count_keys (void *user, uint8_t *data, size_t len)
{
    *(size_t *)user += len;
    return len;
}

/* Ctrl-A x must leave a guest that has never opened its console. */
Test (chardev, a_filter_sees_keys_that_the_device_has_no_room_for)
{
    int fds[2];
    make_pipe (fds);
    Device device = {.room = 0, .got = g_byte_array_new ()};
    VmmChardev *chardev = vmm_chardev_new (NULL, fds[0], -1);
    size_t seen = 0;

    vmm_chardev_set_filter (chardev, count_keys, &seen);
    vmm_chardev_set_frontend (chardev, &frontend, &device);
    cr_assert_eq (write (fds[1], "abcdef", 6), 6);
    run_loop (10);
    cr_assert_eq (seen, 6);
    cr_assert_eq (device.got->len, 0);
    cr_assert_not (g_main_context_pending (NULL), "it would spin until there is room");
    device.room = 4;
    vmm_chardev_accept_input (chardev);
    run_loop (10);
    cr_assert_eq (device.got->len, 4);
    device.room = 4;
    vmm_chardev_accept_input (chardev);
    run_loop (10);
    cr_assert_eq (device.got->len, 6);
    cr_assert_arr_eq (device.got->data, "abcdef", 6);
    cr_assert_eq (seen, 6, "no key is seen twice");
    vmm_chardev_free (chardev);
    g_byte_array_unref (device.got);
}

static void
collect (void *user, const uint8_t *data, size_t len)
{
    g_string_append_len (user, (const char *)data, (gssize)len);
}

Test (chardev, a_filter_sees_keys_behind_more_than_can_be_read_ahead)
{
    Device device = {.got = g_byte_array_new ()};
    uint8_t pasted[3000] = {0};
    size_t seen = 0;
    int fds[2];
    VmmChardev *chardev;

    make_pipe (fds);
    chardev = vmm_chardev_new (NULL, fds[0], -1);
    vmm_chardev_set_filter (chardev, count_keys, &seen);
    vmm_chardev_set_frontend (chardev, &frontend, &device);
    cr_assert_eq (write (fds[1], pasted, sizeof pasted), sizeof pasted);
    run_loop (1500);
    cr_assert_eq (seen, sizeof pasted);
    /* A device that comes to life gets the first of them, and what is sent from then on. */
    device.room = 2000;
    vmm_chardev_accept_input (chardev);
    run_loop (20);
    cr_assert_eq (write (fds[1], "a", 1), 1);
    run_loop (20);
    cr_assert_gt (device.got->len, 1);
    cr_assert_eq (device.got->data[device.got->len - 1], 'a');
    vmm_chardev_free (chardev);
    g_byte_array_unref (device.got);
    close (fds[0]);
    close (fds[1]);
}

Test (chardev, a_tap_sees_each_byte_once_and_only_what_was_taken)
{
    int fds[2];
    make_pipe (fds);
    g_autoptr (GString) seen = g_string_new (NULL);
    VmmChardev *chardev = vmm_chardev_new (NULL, -1, fds[1]);
    size_t sent = 0;
    size_t n;

    vmm_chardev_set_tap (chardev, collect, seen);
    do {
        n = write_letters (chardev, sent, 1000);
        sent += n;
    } while (n == 1000);
    cr_assert_eq (seen->len, sent);
    for (size_t i = 0; i < sent; i++)
        cr_assert_eq ((uint8_t)seen->str[i], letter (i), "byte %zu", i);
    vmm_chardev_free (chardev);
}

/* A terminal's open file is shared with the shell: not one of its flags may change, or the shell breaks. */
Test (chardev, a_terminal_keeps_its_flags_and_settings)
{
    int master;
    int slave;
    struct termios before;
    struct termios after;
    memset (&before, 0, sizeof before);
    memset (&after, 0, sizeof after);
    if (openpty (&master, &slave, NULL, NULL, NULL) < 0)
        cr_skip_test ("no pseudo terminals here");
    int flags = fcntl (slave, F_GETFL);
    cr_assert_eq (tcgetattr (slave, &before), 0);
    Device device = {.room = 100, .got = g_byte_array_new ()};
    VmmChardev *chardev = vmm_chardev_new (NULL, slave, slave);

    vmm_chardev_set_frontend (chardev, &frontend, &device);
    write_text (chardev, "hello\n");
    cr_assert_reads (master, "hello\r\n");
    cr_assert_eq (write (master, "typed\n", 6), 6);
    run_loop (20);
    cr_assert_eq (device.got->len, 6);
    cr_assert_eq (fcntl (slave, F_GETFL), flags);
    /* Nor while nobody reads it. */
    while (write_letters (chardev, 0, 1000) == 1000)
        ;
    cr_assert_eq (fcntl (slave, F_GETFL), flags);
    vmm_chardev_free (chardev);
    cr_assert_eq (fcntl (slave, F_GETFL), flags);
    cr_assert_eq (tcgetattr (slave, &after), 0);
    cr_assert_eq (memcmp (&before, &after, sizeof before), 0);
    g_byte_array_unref (device.got);
}

Test (chardev, a_terminal_that_was_hung_up_ends_nobody)
{
    int master;
    int slave;
    if (openpty (&master, &slave, NULL, NULL, NULL) < 0)
        cr_skip_test ("no pseudo terminals here");
    Device device = {.room = 100, .got = g_byte_array_new ()};
    VmmChardev *chardev = vmm_chardev_new (NULL, slave, slave);

    vmm_chardev_set_frontend (chardev, &frontend, &device);
    close (master);
    for (unsigned i = 0; i < 300; i++)
        cr_assert_eq (write_letters (chardev, 0, 1000), 1000);
    run_loop (10);
    cr_assert_not (g_main_context_pending (NULL), "it would spin");
    vmm_chardev_free (chardev);
    g_byte_array_unref (device.got);
}

static unsigned
count_descriptors (void)
{
    g_autoptr (GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
    unsigned n = 0;

    while (g_dir_read_name (dir) != NULL)
        n++;
    return n;
}

Test (chardev, its_descriptors_are_borrowed_and_its_own_are_closed)
{
    int fds[2];
    make_pipe (fds);
    unsigned before = count_descriptors ();

    for (unsigned i = 0; i < 3; i++) {
        VmmChardev *chardev = vmm_chardev_new (NULL, fds[0], fds[1]);
        Device device = {.room = 0, .got = g_byte_array_new ()};

        vmm_chardev_set_frontend (chardev, &frontend, &device);
        write_text (chardev, "prompt");
        run_loop (10);
        vmm_chardev_free (chardev);
        g_byte_array_unref (device.got);
    }
    vmm_chardev_free (NULL);
    cr_assert_reads (fds[0], "promptpromptprompt");
    /* The loop of this thread keeps a descriptor of its own to be woken by. */
    cr_assert_leq (count_descriptors (), before + 1, "descriptors were left open");
}
