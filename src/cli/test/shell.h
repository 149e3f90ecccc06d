/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_SHELL_H
#define CLI_TEST_SHELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

/* What a shell that reads a terminal takes for sure: busybox's line editor has room for 1024 bytes. */
#define TEST_SHELL_LINE_MAX 900u

typedef struct _TestShell TestShell;

/* Gets @len bytes of a command's output, as they come; without bytes, NULL: what came before was none of it.
 */
typedef void (*TestShellTake) (void *user, const uint8_t *data, size_t len);

TestShell *test_shell_new (bool console);
void test_shell_free (TestShell *shell);
void test_shell_watch (TestShell *shell, TestShellTake take, void *user);
GBytes *test_shell_command (TestShell *shell, const char *command, GError **error);
bool test_shell_feed (TestShell *shell, const uint8_t *data, size_t len);
int test_shell_status (const TestShell *shell);
GBytes *test_shell_output (const TestShell *shell, bool *ret_cut);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TestShell, test_shell_free)

#endif
