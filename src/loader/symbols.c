/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Names for addresses in reports. Symbols are held as one array sorted by address, each with the offset of
 * its name in one string of all names; a lookup is a binary search. A symbol reaches as far as its size says,
 * or to the next one where the source (System.map) has no sizes.
 */
#include "loader/symbols.h"

#include <elf.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "loader/elf.h"
#include "loader/kallsyms.h"
#include "vmm/error.h"

/* A distribution's kernel has some 200,000. */
#define SYMBOLS_MAX 4000000u
#define NAME_MAX_LEN 512u

/* The last symbol has no next one that would end it. */
#define LAST_SIZE 0x1000u

typedef struct {
    uint64_t address;
    uint32_t size; /* 0: up to the next */
    uint32_t name;
} Symbol;

struct _VmmSymbols {
    GArray *symbols;
    GString *names;
};

static VmmSymbols *
symbols_new (void)
{
    VmmSymbols *symbols = g_new0 (VmmSymbols, 1);

    symbols->symbols = g_array_new (FALSE, FALSE, sizeof (Symbol));
    symbols->names = g_string_new (NULL);
    return symbols;
}

/**
 * vmm_symbols_free:
 * @symbols: (nullable): symbols
 */
void
vmm_symbols_free (VmmSymbols *symbols)
{
    if (symbols == NULL)
        return;
    g_array_unref (symbols->symbols);
    g_string_free (symbols->names, TRUE);
    g_free (symbols);
}

static bool
add (VmmSymbols *symbols, uint64_t address, uint64_t size, const char *name, size_t name_len)
{
    Symbol s = {address, (uint32_t)MIN (size, UINT32_MAX), (uint32_t)symbols->names->len};

    if (name_len == 0 || name_len > NAME_MAX_LEN)
        return true;
    if (symbols->symbols->len == SYMBOLS_MAX || symbols->names->len > UINT32_MAX - NAME_MAX_LEN - 1)
        return false;
    g_string_append_len (symbols->names, name, (gssize)name_len);
    g_string_append_c (symbols->names, 0);
    g_array_append_val (symbols->symbols, s);
    return true;
}

static int
compare (const void *a, const void *b)
{
    const Symbol *x = a, *y = b;

    if (x->address != y->address)
        return x->address < y->address ? -1 : 1;
    /* Of two names for one place the first of the file wins, whatever the sort does. */
    return x->name < y->name ? -1 : x->name > y->name;
}

static VmmSymbols *
finish (VmmSymbols *symbols, const char *nothing, GError **error)
{
    if (symbols->symbols->len == 0) {
        g_set_error_literal (error, VMM_ERROR, VMM_ERROR_USAGE, nothing);
        vmm_symbols_free (symbols);
        return NULL;
    }
    qsort (symbols->symbols->data, symbols->symbols->len, sizeof (Symbol), compare);
    return symbols;
}

/* "ffffffff81000000 T _text"; only code is of interest. */
static bool
parse_line (VmmSymbols *symbols, const char *line, size_t len)
{
    uint64_t address = 0;
    size_t i;

    for (i = 0; i < len && i < 16 && g_ascii_isxdigit (line[i]); i++)
        address = address << 4 | (uint64_t)g_ascii_xdigit_value (line[i]);
    if (i == 0 || len < i + 4 || line[i] != ' ' || line[i + 2] != ' ' || strchr ("tTwW", line[i + 1]) == NULL)
        return true;
    size_t name_len = strcspn (line + i + 3, " \t\r\n");
    return add (symbols, address, 0, line + i + 3, MIN (name_len, len - i - 3));
}

/**
 * vmm_symbols_new_from_system_map:
 * @text: a System.map, or what `nm` prints; not kept
 * @error: %VMM_ERROR_USAGE when there is no function in it
 *
 * Returns: (transfer full): its functions, or NULL with @error set; the message is the tail of a sentence
 */
VmmSymbols *
vmm_symbols_new_from_system_map (VmmSpan text, GError **error)
{
    VmmSymbols *symbols = symbols_new ();
    char line[NAME_MAX_LEN + 32];

    for (size_t pos = 0; pos < text.len;) {
        const uint8_t *nl = memchr (text.data + pos, '\n', text.len - pos);
        size_t len = nl != NULL ? (size_t)(nl - text.data) - pos : text.len - pos;
        if (len < sizeof line) {
            memcpy (line, text.data + pos, len);
            line[len] = 0;
            if (!parse_line (symbols, line, len))
                break;
        }
        pos += len + 1;
    }
    return finish (symbols, "has no functions in the form of a System.map", error);
}

typedef struct {
    uint64_t offset;
    uint64_t size;
    uint32_t type;
    uint32_t link;
} Section;

static bool
read_section (VmmSpan file, uint64_t shoff, unsigned index, Section *ret_section)
{
    Elf64_Shdr h;
    VmmSpan bytes;

    if (shoff > file.len || !vmm_span_sub (file, shoff + (uint64_t)index * sizeof h, sizeof h, &bytes))
        return false;
    memcpy (&h, bytes.data, sizeof h);
    *ret_section = (Section){h.sh_offset, h.sh_size, h.sh_type, h.sh_link};
    return true;
}

static void
read_symtab (VmmSymbols *symbols, VmmSpan table, VmmSpan strings)
{
    Elf64_Sym s;

    for (size_t pos = 0; pos + sizeof s <= table.len; pos += sizeof s) {
        memcpy (&s, table.data + pos, sizeof s);
        unsigned type = ELF64_ST_TYPE (s.st_info);
        if (s.st_shndx == SHN_UNDEF || s.st_name >= strings.len || (type != STT_FUNC && type != STT_NOTYPE))
            continue;
        const char *name = (const char *)strings.data + s.st_name;
        if (!add (symbols, s.st_value, s.st_size, name, strnlen (name, strings.len - s.st_name)))
            break;
    }
}

/**
 * vmm_symbols_new_from_elf:
 * @file: an ELF file; not kept
 * @error: %VMM_ERROR_USAGE when it is no 64-bit ELF file or was stripped
 *
 * Returns: (transfer full): the functions of its .symtab, or NULL with @error set; the message is the tail of
 * a sentence
 */
VmmSymbols *
vmm_symbols_new_from_elf (VmmSpan file, GError **error)
{
    VmmSymbols *symbols = symbols_new ();
    Section section, names;
    VmmSpan table, strings;
    Elf64_Ehdr e = {0};

    if (vmm_elf_detect (file) && file.len >= sizeof e && file.data[EI_CLASS] == ELFCLASS64)
        memcpy (&e, file.data, sizeof e);
    for (unsigned i = 0; i < e.e_shnum && e.e_shentsize == sizeof (Elf64_Shdr); i++) {
        if (!read_section (file, e.e_shoff, i, &section) || section.type != SHT_SYMTAB)
            continue;
        if (read_section (file, e.e_shoff, section.link, &names) &&
            vmm_span_sub (file, section.offset, section.size, &table) &&
            vmm_span_sub (file, names.offset, names.size, &strings))
            read_symtab (symbols, table, strings);
        /* The format allows one only; a file that lists it often must not make us read it often. */
        break;
    }
    return finish (symbols, "has no symbol table (it was stripped)", error);
}

static bool
add_kallsym (void *data, uint64_t address, const char *name, size_t len)
{
    return add (data, address, 0, name, len);
}

/**
 * vmm_symbols_new_from_vmlinux:
 * @vmlinux: an unpacked kernel (VmmKernelImage); not kept
 * @error: %VMM_ERROR_USAGE when it names no functions
 *
 * Takes the ELF symbol table, or in a stripped Linux the names that the kernel carries for its own reports.
 *
 * Returns: (transfer full): its functions, or NULL with @error set; the message is the tail of a sentence
 */
VmmSymbols *
vmm_symbols_new_from_vmlinux (VmmSpan vmlinux, GError **error)
{
    VmmSymbols *symbols = vmm_symbols_new_from_elf (vmlinux, NULL);

    if (symbols != NULL)
        return symbols;
    symbols = symbols_new ();
    vmm_kallsyms_walk (vmlinux, add_kallsym, symbols);
    return finish (symbols, "names no functions (stripped, and without CONFIG_KALLSYMS)", error);
}

/**
 * vmm_symbols_count:
 * @symbols: symbols
 *
 * Returns: how many
 */
unsigned
vmm_symbols_count (const VmmSymbols *symbols)
{
    return symbols->symbols->len;
}

/**
 * vmm_symbols_find:
 * @symbols: symbols
 * @name: what it is called
 * @ret_address: (out): where it is linked; of several of that name, the lowest
 *
 * Looks at all of them.
 *
 * Returns: whether there is one
 */
bool
vmm_symbols_find (const VmmSymbols *symbols, const char *name, uint64_t *ret_address)
{
    for (guint i = 0; i < symbols->symbols->len; i++) {
        const Symbol *s = &g_array_index (symbols->symbols, Symbol, i);

        if (strcmp (symbols->names->str + s->name, name) == 0) {
            *ret_address = s->address;
            return true;
        }
    }
    return false;
}

/**
 * vmm_symbols_describe:
 * @symbols: symbols
 * @address: an address in the guest
 * @virt_offset: what KASLR added to linked addresses (VmmLoadedKernel), 0 for none
 *
 * Returns: (transfer full) (nullable): "function+0x12/0x40", the offset in the function and its size; NULL
 * when the address is in no function
 */
char *
vmm_symbols_describe (const VmmSymbols *symbols, uint64_t address, uint64_t virt_offset)
{
    const Symbol *all = (const Symbol *)(const void *)symbols->symbols->data;
    uint64_t linked = address - virt_offset;
    size_t low = 0, high = symbols->symbols->len;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (all[mid].address <= linked)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == 0)
        return NULL;
    size_t i = low - 1;
    while (i > 0 && all[i - 1].address == all[i].address)
        i--;
    uint64_t end = low < symbols->symbols->len ? all[low].address : all[i].address + LAST_SIZE;
    uint64_t size = all[i].size != 0 ? all[i].size : end - all[i].address;
    if (linked - all[i].address >= size)
        return NULL;
    return g_strdup_printf ("%s+0x%" PRIx64 "/0x%" PRIx64, symbols->names->str + all[i].name,
                            linked - all[i].address, size);
}
