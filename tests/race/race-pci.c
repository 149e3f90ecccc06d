/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vCPUs in the configuration space of one function, by ports and by memory, while its device changes bits of
 * its own. The BAR's mappings must keep their order, which the hook checks, and no bit that the device set
 * may get lost in a guest's write.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "devices/pci/host.h"

#define N_STEPS 3000u
#define DEVFN VMM_PCI_DEVFN (1, 0)

typedef struct {
    VmmPciHost *host;
    VmmPciFunction *function;
    atomic_uint n_wrong;
    bool mapped; /* these two guarded by the function's own lock, as its documentation promises */
    uint64_t address;
} World;

typedef struct {
    World *world;
    unsigned index;
} Worker;

static void
on_bar (void *device, unsigned bar, uint64_t address, bool mapped)
{
    World *w = device;

    if (mapped == w->mapped || (!mapped && address != w->address))
        atomic_fetch_add (&w->n_wrong, 1);
    w->mapped = mapped;
    w->address = address;
}

static const VmmPciFunctionOps ops = {.bar_changed = on_bar};

static void
ecam_write (World *w, unsigned reg, unsigned size, uint32_t value)
{
    vmm_pci_host_ecam_ops.write (w->host, DEVFN << 12 | reg, size, value);
}

static void *
ecam_vcpu_main (void *data)
{
    Worker *worker = data;
    World *w = worker->world;

    for (unsigned i = 0; i < N_STEPS; i++) {
        ecam_write (w, VMM_PCI_BAR0, 4, 0xc0000000 + (i + worker->index) * 0x1000);
        ecam_write (w, VMM_PCI_COMMAND, 2, i & VMM_PCI_COMMAND_MEMORY);
        if (vmm_pci_host_ecam_ops.read (w->host, DEVFN << 12, 4) != 0x10421af4)
            atomic_fetch_add (&w->n_wrong, 1);
    }
    return NULL;
}

static void *
port_vcpu_main (void *data)
{
    Worker *worker = data;
    World *w = worker->world;

    for (unsigned i = 0; i < N_STEPS; i++) {
        vmm_pci_host_port_ops.write (w->host, 0, 4, 0x80000000 | DEVFN << 8 | 0x3c);
        vmm_pci_host_port_ops.write (w->host, 4, 1, i);
        vmm_pci_host_port_ops.read (w->host, 4, 4);
        vmm_pci_host_port_ops.write (w->host, 1, 1, i);
        vmm_pci_host_port_ops.read (w->host, 1, 1);
    }
    return NULL;
}

/* Only this thread changes the bit, so it must always find it as it left it. */
static void *
device_main (void *data)
{
    Worker *worker = data;
    World *w = worker->world;

    for (unsigned i = 0; i < N_STEPS; i++) {
        uint32_t bit = i & 1 ? VMM_PCI_STATUS_INTX : 0;

        vmm_pci_function_put_bits (w->function, VMM_PCI_STATUS, 2, VMM_PCI_STATUS_INTX, bit);
        if ((vmm_pci_function_get (w->function, VMM_PCI_STATUS, 2) & VMM_PCI_STATUS_INTX) != bit)
            atomic_fetch_add (&w->n_wrong, 1);
    }
    return NULL;
}

int
main (void)
{
    static const VmmPciIdentity identity = {.vendor_id = 0x1af4, .device_id = 0x1042};
    static void *(*const mains[]) (void *) = {ecam_vcpu_main, ecam_vcpu_main, port_vcpu_main, device_main};
    World w = {0};
    Worker workers[4];
    pthread_t threads[4];

    w.host = vmm_pci_host_new (1, NULL);
    w.function = vmm_pci_function_new ("disk", &identity, &ops, &w);
    if (!vmm_pci_function_add_bar (w.function, 0, VMM_PCI_BAR_MEMORY32, 0x1000, NULL) ||
        !vmm_pci_host_attach (w.host, 0, DEVFN, w.function, NULL))
        return 1;
    for (unsigned i = 0; i < 4; i++) {
        workers[i] = (Worker){&w, i};
        pthread_create (&threads[i], NULL, mains[i], &workers[i]);
    }
    for (unsigned i = 0; i < 4; i++)
        pthread_join (threads[i], NULL);
    vmm_pci_host_free (w.host);
    vmm_pci_function_free (w.function);
    if (atomic_load (&w.n_wrong) != 0)
        fprintf (stderr, "%u accesses went wrong\n", atomic_load (&w.n_wrong));
    return atomic_load (&w.n_wrong) != 0;
}
