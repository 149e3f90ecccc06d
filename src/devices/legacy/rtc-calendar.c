/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/legacy/rtc-calendar.h"

#define DAY_SECONDS 86400
/* Days of a 400 year cycle, and from the start of the year 0 (on 1 March) to 1970-01-01. */
#define ERA_DAYS 146097
#define EPOCH_DAYS 719468

static int64_t
floor_div (int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/**
 * vmm_rtc_calendar_from_seconds:
 * @seconds: since 1970-01-01 00:00 UTC, may be negative
 *
 * Years are counted from March, so that the leap day is the last of its year. A year outside 0 to 9999 comes
 * out modulo 10000: the chip has four digits.
 *
 * Returns: the date and time in the Gregorian calendar
 */
VmmRtcCalendar
vmm_rtc_calendar_from_seconds (int64_t seconds)
{
    int64_t days = floor_div (seconds, DAY_SECONDS);
    unsigned time = (unsigned)(seconds - days * DAY_SECONDS);
    int64_t since = days + EPOCH_DAYS;
    int64_t era = floor_div (since, ERA_DAYS);
    unsigned day_of_era = (unsigned)(since - era * ERA_DAYS);
    unsigned year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / (ERA_DAYS - 1)) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned march_month = (5 * day_of_year + 2) / 153;
    unsigned month = march_month < 10 ? march_month + 3 : march_month - 9;
    int64_t year = era * 400 + year_of_era + (month <= 2);

    return (VmmRtcCalendar){
        .year = (unsigned)(year - floor_div (year, 10000) * 10000),
        .month = month,
        .day = day_of_year - (153 * march_month + 2) / 5 + 1,
        .weekday = (unsigned)(days + 4 - floor_div (days + 4, 7) * 7) + 1, /* 1970 began on a Thursday */
        .hour = time / 3600,
        .minute = time / 60 % 60,
        .second = time % 60,
    };
}

/**
 * vmm_rtc_calendar_to_seconds:
 * @calendar: fields in any state: a guest wrote them; the weekday is not looked at
 *
 * A month out of its range is brought into it; any other excess carries over, as 31 February does.
 *
 * Returns: seconds since 1970-01-01 00:00 UTC
 */
int64_t
vmm_rtc_calendar_to_seconds (const VmmRtcCalendar *calendar)
{
    unsigned month = calendar->month < 1 ? 1 : calendar->month > 12 ? 12 : calendar->month;
    int64_t year = (int64_t)calendar->year - (month <= 2);
    int64_t era = floor_div (year, 400);
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + (int64_t)calendar->day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    int64_t days = era * ERA_DAYS + day_of_era - EPOCH_DAYS;

    return days * DAY_SECONDS + calendar->hour * 3600 + calendar->minute * 60 + calendar->second;
}

/**
 * vmm_rtc_alarm_next:
 * @alarm: when it is due
 * @after: seconds since 1970
 * @ret_due: (out): the first second after @after at which @alarm is due, at most a day later
 *
 * Steps by hours, minutes and seconds, so the number of steps is at most 25 + 60 + 60.
 *
 * Returns: false when it never is, because a field is beyond its range
 */
bool
vmm_rtc_alarm_next (const VmmRtcAlarm *alarm, int64_t after, int64_t *ret_due)
{
    int64_t t = after + 1;

    if (alarm->hour > 23 || alarm->minute > 59 || alarm->second > 59)
        return false;
    for (;;) {
        int time = (int)(t - floor_div (t, DAY_SECONDS) * DAY_SECONDS);

        if (alarm->hour >= 0 && time / 3600 != alarm->hour)
            t += 3600 - time % 3600;
        else if (alarm->minute >= 0 && time / 60 % 60 != alarm->minute)
            t += 60 - time % 60;
        else if (alarm->second >= 0 && time % 60 != alarm->second)
            t++;
        else
            break;
    }
    *ret_due = t;
    return true;
}
