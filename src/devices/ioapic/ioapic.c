/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * An I/O APIC turns the level of an input pin into interrupt messages for local APICs. Each pin has a 64-bit
 * redirection entry that the guest writes: vector, delivery mode, destination, trigger mode, mask. This one
 * lives in our process and the local APICs live in KVM (KVM_CAP_SPLIT_IRQCHIP, KVM API section 7.5), so every
 * message leaves as an MSI, whose address and data carry the same fields as the entry.
 *
 * Edge pins: each change from inactive to active sends one message. A change while the pin is masked is
 * lost, as the 82093AA datasheet says (section 3.2.4, bit 16).
 *
 * Level pins: a message is sent when the line is active, the pin is unmasked and Remote IRR is clear; that
 * sets Remote IRR. The guest's EOI for the vector clears it, and the message goes out again when the line is
 * still active. The EOI comes from KVM (exit KVM_EXIT_IOAPIC_EOI) or, by a guest that suppresses EOI
 * broadcasts, through the EOI register, which version 0x20 has. KVM makes that exit only for vectors that it
 * finds in MSI routes with the trigger bit set, and that is what routes_changed is for. A guest that rewrites
 * an entry as edge-triggered clears Remote IRR; kernels use this as an EOI for a single pin.
 *
 * NMI, SMI, INIT and ExtINT have no EOI and so count as edge-triggered whatever the entry says. The reserved
 * delivery modes (3 and 6) deliver nothing.
 *
 * Polarity: the lines of VmmIrqLine are logical, true meaning asserted, since a device does not know how its
 * pin is wired. The polarity bit is therefore kept for the guest to read back and has no effect.
 *
 * Locks: one mutex guards all state. msi.send and routes_changed are called with it held, so that the guest's
 * writes, the messages and the routes have one order. They may take locks of their own, but must not call
 * this I/O APIC, nor wait for a thread that may be inside it. A device may call vmm_ioapic_set_irq() with its
 * own lock held: nothing here calls a device.
 *
 * Reference: Intel 82093AA datasheet (290566-001); the EOI register and version 0x20 are in the I/O
 * Controller Hub datasheets (ICH9, section 13.5).
 */
#include "devices/ioapic/ioapic.h"

#include <string.h>

/* Offsets of the memory-mapped registers (82093AA section 3.1, ICH9 section 13.5.1). */
enum {
    MMIO_IOREGSEL = 0x00,
    MMIO_IOWIN = 0x10,
    MMIO_EOIR = 0x40,
};

/* Registers behind IOREGSEL (82093AA section 3.2). */
enum {
    REG_ID = 0x00,
    REG_VERSION = 0x01,
    REG_ARBITRATION = 0x02,
    REG_REDIRECTION = 0x10,
};

#define VERSION 0x20u
#define ID_SHIFT 24
#define ID_MAX 0x0fu

/* Fields of a redirection entry (82093AA section 3.2.4). */
#define RTE_VECTOR 0xffull
#define RTE_DELIVERY_SHIFT 8
#define RTE_DEST_LOGICAL (1ull << 11)
#define RTE_REMOTE_IRR (1ull << 14)
#define RTE_LEVEL (1ull << 15)
#define RTE_MASKED (1ull << 16)
/* Bits 63:56 are the destination, 55:49 its extension (see pin_message()). */
#define RTE_DEST_SHIFT 49
#define RTE_DEST_MASK 0x7fffull
/* Not in it: Remote IRR, delivery status (bit 12), which is always idle here, and reserved bits. */
#define RTE_WRITABLE 0xfffe00000001afffull

/* Fields of a message (SDM volume 3A, section 11.11). */
#define MSI_ADDRESS_BASE 0xfee00000ull
#define MSI_ADDRESS_LOGICAL (1ull << 2)
#define MSI_ADDRESS_DEST_SHIFT 5
#define MSI_DATA_ASSERT (1u << 14)
#define MSI_DATA_LEVEL (1u << 15)

enum {
    DELIVERY_FIXED = 0,
    DELIVERY_LOWEST = 1,
    DELIVERY_RESERVED_3 = 3,
    DELIVERY_RESERVED_6 = 6,
};

typedef struct {
    uint64_t address;
    uint32_t data;
    bool masked;
} Message;

typedef struct {
    uint64_t entry;
    Message reported; /* the route as the machine last heard of it */
    bool line;
} Pin;

struct _VmmIoapic {
    GMutex lock;
    VmmMsiSink msi;
    VmmIoapicRoutesChanged routes_changed;
    void *routes_user;
    uint8_t select;
    uint8_t id;
    unsigned n_pins;
    Pin pins[];
};

static unsigned
entry_delivery (uint64_t entry)
{
    return (entry >> RTE_DELIVERY_SHIFT) & 7;
}

/* Only what ends with an EOI can be level-triggered. */
static bool
entry_is_level (uint64_t entry)
{
    return (entry & RTE_LEVEL) != 0 && entry_delivery (entry) <= DELIVERY_LOWEST;
}

/*
 * The message of a redirection entry. Entry bits 63:49 become address bits 19:5: in both places the low seven
 * are bits 14:8 of the APIC id, as guests put them that see KVM_FEATURE_MSI_EXT_DEST_ID.
 */
static Message
entry_message (uint64_t entry)
{
    unsigned delivery = entry_delivery (entry);
    uint64_t dest = (entry >> RTE_DEST_SHIFT) & RTE_DEST_MASK;
    Message message = {
        .address = MSI_ADDRESS_BASE | dest << MSI_ADDRESS_DEST_SHIFT,
        .data = (uint32_t)(entry & RTE_VECTOR) | delivery << 8,
        .masked =
            (entry & RTE_MASKED) != 0 || delivery == DELIVERY_RESERVED_3 || delivery == DELIVERY_RESERVED_6,
    };

    if (entry & RTE_DEST_LOGICAL)
        message.address |= MSI_ADDRESS_LOGICAL;
    if (entry_is_level (entry))
        message.data |= MSI_DATA_LEVEL | MSI_DATA_ASSERT;
    return message;
}

static void
pin_send_locked (VmmIoapic *ioapic, const Pin *pin)
{
    Message message = entry_message (pin->entry);

    if (!message.masked)
        vmm_irq_send_msi (&ioapic->msi, message.address, message.data);
}

/* Sends a level pin's message when it is due. */
static void
pin_service_level_locked (VmmIoapic *ioapic, Pin *pin)
{
    if (!pin->line || !entry_is_level (pin->entry) || (pin->entry & (RTE_MASKED | RTE_REMOTE_IRR)) != 0)
        return;
    pin->entry |= RTE_REMOTE_IRR;
    pin_send_locked (ioapic, pin);
}

/*
 * Tells the machine about a new route. What a masked pin would send does not matter, and not reporting it
 * saves most of the routing updates of a guest that sets up its entries in 32-bit halves.
 */
static void
pin_report_locked (VmmIoapic *ioapic, unsigned index)
{
    Pin *pin = &ioapic->pins[index];
    Message message = entry_message (pin->entry);
    bool same_message = message.address == pin->reported.address && message.data == pin->reported.data;

    if (pin->entry & RTE_REMOTE_IRR)
        message.masked = false;
    if (message.masked == pin->reported.masked && (message.masked || same_message))
        return;
    pin->reported = message;
    if (ioapic->routes_changed != NULL)
        ioapic->routes_changed (ioapic->routes_user, index, message.address, message.data, message.masked);
}

/* Replaces an entry's writable bits; the route is reported before the first message that it is needed for. */
static void
pin_write_locked (VmmIoapic *ioapic, unsigned index, uint64_t entry)
{
    Pin *pin = &ioapic->pins[index];

    pin->entry = (entry & RTE_WRITABLE) | (pin->entry & RTE_REMOTE_IRR);
    if (!entry_is_level (pin->entry))
        pin->entry &= ~RTE_REMOTE_IRR;
    pin_report_locked (ioapic, index);
    pin_service_level_locked (ioapic, pin);
}

static void
eoi_locked (VmmIoapic *ioapic, uint8_t vector)
{
    for (unsigned i = 0; i < ioapic->n_pins; i++) {
        Pin *pin = &ioapic->pins[i];

        if ((pin->entry & RTE_REMOTE_IRR) == 0 || (pin->entry & RTE_VECTOR) != vector)
            continue;
        pin->entry &= ~RTE_REMOTE_IRR;
        pin_report_locked (ioapic, i);
        pin_service_level_locked (ioapic, pin);
    }
}

/* Finds the redirection entry that IOREGSEL selects; false when it selects none. */
static bool
selected_pin_locked (const VmmIoapic *ioapic, unsigned *ret_index, unsigned *ret_shift)
{
    unsigned reg = ioapic->select;

    if (reg < REG_REDIRECTION || (reg - REG_REDIRECTION) / 2 >= ioapic->n_pins)
        return false;
    *ret_index = (reg - REG_REDIRECTION) / 2;
    *ret_shift = (reg & 1) * 32;
    return true;
}

static uint32_t
window_read_locked (const VmmIoapic *ioapic)
{
    unsigned index, shift;

    switch (ioapic->select) {
    case REG_ID:
    case REG_ARBITRATION:
        return (uint32_t)ioapic->id << ID_SHIFT;
    case REG_VERSION:
        return VERSION | (ioapic->n_pins - 1) << 16;
    default:
        if (!selected_pin_locked (ioapic, &index, &shift))
            return UINT32_MAX;
        return (uint32_t)(ioapic->pins[index].entry >> shift);
    }
}

static void
window_write_locked (VmmIoapic *ioapic, uint32_t value)
{
    unsigned index, shift;
    uint64_t entry;

    if (ioapic->select == REG_ID) {
        ioapic->id = (value >> ID_SHIFT) & ID_MAX;
    } else if (selected_pin_locked (ioapic, &index, &shift)) {
        entry = ioapic->pins[index].entry & ~((uint64_t)UINT32_MAX << shift);
        pin_write_locked (ioapic, index, entry | (uint64_t)value << shift);
    }
}

/* IOREGSEL holds one byte, so any width up to 32 bits reaches it; the window is a 32-bit register (section
 * 3). */
static uint64_t
ioapic_read (void *device, uint64_t offset, unsigned size)
{
    VmmIoapic *ioapic = device;
    g_autoptr (GMutexLocker) G_GNUC_UNUSED locker = g_mutex_locker_new (&ioapic->lock);

    if (offset == MMIO_IOREGSEL && size <= 4)
        return ioapic->select;
    if (offset == MMIO_IOWIN && size == 4)
        return window_read_locked (ioapic);
    return UINT64_MAX;
}

static void
ioapic_write (void *device, uint64_t offset, unsigned size, uint64_t value)
{
    VmmIoapic *ioapic = device;
    g_autoptr (GMutexLocker) G_GNUC_UNUSED locker = g_mutex_locker_new (&ioapic->lock);

    if (offset == MMIO_IOREGSEL && size <= 4)
        ioapic->select = (uint8_t)value;
    else if (offset == MMIO_IOWIN && size == 4)
        window_write_locked (ioapic, (uint32_t)value);
    else if (offset == MMIO_EOIR && size <= 4)
        eoi_locked (ioapic, (uint8_t)value);
}

/**
 * vmm_ioapic_bus_ops:
 *
 * The registers as a VmmBusOps device of %VMM_IOAPIC_MMIO_SIZE bytes. Accesses of a width that a register
 * does not take, and accesses beside the registers, read all ones and write nothing.
 */
const VmmBusOps vmm_ioapic_bus_ops = {
    .read = ioapic_read,
    .write = ioapic_write,
};

/**
 * vmm_ioapic_set_irq:
 * @ioapic: the #VmmIoapic
 * @gsi: the input pin; one that does not exist is ignored
 * @level: whether the line is asserted, whatever the pin's polarity bit says
 *
 * Drives an input, in the shape of VmmIrqLine.set. Any thread; calls VmmMsiSink.send.
 */
void
vmm_ioapic_set_irq (void *ioapic, unsigned gsi, bool level)
{
    VmmIoapic *self = ioapic;
    g_autoptr (GMutexLocker) G_GNUC_UNUSED locker = g_mutex_locker_new (&self->lock);
    Pin *pin;
    bool rising;

    if (gsi >= self->n_pins)
        return;
    pin = &self->pins[gsi];
    rising = level && !pin->line;
    pin->line = level;
    if (entry_is_level (pin->entry))
        pin_service_level_locked (self, pin);
    else if (rising)
        pin_send_locked (self, pin);
}

/**
 * vmm_ioapic_eoi:
 * @ioapic: an I/O APIC
 * @vector: the vector that a local APIC has finished
 *
 * Ends a level-triggered interrupt, and sends it again when its line is still asserted. To be called for each
 * KVM_EXIT_IOAPIC_EOI; a vector that no pin has in service does nothing. Any thread.
 */
void
vmm_ioapic_eoi (VmmIoapic *ioapic, uint8_t vector)
{
    g_autoptr (GMutexLocker) G_GNUC_UNUSED locker = g_mutex_locker_new (&ioapic->lock);

    eoi_locked (ioapic, vector);
}

/**
 * vmm_ioapic_new:
 * @pins: inputs, 1 to %VMM_IOAPIC_PINS_MAX; a PC has %VMM_IOAPIC_PINS
 * @msi: (nullable): takes the messages; copied. Called with the I/O APIC's lock held, see the top of this
 * file
 *
 * Makes an I/O APIC with every pin masked and every line inactive.
 *
 * Returns: (transfer full): the I/O APIC, or %NULL when @pins is out of range
 */
VmmIoapic *
vmm_ioapic_new (unsigned pins, const VmmMsiSink *msi)
{
    VmmIoapic *ioapic;

    if (pins == 0 || pins > VMM_IOAPIC_PINS_MAX)
        return NULL;
    ioapic = g_malloc0 (sizeof *ioapic + pins * sizeof ioapic->pins[0]);
    g_mutex_init (&ioapic->lock);
    if (msi != NULL)
        ioapic->msi = *msi;
    ioapic->n_pins = pins;
    for (unsigned i = 0; i < pins; i++) {
        ioapic->pins[i].entry = RTE_MASKED;
        ioapic->pins[i].reported = entry_message (RTE_MASKED);
    }
    return ioapic;
}

/**
 * vmm_ioapic_free:
 * @ioapic: (nullable) (transfer full): an I/O APIC that no thread uses any more
 */
void
vmm_ioapic_free (VmmIoapic *ioapic)
{
    if (ioapic == NULL)
        return;
    g_mutex_clear (&ioapic->lock);
    g_free (ioapic);
}

/**
 * vmm_ioapic_set_routes_changed:
 * @ioapic: an I/O APIC
 * @routes_changed: (nullable): called for each pin whose message changed
 * @user: its first argument
 *
 * Lets the machine keep KVM's GSI routing like the guest's entries: for irqfd on edge pins, and so that KVM
 * knows for which vectors of level pins it has to exit at EOI. The address has the layout that a guest uses
 * for its own MSIs: base 0xfee00000, destination bits 7:0 in address bits 19:12, bits 14:8 in address bits
 * 11:5 (KVM_FEATURE_MSI_EXT_DEST_ID); with KVM_CAP_X2APIC_API the caller moves the latter to bits 46:40. Data
 * bit 15 tells level pins.
 *
 * Each pin starts masked. A call comes when a pin is masked or unmasked and when an unmasked pin's message
 * changes, before any interrupt by the new route; changes of a masked pin are told when it is unmasked.
 * Masking a level pin with an interrupt in service is told at its EOI, not before: KVM needs the route until
 * then.
 *
 * The call is made with the I/O APIC's lock held, on the thread that did the change (a guest's access, an
 * EOI, a reset or a load): it must not call the I/O APIC. To be set before vCPUs run.
 */
void
vmm_ioapic_set_routes_changed (VmmIoapic *ioapic, VmmIoapicRoutesChanged routes_changed, void *user)
{
    g_autoptr (GMutexLocker) G_GNUC_UNUSED locker = g_mutex_locker_new (&ioapic->lock);

    ioapic->routes_changed = routes_changed;
    ioapic->routes_user = user;
}

/* Lines go inactive too: a device under reset drives nothing. */
static void
ioapic_reset (void *device)
{
    VmmIoapic *ioapic = device;
    g_autoptr (GMutexLocker) G_GNUC_UNUSED locker = g_mutex_locker_new (&ioapic->lock);

    ioapic->select = 0;
    ioapic->id = 0;
    for (unsigned i = 0; i < ioapic->n_pins; i++) {
        ioapic->pins[i].line = false;
        ioapic->pins[i].entry = RTE_MASKED;
        pin_report_locked (ioapic, i);
    }
}

static void
ioapic_save (void *device, VmmStateWriter *writer)
{
    VmmIoapic *ioapic = device;
    g_autoptr (GMutexLocker) G_GNUC_UNUSED locker = g_mutex_locker_new (&ioapic->lock);

    vmm_state_put_u8 (writer, ioapic->select);
    vmm_state_put_u8 (writer, ioapic->id);
    vmm_state_put_u8 (writer, (uint8_t)ioapic->n_pins);
    for (unsigned i = 0; i < ioapic->n_pins; i++) {
        vmm_state_put_u64 (writer, ioapic->pins[i].entry);
        vmm_state_put_bool (writer, ioapic->pins[i].line);
    }
}

/* Remote IRR on an edge pin could never be cleared, so no I/O APIC has that state. */
static bool
entry_is_possible (uint64_t entry)
{
    if ((entry & ~(RTE_WRITABLE | RTE_REMOTE_IRR)) != 0)
        return false;
    return (entry & RTE_REMOTE_IRR) == 0 || entry_is_level (entry);
}

/* Nothing is sent: what was in flight is in the saved local APICs. */
static bool
ioapic_load (void *device, VmmStateReader *reader, uint32_t version)
{
    VmmIoapic *ioapic = device;
    uint64_t entries[VMM_IOAPIC_PINS_MAX];
    bool lines[VMM_IOAPIC_PINS_MAX];
    g_autoptr (GMutexLocker) G_GNUC_UNUSED locker = g_mutex_locker_new (&ioapic->lock);
    uint8_t select, id, n_pins;

    if (version != 1 || !vmm_state_get_u8 (reader, &select) || !vmm_state_get_u8 (reader, &id) ||
        !vmm_state_get_u8 (reader, &n_pins) || id > ID_MAX || n_pins != ioapic->n_pins)
        return false;
    for (unsigned i = 0; i < n_pins; i++) {
        if (!vmm_state_get_u64 (reader, &entries[i]) || !vmm_state_get_bool (reader, &lines[i]) ||
            !entry_is_possible (entries[i]))
            return false;
    }
    ioapic->select = select;
    ioapic->id = id;
    for (unsigned i = 0; i < n_pins; i++) {
        ioapic->pins[i].entry = entries[i];
        ioapic->pins[i].line = lines[i];
        pin_report_locked (ioapic, i);
    }
    return true;
}

static void
ioapic_free (void *device)
{
    vmm_ioapic_free (device);
}

/**
 * vmm_ioapic_device_ops:
 *
 * Reset, save (section version 1), load and free of a #VmmIoapic. Reset and load report the routes that they
 * change.
 */
const VmmDeviceOps vmm_ioapic_device_ops = {
    .name = "ioapic",
    .reset = ioapic_reset,
    .save = ioapic_save,
    .load = ioapic_load,
    .free = ioapic_free,
};
