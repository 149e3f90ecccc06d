/* SPDX-License-Identifier: Apache-2.0 */
#include "images.h"

#include <elf.h>
#include <lz4.h>
#include <lz4frame.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include "loader/bzimage.h"

#define SETUP_SIZE 1024u

ImageElf
image_linux (void)
{
    return (ImageElf){
        .entry = IMAGE_PHYS + 0x40,
        .segment =
            {
                {0x1000, IMAGE_MAP + IMAGE_PHYS, IMAGE_PHYS, 0x2800, 0x2800},
                {0x4000, IMAGE_MAP + IMAGE_PHYS + 0x3000, IMAGE_PHYS + 0x3000, 0x1000, 0x1000},
                {0x6000, 0, IMAGE_PHYS + 0x4000, 0x1000, 0x1000},
                {0x7800, IMAGE_MAP + IMAGE_PHYS + 0x5000, IMAGE_PHYS + 0x5000, 0x2000, 0x9000},
            },
        .n_segments = 4,
        .has_pvh = true,
        .pvh_entry = IMAGE_PHYS + 0x80,
        .linux_note = true,
    };
}

static uint8_t
pattern (uint64_t offset)
{
    /* One byte in a row of 64 differs from its neighbours, and every row from every other. */
    return (uint8_t)(offset % 64 == 0 ? offset / 64 * 37 + 11 : offset >> 12);
}

static void
put_note (uint8_t **p, const char *name, uint32_t type, const void *desc, uint32_t descsz)
{
    uint32_t namesz = (uint32_t)strlen (name) + 1;

    vmm_put_u32 (*p, namesz);
    vmm_put_u32 (*p + 4, descsz);
    vmm_put_u32 (*p + 8, type);
    memcpy (*p + 12, name, namesz);
    *p += 12 + ((namesz + 3) & ~3u);
    memcpy (*p, desc, descsz);
    *p += (descsz + 3) & ~3u;
}

static uint64_t
elf_size (const ImageElf *spec)
{
    uint64_t end = 0x1000;

    for (unsigned i = 0; i < spec->n_segments; i++)
        end = MAX (end, spec->segment[i].offset + spec->segment[i].filesz);
    return end;
}

GByteArray *
image_elf (const ImageElf *spec)
{
    uint64_t size = elf_size (spec);
    GByteArray *bytes = g_byte_array_new ();
    uint8_t notes[256] = {0}, *p = notes;

    g_byte_array_set_size (bytes, (guint)size);
    memset (bytes->data, 0, size);
    for (unsigned i = 0; i < spec->n_segments; i++)
        for (uint64_t o = spec->segment[i].offset; o < spec->segment[i].offset + spec->segment[i].filesz; o++)
            bytes->data[o] = pattern (o);
    if (spec->linux_note)
        put_note (&p, "Linux", 0x100, "\1\2\3\4", 4);
    if (spec->has_pvh)
        put_note (&p, "Xen", 18, &spec->pvh_entry, 4);
    Elf64_Ehdr e = {
        .e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = spec->type != 0 ? spec->type : ET_EXEC,
        .e_machine = spec->machine != 0 ? spec->machine : EM_X86_64,
        .e_version = EV_CURRENT,
        .e_entry = spec->entry,
        .e_phoff = sizeof e,
        .e_ehsize = sizeof e,
        .e_phentsize = sizeof (Elf64_Phdr),
        .e_phnum = (uint16_t)(spec->n_segments + 1),
    };
    memcpy (bytes->data, &e, sizeof e);
    for (unsigned i = 0; i < spec->n_segments; i++) {
        const ImageSegment *s = &spec->segment[i];
        Elf64_Phdr h = {PT_LOAD, PF_R | PF_X, s->offset, s->vaddr, s->paddr, s->filesz, s->memsz, 0x1000};
        memcpy (bytes->data + sizeof e + i * sizeof h, &h, sizeof h);
    }
    /* In the gap before the first segment. */
    Elf64_Phdr note = {PT_NOTE, PF_R, 0x800, 0, 0, (uint64_t)(p - notes), (uint64_t)(p - notes), 4};
    memcpy (bytes->data + sizeof e + spec->n_segments * sizeof note, &note, sizeof note);
    memcpy (bytes->data + 0x800, notes, sizeof notes);
    return bytes;
}

static void
add_list (GByteArray *elf, const uint32_t *list, int n)
{
    uint32_t zero = 0;

    g_byte_array_append (elf, (const guint8 *)&zero, 4);
    if (n > 0)
        g_byte_array_append (elf, (const guint8 *)list, (guint)n * 4);
}

void
image_add_relocs (GByteArray *elf, const uint32_t *add64, int n_add64, const uint32_t *sub32, int n_sub32,
                  const uint32_t *add32, int n_add32)
{
    add_list (elf, add64, n_add64);
    if (n_sub32 >= 0)
        add_list (elf, sub32, n_sub32);
    add_list (elf, add32, n_add32);
}

GByteArray *
image_memory (const ImageElf *spec, const GByteArray *elf)
{
    GByteArray *memory = g_byte_array_new ();
    uint64_t end = 0;

    for (unsigned i = 0; i < spec->n_segments; i++)
        end = MAX (end, spec->segment[i].paddr + spec->segment[i].memsz);
    g_byte_array_set_size (memory, (guint)(end - IMAGE_PHYS));
    memset (memory->data, 0, memory->len);
    for (unsigned i = 0; i < spec->n_segments; i++) {
        const ImageSegment *s = &spec->segment[i];
        memcpy (memory->data + (s->paddr - IMAGE_PHYS), elf->data + s->offset, s->filesz);
    }
    return memory;
}

static size_t
compress_lzma (VmmCompression kind, VmmSpan in, uint8_t *out, size_t cap)
{
    lzma_stream strm = LZMA_STREAM_INIT;
    lzma_options_lzma options;

    lzma_lzma_preset (&options, 1);
    lzma_filter filters[] = {
        {LZMA_FILTER_X86, NULL}, {LZMA_FILTER_LZMA2, &options}, {LZMA_VLI_UNKNOWN, NULL}};
    lzma_ret rc = kind == VMM_COMPRESSION_XZ ? lzma_stream_encoder (&strm, filters, LZMA_CHECK_CRC32)
                                             : lzma_alone_encoder (&strm, &options);
    if (rc != LZMA_OK)
        return 0;
    strm.next_in = in.data;
    strm.avail_in = in.len;
    strm.next_out = out;
    strm.avail_out = cap;
    while (lzma_code (&strm, LZMA_FINISH) == LZMA_OK)
        ;
    size_t len = cap - strm.avail_out;
    lzma_end (&strm);
    return len;
}

static size_t
compress_gzip (VmmSpan in, uint8_t *out, size_t cap)
{
    z_stream z = {0};

    deflateInit2 (&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    z.next_in = (Bytef *)in.data;
    z.avail_in = (uInt)in.len;
    z.next_out = out;
    z.avail_out = (uInt)cap;
    deflate (&z, Z_FINISH);
    size_t len = cap - z.avail_out;
    deflateEnd (&z);
    return len;
}

static size_t
compress_lz4_legacy (VmmSpan in, uint8_t *out, size_t cap)
{
    const size_t block = (size_t)8 << 20;
    size_t len = 4;

    memcpy (out, "\x02\x21\x4c\x18", 4);
    for (size_t pos = 0; pos < in.len; pos += block) {
        int n = LZ4_compress_default ((const char *)in.data + pos, (char *)out + len + 4,
                                      (int)MIN (block, in.len - pos), (int)(cap - len - 4));
        vmm_put_u32 (out + len, (uint32_t)n);
        len += 4 + (size_t)n;
    }
    return len;
}

GByteArray *
image_compress (VmmCompression kind, VmmSpan in)
{
    GByteArray *out = g_byte_array_new ();
    size_t cap = in.len + in.len / 8 + 65536, len = 0;

    g_byte_array_set_size (out, (guint)cap);
    switch (kind) {
    case VMM_COMPRESSION_GZIP:
        len = compress_gzip (in, out->data, cap);
        break;
    case VMM_COMPRESSION_XZ:
    case VMM_COMPRESSION_LZMA:
        len = compress_lzma (kind, in, out->data, cap);
        break;
    case VMM_COMPRESSION_ZSTD:
        len = ZSTD_compress (out->data, cap, in.data, in.len, 3);
        break;
    case VMM_COMPRESSION_LZ4_LEGACY:
        len = compress_lz4_legacy (in, out->data, cap);
        break;
    case VMM_COMPRESSION_LZ4_FRAME:
        len = LZ4F_compressFrame (out->data, cap, in.data, in.len, NULL);
        break;
    case VMM_COMPRESSION_BZIP2:
        memcpy (out->data, "BZh91AY", len = 7);
        break;
    case VMM_COMPRESSION_LZO:
        memcpy (out->data, "\x89LZO\0\r\n", len = 7);
        break;
    case VMM_COMPRESSION_NONE:
        break;
    }
    g_byte_array_set_size (out, (guint)len);
    return out;
}

GByteArray *
image_bzimage (VmmCompression kind, const GByteArray *vmlinux)
{
    g_autoptr (GByteArray) payload = image_compress (kind, image_span (vmlinux));
    GByteArray *bz = g_byte_array_new ();
    const char *version = "6.1.0-test (builder@example) #1 SMP";
    const uint32_t code = 0x400, size = (uint32_t)vmlinux->len;

    if (kind != VMM_COMPRESSION_GZIP)
        g_byte_array_append (payload, (const guint8 *)&size, 4);
    uint32_t kernel = (code + payload->len + 15) & ~15u;
    g_byte_array_set_size (bz, SETUP_SIZE + kernel);
    memset (bz->data, 0, bz->len);
    uint8_t *p = bz->data;
    memcpy (p, "MZ", 2);
    p[0x1f1] = SETUP_SIZE / 512 - 1;
    vmm_put_u32 (p + 0x1f4, kernel / 16);
    vmm_put_u16 (p + VMM_SETUP_BOOT_FLAG, 0xaa55);
    p[0x200] = 0xeb;
    p[VMM_SETUP_JUMP_LENGTH] = 0x6a;
    memcpy (p + VMM_SETUP_MAGIC, "HdrS", 4);
    vmm_put_u16 (p + VMM_SETUP_VERSION, 0x020f);
    vmm_put_u16 (p + VMM_SETUP_KERNEL_VERSION, 0x300 - 0x200);
    strcpy ((char *)p + 0x300, version);
    p[VMM_SETUP_LOADFLAGS] = 1;
    vmm_put_u32 (p + VMM_SETUP_INITRD_ADDR_MAX, 0x7fffffff);
    vmm_put_u32 (p + VMM_SETUP_KERNEL_ALIGNMENT, IMAGE_ALIGN);
    p[VMM_SETUP_RELOCATABLE] = 1;
    vmm_put_u16 (p + VMM_SETUP_XLOADFLAGS, 0x7f);
    vmm_put_u32 (p + VMM_SETUP_CMDLINE_SIZE, 2047);
    vmm_put_u32 (p + VMM_SETUP_PAYLOAD_OFFSET, code);
    vmm_put_u32 (p + VMM_SETUP_PAYLOAD_LENGTH, payload->len);
    vmm_put_u64 (p + VMM_SETUP_PREF_ADDRESS, IMAGE_PHYS);
    vmm_put_u32 (p + VMM_SETUP_INIT_SIZE, 0x100000);
    memset (p + SETUP_SIZE, 0x90, code);
    memcpy (p + SETUP_SIZE + code, payload->data, payload->len);
    return bz;
}

VmmSpan
image_span (const GByteArray *bytes)
{
    return (VmmSpan){bytes->data, bytes->len};
}

VmmGuestMemory *
image_guest_memory (uint64_t mib)
{
    VmmMemRange range = {0, mib << 20};
    VmmMemBacking backing = {.kind = VMM_MEM_BACKING_ANON};

    return vmm_guest_memory_new (&range, 1, &backing, NULL);
}

bool
image_error_has (const GError *error, const char *text)
{
    return error != NULL && strstr (error->message, text) != NULL;
}
