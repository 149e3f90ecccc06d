/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_CORE_NEW_FILE_H
#define VMM_CORE_NEW_FILE_H

#include <stdbool.h>
#include <sys/types.h>

#define VMM_NEW_FILE_NAME_SIZE 32u

/**
 * VmmNewFile:
 * @folder_fd: where it goes; not owned
 * @fd: to write it; -1: there is none
 * @name: what it is called meanwhile; "": it has no name
 *
 * A file that gets its name when it is whole: nobody finds half of one, and SIGKILL leaves nothing. Where the
 * file system has no files without a name, it has another one until then.
 */
typedef struct {
    int folder_fd;
    int fd;
    char name[VMM_NEW_FILE_NAME_SIZE];
} VmmNewFile;

bool vmm_new_file_open (VmmNewFile *file, int folder_fd, mode_t mode);
bool vmm_new_file_publish (VmmNewFile *file, const char *name, bool replace);
void vmm_new_file_clear (VmmNewFile *file);
bool vmm_new_file_choose_name (char name[VMM_NEW_FILE_NAME_SIZE]);

#endif
