/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_INIT_OUTPUT_H
#define VMM_INIT_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire.h"

/*
 * A process of its own reads the files: it may block, and what it gives is data of a stream like a command's.
 * The archive comes from one descriptor, failures from the other, each as one record.
 */
typedef struct {
    pid_t pid;
    int data, failures;
} Output;

/* Starts to read a path, which is relative to cwd. Returns 0 or an errno. */
int output_start (Output *output, const char *cwd, const char *path);

/* Passes on one record of a failure, if there is one. The wire must have room. */
bool output_pass_failure (Output *output, Wire *wire);

/* Both descriptors are closed after this. */
void output_clear (Output *output);

/* Puts a FILE_FAILED. */
void output_put_failure (Wire *wire, int reason, const char *path);

#endif
