/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest says to a session that has an output to come back, in pieces as long as the first byte says.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "remove-tree.h"
#include "vmm/run-session.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
on_done (void *user)
{
    ++*(unsigned *)user;
}

static size_t
filter (void *user, uint8_t *data, size_t len)
{
    return len / 2;
}

static void
feed (VmmRunSession *session, GMainContext *context, int guest, const uint8_t *data, size_t size)
{
    size_t step = 16 * (size_t)data[0] + 1;

    for (size_t at = 1; at < size; at += step) {
        uint8_t heard[4096];

        (void)!send (guest, data + at, MIN (step, size - at), MSG_DONTWAIT | MSG_NOSIGNAL);
        for (unsigned i = 0; i < 20 && g_main_context_iteration (context, FALSE); i++)
            (void)!recv (guest, heard, sizeof heard, MSG_DONTWAIT);
    }
    vmm_run_session_signal (session, 15);
    vmm_run_session_resize (session, 80, 24);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    g_autofree char *home = size > 0 ? g_dir_make_tmp ("vmm-fuzz-XXXXXX", NULL) : NULL;
    g_autofree char *place = home != NULL ? g_build_filename (home, "out", NULL) : NULL;
    g_autoptr (GMainContext) context = g_main_context_new ();
    VmmRunOutput output = {(char *)"/a", place};
    char *argv[] = {(char *)"true", NULL};
    VmmRunJob job = {.argv = argv, .out_fd = -1, .term = (char *)"linux", .filter = filter};
    VmmRunSession *session;
    unsigned n_done = 0;
    int pair[2];

    if (home == NULL || socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return 0;
    job.in_fd = open ("/dev/zero", O_RDONLY | O_CLOEXEC);
    job.err_fd = open ("/dev/full", O_WRONLY | O_CLOEXEC);
    job.env = g_ptr_array_new ();
    job.outputs = g_ptr_array_new ();
    g_ptr_array_add (job.outputs, &output);
    session = vmm_run_session_new (&job, pair[0], context, on_done, &n_done);
    feed (session, context, pair[1], data, size);
    vmm_run_session_hear_out (session);
    vmm_run_session_flush (session, 0);
    /* It ends once, and a command that ended has told how. */
    if (n_done > 1 || (vmm_run_session_end (session)->done && vmm_run_session_end (session)->kind < 0))
        abort ();
    vmm_run_session_free (session);
    close (pair[1]);
    close (job.in_fd);
    close (job.err_fd);
    g_ptr_array_unref (job.env);
    g_ptr_array_unref (job.outputs);
    remove_tree (home);
    return 0;
}
