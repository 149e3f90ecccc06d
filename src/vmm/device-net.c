/* SPDX-License-Identifier: Apache-2.0 */
/* net=tap|user|socket[,...]: a network card, and what its cable is plugged into. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "devices/net/socket.h"
#include "devices/net/tap.h"
#include "devices/net/user.h"
#include "devices/virtio/net.h"
#include "vmm/device-kind.h"
#include "vmm/device-net-forward.h"
#include "vmm/error.h"
#include "vmm/options.h"

typedef enum { BACKEND_TAP, BACKEND_USER, BACKEND_SOCKET } Backend;

typedef struct {
    Backend backend;
    bool has_mac;
    uint8_t mac[VMM_VIRTIO_NET_MAC_SIZE];
    uint64_t mtu; /* 0: what the backend knows */
    /* tap */
    char *ifname;
    GArray *fds; /* of int */
    VmmNetTapVhost vhost;
    uint64_t queues;
    /* user */
    GArray *forwards; /* of VmmNetForward */
    bool restricted;
    /* socket */
    VmmNetSocketRole role;
    char *path;
} Description;

static void
free_description (void *data)
{
    Description *description = data;

    g_free (description->ifname);
    g_free (description->path);
    g_array_unref (description->fds);
    g_array_unref (description->forwards);
    g_free (description);
}

static bool
parse_mac (VmmOptions *options, Description *description, GError **error)
{
    g_autofree char *text = vmm_options_take (options, "mac");
    g_auto (GStrv) bytes = NULL;
    bool ok;

    if (text == NULL)
        return true;
    bytes = g_strsplit (text, ":", -1);
    ok = g_strv_length (bytes) == VMM_VIRTIO_NET_MAC_SIZE;
    for (unsigned i = 0; ok && i < VMM_VIRTIO_NET_MAC_SIZE; i++) {
        guint64 byte = 0;

        ok = strlen (bytes[i]) == 2 && g_ascii_string_to_unsigned (bytes[i], 16, 0, 255, &byte, NULL);
        description->mac[i] = (uint8_t)byte;
    }
    if (!ok)
        return vmm_options_refuse (options, error, "mac=%s: give six bytes, such as 52:54:00:12:34:56", text);
    if ((description->mac[0] & 1) != 0)
        return vmm_options_refuse (options, error,
                                   "mac=%s: that is a group's address: the first byte must "
                                   "be even",
                                   text);
    description->has_mac = true;
    return true;
}

static bool
parse_fds (VmmOptions *options, Description *description, GError **error)
{
    g_autofree char *text = vmm_options_take (options, "fd");
    g_auto (GStrv) numbers = text != NULL ? g_strsplit (text, ":", -1) : NULL;

    for (unsigned i = 0; numbers != NULL && numbers[i] != NULL; i++) {
        guint64 number;
        int fd;

        if (!g_ascii_string_to_unsigned (numbers[i], 10, 0, G_MAXINT, &number, NULL) ||
            i == VMM_NET_PAIRS_MAX)
            return vmm_options_refuse (options, error,
                                       "fd=%s: give the number of an open tap, or up to %u with colons "
                                       "between them",
                                       text, VMM_NET_PAIRS_MAX);
        fd = (int)number;
        g_array_append_val (description->fds, fd);
    }
    if (text != NULL && *text == '\0')
        return vmm_options_refuse (options, error, "fd=: give the number of an open tap");
    return true;
}

static bool
parse_tap (VmmOptions *options, Description *description, GError **error)
{
    static const char *const vhosts[] = {"auto", "on", "off", NULL};
    unsigned vhost = VMM_NET_TAP_VHOST_AUTO;
    bool has_queues;

    description->ifname = vmm_options_take (options, "ifname");
    if (!vmm_options_take_choice (options, "vhost", vhosts, &vhost, error) ||
        !parse_fds (options, description, error) ||
        !vmm_options_take_unsigned (options, "queues", 1, VMM_NET_PAIRS_MAX, &description->queues, error) ||
        !vmm_options_finish (options, "ifname=, fd=, queues=, vhost=, mac= and mtu=", error))
        return false;
    description->vhost = (VmmNetTapVhost)vhost;
    has_queues = description->queues != 0;
    if (!has_queues)
        description->queues = 1;
    if ((description->ifname == NULL) == (description->fds->len == 0))
        return vmm_options_refuse (options, error,
                                   "give either ifname=, a tap interface, or fd=, an open one");
    if (description->ifname != NULL && *description->ifname == '\0')
        return vmm_options_refuse (options, error, "ifname=: give the name of a tap interface");
    if (description->fds->len > 0 && has_queues)
        return vmm_options_refuse (options, error,
                                   "queues= is for ifname=: with fd= there are as many as "
                                   "descriptors");
    return true;
}

static bool
parse_user (VmmOptions *options, Description *description, GError **error)
{
    g_autoptr (GPtrArray) forwards = vmm_options_take_each (options, "hostfwd");

    for (guint i = 0; i < forwards->len; i++) {
        VmmNetForward forward;

        if (!vmm_net_forward_parse (forwards->pdata[i], &forward))
            return vmm_options_refuse (
                options, error,
                "hostfwd=%s: say tcp or udp, the host's address and port, the guest's: "
                "hostfwd=tcp:127.0.0.1:2222-:22",
                (const char *)forwards->pdata[i]);
        g_array_append_val (description->forwards, forward);
    }
    return vmm_options_take_flag (options, "restrict", &description->restricted, error) &&
           vmm_options_finish (options, "hostfwd=, restrict, mac= and mtu=", error);
}

static bool
parse_socket (VmmOptions *options, Description *description, GError **error)
{
    static const char *const names[] = {"path", "listen", "connect"};
    unsigned n = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS (names); i++) {
        char *path = vmm_options_take (options, names[i]);

        if (path == NULL)
            continue;
        g_free (description->path);
        description->path = path;
        description->role = (VmmNetSocketRole)i;
        n++;
    }
    if (!vmm_options_finish (options, "path=, listen=, connect=, mac= and mtu=", error))
        return false;
    if (n != 1 || *description->path == '\0')
        return vmm_options_refuse (options, error,
                                   "give the path of a Unix socket: path=PATH for both machines, or "
                                   "listen=PATH for one and connect=PATH for the other");
    if (strlen (description->path) > VMM_NET_SOCKET_PATH_MAX)
        return vmm_options_refuse (options, error, "the path of a Unix socket has at most %u bytes",
                                   VMM_NET_SOCKET_PATH_MAX);
    return true;
}

static bool
parse_words (VmmOptions *options, Description *description, GError **error)
{
    static const struct {
        const char *name;
        bool (*parse) (VmmOptions *options, Description *description, GError **error);
    } backends[] = {
        [BACKEND_TAP] = {"tap", parse_tap},
        [BACKEND_USER] = {"user", parse_user},
        [BACKEND_SOCKET] = {"socket", parse_socket},
    };
    g_autofree char *name = vmm_options_take_first (options);

    for (size_t i = 0; name != NULL && i < G_N_ELEMENTS (backends); i++) {
        if (strcmp (name, backends[i].name) != 0)
            continue;
        description->backend = (Backend)i;
        return parse_mac (options, description, error) &&
               vmm_options_take_unsigned (options, "mtu", VMM_NET_MTU_MIN, VMM_NET_MTU_MAX, &description->mtu,
                                          error) &&
               backends[i].parse (options, description, error);
    }
    return vmm_options_refuse (options, error, "begin with what it is connected to: tap, user or socket");
}

static void *
parse (const char *value, GError **error)
{
    g_auto (VmmOptions) options = {0};
    Description *description = g_new0 (Description, 1);

    description->fds = g_array_new (FALSE, FALSE, sizeof (int));
    description->forwards = g_array_new (FALSE, FALSE, sizeof (VmmNetForward));
    vmm_options_init (&options, "net", value);
    if (parse_words (&options, description, error))
        return description;
    free_description (description);
    return NULL;
}

static void *
open_backend (const void *data, const VmmDeviceHost *host, GError **error)
{
    const Description *description = data;
    VmmNetTapConfig tap = {
        .vhost = description->vhost,
        .ifname = description->ifname,
        .fds = (const int *)(const void *)description->fds->data,
        .n_fds = description->fds->len,
        .n_queues = (unsigned)description->queues,
    };
    VmmNetUserConfig user = {
        .forwards = (const VmmNetForward *)(const void *)description->forwards->data,
        .n_forwards = description->forwards->len,
        .restricted = description->restricted,
        .mtu = (unsigned)description->mtu,
    };

    switch (description->backend) {
    case BACKEND_TAP:
        return vmm_net_tap_open (&tap, error);
    case BACKEND_USER:
        return vmm_net_user_open (&user, error);
    default:
        return vmm_net_socket_open (description->role, description->path, error);
    }
}

static void
close_backend (void *backend)
{
    vmm_net_free (backend);
}

/*
 * An address that is the same each time: of the card's name and of what it is plugged into. Cards of two
 * machines that may meet have names alike, but never the same interface, or end of a cable. Two hosts may
 * have interfaces of one name: their own identity makes the difference.
 */
static void
make_mac (const VmmNet *net, const char *name, uint8_t *ret_mac)
{
    g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
    uint8_t digest[32];
    gsize len = sizeof digest;
    char host[64];
    int fd = open ("/etc/machine-id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read (fd, host, sizeof host) : 0;

    if (fd >= 0)
        close (fd);
    g_checksum_update (sum, (const guchar *)"vmm net", -1);
    g_checksum_update (sum, (const guchar *)name, (gssize)strlen (name) + 1);
    g_checksum_update (sum, (const guchar *)net->identity, (gssize)strlen (net->identity) + 1);
    g_checksum_update (sum, (const guchar *)host, MAX (n, 0));
    g_checksum_get_digest (sum, digest, &len);
    memcpy (ret_mac, digest, VMM_VIRTIO_NET_MAC_SIZE);
    /* Locally administered, of a single card. */
    ret_mac[0] = (uint8_t)((ret_mac[0] & 0xfc) | 2);
}

static unsigned
mtu_for (const Description *description, const VmmNet *net)
{
    if (description->mtu != 0)
        return (unsigned)description->mtu;
    return net->mtu != VMM_NET_MTU_DEFAULT ? net->mtu : 0;
}

static VmmVirtioDevice *
make (const void *data, void *backend, const VmmVirtioEnv *env, GError **error)
{
    const Description *description = data;
    const VmmNet *net = backend;
    VmmVirtioNetConfig config = {.mtu = mtu_for (description, net)};
    VmmVirtioDevice *device;

    if (description->has_mac)
        memcpy (config.mac, description->mac, sizeof config.mac);
    else
        make_mac (net, env->name, config.mac);
    device = vmm_virtio_net_new (env, backend, &config);
    if (device == NULL)
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST,
                     "%s: there are no file descriptors left: raise the limit (ulimit -n)", env->name);
    return device;
}

static const char *
network (const void *data)
{
    const Description *description = data;

    return description->backend == BACKEND_USER ? VMM_NET_USER_GUEST : NULL;
}

/**
 * vmm_device_kind_net:
 *
 * Network cards.
 */
const VmmDeviceKind vmm_device_kind_net = {
    .key = "net",
    .driver = "virtio_net",
    .network = network,
    .repeats = true,
    .own_loop = true,
    .parse = parse,
    .free_description = free_description,
    .open = open_backend,
    .close = close_backend,
    .make = make,
};
