/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "devices/chardev/endpoint.h"
#include "devices/virtio/console.h"
#include "starve.h"
#include "virtio-driver.h"
#include "vmm/core/bytes.h"

#define MIB (UINT64_C (1) << 20)
#define F_SIZE (UINT64_C (1) << 0)
#define F_MULTIPORT (UINT64_C (1) << 1)
#define N_QUEUES 6u
#define BUFFER 512u
#define N_BUFFERS 8u

enum { DEVICE_READY = 0, PORT_ADD = 1, PORT_READY = 3, PORT_OPEN = 6, PORT_NAME = 7 };
enum { RX, TX, CONTROL_IN, CONTROL_OUT, PORT_RX, PORT_TX };

typedef struct {
    GMainContext *context;
    VmmGuestMemory *memory;
    VmmLoop *loop;
    VmmVirtioDevice *device;
    VmmVirtqHeap heap;
    unsigned n_queues;
    VmmVirtqDriver *queues[N_QUEUES];
    VmmVirtqSegment buffers[N_QUEUES][64];
    unsigned interrupts;
} Rig;

static void
on_queue (void *user, unsigned index)
{
}

static void
on_config (void *user)
{
    __atomic_add_fetch (&((Rig *)user)->interrupts, 1, __ATOMIC_SEQ_CST);
}

static const VmmVirtioInterrupts interrupts = {on_queue, on_config};

static void
start (Rig *rig)
{
    cr_assert (vmm_virtio_driver_negotiate (rig->device, vmm_virtq_driver_features (rig->queues[0]) | F_SIZE |
                                                             F_MULTIPORT));
    for (unsigned i = 0; i < rig->n_queues; i++)
        vmm_virtio_driver_set_queue (rig->device, i, rig->queues[i]);
    cr_assert (vmm_virtio_driver_start (rig->device));
}

static void
give_buffers (Rig *rig, unsigned queue)
{
    for (unsigned i = 0; i < N_BUFFERS; i++) {
        VmmVirtqSegment in = vmm_virtq_heap_alloc (&rig->heap, BUFFER);
        int id = vmm_virtq_driver_add (rig->queues[queue], NULL, 0, &in, 1);

        cr_assert_geq (id, 0);
        rig->buffers[queue][id] = in;
    }
    vmm_virtq_driver_publish (rig->queues[queue]);
    vmm_virtio_device_notify (rig->device, queue);
}

/* With @name, a port of that name; otherwise a plain console. */
static void
set_up (Rig *rig, VmmChardev *chardev, const char *name, unsigned flags)
{
    VmmVirtioPort port = {name, chardev};
    VmmVirtioEnv env = {.name = "console0"};

    memset (rig, 0, sizeof *rig);
    rig->context = g_main_context_default ();
    rig->memory = vmm_virtq_memory_new (16 * MIB);
    rig->loop = vmm_loop_new ("console", NULL);
    env.memory = rig->memory;
    env.loop = rig->loop;
    rig->device =
        name != NULL ? vmm_virtio_ports_new (&env, &port, 1) : vmm_virtio_console_new (&env, chardev);
    vmm_virtio_device_set_transport (rig->device, &interrupts, rig);
    vmm_virtq_heap_init (&rig->heap, rig->memory, 0x1000, 8 * MIB);
    rig->n_queues = name != NULL ? N_QUEUES : 2;
    for (unsigned i = 0; i < rig->n_queues; i++)
        rig->queues[i] = vmm_virtq_driver_new (&rig->heap, 64, flags);
    start (rig);
}

static void
tear_down (Rig *rig)
{
    vmm_virtio_device_set_status (rig->device, 0);
    vmm_virtio_device_free (rig->device);
    for (unsigned i = 0; i < rig->n_queues; i++)
        vmm_virtq_driver_free (rig->queues[i]);
    vmm_loop_free (rig->loop);
    vmm_guest_memory_free (rig->memory);
}

static bool
turn (Rig *rig, gint64 end)
{
    while (g_main_context_iteration (rig->context, FALSE))
        ;
    g_usleep (200);
    return g_get_monotonic_time () < end;
}

/* What the guest finds in a queue next; -1: nothing within @ms. */
static int
take (Rig *rig, unsigned queue, uint8_t *data, unsigned ms)
{
    gint64 end = g_get_monotonic_time () + (gint64)ms * 1000;
    uint32_t len;
    int id;

    do {
        if (vmm_virtq_driver_poll_used (rig->queues[queue], &id, &len)) {
            memcpy (data, vmm_virtq_heap_bytes (&rig->heap, rig->buffers[queue][id]), len);
            return (int)len;
        }
    } while (turn (rig, end));
    return -1;
}

static void
send_bytes (Rig *rig, unsigned queue, const void *data, uint32_t len)
{
    VmmVirtqSegment out = vmm_virtq_heap_put (&rig->heap, data, len);

    cr_assert_geq (vmm_virtq_driver_add (rig->queues[queue], &out, 1, NULL, 0), 0);
    vmm_virtq_driver_publish (rig->queues[queue]);
    vmm_virtio_device_notify (rig->device, queue);
}

static bool
wait_sent (Rig *rig, unsigned queue, unsigned ms)
{
    gint64 end = g_get_monotonic_time () + (gint64)ms * 1000;

    do {
        if (vmm_virtq_driver_poll_used (rig->queues[queue], NULL, NULL))
            return true;
    } while (turn (rig, end));
    return false;
}

/* @len bytes from a host's descriptor, within ten seconds. */
static void
expect_at_host (Rig *rig, int fd, const char *text)
{
    gint64 end = g_get_monotonic_time () + 10 * G_USEC_PER_SEC;
    size_t len = strlen (text);
    char got[256] = "";
    size_t n = 0;

    while (n < len && turn (rig, end)) {
        struct pollfd pfd = {.fd = fd, .events = POLLIN};
        ssize_t more = poll (&pfd, 1, 0) == 1 ? read (fd, got + n, len - n) : 0;

        n += more > 0 ? (size_t)more : 0;
    }
    cr_assert_str_eq (got, text);
}

static void
control (Rig *rig, uint32_t id, uint16_t event, uint16_t value)
{
    uint8_t message[8];

    vmm_put_u32 (message, id);
    vmm_put_u16 (message + 4, event);
    vmm_put_u16 (message + 6, value);
    send_bytes (rig, CONTROL_OUT, message, sizeof message);
    cr_assert (wait_sent (rig, CONTROL_OUT, 10000));
}

static void
expect_control (Rig *rig, uint16_t event, int value, const char *name)
{
    uint8_t message[BUFFER] = {0};
    int len = take (rig, CONTROL_IN, message, 10000);

    cr_assert_eq (len, 8 + (int)strlen (name));
    cr_assert_eq (vmm_get_u32 (message), 1);
    cr_assert_eq (vmm_get_u16 (message + 4), event);
    cr_assert_eq (vmm_get_u16 (message + 6), value);
    cr_assert_arr_eq (message + 8, name, strlen (name));
}

/* As Linux does. */
static void
introduce (Rig *rig, int connected)
{
    give_buffers (rig, CONTROL_IN);
    give_buffers (rig, PORT_RX);
    control (rig, UINT32_MAX, DEVICE_READY, 1);
    expect_control (rig, PORT_ADD, 0, "");
    control (rig, 1, PORT_READY, 1);
    expect_control (rig, PORT_NAME, 1, "agent");
    expect_control (rig, PORT_OPEN, connected, "");
}

static VmmEndpoint *
open_endpoint (VmmEndpointKind kind, const char *path)
{
    VmmEndpointConfig config = {.kind = kind, .path = path};
    g_autoptr (GError) error = NULL;
    VmmEndpoint *endpoint = vmm_endpoint_open (g_main_context_default (), "console", &config, &error);

    cr_assert_not_null (endpoint, "%s", error != NULL ? error->message : "");
    return endpoint;
}

static VmmChardev *
plain (int fds[2])
{
    cr_assert_eq (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    return vmm_chardev_new (g_main_context_default (), fds[0], fds[0]);
}

static void
close_both (const int fds[2])
{
    close (fds[0]);
    close (fds[1]);
}

static void
talk (unsigned flags)
{
    Rig rig;
    int fds[2];
    g_autoptr (VmmChardev) chardev = plain (fds);
    uint8_t data[BUFFER];

    set_up (&rig, chardev, NULL, flags);
    send_bytes (&rig, TX, "login: ", 7);
    expect_at_host (&rig, fds[1], "login: ");
    cr_assert (wait_sent (&rig, TX, 10000));
    cr_assert_eq (write (fds[1], "root\n", 5), 5);
    cr_assert_lt (take (&rig, RX, data, 50), 0, "no buffers, no input");
    give_buffers (&rig, RX);
    cr_assert_eq (take (&rig, RX, data, 10000), 5);
    cr_assert_arr_eq (data, "root\n", 5);
    tear_down (&rig);
    close_both (fds);
}

Test (console, bytes_go_both_ways)
{
    talk (0);
}

Test (console, bytes_go_both_ways_packed)
{
    talk (VMM_VIRTQ_PACKED | VMM_VIRTQ_EVENT_IDX);
}

/* More than any buffer holds, and not a byte lost or twice. */
Test (console, much_input)
{
    Rig rig;
    int fds[2];
    g_autoptr (VmmChardev) chardev = plain (fds);
    uint8_t data[BUFFER];
    uint8_t text[50000];
    size_t written = 0;
    size_t seen = 0;

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)(i * 7 + i / 251);
    set_up (&rig, chardev, NULL, 0);
    while (seen < sizeof text) {
        ssize_t n = send (fds[1], text + written, sizeof text - written, MSG_DONTWAIT);
        int len;

        written += n > 0 ? (size_t)n : 0;
        give_buffers (&rig, RX);
        for (unsigned i = 0; i < N_BUFFERS && (len = take (&rig, RX, data, 10000)) >= 0; i++) {
            cr_assert_leq (seen + (size_t)len, sizeof text);
            cr_assert_arr_eq (data, text + seen, (size_t)len);
            seen += (size_t)len;
            if (seen == sizeof text)
                break;
        }
    }
    tear_down (&rig);
    close_both (fds);
}

/* A host that does not read holds the guest back; a pause in the middle loses nothing and says nothing twice.
 */
Test (console, a_slow_host_and_a_pause)
{
    Rig rig;
    int fds[2];
    g_autoptr (VmmChardev) chardev = plain (fds);
    static uint8_t text[1 << 20];
    gint64 end = g_get_monotonic_time () + 20 * G_USEC_PER_SEC;
    size_t seen = 0;

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)(i * 13 + i / 509);
    set_up (&rig, chardev, NULL, 0);
    send_bytes (&rig, TX, text, sizeof text);
    cr_assert_not (wait_sent (&rig, TX, 50), "the host has read nothing");
    while (seen < sizeof text && turn (&rig, end)) {
        uint8_t got[8192];
        ssize_t n = recv (fds[1], got, sizeof got, MSG_DONTWAIT);

        if (n <= 0)
            continue;
        cr_assert_arr_eq (got, text + seen, (size_t)n);
        seen += (size_t)n;
        vmm_virtio_device_pause (rig.device);
        vmm_virtio_device_resume (rig.device);
    }
    cr_assert_eq (seen, sizeof text);
    cr_assert (wait_sent (&rig, TX, 10000));
    cr_assert_eq (vmm_virtq_driver_in_flight (rig.queues[TX]), 0);
    tear_down (&rig);
    close_both (fds);
}

Test (console, size)
{
    Rig rig;
    int fds[2];
    g_autoptr (VmmChardev) chardev = plain (fds);
    gint64 end = g_get_monotonic_time () + 10 * G_USEC_PER_SEC;

    set_up (&rig, chardev, NULL, 0);
    cr_assert_eq (vmm_virtio_device_config_read (rig.device, 0, 4), 0);
    vmm_virtio_console_resize (rig.device, 132, 50);
    while (__atomic_load_n (&rig.interrupts, __ATOMIC_SEQ_CST) == 0 && turn (&rig, end))
        ;
    cr_assert_gt (rig.interrupts, 0);
    cr_assert_eq (vmm_virtio_device_config_read (rig.device, 0, 2), 132);
    cr_assert_eq (vmm_virtio_device_config_read (rig.device, 2, 2), 50);
    cr_assert_eq (vmm_virtio_device_config_read (rig.device, 4, 4), 1);
    tear_down (&rig);
    close_both (fds);
}

/* Drivers that begin later than the size was set do not read it by themselves: see console.c. */
Test (console, a_new_driver_is_told_the_size)
{
    Rig rig;
    int fds[2];
    g_autoptr (VmmChardev) chardev = plain (fds);
    gint64 end = g_get_monotonic_time () + 10 * G_USEC_PER_SEC;

    set_up (&rig, chardev, NULL, 0);
    vmm_virtio_console_resize (rig.device, 80, 24);
    while (__atomic_load_n (&rig.interrupts, __ATOMIC_SEQ_CST) == 0 && turn (&rig, end))
        ;
    vmm_virtq_driver_reset (rig.queues[RX]);
    vmm_virtq_driver_reset (rig.queues[TX]);
    vmm_virtio_device_set_status (rig.device, 0);
    __atomic_store_n (&rig.interrupts, 0, __ATOMIC_SEQ_CST);
    start (&rig);
    while (__atomic_load_n (&rig.interrupts, __ATOMIC_SEQ_CST) == 0 && turn (&rig, end))
        ;
    cr_assert_gt (rig.interrupts, 0);
    tear_down (&rig);
    close_both (fds);
}

Test (console, emergency_write)
{
    Rig rig;
    int fds[2];
    g_autoptr (VmmChardev) chardev = plain (fds);

    set_up (&rig, chardev, NULL, 0);
    vmm_virtio_device_set_status (rig.device, 0);
    for (const char *p = "early\n"; *p != '\0'; p++)
        vmm_virtio_device_config_write (rig.device, 8, 4, (uint8_t)*p);
    expect_at_host (&rig, fds[1], "early\n");
    tear_down (&rig);
    close_both (fds);
}

Test (console, a_bad_receive_buffer)
{
    Rig rig;
    int fds[2];
    g_autoptr (VmmChardev) chardev = plain (fds);
    gint64 end = g_get_monotonic_time () + 10 * G_USEC_PER_SEC;

    set_up (&rig, chardev, NULL, 0);
    send_bytes (&rig, RX, "x", 1);
    cr_assert_eq (write (fds[1], "y", 1), 1);
    while ((vmm_virtio_device_status (rig.device) & VMM_VIRTIO_STATUS_NEEDS_RESET) == 0 && turn (&rig, end))
        ;
    cr_assert (vmm_virtio_device_status (rig.device) & VMM_VIRTIO_STATUS_NEEDS_RESET);
    tear_down (&rig);
    close_both (fds);
}

static char *
temporary_path (char **ret_dir)
{
    *ret_dir = g_dir_make_tmp ("vmm-console-XXXXXX", NULL);
    return g_build_filename (*ret_dir, "port", NULL);
}

static int
connect_to (const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy (address.sun_path, path, sizeof address.sun_path);
    cr_assert_eq (connect (fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

Test (ports, hosts_come_and_go)
{
    g_autofree char *dir = NULL;
    g_autofree char *path = temporary_path (&dir);
    VmmEndpoint *endpoint = open_endpoint (VMM_ENDPOINT_SOCKET, path);
    uint8_t data[BUFFER];
    Rig rig;

    set_up (&rig, vmm_endpoint_chardev (endpoint), "agent", 0);
    cr_assert_eq (vmm_virtio_device_config_read (rig.device, 4, 4), 2);
    introduce (&rig, 0);
    for (unsigned i = 0; i < 3; i++) {
        int fd = connect_to (path);

        give_buffers (&rig, CONTROL_IN);
        expect_control (&rig, PORT_OPEN, 1, "");
        cr_assert_eq (write (fd, "question", 8), 8);
        if (i == 0)
            cr_assert_lt (take (&rig, PORT_RX, data, 50), 0, "nobody has it open in the guest");
        control (&rig, 1, PORT_OPEN, 1);
        cr_assert_eq (take (&rig, PORT_RX, data, 10000), 8);
        cr_assert_arr_eq (data, "question", 8);
        send_bytes (&rig, PORT_TX, "answer", 6);
        expect_at_host (&rig, fd, "answer");
        cr_assert (wait_sent (&rig, PORT_TX, 10000));
        close (fd);
        expect_control (&rig, PORT_OPEN, 0, "");
        send_bytes (&rig, PORT_TX, "to nobody", 9);
        cr_assert (wait_sent (&rig, PORT_TX, 10000), "a guest does not wait for nobody");
    }
    tear_down (&rig);
    vmm_endpoint_free (endpoint);
    cr_assert_neq (access (path, F_OK), 0, "the socket's file has gone");
    g_rmdir (dir);
}

/* Who cannot be let in stays at the door: that must not keep the loop busy. */
Test (ports, a_host_without_descriptors_is_tried_again_later, .timeout = 60)
{
    g_autofree char *dir = NULL;
    g_autofree char *path = temporary_path (&dir);
    VmmEndpoint *endpoint = open_endpoint (VMM_ENDPOINT_SOCKET, path);
    gint64 end = g_get_monotonic_time () + G_USEC_PER_SEC / 2;
    int fd = connect_to (path);
    struct rlimit limit = starve_begin ();
    unsigned dispatched = 0;

    while (g_get_monotonic_time () < end) {
        dispatched += g_main_context_iteration (NULL, FALSE);
        g_usleep (1000);
    }
    cr_assert_leq (dispatched, 2);
    cr_assert_not (vmm_chardev_is_connected (vmm_endpoint_chardev (endpoint)));
    starve_end (limit);
    while (!vmm_chardev_is_connected (vmm_endpoint_chardev (endpoint)))
        g_main_context_iteration (NULL, TRUE);
    close (fd);
    vmm_endpoint_free (endpoint);
    g_rmdir (dir);
}

Test (ports, the_next_host_waits)
{
    g_autofree char *dir = NULL;
    g_autofree char *path = temporary_path (&dir);
    VmmEndpoint *endpoint = open_endpoint (VMM_ENDPOINT_SOCKET, path);
    uint8_t data[BUFFER];
    int first;
    int second;
    Rig rig;

    set_up (&rig, vmm_endpoint_chardev (endpoint), "agent", 0);
    introduce (&rig, 0);
    control (&rig, 1, PORT_OPEN, 1);
    first = connect_to (path);
    expect_control (&rig, PORT_OPEN, 1, "");
    second = connect_to (path);
    cr_assert_eq (write (second, "two", 3), 3);
    cr_assert_lt (take (&rig, PORT_RX, data, 50), 0);
    cr_assert_eq (write (first, "one", 3), 3);
    cr_assert_eq (take (&rig, PORT_RX, data, 10000), 3);
    cr_assert_arr_eq (data, "one", 3);
    close (first);
    cr_assert_eq (take (&rig, PORT_RX, data, 10000), 3);
    cr_assert_arr_eq (data, "two", 3);
    tear_down (&rig);
    close (second);
    vmm_endpoint_free (endpoint);
    g_rmdir (dir);
}

Test (ports, pseudo_terminal)
{
    VmmEndpoint *endpoint = open_endpoint (VMM_ENDPOINT_PTY, NULL);
    uint8_t data[BUFFER];
    Rig rig;

    set_up (&rig, vmm_endpoint_chardev (endpoint), "agent", 0);
    introduce (&rig, 0);
    control (&rig, 1, PORT_OPEN, 1);
    for (unsigned i = 0; i < 3; i++) {
        int fd = open (vmm_endpoint_terminal (endpoint), O_RDWR | O_NOCTTY | O_CLOEXEC);

        cr_assert_geq (fd, 0);
        give_buffers (&rig, CONTROL_IN);
        expect_control (&rig, PORT_OPEN, 1, "");
        cr_assert_eq (write (fd, "a\r", 2), 2);
        cr_assert_eq (take (&rig, PORT_RX, data, 10000), 2);
        cr_assert_arr_eq (data, "a\r", 2, "no line editing, no translation");
        send_bytes (&rig, PORT_TX, "b\n", 2);
        expect_at_host (&rig, fd, "b\n");
        cr_assert (wait_sent (&rig, PORT_TX, 10000));
        close (fd);
        expect_control (&rig, PORT_OPEN, 0, "");
    }
    tear_down (&rig);
    vmm_endpoint_free (endpoint);
}

Test (ports, a_file)
{
    g_autofree char *dir = NULL;
    g_autofree char *path = temporary_path (&dir);
    g_autofree char *text = NULL;
    VmmEndpoint *endpoint;
    Rig rig;

    cr_assert (g_file_set_contents (path, "old", -1, NULL));
    endpoint = open_endpoint (VMM_ENDPOINT_FILE, path);
    set_up (&rig, vmm_endpoint_chardev (endpoint), "agent", 0);
    introduce (&rig, 1);
    send_bytes (&rig, PORT_TX, "line\n", 5);
    cr_assert (wait_sent (&rig, PORT_TX, 10000));
    tear_down (&rig);
    vmm_endpoint_free (endpoint);
    cr_assert (g_file_get_contents (path, &text, NULL, NULL));
    cr_assert_str_eq (text, "line\n");
    g_unlink (path);
    g_rmdir (dir);
}

Test (ports, what_cannot_be_opened)
{
    VmmEndpointConfig config = {.kind = VMM_ENDPOINT_FILE, .path = "/nonexistent/log"};
    g_autoptr (GError) error = NULL;

    cr_assert_null (vmm_endpoint_open (g_main_context_default (), "console", &config, &error));
    cr_assert_not_null (strstr (error->message, "console \"/nonexistent/log\": No such file"));
}

/* In the middle of everything: what the host has not taken, what the guest has not, what is to be told. */
Test (ports, save_and_load)
{
    g_autofree char *dir = NULL;
    g_autofree char *path = temporary_path (&dir);
    VmmEndpoint *endpoint = open_endpoint (VMM_ENDPOINT_SOCKET, path);
    g_autoptr (VmmStateWriter) writer = vmm_state_writer_new ();
    g_autoptr (VmmStateReader) reader = NULL;
    g_autoptr (GBytes) bytes = NULL;
    VmmVirtioPort port = {"agent", NULL};
    uint8_t data[BUFFER];
    uint32_t version;
    int fds[2];
    int fd;
    Rig rig;
    VmmVirtioEnv env;

    set_up (&rig, vmm_endpoint_chardev (endpoint), "agent", 0);
    introduce (&rig, 0);
    fd = connect_to (path);
    expect_control (&rig, PORT_OPEN, 1, "");
    cr_assert_eq (write (fd, "kept", 4), 4);
    cr_assert_lt (take (&rig, PORT_RX, data, 50), 0);
    vmm_virtio_device_pause (rig.device);
    vmm_state_writer_begin (writer, "x", 1);
    vmm_virtio_device_save (rig.device, writer);
    vmm_state_writer_end (writer);
    bytes = vmm_state_writer_finish (writer);
    vmm_virtio_device_free (rig.device);

    port.chardev = plain (fds);
    env = (VmmVirtioEnv){.memory = rig.memory, .loop = rig.loop, .name = "console0"};
    rig.device = vmm_virtio_ports_new (&env, &port, 1);
    reader = vmm_state_reader_new (bytes);
    cr_assert (vmm_state_reader_enter (reader, "x", 1, &version, NULL));
    cr_assert (vmm_virtio_device_load (rig.device, reader, version));
    cr_assert (vmm_state_reader_leave (reader, NULL));
    vmm_virtio_device_resume (rig.device);
    expect_control (&rig, PORT_OPEN, 1, "");
    control (&rig, 1, PORT_OPEN, 1);
    cr_assert_eq (take (&rig, PORT_RX, data, 10000), 4);
    cr_assert_arr_eq (data, "kept", 4);
    tear_down (&rig);
    vmm_chardev_free (port.chardev);
    close_both (fds);
    close (fd);
    vmm_endpoint_free (endpoint);
    g_rmdir (dir);
}
