/* SPDX-License-Identifier: Apache-2.0 */
#include "acpi.h"
#include "cpu.h"
#include "virtio.h"

#define PCI_ADDRESS 0xcf8u
#define PCI_DATA 0xcfcu
#define PCI_COMMAND 0x04u
#define PCI_COMMAND_MEMORY_MASTER 0x0006u
#define PCI_STATUS_CAPABILITIES (0x10u << 16)
#define PCI_BAR0 0x10u
#define PCI_CAPABILITIES 0x34u
#define PCI_CAPABILITY_VENDOR 9u
#define PCI_VENDOR_VIRTIO 0x1af4u
#define PCI_DEVICE_MODERN 0x1040u
#define BAR_IO 1u
#define BAR_TYPE 6u
#define BAR_TYPE_64 4u

/* Virtio 1.2 section 4.1.4 */
#define CAPABILITY_COMMON 1u
#define CAPABILITY_NOTIFY 2u
#define CAPABILITY_DEVICE 4u

/* Where a BAR goes that has no address, 1 MiB for each: inside the window of every machine that runs this. */
#define BAR_WINDOW 0xd0000000u
#define BAR_WINDOW_STEP (1u << 20)

#define MMIO_MAGIC 0x74726976u
#define MMIO_VERSION 4u
#define MMIO_DEVICE_ID 8u
#define MMIO_CONFIG 0x100u

#define AML_MEMORY32_FIXED 0x86u

static uint32_t
pci_read (uint32_t slot, uint32_t offset)
{
    cpu_out32 (PCI_ADDRESS, 0x80000000u | slot << 11 | (offset & ~3u));
    return cpu_in32 (PCI_DATA);
}

static void
pci_write (uint32_t slot, uint32_t offset, uint32_t value)
{
    cpu_out32 (PCI_ADDRESS, 0x80000000u | slot << 11 | (offset & ~3u));
    cpu_out32 (PCI_DATA, value);
}

/* Returns where BAR @index is, after giving it a place if it has none that can be reached. */
static volatile uint8_t *
pci_bar (uint32_t slot, uint32_t index)
{
    uint32_t at = PCI_BAR0 + 4 * index;
    uint32_t low = pci_read (slot, at);
    bool wide = (low & BAR_TYPE) == BAR_TYPE_64;

    if ((low & BAR_IO) != 0)
        return NULL;
    if ((low & ~15u) == 0 || (wide && pci_read (slot, at + 4) != 0)) {
        low = BAR_WINDOW + (slot * 6 + index) * BAR_WINDOW_STEP;
        pci_write (slot, at, low);
        if (wide)
            pci_write (slot, at + 4, 0);
    }
    return (volatile uint8_t *)(uintptr_t)(low & ~15u);
}

static bool
pci_open (uint32_t slot, VirtioDevice *ret_device)
{
    VirtioDevice device = {.pci = true};
    uint32_t at;

    if ((pci_read (slot, PCI_COMMAND) & PCI_STATUS_CAPABILITIES) == 0)
        return false;
    at = pci_read (slot, PCI_CAPABILITIES) & 0xfc;
    for (uint32_t i = 0; at != 0 && i < 48; i++) {
        uint32_t header = pci_read (slot, at);
        uint32_t bar = pci_read (slot, at + 4) & 0xff;
        uint32_t type = header >> 24;

        if ((header & 0xff) == PCI_CAPABILITY_VENDOR && bar < 6) {
            volatile uint8_t *base = pci_bar (slot, bar);
            volatile uint8_t *place = base == NULL ? NULL : base + pci_read (slot, at + 8);

            if (type == CAPABILITY_COMMON)
                device.common = place;
            if (type == CAPABILITY_DEVICE)
                device.config = place;
            if (type == CAPABILITY_NOTIFY) {
                device.notify = place;
                device.notify_multiplier = pci_read (slot, at + 16);
            }
        }
        at = header >> 8 & 0xfc;
    }
    pci_write (slot, PCI_COMMAND, (pci_read (slot, PCI_COMMAND) & 0xffff) | PCI_COMMAND_MEMORY_MASTER);
    *ret_device = device;
    return device.common != NULL && device.notify != NULL;
}

/* Looks on bus 0, at the first function of each slot. */
static bool
find_on_pci (uint32_t id, uint32_t *nth, VirtioDevice *ret_device)
{
    for (uint32_t slot = 0; slot < 32; slot++) {
        if (pci_read (slot, 0) == (PCI_VENDOR_VIRTIO | (PCI_DEVICE_MODERN + id) << 16) && (*nth)-- == 0)
            return pci_open (slot, ret_device);
    }
    return false;
}

static bool
is_mmio_device (uint64_t base, uint32_t id)
{
    volatile uint32_t *registers = (volatile uint32_t *)(uintptr_t)base;

    return registers[0] == MMIO_MAGIC && registers[MMIO_VERSION / 4] == 2 &&
           registers[MMIO_DEVICE_ID / 4] == id;
}

static bool
take_mmio (uint64_t base, uint32_t id, uint32_t *nth, VirtioDevice *ret_device)
{
    volatile uint8_t *registers = (volatile uint8_t *)(uintptr_t)base;

    if (base >> 32 != 0 || !is_mmio_device (base, id) || (*nth)-- != 0)
        return false;
    *ret_device = (VirtioDevice){.common = registers, .config = registers + MMIO_CONFIG};
    return true;
}

static uint64_t
read_hex (const char *text)
{
    uint64_t value = 0;

    for (;; text++) {
        char c = *text;

        if (c >= '0' && c <= '9')
            value = value << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value << 4 | (uint64_t)(c - 'a' + 10);
        else if (c != 'x')
            return value;
    }
}

/* The words virtio_mmio.device=SIZE@0xBASE:IRQ */
static bool
find_in_cmdline (const StartInfo *info, uint32_t id, uint32_t *nth, VirtioDevice *ret_device)
{
    StartInfo rest = *info;
    const char *text;

    while ((text = pvh_cmdline_value (&rest, "virtio_mmio.device=")) != NULL) {
        while (*text != '\0' && *text != ' ' && *text != '@')
            text++;
        if (*text == '@' && take_mmio (read_hex (text + 1), id, nth, ret_device))
            return true;
        rest.cmdline_gpa = (uintptr_t)text;
    }
    return false;
}

static bool
starts_with (const uint8_t *bytes, const char *text)
{
    while (*text != '\0') {
        if (*bytes++ != (uint8_t)*text++)
            return false;
    }
    return true;
}

/* After each _HID of "LNRO0005" comes a descriptor of 32-bit fixed memory (ACPI 6.5 section 6.4.3.4). */
static bool
find_in_table (const uint8_t *table, uint32_t size, uint32_t id, uint32_t *nth, VirtioDevice *ret_device)
{
    bool named = false;

    for (uint32_t i = 36; i + 12 <= size; i++) {
        if (starts_with (table + i, "LNRO0005"))
            named = true;
        if (named && table[i] == AML_MEMORY32_FIXED && table[i + 1] == 9 && table[i + 2] == 0) {
            uint32_t base = *(const uint32_t *)(table + i + 4);

            named = false;
            if (take_mmio (base, id, nth, ret_device))
                return true;
        }
    }
    return false;
}

static bool
find_in_acpi (const StartInfo *info, uint32_t id, uint32_t *nth, VirtioDevice *ret_device)
{
    const AcpiTable *fadt = acpi_find (info, "FACP");
    const AcpiTable *table;

    if (fadt != NULL) {
        const uint8_t *dsdt = (const uint8_t *)(uintptr_t) * (const uint32_t *)((const uint8_t *)fadt + 40);

        if (dsdt == NULL)
            dsdt = (const uint8_t *)(uintptr_t) * (const uint64_t *)((const uint8_t *)fadt + 140);
        if (dsdt != NULL && find_in_table (dsdt, ((const AcpiTable *)dsdt)->length, id, nth, ret_device))
            return true;
    }
    for (uint32_t i = 0; (table = acpi_table (info, i)) != NULL; i++) {
        if (starts_with ((const uint8_t *)table, "SSDT") &&
            find_in_table ((const uint8_t *)table, table->length, id, nth, ret_device))
            return true;
    }
    return false;
}

bool
virtio_find (const StartInfo *info, uint32_t id, uint32_t nth, VirtioDevice *ret_device)
{
    return find_on_pci (id, &nth, ret_device) || find_in_cmdline (info, id, &nth, ret_device) ||
           find_in_acpi (info, id, &nth, ret_device);
}
