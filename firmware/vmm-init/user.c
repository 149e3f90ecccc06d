/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files are read here, not by the C library: its way may lead through name service modules, which a
 * static program has not.
 */
#include "user.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIELDS 7

typedef struct {
    FILE *file;
    char *line;
    size_t size;
    char *fields[FIELDS];
} Table;

static void
table_close (Table *table)
{
    if (table->file != NULL)
        fclose (table->file);
    free (table->line);
}

/* Reads the next line that has at least so many fields. */
static bool
table_next (Table *table, size_t fields)
{
    while (table->file != NULL && getline (&table->line, &table->size, table->file) > 0) {
        char *rest = table->line;
        size_t count = 0;

        rest[strcspn (rest, "\n")] = '\0';
        while (count < FIELDS && (table->fields[count] = strsep (&rest, ":")) != NULL)
            count++;
        if (count >= fields)
            return true;
    }
    return false;
}

static bool
parse_id (const char *text, unsigned int *ret_id)
{
    char *end;
    unsigned long value;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    value = strtoul (text, &end, 10);
    if (*end != '\0' || errno != 0 || value >= (uid_t)-1) /* the last one means "leave it" */
        return false;
    *ret_id = (unsigned int)value;
    return true;
}

/* Puts the name of the entry, if there is one, into ret_name: a number may have none. */
static bool
find_user (User *user, const char *text, char *ret_name, size_t size)
{
    Table table = {.file = fopen ("/etc/passwd", "re")};
    unsigned int number = 0, uid, gid;
    bool is_number = parse_id (text, &number);
    bool found = false;

    while (!found && table_next (&table, 6)) {
        if (!parse_id (table.fields[2], &uid) || !parse_id (table.fields[3], &gid))
            continue;
        found = strcmp (table.fields[0], text) == 0 || (is_number && uid == number);
        if (!found)
            continue;
        user->uid = uid;
        user->gid = gid;
        snprintf (user->home, sizeof (user->home), "%s", table.fields[5]);
        snprintf (ret_name, size, "%s", table.fields[0]);
    }
    table_close (&table);
    if (!found && is_number)
        user->uid = user->gid = number;
    return found || is_number;
}

static bool
find_group (User *user, const char *text)
{
    Table table = {.file = fopen ("/etc/group", "re")};
    unsigned int gid;
    bool found = false;

    while (!found && table_next (&table, 3)) {
        found = strcmp (table.fields[0], text) == 0 && parse_id (table.fields[2], &gid);
        if (found)
            user->gid = gid;
    }
    table_close (&table);
    if (!found && parse_id (text, &gid)) {
        user->gid = gid;
        found = true;
    }
    return found;
}

static bool
is_member (char *members, const char *name)
{
    char *member;

    while ((member = strsep (&members, ",")) != NULL) {
        if (strcmp (member, name) == 0)
            return true;
    }
    return false;
}

static void
find_groups (User *user, const char *name)
{
    Table table = {.file = fopen ("/etc/group", "re")};
    unsigned int gid;

    while (user->count < USER_GROUPS_MAX && table_next (&table, 4)) {
        if (is_member (table.fields[3], name) && parse_id (table.fields[2], &gid))
            user->groups[user->count++] = gid;
    }
    table_close (&table);
}

const char *
user_find (User *ret_user, const char *text)
{
    const char *colon = strchr (text, ':');
    char wanted[256], name[256] = "";
    size_t length = colon != NULL ? (size_t)(colon - text) : strlen (text);

    *ret_user = (User){0};
    if (length == 0 || length >= sizeof (wanted))
        return "no such user";
    memcpy (wanted, text, length);
    wanted[length] = '\0';
    if (!find_user (ret_user, wanted, name, sizeof (name)))
        return "no such user";
    if (colon != NULL && !find_group (ret_user, colon + 1))
        return "no such group";
    if (colon == NULL && name[0] != '\0')
        find_groups (ret_user, name);
    if (ret_user->home[0] == '\0')
        snprintf (ret_user->home, sizeof (ret_user->home), "%s",
                  ret_user->uid == 0 && access ("/root", X_OK) == 0 ? "/root" : "/");
    return NULL;
}
