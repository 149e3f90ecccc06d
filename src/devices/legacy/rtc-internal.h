/* SPDX-License-Identifier: Apache-2.0 */
/* What rtc.c (ports and registers), rtc-time.c (the clock and its interrupts) and rtc-state.c share. */
#ifndef VMM_DEVICES_RTC_INTERNAL_H
#define VMM_DEVICES_RTC_INTERNAL_H

#include "devices/legacy/rtc.h"

#define RTC_SECONDS 0u
#define RTC_SECONDS_ALARM 1u
#define RTC_MINUTES 2u
#define RTC_MINUTES_ALARM 3u
#define RTC_HOURS 4u
#define RTC_HOURS_ALARM 5u
#define RTC_WEEKDAY 6u
#define RTC_DAY 7u
#define RTC_MONTH 8u
#define RTC_YEAR 9u
#define RTC_REG_A 10u
#define RTC_REG_B 11u
#define RTC_REG_C 12u
#define RTC_REG_D 13u
#define RTC_CENTURY 0x32u /* what the FADT's CENTURY field says */
#define RTC_N_REGS 128u

#define RTC_A_UPDATING 0x80u
#define RTC_A_DIVIDER_HELD 0x60u /* 0b110 and 0b111 hold the divider chain in reset */
#define RTC_A_RATE 0x0fu
#define RTC_A_DEFAULT 0x26u /* 32768 Hz crystal, periodic rate 1024 Hz */

#define RTC_B_SET 0x80u
#define RTC_B_PERIODIC 0x40u
#define RTC_B_ALARM 0x20u
#define RTC_B_UPDATE 0x10u
#define RTC_B_BINARY 0x04u
#define RTC_B_24_HOURS 0x02u

/* Register C; the three sources have the places of their enable bits in register B. */
#define RTC_C_IRQ 0x80u
#define RTC_C_SOURCES (RTC_B_PERIODIC | RTC_B_ALARM | RTC_B_UPDATE)

#define RTC_D_VALID 0x80u

/* Beyond what any bytes in the year and century registers make, and far from overflow: some 30,000 years. */
#define RTC_OFFSET_MAX INT64_C (1000000000000)

/* A point in time: seconds since 1970 and nanoseconds below one second. */
typedef struct {
    int64_t sec;
    int64_t nsec;
} VmmRtcTime;

struct _VmmRtc {
    GMutex lock;
    VmmIrqLine irq;
    bool irq_level;
    VmmRtcClock clock;
    GMainContext *context; /* NULL: interrupts are seen only when the guest looks */
    GSource *timer;        /* exists from the first time that an interrupt was enabled */

    uint8_t index;
    uint8_t regs[RTC_N_REGS]; /* the time registers count while the clock stands still only; C without IRQF */
    VmmRtcTime offset;        /* guest time minus the clock's, 0 <= nsec < 1e9 */
    VmmRtcTime seen;          /* up to when register C's flags are right */
};

/* rtc-time.c; with the lock held. */
bool vmm_rtc_is_running (const VmmRtc *rtc);
bool vmm_rtc_is_time_reg (unsigned reg);
VmmRtcTime vmm_rtc_now (const VmmRtc *rtc);
bool vmm_rtc_is_updating (const VmmRtc *rtc);
void vmm_rtc_latch_time (VmmRtc *rtc, VmmRtcTime now);
void vmm_rtc_set_time (VmmRtc *rtc, int64_t nsec);
void vmm_rtc_update_flags (VmmRtc *rtc);
void vmm_rtc_update_irq (VmmRtc *rtc);

/* rtc.c; with the lock held. */
void vmm_rtc_reset_registers (VmmRtc *rtc);

/* rtc-state.c */
void vmm_rtc_save (void *device, VmmStateWriter *writer);
bool vmm_rtc_load (void *device, VmmStateReader *reader, uint32_t version);

#endif
