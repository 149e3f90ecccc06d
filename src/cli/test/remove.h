/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_REMOVE_H
#define CLI_TEST_REMOVE_H

/* What the names of folders begin with that runs have to themselves. */
#define TEST_TMP_PREFIX "vmm-test-"

void test_remove_tree (const char *path);
void test_remove_left (const char *path);

#endif
