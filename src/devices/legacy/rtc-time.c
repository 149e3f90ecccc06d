/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clock behind the registers: fields from the time and back, the flags of register C, and the timer. See
 * rtc.c for how it works as a whole.
 */
#include "devices/legacy/rtc-calendar.h"
#include "devices/legacy/rtc-internal.h"

#define SECOND_NS INT64_C (1000000000)
#define UPDATE_WARNING_NS (244 * 1000)
#define CRYSTAL_HZ 32768
#define HOUR_PM 0x80u
#define ALARM_ANY 0xc0u /* both top bits: matches every value */

/**
 * vmm_rtc_is_running:
 * @rtc: the clock, locked
 *
 * Returns: false while the guest holds the clock to set it
 */
bool
vmm_rtc_is_running (const VmmRtc *rtc)
{
    return !(rtc->regs[RTC_REG_B] & RTC_B_SET) &&
           (rtc->regs[RTC_REG_A] & RTC_A_DIVIDER_HELD) != RTC_A_DIVIDER_HELD;
}

/**
 * vmm_rtc_is_time_reg:
 * @reg: below %RTC_N_REGS
 *
 * Returns: true for the registers that the clock counts
 */
bool
vmm_rtc_is_time_reg (unsigned reg)
{
    return reg == RTC_SECONDS || reg == RTC_MINUTES || reg == RTC_HOURS ||
           (reg >= RTC_WEEKDAY && reg <= RTC_YEAR) || reg == RTC_CENTURY;
}

/**
 * vmm_rtc_now:
 * @rtc: the clock, locked
 *
 * Returns: the guest's time, had it not been held
 */
VmmRtcTime
vmm_rtc_now (const VmmRtc *rtc)
{
    int64_t host = rtc->clock.now (rtc->clock.user);
    VmmRtcTime now = {host / SECOND_NS, host % SECOND_NS};

    now.sec += rtc->offset.sec;
    now.nsec += rtc->offset.nsec;
    if (now.nsec < 0) { /* a clock before 1970 */
        now.nsec += SECOND_NS;
        now.sec--;
    }
    if (now.nsec >= SECOND_NS) {
        now.nsec -= SECOND_NS;
        now.sec++;
    }
    return now;
}

/**
 * vmm_rtc_is_updating:
 * @rtc: the clock, locked
 *
 * Returns: register A's UIP bit
 */
bool
vmm_rtc_is_updating (const VmmRtc *rtc)
{
    return vmm_rtc_is_running (rtc) && vmm_rtc_now (rtc).nsec >= SECOND_NS - UPDATE_WARNING_NS;
}

static uint8_t
encode (const VmmRtc *rtc, unsigned value)
{
    if (rtc->regs[RTC_REG_B] & RTC_B_BINARY)
        return (uint8_t)value;
    return (uint8_t)(value / 10 << 4 | value % 10);
}

static unsigned
decode (const VmmRtc *rtc, uint8_t value)
{
    if (rtc->regs[RTC_REG_B] & RTC_B_BINARY)
        return value;
    return (value >> 4) * 10u + (value & 0x0f);
}

static uint8_t
encode_hour (const VmmRtc *rtc, unsigned hour)
{
    if (rtc->regs[RTC_REG_B] & RTC_B_24_HOURS)
        return encode (rtc, hour);
    return encode (rtc, hour % 12 == 0 ? 12 : hour % 12) | (hour >= 12 ? HOUR_PM : 0);
}

static unsigned
decode_hour (const VmmRtc *rtc, uint8_t value)
{
    if (rtc->regs[RTC_REG_B] & RTC_B_24_HOURS)
        return decode (rtc, value);
    return decode (rtc, value & ~HOUR_PM) % 12 + (value & HOUR_PM ? 12 : 0);
}

/**
 * vmm_rtc_latch_time:
 * @rtc: the clock, locked
 * @now: what to show
 *
 * Writes the time into the registers, in the format that register B asks for.
 */
void
vmm_rtc_latch_time (VmmRtc *rtc, VmmRtcTime now)
{
    VmmRtcCalendar calendar = vmm_rtc_calendar_from_seconds (now.sec);

    rtc->regs[RTC_SECONDS] = encode (rtc, calendar.second);
    rtc->regs[RTC_MINUTES] = encode (rtc, calendar.minute);
    rtc->regs[RTC_HOURS] = encode_hour (rtc, calendar.hour);
    rtc->regs[RTC_WEEKDAY] = encode (rtc, calendar.weekday);
    rtc->regs[RTC_DAY] = encode (rtc, calendar.day);
    rtc->regs[RTC_MONTH] = encode (rtc, calendar.month);
    rtc->regs[RTC_YEAR] = encode (rtc, calendar.year % 100);
    rtc->regs[RTC_CENTURY] = encode (rtc, calendar.year / 100);
}

/**
 * vmm_rtc_set_time:
 * @rtc: the clock, locked
 * @nsec: how far into its second the clock starts
 *
 * Takes the time from the registers, whatever a guest left there: the next read shows a date that exists. The
 * weekday follows from the date.
 */
void
vmm_rtc_set_time (VmmRtc *rtc, int64_t nsec)
{
    VmmRtcCalendar calendar = {
        .year = decode (rtc, rtc->regs[RTC_CENTURY]) * 100 + decode (rtc, rtc->regs[RTC_YEAR]),
        .month = decode (rtc, rtc->regs[RTC_MONTH]),
        .day = decode (rtc, rtc->regs[RTC_DAY]),
        .hour = decode_hour (rtc, rtc->regs[RTC_HOURS]),
        .minute = decode (rtc, rtc->regs[RTC_MINUTES]),
        .second = decode (rtc, rtc->regs[RTC_SECONDS]),
    };
    int64_t host = rtc->clock.now (rtc->clock.user);
    VmmRtcTime offset = {vmm_rtc_calendar_to_seconds (&calendar) - host / SECOND_NS, nsec - host % SECOND_NS};

    while (offset.nsec < 0) {
        offset.nsec += SECOND_NS;
        offset.sec--;
    }
    while (offset.nsec >= SECOND_NS) {
        offset.nsec -= SECOND_NS;
        offset.sec++;
    }
    rtc->offset = offset;
    rtc->seen = vmm_rtc_now (rtc);
}

/* Ticks of the periodic interrupt in a second, 0 for none (data sheet, periodic interrupt rate). */
static int64_t
periodic_rate (const VmmRtc *rtc)
{
    unsigned rs = rtc->regs[RTC_REG_A] & RTC_A_RATE;

    if (rs == 0)
        return 0;
    return CRYSTAL_HZ >> ((rs < 3 ? rs + 7 : rs) - 1);
}

static int64_t
periodic_ticks (VmmRtcTime time, int64_t rate)
{
    return time.sec * rate + time.nsec * rate / SECOND_NS;
}

static int
alarm_field (uint8_t raw, unsigned value)
{
    return (raw & ALARM_ANY) == ALARM_ANY ? -1 : (int)value;
}

static VmmRtcAlarm
get_alarm (const VmmRtc *rtc)
{
    const uint8_t *regs = rtc->regs;

    return (VmmRtcAlarm){
        .hour = alarm_field (regs[RTC_HOURS_ALARM], decode_hour (rtc, regs[RTC_HOURS_ALARM])),
        .minute = alarm_field (regs[RTC_MINUTES_ALARM], decode (rtc, regs[RTC_MINUTES_ALARM])),
        .second = alarm_field (regs[RTC_SECONDS_ALARM], decode (rtc, regs[RTC_SECONDS_ALARM])),
    };
}

/**
 * vmm_rtc_update_flags:
 * @rtc: the clock, locked
 *
 * Sets the flags of register C for what happened since the last call. A host clock that was set back makes
 * nothing happen.
 */
void
vmm_rtc_update_flags (VmmRtc *rtc)
{
    VmmRtcTime now = vmm_rtc_now (rtc), seen = rtc->seen;
    int64_t rate = periodic_rate (rtc), due;
    VmmRtcAlarm alarm;

    rtc->seen = now;
    if (!vmm_rtc_is_running (rtc))
        return;
    if (periodic_ticks (now, rate) > periodic_ticks (seen, rate))
        rtc->regs[RTC_REG_C] |= RTC_B_PERIODIC;
    if (now.sec <= seen.sec)
        return;
    rtc->regs[RTC_REG_C] |= RTC_B_UPDATE;
    alarm = get_alarm (rtc);
    if (vmm_rtc_alarm_next (&alarm, seen.sec, &due) && due <= now.sec)
        rtc->regs[RTC_REG_C] |= RTC_B_ALARM;
}

/* Nanoseconds until the first enabled interrupt whose flag is not set yet, or -1 when there is none. */
static int64_t
next_event_ns (const VmmRtc *rtc)
{
    uint8_t wanted = rtc->regs[RTC_REG_B] & RTC_C_SOURCES & ~rtc->regs[RTC_REG_C];
    int64_t rate = periodic_rate (rtc), best = INT64_MAX, due;
    VmmRtcTime now = vmm_rtc_now (rtc);
    VmmRtcAlarm alarm = get_alarm (rtc);

    if (!vmm_rtc_is_running (rtc) || wanted == 0)
        return -1;
    if ((wanted & RTC_B_PERIODIC) && rate > 0) {
        int64_t tick = now.nsec * rate / SECOND_NS + 1;

        best = (tick * SECOND_NS + rate - 1) / rate - now.nsec;
    }
    if (wanted & RTC_B_UPDATE)
        best = MIN (best, SECOND_NS - now.nsec);
    if ((wanted & RTC_B_ALARM) && vmm_rtc_alarm_next (&alarm, now.sec, &due))
        best = MIN (best, (due - now.sec) * SECOND_NS - now.nsec);
    return best == INT64_MAX ? -1 : best;
}

static gboolean
timer_dispatch (GSource *source, GSourceFunc callback, gpointer data)
{
    return callback (data);
}

static gboolean
on_timer (gpointer data)
{
    VmmRtc *rtc = data;

    g_mutex_lock (&rtc->lock);
    vmm_rtc_update_flags (rtc);
    vmm_rtc_update_irq (rtc);
    g_mutex_unlock (&rtc->lock);
    return G_SOURCE_CONTINUE;
}

static GSource *
timer_new (VmmRtc *rtc)
{
    static GSourceFuncs const funcs = {.dispatch = timer_dispatch};
    GSource *timer = g_source_new ((GSourceFuncs *)&funcs, sizeof (GSource));

    g_source_set_name (timer, "vmm rtc");
    g_source_set_callback (timer, on_timer, rtc, NULL);
    g_source_set_ready_time (timer, -1);
    g_source_attach (timer, rtc->context);
    return timer;
}

static void
arm_timer (VmmRtc *rtc)
{
    int64_t wait;

    if (rtc->context == NULL)
        return;
    wait = next_event_ns (rtc);
    if (wait >= 0 && rtc->timer == NULL)
        rtc->timer = timer_new (rtc);
    if (rtc->timer != NULL)
        g_source_set_ready_time (rtc->timer, wait < 0 ? -1 : g_get_monotonic_time () + wait / 1000 + 1);
}

/**
 * vmm_rtc_update_irq:
 * @rtc: the clock, locked, its flags being right
 *
 * Drives the line to what registers B and C say, and sets the timer for what comes next.
 */
void
vmm_rtc_update_irq (VmmRtc *rtc)
{
    bool level = (rtc->regs[RTC_REG_B] & rtc->regs[RTC_REG_C] & RTC_C_SOURCES) != 0;

    if (level != rtc->irq_level) {
        rtc->irq_level = level;
        vmm_irq_line_set (&rtc->irq, level);
    }
    arm_timer (rtc);
}
