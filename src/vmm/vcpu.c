/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * One thread per vCPU. It does nothing but KVM_RUN and register accesses; others ask it for something by
 * setting a bit in its requests and kicking it out of the guest, and it looks at the bits before each entry.
 *
 * A kick sets immediate_exit in the page shared with KVM (KVM API document, struct kvm_run): an entry that
 * comes after that returns at once. Only when the thread may be inside KVM_RUN already is a signal needed
 * too. That signal is blocked in the thread and let through by KVM inside KVM_RUN alone
 * (KVM_SET_SIGNAL_MASK), so it ends the call and stays pending until the thread takes it off itself: no
 * signal handler is ever installed, which a library must not do.
 *
 *   kicker: request bit, immediate_exit = 1, in_guest ? signal
 *   vCPU:   immediate_exit = 0, look at the bits, in_guest = 1, KVM_RUN, in_guest = 0
 *
 * All of these are sequentially consistent: either the vCPU sees the bit, or KVM sees immediate_exit, or the
 * kicker sees in_guest.
 */
#include "vmm/vcpu.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "vmm/core/thread-time.h"
#include "vmm/core/timer.h"
#include "vmm/error.h"

#define STACK_SIZE (256u << 10)
#define KERNEL_SIGSET_SIZE 8u

enum {
    REQUEST_STOP = 1 << 0,
    REQUEST_PAUSE = 1 << 1,
    REQUEST_SAMPLE = 1 << 2,
};

typedef enum { STATE_NEW, STATE_RUNNING, STATE_PAUSED, STATE_STOPPED } State;

struct _VmmVcpu {
    unsigned index;
    int fd;
    struct kvm_run *run;
    size_t run_size;
    VmmArchVm *arch;
    VmmVcpuEvents events;
    pthread_t thread;
    _Atomic bool joinable; /* there is a thread to kick */
    _Atomic unsigned requests;
    _Atomic bool in_guest;
    _Atomic bool activity_wanted; /* somebody waits for it to do something */
    _Atomic pid_t tid;
    timer_t activity_timer; /* counts the thread's CPU time; has_timer: it was made */
    bool has_timer;
    _Atomic uint64_t exits[VMM_VCPU_EXIT_REASONS];
    _Atomic int64_t first_run_ns;

    GMutex lock; /* the rest */
    GCond changed;
    State state;
    bool sample_ready;
    bool sample_ok;
    VmmVcpuSample sample;
};

/*
 * Sent to our own threads only, and nobody else sends it at all. Not a real-time signal: those are queued,
 * and the host refuses to queue more than RLIMIT_SIGPENDING of them for a user.
 */
#define KICK_SIGNAL SIGSTKFLT

static void
kick (VmmVcpu *vcpu)
{
    __atomic_store_n (&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    if (atomic_load (&vcpu->in_guest))
        pthread_kill (vcpu->thread, KICK_SIGNAL);
}

static void
set_state (VmmVcpu *vcpu, State state)
{
    g_mutex_lock (&vcpu->lock);
    vcpu->state = state;
    g_cond_broadcast (&vcpu->changed);
    g_mutex_unlock (&vcpu->lock);
}

static void
end_with_report (VmmVcpu *vcpu, VmmArchExit how, const char *why, const struct kvm_run *run)
{
    GString *report = g_string_new (NULL);

    g_string_append_printf (report, "vCPU %u: %s\n", vcpu->index, why);
    vmm_arch_vcpu_report (vcpu->arch, vcpu->fd, run, report);
    vcpu->events.ended (vcpu->events.machine, vcpu->index, how, g_string_free (report, FALSE));
}

static void
tell_activity (VmmVcpu *vcpu)
{
    if (atomic_exchange (&vcpu->activity_wanted, false))
        vcpu->events.active (vcpu->events.machine);
}

/* False when the vCPU cannot go on. */
static bool
handle_exit (VmmVcpu *vcpu)
{
    unsigned reason = MIN (vcpu->run->exit_reason, VMM_VCPU_EXIT_REASONS - 1);
    VmmArchExit how;
    g_autofree char *why = NULL;

    /* One writer: no need for an atomic addition. */
    atomic_store_explicit (&vcpu->exits[reason],
                           atomic_load_explicit (&vcpu->exits[reason], memory_order_relaxed) + 1,
                           memory_order_relaxed);
    if (atomic_load_explicit (&vcpu->activity_wanted, memory_order_relaxed))
        tell_activity (vcpu);
    how = vmm_arch_vcpu_handle_exit (vcpu->arch, vcpu->run);
    if (how == VMM_ARCH_EXIT_HANDLED)
        return true;
    if (how == VMM_ARCH_EXIT_UNKNOWN)
        why = g_strdup_printf ("exit %u (%s), which vmm cannot go on from", vcpu->run->exit_reason,
                               vmm_vcpu_exit_reason_name (vcpu->run->exit_reason));
    end_with_report (vcpu, how, why != NULL ? why : vmm_vcpu_exit_reason_name (vcpu->run->exit_reason),
                     vcpu->run);
    return false;
}

/*
 * KVM finishes the access of the last exit at the next entry; a vCPU at rest must have none half done. An
 * instruction may have several (a string of port accesses, a wide one of MMIO), and each is an exit of its
 * own. False when the vCPU cannot go on.
 */
static bool
finish_exit (VmmVcpu *vcpu)
{
    for (;;) {
        __atomic_store_n (&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
        /* What has failed otherwise fails again when the guest is to go on, and is told then. */
        if (ioctl (vcpu->fd, KVM_RUN, 0) < 0)
            return true;
        if (!handle_exit (vcpu))
            return false;
    }
}

static void
serve_sample (VmmVcpu *vcpu)
{
    VmmVcpuSample sample;
    bool ok = vmm_arch_vcpu_sample (vcpu->fd, &sample);

    atomic_fetch_and (&vcpu->requests, ~(unsigned)REQUEST_SAMPLE);
    g_mutex_lock (&vcpu->lock);
    vcpu->sample_ok = ok;
    if (ok)
        vcpu->sample = sample;
    vcpu->sample_ready = true;
    g_cond_broadcast (&vcpu->changed);
    g_mutex_unlock (&vcpu->lock);
}

/* False when the vCPU cannot go on. */
static bool
serve_pause (VmmVcpu *vcpu)
{
    if (!finish_exit (vcpu))
        return false;
    g_mutex_lock (&vcpu->lock);
    vcpu->state = STATE_PAUSED;
    g_cond_broadcast (&vcpu->changed);
    while ((atomic_load (&vcpu->requests) & (REQUEST_PAUSE | REQUEST_STOP | REQUEST_SAMPLE)) == REQUEST_PAUSE)
        g_cond_wait (&vcpu->changed, &vcpu->lock);
    vcpu->state = STATE_RUNNING;
    g_mutex_unlock (&vcpu->lock);
    return true;
}

/* False when the thread is to end. */
static bool
serve_requests (VmmVcpu *vcpu)
{
    for (;;) {
        unsigned requests = atomic_load (&vcpu->requests);

        if (requests & REQUEST_STOP)
            return false;
        if (requests & REQUEST_SAMPLE)
            serve_sample (vcpu);
        else if ((requests & REQUEST_PAUSE) == 0)
            return true;
        else if (!serve_pause (vcpu))
            return false;
    }
}

static void
drop_kick_signal (void)
{
    struct timespec none = {0};
    sigset_t set;

    sigemptyset (&set);
    sigaddset (&set, KICK_SIGNAL);
    while (sigtimedwait (&set, NULL, &none) > 0)
        ;
}

/* False when the vCPU cannot go on. */
static bool
enter_guest (VmmVcpu *vcpu)
{
    g_autofree char *why = NULL;
    int result;
    int error;

    atomic_store (&vcpu->in_guest, true);
    result = ioctl (vcpu->fd, KVM_RUN, 0);
    error = errno;
    atomic_store (&vcpu->in_guest, false);
    if (result >= 0)
        return handle_exit (vcpu);
    if (error == EINTR || error == EAGAIN) {
        drop_kick_signal ();
        /* The signal may be that of the timer. */
        if (atomic_load (&vcpu->activity_wanted) && atomic_load (&vcpu->requests) == 0)
            tell_activity (vcpu);
        return true;
    }
    why = g_strdup_printf ("KVM_RUN failed: %s", g_strerror (error));
    end_with_report (vcpu, VMM_ARCH_EXIT_HOST_ERROR, why, NULL);
    return false;
}

static void *
vcpu_main (void *data)
{
    VmmVcpu *vcpu = data;

    atomic_store (&vcpu->first_run_ns, vmm_now_ns ());
    atomic_store (&vcpu->tid, gettid ());
    for (;;) {
        __atomic_store_n (&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
        if (atomic_load (&vcpu->requests) != 0 && !serve_requests (vcpu))
            break;
        /* A request that was served left the mark of its kick, or of finish_exit(). */
        if (__atomic_load_n (&vcpu->run->immediate_exit, __ATOMIC_SEQ_CST) != 0)
            continue;
        if (!enter_guest (vcpu))
            break;
    }
    set_state (vcpu, STATE_STOPPED);
    return NULL;
}

/**
 * vmm_vcpu_new:
 * @kvm: the VM; outlives the vCPU
 * @arch: what makes it a CPU of its kind; outlives the vCPU
 * @index: from 0
 * @events: whom to tell; copied
 * @error: return location
 *
 * Returns: (transfer full) (nullable): a vCPU that does not run yet; NULL with %VMM_ERROR_HOST
 */
VmmVcpu *
vmm_vcpu_new (VmmKvm *kvm, VmmArchVm *arch, unsigned index, const VmmVcpuEvents *events, GError **error)
{
    g_autoptr (VmmVcpu) vcpu = g_new0 (VmmVcpu, 1);

    vcpu->index = index;
    vcpu->arch = arch;
    vcpu->events = *events;
    vcpu->run_size = vmm_kvm_run_size (kvm);
    g_mutex_init (&vcpu->lock);
    g_cond_init (&vcpu->changed);
    vcpu->fd = vmm_arch_vcpu_new (arch, index, error);
    if (vcpu->fd < 0)
        return NULL;
    vcpu->run = mmap (NULL, vcpu->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
    if (vcpu->run == MAP_FAILED) {
        vcpu->run = NULL;
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "KVM: cannot map vCPU %u: %s", index,
                     g_strerror (errno));
        return NULL;
    }
    return g_steal_pointer (&vcpu);
}

/**
 * vmm_vcpu_free:
 * @vcpu: (nullable): stopped and joined, or never started
 */
void
vmm_vcpu_free (VmmVcpu *vcpu)
{
    if (vcpu == NULL)
        return;
    if (vcpu->joinable) {
        vmm_vcpu_request_stop (vcpu);
        vmm_vcpu_join (vcpu);
    }
    if (vcpu->has_timer)
        timer_delete (vcpu->activity_timer);
    if (vcpu->run != NULL)
        munmap (vcpu->run, vcpu->run_size);
    if (vcpu->fd >= 0)
        close (vcpu->fd);
    g_cond_clear (&vcpu->changed);
    g_mutex_clear (&vcpu->lock);
    g_free (vcpu);
}

/* In KVM_RUN everything is blocked but the kick: the program's signals are for its own threads. */
static bool
set_kvm_signal_mask (VmmVcpu *vcpu, GError **error)
{
    struct {
        struct kvm_signal_mask header;
        uint8_t set[KERNEL_SIGSET_SIZE];
    } mask = {.header.len = KERNEL_SIGSET_SIZE};
    unsigned bit = KICK_SIGNAL - 1;

    memset (mask.header.sigset, 0xff, KERNEL_SIGSET_SIZE);
    mask.header.sigset[bit / 8] &= (uint8_t) ~(1u << (bit % 8));
    return vmm_kvm_ioctl (vcpu->fd, KVM_SET_SIGNAL_MASK, &mask, "KVM_SET_SIGNAL_MASK", error);
}

/**
 * vmm_vcpu_start:
 *
 * Starts the thread; the guest runs.
 *
 * Returns: false with %VMM_ERROR_HOST when the host has no thread left
 */
bool
vmm_vcpu_start (VmmVcpu *vcpu, GError **error)
{
    pthread_attr_t attr;
    sigset_t all;
    sigset_t old;
    char name[16];
    int failed;

    if (!set_kvm_signal_mask (vcpu, error))
        return false;
    vcpu->state = STATE_RUNNING;
    pthread_attr_init (&attr);
    pthread_attr_setstacksize (&attr, STACK_SIZE);
    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, &old);
    failed = pthread_create (&vcpu->thread, &attr, vcpu_main, vcpu);
    pthread_sigmask (SIG_SETMASK, &old, NULL);
    pthread_attr_destroy (&attr);
    if (failed != 0) {
        vcpu->state = STATE_NEW;
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "cannot start the thread of vCPU %u: %s", vcpu->index,
                     g_strerror (failed));
        return false;
    }
    vcpu->joinable = true;
    g_snprintf (name, sizeof name, "vcpu%u", vcpu->index);
    pthread_setname_np (vcpu->thread, name);
    return true;
}

static void
request (VmmVcpu *vcpu, unsigned bit)
{
    atomic_fetch_or (&vcpu->requests, bit);
    if (!vcpu->joinable)
        return;
    kick (vcpu);
    /* It may be waiting in a pause. */
    g_mutex_lock (&vcpu->lock);
    g_cond_broadcast (&vcpu->changed);
    g_mutex_unlock (&vcpu->lock);
}

/**
 * vmm_vcpu_request_stop:
 *
 * Any thread, also the vCPU's own: the thread ends as soon as it is out of the guest.
 */
void
vmm_vcpu_request_stop (VmmVcpu *vcpu)
{
    request (vcpu, REQUEST_STOP);
}

/**
 * vmm_vcpu_join:
 *
 * Waits for the end of the thread, after vmm_vcpu_request_stop(). Not on a vCPU's thread.
 */
void
vmm_vcpu_join (VmmVcpu *vcpu)
{
    if (!vcpu->joinable)
        return;
    pthread_join (vcpu->thread, NULL);
    vcpu->joinable = false;
}

/**
 * vmm_vcpu_request_pause:
 *
 * Asks the vCPU to leave the guest and wait; vmm_vcpu_wait_paused() says when it does. Not on a vCPU's
 * thread.
 */
void
vmm_vcpu_request_pause (VmmVcpu *vcpu)
{
    request (vcpu, REQUEST_PAUSE);
}

/**
 * vmm_vcpu_wait_paused:
 *
 * Waits until the vCPU is at rest, with no access half done: in a pause, or ended.
 */
void
vmm_vcpu_wait_paused (VmmVcpu *vcpu)
{
    g_mutex_lock (&vcpu->lock);
    while (vcpu->state == STATE_RUNNING)
        g_cond_wait (&vcpu->changed, &vcpu->lock);
    g_mutex_unlock (&vcpu->lock);
}

/**
 * vmm_vcpu_resume:
 *
 * Ends a pause.
 */
void
vmm_vcpu_resume (VmmVcpu *vcpu)
{
    atomic_fetch_and (&vcpu->requests, ~(unsigned)REQUEST_PAUSE);
    g_mutex_lock (&vcpu->lock);
    g_cond_broadcast (&vcpu->changed);
    g_mutex_unlock (&vcpu->lock);
}

/**
 * vmm_vcpu_request_sample:
 *
 * Asks the vCPU to say where it is; vmm_vcpu_wait_sample() takes the answer.
 */
void
vmm_vcpu_request_sample (VmmVcpu *vcpu)
{
    g_mutex_lock (&vcpu->lock);
    vcpu->sample_ready = false;
    g_mutex_unlock (&vcpu->lock);
    request (vcpu, REQUEST_SAMPLE);
}

/**
 * vmm_vcpu_wait_sample:
 * @deadline_us: in the time of g_get_monotonic_time()
 * @ret_sample: (out): where the vCPU is
 *
 * Returns: false when the vCPU has ended or does not answer in time
 */
bool
vmm_vcpu_wait_sample (VmmVcpu *vcpu, int64_t deadline_us, VmmVcpuSample *ret_sample)
{
    bool ok;

    g_mutex_lock (&vcpu->lock);
    while (!vcpu->sample_ready && vcpu->state != STATE_STOPPED && vcpu->state != STATE_NEW) {
        if (!g_cond_wait_until (&vcpu->changed, &vcpu->lock, deadline_us))
            break;
    }
    ok = vcpu->sample_ready && vcpu->sample_ok;
    if (ok)
        *ret_sample = vcpu->sample;
    g_mutex_unlock (&vcpu->lock);
    return ok;
}

static bool
make_activity_timer (VmmVcpu *vcpu)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = KICK_SIGNAL};
    clockid_t clock;

    /* The C library's name of this field came after Debian 12. */
    event._sigev_un._tid = atomic_load (&vcpu->tid);
    if (event._sigev_un._tid == 0 || pthread_getcpuclockid (vcpu->thread, &clock) != 0)
        return false;
    vcpu->has_timer = timer_create (clock, &event, &vcpu->activity_timer) == 0;
    return vcpu->has_timer;
}

/**
 * vmm_vcpu_tell_activity:
 * @cpu_ns: how much CPU time is activity
 *
 * Lets the vCPU's active event come, once: when it has run for @cpu_ns from now on, or makes an exit to vmm.
 * An idle vCPU costs nothing meanwhile: the kernel counts. One thread at a time, while the vCPU runs.
 *
 * Returns: false when the host has no timer for it
 */
bool
vmm_vcpu_tell_activity (VmmVcpu *vcpu, int64_t cpu_ns)
{
    struct itimerspec spec = {.it_value.tv_nsec = (long)cpu_ns};

    if (!vcpu->has_timer && !make_activity_timer (vcpu))
        return false;
    atomic_store (&vcpu->activity_wanted, true);
    return timer_settime (vcpu->activity_timer, 0, &spec, NULL) == 0;
}

/**
 * vmm_vcpu_stopped_at:
 * @ret_sample: (out): where it is
 *
 * While the vCPU does not run.
 *
 * Returns: false when KVM does not say
 */
bool
vmm_vcpu_stopped_at (const VmmVcpu *vcpu, VmmVcpuSample *ret_sample)
{
    return vmm_arch_vcpu_sample (vcpu->fd, ret_sample);
}

/**
 * vmm_vcpu_exits:
 * @reason: a KVM_EXIT number below %VMM_VCPU_EXIT_REASONS
 *
 * Any thread.
 *
 * Returns: how often the vCPU came back for that reason
 */
uint64_t
vmm_vcpu_exits (const VmmVcpu *vcpu, unsigned reason)
{
    return atomic_load_explicit (&vcpu->exits[reason], memory_order_relaxed);
}

/**
 * vmm_vcpu_total_exits:
 *
 * Any thread.
 *
 * Returns: how often the vCPU came back for any reason of the guest's
 */
uint64_t
vmm_vcpu_total_exits (const VmmVcpu *vcpu)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < VMM_VCPU_EXIT_REASONS; i++)
        total += vmm_vcpu_exits (vcpu, i);
    return total;
}

/**
 * vmm_vcpu_time:
 * @ret_time: (out): how long its thread has run, and how long it waited for a CPU of the host
 *
 * Any thread.
 *
 * Returns: false when it has not begun or is over, or the host does not tell; @ret_time is then as it was
 */
bool
vmm_vcpu_time (const VmmVcpu *vcpu, VmmVcpuTime *ret_time)
{
    pid_t tid = atomic_load (&vcpu->tid);

    return tid != 0 && vmm_thread_time (tid, &ret_time->ran_ns, &ret_time->waited_ns);
}

/**
 * vmm_vcpu_first_run_ns:
 *
 * Returns: CLOCK_MONOTONIC when the thread first entered the guest, 0 before
 */
int64_t
vmm_vcpu_first_run_ns (const VmmVcpu *vcpu)
{
    return atomic_load (&vcpu->first_run_ns);
}
