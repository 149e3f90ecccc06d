/* SPDX-License-Identifier: Apache-2.0 */
#include "smp.h"

#include <stdbool.h>

#include "cpu.h"

#define TRAMPOLINE_GPA 0x80000u
#define MSR_APIC_BASE 0x1bu
#define APIC_BASE_X2APIC (1u << 10)
#define APIC_SPURIOUS 0xf0u
#define APIC_ICR_LOW 0x300u
#define APIC_ICR_HIGH 0x310u
#define MSR_X2APIC 0x800u
#define ICR_ALL_BUT_SELF 0x000c4000u
#define ICR_INIT 0x500u
#define ICR_SIPI 0x600u

#define SECOND_SIPI_TICKS (1ull << 26) /* some 30 ms: a CPU that missed the first one gets another */
#define GIVE_UP_TICKS (1ull << 33)     /* some 3 s */

extern const uint8_t smp_trampoline[], smp_trampoline_count[], smp_trampoline_end[];

static void
apic_write (uint32_t reg, uint32_t value)
{
    uint64_t base = cpu_rdmsr (MSR_APIC_BASE);
    volatile uint8_t *page = (volatile uint8_t *)(uintptr_t)(base & 0xfffff000u);

    if ((base & APIC_BASE_X2APIC) != 0) {
        cpu_wrmsr (MSR_X2APIC + reg / 16, value);
        return;
    }
    *(volatile uint32_t *)(page + reg) = value;
}

static void
send_ipi (uint32_t command)
{
    if ((cpu_rdmsr (MSR_APIC_BASE) & APIC_BASE_X2APIC) == 0)
        apic_write (APIC_ICR_HIGH, 0);
    apic_write (APIC_ICR_LOW, ICR_ALL_BUT_SELF | command);
}

static bool
wait_for (const volatile uint32_t *count, uint32_t aim, uint64_t start, uint64_t ticks)
{
    while (*count < aim) {
        if (cpu_rdtsc () - start >= ticks)
            return false;
        cpu_pause ();
    }
    return true;
}

uint32_t
smp_wake (uint32_t cpus)
{
    volatile uint8_t *code = (volatile uint8_t *)(uintptr_t)TRAMPOLINE_GPA;
    volatile uint32_t *count = (volatile uint32_t *)(code + (smp_trampoline_count - smp_trampoline));
    uint64_t start = cpu_rdtsc ();

    if (cpus <= 1)
        return 1;
    for (uint32_t i = 0; i < (uint32_t)(smp_trampoline_end - smp_trampoline); i++)
        code[i] = smp_trampoline[i];
    apic_write (APIC_SPURIOUS, 0x1ff);
    send_ipi (ICR_INIT);
    send_ipi (ICR_SIPI | TRAMPOLINE_GPA >> 12);
    if (!wait_for (count, cpus - 1, start, SECOND_SIPI_TICKS)) {
        send_ipi (ICR_SIPI | TRAMPOLINE_GPA >> 12);
        wait_for (count, cpus - 1, start, GIVE_UP_TICKS);
    }
    return 1 + *count;
}
