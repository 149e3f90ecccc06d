/* SPDX-License-Identifier: Apache-2.0 */
#include "pvh.h"

#include <stdbool.h>
#include <stddef.h>

static bool
starts_with (const char *text, const char *word)
{
    while (*word != '\0') {
        if (*text++ != *word++)
            return false;
    }
    return true;
}

const char *
pvh_cmdline_value (const StartInfo *info, const char *word)
{
    const char *text = (const char *)(uintptr_t)info->cmdline_gpa;

    if (text == NULL)
        return NULL;
    for (bool at_word = true; *text != '\0'; at_word = *text == ' ', text++) {
        if (at_word && starts_with (text, word)) {
            while (*word++ != '\0')
                text++;
            return text;
        }
    }
    return NULL;
}

uint32_t
pvh_cmdline_number (const StartInfo *info, const char *word, uint32_t otherwise)
{
    const char *text = pvh_cmdline_value (info, word);
    uint32_t number = 0;

    if (text == NULL || *text < '0' || *text > '9')
        return otherwise;
    while (*text >= '0' && *text <= '9')
        number = number * 10 + (uint32_t)(*text++ - '0');
    return number;
}
