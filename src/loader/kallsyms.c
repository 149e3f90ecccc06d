/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A distribution's kernel is stripped, but with CONFIG_KALLSYMS it carries the names of its functions for its
 * own reports, packed (Linux: scripts/kallsyms.c writes the tables, kernel/kallsyms.c reads them). Nothing
 * says where the tables are, so they are found by what they contain:
 *
 * - the token table holds 256 strings; each digit stands for itself, so the strings "0" to "9" follow each
 *   other. The index behind it repeats the offset of each string, which proves the find;
 * - before it are the names, each a length and that many tokens; in front of them is their number, behind
 * them an offset for every 256th name, which proves that too;
 * - the addresses are behind the index (Linux 6.4 and newer) or before the number (older): 32-bit offsets and
 *   the base they count from. With per-CPU symbols apart, an offset below 0 counts from the base, and
 *   others are absolute.
 *
 * Each table begins at a multiple of eight. Nothing found is trusted for more than a wrong name in a report.
 */
#include "loader/kallsyms.h"

#include <glib.h>

#define TOKENS 256u
#define FIRST_DIGIT 0x30u
#define TOKEN_TABLE_MAX 8192u
#define DIGITS_LOOK 8u
#define DIGITS_STRIDE 13u
#define NAMES_MIN 100u
#define NAMES_MAX 4000000u
#define MARKER_STEP 256u
#define NAME_MAX_LEN 512u

/* Names of a big kernel take 4 MiB; where the walk back gives up, and after how much work. */
#define SEARCH_MAX ((size_t)16 << 20)
#define STEPS_MAX 64000000u

typedef struct {
    VmmSpan image;
    size_t token_table;
    uint16_t token[TOKENS];
    size_t token_end; /* behind the index */
    size_t number;    /* where the number of names is */
    uint32_t n;
    size_t names;
    size_t offsets;
    uint64_t base;
    bool percpu_apart;
} Kallsyms;

static size_t
align8 (size_t n)
{
    return (n + 7) & ~(size_t)7;
}

/* Reads the token table at @at and checks it against the index that follows. */
static bool
take_token_table (Kallsyms *k, size_t at)
{
    size_t pos = at;

    for (unsigned i = 0; i < TOKENS; i++) {
        k->token[i] = (uint16_t)(pos - at);
        const uint8_t *end = memchr (k->image.data + pos, 0, MIN (k->image.len - pos, TOKEN_TABLE_MAX));
        if (end == NULL || (size_t)(end - k->image.data) - at > TOKEN_TABLE_MAX)
            return false;
        pos = (size_t)(end - k->image.data) + 1;
    }
    size_t index = align8 (pos);
    if (index > k->image.len || sizeof k->token > k->image.len - index ||
        memcmp (k->image.data + index, k->token, sizeof k->token) != 0)
        return false;
    k->token_table = at;
    k->token_end = index + sizeof k->token;
    return true;
}

/* From the token "0" back to the first one. */
static bool
find_table_start (Kallsyms *k, size_t digits)
{
    size_t floor = digits > TOKEN_TABLE_MAX ? digits - TOKEN_TABLE_MAX : 0;
    size_t pos = digits;
    unsigned ends = 0;

    while (pos > floor && ends < FIRST_DIGIT)
        if (k->image.data[--pos] == 0)
            ends++;
    /* Now at the end of the first token, which is not long. */
    for (unsigned back = 0; back < 64 && pos > floor; back++, pos--)
        if (pos % 8 == 0 && take_token_table (k, pos))
            return true;
    return false;
}

/*
 * Whether the tokens of the ten digits, which have 20 bytes, are around @at; they are the first that can be
 * told by sight. Whatever they begin with, 8 bytes of them are looked at when looks are 13 bytes apart.
 */
static bool
are_digits (const Kallsyms *k, size_t at, size_t *ret_begin)
{
    static const char digits[20] = "0\0001\0002\0003\0004\0005\0006\0007\0008\0009";
    uint64_t bytes = vmm_get_u64 (k->image.data + at);
    size_t back;

    if ((bytes & 0xff00ff00ff00ff00) == 0)
        back = 2 * ((size_t)k->image.data[at] - '0');
    else if ((bytes & 0x00ff00ff00ff00ff) == 0)
        back = 2 * ((size_t)k->image.data[at + 1] - '0') - 1;
    else
        return false;
    if (back > sizeof digits - DIGITS_LOOK || back > at || k->image.len - (at - back) < sizeof digits)
        return false;
    *ret_begin = at - back;
    return memcmp (k->image.data + *ret_begin, digits, sizeof digits) == 0;
}

static bool
find_token_table (Kallsyms *k)
{
    size_t begin;

    for (size_t at = 0; at + DIGITS_LOOK <= k->image.len; at += DIGITS_STRIDE) {
        if (are_digits (k, at, &begin) && find_table_start (k, begin))
            return true;
    }
    return false;
}

/* The tokens of the name at @pos; long names have a length of two bytes since Linux 6.1. */
static bool
next_name (const Kallsyms *k, size_t *pos, VmmSpan *ret_tokens)
{
    uint8_t low, high = 0;
    size_t head = 1;

    if (!vmm_span_u8 (k->image, *pos, &low))
        return false;
    if (low & 0x80) {
        if (!vmm_span_u8 (k->image, *pos + 1, &high))
            return false;
        head = 2;
    }
    size_t len = (size_t)(low & 0x7f) | (size_t)high << 7;
    if (len == 0 || !vmm_span_sub (k->image, *pos + head, len, ret_tokens))
        return false;
    *pos += head + len;
    return true;
}

/* Whether @n names start at @at, with their markers behind them and all before the token table. */
static bool
check_names (const Kallsyms *k, size_t at, uint32_t n, unsigned *steps)
{
    size_t pos = at, second = 0;
    uint32_t marker0, marker1;
    VmmSpan tokens;

    for (uint32_t i = 0; i < n; i++, ++*steps) {
        if (i == MARKER_STEP)
            second = pos - at;
        if (pos >= k->token_table || !next_name (k, &pos, &tokens))
            return false;
    }
    size_t markers = align8 (pos);
    if (!vmm_span_u32 (k->image, markers, &marker0) || marker0 != 0)
        return false;
    return n <= MARKER_STEP || (vmm_span_u32 (k->image, markers + 4, &marker1) && marker1 == second);
}

static bool
find_names (Kallsyms *k)
{
    size_t floor = k->token_table > SEARCH_MAX ? k->token_table - SEARCH_MAX : 0;
    unsigned steps = 0;

    for (size_t at = k->token_table & ~(size_t)7; at >= floor + 8 && steps < STEPS_MAX; at -= 8) {
        uint32_t n = vmm_get_u32 (k->image.data + at - 8);
        if (n < NAMES_MIN || n > NAMES_MAX || n > k->token_table - at || !check_names (k, at, n, &steps))
            continue;
        k->number = at - 8;
        k->names = at;
        k->n = n;
        return true;
    }
    return false;
}

static uint64_t
address (const Kallsyms *k, uint32_t index)
{
    uint32_t offset = vmm_get_u32 (k->image.data + k->offsets + (size_t)index * 4);

    if (!k->percpu_apart)
        return k->base + offset;
    if (offset < 0x80000000)
        return offset;
    return k->base - 1 - (uint64_t)(int64_t)(int32_t)offset;
}

/* Whether @offsets and @base are what they should be: addresses of a kernel, in order. */
static bool
take_offsets (Kallsyms *k, size_t offsets, size_t base)
{
    VmmSpan all;

    if (!vmm_span_u64 (k->image, base, &k->base) || k->base < UINT64_C (0xffff800000000000) ||
        !vmm_span_sub (k->image, offsets, (uint64_t)k->n * 4, &all))
        return false;
    k->offsets = offsets;
    k->percpu_apart = false;
    for (uint32_t i = 0; i < k->n && !k->percpu_apart; i++)
        k->percpu_apart = vmm_get_u32 (all.data + (size_t)i * 4) >= 0x80000000;
    for (uint32_t i = 1; i < k->n; i++)
        if (address (k, i) < address (k, i - 1))
            return false;
    return true;
}

static bool
find_offsets (Kallsyms *k)
{
    size_t size = align8 ((size_t)k->n * 4);

    if (take_offsets (k, align8 (k->token_end), align8 (k->token_end) + size))
        return true;
    return k->number >= size + 8 && take_offsets (k, k->number - 8 - size, k->number - 8);
}

static size_t
expand (const Kallsyms *k, VmmSpan tokens, char *buf, size_t cap)
{
    size_t len = 0;

    for (size_t i = 0; i < tokens.len; i++)
        for (const uint8_t *t = k->image.data + k->token_table + k->token[tokens.data[i]];
             *t != 0 && len < cap; t++)
            buf[len++] = (char)*t;
    return len;
}

/**
 * vmm_kallsyms_walk:
 * @vmlinux: an unpacked kernel
 * @func: called for each function, in the order of addresses
 * @data: for @func
 *
 * Finds the names that a Linux kernel carries of its functions. Any thread.
 *
 * Returns: false when there are none, or in a form that we do not know
 */
bool
vmm_kallsyms_walk (VmmSpan vmlinux, VmmKallsymsFunc func, void *data)
{
    Kallsyms k = {.image = vmlinux};
    char name[NAME_MAX_LEN];
    VmmSpan tokens;

    if (!find_token_table (&k) || !find_names (&k) || !find_offsets (&k))
        return false;
    size_t pos = k.names;
    for (uint32_t i = 0; i < k.n && next_name (&k, &pos, &tokens); i++) {
        /* The first character is the type, as nm shows it. */
        size_t len = expand (&k, tokens, name, sizeof name);
        /* Below the base are offsets into the per-CPU area. */
        if (len < 2 || strchr ("tTwW", name[0]) == NULL || address (&k, i) < k.base)
            continue;
        if (!func (data, address (&k, i), name + 1, len - 1))
            break;
    }
    return true;
}
