/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of the host probe that only the processor can answer. A port to another architecture brings its
 * own implementation of these functions.
 */
#ifndef VMM_HOST_SPEED_H
#define VMM_HOST_SPEED_H

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

G_BEGIN_DECLS

/* The privilege that the measured loop runs with. */
typedef enum {
    VMM_HOST_SPEED_KERNEL,
    VMM_HOST_SPEED_USER,
} VmmHostSpeedMode;

bool vmm_host_speed_measure (int kvm_fd, VmmHostSpeedMode mode, int64_t budget_us, double *ret_mips,
                             GError **error);
int vmm_host_speed_create_vm (int kvm_fd);
void vmm_host_speed_hypervisor (char ret_signature[13]);

G_END_DECLS

#endif
