/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A raw image: byte N of the disk is byte N of a file or a block device. Requests go through one io_uring of
 * the disk's loop (raw-uring.c), or where the kernel refuses that through a few threads (raw-threads.c). What
 * neither does well, and what comes seldom, is done here with plain system calls: the rest of a short read or
 * write, zeroes where the file system knows no fallocate(), and a direct write from memory that the host's
 * disk cannot take as it is.
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

#define PIECE (64u << 10)
#define DIRECT_ALIGNMENT 4096u

/* The buffers of a request from its byte @done on, at most @max_iov of them. */
static int
rest_of (const VmmBlockRequest *request, uint64_t done, struct iovec *iov, int max_iov)
{
    int n = 0;

    for (unsigned i = 0; i < request->n_iov && n < max_iov; i++) {
        struct iovec part = request->iov[i];

        if (done >= part.iov_len) {
            done -= part.iov_len;
            continue;
        }
        iov[n++] = (struct iovec){(uint8_t *)part.iov_base + done, part.iov_len - done};
        done = 0;
    }
    return n;
}

/* 0, an errno, or -1 at the end of the file. */
static int
move_some (VmmRaw *raw, const VmmBlockRequest *request, uint64_t *done)
{
    struct iovec iov[16];
    int n_iov = rest_of (request, *done, iov, (int)G_N_ELEMENTS (iov));
    off_t at = (off_t)(request->offset + *done);
    ssize_t n;

    do {
        n = request->op == VMM_BLOCK_READ
                ? preadv (raw->fd, iov, n_iov, at)
                : pwritev2 (raw->fd, iov, n_iov, at, raw->writethrough ? RWF_DSYNC : 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno;
    *done += (uint64_t)n;
    if (n > 0)
        return 0;
    return request->op == VMM_BLOCK_READ ? -1 : ENOSPC;
}

/* A piece of at most @len bytes between an aligned buffer and the request's. */
static void
copy_piece (const VmmBlockRequest *request, uint64_t done, uint8_t *piece, size_t len, bool to_request)
{
    while (len > 0) {
        struct iovec part;
        size_t run;

        if (rest_of (request, done, &part, 1) == 0)
            return;
        run = MIN (len, part.iov_len);
        memcpy (to_request ? part.iov_base : piece, to_request ? piece : part.iov_base, run);
        piece += run;
        done += run;
        len -= run;
    }
}

static int
move_by_copy (VmmRaw *raw, const VmmBlockRequest *request)
{
    void *piece;
    int error = 0;

    if (posix_memalign (&piece, DIRECT_ALIGNMENT, PIECE) != 0)
        return ENOMEM;
    for (uint64_t done = 0; done < request->len && error == 0; done += PIECE) {
        size_t len = (size_t)MIN (PIECE, request->len - done);
        struct iovec iov = {piece, len};
        VmmBlockRequest part = {
            .op = request->op, .offset = request->offset + done, .len = len, .iov = &iov, .n_iov = 1};

        if (request->op == VMM_BLOCK_WRITE)
            copy_piece (request, done, piece, len, false);
        error = vmm_raw_do (raw, &part, 0);
        if (request->op == VMM_BLOCK_READ && error == 0)
            copy_piece (request, done, piece, len, true);
    }
    free (piece);
    return error;
}

static int
move (VmmRaw *raw, const VmmBlockRequest *request, uint64_t done)
{
    int error = 0;

    if (done == 0 && vmm_raw_needs_copy (raw, request))
        return move_by_copy (raw, request);
    while (done < request->len && error == 0)
        error = move_some (raw, request, &done);
    /* Beyond the end of a file that was cut off there are zeroes. */
    while (error < 0 && done < request->len) {
        struct iovec part;

        if (rest_of (request, done, &part, 1) == 0)
            break;
        memset (part.iov_base, 0, part.iov_len);
        done += part.iov_len;
    }
    return MAX (error, 0);
}

static int
write_zeroes (VmmRaw *raw, const VmmBlockRequest *request)
{
    void *zeroes;
    int error = 0;

    if (posix_memalign (&zeroes, DIRECT_ALIGNMENT, PIECE) != 0)
        return ENOMEM;
    memset (zeroes, 0, PIECE);
    for (uint64_t done = 0; done < request->len && error == 0; done += PIECE) {
        struct iovec iov = {zeroes, (size_t)MIN (PIECE, request->len - done)};
        VmmBlockRequest part = {.op = VMM_BLOCK_WRITE,
                                .offset = request->offset + done,
                                .len = iov.iov_len,
                                .iov = &iov,
                                .n_iov = 1};

        error = vmm_raw_do (raw, &part, 0);
    }
    free (zeroes);
    return error;
}

static int
allocate (VmmRaw *raw, const VmmBlockRequest *request)
{
    int mode = vmm_raw_fallocate_mode (raw, request);
    int error = 0;

    if (mode < 0)
        return 0;
    if (fallocate (raw->fd, mode, (off_t)request->offset, (off_t)request->len) < 0)
        error = errno;
    if (error != EOPNOTSUPP && error != ENODEV)
        return error;
    return request->op == VMM_BLOCK_DISCARD ? 0 : write_zeroes (raw, request);
}

/**
 * vmm_raw_do:
 * @done: of a read or write: how much of it is done already
 *
 * Does a request with plain system calls, on any thread.
 *
 * Returns: 0 or an errno
 */
int
vmm_raw_do (VmmRaw *raw, const VmmBlockRequest *request, uint64_t done)
{
    int error;

    switch (request->op) {
    case VMM_BLOCK_READ:
    case VMM_BLOCK_WRITE:
        return move (raw, request, done);
    case VMM_BLOCK_FLUSH:
        return fdatasync (raw->fd) == 0 ? 0 : errno;
    case VMM_BLOCK_DISCARD:
    case VMM_BLOCK_WRITE_ZEROES:
        error = allocate (raw, request);
        return error == 0 && raw->writethrough && fdatasync (raw->fd) < 0 ? errno : error;
    }
    return EINVAL;
}

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
    uintptr_t bits = 0;

    if (!raw->direct)
        return false;
    for (unsigned i = 0; i < request->n_iov; i++)
        bits |= (uintptr_t)request->iov[i].iov_base | request->iov[i].iov_len;
    return (bits & (raw->alignment - 1)) != 0;
}

static bool
attach (VmmBlock *block, VmmLoop *loop, GError **error)
{
    VmmRaw *raw = (VmmRaw *)block;

    raw->loop = loop;
    raw->engine = &vmm_raw_uring;
    if (!raw->threads_only && raw->engine->attach (raw))
        return true;
    raw->engine = &vmm_raw_threads;
    if (raw->engine->attach (raw))
        return true;
    raw->loop = NULL;
    g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "disk: the host gives no thread for its input and output");
    return false;
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
    else
        raw->engine->submit (raw, request);
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
    raw->loop = NULL;
}

static int
resize (VmmBlock *block, uint64_t size)
{
    VmmRaw *raw = (VmmRaw *)block;
    struct stat st;

    if (raw->base.limits.read_only)
        return EROFS;
    if (size < raw->base.limits.size || size % VMM_BLOCK_SECTOR != 0)
        return EINVAL;
    if (fstat (raw->fd, &st) < 0)
        return errno;
    /* A block device was grown by its owner; here is only taken notice of it. */
    if (S_ISREG (st.st_mode) && ftruncate (raw->fd, (off_t)size) < 0)
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
    raw->alignment = raw->base.limits.block_size;
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
