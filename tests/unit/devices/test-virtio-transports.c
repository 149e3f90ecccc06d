/* SPDX-License-Identifier: Apache-2.0 */
/* A device that a driver brings up by registers alone, over PCI and memory-mapped, as Linux does it. */
#include <criterion/criterion.h>
#include <string.h>

#include "transport-rig.h"

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

/* What comes between the driver's look at InterruptStatus and its acknowledgement would make no edge. */
Test (virtio_mmio, an_edge_is_made_of_what_is_not_acknowledged, .timeout = 60)
{
    Rig *rig = set_up_edge ();
    unsigned before;

    bring_up_mmio (rig);
    ask (rig, BAR + 0x50, 4);
    cr_assert (wait_for (rig, 0));
    vmm_virtio_device_config_changed (rig->device);
    cr_assert_eq (get (rig, BAR + 0x60, 4), 3);
    before = rig->n_line;
    put (rig, BAR + 0x64, 4, 1);
    cr_assert (rig->line);
    cr_assert_eq (rig->n_line, before + 2, "down and up");
    put (rig, BAR + 0x64, 4, 2);
    cr_assert_not (rig->line);
    cr_assert_eq (rig->n_line, before + 3);
    put (rig, BAR + 0x64, 4, 3);
    cr_assert_eq (rig->n_line, before + 3);
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
