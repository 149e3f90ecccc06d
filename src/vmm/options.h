/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The values of device keys: words with commas between them, "a.img,format=raw,readonly". A word is
 * NAME=VALUE or a flag; the first may be neither. A comma in a value is written twice. What is asked for is
 * taken out, so that what is left at the end is what nobody knows.
 */
#ifndef VMM_OPTIONS_H
#define VMM_OPTIONS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    const char *key; /* for messages; borrowed */
    char *text;      /* the whole value */
    GPtrArray *words;
} VmmOptions;

void vmm_options_init (VmmOptions *options, const char *key, const char *value);
void vmm_options_clear (VmmOptions *options);
char *vmm_options_take_first (VmmOptions *options);
char *vmm_options_take (VmmOptions *options, const char *name);
GPtrArray *vmm_options_take_each (VmmOptions *options, const char *name);
bool vmm_options_take_flag (VmmOptions *options, const char *name, bool *ret_value, GError **error);
bool vmm_options_take_unsigned (VmmOptions *options, const char *name, uint64_t min, uint64_t max,
                                uint64_t *ret_value, GError **error);
bool vmm_options_take_size (VmmOptions *options, const char *name, uint64_t *ret_value, GError **error);
bool vmm_options_take_choice (VmmOptions *options, const char *name, const char *const *choices,
                              unsigned *ret_index, GError **error);
bool vmm_options_finish (VmmOptions *options, const char *known, GError **error);
bool vmm_options_refuse (const VmmOptions *options, GError **error, const char *format, ...)
    G_GNUC_PRINTF (3, 4);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (VmmOptions, vmm_options_clear)

#endif
