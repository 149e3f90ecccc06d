/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * vhost-net is a virtio network device in the host's kernel (linux/vhost.h): given the guest's memory, the
 * rings, and a tap, it moves the frames itself, on a thread of its own that is this process's. The driver's
 * notifications reach it by the eventfds that KVM signals, and its interrupts the guest by others.
 *
 * One descriptor of /dev/vhost-net serves one pair of queues. It knows split rings only, and trusts what it
 * finds there no more than we do.
 */
#include "devices/net/vhost.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "devices/net/net.h"
#include "vmm/error.h"

#define DEVICE "/dev/vhost-net"
/* Section 5.1.6.1: without these headers are of another size; and what every driver is offered. */
#define NEEDED                                                                                               \
    (UINT64_C (1) << VIRTIO_F_VERSION_1 | UINT64_C (1) << VIRTIO_NET_F_MRG_RXBUF |                           \
     UINT64_C (1) << VIRTIO_RING_F_INDIRECT_DESC | UINT64_C (1) << VIRTIO_RING_F_EVENT_IDX)

struct _VmmVhostNet {
    unsigned n_pairs;
    uint64_t features;
    int fds[VMM_NET_PAIRS_MAX];
};

static bool
fail (GError **error, const char *what)
{
    g_set_error (error, VMM_ERROR, errno == ENOENT || errno == EACCES ? VMM_ERROR_USAGE : VMM_ERROR_HOST,
                 DEVICE ": %s: %s", what, g_strerror (errno));
    return false;
}

/**
 * vmm_vhost_net_open:
 * @n_pairs: of queues, 1 to %VMM_NET_PAIRS_MAX
 *
 * Returns: (transfer full) (nullable): the kernel's device, which does nothing yet; NULL with
 *   %VMM_ERROR_USAGE when it is not there or not for this user, else %VMM_ERROR_HOST
 */
VmmVhostNet *
vmm_vhost_net_open (unsigned n_pairs, GError **error)
{
    g_autoptr (VmmVhostNet) vhost = g_new0 (VmmVhostNet, 1);

    for (; vhost->n_pairs < n_pairs; vhost->n_pairs++) {
        int fd = open (DEVICE, O_RDWR | O_CLOEXEC);

        if (fd < 0) {
            fail (error, "cannot be opened");
            return NULL;
        }
        vhost->fds[vhost->n_pairs] = fd;
        if (ioctl (fd, VHOST_SET_OWNER, NULL) != 0 || ioctl (fd, VHOST_GET_FEATURES, &vhost->features) != 0) {
            vhost->n_pairs++;
            fail (error, "VHOST_SET_OWNER");
            return NULL;
        }
    }
    if ((~vhost->features & NEEDED) != 0) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, DEVICE ": this kernel's is too old");
        return NULL;
    }
    return g_steal_pointer (&vhost);
}

/**
 * vmm_vhost_net_free:
 * @vhost: (nullable): nothing of it is started
 */
void
vmm_vhost_net_free (VmmVhostNet *vhost)
{
    if (vhost == NULL)
        return;
    for (unsigned i = 0; i < vhost->n_pairs; i++)
        close (vhost->fds[i]);
    g_free (vhost);
}

/**
 * vmm_vhost_net_features:
 *
 * Returns: the virtio features that it takes part in
 */
uint64_t
vmm_vhost_net_features (const VmmVhostNet *vhost)
{
    return vhost->features;
}

static struct vhost_memory *
make_table (const VmmGuestMemory *memory)
{
    size_t n = vmm_guest_memory_n_regions (memory);
    struct vhost_memory *table = g_malloc0 (sizeof *table + n * sizeof table->regions[0]);

    table->nregions = (uint32_t)n;
    for (size_t i = 0; i < n; i++) {
        const VmmMemRegion *region = vmm_guest_memory_region (memory, i);

        table->regions[i] = (struct vhost_memory_region){
            .guest_phys_addr = region->gpa,
            .memory_size = region->size,
            .userspace_addr = (uint64_t)(uintptr_t)region->host,
        };
    }
    return table;
}

/**
 * vmm_vhost_net_set_up:
 * @memory: the guest's; it stays where it is while anything is started
 * @features: that were negotiated, of which those count that vmm_vhost_net_features() has
 *
 * Nothing is started.
 *
 * Returns: false with %VMM_ERROR_HOST
 */
bool
vmm_vhost_net_set_up (VmmVhostNet *vhost, const VmmGuestMemory *memory, uint64_t features, GError **error)
{
    g_autofree struct vhost_memory *table = make_table (memory);
    uint64_t common = features & vhost->features;

    for (unsigned i = 0; i < vhost->n_pairs; i++) {
        if (ioctl (vhost->fds[i], VHOST_SET_FEATURES, &common) != 0)
            return fail (error, "VHOST_SET_FEATURES");
        if (ioctl (vhost->fds[i], VHOST_SET_MEM_TABLE, table) != 0)
            return fail (error, "VHOST_SET_MEM_TABLE");
    }
    return true;
}

/**
 * vmm_vhost_net_start:
 * @queue: of the network device: 2N receives, 2N + 1 sends
 * @tap_fd: the tap's queue N, with headers
 *
 * The kernel serves the ring from now on.
 *
 * Returns: false with %VMM_ERROR_HOST, and the ring is not served
 */
bool
vmm_vhost_net_start (VmmVhostNet *vhost, unsigned queue, const VmmVhostRing *ring, int tap_fd, GError **error)
{
    int fd = vhost->fds[queue / 2];
    unsigned index = queue % 2;
    struct vhost_vring_state size = {.index = index, .num = ring->size};
    struct vhost_vring_state base = {.index = index, .num = ring->base};
    struct vhost_vring_addr addresses = {
        .index = index,
        .desc_user_addr = (uint64_t)(uintptr_t)ring->desc,
        .used_user_addr = (uint64_t)(uintptr_t)ring->device,
        .avail_user_addr = (uint64_t)(uintptr_t)ring->driver,
    };
    struct vhost_vring_file kick = {.index = index, .fd = ring->kick};
    struct vhost_vring_file call = {.index = index, .fd = ring->call};
    struct vhost_vring_file backend = {.index = index, .fd = tap_fd};

    if (ioctl (fd, VHOST_SET_VRING_NUM, &size) != 0)
        return fail (error, "VHOST_SET_VRING_NUM");
    if (ioctl (fd, VHOST_SET_VRING_BASE, &base) != 0)
        return fail (error, "VHOST_SET_VRING_BASE");
    if (ioctl (fd, VHOST_SET_VRING_ADDR, &addresses) != 0)
        return fail (error, "VHOST_SET_VRING_ADDR");
    if (ioctl (fd, VHOST_SET_VRING_KICK, &kick) != 0)
        return fail (error, "VHOST_SET_VRING_KICK");
    if (ioctl (fd, VHOST_SET_VRING_CALL, &call) != 0)
        return fail (error, "VHOST_SET_VRING_CALL");
    if (ioctl (fd, VHOST_NET_SET_BACKEND, &backend) != 0)
        return fail (error, "VHOST_NET_SET_BACKEND");
    return true;
}

/**
 * vmm_vhost_net_stop:
 * @queue: that was started
 * @ret_base: (out): for the next start
 *
 * Nothing of the ring is in flight on return.
 *
 * Returns: false when the kernel does not tell where it was: the driver has to begin anew
 */
bool
vmm_vhost_net_stop (VmmVhostNet *vhost, unsigned queue, uint32_t *ret_base)
{
    struct vhost_vring_file backend = {.index = queue % 2, .fd = -1};
    struct vhost_vring_state base = {.index = queue % 2};
    int fd = vhost->fds[queue / 2];

    if (ioctl (fd, VHOST_NET_SET_BACKEND, &backend) != 0 || ioctl (fd, VHOST_GET_VRING_BASE, &base) != 0)
        return false;
    *ret_base = base.num;
    return true;
}
