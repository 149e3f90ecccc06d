/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_CHARDEV_SINK_H
#define VMM_DEVICES_CHARDEV_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/**
 * VmmCharSink:
 * @fd: what it was made of, or -1; borrowed
 * @own_fd: our own non-blocking descriptor of what @fd is, or -1
 *
 * Somewhere to write to without ever waiting. One thread at a time.
 */
typedef struct {
    int fd;
    int own_fd;
    int kind;
    bool is_pipe;
} VmmCharSink;

void vmm_char_sink_init (VmmCharSink *sink, int fd);
void vmm_char_sink_close (VmmCharSink *sink);
ssize_t vmm_char_sink_write (VmmCharSink *sink, const uint8_t *data, size_t len);
bool vmm_char_sink_is_loss (const VmmCharSink *sink, int error);
int vmm_char_sink_fd (const VmmCharSink *sink);

#endif
