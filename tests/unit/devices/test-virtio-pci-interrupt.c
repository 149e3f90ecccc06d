/* SPDX-License-Identifier: Apache-2.0 */
/* The interrupt pin of a virtio function, for a driver that leaves MSI-X off (virtio 1.2 section 4.1.5.1.3).
 */
#include <criterion/criterion.h>

#include "device-state.h"
#include "devices/pci/msix.h"
#include "transport-rig.h"

#define ISR (BAR + 0x1000)
#define COMMAND_ON (VMM_PCI_COMMAND_MEMORY | VMM_PCI_COMMAND_BUS_MASTER)

static void
command (Rig *rig, uint32_t value)
{
    vmm_pci_function_config_write (rig->function, VMM_PCI_COMMAND, 2, value);
}

static bool
status_says (Rig *rig)
{
    return (vmm_pci_function_config_read (rig->function, VMM_PCI_STATUS, 2) & VMM_PCI_STATUS_INTX) != 0;
}

/* The device told of used buffers, and the driver has not looked yet. */
static Rig *
interrupted (void)
{
    Rig *rig = set_up (true);

    command (rig, COMMAND_ON);
    bring_up_pci (rig);
    ask (rig, NOTIFY, 2);
    cr_assert (wait_for (rig, 0));
    return rig;
}

Test (virtio_pci_pin, is_in_the_registers, .timeout = 30)
{
    Rig *rig = set_up (true);

    cr_assert_eq (vmm_pci_function_config_read (rig->function, VMM_PCI_INTERRUPT_PIN, 1), 2);
    cr_assert_eq (vmm_pci_function_config_read (rig->function, VMM_PCI_INTERRUPT_LINE, 1), 17);
    /* The line is a note of the guest's, the pin is a fact; a reset brings both back. */
    vmm_pci_function_config_write (rig->function, VMM_PCI_INTERRUPT_LINE, 2, 0x050a);
    cr_assert_eq (vmm_pci_function_config_read (rig->function, VMM_PCI_INTERRUPT_LINE, 2), 0x020a);
    vmm_virtio_pci_device_ops.reset (rig->pci);
    cr_assert_eq (vmm_pci_function_config_read (rig->function, VMM_PCI_INTERRUPT_LINE, 2), 0x0211);
    tear_down (rig);
}

Test (virtio_pci_pin, is_a_level_that_the_isr_status_takes_down, .timeout = 60)
{
    Rig *rig = interrupted ();

    cr_assert (status_says (rig));
    cr_assert_eq (rig->n_messages, 0);
    /* More of the same do not change the level. */
    ask (rig, NOTIFY, 2);
    cr_assert_eq (rig->n_line, 1);
    cr_assert_eq (get (rig, ISR, 1), 1);
    cr_assert_not (rig->line);
    cr_assert_not (status_says (rig));
    cr_assert_eq (get (rig, ISR, 1), 0);
    ask (rig, NOTIFY, 2);
    cr_assert (wait_for (rig, 0));
    /* A change of the configuration is the other bit. */
    vmm_virtio_device_config_changed (rig->device);
    cr_assert_eq (get (rig, ISR, 1), 3);
    cr_assert_not (rig->line);
    tear_down (rig);
}

Test (virtio_pci_pin, interrupt_disable_keeps_it_down, .timeout = 60)
{
    Rig *rig = interrupted ();

    command (rig, COMMAND_ON | VMM_PCI_COMMAND_INTX_DISABLE);
    cr_assert_not (rig->line);
    cr_assert (status_says (rig), "what would be asserted");
    command (rig, COMMAND_ON);
    cr_assert (rig->line);
    tear_down (rig);
}

Test (virtio_pci_pin, msix_takes_its_place, .timeout = 60)
{
    Rig *rig = interrupted ();
    unsigned msix = find_capability (rig, VMM_PCI_CAPABILITY_MSIX, 0);

    vmm_pci_function_config_write (rig->function, msix + 2, 2, 0x8000);
    cr_assert_not (rig->line);
    cr_assert_not (status_says (rig));
    cr_assert_eq (get (rig, ISR, 1), 1);
    /* The configuration's bit is there without the pin. */
    vmm_virtio_device_config_changed (rig->device);
    cr_assert_not (rig->line);
    cr_assert_eq (get (rig, ISR, 1), 2);
    vmm_pci_function_config_write (rig->function, msix + 2, 2, 0);
    ask (rig, NOTIFY, 2);
    cr_assert (wait_for (rig, 0));
    tear_down (rig);
}

Test (virtio_pci_pin, a_reset_takes_it_down, .timeout = 60)
{
    Rig *rig = interrupted ();

    put (rig, COMMON + 0x14, 1, 0);
    cr_assert_not (rig->line);
    cr_assert_not (status_says (rig));
    cr_assert_eq (get (rig, ISR, 1), 0);
    tear_down (rig);
}

Test (virtio_pci_pin, comes_back_from_saved_state, .timeout = 60)
{
    Rig *rig = interrupted ();
    g_autoptr (GBytes) state = NULL;

    vmm_virtio_device_pause (rig->device);
    state = save_device (&vmm_virtio_pci_device_ops, rig->pci);
    vmm_virtio_device_resume (rig->device);
    vmm_virtio_pci_device_ops.reset (rig->pci);
    cr_assert_not (rig->line);
    cr_assert (load_device (&vmm_virtio_pci_device_ops, rig->pci, state));
    cr_assert (rig->line);
    cr_assert (status_says (rig));
    cr_assert_eq (get (rig, ISR, 1) & 1, 1);
    cr_assert_not (rig->line);
    tear_down (rig);
}

/* Offers a buffer, and rings; what the device does about it is not waited for. */
static void
offer (Rig *rig)
{
    VmmVirtqSegment in = vmm_virtq_heap_alloc (&rig->heap, 64);

    cr_assert_geq (vmm_virtq_driver_add (rig->queue, NULL, 0, &in, 1), 0);
    vmm_virtq_driver_publish (rig->queue);
    put (rig, NOTIFY, 2, 0);
}

static bool
used (Rig *rig, unsigned ms)
{
    gint64 end = g_get_monotonic_time () + (gint64)ms * 1000;
    bool done;

    while (!(done = vmm_virtq_driver_poll_used (rig->queue, NULL, NULL)) && g_get_monotonic_time () < end)
        g_usleep (100);
    return done;
}

Test (virtio_pci_bus_master, off_means_no_memory_access, .timeout = 60)
{
    Rig *rig = set_up (true);

    command (rig, VMM_PCI_COMMAND_MEMORY);
    bring_up_pci (rig);
    offer (rig);
    cr_assert_not (used (rig, 30));
    command (rig, COMMAND_ON);
    cr_assert (used (rig, 20000), "what waited is done");
    command (rig, VMM_PCI_COMMAND_MEMORY);
    offer (rig);
    cr_assert_not (used (rig, 30));
    /* A pause in between changes nothing about it. */
    vmm_virtio_device_pause (rig->device);
    vmm_virtio_device_resume (rig->device);
    cr_assert_not (used (rig, 30));
    vmm_virtio_device_pause (rig->device);
    command (rig, COMMAND_ON);
    cr_assert_not (used (rig, 30));
    vmm_virtio_device_resume (rig->device);
    cr_assert (used (rig, 20000));
    tear_down (rig);
}

Test (virtio_pci_bus_master, off_holds_messages_back, .timeout = 60)
{
    Rig *rig = set_up (true);
    unsigned msix = find_capability (rig, VMM_PCI_CAPABILITY_MSIX, 0);

    put (rig, TABLE, 8, 0xfee00000);
    put (rig, TABLE + 8, 8, 0x55);
    vmm_pci_function_config_write (rig->function, msix + 2, 2, 0x8000);
    bring_up_pci (rig);
    put (rig, COMMON + 0x10, 2, 0);
    command (rig, VMM_PCI_COMMAND_MEMORY);
    vmm_virtio_device_config_changed (rig->device);
    cr_assert_eq (rig->n_messages, 0);
    cr_assert_eq (get (rig, PENDING, 8), 1);
    command (rig, COMMAND_ON);
    cr_assert_eq (rig->n_messages, 1);
    cr_assert_eq (rig->message, UINT64_C (0xfee00000) << 32 | 0x55);
    cr_assert_eq (get (rig, PENDING, 8), 0);
    tear_down (rig);
}

Test (virtio_pci_bus_master, a_reset_of_the_device_is_possible_without, .timeout = 60)
{
    Rig *rig = interrupted ();

    command (rig, VMM_PCI_COMMAND_MEMORY);
    offer (rig);
    put (rig, COMMON + 0x14, 1, 0);
    cr_assert_eq (get (rig, COMMON + 0x14, 1), 0);
    command (rig, COMMAND_ON);
    cr_assert_not (used (rig, 30), "the rings are the driver's again");
    vmm_virtq_driver_reset (rig->queue);
    bring_up_pci (rig);
    ask (rig, NOTIFY, 2);
    tear_down (rig);
}

/* The state of a machine whose guest had taken the right away goes on in that way. */
Test (virtio_pci_bus_master, is_off_after_loading_it_so, .timeout = 60)
{
    Rig *rig = interrupted ();
    g_autoptr (GBytes) state = NULL;

    command (rig, VMM_PCI_COMMAND_MEMORY);
    vmm_virtio_device_pause (rig->device);
    state = save_device (&vmm_virtio_pci_device_ops, rig->pci);
    vmm_virtio_device_resume (rig->device);
    vmm_virtio_pci_device_ops.reset (rig->pci);
    cr_assert (load_device (&vmm_virtio_pci_device_ops, rig->pci, state));
    offer (rig);
    cr_assert_not (used (rig, 30));
    command (rig, COMMAND_ON);
    cr_assert (used (rig, 20000));
    tear_down (rig);
}
