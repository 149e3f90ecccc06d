/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that writes nonsense into the registers of a device on PCI and of one that is memory-mapped. Each
 * record is one access: kind and width, offset, value. An input that begins with 0xff or 0xfe is the saved
 * state of the one or the other, with a few accesses after it. Whatever comes, a reset afterwards gives a
 * device that is as new.
 */
#include <string.h>

#include "devices/virtio/mmio.h"
#include "devices/virtio/pci.h"
#include "devices/virtio/rng.h"
#include "virtq-driver.h"
#include "vmm/core/bytes.h"

#define RECORD 12u
#define RECORDS_MAX 300u
#define STATE_PCI 0xffu
#define STATE_MMIO 0xfeu

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t len);

typedef struct {
    VmmVirtioDevice *devices[2];
    VmmVirtioPci *pci;
    VmmVirtioMmio *mmio;
    GMutex lock;
    bool lines[2]; /* the function's pin, the other's interrupt */
} Fuzz;

static void
on_line (void *chip, unsigned gsi, bool level)
{
    Fuzz *fuzz = chip;

    g_mutex_lock (&fuzz->lock);
    /* Inputs are shared: a device that tells no change breaks the others. */
    if (fuzz->lines[gsi] == level)
        __builtin_trap ();
    fuzz->lines[gsi] = level;
    g_mutex_unlock (&fuzz->lock);
}

static void
step (Fuzz *fuzz, const uint8_t *record)
{
    unsigned size = 1u << (record[1] & 3);
    uint64_t offset = vmm_get_u16 (record + 2);
    uint64_t value = vmm_get_u64 (record + 4);

    offset -= offset % size;
    switch (record[0] % 6) {
    case 0:
        vmm_virtio_pci_bar_ops.write (fuzz->pci, offset % VMM_VIRTIO_PCI_BAR_SIZE, size, value);
        break;
    case 1:
        vmm_virtio_pci_bar_ops.read (fuzz->pci, offset % VMM_VIRTIO_PCI_BAR_SIZE, size);
        break;
    case 2:
        vmm_pci_function_config_write (vmm_virtio_pci_function (fuzz->pci), (unsigned)offset & 0xff, size,
                                       (uint32_t)value);
        break;
    case 3:
        vmm_pci_function_config_read (vmm_virtio_pci_function (fuzz->pci), (unsigned)offset & 0xff, size);
        break;
    case 4:
        vmm_virtio_mmio_bus_ops.write (fuzz->mmio, offset % 0x200, size, value);
        break;
    default:
        vmm_virtio_mmio_bus_ops.read (fuzz->mmio, offset % 0x200, size);
    }
}

static void
play (Fuzz *fuzz, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < RECORDS_MAX && (i + 1) * RECORD <= len; i++)
        step (fuzz, data + i * RECORD);
}

static void
load (Fuzz *fuzz, const uint8_t *data, size_t len)
{
    const VmmDeviceOps *ops = data[0] == STATE_PCI ? &vmm_virtio_pci_device_ops : &vmm_virtio_mmio_device_ops;
    void *transport = data[0] == STATE_PCI ? (void *)fuzz->pci : (void *)fuzz->mmio;
    g_autoptr (GBytes) bytes = g_bytes_new (data + 1, len - 1);
    g_autoptr (VmmStateReader) reader = vmm_state_reader_new (bytes);
    uint32_t version;

    if (!vmm_state_reader_enter (reader, ops->name, 1, &version, NULL) ||
        !ops->load (transport, reader, version))
        ops->reset (transport);
    vmm_virtio_pci_bar_ops.write (fuzz->pci, 0x3000, 2, 0);
    vmm_virtio_mmio_bus_ops.write (fuzz->mmio, 0x50, 4, 0);
    vmm_virtio_pci_bar_ops.read (fuzz->pci, 0x1000, 1);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t len)
{
    VmmGuestMemory *memory = vmm_virtq_memory_new (1 << 20);
    VmmLoop *loop = vmm_loop_new ("fuzz", NULL);
    VmmBus *bus = vmm_bus_new ("MMIO");
    VmmVirtioEnv env = {.memory = memory, .loop = loop, .name = "rng0"};
    Fuzz fuzz = {.devices = {vmm_virtio_rng_new (&env), vmm_virtio_rng_new (&env)}};
    VmmVirtioPciConfig pci_config = {.mmio = bus, .pin = 1, .irq = {on_line, &fuzz, 0}};
    VmmVirtioMmioConfig mmio_config = {.gpa = 0x1000, .irq = {on_line, &fuzz, 1}};

    g_mutex_init (&fuzz.lock);
    fuzz.pci = vmm_virtio_pci_new (fuzz.devices[0], &pci_config, NULL);
    fuzz.mmio = vmm_virtio_mmio_new (fuzz.devices[1], &mmio_config);
    if (len > 0 && data[0] >= STATE_MMIO)
        load (&fuzz, data, len);
    else
        play (&fuzz, data, len);
    vmm_virtio_pci_device_ops.reset (fuzz.pci);
    vmm_virtio_mmio_device_ops.reset (fuzz.mmio);
    for (unsigned i = 0; i < 2; i++) {
        if (vmm_virtio_device_status (fuzz.devices[i]) != 0 ||
            vmm_virtio_device_queue_enabled (fuzz.devices[i], 0) || fuzz.lines[i])
            __builtin_trap ();
    }
    vmm_virtio_pci_free (fuzz.pci);
    vmm_virtio_mmio_free (fuzz.mmio);
    vmm_virtio_device_free (fuzz.devices[0]);
    vmm_virtio_device_free (fuzz.devices[1]);
    g_mutex_clear (&fuzz.lock);
    vmm_bus_free (bus);
    vmm_loop_free (loop);
    vmm_guest_memory_free (memory);
    return 0;
}
