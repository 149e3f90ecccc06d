/* SPDX-License-Identifier: Apache-2.0 */
/* The store's objects: files that are named by what is in them. See kernel-store.c. */
#ifndef CLI_KERNEL_OBJECT_H
#define CLI_KERNEL_OBJECT_H

#include <stdbool.h>
#include <stdint.h>

#include <vmm/vmm.h>

#define KERNEL_HASH_LEN 64

/**
 * KernelObject:
 * @hash: SHA-256 in hexadecimal
 * @size: bytes
 * @sum: of all bytes, for a quick check
 */
typedef struct {
    char hash[KERNEL_HASH_LEN + 1];
    uint64_t size;
    uint64_t sum;
} KernelObject;

typedef enum { KERNEL_OBJECT_GOOD, KERNEL_OBJECT_MISSING, KERNEL_OBJECT_DAMAGED } KernelObjectState;

/* Is told of bytes as they come in. */
typedef void (*KernelProgress) (void *user, size_t bytes);

bool kernel_object_is_hash (const char *text);
char *kernel_object_path (const char *root, const char *hash);
bool kernel_object_add (const char *root, VmmKernelPackage *package, KernelProgress progress, void *user,
                        KernelObject *ret_object, GError **error);
KernelObjectState kernel_object_measure (const char *root, const char *hash, KernelObject *ret_object);
KernelObjectState kernel_object_check_quickly (const char *root, const KernelObject *object);

#endif
