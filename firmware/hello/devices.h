/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_FIRMWARE_HELLO_DEVICES_H
#define VMM_FIRMWARE_HELLO_DEVICES_H

#include "console.h"

/* One line for each device that answers: UART, clock, i8042, pvpanic, PCI functions. */
void hello_show_devices (Console *console);

/* Starts a line with a name in the left column. */
void hello_label (Console *console, const char *name);

#endif
