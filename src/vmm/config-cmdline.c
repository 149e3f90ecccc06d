/* SPDX-License-Identifier: Apache-2.0 */
/* What a kernel is told. */
#include "loader/cmdline.h"
#include "vmm/config-internal.h"

/*
 * The console that a stock kernel finds; a panic that ends the run instead of waiting for a person; and no
 * self-tests of the kernel's own cryptography, which on a distribution's kernel are half of the time until
 * init (a kernel in FIPS mode runs them all the same).
 */
static const char default_cmdline[] = "console=ttyS0 panic=-1 cryptomgr.notests";

/* Behind the others: the last console= is where init reads and writes. */
static void
add_device_words (const VmmConfig *config, GString *line)
{
    for (guint i = 0; i < config->devices->len; i++) {
        const VmmDeviceSpec *spec = config->devices->pdata[i];
        const char *words = spec->kind->cmdline != NULL ? spec->kind->cmdline (spec->description) : NULL;

        if (words == NULL)
            continue;
        g_string_append_printf (line, " %s", words);
        break;
    }
}

/**
 * vmm_config_build_cmdline:
 * @config: a configuration
 *
 * Returns: (transfer full): the command line that a kernel would get: the default one or what replaces it,
 *   with all that was appended
 * Since: 0.1
 */
char *
vmm_config_build_cmdline (const VmmConfig *config)
{
    g_autoptr (GPtrArray) appends = g_ptr_array_new ();
    g_autoptr (GString) line = g_string_new (default_cmdline);

    for (guint i = 0; i < config->appends->len; i++)
        g_ptr_array_add (appends, config->appends->pdata[i]);
    g_ptr_array_add (appends, NULL);
    add_device_words (config, line);
    g_autofree char *users =
        vmm_cmdline_build (line->str, config->cmdline, (const char *const *)appends->pdata);
    return vmm_cmdline_insert (users, config->own != NULL ? config->own : "");
}
