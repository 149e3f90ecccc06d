/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a request on the control socket asks for, and its answer: see vmm-config(5), "THE CONTROL SOCKET". A
 * request is what anybody may have written who can open the socket: it is bounded before it is parsed.
 */
#include "vmm/control-request.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/error.h"
#include "vmm/verdict.h"

/* No request needs more, and a parser calls itself for each. */
#define DEPTH_MAX 4u

typedef struct {
    const char *name;
    /* The members of the answer; NULL with an error. */
    json_t *(*run) (VmmMachine *machine, json_t *request, GError **error);
} Command;

static json_t *
refuse (GError **error, const char *why)
{
    g_set_error_literal (error, VMM_ERROR, VMM_ERROR_USAGE, why);
    return NULL;
}

/* Whether brackets are nested less deep than anybody needs; what is in strings does not count. */
static bool
is_shallow (const char *line, size_t len)
{
    unsigned depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < len; i++) {
        if (in_string) {
            if (line[i] == '\\')
                i++;
            else if (line[i] == '"')
                in_string = false;
            continue;
        }
        if (line[i] == '"')
            in_string = true;
        else if (line[i] == '{' || line[i] == '[')
            depth++;
        else if ((line[i] == '}' || line[i] == ']') && depth > 0)
            depth--;
        if (depth > DEPTH_MAX)
            return false;
    }
    return true;
}

/* Beyond "id" and "command", which all have. */
static bool
has_only (json_t *request, const char *first, const char *second, GError **error)
{
    const char *key;
    json_t *value;

    json_object_foreach (request, key, value)
    {
        if (strcmp (key, "id") == 0 || strcmp (key, "command") == 0 ||
            (first != NULL && strcmp (key, first) == 0) || (second != NULL && strcmp (key, second) == 0))
            continue;
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "this command has no \"%s\"", key);
        return false;
    }
    return true;
}

/* True and NULL when it is not there. */
static bool
get_device (json_t *request, const char **ret_name, GError **error)
{
    json_t *device = json_object_get (request, "device");

    if (device != NULL && !json_is_string (device))
        return refuse (error, "\"device\" is not a string: give a device's name, such as \"disk0\"") != NULL;
    *ret_name = json_string_value (device);
    return true;
}

static bool
get_bytes (json_t *request, const char *key, uint64_t *ret_bytes, GError **error)
{
    json_t *value = json_object_get (request, key);

    if (!json_is_integer (value) || json_integer_value (value) < 0) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "\"%s\" is not a number of bytes", key);
        return false;
    }
    *ret_bytes = (uint64_t)json_integer_value (value);
    return true;
}

static json_t *
string_or_null (const char *text)
{
    g_autofree char *valid = text != NULL ? g_utf8_make_valid (text, -1) : NULL;

    return valid != NULL ? json_string (valid) : json_null ();
}

static json_t *
describe_verdict (const VmmVerdict *verdict)
{
    if (verdict == NULL)
        return json_null ();
    return json_pack ("{s:s, s:i, s:o}", "verdict", vmm_verdict_kind_to_string (verdict->kind), "exit_code",
                      verdict->exit_code, "reason", string_or_null (verdict->reason));
}

static json_t *
describe_devices (const VmmMachineInfo *info)
{
    json_t *devices = json_array ();

    for (size_t i = 0; i < info->n_devices; i++) {
        const VmmDeviceCount *device = &info->devices[i];

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
describe_vcpus (const VmmMachineInfo *info)
{
    json_t *vcpus = json_array ();

    for (unsigned i = 0; i < info->cpus; i++)
        json_array_append_new (vcpus, json_pack ("{s:f, s:f}", "ran_seconds",
                                                 (double)info->vcpu_times[i].ran_ns / 1e9, "waited_seconds",
                                                 (double)info->vcpu_times[i].waited_ns / 1e9));
    return vcpus;
}

static json_t *
run_status (VmmMachine *machine, json_t *request, GError **error)
{
    const VmmMachineInfo *info;
    json_t *exits;

    if (!has_only (request, NULL, NULL, error))
        return NULL;
    info = vmm_machine_get_info (machine);
    exits = json_object ();
    for (size_t i = 0; i < info->n_exits; i++)
        json_object_set_new (exits, info->exits[i].reason, json_integer ((json_int_t)info->exits[i].count));
    return json_pack ("{s:s, s:o, s:I, s:I, s:f, s:I, s:o, s:o, s:o}", "state",
                      vmm_machine_state_to_string (info->state), "verdict",
                      describe_verdict (vmm_machine_get_verdict (machine)), "cpus", (json_int_t)info->cpus,
                      "memory_bytes", (json_int_t)info->memory_bytes, "uptime_seconds",
                      (double)info->uptime_ns / 1e9, "boots", (json_int_t)info->boots, "exits", exits,
                      "devices", describe_devices (info), "vcpus", describe_vcpus (info));
}

static json_t *
run_pause (VmmMachine *machine, json_t *request, GError **error)
{
    return has_only (request, NULL, NULL, error) && vmm_machine_pause (machine, error) ? json_object ()
                                                                                       : NULL;
}

static json_t *
run_resume (VmmMachine *machine, json_t *request, GError **error)
{
    return has_only (request, NULL, NULL, error) && vmm_machine_resume (machine, error) ? json_object ()
                                                                                        : NULL;
}

static bool
is_over (VmmMachine *machine, GError **error)
{
    if (vmm_machine_get_verdict (machine) == NULL)
        return false;
    g_set_error_literal (error, VMM_ERROR, VMM_ERROR_BUSY, "the run is over");
    return true;
}

static json_t *
run_stop (VmmMachine *machine, json_t *request, GError **error)
{
    if (!has_only (request, NULL, NULL, error) || is_over (machine, error))
        return NULL;
    vmm_machine_stop (machine, "by its control socket");
    return json_object ();
}

static json_t *
run_power_button (VmmMachine *machine, json_t *request, GError **error)
{
    if (!has_only (request, NULL, NULL, error) || is_over (machine, error))
        return NULL;
    vmm_machine_press_power_button (machine);
    return json_object ();
}

static json_t *
run_break (VmmMachine *machine, json_t *request, GError **error)
{
    if (!has_only (request, NULL, NULL, error) || is_over (machine, error))
        return NULL;
    vmm_machine_send_break (machine);
    return json_object ();
}

static json_t *
describe_balloon (const VmmBalloonInfo *info)
{
    json_t *stats = info->n_stats > 0 ? json_object () : json_null ();

    for (size_t i = 0; i < info->n_stats; i++)
        json_object_set_new (stats, info->stats[i].name, json_integer ((json_int_t)info->stats[i].value));
    return json_pack ("{s:I, s:I, s:o}", "target_bytes", (json_int_t)info->target_bytes, "actual_bytes",
                      (json_int_t)info->actual_bytes, "stats", stats);
}

static json_t *
run_balloon (VmmMachine *machine, json_t *request, GError **error)
{
    const VmmBalloonInfo *info;
    const char *device;
    uint64_t bytes;

    if (!has_only (request, "device", "target_bytes", error) || !get_device (request, &device, error))
        return NULL;
    if (json_object_get (request, "target_bytes") != NULL &&
        (!get_bytes (request, "target_bytes", &bytes, error) ||
         !vmm_machine_set_balloon (machine, device, bytes, error)))
        return NULL;
    info = vmm_machine_get_balloon (machine, device, error);
    return info != NULL ? describe_balloon (info) : NULL;
}

static json_t *
run_resize (VmmMachine *machine, json_t *request, GError **error)
{
    const char *device;
    uint64_t bytes;

    if (!has_only (request, "device", "bytes", error) || !get_device (request, &device, error) ||
        !get_bytes (request, "bytes", &bytes, error))
        return NULL;
    return vmm_machine_resize_disk (machine, device, bytes, error) ? json_object () : NULL;
}

/* The rest is the socket's affair. */
static json_t *
run_events (VmmMachine *machine, json_t *request, GError **error)
{
    return has_only (request, NULL, NULL, error) ? json_object () : NULL;
}

static const Command commands[] = {
    {"status", run_status},
    {"pause", run_pause},
    {"resume", run_resume},
    {"stop", run_stop},
    {"power-button", run_power_button},
    {"break", run_break},
    {"balloon", run_balloon},
    {"resize", run_resize},
    {"events", run_events},
};

static json_t *
run (VmmMachine *machine, json_t *request, const Command **ret_command, GError **error)
{
    const char *name;

    if (!json_is_object (request))
        return refuse (error, "a request is one JSON object in a line");
    name = json_string_value (json_object_get (request, "command"));
    if (name == NULL)
        return refuse (error, "a request has a \"command\", which is a string");
    for (size_t i = 0; i < G_N_ELEMENTS (commands); i++) {
        if (strcmp (commands[i].name, name) != 0)
            continue;
        *ret_command = &commands[i];
        return commands[i].run (machine, request, error);
    }
    return refuse (error, "there is no such command: say status, pause, resume, stop, power-button, break, "
                          "balloon, resize or events");
}

static json_t *
parse (const char *line, size_t len, GError **error)
{
    json_error_t wrong;
    json_t *request;

    if (len > VMM_CONTROL_LINE_MAX || !is_shallow (line, len))
        return refuse (error, "the request is too long or too deep");
    request = json_loadb (line, len, JSON_REJECT_DUPLICATES, &wrong);
    if (request == NULL)
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "this is not JSON: %s", wrong.text);
    return request;
}

static const char *
class_of (const GError *error)
{
    switch (error->code) {
    case VMM_ERROR_USAGE:
        return "usage";
    case VMM_ERROR_BUSY:
        return "busy";
    default:
        return "host";
    }
}

static char *
print (json_t *json)
{
    char *dump = json_dumps (json, JSON_COMPACT);
    char *text = g_strdup (dump != NULL ? dump : "{\"ok\":false,\"class\":\"host\",\"error\":\"no memory\"}");

    free (dump);
    json_decref (json);
    return text;
}

static json_t *
describe_error (const GError *error)
{
    return json_pack ("{s:b, s:s, s:o}", "ok", 0, "class", class_of (error), "error",
                      string_or_null (error->message));
}

/**
 * vmm_control_answer:
 * @line: (array length=len): what a program sent, without the newline; anything
 * @ret_events: (out): set to %true when it wants to be told of events from now on
 *
 * Does what is asked for. The machine's thread.
 *
 * Returns: (transfer full): the answer, a line without its newline
 */
char *
vmm_control_answer (VmmMachine *machine, const char *line, size_t len, bool *ret_events)
{
    g_autoptr (GError) error = NULL;
    const Command *command = NULL;
    json_t *request = parse (line, len, &error);
    json_t *result = request != NULL ? run (machine, request, &command, &error) : NULL;
    json_t *id = json_object_get (request, "id");
    json_t *answer;

    if (result != NULL) {
        answer = json_pack ("{s:b}", "ok", 1);
        json_object_update (answer, result);
        *ret_events = *ret_events || command->run == run_events;
    } else {
        answer = describe_error (error);
    }
    if (json_is_string (id) || json_is_integer (id))
        json_object_set (answer, "id", id);
    json_decref (result);
    json_decref (request);
    return print (answer);
}

/**
 * vmm_control_describe_event:
 * @event: "paused", "resumed" or "ended"
 *
 * Returns: (transfer full): the line that tells of it, without its newline
 */
char *
vmm_control_describe_event (VmmMachine *machine, const char *event)
{
    json_t *json = json_pack ("{s:s}", "event", event);
    json_t *verdict = describe_verdict (vmm_machine_get_verdict (machine));

    if (json_is_object (verdict))
        json_object_update (json, verdict);
    json_decref (verdict);
    return print (json);
}

/**
 * vmm_control_describe_overlong:
 *
 * Returns: (transfer full): the answer to a line that does not end
 */
char *
vmm_control_describe_overlong (void)
{
    g_autoptr (GError) error = g_error_new_literal (VMM_ERROR, VMM_ERROR_USAGE,
                                                    "the request is too long: a line has at most 64 KiB");

    return print (describe_error (error));
}
