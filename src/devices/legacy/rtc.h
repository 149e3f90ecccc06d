/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_RTC_H
#define VMM_DEVICES_RTC_H

#include <glib.h>

#include "devices/device.h"
#include "vmm/core/bus.h"
#include "vmm/core/irq.h"

#define VMM_RTC_SIZE 2u /* the index port and the data port */

/**
 * VmmRtcClock:
 * @now: nanoseconds since 1970 (UTC); any thread
 * @user: what @now gets
 *
 * Where the time comes from.
 */
typedef struct {
    int64_t (*now) (void *user);
    void *user;
} VmmRtcClock;

typedef struct _VmmRtc VmmRtc;

VmmRtc *vmm_rtc_new (const VmmIrqLine *irq, GMainContext *context, const VmmRtcClock *clock);
void vmm_rtc_free (VmmRtc *rtc);

extern const VmmBusOps vmm_rtc_bus_ops;
extern const VmmDeviceOps vmm_rtc_device_ops;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmRtc, vmm_rtc_free)

#endif
