/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: looking at a kernel image.
 *
 * The loader says what the image is: the same code that boots it, so a file that is refused here is refused
 * there, in the same words. The kernel in a bzImage is unpacked, to see that it can be and to look into it.
 *
 * What a Linux kernel will find on our machine is decided by how it was built. Its configuration tells: the
 * one inside it, or a file. Without one, strings in the kernel give hints. A finding says what it stands on.
 *
 *   image.c           the image itself, and the typed facts
 *   image-config.c    the configuration as a file
 *   image-evidence.c  questions to the configuration, or to the strings
 *   image-checks.c    the findings, and their words
 *
 * All is done when the image is opened, and the file is closed then.
 */
#include "vmm/image.h"

#include <string.h>

#include "loader/kernel-load.h"
#include "vmm/error.h"
#include "vmm/image-internal.h"
#include "vmm/mapped-file.h"

/* A kernel's own words go to terminals. */
static char *
make_printable (char *text)
{
    for (char *c = text; text != NULL && *c != 0; c++)
        if (!g_ascii_isprint (*c))
            *c = '?';
    return text != NULL ? g_strstrip (text) : NULL;
}

static void
take_bzimage (VmmImage *image, const VmmKernelImage *kernel)
{
    VmmImageFacts *facts = &image->facts;
    const VmmBzImage *bz = &kernel->bzimage;

    facts->boot_protocol = bz->version;
    facts->efi_stub = bz->has_efi_stub;
    facts->compression =
        bz->compression != VMM_COMPRESSION_NONE ? vmm_compression_name (bz->compression) : NULL;
    facts->packed_size = bz->payload.len;
    facts->has_entry_bzimage = true;
    facts->is_64 = true;
    facts->relocatable = bz->relocatable;
    facts->load_start = bz->pref_address;
    facts->load_end = bz->pref_address + MIN (bz->init_size, G_MAXUINT64 - bz->pref_address);
    facts->cmdline_max = bz->cmdline_max;
}

static void
take_elf (VmmImage *image, const VmmKernelImage *kernel)
{
    VmmImageFacts *facts = &image->facts;
    const VmmElf *elf = &kernel->elf;

    facts->is_64 = elf->is_64;
    facts->unpacked_size = kernel->vmlinux.len;
    facts->has_entry_unpacked = elf->is_64 && elf->has_entry;
    facts->entry_unpacked = facts->has_entry_unpacked ? elf->entry_gpa : 0;
    facts->has_entry_pvh = kernel->notes.has_pvh;
    facts->entry_pvh = kernel->notes.pvh_entry;
    facts->kaslr = vmm_kernel_image_has_kaslr (kernel);
    if (kernel->format == VMM_KERNEL_FORMAT_ELF) {
        facts->load_start = elf->phys_start;
        facts->load_end = elf->phys_end;
    }
}

/* The loader's choice for "auto", and whether it can work out. */
static void
choose_entry (VmmImage *image, const VmmKernelImage *kernel)
{
    VmmImageFacts *facts = &image->facts;
    VmmKernelEntry entry = VMM_KERNEL_ENTRY_UNPACKED;

    if (kernel->format == VMM_KERNEL_FORMAT_BZIMAGE && !kernel->has_elf)
        entry = VMM_KERNEL_ENTRY_BZIMAGE;
    else if (kernel->format == VMM_KERNEL_FORMAT_BZIMAGE && !facts->has_entry_unpacked)
        image->entry_failure = "the vmlinux inside has no 64-bit entry";
    else if (kernel->format == VMM_KERNEL_FORMAT_ELF &&
             (!facts->has_entry_unpacked || (!facts->is_linux && facts->has_entry_pvh)))
        entry = VMM_KERNEL_ENTRY_PVH;
    if (entry == VMM_KERNEL_ENTRY_PVH &&
        (facts->entry_pvh < kernel->elf.phys_start || facts->entry_pvh >= kernel->elf.phys_end))
        image->entry_failure = "its PVH entry lies outside of what is loaded";
    facts->default_entry = vmm_kernel_entry_name (entry);
}

static void
find_config (VmmImage *image, const char *path, VmmKernelImage *kernel)
{
    VmmImageFacts *facts = &image->facts;
    g_autofree char *beside = NULL;

    if (kernel->has_elf)
        image->embedded_config = vmm_kernel_image_config (kernel, NULL);
    if (image->embedded_config != NULL) {
        facts->config_source = VMM_IMAGE_CONFIG_EMBEDDED;
        vmm_image_evidence_set_config (&image->evidence, image->embedded_config);
        return;
    }
    image->config_path = vmm_image_config_find_beside (path, image->release, &beside);
    if (image->config_path != NULL) {
        facts->config_source = VMM_IMAGE_CONFIG_BESIDE;
        facts->config_path = image->config_path;
        vmm_image_evidence_set_config (&image->evidence, beside);
    } else if (kernel->has_elf) {
        vmm_image_evidence_search (&image->evidence, kernel->vmlinux);
    }
}

static void
take_facts (VmmImage *image, const char *path, VmmKernelImage *kernel)
{
    VmmImageFacts *facts = &image->facts;

    facts->format = kernel->format == VMM_KERNEL_FORMAT_BZIMAGE ? VMM_IMAGE_BZIMAGE : VMM_IMAGE_ELF;
    facts->is_linux = kernel->is_linux;
    facts->file_size = kernel->file.len;
    facts->wrapper = kernel->wrapper != VMM_COMPRESSION_NONE ? vmm_compression_name (kernel->wrapper) : NULL;
    if (kernel->format == VMM_KERNEL_FORMAT_BZIMAGE)
        take_bzimage (image, kernel);
    if (kernel->has_elf)
        take_elf (image, kernel);
    choose_entry (image, kernel);
    image->version = make_printable (vmm_kernel_image_version (kernel));
    if (image->version != NULL)
        image->release = g_strndup (image->version, strcspn (image->version, " "));
    facts->version = image->version;
    facts->release = image->release;
    if (facts->is_linux)
        find_config (image, path, kernel);
}

/**
 * vmm_image_open:
 * @path: a kernel
 * @error: of the domain %VMM_ERROR: %VMM_ERROR_USAGE when the file cannot be read; %VMM_ERROR_NOT_BOOTABLE
 * when it is no kernel, or one that this machine cannot boot, with what it is instead; %VMM_ERROR_HOST
 *
 * Looks at a kernel, and judges what it will find on the machine that libvmm makes. Where it has no
 * configuration inside, one is looked for beside it: config-VERSION where @path ends in vmlinuz-VERSION, and
 * .config at the top of its build tree. Unpacks the kernel: takes from some 50 ms to a second or two, by the
 * compression. Any thread may call it.
 *
 * Returns: (transfer full) (nullable): the image, or %NULL with @error set
 *
 * Since: 0.1
 */
VmmImage *
vmm_image_open (const char *path, GError **error)
{
    g_auto (VmmMappedFile) file = {0};
    g_autoptr (VmmKernelImage) kernel = NULL;

    if (!vmm_mapped_file_open ("kernel", path, &file, error) ||
        !vmm_kernel_image_parse (vmm_mapped_file_span (&file), path, &kernel, error))
        return NULL;
    /* A payload that only the guest can unpack is no fault. */
    if (kernel->format == VMM_KERNEL_FORMAT_BZIMAGE &&
        vmm_compression_supported (kernel->bzimage.compression) && !vmm_kernel_image_unpack (kernel, error))
        return NULL;
    g_autoptr (VmmImage) image = g_new0 (VmmImage, 1);
    take_facts (image, path, kernel);
    vmm_image_judge (image);
    return g_steal_pointer (&image);
}

/**
 * vmm_image_read_config:
 * @image: an image
 * @path: the complete .config of an x86-64 Linux kernel
 * @error: %VMM_ERROR_USAGE
 *
 * Judges the image by another configuration from now on, also where it has one inside. The checks that were
 * got before are gone. Not while another thread uses @image.
 *
 * Returns: false when there is no such configuration; then nothing changes
 *
 * Since: 0.1
 */
bool
vmm_image_read_config (VmmImage *image, const char *path, GError **error)
{
    g_autofree char *text = vmm_image_config_load (path, error);

    if (text == NULL)
        return false;
    vmm_image_evidence_set_config (&image->evidence, text);
    g_free (image->config_path);
    image->config_path = g_strdup (path);
    image->facts.config_path = image->config_path;
    image->facts.config_source = VMM_IMAGE_CONFIG_GIVEN;
    vmm_image_judge (image);
    return true;
}

/**
 * vmm_image_free:
 * @image: (nullable): an image
 *
 * Frees the image, its facts and its checks.
 *
 * Since: 0.1
 */
void
vmm_image_free (VmmImage *image)
{
    if (image == NULL)
        return;
    vmm_image_evidence_clear (&image->evidence);
    g_clear_pointer (&image->checks, g_ptr_array_unref);
    g_free (image->version);
    g_free (image->release);
    g_free (image->config_path);
    g_free (image->embedded_config);
    g_free (image);
}

/**
 * vmm_image_get_facts:
 * @image: an image
 *
 * Returns: (transfer none): the typed facts, valid as long as the image
 *
 * Since: 0.1
 */
const VmmImageFacts *
vmm_image_get_facts (const VmmImage *image)
{
    return &image->facts;
}

/**
 * vmm_image_get_config:
 * @image: an image
 *
 * Returns: (transfer none) (nullable): the text of the configuration inside the kernel, valid as long as the
 * image; %NULL when it was built without one (CONFIG_IKCONFIG)
 *
 * Since: 0.1
 */
const char *
vmm_image_get_config (const VmmImage *image)
{
    return image->embedded_config;
}

/**
 * vmm_image_get_n_checks:
 * @image: an image
 *
 * Returns: how many checks it has; which ones depends on the image
 *
 * Since: 0.1
 */
unsigned
vmm_image_get_n_checks (const VmmImage *image)
{
    return image->checks->len;
}

/**
 * vmm_image_get_check:
 * @image: an image
 * @index: which one, below vmm_image_get_n_checks()
 *
 * Returns: (transfer none) (nullable): the check, valid as long as the image and until
 * vmm_image_read_config(); %NULL beyond the last one
 *
 * Since: 0.1
 */
const VmmImageCheck *
vmm_image_get_check (const VmmImage *image, unsigned index)
{
    return index < image->checks->len ? g_ptr_array_index (image->checks, index) : NULL;
}

/**
 * vmm_image_get_level:
 * @image: an image
 *
 * Returns: the worst level of all checks; below %VMM_IMAGE_FAILURE it boots
 *
 * Since: 0.1
 */
VmmImageLevel
vmm_image_get_level (const VmmImage *image)
{
    VmmImageLevel worst = VMM_IMAGE_OK;

    for (guint i = 0; i < image->checks->len; i++) {
        const VmmImageCheck *check = g_ptr_array_index (image->checks, i);
        worst = MAX (worst, check->level);
    }
    return worst;
}

/**
 * vmm_image_answer_to_string:
 * @answer: an answer
 *
 * Returns: (transfer none): "unknown", "no", "module" or "yes"
 *
 * Since: 0.1
 */
const char *
vmm_image_answer_to_string (VmmImageAnswer answer)
{
    static const char *const names[] = {"unknown", "no", "module", "yes"};

    return (unsigned)answer < G_N_ELEMENTS (names) ? names[answer] : "unknown";
}

/**
 * vmm_image_basis_to_string:
 * @basis: what a finding stands on
 *
 * Returns: (transfer none): "none", "guess", "config" or "image"
 *
 * Since: 0.1
 */
const char *
vmm_image_basis_to_string (VmmImageBasis basis)
{
    static const char *const names[] = {"none", "guess", "config", "image"};

    return (unsigned)basis < G_N_ELEMENTS (names) ? names[basis] : "unknown";
}

/**
 * vmm_image_config_source_to_string:
 * @source: where a configuration is from
 *
 * Returns: (transfer none): "none", "embedded", "beside" or "given"
 *
 * Since: 0.1
 */
const char *
vmm_image_config_source_to_string (VmmImageConfigSource source)
{
    static const char *const names[] = {"none", "embedded", "beside", "given"};

    return (unsigned)source < G_N_ELEMENTS (names) ? names[source] : "unknown";
}

/**
 * vmm_image_format_to_string:
 * @format: a format
 *
 * Returns: (transfer none): "bzimage" or "elf"
 *
 * Since: 0.1
 */
const char *
vmm_image_format_to_string (VmmImageFormat format)
{
    static const char *const names[] = {"bzimage", "elf"};

    return (unsigned)format < G_N_ELEMENTS (names) ? names[format] : "unknown";
}

/**
 * vmm_image_level_to_string:
 * @level: a level
 *
 * Returns: (transfer none): "ok", "note", "warning" or "failure"
 *
 * Since: 0.1
 */
const char *
vmm_image_level_to_string (VmmImageLevel level)
{
    static const char *const names[] = {"ok", "note", "warning", "failure"};

    return (unsigned)level < G_N_ELEMENTS (names) ? names[level] : "unknown";
}
