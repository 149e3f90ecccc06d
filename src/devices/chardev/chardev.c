/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A character backend joins a device that makes bytes one at a time (a UART) with a host descriptor that is
 * best written in runs. Output is gathered and leaves as whole lines: the vCPU thread that sends the newline
 * writes the line itself, so a line costs one system call and no thread has to wake for it. What is not ended
 * by a newline (a prompt) leaves after a moment, by a timer of the loop.
 *
 * Nobody may wait for a host that does not read: the vCPU would not see a kick. So the descriptor is never
 * written in a way that blocks (sink.c). What the host does not take stays in the buffer, and when that is
 * full vmm_chardev_write() takes less than it is given; the device then holds its guest back, and hears of it
 * (drained) when there is room.
 *
 * Input is the other half: chardev-input.c.
 */
#include "devices/chardev/chardev.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "devices/chardev/chardev-internal.h"
#include "devices/chardev/sink.h"
#include "vmm/core/source.h"
#include "vmm/core/timer.h"

#define FLUSH_AT 2048u
#define PARTIAL_LINE_NS (3 * 1000 * 1000)

/* Writes what the host takes; true when nothing is left. */
static bool
flush_locked (VmmChardev *chardev)
{
    size_t done = 0;

    while (done < chardev->fill) {
        ssize_t n = vmm_char_sink_write (&chardev->sink, chardev->buffer + done, chardev->fill - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0 || (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)))
            break;
        /* The reader has gone or the disk is full: the guest must run on, so the rest goes nowhere. */
        if (n < 0) {
            if (vmm_char_sink_is_loss (&chardev->sink, errno))
                chardev->lost = errno;
            vmm_char_sink_close (&chardev->sink);
            if (chardev->hangup != NULL)
                vmm_timer_arm (chardev->gone, 0);
            done = chardev->fill;
            break;
        }
        done += (size_t)n;
    }
    chardev->fill -= done;
    memmove (chardev->buffer, chardev->buffer + done, chardev->fill);
    return chardev->fill == 0;
}

static gboolean
on_writable (gint fd, GIOCondition condition, gpointer data)
{
    VmmChardev *chardev = data;
    bool starved = false;

    g_mutex_lock (&chardev->lock);
    if (flush_locked (chardev))
        vmm_source_clear (&chardev->out_source);
    if (chardev->fill < VMM_CHARDEV_BUFFER_SIZE / 2) {
        starved = chardev->starved;
        chardev->starved = false;
    }
    g_mutex_unlock (&chardev->lock);
    if (starved && chardev->frontend != NULL)
        chardev->frontend->drained (chardev->device);
    return G_SOURCE_CONTINUE;
}

/* The host takes no more: go on when it does. */
static void
watch_writable_locked (VmmChardev *chardev)
{
    if (chardev->out_source == NULL)
        chardev->out_source = vmm_source_watch_fd (chardev->context, vmm_char_sink_fd (&chardev->sink),
                                                   G_IO_OUT | G_IO_ERR | G_IO_HUP, on_writable, chardev);
}

static gboolean
on_timer (gint fd, GIOCondition condition, gpointer data)
{
    VmmChardev *chardev = data;
    uint64_t expirations;

    g_mutex_lock (&chardev->lock);
    if (read (fd, &expirations, sizeof expirations) > 0)
        chardev->timer_armed = false;
    if (chardev->out_source == NULL && !flush_locked (chardev))
        watch_writable_locked (chardev);
    g_mutex_unlock (&chardev->lock);
    return G_SOURCE_CONTINUE;
}

/* Arming a timerfd wakes nobody: the loop thread runs only when a line really stays unfinished. */
static void
arm_timer_locked (VmmChardev *chardev)
{
    struct itimerspec when = {.it_value.tv_nsec = PARTIAL_LINE_NS};

    if (chardev->timer_armed)
        return;
    if (chardev->timer_fd < 0) {
        chardev->timer_fd = timerfd_create (CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
        if (chardev->timer_fd < 0) {
            /* Without a timer nothing may wait for one. */
            if (!flush_locked (chardev))
                watch_writable_locked (chardev);
            return;
        }
        chardev->timer_source =
            vmm_source_watch_fd (chardev->context, chardev->timer_fd, G_IO_IN, on_timer, chardev);
    }
    timerfd_settime (chardev->timer_fd, 0, &when, NULL);
    chardev->timer_armed = true;
}

/* Takes what the buffer has room for, and writes it out when it is time to. */
static size_t
take_locked (VmmChardev *chardev, const uint8_t *data, size_t len)
{
    size_t taken = MIN (len, VMM_CHARDEV_BUFFER_SIZE - chardev->fill);

    memcpy (chardev->buffer + chardev->fill, data, taken);
    chardev->fill += taken;
    if (chardev->out_source != NULL || taken == 0)
        return taken;
    if (chardev->fill < FLUSH_AT && memchr (data, '\n', taken) == NULL)
        arm_timer_locked (chardev);
    else if (!flush_locked (chardev))
        watch_writable_locked (chardev);
    return taken;
}

/**
 * vmm_chardev_write:
 * @data: @len bytes from the guest
 *
 * Any thread. Never waits.
 *
 * Returns: how many bytes were taken; when it is less than @len, the frontend's drained() follows
 */
size_t
vmm_chardev_write (VmmChardev *chardev, const uint8_t *data, size_t len)
{
    size_t taken = 0;
    size_t n;

    g_mutex_lock (&chardev->lock);
    do {
        n = take_locked (chardev, data + taken, len - taken);
        taken += n;
    } while (n > 0 && taken < len);
    if (taken < len)
        chardev->starved = true;
    g_mutex_unlock (&chardev->lock);
    if (chardev->tap != NULL && taken > 0) {
        g_mutex_lock (&chardev->tap_lock);
        chardev->tap (chardev->tap_user, data, taken);
        g_mutex_unlock (&chardev->tap_lock);
    }
    return taken;
}

/**
 * vmm_chardev_new:
 * @context: (nullable): the loop that reads input; a reference is taken
 * @in_fd: where input comes from, or -1; borrowed
 * @out_fd: where output goes, or -1 for nowhere; borrowed
 *
 * Returns: (transfer full): a backend without a device: it reads nothing until there is one
 */
VmmChardev *
vmm_chardev_new (GMainContext *context, int in_fd, int out_fd)
{
    VmmChardev *chardev = g_new (VmmChardev, 1);

    /* Not cleared with the rest: its pages are not touched before they are needed. */
    memset (chardev, 0, offsetof (VmmChardev, buffer));
    chardev->context = context != NULL ? g_main_context_ref (context) : NULL;
    chardev->in_fd = in_fd;
    vmm_char_sink_init (&chardev->sink, out_fd);
    chardev->timer_fd = -1;
    g_mutex_init (&chardev->lock);
    g_mutex_init (&chardev->tap_lock);
    return chardev;
}

/**
 * vmm_chardev_free:
 * @chardev: (nullable): on the loop thread, the device being at rest
 *
 * Ends the backend; what is still buffered is tried once.
 */
void
vmm_chardev_free (VmmChardev *chardev)
{
    if (chardev == NULL)
        return;
    if (chardev->fill > 0)
        flush_locked (chardev);
    vmm_source_clear (&chardev->in_source);
    vmm_timer_clear (&chardev->deliver);
    vmm_timer_clear (&chardev->stalled);
    vmm_source_clear (&chardev->out_source);
    vmm_source_clear (&chardev->timer_source);
    vmm_timer_clear (&chardev->gone);
    vmm_char_sink_close (&chardev->sink);
    if (chardev->timer_fd >= 0)
        close (chardev->timer_fd);
    if (chardev->context != NULL)
        g_main_context_unref (chardev->context);
    g_mutex_clear (&chardev->lock);
    g_mutex_clear (&chardev->tap_lock);
    g_free (chardev);
}

/**
 * vmm_chardev_set_frontend:
 * @frontend: (nullable): outlives the backend
 * @device: what @frontend gets
 *
 * On the loop thread, before the guest runs: joins the backend with its device, or parts them (NULL).
 */
void
vmm_chardev_set_frontend (VmmChardev *chardev, const VmmChardevFrontend *frontend, void *device)
{
    g_mutex_lock (&chardev->lock);
    chardev->frontend = frontend;
    chardev->device = device;
    chardev->starved = false;
    g_mutex_unlock (&chardev->lock);
    vmm_source_clear (&chardev->in_source);
    chardev->input_waits = false;
    vmm_chardev_begin_input (chardev);
}

static gboolean
on_gone (gpointer data)
{
    VmmChardev *chardev = data;

    chardev->hangup (chardev->hangup_user);
    return G_SOURCE_CONTINUE;
}

/**
 * vmm_chardev_set_hangup:
 * @hangup: told, on the loop thread, when the host's end has gone: its input has ended, or its output failed
 *
 * Before the guest runs; by whoever gives the backend its descriptors.
 */
void
vmm_chardev_set_hangup (VmmChardev *chardev, VmmChardevHangup hangup, void *user)
{
    chardev->hangup = hangup;
    chardev->hangup_user = user;
    chardev->gone = vmm_timer_new (chardev->context, on_gone, chardev);
}

/**
 * vmm_chardev_connect:
 * @in_fd: where input comes from from now on, or -1; borrowed
 * @out_fd: where output goes from now on, or -1 for nowhere; borrowed
 *
 * On the loop thread: another host takes the place of the one before. Output that that one did not take is
 * not for the new one; input that the device had no room for still is the device's.
 */
void
vmm_chardev_connect (VmmChardev *chardev, int in_fd, int out_fd)
{
    bool starved;

    g_mutex_lock (&chardev->lock);
    vmm_source_clear (&chardev->out_source);
    vmm_char_sink_close (&chardev->sink);
    vmm_char_sink_init (&chardev->sink, out_fd);
    chardev->fill = 0;
    starved = chardev->starved;
    chardev->starved = false;
    g_mutex_unlock (&chardev->lock);
    if (chardev->gone != NULL)
        g_source_set_ready_time (chardev->gone, -1);
    vmm_chardev_set_input (chardev, in_fd);
    if (chardev->frontend == NULL)
        return;
    if (chardev->frontend->connected != NULL)
        chardev->frontend->connected (chardev->device, in_fd >= 0 || out_fd >= 0);
    if (starved)
        chardev->frontend->drained (chardev->device);
}

/**
 * vmm_chardev_set_tap:
 * @tap: (nullable): sees all output, on the thread that sends it, one thread at a time; must be quick, and
 *   not send
 *
 * Before the guest runs.
 */
void
vmm_chardev_set_tap (VmmChardev *chardev, VmmChardevTap tap, void *user)
{
    chardev->tap = tap;
    chardev->tap_user = user;
}

/**
 * vmm_chardev_set_filter:
 * @filter: (nullable): sees all input before the device, on the loop thread
 *
 * Before the guest runs.
 */
void
vmm_chardev_set_filter (VmmChardev *chardev, VmmChardevFilter filter, void *user)
{
    chardev->filter = filter;
    chardev->filter_user = user;
}

/**
 * vmm_chardev_flush:
 * @timeout_ms: how long to wait for a host that is slow to read
 *
 * On the loop thread, at the end of a run: writes out what is buffered.
 */
void
vmm_chardev_flush (VmmChardev *chardev, int timeout_ms)
{
    gint64 deadline = g_get_monotonic_time () + (gint64)timeout_ms * 1000;

    g_mutex_lock (&chardev->lock);
    while (!flush_locked (chardev)) {
        gint64 left = deadline - g_get_monotonic_time ();
        struct pollfd pfd = {.fd = vmm_char_sink_fd (&chardev->sink), .events = POLLOUT};

        if (left <= 0 || (poll (&pfd, 1, (int)(left / 1000) + 1) < 0 && errno != EINTR))
            break;
    }
    g_mutex_unlock (&chardev->lock);
}

/**
 * vmm_chardev_lost:
 *
 * Any thread.
 *
 * Returns: 0, or the errno with which the host's file stopped to take output; a reader that has gone is none
 */
int
vmm_chardev_lost (VmmChardev *chardev)
{
    g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&chardev->lock);

    return chardev->lost;
}

/**
 * vmm_chardev_is_connected:
 *
 * On the loop thread.
 *
 * Returns: whether there is a host to write to or to read from
 */
bool
vmm_chardev_is_connected (const VmmChardev *chardev)
{
    return chardev->in_fd >= 0 || chardev->sink.fd >= 0;
}
