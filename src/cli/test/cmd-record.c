/* SPDX-License-Identifier: Apache-2.0 */
/* "vmm record": a session at the console, and the scenario that does it again. */
#include <errno.h>
#include <unistd.h>

#include <vmm/vmm.h>

#include "cmd.h"
#include "options.h"
#include "record.h"
#include "relay.h"
#include "session.h"
#include "write-file.h"

#define DEFAULT_PATH "recorded.test"

typedef struct {
    VmmConfig *config;
    char *path;
    gboolean force;
    gboolean passwords;
    TestRecord *record;
    GMutex lock; /* of @record, which the relay's thread feeds, too */
    int64_t start_ns;
    Relay *relay;
} Record;

static double
get_seconds (const Record *record)
{
    return (double)(options_now_ns () - record->start_ns) / 1e9;
}

static void
on_setting (void *user, const char *key, const char *value)
{
    Record *record = user;

    test_record_set (record->record, key, value);
}

static void
on_output (void *user, const uint8_t *data, size_t len)
{
    Record *record = user;

    g_mutex_lock (&record->lock);
    test_record_output (record->record, data, len, get_seconds (record));
    g_mutex_unlock (&record->lock);
}

static size_t
on_typed (void *user, uint8_t *data, size_t len)
{
    Record *record = user;

    relay_look (record->relay);
    g_mutex_lock (&record->lock);
    test_record_typed (record->record, data, len, get_seconds (record));
    g_mutex_unlock (&record->lock);
    return len;
}

static void
on_action (void *user, TerminalAction action)
{
    Record *record = user;

    relay_look (record->relay);
    g_mutex_lock (&record->lock);
    if (action == TERMINAL_POWER_BUTTON)
        test_record_power_button (record->record, get_seconds (record));
    else if (action == TERMINAL_BREAK)
        test_record_break (record->record, get_seconds (record));
    g_mutex_unlock (&record->lock);
}

static void
on_begin (void *user)
{
    Record *record = user;

    record->start_ns = options_now_ns ();
    relay_start (record->relay);
}

static void
on_output_end (void *user)
{
    Record *record = user;

    relay_finish (record->relay);
}

static bool
refuse (const Record *record, const char *why, GError **error)
{
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "output \"%s\": %s", record->path, why);
    return false;
}

/* Before somebody works for an hour. */
static bool
check_path (const Record *record, GError **error)
{
    g_autofree char *folder = g_path_get_dirname (record->path);

    if (*record->path == '\0')
        return refuse (record, "give the name of a file", error);
    if (!record->force && g_file_test (record->path, G_FILE_TEST_EXISTS | G_FILE_TEST_IS_SYMLINK))
        return refuse (record, "it is there already; choose another name, or say --force", error);
    if (g_file_test (record->path, G_FILE_TEST_EXISTS) && !g_file_test (record->path, G_FILE_TEST_IS_REGULAR))
        return refuse (record, "this is no file", error);
    return access (folder, W_OK | X_OK) == 0 || refuse (record, g_strerror (errno), error);
}

static bool
parse_arguments (Record *record, int argc, char **argv, GError **error)
{
    const GOptionEntry own[] = {
        {"output", 'o', 0, G_OPTION_ARG_FILENAME, &record->path, "where the scenario goes [" DEFAULT_PATH "]",
         "FILE"},
        {"force", 0, 0, G_OPTION_ARG_NONE, &record->force, "replace FILE", NULL},
        {"passwords", 0, 0, G_OPTION_ARG_NONE, &record->passwords,
         "also write down what is typed without an echo", NULL},
        {NULL},
    };
    g_autoptr (GOptionContext) context = g_option_context_new (NULL);

    g_option_context_set_summary (
        context, "Boots a virtual machine as vmm does, and writes down what is typed and what was there to "
                 "read, as a scenario for vmm test. Ctrl-A x ends the session.");
    g_option_context_set_main_group (context,
                                     options_new_watched_group (record->config, own, on_setting, record));
    if (!options_parse (context, &argc, &argv, "vmm record", error))
        return false;
    if (argc > 1) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "\"%s\" is no option; see vmm record --help",
                     argv[1]);
        return false;
    }
    if (!vmm_config_uses_stdio (record->config)) {
        g_set_error_literal (error, VMM_ERROR, VMM_ERROR_USAGE,
                             "no console is at the terminal, so there is nothing to write down: leave out "
                             "--serial");
        return false;
    }
    if (record->path == NULL)
        record->path = g_strdup (DEFAULT_PATH);
    return check_path (record, error);
}

static bool
write_scenario (const Record *record, GError **error)
{
    g_autofree char *text = test_record_to_scenario (record->record);
    g_autofree char *left = NULL;
    g_autofree char *where = NULL;
    g_autoptr (GError) wrong = NULL;
    /* Passwords are nobody else's. */
    mode_t mode = record->passwords ? 0600 : 0666;

    if (write_file (record->path, text, mode, record->force, &left, &wrong))
        return true;
    if (left != NULL)
        where = g_strdup_printf ("; the scenario is in \"%s\"", left);
    g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "output \"%s\": %s%s", record->path, wrong->message,
                 where != NULL ? where : "");
    return false;
}

static void
tell_about (const Record *record)
{
    g_autofree char *shown = g_filename_display_name (record->path);
    g_autofree char *done = g_strdup_printf ("the session is in \"%s\": vmm test does it again", shown);

    options_say (false, done);
    if (test_record_lacks_secrets (record->record))
        options_say (false, "note: what was typed without an echo is not in it; its [variables] tell more");
    if (test_record_is_full (record->record))
        options_say (false, "note: the session was too long: the end of it is missing");
}

static int
record_session (Record *record)
{
    g_autoptr (GError) error = NULL;
    Session session = {.config = record->config,
                       .out_fd = relay_get_fd (record->relay),
                       .typed = on_typed,
                       .begin = on_begin,
                       .act = on_action,
                       .output_end = on_output_end,
                       .user = record};
    const VmmVerdict *verdict = session_run (&session, &error);

    if (verdict != NULL) {
        test_record_end (record->record, verdict, get_seconds (record));
        session_tell (&session, verdict);
        if (write_scenario (record, &error))
            tell_about (record);
    }
    session_clear (&session);
    if (error == NULL)
        return 0;
    options_say (false, error->message);
    return vmm_exit_code_for_error (error);
}

/**
 * cmd_record:
 *
 * Boots what the options say, and writes a scenario that does what is done in the guest.
 */
int
cmd_record (int argc, char **argv)
{
    Record record = {.config = vmm_config_new ()};
    g_autoptr (GError) error = NULL;
    int code;

    g_set_prgname ("vmm record");
    g_mutex_init (&record.lock);
    record.record = test_record_new ();
    if (parse_arguments (&record, argc, argv, &error)) {
        test_record_keep_secrets (record.record, record.passwords);
        options_allow_closed_stdout ();
        record.relay = relay_new (STDOUT_FILENO, on_output, &record, &error);
    }
    if (record.relay != NULL) {
        code = record_session (&record);
    } else {
        options_say (false, error->message);
        code = vmm_exit_code_for_error (error);
    }
    relay_free (record.relay);
    test_record_free (record.record);
    vmm_config_free (record.config);
    g_mutex_clear (&record.lock);
    g_free (record.path);
    return code;
}
