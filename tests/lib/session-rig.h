/* SPDX-License-Identifier: Apache-2.0 */
/* A session, and the guest that a test plays for it. For one test program; each test has a process of its
 * own. */
#ifndef TESTS_LIB_SESSION_RIG_H
#define TESTS_LIB_SESSION_RIG_H

#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "remove-tree.h"
#include "run-guest.h"
#include "vmm/run-out.h"
#include "vmm/run-session.h"

/* The machine's side of everything: a guest that this test plays, and pipes for the streams. */
typedef struct {
    GMainContext *context;
    VmmRunJob job;
    VmmRunSession *session;
    int guest; /* its end of the port */
    int in[2], out[2], err[2];
    GByteArray *heard; /* by the guest, and not taken apart yet */
    GByteArray *says;  /* the guest, with the next flush */
    unsigned n_done;
    char *home;
} Rig;

static Rig rig;

static inline void
on_done (void *user)
{
    rig.n_done++;
}

static inline void
enter (void)
{
    static char *argv[] = {(char *)"make", (char *)"check", NULL};

    signal (SIGPIPE, SIG_IGN);
    rig = (Rig){.context = g_main_context_new (), .heard = g_byte_array_new (), .says = g_byte_array_new ()};
    cr_assert (pipe2 (rig.in, O_CLOEXEC) == 0 && pipe2 (rig.out, O_CLOEXEC) == 0 &&
               pipe2 (rig.err, O_CLOEXEC) == 0);
    rig.job = (VmmRunJob){.argv = argv,
                          .env = g_ptr_array_new (),
                          .outputs = g_ptr_array_new (),
                          .in_fd = rig.in[0],
                          .out_fd = rig.out[1],
                          .err_fd = rig.err[1]};
    rig.home = g_dir_make_tmp ("vmm-session-XXXXXX", NULL);
}

static inline void
leave (void)
{
    vmm_run_session_free (rig.session);
    remove_tree (rig.home);
    g_free (rig.home);
    g_ptr_array_unref (rig.job.env);
    g_ptr_array_unref (rig.job.outputs);
    g_byte_array_unref (rig.heard);
    g_byte_array_unref (rig.says);
    g_main_context_unref (rig.context);
}

static inline void
begin (void)
{
    int pair[2];

    cr_assert_eq (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    rig.guest = pair[1];
    rig.session = vmm_run_session_new (&rig.job, pair[0], rig.context, on_done, NULL);
}

static inline void
hear (void)
{
    uint8_t data[65536];
    ssize_t n;

    while ((n = recv (rig.guest, data, sizeof data, MSG_DONTWAIT)) > 0)
        g_byte_array_append (rig.heard, data, (guint)n);
}

/* Lets the host do all that it can do now. */
static inline void
pump (void)
{
    for (unsigned i = 0; i < 1000 && g_main_context_iteration (rig.context, FALSE); i++)
        hear ();
    hear ();
}

/* Sends what the guest has to say, while the host listens. */
static inline void
flush (void)
{
    size_t at = 0;

    while (at < rig.says->len) {
        ssize_t n = send (rig.guest, rig.says->data + at, rig.says->len - at, MSG_DONTWAIT | MSG_NOSIGNAL);

        at += (size_t)MAX (n, 0);
        if (n < 0 && (errno != EAGAIN || !g_main_context_iteration (rig.context, FALSE)))
            break;
    }
    g_byte_array_set_size (rig.says, 0);
    pump ();
}

static inline void
say (unsigned type, unsigned stream, const void *body, size_t len)
{
    guest_put (rig.says, type, stream, body, len);
}

static inline void
say_text (unsigned type, unsigned stream, const char *text)
{
    say (type, stream, text, strlen (text));
}

static inline void
greet (void)
{
    guest_put_number (rig.says, VMM_RUN_HELLO, 0, VMM_RUN_VERSION);
    say (VMM_RUN_STARTED, 0, NULL, 0);
    flush ();
}

static inline void
start (void)
{
    begin ();
    greet ();
}

static inline void
say_end (uint32_t status)
{
    guest_put_exit (rig.says, VMM_RUN_EXITED, status, "");
    say (VMM_RUN_EOF, VMM_RUN_STDOUT, NULL, 0);
    say (VMM_RUN_EOF, VMM_RUN_STDERR, NULL, 0);
}

static inline const VmmRunSessionEnd *
end (void)
{
    return vmm_run_session_end (rig.session);
}

/* All frames of a type that the guest has heard, as text: "[stream]body". */
static inline char *
heard (unsigned type)
{
    GString *text = g_string_new (NULL);

    for (size_t at = 0; at + VMM_RUN_HEADER <= rig.heard->len;) {
        const uint8_t *header = rig.heard->data + at;
        uint32_t len = vmm_run_get32 (header + 4);

        if (header[0] == type) {
            g_string_append_printf (text, "[%u]", header[1]);
            g_string_append_len (text, (const char *)header + VMM_RUN_HEADER, (gssize)len);
        }
        at += VMM_RUN_HEADER + len;
    }
    return g_string_free (text, FALSE);
}

static inline void
check_heard (unsigned type, const char *expected)
{
    g_autofree char *text = heard (type);

    cr_expect_str_eq (text, expected, "type %u: %s", type, text);
}

static inline uint64_t
sum_heard (unsigned type, unsigned stream)
{
    uint64_t sum = 0;

    for (size_t at = 0; at + VMM_RUN_HEADER <= rig.heard->len;) {
        const uint8_t *header = rig.heard->data + at;
        uint32_t len = vmm_run_get32 (header + 4);

        if (header[0] == type && header[1] == stream)
            sum += type == VMM_RUN_WINDOW ? vmm_run_get32 (header + VMM_RUN_HEADER) : len;
        at += VMM_RUN_HEADER + len;
    }
    return sum;
}

static inline void
check_pipe (int fd, const char *expected)
{
    char text[4096] = "";

    fcntl (fd, F_SETFL, O_NONBLOCK);
    (void)!read (fd, text, sizeof text - 1);
    cr_expect_str_eq (text, expected);
}

static inline void
expect_broken (const char *part)
{
    cr_assert_not_null (end ()->broken, "it took: %s", part);
    cr_expect_not_null (strstr (end ()->broken, part), "%s", end ()->broken);
    cr_expect_eq (rig.n_done, 1);
    cr_expect_not (end ()->done);
}

#endif
