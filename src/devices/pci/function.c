/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A PCI function is, to a guest, 4 KiB of configuration space (PCI 3.0 chapter 6, PCI Express 4.0
 * section 7.2). Here it is three arrays of that size: the bytes, which bits of each a guest may write, and
 * which of them it clears by writing 1. All else follows from the masks: a BAR answers the sizing protocol
 * (write all ones, read back) because its low bits are not writable, and saved state is the writable bits and
 * nothing more.
 *
 * The device on top (virtio, say) makes the function, declares BARs and capabilities, and hears by its hooks
 * what the guest did. Writable bits are zero at power-on; a device that wants others puts them in its reset.
 *
 * A BAR is mapped while the matching decode bit of the command register is set and the address is one that
 * the BAR can have: not 0, which is where BARs are before the guest assigns them, and not the top of the
 * address space, where the sizing protocol puts them for a moment.
 *
 * Locks: one mutex guards the bytes and the mapping. See VmmPciFunctionOps for which hooks run under it.
 */
#include "devices/pci/function.h"

#include <string.h>

#include "vmm/core/bytes.h"
#include "vmm/error.h"

#define BAR_IO_SPACE 0x1u
#define BAR_MEMORY_64_PREFETCHABLE 0xcu
#define FIRST_CAPABILITY 0x40u
#define HEADER_AREA 0x100u

/* I/O, memory, bus master, parity, SERR, INTx disable; parity and abort flags (PCI 3.0
 * sections 6.2.2, 6.2.3). */
#define COMMAND_WRITABLE 0x0547u
#define STATUS_WRITE_1_TO_CLEAR 0xf900u

typedef struct {
    uint64_t size; /* 0: there is none */
    uint64_t address;
    VmmPciBarKind kind;
    bool mapped; /* at address, as the device was last told */
} Bar;

struct _VmmPciFunction {
    char *name;
    const VmmPciFunctionOps *ops;
    void *device;
    unsigned next_capability; /* where the next one can be */
    unsigned last_pointer;    /* the register that ends the list */
    GMutex lock;
    Bar bars[VMM_PCI_N_BARS];
    uint8_t config[VMM_PCI_CONFIG_SIZE];
    uint8_t writable[VMM_PCI_CONFIG_SIZE];
    uint8_t clear[VMM_PCI_CONFIG_SIZE];
};

/* A register of 1, 2 or 4 bytes within one dword: there is no cycle for any other (PCI 3.0 section 3.2.2.3).
 */
static bool
access_is_possible (unsigned offset, unsigned size)
{
    return (size == 1 || size == 2 || size == 4) && offset < VMM_PCI_CONFIG_SIZE && (offset & 3) + size <= 4;
}

static uint32_t
bytes_get (const uint8_t *bytes, unsigned offset, unsigned size)
{
    uint32_t value = 0;

    memcpy (&value, bytes + offset, size);
    return value;
}

static void
bytes_put (uint8_t *bytes, unsigned offset, unsigned size, uint32_t mask, uint32_t value)
{
    uint32_t merged = (bytes_get (bytes, offset, size) & ~mask) | (value & mask);

    memcpy (bytes + offset, &merged, size);
}

static unsigned
bar_offset (unsigned index)
{
    return VMM_PCI_BAR0 + 4 * index;
}

/* Where the registers say that a BAR is; false when it is not decoded there. */
static bool
bar_decode_locked (const VmmPciFunction *function, unsigned index, uint64_t *ret_address)
{
    const Bar *bar = &function->bars[index];
    uint32_t command = bytes_get (function->config, VMM_PCI_COMMAND, 2);
    uint64_t low = bytes_get (function->config, bar_offset (index), 4);
    uint64_t limit = UINT32_MAX;
    uint64_t address = low & ~(bar->size - 1);

    if (bar->kind == VMM_PCI_BAR_IO)
        limit = UINT16_MAX;
    if (bar->kind == VMM_PCI_BAR_MEMORY64) {
        address |= (uint64_t)bytes_get (function->config, bar_offset (index + 1), 4) << 32;
        limit = UINT64_MAX;
    }
    if ((command & (bar->kind == VMM_PCI_BAR_IO ? VMM_PCI_COMMAND_IO : VMM_PCI_COMMAND_MEMORY)) == 0)
        return false;
    /* A BAR that ends at the limit is one that is being sized. */
    if (bar->size == 0 || address == 0 || address >= limit || bar->size > limit - address)
        return false;
    *ret_address = address;
    return true;
}

static void
bar_tell_locked (VmmPciFunction *function, unsigned index, bool mapped)
{
    function->bars[index].mapped = mapped;
    if (function->ops != NULL && function->ops->bar_changed != NULL)
        function->ops->bar_changed (function->device, index, function->bars[index].address, mapped);
}

/* Brings the mapping of the BARs into line with the registers; one may take the place that another leaves. */
static void
bars_update_locked (VmmPciFunction *function)
{
    uint64_t address;

    for (unsigned i = 0; i < VMM_PCI_N_BARS; i++) {
        Bar *bar = &function->bars[i];

        if (bar->mapped && !(bar_decode_locked (function, i, &address) && address == bar->address))
            bar_tell_locked (function, i, false);
    }
    for (unsigned i = 0; i < VMM_PCI_N_BARS; i++) {
        Bar *bar = &function->bars[i];

        if (!bar->mapped && bar_decode_locked (function, i, &address)) {
            bar->address = address;
            bar_tell_locked (function, i, true);
        }
    }
}

/**
 * vmm_pci_function_new:
 * @name: the device's name in messages; copied
 * @identity: its registers of identity
 * @ops: (nullable): hooks, which outlive the function
 * @device: what the hooks get
 *
 * Makes a function with a type 0 header, without BARs and capabilities.
 *
 * Returns: (transfer full): the function
 */
VmmPciFunction *
vmm_pci_function_new (const char *name, const VmmPciIdentity *identity, const VmmPciFunctionOps *ops,
                      void *device)
{
    VmmPciFunction *function = g_new0 (VmmPciFunction, 1);

    function->name = g_strdup (name);
    function->ops = ops;
    function->device = device;
    function->next_capability = FIRST_CAPABILITY;
    function->last_pointer = VMM_PCI_CAPABILITIES;
    g_mutex_init (&function->lock);

    vmm_put_u16 (function->config + VMM_PCI_VENDOR_ID, identity->vendor_id);
    vmm_put_u16 (function->config + VMM_PCI_DEVICE_ID, identity->device_id);
    /* The class code is the upper three bytes of the revision's dword. */
    vmm_put_u32 (function->config + VMM_PCI_REVISION, identity->class_code << 8 | identity->revision);
    vmm_put_u16 (function->config + VMM_PCI_SUBSYSTEM_VENDOR_ID, identity->subsystem_vendor_id);
    vmm_put_u16 (function->config + VMM_PCI_SUBSYSTEM_ID, identity->subsystem_id);

    vmm_pci_function_set_writable (function, VMM_PCI_COMMAND, 2, COMMAND_WRITABLE);
    vmm_pci_function_set_write_1_to_clear (function, VMM_PCI_STATUS, 2, STATUS_WRITE_1_TO_CLEAR);
    /* Without effect, and yet read back: guests note things here. */
    vmm_pci_function_set_writable (function, VMM_PCI_CACHE_LINE_SIZE, 1, 0xff);
    vmm_pci_function_set_writable (function, VMM_PCI_INTERRUPT_LINE, 1, 0xff);
    return function;
}

/**
 * vmm_pci_function_free:
 * @function: (nullable) (transfer full): a function that no host can reach any more
 */
void
vmm_pci_function_free (VmmPciFunction *function)
{
    if (function == NULL)
        return;
    g_mutex_clear (&function->lock);
    g_free (function->name);
    g_free (function);
}

/**
 * vmm_pci_function_name:
 * @function: a function
 *
 * Returns: its name, owned by the function
 */
const char *
vmm_pci_function_name (const VmmPciFunction *function)
{
    return function->name;
}

/* Whether BAR @index can have this shape (PCI 3.0 section 6.2.5.1). */
static bool
bar_is_possible (const VmmPciFunction *function, unsigned index, VmmPciBarKind kind, uint64_t size)
{
    unsigned slots = kind == VMM_PCI_BAR_MEMORY64 ? 2 : 1;
    uint64_t min = kind == VMM_PCI_BAR_IO ? 4 : 16;
    uint64_t max = kind == VMM_PCI_BAR_IO ? 256 : kind == VMM_PCI_BAR_MEMORY32 ? 1ull << 31 : 1ull << 62;

    if (index >= VMM_PCI_N_BARS || slots > VMM_PCI_N_BARS - index)
        return false;
    if (size < min || size > max || (size & (size - 1)) != 0)
        return false;
    for (unsigned i = index; i < index + slots; i++) {
        if (function->bars[i].size != 0)
            return false;
    }
    return index == 0 || function->bars[index - 1].size == 0 ||
           function->bars[index - 1].kind != VMM_PCI_BAR_MEMORY64;
}

/**
 * vmm_pci_function_add_bar:
 * @function: a function that no guest uses yet
 * @index: 0 to 5, or 0 to 4 for %VMM_PCI_BAR_MEMORY64, which takes the next one too
 * @kind: what it maps
 * @size: bytes, a power of two: 4 to 256 ports, or 16 bytes of memory and more
 * @error: return location
 *
 * Adds a base address register.
 *
 * Returns: false with %VMM_ERROR_HOST when @index is taken or the BAR cannot be
 */
bool
vmm_pci_function_add_bar (VmmPciFunction *function, unsigned index, VmmPciBarKind kind, uint64_t size,
                          GError **error)
{
    uint64_t mask = ~(size - 1);
    uint32_t type = 0;

    if (!bar_is_possible (function, index, kind, size)) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST,
                     "%s: BAR %u of 0x%" G_GINT64_MODIFIER "x bytes is taken or impossible: choose another",
                     function->name, index, size);
        return false;
    }
    if (kind == VMM_PCI_BAR_IO)
        type = BAR_IO_SPACE;
    else if (kind == VMM_PCI_BAR_MEMORY64)
        type = BAR_MEMORY_64_PREFETCHABLE;
    function->bars[index] = (Bar){.size = size, .kind = kind};
    vmm_pci_function_put (function, bar_offset (index), 4, type);
    vmm_pci_function_set_writable (function, bar_offset (index), 4, (uint32_t)mask);
    if (kind == VMM_PCI_BAR_MEMORY64)
        vmm_pci_function_set_writable (function, bar_offset (index + 1), 4, (uint32_t)(mask >> 32));
    return true;
}

/**
 * vmm_pci_function_add_capability:
 * @function: a function that no guest uses yet
 * @id: capability ID
 * @size: bytes, the two of ID and next pointer included
 * @ret_offset: (out): where it is in the configuration space, a multiple of 4
 * @error: return location
 *
 * Adds a capability at the end of the list (PCI 3.0 section 6.7). Its body is zero and read-only; the caller
 * fills it by vmm_pci_function_put() and the mask functions from @ret_offset + 2 on.
 *
 * Returns: false with %VMM_ERROR_HOST when the first 256 bytes have no room for it
 */
bool
vmm_pci_function_add_capability (VmmPciFunction *function, uint8_t id, unsigned size, unsigned *ret_offset,
                                 GError **error)
{
    unsigned offset = function->next_capability;

    if (size < 2 || size > HEADER_AREA - offset) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST,
                     "%s: capability 0x%02x of %u bytes does not fit, %u are left: make it smaller",
                     function->name, id, size, HEADER_AREA - offset);
        return false;
    }
    vmm_pci_function_put (function, offset, 1, id);
    vmm_pci_function_put (function, function->last_pointer, 1, offset);
    vmm_pci_function_put_bits (function, VMM_PCI_STATUS, 2, VMM_PCI_STATUS_CAPABILITIES,
                               VMM_PCI_STATUS_CAPABILITIES);
    function->last_pointer = offset + 1;
    function->next_capability = (offset + size + 3) & ~3u;
    *ret_offset = offset;
    return true;
}

/**
 * vmm_pci_function_set_writable:
 * @function: a function that no guest uses yet
 * @offset: register, within one dword
 * @size: 1, 2 or 4
 * @mask: the bits that a guest may write
 */
void
vmm_pci_function_set_writable (VmmPciFunction *function, unsigned offset, unsigned size, uint32_t mask)
{
    if (access_is_possible (offset, size))
        bytes_put (function->writable, offset, size, UINT32_MAX, mask);
}

/**
 * vmm_pci_function_set_write_1_to_clear:
 * @function: a function that no guest uses yet
 * @offset: register, within one dword
 * @size: 1, 2 or 4
 * @mask: the bits that a guest clears by writing 1; only the device sets them
 */
void
vmm_pci_function_set_write_1_to_clear (VmmPciFunction *function, unsigned offset, unsigned size,
                                       uint32_t mask)
{
    if (access_is_possible (offset, size))
        bytes_put (function->clear, offset, size, UINT32_MAX, mask);
}

/**
 * vmm_pci_function_get:
 * @function: a function
 * @offset: register, within one dword
 * @size: 1, 2 or 4
 *
 * Returns: what is stored there; all ones when there is no such register
 */
uint32_t
vmm_pci_function_get (VmmPciFunction *function, unsigned offset, unsigned size)
{
    g_autoptr (GMutexLocker) G_GNUC_UNUSED locker = g_mutex_locker_new (&function->lock);

    return access_is_possible (offset, size) ? bytes_get (function->config, offset, size) : UINT32_MAX;
}

/**
 * vmm_pci_function_put:
 * @function: a function
 * @offset: register, within one dword
 * @size: 1, 2 or 4
 * @value: new contents
 *
 * Stores into a register, whatever its masks. Not for BARs and the command register, whose effects it has
 * not.
 */
void
vmm_pci_function_put (VmmPciFunction *function, unsigned offset, unsigned size, uint32_t value)
{
    vmm_pci_function_put_bits (function, offset, size, UINT32_MAX, value);
}

/**
 * vmm_pci_function_put_bits:
 * @function: a function
 * @offset: register, within one dword
 * @size: 1, 2 or 4
 * @mask: which bits to replace
 * @value: their new contents
 *
 * Like vmm_pci_function_put() for some bits of a register, in one step as other threads see it.
 */
void
vmm_pci_function_put_bits (VmmPciFunction *function, unsigned offset, unsigned size, uint32_t mask,
                           uint32_t value)
{
    g_autoptr (GMutexLocker) G_GNUC_UNUSED locker = g_mutex_locker_new (&function->lock);

    if (access_is_possible (offset, size))
        bytes_put (function->config, offset, size, mask, value);
}

/**
 * vmm_pci_function_bar:
 * @function: a function
 * @index: 0 to 5
 * @ret_address: (out): where the BAR is mapped
 *
 * Returns: whether the BAR exists and is mapped
 */
bool
vmm_pci_function_bar (VmmPciFunction *function, unsigned index, uint64_t *ret_address)
{
    g_autoptr (GMutexLocker) G_GNUC_UNUSED locker = g_mutex_locker_new (&function->lock);

    if (index >= VMM_PCI_N_BARS || !function->bars[index].mapped)
        return false;
    *ret_address = function->bars[index].address;
    return true;
}

/**
 * vmm_pci_function_config_read:
 * @function: a function
 * @offset: any
 * @size: any
 *
 * A guest's read. Any thread.
 *
 * Returns: the register; all ones for an access that crosses a dword or leaves the space
 */
uint32_t
vmm_pci_function_config_read (VmmPciFunction *function, unsigned offset, unsigned size)
{
    uint32_t value;

    if (!access_is_possible (offset, size))
        return UINT32_MAX;
    if (function->ops != NULL && function->ops->config_read != NULL &&
        function->ops->config_read (function->device, offset, size, &value))
        return value;
    return vmm_pci_function_get (function, offset, size);
}

/**
 * vmm_pci_function_config_write:
 * @function: a function
 * @offset: any
 * @size: any
 * @value: the low @size bytes are used
 *
 * A guest's write, through the masks; what they do not let through has no effect, like the whole of an access
 * that crosses a dword or leaves the space. Any thread.
 */
void
vmm_pci_function_config_write (VmmPciFunction *function, unsigned offset, unsigned size, uint32_t value)
{
    if (!access_is_possible (offset, size))
        return;
    g_mutex_lock (&function->lock);
    bytes_put (function->config, offset, size, bytes_get (function->writable, offset, size), value);
    bytes_put (function->config, offset, size, bytes_get (function->clear, offset, size) & value, 0);
    bars_update_locked (function);
    g_mutex_unlock (&function->lock);
    if (function->ops != NULL && function->ops->config_written != NULL)
        function->ops->config_written (function->device, offset, size, value);
}

/* What a guest can change, and so what a reset clears and a snapshot holds. */
static uint8_t
guest_bits (const VmmPciFunction *function, unsigned offset)
{
    return function->writable[offset] | function->clear[offset];
}

/**
 * vmm_pci_function_reset:
 * @function: a function
 *
 * Clears everything that a guest can write, which unmaps the BARs. vCPUs are not running.
 */
void
vmm_pci_function_reset (VmmPciFunction *function)
{
    g_autoptr (GMutexLocker) G_GNUC_UNUSED locker = g_mutex_locker_new (&function->lock);

    for (unsigned i = 0; i < VMM_PCI_CONFIG_SIZE; i++)
        function->config[i] &= (uint8_t)~guest_bits (function, i);
    bars_update_locked (function);
}

/**
 * vmm_pci_function_save:
 * @function: a function
 * @writer: inside the device's section
 *
 * Writes the identity and what the guest wrote; bits that only the device changes are the device's to save.
 */
void
vmm_pci_function_save (VmmPciFunction *function, VmmStateWriter *writer)
{
    g_autofree uint8_t *bits = g_malloc (VMM_PCI_CONFIG_SIZE);
    g_autoptr (GMutexLocker) G_GNUC_UNUSED locker = g_mutex_locker_new (&function->lock);

    for (unsigned i = 0; i < VMM_PCI_CONFIG_SIZE; i++)
        bits[i] = function->config[i] & guest_bits (function, i);
    vmm_state_put_u32 (writer, bytes_get (function->config, VMM_PCI_VENDOR_ID, 4));
    vmm_state_put_bytes (writer, bits, VMM_PCI_CONFIG_SIZE);
}

/**
 * vmm_pci_function_load:
 * @function: a function with the same BARs and capabilities as the one that was saved
 * @reader: inside the device's section; hostile
 *
 * Reads back what vmm_pci_function_save() wrote, and maps the BARs accordingly.
 *
 * Returns: false, with nothing changed, when it is of another device or has bits that no guest can write
 */
bool
vmm_pci_function_load (VmmPciFunction *function, VmmStateReader *reader)
{
    g_autofree uint8_t *bits = g_malloc (VMM_PCI_CONFIG_SIZE);
    g_autoptr (GMutexLocker) G_GNUC_UNUSED locker = g_mutex_locker_new (&function->lock);
    uint32_t id, len;

    if (!vmm_state_get_u32 (reader, &id) || !vmm_state_get_bytes (reader, bits, VMM_PCI_CONFIG_SIZE, &len))
        return false;
    if (id != bytes_get (function->config, VMM_PCI_VENDOR_ID, 4) || len != VMM_PCI_CONFIG_SIZE)
        return false;
    for (unsigned i = 0; i < VMM_PCI_CONFIG_SIZE; i++) {
        if ((bits[i] & ~guest_bits (function, i)) != 0)
            return false;
    }
    for (unsigned i = 0; i < VMM_PCI_CONFIG_SIZE; i++)
        function->config[i] = (uint8_t)(function->config[i] & ~guest_bits (function, i)) | bits[i];
    bars_update_locked (function);
    return true;
}
