/* SPDX-License-Identifier: Apache-2.0 */
#include "write-all.h"

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

/**
 * write_all:
 * @fd: a file, or something else that takes bytes
 * @data: @len bytes
 *
 * Writes until all is written, through interruptions by signals. One that does not block and is full is an
 * error.
 *
 * Returns: false with errno, when some of it may have been written
 */
bool
write_all (int fd, const void *data, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = write (fd, (const uint8_t *)data + done, len - done);

        if (n < 0 && errno != EINTR)
            return false;
        done += n > 0 ? (size_t)n : 0;
    }
    return true;
}
