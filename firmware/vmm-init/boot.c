/* SPDX-License-Identifier: Apache-2.0 */
#include "boot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "say.h"

#define SIZE_MAX_BOOT (1u << 20)

/* Returns the next word of a line, or NULL, and moves on behind it. */
static char *
next_word (char **line)
{
    char *word = *line + strspn (*line, " \t");

    if (*word == '\0')
        return NULL;
    *line = word + strcspn (word, " \t");
    if (**line != '\0')
        *(*line)++ = '\0';
    return word;
}

static void
load_module (const char *path, const char *parameters)
{
    int fd = open (path, O_RDONLY | O_CLOEXEC);

    /* Built in, loaded before, or for hardware that is not there: all fine. */
    if (fd < 0 || (syscall (SYS_finit_module, fd, parameters, 0) < 0 && errno != EEXIST && errno != ENODEV))
        say ("module %s: %s", path, strerror (errno));
    if (fd >= 0)
        close (fd);
}

static void
take_line (Boot *boot, char *line)
{
    char *key = next_word (&line);
    char *word, *value = key != NULL && key[0] != '#' ? next_word (&line) : NULL;

    if (key == NULL || key[0] == '#')
        return;
    if (value == NULL) {
        say ("boot file: %s: a value is missing", key);
    } else if (strcmp (key, "module") == 0) {
        load_module (value, line + strspn (line, " \t"));
    } else if (strcmp (key, "root") == 0) {
        boot->root_device = value;
        word = next_word (&line);
        boot->root_readonly = word != NULL && strcmp (word, "ro") == 0;
    } else if (strcmp (key, "net") == 0) {
        boot->iface = value;
        boot->address = next_word (&line);
        boot->gateway = next_word (&line);
        boot->dns = next_word (&line);
    } else if (strcmp (key, "hostname") == 0) {
        boot->hostname = value;
    } else if (strcmp (key, "keep") == 0 && strcmp (value, "/run") == 0) {
        boot->keep_run = true;
    } else {
        say ("boot file: %s: not known", key);
    }
}

/* Returns the text of a file, or NULL with errno set. */
static char *
read_text (const char *path)
{
    int fd = open (path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    char *text = NULL;
    size_t used = 0;
    ssize_t got = -1;

    if (fd < 0)
        return NULL;
    if (fstat (fd, &st) < 0 || st.st_size > SIZE_MAX_BOOT)
        errno = EFBIG;
    else
        text = malloc ((size_t)st.st_size + 1);
    while (text != NULL && used < (size_t)st.st_size &&
           (got = read (fd, text + used, (size_t)st.st_size - used)) > 0)
        used += (size_t)got;
    close (fd);
    if (text != NULL)
        text[used] = '\0';
    return text;
}

void
boot_read (Boot *boot, const char *path)
{
    char *line, *rest;

    *boot = (Boot){.text = read_text (path)};
    if (boot->text == NULL)
        say ("%s: %s", path, strerror (errno));
    for (rest = boot->text; rest != NULL && (line = strsep (&rest, "\n")) != NULL;)
        take_line (boot, line);
}
