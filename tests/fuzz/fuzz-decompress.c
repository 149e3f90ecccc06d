/* SPDX-License-Identifier: Apache-2.0 */
/* Every decoder: the first byte chooses the room for the output. */
#include <stdlib.h>

#include <glib.h>

#include "loader/decompress.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    VmmSpan in = {data + 1, size - 1};
    VmmCompression kind = vmm_compression_detect (in);
    size_t cap = (size_t)(data[0] + 1) * 512, len = 0, prefix = 0;
    g_autofree uint8_t *out = g_malloc (cap);
    g_autofree uint8_t *start = g_malloc (cap);

    if (vmm_decompress_prefix (kind, in, start, cap, &prefix, NULL) && prefix > cap)
        abort ();
    if (!vmm_decompress (kind, in, out, cap, &len, NULL))
        return 0;
    if (len > cap || (prefix != 0 && prefix <= len && memcmp (start, out, prefix) != 0))
        abort ();
    return 0;
}
