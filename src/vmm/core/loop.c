/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A loop is one thread that sleeps in epoll_wait() and calls what is ready. Devices work on it, so that what
 * they own needs no lock: other threads hand their wishes over, by vmm_loop_post() or, waiting for the
 * result, by vmm_loop_call(). The thread begins with the first use, since most loops of a machine that starts
 * have nothing to do yet; when the host has none to give then, that ends nothing: see vmm_loop_begin().
 *
 * Watches may be removed while a batch of events is being dispatched, by a callback of the same batch. A
 * removed watch stays in memory until the batch is over and its callback is not called any more.
 *
 * Timers are in loop-timers.c: a list, and one timerfd that is watched like any other descriptor.
 *
 * Locks: one mutex guards the queue of posted functions and the state of the thread. Watches and timers are
 * touched by the loop's thread only, or by any thread while the loop's has not begun; vmm_loop_watch() and
 * its like called from elsewhere hand themselves over.
 */
#include "vmm/core/loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/core/loop-timers.h"
#include "vmm/core/timer.h"
#include "vmm/error.h"

#define EVENTS_PER_WAIT 32
/* How long to poll for work that does not come. */
#define POLL_NS INT64_C (32000)
/* A poller that always finds work stops so often to let others have their turn. */
#define POLL_TURN_NS INT64_C (32000)
/* After a sleep that is no longer, it may be worth to poll. */
#define SLEEP_SHORT_NS INT64_C (250000)
/* Short sleeps, at most, without polling after it was in vain. */
#define POLL_PAUSE_MAX 63u

typedef struct {
    VmmLoopFunc func;
    void *user;
    bool *done; /* NULL: nobody waits */
} Posted;

struct _VmmLoopWatch {
    VmmLoop *loop;
    VmmLoopWatchFunc func;
    void *user;
    int fd;
};

struct _VmmLoop {
    char *name;
    int epoll_fd;
    int wake_fd;
    GMutex lock;
    GCond finished; /* a call is done, or the thread is there */
    GThread *thread;
    GArray *posted; /* of Posted */
    bool ending;
    /* The thread's own. */
    GPtrArray *removed; /* watches that are freed when the batch is over */
    VmmLoopTimers timers;
    VmmLoopWatch wake_watch; /* only their addresses matter: epoll's data */
    VmmLoopWatch timers_watch;
    bool dispatching;
    const VmmLoopPoller *poller;
    void *poller_user;
    bool polls;          /* before it sleeps */
    unsigned poll_pause; /* how many short sleeps there are without it when it was in vain again */
    unsigned poll_skips; /* how many of them are still to come */
};

/**
 * vmm_loop_timers:
 *
 * Returns: the loop's timers, for the loop's thread
 */
VmmLoopTimers *
vmm_loop_timers (VmmLoop *loop)
{
    return &loop->timers;
}

static void
take_posted (VmmLoop *loop, GArray *batch)
{
    g_mutex_lock (&loop->lock);
    g_array_set_size (batch, 0);
    if (loop->posted->len > 0) {
        g_array_append_vals (batch, loop->posted->data, loop->posted->len);
        g_array_set_size (loop->posted, 0);
    }
    g_mutex_unlock (&loop->lock);
}

static void
run_posted (VmmLoop *loop, GArray *batch)
{
    take_posted (loop, batch);
    for (guint i = 0; i < batch->len; i++) {
        Posted *posted = &g_array_index (batch, Posted, i);

        posted->func (posted->user);
        if (posted->done == NULL)
            continue;
        g_mutex_lock (&loop->lock);
        *posted->done = true;
        g_cond_broadcast (&loop->finished);
        g_mutex_unlock (&loop->lock);
    }
}

static bool
is_removed (const VmmLoop *loop, const VmmLoopWatch *watch)
{
    for (guint i = 0; i < loop->removed->len; i++) {
        if (loop->removed->pdata[i] == watch)
            return true;
    }
    return false;
}

static void
dispatch (VmmLoop *loop, const struct epoll_event *events, int n, GArray *batch)
{
    loop->dispatching = true;
    for (int i = 0; i < n; i++) {
        VmmLoopWatch *watch = events[i].data.ptr;

        if (watch == &loop->wake_watch) {
            eventfd_t value;

            eventfd_read (loop->wake_fd, &value);
            run_posted (loop, batch);
        } else if (watch == &loop->timers_watch) {
            vmm_loop_timers_run (&loop->timers);
        } else if (loop->removed->len == 0 || !is_removed (loop, watch)) {
            watch->func (watch->user, events[i].events);
        }
    }
    loop->dispatching = false;
    if (loop->removed->len > 0)
        g_ptr_array_set_size (loop->removed, 0);
}

/* Looks for work, as long as it comes, but not all its time; returns whether there was any. */
static bool
poll_for_work (VmmLoop *loop)
{
    int64_t now = vmm_now_ns ();
    int64_t turn = now + POLL_TURN_NS, end = now + POLL_NS;
    bool any = false;

    while (now < end && !(any && now >= turn)) {
        bool found = loop->poller->poll (loop->poller_user);

        now = vmm_now_ns ();
        any = any || found;
        end = found ? now + POLL_NS : end;
    }
    return any;
}

/* Returns whether the loop may sleep. */
static bool
poll_before_sleep (VmmLoop *loop)
{
    if (!loop->polls)
        return loop->poller->may_sleep (loop->poller_user);
    if (poll_for_work (loop)) {
        loop->poll_pause /= 2;
        return false;
    }
    loop->poll_pause = MIN (2 * loop->poll_pause + 1, POLL_PAUSE_MAX);
    loop->poll_skips = loop->poll_pause;
    return loop->poller->may_sleep (loop->poller_user);
}

/*
 * Polling pays when work comes sooner than a sleep would be over. How long a sleep takes does not tell: the
 * time to wake is in it, which may be most of it. So after a short sleep polling is tried; after each time in
 * vain it is left for more sleeps, and for fewer when it was not.
 */
static void
adapt_polling (VmmLoop *loop, int64_t slept_ns)
{
    loop->polls = slept_ns <= SLEEP_SHORT_NS && loop->poll_skips == 0;
    if (slept_ns <= SLEEP_SHORT_NS && loop->poll_skips > 0)
        loop->poll_skips--;
}

/* Waits for events; how many there are. */
static int
wait_for_events (VmmLoop *loop, struct epoll_event *events)
{
    int64_t before;
    int n;

    if (loop->poller == NULL)
        return epoll_wait (loop->epoll_fd, events, EVENTS_PER_WAIT, -1);
    /* What has come meanwhile must not wait for ever behind one that always finds work. */
    if (!poll_before_sleep (loop))
        return epoll_wait (loop->epoll_fd, events, EVENTS_PER_WAIT, 0);
    before = vmm_now_ns ();
    n = epoll_wait (loop->epoll_fd, events, EVENTS_PER_WAIT, -1);
    adapt_polling (loop, vmm_now_ns () - before);
    return n;
}

static bool
is_ending (VmmLoop *loop)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&loop->lock);

    return loop->ending && loop->posted->len == 0;
}

static gpointer
run (gpointer data)
{
    VmmLoop *loop = data;
    g_autoptr (GArray) batch = g_array_new (FALSE, FALSE, sizeof (Posted));
    struct epoll_event events[EVENTS_PER_WAIT];
    sigset_t all;

    /* A program's signals are the affair of its own threads. */
    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, NULL);
    /* Who began the thread may still be storing its handle, which vmm_loop_is_current() compares. */
    g_mutex_lock (&loop->lock);
    g_mutex_unlock (&loop->lock);
    while (!is_ending (loop)) {
        int n = wait_for_events (loop, events);

        if (n > 0)
            dispatch (loop, events, n, batch);
    }
    return NULL;
}

/* Whether there is a thread; the host may have none to give. */
static bool
begin_thread_locked (VmmLoop *loop)
{
    if (loop->thread == NULL)
        g_atomic_pointer_set (&loop->thread, g_thread_try_new (loop->name, run, loop, NULL));
    return loop->thread != NULL;
}

/* There is no thread: the caller's does what was posted, and is the loop's meanwhile. */
static void
stand_in_locked (VmmLoop *loop)
{
    g_autoptr (GArray) batch = g_array_new (FALSE, FALSE, sizeof (Posted));

    g_atomic_pointer_set (&loop->thread, g_thread_self ());
    while (loop->posted->len > 0) {
        g_mutex_unlock (&loop->lock);
        run_posted (loop, batch);
        g_mutex_lock (&loop->lock);
    }
    g_atomic_pointer_set (&loop->thread, NULL);
}

static bool
poll_for (VmmLoop *loop, int fd, VmmLoopWatch *watch, GError **error)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = watch};

    if (fd >= 0 && epoll_ctl (loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
        return true;
    g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "event loop \"%s\": %s", loop->name, g_strerror (errno));
    return false;
}

/**
 * vmm_loop_new:
 * @name: of its thread, at most 15 characters are shown; copied
 *
 * Returns: (transfer full) (nullable): a loop; NULL with %VMM_ERROR_HOST when there are no descriptors left
 */
VmmLoop *
vmm_loop_new (const char *name, GError **error)
{
    g_autoptr (VmmLoop) loop = g_new0 (VmmLoop, 1);

    g_mutex_init (&loop->lock);
    g_cond_init (&loop->finished);
    loop->name = g_strndup (name, 15);
    loop->posted = g_array_new (FALSE, FALSE, sizeof (Posted));
    loop->removed = g_ptr_array_new_with_free_func (g_free);
    loop->epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
    loop->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    vmm_loop_timers_init (&loop->timers);
    if (!poll_for (loop, loop->wake_fd, &loop->wake_watch, error) ||
        !poll_for (loop, loop->timers.fd, &loop->timers_watch, error))
        return NULL;
    return g_steal_pointer (&loop);
}

/**
 * vmm_loop_free:
 * @loop: (nullable): a loop without watches and timers; what was posted is done first
 *
 * Any thread but the loop's own.
 */
void
vmm_loop_free (VmmLoop *loop)
{
    if (loop == NULL)
        return;
    g_mutex_lock (&loop->lock);
    loop->ending = true;
    if (loop->thread == NULL)
        stand_in_locked (loop);
    g_mutex_unlock (&loop->lock);
    if (loop->thread != NULL) {
        eventfd_write (loop->wake_fd, 1);
        g_thread_join (loop->thread);
    }
    if (loop->epoll_fd >= 0)
        close (loop->epoll_fd);
    if (loop->wake_fd >= 0)
        close (loop->wake_fd);
    g_array_unref (loop->posted);
    g_ptr_array_unref (loop->removed);
    vmm_loop_timers_clear (&loop->timers);
    g_mutex_clear (&loop->lock);
    g_cond_clear (&loop->finished);
    g_free (loop->name);
    g_free (loop);
}

/**
 * vmm_loop_begin:
 *
 * Any thread: begins the loop's thread, if it has not begun yet. Without one, watches and timers wait for the
 * next attempt, which each other function makes; what was posted is done by that one too, or by a call.
 *
 * Returns: false when the host has no thread to give
 */
bool
vmm_loop_begin (VmmLoop *loop)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&loop->lock);

    return begin_thread_locked (loop);
}

/**
 * vmm_loop_is_current:
 *
 * Returns: whether the caller is the loop's thread
 */
bool
vmm_loop_is_current (const VmmLoop *loop)
{
    return g_atomic_pointer_get (&((VmmLoop *)loop)->thread) == g_thread_self ();
}

static void
post (VmmLoop *loop, const Posted *posted)
{
    bool first;

    g_mutex_lock (&loop->lock);
    begin_thread_locked (loop);
    first = loop->posted->len == 0;
    g_array_append_vals (loop->posted, posted, 1);
    g_mutex_unlock (&loop->lock);
    /* Otherwise it is awake, or about to be. */
    if (first)
        eventfd_write (loop->wake_fd, 1);
}

/**
 * vmm_loop_call:
 * @func: runs on the loop's thread, after all that was posted before
 * @user: what it gets
 *
 * Any thread; waits until @func has returned. On the loop's own thread @func runs at once; where there is no
 * such thread, and none to be had, the caller's does its work.
 */
void
vmm_loop_call (VmmLoop *loop, VmmLoopFunc func, void *user)
{
    bool done = false;
    Posted posted = {func, user, &done};

    if (vmm_loop_is_current (loop)) {
        func (user);
        return;
    }
    post (loop, &posted);
    g_mutex_lock (&loop->lock);
    while (!done) {
        if (begin_thread_locked (loop))
            g_cond_wait (&loop->finished, &loop->lock);
        else
            stand_in_locked (loop);
    }
    g_mutex_unlock (&loop->lock);
}

/**
 * vmm_loop_post:
 * @func: runs on the loop's thread, soon, in the order of posting
 * @user: what it gets
 *
 * Any thread.
 */
void
vmm_loop_post (VmmLoop *loop, VmmLoopFunc func, void *user)
{
    Posted posted = {func, user, NULL};

    post (loop, &posted);
}

/**
 * vmm_loop_set_poller:
 * @poller: (nullable): outlives its use
 * @user: what it gets
 *
 * The loop's thread.
 */
void
vmm_loop_set_poller (VmmLoop *loop, const VmmLoopPoller *poller, void *user)
{
    loop->poller = poller;
    loop->poller_user = user;
    loop->polls = false;
    loop->poll_pause = 0;
    loop->poll_skips = 0;
}

/**
 * vmm_loop_watch:
 * @fd: borrowed; stays open until vmm_loop_unwatch()
 * @events: of epoll_ctl(): EPOLLIN, EPOLLOUT, EPOLLET; errors and hang-ups are always told
 * @func: called on the loop's thread
 * @user: what it gets
 *
 * Any thread.
 *
 * Returns: (transfer full): a watch, to be ended by vmm_loop_unwatch(). When the host has no room for it, it
 * is never called
 */
VmmLoopWatch *
vmm_loop_watch (VmmLoop *loop, int fd, uint32_t events, VmmLoopWatchFunc func, void *user)
{
    VmmLoopWatch *watch = g_new (VmmLoopWatch, 1);
    struct epoll_event event = {.events = events, .data.ptr = watch};

    *watch = (VmmLoopWatch){loop, func, user, fd};
    vmm_loop_begin (loop);
    epoll_ctl (loop->epoll_fd, EPOLL_CTL_ADD, fd, &event);
    return watch;
}

/**
 * vmm_loop_watch_set:
 * @events: what is waited for from now on; with EPOLLET, what is ready now is told once more
 *
 * The loop's thread.
 */
void
vmm_loop_watch_set (VmmLoopWatch *watch, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};

    epoll_ctl (watch->loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event);
}

static void
unwatch (void *user)
{
    VmmLoopWatch *watch = user;
    VmmLoop *loop = watch->loop;

    epoll_ctl (loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    if (loop->dispatching)
        g_ptr_array_add (loop->removed, watch);
    else
        g_free (watch);
}

/**
 * vmm_loop_unwatch:
 * @watch: (nullable) (transfer full): its function is not called any more after the return
 *
 * Any thread.
 */
void
vmm_loop_unwatch (VmmLoopWatch *watch)
{
    if (watch != NULL)
        vmm_loop_call (watch->loop, unwatch, watch);
}
