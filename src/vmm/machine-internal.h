/* SPDX-License-Identifier: Apache-2.0 */
/* What the machine's files share. */
#ifndef VMM_MACHINE_INTERNAL_H
#define VMM_MACHINE_INTERNAL_H

#include "devices/virtio/balloon.h"
#include "devices/chardev/endpoint.h"
#include "vmm/board.h"
#include "vmm/console-watch.h"
#include "vmm/control.h"
#include "vmm/kernel-reports.h"
#include "vmm/machine.h"
#include "vmm/watchdog.h"

struct _VmmMachine {
    VmmConfig *config;
    GMainContext *context;
    VmmEndpoint *serial;
    VmmBackends *backends;
    VmmBoard *board;
    VmmInitrd *initrd; /* for the next boot */
    VmmWatchdog *watchdog;
    VmmConsoleWatch console_watch;    /* the vCPU that holds the UART */
    VmmKernelLog *kernel_log;         /* the same */
    VmmKernelReports *kernel_reports; /* of all consoles */
    GPtrArray *early_notices;         /* of char *, from before there was anybody to tell */
    VmmControl *control;              /* NULL: there is no control socket */
    VmmMachineEnded ended;
    void *ended_user;
    VmmMachineNotice notice;
    void *notice_user;
    /* Timers, armed from any thread: */
    GSource *wake; /* the machine's end, or its reboot, on the context */
    GSource *timeout;
    GSource *slow_check;
    GSource *panic_grace;
    GSource *warn;    /* tells what is in warnings */
    bool lends_stdio; /* the serial console has the streams until a device takes them */
    bool started;
    bool paused;
    int64_t start_ns;
    unsigned boots;
    uint64_t exits[VMM_VCPU_EXIT_REASONS]; /* of boards that are gone */
    VmmDeviceCount *counts;                /* of the devices of boards that are gone, then of all */
    int64_t first_run_ns;

    GMutex lock; /* the rest; taken by vCPU threads too */
    bool ending;
    bool reset_asked;
    VmmVerdictKind kind;
    uint32_t guest_code;
    GPtrArray *warnings; /* of char *, from any thread */
    int failed_vcpu;     /* the one that the report is about, -1: none */
    char *reason;
    char *report;
    char *panic_message; /* the kernel said so on its console, or by pvpanic */
    bool restarting;     /* it said that it restarts in good order */

    /* Atomic; of all consoles: */
    int64_t first_output_ns;
    uint64_t output_bytes;
    bool stdio_asked; /* a device takes the program's streams */
    bool look_asked;  /* the loop is to have a look at a guest that says that it has halted */

    /* The terminal's size; 0: unknown. The loop's thread. */
    unsigned columns;
    unsigned rows;

    bool has_verdict;
    VmmVerdict verdict;
    VmmExitCount exit_counts[VMM_VCPU_EXIT_REASONS];

    /* What the last questions were answered with. */
    VmmMachineInfo info;
    VmmExitCount info_exits[VMM_VCPU_EXIT_REASONS];
    VmmDeviceCount *info_devices;
    VmmVcpuTime *info_vcpu_times;
    VmmBalloonInfo balloon;
    VmmBalloonStat balloon_stats[VMM_BALLOON_STATS];
};

/* machine-stdio.c */
bool vmm_machine_open_serial (VmmMachine *machine, GError **error);
void vmm_machine_hand_over_stdio (VmmMachine *machine, bool to_device);
void vmm_machine_on_takes_stdio (void *user);
void vmm_machine_size_terminal (VmmMachine *machine, VmmBoard *board);

/* machine-events.c */
void vmm_machine_end (VmmMachine *machine, VmmVerdictKind kind, uint32_t guest_code, char *reason,
                      char *report);

void vmm_machine_on_guest_event (void *user, VmmGuestEvent event, uint32_t arg);
void vmm_machine_on_vcpu_ended (void *user, unsigned index, VmmArchExit how, char *report);
void vmm_machine_on_vcpu_active (void *user);
void vmm_machine_on_console_event (void *user, VmmConsoleEvent event, const char *text);
void vmm_machine_on_kernel_report (void *user, const VmmKernelReport *report);
void vmm_machine_on_output (void *user, size_t len);
void vmm_machine_on_console_output (void *user, const uint8_t *data, size_t len);
void vmm_machine_on_watchdog (void *user, VmmWatchdogFinding finding, unsigned index, double seconds,
                              char *report);
gboolean vmm_machine_on_timeout (gpointer user);
gboolean vmm_machine_on_panic_grace (gpointer user);

/* machine-devices.c */
VmmDeviceCount *vmm_machine_new_counts (const VmmMachine *machine);
void vmm_machine_add_counts (const VmmMachine *machine, VmmDeviceCount *counts);
GArray *vmm_machine_note_balloons (VmmBoard *board);
void vmm_machine_restore_balloons (VmmBoard *board, const GArray *targets);

#endif
