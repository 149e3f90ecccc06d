/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two FIFOs of the UART and its host end. See serial.c for how it works as a whole.
 */
#include "devices/legacy/serial-internal.h"

/* The terminal at the other end may send: nothing comes in while the lines are looped back. */
static bool
rx_ready (const VmmSerial *serial)
{
    if (serial->mcr & SERIAL_MCR_LOOP)
        return false;
    return (serial->mcr & SERIAL_MCR_RTS) || (serial->ier & SERIAL_IER_RDI) || serial->input_polled;
}

/**
 * vmm_serial_rx_capacity:
 * @serial: the UART, locked
 *
 * Returns: how many characters the receiver holds: one without the FIFO
 */
unsigned
vmm_serial_rx_capacity (const VmmSerial *serial)
{
    return serial->fifo_enabled ? SERIAL_FIFO_SIZE : 1;
}

/**
 * vmm_serial_take_input_request:
 * @serial: the UART, locked
 *
 * A request wakes the backend's loop, so there is one for an empty receiver, not one for each byte read.
 *
 * Returns: true when the caller, after unlocking, must tell the backend that there is room again
 */
bool
vmm_serial_take_input_request (VmmSerial *serial)
{
    if (!serial->starved || serial->rx_count > 0 || !rx_ready (serial))
        return false;
    serial->starved = false;
    return serial->chardev != NULL;
}

/**
 * vmm_serial_rx_push:
 * @serial: the UART, locked
 * @byte: the character received
 * @errors: its own LSR bits
 *
 * Receives what the guest itself sent in loopback mode, and therefore knows of.
 *
 * A full FIFO keeps what it has and loses the new character; without the FIFO the new one replaces the old
 * (PC16550D data sheet, section 8.4.1, overrun error).
 */
void
vmm_serial_rx_push (VmmSerial *serial, uint8_t byte, uint8_t errors)
{
    unsigned slot;

    serial->progress = true;
    if (serial->rx_count >= vmm_serial_rx_capacity (serial)) {
        serial->overrun = true;
        if (serial->fifo_enabled)
            return;
        slot = (serial->rx_head + serial->rx_count - 1) % SERIAL_FIFO_SIZE;
    } else {
        slot = (serial->rx_head + serial->rx_count) % SERIAL_FIFO_SIZE;
        serial->rx_count++;
    }
    serial->rx[slot] = byte;
    serial->rx_errors[slot] = errors;
    serial->rx_seen = serial->rx_count;
}

/**
 * vmm_serial_rx_pop:
 * @serial: the UART, locked
 *
 * Returns: the oldest character, 0 when there is none
 */
uint8_t
vmm_serial_rx_pop (VmmSerial *serial)
{
    uint8_t byte;

    if (serial->rx_count == 0)
        return 0;
    serial->progress = true;
    byte = serial->rx[serial->rx_head];
    serial->rx_errors[serial->rx_head] = 0;
    serial->rx_head = (serial->rx_head + 1) % SERIAL_FIFO_SIZE;
    serial->rx_count--;
    if (serial->rx_seen > 0)
        serial->rx_seen--;
    return byte;
}

/**
 * vmm_serial_rx_reset:
 * @serial: the UART, locked
 *
 * Drops what the guest knows to be there. The rest came from the host in the same moment, and a host that had
 * been a little slower would have delivered it after the reset.
 */
void
vmm_serial_rx_reset (VmmSerial *serial)
{
    while (serial->rx_seen > 0)
        vmm_serial_rx_pop (serial);
}

/**
 * vmm_serial_tx_push:
 * @serial: the UART, locked, not in loopback mode
 * @byte: to be sent
 *
 * Sends @byte at once when nothing waits before it and the backend takes it; otherwise it waits. A full FIFO
 * loses the new byte; without the FIFO the new byte replaces the old in the holding register.
 */
void
vmm_serial_tx_push (VmmSerial *serial, uint8_t byte)
{
    unsigned capacity = serial->fifo_enabled ? SERIAL_FIFO_SIZE : 1;

    if (serial->tx_count == 0 &&
        (serial->chardev == NULL || vmm_chardev_write (serial->chardev, &byte, 1) == 1)) {
        serial->thr_empty_pending = true;
        return;
    }
    serial->thr_empty_pending = false;
    if (serial->tx_count < capacity) {
        serial->tx[(serial->tx_head + serial->tx_count) % SERIAL_FIFO_SIZE] = byte;
        serial->tx_count++;
    } else if (!serial->fifo_enabled) {
        serial->tx[(serial->tx_head + serial->tx_count - 1) % SERIAL_FIFO_SIZE] = byte;
    }
}

/**
 * vmm_serial_tx_flush:
 * @serial: the UART, locked
 *
 * Gives the backend as much of the transmit FIFO as it takes.
 */
void
vmm_serial_tx_flush (VmmSerial *serial)
{
    if (serial->tx_count == 0 || serial->chardev == NULL)
        return;
    while (serial->tx_count > 0) {
        unsigned run = MIN (serial->tx_count, SERIAL_FIFO_SIZE - serial->tx_head);
        size_t taken = vmm_chardev_write (serial->chardev, serial->tx + serial->tx_head, run);

        serial->tx_head = (serial->tx_head + (unsigned)taken) % SERIAL_FIFO_SIZE;
        serial->tx_count -= (unsigned)taken;
        if (taken < run)
            return;
    }
    serial->thr_empty_pending = true;
}

/**
 * vmm_serial_tx_reset:
 * @serial: the UART, locked
 *
 * Throws away what was not sent.
 */
void
vmm_serial_tx_reset (VmmSerial *serial)
{
    if (serial->tx_count > 0)
        serial->thr_empty_pending = true;
    serial->tx_head = serial->tx_count = 0;
}

static size_t
serial_room (void *device)
{
    VmmSerial *serial = device;
    unsigned capacity;
    size_t room = 0;

    g_mutex_lock (&serial->lock);
    capacity = vmm_serial_rx_capacity (serial);
    if (rx_ready (serial) && serial->rx_count < capacity)
        room = capacity - serial->rx_count;
    serial->starved = room == 0;
    g_mutex_unlock (&serial->lock);
    return room;
}

/*
 * The guest may have switched the FIFO off, or the loopback on, since room() was asked. The host sent in good
 * faith: what there are slots for is kept, whatever the mode says.
 */
static void
serial_receive (void *device, const uint8_t *data, size_t len)
{
    VmmSerial *serial = device;

    g_mutex_lock (&serial->lock);
    for (size_t i = 0; i < len; i++) {
        unsigned slot = (serial->rx_head + serial->rx_count) % SERIAL_FIFO_SIZE;

        if (serial->rx_count == SERIAL_FIFO_SIZE) {
            serial->overrun = true;
            break;
        }
        serial->rx[slot] = data[i];
        serial->rx_errors[slot] = 0;
        serial->rx_count++;
    }
    serial->starved = serial->starved || serial->rx_count >= vmm_serial_rx_capacity (serial);
    vmm_serial_update_irq (serial);
    g_mutex_unlock (&serial->lock);
}

/**
 * vmm_serial_send_break:
 * @serial: the UART
 *
 * Any thread: the terminal at the other end sends a BREAK: one NUL that is marked as such (PC16550D data
 * sheet, section 8.6.3, bit 4). It is no data, so that no flow control holds it back; a full FIFO loses its
 * newest character to it. What the backend has not delivered yet comes behind it. In loopback mode nothing
 * comes in.
 */
void
vmm_serial_send_break (VmmSerial *serial)
{
    unsigned slot;

    g_mutex_lock (&serial->lock);
    if (!(serial->mcr & SERIAL_MCR_LOOP)) {
        if (serial->rx_count == SERIAL_FIFO_SIZE)
            serial->overrun = true;
        else
            serial->rx_count++;
        slot = (serial->rx_head + serial->rx_count - 1) % SERIAL_FIFO_SIZE;
        serial->rx[slot] = 0;
        serial->rx_errors[slot] = SERIAL_LSR_BREAK | SERIAL_LSR_FRAMING;
        serial->starved = serial->starved || serial->rx_count >= vmm_serial_rx_capacity (serial);
        vmm_serial_update_irq (serial);
    }
    g_mutex_unlock (&serial->lock);
}

static void
serial_drained (void *device)
{
    VmmSerial *serial = device;

    g_mutex_lock (&serial->lock);
    vmm_serial_tx_flush (serial);
    vmm_serial_update_irq (serial);
    g_mutex_unlock (&serial->lock);
}

const VmmChardevFrontend vmm_serial_frontend = {
    .room = serial_room,
    .receive = serial_receive,
    .drained = serial_drained,
};
