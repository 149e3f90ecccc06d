/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm doctor: what this host can do for virtual machines, and what to do about the rest. The findings and
 * their words come from the library's host probe; this file only lays them out.
 */
#include "cmd.h"

#include <errno.h>
#include <string.h>

#include <glib.h>
#include <jansson.h>

#include <vmm/vmm.h>

#include "table.h"

#define EXIT_CAN_RUN 0
#define EXIT_USAGE 2
#define EXIT_HOST 4
#define LEVEL_COLUMN 9u
#define LEFT_MARGIN 2u

typedef struct {
    gboolean json;
    gboolean verbose;
    gboolean no_speed;
} DoctorOptions;

static CliColour
level_colour (VmmHostLevel level)
{
    switch (level) {
    case VMM_HOST_OK:
        return CLI_GREEN;
    case VMM_HOST_NOTE:
        return CLI_PLAIN;
    case VMM_HOST_WARNING:
        return CLI_YELLOW;
    case VMM_HOST_FAILURE:
    default:
        return CLI_RED;
    }
}

static void
print_check (const VmmHostCheck *check, unsigned title_width, bool colours, bool verbose)
{
    unsigned indent = LEFT_MARGIN + LEVEL_COLUMN, width = cli_text_width (stdout);

    printf ("%*s", (int)LEFT_MARGIN, "");
    cli_print_cell (stdout, vmm_host_level_to_string (check->level), LEVEL_COLUMN,
                    colours ? level_colour (check->level) : CLI_PLAIN);
    cli_print_cell (stdout, check->title, title_width + 2, CLI_PLAIN);
    printf ("%s\n", check->value);
    if (check->level == VMM_HOST_OK && !verbose)
        return;
    cli_print_wrapped (stdout, check->explanation, indent, width, colours ? CLI_DIM : CLI_PLAIN);
    if (check->advice != NULL) {
        g_autofree char *advice = g_strconcat ("-> ", check->advice, NULL);
        cli_print_wrapped (stdout, advice, indent, width, CLI_PLAIN);
    }
}

static void
print_summary (const VmmHostReport *report, bool colours)
{
    static const char *const sentences[] = {
        "This host can run machines.",
        "This host can run machines.",
        "This host can run machines, with the limits that the warnings above tell.",
        "This host cannot run machines until the failure above is repaired.",
    };
    VmmHostLevel level = vmm_host_report_get_level (report);

    fputc ('\n', stdout);
    cli_print_cell (stdout, sentences[level], 0,
                    colours ? level_colour (level == VMM_HOST_NOTE ? VMM_HOST_OK : level) : CLI_PLAIN);
    fputc ('\n', stdout);
}

static void
print_report (const VmmHostReport *report, bool verbose)
{
    bool colours = cli_colours_wanted (stdout);
    unsigned n_checks = vmm_host_report_get_n_checks (report), title_width = 0;

    for (unsigned i = 0; i < n_checks; i++)
        title_width = MAX (title_width, (unsigned)strlen (vmm_host_report_get_check (report, i)->title));
    for (unsigned i = 0; i < n_checks; i++)
        print_check (vmm_host_report_get_check (report, i), title_width, colours, verbose);
    print_summary (report, colours);
}

/* Three decimals say enough about a speed; 0 from the library means "not measured", which JSON says by null.
 */
static json_t *
json_mips (double mips)
{
    return mips > 0 ? json_real ((double)(int64_t)(mips * 1000 + 0.5) / 1000) : json_null ();
}

static json_t *
json_unless_zero (uint64_t value)
{
    return value > 0 ? json_integer ((json_int_t)value) : json_null ();
}

/* null means no limit: JSON's integers end below G_MAXUINT64. */
static json_t *
json_limit (uint64_t value)
{
    return value < G_MAXINT64 ? json_integer ((json_int_t)value) : json_null ();
}

static json_t *
json_text (const char *text)
{
    return text != NULL && text[0] != '\0' ? json_string (text) : json_null ();
}

static json_t *
json_kvm (const VmmHostFacts *facts)
{
    json_t *capabilities = json_pack (
        "{s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b}", "user_memory", (int)facts->cap_user_memory,
        "irqfd", (int)facts->cap_irqfd, "ioeventfd", (int)facts->cap_ioeventfd, "immediate_exit",
        (int)facts->cap_immediate_exit, "irqchip", (int)facts->cap_irqchip, "split_irqchip",
        (int)facts->cap_split_irqchip, "signal_msi", (int)facts->cap_signal_msi, "readonly_mem",
        (int)facts->cap_readonly_mem, "xsave2", (int)facts->cap_xsave2, "dirty_ring",
        (int)facts->cap_dirty_ring, "guest_memfd", (int)facts->cap_guest_memfd);

    return json_pack (
        "{s:b, s:b, s:b, s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:b, s:o}", "present", (int)facts->kvm_present,
        "accessible", (int)facts->kvm_accessible, "usable", (int)facts->kvm_usable, "api_version",
        json_unless_zero ((uint64_t)facts->kvm_api_version), "recommended_vcpus",
        json_unless_zero (facts->kvm_recommended_vcpus), "max_vcpus", json_unless_zero (facts->kvm_max_vcpus),
        "max_memslots", json_unless_zero (facts->kvm_max_memslots), "nested", (int)facts->kvm_nested,
        "ring0_mips", json_mips (facts->ring0_mips), "ring3_mips", json_mips (facts->ring3_mips),
        "ring0_fast", (int)facts->ring0_fast, "capabilities", capabilities);
}

static json_t *
json_memory (const VmmHostFacts *facts)
{
    json_t *pools = json_array ();

    for (unsigned i = 0; i < facts->n_hugepages; i++)
        json_array_append_new (pools, json_pack ("{s:I, s:I, s:I}", "page_size",
                                                 (json_int_t)facts->hugepages[i].size, "total",
                                                 (json_int_t)facts->hugepages[i].total, "free",
                                                 (json_int_t)facts->hugepages[i].free));
    return json_pack ("{s:o, s:o, s:o, s:o}", "total", json_unless_zero (facts->memory_total), "available",
                      json_unless_zero (facts->memory_available), "thp", json_text (facts->thp_mode),
                      "hugepages", pools);
}

static json_t *
json_checks (const VmmHostReport *report)
{
    json_t *checks = json_array ();

    for (unsigned i = 0; i < vmm_host_report_get_n_checks (report); i++) {
        const VmmHostCheck *check = vmm_host_report_get_check (report, i);
        json_array_append_new (
            checks, json_pack ("{s:s, s:s, s:s, s:s, s:s, s:o}", "id", check->id, "title", check->title,
                               "level", vmm_host_level_to_string (check->level), "value", check->value,
                               "explanation", check->explanation, "advice", json_text (check->advice)));
    }
    return checks;
}

static bool
print_json (const VmmHostReport *report)
{
    const VmmHostFacts *facts = vmm_host_report_get_facts (report);
    VmmHostLevel level = vmm_host_report_get_level (report);
    json_t *cpu = json_pack ("{s:b, s:b, s:b, s:o}", "vmx", (int)facts->cpu_vmx, "svm", (int)facts->cpu_svm,
                             "in_vm", (int)facts->cpu_in_vm, "hypervisor", json_text (facts->cpu_hypervisor));
    json_t *limits =
        json_pack ("{s:o, s:o, s:o}", "memlock", json_limit (facts->limit_memlock), "nofile",
                   json_limit (facts->limit_nofile), "nofile_hard", json_limit (facts->limit_nofile_hard));
    json_t *kernel =
        json_pack ("{s:b, s:b, s:b, s:b, s:o}", "io_uring", (int)facts->io_uring, "userfaultfd",
                   (int)facts->userfaultfd, "cgroup2", (int)facts->cgroup2, "seccomp", (int)facts->seccomp,
                   "landlock_abi", json_unless_zero ((uint64_t)facts->landlock_abi));
    json_t *document =
        json_pack ("{s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "level", vmm_host_level_to_string (level),
                   "can_run", (int)(level < VMM_HOST_FAILURE), "kvm", json_kvm (facts), "cpu", cpu, "memory",
                   json_memory (facts), "limits", limits, "kernel", kernel, "checks", json_checks (report));
    bool ok =
        document != NULL && json_dumpf (document, stdout, JSON_INDENT (2) | JSON_REAL_PRECISION (10)) == 0;

    json_decref (document);
    fputc ('\n', stdout);
    return ok;
}

static bool
parse_options (int argc, char **argv, DoctorOptions *options)
{
    const GOptionEntry entries[] = {
        {"json", 0, 0, G_OPTION_ARG_NONE, &options->json, "Write the findings as JSON", NULL},
        {"verbose", 'v', 0, G_OPTION_ARG_NONE, &options->verbose, "Explain also what is as it should be",
         NULL},
        {"no-speed", 0, 0, G_OPTION_ARG_NONE, &options->no_speed, "Do not measure how fast guests run", NULL},
        {NULL},
    };
    g_autoptr (GOptionContext) context = g_option_context_new (NULL);
    g_autoptr (GError) error = NULL;

    g_set_prgname ("vmm doctor");
    g_option_context_set_summary (context, "Find out what this host can do for virtual machines.");
    g_option_context_set_description (context, "Exit code: 0 when machines can run here, warnings included;\n"
                                               "2 for bad usage; 4 when they cannot run.");
    g_option_context_add_main_entries (context, entries, NULL);
    if (!g_option_context_parse (context, &argc, &argv, &error)) {
        g_printerr ("vmm doctor: %s; see \"vmm doctor --help\"\n", error->message);
        return false;
    }
    if (argc > 1) {
        g_printerr ("vmm doctor: \"%s\": no argument is expected; see \"vmm doctor --help\"\n", argv[1]);
        return false;
    }
    return true;
}

/**
 * cmd_doctor:
 * @argc: arguments, the command's name included
 * @argv: the arguments; argv[0] is the command's name
 *
 * Probes the host and prints what it found.
 *
 * Returns: the exit code: 0 when machines can run here, 2 for bad usage, 4 when they cannot run
 */
int
cmd_doctor (int argc, char **argv)
{
    DoctorOptions options = {0};

    if (!parse_options (argc, argv, &options))
        return EXIT_USAGE;

    g_autoptr (VmmHostReport) report =
        vmm_host_probe (options.no_speed ? VMM_HOST_PROBE_NO_SPEED : VMM_HOST_PROBE_DEFAULT);
    bool written = true;
    if (options.json)
        written = print_json (report);
    else
        print_report (report, options.verbose);
    if (fflush (stdout) != 0 || ferror (stdout) || !written) {
        g_printerr ("vmm doctor: cannot write the report: %s\n", g_strerror (errno));
        return EXIT_HOST;
    }
    return vmm_host_report_get_level (report) < VMM_HOST_FAILURE ? EXIT_CAN_RUN : EXIT_HOST;
}
