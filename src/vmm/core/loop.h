/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_CORE_LOOP_H
#define VMM_CORE_LOOP_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

typedef struct _VmmLoop VmmLoop;
typedef struct _VmmLoopWatch VmmLoopWatch;
typedef struct _VmmLoopTimer VmmLoopTimer;

typedef void (*VmmLoopFunc) (void *user);
/* @events: EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR as epoll_wait() gave them. */
typedef void (*VmmLoopWatchFunc) (void *user, uint32_t events);

/* Any thread. The loop's thread begins with the first watch, call, post or armed timer. */
VmmLoop *vmm_loop_new (const char *name, GError **error);
void vmm_loop_free (VmmLoop *loop);
bool vmm_loop_begin (VmmLoop *loop);
bool vmm_loop_is_current (const VmmLoop *loop);
void vmm_loop_call (VmmLoop *loop, VmmLoopFunc func, void *user);
void vmm_loop_post (VmmLoop *loop, VmmLoopFunc func, void *user);

/* Descriptors; @events may hold EPOLLET. A watch may be removed from any callback of its loop, its own too.
 */
VmmLoopWatch *vmm_loop_watch (VmmLoop *loop, int fd, uint32_t events, VmmLoopWatchFunc func, void *user);
void vmm_loop_watch_set (VmmLoopWatch *watch, uint32_t events);
void vmm_loop_unwatch (VmmLoopWatch *watch);

/**
 * VmmLoopPoller:
 * @poll: looks for work and does it; whether there was any
 * @may_sleep: the loop is going to sleep: sees to it that new work wakes it; false when there is some already
 *
 * A user for whom sleeping and waking cost more than its work: while work comes in quick succession the loop
 * asks it again and again for some microseconds before it sleeps.
 */
typedef struct {
    bool (*poll) (void *user);
    bool (*may_sleep) (void *user);
} VmmLoopPoller;

/* The loop's thread; NULL: none. */
void vmm_loop_set_poller (VmmLoop *loop, const VmmLoopPoller *poller, void *user);

/* One shot for each arming; on the loop's thread. */
VmmLoopTimer *vmm_loop_timer_new (VmmLoop *loop, VmmLoopFunc func, void *user);
void vmm_loop_timer_arm (VmmLoopTimer *timer, int64_t after_ns);
void vmm_loop_timer_disarm (VmmLoopTimer *timer);
void vmm_loop_timer_free (VmmLoopTimer *timer);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmLoop, vmm_loop_free)

#endif
