/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>

#include "hammer.h"
#include "window.h"

#define VGA_HOLE 0xa0000ull
#define VGA_HOLE_END 0x100000ull
#define HOLE32 0xc0000000ull
#define HOLE32_END 0x100000000ull
#define HOLE32_STRIDE (2ull << 20)
#define ECAM 0xe0000000ull
#define ECAM_SIZE 0x100000ull
#define IOAPIC 0xfec00000ull
#define LAPIC 0xfee00000ull
#define PAGE 0x1000ull
#define ECAM_TRIES 256u
#define HIGH_TRIES 64u
#define STRING_BYTES 24u

static void
read_memory (volatile uint8_t *at, uint32_t size)
{
    if (size == 1)
        (void)*at;
    else if (size == 2)
        (void)*(volatile uint16_t *)at;
    else if (size == 4)
        (void)*(volatile uint32_t *)at;
    else
        (void)*(volatile uint64_t *)at;
}

static void
write_memory (volatile uint8_t *at, uint32_t size, uint64_t value)
{
    if (size == 1)
        *at = (uint8_t)value;
    else if (size == 2)
        *(volatile uint16_t *)at = (uint16_t)value;
    else if (size == 4)
        *(volatile uint32_t *)at = (uint32_t)value;
    else
        *(volatile uint64_t *)at = value;
}

/* A read and a write in one instruction, and string instructions with the address on either side. */
static void
odd_accesses (Hammer *hammer, volatile uint8_t *at)
{
    uint8_t bytes[STRING_BYTES] = {0};
    uint64_t value = hammer_random (hammer);
    const volatile void *from = at;
    volatile void *to = bytes;
    uintptr_t n = STRING_BYTES;

    __asm__ volatile("xchgl %k0, (%1)" : "+r"(value) : "r"(at) : "memory");
    __asm__ volatile("lock addw %w0, (%1)" : : "r"(value), "r"(at) : "memory");
    __asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(n) : : "memory");
    from = bytes;
    to = at;
    n = STRING_BYTES / 4;
    __asm__ volatile("rep movsl" : "+S"(from), "+D"(to), "+c"(n) : : "memory");
    to = at;
    n = STRING_BYTES / 8;
    __asm__ volatile("rep stosq" : "+D"(to), "+c"(n) : "a"(value) : "memory");
}

static void
hit (Hammer *hammer, uint64_t gpa)
{
    volatile uint8_t *at = window_map (gpa);

    for (uint32_t size = 1; size <= 8; size *= 2) {
        read_memory (at, size);
        write_memory (at, size, hammer_random (hammer));
    }
}

/* Where a page ends, so that the wide accesses go across, and somewhere in the page at any alignment. */
static void
hit_page (Hammer *hammer, uint64_t gpa)
{
    hit (hammer, gpa + hammer_random (hammer) % PAGE);
    hit (hammer, gpa + PAGE - 1 - hammer_random (hammer) % 8);
}

static bool
is_irqchip (uint64_t gpa)
{
    return (gpa & ~(PAGE - 1)) == IOAPIC || (gpa & ~(PAGE - 1)) == LAPIC;
}

static void
hit_hole32 (Hammer *hammer)
{
    for (uint64_t gpa = HOLE32; gpa < HOLE32_END; gpa += HOLE32_STRIDE) {
        uint64_t page = gpa + (hammer_random (hammer) % HOLE32_STRIDE & ~(PAGE - 1));

        if (is_irqchip (page) || is_irqchip (page + PAGE) || page + PAGE == HOLE32_END)
            continue;
        hit_page (hammer, page);
        if ((gpa & 0xffffffull) == 0)
            odd_accesses (hammer, window_map (page));
    }
}

static void
hit_ecam (Hammer *hammer)
{
    for (uint32_t i = 0; i < ECAM_TRIES; i++) {
        uint64_t random = hammer_random (hammer);

        hit (hammer, ECAM + ((random >> 32 & 3) != 0 ? random & 0x3f0ff : random & (ECAM_SIZE - 1)));
    }
    odd_accesses (hammer, window_map (ECAM));
    hit (hammer, ECAM - 4);
    hit (hammer, ECAM + ECAM_SIZE - 4);
}

/*
 * The I/O APIC gets any index, but only data that leaves an entry masked or makes it one of fixed delivery:
 * others could stop this CPU. The local APIC is read only; around both of them anything goes.
 */
static void
hit_irqchips (Hammer *hammer)
{
    volatile uint8_t *ioapic = window_map (IOAPIC);

    for (uint32_t i = 0; i < 64; i++) {
        uint64_t random = hammer_random (hammer);

        *(volatile uint32_t *)ioapic = (uint32_t)random & 0xff;
        *(volatile uint32_t *)(ioapic + 0x10) = (uint32_t)(random >> 8) | 1u << 16;
        ioapic[0x10] = (uint8_t)(random >> 40);
        read_memory (ioapic + (random >> 48 & 0xfff), 1u << (random >> 60) % 4);
    }
    for (uint32_t reg = 0; reg < PAGE; reg += 16)
        read_memory (window_map (LAPIC) + reg, 4);
    hit_page (hammer, IOAPIC + PAGE);
    hit_page (hammer, LAPIC + PAGE);
    hit_page (hammer, LAPIC + 0xff000 - PAGE);
    hit_page (hammer, LAPIC - 2 * PAGE);
}

static void
hit_above_ram (Hammer *hammer)
{
    static const int32_t edges[] = {-7, -4, -1, 0, 1, 4096 - 2};

    for (uint32_t i = 0; i < sizeof (edges) / sizeof (edges[0]); i++) {
        if (hammer->top > HOLE32_END || edges[i] >= 0)
            hit (hammer, hammer->top + (uint64_t)(int64_t)edges[i]);
    }
    for (uint32_t i = 0; i < HIGH_TRIES; i++) {
        uint64_t gpa = hammer_random (hammer) % (hammer->limit - WINDOW_PAGE);

        gpa >>= hammer_random (hammer) % 16; /* all magnitudes, not mostly the highest */
        if (gpa >= hammer->top)
            hit (hammer, gpa);
    }
    odd_accesses (hammer, window_map (hammer->top));
    hit (hammer, hammer->limit - 2 * WINDOW_PAGE - 3);
}

void
hammer_memory (Hammer *hammer)
{
    for (uint64_t gpa = VGA_HOLE; gpa < VGA_HOLE_END - PAGE; gpa += PAGE)
        hit_page (hammer, gpa);
    hit (hammer, VGA_HOLE - 3);
    hit (hammer, VGA_HOLE_END - 3);
    hit_hole32 (hammer);
    hit_ecam (hammer);
    hit_irqchips (hammer);
    hit_above_ram (hammer);
}
