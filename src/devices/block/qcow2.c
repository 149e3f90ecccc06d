/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qcow2 files as a backend, in two ways.
 *
 * What needs no table but those in memory, and changes none, is fast: a request for one run of clusters that
 * belong to the disk alone, and a flush when nothing waits for a commit; with writethrough a write, too, only
 * when nothing does. The loop finds the place in the file and hands it to a raw backend over the same file,
 * and so to io_uring.
 *
 * All else is slow: it goes to one thread of the disk, in the order of submission. The loop hands it over
 * when it kicks, and takes it back when an eventfd says that some are done.
 *
 * Slow writes give new places only to clusters that fast requests leave alone, so both can be on their way at
 * once. A request that takes clusters away (DISCARD, WRITE_ZEROES) cannot: it waits until no fast one is in
 * flight, and everything that comes after it is slow until it is done.
 *
 * Theory of the format and of what happens when the process is killed: qcow2-image.c.
 */
#include "devices/block/qcow2-block.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/block/qcow2-image.h"
#include "devices/block/raw.h"
#include "vmm/error.h"

/* Requests in a row, by private.next. */
typedef struct {
    VmmBlockRequest *head;
    VmmBlockRequest *tail;
} Requests;

typedef struct _Qcow2Block Qcow2Block;
typedef struct _Fast Fast;

/* A fast request, as the raw backend has it. */
struct _Fast {
    VmmBlockRequest request;
    VmmBlockRequest *original;
    Qcow2Block *q;
    Fast *next;
};

/**
 * Qcow2Block:
 * @raw: (nullable): the file as it is, for fast requests
 * @n_fast: of @in_flight
 * @n_clearing: of @in_flight: those that take clusters away
 * @idle: fast requests to be used again
 * @ephemeral: nobody reads the file after this backend
 * @lost: errno of what no further commit makes good; 0: nothing
 * @in_flight: submitted and not done; the loop's
 * @submitted: until they are kicked; the loop's
 * @lock: of what follows
 * @changed: for the worker: there is work or it is to end; for a drain: there are done ones
 */
struct _Qcow2Block {
    VmmBlock block;
    VmmQcow2 *image;
    VmmBlock *raw;
    unsigned n_fast;
    unsigned n_clearing;
    Fast *idle;
    bool ephemeral;
    int lost;
    bool writethrough;
    VmmLoop *loop;
    VmmLoopWatch *watch;
    int done_fd;
    unsigned in_flight;
    Requests submitted;

    GMutex lock;
    GCond changed;
    Requests queued;
    Requests done;
    bool ending;
    GThread *worker;
};

static void
append (Requests *requests, Requests more)
{
    if (more.head == NULL)
        return;
    if (requests->tail != NULL)
        requests->tail->private.next = more.head;
    else
        requests->head = more.head;
    requests->tail = more.tail;
}

static void
append_one (Requests *requests, VmmBlockRequest *request)
{
    request->private.next = NULL;
    append (requests, (Requests){request, request});
}

static int
flush (Qcow2Block *q)
{
    if (q->ephemeral || q->image->read_only)
        return 0;
    return q->image->uncommitted ? vmm_qcow2_commit (q->image) : vmm_qcow2_sync (q->image);
}

static int
run (Qcow2Block *q, const VmmBlockRequest *request)
{
    VmmQcow2 *image = q->image;
    int err = 0;

    switch (request->op) {
    case VMM_BLOCK_READ:
        return vmm_qcow2_read (image, request->offset, request->len, request->iov, request->n_iov, 0);
    case VMM_BLOCK_WRITE:
        err = vmm_qcow2_write (image, request->offset, request->len, request->iov, request->n_iov, 0);
        break;
    case VMM_BLOCK_WRITE_ZEROES:
        err = vmm_qcow2_write_zeroes (image, request->offset, request->len);
        break;
    case VMM_BLOCK_DISCARD:
        err = image->discard ? vmm_qcow2_discard (image, request->offset, request->len) : 0;
        break;
    case VMM_BLOCK_FLUSH:
    default:
        return flush (q);
    }
    return err == 0 && q->writethrough ? flush (q) : err;
}

static void
say_done (Qcow2Block *q)
{
    uint64_t one = 1;

    (void)!write (q->done_fd, &one, sizeof one);
}

static void *
work (void *user)
{
    Qcow2Block *q = user;

    g_mutex_lock (&q->lock);
    for (;;) {
        VmmBlockRequest *request = q->queued.head;
        bool first;
        int err;

        if (request == NULL && q->ending)
            break;
        if (request == NULL) {
            g_cond_wait (&q->changed, &q->lock);
            continue;
        }
        q->queued.head = request->private.next;
        if (q->queued.head == NULL)
            q->queued.tail = NULL;
        g_mutex_unlock (&q->lock);
        err = run (q, request);
        g_mutex_lock (&q->lock);
        request->private.number[0] = (uint64_t)err;
        first = q->done.head == NULL;
        append_one (&q->done, request);
        if (first) {
            g_cond_broadcast (&q->changed);
            say_done (q);
        }
    }
    g_mutex_unlock (&q->lock);
    return NULL;
}

static bool
clears (const VmmBlockRequest *request)
{
    return request->op == VMM_BLOCK_DISCARD || request->op == VMM_BLOCK_WRITE_ZEROES;
}

/* The loop's thread: gives back what is done. Callbacks may submit. */
static void
finish_done (Qcow2Block *q)
{
    Requests done;

    g_mutex_lock (&q->lock);
    done = q->done;
    q->done = (Requests){0};
    g_mutex_unlock (&q->lock);
    while (done.head != NULL) {
        VmmBlockRequest *request = done.head;

        done.head = request->private.next;
        q->in_flight--;
        q->n_clearing -= clears (request);
        request->done (request, (int)request->private.number[0]);
    }
}

static void
on_done (void *user, uint32_t events)
{
    Qcow2Block *q = user;
    uint64_t count;

    if (read (q->done_fd, &count, sizeof count) > 0) {
        finish_done (q);
        vmm_block_settle (&q->block);
    }
}

static void
on_raw_settled (void *user)
{
    Qcow2Block *q = user;

    vmm_block_settle (&q->block);
}

static bool
attach (VmmBlock *block, VmmLoop *loop, GError **error)
{
    Qcow2Block *q = (Qcow2Block *)block;

    if (q->raw != NULL && !q->raw->ops->attach (q->raw, loop, error))
        return false;
    q->ending = false;
    q->worker = g_thread_try_new ("vmm-qcow2", work, q, error);
    if (q->worker == NULL) {
        if (q->raw != NULL)
            q->raw->ops->detach (q->raw);
        return false;
    }
    q->loop = loop;
    q->watch = vmm_loop_watch (loop, q->done_fd, EPOLLIN, on_done, q);
    return true;
}

static int
check_request (const Qcow2Block *q, const VmmBlockRequest *request)
{
    uint64_t size = q->block.limits.size;

    if (request->op == VMM_BLOCK_FLUSH)
        return 0;
    if (request->offset > size || request->len > size - request->offset)
        return EINVAL;
    return request->op != VMM_BLOCK_READ && q->block.limits.read_only ? EROFS : 0;
}

static bool
is_healthy (VmmQcow2 *image, bool *ret_uncommitted)
{
    bool corrupt;

    g_mutex_lock (&image->lock);
    corrupt = image->corrupt;
    *ret_uncommitted = image->uncommitted;
    g_mutex_unlock (&image->lock);
    return !corrupt;
}

/* Can it be done without the worker, and where in the file? */
static bool
is_fast (Qcow2Block *q, const VmmBlockRequest *request, uint64_t *ret_host)
{
    VmmQcow2Extent extent;
    bool uncommitted;

    *ret_host = 0;
    if (q->raw == NULL || q->n_clearing > 0 || clears (request))
        return false;
    if (request->op == VMM_BLOCK_FLUSH)
        return is_healthy (q->image, &uncommitted) && !uncommitted && !q->ephemeral && !q->image->read_only;
    if (request->len == 0)
        return false;
    vmm_qcow2_map (q->image, request->offset, request->len, false, &extent);
    *ret_host = extent.host;
    if (extent.kind != VMM_QCOW2_DATA || !extent.owned || extent.len != request->len)
        return false;
    /* After the look at the tables: when there is nothing uncommitted now, what they say lasts. */
    return is_healthy (q->image, &uncommitted) &&
           (!q->writethrough || !uncommitted || request->op == VMM_BLOCK_READ);
}

static VmmBlockRequest *
take_first (Requests *requests)
{
    VmmBlockRequest *request = requests->head;

    requests->head = request->private.next;
    if (requests->head == NULL)
        requests->tail = NULL;
    return request;
}

/* In order, up to one that has to wait for fast ones. */
static void
hand_over (Qcow2Block *q)
{
    Requests ready = {0};

    while (q->submitted.head != NULL && (q->n_fast == 0 || !clears (q->submitted.head)))
        append_one (&ready, take_first (&q->submitted));
    if (ready.head == NULL)
        return;
    g_mutex_lock (&q->lock);
    append (&q->queued, ready);
    g_cond_broadcast (&q->changed);
    g_mutex_unlock (&q->lock);
}

static void
on_fast_done (VmmBlockRequest *done, int error)
{
    Fast *fast = done->user;
    VmmBlockRequest *original = fast->original;
    Qcow2Block *q = fast->q;

    fast->next = q->idle;
    q->idle = fast;
    q->in_flight--;
    q->n_fast--;
    if (q->n_fast == 0 && q->n_clearing > 0)
        hand_over (q); /* one waits for just that */
    original->done (original, error);
}

static void
submit_fast (Qcow2Block *q, VmmBlockRequest *original, uint64_t host)
{
    Fast *fast = q->idle;

    if (fast != NULL)
        q->idle = fast->next;
    else
        fast = g_new0 (Fast, 1); /* as many as are in flight at once, which the queues limit */
    fast->q = q;
    fast->original = original;
    fast->request = (VmmBlockRequest){
        .op = original->op,
        .offset = host,
        .len = original->len,
        .iov = original->iov,
        .n_iov = original->n_iov,
        .done = on_fast_done,
        .user = fast,
    };
    q->in_flight++;
    q->n_fast++;
    q->raw->ops->submit (q->raw, &fast->request);
}

static void
submit (VmmBlock *block, VmmBlockRequest *request)
{
    Qcow2Block *q = (Qcow2Block *)block;
    int err = check_request (q, request);
    uint64_t host;

    if (err != 0) {
        request->done (request, err);
        return;
    }
    if (is_fast (q, request, &host)) {
        submit_fast (q, request, host);
        return;
    }
    q->in_flight++;
    q->n_clearing += clears (request);
    append_one (&q->submitted, request);
}

static void
kick (VmmBlock *block)
{
    Qcow2Block *q = (Qcow2Block *)block;

    hand_over (q);
    if (q->raw != NULL)
        q->raw->ops->kick (q->raw);
}

static void
drain (VmmBlock *block)
{
    Qcow2Block *q = (Qcow2Block *)block;

    while (q->in_flight > 0) {
        kick (block);
        if (q->n_fast > 0) {
            q->raw->ops->drain (q->raw);
            continue;
        }
        g_mutex_lock (&q->lock);
        while (q->done.head == NULL)
            g_cond_wait (&q->changed, &q->lock);
        g_mutex_unlock (&q->lock);
        finish_done (q);
    }
}

/* Other programs may look into the file now. What fails here was not flushed: the guest was not told that it
 * lasts. It is tried again at the end, and then told to the user. But the kernel forgets what an fdatasync()
 * could not write, and the next one succeeds. */
static int
settle (Qcow2Block *q)
{
    int err = q->ephemeral ? 0 : vmm_qcow2_commit (q->image);

    if (err != 0 && !q->image->uncommitted)
        q->lost = err;
    return q->lost != 0 ? q->lost : err;
}

static void
detach (VmmBlock *block)
{
    Qcow2Block *q = (Qcow2Block *)block;

    g_mutex_lock (&q->lock);
    q->ending = true;
    g_cond_broadcast (&q->changed);
    g_mutex_unlock (&q->lock);
    g_clear_pointer (&q->worker, g_thread_join);
    g_clear_pointer (&q->watch, vmm_loop_unwatch);
    if (q->raw != NULL)
        q->raw->ops->detach (q->raw);
    q->loop = NULL;
    (void)settle (q);
}

static int
resize (VmmBlock *block, uint64_t size)
{
    Qcow2Block *q = (Qcow2Block *)block;
    int err = vmm_qcow2_grow (q->image, size);

    if (err == 0 && !q->ephemeral)
        err = vmm_qcow2_commit (q->image);
    if (err == 0)
        block->limits.size = size;
    return err;
}

static int
commit (VmmBlock *block)
{
    return settle ((Qcow2Block *)block);
}

static void
free_block (VmmBlock *block)
{
    Qcow2Block *q = (Qcow2Block *)block;

    (void)settle (q); /* who wants to know has asked before */
    if (q->raw != NULL)
        q->raw->ops->free (q->raw);
    while (q->idle != NULL) {
        Fast *next = q->idle->next;

        g_free (q->idle);
        q->idle = next;
    }
    vmm_qcow2_image_free (q->image);
    close (q->done_fd);
    g_mutex_clear (&q->lock);
    g_cond_clear (&q->changed);
    g_free (q);
}

static const VmmBlockOps ops = {
    .name = "qcow2",
    .attach = attach,
    .submit = submit,
    .kick = kick,
    .drain = drain,
    .detach = detach,
    .resize = resize,
    .commit = commit,
    .free = free_block,
};

/* The file as it is; NULL where the raw backend does not take it: then all requests are slow. */
static VmmBlock *
open_raw (const VmmQcow2 *image, const VmmBlockConfig *config)
{
    VmmBlockConfig raw_config = {
        .path = config->path,
        .cache = config->cache == VMM_BLOCK_CACHE_WRITETHROUGH && !config->ephemeral
                     ? config->cache
                     : VMM_BLOCK_CACHE_WRITEBACK,
        .read_only = image->read_only,
        .probe_raw = true,
    };
    int fd = fcntl (image->fd, F_DUPFD_CLOEXEC, 0);
    VmmBlock *raw = fd >= 0 ? vmm_raw_open (fd, &raw_config, NULL) : NULL;

    if (raw == NULL && fd >= 0)
        close (fd);
    if (raw != NULL)
        raw->limits.size = G_MAXINT64; /* the file grows; vmm_qcow2_map() has checked */
    return raw;
}

/**
 * vmm_qcow2_block_new:
 * @image: an image with what is behind it; taken over when this succeeds
 * @config: what it is to be
 * @error: %VMM_ERROR_HOST
 *
 * Any thread.
 *
 * Returns: (transfer full): a backend
 */
VmmBlock *
vmm_qcow2_block_new (VmmQcow2 *image, const VmmBlockConfig *config, GError **error)
{
    int done_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    Qcow2Block *q;

    if (done_fd < 0) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "disk \"%s\": no eventfd: %s", config->path,
                     g_strerror (errno));
        return NULL;
    }
    q = g_new0 (Qcow2Block, 1);
    q->block.ops = &ops;
    q->image = image;
    q->done_fd = done_fd;
    q->raw = open_raw (image, config);
    if (q->raw != NULL) {
        q->raw->settled = on_raw_settled;
        q->raw->settled_user = q;
    }
    q->ephemeral = config->ephemeral;
    q->writethrough = config->cache == VMM_BLOCK_CACHE_WRITETHROUGH && !config->ephemeral;
    image->discard = config->discard || config->ephemeral;
    g_mutex_init (&q->lock);
    g_cond_init (&q->changed);
    q->block.limits = (VmmBlockLimits){
        .size = (image->header.size + VMM_BLOCK_SECTOR - 1) & ~(uint64_t)(VMM_BLOCK_SECTOR - 1),
        .block_size = VMM_BLOCK_SECTOR,
        .discard_alignment = image->discard ? (uint32_t)image->cluster_size : 0,
        .read_only = image->read_only,
    };
    /* A last sector of which the header counts only a part is all there, in the last cluster. */
    image->header.size = q->block.limits.size;
    return &q->block;
}
