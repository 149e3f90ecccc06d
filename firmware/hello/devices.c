/* SPDX-License-Identifier: Apache-2.0 */
#include "devices.h"

#include <stdbool.h>
#include <stddef.h>

#include "cpu.h"

#define UART_IIR (CONSOLE_COM1 + 2)
#define UART_SCRATCH (CONSOLE_COM1 + 7)
#define I8042_STATUS 0x64u
#define RTC_INDEX 0x70u
#define RTC_DATA 0x71u
#define RTC_STATUS_A 0x0au
#define RTC_UPDATING 0x80u
#define RTC_STATUS_B 0x0bu
#define RTC_BINARY 0x04u
#define RTC_CENTURY 0x32u
#define PVPANIC 0x505u
#define PCI_ADDRESS 0xcf8u
#define PCI_DATA 0xcfcu
#define PCI_MULTIFUNCTION (0x80u << 16)
#define PCI_NONE 0xffffffffu
#define VIRTIO_VENDOR 0x1af4u
#define VIRTIO_DEVICE_FIRST 0x1040u

static void
show_uart (Console *console)
{
    uint8_t iir = cpu_in8 (UART_IIR);

    cpu_out8 (UART_SCRATCH, 0x5a);
    hello_label (console, "serial");
    if (cpu_in8 (UART_SCRATCH) != 0x5a)
        console_text (console, "8250");
    else
        console_text (console, (iir & 0xc0) == 0xc0 ? "16550A" : "16450");
    console_text (console, " at 0x3f8");
    console_end_line (console);
}

static uint8_t
rtc_read (uint8_t reg)
{
    cpu_out8 (RTC_INDEX, reg);
    return cpu_in8 (RTC_DATA);
}

static uint32_t
rtc_number (uint8_t reg, bool binary)
{
    uint8_t value = rtc_read (reg);

    return binary ? value : (value >> 4) * 10u + (value & 15);
}

static void
show_clock (Console *console)
{
    /* Year, month, day, hour, minute, second: register and the character before it. */
    static const uint8_t regs[] = {9, 8, 7, 4, 2, 0};
    static const char before[] = "\0--\040::";
    uint8_t status = rtc_read (RTC_STATUS_B);
    bool binary = (status & RTC_BINARY) != 0;

    if (status == 0xff) /* nothing drives the bus */
        return;
    hello_label (console, "clock");
    for (uint32_t i = 0; i < 1000 && (rtc_read (RTC_STATUS_A) & RTC_UPDATING) != 0; i++)
        cpu_pause ();
    console_decimal (console, rtc_number (RTC_CENTURY, binary), 2);
    for (uint32_t i = 0; i < sizeof (regs); i++) {
        if (before[i] != '\0')
            console_char (console, before[i]);
        console_decimal (console, rtc_number (regs[i], binary), 2);
    }
    console_text (console, " (RTC at 0x70)");
    console_end_line (console);
}

static void
show_port (Console *console, const char *name, uint16_t port)
{
    if (cpu_in8 (port) == 0xff) /* nothing drives the bus */
        return;
    hello_label (console, name);
    console_text (console, "at 0x");
    console_hex (console, port, 3);
    console_end_line (console);
}

static uint32_t
pci_read (uint32_t slot, uint32_t function, uint32_t reg)
{
    cpu_out32 (PCI_ADDRESS, 0x80000000u | slot << 11 | function << 8 | reg);
    return cpu_in32 (PCI_DATA);
}

static const char *
pci_name (uint32_t id, uint32_t class)
{
    switch (id) { /* device in the upper half, vendor in the lower */
    case (VIRTIO_DEVICE_FIRST + 1) << 16 | VIRTIO_VENDOR:
        return "virtio network";
    case (VIRTIO_DEVICE_FIRST + 2) << 16 | VIRTIO_VENDOR:
        return "virtio block";
    case (VIRTIO_DEVICE_FIRST + 3) << 16 | VIRTIO_VENDOR:
        return "virtio console";
    case (VIRTIO_DEVICE_FIRST + 4) << 16 | VIRTIO_VENDOR:
        return "virtio entropy";
    case (VIRTIO_DEVICE_FIRST + 5) << 16 | VIRTIO_VENDOR:
        return "virtio balloon";
    case (VIRTIO_DEVICE_FIRST + 19) << 16 | VIRTIO_VENDOR:
        return "virtio socket";
    case (VIRTIO_DEVICE_FIRST + 26) << 16 | VIRTIO_VENDOR:
        return "virtio file system";
    default:
        break;
    }
    switch (class) {
    case 0x0600:
        return "host bridge";
    case 0x0601:
        return "ISA bridge";
    case 0x0604:
        return "PCI bridge";
    default:
        break;
    }
    switch (class >> 8) {
    case 0x01:
        return "storage";
    case 0x02:
        return "network";
    case 0x03:
        return "display";
    case 0x0c:
        return "serial bus";
    default:
        return "device";
    }
}

static void
show_pci_function (Console *console, uint32_t slot, uint32_t function, uint32_t id)
{
    hello_label (console, "PCI");
    console_hex (console, slot, 2);
    console_char (console, '.');
    console_decimal (console, function, 1);
    console_char (console, ' ');
    console_hex (console, id & 0xffff, 4);
    console_char (console, ':');
    console_hex (console, id >> 16, 4);
    console_char (console, ' ');
    console_text (console, pci_name (id, pci_read (slot, function, 8) >> 16));
    console_end_line (console);
}

static void
show_pci (Console *console)
{
    for (uint32_t slot = 0; slot < 32; slot++) {
        uint32_t id = pci_read (slot, 0, 0);
        uint32_t functions;

        if (id == PCI_NONE)
            continue;
        functions = (pci_read (slot, 0, 12) & PCI_MULTIFUNCTION) != 0 ? 8 : 1;
        for (uint32_t function = 0; function < functions; function++) {
            if (function > 0)
                id = pci_read (slot, function, 0);
            if (id != PCI_NONE)
                show_pci_function (console, slot, function, id);
        }
    }
}

void
hello_show_devices (Console *console)
{
    show_uart (console);
    show_clock (console);
    show_port (console, "i8042", I8042_STATUS);
    show_port (console, "pvpanic", PVPANIC);
    show_pci (console);
}
