/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_BOARD_DEVICES_H
#define VMM_BOARD_DEVICES_H

#include <glib.h>
#include <stdbool.h>

#include "vmm/arch/arch.h"
#include "vmm/backends.h"

/**
 * VmmBoardDevicesEnv:
 * @warn: something that the user should know; any thread
 *
 * What a board gives to its virtio devices; all borrowed, and outliving them.
 */
typedef struct {
    const VmmConfig *config;
    const VmmBackends *backends;
    VmmGuestMemory *memory;
    VmmArchVm *arch;
    void (*warn) (void *user, const char *text);
    void *user;
} VmmBoardDevicesEnv;

typedef struct _VmmBoardDevices VmmBoardDevices;

bool vmm_board_devices_new (const VmmBoardDevicesEnv *env, VmmBoardDevices **ret_devices, GError **error);
void vmm_board_devices_free (VmmBoardDevices *devices);
void vmm_board_devices_stop (VmmBoardDevices *devices);
void vmm_board_devices_pause (VmmBoardDevices *devices);
void vmm_board_devices_resume (VmmBoardDevices *devices);
unsigned vmm_board_devices_count (const VmmBoardDevices *devices);
VmmVirtioDevice *vmm_board_devices_get (VmmBoardDevices *devices, unsigned index);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmBoardDevices, vmm_board_devices_free)

#endif
