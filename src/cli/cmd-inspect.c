/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm inspect: what a kernel image is, and what it will find on the machine. The facts, the findings and
 * their words come from the library; this file only lays them out.
 */
#include "cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <glib.h>
#include <jansson.h>

#include <vmm/vmm.h>

#include "inspect.h"
#include "options.h"
#include "table.h"

#define LEFT_MARGIN 2u
#define LEVEL_COLUMN 9u
#define NAME_COLUMN 14u

typedef struct {
    gboolean json;
    gboolean config;
    gboolean verbose;
    char *kconfig;
    const char *kernel;
} InspectOptions;

static char *
size_text (uint64_t bytes)
{
    if (bytes >= 1u << 20)
        return g_strdup_printf ("%.1f MiB", (double)bytes / (1 << 20));
    if (bytes >= 1u << 10)
        return g_strdup_printf ("%.1f KiB", (double)bytes / (1 << 10));
    return g_strdup_printf ("%" PRIu64 " bytes", bytes);
}

/* Takes @text over. */
static void
print_fact (const char *name, char *text)
{
    printf ("%*s", (int)LEFT_MARGIN, "");
    cli_print_cell (stdout, name, NAME_COLUMN, CLI_PLAIN);
    printf ("%s\n", text);
    g_free (text);
}

static char *
describe_format (const VmmImageFacts *facts)
{
    if (facts->format == VMM_IMAGE_BZIMAGE)
        return g_strdup_printf ("Linux bzImage, boot protocol %u.%02u%s", facts->boot_protocol >> 8,
                                facts->boot_protocol & 0xff, facts->efi_stub ? ", with EFI stub" : "");
    return g_strdup_printf ("%s-bit ELF, %s", facts->is_64 ? "64" : "32",
                            facts->is_linux ? "Linux (vmlinux)" : "not Linux");
}

static char *
describe_compression (const VmmImageFacts *facts)
{
    g_autofree char *packed = size_text (facts->packed_size);
    g_autofree char *unpacked = size_text (facts->unpacked_size);
    GString *text = g_string_new (NULL);

    if (facts->wrapper != NULL) {
        g_autofree char *file = size_text (facts->file_size);
        g_string_append_printf (text, "%s around the whole file, %s", facts->wrapper, file);
    }
    if (facts->format == VMM_IMAGE_BZIMAGE)
        g_string_append_printf (text, "%s%s, %s", text->len > 0 ? "; inside " : "",
                                facts->compression != NULL ? facts->compression : "unknown", packed);
    if (facts->unpacked_size > 0 && text->len > 0)
        g_string_append_printf (text, ", unpacks to %s", unpacked);
    else if (text->len == 0)
        g_string_append_printf (text, "none, %s", unpacked);
    return g_string_free (text, FALSE);
}

static void
append_entry (GString *text, const char *name, uint64_t address, const char *default_entry)
{
    g_string_append_printf (text, "%s%s", text->len > 0 ? ", " : "", name);
    if (address != 0)
        g_string_append_printf (text, " at 0x%" PRIx64, address);
    if (g_str_equal (name, default_entry))
        g_string_append (text, " (default)");
}

static char *
describe_entries (const VmmImageFacts *facts)
{
    GString *text = g_string_new (NULL);

    if (facts->has_entry_unpacked)
        append_entry (text, "unpacked", facts->entry_unpacked, facts->default_entry);
    if (facts->has_entry_bzimage)
        append_entry (text, "bzimage", 0, facts->default_entry);
    if (facts->has_entry_pvh)
        append_entry (text, "pvh", facts->entry_pvh, facts->default_entry);
    return g_string_free (text, FALSE);
}

static void
print_facts (const char *path, const VmmImageFacts *facts)
{
    printf ("%s\n", path);
    print_fact ("Format", describe_format (facts));
    if (facts->version != NULL)
        print_fact ("Version", g_strdup (facts->version));
    print_fact ("Compression", describe_compression (facts));
    print_fact ("Entries", describe_entries (facts));
    print_fact ("Memory",
                g_strdup_printf ("0x%" PRIx64 " to 0x%" PRIx64 " (%.1f to %.1f MiB)", facts->load_start,
                                 facts->load_end, (double)facts->load_start / (1 << 20),
                                 (double)facts->load_end / (1 << 20)));
    if (facts->cmdline_max > 0)
        print_fact ("Command line", g_strdup_printf ("up to %" PRIu32 " bytes", facts->cmdline_max));
    if (facts->is_linux)
        print_fact ("Config",
                    facts->config_path != NULL
                        ? g_strdup (facts->config_path)
                        : g_strdup (facts->config_source == VMM_IMAGE_CONFIG_EMBEDDED ? "embedded" : "none"));
    fputc ('\n', stdout);
}

static CliColour
level_colour (VmmImageLevel level)
{
    static const CliColour colours[] = {CLI_GREEN, CLI_PLAIN, CLI_YELLOW, CLI_RED};

    return colours[MIN (level, VMM_IMAGE_FAILURE)];
}

static void
print_check (const VmmImageCheck *check, unsigned title_width, bool colours, bool verbose)
{
    unsigned indent = LEFT_MARGIN + LEVEL_COLUMN, width = cli_text_width (stdout);

    printf ("%*s", (int)LEFT_MARGIN, "");
    cli_print_cell (stdout, vmm_image_level_to_string (check->level), LEVEL_COLUMN,
                    colours ? level_colour (check->level) : CLI_PLAIN);
    cli_print_cell (stdout, check->title, title_width + 2, CLI_PLAIN);
    printf ("%s\n", check->value);
    if (check->level == VMM_IMAGE_OK && !verbose)
        return;
    cli_print_wrapped (stdout, check->explanation, indent, width, colours ? CLI_DIM : CLI_PLAIN);
    if (check->advice != NULL) {
        g_autofree char *advice = g_strconcat ("-> ", check->advice, NULL);
        cli_print_wrapped (stdout, advice, indent, width, CLI_PLAIN);
    }
}

static const char *
summarize_disks (VmmImageAnswer answer)
{
    switch (answer) {
    case VMM_IMAGE_YES:
        return "finds virtio disks";
    case VMM_IMAGE_MODULE:
        return "finds virtio disks with modules from its initrd";
    case VMM_IMAGE_NO:
        return "finds no virtio disks";
    case VMM_IMAGE_UNKNOWN:
    default:
        return "perhaps finds virtio disks with modules from its initrd";
    }
}

static void
print_summary (const VmmImage *image, bool colours)
{
    const VmmImageFacts *facts = vmm_image_get_facts (image);
    VmmImageLevel level = vmm_image_get_level (image);
    g_autofree char *text = NULL;

    if (level >= VMM_IMAGE_FAILURE)
        text = g_strdup ("This kernel does not boot here, see the failure above.");
    else if (facts->console == VMM_IMAGE_UNKNOWN)
        text = g_strdup_printf ("This kernel boots here; what it finds on the machine is %s.",
                                facts->is_linux ? "not known" : "its own affair");
    else
        text = g_strdup_printf (
            "This kernel boots here, %s, and %s%s.",
            facts->console == VMM_IMAGE_YES ? "finds its console" : "does not find its console",
            summarize_disks (facts->disks),
            facts->config_source == VMM_IMAGE_CONFIG_NONE ? ", by the guesses above" : "");
    fputc ('\n', stdout);
    cli_print_wrapped (stdout, text, 0, cli_text_width (stdout),
                       colours ? level_colour (level == VMM_IMAGE_NOTE ? VMM_IMAGE_OK : level) : CLI_PLAIN);
}

/**
 * inspect_print:
 * @path: what to call it
 * @verbose: explain also what is as it should be
 *
 * Lays @image out for people, on standard output.
 */
void
inspect_print (const char *path, const VmmImage *image, bool verbose)
{
    bool colours = cli_colours_wanted (stdout);
    unsigned n_checks = vmm_image_get_n_checks (image), title_width = 0;

    print_facts (path, vmm_image_get_facts (image));
    for (unsigned i = 0; i < n_checks; i++)
        title_width = MAX (title_width, (unsigned)strlen (vmm_image_get_check (image, i)->title));
    for (unsigned i = 0; i < n_checks; i++)
        print_check (vmm_image_get_check (image, i), title_width, colours, verbose);
    print_summary (image, colours);
}

/**
 * inspect_json_text:
 * @text: (nullable): any bytes, such as a path
 *
 * Returns: (transfer full): as JSON, which is UTF-8
 */
json_t *
inspect_json_text (const char *text)
{
    g_autofree char *valid = text != NULL ? g_utf8_make_valid (text, -1) : NULL;

    return valid != NULL ? json_string (valid) : json_null ();
}

static json_t *
json_unless_zero (uint64_t value)
{
    return value > 0 && value <= G_MAXINT64 ? json_integer ((json_int_t)value) : json_null ();
}

static json_t *
json_entries (const VmmImageFacts *facts)
{
    json_t *entries = json_object ();

    if (facts->has_entry_unpacked)
        json_object_set_new (entries, "unpacked",
                             json_pack ("{s:o}", "address", json_unless_zero (facts->entry_unpacked)));
    if (facts->has_entry_bzimage)
        json_object_set_new (entries, "bzimage", json_pack ("{s:n}", "address"));
    if (facts->has_entry_pvh)
        json_object_set_new (entries, "pvh",
                             json_pack ("{s:o}", "address", json_unless_zero (facts->entry_pvh)));
    return entries;
}

static json_t *
json_checks (const VmmImage *image)
{
    json_t *checks = json_array ();

    for (unsigned i = 0; i < vmm_image_get_n_checks (image); i++) {
        const VmmImageCheck *check = vmm_image_get_check (image, i);
        json_array_append_new (checks,
                               json_pack ("{s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "id", check->id, "title",
                                          check->title, "level", vmm_image_level_to_string (check->level),
                                          "basis", vmm_image_basis_to_string (check->basis), "value",
                                          inspect_json_text (check->value), "explanation",
                                          inspect_json_text (check->explanation), "advice",
                                          inspect_json_text (check->advice)));
    }
    return checks;
}

static json_t *
json_protocol (const VmmImageFacts *facts)
{
    g_autofree char *text =
        g_strdup_printf ("%u.%02u", facts->boot_protocol >> 8, facts->boot_protocol & 0xff);

    return facts->boot_protocol != 0 ? json_string (text) : json_null ();
}

/**
 * inspect_to_json:
 * @path: what to call it
 *
 * Returns: (transfer full): all about @image, as vmm(1) describes it
 */
json_t *
inspect_to_json (const char *path, const VmmImage *image)
{
    const VmmImageFacts *facts = vmm_image_get_facts (image);
    VmmImageLevel level = vmm_image_get_level (image);
    json_t *compression = json_pack (
        "{s:o, s:o, s:I, s:o, s:o}", "file", inspect_json_text (facts->wrapper), "kernel",
        inspect_json_text (facts->compression), "file_bytes", (json_int_t)facts->file_size, "packed_bytes",
        json_unless_zero (facts->packed_size), "unpacked_bytes", json_unless_zero (facts->unpacked_size));
    json_t *load = json_pack ("{s:I, s:I, s:b, s:b}", "start", (json_int_t)facts->load_start, "end",
                              (json_int_t)facts->load_end, "relocatable", (int)facts->relocatable, "kaslr",
                              (int)facts->kaslr);
    json_t *config = json_pack (
        "{s:s, s:o, s:b}", "source", vmm_image_config_source_to_string (facts->config_source), "path",
        inspect_json_text (facts->config_path), "embedded", (int)(vmm_image_get_config (image) != NULL));
    json_t *finds = json_pack ("{s:s, s:s, s:s}", "console", vmm_image_answer_to_string (facts->console),
                               "disks", vmm_image_answer_to_string (facts->disks), "network",
                               vmm_image_answer_to_string (facts->network));

    return json_pack (
        "{s:o, s:b, s:n, s:s, s:s, s:b, s:i, s:o, s:b, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, "
        "s:o}",
        "path", inspect_json_text (path), "bootable", (int)(level < VMM_IMAGE_FAILURE), "reason", "level",
        vmm_image_level_to_string (level), "format", vmm_image_format_to_string (facts->format), "linux",
        (int)facts->is_linux, "bits", facts->is_64 ? 64 : 32, "boot_protocol", json_protocol (facts),
        "efi_stub", (int)facts->efi_stub, "version", inspect_json_text (facts->version), "release",
        inspect_json_text (facts->release), "entries", json_entries (facts), "default_entry",
        facts->default_entry, "compression", compression, "load", load, "cmdline_max",
        json_unless_zero (facts->cmdline_max), "max_cpus", json_unless_zero (facts->max_cpus), "config",
        config, "finds", finds, "checks", json_checks (image));
}

static bool
print_json (json_t *document)
{
    bool ok = document != NULL && json_dumpf (document, stdout, JSON_INDENT (2)) == 0;

    json_decref (document);
    fputc ('\n', stdout);
    return ok;
}

static bool
print_config (const InspectOptions *options, const VmmImage *image)
{
    const VmmImageFacts *facts = vmm_image_get_facts (image);
    const char *text = vmm_image_get_config (image);

    if (text != NULL) {
        fputs (text, stdout);
        return true;
    }
    g_printerr ("vmm inspect: kernel \"%s\": no configuration inside (it was built without CONFIG_IKCONFIG)",
                options->kernel);
    if (facts->config_source == VMM_IMAGE_CONFIG_BESIDE)
        g_printerr ("; the one beside it is \"%s\"", facts->config_path);
    g_printerr ("\n");
    return false;
}

static bool
parse_options (int argc, char **argv, InspectOptions *options)
{
    const GOptionEntry entries[] = {
        {"json", 0, 0, G_OPTION_ARG_NONE, &options->json, "Write it all as JSON", NULL},
        {"config", 0, 0, G_OPTION_ARG_NONE, &options->config, "Print the configuration inside the kernel",
         NULL},
        {"kconfig", 0, 0, G_OPTION_ARG_FILENAME, &options->kconfig,
         "Judge by the configuration (.config) in FILE", "FILE"},
        {"verbose", 'v', 0, G_OPTION_ARG_NONE, &options->verbose, "Explain also what is as it should be",
         NULL},
        {NULL},
    };
    g_autoptr (GOptionContext) context = g_option_context_new ("KERNEL");
    g_autoptr (GError) error = NULL;

    g_set_prgname ("vmm inspect");
    g_option_context_set_summary (context,
                                  "Tell what a kernel image is, and what it will find on vmm's machine.");
    g_option_context_set_description (context,
                                      "Exit code: 0 when the kernel can be booted here; 6 when it cannot;\n"
                                      "2 for bad usage or a file that cannot be read; 4 for a failure of the "
                                      "host.");
    g_option_context_add_main_entries (context, entries, NULL);
    if (!g_option_context_parse (context, &argc, &argv, &error)) {
        g_printerr ("vmm inspect: %s; see \"vmm inspect --help\"\n", error->message);
        return false;
    }
    options_drop_separator (&argc, argv);
    if (argc != 2 || (options->json && options->config)) {
        g_printerr ("vmm inspect: %s; see \"vmm inspect --help\"\n",
                    argc < 2    ? "name a kernel"
                    : argc == 2 ? "--json and --config exclude each other"
                                : "name one kernel only");
        return false;
    }
    options->kernel = argv[1];
    return true;
}

/* No image. A program that asked for JSON gets the answer "no" in JSON, too. */
static int
report_error (const InspectOptions *options, const GError *error)
{
    int code = vmm_exit_code_for_error (error);

    if (options->json && code == VMM_EXIT_NOT_BOOTABLE)
        print_json (json_pack ("{s:o, s:b, s:o}", "path", inspect_json_text (options->kernel), "bootable", 0,
                               "reason", inspect_json_text (error->message)));
    else
        g_printerr ("vmm inspect: %s\n", error->message);
    return code;
}

static int
inspect (const InspectOptions *options)
{
    g_autoptr (GError) error = NULL;
    g_autoptr (VmmImage) image = vmm_image_open (options->kernel, &error);
    bool written = true;

    if (image == NULL ||
        (options->kconfig != NULL && !vmm_image_read_config (image, options->kconfig, &error)))
        return report_error (options, error);
    if (options->config && !print_config (options, image))
        return VMM_EXIT_USAGE;
    if (options->json)
        written = print_json (inspect_to_json (options->kernel, image));
    else if (!options->config)
        inspect_print (options->kernel, image, options->verbose);
    if (fflush (stdout) != 0 || ferror (stdout) || !written) {
        g_printerr ("vmm inspect: cannot write: %s\n", g_strerror (errno));
        return VMM_EXIT_HOST_ERROR;
    }
    return vmm_image_get_level (image) < VMM_IMAGE_FAILURE ? 0 : VMM_EXIT_NOT_BOOTABLE;
}

/**
 * cmd_inspect:
 * @argc: arguments, the command's name included
 * @argv: the arguments; argv[0] is the command's name
 *
 * Looks at a kernel and prints what it is.
 *
 * Returns: the exit code: 0 when it can be booted here, 6 when it cannot, 2 for bad usage or a file that
 * cannot be read, 4 for a failure of the host
 */
int
cmd_inspect (int argc, char **argv)
{
    InspectOptions options = {0};
    g_autofree char *stored = NULL;
    g_autoptr (GError) error = NULL;
    int code = VMM_EXIT_USAGE;

    if (parse_options (argc, argv, &options)) {
        if (!options_find_kernel (options.kernel, &stored, &error))
            code = report_error (&options, error);
        else {
            options.kernel = stored != NULL ? stored : options.kernel;
            code = inspect (&options);
        }
    }
    g_free (options.kconfig);
    return code;
}
