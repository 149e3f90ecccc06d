/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_RUN_OUT_H
#define VMM_RUN_OUT_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/chardev/sink.h"

/* So much of a stream's data may be on its way. */
#define VMM_RUN_OUT_WINDOW (256u << 10)

/**
 * VmmRunOut:
 * @taken: called when bytes were written, or dropped because nobody reads: the guest may send so many more
 * @broken: called once with an errno, when nobody reads any more or nothing can be written
 * @user: what these get
 *
 * One of the command's outputs, on its way to a descriptor of the program. Nothing here waits for a reader.
 */
typedef struct {
    VmmCharSink sink;
    GByteArray *pending;
    size_t done; /* of what is pending */
    GMainContext *context;
    GSource *writable; /* NULL while nothing is pending */
    bool is_broken;
    void (*taken) (void *user, size_t len);
    void (*broken) (void *user, int error);
    void *user;
} VmmRunOut;

void vmm_run_out_init (VmmRunOut *out, int fd, GMainContext *context);
void vmm_run_out_clear (VmmRunOut *out);
bool vmm_run_out_put (VmmRunOut *out, const uint8_t *data, size_t len);
bool vmm_run_out_is_empty (const VmmRunOut *out);
void vmm_run_out_flush (VmmRunOut *out, int64_t patience_us);

#endif
