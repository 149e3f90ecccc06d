/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_INIT_SPEC_H
#define VMM_INIT_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

typedef struct {
    char **items; /* ends with NULL */
    size_t count, room;
} Strings;

/* The job as the host describes it, before START. */
typedef struct {
    Strings args, env, outputs;
    char *cwd, *user, *term;
    bool pty;
    uint16_t rows, columns;
    size_t size; /* of all strings, as VMM_RUN_STRINGS_MAX counts */
} Spec;

/* Takes a frame of ARG to OUTPUT. Returns NULL, or what is wrong with it. */
const char *spec_take (Spec *spec, const Frame *frame);

/* Adds NAME=value unless that name is there. */
void spec_default_env (Spec *spec, const char *name, const char *value);

/* The value of a variable of the job, or NULL. */
const char *spec_env (const Spec *spec, const char *name);

#endif
