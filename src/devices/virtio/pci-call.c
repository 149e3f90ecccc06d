/* SPDX-License-Identifier: Apache-2.0 */
/* Queues that somebody else works (see device-lend.c): their call eventfds follow the vectors of the queues.
 */
#include "devices/virtio/pci-internal.h"

/* With the lock of MSI-X. */
static void
on_direct (void *user, bool direct)
{
    VmmVirtioPciCall *call = user;

    vmm_virtio_device_call_is_direct (call->pci->device, call->index, direct);
}

/**
 * vmm_virtio_pci_call:
 * @transport: a #VmmVirtioPci
 *
 * For the device core; see VmmVirtioInterrupts.call.
 */
void
vmm_virtio_pci_call (void *transport, unsigned index, int fd)
{
    VmmVirtioPci *pci = transport;
    VmmVirtioPciCall *call = &pci->calls[index];
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&pci->calls_lock);

    g_clear_pointer (&call->msix, vmm_pci_msix_call_free);
    if (fd >= 0)
        call->msix =
            vmm_pci_msix_call_new (pci->msix, &pci->config.routes, fd,
                                   vmm_virtio_pci_vector (pci, &pci->queue_vectors[index]), on_direct, call);
}

/**
 * vmm_virtio_pci_call_follow:
 * @index: a queue whose vector the guest has changed
 */
void
vmm_virtio_pci_call_follow (VmmVirtioPci *pci, unsigned index)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&pci->calls_lock);

    /* Read with the lock, so that of two changes at once the last one counts. */
    if (pci->calls[index].msix != NULL)
        vmm_pci_msix_call_set_vector (pci->calls[index].msix,
                                      vmm_virtio_pci_vector (pci, &pci->queue_vectors[index]));
}

/**
 * vmm_virtio_pci_calls_new:
 *
 * For each queue, as yet without an eventfd.
 */
void
vmm_virtio_pci_calls_new (VmmVirtioPci *pci)
{
    unsigned n = vmm_virtio_device_n_queues (pci->device);

    g_mutex_init (&pci->calls_lock);
    pci->calls = g_new0 (VmmVirtioPciCall, n);
    for (unsigned i = 0; i < n; i++)
        pci->calls[i] = (VmmVirtioPciCall){.pci = pci, .index = i};
}

/**
 * vmm_virtio_pci_calls_free:
 *
 * No queue is lent any more.
 */
void
vmm_virtio_pci_calls_free (VmmVirtioPci *pci)
{
    g_mutex_clear (&pci->calls_lock);
    g_free (pci->calls);
}
