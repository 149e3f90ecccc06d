/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON report of a run, as vmm(1) describes it, and how any report is written: see write-file.c. What is
 * no file of its own (/dev/stdout, a pipe) is written to and stays in its place.
 */
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <unistd.h>

#include "write-all.h"
#include "write-file.h"

static json_t *
seconds_since (int64_t start_ns, int64_t ns)
{
    return ns != 0 ? json_real ((double)(ns - start_ns) / 1e9) : json_null ();
}

static json_t *
string_or_null (const char *text)
{
    g_autofree char *valid = text != NULL ? g_utf8_make_valid (text, -1) : NULL;

    return valid != NULL ? json_string (valid) : json_null ();
}

static json_t *
exits_to_json (const VmmVerdict *verdict)
{
    json_t *exits = json_object ();

    for (size_t i = 0; i < verdict->n_exits; i++)
        json_object_set_new (exits, verdict->exits[i].reason,
                             json_integer ((json_int_t)verdict->exits[i].count));
    return exits;
}

static json_t *
devices_to_json (const VmmVerdict *verdict)
{
    json_t *devices = json_array ();

    for (size_t i = 0; i < verdict->n_devices; i++) {
        const VmmDeviceCount *device = &verdict->devices[i];

        json_array_append_new (
            devices, json_pack ("{s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "name", device->name, "kind",
                                device->kind, "requests", (json_int_t)device->requests, "bytes_from_guest",
                                (json_int_t)device->bytes_from_guest, "bytes_to_guest",
                                (json_int_t)device->bytes_to_guest, "kicks", (json_int_t)device->kicks,
                                "interrupts", (json_int_t)device->interrupts));
    }
    return devices;
}

static json_t *
kernel_reports_to_json (const VmmVerdict *verdict)
{
    json_t *reports = json_array ();

    for (size_t i = 0; i < verdict->n_kernel_reports; i++) {
        const VmmKernelReport *report = &verdict->kernel_reports[i];

        json_array_append_new (reports, json_pack ("{s:s, s:s, s:s, s:o, s:s, s:I}", "kind",
                                                   vmm_kernel_trouble_to_string (report->kind), "summary",
                                                   report->summary, "title", report->title, "function",
                                                   string_or_null (report->function), "text", report->text,
                                                   "line", (json_int_t)report->line));
    }
    return reports;
}

/**
 * report_verdict_to_json:
 * @v: a machine's
 * @start_ns: CLOCK_MONOTONIC that durations count from
 *
 * Returns: (transfer full): all of it, as vmm(1) describes it
 */
json_t *
report_verdict_to_json (const VmmVerdict *v, int64_t start_ns)
{
    struct rusage usage = {0};

    getrusage (RUSAGE_SELF, &usage);
    return json_pack (
        "{s:s, s:i, s:o, s:o, s:{s:o, s:o, s:o, s:o}, s:I, s:o, s:o, s:I, s:{s:I, s:I}, s:I, s:o}", "verdict",
        vmm_verdict_kind_to_string (v->kind), "exit_code", v->exit_code, "reason", string_or_null (v->reason),
        "report", string_or_null (v->report), "seconds", "start", seconds_since (start_ns, v->start_ns),
        "first_instruction", seconds_since (start_ns, v->first_instruction_ns), "first_output",
        seconds_since (start_ns, v->first_output_ns), "end", seconds_since (start_ns, v->end_ns), "boots",
        (json_int_t)v->boots, "exits", exits_to_json (v), "devices", devices_to_json (v), "output_bytes",
        (json_int_t)v->output_bytes, "guest_memory", "bytes", (json_int_t)v->guest_memory_bytes, "used_bytes",
        (json_int_t)v->guest_memory_used_bytes, "max_rss_bytes", (json_int_t)usage.ru_maxrss * 1024,
        "kernel_reports", kernel_reports_to_json (v));
}

/**
 * report_command_to_json:
 * @result: of a command in a guest
 *
 * Returns: (transfer full): how the command ended, as vmm(1) describes it
 */
json_t *
report_command_to_json (const VmmRunResult *result)
{
    json_t *status = result->end != VMM_COMMAND_UNKNOWN ? json_integer (result->status) : json_null ();

    return json_pack ("{s:s, s:o, s:i, s:o, s:b}", "end", vmm_command_end_to_string (result->end), "status",
                      status, "exit_code", result->exit_code, "message", string_or_null (result->message),
                      "files_failed", result->files_failed);
}

/**
 * report_is_sink:
 *
 * Returns: whether @path names something to write to, which must not be replaced by a file. Behind
 * /dev/stdout may be a file; but what is in /dev/shm is one like any other
 */
bool
report_is_sink (const char *path)
{
    bool shared = g_str_has_prefix (path, "/dev/shm/");
    struct stat st;

    if (!shared && (g_str_has_prefix (path, "/dev/") || g_str_has_prefix (path, "/proc/")))
        return true;
    return stat (path, &st) == 0 && !S_ISREG (st.st_mode);
}

static bool
write_to_sink (const char *path, const char *text, GError **error)
{
    /* A pipe without a reader is an error, and not to be waited for. */
    int fd = open (path, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    int wrong;

    if (fd >= 0)
        fcntl (fd, F_SETFL, O_APPEND);
    wrong = fd < 0 || !write_all (fd, text, strlen (text)) ? errno : 0;
    if (fd >= 0)
        close (fd);
    if (wrong != 0)
        g_set_error_literal (error, G_FILE_ERROR, g_file_error_from_errno (wrong), g_strerror (wrong));
    return wrong == 0;
}

/**
 * report_write_text:
 * @option: what asked for it: "json"
 * @path: a file, which is replaced, or something to write to
 *
 * Returns: false with an error when it could not be written; a file is then as it was
 */
bool
report_write_text (const char *option, const char *path, const char *text, GError **error)
{
    bool ok = report_is_sink (path) ? write_to_sink (path, text, error)
                                    : write_file (path, text, 0666, true, NULL, error);

    if (!ok)
        g_prefix_error (error, "%s \"%s\": ", option, path);
    return ok;
}

static bool
write_json (const char *path, json_t *json, GError **error)
{
    g_autofree char *text = NULL;
    char *dump = json_dumps (json, JSON_INDENT (2));

    json_decref (json);
    text = g_strconcat (dump != NULL ? dump : "null", "\n", NULL);
    free (dump);
    return report_write_text ("json", path, text, error);
}

/* What stands in for it, as main.c puts it there, could be opened by that name and written to. */
static bool
is_closed_stdout (const char *path)
{
    static const char *const names[] = {"/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", NULL};
    int flags = fcntl (STDOUT_FILENO, F_GETFL);

    return g_strv_contains (names, path) && (flags < 0 || (flags & O_ACCMODE) == O_RDONLY);
}

/**
 * report_check_path:
 * @option: what asked for it: "json"
 * @path: where a report is to be written at the end of a run
 *
 * Returns: false with an error when it cannot, so that nobody waits for a run in vain
 */
bool
report_check_path (const char *option, const char *path, GError **error)
{
    g_autofree char *folder = g_path_get_dirname (path);
    const char *wrong = NULL;

    if (*path == '\0')
        wrong = "give the name of a file";
    else if (g_file_test (path, G_FILE_TEST_IS_DIR))
        wrong = "this is a directory: name a file in it";
    else if (!g_file_test (folder, G_FILE_TEST_IS_DIR))
        wrong = "its folder does not exist";
    else if (is_closed_stdout (path))
        wrong = g_strerror (EBADF);
    else if (report_is_sink (path))
        wrong = access (path, W_OK) != 0 ? g_strerror (errno) : NULL;
    else if (access (folder, W_OK) != 0)
        wrong = "its folder cannot be written to";
    if (wrong != NULL)
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "%s \"%s\": %s", option, path, wrong);
    return wrong == NULL;
}

/**
 * report_write_verdict:
 * @path: a file, which is replaced
 * @process_start_ns: CLOCK_MONOTONIC at the start of the process: what durations count from
 *
 * Returns: false with an error when it could not be written; @path is then as it was
 */
bool
report_write_verdict (const char *path, const VmmVerdict *verdict, int64_t process_start_ns, GError **error)
{
    return write_json (path, report_verdict_to_json (verdict, process_start_ns), error);
}

/**
 * report_write_run:
 * @path: a file, which is replaced
 * @process_start_ns: as report_write_verdict() takes it
 *
 * The machine's report, and in it the command's.
 *
 * Returns: false with an error when it could not be written; @path is then as it was
 */
bool
report_write_run (const char *path, const VmmRunResult *result, int64_t process_start_ns, GError **error)
{
    json_t *json = report_verdict_to_json (result->verdict, process_start_ns);

    json_object_set_new (json, "command", report_command_to_json (result));
    return write_json (path, json, error);
}

/**
 * report_write_error:
 * @path: a file, which is replaced
 * @failure: why there was no run
 *
 * Returns: false with an error when it could not be written; @path is then as it was
 */
bool
report_write_error (const char *path, const GError *failure, GError **error)
{
    json_t *json = json_pack ("{s:s, s:i, s:o}", "verdict", "error", "exit_code",
                              vmm_exit_code_for_error (failure), "reason", string_or_null (failure->message));

    return write_json (path, json, error);
}
