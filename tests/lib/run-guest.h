/* SPDX-License-Identifier: Apache-2.0 */
/* Frames as vmm-init would send them, or would not. */
#ifndef TESTS_LIB_RUN_GUEST_H
#define TESTS_LIB_RUN_GUEST_H

#include <glib.h>
#include <string.h>

#include "vmm-init/protocol.h"

static inline void
guest_put (GByteArray *bytes, unsigned type, unsigned stream, const void *body, size_t len)
{
    uint8_t header[VMM_RUN_HEADER];

    vmm_run_put_header (header, (VmmRunType)type, (VmmRunStream)stream, (uint32_t)len);
    g_byte_array_append (bytes, header, sizeof header);
    if (len > 0)
        g_byte_array_append (bytes, body, (guint)len);
}

static inline void
guest_put_number (GByteArray *bytes, unsigned type, unsigned stream, uint32_t number)
{
    uint8_t body[4];

    vmm_run_put32 (body, number);
    guest_put (bytes, type, stream, body, sizeof body);
}

static inline void
guest_put_exit (GByteArray *bytes, uint32_t kind, uint32_t status, const char *text)
{
    g_autofree uint8_t *body = g_malloc (8 + strlen (text));

    vmm_run_put32 (body, kind);
    vmm_run_put32 (body + 4, status);
    memcpy (body + 8, text, strlen (text));
    guest_put (bytes, VMM_RUN_EXIT, 0, body, 8 + strlen (text));
}

#endif
