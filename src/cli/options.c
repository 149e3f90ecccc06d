/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "kernel-store.h"

/* The data of a group's callbacks. */
typedef struct {
    VmmConfig *config;
    char *kernel; /* as the user calls it */
    OptionsSeen seen;
    void *user;
} Target;

static void
target_free (void *data)
{
    Target *target = data;

    g_free (target->kernel);
    g_free (target);
}

/* A setting that was taken, as the user has written it. */
static void
see (Target *target, const char *key, const char *value)
{
    if (strcmp (key, "kernel") == 0) {
        g_free (target->kernel);
        target->kernel = g_strdup (value);
    }
    if (target->seen != NULL)
        target->seen (target->user, key, value);
}

/* What an option without a value means. */
static const char *
implied_value (const char *name)
{
    size_t n;
    const VmmConfigKey *keys = vmm_config_keys (&n);

    for (size_t i = 0; i < n; i++) {
        if (strcmp (keys[i].name, name) == 0 && keys[i].implied != NULL)
            return keys[i].implied;
    }
    return "";
}

static gboolean
on_key (const gchar *option, const gchar *value, gpointer user, GError **error)
{
    const char *name = option + strlen ("--");
    const char *said = value != NULL ? value : implied_value (name);
    Target *target = user;

    if (!vmm_config_set (target->config, name, said, error))
        return FALSE;
    see (target, name, said);
    return TRUE;
}

/* Lines that vmm_config_parse() has taken. */
static void
see_lines (Target *target, const char *text)
{
    g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

    for (char **l = lines; *l != NULL; l++) {
        char *line = g_strstrip (*l), *equals = strchr (line, '=');

        if (*line == '#' || equals == NULL)
            continue;
        *equals = '\0';
        see (target, g_strchomp (line), g_strchug (equals + 1));
    }
}

static gboolean
on_config (const gchar *option, const gchar *value, gpointer user, GError **error)
{
    g_autofree char *text = NULL;
    g_autoptr (GError) wrong = NULL;

    if (g_file_get_contents (value, &text, NULL, &wrong)) {
        if (!vmm_config_parse (((Target *)user)->config, text, value, error))
            return FALSE;
        see_lines (user, text);
        return TRUE;
    }
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "config \"%s\": %s", value,
                 g_error_matches (wrong, G_FILE_ERROR, G_FILE_ERROR_ISDIR)
                     ? "this is a directory: name a file in it"
                     : g_strerror (errno));
    return FALSE;
}

/*
 * A kernel of the store is found by its name at the end, wherever that was said: of several kernels the last
 * one counts, and the others need not be there.
 */
static gboolean
on_parsed (GOptionContext *context, GOptionGroup *group, gpointer user, GError **error)
{
    const Target *target = user;
    g_autofree char *stored = NULL;

    if (target->kernel == NULL)
        return TRUE;
    return options_find_kernel (target->kernel, &stored, error) &&
           (stored == NULL || vmm_config_set (target->config, "kernel", stored, error));
}

/**
 * options_find_kernel:
 * @value: what the user calls a kernel
 * @ret_path: (transfer full) (nullable): where the store has it, its configuration and modules beside it;
 * NULL: @value is a file
 * @error: as kernel_use() sets it
 *
 * Tells the user when the kernel had to be repaired.
 *
 * Returns: false on failure
 */
bool
options_find_kernel (const char *value, char **ret_path, GError **error)
{
    g_autofree char *note = NULL;
    bool ok = kernel_use (value, ret_path, &note, error);

    if (note != NULL)
        options_say (false, note);
    return ok;
}

/**
 * options_new_group:
 * @config: gets what the options say; outlives the group
 * @own: the command's own options, after the machine's
 *
 * Returns: (transfer full): a group with an option for each key of a machine
 */
GOptionGroup *
options_new_group (VmmConfig *config, const GOptionEntry *own)
{
    return options_new_watched_group (config, own, NULL, NULL);
}

/**
 * options_new_watched_group:
 * @config: as for options_new_group()
 * @own: the same
 * @seen: (nullable): told of each setting that was taken, as the user has written it
 * @user: what it gets
 *
 * Returns: (transfer full): a group with an option for each key of a machine
 */
GOptionGroup *
options_new_watched_group (VmmConfig *config, const GOptionEntry *own, OptionsSeen seen, void *user)
{
    const GOptionEntry common[] = {
        {"config", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, on_config,
         "read keys from FILE, see vmm-config(5)", "FILE"},
        {NULL},
    };
    size_t n;
    const VmmConfigKey *keys = vmm_config_keys (&n);
    g_autofree GOptionEntry *entries = g_new0 (GOptionEntry, n + 1);
    Target *target = g_memdup2 (&(Target){.config = config, .seen = seen, .user = user}, sizeof *target);
    GOptionGroup *group = g_option_group_new ("machine", "", "", target, target_free);

    for (size_t i = 0; i < n; i++) {
        entries[i] = (GOptionEntry){.long_name = keys[i].name,
                                    .flags = G_OPTION_FLAG_FILENAME |
                                             (keys[i].implied != NULL ? G_OPTION_FLAG_OPTIONAL_ARG : 0),
                                    .arg = G_OPTION_ARG_CALLBACK,
                                    .arg_data = on_key,
                                    .description = keys[i].summary,
                                    .arg_description = keys[i].value};
    }
    g_option_group_add_entries (group, entries);
    g_option_group_add_entries (group, common);
    g_option_group_add_entries (group, own);
    g_option_group_set_parse_hooks (group, NULL, on_parsed);
    return group;
}

/**
 * options_drop_separator:
 * @argc: arguments of which the options were parsed
 * @argv: (inout): these
 *
 * GLib leaves the "--" in that ends the options when something behind it begins with a dash. It is the first
 * one that there is: GLib takes it out only where no other follows.
 */
void
options_drop_separator (int *argc, char **argv)
{
    for (int i = 1; i < *argc; i++) {
        if (strcmp (argv[i], "--") != 0)
            continue;
        memmove (argv + i, argv + i + 1, (size_t)(*argc - i) * sizeof *argv); /* with the NULL at the end */
        (*argc)--;
        return;
    }
}

/**
 * options_parse:
 * @command: what to ask for help, such as "vmm run"
 *
 * What is left are arguments. Where the context is strict, they are another program's, and "--" may be one.
 *
 * Returns: false with %VMM_ERROR_USAGE
 */
bool
options_parse (GOptionContext *context, int *argc, char ***argv, const char *command, GError **error)
{
    g_autoptr (GError) wrong = NULL;

    if (g_option_context_parse (context, argc, argv, &wrong)) {
        if (!g_option_context_get_strict_posix (context))
            options_drop_separator (argc, *argv);
        return true;
    }
    if (wrong->domain == G_OPTION_ERROR)
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "%s; see %s --help", wrong->message, command);
    else
        g_propagate_error (error, g_steal_pointer (&wrong));
    return false;
}

static char *
join_verbs (const OptionsOfVerb *option)
{
    GString *text = g_string_new (option->verbs[0]);

    for (size_t i = 1; i < G_N_ELEMENTS (option->verbs) && option->verbs[i] != NULL; i++) {
        bool last = i + 1 == G_N_ELEMENTS (option->verbs) || option->verbs[i + 1] == NULL;

        g_string_append_printf (text, "%s%s", last ? " and " : ", ", option->verbs[i]);
    }
    return g_string_free (text, FALSE);
}

/**
 * options_check_verb:
 * @verb: what the user wants done
 * @options: those that are not for every verb
 * @n: how many
 *
 * An option that would do nothing was meant to do something.
 *
 * Returns: false with %VMM_ERROR_USAGE when one was given that is not for @verb
 */
bool
options_check_verb (const char *verb, const OptionsOfVerb *options, size_t n, GError **error)
{
    for (size_t i = 0; i < n; i++) {
        bool is_for = !options[i].given;

        for (size_t k = 0; k < G_N_ELEMENTS (options[i].verbs) && !is_for; k++)
            is_for = g_strcmp0 (options[i].verbs[k], verb) == 0;
        if (is_for)
            continue;
        g_autofree char *verbs = join_verbs (&options[i]);
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "%s: --%s is for %s", verb, options[i].option, verbs);
        return false;
    }
    return true;
}

/**
 * options_allow_closed_stdout:
 *
 * For a machine that may speak to nobody: where standard output was closed, it is thrown away from now on.
 */
void
options_allow_closed_stdout (void)
{
    int flags = fcntl (STDOUT_FILENO, F_GETFL);
    int null = flags >= 0 && (flags & O_ACCMODE) == O_RDONLY ? open ("/dev/null", O_WRONLY | O_CLOEXEC) : -1;

    if (null < 0)
        return;
    dup2 (null, STDOUT_FILENO);
    close (null);
}

/**
 * options_take_signals:
 *
 * Signals are taken by a descriptor: before the first thread, so that all have them blocked, and after the
 * machine is made, which may take long (a pipe that nobody writes to, a file on a network): until then they
 * end vmm as they end any program. One that was ignored from the start stays so: that is what nohup(1) is
 * for.
 *
 * Returns: a signalfd, or -1
 */
int
options_take_signals (void)
{
    const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGCONT};
    struct sigaction action;
    sigset_t set;

    sigemptyset (&set);
    for (size_t i = 0; i < G_N_ELEMENTS (signals); i++) {
        if (sigaction (signals[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset (&set, signals[i]);
    }
    sigprocmask (SIG_BLOCK, &set, NULL);
    return signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/**
 * options_say:
 * @raw: the terminal is raw: a line needs its carriage return
 * @text: lines for the user, on standard error
 */
void
options_say (bool raw, const char *text)
{
    const char *end = raw ? "\r\n" : "\n";
    g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

    fputs ("vmm: ", stderr);
    for (char **l = lines; *l != NULL; l++) {
        if (**l != '\0' || l[1] != NULL)
            fprintf (stderr, "%s%s", *l, end);
    }
}

/**
 * options_now_ns:
 *
 * Returns: CLOCK_MONOTONIC
 */
int64_t
options_now_ns (void)
{
    struct timespec ts;

    clock_gettime (CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}
