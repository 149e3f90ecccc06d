/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The root of the one PCI segment: a table from bus, device and function number to VmmPciFunction, and two
 * ways for a guest to get there.
 *
 *   ports 0xcf8, 0xcfc   configuration mechanism #1 (PCI 3.0 section 3.2.2.3.2): the address goes into a
 * latch by a 32-bit write of 0xcf8, the data through 0xcfc to 0xcff; 256 bytes per function ECAM
 * memory-mapped (PCI Express 4.0 section 7.2.2): bus, device, function and register are the address; 4096
 * bytes per function
 *
 * A function that is not there reads all ones, which is how a guest finds out. Port 0xcf9 is inside the
 * latch, but a byte access to it is the reset control register of PC chipsets (ICH9 datasheet,
 * section 13.7.5).
 *
 * At 00:00.0 is a host bridge of our own. The rest of the table is filled while the machine is built; entries
 * are never taken out, so readers need no lock. A mutex guards the latch and the reset control register; it
 * is held for neither functions nor the event sink.
 */
#include "devices/pci/host.h"

#include "vmm/error.h"

/* Offsets within the port range. */
enum {
    PORT_ADDRESS = 0,
    PORT_RESET_CONTROL = 1,
    PORT_DATA = 4,
};

#define ADDRESS_ENABLE (1u << 31)
#define ADDRESS_WRITABLE 0x80fffffcu

#define RESET_CPU 0x04u
/* System reset, CPU reset, full reset. */
#define RESET_WRITABLE 0x0eu

#define FUNCTIONS_PER_BUS 256u

/* The bridge has no registers of its own. Other VMMs use this identity too, so guests need no driver for it.
 */
static const VmmPciIdentity bridge_identity = {
    .vendor_id = 0x8086,
    .device_id = 0x0d57,
    .class_code = 0x060000,
};

struct _VmmPciHost {
    VmmGuestEventSink events;
    VmmPciFunction *bridge;
    unsigned n_buses;
    GMutex lock;
    uint32_t address;
    uint8_t reset_control;
    VmmPciFunction *functions[]; /* atomic; [bus << 8 | devfn] */
};

/**
 * vmm_pci_host_lookup:
 * @host: a PCI host
 * @bus: any
 * @devfn: any; device number in bits 7:3, function number in bits 2:0
 *
 * Any thread.
 *
 * Returns: (nullable) (transfer none): the function there
 */
VmmPciFunction *
vmm_pci_host_lookup (VmmPciHost *host, unsigned bus, unsigned devfn)
{
    if (bus >= host->n_buses || devfn >= FUNCTIONS_PER_BUS)
        return NULL;
    return g_atomic_pointer_get (&host->functions[bus * FUNCTIONS_PER_BUS + devfn]);
}

static uint32_t
config_read (VmmPciHost *host, unsigned bus, unsigned devfn, unsigned offset, unsigned size)
{
    VmmPciFunction *function = vmm_pci_host_lookup (host, bus, devfn);

    return function != NULL ? vmm_pci_function_config_read (function, offset, size) : UINT32_MAX;
}

static void
config_write (VmmPciHost *host, unsigned bus, unsigned devfn, unsigned offset, unsigned size, uint32_t value)
{
    VmmPciFunction *function = vmm_pci_host_lookup (host, bus, devfn);

    if (function != NULL)
        vmm_pci_function_config_write (function, offset, size, value);
}

static uint32_t
latch_get (VmmPciHost *host)
{
    g_autoptr (GMutexLocker) G_GNUC_UNUSED locker = g_mutex_locker_new (&host->lock);

    return host->address;
}

/*
 * A reset is asked for by the rise of the CPU reset bit. Without the system reset bit that is a soft one,
 * which starts the processor at its firmware while the rest keeps its state; a machine that boots without
 * firmware has nothing to start there, so both are the same event.
 */
static void
reset_control_write (VmmPciHost *host, uint8_t value)
{
    bool reset;

    g_mutex_lock (&host->lock);
    reset = (value & RESET_CPU) != 0 && (host->reset_control & RESET_CPU) == 0;
    host->reset_control = value & RESET_WRITABLE;
    g_mutex_unlock (&host->lock);
    if (reset)
        vmm_guest_event_raise (&host->events, VMM_GUEST_EVENT_RESET, 0);
}

/* Whether an access is one to the data port, for a function; then where it goes. */
static bool
port_is_data (uint32_t address, uint64_t offset, unsigned size, unsigned *ret_register)
{
    if (offset < PORT_DATA || offset + size > VMM_PCI_HOST_PORT_SIZE || (address & ADDRESS_ENABLE) == 0)
        return false;
    *ret_register = (address & 0xfc) + (unsigned)(offset - PORT_DATA);
    return true;
}

static uint64_t
port_read (void *device, uint64_t offset, unsigned size)
{
    VmmPciHost *host = device;
    uint32_t address = latch_get (host);
    unsigned reg;

    if (offset == PORT_ADDRESS && size == 4)
        return address;
    if (offset == PORT_RESET_CONTROL && size == 1) {
        g_autoptr (GMutexLocker) G_GNUC_UNUSED locker = g_mutex_locker_new (&host->lock);

        return host->reset_control;
    }
    if (port_is_data (address, offset, size, &reg))
        return config_read (host, address >> 16 & 0xff, address >> 8 & 0xff, reg, size);
    return UINT64_MAX;
}

static void
port_write (void *device, uint64_t offset, unsigned size, uint64_t value)
{
    VmmPciHost *host = device;
    uint32_t address = latch_get (host);
    unsigned reg;

    if (offset == PORT_ADDRESS && size == 4) {
        g_autoptr (GMutexLocker) G_GNUC_UNUSED locker = g_mutex_locker_new (&host->lock);

        host->address = (uint32_t)value & ADDRESS_WRITABLE;
    } else if (offset == PORT_RESET_CONTROL && size == 1) {
        reset_control_write (host, (uint8_t)value);
    } else if (port_is_data (address, offset, size, &reg)) {
        config_write (host, address >> 16 & 0xff, address >> 8 & 0xff, reg, size, (uint32_t)value);
    }
}

static uint64_t
ecam_read (void *device, uint64_t offset, unsigned size)
{
    if (offset >> 28 != 0 || size > 4)
        return UINT64_MAX;
    return config_read (device, (unsigned)(offset >> 20), offset >> 12 & 0xff, offset & 0xfff, size);
}

static void
ecam_write (void *device, uint64_t offset, unsigned size, uint64_t value)
{
    if (offset >> 28 == 0 && size <= 4)
        config_write (device, (unsigned)(offset >> 20), offset >> 12 & 0xff, offset & 0xfff, size,
                      (uint32_t)value);
}

/**
 * vmm_pci_host_port_ops:
 *
 * Configuration mechanism #1 and the reset control register, a VmmBusOps device of %VMM_PCI_HOST_PORT_SIZE
 * ports at %VMM_PCI_HOST_PORT.
 */
const VmmBusOps vmm_pci_host_port_ops = {
    .read = port_read,
    .write = port_write,
};

/**
 * vmm_pci_host_ecam_ops:
 *
 * The memory-mapped configuration space, a VmmBusOps device of %VMM_PCI_ECAM_BUS_SIZE bytes for each bus.
 */
const VmmBusOps vmm_pci_host_ecam_ops = {
    .read = ecam_read,
    .write = ecam_write,
};

/**
 * vmm_pci_host_new:
 * @buses: how many buses the segment has, from bus 0 on; 1 to %VMM_PCI_BUSES_MAX
 * @events: (nullable): takes the guest's wish for a reset; copied. Called on the vCPU thread, no lock held
 *
 * Makes a PCI root with a host bridge at 00:00.0 and nothing else.
 *
 * Returns: (transfer full): the host, or %NULL when @buses is out of range
 */
VmmPciHost *
vmm_pci_host_new (unsigned buses, const VmmGuestEventSink *events)
{
    VmmPciHost *host;

    if (buses == 0 || buses > VMM_PCI_BUSES_MAX)
        return NULL;
    host = g_malloc0 (sizeof *host + buses * FUNCTIONS_PER_BUS * sizeof host->functions[0]);
    host->n_buses = buses;
    if (events != NULL)
        host->events = *events;
    g_mutex_init (&host->lock);
    host->bridge = vmm_pci_function_new ("PCI host bridge", &bridge_identity, NULL, NULL);
    host->functions[0] = host->bridge;
    return host;
}

/**
 * vmm_pci_host_free:
 * @host: (nullable) (transfer full): a host that no vCPU uses any more; the attached functions stay
 */
void
vmm_pci_host_free (VmmPciHost *host)
{
    if (host == NULL)
        return;
    vmm_pci_function_free (host->bridge);
    g_mutex_clear (&host->lock);
    g_free (host);
}

/**
 * vmm_pci_host_buses:
 * @host: a PCI host
 *
 * Returns: how many buses it has, for MCFG and the root's resources
 */
unsigned
vmm_pci_host_buses (const VmmPciHost *host)
{
    return host->n_buses;
}

/* A guest looks beyond function 0 only when that says that there are more (PCI 3.0 section 6.2.1). */
static void
mark_multi_function (VmmPciHost *host, unsigned bus, unsigned devfn)
{
    VmmPciFunction *first = vmm_pci_host_lookup (host, bus, devfn & ~7u);

    for (unsigned fn = 1; first != NULL && fn < 8; fn++) {
        if (vmm_pci_host_lookup (host, bus, (devfn & ~7u) + fn) != NULL)
            vmm_pci_function_put_bits (first, VMM_PCI_HEADER_TYPE, 1, VMM_PCI_HEADER_MULTI_FUNCTION,
                                       VMM_PCI_HEADER_MULTI_FUNCTION);
    }
}

/**
 * vmm_pci_host_attach:
 * @host: a PCI host
 * @bus: bus number
 * @devfn: device number in bits 7:3, function number in bits 2:0
 * @function: what answers there; borrowed, and outlives the host's use by vCPUs
 * @error: return location
 *
 * Puts a function on the bus. While the machine is built, from one thread; vCPUs may already run.
 *
 * Returns: false with %VMM_ERROR_HOST when there is no such place or another function has it
 */
bool
vmm_pci_host_attach (VmmPciHost *host, unsigned bus, unsigned devfn, VmmPciFunction *function, GError **error)
{
    VmmPciFunction *other = vmm_pci_host_lookup (host, bus, devfn);

    if (bus >= host->n_buses || devfn >= FUNCTIONS_PER_BUS) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "%s: no PCI slot %02x:%02x.%u: the last bus is %02x",
                     vmm_pci_function_name (function), bus, devfn >> 3, devfn & 7, host->n_buses - 1);
        return false;
    }
    if (other != NULL) {
        g_set_error (
            error, VMM_ERROR, VMM_ERROR_HOST, "%s: PCI slot %02x:%02x.%u is taken by %s: use another",
            vmm_pci_function_name (function), bus, devfn >> 3, devfn & 7, vmm_pci_function_name (other));
        return false;
    }
    g_atomic_pointer_set (&host->functions[bus * FUNCTIONS_PER_BUS + devfn], function);
    mark_multi_function (host, bus, devfn);
    return true;
}

static void
host_reset (void *device)
{
    VmmPciHost *host = device;

    g_mutex_lock (&host->lock);
    host->address = 0;
    host->reset_control = 0;
    g_mutex_unlock (&host->lock);
    vmm_pci_function_reset (host->bridge);
}

static void
host_save (void *device, VmmStateWriter *writer)
{
    VmmPciHost *host = device;

    g_mutex_lock (&host->lock);
    vmm_state_put_u32 (writer, host->address);
    vmm_state_put_u8 (writer, host->reset_control);
    g_mutex_unlock (&host->lock);
    vmm_pci_function_save (host->bridge, writer);
}

static bool
host_load (void *device, VmmStateReader *reader, uint32_t version)
{
    VmmPciHost *host = device;
    uint32_t address;
    uint8_t reset_control;

    if (version != 1 || !vmm_state_get_u32 (reader, &address) || !vmm_state_get_u8 (reader, &reset_control))
        return false;
    if ((address & ~ADDRESS_WRITABLE) != 0 || (reset_control & ~RESET_WRITABLE) != 0 ||
        !vmm_pci_function_load (host->bridge, reader))
        return false;
    g_mutex_lock (&host->lock);
    host->address = address;
    host->reset_control = reset_control;
    g_mutex_unlock (&host->lock);
    return true;
}

static void
host_free (void *device)
{
    vmm_pci_host_free (device);
}

/**
 * vmm_pci_host_device_ops:
 *
 * Reset, save (section version 1), load and free of a #VmmPciHost and its bridge; attached functions belong
 * to their devices.
 */
const VmmDeviceOps vmm_pci_host_device_ops = {
    .name = "pci-host",
    .reset = host_reset,
    .save = host_save,
    .load = host_load,
    .free = host_free,
};
