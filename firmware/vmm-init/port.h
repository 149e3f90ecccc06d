/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_INIT_PORT_H
#define VMM_INIT_PORT_H

/*
 * Opens the virtio console port of the name, which may appear a moment after its driver, and waits until the
 * host has its end open. Returns -1 when that takes too long.
 */
int port_open (const char *name);

#endif
