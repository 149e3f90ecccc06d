/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Eventfds whose signals are a vector's messages: for those who raise interrupts without us, as vhost does.
 *
 * While the vector may be sent, the host's kernel turns the signals into messages by itself, and its route is
 * kept up to date with the table. Otherwise the eventfd is disconnected, and its user is told to look at it:
 * what it finds there it raises as usual, which makes it a pending bit or the pin's affair.
 *
 * A change of the route costs the host a grace period of its kernel, so it is made only for a vector that can
 * be sent: a guest that fills the table in first and then unmasks causes one.
 */
#include <limits.h>

#include "devices/pci/msix-internal.h"

struct _VmmPciMsixCall {
    VmmPciMsix *msix;
    VmmMsiRoutes routes;
    int route;
    int fd;
    void (*direct) (void *user, bool direct);
    void *user;
    /* With the lock of msix. */
    unsigned vector;
    bool connected;
    uint64_t address;
    uint32_t data;
};

static void
disconnect_locked (VmmPciMsixCall *call)
{
    if (call->connected)
        call->routes.disconnect (call->routes.chip, call->route, call->fd);
    call->connected = false;
}

static void
connect_locked (VmmPciMsixCall *call, const VmmPciMsixEntry *entry)
{
    if (call->connected && call->address == entry->address && call->data == entry->data)
        return;
    disconnect_locked (call);
    call->address = entry->address;
    call->data = entry->data;
    call->connected =
        call->routes.connect (call->routes.chip, call->route, call->fd, call->address, call->data);
}

static void
follow_locked (VmmPciMsixCall *call)
{
    VmmPciMsix *msix = call->msix;
    bool was_connected = call->connected;

    if (call->vector < msix->n_vectors && vmm_pci_msix_may_send_locked (msix, call->vector))
        connect_locked (call, &msix->entries[call->vector]);
    else
        disconnect_locked (call);
    if (call->connected != was_connected)
        call->direct (call->user, call->connected);
}

/**
 * vmm_pci_msix_calls_follow_locked:
 * @vector: one that may have changed, or %VMM_PCI_MSIX_ALL
 */
void
vmm_pci_msix_calls_follow_locked (VmmPciMsix *msix, unsigned vector)
{
    for (guint i = 0; i < msix->calls->len; i++) {
        VmmPciMsixCall *call = msix->calls->pdata[i];

        if (vector == VMM_PCI_MSIX_ALL || call->vector == vector)
            follow_locked (call);
    }
}

/**
 * vmm_pci_msix_call_new:
 * @routes: who connects; copied
 * @fd: an eventfd, borrowed
 * @vector: whose messages its signals are; anything else is nobody's
 * @direct: told when @fd was connected, and when it is its user's to look at, as it is at first; with the
 * lock of
 *   @msix
 * @user: what @direct gets
 *
 * Any thread.
 *
 * Returns: (transfer full) (nullable): NULL when the host has no such thing
 */
VmmPciMsixCall *
vmm_pci_msix_call_new (VmmPciMsix *msix, const VmmMsiRoutes *routes, int fd, unsigned vector,
                       void (*direct) (void *user, bool direct), void *user)
{
    int route = routes->open != NULL ? routes->open (routes->chip) : -1;
    VmmPciMsixCall *call;

    if (route < 0)
        return NULL;
    call = g_new0 (VmmPciMsixCall, 1);
    *call = (VmmPciMsixCall){
        .msix = msix,
        .routes = *routes,
        .route = route,
        .fd = fd,
        .direct = direct,
        .user = user,
        .vector = vector,
    };
    g_mutex_lock (&msix->lock);
    g_ptr_array_add (msix->calls, call);
    follow_locked (call);
    g_mutex_unlock (&msix->lock);
    return call;
}

/**
 * vmm_pci_msix_call_set_vector:
 * @vector: whose messages its signals are from now on; anything else is nobody's
 *
 * Any thread.
 */
void
vmm_pci_msix_call_set_vector (VmmPciMsixCall *call, unsigned vector)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&call->msix->lock);

    call->vector = vector;
    follow_locked (call);
}

/**
 * vmm_pci_msix_call_free:
 * @call: (nullable): its eventfd is not connected on return, and nobody is told
 *
 * Any thread; before @msix is freed.
 */
void
vmm_pci_msix_call_free (VmmPciMsixCall *call)
{
    if (call == NULL)
        return;
    g_mutex_lock (&call->msix->lock);
    disconnect_locked (call);
    g_ptr_array_remove (call->msix->calls, call);
    g_mutex_unlock (&call->msix->lock);
    call->routes.close (call->routes.chip, call->route);
    g_free (call);
}
