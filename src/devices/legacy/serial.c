/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A PC16550D: the UART behind COM1, with its FIFOs and all of its registers. Baud rate, word length and
 * parity are remembered and change nothing: bytes go to a character backend as fast as that takes them,
 * whole. The interrupt is not gated by OUT2, which is an affair of the PC's board and not of the chip, and
 * which programs that were only ever run on emulators forget.
 *
 * Transmit. A byte written to an empty transmitter goes straight to the backend, and the transmitter is empty
 * again before the write returns. When the backend does not take it, the byte waits in the FIFO, with THRE
 * and TEMT clear, until the backend says that it drained: so a guest waits for a slow host as it waits for a
 * slow line, and bytes are lost only where the chip would lose them, by writing to a full FIFO.
 *
 * Pacing. A transmitter without a bit time is a trap for interrupt handlers that loop until the IIR says that
 * nothing is pending: while another CPU refills the driver's buffer, that never comes, and Linux gives up
 * after 512 rounds with "too much work for irq". So once BUSY_READS_MAX reads of the IIR in a row have each
 * reported an interrupt and each been followed by a byte moved, the next one reports none, and the line goes
 * down and up again. The handler returns, the new edge (or the level) calls it again, and it finds the
 * interrupt it did not see. A handler that services one interrupt for each call sees one spurious call in
 * that many; it needs no timer, and no interrupt is ever lost by it. Receiving is paced by the same rule.
 *
 * Receive. The host end obeys RTS as a terminal with hardware flow control does: input waits in the backend
 * until the guest wants it, that is until it raises RTS, enables the receive interrupt, or polls the line
 * status without sending. This is what keeps piped input from being thrown away by the FIFO resets of a
 * driver's probe. For the same reason a reset of the receive FIFO drops those characters only that the guest
 * could have known of: the others are as good as arrived just after.
 *
 * Locks. One mutex for all registers; the chip's inputs are the vCPU threads and the backend's loop thread.
 * vmm_chardev_write() and the interrupt line are called with it held, so that bytes and levels keep their
 * order; hence the backend and the interrupt controller lock below it, and a tap on the backend must not
 * touch the UART. vmm_chardev_accept_input() is called without it.
 */
#include "devices/legacy/serial-internal.h"

#include <string.h>

#include "devices/legacy/byte-regs.h"

/* A quarter of what Linux allows for, since one handler may serve several ports that share the line. */
#define BUSY_READS_MAX 128u
/* More than any driver's set-up reads the LSR without sending, far fewer than a person would notice. */
#define IDLE_POLLS_MAX 16u

static unsigned
rx_trigger_level (const VmmSerial *serial)
{
    static const uint8_t levels[] = {1, 4, 8, 14};

    return serial->fifo_enabled ? levels[serial->rx_trigger] : 1;
}

static uint8_t
rx_error_bits (const VmmSerial *serial)
{
    uint8_t bits = serial->overrun ? SERIAL_LSR_OVERRUN : 0;

    if (serial->rx_count > 0)
        bits |= serial->rx_errors[serial->rx_head];
    return bits;
}

/**
 * vmm_serial_pending_interrupt:
 * @serial: the UART, locked
 *
 * The character time-out interrupt comes at once: nobody is typing the rest of the FIFO at a baud rate.
 *
 * Returns: the source with the highest priority, as the low bits of the IIR (PC16550D data sheet, table V)
 */
uint8_t
vmm_serial_pending_interrupt (const VmmSerial *serial)
{
    if ((serial->ier & SERIAL_IER_RLSI) && rx_error_bits (serial) != 0)
        return SERIAL_IIR_RX_STATUS;
    if ((serial->ier & SERIAL_IER_RDI) && serial->rx_count > 0)
        return serial->rx_count >= rx_trigger_level (serial) ? SERIAL_IIR_RX_DATA : SERIAL_IIR_RX_TIMEOUT;
    if ((serial->ier & SERIAL_IER_THRI) && serial->thr_empty_pending)
        return SERIAL_IIR_THR_EMPTY;
    if ((serial->ier & SERIAL_IER_MSI) && serial->msr_deltas != 0)
        return SERIAL_IIR_MODEM;
    return SERIAL_IIR_NONE;
}

/**
 * vmm_serial_update_irq:
 * @serial: the UART, locked
 *
 * Drives the line to what the registers say. Driving it costs a system call, so only a change does.
 */
void
vmm_serial_update_irq (VmmSerial *serial)
{
    bool level = vmm_serial_pending_interrupt (serial) != SERIAL_IIR_NONE;

    if (level == serial->irq_level)
        return;
    serial->irq_level = level;
    vmm_irq_line_set (&serial->irq, level);
}

/* The modem's lines: a terminal that is always there, or our own outputs in loopback mode. */
static uint8_t
modem_lines (const VmmSerial *serial)
{
    uint8_t lines = 0;

    if (!(serial->mcr & SERIAL_MCR_LOOP))
        return SERIAL_MSR_CTS | SERIAL_MSR_DSR | SERIAL_MSR_DCD;
    if (serial->mcr & SERIAL_MCR_RTS)
        lines |= SERIAL_MSR_CTS;
    if (serial->mcr & SERIAL_MCR_DTR)
        lines |= SERIAL_MSR_DSR;
    if (serial->mcr & SERIAL_MCR_OUT1)
        lines |= SERIAL_MSR_RING;
    if (serial->mcr & SERIAL_MCR_OUT2)
        lines |= SERIAL_MSR_DCD;
    return lines;
}

static void
write_mcr (VmmSerial *serial, uint8_t value)
{
    uint8_t before = modem_lines (serial), changed;

    serial->mcr = value & SERIAL_MCR_MASK;
    changed = before ^ modem_lines (serial);
    if (changed & SERIAL_MSR_CTS)
        serial->msr_deltas |= SERIAL_MSR_DELTA_CTS;
    if (changed & SERIAL_MSR_DSR)
        serial->msr_deltas |= SERIAL_MSR_DELTA_DSR;
    if (changed & before & SERIAL_MSR_RING) /* only its trailing edge counts */
        serial->msr_deltas |= SERIAL_MSR_RING_ENDED;
    if (changed & SERIAL_MSR_DCD)
        serial->msr_deltas |= SERIAL_MSR_DELTA_DCD;
}

static void
write_fcr (VmmSerial *serial, uint8_t value)
{
    bool enable = value & SERIAL_FCR_ENABLE;
    bool switched = enable != serial->fifo_enabled;

    /* The other bits count only together with the enable bit. */
    if (switched || (enable && (value & SERIAL_FCR_RESET_RX)))
        vmm_serial_rx_reset (serial);
    if (switched || (enable && (value & SERIAL_FCR_RESET_TX)))
        vmm_serial_tx_reset (serial);
    serial->fifo_enabled = enable;
    if (enable)
        serial->rx_trigger = value >> 6;
}

static void
write_ier (VmmSerial *serial, uint8_t value)
{
    uint8_t enabled = value & ~serial->ier;

    serial->ier = value & SERIAL_IER_MASK;
    /* Enabling the interrupt of an idle transmitter raises it: drivers start sending that way. */
    if (enabled & SERIAL_IER_THRI)
        serial->thr_empty_pending = serial->tx_count == 0;
}

static void
write_lcr (VmmSerial *serial, uint8_t value)
{
    bool break_starts = (value & ~serial->lcr) & SERIAL_LCR_BREAK;

    serial->lcr = value;
    if (break_starts && (serial->mcr & SERIAL_MCR_LOOP))
        vmm_serial_rx_push (serial, 0, SERIAL_LSR_BREAK | SERIAL_LSR_FRAMING);
}

static void
write_thr (VmmSerial *serial, uint8_t value)
{
    serial->progress = true;
    if (serial->mcr & SERIAL_MCR_LOOP) {
        vmm_serial_rx_push (serial, value, 0);
        serial->thr_empty_pending = serial->tx_count == 0;
        return;
    }
    vmm_serial_tx_push (serial, value);
}

static uint8_t
read_lsr (VmmSerial *serial)
{
    uint8_t value = rx_error_bits (serial);

    if (serial->tx_count == 0)
        value |= SERIAL_LSR_THR_EMPTY | SERIAL_LSR_TX_IDLE;
    if (serial->rx_count > 0) {
        value |= SERIAL_LSR_DATA_READY;
        if (serial->fifo_enabled) {
            for (unsigned i = 0; i < serial->rx_count; i++)
                if (serial->rx_errors[(serial->rx_head + i) % SERIAL_FIFO_SIZE] != 0)
                    value |= SERIAL_LSR_FIFO_ERROR;
        }
        serial->rx_errors[serial->rx_head] = 0; /* reading shows an error once */
        serial->rx_seen = serial->rx_count;
        serial->idle_polls = 0;
    } else if (serial->tx_count == 0 && !serial->input_polled && ++serial->idle_polls >= IDLE_POLLS_MAX) {
        serial->input_polled = true;
    }
    serial->overrun = false;
    return value;
}

/* A new edge for an interrupt that stays pending; with a level-triggered line it changes nothing. */
static void
retrigger_irq (VmmSerial *serial)
{
    vmm_irq_line_set (&serial->irq, false);
    vmm_irq_line_set (&serial->irq, true);
    serial->irq_level = true;
}

static uint8_t
read_iir (VmmSerial *serial)
{
    uint8_t pending = vmm_serial_pending_interrupt (serial);

    if (serial->progress)
        serial->busy_reads++;
    serial->progress = false;
    if (pending == SERIAL_IIR_NONE) {
        serial->busy_reads = 0;
    } else if (serial->busy_reads >= BUSY_READS_MAX) {
        serial->busy_reads = 0;
        retrigger_irq (serial);
        pending = SERIAL_IIR_NONE;
    } else if (pending == SERIAL_IIR_THR_EMPTY) {
        serial->thr_empty_pending = false;
    } else if (pending == SERIAL_IIR_RX_DATA || pending == SERIAL_IIR_RX_TIMEOUT) {
        serial->rx_seen = serial->rx_count;
    }
    return pending | (serial->fifo_enabled ? SERIAL_IIR_FIFO_ENABLED : 0);
}

static uint8_t
read_msr (VmmSerial *serial)
{
    uint8_t value = modem_lines (serial) | serial->msr_deltas;

    serial->msr_deltas = 0;
    return value;
}

static uint8_t
read_reg_locked (VmmSerial *serial, unsigned reg)
{
    bool dlab = serial->lcr & SERIAL_LCR_DLAB;

    switch (reg) {
    case SERIAL_REG_DATA:
        return dlab ? serial->dll : vmm_serial_rx_pop (serial);
    case SERIAL_REG_IER:
        return dlab ? serial->dlm : serial->ier;
    case SERIAL_REG_IIR:
        return read_iir (serial);
    case SERIAL_REG_LCR:
        return serial->lcr;
    case SERIAL_REG_MCR:
        return serial->mcr;
    case SERIAL_REG_LSR:
        return read_lsr (serial);
    case SERIAL_REG_MSR:
        return read_msr (serial);
    case SERIAL_REG_SCR:
        return serial->scr;
    default:
        return 0xff;
    }
}

static void
write_reg_locked (VmmSerial *serial, unsigned reg, uint8_t value)
{
    bool dlab = serial->lcr & SERIAL_LCR_DLAB;

    switch (reg) {
    case SERIAL_REG_DATA:
        if (dlab)
            serial->dll = value;
        else
            write_thr (serial, value);
        break;
    case SERIAL_REG_IER:
        if (dlab)
            serial->dlm = value;
        else
            write_ier (serial, value);
        break;
    case SERIAL_REG_IIR:
        write_fcr (serial, value);
        break;
    case SERIAL_REG_LCR:
        write_lcr (serial, value);
        break;
    case SERIAL_REG_MCR:
        write_mcr (serial, value);
        break;
    case SERIAL_REG_SCR:
        serial->scr = value;
        break;
    default: /* the LSR and the MSR are for reading */
        break;
    }
}

static uint8_t
serial_read_reg (void *device, unsigned reg)
{
    VmmSerial *serial = device;
    uint8_t value;
    bool accept;

    g_mutex_lock (&serial->lock);
    value = read_reg_locked (serial, reg);
    vmm_serial_update_irq (serial);
    accept = vmm_serial_take_input_request (serial);
    g_mutex_unlock (&serial->lock);
    if (accept)
        vmm_chardev_accept_input (serial->chardev);
    return value;
}

static void
serial_write_reg (void *device, unsigned reg, uint8_t value)
{
    VmmSerial *serial = device;
    bool accept;

    g_mutex_lock (&serial->lock);
    serial->idle_polls = 0;
    write_reg_locked (serial, reg, value);
    vmm_serial_update_irq (serial);
    accept = vmm_serial_take_input_request (serial);
    g_mutex_unlock (&serial->lock);
    if (accept)
        vmm_chardev_accept_input (serial->chardev);
}

static uint64_t
serial_read (void *device, uint64_t offset, unsigned size)
{
    return vmm_byte_regs_read (serial_read_reg, device, offset, size);
}

static void
serial_write (void *device, uint64_t offset, unsigned size, uint64_t value)
{
    vmm_byte_regs_write (serial_write_reg, device, offset, size, value);
}

/**
 * vmm_serial_reset_registers:
 * @serial: the UART, locked
 *
 * The state after the master reset pin (PC16550D data sheet, table III), both FIFOs empty. What the backend
 * was told stays as it is.
 */
void
vmm_serial_reset_registers (VmmSerial *serial)
{
    serial->ier = serial->lcr = serial->mcr = serial->scr = 0;
    serial->dll = 12; /* 9600 baud: what a PC's firmware leaves */
    serial->dlm = 0;
    serial->fifo_enabled = false;
    serial->rx_trigger = 0;
    serial->msr_deltas = 0;
    serial->thr_empty_pending = false;
    serial->overrun = false;
    memset (serial->rx_errors, 0, sizeof serial->rx_errors);
    serial->rx_head = serial->rx_count = serial->rx_seen = 0;
    serial->tx_head = serial->tx_count = 0;
    serial->input_polled = false;
    serial->idle_polls = 0;
    serial->progress = false;
    serial->busy_reads = 0;
}

static void
serial_reset (void *device)
{
    VmmSerial *serial = device;

    g_mutex_lock (&serial->lock);
    vmm_serial_tx_flush (serial); /* the last words of a guest that reboots */
    vmm_serial_reset_registers (serial);
    vmm_serial_update_irq (serial);
    g_mutex_unlock (&serial->lock);
}

static void
serial_free (void *device)
{
    vmm_serial_free (device);
}

/**
 * vmm_serial_new:
 * @chardev: (nullable): the host end, borrowed until the UART is freed; without one, output goes nowhere
 * @irq: copied; a line held high as long as an interrupt is pending
 *
 * Makes itself the frontend of @chardev. On the loop thread of @chardev, or before that runs.
 *
 * Returns: (transfer full): the UART in its reset state, to be put on a bus with %VMM_SERIAL_SIZE ports
 */
VmmSerial *
vmm_serial_new (VmmChardev *chardev, const VmmIrqLine *irq)
{
    VmmSerial *serial = g_new0 (VmmSerial, 1);

    g_mutex_init (&serial->lock);
    serial->chardev = chardev;
    serial->irq = *irq;
    vmm_serial_reset_registers (serial);
    if (chardev != NULL)
        vmm_chardev_set_frontend (chardev, &vmm_serial_frontend, serial);
    return serial;
}

/**
 * vmm_serial_free:
 * @serial: (nullable): no vCPU runs any more
 *
 * Ends the UART and leaves its backend without a frontend. On the loop thread of the backend, or after that
 * ran.
 */
void
vmm_serial_free (VmmSerial *serial)
{
    if (serial == NULL)
        return;
    if (serial->chardev != NULL)
        vmm_chardev_set_frontend (serial->chardev, NULL, NULL);
    g_mutex_clear (&serial->lock);
    g_free (serial);
}

const VmmBusOps vmm_serial_bus_ops = {.read = serial_read, .write = serial_write};

const VmmDeviceOps vmm_serial_device_ops = {
    .name = "serial",
    .reset = serial_reset,
    .save = vmm_serial_save,
    .load = vmm_serial_load,
    .free = serial_free,
};
