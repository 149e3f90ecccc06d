/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ten bytes of input are one step: what to do, an offset or pin, a value. What must hold however a guest
 * behaves: each message is one that the machine was told of as a route, of a pin that is not masked, and a
 * saved state loads back as what it was.
 */
#include <stdint.h>
#include <stdlib.h>

#include "devices/ioapic/ioapic.h"
#include "vmm/core/bytes.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

#define STEP 10u

enum {
    DO_WRITE,
    DO_READ,
    DO_LINE,
    DO_EOI,
    DO_ENTRY,
    DO_RESET,
    DO_SAVE_LOAD,
    DO_LOAD,
    N_DO,
};

/* The routes as the machine knows them; a message must be one of them. */
typedef struct {
    uint64_t address[VMM_IOAPIC_PINS];
    uint32_t data[VMM_IOAPIC_PINS];
    bool open[VMM_IOAPIC_PINS];
} Routes;

static void
on_route (void *user, unsigned pin, uint64_t address, uint32_t data, bool masked)
{
    Routes *routes = user;

    if (pin >= VMM_IOAPIC_PINS)
        abort ();
    routes->address[pin] = address;
    routes->data[pin] = data;
    routes->open[pin] = !masked;
}

static void
on_msi (void *chip, uint64_t address, uint32_t data)
{
    const Routes *routes = chip;

    for (unsigned i = 0; i < VMM_IOAPIC_PINS; i++) {
        if (routes->open[i] && routes->address[i] == address && routes->data[i] == data)
            return;
    }
    abort ();
}

static GBytes *
save (VmmIoapic *ioapic)
{
    g_autoptr (VmmStateWriter) writer = vmm_state_writer_new ();

    vmm_state_writer_begin (writer, "ioapic", 1);
    vmm_ioapic_device_ops.save (ioapic, writer);
    vmm_state_writer_end (writer);
    return vmm_state_writer_finish (writer);
}

static bool
load (VmmIoapic *ioapic, GBytes *bytes)
{
    g_autoptr (VmmStateReader) reader = vmm_state_reader_new (bytes);
    uint32_t version;

    return vmm_state_reader_enter (reader, "ioapic", 1, &version, NULL) &&
           vmm_ioapic_device_ops.load (ioapic, reader, version) && vmm_state_reader_leave (reader, NULL);
}

static void
save_and_load (VmmIoapic *ioapic)
{
    g_autoptr (GBytes) before = save (ioapic);
    g_autoptr (GBytes) after = NULL;

    if (!load (ioapic, before))
        abort ();
    after = save (ioapic);
    if (!g_bytes_equal (before, after))
        abort ();
}

static void
load_hostile (VmmIoapic *ioapic, const uint8_t *data, size_t size)
{
    g_autoptr (GBytes) bytes = g_bytes_new (data, size);

    if (!load (ioapic, bytes))
        vmm_ioapic_device_ops.reset (ioapic);
}

static void
step (VmmIoapic *ioapic, const uint8_t *data, size_t size)
{
    uint8_t pin = data[1];
    unsigned width = 1u << (data[1] >> 6);
    uint64_t value = vmm_get_u64 (data + 2);
    static const uint16_t offsets[] = {0x00, 0x10, 0x40, 0x04, 0x11, 0xff8, 0x20, 0x10};
    uint64_t offset = offsets[data[1] & 7];

    switch (data[0] % N_DO) {
    case DO_WRITE:
        vmm_ioapic_bus_ops.write (ioapic, offset, width, value);
        break;
    case DO_READ:
        vmm_ioapic_bus_ops.read (ioapic, offset, width);
        break;
    case DO_LINE:
        vmm_ioapic_set_irq (ioapic, pin & 31, value & 1);
        break;
    case DO_EOI:
        vmm_ioapic_eoi (ioapic, (uint8_t)value);
        break;
    case DO_ENTRY:
        vmm_ioapic_bus_ops.write (ioapic, 0x00, 4, pin);
        vmm_ioapic_bus_ops.write (ioapic, 0x10, 4, value);
        break;
    case DO_RESET:
        vmm_ioapic_device_ops.reset (ioapic);
        break;
    case DO_SAVE_LOAD:
        save_and_load (ioapic);
        break;
    case DO_LOAD:
        load_hostile (ioapic, data + 2, size - 2);
        break;
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    Routes routes = {0};
    VmmMsiSink sink = {.send = on_msi, .chip = &routes};
    g_autoptr (VmmIoapic) ioapic = vmm_ioapic_new (VMM_IOAPIC_PINS, &sink);

    vmm_ioapic_set_routes_changed (ioapic, on_route, &routes);
    for (; size >= STEP; data += STEP, size -= STEP)
        step (ioapic, data, size);
    return 0;
}
