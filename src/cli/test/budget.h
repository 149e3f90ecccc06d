/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_BUDGET_H
#define CLI_TEST_BUDGET_H

#include <stdint.h>

unsigned test_budget_cpus (const char *root);
uint64_t test_budget_memory (const char *root);

#endif
