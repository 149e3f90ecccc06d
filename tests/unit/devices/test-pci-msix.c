/* SPDX-License-Identifier: Apache-2.0 */
/* MSI-X as a guest sees it (PCI 3.0 section 6.8.2): what is pending, and when it is sent. */
#include <criterion/criterion.h>

#include "devices/pci/msix.h"

#define N_VECTORS 70u
#define ENABLE 0x8000u
#define FUNCTION_MASK 0x4000u
#define SENT_MAX 16u

typedef struct {
    VmmPciFunction *function;
    VmmPciMsix *msix;
    unsigned control;
    unsigned n_sent;
    uint64_t addresses[SENT_MAX];
    uint32_t data[SENT_MAX];
} Rig;

static void
on_msi (void *chip, uint64_t address, uint32_t data)
{
    Rig *rig = chip;

    cr_assert_lt (rig->n_sent, SENT_MAX);
    rig->addresses[rig->n_sent] = address;
    rig->data[rig->n_sent++] = data;
}

static void
on_written (void *device, unsigned offset, unsigned size, uint32_t value)
{
    vmm_pci_msix_config_written (((Rig *)device)->msix, offset, size);
}

static void
put_control (Rig *rig, uint32_t value)
{
    vmm_pci_function_config_write (rig->function, rig->control, 2, value);
}

static void
put_master (Rig *rig, bool on)
{
    vmm_pci_function_config_write (rig->function, VMM_PCI_COMMAND, 2, on ? VMM_PCI_COMMAND_BUS_MASTER : 0);
}

static void
mask (Rig *rig, unsigned vector, bool masked)
{
    vmm_pci_msix_table_write (rig->msix, vector * VMM_PCI_MSIX_ENTRY_SIZE + 12, 4, masked);
}

static uint32_t
pending (Rig *rig, unsigned offset)
{
    return (uint32_t)vmm_pci_msix_pending_read (rig->msix, offset, 4);
}

static Rig *
set_up (void)
{
    static const VmmPciIdentity identity = {.vendor_id = 0x1af4, .device_id = 0x1042};
    static const VmmPciFunctionOps ops = {.config_written = on_written};
    const VmmPciMsixPlace place = {0, 0x1000, 0x2000};
    Rig *rig = g_new0 (Rig, 1);
    VmmMsiSink sink = {on_msi, rig};

    rig->function = vmm_pci_function_new ("test", &identity, &ops, rig);
    rig->msix = vmm_pci_msix_new (rig->function, N_VECTORS, &place, &sink, NULL);
    cr_assert_not_null (rig->msix);
    rig->control = vmm_pci_function_get (rig->function, VMM_PCI_CAPABILITIES, 1) + 2;
    for (unsigned i = 0; i < N_VECTORS; i++) {
        vmm_pci_msix_table_write (rig->msix, i * VMM_PCI_MSIX_ENTRY_SIZE, 8, 0xfee00000 + (i << 12));
        vmm_pci_msix_table_write (rig->msix, i * VMM_PCI_MSIX_ENTRY_SIZE + 8, 4, 0x20 + i);
    }
    put_master (rig, true);
    put_control (rig, ENABLE);
    return rig;
}

static void
tear_down (Rig *rig)
{
    vmm_pci_msix_free (rig->msix);
    vmm_pci_function_free (rig->function);
    g_free (rig);
}

static void
assert_sent (const Rig *rig, unsigned n, unsigned vector)
{
    cr_assert_eq (rig->n_sent, n);
    cr_assert_eq (rig->addresses[n - 1], 0xfee00000 + (vector << 12));
    cr_assert_eq (rig->data[n - 1], 0x20 + vector);
}

Test (pci_msix, the_capability_tells_its_size_and_places)
{
    Rig *rig = set_up ();
    unsigned at = rig->control - 2;

    cr_assert_eq (vmm_pci_function_config_read (rig->function, at, 1), 0x11);
    cr_assert_eq (vmm_pci_function_config_read (rig->function, at + 2, 2), ENABLE | (N_VECTORS - 1));
    cr_assert_eq (vmm_pci_function_config_read (rig->function, at + 4, 4), 0x1000);
    cr_assert_eq (vmm_pci_function_config_read (rig->function, at + 8, 4), 0x2000);
    tear_down (rig);
}

/* Every vector has its own bit, whether the array is read by 4 bytes or by 8. */
Test (pci_msix, the_pending_array_reads_right)
{
    static const unsigned vectors[] = {0, 1, 31, 32, 63, 64, 69};
    Rig *rig = set_up ();

    for (size_t i = 0; i < G_N_ELEMENTS (vectors); i++) {
        unsigned v = vectors[i];

        cr_assert (vmm_pci_msix_raise (rig->msix, v));
        for (unsigned word = 0; word < 4; word++)
            cr_assert_eq (pending (rig, 4 * word), word == v / 32 ? 1u << v % 32 : 0, "vector %u", v);
        cr_assert_eq (vmm_pci_msix_pending_read (rig->msix, v / 64 * 8, 8), UINT64_C (1) << v % 64);
        mask (rig, v, false);
        assert_sent (rig, (unsigned)i + 1, v);
        cr_assert_eq (pending (rig, v / 32 * 4), 0);
    }
    cr_assert_eq (vmm_pci_msix_pending_read (rig->msix, 16, 4), UINT64_MAX);
    cr_assert_eq (vmm_pci_msix_pending_read (rig->msix, 4, 8), UINT64_MAX);
    cr_assert_eq (vmm_pci_msix_pending_read (rig->msix, 0, 2), UINT64_MAX);
    cr_assert_eq (vmm_pci_msix_pending_read (rig->msix, UINT64_MAX - 3, 4), UINT64_MAX);
    tear_down (rig);
}

Test (pci_msix, pending_survives_disable_and_function_mask)
{
    Rig *rig = set_up ();

    vmm_pci_msix_raise (rig->msix, 5);
    put_control (rig, 0);
    cr_assert_eq (pending (rig, 0), 1u << 5);
    mask (rig, 5, false);
    cr_assert_eq (rig->n_sent, 0, "MSI-X is off");
    cr_assert_not (vmm_pci_msix_raise (rig->msix, 6), "the pin is for this one");
    put_control (rig, ENABLE | FUNCTION_MASK);
    cr_assert_eq (rig->n_sent, 0);
    cr_assert (vmm_pci_msix_raise (rig->msix, 5), "another one of what is pending");
    cr_assert_eq (pending (rig, 0), 1u << 5);
    put_control (rig, ENABLE);
    assert_sent (rig, 1, 5);
    cr_assert_eq (pending (rig, 0), 0);
    tear_down (rig);
}

Test (pci_msix, messages_wait_for_the_bus_master)
{
    Rig *rig = set_up ();

    mask (rig, 2, false);
    put_master (rig, false);
    vmm_pci_msix_raise (rig->msix, 2);
    put_control (rig, 0);
    put_control (rig, ENABLE);
    cr_assert_eq (rig->n_sent, 0);
    cr_assert_eq (pending (rig, 0), 1u << 2);
    put_master (rig, true);
    assert_sent (rig, 1, 2);
    tear_down (rig);
}

/* The last half of an entry in one write: the message is the new one. */
Test (pci_msix, what_unmasks_takes_effect_first)
{
    Rig *rig = set_up ();

    vmm_pci_msix_raise (rig->msix, 3);
    vmm_pci_msix_table_write (rig->msix, 3 * VMM_PCI_MSIX_ENTRY_SIZE + 8, 8, 0x77);
    cr_assert_eq (rig->n_sent, 1);
    cr_assert_eq (rig->data[0], 0x77);
    /* Of the control word, only the mask is there. */
    vmm_pci_msix_table_write (rig->msix, 3 * VMM_PCI_MSIX_ENTRY_SIZE + 12, 4, UINT32_MAX);
    cr_assert_eq (vmm_pci_msix_table_read (rig->msix, 3 * VMM_PCI_MSIX_ENTRY_SIZE + 12, 4), 1);
    cr_assert_eq (vmm_pci_msix_table_read (rig->msix, 3 * VMM_PCI_MSIX_ENTRY_SIZE + 8, 8),
                  UINT64_C (1) << 32 | 0x77);
    tear_down (rig);
}

Test (pci_msix, what_is_no_vector_is_nothing)
{
    Rig *rig = set_up ();

    for (unsigned i = 0; i < N_VECTORS; i++)
        mask (rig, i, false);
    cr_assert (vmm_pci_msix_raise (rig->msix, N_VECTORS));
    cr_assert (vmm_pci_msix_raise (rig->msix, 0xffff));
    mask (rig, N_VECTORS, false);
    vmm_pci_msix_table_write (rig->msix, UINT64_MAX - 3, 4, 0);
    cr_assert_eq (vmm_pci_msix_table_read (rig->msix, N_VECTORS * VMM_PCI_MSIX_ENTRY_SIZE, 4), UINT64_MAX);
    cr_assert_eq (rig->n_sent, 0);
    tear_down (rig);
}

static GBytes *
save (Rig *rig)
{
    g_autoptr (VmmStateWriter) writer = vmm_state_writer_new ();

    vmm_state_writer_begin (writer, "msix", 1);
    vmm_pci_function_save (rig->function, writer);
    vmm_pci_msix_save (rig->msix, writer);
    vmm_state_writer_end (writer);
    return vmm_state_writer_finish (writer);
}

static bool
load (Rig *rig, GBytes *state)
{
    g_autoptr (VmmStateReader) reader = vmm_state_reader_new (state);
    uint32_t version;

    return vmm_state_reader_enter (reader, "msix", 1, &version, NULL) &&
           vmm_pci_function_load (rig->function, reader) && vmm_pci_msix_load (rig->msix, reader) &&
           vmm_state_reader_leave (reader, NULL);
}

Test (pci_msix, pending_comes_back_from_saved_state)
{
    Rig *rig = set_up (), *other = set_up ();
    g_autoptr (GBytes) state = NULL;

    vmm_pci_msix_raise (rig->msix, 66);
    mask (rig, 1, false);
    state = save (rig);
    vmm_pci_msix_raise (other->msix, 7);
    cr_assert (load (other, state));
    cr_assert_eq (pending (other, 0), 0, "what was there before is gone");
    cr_assert_eq (pending (other, 8), 1u << 2);
    cr_assert_eq (other->n_sent, 0);
    mask (other, 66, false);
    assert_sent (other, 1, 66);
    vmm_pci_msix_raise (other->msix, 1);
    assert_sent (other, 2, 1);
    tear_down (rig);
    tear_down (other);
}
