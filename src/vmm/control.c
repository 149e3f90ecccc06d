/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The control socket of a machine: programs connect, write requests in lines, and read answers in lines; see
 * control-request.c. It is served on the machine's loop, between the machine's own work, so no program may
 * keep that loop busy or make it wait: sockets do not block, a line is bounded, and as long as a program has
 * not read its last answer its next request is not looked at. Events are told to those who asked; one who
 * does not read them is dropped when a bounded queue is full.
 */
#include "vmm/control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/control-request.h"
#include "vmm/core/source.h"
#include "vmm/core/timer.h"
#include "vmm/core/unix-listener.h"

#define CLIENTS_MAX 64u
#define QUEUE_MAX (256u * 1024)
#define READ_SIZE 16384u
#define RETRY_US (1 * G_USEC_PER_SEC)

typedef struct {
    VmmControl *control;
    int fd;
    GSource *source;
    GIOCondition waits_for;
    GString *in;
    GString *out;
    bool wants_events;
    bool in_ended; /* it sends no more */
    bool closing;  /* when its queue is empty */
    bool dead;
    unsigned busy; /* it is being looked at: not to be freed */
} Client;

struct _VmmControl {
    VmmMachine *machine;
    GMainContext *context;
    VmmUnixListener listener;
    GSource *accepting;
    GSource *retry; /* the host had no descriptor left */
    GPtrArray *clients;
};

static void
free_client (gpointer data)
{
    Client *client = data;

    vmm_source_clear (&client->source);
    close (client->fd);
    g_string_free (client->in, TRUE);
    g_string_free (client->out, TRUE);
    g_free (client);
}

static gboolean on_client (gint fd, GIOCondition condition, gpointer user);

/* Reading goes on when the last answer has gone. A hang-up is always told. */
static void
update_watch (Client *client)
{
    GIOCondition wanted = client->out->len > 0 ? G_IO_OUT : client->in_ended ? 0 : G_IO_IN;

    wanted |= G_IO_HUP | G_IO_ERR;
    if (client->source != NULL && client->waits_for == wanted)
        return;
    vmm_source_clear (&client->source);
    client->waits_for = wanted;
    client->source = vmm_source_watch_fd (client->control->context, client->fd, wanted, on_client, client);
}

static void
flush (Client *client)
{
    while (client->out->len > 0 && !client->dead) {
        ssize_t n = send (client->fd, client->out->str, client->out->len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n > 0)
            g_string_erase (client->out, 0, n);
        else if (n < 0 && errno == EAGAIN)
            break;
        else if (n >= 0 || errno != EINTR)
            client->dead = true;
    }
    if (client->out->len == 0 && (client->closing || (client->in_ended && !client->wants_events)))
        client->dead = true;
}

/* Takes @line. */
static void
say (Client *client, char *line)
{
    if (client->out->len + strlen (line) < QUEUE_MAX) {
        g_string_append (client->out, line);
        g_string_append_c (client->out, '\n');
        flush (client);
    } else {
        client->dead = true;
    }
    g_free (line);
}

/* Frees it, or waits for what comes next. */
static void
settle (Client *client)
{
    if (client->busy > 0)
        return;
    if (client->dead)
        g_ptr_array_remove_fast (client->control->clients, client);
    else
        update_watch (client);
}

static void
answer_lines (Client *client)
{
    char *newline;

    while (!client->dead && !client->closing && client->out->len == 0 &&
           (newline = memchr (client->in->str, '\n', client->in->len)) != NULL) {
        size_t len = (size_t)(newline - client->in->str);
        bool events = client->wants_events;
        char *answer = vmm_control_answer (client->control->machine, client->in->str, len, &events);

        g_string_erase (client->in, 0, (gssize)len + 1);
        /* The answer comes before the first event. */
        say (client, answer);
        client->wants_events = events;
    }
    if (client->in->len > VMM_CONTROL_LINE_MAX && memchr (client->in->str, '\n', client->in->len) == NULL) {
        client->closing = true;
        g_string_truncate (client->in, 0);
        say (client, vmm_control_describe_overlong ());
    }
}

static void
read_some (Client *client)
{
    char data[READ_SIZE];
    ssize_t n = recv (client->fd, data, sizeof data, MSG_DONTWAIT);

    if (n > 0)
        g_string_append_len (client->in, data, n);
    else if (n == 0)
        client->in_ended = true;
    else if (errno != EAGAIN && errno != EINTR)
        client->dead = true;
}

static gboolean
on_client (gint fd, GIOCondition condition, gpointer user)
{
    Client *client = user;

    client->busy++;
    if (condition & G_IO_ERR)
        client->dead = true;
    if (!client->dead && client->out->len > 0)
        flush (client);
    if (!client->dead && (condition & (G_IO_IN | G_IO_HUP)) && client->out->len == 0 && !client->in_ended)
        read_some (client);
    else if (condition & G_IO_HUP)
        client->dead = true;
    answer_lines (client);
    flush (client);
    client->busy--;
    settle (client);
    /* When that replaced or ended the source, this answer has no effect. */
    return G_SOURCE_CONTINUE;
}

static gboolean
on_connection (gint fd, GIOCondition condition, gpointer user)
{
    VmmControl *control = user;
    int peer = accept4 (fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    Client *client;

    if (peer < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            vmm_source_clear (&control->accepting);
            vmm_timer_arm (control->retry, RETRY_US);
        }
        return G_SOURCE_CONTINUE;
    }
    if (control->clients->len >= CLIENTS_MAX) {
        close (peer);
        return G_SOURCE_CONTINUE;
    }
    client = g_new0 (Client, 1);
    client->control = control;
    client->fd = peer;
    client->in = g_string_new (NULL);
    client->out = g_string_new (NULL);
    g_ptr_array_add (control->clients, client);
    update_watch (client);
    return G_SOURCE_CONTINUE;
}

static gboolean
on_retry (gpointer user)
{
    VmmControl *control = user;

    if (control->accepting == NULL)
        control->accepting =
            vmm_source_watch_fd (control->context, control->listener.fd, G_IO_IN, on_connection, control);
    return G_SOURCE_CONTINUE;
}

/**
 * vmm_control_new:
 * @machine: what it controls; borrowed
 * @context: where it is served
 * @path: of its socket, which only the owner can connect to
 *
 * Returns: (transfer full) (nullable): a control socket; NULL with an error that names @path
 */
VmmControl *
vmm_control_new (VmmMachine *machine, GMainContext *context, const char *path, GError **error)
{
    VmmUnixListener listener;
    VmmControl *control;

    if (!vmm_unix_listener_open (&listener, "control", path, error))
        return NULL;
    control = g_new0 (VmmControl, 1);
    control->machine = machine;
    control->context = g_main_context_ref (context);
    control->listener = listener;
    control->clients = g_ptr_array_new_with_free_func (free_client);
    control->retry = vmm_timer_new (context, on_retry, control);
    control->accepting = vmm_source_watch_fd (control->context, listener.fd, G_IO_IN, on_connection, control);
    return control;
}

/**
 * vmm_control_free:
 * @control: (nullable): on its thread, not while a request is being answered
 *
 * Ends it; the socket's file is removed.
 */
void
vmm_control_free (VmmControl *control)
{
    if (control == NULL)
        return;
    vmm_source_clear (&control->accepting);
    vmm_timer_clear (&control->retry);
    g_ptr_array_unref (control->clients);
    vmm_unix_listener_close (&control->listener);
    g_main_context_unref (control->context);
    g_free (control);
}

/**
 * vmm_control_tell:
 * @control: (nullable): on its thread
 * @event: "paused", "resumed" or "ended"
 *
 * Tells those who want to know.
 */
void
vmm_control_tell (VmmControl *control, const char *event)
{
    if (control == NULL)
        return;
    /* Backwards: one that is dropped leaves its place to the last. */
    for (guint i = control->clients->len; i-- > 0;) {
        Client *client = control->clients->pdata[i];

        if (!client->wants_events || client->dead)
            continue;
        say (client, vmm_control_describe_event (control->machine, event));
        settle (client);
    }
}
