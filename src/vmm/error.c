/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/error.h"

/**
 * vmm_error_quark:
 *
 * Returns: the domain of every error that libvmm sets; its codes are #VmmError
 * Since: 0.1
 */
GQuark
vmm_error_quark (void)
{
    return g_quark_from_static_string ("vmm-error");
}
