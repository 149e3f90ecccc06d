/* SPDX-License-Identifier: Apache-2.0 */
/* What commands that boot a machine have in common: its options, the signals, a line for the user. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vmm/vmm.h>

typedef void (*OptionsSeen) (void *user, const char *key, const char *value);

/**
 * OptionsOfVerb:
 * @option: its long name
 * @given: the user gave it
 * @verbs: those it is for, the unused ones NULL
 *
 * An option of a command with verbs, such as "vmm disk create".
 */
typedef struct {
    const char *option;
    bool given;
    const char *verbs[4];
} OptionsOfVerb;

GOptionGroup *options_new_group (VmmConfig *config, const GOptionEntry *own);
GOptionGroup *options_new_watched_group (VmmConfig *config, const GOptionEntry *own, OptionsSeen seen,
                                         void *user);
bool options_parse (GOptionContext *context, int *argc, char ***argv, const char *command, GError **error);
void options_drop_separator (int *argc, char **argv);
bool options_check_verb (const char *verb, const OptionsOfVerb *options, size_t n, GError **error);
bool options_find_kernel (const char *value, char **ret_path, GError **error);
int options_take_signals (void);
void options_allow_closed_stdout (void);
void options_say (bool raw, const char *text);
int64_t options_now_ns (void);

#endif
