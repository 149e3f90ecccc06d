/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_LOADER_IKCONFIG_H
#define VMM_LOADER_IKCONFIG_H

#include <glib.h>

#include "vmm/core/bytes.h"

char *vmm_ikconfig_extract (VmmSpan vmlinux, GError **error);

#endif
