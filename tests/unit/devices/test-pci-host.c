/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "devices/pci/host.h"
#include "vmm/error.h"

typedef struct {
    unsigned n_resets;
    unsigned n_others;
} Events;

static void
on_event (void *machine, VmmGuestEvent event, uint32_t arg)
{
    Events *e = machine;

    if (event == VMM_GUEST_EVENT_RESET)
        e->n_resets++;
    else
        e->n_others++;
}

static VmmPciHost *
make (unsigned buses, Events *events)
{
    VmmGuestEventSink sink = {.raise = on_event, .machine = events};

    return vmm_pci_host_new (buses, &sink);
}

static VmmPciFunction *
device (const char *name, uint16_t device_id)
{
    VmmPciIdentity id = {.vendor_id = 0x1af4, .device_id = device_id};

    return vmm_pci_function_new (name, &id, NULL, NULL);
}

static uint64_t
in (VmmPciHost *host, unsigned port, unsigned size)
{
    return vmm_pci_host_port_ops.read (host, port - VMM_PCI_HOST_PORT, size);
}

static void
out (VmmPciHost *host, unsigned port, unsigned size, uint32_t value)
{
    vmm_pci_host_port_ops.write (host, port - VMM_PCI_HOST_PORT, size, value);
}

static uint64_t
ecam (VmmPciHost *host, unsigned bus, unsigned devfn, unsigned reg, unsigned size)
{
    return vmm_pci_host_ecam_ops.read (host, (uint64_t)bus << 20 | devfn << 12 | reg, size);
}

static uint32_t
low (uint64_t value, unsigned size)
{
    return (uint32_t)(value & (UINT64_MAX >> (64 - 8 * size)));
}

/* How Linux and most others look for mechanism #1. */
Test (pci_host, mechanism_1_is_detected)
{
    Events e = {0};
    g_autoptr (VmmPciHost) host = make (1, &e);

    out (host, 0xcfb, 1, 0x01);
    out (host, 0xcf8, 4, 0x80000000);
    cr_assert_eq (in (host, 0xcf8, 4), 0x80000000u);
    cr_assert_eq (in (host, 0xcfc, 4), 0x0d578086u, "the host bridge");
    out (host, 0xcf8, 4, 0x80000008);
    cr_assert_eq (in (host, 0xcfe, 2), 0x0600u, "its class");
    cr_assert_eq (e.n_resets + e.n_others, 0u);
}

Test (pci_host, address_latch_takes_dwords_only)
{
    Events e = {0};
    g_autoptr (VmmPciHost) host = make (1, &e);

    out (host, 0xcf8, 4, 0xffffffff);
    cr_assert_eq (in (host, 0xcf8, 4), 0x80fffffcu, "reserved bits read zero");
    out (host, 0xcf8, 4, 0x80000008);
    out (host, 0xcf8, 1, 0);
    out (host, 0xcf8, 2, 0);
    out (host, 0xcfa, 2, 0);
    cr_assert_eq (in (host, 0xcf8, 4), 0x80000008u);
    cr_assert_eq (low (in (host, 0xcf8, 1), 1), 0xffu);
    cr_assert_eq (low (in (host, 0xcfa, 4), 4), 0xffffffffu, "across address and data");
}

Test (pci_host, data_port_needs_the_enable_bit)
{
    Events e = {0};
    g_autoptr (VmmPciHost) host = make (1, &e);

    out (host, 0xcf8, 4, 0x00000000);
    cr_assert_eq (low (in (host, 0xcfc, 4), 4), 0xffffffffu);
    out (host, 0xcf8, 4, 0x0000003c);
    out (host, 0xcfc, 1, 0x77);
    out (host, 0xcf8, 4, 0x8000003c);
    cr_assert_eq (in (host, 0xcfc, 1), 0u);
}

Test (pci_host, data_port_reaches_each_byte_lane)
{
    Events e = {0};
    g_autoptr (VmmPciHost) host = make (1, &e);

    out (host, 0xcf8, 4, 0x80000000);
    cr_assert_eq (in (host, 0xcfc, 1), 0x86u);
    cr_assert_eq (in (host, 0xcfd, 1), 0x80u);
    cr_assert_eq (in (host, 0xcfe, 1), 0x57u);
    cr_assert_eq (in (host, 0xcff, 1), 0x0du);
    cr_assert_eq (in (host, 0xcfd, 2), 0x5780u);
    cr_assert_eq (in (host, 0xcfe, 2), 0x0d57u);
    cr_assert_eq (low (in (host, 0xcff, 2), 2), 0xffffu);
    out (host, 0xcf8, 4, 0x8000003c);
    out (host, 0xcfc, 2, 0x010b);
    cr_assert_eq (in (host, 0xcfc, 4), 0x0bu);
}

Test (pci_host, both_ways_lead_to_the_same_function)
{
    Events e = {0};
    g_autoptr (VmmPciHost) host = make (2, &e);
    g_autoptr (VmmPciFunction) disk = device ("disk", 0x1042);
    g_autoptr (VmmPciFunction) net = device ("net", 0x1041);

    cr_assert (vmm_pci_host_attach (host, 0, VMM_PCI_DEVFN (31, 7), disk, NULL));
    cr_assert (vmm_pci_host_attach (host, 1, VMM_PCI_DEVFN (2, 0), net, NULL));
    cr_assert_eq (vmm_pci_host_buses (host), 2u);
    out (host, 0xcf8, 4, 0x80000000 | 31 << 11 | 7 << 8);
    cr_assert_eq (in (host, 0xcfc, 4), 0x10421af4u);
    out (host, 0xcf8, 4, 0x80000000 | 1 << 16 | 2 << 11);
    cr_assert_eq (in (host, 0xcfc, 4), 0x10411af4u);
    cr_assert_eq (ecam (host, 0, 0xff, 0, 4), 0x10421af4u);
    cr_assert_eq (ecam (host, 1, 0x10, 2, 2), 0x1041u);
    vmm_pci_host_ecam_ops.write (host, 1 << 20 | 0x10 << 12 | 0x3c, 1, 0x5a);
    out (host, 0xcf8, 4, 0x80000000 | 1 << 16 | 2 << 11 | 0x3c);
    cr_assert_eq (in (host, 0xcfc, 1), 0x5au);
}

Test (pci_host, ecam_has_extended_registers)
{
    Events e = {0};
    g_autoptr (VmmPciHost) host = make (1, &e);
    g_autoptr (VmmPciFunction) disk = device ("disk", 0x1042);

    vmm_pci_function_put (disk, 0xffc, 4, 0x12345678);
    cr_assert (vmm_pci_host_attach (host, 0, 8, disk, NULL));
    cr_assert_eq (ecam (host, 0, 8, 0xffc, 4), 0x12345678u);
    cr_assert_eq (ecam (host, 0, 8, 0xfff, 1), 0x12u);
    cr_assert_eq (low (ecam (host, 0, 8, 0xffe, 4), 4), 0xffffffffu);
    cr_assert_eq (ecam (host, 0, 8, 0, 8), UINT64_MAX, "there are no 64-bit registers");
    vmm_pci_host_ecam_ops.write (host, 8 << 12 | 0x38, 8, UINT64_MAX);
    cr_assert_eq (ecam (host, 0, 8, 0x3c, 1), 0u);
}

Test (pci_host, absent_functions_read_ones)
{
    Events e = {0};
    g_autoptr (VmmPciHost) host = make (1, &e);

    for (unsigned devfn = 1; devfn < 256; devfn++) {
        cr_assert_eq (low (ecam (host, 0, devfn, 0, 4), 4), 0xffffffffu);
        out (host, 0xcf8, 4, 0x80000000 | devfn << 8);
        cr_assert_eq (low (in (host, 0xcfc, 4), 4), 0xffffffffu);
        out (host, 0xcfc, 4, 0);
        vmm_pci_host_ecam_ops.write (host, devfn << 12, 4, 0);
    }
    cr_assert_eq (low (ecam (host, 1, 0, 0, 4), 4), 0xffffffffu, "a bus that is not there");
    cr_assert_eq (low (ecam (host, 255, 255, 0, 4), 4), 0xffffffffu);
    out (host, 0xcf8, 4, 0x80000000 | 255 << 16);
    cr_assert_eq (low (in (host, 0xcfc, 4), 4), 0xffffffffu);
    cr_assert_eq (vmm_pci_host_ecam_ops.read (host, 1ull << 28, 4), UINT64_MAX);
    cr_assert_eq (vmm_pci_host_ecam_ops.read (host, UINT64_MAX, 1), UINT64_MAX);
    vmm_pci_host_ecam_ops.write (host, 1ull << 60, 4, 0);
}

Test (pci_host, function_0_says_that_there_are_more)
{
    Events e = {0};
    g_autoptr (VmmPciHost) host = make (1, &e);
    g_autoptr (VmmPciFunction) a = device ("a", 1);
    g_autoptr (VmmPciFunction) b = device ("b", 2);
    g_autoptr (VmmPciFunction) c = device ("c", 3);

    cr_assert (vmm_pci_host_attach (host, 0, VMM_PCI_DEVFN (3, 5), b, NULL));
    cr_assert (vmm_pci_host_attach (host, 0, VMM_PCI_DEVFN (3, 0), a, NULL));
    cr_assert (vmm_pci_host_attach (host, 0, VMM_PCI_DEVFN (4, 0), c, NULL));
    cr_assert_eq (ecam (host, 0, VMM_PCI_DEVFN (3, 0), 0x0e, 1), 0x80u);
    cr_assert_eq (ecam (host, 0, VMM_PCI_DEVFN (4, 0), 0x0e, 1), 0u);
    cr_assert_eq (ecam (host, 0, 0, 0x0e, 1), 0u);
}

Test (pci_host, attach_refuses_what_is_taken_or_not_there)
{
    Events e = {0};
    g_autoptr (VmmPciHost) host = make (1, &e);
    g_autoptr (VmmPciFunction) disk = device ("disk", 0x1042);
    g_autoptr (VmmPciFunction) net = device ("net", 0x1041);
    g_autoptr (GError) taken = NULL;
    g_autoptr (GError) nowhere = NULL;

    cr_assert (vmm_pci_host_attach (host, 0, 0x18, disk, NULL));
    cr_assert_not (vmm_pci_host_attach (host, 0, 0x18, net, &taken));
    cr_assert (g_error_matches (taken, VMM_ERROR, VMM_ERROR_HOST));
    cr_assert_not_null (strstr (taken->message, "net: PCI slot 00:03.0 is taken by disk"));
    cr_assert_not (vmm_pci_host_attach (host, 0, 0, net, NULL), "the bridge's place");
    cr_assert_not (vmm_pci_host_attach (host, 1, 0, net, &nowhere));
    cr_assert_not_null (strstr (nowhere->message, "net: no PCI slot 01:00.0"));
    cr_assert_not (vmm_pci_host_attach (host, 0, 256, net, NULL));
    cr_assert_null (vmm_pci_host_new (0, NULL));
    cr_assert_null (vmm_pci_host_new (257, NULL));
    vmm_pci_host_free (NULL);
}

Test (pci_host, reset_control_resets_on_the_rise_of_the_cpu_bit)
{
    Events e = {0};
    g_autoptr (VmmPciHost) host = make (1, &e);

    out (host, 0xcf8, 4, 0x80000008);
    out (host, 0xcf9, 1, 0x02);
    cr_assert_eq (e.n_resets, 0u);
    cr_assert_eq (in (host, 0xcf9, 1), 0x02u);
    out (host, 0xcf9, 1, 0x06);
    cr_assert_eq (e.n_resets, 1u);
    out (host, 0xcf9, 1, 0x06);
    cr_assert_eq (e.n_resets, 1u, "no rise");
    out (host, 0xcf9, 1, 0xf9);
    cr_assert_eq (in (host, 0xcf9, 1), 0x08u);
    out (host, 0xcf9, 1, 0x0e);
    cr_assert_eq (e.n_resets, 2u);
    cr_assert_eq (e.n_others, 0u);
    cr_assert_eq (in (host, 0xcf8, 4), 0x80000008u, "the latch is another register");
}

Test (pci_host, address_writes_reset_nothing)
{
    Events e = {0};
    g_autoptr (VmmPciHost) host = make (1, &e);

    out (host, 0xcf8, 4, 0x80000e00);
    out (host, 0xcf9, 2, 0x0e0e);
    out (host, 0xcf8, 2, 0x0e0e);
    cr_assert_eq (e.n_resets, 0u);
}

Test (pci_host, works_without_an_event_sink)
{
    g_autoptr (VmmPciHost) host = vmm_pci_host_new (1, NULL);

    out (host, 0xcf9, 1, 0x06);
    cr_assert_eq (in (host, 0xcf9, 1), 0x06u);
}

static GBytes *
save (VmmPciHost *host)
{
    g_autoptr (VmmStateWriter) writer = vmm_state_writer_new ();

    vmm_state_writer_begin (writer, vmm_pci_host_device_ops.name, 1);
    vmm_pci_host_device_ops.save (host, writer);
    vmm_state_writer_end (writer);
    return vmm_state_writer_finish (writer);
}

static bool
load (VmmPciHost *host, GBytes *bytes)
{
    g_autoptr (VmmStateReader) reader = vmm_state_reader_new (bytes);
    uint32_t version;

    return vmm_state_reader_enter (reader, vmm_pci_host_device_ops.name, 1, &version, NULL) &&
           vmm_pci_host_device_ops.load (host, reader, version) && vmm_state_reader_leave (reader, NULL);
}

Test (pci_host, state_survives_save_load_and_not_reset)
{
    Events e = {0};
    g_autoptr (VmmPciHost) host = make (1, &e);
    g_autoptr (VmmPciHost) other = make (1, &e);
    g_autoptr (GBytes) bytes = NULL;

    out (host, 0xcf8, 4, 0x80000004);
    out (host, 0xcfc, 2, 0x0006);
    out (host, 0xcf9, 1, 0x02);
    bytes = save (host);
    cr_assert (load (other, bytes));
    cr_assert_eq (in (other, 0xcf8, 4), 0x80000004u);
    cr_assert_eq (in (other, 0xcfc, 2), 0x0006u);
    cr_assert_eq (in (other, 0xcf9, 1), 0x02u);
    vmm_pci_host_device_ops.reset (other);
    cr_assert_eq (in (other, 0xcf8, 4), 0u);
    cr_assert_eq (in (other, 0xcf9, 1), 0u);
    cr_assert_eq (ecam (other, 0, 0, 4, 2), 0u);
}

Test (pci_host, impossible_state_is_refused)
{
    static const struct {
        uint32_t address;
        uint8_t reset_control;
        bool ok;
    } cases[] = {{0x80fffffc, 0x0e, true}, {0x80000001, 0, false}, {0x40000000, 0, false}, {0, 1, false}};

    for (size_t i = 0; i < G_N_ELEMENTS (cases); i++) {
        Events e = {0};
        uint8_t bits[VMM_PCI_CONFIG_SIZE] = {0};
        g_autoptr (VmmPciHost) host = make (1, &e);
        g_autoptr (VmmStateWriter) writer = vmm_state_writer_new ();
        g_autoptr (GBytes) bytes = NULL;

        vmm_state_writer_begin (writer, vmm_pci_host_device_ops.name, 1);
        vmm_state_put_u32 (writer, cases[i].address);
        vmm_state_put_u8 (writer, cases[i].reset_control);
        vmm_state_put_u32 (writer, 0x0d578086);
        vmm_state_put_bytes (writer, bits, sizeof bits);
        vmm_state_writer_end (writer);
        bytes = vmm_state_writer_finish (writer);
        cr_assert_eq (load (host, bytes), cases[i].ok, "case %zu", i);
        cr_assert_eq (in (host, 0xcf8, 4), cases[i].ok ? cases[i].address : 0, "case %zu", i);
    }
}

Test (pci_host, truncated_state_is_refused)
{
    Events e = {0};
    g_autoptr (VmmPciHost) host = make (1, &e);
    g_autoptr (GBytes) bytes = NULL;

    out (host, 0xcf8, 4, 0x80000004);
    bytes = save (host);
    vmm_pci_host_device_ops.reset (host);
    for (size_t len = 0; len < g_bytes_get_size (bytes); len++) {
        g_autoptr (GBytes) cut = g_bytes_new_from_bytes (bytes, 0, len);

        cr_assert_not (load (host, cut), "%zu bytes were enough", len);
        cr_assert_eq (in (host, 0xcf8, 4), 0u);
    }
    cr_assert (load (host, bytes));
}
