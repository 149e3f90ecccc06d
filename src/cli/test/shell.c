/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A command is typed at a shell that somebody else has started, and its output and status come back in a
 * stream in which there is also the echo of what was typed, perhaps twice and in pieces, prompts, escape
 * sequences, and what the kernel has to say. So the shell is told to print a line before the command and one
 * behind it, with a word that nobody else uses. In what is typed the word has an octal escape: however the
 * line is echoed, it is no mark.
 *
 * The command is one argument of eval, so that quotes that do not match are an error of the command and not
 * of the line around it. An error in eval, a special built-in, would end the whole line in dash and in ash,
 * and "command" before it takes that away (POSIX.1-2017, XCU 2.8.1 and command). It is run in this shell and
 * not in one below it: "cd" lasts. Its input is empty, or it would swallow what is typed next.
 *
 * A message of the kernel may come in the middle of a mark, so there are two at the end. Without the first
 * one the output begins with the echo: that is better than nothing.
 */
#include "shell.h"

#include <string.h>

#include <vmm/vmm.h>

#include "capture.h"

#define OUTPUT_HALF 8192u
#define MARK "VMM-"
#define MARK_TYPED "\\126MM-"
#define EMPTY_INPUT "</$(test -c /dev/null && echo dev/null)"
/* A line with a mark is not longer. */
#define LINE_MAX_LEN 256u

struct _TestShell {
    bool console;
    bool runs;
    char *begin; /* the marks that are waited for */
    char *end;
    unsigned n_commands;
    int status;
    TestCapture *output;
    TestShellTake take; /* NULL: nobody */
    void *user;
    VmmTerminalFilter filter;
    bool line_end_waits; /* the one before a mark is no part of the output */
    size_t len;
    uint8_t line[LINE_MAX_LEN];
};

/**
 * test_shell_new:
 * @console: it is at a terminal, which echoes; else it reads a pipe, and its output is its output alone
 *
 * One thread at a time.
 */
TestShell *
test_shell_new (bool console)
{
    TestShell *shell = g_new0 (TestShell, 1);

    shell->console = console;
    shell->output = test_capture_new (OUTPUT_HALF, OUTPUT_HALF);
    return shell;
}

/**
 * test_shell_free:
 * @shell: (nullable)
 */
void
test_shell_free (TestShell *shell)
{
    if (shell == NULL)
        return;
    g_free (shell->begin);
    g_free (shell->end);
    test_capture_free (shell->output);
    g_free (shell);
}

/**
 * test_shell_watch:
 * @take: gets all of each command's output, from the next one on
 * @user: what it gets
 */
void
test_shell_watch (TestShell *shell, TestShellTake take, void *user)
{
    shell->take = take;
    shell->user = user;
}

static void
keep_output (TestShell *shell, const void *data, size_t len)
{
    test_capture_feed (shell->output, data, len);
    if (shell->take != NULL)
        shell->take (shell->user, data, len);
}

static void
forget_output (TestShell *shell)
{
    if (shell->take != NULL)
        shell->take (shell->user, NULL, 0);
    test_capture_free (shell->output);
    shell->output = test_capture_new (OUTPUT_HALF, OUTPUT_HALF);
    shell->line_end_waits = false;
}

/* In single quotes, which leave all as it is, the shell's history too. */
static void
append_quoted (GString *line, const char *command, bool console)
{
    g_string_append_c (line, '\'');
    for (const char *p = command; *p != '\0'; p++) {
        if (*p == '\'')
            g_string_append (line, "'\\''");
        else if (*p == '\t' && console) /* a line editor would complete a word */
            g_string_append (line, "'\"$(printf '\\t')\"'");
        else
            g_string_append_c (line, *p);
    }
    g_string_append_c (line, '\'');
}

static bool
check_command (const TestShell *shell, const char *command, GError **error)
{
    for (const char *p = command; *p != '\0' && shell->console; p++) {
        if (g_ascii_iscntrl (*p) && *p != '\t') {
            g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                         "the command has a control character (0x%02x), which a terminal takes as a key; "
                         "write it as an escape of printf(1)",
                         (unsigned)*p);
            return false;
        }
    }
    return true;
}

static void
expect_marks (TestShell *shell, const char *word)
{
    g_free (shell->begin);
    g_free (shell->end);
    shell->begin = g_strdup_printf (MARK "%s+", word);
    shell->end = g_strdup_printf (MARK "%s=", word);
    shell->len = 0;
    shell->filter = (VmmTerminalFilter){0};
    shell->runs = true;
    forget_output (shell);
}

/**
 * test_shell_command:
 * @command: one line in the language of sh(1)
 * @error: %VMM_ERROR_USAGE: it cannot be typed
 *
 * Returns: (transfer full) (nullable): what is to be typed when the shell shows its prompt, the key for enter
 *   included
 */
GBytes *
test_shell_command (TestShell *shell, const char *command, GError **error)
{
    g_autofree char *word = NULL;
    g_autoptr (GString) line = NULL;

    if (!check_command (shell, command, error))
        return NULL;
    word = g_strdup_printf ("%08x-%u", (unsigned)g_random_int (), ++shell->n_commands);
    line = g_string_new (NULL);
    g_string_append_printf (line, "printf '\\n" MARK_TYPED "%%s+\\n' %s; command eval ", word);
    append_quoted (line, command, shell->console);
    g_string_append_printf (line, " " EMPTY_INPUT "; printf '\\n" MARK_TYPED "%%s=%%d\\n' %s $? %s $?", word,
                            word);
    g_string_append_c (line, shell->console ? '\r' : '\n');
    if (shell->console && line->len > TEST_SHELL_LINE_MAX) {
        g_set_error (
            error, VMM_ERROR, VMM_ERROR_USAGE,
            "the command is too long for a shell at a terminal: by %zu bytes; put it into a script that "
            "the guest has, or run it in a [guest]",
            line->len - TEST_SHELL_LINE_MAX);
        return NULL;
    }
    expect_marks (shell, word);
    return g_string_free_to_bytes (g_steal_pointer (&line));
}

static void
append_output (TestShell *shell, const uint8_t *data, size_t len)
{
    if (len == 0)
        return;
    if (shell->line_end_waits)
        keep_output (shell, "\n", 1);
    shell->line_end_waits = false;
    keep_output (shell, data, len);
}

static bool
take_status (TestShell *shell, const char *digits)
{
    char *end;
    guint64 status = g_ascii_strtoull (digits, &end, 10);

    /* Something may have come between its digits. */
    if (!g_ascii_isdigit (*digits) || (*end != '\0' && *end != '\r') || status > 255)
        return false;
    shell->status = (int)status;
    shell->runs = false;
    return true;
}

/* Whether the line is a mark. */
static bool
look_for_mark (TestShell *shell)
{
    char line[LINE_MAX_LEN + 1];
    const char *mark;

    if (memmem (shell->line, shell->len, MARK, strlen (MARK)) == NULL)
        return false;
    memcpy (line, shell->line, shell->len);
    line[shell->len] = '\0';
    if (strstr (line, shell->begin) != NULL) {
        forget_output (shell);
        return true;
    }
    mark = strstr (line, shell->end);
    return mark != NULL && take_status (shell, mark + strlen (shell->end));
}

static void
end_line (TestShell *shell)
{
    if (look_for_mark (shell)) {
        shell->len = 0;
        return;
    }
    while (shell->console && shell->len > 0 && shell->line[shell->len - 1] == '\r')
        shell->len--;
    append_output (shell, shell->line, shell->len);
    /* Two line ends, one behind the other. */
    if (shell->line_end_waits)
        keep_output (shell, "\n", 1);
    shell->line_end_waits = true;
    shell->len = 0;
}

static void
take_byte (TestShell *shell, uint8_t byte)
{
    if (shell->console && !vmm_terminal_filter_pass (&shell->filter, byte))
        return;
    if (byte == '\n') {
        end_line (shell);
        return;
    }
    if (shell->len == LINE_MAX_LEN) {
        append_output (shell, shell->line, shell->len);
        shell->len = 0;
    }
    shell->line[shell->len++] = byte;
}

/**
 * test_shell_feed:
 * @data: @len bytes of what the shell's terminal shows, or of its output
 *
 * Returns: whether the command has ended
 */
bool
test_shell_feed (TestShell *shell, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len && shell->runs; i++)
        take_byte (shell, data[i]);
    return !shell->runs;
}

/**
 * test_shell_status:
 *
 * Returns: how the command ended, once it has: 0 to 255, as $? is
 */
int
test_shell_status (const TestShell *shell)
{
    return shell->status;
}

/**
 * test_shell_output:
 * @ret_cut: (nullable): there was more; a line says how much
 *
 * Of a terminal: its text, without escape sequences and without the carriage returns of line ends.
 *
 * Returns: (transfer full): what the command has written, with what else came meanwhile: the first and the
 * last 8 KiB
 */
GBytes *
test_shell_output (const TestShell *shell, bool *ret_cut)
{
    return test_capture_get_bytes (shell->output, ret_cut);
}
