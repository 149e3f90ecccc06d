/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_BOARD_H
#define VMM_BOARD_H

#include <glib.h>
#include <stdbool.h>

#include "devices/chardev/chardev.h"
#include "loader/symbols.h"
#include "vmm/arch/arch.h"
#include "vmm/config.h"
#include "vmm/vcpu.h"

/**
 * VmmBoardEvents:
 * @guest: what the guest tells through a device register; on a vCPU's thread
 * @vcpu: a vCPU that cannot go on; on its thread
 * @notice: something that the user should know; on the thread that builds; the text is borrowed
 * @user: what @notice gets
 */
typedef struct {
    VmmGuestEventSink guest;
    VmmVcpuEvents vcpu;
    void (*notice) (void *user, const char *text);
    void *user;
} VmmBoardEvents;

typedef struct _VmmBoard VmmBoard;

VmmBoard *vmm_board_new (const VmmConfig *config, GMainContext *context, VmmChardev *console,
                         VmmInitrd **initrd, const VmmBoardEvents *events, GError **error);
void vmm_board_free (VmmBoard *board);
bool vmm_board_start (VmmBoard *board, GError **error);
void vmm_board_request_stop (VmmBoard *board);
void vmm_board_join (VmmBoard *board);
void vmm_board_pause (VmmBoard *board);
void vmm_board_resume (VmmBoard *board);
unsigned vmm_board_n_vcpus (const VmmBoard *board);
VmmVcpu *vmm_board_vcpu (VmmBoard *board, unsigned index);
VmmArchVm *vmm_board_arch (VmmBoard *board);
uint64_t vmm_board_memory_size (const VmmBoard *board);
uint64_t vmm_board_memory_used (const VmmBoard *board);
char *vmm_board_describe_pc (VmmBoard *board, uint64_t pc);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmBoard, vmm_board_free)

#endif
