/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Eventfds that KVM turns into messages, on /dev/kvm: a vCPU that never runs shows in its local APIC's
 * request register what has arrived.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/arch/x86_64/irqchip.h"
#include "vmm/core/bytes.h"

#define ADDRESS UINT64_C (0xfee00000)
#define LAPIC_SPURIOUS 0xf0u
#define LAPIC_REQUESTS 0x200u

typedef struct {
    int kvm_fd;
    VmmKvm *kvm;
    VmmX86Irqchip *irqchip;
    VmmMsiRoutes routes;
    int vcpu;
    int fd;
} Rig;

static Rig
set_up (VmmIrqchip kind)
{
    Rig rig = {.kvm_fd = open ("/dev/kvm", O_RDWR | O_CLOEXEC)};
    struct kvm_lapic_state lapic;

    if (rig.kvm_fd < 0)
        cr_skip_test ("needs /dev/kvm");
    rig.kvm = vmm_kvm_new (rig.kvm_fd, NULL);
    if (rig.kvm == NULL || vmm_kvm_check (rig.kvm, KVM_CAP_IRQFD) <= 0)
        cr_skip_test ("needs a KVM with irqfd");
    rig.irqchip = vmm_x86_irqchip_new (rig.kvm, kind, NULL);
    cr_assert_not_null (rig.irqchip);
    rig.routes = vmm_x86_irqchip_msi_routes (rig.irqchip);
    rig.vcpu = vmm_kvm_create_vcpu (rig.kvm, 0, NULL);
    cr_assert_geq (rig.vcpu, 0);
    cr_assert_eq (ioctl (rig.vcpu, KVM_GET_LAPIC, &lapic), 0);
    vmm_put_u32 ((uint8_t *)lapic.regs + LAPIC_SPURIOUS, 0x1ff);
    cr_assert_eq (ioctl (rig.vcpu, KVM_SET_LAPIC, &lapic), 0);
    rig.fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    return rig;
}

static void
tear_down (Rig *rig)
{
    close (rig->fd);
    close (rig->vcpu);
    vmm_x86_irqchip_free (rig->irqchip);
    vmm_kvm_free (rig->kvm);
    close (rig->kvm_fd);
}

static bool
arrived (const Rig *rig, uint8_t vector)
{
    struct kvm_lapic_state lapic;

    cr_assert_eq (ioctl (rig->vcpu, KVM_GET_LAPIC, &lapic), 0);
    return (vmm_get_u32 ((uint8_t *)lapic.regs + LAPIC_REQUESTS + vector / 32 * 0x10) >> vector % 32 & 1) !=
           0;
}

static bool
arrives (const Rig *rig, uint8_t vector)
{
    gint64 end = g_get_monotonic_time () + 10 * G_USEC_PER_SEC;

    while (!arrived (rig, vector) && g_get_monotonic_time () < end)
        g_usleep (100);
    return arrived (rig, vector);
}

static void
check (VmmIrqchip kind)
{
    Rig rig = set_up (kind);
    void *chip = rig.routes.chip;
    int route = rig.routes.open (chip), other;
    eventfd_t waiting;

    cr_assert_geq (route, 24, "no pin's number");
    cr_assert (rig.routes.connect (chip, route, rig.fd, ADDRESS, 0x41));
    eventfd_write (rig.fd, 1);
    cr_assert (arrives (&rig, 0x41));
    /* Disconnected: it stays in the eventfd, and is sent with the message of the next connection. */
    rig.routes.disconnect (chip, route, rig.fd);
    eventfd_read (rig.fd, &waiting);
    eventfd_write (rig.fd, 1);
    g_usleep (20000);
    cr_assert_not (arrived (&rig, 0x52));
    cr_assert (rig.routes.connect (chip, route, rig.fd, ADDRESS, 0x52));
    cr_assert (arrives (&rig, 0x52));
    cr_assert_lt (eventfd_read (rig.fd, &waiting), 0, "nothing is left to be sent twice");
    eventfd_write (rig.fd, 1);
    /* Others have numbers of their own, and one that is free is used again. */
    other = rig.routes.open (chip);
    cr_assert_neq (other, route);
    rig.routes.disconnect (chip, route, rig.fd);
    rig.routes.close (chip, route);
    cr_assert_eq (rig.routes.open (chip), route);
    tear_down (&rig);
}

Test (irq_routes, eventfds_become_messages_with_our_ioapic, .timeout = 60)
{
    check (VMM_IRQCHIP_SPLIT);
}

Test (irq_routes, eventfds_become_messages_with_the_chips_of_kvm, .timeout = 60)
{
    check (VMM_IRQCHIP_KERNEL);
}

/* KVM's table was replaced: its own pins must be in the new one. */
Test (irq_routes, pins_still_work_with_the_chips_of_kvm, .timeout = 60)
{
    const unsigned pins[] = {4, 20};
    Rig rig = set_up (VMM_IRQCHIP_KERNEL);
    int route = rig.routes.open (rig.routes.chip);

    cr_assert (rig.routes.connect (rig.routes.chip, route, rig.fd, ADDRESS, 0x41));
    for (size_t i = 0; i < G_N_ELEMENTS (pins); i++) {
        VmmIrqLine line = vmm_x86_irqchip_line (rig.irqchip, pins[i]);
        struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_IOAPIC};

        cr_assert_eq (ioctl (vmm_kvm_vm_fd (rig.kvm), KVM_GET_IRQCHIP, &chip), 0);
        chip.chip.ioapic.redirtbl[pins[i]].bits = 0x60 + i;
        cr_assert_eq (ioctl (vmm_kvm_vm_fd (rig.kvm), KVM_SET_IRQCHIP, &chip), 0);
        vmm_irq_line_set (&line, true);
        cr_assert (arrives (&rig, (uint8_t)(0x60 + i)), "pin %u", pins[i]);
    }
    rig.routes.disconnect (rig.routes.chip, route, rig.fd);
    tear_down (&rig);
}
