/* SPDX-License-Identifier: Apache-2.0 */
/* libarchive is loaded when there is an archive to read: all else starts faster, and does without it. */
#include "loader/archive-library.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#include "vmm/error.h"

#define LIBRARY "libarchive.so.13"
#define AT(member) offsetof (VmmArchiveLibrary, member)

/* Named one by one: "all" would have a filter of libarchive's run programs on what it is given. */
static const struct {
    const char *name;
    size_t at;
} symbols[] = {
    {"archive_read_new", AT (make)},
    {"archive_read_free", AT (free)},
    {"archive_read_open_fd", AT (open_fd)},
    {"archive_read_open", AT (open_callbacks)},
    {"archive_read_next_header", AT (next_header)},
    {"archive_read_data_block", AT (data_block)},
    {"archive_format", AT (format)},
    {"archive_error_string", AT (error_string)},
    {"archive_set_error", AT (set_error)},
    {"archive_entry_pathname", AT (pathname)},
    {"archive_entry_pathname_utf8", AT (pathname_utf8)},
    {"archive_entry_hardlink", AT (hardlink)},
    {"archive_entry_hardlink_utf8", AT (hardlink_utf8)},
    {"archive_entry_symlink", AT (symlink)},
    {"archive_entry_symlink_utf8", AT (symlink_utf8)},
    {"archive_entry_mode", AT (mode)},
    {"archive_entry_uid", AT (uid)},
    {"archive_entry_gid", AT (gid)},
    {"archive_entry_mtime", AT (mtime)},
    {"archive_entry_size", AT (size)},
    {"archive_entry_rdevmajor", AT (rdevmajor)},
    {"archive_entry_rdevminor", AT (rdevminor)},
    {"archive_read_support_format_tar", AT (formats[0])},
    {"archive_read_support_format_cpio", AT (formats[1])},
    {"archive_read_support_format_ar", AT (formats[2])},
    {"archive_read_support_filter_gzip", AT (filters[0])},
    {"archive_read_support_filter_bzip2", AT (filters[1])},
    {"archive_read_support_filter_xz", AT (filters[2])},
    {"archive_read_support_filter_lzma", AT (filters[3])},
    {"archive_read_support_filter_zstd", AT (filters[4])},
    {"archive_read_support_filter_lz4", AT (filters[5])},
    {"archive_read_support_filter_lzip", AT (filters[6])},
    {"archive_read_support_filter_compress", AT (filters[7])},
};

/**
 * vmm_archive_library_open:
 * @library: (out): to be closed by vmm_archive_library_close()
 * @error: %VMM_ERROR_HOST
 *
 * Returns: false when there is none
 */
bool
vmm_archive_library_open (VmmArchiveLibrary *library, GError **error)
{
    *library = (VmmArchiveLibrary){.handle = dlopen (LIBRARY, RTLD_NOW | RTLD_LOCAL)};
    if (library->handle == NULL) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST,
                     "%s: if it is not installed, install it (Debian: apt install libarchive13)", dlerror ());
        return false;
    }
    for (size_t i = 0; i < G_N_ELEMENTS (symbols); i++) {
        void *function = dlsym (library->handle, symbols[i].name);
        if (function == NULL) {
            vmm_archive_library_close (library);
            g_set_error (error, VMM_ERROR, VMM_ERROR_HOST,
                         LIBRARY " has no %s: version 3.3.3 is the first that will do", symbols[i].name);
            return false;
        }
        /* ISO C knows no way from a data pointer to a function; POSIX has dlsym() give one. */
        memcpy ((char *)library + symbols[i].at, &function, sizeof function);
    }
    return true;
}

/**
 * vmm_archive_library_close:
 * @library: open, or all zeroes
 */
void
vmm_archive_library_close (VmmArchiveLibrary *library)
{
    if (library->handle != NULL)
        dlclose (library->handle);
    *library = (VmmArchiveLibrary){0};
}
