/* SPDX-License-Identifier: Apache-2.0 */
/* libslirp is loaded when a machine wants it: all others start faster, and do without it. */
#include "devices/net/user-internal.h"

#include <dlfcn.h>
#include <string.h>

#include "vmm/error.h"

#define LIBRARY "libslirp.so.0"

/* ISO C knows no way from a data pointer to a function; POSIX has dlsym() give one. */
static bool
find (void *handle, const char *name, void *ret_function)
{
    void *function = dlsym (handle, name);

    memcpy (ret_function, &function, sizeof function);
    return function != NULL;
}

/**
 * vmm_net_user_library_open:
 * @library: (out): to be closed by vmm_net_user_library_close()
 *
 * Returns: false with %VMM_ERROR_HOST when there is none
 */
bool
vmm_net_user_library_open (VmmNetUserLibrary *library, GError **error)
{
    library->handle = dlopen (LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library->handle == NULL) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST,
                     "net user: %s: if it is not installed, install it (Debian: apt install libslirp0)",
                     dlerror ());
        return false;
    }
    if (find (library->handle, "slirp_new", &library->make) &&
        find (library->handle, "slirp_cleanup", &library->cleanup) &&
        find (library->handle, "slirp_pollfds_fill", &library->fill) &&
        find (library->handle, "slirp_pollfds_poll", &library->poll) &&
        find (library->handle, "slirp_input", &library->input) &&
        find (library->handle, "slirp_add_hostfwd", &library->add_hostfwd))
        return true;
    g_set_error (error, VMM_ERROR, VMM_ERROR_HOST,
                 "net user: " LIBRARY " is too old: version 4.1 is the first that will do");
    return false;
}

/**
 * vmm_net_user_library_close:
 * @library: open, or all zeroes
 */
void
vmm_net_user_library_close (VmmNetUserLibrary *library)
{
    if (library->handle != NULL)
        dlclose (library->handle);
    *library = (VmmNetUserLibrary){0};
}
