/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * KVM has to be shown where the guest's RAM is (KVM_SET_USER_MEMORY_REGION). With hardware page tables that
 * takes no time, whatever the size. A KVM without them makes an array with an entry for each page, which
 * takes a millisecond for each few GiB, and a guest that is done in less should not wait for it.
 *
 * So the start of RAM is shown first, and the time is taken. Where the rest will take no longer than nobody
 * notices, it follows at once. Elsewhere a thread shows it while the guest starts. Should the guest be there
 * first, KVM takes its access for MMIO and hands it to vmm, where it waits for the thread and is done on the
 * RAM itself.
 */
#include "vmm/memory-slots.h"

#include <pthread.h>
#include <signal.h>

#include "vmm/error.h"

/* A start may take that much longer. */
#define PATIENCE_US 200

struct _VmmMemorySlots {
    VmmKvm *kvm;
    VmmGuestMemory *memory;
    VmmMemorySlotsFailed failed;
    void *user;
    pthread_t thread;
    bool joinable;
    GMutex lock;
    GCond changed;
    bool done; /* read without the lock, too */
};

/* The early part of the first region, or all that is not early. */
static bool
show_region (VmmMemorySlots *slots, size_t index, bool early_part, GError **error)
{
    VmmMemRegion part = *vmm_guest_memory_region (slots->memory, index);
    uint64_t early = index == 0 ? MIN (part.size, VMM_MEMORY_SLOTS_EARLY) : 0;

    if (early_part) {
        part.size = early;
    } else {
        part.gpa += early;
        part.host += early;
        part.fd_offset += early;
        part.size -= early;
    }
    return part.size == 0 || vmm_kvm_add_memory (slots->kvm, &part, error);
}

static bool
show_rest (VmmMemorySlots *slots, GError **error)
{
    bool ok = true;

    for (size_t i = 0; ok && i < vmm_guest_memory_n_regions (slots->memory); i++)
        ok = show_region (slots, i, false, error);
    g_mutex_lock (&slots->lock);
    __atomic_store_n (&slots->done, true, __ATOMIC_RELEASE);
    g_cond_broadcast (&slots->changed);
    g_mutex_unlock (&slots->lock);
    return ok;
}

static void *
thread_main (void *data)
{
    VmmMemorySlots *slots = data;
    g_autoptr (GError) error = NULL;

    if (!show_rest (slots, &error))
        slots->failed (slots->user, g_strdup (error->message));
    return NULL;
}

/**
 * vmm_memory_slots_new:
 * @kvm: a VM without memory; outlives the result
 * @memory: the guest's RAM; outlives the result
 * @failed: told when KVM refuses what is shown later
 * @user: what @failed gets
 *
 * Shows the first %VMM_MEMORY_SLOTS_EARLY bytes to KVM, and the rest if that is quick.
 *
 * Returns: (transfer full) (nullable): NULL with %VMM_ERROR_HOST when KVM refuses
 */
VmmMemorySlots *
vmm_memory_slots_new (VmmKvm *kvm, VmmGuestMemory *memory, VmmMemorySlotsFailed failed, void *user,
                      GError **error)
{
    g_autoptr (VmmMemorySlots) slots = g_new0 (VmmMemorySlots, 1);
    uint64_t size = vmm_guest_memory_size (memory);
    int64_t start = g_get_monotonic_time ();
    uint64_t rest;

    slots->kvm = kvm;
    slots->memory = memory;
    slots->failed = failed;
    slots->user = user;
    g_mutex_init (&slots->lock);
    g_cond_init (&slots->changed);
    if (!show_region (slots, 0, true, error))
        return NULL;
    rest = size - MIN (size, VMM_MEMORY_SLOTS_EARLY);
    if ((uint64_t)(g_get_monotonic_time () - start) * (rest / VMM_MEMORY_SLOTS_EARLY + 1) <= PATIENCE_US ||
        rest == 0) {
        if (!show_rest (slots, error))
            return NULL;
    }
    return g_steal_pointer (&slots);
}

/**
 * vmm_memory_slots_show_rest:
 *
 * Shows what KVM does not know yet, on a thread. Once.
 */
void
vmm_memory_slots_show_rest (VmmMemorySlots *slots)
{
    sigset_t all;
    sigset_t old;

    if (slots->done)
        return;
    /* The program's signals are for its own threads. */
    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, &old);
    slots->joinable = pthread_create (&slots->thread, NULL, thread_main, slots) == 0;
    pthread_sigmask (SIG_SETMASK, &old, NULL);
    if (!slots->joinable)
        thread_main (slots);
}

/**
 * vmm_memory_slots_wait:
 *
 * Any thread: returns when KVM knows all memory, or has refused it.
 */
void
vmm_memory_slots_wait (VmmMemorySlots *slots)
{
    if (__atomic_load_n (&slots->done, __ATOMIC_ACQUIRE))
        return;
    g_mutex_lock (&slots->lock);
    while (!slots->done)
        g_cond_wait (&slots->changed, &slots->lock);
    g_mutex_unlock (&slots->lock);
}

/**
 * vmm_memory_slots_free:
 * @slots: (nullable): no vCPU runs any more
 */
void
vmm_memory_slots_free (VmmMemorySlots *slots)
{
    if (slots == NULL)
        return;
    if (slots->joinable)
        pthread_join (slots->thread, NULL);
    g_cond_clear (&slots->changed);
    g_mutex_clear (&slots->lock);
    g_free (slots);
}
