/* SPDX-License-Identifier: Apache-2.0 */
/* The key console: who has what is typed, a console or a port with the program's streams or the serial
 * console. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "virtio-driver.h"
#include "vmm/device-kind.h"

#define MIB (UINT64_C (1) << 20)
#define F_MULTIPORT (UINT64_C (1) << 1)

typedef struct {
    VmmConfig *config;
    VmmGuestMemory *memory;
    VmmLoop *loop;
    int in[2];
    int out;
    void *description;
    void *backend;
    VmmVirtioDevice *device;
    unsigned outputs;
    unsigned asked;
    unsigned reports;
} Rig;

static void
on_output (void *user, size_t len)
{
    __atomic_add_fetch (&((Rig *)user)->outputs, 1, __ATOMIC_SEQ_CST);
}

static void
on_takes_stdio (void *user)
{
    __atomic_add_fetch (&((Rig *)user)->asked, 1, __ATOMIC_SEQ_CST);
}

static void
on_event (void *user, VmmConsoleEvent event, const char *line)
{
}

static void
on_report (void *user, const VmmKernelReport *report)
{
    __atomic_add_fetch (&((Rig *)user)->reports, 1, __ATOMIC_SEQ_CST);
}

static void
on_interrupt (void *user)
{
}

static void
on_queue (void *user, unsigned index)
{
}

static const VmmVirtioInterrupts interrupts = {on_queue, on_interrupt};

/* A machine's console @value, and its serial console, which has the streams unless it is told otherwise. */
static void
set_up (Rig *rig, const char *value, const char *serial)
{
    const VmmDeviceKind *kind = vmm_device_kind_find ("console");
    VmmDeviceHost host = {.name = "console0", .output = on_output, .takes_stdio = on_takes_stdio};
    VmmVirtioEnv env = {.name = "console0"};
    VmmDevicePart part;

    *rig = (Rig){.config = vmm_config_new (), .out = open ("/dev/null", O_WRONLY | O_CLOEXEC)};
    cr_assert_eq (pipe2 (rig->in, O_CLOEXEC), 0);
    vmm_config_set_serial_fds (rig->config, rig->in[0], rig->out);
    if (serial != NULL)
        cr_assert (vmm_config_set (rig->config, "serial", serial, NULL));
    rig->memory = vmm_virtq_memory_new (4 * MIB);
    rig->loop = vmm_loop_new ("console", NULL);
    host.context = g_main_context_default ();
    host.config = rig->config;
    host.console_event = on_event;
    host.kernel_report = on_report;
    host.user = rig;
    env.memory = rig->memory;
    env.loop = rig->loop;
    rig->description = kind->parse (value, NULL);
    rig->backend = kind->open (rig->description, &host, NULL);
    cr_assert_not_null (rig->backend);
    part = (VmmDevicePart){rig->description, rig->backend};
    rig->device = kind->is_shared (rig->description)
                      ? kind->make_shared (&part, 1, &env, NULL)
                      : kind->make (rig->description, rig->backend, &env, NULL);
    cr_assert_not_null (rig->device);
    vmm_virtio_device_set_transport (rig->device, &interrupts, rig);
}

static void
tear_down (Rig *rig)
{
    const VmmDeviceKind *kind = vmm_device_kind_find ("console");

    vmm_virtio_device_set_status (rig->device, 0);
    vmm_virtio_device_free (rig->device);
    kind->close (rig->backend);
    kind->free_description (rig->description);
    vmm_loop_free (rig->loop);
    vmm_guest_memory_free (rig->memory);
    vmm_config_free (rig->config);
    close (rig->in[0]);
    close (rig->in[1]);
    close (rig->out);
}

/* Whether a byte that is typed goes to the console within @ms. */
static bool
is_heard (Rig *rig, int ms)
{
    gint64 end = g_get_monotonic_time () + ms * 1000;
    int left = 0;

    cr_assert_eq (write (rig->in[1], "x", 1), 1);
    do {
        while (g_main_context_iteration (NULL, FALSE))
            ;
        g_usleep (200);
        cr_assert_eq (ioctl (rig->in[0], FIONREAD, &left), 0);
    } while (left > 0 && g_get_monotonic_time () < end);
    return left == 0;
}

/* The guest's side says @text by the queue @tx. */
static void
say_text (Rig *rig, unsigned tx, const char *text)
{
    VmmVirtqHeap heap;
    VmmVirtqDriver *queues[6];
    gint64 end = g_get_monotonic_time () + 10 * G_USEC_PER_SEC;
    VmmVirtqSegment word;

    vmm_virtq_heap_init (&heap, rig->memory, 0x1000, 2 * MIB);
    for (unsigned i = 0; i <= tx; i++)
        queues[i] = vmm_virtq_driver_new (&heap, 16, 0);
    cr_assert (
        vmm_virtio_driver_negotiate (rig->device, vmm_virtq_driver_features (queues[0]) | F_MULTIPORT));
    for (unsigned i = 0; i <= tx; i++)
        vmm_virtio_driver_set_queue (rig->device, i, queues[i]);
    cr_assert (vmm_virtio_driver_start (rig->device));
    word = vmm_virtq_heap_alloc (&heap, (uint32_t)strlen (text));
    cr_assert (vmm_guest_memory_write (rig->memory, word.gpa, text, strlen (text)));
    vmm_virtq_driver_add (queues[tx], &word, 1, NULL, 0);
    vmm_virtq_driver_publish (queues[tx]);
    vmm_virtio_device_notify (rig->device, tx);
    while (!vmm_virtq_driver_poll_used (queues[tx], NULL, NULL)) {
        cr_assert_lt (g_get_monotonic_time (), end, "nobody takes what the guest says");
        g_main_context_iteration (NULL, FALSE);
        g_usleep (200);
    }
    for (unsigned i = 0; i <= tx; i++)
        vmm_virtq_driver_free (queues[i]);
}

static void
say (Rig *rig, unsigned tx)
{
    say_text (rig, tx, "hello");
}

static const struct {
    const char *value;
    unsigned tx;
} both[] = {{"stdio", 1}, {"stdio,name=port", 5}};

/* Nobody else listens. */
Test (device_console, hears_at_once_where_the_serial_console_is_elsewhere)
{
    for (size_t i = 0; i < G_N_ELEMENTS (both); i++) {
        Rig rig;

        set_up (&rig, both[i].value, "null");
        cr_assert (is_heard (&rig, 10000), "%s hears nothing", both[i].value);
        say (&rig, both[i].tx);
        cr_assert_eq (rig.asked, 0);
        tear_down (&rig);
    }
}

/* Until then it is the serial console's. */
Test (device_console, hears_once_the_guest_has_said_something)
{
    for (size_t i = 0; i < G_N_ELEMENTS (both); i++) {
        Rig rig;

        set_up (&rig, both[i].value, NULL);
        cr_assert_not (is_heard (&rig, 50), "%s hears what is not for it", both[i].value);
        say (&rig, both[i].tx);
        cr_assert_eq (rig.asked, 1, "%s does not ask for the streams", both[i].value);
        cr_assert_eq (rig.outputs, both[i].tx == 1 ? 1 : 0, "a port is no console");
        vmm_device_kind_find ("console")->give_stdio (rig.backend, rig.in[0]);
        cr_assert (is_heard (&rig, 10000), "%s hears nothing", both[i].value);
        tear_down (&rig);
    }
}

/* What programs send through a port is their own affair. */
Test (device_console, tells_of_a_kernel_in_trouble_that_has_no_name)
{
    for (size_t i = 0; i < G_N_ELEMENTS (both); i++) {
        Rig rig;

        set_up (&rig, both[i].value, "null");
        say_text (&rig, both[i].tx, "hello\nKernel panic - not syncing: here\n");
        vmm_virtio_device_set_status (rig.device, 0);
        cr_assert (vmm_device_kind_find ("console")->settle (rig.backend, NULL));
        cr_assert_eq (rig.reports, both[i].tx == 1 ? 1 : 0, "%u reports of %s", rig.reports, both[i].value);
        tear_down (&rig);
    }
}
