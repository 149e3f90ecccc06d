/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/core/loop.h"
#include "vmm/core/timer.h"

#define MS INT64_C (1000000)

static bool no_threads;

GThread *__real_g_thread_try_new (const char *name, GThreadFunc func, gpointer data, GError **error);
GThread *__wrap_g_thread_try_new (const char *name, GThreadFunc func, gpointer data, GError **error);

GThread *
__wrap_g_thread_try_new (const char *name, GThreadFunc func, gpointer data, GError **error)
{
    return no_threads ? NULL : __real_g_thread_try_new (name, func, data, error);
}

typedef struct {
    VmmLoop *loop;
    VmmLoopWatch *watch[2];
    VmmLoopTimer *timer[3];
    int fd[2];
    GString *log;
    bool own_thread;
} World;

static World
make_world (void)
{
    World w = {.loop = vmm_loop_new ("test", NULL), .log = g_string_new (NULL)};

    cr_assert_not_null (w.loop);
    for (unsigned i = 0; i < 2; i++)
        w.fd[i] = eventfd (0, EFD_NONBLOCK | EFD_CLOEXEC);
    return w;
}

static void
clear_world (World *w)
{
    for (unsigned i = 0; i < 2; i++)
        vmm_loop_unwatch (w->watch[i]);
    for (unsigned i = 0; i < 3; i++)
        vmm_loop_timer_free (w->timer[i]);
    vmm_loop_free (w->loop);
    close (w->fd[0]);
    close (w->fd[1]);
    g_string_free (w->log, TRUE);
}

static void
log_call (void *user)
{
    World *w = user;

    w->own_thread = vmm_loop_is_current (w->loop);
    g_string_append_c (w->log, 'c');
}

static void
log_post (void *user)
{
    World *w = user;

    g_string_append_c (w->log, 'p');
}

static void
nothing (void *user)
{
}

Test (loop, calls_on_its_own_thread_after_what_was_posted, .timeout = 20)
{
    World w = make_world ();

    cr_assert_not (vmm_loop_is_current (w.loop));
    vmm_loop_post (w.loop, log_post, &w);
    vmm_loop_post (w.loop, log_post, &w);
    vmm_loop_call (w.loop, log_call, &w);
    cr_assert_str_eq (w.log->str, "ppc");
    cr_assert (w.own_thread);
    clear_world (&w);
}

static void
call_within (void *user)
{
    World *w = user;

    vmm_loop_call (w->loop, log_call, w);
    g_string_append_c (w->log, '!');
}

Test (loop, calls_itself_at_once, .timeout = 20)
{
    World w = make_world ();

    vmm_loop_call (w.loop, call_within, &w);
    cr_assert_str_eq (w.log->str, "c!");
    clear_world (&w);
}

Test (loop, does_what_was_posted_before_it_ends, .timeout = 20)
{
    World w = make_world ();
    GString *log = w.log;

    for (unsigned i = 0; i < 100; i++)
        vmm_loop_post (w.loop, log_post, &w);
    vmm_loop_free (w.loop);
    cr_assert_eq (log->len, 100);
}

static void
on_edge (void *user, uint32_t events)
{
    World *w = user;

    g_string_append_c (w->log, (events & EPOLLIN) != 0 ? 'e' : '?');
}

/* What a virtio doorbell relies on: an eventfd that is never read still wakes for each signal. */
Test (loop, an_edge_triggered_eventfd_wakes_for_each_signal, .timeout = 20)
{
    World w = make_world ();

    w.watch[0] = vmm_loop_watch (w.loop, w.fd[0], EPOLLIN | EPOLLET, on_edge, &w);
    for (unsigned i = 0; i < 5; i++) {
        eventfd_write (w.fd[0], 1);
        /* Twice: the loop has then slept in between. */
        vmm_loop_call (w.loop, nothing, NULL);
        vmm_loop_call (w.loop, nothing, NULL);
    }
    vmm_loop_call (w.loop, nothing, NULL);
    cr_assert_str_eq (w.log->str, "eeeee");
    clear_world (&w);
}

static void
on_first_removes_both (void *user, uint32_t events)
{
    World *w = user;

    g_string_append_c (w->log, '1');
    for (unsigned i = 0; i < 2; i++) {
        vmm_loop_unwatch (w->watch[i]);
        w->watch[i] = NULL;
    }
}

static void
ring_both (void *user)
{
    World *w = user;

    eventfd_write (w->fd[0], 1);
    eventfd_write (w->fd[1], 1);
}

Test (loop, a_callback_may_remove_itself_and_others_of_its_batch, .timeout = 20)
{
    World w = make_world ();

    w.watch[0] = vmm_loop_watch (w.loop, w.fd[0], EPOLLIN, on_first_removes_both, &w);
    w.watch[1] = vmm_loop_watch (w.loop, w.fd[1], EPOLLIN, on_first_removes_both, &w);
    vmm_loop_call (w.loop, ring_both, &w);
    vmm_loop_call (w.loop, nothing, NULL);
    vmm_loop_call (w.loop, nothing, NULL);
    cr_assert_str_eq (w.log->str, "1");
    clear_world (&w);
}

static void
on_timer_a (void *user)
{
    World *w = user;

    g_string_append_c (w->log, 'a');
}

static void
on_timer_b (void *user)
{
    World *w = user;

    g_string_append_c (w->log, 'b');
    /* A timer may free another and arm itself. */
    vmm_loop_timer_free (w->timer[2]);
    w->timer[2] = NULL;
    if (w->log->len < 4)
        vmm_loop_timer_arm (w->timer[1], MS);
    else
        eventfd_write (w->fd[0], 1);
}

static void
arm_all (void *user)
{
    World *w = user;

    vmm_loop_timer_arm (w->timer[0], MS);
    vmm_loop_timer_arm (w->timer[1], 2 * MS);
    vmm_loop_timer_arm (w->timer[2], 3600000 * MS);
}

Test (loop, timers_run_in_the_order_of_their_time, .timeout = 20)
{
    World w = make_world ();
    uint64_t value;

    w.timer[0] = vmm_loop_timer_new (w.loop, on_timer_a, &w);
    w.timer[1] = vmm_loop_timer_new (w.loop, on_timer_b, &w);
    w.timer[2] = vmm_loop_timer_new (w.loop, on_timer_a, &w);
    vmm_loop_call (w.loop, arm_all, &w);
    while (read (w.fd[0], &value, sizeof value) < 0)
        g_usleep (1000);
    vmm_loop_call (w.loop, nothing, NULL);
    cr_assert_str_eq (w.log->str, "abbb");
    clear_world (&w);
}

static void
arm_and_disarm (void *user)
{
    World *w = user;

    vmm_loop_timer_arm (w->timer[0], 0);
    vmm_loop_timer_disarm (w->timer[0]);
    vmm_loop_timer_arm (w->timer[1], 0);
}

static void
on_timer_rings (void *user)
{
    World *w = user;

    eventfd_write (w->fd[0], 1);
}

Test (loop, a_disarmed_timer_does_not_run, .timeout = 20)
{
    World w = make_world ();
    uint64_t value;

    w.timer[0] = vmm_loop_timer_new (w.loop, on_timer_a, &w);
    w.timer[1] = vmm_loop_timer_new (w.loop, on_timer_rings, &w);
    vmm_loop_call (w.loop, arm_and_disarm, &w);
    while (read (w.fd[0], &value, sizeof value) < 0)
        g_usleep (1000);
    vmm_loop_call (w.loop, nothing, NULL);
    cr_assert_str_eq (w.log->str, "");
    clear_world (&w);
}

Test (loop, a_host_without_threads_ends_nothing, .timeout = 20)
{
    World w = make_world ();

    no_threads = true;
    cr_assert_not (vmm_loop_begin (w.loop));
    vmm_loop_post (w.loop, log_post, &w);
    cr_assert_str_eq (w.log->str, "");
    /* A caller does it all, and is the loop's thread meanwhile, not longer. */
    vmm_loop_call (w.loop, log_call, &w);
    cr_assert_str_eq (w.log->str, "pc");
    cr_assert (w.own_thread);
    cr_assert_not (vmm_loop_is_current (w.loop));
    w.timer[0] = vmm_loop_timer_new (w.loop, log_post, &w);
    vmm_loop_post (w.loop, log_post, &w);
    no_threads = false;
    /* What is left is done when there is a thread. */
    cr_assert (vmm_loop_begin (w.loop));
    vmm_loop_call (w.loop, log_call, &w);
    cr_assert_str_eq (w.log->str, "pcpc");
    clear_world (&w);
}

Test (loop, ends_without_ever_having_had_a_thread, .timeout = 20)
{
    World w = make_world ();

    no_threads = true;
    vmm_loop_post (w.loop, log_post, &w);
    vmm_loop_free (w.loop);
    cr_assert_str_eq (w.log->str, "p");
    no_threads = false;
    w.loop = vmm_loop_new ("test", NULL);
    clear_world (&w);
}

/*
 * A poller whose loop never sleeps for long.
 * @windows: times of polling before a sleep
 */
typedef struct {
    World w;
    bool finds; /* atomic */
    bool polled;
    unsigned polls; /* atomic, as are the next two */
    unsigned windows;
    unsigned sleeps;
} Polled;

static bool
poll (void *user)
{
    Polled *p = user;

    p->polled = true;
    __atomic_add_fetch (&p->polls, 1, __ATOMIC_RELAXED);
    return __atomic_load_n (&p->finds, __ATOMIC_RELAXED);
}

static bool
may_sleep (void *user)
{
    Polled *p = user;

    __atomic_add_fetch (&p->windows, p->polled ? 1 : 0, __ATOMIC_RELAXED);
    __atomic_add_fetch (&p->sleeps, 1, __ATOMIC_RELAXED);
    p->polled = false;
    eventfd_write (p->w.fd[0], 1);
    return true;
}

static const VmmLoopPoller poller = {poll, may_sleep};

static void
begin_polling (void *user)
{
    Polled *p = user;

    vmm_loop_set_poller (p->w.loop, &poller, p);
}

static void
end_polling (void *user)
{
    vmm_loop_set_poller (((Polled *)user)->w.loop, NULL, NULL);
}

static Polled *
make_polled (bool finds)
{
    Polled *p = g_new0 (Polled, 1);

    p->w = make_world ();
    p->finds = finds;
    p->w.watch[0] = vmm_loop_watch (p->w.loop, p->w.fd[0], EPOLLIN | EPOLLET, on_edge, &p->w);
    vmm_loop_call (p->w.loop, begin_polling, p);
    return p;
}

static void
free_polled (Polled *p)
{
    vmm_loop_call (p->w.loop, end_polling, p);
    clear_world (&p->w);
    g_free (p);
}

Test (loop, polls_rarely_when_it_is_in_vain, .timeout = 60)
{
    Polled *p = make_polled (false);

    while (__atomic_load_n (&p->sleeps, __ATOMIC_RELAXED) < 5000)
        g_usleep (1000);
    cr_assert_gt (__atomic_load_n (&p->windows, __ATOMIC_RELAXED), 1);
    cr_assert_lt (__atomic_load_n (&p->windows, __ATOMIC_RELAXED), 500);
    free_polled (p);
}

Test (loop, a_poller_that_always_finds_work_lets_others_have_their_turn, .timeout = 60)
{
    Polled *p = make_polled (true);

    while (__atomic_load_n (&p->polls, __ATOMIC_RELAXED) < 5000)
        g_usleep (1000);
    vmm_loop_call (p->w.loop, log_call, &p->w);
    cr_assert (p->w.own_thread);
    cr_assert_lt (__atomic_load_n (&p->sleeps, __ATOMIC_RELAXED), 100);
    free_polled (p);
}
