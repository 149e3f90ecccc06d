/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "devices/legacy/serial.h"
#include "fake-chardev.h"
#include "recorders.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR };
#define FCR IIR

#define LSR_DR 0x01
#define LSR_OE 0x02
#define LSR_BI 0x10
#define LSR_EMPTY 0x60
#define LSR_FIFO_ERROR 0x80

typedef struct {
    VmmChardev *chardev;
    VmmSerial *serial;
    IrqRecorder irq;
} Bed;

static uint8_t
in (VmmSerial *serial, unsigned reg)
{
    return (uint8_t)vmm_serial_bus_ops.read (serial, reg, 1);
}

static void
out (VmmSerial *serial, unsigned reg, uint8_t value)
{
    vmm_serial_bus_ops.write (serial, reg, 1, value);
}

static void
bed_init (Bed *bed)
{
    VmmIrqLine line = irq_recorder_line (&bed->irq);

    memset (&bed->irq, 0, sizeof bed->irq);
    bed->chardev = fake_chardev_new ();
    bed->serial = vmm_serial_new (bed->chardev, &line);
}

static void
bed_clear (Bed *bed)
{
    vmm_serial_free (bed->serial);
    cr_assert (!fake_chardev_has_frontend (bed->chardev));
    vmm_chardev_free (bed->chardev);
}

/* What the driver leaves after opening the port. */
static void
open_port (VmmSerial *serial)
{
    out (serial, LCR, 0x03);
    out (serial, FCR, 0x81);
    out (serial, MCR, 0x0b);
}

static void
assert_output (Bed *bed, const char *text)
{
    const GByteArray *output = fake_chardev_output (bed->chardev);

    cr_assert_eq (output->len, strlen (text), "got %.*s", (int)output->len, (char *)output->data);
    cr_assert_eq (memcmp (output->data, text, output->len), 0);
}

Test (serial, reset_values)
{
    Bed bed;

    bed_init (&bed);
    cr_assert_eq (in (bed.serial, IER), 0);
    cr_assert_eq (in (bed.serial, IIR), 0x01);
    cr_assert_eq (in (bed.serial, LCR), 0);
    cr_assert_eq (in (bed.serial, MCR), 0);
    cr_assert_eq (in (bed.serial, LSR), LSR_EMPTY);
    cr_assert_eq (in (bed.serial, MSR), 0xb0);
    cr_assert_eq (in (bed.serial, SCR), 0);
    cr_assert_eq (bed.irq.calls, 0);
    bed_clear (&bed);
}

/* The steps by which Linux tells a 16550A from its relatives, in its order. */
static const char *
linux_autoconfig (VmmSerial *serial)
{
    uint8_t before, status1, status2;

    out (serial, IER, 0);
    if ((in (serial, IER) & 0x0f) != 0)
        return "no UART: IER does not clear";
    out (serial, IER, 0x0f);
    if ((in (serial, IER) & 0x0f) != 0x0f)
        return "no UART: IER does not set";
    out (serial, IER, 0);
    out (serial, MCR, 0x1a);
    if ((in (serial, MSR) & 0xf0) != 0x90)
        return "no UART: loopback";
    out (serial, MCR, 0);
    out (serial, LCR, 0xbf);
    out (serial, FCR, 0);
    out (serial, LCR, 0);
    out (serial, FCR, 0x01);
    if (in (serial, IIR) >> 6 != 3)
        return "no FIFO";
    out (serial, LCR, 0x80);
    if (in (serial, FCR) == 0)
        return "16650 or Motorola";
    out (serial, LCR, 0xbf);
    if (in (serial, FCR) == 0)
        return "16650V2";
    out (serial, LCR, 0);
    before = in (serial, MCR);
    out (serial, LCR, 0xe0);
    status2 = in (serial, 2);
    if (!((status2 ^ before) & 0x10)) {
        out (serial, LCR, 0);
        out (serial, MCR, before ^ 0x10);
        out (serial, LCR, 0xe0);
        status2 = in (serial, 2);
        out (serial, LCR, 0);
        out (serial, MCR, before);
        if ((status2 ^ before) & 0x10)
            return "NS16550A";
    }
    out (serial, LCR, 0);
    out (serial, FCR, 0x21);
    status1 = in (serial, IIR) >> 5;
    out (serial, FCR, 0x01);
    out (serial, LCR, 0x80);
    out (serial, FCR, 0x21);
    status2 = in (serial, IIR) >> 5;
    out (serial, FCR, 0x01);
    out (serial, LCR, 0);
    if (status1 == 6 && status2 == 7)
        return "TI16750";
    out (serial, IER, 0x40);
    if (in (serial, IER) & 0x40)
        return "XScale";
    out (serial, IER, 0);
    return "16550A";
}

/* Bytes that fit into the FIFO, counted in loopback mode. */
static unsigned
linux_size_fifo (VmmSerial *serial)
{
    unsigned count;

    out (serial, LCR, 0);
    out (serial, FCR, 0x07);
    out (serial, MCR, 0x10);
    for (unsigned i = 0; i < 256; i++)
        out (serial, DATA, (uint8_t)i);
    for (count = 0; (in (serial, LSR) & LSR_DR) && count < 256; count++)
        cr_assert_eq (in (serial, DATA), count);
    out (serial, MCR, 0);
    return count;
}

Test (serial, linux_says_16550A)
{
    Bed bed;

    bed_init (&bed);
    cr_assert_str_eq (linux_autoconfig (bed.serial), "16550A");
    cr_assert_eq (linux_size_fifo (bed.serial), 16);
    cr_assert_eq (fake_chardev_output (bed.chardev)->len, 0, "nothing of the loopback leaves");
    bed_clear (&bed);
}

/* The two tests of the driver's start-up; failing either puts it into a slow workaround mode. */
Test (serial, thre_interrupt_comes_again_when_enabled_again)
{
    Bed bed;

    bed_init (&bed);
    out (bed.serial, IER, 0x02);
    cr_assert (bed.irq.level);
    cr_assert_eq (in (bed.serial, IIR) & 0x0f, 0x02);
    cr_assert_eq (in (bed.serial, IIR) & 0x0f, 0x01, "reading the IIR clears it");
    cr_assert (!bed.irq.level);
    out (bed.serial, IER, 0);
    out (bed.serial, IER, 0x02);
    cr_assert (bed.irq.level);
    cr_assert_eq (in (bed.serial, LSR) & LSR_EMPTY, LSR_EMPTY);
    cr_assert_eq (in (bed.serial, IIR) & 0x0f, 0x02);
    out (bed.serial, IER, 0x02);
    cr_assert (!bed.irq.level, "writing the same enables again is not an edge");
    out (bed.serial, IER, 0);
    bed_clear (&bed);
}

typedef struct {
    const uint8_t *data;
    size_t len;
    size_t pos;
    bool tx_enabled;
    unsigned worst_rounds;
    unsigned calls;
} Driver;

/* The shape of Linux's interrupt handler: services the port until its IIR says that nothing is pending. */
static void
driver_interrupt (Driver *driver, VmmSerial *serial)
{
    unsigned rounds = 0;

    driver->calls++;
    while (!(in (serial, IIR) & 0x01)) {
        uint8_t status = in (serial, LSR);

        rounds++;
        cr_assert_leq (rounds, 512, "too much work for irq4");
        while (status & LSR_DR) {
            in (serial, DATA);
            status = in (serial, LSR);
        }
        in (serial, MSR);
        if (!(status & 0x20) || !driver->tx_enabled)
            continue;
        for (unsigned i = 0; i < 16 && driver->pos < driver->len; i++)
            out (serial, DATA, driver->data[driver->pos++]);
        if (driver->pos == driver->len) {
            driver->tx_enabled = false;
            out (serial, IER, 0x05);
        }
    }
    driver->worst_rounds = MAX (driver->worst_rounds, rounds);
}

static void
fill_pattern (uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(i * 7 + i / 256);
}

/* 64 KiB in one go is 4096 rounds: another CPU refilling the driver's buffer. An edge-triggered controller.
 */
Test (serial, no_too_much_work_when_the_host_is_fast)
{
    static uint8_t data[65536];
    Driver driver = {.data = data, .len = sizeof data, .tx_enabled = true};
    Bed bed;

    fill_pattern (data, sizeof data);
    bed_init (&bed);
    open_port (bed.serial);
    out (bed.serial, IER, 0x07);
    for (unsigned handled = 0; handled < bed.irq.edges;) {
        handled = bed.irq.edges;
        driver_interrupt (&driver, bed.serial);
    }
    cr_assert_eq (driver.pos, sizeof data, "an edge was lost after %zu bytes", driver.pos);
    cr_assert_eq (fake_chardev_output (bed.chardev)->len, sizeof data);
    cr_assert_eq (memcmp (fake_chardev_output (bed.chardev)->data, data, sizeof data), 0);
    cr_assert_leq (driver.worst_rounds, 256);
    cr_assert (!bed.irq.level);
    bed_clear (&bed);
}

/* A handler that looks once for each interrupt must get all of its interrupts too. */
Test (serial, single_shot_handler_loses_no_interrupt)
{
    Bed bed;
    unsigned sent = 0, spurious = 0;

    bed_init (&bed);
    open_port (bed.serial);
    out (bed.serial, IER, 0x02);
    for (unsigned handled = 0; handled < bed.irq.edges && sent < 4096;) {
        handled = bed.irq.edges;
        if (in (bed.serial, IIR) & 0x01) {
            spurious++;
            continue;
        }
        for (unsigned i = 0; i < 16; i++, sent++)
            out (bed.serial, DATA, (uint8_t)sent);
    }
    cr_assert_eq (sent, 4096);
    cr_assert_leq (spurious, 4);
    bed_clear (&bed);
}

/* A host that takes 100 bytes at a time: the guest waits for it, and every byte arrives once and in order. */
Test (serial, slow_host_loses_nothing)
{
    static uint8_t data[16384];
    Driver driver = {.data = data, .len = sizeof data, .tx_enabled = true};
    Bed bed;

    fill_pattern (data, sizeof data);
    bed_init (&bed);
    open_port (bed.serial);
    fake_chardev_allow (bed.chardev, 0);
    out (bed.serial, IER, 0x07);
    for (unsigned i = 0; i < 1000 && fake_chardev_output (bed.chardev)->len < sizeof data; i++) {
        if (bed.irq.level)
            driver_interrupt (&driver, bed.serial);
        cr_assert (!bed.irq.level, "no interrupt while the host does not read");
        if (fake_chardev_output (bed.chardev)->len < sizeof data)
            cr_assert_eq (in (bed.serial, LSR) & LSR_EMPTY, 0);
        fake_chardev_allow (bed.chardev, 100);
        fake_chardev_run (bed.chardev);
    }
    cr_assert_eq (fake_chardev_output (bed.chardev)->len, sizeof data);
    cr_assert_eq (memcmp (fake_chardev_output (bed.chardev)->data, data, sizeof data), 0);
    cr_assert_eq (in (bed.serial, LSR) & LSR_EMPTY, LSR_EMPTY);
    bed_clear (&bed);
}

Test (serial, full_transmit_fifo_keeps_what_it_has)
{
    Bed bed;

    bed_init (&bed);
    open_port (bed.serial);
    fake_chardev_allow (bed.chardev, 0);
    for (char c = 'a'; c < 'a' + 20; c++)
        out (bed.serial, DATA, (uint8_t)c);
    fake_chardev_allow (bed.chardev, SIZE_MAX);
    fake_chardev_run (bed.chardev);
    assert_output (&bed, "abcdefghijklmnop");
    bed_clear (&bed);
}

Test (serial, holding_register_without_fifo)
{
    Bed bed;

    bed_init (&bed);
    fake_chardev_allow (bed.chardev, 0);
    out (bed.serial, DATA, 'a');
    cr_assert_eq (in (bed.serial, LSR) & LSR_EMPTY, 0);
    out (bed.serial, DATA, 'b');
    fake_chardev_allow (bed.chardev, SIZE_MAX);
    fake_chardev_run (bed.chardev);
    assert_output (&bed, "b");
    bed_clear (&bed);
}

Test (serial, receive_interrupts_and_flow)
{
    char text[100], got[100];
    unsigned n = 0;
    Bed bed;

    for (unsigned i = 0; i < sizeof text; i++)
        text[i] = (char)('0' + i % 64);
    bed_init (&bed);
    open_port (bed.serial);
    out (bed.serial, IER, 0x01);
    fake_chardev_type (bed.chardev, text, 5);
    fake_chardev_run (bed.chardev);
    cr_assert (bed.irq.level);
    cr_assert_eq (in (bed.serial, IIR), 0xcc, "below the trigger of 8: time-out");
    fake_chardev_type (bed.chardev, text + 5, sizeof text - 5);
    fake_chardev_run (bed.chardev);
    cr_assert_eq (in (bed.serial, IIR), 0xc4);
    cr_assert_eq (fake_chardev_input_left (bed.chardev), sizeof text - 16, "the FIFO holds sixteen");
    while (n < sizeof got) {
        if (!(in (bed.serial, LSR) & LSR_DR)) {
            fake_chardev_run (bed.chardev);
            cr_assert (in (bed.serial, LSR) & LSR_DR, "the backend was not told of the room");
        }
        got[n++] = (char)in (bed.serial, DATA);
    }
    cr_assert_eq (memcmp (got, text, sizeof got), 0);
    cr_assert (!bed.irq.level);
    cr_assert_eq (in (bed.serial, IIR), 0xc1);
    cr_assert_leq (fake_chardev_n_accepts (bed.chardev), 8, "one wake-up for a FIFO, not for a byte");
    bed_clear (&bed);
}

/* A flood of input while the handler runs must not keep it there. */
Test (serial, no_too_much_work_receiving)
{
    Bed bed;
    unsigned rounds, total = 0;

    bed_init (&bed);
    open_port (bed.serial);
    out (bed.serial, IER, 0x05);
    for (unsigned handled = 0; total < 32768;) {
        for (unsigned i = 0; i < 64; i++)
            fake_chardev_type (bed.chardev, "0123456789abcdef", 16);
        fake_chardev_run (bed.chardev);
        cr_assert_gt (bed.irq.edges, handled);
        handled = bed.irq.edges;
        for (rounds = 0; !(in (bed.serial, IIR) & 0x01); rounds++) {
            cr_assert_leq (rounds, 512, "too much work for irq4");
            while (in (bed.serial, LSR) & LSR_DR) {
                in (bed.serial, DATA);
                total++;
            }
            fake_chardev_type (bed.chardev, "0123456789abcdef", 16);
            fake_chardev_run (bed.chardev);
        }
    }
    bed_clear (&bed);
}

Test (serial, input_waits_until_the_guest_wants_it)
{
    Bed bed;

    bed_init (&bed);
    fake_chardev_type (bed.chardev, "ls\n", 3);
    fake_chardev_run (bed.chardev);
    linux_autoconfig (bed.serial);
    out (bed.serial, FCR, 0x07);
    out (bed.serial, FCR, 0x00);
    in (bed.serial, LSR);
    in (bed.serial, DATA);
    out (bed.serial, MCR, 0x01);
    out (bed.serial, IER, 0x05);
    fake_chardev_run (bed.chardev);
    out (bed.serial, FCR, 0x81); /* wipes the FIFO that it switches on */
    out (bed.serial, MCR, 0x0b);
    fake_chardev_run (bed.chardev);
    cr_assert_eq (in (bed.serial, DATA), 'l');
    fake_chardev_run (bed.chardev);
    cr_assert_eq (in (bed.serial, DATA), 's');
    cr_assert_eq (in (bed.serial, DATA), '\n');
    bed_clear (&bed);
}

Test (serial, polling_guest_gets_input)
{
    Bed bed;
    unsigned polls = 0;

    bed_init (&bed);
    fake_chardev_type (bed.chardev, "x", 1);
    fake_chardev_run (bed.chardev);
    while (!(in (bed.serial, LSR) & LSR_DR) && polls++ < 100)
        fake_chardev_run (bed.chardev);
    cr_assert_eq (in (bed.serial, DATA), 'x');
    bed_clear (&bed);
}

Test (serial, rts_holds_the_sender)
{
    Bed bed;

    bed_init (&bed);
    open_port (bed.serial);
    out (bed.serial, MCR, 0x09);
    fake_chardev_type (bed.chardev, "x", 1);
    fake_chardev_run (bed.chardev);
    cr_assert_eq (fake_chardev_input_left (bed.chardev), 1);
    out (bed.serial, MCR, 0x0b);
    fake_chardev_run (bed.chardev);
    cr_assert_eq (fake_chardev_input_left (bed.chardev), 0);
    bed_clear (&bed);
}

Test (serial, receive_fifo_reset_drops_what_was_seen)
{
    Bed bed;

    bed_init (&bed);
    open_port (bed.serial);
    fake_chardev_type (bed.chardev, "old", 3);
    fake_chardev_run (bed.chardev);
    cr_assert (in (bed.serial, LSR) & LSR_DR);
    out (bed.serial, FCR, 0x83);
    cr_assert (!(in (bed.serial, LSR) & LSR_DR));
    bed_clear (&bed);
}

Test (serial, loopback_modem_lines_and_deltas)
{
    Bed bed;

    bed_init (&bed);
    out (bed.serial, MCR, 0x10);
    cr_assert_eq (in (bed.serial, MSR), 0x0b, "all lines fell");
    out (bed.serial, MCR, 0x12);
    cr_assert_eq (in (bed.serial, MSR), 0x11);
    out (bed.serial, MCR, 0x11);
    cr_assert_eq (in (bed.serial, MSR), 0x23);
    out (bed.serial, MCR, 0x14);
    cr_assert_eq (in (bed.serial, MSR), 0x42, "a ring that starts is no delta");
    out (bed.serial, IER, 0x08);
    cr_assert (!bed.irq.level);
    out (bed.serial, MCR, 0x18);
    cr_assert (bed.irq.level);
    cr_assert_eq (in (bed.serial, IIR) & 0x0f, 0x00);
    cr_assert (bed.irq.level, "reading the IIR does not clear it");
    cr_assert_eq (in (bed.serial, MSR), 0x8c);
    cr_assert (!bed.irq.level);
    bed_clear (&bed);
}

Test (serial, interrupt_priorities)
{
    Bed bed;

    bed_init (&bed);
    out (bed.serial, FCR, 0x01);
    out (bed.serial, MCR, 0x10);
    for (unsigned i = 0; i < 17; i++)
        out (bed.serial, DATA, 'x');
    out (bed.serial, IER, 0x0f);
    cr_assert_eq (in (bed.serial, IIR), 0xc6);
    cr_assert_eq (in (bed.serial, LSR), LSR_EMPTY | LSR_DR | LSR_OE);
    cr_assert_eq (in (bed.serial, LSR), LSR_EMPTY | LSR_DR, "the overrun shows once");
    cr_assert_eq (in (bed.serial, IIR), 0xc4);
    for (unsigned i = 0; i < 16; i++)
        in (bed.serial, DATA);
    cr_assert_eq (in (bed.serial, IIR), 0xc2);
    cr_assert_eq (in (bed.serial, IIR), 0xc0);
    in (bed.serial, MSR);
    cr_assert_eq (in (bed.serial, IIR), 0xc1);
    cr_assert (!bed.irq.level);
    bed_clear (&bed);
}

Test (serial, overrun_without_fifo_replaces)
{
    Bed bed;

    bed_init (&bed);
    out (bed.serial, MCR, 0x10);
    out (bed.serial, DATA, 'a');
    out (bed.serial, DATA, 'b');
    cr_assert_eq (in (bed.serial, LSR) & (LSR_DR | LSR_OE), LSR_DR | LSR_OE);
    cr_assert_eq (in (bed.serial, DATA), 'b');
    cr_assert_eq (in (bed.serial, LSR), LSR_EMPTY);
    bed_clear (&bed);
}

Test (serial, break_belongs_to_its_character)
{
    Bed bed;

    bed_init (&bed);
    out (bed.serial, FCR, 0x01);
    out (bed.serial, MCR, 0x10);
    out (bed.serial, DATA, 'a');
    out (bed.serial, LCR, 0x43);
    out (bed.serial, LCR, 0x03);
    cr_assert_eq (in (bed.serial, LSR) & (LSR_BI | LSR_FIFO_ERROR), LSR_FIFO_ERROR);
    cr_assert_eq (in (bed.serial, DATA), 'a');
    cr_assert_eq (in (bed.serial, LSR) & (LSR_BI | LSR_FIFO_ERROR), LSR_BI | LSR_FIFO_ERROR);
    cr_assert_eq (in (bed.serial, LSR) & (LSR_BI | LSR_FIFO_ERROR), 0);
    cr_assert_eq (in (bed.serial, DATA), 0);
    bed_clear (&bed);
}

Test (serial, break_from_the_terminal)
{
    Bed bed;

    bed_init (&bed);
    open_port (bed.serial);
    out (bed.serial, IER, 0x05);
    fake_chardev_type (bed.chardev, "a", 1);
    fake_chardev_run (bed.chardev);
    vmm_serial_send_break (bed.serial);
    fake_chardev_type (bed.chardev, "h", 1);
    fake_chardev_run (bed.chardev);
    cr_assert (bed.irq.level);
    cr_assert_eq (in (bed.serial, LSR) & (LSR_DR | LSR_BI), LSR_DR);
    cr_assert_eq (in (bed.serial, DATA), 'a');
    /* It has an interrupt of its own, which the character behind it has not. */
    cr_assert_eq (in (bed.serial, IIR) & 0x0f, 0x06);
    cr_assert_eq (in (bed.serial, LSR) & (LSR_DR | LSR_BI | LSR_FIFO_ERROR),
                  LSR_DR | LSR_BI | LSR_FIFO_ERROR);
    cr_assert_eq (in (bed.serial, DATA), 0);
    cr_assert_eq (in (bed.serial, LSR) & (LSR_DR | LSR_BI | LSR_FIFO_ERROR), LSR_DR);
    cr_assert_eq (in (bed.serial, DATA), 'h');
    cr_assert_eq (in (bed.serial, LSR), LSR_EMPTY);
    cr_assert (!bed.irq.level);
    bed_clear (&bed);
}

/* Neither flow control nor a full receiver holds it back. */
Test (serial, break_comes_whatever_else_comes)
{
    Bed bed;

    bed_init (&bed);
    out (bed.serial, FCR, 0x01);
    vmm_serial_send_break (bed.serial);
    cr_assert_eq (in (bed.serial, LSR) & (LSR_DR | LSR_BI), LSR_DR | LSR_BI);
    cr_assert_eq (in (bed.serial, DATA), 0);
    open_port (bed.serial);
    fake_chardev_type (bed.chardev, "0123456789abcdef", 16);
    fake_chardev_run (bed.chardev);
    vmm_serial_send_break (bed.serial);
    cr_assert_eq (in (bed.serial, LSR) & LSR_OE, LSR_OE);
    for (const char *c = "0123456789abcde"; *c != '\0'; c++)
        cr_assert_eq (in (bed.serial, DATA), *c);
    cr_assert_eq (in (bed.serial, LSR) & (LSR_DR | LSR_BI), LSR_DR | LSR_BI);
    cr_assert_eq (in (bed.serial, DATA), 0);
    /* Nothing comes in while the port listens to itself. */
    out (bed.serial, MCR, 0x1b);
    vmm_serial_send_break (bed.serial);
    cr_assert_eq (in (bed.serial, LSR) & LSR_DR, 0);
    bed_clear (&bed);
}

Test (serial, divisor_latch)
{
    Bed bed;

    bed_init (&bed);
    out (bed.serial, IER, 0x05);
    out (bed.serial, LCR, 0x83);
    out (bed.serial, DATA, 0x01);
    out (bed.serial, IER, 0x02);
    cr_assert_eq (in (bed.serial, DATA), 0x01);
    cr_assert_eq (in (bed.serial, IER), 0x02);
    out (bed.serial, LCR, 0x03);
    cr_assert_eq (in (bed.serial, IER), 0x05);
    cr_assert_eq (fake_chardev_output (bed.chardev)->len, 0);
    bed_clear (&bed);
}

static GBytes *
save (VmmSerial *serial)
{
    g_autoptr (VmmStateWriter) writer = vmm_state_writer_new ();

    vmm_state_writer_begin (writer, "serial", 1);
    vmm_serial_device_ops.save (serial, writer);
    vmm_state_writer_end (writer);
    return vmm_state_writer_finish (writer);
}

static bool
load (VmmSerial *serial, GBytes *bytes)
{
    g_autoptr (VmmStateReader) reader = vmm_state_reader_new (bytes);
    uint32_t version;

    return vmm_state_reader_enter (reader, "serial", 1, &version, NULL) &&
           vmm_serial_device_ops.load (serial, reader, version) && vmm_state_reader_leave (reader, NULL);
}

Test (serial, moves_to_another_machine_in_mid_operation)
{
    g_autoptr (GBytes) state = NULL;
    Bed a, b;

    bed_init (&a);
    bed_init (&b);
    open_port (a.serial);
    out (a.serial, SCR, 0x5a);
    fake_chardev_type (a.chardev, "input", 5);
    fake_chardev_run (a.chardev);
    cr_assert_eq (in (a.serial, DATA), 'i');
    fake_chardev_allow (a.chardev, 2);
    for (unsigned i = 0; i < 5; i++)
        out (a.serial, DATA, (uint8_t)("hello"[i]));
    out (a.serial, IER, 0x07);
    state = save (a.serial);
    fake_chardev_allow (b.chardev, 1);
    cr_assert (load (b.serial, state));
    assert_output (&a, "he");
    assert_output (&b, "l");
    cr_assert (b.irq.level);
    cr_assert_eq (in (b.serial, IIR), 0xcc);
    cr_assert_eq (in (b.serial, LSR) & LSR_EMPTY, 0);
    cr_assert_eq (in (b.serial, SCR), 0x5a);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq (in (b.serial, DATA), "nput"[i]);
    cr_assert (!b.irq.level);
    fake_chardev_allow (b.chardev, SIZE_MAX);
    fake_chardev_run (b.chardev);
    assert_output (&b, "llo");
    cr_assert_eq (in (b.serial, IIR), 0xc2);
    bed_clear (&a);
    bed_clear (&b);
}

/* Every byte of the state changed to several values: refused, or a UART that still works. */
Test (serial, hostile_state)
{
    g_autoptr (GBytes) state = NULL;
    const uint8_t *good;
    unsigned refused = 0;
    gsize len;
    Bed bed;

    bed_init (&bed);
    open_port (bed.serial);
    fake_chardev_type (bed.chardev, "input", 5);
    fake_chardev_run (bed.chardev);
    state = save (bed.serial);
    good = g_bytes_get_data (state, &len);
    for (gsize i = 0; i < len; i++) {
        for (unsigned v = 0; v < 256; v += 15) {
            g_autofree uint8_t *copy = g_memdup2 (good, len);
            g_autoptr (GBytes) bad = NULL;

            copy[i] = (uint8_t)v;
            bad = g_bytes_new (copy, len);
            if (!load (bed.serial, bad))
                refused++;
            for (unsigned reg = 0; reg < 8; reg++)
                in (bed.serial, reg);
            out (bed.serial, DATA, 'x');
            out (bed.serial, FCR, 0x07);
        }
    }
    cr_assert_gt (refused, 100);
    for (gsize i = 0; i < len; i++) {
        g_autoptr (GBytes) cut = g_bytes_new (good, i);

        cr_assert (!load (bed.serial, cut));
    }
    bed_clear (&bed);
}

Test (serial, reset_sends_the_last_words)
{
    Bed bed;

    bed_init (&bed);
    open_port (bed.serial);
    out (bed.serial, IER, 0x02);
    fake_chardev_allow (bed.chardev, 0);
    out (bed.serial, DATA, '!');
    fake_chardev_allow (bed.chardev, SIZE_MAX);
    vmm_serial_device_ops.reset (bed.serial);
    assert_output (&bed, "!");
    cr_assert (!bed.irq.level);
    cr_assert_eq (in (bed.serial, IER), 0);
    cr_assert_eq (in (bed.serial, IIR), 0x01);
    bed_clear (&bed);
}

Test (serial, wide_access_is_bytes)
{
    Bed bed;

    bed_init (&bed);
    vmm_serial_bus_ops.write (bed.serial, LCR, 2, 0x0283);
    cr_assert_eq (in (bed.serial, LCR), 0x83);
    cr_assert_eq (in (bed.serial, MCR), 0x02);
    vmm_serial_bus_ops.write (bed.serial, DATA, 2, 0x0201);
    cr_assert_eq (vmm_serial_bus_ops.read (bed.serial, DATA, 2), 0x0201);
    cr_assert_eq (vmm_serial_bus_ops.read (bed.serial, 0, 8) >> 24 & 0xffff, 0x0283);
    bed_clear (&bed);
}

Test (serial, no_backend)
{
    VmmIrqLine line = {0};
    g_autoptr (VmmSerial) serial = vmm_serial_new (NULL, &line);

    out (serial, DATA, 'x');
    cr_assert_eq (in (serial, LSR), LSR_EMPTY);
    vmm_serial_free (NULL);
}
