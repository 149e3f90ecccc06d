/* SPDX-License-Identifier: Apache-2.0 */
/* All that may stand in a scenario: the one table of groups and keys. */
#ifndef CLI_TEST_SCENARIO_KEYS_H
#define CLI_TEST_SCENARIO_KEYS_H

#include <stdbool.h>

#include "scenario-file.h"

/**
 * TestKey:
 * @name: of it
 * @value: the shape of its value: "SECONDS"
 * @fallback: (nullable): the value when there is none, as it would be written
 * @repeats: may be there several times, with words behind it: "copy 2"
 * @summary: one line that says what it does
 */
typedef struct {
    const char *name;
    const char *value;
    const char *fallback;
    bool repeats;
    const char *summary;
} TestKey;

/**
 * TestGroupKind:
 * @name: its first word
 * @named: it has a name behind that, and may be there several times
 * @any: (nullable): what its keys are, when they are not in @keys
 * @keys: with NULL as the last one's name; NULL: see @any, or the machine's
 * @summary: one line that says what it is for
 */
typedef struct {
    const char *name;
    bool named;
    const char *any;
    const TestKey *keys;
    const char *summary;
} TestGroupKind;

const TestGroupKind *test_group_kinds (size_t *ret_n);
const char *test_key_fallback (const char *kind, const char *key);
const char *test_machine_key (const char *key);
bool test_machine_key_repeats (const char *key);
const char *test_machine_refusal (const char *key);
GPtrArray *test_machine_keys (void);
bool test_keys_check (const TestFile *file, GError **error);
char *test_scenario_schema_json (void);

#endif
