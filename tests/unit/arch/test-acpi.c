/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <glib.h>
#include <glib/gstdio.h>

#include "devices/legacy/acpi-power.h"
#include "vmm/arch/x86_64/acpi.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/core/bytes.h"
#include "vmm/error.h"

static VmmCpuTopology
topology_of (unsigned cpus)
{
    return (VmmCpuTopology){cpus, 1, cpus, 1};
}

static VmmX86AcpiConfig
full_config (const VmmCpuTopology *topology)
{
    return (VmmX86AcpiConfig){.topology = topology,
                              .pci = true,
                              .pci_mmio64 = {1ull << 40, 64ull << 30},
                              .com1 = true,
                              .rtc = true,
                              .i8042 = true,
                              .pvpanic = true,
                              .n_virtio_pci = 40,
                              .n_virtio_mmio = 2};
}

static const uint8_t *
table (const VmmX86AcpiTables *tables, const char *signature, uint32_t *ret_len)
{
    for (size_t i = 0; i < tables->n_tables; i++)
        if (strcmp (tables->tables[i].signature, signature) == 0) {
            *ret_len = tables->tables[i].len;
            return tables->image->data + tables->tables[i].offset;
        }
    return NULL;
}

static uint8_t
sum (const uint8_t *p, size_t len)
{
    uint8_t s = 0;

    for (size_t i = 0; i < len; i++)
        s += p[i];
    return s;
}

/* A guest's way: from the RSDP by pointers. Returns the table in the image. */
static const uint8_t *
follow (const VmmX86AcpiTables *tables, uint64_t gpa, const char *signature)
{
    const uint8_t *p;

    cr_assert_geq (gpa, VMM_X86_ACPI_GPA);
    cr_assert_leq (gpa + 36, VMM_X86_ACPI_GPA + tables->image->len);
    p = tables->image->data + (gpa - VMM_X86_ACPI_GPA);
    cr_assert_arr_eq (p, signature, 4);
    cr_assert_leq (gpa + vmm_get_u32 (p + 4), VMM_X86_ACPI_GPA + tables->image->len);
    cr_assert_eq (sum (p, vmm_get_u32 (p + 4)), 0, "checksum of %s", signature);
    return p;
}

Test (acpi, a_guest_finds_every_table)
{
    VmmCpuTopology t = topology_of (2);
    VmmX86AcpiConfig config = full_config (&t);
    g_auto (VmmX86AcpiTables) tables = {NULL};
    const char *const expected[] = {"FACP", "APIC", "MCFG"};
    const uint8_t *rsdp, *xsdt, *fadt;

    cr_assert (vmm_x86_acpi_build (&config, &tables, NULL));
    rsdp = tables.image->data;
    cr_assert_arr_eq (rsdp, "RSD PTR ", 8);
    cr_assert_eq (rsdp[15], 2);
    cr_assert_eq (sum (rsdp, 20), 0);
    cr_assert_eq (sum (rsdp, 36), 0);
    xsdt = follow (&tables, vmm_get_u64 (rsdp + 24), "XSDT");
    cr_assert_eq (vmm_get_u32 (xsdt + 4), 36 + 8 * G_N_ELEMENTS (expected));
    for (size_t i = 0; i < G_N_ELEMENTS (expected); i++)
        follow (&tables, vmm_get_u64 (xsdt + 36 + 8 * i), expected[i]);
    fadt = follow (&tables, vmm_get_u64 (xsdt + 36), "FACP");
    follow (&tables, vmm_get_u64 (fadt + 140), "DSDT");
    cr_assert_eq (vmm_get_u32 (fadt + 40), vmm_get_u64 (fadt + 140));
}

Test (acpi, fadt_names_the_power_registers)
{
    VmmCpuTopology t = topology_of (1);
    VmmX86AcpiConfig config = full_config (&t);
    g_auto (VmmX86AcpiTables) tables = {NULL}, bare = {NULL};
    const struct {
        unsigned at, offset;
    } registers[] = {
        {116, VMM_ACPI_POWER_RESET}, {244, VMM_ACPI_POWER_SLEEP_CONTROL}, {256, VMM_ACPI_POWER_SLEEP_STATUS}};
    const uint8_t *fadt;
    uint32_t len = 0, flags;

    cr_assert (vmm_x86_acpi_build (&config, &tables, NULL));
    fadt = table (&tables, "FACP", &len);
    cr_assert_eq (len, 276);
    cr_assert_eq (fadt[8], 6);
    flags = vmm_get_u32 (fadt + 112);
    cr_assert_neq (flags & 1u << 20, 0, "hardware-reduced");
    cr_assert_neq (flags & 1u << 10, 0, "reset register");
    for (size_t i = 0; i < G_N_ELEMENTS (registers); i++) {
        const uint8_t *gas = fadt + registers[i].at;

        cr_assert_eq (gas[0], 1, "I/O space");
        cr_assert_eq (gas[1], 8);
        cr_assert_eq (vmm_get_u64 (gas + 4), VMM_X86_PORT_POWER + registers[i].offset);
    }
    cr_assert_eq (fadt[128], VMM_ACPI_POWER_RESET_VALUE);
    cr_assert_eq (vmm_get_u16 (fadt + 109), 0x17, "COM1, i8042, RTC, no VGA, no ASPM");

    config = (VmmX86AcpiConfig){.topology = &t};
    cr_assert (vmm_x86_acpi_build (&config, &bare, NULL));
    fadt = table (&bare, "FACP", &len);
    cr_assert_eq (vmm_get_u16 (fadt + 109), 0x34, "no legacy device, no i8042, no RTC");
    cr_assert_null (table (&bare, "MCFG", &len));
}

Test (acpi, mcfg_covers_the_ecam)
{
    VmmCpuTopology t = topology_of (1);
    VmmX86AcpiConfig config = full_config (&t);
    g_auto (VmmX86AcpiTables) tables = {NULL};
    const uint8_t *mcfg;
    uint32_t len = 0;

    cr_assert (vmm_x86_acpi_build (&config, &tables, NULL));
    mcfg = table (&tables, "MCFG", &len);
    cr_assert_eq (len, 60);
    cr_assert_eq (vmm_get_u64 (mcfg + 44), VMM_X86_ECAM_BASE);
    cr_assert_eq (vmm_get_u16 (mcfg + 52), 0);
    cr_assert_eq (mcfg[54], 0);
    cr_assert_eq (mcfg[55] + 1u, VMM_X86_ECAM_SIZE >> 20);
}

struct madt_seen {
    unsigned cpus, ioapics, overrides, nmis, x2apics;
};

/* Walks the entries as a guest does, checking that CPU @n's id is that of the topology. */
static struct madt_seen
walk_madt (const VmmX86AcpiTables *tables, const VmmCpuTopology *t)
{
    struct madt_seen seen = {0};
    uint32_t len = 0, at = 44;
    const uint8_t *madt = table (tables, "APIC", &len);

    cr_assert_eq (vmm_get_u32 (madt + 36), VMM_X86_LAPIC_BASE);
    while (at < len) {
        const uint8_t *e = madt + at;

        cr_assert_geq (e[1], 2);
        cr_assert_leq (at + e[1], len);
        if (e[0] == 0) {
            cr_assert_eq (e[1], 8);
            cr_assert_eq (e[2], seen.cpus, "its UID");
            cr_assert_eq (e[3], vmm_x86_apic_id (t, seen.cpus));
            cr_assert_eq (vmm_get_u32 (e + 4), 1);
            seen.cpus++;
        } else if (e[0] == 9) {
            cr_assert_eq (e[1], 16);
            cr_assert_eq (vmm_get_u32 (e + 12), seen.cpus);
            cr_assert_eq (vmm_get_u32 (e + 4), vmm_x86_apic_id (t, seen.cpus));
            cr_assert_geq (vmm_get_u32 (e + 4), 255);
            cr_assert_eq (vmm_get_u32 (e + 8), 1);
            seen.cpus++;
            seen.x2apics++;
        } else if (e[0] == 1) {
            cr_assert_eq (e[1], 12);
            cr_assert_eq (vmm_get_u32 (e + 4), VMM_X86_IOAPIC_BASE);
            cr_assert_eq (vmm_get_u32 (e + 8), 0);
            seen.ioapics++;
        } else if (e[0] == 4 || e[0] == 10) {
            cr_assert_eq (e[e[0] == 4 ? 5 : 8], 1, "LINT1");
            seen.nmis++;
        } else {
            cr_assert (false, "entry of type %u", e[0]);
        }
        at += e[1];
    }
    cr_assert_eq (at, len);
    return seen;
}

Test (acpi, madt_lists_the_cpus)
{
    const unsigned counts[] = {1, 8, 64, 255, 256, 300, 4096};

    for (size_t i = 0; i < G_N_ELEMENTS (counts); i++) {
        VmmCpuTopology t = topology_of (counts[i]);
        VmmX86AcpiConfig config = full_config (&t);
        g_auto (VmmX86AcpiTables) tables = {NULL};
        struct madt_seen seen;

        cr_assert (vmm_x86_acpi_build (&config, &tables, NULL));
        cr_assert_leq (tables.image->len, VMM_X86_ACPI_MAX);
        seen = walk_madt (&tables, &t);
        cr_assert_eq (seen.cpus, counts[i]);
        cr_assert_eq (seen.ioapics, 1);
        cr_assert_eq (seen.x2apics, counts[i] > 255 ? counts[i] - 255 : 0);
        cr_assert_eq (seen.nmis, counts[i] > 255 ? 2 : 1);
    }
}

Test (acpi, madt_has_the_gaps_of_the_topology)
{
    VmmCpuTopology t = {12, 2, 3, 2};
    VmmX86AcpiConfig config = full_config (&t);
    g_auto (VmmX86AcpiTables) tables = {NULL};

    cr_assert (vmm_x86_acpi_build (&config, &tables, NULL));
    cr_assert_eq (walk_madt (&tables, &t).cpus, 12);
}

Test (acpi, too_many_cpus_is_a_message)
{
    VmmCpuTopology t = topology_of (20000);
    VmmX86AcpiConfig config = full_config (&t);
    VmmX86AcpiTables tables = {.n_tables = 99};
    g_autoptr (GError) error = NULL;

    cr_assert_not (vmm_x86_acpi_build (&config, &tables, &error));
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE));
    cr_assert_not_null (strstr (error->message, "20000 CPUs"));
    cr_assert_eq (tables.n_tables, 99);
}

Test (acpi, written_to_guest_memory)
{
    VmmCpuTopology t = topology_of (1);
    VmmX86AcpiConfig config = full_config (&t);
    VmmMemRange range = {0, 1 << 20}, small = {0, 4096};
    VmmMemBacking backing = {.kind = VMM_MEM_BACKING_ANON};
    g_autoptr (VmmGuestMemory) memory = vmm_guest_memory_new (&range, 1, &backing, NULL);
    g_autoptr (VmmGuestMemory) tiny = vmm_guest_memory_new (&small, 1, &backing, NULL);
    g_autoptr (GError) error = NULL;
    g_auto (VmmX86AcpiTables) tables = {NULL};
    uint64_t rsdp = 0;

    cr_assert (vmm_x86_acpi_write (memory, &config, &rsdp, NULL));
    cr_assert_eq (rsdp % 16, 0, "where a guest that scans looks");
    cr_assert (rsdp >= 0xe0000 && rsdp < 0x100000);
    cr_assert (vmm_x86_acpi_build (&config, &tables, NULL));
    cr_assert_arr_eq (vmm_guest_memory_ptr (memory, rsdp, tables.image->len), tables.image->data,
                      tables.image->len);
    cr_assert_leq (tables.image->len, 4096u, "one page for a small machine");
    cr_assert_not (vmm_x86_acpi_write (tiny, &config, &rsdp, &error));
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_HOST));
}

/* Runs iasl in @dir; its output, stdout and stderr together. Fails the test when iasl fails. */
static char *
iasl (const char *dir, const char *option, const char *file)
{
    const char *const argv[] = {"iasl", option, file, NULL};
    g_autofree char *out = NULL, *err = NULL;
    g_autoptr (GError) error = NULL;
    int status = -1;

    cr_assert (
        g_spawn_sync (dir, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err, &status, &error),
        "%s", error != NULL ? error->message : "");
    cr_assert_eq (status, 0, "iasl %s %s:\n%s%s", option, file, out, err);
    return g_strconcat (out, err, NULL);
}

/* Disassembles @signature's table, and compiles the result again; returns the source. */
static char *
round_trip (const char *dir, const VmmX86AcpiTables *tables, const char *signature)
{
    g_autofree char *file = g_strdup_printf ("%s.dat", signature),
                    *source = g_strdup_printf ("%s.dsl", signature);
    g_autofree char *path = g_build_filename (dir, file, NULL),
                    *source_path = g_build_filename (dir, source, NULL);
    g_autofree char *decompiled = NULL, *compiled = NULL;
    char *text = NULL;
    uint32_t len = 0;
    const uint8_t *bytes = table (tables, signature, &len);

    cr_assert (g_file_set_contents (path, (const char *)bytes, len, NULL));
    decompiled = iasl (dir, "-d", file);
    cr_assert_null (strstr (decompiled, "rror"), "%s", decompiled);
    cr_assert_null (strstr (decompiled, "arning"), "%s", decompiled);
    compiled = iasl (dir, "-we", source);
    if (strcmp (signature, "DSDT") == 0)
        cr_assert_not_null (strstr (compiled, "0 Errors, 0 Warnings, 0 Remarks"), "%s", compiled);
    cr_assert (g_file_get_contents (source_path, &text, NULL, NULL));
    return text;
}

static void
remove_tree (const char *dir)
{
    g_autoptr (GDir) d = g_dir_open (dir, 0, NULL);
    const char *name;

    while (d != NULL && (name = g_dir_read_name (d)) != NULL) {
        g_autofree char *path = g_build_filename (dir, name, NULL);

        g_unlink (path);
    }
    g_rmdir (dir);
}

static void
check_with_iasl (const VmmX86AcpiConfig *config, const char *const *in_dsdt)
{
    g_autofree char *found = g_find_program_in_path ("iasl"), *dir = NULL, *dsdt = NULL;
    g_auto (VmmX86AcpiTables) tables = {NULL};

    if (found == NULL)
        cr_skip_test ("needs iasl");
    cr_assert (vmm_x86_acpi_build (config, &tables, NULL));
    dir = g_dir_make_tmp ("vmm-acpi-XXXXXX", NULL);
    cr_assert_not_null (dir);
    for (size_t i = 0; i < tables.n_tables; i++) {
        g_autofree char *source = NULL;

        /* iasl knows the RSDP only with a longer name, and it has been checked by hand. */
        if (strcmp (tables.tables[i].signature, "RSDP") == 0)
            continue;
        source = round_trip (dir, &tables, tables.tables[i].signature);
        if (strcmp (tables.tables[i].signature, "DSDT") == 0)
            dsdt = g_steal_pointer (&source);
    }
    for (; *in_dsdt != NULL; in_dsdt++)
        cr_assert_not_null (strstr (dsdt, *in_dsdt), "\"%s\" is not in\n%s", *in_dsdt, dsdt);
    remove_tree (dir);
}

Test (acpi, iasl_reads_all_tables)
{
    const unsigned counts[] = {1, 8, 64, 300};
    const char *const all[] = {"PNP0A08",
                               "PNP0A03",
                               "PNP0C02",
                               "PNP0501",
                               "PNP0B00",
                               "QEMU0001",
                               "PNP0C0C",
                               "ACPI0013",
                               "_S5",
                               "Notify (PWRB, 0x80)",
                               "SystemIO, 0x0604, One",
                               "0x0505",
                               "_PRT",
                               "LNRO0005",
                               "0xDFFFFFFF",
                               "0x0000010FFFFFFFFF",
                               NULL};

    for (size_t i = 0; i < G_N_ELEMENTS (counts); i++) {
        VmmCpuTopology t = topology_of (counts[i]);
        VmmX86AcpiConfig config = full_config (&t);

        check_with_iasl (&config, all);
    }
}

Test (acpi, iasl_reads_the_smallest_machine)
{
    const char *const some[] = {"PNP0C0C", NULL};
    VmmCpuTopology t = topology_of (1);
    VmmX86AcpiConfig config = {.topology = &t};

    check_with_iasl (&config, some);
}
