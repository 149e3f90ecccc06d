/* SPDX-License-Identifier: Apache-2.0 */
/* Any file as a kernel: recognised, unpacked, loaded by every entry. The first byte chooses the options. */
#include <stdlib.h>

#include "loader/kernel-load.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

#define MEMORY ((uint64_t)32 << 20)

static void
load (VmmKernelImage *image, VmmKernelEntry entry, uint8_t choice)
{
    VmmMemRange range = {0, MEMORY};
    VmmMemBacking backing = {.kind = VMM_MEM_BACKING_ANON};
    g_autoptr (VmmGuestMemory) memory = vmm_guest_memory_new (&range, 1, &backing, NULL);
    VmmKernelLoadOptions options = {.entry = entry,
                                    .low_end = MEMORY,
                                    .kaslr = (choice & 1) != 0,
                                    .random_virtual = choice * UINT64_C (0x9e3779b97f4a7c15),
                                    .random_physical = choice};
    VmmLoadedKernel kernel;

    if (memory == NULL || !vmm_kernel_image_load (image, memory, &options, &kernel, NULL))
        return;
    if (kernel.end > MEMORY || kernel.start < 0x100000 || kernel.entry_gpa < kernel.start ||
        kernel.entry_gpa >= kernel.end || kernel.setup_header_len > sizeof kernel.setup_header)
        abort ();
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    g_autoptr (VmmKernelImage) image = NULL;
    uint8_t choice = size > 0 ? data[0] : 0;

    if (size == 0 || !vmm_kernel_image_parse ((VmmSpan){data + 1, size - 1}, "fuzz", &image, NULL))
        return 0;
    load (image, (VmmKernelEntry)(choice >> 1 & 3), choice);
    if (choice & 8) {
        g_free (vmm_kernel_image_config (image, NULL));
        g_free (vmm_kernel_image_version (image));
        vmm_kernel_image_has_kaslr (image);
    }
    return 0;
}
