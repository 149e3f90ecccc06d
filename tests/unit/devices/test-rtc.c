/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "device-state.h"
#include "devices/legacy/rtc-calendar.h"
#include "devices/legacy/rtc.h"
#include "recorders.h"

#define SECOND INT64_C (1000000000)
#define MS INT64_C (1000000)
/* 2024-02-29 23:59:58 UTC, a Thursday */
#define LEAP_DAY INT64_C (1709251198)

typedef struct {
    IrqRecorder irq;
    int64_t now;
    VmmRtc *rtc;
} Bed;

static int64_t
bed_now (void *user)
{
    return ((Bed *)user)->now;
}

static void
bed_init (Bed *bed, int64_t seconds)
{
    VmmIrqLine line = irq_recorder_line (&bed->irq);
    VmmRtcClock clock = {bed_now, bed};

    bed->irq = (IrqRecorder){0};
    bed->now = seconds * SECOND;
    bed->rtc = vmm_rtc_new (&line, NULL, &clock);
}

static uint8_t
in (VmmRtc *rtc, uint8_t reg)
{
    vmm_rtc_bus_ops.write (rtc, 0, 1, reg);
    return (uint8_t)vmm_rtc_bus_ops.read (rtc, 1, 1);
}

static void
out (VmmRtc *rtc, uint8_t reg, uint8_t value)
{
    vmm_rtc_bus_ops.write (rtc, 0, 1, reg);
    vmm_rtc_bus_ops.write (rtc, 1, 1, value);
}

static void
assert_time (VmmRtc *rtc, const char *expected)
{
    g_autofree char *got = g_strdup_printf (
        "%02x%02x-%02x-%02x %02x:%02x:%02x w%x", (unsigned)in (rtc, 0x32), (unsigned)in (rtc, 9),
        (unsigned)in (rtc, 8), (unsigned)in (rtc, 7), (unsigned)in (rtc, 4), (unsigned)in (rtc, 2),
        (unsigned)in (rtc, 0), (unsigned)in (rtc, 6));

    cr_assert_str_eq (got, expected);
}

Test (rtc, calendar_agrees_with_glib)
{
    for (int64_t t = -50000000000; t < 200000000000; t += 86399 * 997) {
        VmmRtcCalendar c = vmm_rtc_calendar_from_seconds (t);
        g_autoptr (GDateTime) dt = g_date_time_new_from_unix_utc (t);

        cr_assert_eq (vmm_rtc_calendar_to_seconds (&c), t);
        cr_assert_eq (c.year, (unsigned)g_date_time_get_year (dt));
        cr_assert_eq (c.month, (unsigned)g_date_time_get_month (dt));
        cr_assert_eq (c.day, (unsigned)g_date_time_get_day_of_month (dt));
        cr_assert_eq (c.hour, (unsigned)g_date_time_get_hour (dt));
        cr_assert_eq (c.second, (unsigned)g_date_time_get_second (dt));
        cr_assert_eq (c.weekday, (unsigned)g_date_time_get_day_of_week (dt) % 7 + 1);
    }
}

Test (rtc, alarm_agrees_with_counting)
{
    VmmRtcAlarm alarms[] = {{-1, -1, -1}, {-1, -1, 30}, {-1, 15, -1}, {3, -1, 7}, {0, 0, 0}, {23, 59, 59}};
    int64_t due = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS (alarms); i++) {
        for (int64_t after = -200000; after < 200000; after += 7919) {
            int64_t t = after + 1;
            VmmRtcCalendar c = vmm_rtc_calendar_from_seconds (t);

            while ((alarms[i].hour >= 0 && c.hour != (unsigned)alarms[i].hour) ||
                   (alarms[i].minute >= 0 && c.minute != (unsigned)alarms[i].minute) ||
                   (alarms[i].second >= 0 && c.second != (unsigned)alarms[i].second))
                c = vmm_rtc_calendar_from_seconds (++t);
            cr_assert (vmm_rtc_alarm_next (&alarms[i], after, &due));
            cr_assert_eq (due, t);
        }
    }
    cr_assert (!vmm_rtc_alarm_next (&(VmmRtcAlarm){24, 0, 0}, 5, &due));
}

Test (rtc, shows_the_time_and_carries)
{
    Bed bed;

    bed_init (&bed, LEAP_DAY);
    assert_time (bed.rtc, "2024-02-29 23:59:58 w5");
    bed.now += 2 * SECOND;
    assert_time (bed.rtc, "2024-03-01 00:00:00 w6");
    cr_assert_eq (in (bed.rtc, 0x0a), 0x26);
    cr_assert_eq (in (bed.rtc, 0x0b), 0x02);
    cr_assert_eq (in (bed.rtc, 0x0d), 0x80);
    cr_assert_eq (in (bed.rtc, 0x80 | 2), 0x00, "the NMI bit is no part of the index");
    cr_assert_eq (vmm_rtc_bus_ops.read (bed.rtc, 0, 1), 0xff);
    vmm_rtc_free (bed.rtc);
}

Test (rtc, formats)
{
    Bed bed;

    bed_init (&bed, LEAP_DAY);
    out (bed.rtc, 0x0b, 0x06);
    cr_assert_eq (in (bed.rtc, 4), 23);
    cr_assert_eq (in (bed.rtc, 0x32), 20);
    out (bed.rtc, 0x0b, 0x00);
    cr_assert_eq (in (bed.rtc, 4), 0x91, "11 pm");
    bed.now += 3600 * SECOND;
    cr_assert_eq (in (bed.rtc, 4), 0x12, "12 am");
    bed.now += 12 * 3600 * SECOND;
    cr_assert_eq (in (bed.rtc, 4), 0x92, "12 pm");
    bed.now += 3600 * SECOND;
    out (bed.rtc, 4, 0x83);
    out (bed.rtc, 0x0b, 0x02);
    cr_assert_eq (in (bed.rtc, 4), 0x15);
    vmm_rtc_free (bed.rtc);
}

Test (rtc, update_in_progress_before_the_second_ends)
{
    Bed bed;
    unsigned on = 0;

    bed_init (&bed, LEAP_DAY);
    for (int64_t ns = 0; ns < SECOND; ns += 10000) {
        bed.now = LEAP_DAY * SECOND + ns;
        if (in (bed.rtc, 0x0a) & 0x80) {
            cr_assert_geq (ns, SECOND - 244000);
            on++;
        }
        cr_assert_eq (in (bed.rtc, 0), 0x58, "no register changes before the bit was seen");
    }
    cr_assert_geq (on, 24);
    out (bed.rtc, 0x0b, 0x82);
    cr_assert_eq (in (bed.rtc, 0x0a) & 0x80, 0);
    vmm_rtc_free (bed.rtc);
}

/* The order in which Linux does it: SET, divider reset, fields, SET off, divider on. */
Test (rtc, linux_sets_the_time)
{
    static const uint8_t fields[][2] = {{9, 0x30}, {8, 0x12}, {7, 0x31},   {4, 0x23},
                                        {2, 0x59}, {0, 0x59}, {0x32, 0x20}};
    Bed bed;

    bed_init (&bed, LEAP_DAY);
    bed.now += 123 * MS;
    out (bed.rtc, 0x0b, 0x82);
    out (bed.rtc, 0x0a, 0x76);
    for (unsigned i = 0; i < G_N_ELEMENTS (fields); i++)
        out (bed.rtc, fields[i][0], fields[i][1]);
    bed.now += 10 * SECOND;
    assert_time (bed.rtc, "2030-12-31 23:59:59 w5");
    out (bed.rtc, 0x0b, 0x02);
    bed.now += 10 * SECOND;
    out (bed.rtc, 0x0a, 0x26);
    bed.now += 499 * MS;
    assert_time (bed.rtc, "2030-12-31 23:59:59 w3");
    bed.now += 1 * MS;
    assert_time (bed.rtc, "2031-01-01 00:00:00 w4");
    vmm_rtc_device_ops.reset (bed.rtc);
    assert_time (bed.rtc, "2031-01-01 00:00:00 w4");
    vmm_rtc_free (bed.rtc);
}

Test (rtc, nvram_and_sixteen_bit_access)
{
    Bed bed;

    bed_init (&bed, LEAP_DAY);
    for (unsigned reg = 0x0e; reg < 0x80; reg++)
        if (reg != 0x32)
            vmm_rtc_bus_ops.write (bed.rtc, 0, 2, reg | (reg ^ 0xff) << 8);
    for (unsigned reg = 0x0e; reg < 0x80; reg++)
        if (reg != 0x32)
            cr_assert_eq (in (bed.rtc, (uint8_t)reg), reg ^ 0xff);
    assert_time (bed.rtc, "2024-02-29 23:59:58 w5");
    vmm_rtc_free (bed.rtc);
}

Test (rtc, flags_without_interrupts)
{
    Bed bed;

    bed_init (&bed, LEAP_DAY);
    out (bed.rtc, 5, 0x00);
    out (bed.rtc, 3, 0x00);
    out (bed.rtc, 1, 0x05);
    in (bed.rtc, 0x0c);
    bed.now += 100 * 1000;
    cr_assert_eq (in (bed.rtc, 0x0c), 0x00);
    bed.now += 1 * MS;
    cr_assert_eq (in (bed.rtc, 0x0c), 0x40);
    bed.now += SECOND;
    cr_assert_eq (in (bed.rtc, 0x0c), 0x50);
    bed.now += 6 * SECOND;
    cr_assert_eq (in (bed.rtc, 0x0c), 0x70, "the alarm at 00:00:05");
    cr_assert_eq (in (bed.rtc, 0x0c), 0x00);
    cr_assert_eq (bed.irq.calls, 0);
    vmm_rtc_free (bed.rtc);
}

Test (rtc, interrupt_is_held_until_c_is_read)
{
    Bed bed;

    bed_init (&bed, LEAP_DAY);
    in (bed.rtc, 0x0c);
    out (bed.rtc, 0x0b, 0x12);
    cr_assert (!bed.irq.level);
    bed.now += SECOND;
    out (bed.rtc, 0x0e, 0);
    cr_assert (bed.irq.level);
    cr_assert_eq (in (bed.rtc, 0x0c) & 0x90, 0x90);
    cr_assert (!bed.irq.level);
    vmm_rtc_free (bed.rtc);
}

/* With a real loop and the real time: 64 ticks a second, each fetched, for a quarter of a second. */
Test (rtc, periodic_interrupt_by_the_loop, .timeout = 20)
{
    g_autoptr (GMainContext) context = g_main_context_new ();
    IrqRecorder irq = {0};
    VmmIrqLine line = irq_recorder_line (&irq);
    g_autoptr (VmmRtc) rtc = vmm_rtc_new (&line, context, NULL);
    gint64 start;
    unsigned n = 0;

    out (rtc, 0x0a, 0x2a);
    in (rtc, 0x0c);
    cr_assert (!g_main_context_pending (context));
    out (rtc, 0x0b, 0x42);
    start = g_get_monotonic_time ();
    while (n < 16) {
        g_main_context_iteration (context, TRUE);
        if (irq.level) {
            cr_assert_eq (in (rtc, 0x0c) & 0xc0, 0xc0);
            n++;
        }
    }
    cr_assert_geq (g_get_monotonic_time () - start, 200 * 1000);
    out (rtc, 0x0b, 0x02);
    in (rtc, 0x0c);
    g_usleep (40 * 1000);
    g_main_context_iteration (context, FALSE);
    cr_assert (!irq.level, "no interrupt after it was switched off");
}

/* A guest far before 1970 with an alarm on: its arithmetic must hold there as well. */
Test (rtc, alarm_long_before_1970)
{
    g_autoptr (GMainContext) context = g_main_context_new ();
    IrqRecorder irq = {0};
    VmmIrqLine line = irq_recorder_line (&irq);
    Bed bed = {.now = LEAP_DAY * SECOND};
    VmmRtcClock clock = {bed_now, &bed};
    g_autoptr (VmmRtc) rtc = vmm_rtc_new (&line, context, &clock);

    out (rtc, 0x32, 0x14);
    out (rtc, 5, 0x24); /* no such hour */
    in (rtc, 0x0c);
    out (rtc, 0x0b, 0x22);
    bed.now += 86401 * SECOND;
    cr_assert_eq (in (rtc, 0x0c) & 0xa0, 0x00);
    out (rtc, 5, 0xff);
    out (rtc, 3, 0xff);
    out (rtc, 1, 0xff);
    bed.now += SECOND;
    cr_assert_eq (in (rtc, 0x0c) & 0xa0, 0xa0);
    assert_time (rtc, "1424-03-02 00:00:00 w3");
}

static void
poke (void *device)
{
    for (unsigned reg = 0; reg < 14; reg++)
        in (device, (uint8_t)reg);
    out (device, 0x0b, 0x82);
    out (device, 0x0b, 0x72);
}

Test (rtc, state_goes_on_with_the_same_offset)
{
    g_autoptr (GBytes) state = NULL;
    Bed a, b;

    bed_init (&a, LEAP_DAY);
    bed_init (&b, LEAP_DAY + 60);
    out (a.rtc, 9, 0x44);
    out (a.rtc, 0x40, 0xaa);
    state = save_device (&vmm_rtc_device_ops, a.rtc);
    cr_assert (load_device (&vmm_rtc_device_ops, b.rtc, state));
    assert_time (b.rtc, "2044-03-01 00:00:58 w3");
    cr_assert_eq (in (b.rtc, 0x40), 0xaa);
    cr_assert_gt (load_hostile (&vmm_rtc_device_ops, b.rtc, state, poke), 150);
    vmm_rtc_free (a.rtc);
    vmm_rtc_free (b.rtc);
    vmm_rtc_free (NULL);
}

/* Nonsense in every time register, in both formats, must survive its own save and load. */
Test (rtc, nonsense_time_is_still_a_time)
{
    static const uint8_t control[] = {0x00, 0x02, 0x04, 0x06};
    Bed bed;

    bed_init (&bed, LEAP_DAY);
    for (unsigned i = 0; i < G_N_ELEMENTS (control); i++) {
        for (unsigned value = 0; value < 256; value++) {
            g_autoptr (GBytes) state = NULL;

            out (bed.rtc, 0x0b, 0x80 | control[i]);
            for (unsigned reg = 0; reg < 10; reg++)
                out (bed.rtc, (uint8_t)reg, (uint8_t)value);
            out (bed.rtc, 0x32, (uint8_t)value);
            out (bed.rtc, 0x0b, control[i]);
            out (bed.rtc, 0x0b, 0x06);
            cr_assert_leq (in (bed.rtc, 8), 12);
            cr_assert_lt (in (bed.rtc, 4), 24);
            cr_assert_leq (in (bed.rtc, 0x32), 99);
            state = save_device (&vmm_rtc_device_ops, bed.rtc);
            cr_assert (load_device (&vmm_rtc_device_ops, bed.rtc, state));
        }
    }
    vmm_rtc_free (bed.rtc);
}
