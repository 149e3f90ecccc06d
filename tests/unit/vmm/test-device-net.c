/* SPDX-License-Identifier: Apache-2.0 */
/* The key net: what it takes, what it says to mistakes, and the address that a card has. */
#include "vmm/device-kind.h"
#include "vmm/error.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "devices/net/net.h"

static void
check_taken (const char *value)
{
    g_autoptr (VmmConfig) config = vmm_config_new ();
    g_autoptr (GError) error = NULL;

    cr_assert (vmm_config_set (config, "net", value, &error), "%s", error->message);
}

/* It says why in one line, which has the user's own words. */
static void
check_refused (const char *value, const char *why)
{
    g_autoptr (VmmConfig) config = vmm_config_new ();
    g_autoptr (GError) error = NULL;

    cr_assert_not (vmm_config_set (config, "net", value, &error), "%s is taken", value);
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE));
    cr_assert_not_null (strstr (error->message, why), "%s: %s", value, error->message);
    cr_assert_not_null (strstr (error->message, value), "%s: %s", value, error->message);
    cr_assert_null (strchr (error->message, '\n'));
}

Test (device_net, begins_with_a_backend)
{
    check_taken ("user");
    check_refused ("", "tap, user or socket");
    check_refused ("bridge", "tap, user or socket");
    check_refused ("TAP,ifname=tap0", "tap, user or socket");
    check_refused ("ifname=tap0", "tap, user or socket");
}

Test (device_net, taps)
{
    check_taken ("tap,ifname=tap0");
    check_taken ("tap,ifname=tap0,queues=8,mac=52:54:00:12:34:56,mtu=9000");
    check_taken ("tap,fd=3");
    check_taken ("tap,fd=3:4:5:6:7:8:9:10");
    check_taken ("tap,ifname=tap0,vhost=off");
    check_refused ("tap", "ifname=");
    check_refused ("tap,ifname=tap0,fd=3", "either ifname=");
    check_refused ("tap,ifname=", "ifname=");
    check_refused ("tap,fd=", "fd=");
    check_refused ("tap,fd=three", "fd=three");
    check_refused ("tap,fd=-1", "fd=-1");
    check_refused ("tap,fd=3:", "fd=3:");
    check_refused ("tap,fd=3::4", "fd=3::4");
    check_refused ("tap,fd=2147483648", "fd=2147483648");
    check_refused ("tap,fd=3:4:5:6:7:8:9:10:11", "up to 8");
    check_refused ("tap,ifname=tap0,queues=0", "queues=0");
    check_refused ("tap,ifname=tap0,queues=9", "queues=9");
    check_refused ("tap,ifname=tap0,queues=two", "queues=two");
    check_refused ("tap,fd=3,queues=1", "queues= is for ifname=");
    check_refused ("tap,ifname=tap0,vhost=maybe", "vhost=maybe");
    check_refused ("tap,ifname=tap0,path=x", "path");
    check_taken ("tap,ifname=tap0,ifname=tap1");
    check_refused ("tap,ifname=tap0,restrict", "restrict");
}

Test (device_net, users)
{
    check_taken ("user,restrict");
    check_taken ("user,restrict=off");
    check_taken ("user,hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=udp::53-:53,mtu=1400");
    check_refused ("user,hostfwd=", "hostfwd=tcp:127.0.0.1:2222-:22");
    check_refused ("user,hostfwd=tcp:2222-:22", "hostfwd=tcp:2222-:22");
    check_refused ("user,hostfwd=tcp::2222-:22,hostfwd=tcp::x-:22", "hostfwd=tcp::x-:22");
    check_refused ("user,restrict=maybe", "restrict=maybe");
    check_refused ("user,ifname=tap0", "ifname");
    check_refused ("user,queues=2", "queues");
}

Test (device_net, sockets)
{
    g_autofree char *longest = g_strnfill (107, 'p');
    g_autofree char *good = g_strconcat ("socket,path=", longest, NULL);
    g_autofree char *bad = g_strconcat (good, "p", NULL);

    check_taken ("socket,path=wire");
    check_taken ("socket,listen=wire,mtu=1500");
    check_taken ("socket,connect=wire");
    check_taken (good);
    check_refused (bad, "at most 107 bytes");
    check_refused ("socket", "path=PATH");
    check_refused ("socket,path=", "path=PATH");
    check_refused ("socket,listen=a,connect=b", "listen=PATH for one");
    check_refused ("socket,path=a,listen=a", "listen=PATH for one");
    check_refused ("socket,path=a,hostfwd=tcp::1-:1", "hostfwd");
}

Test (device_net, mtus)
{
    check_taken ("user,mtu=68");
    check_taken ("user,mtu=65521");
    check_refused ("user,mtu=67", "mtu=67");
    check_refused ("user,mtu=65522", "mtu=65522");
    check_refused ("user,mtu=", "mtu=");
    check_refused ("user,mtu=big", "mtu=big");
}

Test (device_net, addresses)
{
    check_taken ("user,mac=52:54:00:12:34:56");
    check_taken ("user,mac=fe:FF:ff:ff:ff:ff");
    check_refused ("user,mac=", "52:54:00:12:34:56");
    check_refused ("user,mac=52:54:00:12:34", "six bytes");
    check_refused ("user,mac=52:54:00:12:34:56:78", "six bytes");
    check_refused ("user,mac=52:54:00:12:34:5", "six bytes");
    check_refused ("user,mac=52:54:00:12:34:567", "six bytes");
    check_refused ("user,mac=52:54:00:12:34:5g", "six bytes");
    check_refused ("user,mac=52:54:00:12:34:+5", "six bytes");
    check_refused ("user,mac=52-54-00-12-34-56", "six bytes");
    check_refused ("user,mac=53:54:00:12:34:56", "must be even");
    check_refused ("user,mac=ff:ff:ff:ff:ff:ff", "must be even");
}

typedef struct {
    char *folder;
    char *path;
    VmmGuestMemory *memory;
    VmmLoop *loop;
} Rig;

static void
rig_init (Rig *rig)
{
    const VmmMemRange range = {0, 1 << 20};
    const VmmMemBacking backing = {.kind = VMM_MEM_BACKING_ANON};

    rig->folder = g_dir_make_tmp ("vmm-net-XXXXXX", NULL);
    rig->path = g_build_filename (rig->folder, "wire", NULL);
    rig->memory = vmm_guest_memory_new (&range, 1, &backing, NULL);
    rig->loop = vmm_loop_new ("net", NULL);
}

static void
rig_clear (Rig *rig)
{
    vmm_loop_free (rig->loop);
    vmm_guest_memory_free (rig->memory);
    cr_assert_eq (g_rmdir (rig->folder), 0, "something stayed in the folder");
    g_free (rig->folder);
    g_free (rig->path);
}

/* The first @size bytes from @offset on of the configuration space that a card called @name has. */
static uint64_t
read_card (Rig *rig, const char *role, const char *more, const char *name, unsigned offset, unsigned size)
{
    const VmmDeviceKind *kind = vmm_device_kind_find ("net");
    g_autofree char *value = g_strdup_printf ("socket,%s=%s%s", role, rig->path, more);
    VmmDeviceHost host = {.name = name};
    VmmVirtioEnv env = {.memory = rig->memory, .loop = rig->loop, .name = name};
    void *description = kind->parse (value, NULL);
    void *backend = kind->open (description, &host, NULL);
    VmmVirtioDevice *device = kind->make (description, backend, &env, NULL);
    uint64_t field = vmm_virtio_device_config_read (device, offset, size);

    cr_assert_eq (vmm_virtio_device_id (device), VMM_VIRTIO_ID_NET);
    vmm_virtio_device_free (device);
    kind->close (backend);
    kind->free_description (description);
    return field;
}

static uint64_t
mac_of (Rig *rig, const char *role, const char *more, const char *name)
{
    return read_card (rig, role, more, name, 0, 4) | read_card (rig, role, more, name, 4, 2) << 32;
}

/* The same each time; of two cards, or of the two ends of a cable, never. */
Test (device_net, an_address_is_of_its_card)
{
    Rig rig, other;
    uint64_t mac;

    rig_init (&rig);
    rig_init (&other);
    mac = mac_of (&rig, "listen", "", "net0");
    cr_assert_eq (mac & 3, 2, "it is not a single card's, locally administered");
    cr_assert_eq (mac_of (&rig, "listen", "", "net0"), mac);
    cr_assert_eq (mac_of (&rig, "listen", ",mtu=1400", "net0"), mac);
    cr_assert_neq (mac_of (&rig, "listen", "", "net1"), mac);
    cr_assert_neq (mac_of (&rig, "connect", "", "net0"), mac);
    cr_assert_neq (mac_of (&other, "listen", "", "net0"), mac);
    cr_assert_eq (mac_of (&rig, "listen", ",mac=52:54:00:12:34:56", "net0"), UINT64_C (0x563412005452));
    rig_clear (&rig);
    rig_clear (&other);
}

/* Section 5.1.4: after the address the status, the number of pairs, and the MTU. */
Test (device_net, an_mtu_is_told)
{
    Rig rig;

    rig_init (&rig);
    cr_assert_eq (read_card (&rig, "listen", ",mtu=9000", "net0", 10, 2), 9000);
    cr_assert_eq (read_card (&rig, "listen", "", "net0", 8, 2), 1);
    rig_clear (&rig);
}

Test (device_net, what_the_host_does_not_have_is_named)
{
    const VmmDeviceKind *kind = vmm_device_kind_find ("net");
    void *description = kind->parse ("tap,ifname=vmm-no-such-if", NULL);
    VmmDeviceHost host = {.name = "net0"};
    g_autoptr (GError) error = NULL;

    cr_assert_null (kind->open (description, &host, &error));
    cr_assert_not_null (strstr (error->message, "vmm-no-such-if"), "%s", error->message);
    kind->free_description (description);
}
