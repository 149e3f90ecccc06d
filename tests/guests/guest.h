/* SPDX-License-Identifier: Apache-2.0 */
/* Ports and values of the machine, as the micro-guests use them; for assembly and for C. */
#ifndef VMM_TESTS_GUEST_H
#define VMM_TESTS_GUEST_H

#define PORT_I8042_COMMAND 0x64
#define I8042_PULSE_RESET 0xfe
#define PORT_DEBUG_EXIT 0xf4
#define DEBUG_EXIT_PASS 0x10 /* exit code 33 */
#define DEBUG_EXIT_FAIL 0x20 /* exit code 65 */
#define PORT_PVPANIC 0x505
#define PVPANIC_PANICKED 1
#define PORT_SLEEP_CONTROL 0x600
#define SLP_EN_S5 0x34
#define PORT_RESET 0x602
#define RESET_VALUE 6
#define PORT_CF9 0xcf9
#define CF9_PREPARE 0x02
#define CF9_RESET 0x06

#endif
