/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first byte says how many bytes of script follow; the script says which fields the reader asks for, and
 * the rest is the stream. A get that fails must leave its output alone, and so must every one after it in the
 * same section.
 */
#include <stdint.h>
#include <stdlib.h>

#include "vmm/core/state.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

enum {
    GET_U8,
    GET_U16,
    GET_U32,
    GET_U64,
    GET_BOOL,
    GET_BYTES,
    LEAVE,
    N_GET,
};

#define UNTOUCHED 0xa5a5a5a5a5a5a5a5ull

/* One get into a word of known contents. */
static bool
get (VmmStateReader *reader, uint8_t what, uint64_t *word)
{
    bool b = false;
    bool ok;

    switch (what % N_GET) {
    case GET_U8:
        return vmm_state_get_u8 (reader, (uint8_t *)word);
    case GET_U16:
        return vmm_state_get_u16 (reader, (uint16_t *)(void *)word);
    case GET_U32:
        return vmm_state_get_u32 (reader, (uint32_t *)(void *)word);
    case GET_U64:
        return vmm_state_get_u64 (reader, word);
    case GET_BOOL:
        ok = vmm_state_get_bool (reader, &b);
        if (!ok && b)
            abort ();
        return ok;
    default: {
        uint32_t cap = what / N_GET;
        uint32_t len = UINT32_MAX;
        g_autofree uint8_t *buf = g_malloc (cap + 1);

        ok = vmm_state_get_bytes (reader, buf, cap, &len);
        if (ok ? len > cap : len != UINT32_MAX)
            abort ();
        return ok;
    }
    }
}

static void
check_error (bool ok, GError **error)
{
    if (ok == (*error != NULL))
        abort ();
    g_clear_error (error);
}

static void
run (VmmStateReader *reader, const uint8_t *script, size_t len)
{
    GError *error = NULL;
    uint32_t version;
    bool open = vmm_state_reader_enter (reader, "a", 1, &version, &error);
    bool faulty = false;

    check_error (open, &error);
    for (size_t i = 0; i < len; i++) {
        uint64_t word = UNTOUCHED;
        bool ok;

        if (script[i] % N_GET == LEAVE) {
            ok = vmm_state_reader_leave (reader, &error);
            check_error (ok, &error);
            if (ok && (faulty || !open))
                abort ();
            open = vmm_state_reader_enter (reader, "a", 1, &version, &error);
            check_error (open, &error);
            faulty = false;
            continue;
        }
        ok = get (reader, script[i], &word);
        if (!ok && word != UNTOUCHED)
            abort ();
        if (ok && (faulty || !open))
            abort ();
        faulty |= !ok;
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    size_t script = size > 0 ? data[0] : 0;
    g_autoptr (GBytes) bytes = NULL;
    g_autoptr (VmmStateReader) reader = NULL;

    if (size < 1 + script)
        return 0;
    bytes = g_bytes_new (data + 1 + script, size - 1 - script);
    reader = vmm_state_reader_new (bytes);
    run (reader, data + 1, script);
    return 0;
}
