/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM's GSI routing table (KVM API section 4.52) and who is in it:
 *
 * - pins of our own I/O APIC, where that is ours: those that are level-triggered, for KVM tells us the end
 * only of interrupts that it finds here (KVM_CAP_SPLIT_IRQCHIP);
 * - the pins of KVM's chips, where they are KVM's: the table that KVM begins with, which ours replaces as a
 * whole, is repeated in it;
 * - messages that are raised by eventfds without us (section 4.75, KVM_IRQFD), with numbers above all pins.
 *
 * Each change of the table costs a grace period of the host's kernel, so that none is made which changes
 * nothing, and a route that is disconnected stays in the table until its number is used again.
 */
#include "vmm/arch/x86_64/irq-routes.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include "vmm/arch/x86_64/layout.h"

#define PINS VMM_X86_IOAPIC_PINS
#define PIC_PINS 8u
/* Enough for a vector of each queue of each device; KVM's own limit may be lower. */
#define MESSAGES_MAX 2048u

struct _VmmX86IrqRoutes {
    int vm_fd;
    unsigned max;      /* messages */
    GMutex lock;       /* the rest */
    GByteArray *table; /* struct kvm_irq_routing with its entries */
    GByteArray *used;  /* of messages: whether the number is somebody's */
};

/**
 * vmm_x86_msi_address:
 * @address: of a message, as a guest writes it
 *
 * Bits 14:8 of an extended destination lie in bits 11:5 of a message's address (KVM_FEATURE_MSI_EXT_DEST_ID);
 * KVM wants them in the upper half (KVM_CAP_X2APIC_API). Where no vCPU has such an id they are 0.
 *
 * Returns: the address as KVM takes it
 */
uint64_t
vmm_x86_msi_address (uint64_t address)
{
    const uint64_t extended = 0xfe0;

    return (address & ~extended) | (address & extended) << 35;
}

static struct kvm_irq_routing *
header (VmmX86IrqRoutes *routes)
{
    return (struct kvm_irq_routing *)routes->table->data;
}

/* The table's index of the message of @gsi, or its end. */
static unsigned
find_locked (VmmX86IrqRoutes *routes, unsigned gsi)
{
    const struct kvm_irq_routing *table = header (routes);
    unsigned i = 0;

    while (i < table->nr && (table->entries[i].gsi != gsi || table->entries[i].type != KVM_IRQ_ROUTING_MSI))
        i++;
    return i;
}

static void
append_locked (VmmX86IrqRoutes *routes, const struct kvm_irq_routing_entry *entry)
{
    g_byte_array_append (routes->table, (const uint8_t *)entry, sizeof *entry);
    header (routes)->nr++;
}

static void
remove_locked (VmmX86IrqRoutes *routes, unsigned index)
{
    struct kvm_irq_routing *table = header (routes);

    table->entries[index] = table->entries[--table->nr];
    g_byte_array_set_size (routes->table,
                           (guint)(sizeof *table + (size_t)table->nr * sizeof table->entries[0]));
}

static bool
tell_locked (VmmX86IrqRoutes *routes)
{
    return ioctl (routes->vm_fd, KVM_SET_GSI_ROUTING, header (routes)) == 0;
}

static bool
set_locked (VmmX86IrqRoutes *routes, unsigned gsi, uint64_t address, uint32_t data)
{
    struct kvm_irq_routing_entry entry = {
        .gsi = gsi,
        .type = KVM_IRQ_ROUTING_MSI,
        .u.msi = {.address_lo = (uint32_t)vmm_x86_msi_address (address),
                  .address_hi = (uint32_t)(vmm_x86_msi_address (address) >> 32),
                  .data = data},
    };
    unsigned i = find_locked (routes, gsi);

    if (i == header (routes)->nr)
        append_locked (routes, &entry);
    else if (memcmp (&header (routes)->entries[i], &entry, sizeof entry) == 0)
        return true;
    else
        header (routes)->entries[i] = entry;
    if (tell_locked (routes))
        return true;
    /* KVM has the old table; the entry must not look as if it were in there. */
    remove_locked (routes, i);
    return false;
}

/**
 * vmm_x86_irq_routes_set_pin:
 * @pin: below VMM_X86_IOAPIC_PINS
 * @address: of its message
 * @data: of its message
 *
 * For our own I/O APIC; any thread.
 */
void
vmm_x86_irq_routes_set_pin (VmmX86IrqRoutes *routes, unsigned pin, uint64_t address, uint32_t data)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&routes->lock);

    set_locked (routes, pin, address, data);
}

/**
 * vmm_x86_irq_routes_drop_pin:
 * @pin: one that KVM need not know, or no longer
 *
 * For our own I/O APIC; any thread.
 */
void
vmm_x86_irq_routes_drop_pin (VmmX86IrqRoutes *routes, unsigned pin)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&routes->lock);
    unsigned i = find_locked (routes, pin);

    if (i == header (routes)->nr)
        return;
    remove_locked (routes, i);
    tell_locked (routes);
}

static int
msi_open (void *chip)
{
    VmmX86IrqRoutes *routes = chip;
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&routes->lock);
    const uint8_t yes = 1;
    guint i = 0;

    while (i < routes->used->len && routes->used->data[i] != 0)
        i++;
    if (i == routes->max)
        return -1;
    if (i == routes->used->len)
        g_byte_array_append (routes->used, &yes, 1);
    routes->used->data[i] = 1;
    return (int)(PINS + i);
}

static bool
set_irqfd (const VmmX86IrqRoutes *routes, int gsi, int fd, uint32_t flags)
{
    struct kvm_irqfd irqfd = {.fd = (uint32_t)fd, .gsi = (uint32_t)gsi, .flags = flags};

    return ioctl (routes->vm_fd, KVM_IRQFD, &irqfd) == 0;
}

static bool
msi_connect (void *chip, int route, int fd, uint64_t address, uint32_t data)
{
    VmmX86IrqRoutes *routes = chip;
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&routes->lock);
    eventfd_t waiting;

    if (!set_locked (routes, (unsigned)route, address, data) || !set_irqfd (routes, route, fd, 0))
        return false;
    /* KVM has sent what waited in it, and left it there; later it takes what it sends. */
    eventfd_read (fd, &waiting);
    return true;
}

static void
msi_disconnect (void *chip, int route, int fd)
{
    set_irqfd (chip, route, fd, KVM_IRQFD_FLAG_DEASSIGN);
}

static void
msi_close (void *chip, int route)
{
    VmmX86IrqRoutes *routes = chip;
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&routes->lock);

    routes->used->data[(unsigned)route - PINS] = 0;
}

/**
 * vmm_x86_irq_routes_msi:
 *
 * Returns: who connects eventfds, valid as long as @routes
 */
VmmMsiRoutes
vmm_x86_irq_routes_msi (VmmX86IrqRoutes *routes)
{
    return (VmmMsiRoutes){msi_open, msi_connect, msi_disconnect, msi_close, routes};
}

/* KVM's first table: each pin of the I/O APIC, and of the two PICs. */
static void
append_kernel_pins (VmmX86IrqRoutes *routes)
{
    for (unsigned pin = 0; pin < PINS; pin++) {
        struct kvm_irq_routing_entry entry = {
            .gsi = pin,
            .type = KVM_IRQ_ROUTING_IRQCHIP,
            .u.irqchip = {.irqchip = KVM_IRQCHIP_IOAPIC, .pin = pin},
        };

        append_locked (routes, &entry);
        if (pin >= 2 * PIC_PINS)
            continue;
        entry.u.irqchip.irqchip = pin < PIC_PINS ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE;
        entry.u.irqchip.pin = pin % PIC_PINS;
        append_locked (routes, &entry);
    }
}

/**
 * vmm_x86_irq_routes_new:
 * @kvm: outlives the result; it has its interrupt controllers
 * @kind: whose pins they are
 *
 * Returns: (transfer full): the table, which KVM has not been told yet
 */
VmmX86IrqRoutes *
vmm_x86_irq_routes_new (VmmKvm *kvm, VmmIrqchip kind)
{
    const struct kvm_irq_routing empty = {0};
    VmmX86IrqRoutes *routes = g_new0 (VmmX86IrqRoutes, 1);
    int gsis = vmm_kvm_check (kvm, KVM_CAP_IRQ_ROUTING);

    routes->vm_fd = vmm_kvm_vm_fd (kvm);
    /* The table's length is limited, and the PICs' pins are in it, too. */
    routes->max = (unsigned)CLAMP (gsis - (int)(PINS + 2 * PIC_PINS), 0, (int)MESSAGES_MAX);
    if (vmm_kvm_check (kvm, KVM_CAP_IRQFD) <= 0)
        routes->max = 0;
    g_mutex_init (&routes->lock);
    routes->used = g_byte_array_new ();
    routes->table = g_byte_array_new ();
    g_byte_array_append (routes->table, (const uint8_t *)&empty, sizeof empty);
    if (kind == VMM_IRQCHIP_KERNEL)
        append_kernel_pins (routes);
    return routes;
}

/**
 * vmm_x86_irq_routes_free:
 * @routes: (nullable): nobody uses it any more
 */
void
vmm_x86_irq_routes_free (VmmX86IrqRoutes *routes)
{
    if (routes == NULL)
        return;
    g_byte_array_unref (routes->table);
    g_byte_array_unref (routes->used);
    g_mutex_clear (&routes->lock);
    g_free (routes);
}
