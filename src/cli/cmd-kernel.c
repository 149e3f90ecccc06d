/* SPDX-License-Identifier: Apache-2.0 */
/* "vmm kernel": the user's kernels, by name. */
#include "cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <vmm/vmm.h>

#include "inspect.h"
#include "kernel-store.h"
#include "options.h"
#include "table.h"

typedef struct {
    char *name;
    gboolean json;
    gboolean repair;
    gboolean verbose;
    KernelStore *store;
    char **arguments; /* behind the action */
} Kernel;

static int
fail (const GError *error)
{
    g_printerr ("vmm kernel: %s\n", error->message);
    return vmm_exit_code_for_error (error);
}

static int
end_output (bool written)
{
    if (fflush (stdout) == 0 && !ferror (stdout) && written)
        return 0;
    g_printerr ("vmm kernel: cannot write: %s\n", g_strerror (errno));
    return VMM_EXIT_HOST_ERROR;
}

static int
print_json (json_t *document)
{
    bool ok = document != NULL && json_dumpf (document, stdout, JSON_INDENT (2)) == 0;

    json_decref (document);
    fputc ('\n', stdout);
    return end_output (ok);
}

static char *
size_text (uint64_t bytes)
{
    return g_strdup_printf ("%.1f MiB", (double)bytes / (1 << 20));
}

static char *
modules_text (unsigned n)
{
    return g_strdup_printf ("%u module%s", n, n == 1 ? "" : "s");
}

typedef struct {
    uint64_t bytes;
    int64_t shown_at;
} Progress;

/* On a terminal, some ten times a second. */
static void
show_progress (void *user, size_t bytes)
{
    Progress *progress = user;
    int64_t now = g_get_monotonic_time ();

    progress->bytes += bytes;
    if (now - progress->shown_at < 100000)
        return;
    progress->shown_at = now;
    fprintf (stderr, "\rvmm kernel: %.1f MiB ", (double)progress->bytes / (1 << 20));
}

/* The shortest name of @entry, which may be in @all or have been found otherwise. */
static const char *
call_of (const GPtrArray *all, const KernelEntry *entry)
{
    for (guint i = 0; all != NULL && i < all->len; i++)
        if (strcmp (((KernelEntry *)all->pdata[i])->name, entry->name) == 0)
            return kernel_store_call (all, all->pdata[i]);
    return entry->name;
}

static void
say_added (const GPtrArray *all, const KernelEntry *entry)
{
    g_autofree char *size = size_text (entry->bytes);
    g_autofree char *modules = modules_text (entry->n_modules);

    printf ("%s: %s", entry->name, entry->replaced ? "replaced" : "added");
    if (entry->n_modules > 0)
        printf (", with %s", modules);
    printf (", %s; boot it with --kernel %s\n", size, call_of (all, entry));
}

static int
add (Kernel *kernel)
{
    g_autoptr (GError) error = NULL;
    Progress progress = {0};
    bool shown = isatty (STDERR_FILENO);

    if (kernel->name != NULL && kernel->arguments[1] != NULL) {
        g_printerr ("vmm kernel: --name %s: one kernel at a time can be called so\n", kernel->name);
        return VMM_EXIT_USAGE;
    }
    for (char **path = kernel->arguments; *path != NULL; path++) {
        g_autoptr (GPtrArray) entries = kernel_store_add (kernel->store, *path, kernel->name,
                                                          shown ? show_progress : NULL, &progress, &error);
        g_autoptr (GPtrArray) all = NULL;

        if (progress.shown_at != 0)
            fputs ("\r\033[K", stderr);
        if (entries == NULL)
            return fail (error);
        all = kernel_store_list (kernel->store, false, NULL);
        for (guint i = 0; i < entries->len; i++)
            say_added (all, entries->pdata[i]);
    }
    return end_output (true);
}

static json_t *
entry_to_json (const KernelStore *store, const GPtrArray *all, const KernelEntry *entry)
{
    g_autofree char *path = kernel_store_kernel_path (store, entry);

    return json_pack ("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:i, s:I, s:b}", "name",
                      inspect_json_text (entry->name), "short_name", inspect_json_text (call_of (all, entry)),
                      "alias", inspect_json_text (entry->alias), "release",
                      inspect_json_text (entry->release), "version", inspect_json_text (entry->version),
                      "kernel", inspect_json_text (path), "source", inspect_json_text (entry->source),
                      "added", entry->added > 0 ? json_integer (entry->added) : json_null (), "files",
                      (int)entry->n_files, "modules", (int)entry->n_modules, "bytes",
                      (json_int_t)entry->bytes, "damaged", (int)entry->is_broken);
}

static void
print_row (const GPtrArray *entries, const KernelEntry *entry, unsigned name_width, unsigned release_width)
{
    g_autofree char *size = size_text (entry->bytes);
    g_autofree char *modules = modules_text (entry->n_modules);

    cli_print_cell (stdout, kernel_store_call (entries, entry), name_width + 2, CLI_PLAIN);
    if (entry->is_broken) {
        puts ("damaged; see \"vmm kernel check\"");
        return;
    }
    cli_print_cell (stdout, entry->release != NULL ? entry->release : "-", release_width + 2, CLI_PLAIN);
    cli_print_cell (stdout, modules, 14, CLI_PLAIN);
    printf ("%s\n", size);
}

static int
list (Kernel *kernel)
{
    g_autoptr (GError) error = NULL;
    g_autoptr (GPtrArray) entries = kernel_store_list (kernel->store, false, &error);
    unsigned name_width = 0, release_width = 0;

    if (entries == NULL)
        return fail (error);
    if (kernel->json) {
        json_t *array = json_array ();

        for (guint i = 0; i < entries->len; i++)
            json_array_append_new (array, entry_to_json (kernel->store, entries, entries->pdata[i]));
        return print_json (array);
    }
    for (guint i = 0; i < entries->len; i++) {
        const KernelEntry *entry = entries->pdata[i];

        name_width = MAX (name_width, (unsigned)strlen (kernel_store_call (entries, entry)));
        release_width = MAX (release_width, entry->release != NULL ? (unsigned)strlen (entry->release) : 1);
    }
    for (guint i = 0; i < entries->len; i++)
        print_row (entries, entries->pdata[i], name_width, release_width);
    return end_output (true);
}

static void
print_store_facts (const Kernel *kernel, const KernelEntry *entry)
{
    g_autoptr (GDateTime) added = g_date_time_new_from_unix_local (entry->added);
    g_autofree char *when = added != NULL ? g_date_time_format (added, "%F %R") : NULL;
    g_autofree char *size = size_text (entry->bytes);
    g_autofree char *modules = modules_text (entry->n_modules);
    g_autofree char *files = g_strdup_printf ("%u, %s, of them %s", entry->n_files, size, modules);
    const char *const facts[][2] = {
        {"Name", entry->name}, {"Short name", entry->alias}, {"Added", when}, {"From", entry->source},
        {"Files", files},
    };

    for (size_t i = 0; i < G_N_ELEMENTS (facts); i++) {
        if (facts[i][1] == NULL)
            continue;
        fputs ("  ", stdout);
        cli_print_cell (stdout, facts[i][0], 14, CLI_PLAIN);
        puts (facts[i][1]);
    }
}

static int
inspect (Kernel *kernel)
{
    g_autoptr (GError) error = NULL;
    g_autofree char *note = NULL;
    g_autofree char *path = NULL;
    g_autoptr (KernelEntry) entry = kernel_store_find (kernel->store, kernel->arguments[0], &error);
    g_autoptr (VmmImage) image = NULL;
    int code;

    if (entry == NULL || !kernel_store_use (kernel->store, entry, &path, &note, &error))
        return fail (error);
    if (note != NULL)
        g_printerr ("vmm kernel: %s\n", note);
    image = vmm_image_open (path, &error);
    if (image == NULL)
        return fail (error);
    if (kernel->json) {
        g_autoptr (GPtrArray) all = kernel_store_list (kernel->store, false, NULL);
        json_t *document = inspect_to_json (path, image);

        json_object_set_new (document, "store", entry_to_json (kernel->store, all, entry));
        code = print_json (document);
    } else {
        print_store_facts (kernel, entry);
        inspect_print (path, image, kernel->verbose);
        code = end_output (true);
    }
    return code != 0 || vmm_image_get_level (image) < VMM_IMAGE_FAILURE ? code : VMM_EXIT_NOT_BOOTABLE;
}

static int
path (Kernel *kernel)
{
    g_autoptr (GError) error = NULL;
    g_autoptr (KernelEntry) entry = kernel_store_find (kernel->store, kernel->arguments[0], &error);
    g_autofree char *kernel_path = entry != NULL ? kernel_store_kernel_path (kernel->store, entry) : NULL;

    if (entry == NULL)
        return fail (error);
    if (kernel_path == NULL) {
        g_printerr ("vmm kernel: kernel \"%s\": its index is damaged; \"vmm kernel check --repair\" makes it "
                    "anew\n",
                    entry->name);
        return VMM_EXIT_USAGE;
    }
    puts (kernel_path);
    return end_output (true);
}

/* What merely begins so is easily another one than was meant. */
static bool
is_called (const KernelEntry *entry, const char *name, GError **error)
{
    if (g_strcmp0 (entry->name, name) == 0 || g_strcmp0 (entry->alias, name) == 0 ||
        g_strcmp0 (entry->release, name) == 0)
        return true;
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "kernel \"%s\": say its whole name, %s", name,
                 entry->name);
    return false;
}

static int
remove_entries (Kernel *kernel)
{
    g_autoptr (GError) error = NULL;

    for (char **name = kernel->arguments; *name != NULL; name++) {
        g_autoptr (KernelEntry) entry = kernel_store_find (kernel->store, *name, &error);

        if (entry == NULL || !is_called (entry, *name, &error) ||
            !kernel_store_remove (kernel->store, entry, &error))
            return fail (error);
        printf ("%s: removed\n", entry->name);
    }
    kernel_store_sweep (kernel->store);
    return end_output (true);
}

static void
print_damage (const KernelDamage *damage)
{
    static const char *const what[] = {
        [KERNEL_DAMAGE_FILE] = "damaged",
        [KERNEL_DAMAGE_MISSING] = "missing",
        [KERNEL_DAMAGE_LINK] = "its link is damaged",
        [KERNEL_DAMAGE_INDEX] = "its index is damaged",
    };

    printf ("%s: ", damage->kernel);
    if (damage->file != NULL)
        printf ("%s: ", damage->file);
    fputs (what[damage->kind], stdout);
    if (damage->repaired)
        fputs (damage->kind == KERNEL_DAMAGE_INDEX ? ", now made anew" : ", now repaired", stdout);
    if (damage->note != NULL)
        printf ("%s%s", damage->repaired ? "; " : ", not repaired: ", damage->note);
    putchar ('\n');
}

static json_t *
damage_to_json (const KernelDamage *damage)
{
    static const char *const what[] = {
        [KERNEL_DAMAGE_FILE] = "damaged",
        [KERNEL_DAMAGE_MISSING] = "missing",
        [KERNEL_DAMAGE_LINK] = "link",
        [KERNEL_DAMAGE_INDEX] = "index",
    };

    return json_pack ("{s:o, s:o, s:s, s:b, s:o}", "kernel", inspect_json_text (damage->kernel), "file",
                      inspect_json_text (damage->file), "damage", what[damage->kind], "repaired",
                      (int)damage->repaired, "note", inspect_json_text (damage->note));
}

/* @user: the JSON array that gets it, or NULL. */
static void
tell_damage (void *user, const KernelDamage *damage)
{
    if (user != NULL)
        json_array_append_new (user, damage_to_json (damage));
    else
        print_damage (damage);
}

static int
print_outcome (const Kernel *kernel, unsigned damaged)
{
    if (damaged == 0)
        puts ("all is as it was added");
    else
        printf ("%u damaged; %s\n", damaged,
                kernel->repair ? "what cannot be repaired can be added again, or removed"
                               : "--repair repairs what can be");
    return end_output (true);
}

static int
check (Kernel *kernel)
{
    g_autoptr (GError) error = NULL;
    json_t *found = kernel->json ? json_array () : NULL;
    unsigned damaged;
    int code;

    if (!kernel_store_check (kernel->store, kernel->repair, tell_damage, found, &damaged, &error)) {
        json_decref (found);
        return fail (error);
    }
    if (kernel->repair)
        kernel_store_sweep (kernel->store);
    code = kernel->json
               ? print_json (json_pack ("{s:I, s:o}", "damaged", (json_int_t)damaged, "found", found))
               : print_outcome (kernel, damaged);
    return code != 0 || damaged == 0 ? code : VMM_EXIT_USAGE;
}

static const struct {
    const char *name;
    int (*run) (Kernel *kernel);
    const char *wants; /* behind it; NULL: nothing */
    bool many;
} actions[] = {
    {"add", add, "a kernel, a package or a folder", true}, {"list", list, NULL, false},
    {"inspect", inspect, "a kernel's name", false},        {"path", path, "a kernel's name", false},
    {"remove", remove_entries, "a kernel's name", true},   {"check", check, NULL, false},
};

static bool
check_options (const Kernel *kernel, const char *action, GError **error)
{
    const OptionsOfVerb options[] = {
        {"name", kernel->name != NULL, {"add"}},
        {"json", kernel->json, {"list", "inspect", "check"}},
        {"repair", kernel->repair, {"check"}},
        {"verbose", kernel->verbose, {"inspect"}},
    };

    return options_check_verb (action, options, G_N_ELEMENTS (options), error);
}

static int
run_action (Kernel *kernel, const char *name)
{
    g_autoptr (GError) error = NULL;
    guint n = g_strv_length (kernel->arguments);

    for (size_t i = 0; i < G_N_ELEMENTS (actions); i++) {
        if (strcmp (name, actions[i].name) != 0)
            continue;
        if (n == 0 && actions[i].wants != NULL)
            g_printerr ("vmm kernel: %s: name %s\n", name, actions[i].wants);
        else if (n > (actions[i].wants != NULL) && !actions[i].many)
            g_printerr ("vmm kernel: %s: \"%s\" is too much; see vmm kernel --help\n", name,
                        kernel->arguments[n - 1]);
        else if (!check_options (kernel, name, &error))
            g_printerr ("vmm kernel: %s; see vmm kernel --help\n", error->message);
        else {
            kernel->store = kernel_store_open (actions[i].run == add || actions[i].run == check, &error);
            return kernel->store != NULL ? actions[i].run (kernel) : fail (error);
        }
        return VMM_EXIT_USAGE;
    }
    g_printerr ("vmm kernel: \"%s\": say add, list, inspect, path, remove or check; see vmm kernel --help\n",
                name);
    return VMM_EXIT_USAGE;
}

static bool
parse (Kernel *kernel, int *argc, char ***argv)
{
    const GOptionEntry own[] = {
        {"name", 0, 0, G_OPTION_ARG_STRING, &kernel->name, "add: what to call it [by its version]", "NAME"},
        {"json", 0, 0, G_OPTION_ARG_NONE, &kernel->json, "list, inspect, check: write JSON", NULL},
        {"repair", 0, 0, G_OPTION_ARG_NONE, &kernel->repair, "check: repair what was damaged", NULL},
        {"verbose", 'v', 0, G_OPTION_ARG_NONE, &kernel->verbose,
         "inspect: explain also what is as it should be", NULL},
        {NULL},
    };
    g_autoptr (GOptionContext) context =
        g_option_context_new ("add PATH… | list | inspect NAME | path NAME | remove NAME… | check");
    g_autoptr (GError) error = NULL;

    g_set_prgname ("vmm kernel");
    g_option_context_set_summary (
        context, "Keeps kernels with their modules, by name: --kernel NAME boots one.\n\nPATH is a kernel, a "
                 "Debian package of one, or a folder: a package that was unpacked,\n/boot, or the tree of a "
                 "build. A NAME may be shortened as long as it means one kernel.");
    g_option_context_set_description (
        context, "Exit code: 0 when it was done; 2 for bad usage, and when something is damaged;\n4 for a "
                 "failure of the host; 6 when what was to be added is no kernel for this machine.");
    g_option_context_add_main_entries (context, own, NULL);
    if (options_parse (context, argc, argv, "vmm kernel", &error))
        return true;
    fail (error);
    return false;
}

/**
 * cmd_kernel:
 *
 * Keeps the user's kernels.
 *
 * Returns: the exit code
 */
int
cmd_kernel (int argc, char **argv)
{
    Kernel kernel = {0};
    int code = VMM_EXIT_USAGE;

    if (parse (&kernel, &argc, &argv)) {
        if (argc < 2) {
            g_printerr ("vmm kernel: say add, list, inspect, path, remove or check; see vmm kernel --help\n");
        } else {
            kernel.arguments = argv + 2;
            code = run_action (&kernel, argv[1]);
        }
    }
    kernel_store_free (kernel.store);
    g_free (kernel.name);
    return code;
}
