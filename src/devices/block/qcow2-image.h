/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An open qcow2 file: synchronous, for one thread at a time but for vmm_qcow2_map(), which any thread may
 * call. The backend in qcow2.c gives it its own thread. Functions return 0 or an errno.
 */
#ifndef VMM_DEVICES_BLOCK_QCOW2_IMAGE_H
#define VMM_DEVICES_BLOCK_QCOW2_IMAGE_H

#include <sys/uio.h>

#include "devices/block/qcow2-header.h"

#define QCOW2_COPIED (UINT64_C (1) << 63)
#define QCOW2_COMPRESSED (UINT64_C (1) << 62)
#define QCOW2_ZERO (UINT64_C (1) << 0)
#define QCOW2_OFFSET_MASK UINT64_C (0x00fffffffffffe00)
#define QCOW2_CHAIN_MAX 32u
#define QCOW2_IOV_MAX 64u

/**
 * VmmQcow2Table:
 * @index: which: of the L1 table, or of the refcount table
 * @dirty: differs from the file
 * @moved: since the last commit it has a new place, where nothing committed refers to
 * @held: (nullable): refcount blocks: bits of the clusters freed since the last commit
 * @data: as in the file
 *
 * An L2 table or a refcount block in memory.
 */
typedef struct {
    uint64_t index;
    bool dirty;
    bool moved;
    uint8_t *held;
    GList link;
    uint64_t data[];
} VmmQcow2Table;

/* Tables by index, the most recently used first. Dirty ones are also in @dirty and are not dropped. */
typedef struct {
    GHashTable *tables;
    GQueue lru;
    GPtrArray *dirty;
    unsigned limit;
} VmmQcow2Cache;

typedef struct _VmmQcow2 VmmQcow2;

/* What is below an image: a raw file or device, or another image, which then owns the descriptor. */
typedef struct {
    int fd;
    uint64_t size;
    VmmQcow2 *image;
} VmmQcow2Backing;

/* A run of clusters. */
typedef struct {
    uint64_t first;
    uint64_t count;
} VmmQcow2Run;

/**
 * VmmQcow2:
 * @path: for messages
 * @fd: through the page cache
 * @file_size: where nothing is any more: behind it reads as zeroes
 * @above: (nullable): while the files behind it are being opened, the image that it is behind
 * @lock: what vmm_qcow2_map() looks at: @l1, the L2 cache, @corrupt, @uncommitted, @metadata
 * @head: the first bytes of the file
 * @l1: host-endian
 * @rt: the refcount table, host-endian
 * @metadata: the clusters that guest data must not touch, as far as they are known
 * @free_hint: no cluster below is free, but those in @recycled
 * @recycled: runs that were free at the last commit
 * @retired: runs that are free when the next commit is done
 * @trimmed: runs of data that were freed since the last commit, for the host's file system
 * @l1_place: clusters of the next L1 table, count 0 before they are chosen
 * @unpacked: the last cluster that was decompressed, whose entry is @unpacked_entry
 */
struct _VmmQcow2 {
    char *path;
    int fd;
    uint64_t file_size;
    bool read_only;
    bool no_sync;
    bool discard;
    unsigned cluster_bits;
    unsigned l2_bits;
    unsigned block_bits;
    uint64_t cluster_size;
    VmmQcow2Backing *backing;
    const VmmQcow2 *above;

    GMutex lock;
    bool corrupt;
    bool uncommitted;
    VmmQcow2Header header;
    uint8_t head[QCOW2_HEADER_SIZE_MAX];
    uint64_t *l1;
    uint64_t *rt;
    uint64_t rt_len;
    VmmQcow2Cache l2s;
    VmmQcow2Cache blocks;
    GHashTable *metadata;

    uint64_t free_hint;
    uint64_t freed_min;
    GArray *recycled;
    GArray *retired;
    GArray *trimmed;
    VmmQcow2Run l1_place;
    VmmQcow2Run rt_place;
    bool l1_retired;
    bool rt_retired;

    uint8_t *unpacked;
    uint64_t unpacked_entry;
};

/* qcow2-image.c */
VmmQcow2 *vmm_qcow2_image_open (const char *path, int fd, bool read_only, GError **error);
VmmQcow2 *vmm_qcow2_image_open_chain (const char *path, int fd, bool read_only, const VmmQcow2 *above,
                                      GError **error);
void vmm_qcow2_image_free (VmmQcow2 *image);
bool vmm_qcow2_image_open_backing (VmmQcow2 *image, GError **error);
int vmm_qcow2_pread (VmmQcow2 *image, void *data, size_t len, uint64_t offset);
int vmm_qcow2_pwrite (VmmQcow2 *image, const void *data, size_t len, uint64_t offset);
uint64_t vmm_qcow2_file_size (const VmmQcow2 *image);
void vmm_qcow2_extend_file (VmmQcow2 *image, uint64_t end);
int vmm_qcow2_sync (VmmQcow2 *image);
int vmm_qcow2_damaged (VmmQcow2 *image);
int vmm_qcow2_grow (VmmQcow2 *image, uint64_t size);

/* qcow2-backing.c */
VmmQcow2Backing *vmm_qcow2_backing_new (const char *path, int fd, bool is_qcow2, const VmmQcow2 *above,
                                        GError **error);
void vmm_qcow2_backing_free (VmmQcow2Backing *backing);
bool vmm_qcow2_open_file (const char *what, const char *path, bool writable, int *ret_fd, GError **error);

/* qcow2-cache.c */
void vmm_qcow2_cache_init (VmmQcow2Cache *cache, unsigned limit);
void vmm_qcow2_cache_clear (VmmQcow2Cache *cache);
VmmQcow2Table *vmm_qcow2_cache_find (VmmQcow2Cache *cache, uint64_t index);
VmmQcow2Table *vmm_qcow2_cache_add (VmmQcow2Cache *cache, uint64_t index, size_t size);
void vmm_qcow2_cache_drop (VmmQcow2Cache *cache, VmmQcow2Table *table);
void vmm_qcow2_cache_set_dirty (VmmQcow2Cache *cache, VmmQcow2Table *table);
void vmm_qcow2_cache_trim (VmmQcow2Cache *cache);

/* qcow2-refcount.c */
int vmm_qcow2_get_refcount (VmmQcow2 *image, uint64_t cluster, uint64_t *ret_count);
int vmm_qcow2_set_refcount (VmmQcow2 *image, uint64_t cluster, uint64_t count);
int vmm_qcow2_alloc (VmmQcow2 *image, uint64_t wanted, bool exact, VmmQcow2Run *ret_run);
int vmm_qcow2_release (VmmQcow2 *image, VmmQcow2Run run, bool is_metadata);

/* qcow2-l2.c */
typedef enum {
    VMM_QCOW2_MISS, /* the table is not in memory */
    VMM_QCOW2_DATA,
    VMM_QCOW2_ZEROES,
    VMM_QCOW2_COMPRESSED_DATA,
    VMM_QCOW2_UNMAPPED, /* no backing file or behind its end: reads as zeroes */
    VMM_QCOW2_BEHIND,   /* in a backing file; only without @deep */
    VMM_QCOW2_BAD,
} VmmQcow2Kind;

/**
 * VmmQcow2Extent:
 * @len: bytes that are of one kind and in one place, at most what was asked for
 * @fd: DATA: the file
 * @host: DATA: where in it; COMPRESSED_DATA: the L2 entry
 * @image: (nullable): whose cluster it is; NULL in a raw backing file
 * @owned: DATA: of the image itself, and referred to just once: may be overwritten
 */
typedef struct {
    VmmQcow2Kind kind;
    uint64_t len;
    int fd;
    uint64_t host;
    VmmQcow2 *image;
    bool owned;
} VmmQcow2Extent;

void vmm_qcow2_map (VmmQcow2 *image, uint64_t offset, uint64_t len, bool deep, VmmQcow2Extent *ret_extent);
int vmm_qcow2_load_l2 (VmmQcow2 *image, uint64_t index, bool create, VmmQcow2Table **ret_table);
uint64_t vmm_qcow2_get_entry (const VmmQcow2Table *table, uint64_t index);
void vmm_qcow2_set_entry (VmmQcow2 *image, VmmQcow2Table *table, uint64_t index, uint64_t entry);
int vmm_qcow2_release_entry (VmmQcow2 *image, uint64_t entry);
void vmm_qcow2_compressed_span (const VmmQcow2 *image, uint64_t entry, uint64_t *ret_offset,
                                uint64_t *ret_len);
bool vmm_qcow2_is_metadata (VmmQcow2 *image, uint64_t offset, uint64_t len);
void vmm_qcow2_add_metadata (VmmQcow2 *image, VmmQcow2Run run);
void vmm_qcow2_remove_metadata (VmmQcow2 *image, VmmQcow2Run run);

/* qcow2-commit.c */
int vmm_qcow2_commit (VmmQcow2 *image);
bool vmm_qcow2_is_full (const VmmQcow2 *image);

/* qcow2-io.c: @iov covers @len bytes from @skip on */
int vmm_qcow2_read (VmmQcow2 *image, uint64_t offset, uint64_t len, const struct iovec *iov, unsigned n_iov,
                    uint64_t skip);
int vmm_qcow2_write (VmmQcow2 *image, uint64_t offset, uint64_t len, const struct iovec *iov, unsigned n_iov,
                     uint64_t skip);
int vmm_qcow2_write_zeroes (VmmQcow2 *image, uint64_t offset, uint64_t len);
int vmm_qcow2_discard (VmmQcow2 *image, uint64_t offset, uint64_t len);
unsigned vmm_qcow2_slice (const struct iovec *iov, unsigned n_iov, uint64_t skip, uint64_t len,
                          struct iovec *ret_slice, unsigned max, uint64_t *ret_len);

/* qcow2-unpack.c */
int vmm_qcow2_unpack (VmmQcow2 *image, uint64_t entry);

/* qcow2-check.c */
typedef struct {
    uint64_t damage;    /* tables and entries that lead nowhere */
    uint64_t errors;    /* clusters with refcounts that are too low */
    uint64_t leaks;     /* clusters with refcounts that are too high */
    uint64_t allocated; /* clusters of the disk that have data */
    bool incomplete;    /* too large to be checked, or with tables that are not known here */
} VmmQcow2CheckResult;

int vmm_qcow2_check (VmmQcow2 *image, VmmQcow2CheckResult *ret_result);
int vmm_qcow2_repair (VmmQcow2 *image, VmmQcow2CheckResult *ret_result);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmQcow2, vmm_qcow2_image_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmQcow2Backing, vmm_qcow2_backing_free)

#endif
