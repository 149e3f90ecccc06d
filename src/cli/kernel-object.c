/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel-object.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "write-all.h"

#define PIECE ((size_t)64 << 10) /* stays in the cache */
#define LANES 4u

/**
 * Sum:
 *
 * Four lanes, each of which takes every fourth word by steps that can be undone: a lane whose word differs
 * differs at the end. It finds damage, at the speed of memory, and not malice: SHA-256 takes twenty times as
 * long, which a kernel's start would show.
 */
typedef struct {
    uint64_t lane[LANES];
    uint8_t rest[LANES * 8];
    size_t n_rest;
} Sum;

static void
sum_block (Sum *sum, const uint8_t *bytes)
{
    for (unsigned i = 0; i < LANES; i++) {
        uint64_t word;

        memcpy (&word, bytes + i * sizeof word, sizeof word);
        word ^= sum->lane[i];
        sum->lane[i] = (word << 29 | word >> 35) * UINT64_C (0x9e3779b97f4a7c15);
    }
}

static void
sum_add (Sum *sum, const uint8_t *bytes, size_t len)
{
    while (len > 0 && (sum->n_rest > 0 || len < sizeof sum->rest)) {
        size_t n = MIN (len, sizeof sum->rest - sum->n_rest);

        memcpy (sum->rest + sum->n_rest, bytes, n);
        sum->n_rest += n;
        bytes += n;
        len -= n;
        if (sum->n_rest < sizeof sum->rest)
            return;
        sum_block (sum, sum->rest);
        sum->n_rest = 0;
    }
    for (; len >= sizeof sum->rest; len -= sizeof sum->rest, bytes += sizeof sum->rest)
        sum_block (sum, bytes);
    memcpy (sum->rest, bytes, len);
    sum->n_rest = len;
}

static uint64_t
sum_end (Sum *sum)
{
    uint64_t end = 0;

    memset (sum->rest + sum->n_rest, 0, sizeof sum->rest - sum->n_rest);
    sum_block (sum, sum->rest);
    for (unsigned i = 0; i < LANES; i++)
        end = (end ^ sum->lane[i]) * UINT64_C (0xbf58476d1ce4e5b9) + i;
    return end ^ end >> 31;
}

/**
 * kernel_object_is_hash:
 *
 * Returns: whether @text can be an object's name
 */
bool
kernel_object_is_hash (const char *text)
{
    return strlen (text) == KERNEL_HASH_LEN && strspn (text, "0123456789abcdef") == KERNEL_HASH_LEN;
}

/**
 * kernel_object_path:
 * @root: the store's folder
 * @hash: an object's
 *
 * Returns: (transfer full): where it is, or would be
 */
char *
kernel_object_path (const char *root, const char *hash)
{
    return g_strdup_printf ("%s/objects/%.2s/%s", root, hash, hash);
}

static bool
fail (const char *path, GError **error)
{
    g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "kernel store: \"%s\": %s", path, g_strerror (errno));
    return false;
}

static bool
copy_in (int fd, const char *path, VmmKernelPackage *package, KernelProgress progress, void *user,
         KernelObject *object, GError **error)
{
    g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
    Sum sum = {0};
    const void *bytes;
    size_t len;

    object->size = 0;
    for (;;) {
        if (!vmm_kernel_package_read (package, &bytes, &len, error))
            return false;
        if (len == 0)
            break;
        if (!write_all (fd, bytes, len))
            return fail (path, error);
        g_checksum_update (checksum, bytes, (gssize)len);
        sum_add (&sum, bytes, len);
        object->size += len;
        if (progress != NULL)
            progress (user, len);
    }
    g_strlcpy (object->hash, g_checksum_get_string (checksum), sizeof object->hash);
    object->sum = sum_end (&sum);
    return true;
}

/* Over one that is there: that may be damaged, and this one is not. */
static bool
move_in (const char *root, const char *from, const char *hash, GError **error)
{
    g_autofree char *to = kernel_object_path (root, hash);
    g_autofree char *folder = g_path_get_dirname (to);

    if (mkdir (folder, 0777) < 0 && errno != EEXIST)
        return fail (folder, error);
    return rename (from, to) == 0 || fail (to, error);
}

/**
 * kernel_object_add:
 * @root: the store's folder
 * @package: its present file is stored, none of which was read
 * @progress: (nullable): is told of bytes
 * @ret_object: what it became
 *
 * The caller holds the lock of the objects shared, and has it written to disk before it relies on it.
 *
 * Returns: false on failure, and nothing is left
 */
bool
kernel_object_add (const char *root, VmmKernelPackage *package, KernelProgress progress, void *user,
                   KernelObject *ret_object, GError **error)
{
    g_autofree char *path = g_strdup_printf ("%s/tmp/object-XXXXXX", root);
    KernelObject object = {{0}, 0, 0};
    int fd = g_mkstemp_full (path, O_RDWR | O_CLOEXEC, 0444); /* nobody writes to it any more */
    bool ok;

    if (fd < 0)
        return fail (path, error);
    ok = copy_in (fd, path, package, progress, user, &object, error);
    if (close (fd) < 0 && ok)
        ok = fail (path, error);
    ok = ok && move_in (root, path, object.hash, error);
    if (ok)
        *ret_object = object;
    else
        g_unlink (path);
    return ok;
}

/* Reads all of an object into what the caller wants. */
static KernelObjectState
read_object (const char *root, const char *hash, GChecksum *checksum, Sum *sum, uint64_t *ret_size)
{
    g_autofree char *path = kernel_object_path (root, hash);
    g_autofree uint8_t *piece = g_malloc (PIECE);
    int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n;

    if (fd < 0)
        return errno == ENOENT ? KERNEL_OBJECT_MISSING : KERNEL_OBJECT_DAMAGED;
    *ret_size = 0;
    while ((n = read (fd, piece, PIECE)) > 0) {
        *ret_size += (uint64_t)n;
        if (checksum != NULL)
            g_checksum_update (checksum, piece, n);
        sum_add (sum, piece, (size_t)n);
    }
    close (fd);
    return n == 0 ? KERNEL_OBJECT_GOOD : KERNEL_OBJECT_DAMAGED;
}

/**
 * kernel_object_measure:
 * @root: the store's folder
 * @hash: an object's
 * @ret_object: what is known of it; written when it is good
 *
 * Returns: whether it is what its name says
 */
KernelObjectState
kernel_object_measure (const char *root, const char *hash, KernelObject *ret_object)
{
    g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
    Sum sum = {0};
    uint64_t size;
    KernelObjectState state = read_object (root, hash, checksum, &sum, &size);

    if (state != KERNEL_OBJECT_GOOD)
        return state;
    if (strcmp (g_checksum_get_string (checksum), hash) != 0)
        return KERNEL_OBJECT_DAMAGED;
    *ret_object = (KernelObject){.size = size, .sum = sum_end (&sum)};
    g_strlcpy (ret_object->hash, hash, sizeof ret_object->hash);
    return KERNEL_OBJECT_GOOD;
}

/**
 * kernel_object_check_quickly:
 * @root: the store's folder
 * @object: as it was
 *
 * Returns: whether it still is, short of malice
 */
KernelObjectState
kernel_object_check_quickly (const char *root, const KernelObject *object)
{
    Sum sum = {0};
    uint64_t size;
    KernelObjectState state = read_object (root, object->hash, NULL, &sum, &size);

    return state == KERNEL_OBJECT_GOOD && (size != object->size || sum_end (&sum) != object->sum)
               ? KERNEL_OBJECT_DAMAGED
               : state;
}
