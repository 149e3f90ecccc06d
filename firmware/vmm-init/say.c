/* SPDX-License-Identifier: Apache-2.0 */
#include "say.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int kmsg = -1;

void
say_open (void)
{
    if (kmsg < 0)
        kmsg = open ("/dev/kmsg", O_WRONLY | O_APPEND | O_CLOEXEC);
}

void
say (const char *format, ...)
{
    char line[900]; /* the kernel cuts its lines at 1 KiB */
    int used = snprintf (line, sizeof (line), "vmm-init: ");
    va_list args;
    size_t length;

    va_start (args, format);
    vsnprintf (line + used, sizeof (line) - (size_t)used - 1, format, args);
    va_end (args);
    length = strlen (line);
    line[length++] = '\n';
    /* A failure to speak cannot be spoken of. */
    if (write (kmsg >= 0 ? kmsg : STDERR_FILENO, line, length) < 0)
        return;
}
