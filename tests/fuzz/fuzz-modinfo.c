/* SPDX-License-Identifier: Apache-2.0 */
/* A module: all that it says lies inside it. */
#include <stdlib.h>

#include "loader/modinfo.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    VmmSpan info, value;

    if (!vmm_modinfo_find ((VmmSpan){data, size}, &info))
        return 0;
    while (vmm_modinfo_next (&info, "depends", &value))
        if (value.data < data || value.data + value.len > data + size)
            abort ();
    return 0;
}
