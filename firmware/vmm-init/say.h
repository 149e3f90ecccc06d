/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_INIT_SAY_H
#define VMM_INIT_SAY_H

/* Opens the kernel's log; again after /dev has come. */
void say_open (void);

/* One line for people, "vmm-init: ..." in the kernel's log. Where there is none, on standard error. */
void say (const char *format, ...) __attribute__ ((format (printf, 1, 2)));

#endif
