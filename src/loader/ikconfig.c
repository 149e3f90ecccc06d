/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's configuration inside the kernel: gzip data between two marks (Linux: kernel/configs.c,
 * CONFIG_IKCONFIG).
 */
#include "loader/ikconfig.h"

#include "loader/decompress.h"
#include "vmm/error.h"

#define MARK_START "IKCFG_ST"
#define MARK_END "IKCFG_ED"
#define MARK_LEN 8u

/* Stock configurations are a quarter of a megabyte. */
#define CONFIG_MAX ((size_t)4 << 20)

/**
 * vmm_ikconfig_extract:
 * @vmlinux: an unpacked kernel
 * @error: %VMM_ERROR_NOT_BOOTABLE: there is none, or it is damaged; the message is the tail of a sentence
 *
 * Returns: (transfer full): the text, or NULL with @error set
 */
char *
vmm_ikconfig_extract (VmmSpan vmlinux, GError **error)
{
    const uint8_t *start = vmlinux.len == 0 ? NULL : memmem (vmlinux.data, vmlinux.len, MARK_START, MARK_LEN);
    const uint8_t *end = NULL;
    size_t len;

    if (start != NULL) {
        start += MARK_LEN;
        end = memmem (start, (size_t)(vmlinux.data + vmlinux.len - start), MARK_END, MARK_LEN);
    }
    if (end == NULL) {
        g_set_error_literal (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE,
                             "no configuration inside (it was built without CONFIG_IKCONFIG)");
        return NULL;
    }
    g_autofree uint8_t *text = g_malloc (CONFIG_MAX + 1);
    VmmSpan packed = {start, (size_t)(end - start)};
    if (!vmm_decompress (VMM_COMPRESSION_GZIP, packed, text, CONFIG_MAX, &len, error)) {
        g_prefix_error (error, "the configuration inside: ");
        return NULL;
    }
    return g_strndup ((const char *)text, len);
}
