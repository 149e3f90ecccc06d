/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "../loader/images.h"
#include "remove-tree.h"
#include "vmm/error.h"
#include "vmm/image-internal.h"
#include "vmm/image.h"

#define BANNER "Linux version 6.1.9-mine (me@here) (gcc) #7 SMP Tue\n"
#define HEAD "#\n# Automatically generated file; DO NOT EDIT.\n# Linux/x86 6.1.9 Kernel Configuration\n#\n"
/* Everything that is asked for. */
#define FULL                                                                                                 \
    HEAD "CONFIG_X86_64=y\nCONFIG_SMP=y\nCONFIG_NR_CPUS=64\nCONFIG_ACPI=y\nCONFIG_PCI=y\nCONFIG_PCI_MSI=y\n" \
         "CONFIG_SERIAL_8250_CONSOLE=y\nCONFIG_VIRTIO_PCI=y\nCONFIG_VIRTIO_BLK=y\nCONFIG_VIRTIO_NET=m\n"     \
         "CONFIG_KVM_GUEST=y\nCONFIG_BLK_DEV_INITRD=y\nCONFIG_RD_GZIP=y\nCONFIG_RD_ZSTD=y\n"

static char *folder;

static void
make_folder (void)
{
    folder = g_dir_make_tmp ("vmm-image-XXXXXX", NULL);
}

static void
drop_folder (void)
{
    remove_tree (folder);
    g_free (folder);
}

TestSuite (image, .init = make_folder, .fini = drop_folder);

static char *
put (const char *name, const void *data, size_t len)
{
    char *path = g_build_filename (folder, name, NULL);
    g_autofree char *parent = g_path_get_dirname (path);

    g_mkdir_with_parents (parent, 0777);
    cr_assert (g_file_set_contents (path, data, (gssize)len, NULL));
    return path;
}

static char *
put_text (const char *name, const char *text)
{
    return put (name, text, strlen (text));
}

static char *
put_bytes (const char *name, const GByteArray *bytes)
{
    return put (name, bytes->data, bytes->len);
}

/* A vmlinux; @config inside it where it is not NULL. */
static GByteArray *
make_vmlinux (const char *config)
{
    ImageElf spec = image_linux ();
    GByteArray *elf = image_elf (&spec);

    g_byte_array_append (elf, (const guint8 *)BANNER, sizeof BANNER);
    if (config != NULL) {
        g_autoptr (GByteArray) packed =
            image_compress (VMM_COMPRESSION_GZIP, (VmmSpan){(const uint8_t *)config, strlen (config)});
        g_byte_array_append (elf, (const guint8 *)"IKCFG_ST", 8);
        g_byte_array_append (elf, packed->data, packed->len);
        g_byte_array_append (elf, (const guint8 *)"IKCFG_ED", 8);
    }
    return elf;
}

static char *
put_vmlinux (const char *name, const char *config)
{
    g_autoptr (GByteArray) elf = make_vmlinux (config);

    return put_bytes (name, elf);
}

static VmmImage *
open_image (const char *path)
{
    g_autoptr (GError) error = NULL;
    VmmImage *image = vmm_image_open (path, &error);

    cr_assert_not_null (image, "%s", error != NULL ? error->message : "no error");
    return image;
}

static const VmmImageCheck *
find_check (const VmmImage *image, const char *id)
{
    for (unsigned i = 0; i < vmm_image_get_n_checks (image); i++) {
        const VmmImageCheck *check = vmm_image_get_check (image, i);
        if (g_str_equal (check->id, id))
            return check;
    }
    return NULL;
}

static void
assert_check (const VmmImage *image, const char *id, VmmImageLevel level, VmmImageBasis basis,
              const char *value)
{
    const VmmImageCheck *check = find_check (image, id);

    cr_assert_not_null (check, "no check %s", id);
    cr_assert_eq (check->level, level, "%s is %s", id, vmm_image_level_to_string (check->level));
    cr_assert_eq (check->basis, basis, "%s by %s", id, vmm_image_basis_to_string (check->basis));
    cr_assert_str_eq (check->value, value);
}

static void
assert_refused (const char *path, int code, const char *text)
{
    g_autoptr (GError) error = NULL;

    cr_assert_null (vmm_image_open (path, &error));
    cr_assert (g_error_matches (error, VMM_ERROR, code), "%s", error->message);
    cr_assert (g_str_has_prefix (error->message, "kernel \""), "%s", error->message);
    cr_assert_not_null (strstr (error->message, path), "%s", error->message);
    cr_assert_not_null (strstr (error->message, text), "%s", error->message);
}

Test (image, what_is_no_kernel_is_refused_as_at_boot)
{
    g_autoptr (GByteArray) elf = make_vmlinux (NULL);
    g_autoptr (GByteArray) bz = image_bzimage (VMM_COMPRESSION_GZIP, elf);
    g_autofree char *missing = g_build_filename (folder, "missing", NULL);
    g_autofree char *empty = put_text ("empty", "");
    g_autofree char *script = put_text ("script", "#!/bin/sh\n");
    g_autofree char *cut = put ("cut", bz->data, bz->len - 100);
    uint8_t arm[64] = "MZ";
    memcpy (arm + 56, "ARM\x64", 4);
    g_autofree char *arm64 = put ("Image", arm, sizeof arm);

    assert_refused (missing, VMM_ERROR_USAGE, "No such file");
    assert_refused (folder, VMM_ERROR_USAGE, "this is a directory");
    assert_refused ("/dev/null", VMM_ERROR_USAGE, "not a regular file");
    assert_refused (empty, VMM_ERROR_USAGE, "empty");
    assert_refused (script, VMM_ERROR_NOT_BOOTABLE, "a script");
    assert_refused (cut, VMM_ERROR_NOT_BOOTABLE, "truncated at byte");
    assert_refused (arm64, VMM_ERROR_NOT_BOOTABLE, "arm64");
}

Test (image, a_payload_that_cannot_be_unpacked_is_refused)
{
    g_autoptr (GByteArray) elf = make_vmlinux (NULL);
    g_autoptr (GByteArray) bz = image_bzimage (VMM_COMPRESSION_GZIP, elf);
    uint32_t payload = vmm_get_u32 (bz->data + VMM_SETUP_PAYLOAD_OFFSET);
    uint32_t len = vmm_get_u32 (bz->data + VMM_SETUP_PAYLOAD_LENGTH);
    size_t kernel = (bz->data[0x1f1] + 1u) * 512;

    memset (bz->data + kernel + payload + len / 2, 0xff, 16);
    g_autofree char *path = put_bytes ("vmlinuz", bz);
    assert_refused (path, VMM_ERROR_NOT_BOOTABLE, "");
}

Test (image, facts_of_a_vmlinux)
{
    g_autoptr (GByteArray) elf = make_vmlinux (NULL);
    g_autofree char *path = put_bytes ("kernel", elf);
    g_autoptr (VmmImage) image = open_image (path);
    const VmmImageFacts *facts = vmm_image_get_facts (image);

    cr_assert_eq (facts->format, VMM_IMAGE_ELF);
    cr_assert (facts->is_linux && facts->is_64 && facts->has_entry_unpacked && !facts->has_entry_bzimage);
    cr_assert_eq (facts->boot_protocol, 0);
    cr_assert_eq (facts->file_size, elf->len);
    cr_assert_eq (facts->unpacked_size, elf->len);
    cr_assert_null (facts->wrapper);
    cr_assert_null (facts->compression);
    cr_assert_str_eq (facts->version, "6.1.9-mine (me@here) (gcc) #7 SMP Tue");
    cr_assert_str_eq (facts->release, "6.1.9-mine");
    cr_assert_str_eq (facts->default_entry, "unpacked");
    cr_assert_eq (facts->load_start, IMAGE_PHYS);
    cr_assert_gt (facts->load_end, facts->load_start);
    assert_check (image, "kaslr", VMM_IMAGE_NOTE, VMM_IMAGE_BASIS_IMAGE, "fixed address");
}

Test (image, facts_of_a_bzimage)
{
    static const uint32_t add32[] = {0x81000000};
    ImageElf spec = image_linux ();
    spec.has_pvh = true;
    spec.pvh_entry = IMAGE_PHYS + 0x100;
    g_autoptr (GByteArray) elf = image_elf (&spec);
    image_add_relocs (elf, NULL, 0, NULL, -1, add32, 1);
    g_autoptr (GByteArray) bz = image_bzimage (VMM_COMPRESSION_ZSTD, elf);
    g_autofree char *path = put_bytes ("bzImage", bz);
    g_autoptr (VmmImage) image = open_image (path);
    const VmmImageFacts *facts = vmm_image_get_facts (image);

    cr_assert_eq (facts->format, VMM_IMAGE_BZIMAGE);
    cr_assert_eq (facts->boot_protocol, 0x020f);
    cr_assert (facts->efi_stub && facts->relocatable && facts->kaslr);
    cr_assert_str_eq (facts->compression, "zstd");
    cr_assert_eq (facts->unpacked_size, elf->len);
    cr_assert (facts->has_entry_bzimage && facts->has_entry_unpacked && facts->has_entry_pvh);
    cr_assert_eq (facts->entry_pvh, IMAGE_PHYS + 0x100);
    cr_assert_str_eq (facts->default_entry, "unpacked");
    cr_assert_str_eq (facts->release, "6.1.0-test");
    cr_assert_eq (facts->load_start, IMAGE_PHYS);
    cr_assert_eq (facts->load_end, IMAGE_PHYS + 0x100000);
    cr_assert_eq (facts->cmdline_max, 2047);
    assert_check (image, "kaslr", VMM_IMAGE_OK, VMM_IMAGE_BASIS_IMAGE, "random addresses");
}

Test (image, a_wrapper_is_told)
{
    g_autoptr (GByteArray) elf = make_vmlinux (NULL);
    g_autoptr (GByteArray) gz = image_compress (VMM_COMPRESSION_GZIP, image_span (elf));
    g_autofree char *path = put_bytes ("vmlinux.gz", gz);
    g_autoptr (VmmImage) image = open_image (path);
    const VmmImageFacts *facts = vmm_image_get_facts (image);

    cr_assert_str_eq (facts->wrapper, "gzip");
    cr_assert_eq (facts->file_size, gz->len);
    cr_assert_eq (facts->unpacked_size, elf->len);
}

Test (image, the_configuration_inside_answers)
{
    g_autofree char *path = put_vmlinux ("vmlinux", FULL);
    g_autoptr (VmmImage) image = open_image (path);
    const VmmImageFacts *facts = vmm_image_get_facts (image);

    cr_assert_str_eq (vmm_image_get_config (image), FULL);
    cr_assert_eq (facts->config_source, VMM_IMAGE_CONFIG_EMBEDDED);
    cr_assert_null (facts->config_path);
    cr_assert_eq (facts->console, VMM_IMAGE_YES);
    cr_assert_eq (facts->disks, VMM_IMAGE_YES);
    cr_assert_eq (facts->network, VMM_IMAGE_MODULE);
    cr_assert_eq (facts->max_cpus, 64);
    assert_check (image, "console.serial", VMM_IMAGE_OK, VMM_IMAGE_BASIS_CONFIG, "built in");
    assert_check (image, "virtio.net", VMM_IMAGE_NOTE, VMM_IMAGE_BASIS_CONFIG, "module");
    assert_check (image, "initrd", VMM_IMAGE_OK, VMM_IMAGE_BASIS_CONFIG, "gzip, zstd");
    assert_check (image, "cpus", VMM_IMAGE_OK, VMM_IMAGE_BASIS_CONFIG, "up to 64");
    cr_assert_not_null (strstr (find_check (image, "virtio.net")->advice, "virtio_net"));
    cr_assert_eq (vmm_image_get_level (image), VMM_IMAGE_NOTE);
}

Test (image, the_configuration_inside_a_bzimage_answers)
{
    g_autoptr (GByteArray) elf = make_vmlinux (FULL);
    g_autoptr (GByteArray) bz = image_bzimage (VMM_COMPRESSION_LZ4_LEGACY, elf);
    g_autofree char *path = put_bytes ("bzImage", bz);
    g_autoptr (VmmImage) image = open_image (path);

    cr_assert_str_eq (vmm_image_get_config (image), FULL);
    cr_assert_eq (vmm_image_get_facts (image)->console, VMM_IMAGE_YES);
}

/* Options whose names begin alike, and the comment that stands for "n", are no answer. */
Test (image, what_is_missing_is_a_warning_with_advice)
{
    g_autofree char *path = put_vmlinux (
        "vmlinux",
        HEAD "CONFIG_X86_64=y\n# CONFIG_SMP is not set\nCONFIG_ACPI_VIDEO=y\n# CONFIG_PCI is not set\n"
             "CONFIG_HAVE_SERIAL_8250_CONSOLE=y\nCONFIG_VIRTIO_PCI=y\nCONFIG_VIRTIO_BLK=y\n");
    g_autoptr (VmmImage) image = open_image (path);
    const VmmImageFacts *facts = vmm_image_get_facts (image);

    cr_assert_eq (facts->console, VMM_IMAGE_NO);
    cr_assert_eq (facts->disks, VMM_IMAGE_NO);
    cr_assert_eq (facts->max_cpus, 1);
    assert_check (image, "console.serial", VMM_IMAGE_WARNING, VMM_IMAGE_BASIS_CONFIG, "missing");
    assert_check (image, "acpi", VMM_IMAGE_WARNING, VMM_IMAGE_BASIS_CONFIG, "missing");
    assert_check (image, "pci", VMM_IMAGE_WARNING, VMM_IMAGE_BASIS_CONFIG, "missing");
    assert_check (image, "pci.msi", VMM_IMAGE_WARNING, VMM_IMAGE_BASIS_CONFIG, "missing");
    assert_check (image, "virtio.blk", VMM_IMAGE_OK, VMM_IMAGE_BASIS_CONFIG, "built in");
    assert_check (image, "virtio.net", VMM_IMAGE_NOTE, VMM_IMAGE_BASIS_CONFIG, "missing");
    assert_check (image, "kvm-guest", VMM_IMAGE_NOTE, VMM_IMAGE_BASIS_CONFIG, "missing");
    assert_check (image, "initrd", VMM_IMAGE_WARNING, VMM_IMAGE_BASIS_CONFIG, "missing");
    assert_check (image, "cpus", VMM_IMAGE_NOTE, VMM_IMAGE_BASIS_CONFIG, "one");
    cr_assert_str_eq (find_check (image, "pci")->advice, "build it with CONFIG_PCI=y");
    cr_assert_eq (vmm_image_get_level (image), VMM_IMAGE_WARNING);
}

static void
assert_found (const char *kernel, const char *config)
{
    g_autoptr (VmmImage) image = open_image (kernel);
    const VmmImageFacts *facts = vmm_image_get_facts (image);

    cr_assert_eq (facts->config_source, config != NULL ? VMM_IMAGE_CONFIG_BESIDE : VMM_IMAGE_CONFIG_NONE);
    cr_assert_eq (config == NULL, facts->config_path == NULL);
    if (config != NULL)
        cr_assert (g_str_has_suffix (facts->config_path, config), "%s", facts->config_path);
    cr_assert_null (vmm_image_get_config (image));
}

Test (image, the_configuration_beside_is_found)
{
    g_autofree char *debian = put_vmlinux ("boot/vmlinuz-6.1.9-mine", NULL);
    g_autofree char *debian_config = put_text ("boot/config-6.1.9-mine", FULL);
    g_autofree char *fedora = put_vmlinux ("modules/vmlinuz", NULL);
    g_autofree char *fedora_config = put_text ("modules/config", FULL);
    g_autofree char *tree = put_vmlinux ("tree/arch/x86/boot/bzImage", NULL);
    g_autofree char *tree_config = put_text ("tree/.config", FULL);
    g_autofree char *top = put_vmlinux ("tree/vmlinux", NULL);
    g_autofree char *link = g_build_filename (folder, "vmlinuz", NULL);

    cr_assert_eq (symlink ("boot/vmlinuz-6.1.9-mine", link), 0);
    assert_found (debian, "/boot/config-6.1.9-mine");
    assert_found (fedora, "/modules/config");
    assert_found (tree, "/../../../.config");
    assert_found (top, "/tree/.config");
    assert_found (link, "/boot/config-6.1.9-mine");
}

Test (image, what_is_no_configuration_of_this_kernel_is_not_taken)
{
    g_autofree char *kernel = put_vmlinux ("vmlinuz-1", NULL);
    g_autofree char *old =
        put_text ("config-1", "# Linux/x86 5.10.3 Kernel Configuration\nCONFIG_X86_64=y\n");
    g_autofree char *arm = put_text (".config", "# Linux/arm64 6.1.9 Kernel Configuration\nCONFIG_ARM64=y\n");

    assert_found (kernel, NULL);
}

Test (image, a_given_configuration_comes_before_the_one_inside)
{
    g_autofree char *kernel = put_vmlinux ("vmlinux", FULL);
    g_autofree char *given = put_text ("my.config", HEAD "CONFIG_X86_64=y\n");
    g_autoptr (VmmImage) image = open_image (kernel);

    cr_assert (vmm_image_read_config (image, given, NULL));
    cr_assert_eq (vmm_image_get_facts (image)->config_source, VMM_IMAGE_CONFIG_GIVEN);
    cr_assert_str_eq (vmm_image_get_facts (image)->config_path, given);
    cr_assert_eq (vmm_image_get_facts (image)->console, VMM_IMAGE_NO);
    assert_check (image, "console.serial", VMM_IMAGE_WARNING, VMM_IMAGE_BASIS_CONFIG, "missing");
    cr_assert_str_eq (vmm_image_get_config (image), FULL);
}

Test (image, a_bad_configuration_changes_nothing)
{
    g_autofree char *kernel = put_vmlinux ("vmlinux", FULL);
    g_autofree char *minimal = put_text ("defconfig", "CONFIG_SERIAL_8250_CONSOLE=y\n");
    g_autofree char *missing = g_build_filename (folder, "missing", NULL);
    const char *const paths[] = {minimal, missing, folder};
    g_autoptr (VmmImage) image = open_image (kernel);

    for (size_t i = 0; i < G_N_ELEMENTS (paths); i++) {
        g_autoptr (GError) error = NULL;
        cr_assert_not (vmm_image_read_config (image, paths[i], &error));
        cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE));
        cr_assert (g_str_has_prefix (error->message, "kconfig \""), "%s", error->message);
    }
    cr_assert_eq (vmm_image_get_facts (image)->config_source, VMM_IMAGE_CONFIG_EMBEDDED);
    cr_assert_eq (vmm_image_get_facts (image)->console, VMM_IMAGE_YES);
}

Test (image, a_given_configuration_of_another_version_is_warned_of)
{
    g_autofree char *kernel = put_vmlinux ("vmlinux", NULL);
    g_autofree char *given =
        put_text ("my.config", "# Linux/x86 6.12.1 Kernel Configuration\nCONFIG_X86_64=y\nCONFIG_ACPI=y\n");
    g_autoptr (VmmImage) image = open_image (kernel);

    cr_assert (vmm_image_read_config (image, given, NULL));
    assert_check (image, "config", VMM_IMAGE_WARNING, VMM_IMAGE_BASIS_IMAGE, "of another kernel");
    assert_check (image, "acpi", VMM_IMAGE_OK, VMM_IMAGE_BASIS_CONFIG, "built in");
}

static void
append_padded (GByteArray *bytes, const void *data, size_t len)
{
    static const guint8 zeros[8] = {0};

    g_byte_array_append (bytes, zeros, 1);
    g_byte_array_append (bytes, data, (guint)len);
    g_byte_array_append (bytes, zeros, 8 - bytes->len % 8);
}

Test (image, without_a_configuration_strings_are_a_guess)
{
    static const char *const texts[] = {
        "8250.nr_uarts",
        "6ACPI: Core revision %08x",
        "6PCI: Using configuration type %d for base access",
        "can't enable MSI (MSI-X already enabled)",
        "virtio-pci",
        "virtio_blk.queue_depth",
        "6smpboot: Total of %d processors activated (%lu.%02lu BogoMIPS)",
    };
    const struct {
        char name[16];
        uint64_t write;
    } console = {"ttyS", UINT64_C (0xffffffff81001000)};
    g_autoptr (GByteArray) elf = make_vmlinux (NULL);

    for (size_t i = 0; i < G_N_ELEMENTS (texts); i++)
        append_padded (elf, texts[i], strlen (texts[i]));
    g_byte_array_append (elf, (const guint8 *)&console, sizeof console);
    g_autofree char *path = put_bytes ("vmlinux", elf);
    g_autoptr (VmmImage) image = open_image (path);
    const VmmImageFacts *facts = vmm_image_get_facts (image);

    cr_assert_eq (facts->console, VMM_IMAGE_YES);
    cr_assert_eq (facts->disks, VMM_IMAGE_YES);
    cr_assert_eq (facts->network, VMM_IMAGE_UNKNOWN);
    cr_assert_eq (facts->max_cpus, 0);
    assert_check (image, "config", VMM_IMAGE_NOTE, VMM_IMAGE_BASIS_NONE, "not found");
    assert_check (image, "console.serial", VMM_IMAGE_OK, VMM_IMAGE_BASIS_GUESS, "built in, it seems");
    assert_check (image, "virtio.net", VMM_IMAGE_NOTE, VMM_IMAGE_BASIS_GUESS, "a module, or missing");
    assert_check (image, "initrd", VMM_IMAGE_WARNING, VMM_IMAGE_BASIS_GUESS, "missing, it seems");
    assert_check (image, "cpus", VMM_IMAGE_OK, VMM_IMAGE_BASIS_GUESS, "several, it seems");
}

/* The driver alone is no console: the name must be in a struct console. */
Test (image, the_serial_driver_alone_is_no_console)
{
    g_autoptr (GByteArray) elf = make_vmlinux (NULL);

    append_padded (elf, "8250.nr_uarts", 13);
    append_padded (elf, "ttyS", 4);
    g_byte_array_append (elf, (const guint8 *)"something else", 14);
    g_autofree char *path = put_bytes ("vmlinux", elf);
    g_autoptr (VmmImage) image = open_image (path);

    assert_check (image, "console.serial", VMM_IMAGE_WARNING, VMM_IMAGE_BASIS_GUESS, "missing, it seems");
}

Test (image, a_payload_for_the_guest_to_unpack_is_bootable_and_unknown)
{
    g_autoptr (GByteArray) elf = make_vmlinux (FULL);
    g_autoptr (GByteArray) bz = image_bzimage (VMM_COMPRESSION_ZSTD, elf);
    size_t payload = (bz->data[0x1f1] + 1u) * 512 + vmm_get_u32 (bz->data + VMM_SETUP_PAYLOAD_OFFSET);

    memcpy (bz->data + payload, "BZh9", 4);
    g_autofree char *path = put_bytes ("vmlinuz-x", bz);
    g_autoptr (VmmImage) image = open_image (path);
    const VmmImageFacts *facts = vmm_image_get_facts (image);

    cr_assert_str_eq (facts->default_entry, "bzimage");
    cr_assert_str_eq (facts->compression, "bzip2");
    cr_assert_not (facts->has_entry_unpacked);
    cr_assert_eq (facts->unpacked_size, 0);
    cr_assert_eq (facts->console, VMM_IMAGE_UNKNOWN);
    assert_check (image, "entry", VMM_IMAGE_NOTE, VMM_IMAGE_BASIS_IMAGE, "bzimage");
    assert_check (image, "kaslr", VMM_IMAGE_NOTE, VMM_IMAGE_BASIS_NONE, "unknown");
    cr_assert_null (find_check (image, "console.serial"));

    g_autofree char *given = put_text ("c", FULL "CONFIG_RANDOMIZE_BASE=y\n");
    cr_assert (vmm_image_read_config (image, given, NULL));
    assert_check (image, "kaslr", VMM_IMAGE_OK, VMM_IMAGE_BASIS_CONFIG, "random addresses");
    assert_check (image, "console.serial", VMM_IMAGE_OK, VMM_IMAGE_BASIS_CONFIG, "built in");
}

static ImageElf
make_hobby_kernel (uint64_t pvh_entry)
{
    ImageElf spec = image_linux ();

    spec.linux_note = false;
    spec.has_pvh = true;
    spec.pvh_entry = pvh_entry;
    return spec;
}

Test (image, a_kernel_that_is_not_linux_is_not_judged)
{
    ImageElf spec = make_hobby_kernel (IMAGE_PHYS);
    g_autoptr (GByteArray) elf = image_elf (&spec);
    g_autofree char *path = put_bytes ("hobby", elf);
    g_autoptr (VmmImage) image = open_image (path);
    const VmmImageFacts *facts = vmm_image_get_facts (image);

    cr_assert_not (facts->is_linux);
    cr_assert_null (facts->version);
    cr_assert_str_eq (facts->default_entry, "pvh");
    cr_assert_eq (facts->console, VMM_IMAGE_UNKNOWN);
    assert_check (image, "kernel", VMM_IMAGE_NOTE, VMM_IMAGE_BASIS_IMAGE, "not Linux");
    cr_assert_null (find_check (image, "config"));
    cr_assert_eq (vmm_image_get_level (image), VMM_IMAGE_NOTE);
}

Test (image, an_entry_outside_of_the_kernel_is_a_failure)
{
    ImageElf spec = make_hobby_kernel (0x100);
    g_autoptr (GByteArray) elf = image_elf (&spec);
    g_autofree char *path = put_bytes ("hobby", elf);
    g_autoptr (VmmImage) image = open_image (path);

    cr_assert_eq (vmm_image_get_level (image), VMM_IMAGE_FAILURE);
    assert_check (image, "entry", VMM_IMAGE_FAILURE, VMM_IMAGE_BASIS_IMAGE, "none that works");
    cr_assert_not_null (strstr (find_check (image, "entry")->advice, "unpacked"));
}

Test (image, a_version_cannot_speak_to_the_terminal)
{
    static const char banner[] = "Linux version 6.1.9\033[2J\r\007evil\n";
    ImageElf spec = image_linux ();
    g_autoptr (GByteArray) elf = image_elf (&spec);

    g_byte_array_append (elf, (const guint8 *)banner, sizeof banner);
    g_autofree char *path = put_bytes ("vmlinux", elf);
    g_autoptr (VmmImage) image = open_image (path);

    cr_assert_str_eq (vmm_image_get_facts (image)->version, "6.1.9?[2J??evil");
}

Test (image, each_check_says_what_it_means)
{
    g_autofree char *path = put_vmlinux ("vmlinux", HEAD "CONFIG_X86_64=y\n");
    g_autoptr (VmmImage) image = open_image (path);
    g_autoptr (GHashTable) ids = g_hash_table_new (g_str_hash, g_str_equal);
    unsigned n = vmm_image_get_n_checks (image);

    cr_assert_gt (n, 10);
    for (unsigned i = 0; i < n; i++) {
        const VmmImageCheck *check = vmm_image_get_check (image, i);
        cr_assert (g_hash_table_add (ids, (gpointer)check->id), "%s twice", check->id);
        cr_assert (g_str_has_suffix (check->explanation, "."), "%s", check->explanation);
        cr_assert (check->level < VMM_IMAGE_WARNING || check->advice != NULL, "%s without advice", check->id);
    }
    cr_assert_null (vmm_image_get_check (image, n));
}

Test (image_config, versions_are_compared_by_series)
{
    const char *text = "# Linux/x86 6.1.192 Kernel Configuration\n";

    cr_assert (vmm_image_config_is_of (text, "6.1.0-56-amd64"));
    cr_assert (vmm_image_config_is_of (text, NULL));
    cr_assert (vmm_image_config_is_of (text, "strange"));
    cr_assert (vmm_image_config_is_of ("CONFIG_X86_64=y\n", "6.1.0"));
    cr_assert_not (vmm_image_config_is_of (text, "6.12.117+deb12-cloud-amd64"));
    cr_assert_not (vmm_image_config_is_of (text, "5.10"));
    cr_assert (vmm_image_config_is_of ("# Linux/x86", "6.1"));
    cr_assert (vmm_image_config_is_of ("# Linux/x86 6.1", "6.1.3"));
}

Test (image_config, numbers)
{
    VmmImageEvidence evidence = {0};

    vmm_image_evidence_set_config (&evidence, "CONFIG_NR_CPUS=8192\nCONFIG_NAME=\"64\"\n");
    cr_assert_eq (vmm_image_evidence_number (&evidence, "CONFIG_NR_CPUS"), 8192);
    cr_assert_eq (vmm_image_evidence_number (&evidence, "CONFIG_NAME"), 0);
    cr_assert_eq (vmm_image_evidence_number (&evidence, "CONFIG_NONE"), 0);
    vmm_image_evidence_clear (&evidence);
}
