/* SPDX-License-Identifier: Apache-2.0 */
/* What a kernel module says of itself: the section ".modinfo" of its ELF file, strings of the form KEY=VALUE.
 */
#include "loader/modinfo.h"

#include <elf.h>

#define SECTION ".modinfo"

static bool
read_section (VmmSpan module, const Elf64_Ehdr *head, unsigned index, Elf64_Shdr *ret_section)
{
    VmmSpan bytes;

    if (head->e_shoff > module.len ||
        !vmm_span_sub (module, head->e_shoff + (uint64_t)index * head->e_shentsize, sizeof *ret_section,
                       &bytes))
        return false;
    memcpy (ret_section, bytes.data, sizeof *ret_section);
    return true;
}

/**
 * vmm_modinfo_find:
 * @module: a .ko, not compressed
 * @ret_modinfo: its strings, in @module, for vmm_modinfo_next()
 *
 * Any thread.
 *
 * Returns: false when this is no module
 */
bool
vmm_modinfo_find (VmmSpan module, VmmSpan *ret_modinfo)
{
    Elf64_Ehdr head;
    Elf64_Shdr names, section;
    VmmSpan name;

    if (module.len < sizeof head)
        return false;
    memcpy (&head, module.data, sizeof head);
    if (memcmp (head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_ident[EI_CLASS] != ELFCLASS64 ||
        head.e_ident[EI_DATA] != ELFDATA2LSB || head.e_shentsize < sizeof section ||
        !read_section (module, &head, head.e_shstrndx, &names))
        return false;
    for (unsigned i = 0; i < head.e_shnum; i++) {
        if (!read_section (module, &head, i, &section))
            return false;
        uint64_t at;
        if (!__builtin_add_overflow (names.sh_offset, section.sh_name, &at) &&
            vmm_span_sub (module, at, sizeof SECTION, &name) &&
            memcmp (name.data, SECTION, sizeof SECTION) == 0)
            return vmm_span_sub (module, section.sh_offset, section.sh_size, ret_modinfo);
    }
    return false;
}

/**
 * vmm_modinfo_next:
 * @modinfo: (inout): what is left of the strings
 * @key: a key
 * @ret_value: the value, in the module
 *
 * Looks for the next string with a key. Any thread.
 *
 * Returns: false when there is no other
 */
bool
vmm_modinfo_next (VmmSpan *modinfo, const char *key, VmmSpan *ret_value)
{
    const size_t n = strlen (key);

    while (modinfo->len > 0) {
        const uint8_t *zero = memchr (modinfo->data, 0, modinfo->len);
        VmmSpan string = {modinfo->data, zero != NULL ? (size_t)(zero - modinfo->data) : modinfo->len};
        size_t step = string.len + (zero != NULL);
        *modinfo = (VmmSpan){modinfo->data + step, modinfo->len - step};
        if (string.len > n && memcmp (string.data, key, n) == 0 && string.data[n] == '=')
            return vmm_span_sub (string, n + 1, string.len - n - 1, ret_value);
    }
    return false;
}
