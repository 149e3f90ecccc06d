/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Where the bytes of a character device come from and go to on the host. A file and the program's own
 * descriptors are there all the time. At a socket and a pseudo-terminal hosts come and go: while nobody is
 * there output goes nowhere, as on a cable that is not plugged in, and the device is told.
 *
 * A socket takes one program at a time; the next one waits in the listening queue until that has gone.
 *
 * Of a pseudo-terminal vmm has the master alone. When no program has the other end open, the master tells so
 * again and again, and does not tell when that changes; so its end is watched by inotify instead, and
 * nothing runs meanwhile.
 */
#include "devices/chardev/endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/core/timer.h"
#include "vmm/core/unix-listener.h"
#include "vmm/error.h"

struct _VmmEndpoint {
    GMainContext *context;
    VmmChardev *chardev;
    int fd; /* the file, the connection or the master; -1: none */
    VmmUnixListener listener;
    char *terminal;
    int inotify_fd;
    GSource *arrivals; /* of the listener or of inotify */
    GSource *retry;    /* the host had no descriptor left */
};

static bool
refuse (GError **error, VmmError code, const char *what, const char *name, int number)
{
    g_set_error (error, VMM_ERROR, code, "%s \"%s\": %s", what, name,
                 number == ENXIO ? "nobody reads this pipe: start its reader first" : g_strerror (number));
    return false;
}

static void
watch_arrivals (VmmEndpoint *endpoint, int fd, GUnixFDSourceFunc callback)
{
    endpoint->arrivals = g_unix_fd_source_new (fd, G_IO_IN);
    g_source_set_callback (endpoint->arrivals, G_SOURCE_FUNC (callback), endpoint, NULL);
    g_source_attach (endpoint->arrivals, endpoint->context);
}

static void
stop_arrivals (VmmEndpoint *endpoint)
{
    if (endpoint->arrivals == NULL)
        return;
    g_source_destroy (endpoint->arrivals);
    g_clear_pointer (&endpoint->arrivals, g_source_unref);
}

static bool
open_file (VmmEndpoint *endpoint, const char *what, const VmmEndpointConfig *config, GError **error)
{
    const int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

    endpoint->fd = open (config->path, flags | (config->append ? 0 : O_TRUNC), 0666);
    if (endpoint->fd < 0)
        return refuse (error, VMM_ERROR_USAGE, what, config->path, errno);
    vmm_chardev_connect (endpoint->chardev, -1, endpoint->fd);
    return true;
}

/* A host that takes all and says nothing: a guest's program does not wait for one to come. */
static bool
open_null (VmmEndpoint *endpoint, const char *what, GError **error)
{
    endpoint->fd = open ("/dev/null", O_WRONLY | O_CLOEXEC);
    if (endpoint->fd < 0)
        return refuse (error, VMM_ERROR_HOST, what, "/dev/null", errno);
    vmm_chardev_connect (endpoint->chardev, -1, endpoint->fd);
    return true;
}

static gboolean
on_connection (gint fd, GIOCondition condition, gpointer user)
{
    VmmEndpoint *endpoint = user;

    gboolean exhausted;

    endpoint->fd = vmm_unix_listener_accept (&endpoint->listener, &exhausted);
    /* It has gone again: the next one may have more luck. */
    if (endpoint->fd < 0 && !exhausted)
        return G_SOURCE_CONTINUE;
    stop_arrivals (endpoint);
    if (exhausted) {
        vmm_timer_arm (endpoint->retry, VMM_UNIX_LISTENER_RETRY_MS * 1000);
        return G_SOURCE_REMOVE;
    }
    vmm_chardev_connect (endpoint->chardev, endpoint->fd, endpoint->fd);
    return G_SOURCE_REMOVE;
}

static gboolean
on_retry (gpointer user)
{
    VmmEndpoint *endpoint = user;

    watch_arrivals (endpoint, endpoint->listener.fd, on_connection);
    return G_SOURCE_CONTINUE;
}

static void
on_disconnected (void *user)
{
    VmmEndpoint *endpoint = user;

    if (endpoint->fd < 0)
        return;
    vmm_chardev_connect (endpoint->chardev, -1, -1);
    close (endpoint->fd);
    endpoint->fd = -1;
    watch_arrivals (endpoint, endpoint->listener.fd, on_connection);
}

static bool
open_socket (VmmEndpoint *endpoint, const char *what, const VmmEndpointConfig *config, GError **error)
{
    if (!vmm_unix_listener_open (&endpoint->listener, what, config->path, error))
        return false;
    vmm_chardev_set_hangup (endpoint->chardev, on_disconnected, endpoint);
    endpoint->retry = vmm_timer_new (endpoint->context, on_retry, endpoint);
    watch_arrivals (endpoint, endpoint->listener.fd, on_connection);
    return true;
}

static gboolean
on_opened (gint fd, GIOCondition condition, gpointer user)
{
    VmmEndpoint *endpoint = user;
    char events[4096];

    if (read (fd, events, sizeof events) > 0 && !vmm_chardev_is_connected (endpoint->chardev))
        vmm_chardev_connect (endpoint->chardev, endpoint->fd, endpoint->fd);
    return G_SOURCE_CONTINUE;
}

static void
on_closed (void *user)
{
    VmmEndpoint *endpoint = user;

    vmm_chardev_connect (endpoint->chardev, -1, -1);
}

/* Bytes pass as they are: echo and line editing are the guest's. */
static void
make_raw (int fd)
{
    struct termios settings;

    if (tcgetattr (fd, &settings) != 0)
        return;
    cfmakeraw (&settings);
    tcsetattr (fd, TCSANOW, &settings);
}

static bool
open_pty (VmmEndpoint *endpoint, const char *what, GError **error)
{
    char path[64];

    endpoint->fd = posix_openpt (O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (endpoint->fd < 0 || grantpt (endpoint->fd) != 0 || unlockpt (endpoint->fd) != 0 ||
        ptsname_r (endpoint->fd, path, sizeof path) != 0)
        return refuse (error, VMM_ERROR_HOST, what, "pty", errno);
    make_raw (endpoint->fd);
    endpoint->terminal = g_strdup (path);
    endpoint->inotify_fd = inotify_init1 (IN_NONBLOCK | IN_CLOEXEC);
    if (endpoint->inotify_fd < 0 || inotify_add_watch (endpoint->inotify_fd, path, IN_OPEN) < 0)
        return refuse (error, VMM_ERROR_HOST, what, path, errno);
    vmm_chardev_set_hangup (endpoint->chardev, on_closed, endpoint);
    watch_arrivals (endpoint, endpoint->inotify_fd, on_opened);
    return true;
}

/**
 * vmm_endpoint_open:
 * @context: the loop that serves it; a reference is taken
 * @what: the user's word for it, for messages: "console"
 * @config: what it is
 *
 * On the loop's thread.
 *
 * Returns: (transfer full) (nullable): ready for a device; NULL with %VMM_ERROR_USAGE or %VMM_ERROR_HOST
 */
VmmEndpoint *
vmm_endpoint_open (GMainContext *context, const char *what, const VmmEndpointConfig *config, GError **error)
{
    g_autoptr (VmmEndpoint) endpoint = g_new0 (VmmEndpoint, 1);
    bool ok = true;

    endpoint->fd = -1;
    endpoint->inotify_fd = -1;
    endpoint->listener.fd = -1;
    endpoint->context = g_main_context_ref (context);
    endpoint->chardev = vmm_chardev_new (context, -1, -1);
    switch (config->kind) {
    case VMM_ENDPOINT_NULL:
        ok = open_null (endpoint, what, error);
        break;
    case VMM_ENDPOINT_FDS:
        vmm_chardev_connect (endpoint->chardev, config->in_fd, config->out_fd);
        break;
    case VMM_ENDPOINT_FILE:
        ok = open_file (endpoint, what, config, error);
        break;
    case VMM_ENDPOINT_SOCKET:
        ok = open_socket (endpoint, what, config, error);
        break;
    case VMM_ENDPOINT_PTY:
        ok = open_pty (endpoint, what, error);
        break;
    }
    return ok ? g_steal_pointer (&endpoint) : NULL;
}

/**
 * vmm_endpoint_free:
 * @endpoint: (nullable): on the loop's thread; no device uses it any more
 */
void
vmm_endpoint_free (VmmEndpoint *endpoint)
{
    if (endpoint == NULL)
        return;
    stop_arrivals (endpoint);
    vmm_timer_clear (&endpoint->retry);
    vmm_chardev_free (endpoint->chardev);
    if (endpoint->fd >= 0)
        close (endpoint->fd);
    if (endpoint->inotify_fd >= 0)
        close (endpoint->inotify_fd);
    vmm_unix_listener_close (&endpoint->listener);
    g_main_context_unref (endpoint->context);
    g_free (endpoint->terminal);
    g_free (endpoint);
}

/**
 * vmm_endpoint_chardev:
 *
 * Returns: (transfer none): what a device is joined with
 */
VmmChardev *
vmm_endpoint_chardev (VmmEndpoint *endpoint)
{
    return endpoint->chardev;
}

/**
 * vmm_endpoint_terminal:
 *
 * Returns: (transfer none) (nullable): the path of the pseudo-terminal that programs open; NULL for others
 */
const char *
vmm_endpoint_terminal (const VmmEndpoint *endpoint)
{
    return endpoint->terminal;
}
