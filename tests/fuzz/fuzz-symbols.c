/* SPDX-License-Identifier: Apache-2.0 */
/* Symbols from each source, looked up at the addresses that the input itself holds. */
#include <stdlib.h>

#include "loader/symbols.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
look_up (VmmSymbols *symbols, VmmSpan file)
{
    for (uint64_t at = 0, address; symbols != NULL && at < 512 && vmm_span_u64 (file, at, &address); at += 8)
        g_free (vmm_symbols_describe (symbols, address, at * 0x200000));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    VmmSpan file = {data, size};
    g_autoptr (VmmSymbols) elf = vmm_symbols_new_from_elf (file, NULL);
    g_autoptr (VmmSymbols) vmlinux = vmm_symbols_new_from_vmlinux (file, NULL);
    g_autoptr (VmmSymbols) map = vmm_symbols_new_from_system_map (file, NULL);

    look_up (elf, file);
    look_up (map, file);
    look_up (vmlinux, file);
    g_free (map != NULL ? vmm_symbols_describe (map, UINT64_C (0xffffffff81000010), 0) : NULL);
    return 0;
}
