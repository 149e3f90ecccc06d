/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ten bytes of input are one step: which way in, a size, an address and a value. What must hold however a
 * guest behaves: identity and capability list stay as built, and every mapping of a BAR is one that the BAR
 * can have and is undone before the next.
 */
#include <stdint.h>
#include <stdlib.h>

#include "devices/pci/host.h"
#include "vmm/core/bytes.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

#define STEP 10u
#define DEVFN VMM_PCI_DEVFN (1, 0)

enum {
    DO_PORT_WRITE,
    DO_PORT_READ,
    DO_ECAM_WRITE,
    DO_ECAM_READ,
    DO_DEVICE_WRITE,
    DO_RESET,
    DO_SAVE_LOAD,
    DO_LOAD,
    N_DO,
};

static const uint64_t bar_sizes[VMM_PCI_N_BARS] = {0x1000, 0x20, 0, 0, 0x400000000ull, 0};

typedef struct {
    bool mapped[VMM_PCI_N_BARS];
    uint64_t address[VMM_PCI_N_BARS];
} Bars;

static void
on_bar (void *device, unsigned bar, uint64_t address, bool mapped)
{
    Bars *bars = device;

    if (bar >= VMM_PCI_N_BARS || bars->mapped[bar] == mapped || bar_sizes[bar] == 0)
        abort ();
    if (address == 0 || address % bar_sizes[bar] != 0 || address + bar_sizes[bar] < address)
        abort ();
    if (!mapped && address != bars->address[bar])
        abort ();
    bars->mapped[bar] = mapped;
    bars->address[bar] = address;
}

static const VmmPciFunctionOps ops = {.bar_changed = on_bar};

static VmmPciFunction *
make_function (Bars *bars)
{
    static const VmmPciIdentity identity = {.vendor_id = 0x1af4, .device_id = 0x1042, .class_code = 0x018000};
    VmmPciFunction *f = vmm_pci_function_new ("fuzz", &identity, &ops, bars);
    unsigned offset;

    if (!vmm_pci_function_add_bar (f, 0, VMM_PCI_BAR_MEMORY32, bar_sizes[0], NULL) ||
        !vmm_pci_function_add_bar (f, 1, VMM_PCI_BAR_IO, bar_sizes[1], NULL) ||
        !vmm_pci_function_add_bar (f, 4, VMM_PCI_BAR_MEMORY64, bar_sizes[4], NULL) ||
        !vmm_pci_function_add_capability (f, 0x11, 12, &offset, NULL))
        abort ();
    vmm_pci_function_set_writable (f, offset + 2, 2, 0xc000);
    vmm_pci_function_set_write_1_to_clear (f, offset + 4, 4, 0xff);
    return f;
}

static bool
load (VmmPciHost *host, VmmPciFunction *function, GBytes *bytes)
{
    g_autoptr (VmmStateReader) reader = vmm_state_reader_new (bytes);
    uint32_t version;

    return vmm_state_reader_enter (reader, "pci", 1, &version, NULL) &&
           vmm_pci_host_device_ops.load (host, reader, version) && vmm_pci_function_load (function, reader) &&
           vmm_state_reader_leave (reader, NULL);
}

static void
save_and_load (VmmPciHost *host, VmmPciFunction *function)
{
    g_autoptr (VmmStateWriter) writer = vmm_state_writer_new ();
    g_autoptr (GBytes) bytes = NULL;

    vmm_state_writer_begin (writer, "pci", 1);
    vmm_pci_host_device_ops.save (host, writer);
    vmm_pci_function_save (function, writer);
    vmm_state_writer_end (writer);
    bytes = vmm_state_writer_finish (writer);
    vmm_pci_function_reset (function);
    if (!load (host, function, bytes))
        abort ();
}

static void
step (VmmPciHost *host, VmmPciFunction *function, const uint8_t *data, size_t size)
{
    unsigned width = 1u << (data[1] & 3);
    uint64_t port = data[2] & 7;
    uint64_t offset = vmm_get_u32 (data + 2);
    uint32_t value = vmm_get_u32 (data + 6);
    g_autoptr (GBytes) bytes = NULL;

    /* Half of the steps go to the function, where there is something to break. */
    if (data[1] & 0x80)
        offset = DEVFN << 12 | (offset & 0xfff);
    switch (data[0] % N_DO) {
    case DO_PORT_WRITE:
        vmm_pci_host_port_ops.write (host, port, width, value);
        break;
    case DO_PORT_READ:
        vmm_pci_host_port_ops.read (host, port, width);
        break;
    case DO_ECAM_WRITE:
        vmm_pci_host_ecam_ops.write (host, offset, width, value);
        break;
    case DO_ECAM_READ:
        vmm_pci_host_ecam_ops.read (host, offset, width);
        break;
    case DO_DEVICE_WRITE:
        vmm_pci_function_put_bits (function, VMM_PCI_STATUS, 2, VMM_PCI_STATUS_INTX, value);
        break;
    case DO_RESET:
        vmm_pci_host_device_ops.reset (host);
        vmm_pci_function_reset (function);
        break;
    case DO_SAVE_LOAD:
        save_and_load (host, function);
        break;
    case DO_LOAD:
        bytes = g_bytes_new (data + 2, size - 2);
        if (!load (host, function, bytes))
            vmm_pci_function_reset (function);
        break;
    }
}

static void
check (VmmPciHost *host, VmmPciFunction *function, const Bars *bars)
{
    if (vmm_pci_host_ecam_ops.read (host, 0, 4) != 0x0d578086 ||
        vmm_pci_function_config_read (function, 0, 4) != 0x10421af4 ||
        vmm_pci_function_config_read (function, VMM_PCI_CAPABILITIES, 1) != 0x40 ||
        vmm_pci_function_config_read (function, 0x40, 2) != 0x0011)
        abort ();
    for (unsigned i = 0; i < VMM_PCI_N_BARS; i++) {
        uint64_t address;

        if (vmm_pci_function_bar (function, i, &address) != bars->mapped[i])
            abort ();
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    Bars bars = {0};
    VmmGuestEventSink events = {0};
    g_autoptr (VmmPciFunction) function = make_function (&bars);
    g_autoptr (VmmPciHost) host = vmm_pci_host_new (2, &events);

    if (!vmm_pci_host_attach (host, 0, DEVFN, function, NULL))
        abort ();
    for (; size >= STEP; data += STEP, size -= STEP) {
        step (host, function, data, size);
        check (host, function, &bars);
    }
    return 0;
}
