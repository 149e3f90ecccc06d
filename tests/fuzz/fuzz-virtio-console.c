/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that plays with its consoles: each record is a chain for one of the queues, a register, a host that
 * says something or stops, a pause, or a saved state with some bytes changed. Afterwards the device must
 * still end.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/virtio/console.h"
#include "virtio-driver.h"

#define RECORD 12u
#define RECORDS_MAX 200u
#define QUEUES 8u
#define PORTS 2u
#define MEMORY (4u << 20)
#define BUFFERS (UINT64_C (2) << 20)
#define FEATURES UINT64_C (7)

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t len);

typedef struct {
    VmmVirtioEnv env;
    VmmVirtioDevice *device;
    bool multiport;
    VmmVirtqHeap heap;
    VmmVirtqDriver *queues[QUEUES];
    VmmChardev *chardevs[PORTS];
    int hosts[PORTS];
    int ends[PORTS];
} Fuzz;

static void
make_device (Fuzz *fuzz)
{
    VmmVirtioPort ports[PORTS] = {{"agent", fuzz->chardevs[0]}, {"b", fuzz->chardevs[1]}};

    fuzz->device = fuzz->multiport ? vmm_virtio_ports_new (&fuzz->env, ports, PORTS)
                                   : vmm_virtio_console_new (&fuzz->env, fuzz->chardevs[0]);
}

/* The device's own state, but for the bytes that @record changes, in a new one. */
static void
load_changed (Fuzz *fuzz, const uint8_t *record)
{
    g_autoptr (VmmStateWriter) writer = vmm_state_writer_new ();
    g_autoptr (VmmStateReader) reader = NULL;
    g_autoptr (GBytes) good = NULL;
    g_autoptr (GBytes) bad = NULL;
    uint32_t version;
    uint8_t *bytes;
    gsize len;

    vmm_virtio_device_pause (fuzz->device);
    vmm_state_writer_begin (writer, "c", 1);
    vmm_virtio_device_save (fuzz->device, writer);
    vmm_state_writer_end (writer);
    good = vmm_state_writer_finish (writer);
    bytes = g_memdup2 (g_bytes_get_data (good, &len), g_bytes_get_size (good));
    len = g_bytes_get_size (good);
    for (unsigned i = 0; i < 3; i++)
        bytes[(record[2 + 3 * i] << 8 | record[3 + 3 * i]) % len] = record[4 + 3 * i];
    bad = g_bytes_new_take (bytes, len);
    vmm_virtio_device_free (fuzz->device);
    make_device (fuzz);
    reader = vmm_state_reader_new (bad);
    if (vmm_state_reader_enter (reader, "c", 1, &version, NULL) &&
        vmm_virtio_device_load (fuzz->device, reader, version))
        vmm_virtio_device_resume (fuzz->device);
}

static void
host_acts (Fuzz *fuzz, const uint8_t *record)
{
    uint8_t got[512];
    unsigned port = record[1] % PORTS;

    (void)!send (fuzz->hosts[port], record, record[2] % RECORD, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (record[3] & 1)
        (void)!recv (fuzz->hosts[port], got, sizeof got, MSG_DONTWAIT);
    vmm_chardev_connect (fuzz->chardevs[port], record[3] & 2 ? -1 : fuzz->ends[port],
                         record[3] & 4 ? -1 : fuzz->ends[port]);
}

static void
add_chain (Fuzz *fuzz, unsigned queue, const uint8_t *record)
{
    uint32_t len = (uint32_t)record[10] << 8 | record[11];
    VmmVirtqSegment out = {BUFFERS + ((uint64_t)record[1] << 8), record[9] & 2 ? len : 8};
    VmmVirtqSegment in = {BUFFERS + ((uint64_t)record[8] << 12), record[9] & 4 ? len : 512};

    vmm_guest_memory_write (fuzz->env.memory, out.gpa, record + 2, 8);
    if (len > 0)
        vmm_virtq_driver_add (fuzz->queues[queue], &out, (record[9] & 1) == 0, &in, record[9] & 1);
    vmm_virtq_driver_publish (fuzz->queues[queue]);
    while (vmm_virtq_driver_poll_used (fuzz->queues[queue], NULL, NULL))
        ;
    vmm_virtio_device_notify (fuzz->device, queue);
}

static void
step (Fuzz *fuzz, const uint8_t *record)
{
    switch (record[0] % 16) {
    case 8:
        host_acts (fuzz, record);
        break;
    case 9:
        vmm_virtio_device_config_write (fuzz->device, record[1], record[2] % 9, record[3]);
        vmm_virtio_device_config_read (fuzz->device, record[4], record[5] % 9);
        break;
    case 10:
        if (!fuzz->multiport)
            vmm_virtio_console_resize (fuzz->device, record[1], record[2]);
        break;
    case 11:
        vmm_virtio_device_pause (fuzz->device);
        vmm_virtio_device_resume (fuzz->device);
        break;
    case 12:
        load_changed (fuzz, record);
        break;
    case 13:
        vmm_virtio_device_reset_queue (fuzz->device, record[1] % QUEUES);
        break;
    default:
        add_chain (fuzz, record[0] % (fuzz->multiport ? QUEUES : 2), record);
    }
    while (g_main_context_iteration (NULL, FALSE))
        ;
}

static void
set_up (Fuzz *fuzz, uint8_t mode)
{
    fuzz->multiport = (mode & 8) != 0;
    vmm_virtq_heap_init (&fuzz->heap, fuzz->env.memory, 0x1000, 0x1ff000);
    for (unsigned i = 0; i < PORTS; i++) {
        int fds[2] = {-1, -1};

        if (socketpair (AF_UNIX, SOCK_STREAM, 0, fds) != 0)
            __builtin_trap ();
        fuzz->ends[i] = fds[0];
        fuzz->hosts[i] = fds[1];
        fuzz->chardevs[i] = vmm_chardev_new (g_main_context_default (), fds[0], fds[0]);
    }
    make_device (fuzz);
    for (unsigned i = 0; i < QUEUES; i++)
        fuzz->queues[i] = vmm_virtq_driver_new (&fuzz->heap, 32, mode & 7);
    if (!vmm_virtio_driver_negotiate (fuzz->device, vmm_virtq_driver_features (fuzz->queues[0]) | FEATURES))
        __builtin_trap ();
    for (unsigned i = 0; i < (fuzz->multiport ? QUEUES : 2); i++)
        vmm_virtio_driver_set_queue (fuzz->device, i, fuzz->queues[i]);
    vmm_virtio_driver_start (fuzz->device);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t len)
{
    VmmGuestMemory *memory = vmm_virtq_memory_new (MEMORY);
    VmmLoop *loop = vmm_loop_new ("fuzz", NULL);
    Fuzz fuzz = {.env = {.memory = memory, .loop = loop, .name = "console0"}};

    set_up (&fuzz, len > 0 ? data[0] : 0);
    for (size_t i = 1; i + RECORD <= len && i < RECORD * RECORDS_MAX; i += RECORD)
        step (&fuzz, data + i);
    vmm_virtio_device_set_status (fuzz.device, 0);
    vmm_virtio_device_free (fuzz.device);
    for (unsigned i = 0; i < QUEUES; i++)
        vmm_virtq_driver_free (fuzz.queues[i]);
    for (unsigned i = 0; i < PORTS; i++) {
        vmm_chardev_free (fuzz.chardevs[i]);
        close (fuzz.ends[i]);
        close (fuzz.hosts[i]);
    }
    vmm_loop_free (loop);
    vmm_guest_memory_free (memory);
    return 0;
}
