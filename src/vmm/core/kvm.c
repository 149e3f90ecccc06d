/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A thin hold on one KVM virtual machine: the descriptors, and the few calls that every architecture makes
 * (Documentation/virt/kvm/api.rst). What is particular to an architecture calls vmm_kvm_ioctl() itself.
 */
#include "vmm/core/kvm.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/error.h"

struct _VmmKvm {
    int kvm_fd; /* borrowed */
    int vm_fd;
    size_t run_size;
    uint32_t n_slots;
};

/**
 * vmm_kvm_ioctl:
 * @fd: of /dev/kvm, a VM or a vCPU
 * @request: a KVM ioctl whose result is 0 or an error
 * @arg: (nullable): its argument
 * @name: the request's name, for the message
 *
 * Any thread.
 *
 * Returns: false with %VMM_ERROR_HOST when KVM refuses
 */
bool
vmm_kvm_ioctl (int fd, unsigned long request, void *arg, const char *name, GError **error)
{
    if (ioctl (fd, request, arg) >= 0)
        return true;
    g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "KVM: %s failed: %s", name, g_strerror (errno));
    return false;
}

/**
 * vmm_kvm_new:
 * @kvm_fd: /dev/kvm, open for reading and writing; borrowed, outlives the result
 *
 * Makes a virtual machine.
 *
 * Returns: (transfer full) (nullable): NULL with %VMM_ERROR_HOST when this KVM cannot
 */
VmmKvm *
vmm_kvm_new (int kvm_fd, GError **error)
{
    g_autoptr (VmmKvm) kvm = g_new0 (VmmKvm, 1);
    int version = ioctl (kvm_fd, KVM_GET_API_VERSION, 0);
    int run_size;

    kvm->kvm_fd = kvm_fd;
    kvm->vm_fd = -1;
    if (version != KVM_API_VERSION) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST,
                     "/dev/kvm: it speaks version %d of the KVM API, vmm needs %d: is this really KVM?",
                     version, KVM_API_VERSION);
        return NULL;
    }
    /* EINTR: a signal may arrive while KVM waits for its own setup. */
    do
        kvm->vm_fd = ioctl (kvm_fd, KVM_CREATE_VM, 0);
    while (kvm->vm_fd < 0 && errno == EINTR);
    if (kvm->vm_fd < 0) {
        g_set_error (
            error, VMM_ERROR, VMM_ERROR_HOST, "KVM: cannot create a virtual machine: %s%s",
            g_strerror (errno),
            errno == EBUSY ? ": another hypervisor (VirtualBox, VMware) holds the CPU's virtualization" : "");
        return NULL;
    }
    run_size = ioctl (kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (run_size < (int)sizeof (struct kvm_run)) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "KVM: the shared vCPU page has %d bytes, too few",
                     run_size);
        return NULL;
    }
    kvm->run_size = (size_t)run_size;
    return g_steal_pointer (&kvm);
}

/**
 * vmm_kvm_free:
 * @kvm: (nullable): its vCPUs' descriptors are closed
 */
void
vmm_kvm_free (VmmKvm *kvm)
{
    if (kvm == NULL)
        return;
    if (kvm->vm_fd >= 0)
        close (kvm->vm_fd);
    g_free (kvm);
}

/**
 * vmm_kvm_fd:
 *
 * Returns: /dev/kvm, borrowed
 */
int
vmm_kvm_fd (const VmmKvm *kvm)
{
    return kvm->kvm_fd;
}

/**
 * vmm_kvm_vm_fd:
 *
 * Returns: the virtual machine, borrowed
 */
int
vmm_kvm_vm_fd (const VmmKvm *kvm)
{
    return kvm->vm_fd;
}

/**
 * vmm_kvm_check:
 * @cap: a KVM_CAP number
 *
 * Returns: what KVM_CHECK_EXTENSION says on the VM, 0 when it does not know @cap
 */
int
vmm_kvm_check (const VmmKvm *kvm, unsigned long cap)
{
    int value = ioctl (kvm->vm_fd, KVM_CHECK_EXTENSION, cap);

    return MAX (value, 0);
}

/**
 * vmm_kvm_enable:
 * @cap: a KVM_CAP number
 * @arg0: its first argument
 *
 * Returns: false with %VMM_ERROR_HOST when KVM does not enable it
 */
bool
vmm_kvm_enable (const VmmKvm *kvm, uint32_t cap, uint64_t arg0, GError **error)
{
    struct kvm_enable_cap enable = {.cap = cap, .args = {arg0}};

    if (ioctl (kvm->vm_fd, KVM_ENABLE_CAP, &enable) >= 0)
        return true;
    g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "KVM: capability %u cannot be enabled: %s", cap,
                 g_strerror (errno));
    return false;
}

/**
 * vmm_kvm_add_memory:
 * @region: RAM; stays mapped as long as the VM lives
 *
 * Shows the region to the guest. One thread at a time; vCPUs may run meanwhile.
 *
 * Returns: false with %VMM_ERROR_HOST when KVM refuses
 */
bool
vmm_kvm_add_memory (VmmKvm *kvm, const VmmMemRegion *region, GError **error)
{
    struct kvm_userspace_memory_region slot = {
        .slot = kvm->n_slots,
        .guest_phys_addr = region->gpa,
        .memory_size = region->size,
        .userspace_addr = (uintptr_t)region->host,
    };

    if (ioctl (kvm->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST,
                     "KVM: cannot give the guest %" G_GUINT64_FORMAT " MiB of memory: %s", region->size >> 20,
                     g_strerror (errno));
        return false;
    }
    kvm->n_slots++;
    return true;
}

static bool
set_doorbell (void *host, const VmmDoorbell *doorbell, bool on)
{
    const VmmKvm *kvm = host;
    struct kvm_ioeventfd request = {
        .addr = doorbell->gpa,
        .len = doorbell->size,
        .fd = doorbell->fd,
        .datamatch = doorbell->value,
        .flags =
            (doorbell->match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0u) | (on ? 0u : KVM_IOEVENTFD_FLAG_DEASSIGN),
    };

    return ioctl (kvm->vm_fd, KVM_IOEVENTFD, &request) == 0;
}

/**
 * vmm_kvm_doorbells:
 *
 * Returns: who connects doorbells, valid as long as @kvm
 */
VmmDoorbellHost
vmm_kvm_doorbells (VmmKvm *kvm)
{
    return (VmmDoorbellHost){set_doorbell, kvm};
}

/**
 * vmm_kvm_create_vcpu:
 * @id: on x86 the APIC id
 *
 * Returns: the vCPU's descriptor, owned by the caller; -1 with %VMM_ERROR_HOST
 */
int
vmm_kvm_create_vcpu (VmmKvm *kvm, unsigned id, GError **error)
{
    int fd = ioctl (kvm->vm_fd, KVM_CREATE_VCPU, (unsigned long)id);

    if (fd < 0)
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "KVM: cannot create a vCPU with id %u: %s", id,
                     g_strerror (errno));
    return fd;
}

/**
 * vmm_kvm_run_size:
 *
 * Returns: bytes of a vCPU's shared struct kvm_run with what follows it
 */
size_t
vmm_kvm_run_size (const VmmKvm *kvm)
{
    return kvm->run_size;
}
