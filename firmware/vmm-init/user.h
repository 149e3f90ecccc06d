/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_INIT_USER_H
#define VMM_INIT_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define USER_GROUPS_MAX 64

typedef struct {
    uid_t uid;
    gid_t gid;
    size_t count;
    gid_t groups[USER_GROUPS_MAX]; /* supplementary */
    char home[256];
} User;

/*
 * Finds a user by NAME, UID, NAME:GROUP and so on in /etc/passwd and /etc/group. A number needs no entry
 * there. An explicit group is the only one; else the user has those that the files give. Returns NULL, or
 * what is wrong.
 */
const char *user_find (User *ret_user, const char *text);

#endif
