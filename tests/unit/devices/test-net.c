/* SPDX-License-Identifier: Apache-2.0 */
/* What all network backends share. */
#include <criterion/criterion.h>
#include <string.h>

#include "fake-net.h"

Test (net, data_is_spread_over_pieces_and_gathered_from_them)
{
    uint8_t a[3], b[1], c[4], back[10];
    const struct iovec iov[] = {{a, sizeof a}, {a, 0}, {b, sizeof b}, {c, sizeof c}};

    cr_assert_eq (vmm_net_scatter (iov, 4, "0123456", 7), 7);
    cr_assert_arr_eq (a, "012", 3);
    cr_assert_arr_eq (b, "3", 1);
    cr_assert_arr_eq (c, "456", 3);
    cr_assert_eq (vmm_net_scatter (iov, 4, "0123456789", 10), 8, "it has room for 8");
    cr_assert_eq (vmm_net_gather (iov, 4, back, sizeof back), 8);
    cr_assert_arr_eq (back, "01234567", 8);
    cr_assert_eq (vmm_net_gather (iov, 4, back, 5), 5);
    cr_assert_eq (vmm_net_gather (iov, 0, back, 5), 0);
    cr_assert_eq (vmm_net_scatter (iov, 0, "0", 1), 0);
}

typedef struct {
    unsigned n_links;
    char *warning;
} Device;

static void
on_link_changed (void *user)
{
    ((Device *)user)->n_links++;
}

static void
on_warn (void *user, const char *text)
{
    Device *device = user;

    g_free (device->warning);
    device->warning = g_strdup (text);
}

static const VmmNetEvents events = {.link_changed = on_link_changed, .warn = on_warn};

typedef struct {
    FakeNet *fake;
    Device device;
} Rig;

static void
attach_and_change (void *user)
{
    Rig *rig = user;
    VmmNet *net = &rig->fake->net;
    g_autoptr (GError) error = NULL;

    /* Nobody is there to be told. */
    vmm_net_warn (net, "nobody hears %s", "this");
    vmm_net_set_link (net, false);
    cr_assert (vmm_net_attach (net, rig->fake->loop, &events, &rig->device, NULL));
    vmm_net_set_link (net, false);
    cr_assert_eq (rig->device.n_links, 0, "nothing has changed");
    vmm_net_set_link (net, true);
    cr_assert_eq (rig->device.n_links, 1);
    vmm_net_warn (net, "%s of %d", "one", 2);
    cr_assert_str_eq (rig->device.warning, "one of 2");
    vmm_net_detach (net);
    vmm_net_set_link (net, false);
    cr_assert_eq (rig->device.n_links, 1);
    cr_assert_not (vmm_net_link_is_up (net));
    rig->fake->refuses = true;
    cr_assert_not (vmm_net_attach (net, rig->fake->loop, &events, &rig->device, &error));
    vmm_net_set_link (net, true);
    cr_assert_eq (rig->device.n_links, 1, "who could not be attached is told");
}

Test (net, only_who_is_attached_is_told)
{
    VmmLoop *loop = vmm_loop_new ("net", NULL);
    Rig rig = {.fake = fake_net_new (loop, 1, 0, false)};

    vmm_loop_call (loop, attach_and_change, &rig);
    cr_assert_null (rig.fake->wrong, "%s", rig.fake->wrong);
    fake_net_free (rig.fake);
    vmm_loop_free (loop);
    g_free (rig.device.warning);
}
