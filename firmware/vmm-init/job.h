/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_INIT_JOB_H
#define VMM_INIT_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "spec.h"

#define JOB_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define JOB_END_MAX 2

/* The command while it runs. Descriptors are -1 where there is none; with a terminal, in and out are the
 * same. */
typedef struct {
    pid_t pid; /* 0 after its end */
    bool pty;
    int in, out, err; /* our ends, which do not block */
} Job;

/*
 * Starts the command. Returns 0, or the errno of what failed after having put into ret_text what that was.
 * Completes the environment of the spec with PATH, HOME and TERM.
 */
int job_start (Job *job, Spec *spec, char *ret_text, size_t size);

void job_signal (const Job *job, int number);
void job_resize (const Job *job, uint16_t rows, uint16_t columns);

/* What to write to a terminal so that its reader sees the end of input. Returns how many bytes; none in raw
 * mode. */
size_t job_end_of_input (const Job *job, bool at_line_start, uint8_t ret_bytes[JOB_END_MAX]);

#endif
