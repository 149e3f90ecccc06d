/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * An MC146818 with the PC's 128 bytes: an index port, whose top bit is the NMI mask of the board and is only
 * remembered, and a data port. The time is not counted here: it is the host's clock (UTC) plus an offset,
 * made into fields when a register is read. A write moves the offset. While the guest holds the clock, by SET
 * in register B or by resetting the divider, the fields are latched in the register file, and the offset is
 * computed from them when it lets go; after a divider reset the first update comes half a second later
 * (MC146818 data sheet, divider control), which is how Linux sets the clock to better than a second.
 *
 * The update in progress bit is on for the 244 us before a second ends, as on the chip; the update itself
 * takes no time, so whoever saw the bit off has its 244 us.
 *
 * The flags of register C are computed when somebody looks, from the time that passed since the last look. A
 * timer exists only while the guest has an interrupt enabled whose flag is not set yet. So a guest that uses
 * the clock as a clock costs no wake-up, and one that does not fetch its interrupts stops them.
 *
 * Locks: one mutex; the interrupt line is driven with it held. The timer runs on the loop thread of the
 * context given to vmm_rtc_new(); GLib lets any thread set when it is due.
 */
#include "devices/legacy/rtc-internal.h"

#include <string.h>
#include <time.h>

#include "devices/legacy/byte-regs.h"

#define PORT_INDEX 0u
#define INDEX_MASK 0x7fu

static uint8_t
read_register (VmmRtc *rtc)
{
    unsigned reg = rtc->index & INDEX_MASK;
    uint8_t value;

    if (vmm_rtc_is_time_reg (reg) && vmm_rtc_is_running (rtc))
        vmm_rtc_latch_time (rtc, vmm_rtc_now (rtc));
    switch (reg) {
    case RTC_REG_A:
        return rtc->regs[RTC_REG_A] | (vmm_rtc_is_updating (rtc) ? RTC_A_UPDATING : 0);
    case RTC_REG_C:
        vmm_rtc_update_flags (rtc);
        value = rtc->regs[RTC_REG_C];
        if (value & rtc->regs[RTC_REG_B])
            value |= RTC_C_IRQ;
        rtc->regs[RTC_REG_C] = 0;
        vmm_rtc_update_irq (rtc);
        return value;
    case RTC_REG_D:
        return RTC_D_VALID;
    default:
        return rtc->regs[reg];
    }
}

/* A change of A or B that stops the clock latches the time; one that starts it again takes the latched time.
 */
static void
write_control (VmmRtc *rtc, unsigned reg, uint8_t value)
{
    bool was_running = vmm_rtc_is_running (rtc);
    bool was_held = (rtc->regs[RTC_REG_A] & RTC_A_DIVIDER_HELD) == RTC_A_DIVIDER_HELD;
    VmmRtcTime now = vmm_rtc_now (rtc);

    vmm_rtc_update_flags (rtc);
    if (was_running)
        vmm_rtc_latch_time (rtc, now);
    rtc->regs[reg] = value;
    if (!was_running && vmm_rtc_is_running (rtc))
        vmm_rtc_set_time (rtc, was_held ? 500 * 1000 * 1000 : now.nsec);
    vmm_rtc_update_irq (rtc);
}

static void
write_register (VmmRtc *rtc, uint8_t value)
{
    unsigned reg = rtc->index & INDEX_MASK;
    VmmRtcTime now;

    switch (reg) {
    case RTC_REG_A:
        write_control (rtc, reg, value & ~RTC_A_UPDATING);
        return;
    case RTC_REG_B:
        /* Setting SET ends an update cycle and with it the update interrupt. */
        write_control (rtc, reg, value & RTC_B_SET ? value & ~RTC_B_UPDATE : value);
        return;
    case RTC_REG_C:
    case RTC_REG_D:
        return;
    default:
        break;
    }
    vmm_rtc_update_flags (rtc);
    if (vmm_rtc_is_time_reg (reg) && vmm_rtc_is_running (rtc)) {
        now = vmm_rtc_now (rtc);
        vmm_rtc_latch_time (rtc, now);
        rtc->regs[reg] = value;
        vmm_rtc_set_time (rtc, now.nsec);
    } else {
        rtc->regs[reg] = value;
    }
    vmm_rtc_update_irq (rtc);
}

static uint8_t
rtc_read_reg (void *device, unsigned reg)
{
    VmmRtc *rtc = device;
    uint8_t value = 0xff; /* the index port cannot be read */

    if (reg == PORT_INDEX)
        return value;
    g_mutex_lock (&rtc->lock);
    value = read_register (rtc);
    g_mutex_unlock (&rtc->lock);
    return value;
}

static void
rtc_write_reg (void *device, unsigned reg, uint8_t value)
{
    VmmRtc *rtc = device;

    g_mutex_lock (&rtc->lock);
    if (reg == PORT_INDEX)
        rtc->index = value;
    else
        write_register (rtc, value);
    g_mutex_unlock (&rtc->lock);
}

static uint64_t
rtc_read (void *device, uint64_t offset, unsigned size)
{
    return vmm_byte_regs_read (rtc_read_reg, device, offset, size);
}

static void
rtc_write (void *device, uint64_t offset, unsigned size, uint64_t value)
{
    vmm_byte_regs_write (rtc_write_reg, device, offset, size, value);
}

/**
 * vmm_rtc_reset_registers:
 * @rtc: the clock, locked
 *
 * The state of a new machine: the host's time, BCD, 24 hours, an empty NVRAM.
 */
void
vmm_rtc_reset_registers (VmmRtc *rtc)
{
    rtc->index = 0;
    memset (rtc->regs, 0, sizeof rtc->regs);
    rtc->regs[RTC_REG_A] = RTC_A_DEFAULT;
    rtc->regs[RTC_REG_B] = RTC_B_24_HOURS;
    rtc->offset = (VmmRtcTime){0};
    rtc->seen = vmm_rtc_now (rtc);
}

/* The battery goes on: a reset ends interrupts (data sheet, RESET pin) and leaves time, alarm and NVRAM
 * alone. */
static void
rtc_reset (void *device)
{
    VmmRtc *rtc = device;

    g_mutex_lock (&rtc->lock);
    rtc->index = 0;
    rtc->regs[RTC_REG_B] &= ~RTC_C_SOURCES;
    rtc->regs[RTC_REG_C] = 0;
    rtc->seen = vmm_rtc_now (rtc);
    vmm_rtc_update_irq (rtc);
    g_mutex_unlock (&rtc->lock);
}

static void
rtc_free (void *device)
{
    vmm_rtc_free (device);
}

static int64_t
host_now (void *user)
{
    struct timespec ts = {0};

    clock_gettime (CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/**
 * vmm_rtc_new:
 * @irq: copied; a line held high until the guest reads register C
 * @context: (nullable): whose loop runs the timer; a reference is taken. Without one nothing interrupts by
 * itself
 * @clock: (nullable): copied; %NULL for the host's real time
 *
 * Returns: (transfer full): the clock showing UTC, to be put on the port bus with %VMM_RTC_SIZE ports
 */
VmmRtc *
vmm_rtc_new (const VmmIrqLine *irq, GMainContext *context, const VmmRtcClock *clock)
{
    VmmRtc *rtc = g_new0 (VmmRtc, 1);

    g_mutex_init (&rtc->lock);
    rtc->irq = *irq;
    rtc->clock = clock != NULL ? *clock : (VmmRtcClock){host_now, NULL};
    rtc->context = context != NULL ? g_main_context_ref (context) : NULL;
    vmm_rtc_reset_registers (rtc);
    return rtc;
}

/**
 * vmm_rtc_free:
 * @rtc: (nullable): no vCPU runs any more; on the loop thread, or after that ran
 */
void
vmm_rtc_free (VmmRtc *rtc)
{
    if (rtc == NULL)
        return;
    if (rtc->timer != NULL) {
        g_source_destroy (rtc->timer);
        g_source_unref (rtc->timer);
    }
    if (rtc->context != NULL)
        g_main_context_unref (rtc->context);
    g_mutex_clear (&rtc->lock);
    g_free (rtc);
}

const VmmBusOps vmm_rtc_bus_ops = {.read = rtc_read, .write = rtc_write};

const VmmDeviceOps vmm_rtc_device_ops = {
    .name = "rtc",
    .reset = rtc_reset,
    .save = vmm_rtc_save,
    .load = vmm_rtc_load,
    .free = rtc_free,
};
