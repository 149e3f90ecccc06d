/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Input is read only while the device has room, so what the guest does not take stays with the sender. A
 * filter changes that: behind it is a person with keys that are meant for vmm, and a guest that takes no
 * input must not keep them from it. Then a little is read ahead; and when the guest has taken none of that
 * for a while, what comes on top is shown to the filter and dropped.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "devices/chardev/chardev-internal.h"
#include "vmm/core/source.h"
#include "vmm/core/timer.h"

#define STALLED_US G_USEC_PER_SEC

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
    vmm_source_clear (&chardev->in_source);
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
        vmm_source_clear (&chardev->in_source);
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
        chardev->in_source =
            vmm_source_watch_fd (chardev->context, chardev->in_fd, G_IO_IN | G_IO_HUP, on_readable, chardev);
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

/* There is a device, and somewhere to read from. */
void
vmm_chardev_begin_input (VmmChardev *chardev)
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
 * vmm_chardev_set_input:
 * @in_fd: where input comes from from now on, or -1; borrowed
 *
 * On the loop thread. Output goes where it went.
 */
void
vmm_chardev_set_input (VmmChardev *chardev, int in_fd)
{
    vmm_source_clear (&chardev->in_source);
    chardev->in_fd = in_fd;
    chardev->input_ended = false;
    vmm_chardev_begin_input (chardev);
}
