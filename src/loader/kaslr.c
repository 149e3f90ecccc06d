/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * x86-64 Linux built with CONFIG_RANDOMIZE_BASE carries, behind the ELF file in its payload, the addresses of
 * all values that must change when the kernel runs at another virtual address. Its own decompressor applies
 * them (Linux: arch/x86/boot/compressed/misc.c, handle_relocations(); arch/x86/tools/relocs.c writes them).
 * When the host unpacks the kernel it does the same, or KASLR would be lost.
 *
 * The table is: 0, 64-bit places, 0, inverse 32-bit places, 0, 32-bit places; Linux 6.15 dropped the inverse
 * list. No place is 0, so the number of zeros tells the two apart.
 */
#include "loader/kaslr.h"

/**
 * vmm_kaslr_find:
 * @tail: what follows the ELF file in the payload
 * @ret_table: the lists, pointing into @tail
 *
 * Returns: false when @tail has not the shape of a relocation table
 */
bool
vmm_kaslr_find (VmmSpan tail, VmmKaslrTable *ret_table)
{
    size_t zero[4];
    unsigned n = 0;

    if (tail.len < 8 || tail.len % 4 != 0 || vmm_get_u32 (tail.data) != 0)
        return false;
    for (size_t i = 0; i < tail.len; i += 4)
        if (vmm_get_u32 (tail.data + i) == 0) {
            if (n == 3)
                return false;
            zero[n++] = i;
        }
    if (n < 2)
        return false;
    zero[n] = tail.len;
    VmmSpan list[3];
    for (unsigned i = 0; i < n; i++)
        list[i] = (VmmSpan){tail.data + zero[i] + 4, zero[i + 1] - zero[i] - 4};
    *ret_table = (VmmKaslrTable){
        .add64 = list[0],
        .sub32 = n == 3 ? list[1] : (VmmSpan){tail.data, 0},
        .add32 = list[n - 1],
    };
    return true;
}

/* Where in the image a place is; beyond any image when it lies below it. */
static inline uint64_t
place (const uint8_t *p, uint64_t linked)
{
    return (uint64_t)(int64_t)(int32_t)vmm_get_u32 (p) - linked;
}

static bool
check_list (VmmSpan list, uint64_t linked, uint64_t len, uint64_t width)
{
    if (len < width)
        return list.len == 0;
    for (size_t i = 0; i < list.len; i += 4)
        if (place (list.data + i, linked) > len - width)
            return false;
    return true;
}

/**
 * vmm_kaslr_check:
 * @table: from vmm_kaslr_find()
 * @linked: linked virtual address of the image's first byte
 * @len: bytes of the image that may change
 *
 * Returns: whether every place lies wholly in the image
 */
bool
vmm_kaslr_check (const VmmKaslrTable *table, uint64_t linked, uint64_t len)
{
    return check_list (table->add64, linked, len, 8) && check_list (table->sub32, linked, len, 4) &&
           check_list (table->add32, linked, len, 4);
}

/**
 * vmm_kaslr_apply:
 * @table: passed vmm_kaslr_check() with the same @linked; must not overlap the bytes it was checked for
 * @linked: linked virtual address of @image
 * @image: the loaded kernel
 * @delta: what to add to its virtual addresses
 *
 * Relocates the kernel.
 */
void
vmm_kaslr_apply (const VmmKaslrTable *table, uint64_t linked, uint8_t *image, uint64_t delta)
{
    for (size_t i = 0; i < table->add64.len; i += 4) {
        uint8_t *p = image + place (table->add64.data + i, linked);
        vmm_put_u64 (p, vmm_get_u64 (p) + delta);
    }
    for (size_t i = 0; i < table->sub32.len; i += 4) {
        uint8_t *p = image + place (table->sub32.data + i, linked);
        vmm_put_u32 (p, vmm_get_u32 (p) - (uint32_t)delta);
    }
    for (size_t i = 0; i < table->add32.len; i += 4) {
        uint8_t *p = image + place (table->add32.data + i, linked);
        vmm_put_u32 (p, vmm_get_u32 (p) + (uint32_t)delta);
    }
}
