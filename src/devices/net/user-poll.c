/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When libslirp has something to do. It was made for poll(): before each sleep it names its descriptors and
 * for how long it would sleep at most. Here the descriptors are kept in an epoll set, which is changed only
 * where their list has changed, and the loop watches that set as one descriptor.
 */
#include "devices/net/user-internal.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "vmm/core/timer.h"

#define EVENTS_PER_RUN 64
#define NS_PER_MS INT64_C (1000000)
/* The slow timers of TCP are done with a connection after that time. */
#define LINGER_NS (30000 * NS_PER_MS)

typedef struct {
    SlirpTimerCb func;
    void *user;
    int64_t expires_ns; /* 0: not armed */
} VmmNetUserTimer;

static const struct {
    int slirp;
    uint32_t epoll;
} event_names[] = {
    {SLIRP_POLL_IN, EPOLLIN},   {SLIRP_POLL_OUT, EPOLLOUT}, {SLIRP_POLL_PRI, EPOLLPRI},
    {SLIRP_POLL_ERR, EPOLLERR}, {SLIRP_POLL_HUP, EPOLLHUP},
};

static uint32_t
to_epoll (int events)
{
    uint32_t all = 0;

    for (size_t i = 0; i < G_N_ELEMENTS (event_names); i++)
        all |= (events & event_names[i].slirp) != 0 ? event_names[i].epoll : 0;
    return all;
}

static int
from_epoll (uint32_t events)
{
    int all = 0;

    for (size_t i = 0; i < G_N_ELEMENTS (event_names); i++)
        all |= (events & event_names[i].epoll) != 0 ? event_names[i].slirp : 0;
    return all;
}

static VmmNetUserFd *
entry_of (VmmNetUser *user, int fd)
{
    VmmNetUserFd *entry = g_hash_table_lookup (user->fds, GINT_TO_POINTER (fd));

    if (entry == NULL) {
        entry = g_new0 (VmmNetUserFd, 1);
        g_hash_table_insert (user->fds, GINT_TO_POINTER (fd), entry);
    }
    return entry;
}

static void
set_events (VmmNetUser *user, int fd, VmmNetUserFd *entry, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    bool is_new = entry->events == 0 || entry->unsure;

    if (events == entry->events && !entry->unsure)
        return;
    if (events == 0)
        epoll_ctl (user->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    else if (!is_new || epoll_ctl (user->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        epoll_ctl (user->epoll_fd, EPOLL_CTL_MOD, fd, &event);
    entry->events = events;
    entry->unsure = false;
}

static void
on_register (int fd, void *opaque)
{
    VmmNetUser *user = opaque;
    VmmNetUserFd *entry = entry_of (user, fd);

    entry->unsure = true;
    entry->forward = user->adding_forward;
}

static void
on_unregister (int fd, void *opaque)
{
    VmmNetUser *user = opaque;
    VmmNetUserFd *entry = g_hash_table_lookup (user->fds, GINT_TO_POINTER (fd));

    if (entry == NULL)
        return;
    set_events (user, fd, entry, 0);
    g_hash_table_remove (user->fds, GINT_TO_POINTER (fd));
}

static int
on_add_poll (int fd, int events, void *opaque)
{
    VmmNetUser *user = opaque;
    VmmNetUserFd *entry = entry_of (user, fd);
    const VmmNetUserPolled polled = {.fd = fd};

    set_events (user, fd, entry, to_epoll (events));
    entry->filled = user->n_fills;
    entry->index = user->polled->len;
    user->only_forwards = user->only_forwards && entry->forward;
    g_array_append_val (user->polled, polled);
    return (int)entry->index;
}

static int
on_get_revents (int index, void *opaque)
{
    const VmmNetUser *user = opaque;

    return index >= 0 && (guint)index < user->polled->len
               ? g_array_index (user->polled, VmmNetUserPolled, (guint)index).ready
               : 0;
}

static gboolean
leave_out (gpointer key, gpointer value, gpointer data)
{
    VmmNetUser *user = data;
    VmmNetUserFd *entry = value;

    if (entry->filled != user->n_fills)
        set_events (user, GPOINTER_TO_INT (key), entry, 0);
    /* A forward's is kept, so that it is known for one. */
    return entry->filled != user->n_fills && !entry->forward;
}

static void
arm (VmmNetUser *user)
{
    int64_t next = user->tick_ns;

    for (guint i = 0; i < user->timers->len; i++) {
        const VmmNetUserTimer *timer = user->timers->pdata[i];

        if (timer->expires_ns != 0 && (next == 0 || timer->expires_ns < next))
            next = timer->expires_ns;
    }
    if (user->timer == NULL)
        return;
    if (next != 0)
        vmm_loop_timer_arm (user->timer, next - vmm_now_ns ());
    else
        vmm_loop_timer_disarm (user->timer);
}

/**
 * vmm_net_user_sync:
 *
 * After whatever libslirp did: watches what it wants to have watched, for as long as it wants.
 *
 * While there is a forward libslirp would look for TCP connections to time out twice a second, though there
 * is none. Where nothing but forwards is open and has been for a while, it is left asleep.
 */
void
vmm_net_user_sync (VmmNetUser *user)
{
    uint32_t timeout_ms = UINT32_MAX;
    int64_t now = vmm_now_ns ();

    user->n_fills++;
    user->only_forwards = true;
    g_array_set_size (user->polled, 0);
    user->library.fill (user->slirp, &timeout_ms, on_add_poll, user);
    if (user->polled->len != g_hash_table_size (user->fds))
        g_hash_table_foreach_remove (user->fds, leave_out, user);
    if (!user->only_forwards)
        user->busy_ns = now;
    user->tick_ns =
        timeout_ms == UINT32_MAX || now - user->busy_ns > LINGER_NS ? 0 : now + timeout_ms * NS_PER_MS;
    arm (user);
}

/**
 * vmm_net_user_run_ready:
 *
 * Lets libslirp serve those of its descriptors that are ready; vmm_net_user_sync() is to follow.
 */
void
vmm_net_user_run_ready (VmmNetUser *user)
{
    struct epoll_event events[EVENTS_PER_RUN];
    int n = epoll_wait (user->epoll_fd, events, EVENTS_PER_RUN, 0);

    for (int i = 0; i < n; i++) {
        const VmmNetUserFd *entry = g_hash_table_lookup (user->fds, GINT_TO_POINTER (events[i].data.fd));

        if (entry != NULL && entry->filled == user->n_fills)
            g_array_index (user->polled, VmmNetUserPolled, entry->index).ready =
                from_epoll (events[i].events);
    }
    user->library.poll (user->slirp, n < 0, on_get_revents, user);
    user->busy_ns = vmm_now_ns ();
}

/**
 * vmm_net_user_run_timers:
 *
 * Lets libslirp do what its time has come for; vmm_net_user_sync() is to follow.
 */
void
vmm_net_user_run_timers (VmmNetUser *user)
{
    int64_t now = vmm_now_ns ();

    /* A callback may change the list: begin anew after each. */
    for (guint i = 0; i < user->timers->len; i++) {
        VmmNetUserTimer *timer = user->timers->pdata[i];

        if (timer->expires_ns == 0 || timer->expires_ns > now)
            continue;
        timer->expires_ns = 0;
        timer->func (timer->user);
        i = (guint)-1;
    }
    if (user->tick_ns != 0 && user->tick_ns <= now)
        user->library.poll (user->slirp, 0, on_get_revents, user);
}

static int64_t
on_clock (void *opaque)
{
    return vmm_now_ns ();
}

static void *
on_timer_new (SlirpTimerCb func, void *timer_user, void *opaque)
{
    VmmNetUser *user = opaque;
    VmmNetUserTimer *timer = g_new0 (VmmNetUserTimer, 1);

    timer->func = func;
    timer->user = timer_user;
    g_ptr_array_add (user->timers, timer);
    return timer;
}

static void
on_timer_free (void *timer, void *opaque)
{
    g_ptr_array_remove (((VmmNetUser *)opaque)->timers, timer);
}

static void
on_timer_mod (void *data, int64_t expires_ms, void *opaque)
{
    VmmNetUserTimer *timer = data;

    timer->expires_ns = MAX (expires_ms, 1) * NS_PER_MS;
    arm (opaque);
}

static void
on_notify (void *opaque)
{
    /* Of sockets that we do not use: guestfwd. */
}

/**
 * vmm_net_user_poll_init:
 * @callbacks: gets those of polling and time
 */
void
vmm_net_user_poll_init (VmmNetUser *user, SlirpCb *callbacks)
{
    user->epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
    user->fds = g_hash_table_new_full (NULL, NULL, NULL, g_free);
    user->polled = g_array_new (FALSE, FALSE, sizeof (VmmNetUserPolled));
    user->timers = g_ptr_array_new_with_free_func (g_free);
    callbacks->clock_get_ns = on_clock;
    callbacks->timer_new = on_timer_new;
    callbacks->timer_free = on_timer_free;
    callbacks->timer_mod = on_timer_mod;
    callbacks->register_poll_fd = on_register;
    callbacks->unregister_poll_fd = on_unregister;
    callbacks->notify = on_notify;
}

/**
 * vmm_net_user_poll_clear:
 *
 * libslirp is at its end.
 */
void
vmm_net_user_poll_clear (VmmNetUser *user)
{
    if (user->epoll_fd >= 0)
        close (user->epoll_fd);
    g_hash_table_unref (user->fds);
    g_array_unref (user->polled);
    g_ptr_array_unref (user->timers);
}
