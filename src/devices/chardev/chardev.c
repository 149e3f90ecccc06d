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
 * Input is read only while the device has room, so what the guest does not take stays with the sender. A
 * filter changes that: behind it is a person with keys that are meant for vmm, and a guest that takes no
 * input must not keep them from it. Then a little is read ahead; and when the guest has taken none of that
 * for a while, what comes on top is shown to the filter and dropped.
 */
#include "devices/chardev/chardev.h"

#include <errno.h>
#include <glib-unix.h>
#include <poll.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "devices/chardev/sink.h"
#include "vmm/core/timer.h"

#define BUFFER_SIZE 65536u
#define FLUSH_AT 2048u
#define PARTIAL_LINE_NS (3 * 1000 * 1000)
#define AHEAD_SIZE 1024u
#define STALLED_US G_USEC_PER_SEC

struct _VmmChardev {
    GMainContext *context;
    int in_fd;
    const VmmChardevFrontend *frontend;
    void *device;
    VmmChardevTap tap;
    void *tap_user;
    GMutex tap_lock; /* one call at a time; no other lock is taken with it held but by the tap */
    VmmChardevFilter filter;
    void *filter_user;
    VmmChardevHangup hangup;
    void *hangup_user;
    GSource *gone; /* a timer: the host's end has gone; NULL without a hangup */

    /* Input; the loop thread, but for the mark: */
    GSource *in_source; /* NULL while there is nowhere to put input, and after its end */
    GSource *deliver;   /* a timer: the device has room again */
    GSource *stalled;   /* a timer: the device has had no room for long */
    bool drops_input;   /* that is so, and ahead is full */
    bool input_ended;
    bool input_waits; /* for room in the device; atomic */
    size_t ahead_len;
    uint8_t ahead[AHEAD_SIZE]; /* what the device had no room for */

    GMutex lock; /* all below */
    VmmCharSink sink;
    GSource *out_source;
    int timer_fd;
    GSource *timer_source;
    bool timer_armed;
    bool starved; /* the device was given less room than it asked for */
    int lost;     /* an errno: output went nowhere since then, and nobody meant it to; 0: none did */
    size_t fill;
    uint8_t buffer[BUFFER_SIZE];
};

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

static void
drop_source (GSource **source)
{
    if (*source == NULL)
        return;
    g_source_destroy (*source);
    g_clear_pointer (source, g_source_unref);
}

static GSource *
attach_fd (VmmChardev *chardev, int fd, GIOCondition condition, GUnixFDSourceFunc callback)
{
    GSource *source = g_unix_fd_source_new (fd, condition);

    g_source_set_callback (source, G_SOURCE_FUNC (callback), chardev, NULL);
    g_source_attach (source, chardev->context);
    return source;
}

static gboolean
on_writable (gint fd, GIOCondition condition, gpointer data)
{
    VmmChardev *chardev = data;
    bool starved = false;

    g_mutex_lock (&chardev->lock);
    if (flush_locked (chardev))
        drop_source (&chardev->out_source);
    if (chardev->fill < BUFFER_SIZE / 2) {
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
        chardev->out_source = attach_fd (chardev, vmm_char_sink_fd (&chardev->sink),
                                         G_IO_OUT | G_IO_ERR | G_IO_HUP, on_writable);
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
        chardev->timer_source = attach_fd (chardev, chardev->timer_fd, G_IO_IN, on_timer);
    }
    timerfd_settime (chardev->timer_fd, 0, &when, NULL);
    chardev->timer_armed = true;
}

/* Takes what the buffer has room for, and writes it out when it is time to. */
static size_t
take_locked (VmmChardev *chardev, const uint8_t *data, size_t len)
{
    size_t taken = MIN (len, BUFFER_SIZE - chardev->fill);

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

/* Gives the device what was read, as far as it has room. */
static void
give (VmmChardev *chardev)
{
    size_t given = 0;

    while (given < chardev->ahead_len) {
        size_t n = MIN (chardev->frontend->room (chardev->device), chardev->ahead_len - given);

        if (n == 0)
            break;
        chardev->frontend->receive (chardev->device, chardev->ahead + given, n);
        given += n;
    }
    if (given > 0)
        chardev->drops_input = false;
    chardev->ahead_len -= given;
    memmove (chardev->ahead, chardev->ahead + given, chardev->ahead_len);
}

/* How much may be read now. With a filter there is somebody whose keys vmm must see, whatever the guest does.
 */
static size_t
may_read (VmmChardev *chardev)
{
    size_t free_ahead = sizeof chardev->ahead - chardev->ahead_len;

    if (chardev->filter != NULL)
        return free_ahead;
    return chardev->ahead_len == 0 ? MIN (chardev->frontend->room (chardev->device), free_ahead) : 0;
}

/* Has the device's next room told. It may have come between the question and the mark. */
static void
wait_for_room (VmmChardev *chardev)
{
    __atomic_store_n (&chardev->input_waits, true, __ATOMIC_SEQ_CST);
    if (chardev->frontend->room (chardev->device) > 0)
        vmm_chardev_accept_input (chardev);
}

/* Keys for vmm alone: there is no place for others. */
static ssize_t
read_and_drop (VmmChardev *chardev, int fd)
{
    uint8_t keys[64];
    ssize_t n = read (fd, keys, sizeof keys);

    if (n > 0)
        chardev->filter (chardev->filter_user, keys, (size_t)n);
    return n;
}

static void
end_input (VmmChardev *chardev)
{
    chardev->input_ended = true;
    drop_source (&chardev->in_source);
    if (chardev->hangup != NULL)
        vmm_timer_arm (chardev->gone, 0);
}

static gboolean
on_readable (gint fd, GIOCondition condition, gpointer data)
{
    VmmChardev *chardev = data;
    size_t max = may_read (chardev);
    bool drop = max == 0 && chardev->drops_input;
    ssize_t n;

    if (max == 0 && !drop) {
        drop_source (&chardev->in_source);
        if (chardev->filter != NULL)
            vmm_timer_arm (chardev->stalled, STALLED_US);
        wait_for_room (chardev);
        return G_SOURCE_REMOVE;
    }
    n = drop ? read_and_drop (chardev, fd) : read (fd, chardev->ahead + chardev->ahead_len, max);
    if ((drop && n > 0) || (n < 0 && (errno == EINTR || errno == EAGAIN)))
        return G_SOURCE_CONTINUE;
    if (n <= 0) {
        end_input (chardev);
        return G_SOURCE_REMOVE;
    }
    if (chardev->filter != NULL)
        n = (ssize_t)chardev->filter (chardev->filter_user, chardev->ahead + chardev->ahead_len, (size_t)n);
    chardev->ahead_len += (size_t)n;
    give (chardev);
    if (chardev->ahead_len > 0)
        wait_for_room (chardev);
    return G_SOURCE_CONTINUE;
}

static void
watch_input (VmmChardev *chardev)
{
    if (chardev->in_source == NULL && !chardev->input_ended && chardev->in_fd >= 0)
        chardev->in_source = attach_fd (chardev, chardev->in_fd, G_IO_IN | G_IO_HUP, on_readable);
}

static gboolean
on_deliver (gpointer data)
{
    VmmChardev *chardev = data;

    if (chardev->frontend == NULL)
        return G_SOURCE_CONTINUE;
    give (chardev);
    if (chardev->ahead_len > 0)
        wait_for_room (chardev);
    watch_input (chardev);
    return G_SOURCE_CONTINUE;
}

static gboolean
on_stalled (gpointer data)
{
    VmmChardev *chardev = data;

    /* With a source there has been room since. */
    if (chardev->frontend == NULL || chardev->in_source != NULL)
        return G_SOURCE_CONTINUE;
    chardev->drops_input = true;
    watch_input (chardev);
    return G_SOURCE_CONTINUE;
}

/**
 * vmm_chardev_accept_input:
 *
 * Any thread: the device has room for input again. Cheap when it had room all along.
 */
void
vmm_chardev_accept_input (VmmChardev *chardev)
{
    if (__atomic_load_n (&chardev->input_waits, __ATOMIC_SEQ_CST) &&
        __atomic_exchange_n (&chardev->input_waits, false, __ATOMIC_SEQ_CST))
        vmm_timer_arm (chardev->deliver, 0);
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
    drop_source (&chardev->in_source);
    vmm_timer_clear (&chardev->deliver);
    vmm_timer_clear (&chardev->stalled);
    drop_source (&chardev->out_source);
    drop_source (&chardev->timer_source);
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

/* There is a device, and somewhere to read from. */
static void
begin_input (VmmChardev *chardev)
{
    if (chardev->frontend == NULL || (chardev->in_fd < 0 && chardev->ahead_len == 0))
        return;
    if (chardev->deliver == NULL) {
        chardev->deliver = vmm_timer_new (chardev->context, on_deliver, chardev);
        chardev->stalled = vmm_timer_new (chardev->context, on_stalled, chardev);
    }
    vmm_timer_arm (chardev->deliver, 0);
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
    drop_source (&chardev->in_source);
    chardev->input_waits = false;
    begin_input (chardev);
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
    drop_source (&chardev->out_source);
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
 * vmm_chardev_set_input:
 * @in_fd: where input comes from from now on, or -1; borrowed
 *
 * On the loop thread. Output goes where it went.
 */
void
vmm_chardev_set_input (VmmChardev *chardev, int in_fd)
{
    drop_source (&chardev->in_source);
    chardev->in_fd = in_fd;
    chardev->input_ended = false;
    begin_input (chardev);
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
