/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one error domain of libvmm. It stands below every layer, so that loaders and devices can name the
 * class of a failure without knowing the machine.
 */
#ifndef VMM_ERROR_H
#define VMM_ERROR_H

#include <glib.h>

#include "vmm/export.h"

G_BEGIN_DECLS

#define VMM_ERROR (vmm_error_quark ())

/**
 * VmmError:
 * @VMM_ERROR_HOST: the host could not do it: a system call or /dev/kvm failed
 * @VMM_ERROR_USAGE: an option or a configuration value is wrong, or names a file that cannot be read
 * @VMM_ERROR_NOT_BOOTABLE: the kernel or the initrd was read, and cannot be booted on this machine
 * @VMM_ERROR_STATE: saved state is malformed or from another machine
 * @VMM_ERROR_BUSY: the call does not fit the machine's present state (started twice, and the like)
 *
 * The class of a failure. The message, one line without a full stop at its end, names the object, what is
 * wrong with it, and the way out.
 */
typedef enum {
    VMM_ERROR_HOST,
    VMM_ERROR_USAGE,
    VMM_ERROR_NOT_BOOTABLE,
    VMM_ERROR_STATE,
    VMM_ERROR_BUSY,
} VmmError;

VMM_EXPORT GQuark vmm_error_quark (void);

G_END_DECLS

#endif
