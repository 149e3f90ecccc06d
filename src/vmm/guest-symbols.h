/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_GUEST_SYMBOLS_H
#define VMM_GUEST_SYMBOLS_H

#include <glib.h>

#include "loader/kernel-load.h"
#include "vmm/arch/arch.h"

typedef void (*VmmGuestSymbolsWarn) (void *user, const char *text);

typedef struct _VmmGuestSymbols VmmGuestSymbols;

VmmGuestSymbols *vmm_guest_symbols_new (const char *path, VmmGuestSymbolsWarn warn, void *user,
                                        GError **error);
void vmm_guest_symbols_free (VmmGuestSymbols *symbols);
char *vmm_guest_symbols_describe (VmmGuestSymbols *symbols, VmmKernelImage *image,
                                  const VmmLoadedKernel *kernel, const VmmVcpuSample *sample);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmGuestSymbols, vmm_guest_symbols_free)

#endif
