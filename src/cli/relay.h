/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_RELAY_H
#define CLI_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

typedef void (*RelayFunc) (void *user, const uint8_t *data, size_t len);

typedef struct _Relay Relay;

Relay *relay_new (int out_fd, RelayFunc seen, void *user, GError **error);
void relay_free (Relay *relay);
int relay_get_fd (const Relay *relay);
void relay_start (Relay *relay);
void relay_look (Relay *relay);
void relay_finish (Relay *relay);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Relay, relay_free)

#endif
