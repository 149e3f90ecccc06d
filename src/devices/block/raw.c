/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A raw image: byte N of the disk is byte N of a file or a block device. Requests go through one io_uring of
 * the disk's loop (raw-uring.c), or where the kernel refuses that through a few threads (raw-threads.c),
 * which do plain system calls (raw-calls.c). The loop's own thread does none that is known to take its time.
 *
 * With direct access, a write that begins or ends inside a block of the host's disk must be alone: it waits
 * at a gate until nothing is at work, and what comes meanwhile waits behind it, in order.
 */
#include "devices/block/raw-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/error.h"

/**
 * vmm_raw_fallocate_mode:
 *
 * Returns: how fallocate() does it; -1: there is nothing to do
 */
int
vmm_raw_fallocate_mode (const VmmRaw *raw, const VmmBlockRequest *request)
{
    if (request->op == VMM_BLOCK_DISCARD)
        return raw->discards ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE : -1;
    return raw->discards && request->may_unmap ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
                                               : FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
}

/**
 * vmm_raw_needs_copy:
 *
 * Returns: whether the host's disk cannot take the request's memory as it is
 */
bool
vmm_raw_needs_copy (const VmmRaw *raw, const VmmBlockRequest *request)
{
    uintptr_t addresses = 0;
    uint64_t lengths = request->offset;

    if (!raw->direct || (request->op != VMM_BLOCK_READ && request->op != VMM_BLOCK_WRITE))
        return false;
    for (unsigned i = 0; i < request->n_iov; i++) {
        addresses |= (uintptr_t)request->iov[i].iov_base;
        lengths |= request->iov[i].iov_len;
    }
    return (addresses & (raw->memory_alignment - 1)) != 0 || (lengths & (raw->offset_alignment - 1)) != 0;
}

/* Whether it changes a part of a block that is written as a whole. */
static bool
wants_to_be_alone (const VmmRaw *raw, const VmmBlockRequest *request)
{
    return raw->direct && ((request->offset | request->len) & (raw->offset_alignment - 1)) != 0 &&
           (request->op == VMM_BLOCK_WRITE || request->op == VMM_BLOCK_WRITE_ZEROES);
}

static bool
may_begin (const VmmRaw *raw, const VmmBlockRequest *request)
{
    return !raw->alone && (raw->busy == 0 || !wants_to_be_alone (raw, request));
}

static void
begin (VmmRaw *raw, VmmBlockRequest *request)
{
    raw->busy++;
    raw->alone = wants_to_be_alone (raw, request);
    if (raw->alone)
        vmm_raw_pool_push (raw, request, 0);
    else
        raw->engine->submit (raw, request);
}

static void
wait_at_gate (VmmRaw *raw, VmmBlockRequest *request)
{
    request->private.next = NULL;
    if (raw->gate_last != NULL)
        raw->gate_last->private.next = request;
    else
        raw->gate_first = request;
    raw->gate_last = request;
}

/**
 * vmm_raw_finish:
 * @request: one that was at work
 * @error: 0 or an errno
 *
 * The loop's thread: gives it back. What waited for it begins; the kick is the caller's.
 */
void
vmm_raw_finish (VmmRaw *raw, VmmBlockRequest *request, int error)
{
    raw->busy--;
    raw->alone = false;
    request->done (request, error);
    while (raw->gate_first != NULL && may_begin (raw, raw->gate_first)) {
        VmmBlockRequest *first = raw->gate_first;

        raw->gate_first = first->private.next;
        if (raw->gate_first == NULL)
            raw->gate_last = NULL;
        begin (raw, first);
    }
}

static bool
attach (VmmBlock *block, VmmLoop *loop, GError **error)
{
    VmmRaw *raw = (VmmRaw *)block;

    raw->loop = loop;
    if (!vmm_raw_pool_open (raw)) {
        raw->loop = NULL;
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST,
                     "there are no file descriptors left: raise the limit (ulimit -n)");
        return false;
    }
    raw->engine = &vmm_raw_uring;
    if (raw->threads_only || !raw->engine->attach (raw))
        raw->engine = &vmm_raw_threads;
    return true;
}

static bool
is_possible (const VmmRaw *raw, const VmmBlockRequest *request)
{
    return request->offset <= raw->base.limits.size &&
           request->len <= raw->base.limits.size - request->offset;
}

static void
submit (VmmBlock *block, VmmBlockRequest *request)
{
    VmmRaw *raw = (VmmRaw *)block;
    bool writes = request->op != VMM_BLOCK_READ && request->op != VMM_BLOCK_FLUSH;

    if (!is_possible (raw, request))
        request->done (request, EINVAL);
    else if (raw->base.limits.read_only && request->op != VMM_BLOCK_READ)
        request->done (request, writes ? EROFS : 0);
    else if (request->op == VMM_BLOCK_DISCARD && vmm_raw_fallocate_mode (raw, request) < 0)
        request->done (request, 0);
    else if (raw->gate_first == NULL && may_begin (raw, request))
        begin (raw, request);
    else
        wait_at_gate (raw, request);
}

static void
kick (VmmBlock *block)
{
    VmmRaw *raw = (VmmRaw *)block;

    raw->engine->kick (raw);
}

static bool
poll_done (VmmBlock *block)
{
    VmmRaw *raw = (VmmRaw *)block;

    return raw->engine->poll != NULL && raw->engine->poll (raw);
}

static void
drain (VmmBlock *block)
{
    VmmRaw *raw = (VmmRaw *)block;

    raw->engine->drain (raw);
}

static void
detach (VmmBlock *block)
{
    VmmRaw *raw = (VmmRaw *)block;

    if (raw->loop == NULL)
        return;
    raw->engine->detach (raw);
    vmm_raw_pool_close (raw);
    raw->loop = NULL;
}

static bool
is_block_device (int fd)
{
    struct stat st;

    return fstat (fd, &st) == 0 && S_ISBLK (st.st_mode);
}

/* The size in bytes, or an errno. */
static int
find_size (int fd, uint64_t *ret_size)
{
    struct stat st;

    if (fstat (fd, &st) < 0)
        return errno;
    if (S_ISBLK (st.st_mode))
        return ioctl (fd, BLKGETSIZE64, ret_size) == 0 ? 0 : errno;
    *ret_size = (uint64_t)st.st_size;
    return 0;
}

static int
resize (VmmBlock *block, uint64_t size)
{
    VmmRaw *raw = (VmmRaw *)block;
    uint64_t has;
    int error;

    if (raw->base.limits.read_only)
        return EROFS;
    if (size < raw->base.limits.size || size % VMM_BLOCK_SECTOR != 0)
        return EINVAL;
    error = find_size (raw->fd, &has);
    if (error != 0)
        return error;
    /* A block device is grown by its owner; here is only taken notice of it. */
    if (size > has && is_block_device (raw->fd))
        return ENOSPC;
    if (size > has && ftruncate (raw->fd, (off_t)size) < 0)
        return errno;
    raw->base.limits.size = size;
    return 0;
}

static void
raw_free (VmmBlock *block)
{
    VmmRaw *raw = (VmmRaw *)block;

    if (raw->fd >= 0)
        close (raw->fd);
    g_mutex_clear (&raw->lock);
    g_cond_clear (&raw->changed);
    g_free (raw);
}

static const VmmBlockOps raw_ops = {
    .name = "raw",
    .attach = attach,
    .submit = submit,
    .kick = kick,
    .poll = poll_done,
    .drain = drain,
    .detach = detach,
    .resize = resize,
    .free = raw_free,
};

static uint32_t
find_block_size (int fd)
{
    int size = VMM_BLOCK_SECTOR;

    /* Only a block device says it; it has no meaning for a file. */
    if (ioctl (fd, BLKSSZGET, &size) < 0 || size < (int)VMM_BLOCK_SECTOR || size > 4096)
        size = VMM_BLOCK_SECTOR;
    return (uint32_t)size;
}

static bool
is_alignment (uint32_t bytes)
{
    return bytes > 0 && bytes <= VMM_RAW_PIECE && (bytes & (bytes - 1)) == 0;
}

/* What direct access wants: as the kernel says, or else, and before Linux 6.1, the sectors of a block device.
 */
static void
find_alignment (VmmRaw *raw)
{
    raw->memory_alignment = raw->base.limits.block_size;
    raw->offset_alignment = raw->base.limits.block_size;
#ifdef STATX_DIOALIGN
    struct statx stx;

    if (statx (raw->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
        (stx.stx_mask & STATX_DIOALIGN) != 0 && is_alignment (stx.stx_dio_mem_align) &&
        is_alignment (stx.stx_dio_offset_align)) {
        raw->memory_alignment = stx.stx_dio_mem_align;
        raw->offset_alignment = stx.stx_dio_offset_align;
    }
#endif
}

static bool
check_size (const VmmBlockConfig *config, uint64_t size, GError **error)
{
    if (size == 0) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "disk \"%s\": it is empty: make it as large as the disk is to be, as by truncate -s 1G",
                     config->path);
        return false;
    }
    if (size % VMM_BLOCK_SECTOR != 0) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "disk \"%s\": its size of %" G_GUINT64_FORMAT
                     " bytes is not a multiple of 512: pad it, as by truncate -s %%512",
                     config->path, size);
        return false;
    }
    return true;
}

/**
 * vmm_raw_open:
 * @fd: taken over when this succeeds: opened as @config says, and locked
 * @config: what it is
 *
 * Returns: (transfer full) (nullable): a backend; NULL with %VMM_ERROR_USAGE or %VMM_ERROR_HOST
 */
VmmBlock *
vmm_raw_open (int fd, const VmmBlockConfig *config, GError **error)
{
    uint64_t size = 0;
    int failed = find_size (fd, &size);
    VmmRaw *raw;

    if (failed != 0) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "disk \"%s\": %s", config->path, g_strerror (failed));
        return NULL;
    }
    if (!check_size (config, size, error))
        return NULL;
    raw = g_new0 (VmmRaw, 1);
    g_mutex_init (&raw->lock);
    g_cond_init (&raw->changed);
    raw->base.ops = &raw_ops;
    raw->base.limits = (VmmBlockLimits){
        .size = size,
        .block_size = find_block_size (fd),
        .discard_alignment = config->discard ? 4096 : 0,
        .read_only = config->read_only,
    };
    raw->fd = fd;
    raw->discards = config->discard && !config->read_only;
    raw->writethrough = config->cache == VMM_BLOCK_CACHE_WRITETHROUGH;
    raw->direct = (fcntl (fd, F_GETFL) & O_DIRECT) != 0;
    raw->cached_file = !raw->direct && !is_block_device (fd);
    raw->done_fd = -1;
    find_alignment (raw);
    return &raw->base;
}

/**
 * vmm_raw_use_threads:
 *
 * Before it is attached.
 */
void
vmm_raw_use_threads (VmmBlock *block)
{
    ((VmmRaw *)block)->threads_only = true;
}
