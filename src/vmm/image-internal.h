/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of vmm_image_open(), for its own files and their tests.
 */
#ifndef VMM_IMAGE_INTERNAL_H
#define VMM_IMAGE_INTERNAL_H

#include "loader/kernel-image.h"
#include "vmm/core/bytes.h"
#include "vmm/image.h"

/* The most options that strings in a kernel tell of. */
#define VMM_IMAGE_SIGNS_MAX 16

/**
 * VmmImageEvidence:
 * @config: the configuration, which begins with a newline; NULL when there is none. Owned
 * @searched: the unpacked kernel was searched for signs
 * @seen: which signs of it were found
 *
 * What is known about how a Linux kernel was built.
 */
typedef struct {
    char *config;
    bool searched;
    bool seen[VMM_IMAGE_SIGNS_MAX];
} VmmImageEvidence;

struct _VmmImage {
    VmmImageFacts facts; /* its strings are literals, or those below */
    char *version;
    char *release;
    char *config_path;
    char *embedded_config; /* NULL when there is none */
    VmmImageEvidence evidence;
    const char *entry_failure; /* why the default entry does not work; NULL when it does */
    VmmCompression compression;
    GPtrArray *checks; /* of VmmImageCheck, whose strings but id and title it owns */
};

/* image-evidence.c */
bool vmm_image_config_is_complete (const char *text);
bool vmm_image_config_is_of (const char *text, const char *release);
void vmm_image_evidence_set_config (VmmImageEvidence *evidence, const char *text);
void vmm_image_evidence_search (VmmImageEvidence *evidence, VmmSpan vmlinux);
VmmImageAnswer vmm_image_evidence_ask (const VmmImageEvidence *evidence, const char *option,
                                       VmmImageBasis *ret_basis);
uint64_t vmm_image_evidence_number (const VmmImageEvidence *evidence, const char *option);
void vmm_image_evidence_clear (VmmImageEvidence *evidence);

/* image-config.c */
char *vmm_image_config_load (const char *path, GError **error);
char *vmm_image_config_find_beside (const char *kernel, const char *release, char **ret_text);

/* image-checks.c */
void vmm_image_judge (VmmImage *image);

#endif
