/* SPDX-License-Identifier: Apache-2.0 */
#include "spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *
copy_string (Spec *spec, const uint8_t *bytes, size_t length, char **ret_string)
{
    char *string;

    spec->size += length + 1 + sizeof (char *);
    if (spec->size > VMM_RUN_STRINGS_MAX)
        return "arguments and environment are too long";
    if (memchr (bytes, '\0', length) != NULL)
        return "a string has a NUL in it";
    string = malloc (length + 1);
    if (string == NULL)
        return "no memory";
    memcpy (string, bytes, length);
    string[length] = '\0';
    free (*ret_string);
    *ret_string = string;
    return NULL;
}

static bool
append (Strings *strings, char *string)
{
    if (strings->count + 1 >= strings->room) {
        size_t room = 2 * strings->room + 16;
        char **items = realloc (strings->items, room * sizeof (char *));

        if (items == NULL)
            return false;
        strings->items = items;
        strings->room = room;
    }
    strings->items[strings->count++] = string;
    strings->items[strings->count] = NULL;
    return true;
}

static const char *
take_string (Spec *spec, Strings *strings, const Frame *frame)
{
    char *string = NULL;
    const char *wrong = copy_string (spec, frame->body, frame->length, &string);

    if (wrong == NULL && !append (strings, string)) {
        free (string);
        wrong = "no memory";
    }
    return wrong;
}

static const char *
take_env (Spec *spec, const Frame *frame)
{
    const uint8_t *equals = memchr (frame->body, '=', frame->length);

    if (equals == NULL || equals == frame->body)
        return "a variable of the environment is not NAME=value";
    return take_string (spec, &spec->env, frame);
}

const char *
spec_take (Spec *spec, const Frame *frame)
{
    switch (frame->type) {
    case VMM_RUN_ARG:
        return take_string (spec, &spec->args, frame);
    case VMM_RUN_ENV:
        return take_env (spec, frame);
    case VMM_RUN_OUTPUT:
        return take_string (spec, &spec->outputs, frame);
    case VMM_RUN_CWD:
        return copy_string (spec, frame->body, frame->length, &spec->cwd);
    case VMM_RUN_USER:
        return copy_string (spec, frame->body, frame->length, &spec->user);
    case VMM_RUN_PTY:
        if (frame->length < 4)
            return "a frame is too short";
        spec->pty = true;
        spec->rows = (uint16_t)vmm_run_get16 (frame->body);
        spec->columns = (uint16_t)vmm_run_get16 (frame->body + 2);
        return copy_string (spec, frame->body + 4, frame->length - 4, &spec->term);
    default:
        return "a frame of no known type";
    }
}

const char *
spec_env (const Spec *spec, const char *name)
{
    size_t length = strlen (name);

    for (size_t i = 0; i < spec->env.count; i++) {
        if (strncmp (spec->env.items[i], name, length) == 0 && spec->env.items[i][length] == '=')
            return spec->env.items[i] + length + 1;
    }
    return NULL;
}

void
spec_default_env (Spec *spec, const char *name, const char *value)
{
    size_t size = strlen (name) + strlen (value) + 2;
    char *string = spec_env (spec, name) == NULL ? malloc (size) : NULL;

    if (string == NULL)
        return;
    snprintf (string, size, "%s=%s", name, value);
    if (!append (&spec->env, string))
        free (string);
}
