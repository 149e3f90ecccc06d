/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a device raises an interrupt without knowing what takes it: a line is a value, an interrupt
 * controller's function with its input number. Tests put a recorder there.
 */
#ifndef VMM_CORE_IRQ_H
#define VMM_CORE_IRQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * VmmIrqLine:
 * @set: drives input @gsi of @chip; any thread; a line without @set is not connected
 * @chip: borrowed; outlives every device
 * @gsi: the input (global system interrupt, ACPI 6.5 section 5.2.13)
 */
typedef struct {
    void (*set) (void *chip, unsigned gsi, bool level);
    void *chip;
    unsigned gsi;
} VmmIrqLine;

static inline void
vmm_irq_line_set (const VmmIrqLine *line, bool level)
{
    if (line->set != NULL)
        line->set (line->chip, line->gsi, level);
}

/* An edge: what a device does whose interrupt is described as edge-triggered. */
static inline void
vmm_irq_line_pulse (const VmmIrqLine *line)
{
    vmm_irq_line_set (line, true);
    vmm_irq_line_set (line, false);
}

/**
 * VmmMsiSink:
 * @send: delivers one message-signalled interrupt (PCI 3.0 section 6.8, on x86 SDM 3A section 11.11);
 *   any thread
 */
typedef struct {
    void (*send) (void *chip, uint64_t address, uint32_t data);
    void *chip;
} VmmMsiSink;

static inline void
vmm_irq_send_msi (const VmmMsiSink *sink, uint64_t address, uint32_t data)
{
    if (sink->send != NULL)
        sink->send (sink->chip, address, data);
}

/**
 * VmmMsiRoutes:
 * @open: (nullable): a way for messages that somebody else raises, not connected yet; -1 when the host has
 * none left
 * @connect: each signal of the eventfd @fd sends this message from now on, and one that waits in it does so
 * at once; the route is not connected before. False when the host cannot, and nothing has changed
 * @disconnect: after the return signals stay in @fd
 * @close: ends a route that is not connected
 * @chip: borrowed; outlives every device
 *
 * Where the host's kernel turns eventfds into messages without us (KVM API section 4.75, KVM_IRQFD). Any
 * thread.
 */
typedef struct {
    int (*open) (void *chip);
    bool (*connect) (void *chip, int route, int fd, uint64_t address, uint32_t data);
    void (*disconnect) (void *chip, int route, int fd);
    void (*close) (void *chip, int route);
    void *chip;
} VmmMsiRoutes;

#endif
