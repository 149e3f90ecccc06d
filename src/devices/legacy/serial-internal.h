/* SPDX-License-Identifier: Apache-2.0 */
/* What serial.c (registers), serial-line.c (the two FIFOs and the host end) and serial-state.c share. */
#ifndef VMM_DEVICES_SERIAL_INTERNAL_H
#define VMM_DEVICES_SERIAL_INTERNAL_H

#include "devices/legacy/serial.h"

/* Register offsets (PC16550D data sheet, table II). */
#define SERIAL_REG_DATA 0u /* RBR and THR; DLL when LCR.DLAB is set */
#define SERIAL_REG_IER 1u  /* DLM when LCR.DLAB is set */
#define SERIAL_REG_IIR 2u  /* FCR for writes */
#define SERIAL_REG_LCR 3u
#define SERIAL_REG_MCR 4u
#define SERIAL_REG_LSR 5u
#define SERIAL_REG_MSR 6u
#define SERIAL_REG_SCR 7u

#define SERIAL_IER_RDI 0x01u
#define SERIAL_IER_THRI 0x02u
#define SERIAL_IER_RLSI 0x04u
#define SERIAL_IER_MSI 0x08u
#define SERIAL_IER_MASK 0x0fu

#define SERIAL_IIR_NONE 0x01u
#define SERIAL_IIR_MODEM 0x00u
#define SERIAL_IIR_THR_EMPTY 0x02u
#define SERIAL_IIR_RX_DATA 0x04u
#define SERIAL_IIR_RX_STATUS 0x06u
#define SERIAL_IIR_RX_TIMEOUT 0x0cu
#define SERIAL_IIR_FIFO_ENABLED 0xc0u

#define SERIAL_FCR_ENABLE 0x01u
#define SERIAL_FCR_RESET_RX 0x02u
#define SERIAL_FCR_RESET_TX 0x04u

#define SERIAL_LCR_BREAK 0x40u
#define SERIAL_LCR_DLAB 0x80u

#define SERIAL_MCR_DTR 0x01u
#define SERIAL_MCR_RTS 0x02u
#define SERIAL_MCR_OUT1 0x04u
#define SERIAL_MCR_OUT2 0x08u
#define SERIAL_MCR_LOOP 0x10u
#define SERIAL_MCR_MASK 0x1fu

#define SERIAL_LSR_DATA_READY 0x01u
#define SERIAL_LSR_OVERRUN 0x02u
#define SERIAL_LSR_FRAMING 0x08u
#define SERIAL_LSR_BREAK 0x10u
#define SERIAL_LSR_THR_EMPTY 0x20u
#define SERIAL_LSR_TX_IDLE 0x40u
#define SERIAL_LSR_FIFO_ERROR 0x80u

#define SERIAL_MSR_DELTA_CTS 0x01u
#define SERIAL_MSR_DELTA_DSR 0x02u
#define SERIAL_MSR_RING_ENDED 0x04u
#define SERIAL_MSR_DELTA_DCD 0x08u
#define SERIAL_MSR_DELTAS 0x0fu
#define SERIAL_MSR_CTS 0x10u
#define SERIAL_MSR_DSR 0x20u
#define SERIAL_MSR_RING 0x40u
#define SERIAL_MSR_DCD 0x80u

#define SERIAL_FIFO_SIZE 16u

struct _VmmSerial {
    GMutex lock;
    VmmChardev *chardev; /* borrowed; NULL: output goes nowhere */
    VmmIrqLine irq;
    bool irq_level; /* what the line was last driven to */

    uint8_t ier, lcr, mcr, scr, dll, dlm;
    bool fifo_enabled;
    uint8_t rx_trigger; /* 0 to 3: FCR bits 7 and 6 */
    uint8_t msr_deltas;
    bool thr_empty_pending; /* the THRE interrupt's latch */
    bool overrun;

    uint8_t rx[SERIAL_FIFO_SIZE];
    uint8_t rx_errors[SERIAL_FIFO_SIZE]; /* LSR bits that came with the character */
    unsigned rx_head, rx_count;
    unsigned rx_seen; /* how many of them the guest has been told of */
    uint8_t tx[SERIAL_FIFO_SIZE];
    unsigned tx_head, tx_count;

    bool starved;        /* the backend was told that there is no room: tell it when there is */
    bool input_polled;   /* the guest waits for input without interrupts and modem control */
    unsigned idle_polls; /* LSR reads that found nothing to do, in a row */
    bool progress;       /* a byte moved since the last IIR read */
    unsigned busy_reads; /* IIR reads in a row that gave an interrupt and were followed by progress */
};

/* serial-line.c; all but the frontend with the lock held. */
extern const VmmChardevFrontend vmm_serial_frontend;
unsigned vmm_serial_rx_capacity (const VmmSerial *serial);
bool vmm_serial_take_input_request (VmmSerial *serial);
void vmm_serial_rx_push (VmmSerial *serial, uint8_t byte, uint8_t errors);
uint8_t vmm_serial_rx_pop (VmmSerial *serial);
void vmm_serial_rx_reset (VmmSerial *serial);
void vmm_serial_tx_push (VmmSerial *serial, uint8_t byte);
void vmm_serial_tx_flush (VmmSerial *serial);
void vmm_serial_tx_reset (VmmSerial *serial);

/* serial.c, with the lock held. */
uint8_t vmm_serial_pending_interrupt (const VmmSerial *serial);
void vmm_serial_update_irq (VmmSerial *serial);
void vmm_serial_reset_registers (VmmSerial *serial);

/* serial-state.c */
void vmm_serial_save (void *device, VmmStateWriter *writer);
bool vmm_serial_load (void *device, VmmStateReader *reader, uint32_t version);

#endif
