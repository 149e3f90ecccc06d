/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device that lends its queue to somebody else, played by the test: it reads the doorbell and signals the
 * call. What the guest sees of the signals depends on its vectors, and nothing is lost when those change. The
 * host's routes are a record of what is connected.
 */
#include <criterion/criterion.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/pci/msix.h"
#include "devices/virtio/mmio.h"
#include "devices/virtio/pci.h"
#include "virtio-driver.h"

#define MEMORY (UINT64_C (1) << 20)
#define BAR UINT64_C (0xd0000000)
#define ISR (BAR + 0x1000)
#define TABLE (BAR + 0x4000)
#define PENDING (BAR + 0x5000)
#define ENABLE 0x8000u
#define QUEUE 1u
#define WAIT_US (20 * G_USEC_PER_SEC)

typedef struct {
    VmmGuestMemory *memory;
    VmmLoop *loop;
    VmmBus *bus;
    VmmVirtioDevice *device;
    VmmVirtioPci *pci;
    VmmVirtioMmio *mmio;
    VmmPciFunction *function;
    unsigned control;
    VmmVirtqHeap heap;
    VmmVirtqDriver *queue;
    bool lends;
    GMutex lock; /* the rest */
    int call;
    bool refuse; /* the host has no routes */
    unsigned n_open;
    int connected; /* the eventfd; -1: none */
    uint64_t address;
    uint32_t data;
    unsigned n_messages;
    unsigned n_notified;
    bool line;
} Rig;

static void
lend (Rig *rig)
{
    int call = rig->lends ? vmm_virtio_device_lend_queue (rig->device, QUEUE) : -1;

    g_mutex_lock (&rig->lock);
    rig->call = call;
    g_mutex_unlock (&rig->lock);
}

static void
model_start (void *model)
{
    lend (model);
}

static void
model_stop (void *model)
{
    vmm_virtio_device_take_queue_back (((Rig *)model)->device, QUEUE);
}

static void
model_queue_reset (void *model, unsigned index)
{
    vmm_virtio_device_take_queue_back (((Rig *)model)->device, index);
}

static void
model_notify (void *model, unsigned index)
{
    Rig *rig = model;

    g_mutex_lock (&rig->lock);
    rig->n_notified += index == QUEUE;
    g_mutex_unlock (&rig->lock);
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

static const VmmVirtioModel model_ops = {
    .name = "lender",
    .id = VMM_VIRTIO_ID_RNG,
    .features = model_features,
    .activate = model_start,
    .notify = model_notify,
    .queue_reset = model_queue_reset,
    .quiesce = model_stop,
    .resume = model_start,
    .reset = model_nothing,
    .free = model_nothing,
};

static void
on_msi (void *chip, uint64_t address, uint32_t data)
{
    Rig *rig = chip;

    g_mutex_lock (&rig->lock);
    rig->n_messages++;
    g_mutex_unlock (&rig->lock);
}

static void
on_line (void *chip, unsigned gsi, bool level)
{
    Rig *rig = chip;

    g_mutex_lock (&rig->lock);
    rig->line = level;
    g_mutex_unlock (&rig->lock);
}

static int
on_open (void *chip)
{
    Rig *rig = chip;

    return rig->refuse ? -1 : (int)rig->n_open++;
}

static bool
on_connect (void *chip, int route, int fd, uint64_t address, uint32_t data)
{
    Rig *rig = chip;

    cr_assert_eq (rig->connected, -1);
    rig->connected = fd;
    rig->address = address;
    rig->data = data;
    return true;
}

static void
on_disconnect (void *chip, int route, int fd)
{
    Rig *rig = chip;

    cr_assert_eq (rig->connected, fd);
    rig->connected = -1;
}

static void
on_close (void *chip, int route)
{
    ((Rig *)chip)->n_open--;
}

static void
bring_up (Rig *rig)
{
    cr_assert (vmm_virtio_driver_negotiate (rig->device, VMM_VIRTIO_F_VERSION_1));
    vmm_virtio_driver_set_queue (rig->device, QUEUE, rig->queue);
    cr_assert (vmm_virtio_driver_start (rig->device));
}

static Rig *
set_up (bool pci)
{
    Rig *rig = g_new0 (Rig, 1);
    VmmVirtioEnv env;

    g_mutex_init (&rig->lock);
    rig->lends = true;
    rig->connected = -1;
    rig->memory = vmm_virtq_memory_new (MEMORY);
    rig->loop = vmm_loop_new ("test", NULL);
    rig->bus = vmm_bus_new ("MMIO");
    env = (VmmVirtioEnv){.memory = rig->memory, .loop = rig->loop, .name = "lender"};
    rig->device = vmm_virtio_device_new (&env, &model_ops, rig, 2, 16);
    vmm_virtq_heap_init (&rig->heap, rig->memory, 0x1000, MEMORY - 0x1000);
    rig->queue = vmm_virtq_driver_new (&rig->heap, 16, 0);
    if (pci) {
        VmmVirtioPciConfig config = {.mmio = rig->bus,
                                     .msi = {on_msi, rig},
                                     .routes = {on_open, on_connect, on_disconnect, on_close, rig},
                                     .pin = 1,
                                     .irq = {on_line, rig, 16}};

        rig->pci = vmm_virtio_pci_new (rig->device, &config, NULL);
        rig->function = vmm_virtio_pci_function (rig->pci);
        vmm_pci_function_config_write (rig->function, VMM_PCI_BAR0, 4, (uint32_t)BAR);
        vmm_pci_function_config_write (rig->function, VMM_PCI_COMMAND, 2, 6);
        rig->control = vmm_pci_function_get (rig->function, VMM_PCI_CAPABILITIES, 1);
        while (vmm_pci_function_get (rig->function, rig->control, 1) != VMM_PCI_CAPABILITY_MSIX)
            rig->control = vmm_pci_function_get (rig->function, rig->control + 1, 1);
        rig->control += 2;
        vmm_bus_write (rig->bus, BAR + 0x16, 2, QUEUE);
        vmm_bus_write (rig->bus, BAR + 0x1a, 2, 2);
    } else {
        VmmVirtioMmioConfig config = {.gpa = BAR, .irq = {on_line, rig, 16}};

        rig->mmio = vmm_virtio_mmio_new (rig->device, &config);
    }
    return rig;
}

static void
tear_down (Rig *rig)
{
    vmm_virtio_device_set_status (rig->device, 0);
    cr_assert_eq (rig->connected, -1);
    cr_assert_eq (rig->n_open, 0, "a route was left");
    vmm_virtio_pci_free (rig->pci);
    vmm_virtio_mmio_free (rig->mmio);
    vmm_virtio_device_free (rig->device);
    vmm_virtq_driver_free (rig->queue);
    vmm_bus_free (rig->bus);
    vmm_loop_free (rig->loop);
    vmm_guest_memory_free (rig->memory);
    g_mutex_clear (&rig->lock);
    g_free (rig);
}

static void
put_vector (Rig *rig, uint64_t address, uint32_t data, bool masked)
{
    vmm_bus_write (rig->bus, TABLE + 2 * 16 + 12, 4, 1);
    vmm_bus_write (rig->bus, TABLE + 2 * 16, 8, address);
    vmm_bus_write (rig->bus, TABLE + 2 * 16 + 8, 4, data);
    vmm_bus_write (rig->bus, TABLE + 2 * 16 + 12, 4, masked);
}

static void
put_control (Rig *rig, uint32_t value)
{
    vmm_pci_function_config_write (rig->function, rig->control, 2, value);
}

static bool
becomes (Rig *rig, const bool *what, const unsigned *counter, unsigned count)
{
    gint64 end = g_get_monotonic_time () + WAIT_US;
    bool is = false;

    while (!is && g_get_monotonic_time () < end) {
        g_mutex_lock (&rig->lock);
        is = what != NULL ? *what : *counter >= count;
        g_mutex_unlock (&rig->lock);
        g_usleep (100);
    }
    return is;
}

static bool
pending_becomes_set (Rig *rig)
{
    gint64 end = g_get_monotonic_time () + WAIT_US;

    while (vmm_bus_read (rig->bus, PENDING, 8) != 4 && g_get_monotonic_time () < end)
        g_usleep (100);
    return vmm_bus_read (rig->bus, PENDING, 8) == 4;
}

Test (virtio_lend, signals_go_straight_to_an_unmasked_vector, .timeout = 60)
{
    Rig *rig = set_up (true);

    put_vector (rig, 0xfee00000, 0x41, false);
    bring_up (rig);
    cr_assert_geq (rig->call, 0);
    cr_assert_eq (rig->connected, -1, "MSI-X is off");
    put_control (rig, ENABLE);
    cr_assert_eq (rig->connected, rig->call);
    cr_assert_eq (rig->address, 0xfee00000);
    cr_assert_eq (rig->data, 0x41);
    /* Moved to another CPU. */
    put_vector (rig, 0xfee01000, 0x42, false);
    cr_assert_eq (rig->connected, rig->call);
    cr_assert_eq (rig->address, 0xfee01000);
    cr_assert_eq (rig->data, 0x42);
    put_control (rig, ENABLE | 0x4000);
    cr_assert_eq (rig->connected, -1);
    put_control (rig, ENABLE);
    cr_assert_eq (rig->connected, rig->call);
    vmm_pci_function_config_write (rig->function, VMM_PCI_COMMAND, 2, 2);
    cr_assert_eq (rig->connected, -1, "no bus master, no message");
    tear_down (rig);
}

Test (virtio_lend, the_vector_of_the_queue_counts, .timeout = 60)
{
    Rig *rig = set_up (true);

    put_vector (rig, 0xfee00000, 0x41, false);
    put_control (rig, ENABLE);
    bring_up (rig);
    cr_assert_eq (rig->connected, rig->call);
    vmm_bus_write (rig->bus, BAR + 0x1a, 2, 1);
    cr_assert_eq (rig->connected, -1, "that one is masked");
    vmm_bus_write (rig->bus, BAR + 0x1a, 2, 2);
    cr_assert_eq (rig->connected, rig->call);
    vmm_bus_write (rig->bus, BAR + 0x1a, 2, 0xffff);
    cr_assert_eq (rig->connected, -1);
    tear_down (rig);
}

Test (virtio_lend, signals_for_a_masked_vector_are_pending, .timeout = 60)
{
    Rig *rig = set_up (true);

    put_vector (rig, 0xfee00000, 0x41, true);
    put_control (rig, ENABLE);
    bring_up (rig);
    cr_assert_eq (rig->connected, -1);
    eventfd_write (rig->call, 1);
    cr_assert (pending_becomes_set (rig));
    cr_assert_eq (rig->n_messages, 0);
    vmm_bus_write (rig->bus, TABLE + 2 * 16 + 12, 4, 0);
    cr_assert_eq (rig->n_messages, 1);
    cr_assert_eq (rig->connected, rig->call);
    /* And masked again, after it was connected. */
    vmm_bus_write (rig->bus, TABLE + 2 * 16 + 12, 4, 1);
    eventfd_write (rig->call, 1);
    cr_assert (pending_becomes_set (rig));
    tear_down (rig);
}

Test (virtio_lend, signals_without_msix_are_the_pin, .timeout = 60)
{
    Rig *rig = set_up (true);

    bring_up (rig);
    eventfd_write (rig->call, 1);
    cr_assert (becomes (rig, &rig->line, NULL, 0));
    cr_assert_eq (vmm_bus_read (rig->bus, ISR, 1), 1);
    cr_assert_not (rig->line);
    tear_down (rig);
}

Test (virtio_lend, a_host_without_routes_is_served_by_the_loop, .timeout = 60)
{
    Rig *rig = set_up (true);

    rig->refuse = true;
    put_vector (rig, 0xfee00000, 0x41, false);
    put_control (rig, ENABLE);
    bring_up (rig);
    eventfd_write (rig->call, 1);
    cr_assert (becomes (rig, NULL, &rig->n_messages, 1));
    tear_down (rig);
}

Test (virtio_lend, memory_mapped_too, .timeout = 60)
{
    Rig *rig = set_up (false);

    bring_up (rig);
    eventfd_write (rig->call, 1);
    cr_assert (becomes (rig, &rig->line, NULL, 0));
    tear_down (rig);
}

Test (virtio_lend, the_doorbell_is_whose_the_queue_is, .timeout = 60)
{
    Rig *rig = set_up (true);
    int doorbell = vmm_virtio_device_doorbell (rig->device, QUEUE);
    eventfd_t rung = 0;

    bring_up (rig);
    vmm_virtio_device_notify (rig->device, QUEUE);
    g_usleep (20000);
    cr_assert_eq (rig->n_notified, 0);
    cr_assert_eq (eventfd_read (doorbell, &rung), 0);
    cr_assert_eq (rung, 1);
    /* A queue that is not lent any more is the loop's; a call that came last is not lost. */
    rig->lends = false;
    eventfd_write (rig->call, 1);
    vmm_virtio_device_pause (rig->device);
    vmm_virtio_device_resume (rig->device);
    cr_assert (becomes (rig, &rig->line, NULL, 0));
    cr_assert (becomes (rig, NULL, &rig->n_notified, 1));
    vmm_virtio_device_notify (rig->device, QUEUE);
    cr_assert (becomes (rig, NULL, &rig->n_notified, 2));
    tear_down (rig);
}

Test (virtio_lend, survives_resets_and_pauses, .timeout = 60)
{
    Rig *rig = set_up (true);

    put_vector (rig, 0xfee00000, 0x41, false);
    put_control (rig, ENABLE);
    for (unsigned i = 0; i < 20; i++) {
        bring_up (rig);
        vmm_bus_write (rig->bus, BAR + 0x1a, 2, 2);
        cr_assert_eq (rig->connected, rig->call);
        vmm_virtio_device_pause (rig->device);
        cr_assert_eq (rig->connected, -1);
        vmm_virtio_device_resume (rig->device);
        cr_assert_eq (rig->connected, rig->call);
        if (i % 2 == 0)
            vmm_virtio_device_reset_queue (rig->device, QUEUE);
        vmm_virtio_device_set_status (rig->device, 0);
        cr_assert_eq (rig->connected, -1);
        cr_assert_eq (rig->n_open, 0);
        vmm_virtq_driver_reset (rig->queue);
    }
    tear_down (rig);
}

Test (virtio_lend, the_base_of_a_ring_goes_there_and_back, .timeout = 60)
{
    static const uint64_t features[] = {0, VMM_VIRTIO_F_RING_PACKED};

    for (size_t i = 0; i < G_N_ELEMENTS (features); i++) {
        Rig *rig = set_up (true);
        VmmVirtqDriver *driver = vmm_virtq_driver_new (&rig->heap, 16, features[i]);
        VmmVirtqueue *queue = vmm_virtio_device_queue (rig->device, QUEUE);
        bool packed = features[i] != 0;

        rig->lends = false;
        cr_assert (vmm_virtio_driver_negotiate (rig->device, VMM_VIRTIO_F_VERSION_1 | features[i]));
        vmm_virtio_driver_set_queue (rig->device, QUEUE, driver);
        cr_assert (vmm_virtio_driver_start (rig->device));
        cr_assert_eq (vmm_virtqueue_base (queue), packed ? 0x80008000 : 0);
        cr_assert (vmm_virtqueue_set_base (queue, packed ? 0x00050005 : 0xfff5));
        cr_assert_eq (vmm_virtqueue_base (queue), packed ? 0x00050005 : 0xfff5);
        cr_assert_eq (vmm_virtqueue_set_base (queue, 0x80108010), !packed, "slot 16 of 16");
        cr_assert_eq (vmm_virtqueue_base (queue), packed ? 0x00050005 : 0x8010);
        vmm_virtq_driver_free (driver);
        tear_down (rig);
    }
}
