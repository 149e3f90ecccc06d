/* SPDX-License-Identifier: Apache-2.0 */
/* A device that a driver brings up by registers alone, over PCI and memory-mapped, as Linux does it. */
#include <criterion/criterion.h>
#include <string.h>

#include "devices/virtio/mmio.h"
#include "devices/virtio/pci.h"
#include "devices/virtio/rng.h"
#include "virtq-driver.h"

#define MEMORY (UINT64_C (4) << 20)
#define BAR UINT64_C (0xd0000000)
#define COMMON BAR
#define NOTIFY (BAR + 0x3000)
#define TABLE (BAR + 0x4000)
#define PENDING (BAR + 0x5000)

typedef struct {
    VmmGuestMemory *memory;
    VmmLoop *loop;
    VmmBus *bus;
    VmmVirtioDevice *device;
    VmmVirtioPci *pci;
    VmmPciFunction *function;
    VmmVirtioMmio *mmio;
    VmmVirtqHeap heap;
    VmmVirtqDriver *queue;
    GMutex lock;
    uint64_t message; /* the last one: address and data */
    unsigned n_messages;
    bool line;
    uint64_t doorbell; /* where it is; 0: nowhere */
} Rig;

static void
on_msi (void *chip, uint64_t address, uint32_t data)
{
    Rig *rig = chip;

    g_mutex_lock (&rig->lock);
    rig->message = address << 32 | data;
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

static bool
on_doorbell (void *host, const VmmDoorbell *doorbell, bool on)
{
    ((Rig *)host)->doorbell = on ? doorbell->gpa : 0;
    return false;
}

static Rig *
set_up (bool pci)
{
    Rig *rig = g_new0 (Rig, 1);
    VmmVirtioEnv env;

    g_mutex_init (&rig->lock);
    rig->memory = vmm_virtq_memory_new (MEMORY);
    rig->loop = vmm_loop_new ("test", NULL);
    rig->bus = vmm_bus_new ("MMIO");
    env = (VmmVirtioEnv){.memory = rig->memory, .loop = rig->loop, .name = "rng0"};
    rig->device = vmm_virtio_rng_new (&env);
    vmm_virtq_heap_init (&rig->heap, rig->memory, 0x1000, MEMORY - 0x1000);
    rig->queue = vmm_virtq_driver_new (&rig->heap, 16, 0);
    if (pci) {
        VmmVirtioPciConfig config = {
            .mmio = rig->bus, .msi = {.send = on_msi, .chip = rig}, .doorbells = {on_doorbell, rig}};

        rig->pci = vmm_virtio_pci_new (rig->device, &config, NULL);
        rig->function = vmm_virtio_pci_function (rig->pci);
        vmm_pci_function_config_write (rig->function, VMM_PCI_BAR0, 4, (uint32_t)BAR);
        vmm_pci_function_config_write (rig->function, VMM_PCI_COMMAND, 2, VMM_PCI_COMMAND_MEMORY);
    } else {
        VmmVirtioMmioConfig config = {.gpa = BAR, .irq = {on_line, rig, 16}, .doorbells = {on_doorbell, rig}};

        rig->mmio = vmm_virtio_mmio_new (rig->device, &config);
        cr_assert (vmm_bus_add (rig->bus, "rng0", BAR, VMM_VIRTIO_MMIO_SIZE, &vmm_virtio_mmio_bus_ops,
                                rig->mmio, NULL));
    }
    return rig;
}

static void
tear_down (Rig *rig)
{
    vmm_virtio_device_set_status (rig->device, 0);
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

static uint64_t
get (Rig *rig, uint64_t address, unsigned size)
{
    uint64_t value = vmm_bus_read (rig->bus, address, size);

    return size == 8 ? value : value & ((UINT64_C (1) << (8 * size)) - 1);
}

static void
put (Rig *rig, uint64_t address, unsigned size, uint64_t value)
{
    vmm_bus_write (rig->bus, address, size, value);
}

/* Where the capability of a type is; 0: there is none. */
static unsigned
find_capability (Rig *rig, uint8_t id, uint8_t type)
{
    unsigned at = vmm_pci_function_config_read (rig->function, VMM_PCI_CAPABILITIES, 1);

    for (unsigned n = 0; at != 0 && n < 48; n++) {
        if (vmm_pci_function_config_read (rig->function, at, 1) == id &&
            (type == 0 || vmm_pci_function_config_read (rig->function, at + 3, 1) == type))
            return at;
        at = vmm_pci_function_config_read (rig->function, at + 1, 1);
    }
    return 0;
}

static void
bring_up_pci (Rig *rig)
{
    VmmVirtqueueLayout layout = vmm_virtq_driver_layout (rig->queue);

    put (rig, COMMON + 0x14, 1, 0);
    put (rig, COMMON + 0x14, 1, 3);
    put (rig, COMMON + 0x08, 4, 1);
    put (rig, COMMON + 0x0c, 4, 1); /* VERSION_1 */
    put (rig, COMMON + 0x14, 1, 11);
    cr_assert_eq (get (rig, COMMON + 0x14, 1), 11);
    put (rig, COMMON + 0x16, 2, 0);
    put (rig, COMMON + 0x18, 2, layout.size);
    put (rig, COMMON + 0x1a, 2, 1);
    put (rig, COMMON + 0x20, 4, (uint32_t)layout.desc);
    put (rig, COMMON + 0x24, 4, layout.desc >> 32);
    put (rig, COMMON + 0x28, 8, layout.driver);
    put (rig, COMMON + 0x30, 8, layout.device);
    put (rig, COMMON + 0x1c, 2, 1);
    put (rig, COMMON + 0x14, 1, 15);
    cr_assert_eq (get (rig, COMMON + 0x14, 1), 15);
}

static void
bring_up_mmio (Rig *rig)
{
    VmmVirtqueueLayout layout = vmm_virtq_driver_layout (rig->queue);

    put (rig, BAR + 0x70, 4, 0);
    put (rig, BAR + 0x70, 4, 3);
    put (rig, BAR + 0x24, 4, 1);
    put (rig, BAR + 0x20, 4, 1);
    put (rig, BAR + 0x70, 4, 11);
    put (rig, BAR + 0x30, 4, 0);
    put (rig, BAR + 0x38, 4, layout.size);
    put (rig, BAR + 0x80, 4, (uint32_t)layout.desc);
    put (rig, BAR + 0x84, 4, layout.desc >> 32);
    put (rig, BAR + 0x90, 4, (uint32_t)layout.driver);
    put (rig, BAR + 0xa0, 4, (uint32_t)layout.device);
    put (rig, BAR + 0x44, 4, 1);
    put (rig, BAR + 0x70, 4, 15);
    cr_assert_eq (get (rig, BAR + 0x70, 4), 15);
}

/* Asks for random numbers, by a write to @doorbell, and waits for them. */
static void
ask (Rig *rig, uint64_t doorbell, unsigned size)
{
    VmmVirtqSegment in = vmm_virtq_heap_alloc (&rig->heap, 64);
    gint64 end = g_get_monotonic_time () + 20 * G_USEC_PER_SEC;
    uint32_t len = 0;

    cr_assert_geq (vmm_virtq_driver_add (rig->queue, NULL, 0, &in, 1), 0);
    vmm_virtq_driver_publish (rig->queue);
    put (rig, doorbell, size, 0);
    while (!vmm_virtq_driver_poll_used (rig->queue, NULL, &len) && g_get_monotonic_time () < end)
        g_usleep (100);
    cr_assert_eq (len, 64);
}

static bool
wait_for (Rig *rig, unsigned messages)
{
    gint64 end = g_get_monotonic_time () + 20 * G_USEC_PER_SEC;
    bool there = false;

    while (!there && g_get_monotonic_time () < end) {
        g_mutex_lock (&rig->lock);
        there = messages == 0 ? rig->line : rig->n_messages >= messages;
        g_mutex_unlock (&rig->lock);
        g_usleep (100);
    }
    return there;
}

Test (virtio_pci, tells_what_it_is, .timeout = 30)
{
    Rig *rig = set_up (true);

    cr_assert_eq (vmm_pci_function_config_read (rig->function, 0, 4), 0x10441af4);
    cr_assert_eq (vmm_pci_function_config_read (rig->function, VMM_PCI_REVISION, 1), 1);
    for (uint8_t type = 1; type <= 5; type++)
        cr_assert_neq (find_capability (rig, 0x09, type), 0, "type %u", type);
    cr_assert_neq (find_capability (rig, 0x11, 0), 0);
    cr_assert_eq (get (rig, COMMON + 0x12, 2), 1);
    cr_assert_eq (rig->doorbell, NOTIFY);
    /* The BAR moves, and the doorbell with it. */
    vmm_pci_function_config_write (rig->function, VMM_PCI_BAR0, 4, 0xd8000000);
    cr_assert_eq (rig->doorbell, 0xd8003000);
    vmm_pci_function_config_write (rig->function, VMM_PCI_COMMAND, 2, 0);
    cr_assert_eq (rig->doorbell, 0);
    tear_down (rig);
}

Test (virtio_pci, works_and_interrupts_by_msix, .timeout = 60)
{
    Rig *rig = set_up (true);
    unsigned msix = find_capability (rig, 0x11, 0);

    put (rig, TABLE + 16, 4, 0xfee00000);
    put (rig, TABLE + 24, 4, 0x41);
    vmm_pci_function_config_write (rig->function, msix + 2, 2, 0x8000);
    bring_up_pci (rig);
    /* Masked: it is pending. */
    ask (rig, NOTIFY, 2);
    for (unsigned i = 0; i < 10000 && get (rig, PENDING, 4) == 0; i++)
        g_usleep (100);
    cr_assert_eq (get (rig, PENDING, 4), 2);
    cr_assert_eq (rig->n_messages, 0);
    put (rig, TABLE + 28, 4, 0);
    cr_assert (wait_for (rig, 1));
    cr_assert_eq (rig->message, UINT64_C (0xfee00000) << 32 | 0x41);
    cr_assert_eq (get (rig, PENDING, 4), 0);
    ask (rig, NOTIFY, 2);
    cr_assert (wait_for (rig, 2));
    /* The whole function masked. */
    vmm_pci_function_config_write (rig->function, msix + 2, 2, 0xc000);
    ask (rig, NOTIFY, 4);
    g_usleep (20000);
    cr_assert_eq (rig->n_messages, 2);
    vmm_pci_function_config_write (rig->function, msix + 2, 2, 0x8000);
    cr_assert (wait_for (rig, 3));
    tear_down (rig);
}

Test (virtio_pci, keeps_to_the_order_of_things, .timeout = 30)
{
    Rig *rig = set_up (true);

    /* No features before DRIVER, no DRIVER_OK and no queue without FEATURES_OK. */
    put (rig, COMMON + 0x08, 4, 1);
    put (rig, COMMON + 0x0c, 4, 1);
    cr_assert_eq (get (rig, COMMON + 0x0c, 4), 0);
    put (rig, COMMON + 0x14, 1, 7);
    cr_assert_eq (get (rig, COMMON + 0x14, 1), 3);
    put (rig, COMMON + 0x1c, 2, 1);
    cr_assert_eq (get (rig, COMMON + 0x1c, 2), 0);
    /* Without VERSION_1, and with what was not offered, FEATURES_OK does not stay. */
    put (rig, COMMON + 0x14, 1, 11);
    cr_assert_eq (get (rig, COMMON + 0x14, 1), 3);
    put (rig, COMMON + 0x0c, 4, 0x80000001);
    put (rig, COMMON + 0x14, 1, 11);
    cr_assert_eq (get (rig, COMMON + 0x14, 1), 3);
    /* A vector that there is not is none. */
    put (rig, COMMON + 0x10, 2, 2);
    cr_assert_eq (get (rig, COMMON + 0x10, 2), 0xffff);
    put (rig, COMMON + 0x10, 2, 1);
    cr_assert_eq (get (rig, COMMON + 0x10, 2), 1);
    /* A queue that there is not has no size. */
    put (rig, COMMON + 0x16, 2, 9);
    cr_assert_eq (get (rig, COMMON + 0x18, 2), 0);
    tear_down (rig);
}

Test (virtio_pci, a_ring_that_cannot_be_needs_a_reset, .timeout = 30)
{
    static const struct {
        uint16_t size;
        uint64_t desc;
    } rows[] = {{0, 0x1000}, {3, 0x1000}, {16, 0x1001}, {16, MEMORY}, {16, UINT64_MAX - 15}};
    Rig *rig = set_up (true);

    for (size_t i = 0; i < G_N_ELEMENTS (rows); i++) {
        bring_up_pci (rig);
        put (rig, COMMON + 0x3a, 2, 1);
        put (rig, COMMON + 0x18, 2, rows[i].size);
        put (rig, COMMON + 0x20, 8, rows[i].desc);
        put (rig, COMMON + 0x28, 8, 0x2000);
        put (rig, COMMON + 0x30, 8, 0x3000);
        put (rig, COMMON + 0x1c, 2, 1);
        cr_assert_neq (get (rig, COMMON + 0x14, 1) & 64, 0, "row %zu", i);
        vmm_virtq_driver_reset (rig->queue);
    }
    bring_up_pci (rig);
    ask (rig, NOTIFY, 2);
    /* A queue that was reset and enabled again goes on. */
    put (rig, COMMON + 0x3a, 2, 1);
    cr_assert_eq (get (rig, COMMON + 0x1c, 2), 0);
    tear_down (rig);
}

Test (virtio_pci, the_configuration_space_is_a_window_too, .timeout = 30)
{
    Rig *rig = set_up (true);
    unsigned window = find_capability (rig, 0x09, 5);

    vmm_pci_function_config_write (rig->function, window + 4, 1, 0);
    vmm_pci_function_config_write (rig->function, window + 8, 4, 0x14);
    vmm_pci_function_config_write (rig->function, window + 12, 4, 1);
    vmm_pci_function_config_write (rig->function, window + 16, 1, 1);
    cr_assert_eq (get (rig, COMMON + 0x14, 1), 1);
    cr_assert_eq (vmm_pci_function_config_read (rig->function, window + 16, 1) & 0xff, 1);
    tear_down (rig);
}

Test (virtio_pci, survives_every_access, .timeout = 60)
{
    Rig *rig = set_up (true);

    for (uint64_t offset = 0; offset + 8 <= VMM_VIRTIO_PCI_BAR_SIZE; offset++) {
        for (unsigned size = 1; size <= 8; size *= 2) {
            get (rig, BAR + offset, size);
            put (rig, BAR + offset, size, offset * 0x9e3779b97f4a7c15);
        }
    }
    vmm_virtio_pci_device_ops.reset (rig->pci);
    cr_assert_eq (vmm_virtio_device_status (rig->device), 0);
    tear_down (rig);
}

Test (virtio_mmio, works_and_interrupts_by_its_line, .timeout = 60)
{
    Rig *rig = set_up (false);

    cr_assert_eq (get (rig, BAR, 4), 0x74726976);
    cr_assert_eq (get (rig, BAR + 4, 4), 2);
    cr_assert_eq (get (rig, BAR + 8, 4), 4);
    cr_assert_eq (get (rig, BAR + 0x34, 4), 64);
    cr_assert_eq (get (rig, BAR + 0xb0, 4), 0xffffffff);
    cr_assert_eq (rig->doorbell, BAR + 0x50);
    bring_up_mmio (rig);
    ask (rig, BAR + 0x50, 4);
    cr_assert (wait_for (rig, 0));
    cr_assert_eq (get (rig, BAR + 0x60, 4), 1);
    put (rig, BAR + 0x64, 4, 1);
    cr_assert_not (rig->line);
    ask (rig, BAR + 0x50, 4);
    cr_assert (wait_for (rig, 0));
    /* A reset takes the line down. */
    put (rig, BAR + 0x70, 4, 0);
    cr_assert_not (rig->line);
    cr_assert_eq (get (rig, BAR + 0x44, 4), 0);
    tear_down (rig);
}

Test (virtio_mmio, survives_every_access, .timeout = 60)
{
    Rig *rig = set_up (false);

    for (uint64_t offset = 0; offset + 8 <= VMM_VIRTIO_MMIO_SIZE; offset++) {
        for (unsigned size = 1; size <= 8; size *= 2) {
            get (rig, BAR + offset, size);
            put (rig, BAR + offset, size, offset * 0x9e3779b97f4a7c15);
        }
    }
    vmm_virtio_mmio_device_ops.reset (rig->mmio);
    cr_assert_eq (vmm_virtio_device_status (rig->device), 0);
    tear_down (rig);
}
