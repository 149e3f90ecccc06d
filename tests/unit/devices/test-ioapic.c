/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "devices/ioapic/ioapic.h"

#define LEVEL (1u << 15)
#define MASKED (1u << 16)
#define LOGICAL (1u << 11)
#define REMOTE_IRR (1u << 14)
#define POLARITY_LOW (1u << 13)

/* Everything that the I/O APIC told the outside. */
typedef struct {
    unsigned n_sent;
    uint64_t address;
    uint32_t data;
    unsigned n_routes;
    unsigned sent_at_route; /* n_sent when the last route came */
    unsigned route_pin;
    uint64_t route_address;
    uint32_t route_data;
    bool route_masked;
} Recorder;

static void
on_msi (void *chip, uint64_t address, uint32_t data)
{
    Recorder *r = chip;

    r->n_sent++;
    r->address = address;
    r->data = data;
}

static void
on_route (void *user, unsigned pin, uint64_t address, uint32_t data, bool masked)
{
    Recorder *r = user;

    r->n_routes++;
    r->sent_at_route = r->n_sent;
    r->route_pin = pin;
    r->route_address = address;
    r->route_data = data;
    r->route_masked = masked;
}

static VmmIoapic *
make (Recorder *r)
{
    VmmMsiSink sink = {.send = on_msi, .chip = r};
    VmmIoapic *ioapic = vmm_ioapic_new (VMM_IOAPIC_PINS, &sink);

    vmm_ioapic_set_routes_changed (ioapic, on_route, r);
    return ioapic;
}

static uint32_t
reg_read (VmmIoapic *ioapic, uint8_t reg)
{
    vmm_ioapic_bus_ops.write (ioapic, 0x00, 4, reg);
    return (uint32_t)vmm_ioapic_bus_ops.read (ioapic, 0x10, 4);
}

static void
reg_write (VmmIoapic *ioapic, uint8_t reg, uint32_t value)
{
    vmm_ioapic_bus_ops.write (ioapic, 0x00, 4, reg);
    vmm_ioapic_bus_ops.write (ioapic, 0x10, 4, value);
}

/* As a guest does it: destination first, the half with the mask last. */
static void
entry_write (VmmIoapic *ioapic, unsigned pin, uint32_t high, uint32_t low)
{
    reg_write (ioapic, (uint8_t)(0x11 + 2 * pin), high);
    reg_write (ioapic, (uint8_t)(0x10 + 2 * pin), low);
}

static uint32_t
entry_low (VmmIoapic *ioapic, unsigned pin)
{
    return reg_read (ioapic, (uint8_t)(0x10 + 2 * pin));
}

static GBytes *
save (VmmIoapic *ioapic)
{
    g_autoptr (VmmStateWriter) writer = vmm_state_writer_new ();

    vmm_state_writer_begin (writer, vmm_ioapic_device_ops.name, 1);
    vmm_ioapic_device_ops.save (ioapic, writer);
    vmm_state_writer_end (writer);
    return vmm_state_writer_finish (writer);
}

static bool
load (VmmIoapic *ioapic, GBytes *bytes)
{
    g_autoptr (VmmStateReader) reader = vmm_state_reader_new (bytes);
    uint32_t version;

    return vmm_state_reader_enter (reader, vmm_ioapic_device_ops.name, 1, &version, NULL) &&
           vmm_ioapic_device_ops.load (ioapic, reader, version) && vmm_state_reader_leave (reader, NULL);
}

Test (ioapic, identifies_itself)
{
    Recorder r = {0};
    g_autoptr (VmmIoapic) ioapic = make (&r);

    cr_assert_eq (reg_read (ioapic, 1), 0x00170020u);
    cr_assert_eq (reg_read (ioapic, 0), 0u);
    reg_write (ioapic, 0, 0xffffffff);
    cr_assert_eq (reg_read (ioapic, 0), 0x0f000000u);
    cr_assert_eq (reg_read (ioapic, 2), 0x0f000000u, "the arbitration id follows the id");
    reg_write (ioapic, 1, 0);
    reg_write (ioapic, 2, 0);
    cr_assert_eq (reg_read (ioapic, 1), 0x00170020u, "the version is read-only");
    cr_assert_eq (reg_read (ioapic, 2), 0x0f000000u);
}

Test (ioapic, refuses_pin_counts_that_no_register_index_reaches)
{
    g_autoptr (VmmIoapic) most = vmm_ioapic_new (VMM_IOAPIC_PINS_MAX, NULL);

    cr_assert_null (vmm_ioapic_new (0, NULL));
    cr_assert_null (vmm_ioapic_new (VMM_IOAPIC_PINS_MAX + 1, NULL));
    cr_assert_not_null (most);
    reg_write (most, 0xfe, 0x31);
    cr_assert_eq (reg_read (most, 0xfe), 0x31u);
    vmm_ioapic_set_irq (most, VMM_IOAPIC_PINS_MAX - 1, true);
    vmm_ioapic_free (NULL);
}

Test (ioapic, entries_start_masked_and_keep_only_what_is_writable)
{
    Recorder r = {0};
    g_autoptr (VmmIoapic) ioapic = make (&r);

    for (unsigned pin = 0; pin < VMM_IOAPIC_PINS; pin++) {
        cr_assert_eq (entry_low (ioapic, pin), MASKED);
        cr_assert_eq (reg_read (ioapic, (uint8_t)(0x11 + 2 * pin)), 0u);
    }
    entry_write (ioapic, 3, 0xffffffff, 0xffffffff);
    cr_assert_eq (entry_low (ioapic, 3), 0x0001afffu);
    cr_assert_eq (reg_read (ioapic, 0x17), 0xfffe0000u);
    cr_assert_eq (entry_low (ioapic, 2), MASKED, "a write reaches its own pin only");
    cr_assert_eq (entry_low (ioapic, 4), MASKED);
}

Test (ioapic, odd_accesses_read_ones_and_write_nothing)
{
    Recorder r = {0};
    g_autoptr (VmmIoapic) ioapic = make (&r);
    const VmmBusOps *ops = &vmm_ioapic_bus_ops;

    reg_write (ioapic, 0x10, 0x31);
    ops->write (ioapic, 0x10, 1, 0x44);
    ops->write (ioapic, 0x10, 2, 0x4444);
    ops->write (ioapic, 0x10, 8, 0x44444444);
    ops->write (ioapic, 0x12, 2, 0x44);
    ops->write (ioapic, 0x00, 8, 0x01);
    ops->write (ioapic, 0x20, 4, 0x44);
    cr_assert_eq (ops->read (ioapic, 0x10, 4), 0x31u);
    cr_assert_eq (ops->read (ioapic, 0x10, 1), UINT64_MAX);
    cr_assert_eq (ops->read (ioapic, 0x10, 8), UINT64_MAX);
    cr_assert_eq (ops->read (ioapic, 0x40, 4), UINT64_MAX, "EOIR is write-only");
    cr_assert_eq (ops->read (ioapic, 0xffc, 4), UINT64_MAX);
    ops->write (ioapic, 0x00, 1, 0x12);
    cr_assert_eq (ops->read (ioapic, 0x00, 4), 0x12u);
    ops->write (ioapic, 0x00, 4, 0xabcdef01);
    cr_assert_eq (ops->read (ioapic, 0x00, 1), 0x01u, "the index is one byte");
}

Test (ioapic, register_indices_without_a_register_read_ones)
{
    Recorder r = {0};
    g_autoptr (VmmIoapic) ioapic = make (&r);

    for (unsigned reg = 3; reg < 0x10; reg++)
        cr_assert_eq (reg_read (ioapic, (uint8_t)reg), UINT32_MAX);
    for (unsigned reg = 0x10 + 2 * VMM_IOAPIC_PINS; reg <= 0xff; reg++) {
        reg_write (ioapic, (uint8_t)reg, 0);
        cr_assert_eq (reg_read (ioapic, (uint8_t)reg), UINT32_MAX);
    }
}

Test (ioapic, edge_pin_sends_once_for_each_rise)
{
    Recorder r = {0};
    g_autoptr (VmmIoapic) ioapic = make (&r);

    entry_write (ioapic, 4, 0x01000000, 0x31);
    vmm_ioapic_set_irq (ioapic, 4, true);
    cr_assert_eq (r.n_sent, 1u);
    cr_assert_eq (r.address, 0xfee01000u);
    cr_assert_eq (r.data, 0x31u);
    vmm_ioapic_set_irq (ioapic, 4, true);
    cr_assert_eq (r.n_sent, 1u, "still high is no edge");
    vmm_ioapic_set_irq (ioapic, 4, false);
    cr_assert_eq (r.n_sent, 1u);
    vmm_ioapic_set_irq (ioapic, 4, true);
    cr_assert_eq (r.n_sent, 2u);
    cr_assert_eq (entry_low (ioapic, 4), 0x31u, "an edge sets no Remote IRR");
    vmm_ioapic_eoi (ioapic, 0x31);
    cr_assert_eq (r.n_sent, 2u);
}

Test (ioapic, edge_while_masked_is_lost)
{
    Recorder r = {0};
    g_autoptr (VmmIoapic) ioapic = make (&r);

    entry_write (ioapic, 4, 0, 0x31 | MASKED);
    vmm_ioapic_set_irq (ioapic, 4, true);
    entry_write (ioapic, 4, 0, 0x31);
    cr_assert_eq (r.n_sent, 0u);
    vmm_ioapic_set_irq (ioapic, 4, false);
    vmm_ioapic_set_irq (ioapic, 4, true);
    cr_assert_eq (r.n_sent, 1u);
}

Test (ioapic, level_pin_waits_for_eoi_and_comes_again_while_asserted)
{
    Recorder r = {0};
    g_autoptr (VmmIoapic) ioapic = make (&r);

    entry_write (ioapic, 9, 0, 0x41 | LEVEL);
    vmm_ioapic_set_irq (ioapic, 9, true);
    cr_assert_eq (r.n_sent, 1u);
    cr_assert_eq (r.data, 0x41u | LEVEL | 1u << 14);
    cr_assert (entry_low (ioapic, 9) & REMOTE_IRR);
    vmm_ioapic_set_irq (ioapic, 9, false);
    vmm_ioapic_set_irq (ioapic, 9, true);
    cr_assert_eq (r.n_sent, 1u, "one in service at a time");
    vmm_ioapic_eoi (ioapic, 0x42);
    cr_assert_eq (r.n_sent, 1u, "another vector's EOI");
    vmm_ioapic_eoi (ioapic, 0x41);
    cr_assert_eq (r.n_sent, 2u);
    cr_assert (entry_low (ioapic, 9) & REMOTE_IRR);
    vmm_ioapic_set_irq (ioapic, 9, false);
    vmm_ioapic_eoi (ioapic, 0x41);
    cr_assert_eq (r.n_sent, 2u);
    cr_assert_not (entry_low (ioapic, 9) & REMOTE_IRR);
}

Test (ioapic, one_eoi_ends_every_pin_that_shares_the_vector)
{
    Recorder r = {0};
    g_autoptr (VmmIoapic) ioapic = make (&r);

    entry_write (ioapic, 10, 0, 0x41 | LEVEL);
    entry_write (ioapic, 11, 0, 0x41 | LEVEL);
    vmm_ioapic_set_irq (ioapic, 10, true);
    vmm_ioapic_set_irq (ioapic, 11, true);
    cr_assert_eq (r.n_sent, 2u);
    vmm_ioapic_eoi (ioapic, 0x41);
    cr_assert_eq (r.n_sent, 4u);
}

Test (ioapic, eoi_register_is_an_eoi)
{
    Recorder r = {0};
    g_autoptr (VmmIoapic) ioapic = make (&r);

    entry_write (ioapic, 9, 0, 0x41 | LEVEL);
    vmm_ioapic_set_irq (ioapic, 9, true);
    vmm_ioapic_bus_ops.write (ioapic, 0x40, 4, 0x41);
    cr_assert_eq (r.n_sent, 2u);
}

Test (ioapic, level_pin_asserted_while_masked_is_sent_on_unmask)
{
    Recorder r = {0};
    g_autoptr (VmmIoapic) ioapic = make (&r);

    entry_write (ioapic, 9, 0, 0x41 | LEVEL | MASKED);
    vmm_ioapic_set_irq (ioapic, 9, true);
    cr_assert_eq (r.n_sent, 0u);
    cr_assert_not (entry_low (ioapic, 9) & REMOTE_IRR);
    entry_write (ioapic, 9, 0, 0x41 | LEVEL);
    cr_assert_eq (r.n_sent, 1u);
    cr_assert_eq (r.sent_at_route, 0u, "KVM must know the route before the interrupt");
}

Test (ioapic, eoi_while_masked_is_kept_and_nothing_is_sent)
{
    Recorder r = {0};
    g_autoptr (VmmIoapic) ioapic = make (&r);

    entry_write (ioapic, 9, 0, 0x41 | LEVEL);
    vmm_ioapic_set_irq (ioapic, 9, true);
    entry_write (ioapic, 9, 0, 0x41 | LEVEL | MASKED);
    cr_assert (entry_low (ioapic, 9) & REMOTE_IRR, "masking does not end what is in service");
    vmm_ioapic_eoi (ioapic, 0x41);
    cr_assert_eq (r.n_sent, 1u);
    entry_write (ioapic, 9, 0, 0x41 | LEVEL);
    cr_assert_eq (r.n_sent, 2u);
}

Test (ioapic, writing_an_entry_as_edge_clears_remote_irr)
{
    Recorder r = {0};
    g_autoptr (VmmIoapic) ioapic = make (&r);

    entry_write (ioapic, 9, 0, 0x41 | LEVEL);
    vmm_ioapic_set_irq (ioapic, 9, true);
    entry_write (ioapic, 9, 0, 0x41 | MASKED);
    entry_write (ioapic, 9, 0, 0x41 | LEVEL | MASKED);
    cr_assert_not (entry_low (ioapic, 9) & REMOTE_IRR);
    entry_write (ioapic, 9, 0, 0x41 | LEVEL);
    cr_assert_eq (r.n_sent, 2u);
}

Test (ioapic, remote_irr_cannot_be_written)
{
    Recorder r = {0};
    g_autoptr (VmmIoapic) ioapic = make (&r);

    entry_write (ioapic, 9, 0, 0x41 | LEVEL | REMOTE_IRR);
    cr_assert_not (entry_low (ioapic, 9) & REMOTE_IRR);
    vmm_ioapic_set_irq (ioapic, 9, true);
    reg_write (ioapic, 0x10 + 18, 0x41 | LEVEL);
    cr_assert (entry_low (ioapic, 9) & REMOTE_IRR);
    cr_assert_eq (r.n_sent, 1u);
}

Test (ioapic, polarity_does_not_invert_the_line)
{
    Recorder r = {0};
    g_autoptr (VmmIoapic) ioapic = make (&r);

    entry_write (ioapic, 9, 0, 0x41 | LEVEL | POLARITY_LOW);
    cr_assert_eq (r.n_sent, 0u, "an idle active-low line is idle");
    vmm_ioapic_set_irq (ioapic, 9, true);
    cr_assert_eq (r.n_sent, 1u);
    cr_assert (entry_low (ioapic, 9) & POLARITY_LOW);
}

Test (ioapic, message_carries_destination_and_modes)
{
    Recorder r = {0};
    g_autoptr (VmmIoapic) ioapic = make (&r);

    entry_write (ioapic, 4, 0xab000000, 0x31 | LOGICAL | 1u << 8);
    vmm_ioapic_set_irq (ioapic, 4, true);
    cr_assert_eq (r.address, 0xfee00000u | 0xabu << 12 | 1u << 2);
    cr_assert_eq (r.data, 0x131u);
}

/* APIC id 0x1234: bits 7:0 in the destination, 14:8 in the extension (entry bits 55:49, address bits 11:5).
 */
Test (ioapic, message_carries_extended_destination)
{
    Recorder r = {0};
    g_autoptr (VmmIoapic) ioapic = make (&r);

    entry_write (ioapic, 4, 0x34000000 | 0x12u << 17, 0x31);
    vmm_ioapic_set_irq (ioapic, 4, true);
    cr_assert_eq (r.address, 0xfee00000u | 0x34u << 12 | 0x12u << 5);
    entry_write (ioapic, 4, 0x34010000, 0x31);
    cr_assert_eq (reg_read (ioapic, 0x19), 0x34000000u, "bit 48 belongs to interrupt remapping");
}

Test (ioapic, nmi_is_an_edge_whatever_the_trigger_bit_says)
{
    Recorder r = {0};
    g_autoptr (VmmIoapic) ioapic = make (&r);

    entry_write (ioapic, 4, 0, 4u << 8 | LEVEL);
    vmm_ioapic_set_irq (ioapic, 4, true);
    cr_assert_eq (r.n_sent, 1u);
    cr_assert_eq (r.data, 0x400u, "no trigger bit, or KVM would wait for an EOI");
    cr_assert_not (entry_low (ioapic, 4) & REMOTE_IRR);
    vmm_ioapic_set_irq (ioapic, 4, false);
    vmm_ioapic_set_irq (ioapic, 4, true);
    cr_assert_eq (r.n_sent, 2u);
}

Test (ioapic, reserved_delivery_modes_deliver_nothing)
{
    Recorder r = {0};
    g_autoptr (VmmIoapic) ioapic = make (&r);

    entry_write (ioapic, 4, 0, 3u << 8 | 0x31);
    vmm_ioapic_set_irq (ioapic, 4, true);
    entry_write (ioapic, 5, 0, 6u << 8 | 0x31 | LEVEL);
    vmm_ioapic_set_irq (ioapic, 5, true);
    cr_assert_eq (r.n_sent, 0u);
    cr_assert_eq (r.n_routes, 0u);
}

Test (ioapic, lines_beyond_the_last_pin_are_ignored)
{
    Recorder r = {0};
    g_autoptr (VmmIoapic) ioapic = make (&r);

    vmm_ioapic_set_irq (ioapic, VMM_IOAPIC_PINS, true);
    vmm_ioapic_set_irq (ioapic, UINT32_MAX, true);
    cr_assert_eq (r.n_sent, 0u);
}

Test (ioapic, routes_are_reported_when_they_matter)
{
    Recorder r = {0};
    g_autoptr (VmmIoapic) ioapic = make (&r);

    entry_write (ioapic, 4, 0x01000000, 0x31 | MASKED);
    cr_assert_eq (r.n_routes, 0u, "a masked pin's message is of no interest");
    reg_write (ioapic, 0x18, 0x31 | LEVEL);
    cr_assert_eq (r.n_routes, 1u);
    cr_assert_eq (r.route_pin, 4u);
    cr_assert_eq (r.route_address, 0xfee01000u);
    cr_assert_eq (r.route_data, 0x31u | LEVEL | 1u << 14);
    cr_assert_not (r.route_masked);
    reg_write (ioapic, 0x18, 0x31 | LEVEL);
    cr_assert_eq (r.n_routes, 1u, "the same again");
    reg_write (ioapic, 0x19, 0x02000000);
    cr_assert_eq (r.n_routes, 2u);
    cr_assert_eq (r.route_address, 0xfee02000u);
    reg_write (ioapic, 0x18, 0x31 | LEVEL | MASKED);
    cr_assert_eq (r.n_routes, 3u);
    cr_assert (r.route_masked);
    reg_write (ioapic, 0x18, 0x31 | LEVEL);
    cr_assert_eq (r.n_routes, 4u, "unmasked again");
    cr_assert_not (r.route_masked);
}

/* A threaded interrupt handler masks its pin before it signals the EOI. */
Test (ioapic, route_stays_until_the_eoi_of_a_pin_masked_in_service)
{
    Recorder r = {0};
    Recorder r2 = {0};
    g_autoptr (VmmIoapic) ioapic = make (&r);
    g_autoptr (VmmIoapic) other = make (&r2);
    g_autoptr (GBytes) bytes = NULL;

    entry_write (ioapic, 9, 0, 0x41 | LEVEL);
    vmm_ioapic_set_irq (ioapic, 9, true);
    vmm_ioapic_set_irq (ioapic, 9, false);
    entry_write (ioapic, 9, 0, 0x41 | LEVEL | MASKED);
    cr_assert_eq (r.n_routes, 1u, "KVM could not tell of the EOI without the route");
    bytes = save (ioapic);
    cr_assert (load (other, bytes));
    cr_assert_eq (r2.n_routes, 1u, "nor after a restore");
    cr_assert_not (r2.route_masked);
    vmm_ioapic_eoi (ioapic, 0x41);
    cr_assert_eq (r.n_routes, 2u);
    cr_assert (r.route_masked);
    cr_assert_eq (r.n_sent, 1u);
}

Test (ioapic, reset_masks_everything_and_drops_lines)
{
    Recorder r = {0};
    g_autoptr (VmmIoapic) ioapic = make (&r);

    reg_write (ioapic, 0, 0x05000000);
    entry_write (ioapic, 9, 0x01000000, 0x41 | LEVEL);
    vmm_ioapic_set_irq (ioapic, 9, true);
    vmm_ioapic_device_ops.reset (ioapic);
    cr_assert (r.route_masked);
    cr_assert_eq (vmm_ioapic_bus_ops.read (ioapic, 0, 4), 0u);
    cr_assert_eq (reg_read (ioapic, 0), 0u);
    cr_assert_eq (entry_low (ioapic, 9), MASKED);
    entry_write (ioapic, 9, 0, 0x41 | LEVEL);
    cr_assert_eq (r.n_sent, 1u, "the line is idle after a reset");
}

Test (ioapic, saved_state_continues_an_interrupt_in_service)
{
    Recorder r = {0};
    Recorder r2 = {0};
    g_autoptr (VmmIoapic) ioapic = make (&r);
    g_autoptr (VmmIoapic) other = make (&r2);
    g_autoptr (GBytes) bytes = NULL;

    reg_write (ioapic, 0, 0x05000000);
    entry_write (ioapic, 9, 0x01000000, 0x41 | LEVEL);
    vmm_ioapic_set_irq (ioapic, 9, true);
    vmm_ioapic_bus_ops.write (ioapic, 0, 4, 0x22);
    bytes = save (ioapic);
    cr_assert (load (other, bytes));
    cr_assert_eq (r2.n_sent, 0u, "loading sends nothing");
    cr_assert_eq (r2.n_routes, 1u);
    cr_assert_eq (r2.route_pin, 9u);
    cr_assert_eq (vmm_ioapic_bus_ops.read (other, 0, 4), 0x22u);
    cr_assert_eq (vmm_ioapic_bus_ops.read (other, 0x10, 4), 0x41u | LEVEL | REMOTE_IRR);
    cr_assert_eq (reg_read (other, 0), 0x05000000u);
    vmm_ioapic_eoi (other, 0x41);
    cr_assert_eq (r2.n_sent, 1u, "the line is still asserted");
    cr_assert_eq (r2.address, 0xfee01000u);
}

static GBytes *
hostile (uint8_t id, uint8_t pins, uint64_t entry)
{
    g_autoptr (VmmStateWriter) writer = vmm_state_writer_new ();

    vmm_state_writer_begin (writer, vmm_ioapic_device_ops.name, 1);
    vmm_state_put_u8 (writer, 0);
    vmm_state_put_u8 (writer, id);
    vmm_state_put_u8 (writer, pins);
    for (unsigned i = 0; i < pins; i++) {
        vmm_state_put_u64 (writer, entry);
        vmm_state_put_bool (writer, true);
    }
    vmm_state_writer_end (writer);
    return vmm_state_writer_finish (writer);
}

Test (ioapic, impossible_state_is_refused)
{
    static const struct {
        uint8_t id;
        uint8_t pins;
        uint64_t entry;
        bool ok;
    } cases[] = {
        {15, VMM_IOAPIC_PINS, 0x41 | LEVEL | REMOTE_IRR, true},
        {16, VMM_IOAPIC_PINS, MASKED, false},
        {0, VMM_IOAPIC_PINS - 1, MASKED, false},
        {0, VMM_IOAPIC_PINS + 1, MASKED, false},
        {0, 255, MASKED, false},
        {0, VMM_IOAPIC_PINS, 1ull << 20, false},
        {0, VMM_IOAPIC_PINS, 0x41 | REMOTE_IRR, false},
    };

    for (size_t i = 0; i < G_N_ELEMENTS (cases); i++) {
        Recorder r = {0};
        g_autoptr (VmmIoapic) ioapic = make (&r);
        g_autoptr (GBytes) bytes = hostile (cases[i].id, cases[i].pins, cases[i].entry);

        cr_assert_eq (load (ioapic, bytes), cases[i].ok, "case %zu", i);
        if (!cases[i].ok)
            cr_assert_eq (entry_low (ioapic, 0), MASKED, "case %zu changed the device", i);
    }
}

Test (ioapic, truncated_state_is_refused)
{
    Recorder r = {0};
    g_autoptr (VmmIoapic) ioapic = make (&r);
    g_autoptr (GBytes) bytes = NULL;

    entry_write (ioapic, 9, 0, 0x41 | LEVEL);
    bytes = save (ioapic);
    vmm_ioapic_device_ops.reset (ioapic);
    for (size_t len = 0; len < g_bytes_get_size (bytes); len++) {
        g_autoptr (GBytes) cut = g_bytes_new_from_bytes (bytes, 0, len);

        cr_assert_not (load (ioapic, cut), "%zu bytes were enough", len);
        cr_assert_eq (entry_low (ioapic, 9), MASKED);
    }
    cr_assert (load (ioapic, bytes));
    cr_assert_eq (entry_low (ioapic, 9), 0x41u | LEVEL);
}
