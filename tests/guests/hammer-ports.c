/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>

#include "console.h"
#include "cpu.h"
#include "guest.h"
#include "hammer.h"

#define PORT_FAST_RESET 0x92u
#define PORT_PCI_ADDRESS 0xcf8u
#define PORT_PCI_DATA 0xcfcu
#define DEBUG_EXIT_PORTS 4u
#define STRING_MAX 32u
#define PCI_TRIES 256u

/* What may be written to this port instead of @byte without ending the machine. */
static uint8_t
tame_byte (uint32_t port, uint8_t byte)
{
    switch (port) {
    case PORT_I8042_COMMAND: /* pulses of the reset line, and "write the output port", which can pull it */
        return byte >= 0xf0 || byte == 0xd1 ? 0x20 : byte;
    case PORT_FAST_RESET:
        return byte & 0xfe;
    case PORT_SLEEP_CONTROL:
        return byte & 0xdf;
    case PORT_RESET:
        return byte == RESET_VALUE ? 0 : byte;
    case PORT_CF9:
    case PORT_PVPANIC:
        return 0;
    default:
        return byte;
    }
}

static uint32_t
tame (uint32_t port, uint32_t size, uint32_t value)
{
    uint32_t tamed = 0;

    if (port == PORT_PCI_ADDRESS &&
        size == 4) /* all four bytes are the address register, not the reset register */
        return value;
    for (uint32_t i = 0; i < size; i++)
        tamed |= (uint32_t)tame_byte ((port + i) & 0xffff, (uint8_t)(value >> (8 * i))) << (8 * i);
    return tamed;
}

static bool
touches_debug_exit (uint32_t port, uint32_t size)
{
    return port + size > PORT_DEBUG_EXIT && port < PORT_DEBUG_EXIT + DEBUG_EXIT_PORTS;
}

static void
write_port (uint32_t port, uint32_t size, uint32_t value)
{
    if (touches_debug_exit (port, size))
        return;
    value = tame (port, size, value);
    if (size == 1)
        cpu_out8 ((uint16_t)port, (uint8_t)value);
    else if (size == 2)
        cpu_out16 ((uint16_t)port, (uint16_t)value);
    else
        cpu_out32 ((uint16_t)port, value);
}

static void
read_port (uint32_t port, uint32_t size)
{
    if (size == 1)
        cpu_in8 ((uint16_t)port);
    else if (size == 2)
        cpu_in16 ((uint16_t)port);
    else
        cpu_in32 ((uint16_t)port);
}

static void
write_string (Hammer *hammer, uint32_t port, uint32_t size)
{
    uint32_t words[STRING_MAX];
    uintptr_t n = 1 + hammer_random (hammer) % STRING_MAX;
    const void *at = words;

    if (touches_debug_exit (port, size))
        return;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t value = tame (port, size, (uint32_t)hammer_random (hammer));

        if (size == 1)
            ((uint8_t *)words)[i] = (uint8_t)value;
        else if (size == 2)
            ((uint16_t *)words)[i] = (uint16_t)value;
        else
            words[i] = value;
    }
    if (size == 1)
        __asm__ volatile("rep outsb" : "+S"(at), "+c"(n) : "d"(port) : "memory");
    else if (size == 2)
        __asm__ volatile("rep outsw" : "+S"(at), "+c"(n) : "d"(port) : "memory");
    else
        __asm__ volatile("rep outsl" : "+S"(at), "+c"(n) : "d"(port) : "memory");
}

static void
read_string (Hammer *hammer, uint32_t port, uint32_t size)
{
    uint32_t words[STRING_MAX];
    uintptr_t n = 1 + hammer_random (hammer) % STRING_MAX;
    void *at = words;

    if (size == 1)
        __asm__ volatile("rep insb" : "+D"(at), "+c"(n) : "d"(port) : "memory");
    else if (size == 2)
        __asm__ volatile("rep insw" : "+D"(at), "+c"(n) : "d"(port) : "memory");
    else
        __asm__ volatile("rep insl" : "+D"(at), "+c"(n) : "d"(port) : "memory");
}

static void
hit_port (Hammer *hammer, uint32_t port)
{
    for (uint32_t size = 1; size <= 4; size *= 2) {
        uint32_t value = (uint32_t)hammer_random (hammer);

        read_port (port, size);
        write_port (port, size, value & 0x300 ? value : value & 0xc00 ? 0xffffffffu : 0);
    }
}

void
hammer_uart (Hammer *hammer)
{
    for (uint32_t reg = 0; reg < 8; reg++) {
        for (uint32_t value = 0; value < 256; value++) {
            write_port (CONSOLE_COM1 + reg, 1, value);
            read_port (CONSOLE_COM1 + reg, 1);
        }
    }
    /* And in no order: the states of it that only a sequence reaches. */
    for (uint32_t i = 0; i < 512; i++) {
        uint64_t random = hammer_random (hammer);

        write_port (CONSOLE_COM1 + (random & 7), 1, (uint32_t)(random >> 8));
        read_port (CONSOLE_COM1 + (random >> 4 & 7), 1);
    }
}

void
hammer_known_ports (Hammer *hammer)
{
    /* First port and how many: PICs, PIT, i8042, RTC, delay, A20, debug exit, COM2, VGA, COM1, ELCR, pvpanic,
     * firmware configuration, ACPI, PCI, and the end of the port space. */
    static const uint16_t known[][2] = {
        {0x1f, 4},  {0x3e, 8},  {0x5f, 8},   {0x6f, 10},  {0x80, 1},   {0x91, 3},
        {0x9f, 4},  {0xf0, 12}, {0x2f5, 3},  {0x3c0, 4},  {0x3f5, 14}, {0x4cf, 4},
        {0x502, 8}, {0x50f, 4}, {0x5fd, 16}, {0xcf5, 14}, {0xfffc, 4},
    };

    for (uint32_t i = 0; i < sizeof (known) / sizeof (known[0]); i++) {
        for (uint32_t port = known[i][0]; port < (uint32_t)known[i][0] + known[i][1]; port++) {
            uint32_t size = 1u << hammer_random (hammer) % 3;

            hit_port (hammer, port);
            read_string (hammer, port, size);
            write_string (hammer, port, size);
        }
    }
}

void
hammer_sweep_ports (Hammer *hammer, uint32_t first, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        hit_port (hammer, (first + i) & 0xffff);
}

void
hammer_pci (Hammer *hammer)
{
    for (uint32_t i = 0; i < PCI_TRIES; i++) {
        uint64_t random = hammer_random (hammer);
        uint32_t address = (uint32_t)random;

        if ((random >> 32 & 3) !=
            0) /* mostly where functions are: enabled, bus 0, the first slots, low registers */
            address = 0x80000000u | (address & 0x3f7f);
        write_port (PORT_PCI_ADDRESS, 4, address);
        read_port (PORT_PCI_DATA + (random >> 36 & 3), 1u << (random >> 40) % 3);
        write_port (PORT_PCI_DATA + (random >> 36 & 3), 1u << (random >> 44) % 3,
                    (random >> 48 & 1) != 0 ? 0xffffffffu : (uint32_t)hammer_random (hammer));
        read_port (PORT_PCI_DATA, 4);
    }
}
