/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_BOARD_H
#define VMM_BOARD_H

#include <glib.h>
#include <stdbool.h>

#include "devices/chardev/chardev.h"
#include "vmm/arch/arch.h"
#include "vmm/backends.h"
#include "vmm/config.h"
#include "vmm/vcpu.h"

/**
 * VmmBoardEvents:
 * @guest: what the guest tells through a device register; on a vCPU's thread
 * @vcpu: a vCPU that cannot go on; on its thread
 * @notice: something that the user should know; on the thread that builds; the text is borrowed
 * @warn: the same, of a device that runs; on any thread
 * @user: what @notice and @warn get
 */
typedef struct {
    VmmGuestEventSink guest;
    VmmVcpuEvents vcpu;
    void (*notice) (void *user, const char *text);
    void (*warn) (void *user, const char *text);
    void *user;
} VmmBoardEvents;

/**
 * VmmBoardParts:
 * @config: what to build
 * @context: the loop of its devices
 * @console: where the serial port's bytes go
 * @backends: what the virtio devices have of the host
 *
 * What a board is made of; all borrowed, and outliving it.
 */
typedef struct {
    const VmmConfig *config;
    GMainContext *context;
    VmmChardev *console;
    const VmmBackends *backends;
} VmmBoardParts;

typedef struct _VmmBoard VmmBoard;

VmmBoard *vmm_board_new (const VmmBoardParts *parts, VmmInitrd **initrd, const VmmBoardEvents *events,
                         GError **error);
void vmm_board_free (VmmBoard *board);
bool vmm_board_start (VmmBoard *board, GError **error);
void vmm_board_request_stop (VmmBoard *board);
void vmm_board_join (VmmBoard *board);
void vmm_board_stop_devices (VmmBoard *board);
VmmVirtioDevice *vmm_board_find_device (VmmBoard *board, const char *name);
unsigned vmm_board_n_devices (const VmmBoard *board);
VmmVirtioDevice *vmm_board_device (VmmBoard *board, unsigned index);
void vmm_board_pause (VmmBoard *board);
void vmm_board_resume (VmmBoard *board);
unsigned vmm_board_n_vcpus (const VmmBoard *board);
VmmVcpu *vmm_board_vcpu (VmmBoard *board, unsigned index);
VmmArchVm *vmm_board_arch (VmmBoard *board);
uint64_t vmm_board_memory_size (const VmmBoard *board);
uint64_t vmm_board_memory_used (const VmmBoard *board);
char *vmm_board_name_function (VmmBoard *board, const VmmVcpuSample *sample);

/* board-samples.c */
unsigned vmm_board_take_samples (VmmBoard *board, VmmVcpuSample *ret_samples, bool *ret_answered);
void vmm_board_describe_samples (VmmBoard *board, const VmmVcpuSample *samples, const bool *answered,
                                 GString *text);
void vmm_board_describe_vcpus (VmmBoard *board, GString *text);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmBoard, vmm_board_free)

#endif
