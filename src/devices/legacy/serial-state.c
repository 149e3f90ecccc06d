/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The UART in saved state, version 1: the registers, the latches, and both FIFOs with the oldest character
 * first.
 */
#include "devices/legacy/serial-internal.h"

#include <string.h>

static void
put_fifo (VmmStateWriter *writer, const uint8_t *slots, unsigned head, unsigned count)
{
    uint8_t bytes[SERIAL_FIFO_SIZE];

    for (unsigned i = 0; i < count; i++)
        bytes[i] = slots[(head + i) % SERIAL_FIFO_SIZE];
    vmm_state_put_bytes (writer, bytes, count);
}

/**
 * vmm_serial_save:
 * @device: the UART; its vCPUs are not running, the backend's loop may be
 * @writer: a section is open
 */
void
vmm_serial_save (void *device, VmmStateWriter *writer)
{
    VmmSerial *serial = device;

    g_mutex_lock (&serial->lock);
    vmm_state_put_u8 (writer, serial->ier);
    vmm_state_put_u8 (writer, serial->lcr);
    vmm_state_put_u8 (writer, serial->mcr);
    vmm_state_put_u8 (writer, serial->scr);
    vmm_state_put_u8 (writer, serial->dll);
    vmm_state_put_u8 (writer, serial->dlm);
    vmm_state_put_bool (writer, serial->fifo_enabled);
    vmm_state_put_u8 (writer, serial->rx_trigger);
    vmm_state_put_u8 (writer, serial->msr_deltas);
    vmm_state_put_bool (writer, serial->thr_empty_pending);
    vmm_state_put_bool (writer, serial->overrun);
    vmm_state_put_bool (writer, serial->input_polled);
    vmm_state_put_u8 (writer, (uint8_t)serial->rx_seen);
    put_fifo (writer, serial->rx, serial->rx_head, serial->rx_count);
    put_fifo (writer, serial->rx_errors, serial->rx_head, serial->rx_count);
    put_fifo (writer, serial->tx, serial->tx_head, serial->tx_count);
    g_mutex_unlock (&serial->lock);
}

static bool
get_registers (VmmStateReader *reader, VmmSerial *ret_regs)
{
    return vmm_state_get_u8 (reader, &ret_regs->ier) && vmm_state_get_u8 (reader, &ret_regs->lcr) &&
           vmm_state_get_u8 (reader, &ret_regs->mcr) && vmm_state_get_u8 (reader, &ret_regs->scr) &&
           vmm_state_get_u8 (reader, &ret_regs->dll) && vmm_state_get_u8 (reader, &ret_regs->dlm) &&
           vmm_state_get_bool (reader, &ret_regs->fifo_enabled) &&
           vmm_state_get_u8 (reader, &ret_regs->rx_trigger) &&
           vmm_state_get_u8 (reader, &ret_regs->msr_deltas) &&
           vmm_state_get_bool (reader, &ret_regs->thr_empty_pending) &&
           vmm_state_get_bool (reader, &ret_regs->overrun) &&
           vmm_state_get_bool (reader, &ret_regs->input_polled);
}

static bool
get_fifos (VmmStateReader *reader, VmmSerial *ret_regs)
{
    uint32_t rx_count, n_errors, tx_count;
    uint8_t rx_seen;

    if (!vmm_state_get_u8 (reader, &rx_seen) ||
        !vmm_state_get_bytes (reader, ret_regs->rx, SERIAL_FIFO_SIZE, &rx_count) ||
        !vmm_state_get_bytes (reader, ret_regs->rx_errors, SERIAL_FIFO_SIZE, &n_errors) ||
        !vmm_state_get_bytes (reader, ret_regs->tx, SERIAL_FIFO_SIZE, &tx_count))
        return false;
    if (n_errors != rx_count || rx_seen > rx_count)
        return false;
    for (uint32_t i = 0; i < n_errors; i++)
        if ((ret_regs->rx_errors[i] & ~(SERIAL_LSR_BREAK | SERIAL_LSR_FRAMING)) != 0)
            return false;
    ret_regs->rx_seen = rx_seen;
    ret_regs->rx_count = rx_count;
    ret_regs->tx_count = tx_count;
    return true;
}

/* The receive FIFO may hold more than one character in one-character mode: see serial_receive(). */
static bool
in_range (const VmmSerial *regs)
{
    return (regs->ier & ~SERIAL_IER_MASK) == 0 && (regs->mcr & ~SERIAL_MCR_MASK) == 0 &&
           regs->rx_trigger <= 3 && (regs->msr_deltas & ~SERIAL_MSR_DELTAS) == 0 &&
           (regs->fifo_enabled || regs->tx_count <= 1);
}

/**
 * vmm_serial_load:
 * @device: the UART
 * @reader: inside the section
 * @version: 1
 *
 * Drives the interrupt line to what the registers say, and sends what waited in the transmit FIFO.
 *
 * Returns: false, with the UART untouched, when a field is missing or out of its range
 */
bool
vmm_serial_load (void *device, VmmStateReader *reader, uint32_t version)
{
    VmmSerial *serial = device;
    VmmSerial regs = {0};
    bool accept;

    if (!get_registers (reader, &regs) || !get_fifos (reader, &regs) || !in_range (&regs))
        return false;
    g_mutex_lock (&serial->lock);
    vmm_serial_reset_registers (serial);
    serial->ier = regs.ier;
    serial->lcr = regs.lcr;
    serial->mcr = regs.mcr;
    serial->scr = regs.scr;
    serial->dll = regs.dll;
    serial->dlm = regs.dlm;
    serial->fifo_enabled = regs.fifo_enabled;
    serial->rx_trigger = regs.rx_trigger;
    serial->msr_deltas = regs.msr_deltas;
    serial->thr_empty_pending = regs.thr_empty_pending && regs.tx_count == 0;
    serial->overrun = regs.overrun;
    serial->input_polled = regs.input_polled;
    memcpy (serial->rx, regs.rx, sizeof serial->rx);
    memcpy (serial->rx_errors, regs.rx_errors, sizeof serial->rx_errors);
    memcpy (serial->tx, regs.tx, sizeof serial->tx);
    serial->rx_seen = regs.rx_seen;
    serial->rx_count = regs.rx_count;
    serial->tx_count = regs.tx_count;
    /* This backend never refused those bytes, so it will not say that it drained. */
    vmm_serial_tx_flush (serial);
    vmm_serial_update_irq (serial);
    accept = vmm_serial_take_input_request (serial);
    g_mutex_unlock (&serial->lock);
    if (accept)
        vmm_chardev_accept_input (serial->chardev);
    return true;
}
