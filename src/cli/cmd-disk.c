/* SPDX-License-Identifier: Apache-2.0 */
/* vmm disk: makes disk images, tells what they are, and checks them. The work is done by the library. */
#include "cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <glib.h>
#include <jansson.h>

#include <vmm/vmm.h>

#include "options.h"
#include "table.h"

#define NAME_COLUMN 16u

typedef struct {
    gboolean json;
    gboolean force;
    char *format;
    char *backing;
    char *backing_format;
    char *cluster_size;
} DiskOptions;

static int
usage (const char *text)
{
    g_printerr ("vmm disk: %s; see \"vmm disk --help\"\n", text);
    return VMM_EXIT_USAGE;
}

static int
report_error (const GError *error)
{
    g_printerr ("vmm disk: %s\n", error->message);
    return vmm_exit_code_for_error (error);
}

static int
finish (bool written)
{
    if (fflush (stdout) == 0 && !ferror (stdout) && written)
        return 0;
    g_printerr ("vmm disk: cannot write: %s\n", g_strerror (errno));
    return VMM_EXIT_HOST_ERROR;
}

/* Bytes, or with K, M, G or T. */
static bool
parse_size (const char *text, uint64_t *ret_size)
{
    static const char units[] = "KMGT";
    char *end = NULL;
    const char *unit;
    uint64_t size;
    unsigned shift = 0;

    if (!g_ascii_isdigit (text[0]))
        return false;
    errno = 0;
    size = g_ascii_strtoull (text, &end, 10);
    if (errno != 0)
        return false;
    if (end[0] != '\0') {
        unit = strchr (units, g_ascii_toupper (end[0]));
        if (unit == NULL || end[1] != '\0')
            return false;
        shift = 10 * (unsigned)(unit - units + 1);
    }
    if (size > (uint64_t)INT64_MAX >> shift)
        return false;
    *ret_size = size << shift;
    return true;
}

static bool
parse_format (const char *text, VmmDiskFormat *ret_format)
{
    for (VmmDiskFormat format = VMM_DISK_RAW; format <= VMM_DISK_QCOW2; format++) {
        if (g_str_equal (text, vmm_disk_format_to_string (format))) {
            *ret_format = format;
            return true;
        }
    }
    return false;
}

static int
create (const DiskOptions *options, int n, char **words)
{
    VmmDiskFormat format = VMM_DISK_QCOW2, backing_format = VMM_DISK_RAW;
    g_autoptr (GError) error = NULL;
    uint64_t size = 0, cluster_size = 0;

    if (n < 1 || n > 2 || (n == 1 && options->backing == NULL))
        return usage ("say vmm disk create PATH SIZE");
    if (options->format != NULL && !parse_format (options->format, &format))
        return usage ("--format is raw or qcow2");
    if (n == 2 && (!parse_size (words[1], &size) || size == 0))
        return usage ("the size is a number of bytes, or one with K, M, G or T, such as 20G");
    if (options->cluster_size != NULL &&
        (!parse_size (options->cluster_size, &cluster_size) || cluster_size == 0))
        return usage ("--cluster-size is 512 to 2M, a power of two");
    if ((options->backing == NULL) != (options->backing_format == NULL))
        return usage ("--backing and --backing-format go together: the format of a file is never guessed");
    if (options->backing_format != NULL && !parse_format (options->backing_format, &backing_format))
        return usage ("--backing-format is raw or qcow2");
    if (!vmm_disk_create (words[0], format, size, cluster_size, options->backing, backing_format,
                          options->force, &error))
        return report_error (error);
    return 0;
}

static void
print_size (const char *name, uint64_t bytes)
{
    g_autofree char *text = g_format_size_full (bytes, G_FORMAT_SIZE_IEC_UNITS | G_FORMAT_SIZE_LONG_FORMAT);

    printf ("  ");
    cli_print_cell (stdout, name, NAME_COLUMN, CLI_PLAIN);
    printf ("%s\n", text);
}

static void
print_text (const char *name, const char *text)
{
    printf ("  ");
    cli_print_cell (stdout, name, NAME_COLUMN, CLI_PLAIN);
    printf ("%s\n", text);
}

static void
print_layer (const VmmDiskLayer *layer)
{
    g_autofree char *format =
        layer->format == VMM_DISK_QCOW2
            ? g_strdup_printf ("qcow2, version %u, %s", layer->version, layer->compression)
            : g_strdup ("raw");
    g_autofree char *snapshots = g_strdup_printf ("%u", layer->n_snapshots);

    printf ("%s\n", layer->path);
    print_text ("Format", format);
    print_size ("Disk", layer->virtual_size);
    print_size ("On the host", layer->actual_size);
    if (layer->format == VMM_DISK_RAW)
        return;
    print_size ("Clusters", layer->cluster_size);
    print_text ("Snapshots", snapshots);
    if (layer->corrupt)
        print_text ("State", "marked as damaged: repair it with \"qemu-img check -r all\"");
    else if (layer->dirty)
        print_text ("State", "not closed: repaired when it is next opened for writing");
}

/* A path may be any bytes, JSON is UTF-8. */
static json_t *
json_text (const char *text)
{
    g_autofree char *valid = text != NULL ? g_utf8_make_valid (text, -1) : NULL;

    return valid != NULL ? json_string (valid) : json_null ();
}

static json_t *
json_layer (const VmmDiskLayer *layer)
{
    json_t *object =
        json_pack ("{s:o, s:s, s:I, s:I}", "path", json_text (layer->path), "format",
                   vmm_disk_format_to_string (layer->format), "virtual_bytes",
                   (json_int_t)layer->virtual_size, "actual_bytes", (json_int_t)layer->actual_size);

    if (layer->format == VMM_DISK_QCOW2)
        json_object_set_new (object, "qcow2",
                             json_pack ("{s:i, s:I, s:s, s:i, s:i, s:b, s:b, s:b}", "version",
                                        (int)layer->version, "cluster_bytes", (json_int_t)layer->cluster_size,
                                        "compression", layer->compression, "snapshots",
                                        (int)layer->n_snapshots, "refcount_bits", (int)layer->refcount_bits,
                                        "lazy_refcounts", (int)layer->lazy_refcounts, "dirty",
                                        (int)layer->dirty, "corrupt", (int)layer->corrupt));
    return object;
}

static bool
print_json (json_t *document)
{
    bool ok = document != NULL && json_dumpf (document, stdout, JSON_INDENT (2)) == 0;

    json_decref (document);
    fputc ('\n', stdout);
    return ok;
}

static int
info (const DiskOptions *options, int n, char **words)
{
    g_autoptr (GError) error = NULL;
    g_autoptr (VmmDiskInfo) disk = NULL;
    json_t *backing = json_array (), *object = NULL;
    bool written = true;

    disk = n == 1 ? vmm_disk_get_info (words[0], &error) : NULL;
    for (unsigned i = 0; disk != NULL && i < vmm_disk_info_get_n_layers (disk); i++) {
        const VmmDiskLayer *layer = vmm_disk_info_get_layer (disk, i);

        if (!options->json)
            print_layer (layer);
        else if (i == 0)
            object = json_layer (layer);
        else
            json_array_append_new (backing, json_layer (layer));
    }
    if (object != NULL) {
        json_object_set (object, "backing", backing);
        written = print_json (object);
    }
    json_decref (backing);
    if (n != 1)
        return usage ("say vmm disk info PATH");
    return disk != NULL ? finish (written) : report_error (error);
}

static int
check (const DiskOptions *options, int n, char **words)
{
    g_autoptr (GError) error = NULL;
    VmmDiskCheck found;
    bool clean, written = true;
    int code;

    if (n != 1)
        return usage ("say vmm disk check PATH");
    if (!vmm_disk_check (words[0], &found, &error))
        return report_error (error);
    clean = found.damage == 0 && found.errors == 0 && found.leaks == 0;
    if (options->json)
        written = print_json (json_pack ("{s:o, s:b, s:I, s:I, s:I, s:I}", "path", json_text (words[0]),
                                         "clean", (int)clean, "damage", (json_int_t)found.damage, "errors",
                                         (json_int_t)found.errors, "leaks", (json_int_t)found.leaks,
                                         "allocated_clusters", (json_int_t)found.allocated));
    else if (clean)
        printf ("%s: no errors\n", words[0]);
    else
        printf ("%s: %" PRIu64 " damaged tables, %" PRIu64 " clusters counted too low, %" PRIu64
                " too high: repair it with \"qemu-img check -r all\"\n",
                words[0], found.damage, found.errors, found.leaks);
    code = finish (written);
    return code != 0 || clean ? code : VMM_EXIT_USAGE;
}

static bool
parse_options (int *argc, char ***argv, DiskOptions *options)
{
    const GOptionEntry entries[] = {
        {"json", 0, 0, G_OPTION_ARG_NONE, &options->json, "info, check: write it as JSON", NULL},
        {"format", 0, 0, G_OPTION_ARG_STRING, &options->format, "create: qcow2 (the default) or raw",
         "FORMAT"},
        {"backing", 0, 0, G_OPTION_ARG_FILENAME, &options->backing,
         "create: begin as FILE, which is never written; relative to the new file's folder", "FILE"},
        {"backing-format", 0, 0, G_OPTION_ARG_STRING, &options->backing_format, "create: raw or qcow2",
         "FORMAT"},
        {"cluster-size", 0, 0, G_OPTION_ARG_STRING, &options->cluster_size, "create: 512 to 2M; 64K", "SIZE"},
        {"force", 0, 0, G_OPTION_ARG_NONE, &options->force, "create: replace a file that exists", NULL},
        {NULL},
    };
    g_autoptr (GOptionContext) context = g_option_context_new ("create PATH [SIZE] | info PATH | check PATH");
    g_autoptr (GError) error = NULL;

    g_set_prgname ("vmm disk");
    g_option_context_set_summary (context, "Make disk images, tell what they are, and check them.");
    g_option_context_set_description (
        context, "SIZE is a number of bytes, or one with K, M, G or T.\n"
                 "Exit code: 0 when it was done, and a checked image is clean; 2 for bad usage, a file that\n"
                 "cannot be used, or an image with errors; 4 for a failure of the host.");
    g_option_context_add_main_entries (context, entries, NULL);
    if (g_option_context_parse (context, argc, argv, &error)) {
        options_drop_separator (argc, *argv);
        return true;
    }
    usage (error->message);
    return false;
}

static bool
check_options (const DiskOptions *options, const char *action)
{
    const OptionsOfVerb each[] = {
        {"json", options->json, {"info", "check"}},
        {"format", options->format != NULL, {"create"}},
        {"backing", options->backing != NULL, {"create"}},
        {"backing-format", options->backing_format != NULL, {"create"}},
        {"cluster-size", options->cluster_size != NULL, {"create"}},
        {"force", options->force, {"create"}},
    };
    g_autoptr (GError) error = NULL;

    if (options_check_verb (action, each, G_N_ELEMENTS (each), &error))
        return true;
    usage (error->message);
    return false;
}

static void
clear_options (DiskOptions *options)
{
    g_free (options->format);
    g_free (options->backing);
    g_free (options->backing_format);
    g_free (options->cluster_size);
}

/**
 * cmd_disk:
 * @argc: arguments, the command's name included
 * @argv: the arguments; argv[0] is the command's name
 *
 * Makes, describes or checks a disk image.
 *
 * Returns: the exit code: 0 when that was done and a checked image is clean, 2 for bad usage, a file that
 * cannot be used or an image with errors, 4 for a failure of the host
 */
int
cmd_disk (int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run) (const DiskOptions *options, int n, char **words);
    } actions[] = {{"create", create}, {"info", info}, {"check", check}};
    DiskOptions options = {0};
    int code = VMM_EXIT_USAGE;
    bool found = false;

    if (parse_options (&argc, &argv, &options)) {
        for (size_t i = 0; argc >= 2 && i < G_N_ELEMENTS (actions) && !found; i++) {
            found = g_str_equal (argv[1], actions[i].name);
            if (found && check_options (&options, argv[1]))
                code = actions[i].run (&options, argc - 2, argv + 2);
        }
        if (!found)
            usage ("say create, info or check");
    }
    clear_options (&options);
    return code;
}
