/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The virtio network device (virtio 1.2 section 5.1) over a VmmNet. All pairs of queues are served by the
 * device's one loop. Frames go from the guest's buffers to the backend and back without a copy; see net-tx.c
 * and net-rx.c for what is checked on the way, and net-ctrl.c for the control queue.
 *
 * What the guest has put into its queues is taken in turns of a bounded number of frames, so that neither
 * direction waits for the other, and is shown as used at the end of each turn, and after each 64 KiB in it,
 * so that the guest goes on meanwhile; with one interrupt each time. While work comes in quick succession the
 * loop looks for more before it sleeps, and the driver is asked not to notify.
 *
 * The backend decides what it can do for the guest (checksums, large segments), and is told what the guest
 * can take. A backend that can take no more frames leaves them with the guest; one that has more frames than
 * the guest has buffers is left alone until it has some.
 *
 * With vhost none of this runs: see net-vhost.c.
 */
#include <string.h>

#include "devices/virtio/net-internal.h"

#include "vmm/core/bytes.h"

#define STATUS_LINK_UP 1u
/* After so many times in a row that there was work the backend need not say that there is more. */
#define BUSY_POLLS 64u

/* Where the fields of the configuration space are (section 5.1.4). */
enum {
    CONFIG_MAC = 0,
    CONFIG_STATUS = 6,
    CONFIG_MAX_PAIRS = 8,
    CONFIG_MTU = 10,
    CONFIG_SIZE = 12,
};

static const struct {
    uint32_t offload;
    uint64_t host;
    uint64_t guest;
} offloads[] = {
    {VMM_NET_OFFLOAD_CSUM, VMM_NET_F_CSUM, VMM_NET_F_GUEST_CSUM | VMM_NET_F_CTRL_GUEST_OFFLOADS},
    {VMM_NET_OFFLOAD_TSO4, VMM_NET_F_HOST_TSO4, VMM_NET_F_GUEST_TSO4},
    {VMM_NET_OFFLOAD_TSO6, VMM_NET_F_HOST_TSO6, VMM_NET_F_GUEST_TSO6},
    {VMM_NET_OFFLOAD_ECN, VMM_NET_F_HOST_ECN, VMM_NET_F_GUEST_ECN},
    {VMM_NET_OFFLOAD_USO4, VMM_NET_F_HOST_USO, VMM_NET_F_GUEST_USO4},
    {VMM_NET_OFFLOAD_USO6, VMM_NET_F_HOST_USO, VMM_NET_F_GUEST_USO6},
};

/* Which needs one of which (section 5.1.3.1). */
static const struct {
    uint64_t feature;
    uint64_t needs;
} needs[] = {
    {VMM_NET_F_GUEST_TSO4, VMM_NET_F_GUEST_CSUM},
    {VMM_NET_F_GUEST_TSO6, VMM_NET_F_GUEST_CSUM},
    {VMM_NET_F_GUEST_USO4, VMM_NET_F_GUEST_CSUM},
    {VMM_NET_F_GUEST_USO6, VMM_NET_F_GUEST_CSUM},
    {VMM_NET_F_GUEST_ECN, VMM_NET_F_GUEST_TSO4 | VMM_NET_F_GUEST_TSO6},
    {VMM_NET_F_HOST_TSO4, VMM_NET_F_CSUM},
    {VMM_NET_F_HOST_TSO6, VMM_NET_F_CSUM},
    {VMM_NET_F_HOST_USO, VMM_NET_F_CSUM},
    {VMM_NET_F_HOST_ECN, VMM_NET_F_HOST_TSO4 | VMM_NET_F_HOST_TSO6},
    {VMM_NET_F_CTRL_RX, VMM_NET_F_CTRL_VQ},
    {VMM_NET_F_CTRL_RX_EXTRA, VMM_NET_F_CTRL_VQ},
    {VMM_NET_F_CTRL_MAC_ADDR, VMM_NET_F_CTRL_VQ},
    {VMM_NET_F_CTRL_GUEST_OFFLOADS, VMM_NET_F_CTRL_VQ},
    {VMM_NET_F_MQ, VMM_NET_F_CTRL_VQ},
};

static uint64_t
net_features (void *model)
{
    const VmmVirtioNet *nic = model;
    uint64_t features = VMM_NET_F_MAC | VMM_NET_F_STATUS | VMM_NET_F_MRG_RXBUF | VMM_NET_F_CTRL_VQ |
                        VMM_NET_F_CTRL_RX | VMM_NET_F_CTRL_RX_EXTRA | VMM_NET_F_CTRL_MAC_ADDR;

    features |= nic->mtu != 0 ? VMM_NET_F_MTU : 0;
    features |= nic->n_pairs > 1 ? VMM_NET_F_MQ : 0;
    for (size_t i = 0; i < G_N_ELEMENTS (offloads); i++) {
        if ((nic->net->offloads & offloads[i].offload) != 0)
            features |= offloads[i].host | offloads[i].guest;
    }
    return features;
}

static bool
net_features_ok (void *model, uint64_t features)
{
    for (size_t i = 0; i < G_N_ELEMENTS (needs); i++) {
        if ((features & needs[i].feature) != 0 && (features & needs[i].needs) == 0)
            return false;
    }
    return true;
}

static void
net_config_read (void *model, unsigned offset, void *buf, unsigned len)
{
    const VmmVirtioNet *nic = model;
    uint8_t config[CONFIG_SIZE] = {0};
    uint64_t mac = __atomic_load_n (&nic->mac, __ATOMIC_RELAXED);

    memcpy (config + CONFIG_MAC, &mac, VMM_VIRTIO_NET_MAC_SIZE);
    vmm_put_u16 (config + CONFIG_STATUS, vmm_net_link_is_up (nic->net) ? STATUS_LINK_UP : 0);
    vmm_put_u16 (config + CONFIG_MAX_PAIRS, (uint16_t)nic->n_pairs);
    vmm_put_u16 (config + CONFIG_MTU, (uint16_t)nic->mtu);
    memcpy (buf, config + offset, len);
}

/* Section 5.1.2: where it is depends on what was negotiated. */
static unsigned
control_index (const VmmVirtioNet *nic)
{
    return 2 * nic->usable_pairs;
}

static void
net_notify (void *model, unsigned index)
{
    VmmVirtioNet *nic = model;

    if (!nic->attached || nic->quiet || index > control_index (nic))
        return;
    if (index != control_index (nic) && vmm_virtio_net_vhost_start (nic))
        return;
    if (index == control_index (nic))
        vmm_virtio_net_control (nic, vmm_virtio_device_queue (nic->device, index));
    else if (index % 2 == 0)
        vmm_virtio_net_refilled (&nic->rx[index / 2]);
    else
        vmm_virtio_net_transmit (nic, index / 2);
}

/**
 * vmm_virtio_net_set_guest_offloads:
 * @guest_offloads: those of what was negotiated that are on from now on
 */
void
vmm_virtio_net_set_guest_offloads (VmmVirtioNet *nic, uint64_t guest_offloads)
{
    uint32_t wanted = 0;

    for (size_t i = 0; i < G_N_ELEMENTS (offloads); i++) {
        if ((guest_offloads & offloads[i].guest & VMM_NET_F_GUEST_OFFLOADS) != 0)
            wanted |= offloads[i].offload;
    }
    nic->guest_offloads = guest_offloads;
    if (nic->net->ops->set_offloads != NULL)
        nic->net->ops->set_offloads (nic->net, wanted);
}

/**
 * vmm_virtio_net_set_pairs:
 * @n: how many pairs the driver uses, 1 to what there are
 *
 * Section 5.1.6.5.5.
 */
void
vmm_virtio_net_set_pairs (VmmVirtioNet *nic, unsigned n)
{
    unsigned before = nic->active_pairs;

    for (unsigned i = n; i < before; i++)
        vmm_virtio_net_stop_receiving (&nic->rx[i]);
    nic->active_pairs = n;
    if (nic->net->ops->set_pairs != NULL)
        nic->net->ops->set_pairs (nic->net, n);
    for (unsigned i = before; i < n && !nic->quiet && !nic->vhost; i++)
        vmm_virtio_net_refilled (&nic->rx[i]);
    /* Of a pair that is not used the backend says no more when it has room: what waits for that is tried
     * anew.
     */
    for (unsigned i = 0; i < nic->usable_pairs; i++) {
        if (!nic->tx_full[i])
            continue;
        nic->tx_full[i] = false;
        vmm_virtio_net_transmit (nic, i);
    }
}

/* Whether there was work once more; it is not asked while there is none, but before the loop sleeps. */
static void
note_busy (VmmVirtioNet *nic, bool busy)
{
    bool before = nic->busy == BUSY_POLLS;

    nic->busy = busy ? MIN (nic->busy + 1, BUSY_POLLS) : 0;
    if ((nic->busy == BUSY_POLLS) != before && nic->net->ops->set_busy != NULL)
        nic->net->ops->set_busy (nic->net, !before);
}

static bool
poll (void *user)
{
    VmmVirtioNet *nic = user;
    bool any = false;

    for (unsigned i = 0; i < nic->usable_pairs && !nic->quiet && !nic->vhost; i++) {
        if (!vmm_virtqueue_is_empty (vmm_virtio_net_tx_queue (nic, i)) && vmm_virtio_net_transmit (nic, i))
            any = true;
        if ((nic->rx[i].more || nic->net->ops->polled) && vmm_virtio_net_receive (&nic->rx[i]))
            any = true;
    }
    if (any)
        note_busy (nic, true);
    return any;
}

static bool
may_sleep (void *user)
{
    VmmVirtioNet *nic = user;
    bool ok = true;

    note_busy (nic, false);
    for (unsigned i = 0; i < nic->usable_pairs && !nic->quiet && !nic->vhost; i++) {
        if (!nic->tx_full[i] && !vmm_virtqueue_arm (vmm_virtio_net_tx_queue (nic, i))) {
            vmm_virtio_net_transmit (nic, i);
            ok = false;
        }
        if (nic->rx[i].more) {
            vmm_virtio_net_receive (&nic->rx[i]);
            ok = false;
        }
    }
    if (nic->control_more && !nic->quiet) {
        net_notify (nic, control_index (nic));
        ok = false;
    }
    return ok;
}

static const VmmLoopPoller poller = {poll, may_sleep};

static void
on_rx_ready (void *user, unsigned pair)
{
    VmmVirtioNet *nic = user;

    vmm_virtio_net_receive (&nic->rx[pair]);
}

static void
on_tx_ready (void *user)
{
    VmmVirtioNet *nic = user;

    for (unsigned i = 0; i < nic->usable_pairs; i++) {
        nic->tx_full[i] = false;
        vmm_virtio_net_transmit (nic, i);
    }
}

static void
on_link_changed (void *user)
{
    vmm_virtio_device_config_changed (((VmmVirtioNet *)user)->device);
}

static void
on_warn (void *user, const char *text)
{
    vmm_virtio_device_warn (((VmmVirtioNet *)user)->device, "%s", text);
}

static const VmmNetEvents events = {on_rx_ready, on_tx_ready, on_link_changed, on_warn};

static void
net_activate (void *model)
{
    VmmVirtioNet *nic = model;
    VmmLoop *loop = vmm_virtio_device_loop (nic->device);
    g_autoptr (GError) error = NULL;
    unsigned pairs = nic->loaded ? nic->active_pairs : 1;

    nic->features = vmm_virtio_device_features (nic->device);
    nic->usable_pairs = vmm_virtio_net_has (nic, VMM_NET_F_MQ) ? nic->n_pairs : 1;
    nic->guest_offloads =
        nic->features & VMM_NET_F_GUEST_OFFLOADS & (nic->loaded ? nic->guest_offloads : UINT64_MAX);
    nic->active_pairs = 1;
    /* Buffers are looked at when the core tells of them: it may be that this one begins in a pause. */
    nic->quiet = true;
    nic->stall_timer = vmm_loop_timer_new (loop, vmm_virtio_net_on_stall, nic);
    nic->attached = vmm_net_attach (nic->net, loop, &events, nic, &error);
    if (!nic->attached) {
        vmm_virtio_device_warn (nic->device, "%s", error->message);
        vmm_virtqueue_fail (vmm_virtio_net_rx_queue (nic, 0), "the host cannot serve it");
        return;
    }
    vmm_virtio_net_vhost_begin (nic);
    vmm_virtio_net_set_guest_offloads (nic, nic->guest_offloads);
    vmm_virtio_net_set_pairs (nic, MIN (pairs, nic->usable_pairs));
    nic->quiet = false;
    nic->busy = 0;
    vmm_loop_set_poller (loop, &poller, nic);
    if (nic->loaded && nic->link_was_up != vmm_net_link_is_up (nic->net))
        on_link_changed (nic);
}

static void
net_queue_reset (void *model, unsigned index)
{
    VmmVirtioNet *nic = model;

    if (!nic->attached || index >= control_index (nic))
        return;
    vmm_virtio_net_vhost_stop_queue (nic, index);
    if (index % 2 == 0) {
        vmm_virtio_net_stop_receiving (&nic->rx[index / 2]);
        vmm_virtio_net_forget_held (&nic->rx[index / 2]);
    } else {
        nic->tx_full[index / 2] = false;
    }
}

static void
net_quiesce (void *model)
{
    VmmVirtioNet *nic = model;

    nic->quiet = true;
    vmm_virtio_net_vhost_stop (nic);
    for (unsigned i = 0; nic->attached && i < nic->usable_pairs; i++)
        vmm_virtio_net_stop_receiving (&nic->rx[i]);
}

static void
net_resume (void *model)
{
    ((VmmVirtioNet *)model)->quiet = false;
}

static void
net_reset (void *model)
{
    VmmVirtioNet *nic = model;

    vmm_virtio_net_vhost_stop (nic);
    nic->vhost = false;
    if (nic->attached) {
        vmm_loop_set_poller (vmm_virtio_device_loop (nic->device), NULL, NULL);
        vmm_net_detach (nic->net);
    }
    nic->attached = false;
    nic->loaded = false;
    nic->control_more = false;
    vmm_loop_timer_free (nic->stall_timer);
    nic->stall_timer = NULL;
    for (unsigned i = 0; i < nic->n_pairs; i++) {
        vmm_virtio_net_forget_held (&nic->rx[i]);
        nic->tx_full[i] = false;
    }
    __atomic_store_n (&nic->mac, nic->own_mac, __ATOMIC_RELAXED);
}

/* The frames that wait in the backend are lost, as frames are. */
static void
net_save (void *model, VmmStateWriter *writer)
{
    const VmmVirtioNet *nic = model;

    vmm_state_put_u64 (writer, nic->mac);
    vmm_state_put_bool (writer, nic->attached);
    vmm_state_put_u16 (writer, (uint16_t)nic->active_pairs);
    vmm_state_put_u64 (writer, nic->guest_offloads);
    vmm_state_put_bool (writer, vmm_net_link_is_up (nic->net));
}

static bool
net_load (void *model, VmmStateReader *reader, uint32_t version)
{
    VmmVirtioNet *nic = model;
    uint64_t mac, guest_offloads;
    uint16_t active_pairs;
    bool attached, link_up;

    if (!vmm_state_get_u64 (reader, &mac) || !vmm_state_get_bool (reader, &attached) ||
        !vmm_state_get_u16 (reader, &active_pairs) || !vmm_state_get_u64 (reader, &guest_offloads) ||
        !vmm_state_get_bool (reader, &link_up))
        return false;
    if (mac >> (8 * VMM_VIRTIO_NET_MAC_SIZE) != 0)
        return false;
    __atomic_store_n (&nic->mac, mac, __ATOMIC_RELAXED);
    if (!attached)
        return true;
    if (active_pairs < 1 || active_pairs > nic->n_pairs ||
        (guest_offloads & ~(vmm_virtio_device_features (nic->device) & VMM_NET_F_GUEST_OFFLOADS)) != 0)
        return false;
    nic->active_pairs = active_pairs;
    nic->guest_offloads = guest_offloads;
    nic->link_was_up = link_up;
    nic->loaded = true;
    return true;
}

static void
net_free (void *model)
{
    VmmVirtioNet *nic = model;

    for (unsigned i = 0; i < nic->n_pairs; i++) {
        for (unsigned j = 0; j < VMM_VIRTIO_NET_HELD_MAX; j++)
            vmm_chain_clear (&nic->rx[i].held[j]);
    }
    vmm_chain_clear (&nic->tx_chain);
    vmm_chain_clear (&nic->ctrl_chain);
    g_free (nic);
}

/* The kernel's vhost knows split rings only. */
static uint64_t
net_withheld (void *model)
{
    return ((VmmVirtioNet *)model)->net->vhost != NULL ? VMM_VIRTIO_F_RING_PACKED : 0;
}

static const VmmVirtioModel net_model = {
    .name = "net",
    .id = VMM_VIRTIO_ID_NET,
    .features = net_features,
    .withheld = net_withheld,
    .config_size = CONFIG_SIZE,
    .config_read = net_config_read,
    .features_ok = net_features_ok,
    .activate = net_activate,
    .notify = net_notify,
    .queue_reset = net_queue_reset,
    .quiesce = net_quiesce,
    .resume = net_resume,
    .reset = net_reset,
    .save = net_save,
    .load = net_load,
    .free = net_free,
};

/**
 * vmm_virtio_net_new:
 * @env: what it is made with; its loop is this device's alone
 * @net: the network, borrowed and outliving the device; nobody else attaches it
 * @config: how it looks to the guest
 *
 * Returns: (transfer full) (nullable): the device; NULL when the host has no descriptors left
 */
VmmVirtioDevice *
vmm_virtio_net_new (const VmmVirtioEnv *env, VmmNet *net, const VmmVirtioNetConfig *config)
{
    VmmVirtioNet *nic = g_new0 (VmmVirtioNet, 1);

    nic->net = net;
    nic->memory = env->memory;
    nic->n_pairs = net->n_pairs;
    nic->usable_pairs = 1;
    nic->active_pairs = 1;
    nic->mtu = config->mtu;
    memcpy (&nic->own_mac, config->mac, sizeof config->mac);
    nic->mac = nic->own_mac;
    vmm_chain_init (&nic->tx_chain, VMM_CHAIN_IOV_MAX);
    vmm_chain_init (&nic->ctrl_chain, VMM_CHAIN_IOV_MAX);
    for (unsigned i = 0; i < nic->n_pairs; i++) {
        nic->rx[i].nic = nic;
        nic->rx[i].pair = i;
        nic->rx[i].starved = true;
    }
    nic->device =
        vmm_virtio_device_new (env, &net_model, nic, 2 * nic->n_pairs + 1, VMM_VIRTIO_NET_QUEUE_SIZE);
    return nic->device;
}
