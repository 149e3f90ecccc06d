/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_LOADER_ARCHIVE_LIBRARY_H
#define VMM_LOADER_ARCHIVE_LIBRARY_H

#include <archive.h>
#include <archive_entry.h>
#include <glib.h>
#include <stdbool.h>

/* What we call of libarchive. Its type, its name in the library without "archive_", and how we call it. */
typedef struct {
    void *handle;
    __typeof__ (archive_read_new) *make;
    __typeof__ (archive_read_free) *free;
    __typeof__ (archive_read_open_fd) *open_fd;
    __typeof__ (archive_read_open) *open_callbacks;
    __typeof__ (archive_read_next_header) *next_header;
    __typeof__ (archive_read_data_block) *data_block;
    __typeof__ (archive_format) *format;
    __typeof__ (archive_error_string) *error_string;
    __typeof__ (archive_set_error) *set_error;
    __typeof__ (archive_entry_pathname) *pathname;
    __typeof__ (archive_entry_pathname_utf8) *pathname_utf8;
    __typeof__ (archive_entry_hardlink) *hardlink;
    __typeof__ (archive_entry_hardlink_utf8) *hardlink_utf8;
    __typeof__ (archive_entry_symlink) *symlink;
    __typeof__ (archive_entry_symlink_utf8) *symlink_utf8;
    __typeof__ (archive_entry_mode) *mode;
    __typeof__ (archive_entry_uid) *uid;
    __typeof__ (archive_entry_gid) *gid;
    __typeof__ (archive_entry_mtime) *mtime;
    __typeof__ (archive_entry_size) *size;
    __typeof__ (archive_entry_rdevmajor) *rdevmajor;
    __typeof__ (archive_entry_rdevminor) *rdevminor;
    /* Formats and filters; all have one type. The last is NULL. */
    int (*formats[4]) (struct archive *);
    int (*filters[9]) (struct archive *);
} VmmArchiveLibrary;

bool vmm_archive_library_open (VmmArchiveLibrary *library, GError **error);
void vmm_archive_library_close (VmmArchiveLibrary *library);

#endif
