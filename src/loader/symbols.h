/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_LOADER_SYMBOLS_H
#define VMM_LOADER_SYMBOLS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/core/bytes.h"

typedef struct _VmmSymbols VmmSymbols;

VmmSymbols *vmm_symbols_new_from_system_map (VmmSpan text, GError **error);
VmmSymbols *vmm_symbols_new_from_elf (VmmSpan file, GError **error);
VmmSymbols *vmm_symbols_new_from_vmlinux (VmmSpan vmlinux, GError **error);
void vmm_symbols_free (VmmSymbols *symbols);
unsigned vmm_symbols_count (const VmmSymbols *symbols);
bool vmm_symbols_find (const VmmSymbols *symbols, const char *name, uint64_t *ret_address);
char *vmm_symbols_describe (const VmmSymbols *symbols, uint64_t address, uint64_t virt_offset);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmSymbols, vmm_symbols_free)

#endif
