/* SPDX-License-Identifier: Apache-2.0 */
#include "transport-rig.h"

#include <criterion/criterion.h>

#include "devices/virtio/rng.h"

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
    rig->n_line++;
    g_mutex_unlock (&rig->lock);
}

static bool
on_doorbell (void *host, const VmmDoorbell *doorbell, bool on)
{
    ((Rig *)host)->doorbell = on ? doorbell->gpa : 0;
    return false;
}

static Rig *
set_up_with (bool pci, bool edge)
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
        VmmVirtioPciConfig config = {.mmio = rig->bus,
                                     .msi = {.send = on_msi, .chip = rig},
                                     .pin = 2,
                                     .irq = {on_line, rig, 17},
                                     .doorbells = {on_doorbell, rig}};

        rig->pci = vmm_virtio_pci_new (rig->device, &config, NULL);
        rig->function = vmm_virtio_pci_function (rig->pci);
        vmm_pci_function_config_write (rig->function, VMM_PCI_BAR0, 4, (uint32_t)BAR);
        vmm_pci_function_config_write (rig->function, VMM_PCI_COMMAND, 2,
                                       VMM_PCI_COMMAND_MEMORY | VMM_PCI_COMMAND_BUS_MASTER);
    } else {
        VmmVirtioMmioConfig config = {
            .gpa = BAR, .irq = {on_line, rig, 16}, .edge = edge, .doorbells = {on_doorbell, rig}};

        rig->mmio = vmm_virtio_mmio_new (rig->device, &config);
        cr_assert (vmm_bus_add (rig->bus, "rng0", BAR, VMM_VIRTIO_MMIO_SIZE, &vmm_virtio_mmio_bus_ops,
                                rig->mmio, NULL));
    }
    return rig;
}

Rig *
set_up (bool pci)
{
    return set_up_with (pci, false);
}

Rig *
set_up_edge (void)
{
    return set_up_with (false, true);
}

void
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

uint64_t
get (Rig *rig, uint64_t address, unsigned size)
{
    uint64_t value = vmm_bus_read (rig->bus, address, size);

    return size == 8 ? value : value & ((UINT64_C (1) << (8 * size)) - 1);
}

void
put (Rig *rig, uint64_t address, unsigned size, uint64_t value)
{
    vmm_bus_write (rig->bus, address, size, value);
}

unsigned
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

void
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

void
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

void
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

bool
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
