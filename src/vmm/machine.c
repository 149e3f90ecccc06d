/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A machine is a configuration, a console that lives as long as the machine, and a board for each boot. What
 * happens to it is in machine-events.c: there the verdict's kind is found. Here the machine is made and
 * started, and when the loop hears that the run is over the threads are joined, the verdict is filled in, and
 * the program is told.
 */
#include "vmm/machine.h"

#include <string.h>

#include "vmm/config-internal.h"
#include "vmm/core/timer.h"
#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/machine-internal.h"
#include "vmm/verdict-internal.h"

/* A guest on a KVM that runs ring 0 at full speed has said something by then. */
#define SLOW_CHECK_US (2 * G_USEC_PER_SEC)
#define FLUSH_PATIENCE_MS 2000

static void
on_notice (void *user, const char *text)
{
    VmmMachine *machine = user;

    if (machine->notice != NULL)
        machine->notice (machine, text, machine->notice_user);
    else if (!machine->started)
        g_ptr_array_add (machine->early_notices, g_strdup (text));
}

/* What there is to say of the files is said of the first boot: a guest must not fill a log by rebooting. */
static void
on_board_notice (void *user, const char *text)
{
    VmmMachine *machine = user;

    if (machine->boots == 0)
        on_notice (machine, text);
}

/* Any thread. */
static void
on_board_warn (void *user, const char *text)
{
    VmmMachine *machine = user;

    g_mutex_lock (&machine->lock);
    g_ptr_array_add (machine->warnings, g_strdup (text));
    g_mutex_unlock (&machine->lock);
    vmm_timer_arm (machine->warn, 0);
}

static gboolean
on_warnings (gpointer user)
{
    VmmMachine *machine = user;
    g_autoptr (GPtrArray) texts = NULL;

    g_mutex_lock (&machine->lock);
    texts = g_steal_pointer (&machine->warnings);
    machine->warnings = g_ptr_array_new_with_free_func (g_free);
    g_mutex_unlock (&machine->lock);
    for (guint i = 0; i < texts->len; i++)
        on_notice (machine, texts->pdata[i]);
    return G_SOURCE_CONTINUE;
}

static gboolean
on_slow_check (gpointer user)
{
    VmmMachine *machine = user;
    g_autofree char *text = NULL;
    double mips;

    if (__atomic_load_n (&machine->first_output_ns, __ATOMIC_RELAXED) != 0 ||
        !vmm_host_measure_ring0 (&mips, NULL) || vmm_host_ring0_is_fast (mips, 0))
        return G_SOURCE_CONTINUE;
    text = g_strdup_printf (
        "this host's KVM runs guest kernels slowly (measured: %.1f million instructions/s in ring 0): "
        "it has no hardware virtualization, and a stock kernel may take many minutes; see vmm doctor",
        mips);
    on_notice (machine, text);
    return G_SOURCE_CONTINUE;
}

static VmmBoard *
build_board (VmmMachine *machine, GError **error)
{
    VmmBoardEvents events = {
        .guest = {vmm_machine_on_guest_event, machine},
        .vcpu = {vmm_machine_on_vcpu_ended, vmm_machine_on_vcpu_active, machine},
        .notice = on_board_notice,
        .warn = on_board_warn,
        .user = machine,
    };
    VmmBoardParts parts = {
        .config = machine->config,
        .context = machine->context,
        .console = vmm_endpoint_chardev (machine->serial),
        .backends = machine->backends,
    };
    VmmBoard *board = vmm_board_new (&parts, &machine->initrd, &events, error);

    /* It may be large. */
    if (!machine->config->reboots)
        g_clear_pointer (&machine->initrd, vmm_initrd_free);
    return board;
}

/* What a board has counted, before it goes. */
static void
collect (VmmMachine *machine)
{
    vmm_machine_add_counts (machine, machine->counts);
    for (unsigned i = 0; i < vmm_board_n_vcpus (machine->board); i++) {
        VmmVcpu *vcpu = vmm_board_vcpu (machine->board, i);

        for (unsigned r = 0; r < VMM_VCPU_EXIT_REASONS; r++)
            machine->exits[r] += vmm_vcpu_exits (vcpu, r);
        if (i == 0 && machine->first_run_ns == 0)
            machine->first_run_ns = vmm_vcpu_first_run_ns (vcpu);
    }
}

static bool
start_board (VmmMachine *machine, GError **error)
{
    machine->boots++;
    machine->console_watch.len = 0;
    /* Before the first vCPU: a guest's first words may ask for a look. */
    machine->watchdog = vmm_watchdog_new (machine->context, machine->board, machine->config->watchdog_ns,
                                          !machine->config->watchdog_exact, vmm_machine_on_watchdog, machine);
    return vmm_board_start (machine->board, error);
}

static void
reboot (VmmMachine *machine)
{
    g_autoptr (VmmBoard) old = NULL;
    g_autoptr (GArray) balloons = NULL;
    g_autoptr (GError) error = NULL;
    VmmBoard *board;

    /* Asked before, but a vCPU whose thread was just being started may not have been kicked. */
    vmm_board_request_stop (machine->board);
    vmm_board_join (machine->board);
    /* Not before: a vCPU may have asked it for a look. */
    g_clear_pointer (&machine->watchdog, vmm_watchdog_free);
    collect (machine);
    g_mutex_lock (&machine->lock);
    old = g_steal_pointer (&machine->board);
    machine->reset_asked = false;
    machine->restarting = false;
    g_clear_pointer (&machine->panic_message, g_free);
    g_mutex_unlock (&machine->lock);
    /* A panic of the boot before ends nothing now. */
    g_source_set_ready_time (machine->panic_grace, -1);
    /* Before the new one takes the memory that it has. */
    balloons = vmm_machine_note_balloons (old);
    g_clear_pointer (&old, vmm_board_free);
    vmm_machine_hand_over_stdio (machine, false);
    board = build_board (machine, &error);
    vmm_machine_size_terminal (machine, board);
    if (board != NULL)
        vmm_machine_restore_balloons (board, balloons);
    g_mutex_lock (&machine->lock);
    machine->board = board;
    g_mutex_unlock (&machine->lock);
    if (machine->board != NULL && start_board (machine, &error))
        return;
    vmm_machine_end (
        machine, VMM_VERDICT_HOST_ERROR, 0,
        g_strdup_printf ("the machine could not be built again for the guest's reboot: %s", error->message),
        NULL);
}

/* Here and not with the report: symbols are read by one thread, and only now is there time for it. */
static void
name_function (VmmMachine *machine)
{
    g_autofree char *report = g_steal_pointer (&machine->report);
    g_autofree char *where = NULL;
    VmmVcpuSample sample;

    if (report != NULL && machine->failed_vcpu >= 0 &&
        vmm_vcpu_stopped_at (vmm_board_vcpu (machine->board, (unsigned)machine->failed_vcpu), &sample))
        where = vmm_board_name_function (machine->board, &sample);
    machine->report =
        where != NULL ? g_strdup_printf ("%s  in %s\n", report, where) : g_steal_pointer (&report);
}

static bool
settle_serial (VmmMachine *machine)
{
    VmmChardev *serial = vmm_endpoint_chardev (machine->serial);
    g_autofree char *text = NULL;
    int lost;

    vmm_kernel_log_finish (machine->kernel_log);
    vmm_chardev_flush (serial, FLUSH_PATIENCE_MS);
    lost = vmm_chardev_lost (serial);
    if (lost == 0)
        return true;
    text = g_strdup_printf ("the serial console: " VMM_OUTPUT_LOST, g_strerror (lost));
    on_notice (machine, text);
    return false;
}

/* A run is no success when something that the guest wrote is lost. */
static void
settle (VmmMachine *machine)
{
    g_autofree char *reason = NULL;
    bool stored = settle_serial (machine);

    stored = vmm_backends_settle (machine->backends, on_notice, machine) && stored;
    if (stored || vmm_verdict_exit_code (machine->kind, machine->guest_code) != VMM_EXIT_POWEROFF)
        return;
    reason = g_steal_pointer (&machine->reason);
    machine->kind = VMM_VERDICT_HOST_ERROR;
    machine->reason = g_strdup_printf ("%s, but not all that it wrote could be stored", reason);
}

static void
fill_verdict (VmmMachine *machine)
{
    VmmVerdict *v = &machine->verdict;

    v->kind = machine->kind;
    v->exit_code = vmm_verdict_exit_code (machine->kind, machine->guest_code);
    v->reason = machine->reason;
    v->report = machine->report;
    v->start_ns = machine->start_ns;
    v->first_instruction_ns = machine->first_run_ns;
    v->first_output_ns = machine->first_output_ns;
    v->end_ns = vmm_now_ns ();
    v->boots = machine->boots;
    v->output_bytes = machine->output_bytes;
    for (unsigned r = 0; r < VMM_VCPU_EXIT_REASONS; r++) {
        if (machine->exits[r] > 0)
            machine->exit_counts[v->n_exits++] =
                (VmmExitCount){vmm_vcpu_exit_reason_name (r), machine->exits[r]};
    }
    v->exits = machine->exit_counts;
    v->guest_memory_bytes = machine->config->mem;
    if (machine->board != NULL)
        v->guest_memory_used_bytes = vmm_board_memory_used (machine->board);
    v->n_devices = machine->config->devices->len;
    v->devices = machine->counts;
    v->kernel_reports = vmm_kernel_reports_list (machine->kernel_reports, &v->n_kernel_reports);
}

static gboolean
on_wake (gpointer user)
{
    VmmMachine *machine = user;
    bool ending;
    bool reset_asked;

    g_mutex_lock (&machine->lock);
    ending = machine->ending;
    reset_asked = machine->reset_asked;
    g_mutex_unlock (&machine->lock);
    if (!machine->started || machine->has_verdict)
        return G_SOURCE_CONTINUE;
    if (__atomic_exchange_n (&machine->stdio_asked, false, __ATOMIC_SEQ_CST))
        vmm_machine_hand_over_stdio (machine, true);
    if (__atomic_exchange_n (&machine->look_asked, false, __ATOMIC_SEQ_CST) && machine->watchdog != NULL)
        vmm_watchdog_look_now (machine->watchdog);
    if (!ending) {
        /* Of a paused machine it is done when that is resumed. */
        if (reset_asked && !machine->paused)
            reboot (machine);
        return G_SOURCE_CONTINUE;
    }
    if (machine->board != NULL) {
        vmm_board_request_stop (machine->board);
        vmm_board_join (machine->board);
        vmm_board_stop_devices (machine->board);
        /* While there is somebody who listens. */
        on_warnings (machine);
        collect (machine);
        name_function (machine);
    }
    g_clear_pointer (&machine->watchdog, vmm_watchdog_free);
    vmm_timer_clear (&machine->timeout);
    vmm_timer_clear (&machine->slow_check);
    vmm_timer_clear (&machine->panic_grace);
    settle (machine);
    fill_verdict (machine);
    machine->has_verdict = true;
    vmm_control_tell (machine->control, "ended");
    if (machine->ended != NULL)
        machine->ended (machine, machine->ended_user);
    return G_SOURCE_CONTINUE;
}

/**
 * vmm_machine_new:
 * @config: what it is to be; copied
 *
 * Makes a machine and loads its guest, which does not run yet. Files are opened and KVM is asked for all that
 * the configuration needs, so that what cannot work fails here. The machine belongs to the calling thread's
 * default GMainContext.
 *
 * Returns: (transfer full) (nullable): a machine, to be freed with vmm_machine_free(); NULL with an error of
 *   #VmmError
 * Since: 0.1
 */
VmmMachine *
vmm_machine_new (const VmmConfig *config, GError **error)
{
    g_autoptr (VmmMachine) machine = g_new0 (VmmMachine, 1);
    VmmDeviceHost host = {
        .config = config,
        .notice = on_board_notice,
        .output = vmm_machine_on_output,
        .takes_stdio = vmm_machine_on_takes_stdio,
        .console_event = vmm_machine_on_console_event,
        .kernel_report = vmm_machine_on_kernel_report,
        .user = machine,
    };

    machine->failed_vcpu = -1;
    machine->start_ns = vmm_now_ns ();
    machine->config = vmm_config_copy (config);
    machine->counts = vmm_machine_new_counts (machine);
    machine->context = g_main_context_ref_thread_default ();
    host.context = machine->context;
    machine->early_notices = g_ptr_array_new_with_free_func (g_free);
    machine->console_watch.event = vmm_machine_on_console_event;
    machine->console_watch.user = machine;
    machine->kernel_reports = vmm_kernel_reports_new ();
    machine->kernel_log = vmm_kernel_log_new (vmm_machine_on_kernel_report, machine);
    g_mutex_init (&machine->lock);
    machine->wake = vmm_timer_new (machine->context, on_wake, machine);
    machine->timeout = vmm_timer_new (machine->context, vmm_machine_on_timeout, machine);
    machine->slow_check = vmm_timer_new (machine->context, on_slow_check, machine);
    machine->panic_grace = vmm_timer_new (machine->context, vmm_machine_on_panic_grace, machine);
    machine->warn = vmm_timer_new (machine->context, on_warnings, machine);
    machine->warnings = g_ptr_array_new_with_free_func (g_free);
    if (!vmm_machine_open_serial (machine, error))
        return NULL;
    /* Before what takes long: that it is in use by another machine is told at once. */
    if (config->control != NULL) {
        machine->control = vmm_control_new (machine, machine->context, config->control, error);
        if (machine->control == NULL)
            return NULL;
    }
    machine->backends = vmm_backends_new (&host, error);
    if (machine->backends == NULL)
        return NULL;
    machine->board = build_board (machine, error);
    return machine->board != NULL ? g_steal_pointer (&machine) : NULL;
}

/**
 * vmm_machine_free:
 * @machine: (nullable): in any state: a guest that runs is ended without a verdict, and what its end finds is
 *   told by the notice
 *
 * On the machine's thread, not from its callbacks.
 *
 * Since: 0.1
 */
void
vmm_machine_free (VmmMachine *machine)
{
    if (machine == NULL)
        return;
    /* First the vCPUs, which may ask the watchdog for a look. */
    if (machine->board != NULL) {
        vmm_board_request_stop (machine->board);
        vmm_board_join (machine->board);
    }
    vmm_control_free (machine->control);
    vmm_watchdog_free (machine->watchdog);
    g_clear_pointer (&machine->board, vmm_board_free);
    if (!machine->has_verdict && machine->backends != NULL) {
        on_warnings (machine);
        vmm_backends_settle (machine->backends, on_notice, machine);
    }
    vmm_backends_free (machine->backends);
    vmm_initrd_free (machine->initrd);
    vmm_endpoint_free (machine->serial);
    vmm_kernel_log_free (machine->kernel_log);
    vmm_kernel_reports_free (machine->kernel_reports);
    vmm_timer_clear (&machine->wake);
    vmm_timer_clear (&machine->timeout);
    vmm_timer_clear (&machine->slow_check);
    vmm_timer_clear (&machine->panic_grace);
    vmm_timer_clear (&machine->warn);
    g_ptr_array_unref (machine->warnings);
    g_ptr_array_unref (machine->early_notices);
    vmm_config_free (machine->config);
    g_main_context_unref (machine->context);
    g_mutex_clear (&machine->lock);
    g_free (machine->reason);
    g_free (machine->report);
    g_free (machine->panic_message);
    g_free (machine->counts);
    g_free (machine->info_devices);
    g_free (machine->info_vcpu_times);
    g_free (machine);
}

/**
 * vmm_machine_set_ended:
 * @machine: a machine
 * @ended: (nullable): called when the verdict is there
 * @user: what it gets
 *
 * Since: 0.1
 */
void
vmm_machine_set_ended (VmmMachine *machine, VmmMachineEnded ended, void *user)
{
    machine->ended = ended;
    machine->ended_user = user;
}

/**
 * vmm_machine_set_notice:
 * @machine: a machine
 * @notice: (nullable): told what the user should know; at once of all that was found before
 * @user: what it gets
 *
 * Since: 0.1
 */
void
vmm_machine_set_notice (VmmMachine *machine, VmmMachineNotice notice, void *user)
{
    machine->notice = notice;
    machine->notice_user = user;
    for (guint i = 0; notice != NULL && i < machine->early_notices->len; i++)
        notice (machine, machine->early_notices->pdata[i], user);
    g_ptr_array_set_size (machine->early_notices, 0);
}

static bool
wrong_state (GError **error, const char *what)
{
    g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY, "the machine cannot be %s", what);
    return false;
}

/**
 * vmm_machine_start:
 * @machine: a machine
 *
 * Lets the guest run. Its end is told by the function of vmm_machine_set_ended(), while the machine's context
 * is being run.
 *
 * Returns: false with %VMM_ERROR_BUSY when it was started before, with %VMM_ERROR_HOST when the host has no
 *   thread left; the machine can then only be freed
 * Since: 0.1
 */
bool
vmm_machine_start (VmmMachine *machine, GError **error)
{
    if (machine->started)
        return wrong_state (error, "started twice");
    machine->started = true;
    if (machine->config->timeout_ns > 0)
        vmm_timer_arm (machine->timeout, machine->config->timeout_ns / 1000);
    vmm_timer_arm (machine->slow_check, SLOW_CHECK_US);
    /* What ended the run before it began is told now. */
    vmm_timer_arm (machine->wake, 0);
    return start_board (machine, error);
}

/**
 * vmm_machine_pause:
 * @machine: a machine
 *
 * Stops the guest's vCPUs where they are; returns when they are at rest. A timeout goes on.
 *
 * Returns: false with %VMM_ERROR_BUSY when the guest does not run
 * Since: 0.1
 */
bool
vmm_machine_pause (VmmMachine *machine, GError **error)
{
    if (!machine->started || machine->paused || machine->has_verdict || machine->board == NULL)
        return wrong_state (error, "paused: it does not run");
    vmm_board_pause (machine->board);
    /* There is nothing to watch, and what was stuck before does not count after. */
    g_clear_pointer (&machine->watchdog, vmm_watchdog_free);
    machine->paused = true;
    vmm_control_tell (machine->control, "paused");
    return true;
}

/**
 * vmm_machine_resume:
 * @machine: a machine
 *
 * Lets a paused guest go on.
 *
 * Returns: false with %VMM_ERROR_BUSY when it was not paused
 * Since: 0.1
 */
bool
vmm_machine_resume (VmmMachine *machine, GError **error)
{
    if (!machine->paused || machine->has_verdict)
        return wrong_state (error, "resumed: it is not paused");
    machine->paused = false;
    /* A reboot may have been asked for just before the pause. */
    vmm_timer_arm (machine->wake, 0);
    machine->watchdog = vmm_watchdog_new (machine->context, machine->board, machine->config->watchdog_ns,
                                          !machine->config->watchdog_exact, vmm_machine_on_watchdog, machine);
    vmm_board_resume (machine->board);
    vmm_control_tell (machine->control, "resumed");
    return true;
}

/**
 * vmm_machine_stop:
 * @machine: a machine
 * @reason: (nullable): who or what stops it, for the verdict
 *
 * Any thread: ends the run with %VMM_VERDICT_STOPPED, unless it is over. The guest is not asked.
 *
 * Since: 0.1
 */
void
vmm_machine_stop (VmmMachine *machine, const char *reason)
{
    vmm_machine_end (machine, VMM_VERDICT_STOPPED, 0,
                     reason != NULL ? g_strdup_printf ("stopped: %s", reason) : g_strdup ("stopped"), NULL);
}

/**
 * vmm_machine_press_power_button:
 * @machine: a machine
 *
 * Any thread: asks the guest to shut down in good order, as a person at a computer would.
 *
 * Since: 0.1
 */
void
vmm_machine_press_power_button (VmmMachine *machine)
{
    g_mutex_lock (&machine->lock);
    if (machine->board != NULL)
        vmm_arch_vm_press_power_button (vmm_board_arch (machine->board));
    g_mutex_unlock (&machine->lock);
}

/**
 * vmm_machine_get_verdict:
 * @machine: a machine
 *
 * Returns: (transfer none) (nullable): how the run ended; NULL while it is not over
 * Since: 0.1
 */
const VmmVerdict *
vmm_machine_get_verdict (const VmmMachine *machine)
{
    return machine->has_verdict ? &machine->verdict : NULL;
}

/**
 * vmm_machine_run:
 * @machine: a machine
 *
 * Starts the machine if it was not, and runs its context until there is a verdict.
 *
 * Returns: (transfer none) (nullable): the verdict; NULL with an error when it could not be started
 * Since: 0.1
 */
const VmmVerdict *
vmm_machine_run (VmmMachine *machine, GError **error)
{
    if (!machine->started && !vmm_machine_start (machine, error))
        return NULL;
    while (!machine->has_verdict)
        g_main_context_iteration (machine->context, TRUE);
    return &machine->verdict;
}
