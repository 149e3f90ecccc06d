/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clock in saved state, version 1: the index, the register file, and the offset of the guest's time from
 * the host's. A restored guest sees that time has passed; the alarm that was due meanwhile is raised.
 */
#include "devices/legacy/rtc-internal.h"

#include <string.h>

/**
 * vmm_rtc_save:
 * @device: the clock; its vCPUs are not running, the loop may be
 * @writer: a section is open
 */
void
vmm_rtc_save (void *device, VmmStateWriter *writer)
{
    VmmRtc *rtc = device;

    g_mutex_lock (&rtc->lock);
    vmm_rtc_update_flags (rtc);
    vmm_state_put_u8 (writer, rtc->index);
    vmm_state_put_bytes (writer, rtc->regs, sizeof rtc->regs);
    vmm_state_put_u64 (writer, (uint64_t)rtc->offset.sec);
    vmm_state_put_u32 (writer, (uint32_t)rtc->offset.nsec);
    vmm_state_put_u64 (writer, (uint64_t)rtc->seen.sec);
    vmm_state_put_u32 (writer, (uint32_t)rtc->seen.nsec);
    g_mutex_unlock (&rtc->lock);
}

static bool
get_time (VmmStateReader *reader, VmmRtcTime *ret_time)
{
    uint64_t sec;
    uint32_t nsec;

    if (!vmm_state_get_u64 (reader, &sec) || !vmm_state_get_u32 (reader, &nsec))
        return false;
    if ((int64_t)sec < -RTC_OFFSET_MAX || (int64_t)sec > RTC_OFFSET_MAX || nsec >= 1000000000)
        return false;
    *ret_time = (VmmRtcTime){(int64_t)sec, nsec};
    return true;
}

/**
 * vmm_rtc_load:
 * @device: the clock
 * @reader: inside the section
 * @version: 1
 *
 * Returns: false, with the clock untouched, when a field is missing or out of its range
 */
bool
vmm_rtc_load (void *device, VmmStateReader *reader, uint32_t version)
{
    VmmRtc *rtc = device;
    uint8_t index, regs[RTC_N_REGS];
    VmmRtcTime offset, seen;
    uint32_t len;

    if (!vmm_state_get_u8 (reader, &index) || !vmm_state_get_bytes (reader, regs, sizeof regs, &len) ||
        len != sizeof regs || !get_time (reader, &offset) || !get_time (reader, &seen))
        return false;
    if ((regs[RTC_REG_A] & RTC_A_UPDATING) != 0 || (regs[RTC_REG_C] & ~RTC_C_SOURCES) != 0)
        return false;
    g_mutex_lock (&rtc->lock);
    rtc->index = index;
    memcpy (rtc->regs, regs, sizeof regs);
    rtc->offset = offset;
    rtc->seen = seen;
    vmm_rtc_update_flags (rtc);
    vmm_rtc_update_irq (rtc);
    g_mutex_unlock (&rtc->lock);
    return true;
}
