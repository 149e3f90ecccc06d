/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of user networking share; see user.c. */
#ifndef VMM_DEVICES_NET_USER_INTERNAL_H
#define VMM_DEVICES_NET_USER_INTERNAL_H

#include <slirp/libslirp.h>

#include "devices/net/user.h"

typedef struct _VmmNetUser VmmNetUser;

/* What we call of libslirp. */
typedef struct {
    void *handle;
    __typeof__ (slirp_new) *make;
    __typeof__ (slirp_cleanup) *cleanup;
    __typeof__ (slirp_pollfds_fill) *fill;
    __typeof__ (slirp_pollfds_poll) *poll;
    __typeof__ (slirp_input) *input;
    __typeof__ (slirp_add_hostfwd) *add_hostfwd;
} VmmNetUserLibrary;

/* A descriptor of libslirp's. */
typedef struct {
    uint32_t events; /* in the set; 0: not in it */
    unsigned index;  /* in @polled, after the last fill */
    uint64_t filled; /* by which fill */
    bool unsure;     /* new: the number may have been another descriptor's */
    bool forward;    /* waits for connections */
} VmmNetUserFd;

/* One of those that libslirp asked for in the last fill, and what is ready of it. */
typedef struct {
    int fd;
    int ready;
} VmmNetUserPolled;

/**
 * VmmNetUser:
 * @epoll_fd: the set of all of libslirp's descriptors; the loop watches just that
 * @fds: (element-type gint VmmNetUserFd)
 * @polled: (element-type VmmNetUserPolled)
 * @timers: (element-type VmmNetUserTimer): libslirp's
 * @tick_ns: when libslirp wants to be asked next; 0: not without a reason
 * @busy_ns: when there was something to do last
 */
struct _VmmNetUser {
    VmmNet net;
    VmmNetUserLibrary library;
    SlirpCb callbacks; /* libslirp keeps the address */
    Slirp *slirp;
    int epoll_fd;
    GHashTable *fds;
    GArray *polled;
    GPtrArray *timers;
    uint64_t n_fills;
    bool adding_forward;
    bool only_forwards;
    int64_t tick_ns;
    int64_t busy_ns;

    VmmLoop *loop; /* while attached, as the next two */
    VmmLoopWatch *watch;
    VmmLoopTimer *timer;
    bool rx_wanted;
    GQueue frames; /* of GBytes, for the guest */
    uint8_t frame[VMM_NET_FRAME_MAX];
};

/* user-library.c */
bool vmm_net_user_library_open (VmmNetUserLibrary *library, GError **error);
void vmm_net_user_library_close (VmmNetUserLibrary *library);

/* user-poll.c; the loop's thread, or while nobody is attached */
void vmm_net_user_poll_init (VmmNetUser *user, SlirpCb *callbacks);
void vmm_net_user_poll_clear (VmmNetUser *user);
void vmm_net_user_sync (VmmNetUser *user);
void vmm_net_user_run_ready (VmmNetUser *user);
void vmm_net_user_run_timers (VmmNetUser *user);

#endif
