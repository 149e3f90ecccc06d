/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kick. vCPU threads run a KVM that is made here: it behaves as the real one towards immediate_exit and
 * signals, and its guests sleep now and then until they are kicked, for ever if need be. One thread pauses,
 * resumes and samples them, another asks for samples at the same time, and at the end they are stopped. A
 * kick that is lost leaves everybody waiting, and the alarm ends the test. An access may come in two exits,
 * and the second of them in the entry that only finishes the first; none may be dropped.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/vcpu.h"

#define N_VCPUS 3u
#define N_ROUNDS 1500u
#define RUN_SIZE 4096u
#define SLEEP_EACH 500u
#define TOO_LONG_S 60

static atomic_uint n_sleeps;
static atomic_uint n_exits;
static atomic_uint n_handled;
static atomic_uint n_at_rest; /* accesses of a vCPU that is at rest */

/* One page per vCPU, which stands for its descriptor too. */
int
vmm_arch_vcpu_new (VmmArchVm *arch, unsigned index, GError **error)
{
    int fd = memfd_create ("vcpu", MFD_CLOEXEC);

    return ftruncate (fd, RUN_SIZE) == 0 ? fd : -1;
}

size_t
vmm_kvm_run_size (const VmmKvm *kvm)
{
    return RUN_SIZE;
}

bool
vmm_kvm_ioctl (int fd, unsigned long request, void *arg, const char *what, GError **error)
{
    return true;
}

VmmArchExit
vmm_arch_vcpu_handle_exit (VmmArchVm *arch, struct kvm_run *run)
{
    atomic_fetch_add (&n_handled, 1);
    return VMM_ARCH_EXIT_HANDLED;
}

bool
vmm_arch_vcpu_sample (int fd, VmmVcpuSample *ret_sample)
{
    memset (ret_sample, 0, sizeof *ret_sample);
    ret_sample->pc = (uint64_t)fd;
    return true;
}

void
vmm_arch_vcpu_report (VmmArchVm *arch, int fd, const struct kvm_run *run, GString *report)
{
}

int __wrap_ioctl (int fd, unsigned long request, ...);

/* KVM_RUN. The guest does some I/O, and then sleeps. */
int
__wrap_ioctl (int fd, unsigned long request, ...)
{
    static _Thread_local struct kvm_run *run;
    static _Thread_local unsigned entries;
    static _Thread_local bool half_done;
    sigset_t kick;

    if (run == NULL)
        run = mmap (NULL, RUN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (half_done) {
        half_done = false;
        atomic_fetch_add (&n_exits, 1);
        return 0;
    }
    if (__atomic_load_n (&run->immediate_exit, __ATOMIC_SEQ_CST)) {
        errno = EINTR;
        return -1;
    }
    if (++entries % SLEEP_EACH != 0) {
        run->exit_reason = KVM_EXIT_IO;
        half_done = true;
        atomic_fetch_add (&n_exits, 1);
        return 0;
    }
    atomic_fetch_add (&n_sleeps, 1);
    sigemptyset (&kick);
    sigaddset (&kick, SIGSTKFLT);
    sigwaitinfo (&kick, NULL);
    errno = EINTR;
    return -1;
}

static void
on_ended (void *machine, unsigned index, VmmArchExit how, char *report)
{
    atomic_fetch_add (&n_at_rest, 1);
    g_free (report);
}

typedef struct {
    VmmVcpu *vcpus[N_VCPUS];
    atomic_bool stop;
} World;

static bool
sample_all (World *w)
{
    bool ok = true;

    for (unsigned i = 0; i < N_VCPUS; i++)
        vmm_vcpu_request_sample (w->vcpus[i]);
    for (unsigned i = 0; i < N_VCPUS; i++) {
        VmmVcpuSample sample = {0};

        ok = vmm_vcpu_wait_sample (w->vcpus[i], g_get_monotonic_time () + TOO_LONG_S * G_USEC_PER_SEC,
                                   &sample) &&
             sample.pc > 0 && ok;
    }
    return ok;
}

/* As vmm_machine_stop() from any thread reads the counters and kicks at any moment. */
static void *
observer_main (void *data)
{
    World *w = data;

    while (!atomic_load (&w->stop)) {
        for (unsigned i = 0; i < N_VCPUS; i++) {
            (void)vmm_vcpu_total_exits (w->vcpus[i]);
            (void)vmm_vcpu_first_run_ns (w->vcpus[i]);
        }
        usleep (50);
    }
    for (unsigned i = 0; i < N_VCPUS; i++)
        vmm_vcpu_request_stop (w->vcpus[i]);
    return NULL;
}

static bool
pause_all (World *w)
{
    uint64_t before[N_VCPUS];
    bool ok = true;

    for (unsigned i = 0; i < N_VCPUS; i++)
        vmm_vcpu_request_pause (w->vcpus[i]);
    for (unsigned i = 0; i < N_VCPUS; i++)
        vmm_vcpu_wait_paused (w->vcpus[i]);
    for (unsigned i = 0; i < N_VCPUS; i++)
        before[i] = vmm_vcpu_total_exits (w->vcpus[i]);
    ok = sample_all (w);
    for (unsigned i = 0; i < N_VCPUS; i++)
        ok = ok && vmm_vcpu_total_exits (w->vcpus[i]) == before[i];
    for (unsigned i = 0; i < N_VCPUS; i++)
        vmm_vcpu_resume (w->vcpus[i]);
    return ok;
}

int
main (void)
{
    VmmVcpuEvents events = {on_ended, NULL, NULL};
    World w = {0};
    pthread_t observer;
    bool ok = true;

    alarm (TOO_LONG_S);
    for (unsigned i = 0; i < N_VCPUS; i++)
        w.vcpus[i] = vmm_vcpu_new (NULL, NULL, i, &events, NULL);
    for (unsigned i = 0; i < N_VCPUS; i++)
        ok = vmm_vcpu_start (w.vcpus[i], NULL) && ok;
    pthread_create (&observer, NULL, observer_main, &w);
    for (unsigned round = 0; ok && round < N_ROUNDS; round++)
        ok = round % 3 == 0 ? pause_all (&w) : sample_all (&w);
    atomic_store (&w.stop, true);
    pthread_join (observer, NULL);
    for (unsigned i = 0; i < N_VCPUS; i++) {
        vmm_vcpu_join (w.vcpus[i]);
        vmm_vcpu_free (w.vcpus[i]);
    }
    if (atomic_load (&n_exits) != atomic_load (&n_handled)) {
        fprintf (stderr, "of %u exits %u were looked at\n", atomic_load (&n_exits), atomic_load (&n_handled));
        return 1;
    }
    if (!ok || atomic_load (&n_sleeps) == 0 || atomic_load (&n_at_rest) != 0) {
        fprintf (stderr, "a vCPU did not answer or ran while it was paused; %u sleeps, %u ended\n",
                 atomic_load (&n_sleeps), atomic_load (&n_at_rest));
        return 1;
    }
    return 0;
}
