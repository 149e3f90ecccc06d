/* SPDX-License-Identifier: Apache-2.0 */
/* vmm ctl: tells a running machine what to do, through its control socket. */
#include "cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <glib.h>
#include <jansson.h>

#include <vmm/vmm.h>

#include "options.h"

/* A machine that is being made, or whose host is slow, needs a while. */
#define ANSWER_MS 30000
#define ANSWER_MAX (1u << 20)

typedef struct {
    gboolean json;
    char *device;
    const char *path;
    int fd;
    GString *in;
} Ctl;

/* Also on failure: the message was told. */
static int
fail (int code, const char *path, const char *why)
{
    if (path != NULL)
        fprintf (stderr, "vmm: control \"%s\": %s\n", path, why);
    else
        fprintf (stderr, "vmm: ctl: %s\n", why);
    return code;
}

static bool
connect_to (Ctl *ctl)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (g_strlcpy (address.sun_path, ctl->path, sizeof address.sun_path) >= sizeof address.sun_path) {
        fail (0, ctl->path, "the path of a Unix socket has at most 107 bytes");
        return false;
    }
    ctl->fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (ctl->fd >= 0 && connect (ctl->fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return true;
    fail (0, ctl->path, errno == ECONNREFUSED ? "no machine listens there any more" : g_strerror (errno));
    return false;
}

/* False when the machine is gone. */
static bool
send_all (const Ctl *ctl, const char *text)
{
    size_t len = strlen (text);

    while (len > 0) {
        ssize_t n = send (ctl->fd, text, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        text += n;
        len -= (size_t)n;
    }
    return true;
}

/* More bytes within @timeout_ms (-1: whenever they come); why not, or NULL. */
static const char *
read_more (Ctl *ctl, int timeout_ms)
{
    struct pollfd pfd = {.fd = ctl->fd, .events = POLLIN};
    char data[4096];
    ssize_t n;
    int ready;

    do {
        ready = poll (&pfd, 1, timeout_ms);
    } while (ready < 0 && errno == EINTR);
    if (ready == 0)
        return "the machine does not answer";
    n = recv (ctl->fd, data, sizeof data, 0);
    if (n <= 0 || ctl->in->len > ANSWER_MAX)
        return "the machine is gone";
    g_string_append_len (ctl->in, data, n);
    return NULL;
}

/* One line; NULL when there is none, and @ret_why says why. */
static json_t *
read_line (Ctl *ctl, int timeout_ms, const char **ret_why)
{
    const char *newline;
    json_t *json;

    *ret_why = NULL;
    while ((newline = memchr (ctl->in->str, '\n', ctl->in->len)) == NULL) {
        *ret_why = read_more (ctl, timeout_ms);
        if (*ret_why != NULL)
            return NULL;
    }
    json = json_loadb (ctl->in->str, (size_t)(newline - ctl->in->str), 0, NULL);
    g_string_erase (ctl->in, 0, newline - ctl->in->str + 1);
    if (json == NULL)
        *ret_why = "what listens there is no machine of vmm";
    return json;
}

static void
print_json (const json_t *json)
{
    char *text = json_dumps (json, JSON_COMPACT);

    if (text != NULL)
        puts (text);
    fflush (stdout);
    free (text);
}

static uint64_t
get_number (const json_t *json, const char *key)
{
    return (uint64_t)json_integer_value (json_object_get (json, key));
}

static const char *
get_text (const json_t *json, const char *key)
{
    const char *text = json_string_value (json_object_get (json, key));

    return text != NULL ? text : "";
}

static void
print_size (const char *title, uint64_t bytes)
{
    if (bytes % (1u << 20) == 0)
        printf ("%-10s%" PRIu64 " MiB\n", title, bytes >> 20);
    else
        printf ("%-10s%" PRIu64 " bytes\n", title, bytes);
}

/* With what the host let them do. */
static void
print_cpus (json_t *answer)
{
    double ran = 0, waited = 0;
    json_t *vcpu;
    size_t i;

    json_array_foreach (json_object_get (answer, "vcpus"), i, vcpu)
    {
        ran += json_number_value (json_object_get (vcpu, "ran_seconds"));
        waited += json_number_value (json_object_get (vcpu, "waited_seconds"));
    }
    printf ("%-10s%" PRIu64, "CPUs", get_number (answer, "cpus"));
    if (ran > 0)
        printf (", which ran for %.1f s and waited %.1f s for a CPU of the host", ran, waited);
    printf ("\n");
}

static void
print_status (json_t *answer)
{
    json_t *devices = json_object_get (answer, "devices");
    json_t *verdict = json_object_get (answer, "verdict");
    json_t *device;
    json_t *count;
    const char *reason;
    uint64_t exits = 0;
    size_t i;

    json_object_foreach (json_object_get (answer, "exits"), reason, count) exits +=
        (uint64_t)json_integer_value (count);
    printf ("%-10s%s\n", "state", get_text (answer, "state"));
    if (json_is_object (verdict))
        printf ("%-10s%s: %s\n", "verdict", get_text (verdict, "verdict"), get_text (verdict, "reason"));
    print_cpus (answer);
    print_size ("memory", get_number (answer, "memory_bytes"));
    printf ("%-10s%.1f s\n", "uptime", json_number_value (json_object_get (answer, "uptime_seconds")));
    printf ("%-10s%" PRIu64 "\n", "boots", get_number (answer, "boots"));
    printf ("%-10s%" PRIu64 "\n", "exits", exits);
    json_array_foreach (devices, i, device)
        printf ("%-10s%s: %" PRIu64 " requests, %" PRIu64 " kicks, %" PRIu64 " interrupts\n",
                i == 0 ? "devices" : "", get_text (device, "name"), get_number (device, "requests"),
                get_number (device, "kicks"), get_number (device, "interrupts"));
}

static void
print_balloon (json_t *answer)
{
    const char *name;
    json_t *value;

    print_size ("target", get_number (answer, "target_bytes"));
    print_size ("actual", get_number (answer, "actual_bytes"));
    json_object_foreach (json_object_get (answer, "stats"), name, value)
        printf ("%-10s%s %" JSON_INTEGER_FORMAT "\n", "", name, json_integer_value (value));
}

static int
follow_events (Ctl *ctl)
{
    const char *why;
    json_t *event;

    while ((event = read_line (ctl, -1, &why)) != NULL) {
        bool ended = strcmp (get_text (event, "event"), "ended") == 0;

        if (ctl->json)
            print_json (event);
        else if (ended)
            printf ("ended: %s\n", get_text (event, "reason"));
        else
            puts (get_text (event, "event"));
        fflush (stdout);
        json_decref (event);
        if (ended)
            return VMM_EXIT_POWEROFF;
    }
    return fail (VMM_EXIT_HOST_ERROR, ctl->path, why);
}

static int
show_answer (Ctl *ctl, const char *command, json_t *answer)
{
    bool ok = json_is_true (json_object_get (answer, "ok"));

    if (!ok && !ctl->json)
        return fail (VMM_EXIT_HOST_ERROR, ctl->path, get_text (answer, "error"));
    if (ctl->json)
        print_json (answer);
    else if (strcmp (command, "status") == 0)
        print_status (answer);
    else if (strcmp (command, "balloon") == 0)
        print_balloon (answer);
    if (!ok)
        return VMM_EXIT_HOST_ERROR;
    return strcmp (command, "events") == 0 ? follow_events (ctl) : VMM_EXIT_POWEROFF;
}

static int
talk (Ctl *ctl, const json_t *request)
{
    const char *command = get_text (request, "command");
    const char *why = "the machine is gone";
    char *dump = json_dumps (request, JSON_COMPACT);
    g_autofree char *line = g_strconcat (dump != NULL ? dump : "", "\n", NULL);
    json_t *answer = NULL;
    int code;

    free (dump);
    if (send_all (ctl, line))
        answer = read_line (ctl, ANSWER_MS, &why);
    if (answer == NULL)
        return fail (VMM_EXIT_HOST_ERROR, ctl->path, why);
    code = show_answer (ctl, command, answer);
    json_decref (answer);
    return code;
}

/* Bytes, or with K, M, G or T powers of 1024. */
static bool
parse_size (const char *text, json_int_t *ret_bytes)
{
    static const char suffixes[] = "KMGT";
    char *end = NULL;
    guint64 number;
    const char *suffix;
    unsigned shift = 0;

    errno = 0;
    number = g_ascii_strtoull (text, &end, 10);
    suffix = *end != '\0' ? strchr (suffixes, g_ascii_toupper (*end)) : NULL;
    if (suffix != NULL)
        shift = 10 * (unsigned)(suffix - suffixes + 1);
    if (!g_ascii_isdigit (*text) || errno == ERANGE || (*end != '\0' && (suffix == NULL || end[1] != '\0')) ||
        number > (guint64)INT64_MAX >> shift)
        return false;
    *ret_bytes = (json_int_t)(number << shift);
    return true;
}

/* What the words mean; NULL when they mean nothing. */
static json_t *
make_request (const Ctl *ctl, int argc, char **argv)
{
    json_t *request = json_pack ("{s:s}", "command", argv[0]);
    const char *device = ctl->device;
    json_int_t bytes;
    bool good = argc == 1;

    if (strcmp (argv[0], "balloon") == 0 && argc == 2) {
        good = parse_size (argv[1], &bytes);
        if (good)
            json_object_set_new (request, "target_bytes", json_integer (bytes));
    } else if (strcmp (argv[0], "resize") == 0) {
        good = argc == 3 && parse_size (argv[2], &bytes);
        if (good)
            json_object_set_new (request, "bytes", json_integer (bytes));
        device = good ? argv[1] : NULL;
    }
    if (good && device != NULL)
        json_object_set_new (request, "device", json_string (device));
    if (!good)
        g_clear_pointer (&request, json_decref);
    return request;
}

static bool
is_command (const char *word)
{
    static const char *const words[] = {"status", "pause",  "resume",  "stop",   "power-button",
                                        "break",  "events", "balloon", "resize", NULL};

    return g_strv_contains (words, word);
}

static int
run (Ctl *ctl, int argc, char **argv)
{
    json_t *request;
    int code = VMM_EXIT_HOST_ERROR;

    if (argc < 2)
        return fail (VMM_EXIT_USAGE, NULL, "name the control socket and a command; see vmm ctl --help");
    if (!is_command (argv[1]))
        return fail (VMM_EXIT_USAGE, NULL,
                     "say status, pause, resume, stop, power-button, break, events, balloon [SIZE] or resize "
                     "DISK SIZE");
    request = make_request (ctl, argc - 1, argv + 1);
    if (request == NULL)
        return fail (VMM_EXIT_USAGE, NULL,
                     strcmp (argv[1], "resize") == 0    ? "say resize DISK SIZE, such as resize disk0 20G"
                     : strcmp (argv[1], "balloon") == 0 ? "say balloon, or balloon SIZE, such as balloon 256M"
                                                        : "this command takes no arguments");
    ctl->path = argv[0];
    ctl->fd = -1;
    ctl->in = g_string_new (NULL);
    if (connect_to (ctl))
        code = talk (ctl, request);
    if (ctl->fd >= 0)
        close (ctl->fd);
    g_string_free (ctl->in, TRUE);
    json_decref (request);
    return code;
}

/**
 * cmd_ctl:
 *
 * vmm ctl PATH COMMAND [ARGUMENT ...]
 */
int
cmd_ctl (int argc, char **argv)
{
    Ctl ctl = {0};
    const GOptionEntry entries[] = {
        {"json", 0, 0, G_OPTION_ARG_NONE, &ctl.json, "print the answer as the machine gave it", NULL},
        {"device", 0, 0, G_OPTION_ARG_STRING, &ctl.device, "the balloon, where there are several", "NAME"},
        {NULL},
    };
    g_autoptr (GOptionContext) context = g_option_context_new ("PATH COMMAND [ARGUMENT ...]");
    g_autoptr (GError) error = NULL;
    int code;

    g_set_prgname ("vmm ctl");
    g_option_context_set_summary (context,
                                  "Tells a machine that was started with --control PATH what to do:\n"
                                  "  status, pause, resume, stop, power-button, break, events,\n"
                                  "  balloon [SIZE], resize DISK SIZE");
    g_option_context_add_main_entries (context, entries, NULL);
    if (g_option_context_parse (context, &argc, &argv, &error)) {
        options_drop_separator (&argc, argv);
        code = run (&ctl, argc - 1, argv + 1);
    } else {
        code = fail (VMM_EXIT_USAGE, NULL, error->message);
    }
    g_free (ctl.device);
    return code;
}
