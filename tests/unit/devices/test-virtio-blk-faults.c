/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio block device over a disk that fails: what its guest and its user are told. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "devices/virtio/blk.h"
#include "virtio-driver.h"

#define MIB (UINT64_C (1) << 20)
#define F_FLUSH (UINT64_C (1) << 9)

enum { IN = 0, OUT = 1, FLUSH = 4 };
enum { OK = 0, IOERR = 1, PENDING = 0xff };

typedef struct {
    uint32_t type;
    uint32_t reserved;
    uint64_t sector;
} Header;

typedef struct {
    VmmBlock block;
    int error; /* what all requests end with */
    VmmVirtioEnv env;
    VmmVirtioDevice *device;
    VmmVirtqHeap heap;
    VmmVirtqDriver *queue;
    GMutex lock;
    GPtrArray *told; /* of char * */
} Rig;

static bool no_threads;

GThread *__real_g_thread_try_new (const char *name, GThreadFunc func, gpointer data, GError **error);
GThread *__wrap_g_thread_try_new (const char *name, GThreadFunc func, gpointer data, GError **error);

GThread *
__wrap_g_thread_try_new (const char *name, GThreadFunc func, gpointer data, GError **error)
{
    return no_threads ? NULL : __real_g_thread_try_new (name, func, data, error);
}

static bool
attach (VmmBlock *block, VmmLoop *loop, GError **error)
{
    return true;
}

static void
submit (VmmBlock *block, VmmBlockRequest *request)
{
    request->done (request, __atomic_load_n (&((Rig *)block)->error, __ATOMIC_RELAXED));
}

static void
nothing (VmmBlock *block)
{
}

static const VmmBlockOps ops = {
    .name = "failing",
    .attach = attach,
    .submit = submit,
    .kick = nothing,
    .drain = nothing,
    .detach = nothing,
};

static void
on_warn (void *user, const char *text)
{
    Rig *rig = user;

    g_mutex_lock (&rig->lock);
    g_ptr_array_add (rig->told, g_strdup (text));
    g_mutex_unlock (&rig->lock);
}

static bool
start (Rig *rig)
{
    cr_assert (vmm_virtio_driver_negotiate (rig->device, vmm_virtq_driver_features (rig->queue) | F_FLUSH));
    vmm_virtio_driver_set_queue (rig->device, 0, rig->queue);
    return vmm_virtio_driver_start (rig->device);
}

static Rig *
make_rig (void)
{
    VmmVirtioBlkConfig config = {.serial = "", .n_queues = 1};
    Rig *rig = g_new0 (Rig, 1);

    g_mutex_init (&rig->lock);
    rig->told = g_ptr_array_new_with_free_func (g_free);
    rig->block = (VmmBlock){.ops = &ops, .limits = {.size = MIB, .block_size = 512}};
    rig->env = (VmmVirtioEnv){.memory = vmm_virtq_memory_new (4 * MIB),
                              .loop = vmm_loop_new ("blk", NULL),
                              .name = "disk7",
                              .warn = on_warn,
                              .user = rig};
    rig->device = vmm_virtio_blk_new (&rig->env, &rig->block, &config);
    vmm_virtq_heap_init (&rig->heap, rig->env.memory, 0x1000, 3 * MIB);
    rig->queue = vmm_virtq_driver_new (&rig->heap, 64, 0);
    return rig;
}

static Rig *
set_up (void)
{
    Rig *rig = make_rig ();

    cr_assert (start (rig));
    return rig;
}

static void
tear_down (Rig *rig)
{
    vmm_virtio_device_free (rig->device);
    vmm_virtq_driver_free (rig->queue);
    vmm_loop_free (rig->env.loop);
    vmm_guest_memory_free (rig->env.memory);
    g_ptr_array_unref (rig->told);
    g_mutex_clear (&rig->lock);
    g_free (rig);
}

static uint8_t
request (Rig *rig, uint32_t type, int error)
{
    Header header = {type, 0, 3};
    uint8_t pending = PENDING;
    VmmVirtqSegment out[2] = {vmm_virtq_heap_put (&rig->heap, &header, sizeof header)};
    VmmVirtqSegment in[2];
    VmmVirtqSegment status = vmm_virtq_heap_put (&rig->heap, &pending, 1);
    unsigned n_out = 1;
    unsigned n_in = 0;
    gint64 end = g_get_monotonic_time () + 20 * G_USEC_PER_SEC;

    if (type == OUT)
        out[n_out++] = vmm_virtq_heap_alloc (&rig->heap, 512);
    if (type == IN)
        in[n_in++] = vmm_virtq_heap_alloc (&rig->heap, 512);
    in[n_in++] = status;
    __atomic_store_n (&rig->error, error, __ATOMIC_RELAXED);
    cr_assert_geq (vmm_virtq_driver_add (rig->queue, out, n_out, in, n_in), 0);
    if (vmm_virtq_driver_publish (rig->queue))
        vmm_virtio_device_notify (rig->device, 0);
    while (!vmm_virtq_driver_poll_used (rig->queue, NULL, NULL)) {
        cr_assert_lt (g_get_monotonic_time (), end);
        g_usleep (50);
    }
    return *(uint8_t *)vmm_virtq_heap_bytes (&rig->heap, status);
}

static void
check_told (Rig *rig, unsigned index, const char *what)
{
    g_mutex_lock (&rig->lock);
    cr_assert_gt (rig->told->len, index);
    cr_assert (g_str_has_prefix (rig->told->pdata[index], "disk7: "));
    cr_assert_not_null (strstr (rig->told->pdata[index], what), "%s", (char *)rig->told->pdata[index]);
    g_mutex_unlock (&rig->lock);
}

Test (blk_faults, the_guest_gets_an_error_and_the_user_is_told, .timeout = 60)
{
    Rig *rig = set_up ();

    cr_assert_eq (request (rig, OUT, ENOSPC), IOERR);
    check_told (rig, 0, "make room");
    check_told (rig, 0, "write");
    cr_assert_eq (request (rig, IN, EIO), IOERR);
    check_told (rig, 1, "a read of 512 bytes at 1536 failed");
    check_told (rig, 1, g_strerror (EIO));
    cr_assert_eq (request (rig, FLUSH, EIO), IOERR);
    check_told (rig, 2, "flush");
    /* And all is well again when the disk is. */
    cr_assert_eq (request (rig, OUT, 0), OK);
    cr_assert_eq (request (rig, FLUSH, 0), OK);
    vmm_virtio_device_tell_rest (rig->device);
    cr_assert_eq (rig->told->len, 3);
    tear_down (rig);
}

Test (blk_faults, a_guest_that_fails_again_and_again_fills_no_log, .timeout = 60)
{
    Rig *rig = set_up ();

    for (unsigned i = 0; i < 300; i++)
        cr_assert_eq (request (rig, i % 2 == 0 ? OUT : IN, i % 2 == 0 ? ENOSPC : EIO), IOERR);
    /* Five, and then one in ten seconds. */
    cr_assert_geq (rig->told->len, 5);
    cr_assert_leq (rig->told->len, 8);
    if (rig->told->len == 5) {
        vmm_virtio_device_tell_rest (rig->device);
        check_told (rig, 5, "295 more");
        vmm_virtio_device_tell_rest (rig->device);
        cr_assert_eq (rig->told->len, 6);
    }
    tear_down (rig);
}

/* The guest chooses the moment at which the loop's thread begins: it must not be the end of the process. */
Test (blk_faults, a_host_without_threads_fails_the_device, .timeout = 60)
{
    Rig *rig = make_rig ();
    uint8_t status;

    no_threads = true;
    cr_assert_not (start (rig));
    status = vmm_virtio_device_status (rig->device);
    cr_assert (status & VMM_VIRTIO_STATUS_NEEDS_RESET);
    check_told (rig, 0, "no thread");
    vmm_virtio_device_notify (rig->device, 0);
    vmm_virtio_device_reset_queue (rig->device, 0);
    /* It is served when the host has some again. */
    no_threads = false;
    vmm_virtq_driver_reset (rig->queue);
    cr_assert (start (rig));
    cr_assert_eq (request (rig, OUT, 0), OK);
    tear_down (rig);
}
