/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_BACKENDS_H
#define VMM_BACKENDS_H

#include <glib.h>
#include <stdbool.h>

#include "vmm/device-kind.h"

typedef struct _VmmBackends VmmBackends;

VmmBackends *vmm_backends_new (const VmmDeviceHost *host, GError **error);
void vmm_backends_free (VmmBackends *backends);
bool vmm_backends_settle (VmmBackends *backends, void (*notice) (void *user, const char *text), void *user);
void *vmm_backends_get (const VmmBackends *backends, unsigned index);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmBackends, vmm_backends_free)

#endif
