/* SPDX-License-Identifier: Apache-2.0 */
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "mounts.h"
#include "say.h"

#define RESOLV_CONF "/etc/resolv.conf"
#define OUR_RESOLV_CONF "/run/vmm-resolv.conf"
#define IFACE_PATIENCE_MS 5000

static bool
set_address (struct sockaddr *address, const char *text)
{
    struct sockaddr_in in = {.sin_family = AF_INET};

    if (inet_pton (AF_INET, text, &in.sin_addr) != 1)
        return false;
    memcpy (address, &in, sizeof (in));
    return true;
}

static bool
bring_up (int fd, struct ifreq *request)
{
    if (ioctl (fd, SIOCGIFFLAGS, request) < 0)
        return false;
    request->ifr_flags |= IFF_UP;
    return ioctl (fd, SIOCSIFFLAGS, request) == 0;
}

/* A driver's interface appears a moment after its module. */
static void
wait_for_iface (int fd, struct ifreq *request)
{
    static const struct timespec moment = {.tv_nsec = 10000000};

    for (int left = IFACE_PATIENCE_MS; left > 0 && ioctl (fd, SIOCGIFFLAGS, request) < 0 && errno == ENODEV;
         left -= 10)
        nanosleep (&moment, NULL);
}

/* Splits ADDRESS/PREFIX; no prefix is a prefix of 24. */
static bool
parse_address (const char *text, struct sockaddr *ret_address, struct sockaddr *ret_mask)
{
    struct sockaddr_in mask = {.sin_family = AF_INET};
    const char *slash = strchr (text, '/');
    unsigned long prefix = slash != NULL ? strtoul (slash + 1, NULL, 10) : 24;
    char address[INET_ADDRSTRLEN];
    size_t length = strcspn (text, "/");

    if (length >= sizeof (address) || prefix > 32)
        return false;
    memcpy (address, text, length);
    address[length] = '\0';
    mask.sin_addr.s_addr = htonl (prefix == 0 ? 0 : UINT32_MAX << (32 - prefix));
    memcpy (ret_mask, &mask, sizeof (mask));
    return set_address (ret_address, address);
}

static const char *
set_up (int fd, const Boot *boot)
{
    struct ifreq request = {0};
    struct sockaddr address, mask;
    struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};

    if (boot->address == NULL || !parse_address (boot->address, &address, &mask))
        return "not ADDRESS/PREFIX";
    snprintf (request.ifr_name, sizeof (request.ifr_name), "%s", boot->iface);
    wait_for_iface (fd, &request);
    request.ifr_addr = address;
    if (ioctl (fd, SIOCSIFADDR, &request) < 0)
        return strerror (errno);
    request.ifr_netmask = mask;
    if (ioctl (fd, SIOCSIFNETMASK, &request) < 0 || !bring_up (fd, &request))
        return strerror (errno);
    if (boot->gateway == NULL)
        return NULL;
    route.rt_dst.sa_family = route.rt_genmask.sa_family = AF_INET;
    if (!set_address (&route.rt_gateway, boot->gateway))
        return "the gateway is no address";
    return ioctl (fd, SIOCADDRT, &route) < 0 ? strerror (errno) : NULL;
}

static bool
write_name_server (const char *path, const char *dns)
{
    int fd = open (path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool good = fd >= 0 && dprintf (fd, "nameserver %s\n", dns) > 0;

    if (fd >= 0)
        close (fd);
    return good;
}

/* Many systems have a link there to a file that a service would write. */
static void
make_target (void)
{
    char target[PATH_MAX];
    ssize_t length = readlink (RESOLV_CONF, target, sizeof (target) - 1);

    if (length <= 0)
        return;
    target[length] = '\0';
    if (target[0] != '/' && chdir ("/etc") < 0)
        return;
    mounts_make_parents (target);
    if (chdir ("/") < 0)
        say ("/: %s", strerror (errno));
}

static void
set_name_server (const char *dns)
{
    /* A file on the user's disk stays as it is, another lies over it. */
    if (access (RESOLV_CONF, F_OK) == 0 && write_name_server (OUR_RESOLV_CONF, dns) &&
        mount (OUR_RESOLV_CONF, RESOLV_CONF, NULL, MS_BIND, NULL) == 0)
        return;
    mkdir ("/etc", 0755);
    make_target ();
    if (!write_name_server (RESOLV_CONF, dns))
        say ("%s: %s", RESOLV_CONF, strerror (errno));
}

void
net_up (const Boot *boot)
{
    int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq lo = {.ifr_name = "lo"};
    const char *wrong;

    if (fd < 0) {
        say ("no network: %s", strerror (errno));
        return;
    }
    if (!bring_up (fd, &lo))
        say ("lo: %s", strerror (errno));
    wrong = boot->iface != NULL ? set_up (fd, boot) : NULL;
    if (wrong != NULL)
        say ("net %s: %s", boot->iface, wrong);
    close (fd);
    if (boot->dns != NULL)
        set_name_server (boot->dns);
}
