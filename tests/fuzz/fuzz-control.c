/* SPDX-License-Identifier: Apache-2.0 */
/* Lines for a control socket: each is answered by one JSON object in one line, which says whether it was
 * done. */
#include <jansson.h>
#include <string.h>

#include "fake-machine.h"
#include "vmm/control-request.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t len);

static void
check_answer (const char *text)
{
    json_t *answer = json_loads (text, JSON_REJECT_DUPLICATES, NULL);

    if (answer == NULL || !json_is_boolean (json_object_get (answer, "ok")) || strchr (text, '\n') != NULL)
        __builtin_trap ();
    if (json_is_false (json_object_get (answer, "ok")) && !json_is_string (json_object_get (answer, "error")))
        __builtin_trap ();
    json_decref (answer);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t len)
{
    VmmMachine machine = {.state = VMM_MACHINE_RUNNING};
    const char *line = (const char *)data;
    const char *end = line + len;

    while (line < end) {
        const char *newline = memchr (line, '\n', (size_t)(end - line));
        size_t n = (size_t)((newline != NULL ? newline : end) - line);
        bool events = false;
        g_autofree char *answer = vmm_control_answer (&machine, line, n, &events);

        check_answer (answer);
        line += n + 1;
    }
    return 0;
}
