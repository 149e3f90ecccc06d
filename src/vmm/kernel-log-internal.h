/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of VmmKernelLog share. */
#ifndef VMM_KERNEL_LOG_INTERNAL_H
#define VMM_KERNEL_LOG_INTERNAL_H

#include "vmm/kernel-log.h"
#include "vmm/terminal-filter.h"

/* The longest line is that of the modules; printk's own limit is 2048 (kernel/printk/internal.h). */
#define VMM_KERNEL_LINE_MAX 2048u
#define VMM_KERNEL_FUNCTION_MAX 128u

/**
 * VmmKernelTrace:
 * @name: the best function so far; empty when there is none
 * @certain: no frame further up can be better
 * @inside: the lines are those of a call trace
 * @seen: there was a call trace
 *
 * How far a report's call trace was read.
 */
typedef struct {
    char name[VMM_KERNEL_FUNCTION_MAX];
    bool certain;
    bool inside;
    bool seen;
} VmmKernelTrace;

/* A report that has begun and not yet ended. */
typedef struct {
    bool open;
    uint64_t id;
    uint64_t parent;
    VmmKernelTrouble kind;
    char title[VMM_KERNEL_LINE_MAX];
    char killed[256]; /* the line of an OOM kill that names the process */
    GString *text;
    size_t useful; /* bytes of @text up to the last line that surely belongs to it */
    unsigned idle; /* lines since then */
    unsigned lines;
    bool cut;
    uint64_t offset;
    uint64_t line;
    double seconds; /* time stamp of its last line */
    VmmKernelTrace trace;
} VmmOpenReport;

struct _VmmKernelLog {
    VmmKernelReportFunc func;
    void *user;

    VmmTerminalFilter filter;
    char text[VMM_KERNEL_LINE_MAX];
    size_t len;
    uint64_t offset;      /* bytes fed */
    uint64_t line_offset; /* where the line began */
    uint64_t line;
    bool strict; /* the log has time stamps */

    VmmOpenReport report;
    uint64_t n_reports;
    uint64_t last_id; /* the last one that ended, and the kernel's lines since then */
    unsigned lines_since;
};

bool vmm_kernel_title_find (const char *text, bool stamped, VmmKernelTrouble *ret_kind);
bool vmm_kernel_title_is_consequence (const char *title);
bool vmm_kernel_line_is_detail (const char *text);
bool vmm_kernel_line_is_end (const char *text, VmmKernelTrouble kind);
void vmm_kernel_trace_read_title (VmmKernelTrace *trace, const char *title);
void vmm_kernel_trace_read (VmmKernelTrace *trace, const char *text);
char *vmm_kernel_trace_summarize (const VmmKernelTrace *trace, VmmKernelTrouble kind, const char *title);

#endif
