/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_KERNEL_LOG_H
#define VMM_KERNEL_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "vmm/export.h"

G_BEGIN_DECLS

#define VMM_KERNEL_REPORT_MAX 65536u

/**
 * VmmKernelTrouble:
 * @VMM_KERNEL_PANIC: "Kernel panic - not syncing", for other reasons than the two below
 * @VMM_KERNEL_NO_ROOT: a panic, since there is no root file system to mount
 * @VMM_KERNEL_INIT_KILLED: a panic, since the first program has ended
 * @VMM_KERNEL_BUG: "BUG:" and "kernel BUG at"
 * @VMM_KERNEL_OOPS: a fault in the kernel that has no "BUG:" before it
 * @VMM_KERNEL_WARNING: WARN_ON() and its like
 * @VMM_KERNEL_SOFT_LOCKUP: a CPU that runs no other task
 * @VMM_KERNEL_HARD_LOCKUP: a CPU that takes no interrupts
 * @VMM_KERNEL_RCU_STALL: a CPU or a task holds up RCU
 * @VMM_KERNEL_HUNG_TASK: a task that waits for too long
 * @VMM_KERNEL_KASAN: a wrong access to memory, found by KASAN
 * @VMM_KERNEL_KFENCE: one found by KFENCE
 * @VMM_KERNEL_KMSAN: a use of uninitialised memory
 * @VMM_KERNEL_KCSAN: a data race
 * @VMM_KERNEL_UBSAN: undefined behaviour
 * @VMM_KERNEL_KMEMLEAK: memory that nothing refers to
 * @VMM_KERNEL_LOCKDEP: locks that are taken in a wrong order or context
 * @VMM_KERNEL_OOM: a process was killed for want of memory
 *
 * What kind of trouble a Linux kernel reports.
 */
typedef enum {
    VMM_KERNEL_PANIC,
    VMM_KERNEL_NO_ROOT,
    VMM_KERNEL_INIT_KILLED,
    VMM_KERNEL_BUG,
    VMM_KERNEL_OOPS,
    VMM_KERNEL_WARNING,
    VMM_KERNEL_SOFT_LOCKUP,
    VMM_KERNEL_HARD_LOCKUP,
    VMM_KERNEL_RCU_STALL,
    VMM_KERNEL_HUNG_TASK,
    VMM_KERNEL_KASAN,
    VMM_KERNEL_KFENCE,
    VMM_KERNEL_KMSAN,
    VMM_KERNEL_KCSAN,
    VMM_KERNEL_UBSAN,
    VMM_KERNEL_KMEMLEAK,
    VMM_KERNEL_LOCKDEP,
    VMM_KERNEL_OOM,
    VMM_KERNEL_N_TROUBLES,
} VmmKernelTrouble;

/**
 * VmmKernelReport:
 * @id: 1 for the first one, and so on, in the order in which they begin
 * @parent: the one that this one follows from: a panic from an oops; 0 when it stands alone
 * @kind: what kind of trouble
 * @summary: one line for people
 * @title: the kernel's own first line, without what printk puts before it
 * @function: where it happened; NULL when the report does not tell
 * @text: all of it, lines as they were printed, without escape sequences and control characters
 * @text_len: bytes of it, at most %VMM_KERNEL_REPORT_MAX
 * @cut: there was more
 * @offset: where in the console its first line begins, in bytes from 0
 * @line: the number of that line, from 1
 *
 * What was reported. All text is UTF-8. It is valid during the call.
 */
typedef struct {
    uint64_t id;
    uint64_t parent;
    VmmKernelTrouble kind;
    const char *summary;
    const char *title;
    const char *function;
    const char *text;
    size_t text_len;
    bool cut;
    uint64_t offset;
    uint64_t line;
} VmmKernelReport;

typedef void (*VmmKernelReportFunc) (void *user, const VmmKernelReport *report);

typedef struct _VmmKernelLog VmmKernelLog;

VMM_EXPORT VmmKernelLog *vmm_kernel_log_new (VmmKernelReportFunc func, void *user);
VMM_EXPORT void vmm_kernel_log_free (VmmKernelLog *log);
VMM_EXPORT void vmm_kernel_log_feed (VmmKernelLog *log, const uint8_t *data, size_t len);
VMM_EXPORT void vmm_kernel_log_settle (VmmKernelLog *log);
VMM_EXPORT void vmm_kernel_log_finish (VmmKernelLog *log);
VMM_EXPORT bool vmm_kernel_log_is_in_report (const VmmKernelLog *log);
VMM_EXPORT const char *vmm_kernel_trouble_to_string (VmmKernelTrouble kind);
VMM_EXPORT bool vmm_kernel_trouble_is_panic (VmmKernelTrouble kind);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmKernelLog, vmm_kernel_log_free)

G_END_DECLS

#endif
