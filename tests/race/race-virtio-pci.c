/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio function whose loop raises interrupts while one vCPU rewrites vectors, another turns MSI-X and its
 * function mask off and on, a third moves the BAR and takes bus mastering away, and a fourth reads through
 * the bus. No interrupt may be lost, no message may be half of an old vector and half of a new one, and none
 * may come after a write that forbids it has returned.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "devices/pci/msix.h"
#include "devices/virtio/pci-internal.h"

#define N_QUEUES 3u
#define N_VECTORS (N_QUEUES + 1)
#define LENT 2u
#define N_STEPS 1500u
#define WAIT_US (20 * G_USEC_PER_SEC)
#define BAR_LOW UINT64_C (0xd0000000)
#define BAR_HIGH UINT64_C (0xd8000000)
#define ISR 0x1000u
#define TABLE 0x4000u
#define PENDING 0x5000u

typedef struct {
    VmmBus *bus;
    VmmVirtioDevice *device;
    VmmVirtioPci *pci;
    VmmPciFunction *function;
    unsigned msix; /* the capability */
    unsigned next; /* the queue of the next interrupt; the loop's */
    atomic_bool stop;
    atomic_bool resting;
    atomic_bool vector_off[N_VECTORS];
    atomic_bool msix_off;
    atomic_bool no_master;
    atomic_int call;
    GMutex host; /* the host's route */
    bool connected;
    uint64_t address;
    uint32_t data;
    atomic_uint n_told; /* messages, and ISR statuses that were not 0 */
    atomic_uint n_wrong;
} World;

static void
wrong (World *w, const char *what)
{
    if (atomic_fetch_add (&w->n_wrong, 1) < 5)
        fprintf (stderr, "%s\n", what);
}

/* A vector's address and data both tell the vector, and the writer's round. */
static void
on_msi (void *chip, uint64_t address, uint32_t data)
{
    World *w = chip;
    unsigned vector = data & 0xf;

    if (((address >> 4) & 0xffff) != data)
        wrong (w, "a message of two vectors");
    if (vector < N_VECTORS && atomic_load (&w->vector_off[vector]))
        wrong (w, "a message of a masked vector");
    if (atomic_load (&w->msix_off))
        wrong (w, "a message while MSI-X is off or masked");
    if (atomic_load (&w->no_master))
        wrong (w, "a message of what is no bus master");
    atomic_fetch_add (&w->n_told, 1);
}

static int
on_open (void *chip)
{
    return 0;
}

/* As KVM does it: what waits is sent, and from then on each signal. */
static bool
on_connect (void *chip, int route, int fd, uint64_t address, uint32_t data)
{
    World *w = chip;
    eventfd_t waiting;

    g_mutex_lock (&w->host);
    w->connected = true;
    w->address = address;
    w->data = data;
    if (eventfd_read (fd, &waiting) == 0)
        on_msi (w, address, data);
    g_mutex_unlock (&w->host);
    return true;
}

static void
on_disconnect (void *chip, int route, int fd)
{
    World *w = chip;

    g_mutex_lock (&w->host);
    w->connected = false;
    g_mutex_unlock (&w->host);
}

static void
on_close (void *chip, int route)
{
}

/* Whoever has the queue signals. */
static void
signal_call (World *w)
{
    g_mutex_lock (&w->host);
    if (w->connected)
        on_msi (w, w->address, w->data);
    else
        eventfd_write (atomic_load (&w->call), 1);
    g_mutex_unlock (&w->host);
}

static void
put (World *w, uint64_t offset, unsigned size, uint64_t value)
{
    vmm_virtio_pci_bar_ops.write (w->pci, offset, size, value);
}

static void *
vector_main (void *data)
{
    World *w = data;

    for (unsigned round = 0; !atomic_load (&w->stop); round++) {
        unsigned vector = round % N_VECTORS;
        uint64_t entry = TABLE + vector * VMM_PCI_MSIX_ENTRY_SIZE;
        uint32_t tag = (round & 0xfff) << 4 | vector;

        put (w, entry + 12, 4, 1);
        atomic_store (&w->vector_off[vector], true);
        put (w, entry, 8, 0xfee00000 | tag << 4);
        put (w, entry + 8, 4, tag);
        vmm_virtio_pci_bar_ops.read (w->pci, PENDING, 8);
        atomic_store (&w->vector_off[vector], false);
        put (w, entry + 12, 4, 0);
    }
    return NULL;
}

static void *
enable_main (void *data)
{
    static const uint16_t off[] = {0xc000, 0x0000, 0x4000};
    World *w = data;

    for (unsigned round = 0; !atomic_load (&w->stop); round++) {
        vmm_pci_function_config_write (w->function, w->msix + 2, 2, off[round % G_N_ELEMENTS (off)]);
        atomic_store (&w->msix_off, true);
        g_usleep (round % 3);
        atomic_store (&w->msix_off, false);
        vmm_pci_function_config_write (w->function, w->msix + 2, 2, 0x8000);
    }
    return NULL;
}

static void
command (World *w, uint32_t value)
{
    bool master = (value & VMM_PCI_COMMAND_BUS_MASTER) != 0;

    if (master)
        atomic_store (&w->no_master, false);
    vmm_pci_function_config_write (w->function, VMM_PCI_COMMAND, 2, value);
    if (!master)
        atomic_store (&w->no_master, true);
    if (atomic_load (&w->resting) == master)
        wrong (w, "the model does not follow the bus master's right");
}

static void *
bar_main (void *data)
{
    World *w = data;

    for (unsigned round = 0; !atomic_load (&w->stop); round++) {
        command (w, VMM_PCI_COMMAND_BUS_MASTER);
        vmm_pci_function_config_write (w->function, VMM_PCI_BAR0, 4, round % 2 == 0 ? BAR_LOW : BAR_HIGH);
        command (w, VMM_PCI_COMMAND_MEMORY);
        command (w, VMM_PCI_COMMAND_MEMORY | VMM_PCI_COMMAND_INTX_DISABLE);
        command (w, VMM_PCI_COMMAND_MEMORY | VMM_PCI_COMMAND_BUS_MASTER);
    }
    return NULL;
}

/* Who is interrupted by the pin, and looks also when it is not. */
static void *
isr_main (void *data)
{
    World *w = data;

    while (!atomic_load (&w->stop)) {
        if (vmm_virtio_pci_bar_ops.read (w->pci, ISR, 1) != 0)
            atomic_fetch_add (&w->n_told, 1);
        vmm_bus_read (w->bus, BAR_LOW + TABLE, 8);
        vmm_bus_read (w->bus, BAR_HIGH + PENDING, 4);
        g_usleep (10);
    }
    return NULL;
}

static void
raise_one (void *user)
{
    World *w = user;

    vmm_virtio_pci_interrupts.queue (w->pci, w->next++ % LENT);
}

static void
drive (World *w)
{
    for (unsigned i = 0; i < N_STEPS && atomic_load (&w->n_wrong) == 0; i++) {
        gint64 end = g_get_monotonic_time () + WAIT_US;
        unsigned before = atomic_load (&w->n_told);

        if (i % 3 == 0)
            signal_call (w);
        else
            vmm_loop_call (vmm_virtio_device_loop (w->device), raise_one, w);
        while (atomic_load (&w->n_told) == before && g_get_monotonic_time () < end)
            g_usleep (1);
        if (atomic_load (&w->n_told) == before)
            wrong (w, "an interrupt was lost");
    }
}

static uint64_t
model_features (void *model)
{
    return 0;
}

static void
model_nothing (void *model)
{
}

static void
model_notify (void *model, unsigned index)
{
}

static void
model_quiesce (void *model)
{
    World *w = model;

    vmm_virtio_device_take_queue_back (w->device, LENT);
    atomic_store (&w->resting, true);
}

static void
model_resume (void *model)
{
    World *w = model;

    atomic_store (&w->call, vmm_virtio_device_lend_queue (w->device, LENT));
    atomic_store (&w->resting, false);
}

static const VmmVirtioModel model_ops = {
    .name = "test",
    .id = VMM_VIRTIO_ID_RNG,
    .features = model_features,
    .activate = model_resume,
    .notify = model_notify,
    .quiesce = model_quiesce,
    .resume = model_resume,
    .reset = model_nothing,
    .free = model_nothing,
};

static bool
bring_up (World *w, VmmLoop *loop)
{
    VmmVirtioEnv env = {.loop = loop, .name = "test"};
    VmmVirtioPciConfig config = {.mmio = w->bus,
                                 .msi = {on_msi, w},
                                 .routes = {on_open, on_connect, on_disconnect, on_close, w},
                                 .pin = 1};

    w->device = vmm_virtio_device_new (&env, &model_ops, w, N_QUEUES, 16);
    w->pci = vmm_virtio_pci_new (w->device, &config, NULL);
    if (w->pci == NULL)
        return false;
    w->function = vmm_virtio_pci_function (w->pci);
    w->msix = vmm_pci_function_get (w->function, VMM_PCI_CAPABILITIES, 1);
    while (vmm_pci_function_get (w->function, w->msix, 1) != VMM_PCI_CAPABILITY_MSIX)
        w->msix = vmm_pci_function_get (w->function, w->msix + 1, 1);
    for (unsigned i = 0; i < N_QUEUES; i++) {
        put (w, 0x16, 2, i);
        put (w, 0x1a, 2, i + 1);
    }
    put (w, 0x14, 1, 3);
    put (w, 0x08, 4, 1);
    put (w, 0x0c, 4, 1);
    put (w, 0x14, 1, 11);
    put (w, 0x14, 1, 15);
    return vmm_virtio_device_status (w->device) == 15;
}

int
main (void)
{
    static void *(*const mains[]) (void *) = {vector_main, enable_main, bar_main, isr_main};
    VmmLoop *loop = vmm_loop_new ("test", NULL);
    World w = {.bus = vmm_bus_new ("MMIO")};
    pthread_t threads[G_N_ELEMENTS (mains)];

    if (loop == NULL || !bring_up (&w, loop))
        return 1;
    for (size_t i = 0; i < G_N_ELEMENTS (mains); i++)
        pthread_create (&threads[i], NULL, mains[i], &w);
    drive (&w);
    atomic_store (&w.stop, true);
    for (size_t i = 0; i < G_N_ELEMENTS (mains); i++)
        pthread_join (threads[i], NULL);
    vmm_virtio_device_set_status (w.device, 0);
    vmm_virtio_pci_free (w.pci);
    vmm_virtio_device_free (w.device);
    vmm_loop_free (loop);
    vmm_bus_free (w.bus);
    return atomic_load (&w.n_wrong) != 0;
}
