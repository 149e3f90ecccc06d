/* SPDX-License-Identifier: Apache-2.0 */
/* Seconds since 1970 (UTC, no leap seconds) to and from the fields of a clock chip. Pure arithmetic. */
#ifndef VMM_DEVICES_RTC_CALENDAR_H
#define VMM_DEVICES_RTC_CALENDAR_H

#include <stdbool.h>
#include <stdint.h>

/**
 * VmmRtcCalendar:
 * @year: 0 to 9999
 * @month: 1 to 12
 * @day: 1 to 31
 * @weekday: 1 to 7, 1 is Sunday
 * @hour: 0 to 23
 * @minute: 0 to 59
 * @second: 0 to 59
 */
typedef struct {
    unsigned year, month, day, weekday, hour, minute, second;
} VmmRtcCalendar;

/**
 * VmmRtcAlarm:
 * @hour: 0 to 23, or -1 for any
 * @minute: 0 to 59, or -1 for any
 * @second: 0 to 59, or -1 for any
 */
typedef struct {
    int hour, minute, second;
} VmmRtcAlarm;

VmmRtcCalendar vmm_rtc_calendar_from_seconds (int64_t seconds);
int64_t vmm_rtc_calendar_to_seconds (const VmmRtcCalendar *calendar);
bool vmm_rtc_alarm_next (const VmmRtcAlarm *alarm, int64_t after, int64_t *ret_due);

#endif
