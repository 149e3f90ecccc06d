/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * MSI-X (PCI 3.0 section 6.8.2): a table in a BAR holds a message for each vector. A vector that is masked,
 * by itself or with the whole function, notes its message as pending and sends it when it is unmasked. A
 * message is a write to memory, so it waits in the same way while the function must not do that (Bus Master
 * Enable, section 6.2.2).
 *
 * Messages go to the sink by its send function: one system call, KVM_SIGNAL_MSI. An irqfd would take one as
 * well, a write, and besides a change of KVM's routing table whenever the guest touches a vector, which waits
 * for a grace period of the host's kernel; a stock guest changes each of its vectors several times while it
 * boots. irqfds are for those who raise interrupts without us: see msix-call.c.
 *
 * Locks: one mutex guards the table and is held while a message is sent, so that after a guest has masked a
 * vector and read it back none is on its way (section 6.8.3.5). The function's own lock is never held here.
 */
#include "devices/pci/msix-internal.h"

#include <string.h>

#define CONTROL_OFFSET 2u
#define TABLE_OFFSET 4u
#define PENDING_OFFSET 8u
#define CAPABILITY_SIZE 12u
#define CONTROL_FUNCTION_MASK 0x4000u
#define CONTROL_ENABLE 0x8000u
/**
 * vmm_pci_msix_new:
 * @function: gets the capability; outlives the result
 * @n_vectors: 1 to %VMM_PCI_MSIX_VECTORS_MAX
 * @place: where the device will let the guest reach it
 * @sink: where messages go; copied
 *
 * Returns: (transfer full) (nullable): NULL with %VMM_ERROR_HOST when the function has no room
 */
VmmPciMsix *
vmm_pci_msix_new (VmmPciFunction *function, unsigned n_vectors, const VmmPciMsixPlace *place,
                  const VmmMsiSink *sink, GError **error)
{
    g_autoptr (VmmPciMsix) msix = g_new0 (VmmPciMsix, 1);

    g_mutex_init (&msix->lock);
    msix->function = function;
    msix->n_vectors = MIN (n_vectors, VMM_PCI_MSIX_VECTORS_MAX);
    msix->sink = *sink;
    msix->entries = g_new0 (VmmPciMsixEntry, msix->n_vectors);
    msix->calls = g_ptr_array_new ();
    if (!vmm_pci_function_add_capability (function, VMM_PCI_CAPABILITY_MSIX, CAPABILITY_SIZE,
                                          &msix->capability, error))
        return NULL;
    vmm_pci_function_put (function, msix->capability + CONTROL_OFFSET, 2, msix->n_vectors - 1);
    vmm_pci_function_set_writable (function, msix->capability + CONTROL_OFFSET, 2,
                                   CONTROL_ENABLE | CONTROL_FUNCTION_MASK);
    vmm_pci_function_put (function, msix->capability + TABLE_OFFSET, 4, place->table | place->bar);
    vmm_pci_function_put (function, msix->capability + PENDING_OFFSET, 4, place->pending | place->bar);
    vmm_pci_msix_reset (msix);
    return g_steal_pointer (&msix);
}

/**
 * vmm_pci_msix_free:
 * @msix: (nullable): no thread uses it any more
 */
void
vmm_pci_msix_free (VmmPciMsix *msix)
{
    if (msix == NULL)
        return;
    g_mutex_clear (&msix->lock);
    g_ptr_array_unref (msix->calls);
    g_free (msix->entries);
    g_free (msix);
}

/**
 * vmm_pci_msix_may_send_locked:
 * @vector: one that there is
 *
 * Returns: whether its message goes out at once
 */
bool
vmm_pci_msix_may_send_locked (const VmmPciMsix *msix, unsigned vector)
{
    return msix->enabled && !msix->masked && msix->bus_master &&
           (msix->entries[vector].control & VMM_PCI_MSIX_ENTRY_MASKED) == 0;
}

static uint64_t
pending_bit (unsigned vector)
{
    return UINT64_C (1) << (vector % 64);
}

static void
send_pending_locked (VmmPciMsix *msix, unsigned vector)
{
    if ((msix->pending[vector / 64] & pending_bit (vector)) == 0 ||
        !vmm_pci_msix_may_send_locked (msix, vector))
        return;
    msix->pending[vector / 64] &= ~pending_bit (vector);
    vmm_irq_send_msi (&msix->sink, msix->entries[vector].address, msix->entries[vector].data);
}

/**
 * vmm_pci_msix_raise:
 * @vector: what is no vector is not raised
 *
 * Any thread.
 *
 * Returns: false when MSI-X is off, and the device has its pin to use
 */
bool
vmm_pci_msix_raise (VmmPciMsix *msix, unsigned vector)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&msix->lock);

    if (!msix->enabled)
        return false;
    if (vector < msix->n_vectors) {
        msix->pending[vector / 64] |= pending_bit (vector);
        send_pending_locked (msix, vector);
    }
    return true;
}

/**
 * vmm_pci_msix_is_enabled:
 *
 * Returns: whether the guest has switched MSI-X on
 */
bool
vmm_pci_msix_is_enabled (const VmmPciMsix *msix)
{
    return __atomic_load_n (&msix->enabled, __ATOMIC_RELAXED);
}

/* Accesses are aligned ones of 4 or 8 bytes (section 6.8.2). */
static bool
access_is_good (uint64_t offset, unsigned size, uint64_t end)
{
    return (size == 4 || size == 8) && offset % size == 0 && offset < end;
}

static uint32_t
get_word (const VmmPciMsixEntry *entry, unsigned word)
{
    if (word < 2)
        return (uint32_t)(entry->address >> (32 * word));
    return word == 2 ? entry->data : entry->control;
}

static void
put_word (VmmPciMsixEntry *entry, unsigned word, uint32_t value)
{
    if (word < 2)
        entry->address = (entry->address & ~(UINT64_C (0xffffffff) << (32 * word))) | (uint64_t)value
                                                                                          << (32 * word);
    else if (word == 2)
        entry->data = value;
    else
        entry->control = value & VMM_PCI_MSIX_ENTRY_MASKED;
}

/**
 * vmm_pci_msix_table_read:
 *
 * Returns: what is there; all ones for an access that the table does not know
 */
uint64_t
vmm_pci_msix_table_read (VmmPciMsix *msix, uint64_t offset, unsigned size)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&msix->lock);
    const VmmPciMsixEntry *entry;
    unsigned word = (unsigned)(offset % VMM_PCI_MSIX_ENTRY_SIZE / 4);

    if (!access_is_good (offset, size, (uint64_t)msix->n_vectors * VMM_PCI_MSIX_ENTRY_SIZE))
        return UINT64_MAX;
    entry = &msix->entries[offset / VMM_PCI_MSIX_ENTRY_SIZE];
    return get_word (entry, word) | (size == 8 ? (uint64_t)get_word (entry, word + 1) << 32 : 0);
}

/**
 * vmm_pci_msix_table_write:
 *
 * Changes a vector; what it had pending is sent when it is unmasked by that.
 */
void
vmm_pci_msix_table_write (VmmPciMsix *msix, uint64_t offset, unsigned size, uint64_t value)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&msix->lock);
    unsigned vector = (unsigned)(offset / VMM_PCI_MSIX_ENTRY_SIZE);
    unsigned word = (unsigned)(offset % VMM_PCI_MSIX_ENTRY_SIZE / 4);

    if (!access_is_good (offset, size, (uint64_t)msix->n_vectors * VMM_PCI_MSIX_ENTRY_SIZE))
        return;
    put_word (&msix->entries[vector], word, (uint32_t)value);
    if (size == 8)
        put_word (&msix->entries[vector], word + 1, (uint32_t)(value >> 32));
    send_pending_locked (msix, vector);
    vmm_pci_msix_calls_follow_locked (msix, vector);
}

/**
 * vmm_pci_msix_pending_read:
 *
 * Returns: pending bits; all ones for an access that the array does not know
 */
uint64_t
vmm_pci_msix_pending_read (VmmPciMsix *msix, uint64_t offset, unsigned size)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&msix->lock);

    if (!access_is_good (offset, size, (msix->n_vectors + 63) / 64 * 8))
        return UINT64_MAX;
    return msix->pending[offset / 8] >> (8 * (offset % 8));
}

/* Takes the function's bits over. They are read here, so that of two writes at once the one that counts is
 * the last one. */
static void
update_control_locked (VmmPciMsix *msix)
{
    uint32_t control = vmm_pci_function_get (msix->function, msix->capability + CONTROL_OFFSET, 2);
    uint32_t command = vmm_pci_function_get (msix->function, VMM_PCI_COMMAND, 2);

    __atomic_store_n (&msix->enabled, (control & CONTROL_ENABLE) != 0, __ATOMIC_RELAXED);
    msix->masked = (control & CONTROL_FUNCTION_MASK) != 0;
    msix->bus_master = (command & VMM_PCI_COMMAND_BUS_MASTER) != 0;
    for (unsigned i = 0; i < msix->n_vectors; i++)
        send_pending_locked (msix, i);
    vmm_pci_msix_calls_follow_locked (msix, VMM_PCI_MSIX_ALL);
}

/**
 * vmm_pci_msix_config_written:
 *
 * For the function's config_written: the guest wrote [@offset, @offset + @size).
 */
void
vmm_pci_msix_config_written (VmmPciMsix *msix, unsigned offset, unsigned size)
{
    unsigned control = msix->capability + CONTROL_OFFSET;

    if (!vmm_pci_writes_register (offset, size, control) &&
        !vmm_pci_writes_register (offset, size, VMM_PCI_COMMAND))
        return;
    g_mutex_lock (&msix->lock);
    update_control_locked (msix);
    g_mutex_unlock (&msix->lock);
}

/**
 * vmm_pci_msix_reset:
 *
 * Off, and all vectors masked. The function's registers are its own to reset.
 */
void
vmm_pci_msix_reset (VmmPciMsix *msix)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&msix->lock);

    __atomic_store_n (&msix->enabled, false, __ATOMIC_RELAXED);
    msix->masked = false;
    msix->bus_master = false;
    memset (msix->pending, 0, sizeof msix->pending);
    for (unsigned i = 0; i < msix->n_vectors; i++)
        msix->entries[i] = (VmmPciMsixEntry){.control = VMM_PCI_MSIX_ENTRY_MASKED};
    vmm_pci_msix_calls_follow_locked (msix, VMM_PCI_MSIX_ALL);
}

/**
 * vmm_pci_msix_save:
 * @writer: inside the device's section
 */
void
vmm_pci_msix_save (VmmPciMsix *msix, VmmStateWriter *writer)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&msix->lock);

    vmm_state_put_u16 (writer, (uint16_t)msix->n_vectors);
    for (unsigned i = 0; i < msix->n_vectors; i++) {
        vmm_state_put_u64 (writer, msix->entries[i].address);
        vmm_state_put_u32 (writer, msix->entries[i].data);
        vmm_state_put_u32 (writer, msix->entries[i].control);
        vmm_state_put_bool (writer, (msix->pending[i / 64] & pending_bit (i)) != 0);
    }
}

/**
 * vmm_pci_msix_load:
 * @reader: inside the device's section, after the function was loaded; hostile
 *
 * Returns: false for what cannot be
 */
bool
vmm_pci_msix_load (VmmPciMsix *msix, VmmStateReader *reader)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&msix->lock);
    uint16_t n;

    if (!vmm_state_get_u16 (reader, &n) || n != msix->n_vectors)
        return false;
    memset (msix->pending, 0, sizeof msix->pending);
    for (unsigned i = 0; i < n; i++) {
        VmmPciMsixEntry *entry = &msix->entries[i];
        bool pending;

        if (!vmm_state_get_u64 (reader, &entry->address) || !vmm_state_get_u32 (reader, &entry->data) ||
            !vmm_state_get_u32 (reader, &entry->control) || !vmm_state_get_bool (reader, &pending) ||
            (entry->control & ~VMM_PCI_MSIX_ENTRY_MASKED) != 0)
            return false;
        if (pending)
            msix->pending[i / 64] |= pending_bit (i);
    }
    update_control_locked (msix);
    return true;
}
