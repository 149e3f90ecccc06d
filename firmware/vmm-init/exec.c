/* SPDX-License-Identifier: Apache-2.0 */
#include "exec.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* A file that is no program is a script for the shell, as for execvp(). */
static int
try_file (const Spec *spec, const char *path)
{
    char **args;

    execve (path, spec->args.items, spec->env.items);
    if (errno != ENOEXEC)
        return errno;
    args = calloc (spec->args.count + 2, sizeof (char *));
    if (args == NULL)
        return ENOMEM;
    args[0] = (char *)"sh";
    args[1] = (char *)path;
    for (size_t i = 1; i < spec->args.count; i++)
        args[i + 1] = spec->args.items[i];
    execve ("/bin/sh", args, spec->env.items);
    free (args);
    return ENOEXEC;
}

/* Searches as execvp() does. That one looks at its own PATH, not at the command's. */
static int
try_path (const Spec *spec)
{
    const char *name = spec->args.items[0], *folder = spec_env (spec, "PATH");
    char path[PATH_MAX];
    int worst = ENOENT;

    if (name[0] == '\0')
        return ENOENT;
    if (strchr (name, '/') != NULL)
        return try_file (spec, name);
    while (folder != NULL) {
        size_t length = strcspn (folder, ":");
        int written =
            snprintf (path, sizeof (path), "%.*s%s%s", (int)length, folder, length > 0 ? "/" : "", name);
        int reason = (size_t)written < sizeof (path) ? try_file (spec, path) : ENAMETOOLONG;

        if (reason != ENOENT && reason != ENOTDIR && reason != EACCES)
            return reason;
        if (reason == EACCES) /* there, but not for us: worth telling if there is no other */
            worst = EACCES;
        folder = folder[length] == ':' ? folder + length + 1 : NULL;
    }
    return worst;
}

static bool
become (const User *user)
{
    /* /dev/stdout and its like can be opened only by who owns what is behind. */
    for (int i = 0; i < 3 && user->uid != 0; i++) {
        if (fchown (i, user->uid, (gid_t)-1) < 0)
            return false;
    }
    /* The host's default user needs no change, which a container may forbid. */
    if (user->uid == 0 && user->gid == 0 && user->count == 0)
        return true;
    return setgroups (user->count, user->groups) == 0 && setgid (user->gid) == 0 && setuid (user->uid) == 0;
}

ExecFailure
exec_command (const Spec *spec, const User *user, const int fds[3])
{
    sigset_t none;
    bool set = setsid () >= 0;

    sigemptyset (&none);
    sigprocmask (SIG_SETMASK, &none, NULL);
    signal (SIGPIPE, SIG_DFL);
    for (int i = 0; set && i < 3; i++)
        set = dup2 (fds[i], i) == i;
    if (!set || (spec->pty && ioctl (0, TIOCSCTTY, 0) < 0))
        return (ExecFailure){EXEC_TERMINAL, errno};
    if (!become (user))
        return (ExecFailure){EXEC_USER, errno};
    if (chdir (spec->cwd != NULL ? spec->cwd : "/") < 0)
        return (ExecFailure){EXEC_CWD, errno};
    return (ExecFailure){EXEC_COMMAND, try_path (spec)};
}
