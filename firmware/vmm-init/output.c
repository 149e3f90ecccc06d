/* SPDX-License-Identifier: Apache-2.0 */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "archive.h"

void
output_put_failure (Wire *wire, int reason, const char *path)
{
    uint32_t number = (uint32_t)reason;
    size_t length = strlen (path);

    wire_put (wire, VMM_RUN_FILE_FAILED, VMM_RUN_FILES, &number, 1, path,
              length < PATH_MAX ? length : PATH_MAX);
}

bool
output_pass_failure (Output *output, Wire *wire)
{
    ArchiveFailure failure;
    ssize_t got = read (output->failures, &failure, sizeof (failure));

    if (got <= (ssize_t)sizeof (failure.reason))
        return false;
    failure.path[sizeof (failure.path) - 1] = '\0';
    output_put_failure (wire, failure.reason, failure.path);
    return true;
}

void
output_clear (Output *output)
{
    close (output->data);
    close (output->failures);
    *output = (Output){.data = -1, .failures = -1};
}

/* Puts cwd before a relative path, and takes slashes from the end. */
static int
make_path (char *ret_path, size_t size, const char *cwd, const char *path)
{
    bool absolute = path[0] == '/';
    int length = snprintf (ret_path, size, "%s%s%s", absolute ? "" : cwd, absolute ? "" : "/", path);

    if ((size_t)length >= size)
        return ENAMETOOLONG;
    while (length > 1 && ret_path[length - 1] == '/')
        ret_path[--length] = '\0';
    path = strrchr (ret_path, '/') + 1;
    /* The names in the archive begin with this one. */
    return path[0] == '\0' || strcmp (path, ".") == 0 || strcmp (path, "..") == 0 ? EINVAL : 0;
}

int
output_start (Output *output, const char *cwd, const char *path)
{
    char whole[PATH_MAX];
    int data[2] = {-1, -1}, failures[2] = {-1, -1};
    int reason = make_path (whole, sizeof (whole), cwd[0] == '/' ? cwd : "", path);

    *output = (Output){.data = -1, .failures = -1};
    if (reason != 0)
        return reason;
    if (pipe2 (data, O_CLOEXEC) < 0 || pipe2 (failures, O_CLOEXEC | O_DIRECT) < 0 ||
        (output->pid = fork ()) < 0) {
        reason = errno;
        close (data[0]);
        close (data[1]);
        close (failures[0]);
        close (failures[1]);
        return reason;
    }
    if (output->pid == 0) {
        signal (SIGPIPE, SIG_DFL);
        archive_write (whole, data[1], failures[1]);
        _exit (0);
    }
    close (data[1]);
    close (failures[1]);
    output->data = data[0];
    output->failures = failures[0];
    fcntl (output->data, F_SETFL, O_NONBLOCK);
    fcntl (output->failures, F_SETFL, fcntl (output->failures, F_GETFL) | O_NONBLOCK);
    return 0;
}
