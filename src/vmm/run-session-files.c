/* SPDX-License-Identifier: Apache-2.0 */
/* The files that come back when the command has ended, each output as an archive. See run-session.c. */
#include <string.h>

#include "vmm/run-session-internal.h"

/* Of one output. The host's disk may be smaller, and says so. */
#define BYTES_MAX (UINT64_C (1) << 40)
#define LINUX_ERRNO_MAX 4095u

/* The first one is told; what cannot be stored is taken all the same, so that the rest of the job goes on. */
static void
note (VmmRunSession *session, char *why)
{
    session->files_lost = true;
    if (session->end.files_wrong == NULL)
        session->end.files_wrong = why;
    else
        g_free (why);
}

/**
 * vmm_run_output_free:
 * @data: a #VmmRunOutput
 *
 * For arrays of them.
 */
void
vmm_run_output_free (gpointer data)
{
    VmmRunOutput *output = data;

    g_free (output->host_path);
    g_free (output->guest_path);
    g_free (output);
}

/* The output that comes, or NULL with the session failed. */
static const VmmRunOutput *
current (VmmRunSession *session)
{
    const GPtrArray *outputs = session->job->outputs;

    if (session->end.kind >= 0 && session->n_outputs < outputs->len)
        return outputs->pdata[session->n_outputs];
    vmm_run_session_fail (session, "the guest sends files that it was not asked for");
    return NULL;
}

/* Takes a piece of an archive. */
void
vmm_run_session_take_files (VmmRunSession *session, const uint8_t *data, size_t len)
{
    const VmmRunOutput *output = current (session);
    g_autoptr (GError) error = NULL;

    if (output == NULL)
        return;
    if (!session->files_begun) {
        session->files_begun = true;
        session->files = vmm_run_files_new (output->guest_path, output->host_path, BYTES_MAX, &error);
        if (session->files == NULL)
            note (session,
                  vmm_run_session_make_line ((const uint8_t *)error->message, strlen (error->message)));
    }
    if (session->files != NULL && !vmm_run_files_feed (session->files, (VmmSpan){data, len}, &error)) {
        note (session, vmm_run_session_make_line ((const uint8_t *)error->message, strlen (error->message)));
        g_clear_pointer (&session->files, vmm_run_files_free);
    }
    vmm_run_session_give_back (session, VMM_RUN_FILES, len);
}

/* The archive is whole, as the guest says. */
void
vmm_run_session_end_files (VmmRunSession *session)
{
    const VmmRunOutput *output = current (session);
    g_autoptr (GError) error = NULL;

    if (output == NULL)
        return;
    if (session->files != NULL && !vmm_run_files_finish (session->files, &error))
        note (session, vmm_run_session_make_line ((const uint8_t *)error->message, strlen (error->message)));
    if (!session->files_begun && !session->files_lost)
        note (session, g_strdup_printf ("out \"%s\": the guest sent nothing", output->guest_path));
    g_clear_pointer (&session->files, vmm_run_files_free);
    session->files_begun = session->files_lost = false;
    session->n_outputs++;
}

/* A file that the guest could not read. */
void
vmm_run_session_take_file_failed (VmmRunSession *session, const uint8_t *body, size_t len)
{
    uint32_t error = vmm_run_get32 (body);
    g_autofree char *path = NULL;

    if (current (session) == NULL)
        return;
    path = vmm_run_session_make_line (body + 4, len - 4);
    note (session,
          g_strdup_printf ("out \"%s\": it did not come back from the guest: %s", path,
                           error <= LINUX_ERRNO_MAX ? g_strerror ((int)error) : "an error that is none"));
}

/* The guest will send no more. */
void
vmm_run_session_miss_files (VmmRunSession *session)
{
    const GPtrArray *outputs = session->job->outputs;

    g_clear_pointer (&session->files, vmm_run_files_free);
    if (session->n_outputs < outputs->len)
        note (session, g_strdup_printf ("out \"%s\": it did not come back from the guest",
                                        ((VmmRunOutput *)outputs->pdata[session->n_outputs])->guest_path));
}
