/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "devices/pci/function.h"
#include "vmm/error.h"

static const VmmPciIdentity identity = {
    .vendor_id = 0x1af4,
    .device_id = 0x1042,
    .subsystem_vendor_id = 0x1af4,
    .subsystem_id = 0x0002,
    .class_code = 0x018000,
    .revision = 1,
};

/* What the hooks saw; the log is one line per BAR change. */
typedef struct {
    char log[1024];
    unsigned n_written;
    unsigned offset;
    unsigned size;
    uint32_t value;
    VmmPciFunction *function;
    uint32_t seen;
} Recorder;

static bool
on_read (void *device, unsigned offset, unsigned size, uint32_t *ret_value)
{
    if (offset != 0xfc)
        return false;
    *ret_value = 0x600d;
    return true;
}

static void
on_written (void *device, unsigned offset, unsigned size, uint32_t value)
{
    Recorder *r = device;

    r->n_written++;
    r->offset = offset;
    r->size = size;
    r->value = value;
    r->seen = vmm_pci_function_get (r->function, offset, size);
}

static void
on_bar (void *device, unsigned bar, uint64_t address, bool mapped)
{
    Recorder *r = device;
    size_t used = strlen (r->log);

    snprintf (r->log + used, sizeof r->log - used, "%c%u@%" G_GINT64_MODIFIER "x ", mapped ? '+' : '-', bar,
              address);
}

static const VmmPciFunctionOps ops = {
    .config_read = on_read,
    .config_written = on_written,
    .bar_changed = on_bar,
};

static VmmPciFunction *
make (Recorder *r)
{
    *r = (Recorder){0};
    r->function = vmm_pci_function_new ("disk", &identity, &ops, r);
    return r->function;
}

static uint32_t
rd (VmmPciFunction *f, unsigned offset, unsigned size)
{
    return vmm_pci_function_config_read (f, offset, size);
}

static void
wr (VmmPciFunction *f, unsigned offset, unsigned size, uint32_t value)
{
    vmm_pci_function_config_write (f, offset, size, value);
}

Test (pci_function, shows_its_identity)
{
    Recorder r;
    g_autoptr (VmmPciFunction) f = make (&r);

    cr_assert_eq (rd (f, 0x00, 4), 0x10421af4u);
    cr_assert_eq (rd (f, 0x08, 4), 0x01800001u);
    cr_assert_eq (rd (f, 0x0a, 2), 0x0180u);
    cr_assert_eq (rd (f, 0x2c, 4), 0x00021af4u);
    cr_assert_eq (rd (f, 0x0e, 1), 0u);
    cr_assert_eq (rd (f, 0x34, 1), 0u, "no capability list");
    cr_assert_eq (rd (f, 0x100, 4), 0u, "no extended capability");
    wr (f, 0x00, 4, 0xffffffff);
    wr (f, 0x08, 4, 0);
    wr (f, 0x0e, 1, 0x80);
    wr (f, 0x2c, 4, 0);
    cr_assert_eq (rd (f, 0x00, 4), 0x10421af4u, "identity is read-only");
    cr_assert_eq (rd (f, 0x08, 4), 0x01800001u);
    cr_assert_eq (rd (f, 0x0e, 1), 0u);
    cr_assert_eq (rd (f, 0x2c, 4), 0x00021af4u);
}

Test (pci_function, impossible_accesses_read_ones_and_write_nothing)
{
    static const struct {
        unsigned offset;
        unsigned size;
    } bad[] = {
        {0x3b, 2},    {0x3d, 4},          {0x3a, 4},           {0x3c, 3}, {0x3c, 0},
        {0x3c, 8},    {0x3c, UINT32_MAX}, {4096, 1},           {4098, 2}, {4096, 4},
        {0xfffff, 1}, {UINT32_MAX, 1},    {UINT32_MAX - 3, 4},
    };
    Recorder r;
    g_autoptr (VmmPciFunction) f = make (&r);

    wr (f, 0x3c, 1, 0x5a);
    r.n_written = 0;
    for (size_t i = 0; i < G_N_ELEMENTS (bad); i++) {
        cr_assert_eq (rd (f, bad[i].offset, bad[i].size), UINT32_MAX, "case %zu", i);
        wr (f, bad[i].offset, bad[i].size, 0);
        vmm_pci_function_put (f, bad[i].offset, bad[i].size, 0);
        vmm_pci_function_set_writable (f, bad[i].offset, bad[i].size, UINT32_MAX);
        cr_assert_eq (rd (f, 0x3c, 1), 0x5au, "case %zu", i);
        cr_assert_eq (vmm_pci_function_get (f, bad[i].offset, bad[i].size), UINT32_MAX);
    }
    cr_assert_eq (r.n_written, 0u);
    wr (f, 0xffc, 4, UINT32_MAX);
    cr_assert_eq (rd (f, 0xfff, 1), 0u, "the last byte is there");
}

Test (pci_function, command_and_status_follow_their_masks)
{
    Recorder r;
    g_autoptr (VmmPciFunction) f = make (&r);

    wr (f, 0x04, 2, 0xffff);
    cr_assert_eq (rd (f, 0x04, 2), 0x0547u);
    vmm_pci_function_put (f, 0x06, 2, 0xf908);
    wr (f, 0x06, 2, 0x0008);
    cr_assert_eq (rd (f, 0x06, 2), 0xf908u, "writing 0 clears nothing, INTx is the device's");
    wr (f, 0x04, 4, 0x80000000);
    cr_assert_eq (rd (f, 0x04, 4), 0x79080000u, "writing 1 clears that bit, in a dword write too");
    wr (f, 0x07, 1, 0xff);
    cr_assert_eq (rd (f, 0x06, 2), 0x0008u);
}

Test (pci_function, device_changes_single_bits)
{
    Recorder r;
    g_autoptr (VmmPciFunction) f = make (&r);

    vmm_pci_function_put (f, 0x06, 2, 0x0100);
    vmm_pci_function_put_bits (f, 0x06, 2, VMM_PCI_STATUS_INTX, VMM_PCI_STATUS_INTX);
    cr_assert_eq (vmm_pci_function_get (f, 0x06, 2), 0x0108u);
    vmm_pci_function_put_bits (f, 0x06, 2, VMM_PCI_STATUS_INTX, 0xff00);
    cr_assert_eq (vmm_pci_function_get (f, 0x06, 2), 0x0100u);
    cr_assert_eq (r.n_written, 0u, "the device's own stores are no guest writes");
}

Test (pci_function, hooks_see_guest_accesses)
{
    Recorder r;
    g_autoptr (VmmPciFunction) f = make (&r);

    wr (f, 0x3c, 2, 0xffab);
    cr_assert_eq (r.n_written, 1u);
    cr_assert_eq (r.offset, 0x3cu);
    cr_assert_eq (r.size, 2u);
    cr_assert_eq (r.value, 0xffabu);
    cr_assert_eq (r.seen, 0x00abu, "the hook runs after the masks, and may read the function");
    cr_assert_eq (rd (f, 0xfc, 4), 0x600du, "a register that the device answers itself");
}

Test (pci_function, memory_bar_answers_sizing_and_maps)
{
    Recorder r;
    g_autoptr (VmmPciFunction) f = make (&r);

    cr_assert (vmm_pci_function_add_bar (f, 1, VMM_PCI_BAR_MEMORY32, 0x4000, NULL));
    wr (f, 0x14, 4, UINT32_MAX);
    cr_assert_eq (rd (f, 0x14, 4), 0xffffc000u);
    wr (f, 0x14, 4, 0xc0001234);
    cr_assert_eq (rd (f, 0x14, 4), 0xc0000000u);
    cr_assert_str_eq (r.log, "", "not decoded yet");
    wr (f, 0x04, 2, VMM_PCI_COMMAND_IO);
    cr_assert_str_eq (r.log, "");
    wr (f, 0x04, 2, VMM_PCI_COMMAND_MEMORY);
    cr_assert_str_eq (r.log, "+1@c0000000 ");
    wr (f, 0x04, 2, VMM_PCI_COMMAND_MEMORY | VMM_PCI_COMMAND_BUS_MASTER);
    cr_assert_str_eq (r.log, "+1@c0000000 ", "nothing moved");
    wr (f, 0x14, 4, 0xd0000000);
    cr_assert_str_eq (r.log, "+1@c0000000 -1@c0000000 +1@d0000000 ");
    wr (f, 0x04, 2, 0);
    cr_assert_str_eq (r.log, "+1@c0000000 -1@c0000000 +1@d0000000 -1@d0000000 ");
}

Test (pci_function, sizing_a_decoded_bar_maps_it_nowhere_odd)
{
    Recorder r;
    uint64_t address;
    g_autoptr (VmmPciFunction) f = make (&r);

    cr_assert (vmm_pci_function_add_bar (f, 0, VMM_PCI_BAR_MEMORY32, 0x1000, NULL));
    wr (f, 0x04, 2, VMM_PCI_COMMAND_MEMORY);
    cr_assert_str_eq (r.log, "", "address 0 means unassigned");
    wr (f, 0x10, 4, 0xc0000000);
    cr_assert (vmm_pci_function_bar (f, 0, &address));
    cr_assert_eq (address, 0xc0000000u);
    wr (f, 0x10, 4, UINT32_MAX);
    cr_assert_not (vmm_pci_function_bar (f, 0, &address));
    wr (f, 0x10, 4, 0xc0000000);
    cr_assert_str_eq (r.log, "+0@c0000000 -0@c0000000 +0@c0000000 ");
    cr_assert_not (vmm_pci_function_bar (f, 1, &address));
    cr_assert_not (vmm_pci_function_bar (f, 6, &address));
}

Test (pci_function, wide_bar_takes_two_registers)
{
    Recorder r;
    g_autoptr (VmmPciFunction) f = make (&r);

    cr_assert (vmm_pci_function_add_bar (f, 4, VMM_PCI_BAR_MEMORY64, 0x200000000ull, NULL));
    wr (f, 0x20, 4, UINT32_MAX);
    wr (f, 0x24, 4, UINT32_MAX);
    cr_assert_eq (rd (f, 0x20, 4), 0x0000000cu, "64-bit, prefetchable");
    cr_assert_eq (rd (f, 0x24, 4), 0xfffffffeu);
    wr (f, 0x04, 2, VMM_PCI_COMMAND_MEMORY);
    cr_assert_str_eq (r.log, "");
    wr (f, 0x24, 4, 0x00000041);
    cr_assert_str_eq (r.log, "+4@4000000000 ");
}

Test (pci_function, port_bar_is_decoded_by_the_io_bit)
{
    Recorder r;
    g_autoptr (VmmPciFunction) f = make (&r);

    cr_assert (vmm_pci_function_add_bar (f, 0, VMM_PCI_BAR_IO, 32, NULL));
    wr (f, 0x10, 4, UINT32_MAX);
    cr_assert_eq (rd (f, 0x10, 4), 0xffffffe1u);
    wr (f, 0x10, 4, 0xc0000000);
    wr (f, 0x04, 2, VMM_PCI_COMMAND_IO | VMM_PCI_COMMAND_MEMORY);
    cr_assert_str_eq (r.log, "", "there is no such port");
    wr (f, 0x10, 4, 0xc020);
    cr_assert_str_eq (r.log, "+0@c020 ");
}

Test (pci_function, impossible_bars_are_refused)
{
    static const struct {
        unsigned index;
        VmmPciBarKind kind;
        uint64_t size;
    } bad[] = {
        {6, VMM_PCI_BAR_MEMORY32, 4096},
        {UINT32_MAX, VMM_PCI_BAR_MEMORY32, 4096},
        {5, VMM_PCI_BAR_MEMORY64, 4096},
        {2, VMM_PCI_BAR_MEMORY32, 4096},
        {3, VMM_PCI_BAR_MEMORY32, 4096},
        {1, VMM_PCI_BAR_MEMORY64, 4096},
        {0, VMM_PCI_BAR_MEMORY32, 0},
        {0, VMM_PCI_BAR_MEMORY32, 8},
        {0, VMM_PCI_BAR_MEMORY32, 4097},
        {0, VMM_PCI_BAR_MEMORY32, 1ull << 32},
        {0, VMM_PCI_BAR_MEMORY64, 1ull << 63},
        {0, VMM_PCI_BAR_IO, 2},
        {0, VMM_PCI_BAR_IO, 512},
    };
    Recorder r;
    g_autoptr (VmmPciFunction) f = make (&r);

    cr_assert (vmm_pci_function_add_bar (f, 2, VMM_PCI_BAR_MEMORY64, 4096, NULL));
    for (size_t i = 0; i < G_N_ELEMENTS (bad); i++) {
        g_autoptr (GError) error = NULL;

        cr_assert_not (vmm_pci_function_add_bar (f, bad[i].index, bad[i].kind, bad[i].size, &error),
                       "case %zu", i);
        cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_HOST));
        cr_assert_not_null (strstr (error->message, "disk"));
    }
    cr_assert (vmm_pci_function_add_bar (f, 4, VMM_PCI_BAR_MEMORY32, 4096, NULL));
}

Test (pci_function, capabilities_form_a_list)
{
    Recorder r;
    unsigned first, second;
    g_autoptr (VmmPciFunction) f = make (&r);

    cr_assert (vmm_pci_function_add_capability (f, 0x09, 17, &first, NULL));
    cr_assert (vmm_pci_function_add_capability (f, 0x11, 12, &second, NULL));
    cr_assert (rd (f, 0x06, 2) & VMM_PCI_STATUS_CAPABILITIES);
    cr_assert_eq (rd (f, 0x34, 1), first);
    cr_assert_eq (rd (f, first, 1), 0x09u);
    cr_assert_eq (rd (f, first + 1, 1), second);
    cr_assert_eq (second, first + 20, "aligned to a dword, after the first one's end");
    cr_assert_eq (rd (f, second, 2), 0x0011u, "the last one ends the list");
    wr (f, first, 4, 0xffffffff);
    cr_assert_eq (rd (f, first + 1, 1), second, "read-only");
}

Test (pci_function, capabilities_that_do_not_fit_are_refused)
{
    Recorder r;
    unsigned offset = 77;
    g_autoptr (VmmPciFunction) f = make (&r);
    g_autoptr (GError) error = NULL;

    cr_assert_not (vmm_pci_function_add_capability (f, 0x09, 1, &offset, NULL));
    cr_assert_not (vmm_pci_function_add_capability (f, 0x09, 193, &offset, NULL));
    cr_assert_not (vmm_pci_function_add_capability (f, 0x09, UINT32_MAX, &offset, NULL));
    cr_assert_eq (offset, 77u);
    cr_assert_eq (rd (f, 0x34, 1), 0u);
    cr_assert (vmm_pci_function_add_capability (f, 0x09, 192, &offset, NULL));
    cr_assert_not (vmm_pci_function_add_capability (f, 0x09, 2, &offset, &error));
    cr_assert_not_null (strstr (error->message, "disk: capability 0x09 of 2 bytes"));
    cr_assert_eq (rd (f, 0x41, 1), 0u, "a refused one is not linked");
}

Test (pci_function, reset_clears_what_the_guest_wrote)
{
    Recorder r;
    g_autoptr (VmmPciFunction) f = make (&r);

    cr_assert (vmm_pci_function_add_bar (f, 0, VMM_PCI_BAR_MEMORY32, 0x1000, NULL));
    vmm_pci_function_put (f, 0x3d, 1, 1);
    wr (f, 0x10, 4, 0xc0000000);
    wr (f, 0x04, 2, 6);
    wr (f, 0x3c, 1, 11);
    vmm_pci_function_reset (f);
    cr_assert_str_eq (r.log, "+0@c0000000 -0@c0000000 ");
    cr_assert_eq (rd (f, 0x10, 4), 0u);
    cr_assert_eq (rd (f, 0x04, 2), 0u);
    cr_assert_eq (rd (f, 0x3c, 2), 0x0100u, "the pin is wired");
    cr_assert_eq (rd (f, 0x00, 4), 0x10421af4u);
}

static GBytes *
save (VmmPciFunction *f)
{
    g_autoptr (VmmStateWriter) writer = vmm_state_writer_new ();

    vmm_state_writer_begin (writer, "f", 1);
    vmm_pci_function_save (f, writer);
    vmm_state_writer_end (writer);
    return vmm_state_writer_finish (writer);
}

static bool
load (VmmPciFunction *f, GBytes *bytes)
{
    g_autoptr (VmmStateReader) reader = vmm_state_reader_new (bytes);
    uint32_t version;

    return vmm_state_reader_enter (reader, "f", 1, &version, NULL) && vmm_pci_function_load (f, reader);
}

Test (pci_function, saved_state_maps_the_bars_again)
{
    Recorder r, r2;
    g_autoptr (VmmPciFunction) f = make (&r);
    g_autoptr (VmmPciFunction) other = make (&r2);
    g_autoptr (GBytes) bytes = NULL;

    cr_assert (vmm_pci_function_add_bar (f, 0, VMM_PCI_BAR_MEMORY64, 0x1000, NULL));
    cr_assert (vmm_pci_function_add_bar (other, 0, VMM_PCI_BAR_MEMORY64, 0x1000, NULL));
    wr (f, 0x10, 4, 0xc0000000);
    wr (f, 0x14, 4, 0x12);
    wr (f, 0x04, 2, 6);
    wr (f, 0x3c, 1, 11);
    vmm_pci_function_put (f, 0x06, 2, 0x0100);
    bytes = save (f);
    cr_assert (load (other, bytes));
    cr_assert_str_eq (r2.log, "+0@12c0000000 ");
    cr_assert_eq (rd (other, 0x04, 4), 0x01000006u);
    cr_assert_eq (rd (other, 0x10, 4), 0xc000000cu);
    cr_assert_eq (rd (other, 0x3c, 1), 11u);
}

/* State for a function, with one byte that is not as saved. */
static GBytes *
hostile (uint32_t id, uint32_t len, unsigned at, uint8_t byte)
{
    g_autofree uint8_t *bits = g_malloc0 (2 * VMM_PCI_CONFIG_SIZE);
    g_autoptr (VmmStateWriter) writer = vmm_state_writer_new ();

    bits[at] = byte;
    vmm_state_writer_begin (writer, "f", 1);
    vmm_state_put_u32 (writer, id);
    vmm_state_put_bytes (writer, bits, len);
    vmm_state_writer_end (writer);
    return vmm_state_writer_finish (writer);
}

Test (pci_function, impossible_state_is_refused)
{
    static const struct {
        uint32_t id;
        uint32_t len;
        unsigned at;
        uint8_t byte;
        bool ok;
    } cases[] = {
        {0x10421af4, 4096, 0x04, 0x07, true},  {0x10411af4, 4096, 0x04, 0x07, false},
        {0x10421af4, 4095, 0x04, 0x07, false}, {0x10421af4, 4097, 0x04, 0x07, false},
        {0x10421af4, 4096, 0x04, 0x08, false}, {0x10421af4, 4096, 0x00, 0x01, false},
        {0x10421af4, 0, 0x04, 0x07, false},    {0x10421af4, 4096, 0xfff, 0x01, false},
    };

    for (size_t i = 0; i < G_N_ELEMENTS (cases); i++) {
        Recorder r;
        g_autoptr (VmmPciFunction) f = make (&r);
        g_autoptr (GBytes) bytes = hostile (cases[i].id, cases[i].len, cases[i].at, cases[i].byte);

        cr_assert_eq (load (f, bytes), cases[i].ok, "case %zu", i);
        cr_assert_eq (rd (f, 0x04, 2), cases[i].ok ? 7u : 0u, "case %zu", i);
    }
}

Test (pci_function, free_takes_null)
{
    vmm_pci_function_free (NULL);
}
