/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICE_NET_FORWARD_H
#define VMM_DEVICE_NET_FORWARD_H

#include <stdbool.h>

#include "devices/net/user.h"

/* PROTOCOL:[ADDRESS]:PORT-[ADDRESS]:PORT; false with the output untouched for anything else. */
bool vmm_net_forward_parse (const char *text, VmmNetForward *ret_forward);

#endif
