/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a Linux kernel was built: by its configuration, or by signs of it in the unpacked kernel.
 *
 * A sign is a string that a driver leaves in a kernel that it is built into, such as the name of a parameter.
 * Where it is missing, the driver may still be there as a module; and another version of Linux may have other
 * words. So signs are for kernels without a configuration only, and what they say is called a guess.
 */
#include "vmm/image-internal.h"

#include <string.h>

#include "loader/kaslr.h"

/* Prime: no column of a table is looked at alone. */
#define SAMPLE_STRIDE 61u
/* struct console begins with its name, in a fixed room. */
#define CONSOLE_NAME_ROOM 16

typedef struct {
    const char *option;
    const char *text;
    bool whole;        /* @text is a whole string, not the start of one */
    bool maybe_module; /* without the sign, a module is as likely as nothing */
} Sign;

static const Sign signs[] = {
    {"CONFIG_SERIAL_8250_CONSOLE", "8250.nr_uarts", true, false},
    {"CONFIG_ACPI", "ACPI: Core revision ", false, false},
    {"CONFIG_PCI", "PCI: Using configuration type ", false, false},
    {"CONFIG_PCI_MSI", "can't enable MSI (MSI-X already enabled)", false, false},
    {"CONFIG_VIRTIO_PCI", "virtio-pci", true, true},
    {"CONFIG_VIRTIO_BLK", "virtio_blk.", false, true},
    {"CONFIG_VIRTIO_NET", "virtio_net.", false, true},
    {"CONFIG_BLK_DEV_INITRD", "Trying to unpack rootfs image as initramfs", false, false},
    {"CONFIG_KVM_GUEST", "kvm-clock", true, false},
    {"CONFIG_SMP", "processors activated (", false, false},
};
G_STATIC_ASSERT (G_N_ELEMENTS (signs) <= VMM_IMAGE_SIGNS_MAX);

/* The text after "OPTION=" in a configuration that begins with a newline, or NULL. */
static const char *
find_value (const char *config, const char *option)
{
    g_autofree char *needle = g_strconcat ("\n", option, "=", NULL);
    const char *hit = strstr (config, needle);

    return hit != NULL ? hit + strlen (needle) : NULL;
}

/**
 * vmm_image_config_is_complete:
 * @text: a file
 *
 * A minimal one, as `make savedefconfig` writes it, leaves out what is on by default: nothing can be learnt
 * from an option that is not in it.
 *
 * Returns: whether it is the complete configuration of an x86-64 Linux kernel
 */
bool
vmm_image_config_is_complete (const char *text)
{
    return g_str_has_prefix (text, "CONFIG_X86_64=y") || strstr (text, "\nCONFIG_X86_64=y") != NULL;
}

/* How long "6.1" is in "6.1.0-56-amd64"; 0 when @text is no version. */
static size_t
series_length (const char *text)
{
    size_t major = strspn (text, "0123456789");

    if (major == 0 || text[major] != '.')
        return 0;
    size_t minor = strspn (text + major + 1, "0123456789");
    return minor != 0 ? major + 1 + minor : 0;
}

/**
 * vmm_image_config_is_of:
 * @text: a configuration
 * @release: (nullable): what `uname -r` says
 *
 * Compares the first two numbers only: distributions number the rest on their own.
 *
 * Returns: false when @text says that it is for another Linux than @release
 */
bool
vmm_image_config_is_of (const char *text, const char *release)
{
    const char *head = strstr (text, "# Linux/");
    const char *version = head != NULL ? strchr (head, ' ') : NULL;

    version = version != NULL ? strchr (version + 1, ' ') : NULL;
    if (version == NULL || release == NULL)
        return true;
    version++;
    size_t said = series_length (version), is = series_length (release);
    return said == 0 || is == 0 || (said == is && strncmp (version, release, is) == 0);
}

/**
 * vmm_image_evidence_set_config:
 * @evidence: what is known
 * @text: a configuration; copied
 *
 * From now on the configuration answers.
 */
void
vmm_image_evidence_set_config (VmmImageEvidence *evidence, const char *text)
{
    g_free (evidence->config);
    evidence->config = g_strconcat ("\n", text, NULL);
}

/* How often each byte is in the image, of those that are looked at. */
static void
count_bytes (VmmSpan vmlinux, uint32_t counts[256])
{
    for (size_t i = 0; i < vmlinux.len; i += SAMPLE_STRIDE)
        counts[vmlinux.data[i]]++;
}

/*
 * Where @text begins at or after @from, or the image's length. It is found by its rarest byte: memchr()
 * passes over a kernel ten times as fast as memmem().
 */
static size_t
find_text (VmmSpan vmlinux, size_t from, const char *text, size_t len, const uint32_t counts[256])
{
    size_t anchor = 0;

    for (size_t i = 1; i < len; i++) {
        if (counts[(uint8_t)text[i]] < counts[(uint8_t)text[anchor]])
            anchor = i;
    }
    for (size_t at = from; vmlinux.len - at >= len;) {
        const uint8_t *hit = memchr (vmlinux.data + at + anchor, text[anchor], vmlinux.len - at - (len - 1));
        if (hit == NULL)
            break;
        at = (size_t)(hit - vmlinux.data) - anchor;
        if (memcmp (vmlinux.data + at, text, len) == 0)
            return at;
        at++;
    }
    return vmlinux.len;
}

static bool
has_text (VmmSpan vmlinux, const Sign *sign, const uint32_t counts[256])
{
    size_t len = strlen (sign->text);

    for (size_t at = 0; (at = find_text (vmlinux, at, sign->text, len, counts)) < vmlinux.len; at++) {
        const uint8_t *hit = vmlinux.data + at, *after = hit + len;
        if (!sign->whole || ((at == 0 || hit[-1] == 0) && at + len < vmlinux.len && *after == 0))
            return true;
    }
    return false;
}

/* A struct console of the serial driver: its name in a room of its own, and a pointer into the kernel. */
static bool
has_serial_console (VmmSpan vmlinux)
{
    static const char name[CONSOLE_NAME_ROOM] = "ttyS";
    uint64_t pointer;

    for (size_t at = 0; vmlinux.len - at >= sizeof name + sizeof pointer; at += 8) {
        if (memcmp (vmlinux.data + at, name, sizeof name) != 0)
            continue;
        pointer = vmm_get_u64 (vmlinux.data + at + sizeof name);
        if (pointer == 0 || pointer >= VMM_LINUX_MAP)
            return true;
    }
    return false;
}

/**
 * vmm_image_evidence_search:
 * @evidence: what is known
 * @vmlinux: an unpacked kernel
 *
 * Looks for the signs. Reads the kernel from end to end some ten times, which takes some ten milliseconds.
 */
void
vmm_image_evidence_search (VmmImageEvidence *evidence, VmmSpan vmlinux)
{
    uint32_t counts[256] = {0};

    count_bytes (vmlinux, counts);
    evidence->searched = vmlinux.len > 0;
    for (size_t i = 0; evidence->searched && i < G_N_ELEMENTS (signs); i++)
        evidence->seen[i] = has_text (vmlinux, &signs[i], counts) && (i != 0 || has_serial_console (vmlinux));
}

static VmmImageAnswer
ask_config (const char *config, const char *option)
{
    const char *value = find_value (config, option);

    if (value != NULL && *value == 'y')
        return VMM_IMAGE_YES;
    return value != NULL && *value == 'm' ? VMM_IMAGE_MODULE : VMM_IMAGE_NO;
}

/**
 * vmm_image_evidence_ask:
 * @evidence: what is known
 * @option: such as "CONFIG_PCI"
 * @ret_basis: what the answer stands on
 *
 * Returns: whether the kernel was built with it. %VMM_IMAGE_UNKNOWN by %VMM_IMAGE_BASIS_GUESS means: not
 * built in, but maybe a module
 */
VmmImageAnswer
vmm_image_evidence_ask (const VmmImageEvidence *evidence, const char *option, VmmImageBasis *ret_basis)
{
    *ret_basis = VMM_IMAGE_BASIS_NONE;
    if (evidence->config != NULL) {
        *ret_basis = VMM_IMAGE_BASIS_CONFIG;
        return ask_config (evidence->config, option);
    }
    for (size_t i = 0; evidence->searched && i < G_N_ELEMENTS (signs); i++) {
        if (strcmp (signs[i].option, option) != 0)
            continue;
        *ret_basis = VMM_IMAGE_BASIS_GUESS;
        if (evidence->seen[i])
            return VMM_IMAGE_YES;
        return signs[i].maybe_module ? VMM_IMAGE_UNKNOWN : VMM_IMAGE_NO;
    }
    return VMM_IMAGE_UNKNOWN;
}

/**
 * vmm_image_evidence_number:
 * @evidence: what is known
 * @option: such as "CONFIG_NR_CPUS"
 *
 * Returns: the number that the configuration has for it; 0 when there is none
 */
uint64_t
vmm_image_evidence_number (const VmmImageEvidence *evidence, const char *option)
{
    const char *value = evidence->config != NULL ? find_value (evidence->config, option) : NULL;

    return value != NULL && g_ascii_isdigit (*value) ? g_ascii_strtoull (value, NULL, 10) : 0;
}

/**
 * vmm_image_evidence_clear:
 * @evidence: what is known, or zeroed
 *
 * Frees what it owns.
 */
void
vmm_image_evidence_clear (VmmImageEvidence *evidence)
{
    g_free (evidence->config);
    *evidence = (VmmImageEvidence){0};
}
