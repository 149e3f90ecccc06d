/* SPDX-License-Identifier: Apache-2.0 */
#include "port.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PORTS "/sys/class/virtio-ports"
#define PATIENCE_MS 10000
#define MOMENT_MS 5

static bool
has_name (const char *entry, const char *name)
{
    char path[512], text[128] = "";
    FILE *file;

    snprintf (path, sizeof (path), PORTS "/%s/name", entry);
    file = fopen (path, "re");
    if (file != NULL) {
        if (fgets (text, sizeof (text), file) == NULL)
            text[0] = '\0';
        fclose (file);
    }
    text[strcspn (text, "\n")] = '\0';
    return strcmp (text, name) == 0;
}

static int
try_open (const char *name)
{
    DIR *ports = opendir (PORTS);
    struct dirent *entry;
    char path[512];
    int fd = -1;

    while (fd < 0 && ports != NULL && (entry = readdir (ports)) != NULL) {
        if (entry->d_name[0] == '.' || !has_name (entry->d_name, name))
            continue;
        snprintf (path, sizeof (path), "/dev/%s", entry->d_name);
        fd = open (path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    }
    if (ports != NULL)
        closedir (ports);
    return fd;
}

/* The driver shows a port that has nobody at its other end as hung up. */
static bool
is_connected (int fd)
{
    struct pollfd state = {.fd = fd, .events = POLLOUT};

    return poll (&state, 1, 0) >= 0 && (state.revents & POLLHUP) == 0;
}

int
port_open (const char *name)
{
    static const struct timespec moment = {.tv_nsec = MOMENT_MS * 1000000L};
    int fd = -1;

    for (int left = PATIENCE_MS; left > 0; left -= MOMENT_MS) {
        if (fd < 0)
            fd = try_open (name);
        if (fd >= 0 && is_connected (fd))
            return fd;
        nanosleep (&moment, NULL);
    }
    if (fd >= 0)
        close (fd);
    return -1;
}
