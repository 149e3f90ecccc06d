/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_INIT_NET_H
#define VMM_INIT_NET_H

#include "boot.h"

/* Brings up lo, and the interface of the boot file with its address, route and name server. */
void net_up (const Boot *boot);

#endif
