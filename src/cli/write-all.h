/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_WRITE_ALL_H
#define CLI_WRITE_ALL_H

#include <stdbool.h>
#include <stddef.h>

bool write_all (int fd, const void *data, size_t len);

#endif
