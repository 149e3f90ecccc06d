/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/device-kind.h"

/* In the order in which a guest finds them. A line for each: declare it, list it. */
static const VmmDeviceKind *const kinds[] = {
    NULL,
};

/**
 * vmm_device_kinds:
 * @ret_n: (out): how many there are
 *
 * Returns: (transfer none) (array length=ret_n): every kind of device that a user can add
 */
const VmmDeviceKind *const *
vmm_device_kinds (size_t *ret_n)
{
    *ret_n = G_N_ELEMENTS (kinds) - 1;
    return kinds;
}
