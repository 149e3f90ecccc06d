/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/core/unix-listener.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/error.h"

#define BACKLOG 128
#define PROBES 3u
#define PROBE_US 2000

static gboolean
refuse (GError **error, VmmError code, const char *what, const char *path, const char *why)
{
    g_set_error (error, VMM_ERROR, code, "%s \"%s\": %s", what, path, why);
    return FALSE;
}

static int
make_socket (void)
{
    return socket (AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* Whether a program listens at @address: 0, or why not. */
static int
probe (const struct sockaddr_un *address)
{
    int wrong = ECONNREFUSED;

    /* One that has just been bound listens a moment later. */
    for (unsigned i = 0; i < PROBES && wrong == ECONNREFUSED; i++) {
        int fd = make_socket ();

        if (i > 0)
            g_usleep (PROBE_US);
        if (fd < 0)
            return errno;
        wrong = connect (fd, (const struct sockaddr *)address, sizeof *address) == 0 ? 0 : errno;
        close (fd);
    }
    return wrong;
}

/*
 * What is in the way at @address; NULL when it was a socket that nobody listens to, which is removed: its
 * program was killed.
 */
static const char *
clear_the_way (const struct sockaddr_un *address)
{
    struct stat st;
    int wrong;

    if (lstat (address->sun_path, &st) != 0)
        return errno == ENOENT ? NULL : g_strerror (errno);
    if (!S_ISSOCK (st.st_mode))
        return "there is a file of that name, which is no socket: name another one";
    wrong = probe (address);
    if (wrong == 0 || wrong == EAGAIN)
        return "a program listens there already: end it, or name another path";
    if (wrong != ECONNREFUSED && wrong != ENOENT)
        return g_strerror (wrong);
    return unlink (address->sun_path) == 0 || errno == ENOENT ? NULL : g_strerror (errno);
}

static gboolean
bind_to (int fd, const char *what, const struct sockaddr_un *address, GError **error)
{
    const char *path = address->sun_path;
    const char *why;

    /* The socket's own mode becomes that of its file: nobody else can connect, from the first moment on. */
    if (fchmod (fd, 0600) != 0)
        return refuse (error, VMM_ERROR_HOST, what, path, g_strerror (errno));
    if (bind (fd, (const struct sockaddr *)address, sizeof *address) == 0)
        return TRUE;
    if (errno != EADDRINUSE)
        return refuse (error, VMM_ERROR_USAGE, what, path, g_strerror (errno));
    why = clear_the_way (address);
    if (why == NULL && bind (fd, (const struct sockaddr *)address, sizeof *address) != 0)
        why = g_strerror (errno);
    return why == NULL || refuse (error, VMM_ERROR_USAGE, what, path, why);
}

/**
 * vmm_unix_listener_open:
 * @listener: (out): a listener; on failure, an ended one
 * @what: the option that names @path, for messages: "control"
 * @path: where it is to be; a socket that nobody listens to any more is replaced
 *
 * Returns: %FALSE with %VMM_ERROR_USAGE or %VMM_ERROR_HOST
 */
gboolean
vmm_unix_listener_open (VmmUnixListener *listener, const char *what, const char *path, GError **error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat st;

    *listener = (VmmUnixListener){.fd = -1};
    if (*path == '\0')
        return refuse (error, VMM_ERROR_USAGE, what, path, "give the path of a socket");
    if (g_strlcpy (address.sun_path, path, sizeof address.sun_path) >= sizeof address.sun_path)
        return refuse (error, VMM_ERROR_USAGE, what, path,
                       "the path of a Unix socket has at most 107 bytes: use a shorter one");
    listener->fd = make_socket ();
    if (listener->fd < 0)
        return refuse (error, VMM_ERROR_HOST, what, path, g_strerror (errno));
    if (!bind_to (listener->fd, what, &address, error)) {
        vmm_unix_listener_close (listener);
        return FALSE;
    }
    listener->path = g_strdup (path);
    if (lstat (path, &st) == 0) {
        listener->device = st.st_dev;
        listener->inode = st.st_ino;
    }
    if (listen (listener->fd, BACKLOG) == 0)
        return TRUE;
    refuse (error, VMM_ERROR_HOST, what, path, g_strerror (errno));
    vmm_unix_listener_close (listener);
    return FALSE;
}

/**
 * vmm_unix_listener_accept:
 * @listener: an open one that has something to be read
 * @ret_exhausted: (out): the host has no descriptor left: who waits on would be woken at once, again and
 * again, and is to look away for %VMM_UNIX_LISTENER_RETRY_MS instead
 *
 * Returns: a connection that does not block; -1: none
 */
int
vmm_unix_listener_accept (const VmmUnixListener *listener, gboolean *ret_exhausted)
{
    int fd = accept4 (listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    *ret_exhausted = fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS);
    return fd;
}

/**
 * vmm_unix_listener_close:
 * @listener: open or ended
 *
 * Ends it, and removes its file if that is still its own.
 */
void
vmm_unix_listener_close (VmmUnixListener *listener)
{
    struct stat st;

    if (listener->path != NULL && lstat (listener->path, &st) == 0 && st.st_dev == listener->device &&
        st.st_ino == listener->inode)
        unlink (listener->path);
    g_clear_pointer (&listener->path, g_free);
    if (listener->fd >= 0)
        close (listener->fd);
    listener->fd = -1;
}
