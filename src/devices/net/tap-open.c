/* SPDX-License-Identifier: Apache-2.0 */
/* Opening taps, and saying what to do when that does not work. */
#include "devices/net/tap-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/error.h"

static bool fail (GError **error, VmmError code, const char *name, const char *format, ...)
    G_GNUC_PRINTF (4, 5);

static bool
fail (GError **error, VmmError code, const char *name, const char *format, ...)
{
    g_autofree char *why = NULL;
    va_list args;

    va_start (args, format);
    why = g_strdup_vprintf (format, args);
    va_end (args);
    g_set_error (error, VMM_ERROR, code, "tap \"%s\": %s", name, why);
    return false;
}

static bool
tell_open (const char *name, int wrong, GError **error)
{
    if (wrong == ENOENT || wrong == ENODEV || wrong == ENXIO)
        return fail (error, VMM_ERROR_HOST, name,
                     "the host has no /dev/net/tun: load its module (modprobe tun)");
    if (wrong == EACCES || wrong == EPERM)
        return fail (error, VMM_ERROR_HOST, name,
                     "/dev/net/tun: %s: as root, make it accessible (chmod 0666 /dev/net/tun)",
                     g_strerror (wrong));
    return fail (error, VMM_ERROR_HOST, name, "/dev/net/tun: %s", g_strerror (wrong));
}

static bool
tell_set (const char *name, unsigned n_queues, int wrong, GError **error)
{
    const char *multi = n_queues > 1 ? " multi_queue" : "";

    switch (wrong) {
    case EPERM:
        return fail (error, VMM_ERROR_HOST, name,
                     "it is not yours: as root, make it so: ip link del %s; ip tuntap add %s mode tap user "
                     "$USER%s",
                     name, name, multi);
    case EBUSY:
        return fail (error, VMM_ERROR_USAGE, name, "another program uses it: end that, or name another one");
    case EINVAL:
        return fail (error, VMM_ERROR_USAGE, name,
                     n_queues > 1 ? "it is no tap, or has one queue only: ip tuntap add NAME mode tap "
                                    "multi_queue makes one with several"
                                  : "it is an interface, but no tap: ip tuntap add NAME mode tap makes one");
    case E2BIG:
        return fail (error, VMM_ERROR_USAGE, name, "it has no room for %u more queues", n_queues);
    default:
        return fail (error, VMM_ERROR_HOST, name, "%s", g_strerror (wrong));
    }
}

/* One queue of an interface that is there. */
static int
set_interface (int fd, const char *name, short flags)
{
    struct ifreq request = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | flags)};

    g_strlcpy (request.ifr_name, name, sizeof request.ifr_name);
    return ioctl (fd, TUNSETIFF, &request) == 0 ? 0 : errno;
}

static bool
open_queue (VmmNetTap *tap, VmmNetTapQueue *queue, unsigned n_queues, GError **error)
{
    int wrong;

    queue->fd = open ("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (queue->fd < 0)
        return tell_open (tap->name, errno, error);
    wrong = set_interface (queue->fd, tap->name, n_queues > 1 ? IFF_MULTI_QUEUE : 0);
    /* One that can have several queues says so when it is opened for a single one, too. */
    if (wrong == EINVAL && n_queues == 1)
        wrong = set_interface (queue->fd, tap->name, IFF_MULTI_QUEUE);
    return wrong == 0 || tell_set (tap->name, n_queues, wrong, error);
}

static unsigned
mtu_of (const char *name)
{
    struct ifreq request = {0};
    int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ok;

    if (fd < 0)
        return 0;
    g_strlcpy (request.ifr_name, name, sizeof request.ifr_name);
    ok = ioctl (fd, SIOCGIFMTU, &request) == 0;
    close (fd);
    return ok && request.ifr_mtu >= (int)VMM_NET_MTU_MIN && request.ifr_mtu <= (int)VMM_NET_MTU_MAX
               ? (unsigned)request.ifr_mtu
               : 0;
}

static bool
open_named (VmmNetTap *tap, const VmmNetTapConfig *config, GError **error)
{
    tap->name = g_strdup (config->ifname);
    if (strlen (tap->name) >= IFNAMSIZ)
        return fail (error, VMM_ERROR_USAGE, tap->name, "the name of an interface has at most %d bytes",
                     IFNAMSIZ - 1);
    /* TUNSETIFF would make one for whoever may, which nothing is connected to. */
    if (if_nametoindex (tap->name) == 0)
        return fail (
            error, VMM_ERROR_USAGE, tap->name,
            "there is no such interface: as root, make it: ip tuntap add %s mode tap user $USER%s && "
            "ip link set %s up",
            tap->name, config->n_queues > 1 ? " multi_queue" : "", tap->name);
    for (; tap->net.n_pairs < config->n_queues; tap->net.n_pairs++) {
        tap->queues[tap->net.n_pairs].in_use = true;
        if (!open_queue (tap, &tap->queues[tap->net.n_pairs], config->n_queues, error))
            return false;
    }
    tap->has_header = true;
    tap->net.mtu = mtu_of (tap->name);
    return true;
}

static bool
take_fd (VmmNetTap *tap, VmmNetTapQueue *queue, int fd, GError **error)
{
    g_autofree char *what = g_strdup_printf ("fd %d", fd);
    struct ifreq request = {0};
    int flags = fcntl (fd, F_GETFL);

    if (flags < 0)
        return fail (error, VMM_ERROR_USAGE, what, "there is no such open descriptor");
    if (ioctl (fd, TUNGETIFF, &request) != 0 || (request.ifr_flags & IFF_TAP) == 0)
        return fail (error, VMM_ERROR_USAGE, what, "it is no tap interface");
    if ((request.ifr_flags & IFF_NO_PI) == 0)
        return fail (error, VMM_ERROR_USAGE, what, "open the tap with IFF_NO_PI");
    if (tap->name != NULL && strcmp (tap->name, request.ifr_name) != 0)
        return fail (error, VMM_ERROR_USAGE, what, "it is of \"%s\", and another one of \"%s\"",
                     request.ifr_name, tap->name);
    queue->fd = fcntl (fd, F_DUPFD_CLOEXEC, 3);
    if (queue->fd < 0 || fcntl (queue->fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return fail (error, VMM_ERROR_HOST, what, "%s", g_strerror (errno));
    tap->has_header = (request.ifr_flags & IFF_VNET_HDR) != 0;
    if (tap->name == NULL)
        tap->name = g_strndup (request.ifr_name, IFNAMSIZ);
    return true;
}

/**
 * vmm_net_tap_open_queues:
 * @tap: gets the queues, the name, the MTU where it can be told, and whether frames have headers
 *
 * Returns: false with an error that says what to do
 */
bool
vmm_net_tap_open_queues (VmmNetTap *tap, const VmmNetTapConfig *config, GError **error)
{
    const int size = sizeof (VmmNetHeader);

    if (config->ifname != NULL && !open_named (tap, config, error))
        return false;
    for (unsigned i = 0; config->ifname == NULL && i < config->n_fds; i++, tap->net.n_pairs++) {
        tap->queues[i].in_use = true;
        if (!take_fd (tap, &tap->queues[i], config->fds[i], error))
            return false;
    }
    for (unsigned i = 0; tap->has_header && i < tap->net.n_pairs; i++) {
        if (ioctl (tap->queues[i].fd, TUNSETVNETHDRSZ, &size) != 0)
            return fail (error, VMM_ERROR_HOST, tap->name, "TUNSETVNETHDRSZ: %s", g_strerror (errno));
    }
    return true;
}
