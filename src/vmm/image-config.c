/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel's configuration in a file of its own: distributions put it beside the kernel, and a build tree has
 * it at its top.
 */
#include "vmm/image-internal.h"

#include <stdlib.h>
#include <string.h>

#include "vmm/error.h"
#include "vmm/mapped-file.h"

/* Stock configurations are a quarter of a megabyte. */
#define CONFIG_MAX ((size_t)4 << 20)

/**
 * vmm_image_config_load:
 * @path: a file
 * @error: %VMM_ERROR_USAGE
 *
 * Returns: (transfer full): its text; NULL when it is not the configuration of an x86-64 Linux kernel
 */
char *
vmm_image_config_load (const char *path, GError **error)
{
    g_auto (VmmMappedFile) file = {0};

    if (!vmm_mapped_file_open ("kconfig", path, &file, error))
        return NULL;
    g_autofree char *text = file.len <= CONFIG_MAX ? g_strndup (file.map, file.len) : NULL;
    if (text == NULL || !vmm_image_config_is_complete (text)) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "kconfig \"%s\": not the complete configuration of an x86-64 Linux kernel (no line says "
                     "CONFIG_X86_64=y); give the file .config of its build",
                     path);
        return NULL;
    }
    return g_steal_pointer (&text);
}

static bool
in_boot_folder (const char *folder)
{
    return g_str_has_suffix (folder, "arch/x86/boot") || g_str_has_suffix (folder, "arch/x86_64/boot");
}

/* Where the configuration of @kernel may be, best first. */
static GPtrArray *
list_places (const char *kernel)
{
    GPtrArray *places = g_ptr_array_new_with_free_func (g_free);
    g_autofree char *folder = g_path_get_dirname (kernel);
    g_autofree char *name = g_path_get_basename (kernel);
    const char *dash = strchr (name, '-');

    /* Debian, Fedora, Gentoo and others: vmlinuz-VERSION and config-VERSION. */
    if (dash != NULL)
        g_ptr_array_add (places, g_strconcat (folder, "/config", dash, NULL));
    g_ptr_array_add (places, g_strconcat (kernel, ".config", NULL));
    /* /lib/modules/VERSION/vmlinuz */
    g_ptr_array_add (places, g_strconcat (folder, "/config", NULL));
    if (in_boot_folder (folder))
        g_ptr_array_add (places, g_strconcat (folder, "/../../../.config", NULL));
    g_ptr_array_add (places, g_strconcat (folder, "/.config", NULL));
    return places;
}

static char *
find_in (GPtrArray *places, const char *release, char **ret_text)
{
    for (guint i = 0; i < places->len; i++) {
        const char *place = places->pdata[i];
        g_autofree char *text = NULL;
        if (!g_file_test (place, G_FILE_TEST_IS_REGULAR))
            continue;
        text = vmm_image_config_load (place, NULL);
        if (text == NULL || !vmm_image_config_is_of (text, release))
            continue;
        *ret_text = g_steal_pointer (&text);
        return g_strdup (place);
    }
    return NULL;
}

/**
 * vmm_image_config_find_beside:
 * @kernel: path of a kernel; a symbolic link is followed
 * @release: (nullable): its version: a configuration that says another one is not taken
 * @ret_text: (transfer full): the configuration
 *
 * Returns: (transfer full) (nullable): the path of the configuration; NULL when there is none
 */
char *
vmm_image_config_find_beside (const char *kernel, const char *release, char **ret_text)
{
    g_autoptr (GPtrArray) places = list_places (kernel);
    char *found = find_in (places, release, ret_text);

    if (found != NULL || !g_file_test (kernel, G_FILE_TEST_IS_SYMLINK))
        return found;
    char *real = realpath (kernel, NULL);
    if (real == NULL)
        return NULL;
    g_autoptr (GPtrArray) real_places = list_places (real);
    free (real);
    return find_in (real_places, release, ret_text);
}
