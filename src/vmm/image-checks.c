/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The findings on an image, and their words. What the machine is like is said here: a serial port, devices by
 * ACPI and PCI, interrupts by messages. A kernel that lacks one of these still boots; it finds less.
 */
#include "vmm/image-internal.h"

#include <string.h>

/* A question to the configuration of a Linux kernel. */
typedef struct {
    const char *id;
    const char *title;
    const char *option;
    const char *module; /* what it is called as a module; NULL when it cannot be one */
    VmmImageLevel level_without;
    const char *machine; /* what the machine has to do with it */
    const char *without; /* what the kernel then does not do */
} Rule;

static const Rule rules[] = {
    {"console.serial", "serial console", "CONFIG_SERIAL_8250_CONSOLE", NULL, VMM_IMAGE_WARNING,
     "The machine's console is a 16550A serial port, ttyS0.",
     "The kernel boots, and writes nothing to it before user space does."},
    {"acpi", "ACPI", "CONFIG_ACPI", NULL, VMM_IMAGE_WARNING,
     "The machine's CPUs, its PCI bus and its power button are described by ACPI.",
     "The kernel finds one CPU only, may miss devices, and cannot power the machine off."},
    {"pci", "PCI", "CONFIG_PCI", NULL, VMM_IMAGE_WARNING, "The machine's devices are on a PCI bus.",
     "The kernel finds none of them."},
    {"pci.msi", "PCI interrupts", "CONFIG_PCI_MSI", NULL, VMM_IMAGE_WARNING,
     "The machine's PCI devices interrupt by messages (MSI-X) and have no interrupt pins.",
     "The kernel cannot work with them."},
    {"virtio.pci", "virtio", "CONFIG_VIRTIO_PCI", "virtio_pci", VMM_IMAGE_WARNING,
     "Virtio devices are found by the virtio-pci driver.",
     "The kernel has none: it finds no disk and no network."},
    {"virtio.blk", "disks", "CONFIG_VIRTIO_BLK", "virtio_blk", VMM_IMAGE_NOTE,
     "Virtio disks are for the virtio-blk driver.", "The kernel has none: it finds no disk."},
    {"virtio.net", "network", "CONFIG_VIRTIO_NET", "virtio_net", VMM_IMAGE_NOTE,
     "Virtio network cards are for the virtio-net driver.", "The kernel has none: it finds no network card."},
    {"kvm-guest", "KVM guest", "CONFIG_KVM_GUEST", NULL, VMM_IMAGE_NOTE,
     "A kernel that knows KVM takes its clock from it and wastes less time.",
     "This one does not: it starts slower, and its clock is less exact."},
};

static void
check_free (gpointer data)
{
    VmmImageCheck *check = data;

    g_free ((char *)check->value);
    g_free ((char *)check->explanation);
    g_free ((char *)check->advice);
    g_free (check);
}

/* @id and @title are literals; @value, @explanation and @advice (or NULL) are taken over. */
static void
add (VmmImage *image, const char *id, const char *title, VmmImageLevel level, VmmImageBasis basis,
     char *value, char *explanation, char *advice)
{
    VmmImageCheck *check = g_new0 (VmmImageCheck, 1);

    *check = (VmmImageCheck){id, title, level, basis, value, explanation, advice};
    g_ptr_array_add (image->checks, check);
}

static void
check_entry (VmmImage *image)
{
    const VmmImageFacts *facts = &image->facts;
    const char *id = "entry", *title = "entry";

    if (image->entry_failure != NULL) {
        add (image, id, title, VMM_IMAGE_FAILURE, VMM_IMAGE_BASIS_IMAGE, g_strdup ("none that works"),
             g_strdup_printf ("It does not boot: %s.", image->entry_failure),
             facts->has_entry_bzimage    ? g_strdup ("boot it with --kernel-entry bzimage")
             : facts->has_entry_unpacked ? g_strdup ("boot it with --kernel-entry unpacked")
                                         : NULL);
    } else if (facts->format == VMM_IMAGE_BZIMAGE && !facts->has_entry_unpacked) {
        add (image, id, title, VMM_IMAGE_NOTE, VMM_IMAGE_BASIS_IMAGE, g_strdup (facts->default_entry),
             g_strdup_printf (
                 "The kernel inside is compressed with %s, which is not unpacked on the host: the guest "
                 "does it, which is slower, and what is in it is not seen here.",
                 facts->compression != NULL ? facts->compression : "an unknown method"),
             g_strdup ("build it with CONFIG_KERNEL_LZ4=y or CONFIG_KERNEL_ZSTD=y"));
    } else {
        add (image, id, title, VMM_IMAGE_OK, VMM_IMAGE_BASIS_IMAGE, g_strdup (facts->default_entry),
             g_strdup ("The way that it is entered unless --kernel-entry says another."), NULL);
    }
}

static void
check_kaslr (VmmImage *image)
{
    const VmmImageFacts *facts = &image->facts;
    const char *id = "kaslr", *title = "KASLR";
    VmmImageBasis basis;

    if (facts->has_entry_unpacked && facts->kaslr) {
        add (image, id, title, VMM_IMAGE_OK, VMM_IMAGE_BASIS_IMAGE, g_strdup ("random addresses"),
             g_strdup ("It carries its relocations: it runs at another address each time."), NULL);
        return;
    }
    if (facts->has_entry_unpacked || facts->format == VMM_IMAGE_ELF) {
        add (image, id, title, VMM_IMAGE_NOTE, VMM_IMAGE_BASIS_IMAGE, g_strdup ("fixed address"),
             g_strdup (
                 "It carries no relocations: it runs at the same address each time, which helps attackers "
                 "inside the guest."),
             g_strdup (facts->format == VMM_IMAGE_ELF
                           ? "boot the bzImage of the same build, or build it with CONFIG_RANDOMIZE_BASE=y"
                           : "build it with CONFIG_RANDOMIZE_BASE=y"));
        return;
    }
    switch (vmm_image_evidence_ask (&image->evidence, "CONFIG_RANDOMIZE_BASE", &basis)) {
    case VMM_IMAGE_YES:
        add (image, id, title, VMM_IMAGE_OK, basis, g_strdup ("random addresses"),
             g_strdup ("Its own decompressor chooses them."), NULL);
        break;
    case VMM_IMAGE_UNKNOWN:
        add (image, id, title, VMM_IMAGE_NOTE, basis, g_strdup ("unknown"),
             g_strdup ("Its own decompressor chooses its address; whether at random is not known."), NULL);
        break;
    case VMM_IMAGE_MODULE:
    case VMM_IMAGE_NO:
    default:
        add (image, id, title, VMM_IMAGE_NOTE, basis, g_strdup ("fixed address"),
             g_strdup ("It runs at the same address each time, which helps attackers inside the guest."),
             g_strdup ("build it with CONFIG_RANDOMIZE_BASE=y"));
    }
}

static void
check_config (VmmImage *image)
{
    const VmmImageFacts *facts = &image->facts;
    const char *id = "config", *title = "configuration";
    const char *text = image->evidence.config;

    if (text == NULL) {
        add (image, id, title, VMM_IMAGE_NOTE, VMM_IMAGE_BASIS_NONE, g_strdup ("not found"),
             g_strdup (image->evidence.searched
                           ? "It has none inside (CONFIG_IKCONFIG), and none lies beside it. What follows is "
                             "guessed "
                             "from strings in the kernel, and may be wrong."
                           : "It cannot be looked into, and no configuration lies beside it: what it will "
                             "find on the "
                             "machine is not known."),
             g_strdup ("name the configuration that it was built with: --kconfig FILE"));
        return;
    }
    if (!vmm_image_config_is_of (text, facts->release)) {
        add (image, id, title, VMM_IMAGE_WARNING, VMM_IMAGE_BASIS_IMAGE, g_strdup ("of another kernel"),
             g_strdup_printf (
                 "The configuration is for another version of Linux than this kernel, %s: what follows "
                 "may be wrong.",
                 facts->release),
             g_strdup ("name the configuration that it was built with"));
        return;
    }
    static const char *const sources[] = {
        [VMM_IMAGE_CONFIG_NONE] = "none",
        [VMM_IMAGE_CONFIG_EMBEDDED] = "inside the kernel",
        [VMM_IMAGE_CONFIG_BESIDE] = "beside the kernel",
        [VMM_IMAGE_CONFIG_GIVEN] = "given",
    };
    add (image, id, title, VMM_IMAGE_OK, VMM_IMAGE_BASIS_IMAGE, g_strdup (sources[facts->config_source]),
         facts->config_path != NULL ? g_strdup_printf ("What follows is judged by %s.", facts->config_path)
                                    : g_strdup ("What follows is judged by it."),
         NULL);
}

static char *
describe_answer (VmmImageAnswer answer, VmmImageBasis basis)
{
    const char *seems = basis == VMM_IMAGE_BASIS_GUESS ? ", it seems" : "";

    switch (answer) {
    case VMM_IMAGE_YES:
        return g_strconcat ("built in", seems, NULL);
    case VMM_IMAGE_MODULE:
        return g_strdup ("module");
    case VMM_IMAGE_NO:
        return g_strconcat ("missing", seems, NULL);
    case VMM_IMAGE_UNKNOWN:
    default:
        return g_strdup (basis == VMM_IMAGE_BASIS_GUESS ? "a module, or missing" : "unknown");
    }
}

static const char *
explain_answer (const Rule *rule, VmmImageAnswer answer, VmmImageBasis basis)
{
    switch (answer) {
    case VMM_IMAGE_YES:
        return NULL;
    case VMM_IMAGE_MODULE:
        return "This one is a module.";
    case VMM_IMAGE_NO:
        return basis == VMM_IMAGE_BASIS_GUESS ? "This kernel shows no sign of it." : rule->without;
    case VMM_IMAGE_UNKNOWN:
    default:
        return basis == VMM_IMAGE_BASIS_GUESS ? "It does not seem to be built in."
                                              : "Whether this kernel has it is not known.";
    }
}

static void
check_rule (VmmImage *image, const Rule *rule)
{
    static const VmmImageLevel levels[] = {
        [VMM_IMAGE_UNKNOWN] = VMM_IMAGE_NOTE,
        [VMM_IMAGE_MODULE] = VMM_IMAGE_NOTE,
        [VMM_IMAGE_YES] = VMM_IMAGE_OK,
    };
    VmmImageBasis basis;
    VmmImageAnswer answer = vmm_image_evidence_ask (&image->evidence, rule->option, &basis);
    const char *more = explain_answer (rule, answer, basis);
    char *advice = NULL;

    if (answer == VMM_IMAGE_NO)
        advice = g_strdup_printf (basis == VMM_IMAGE_BASIS_GUESS ? "see that its configuration has %s=y"
                                                                 : "build it with %s=y",
                                  rule->option);
    else if (rule->module != NULL && answer != VMM_IMAGE_YES && basis != VMM_IMAGE_BASIS_NONE)
        advice = g_strdup_printf ("put the module %s and those that it needs into the initrd", rule->module);
    add (image, rule->id, rule->title, answer == VMM_IMAGE_NO ? rule->level_without : levels[answer], basis,
         describe_answer (answer, basis), g_strjoin (more != NULL ? " " : "", rule->machine, more, NULL),
         advice);
}

/* What an initrd may be compressed with; NULL where no configuration tells. */
static char *
list_initrd_formats (const VmmImage *image)
{
    static const struct {
        const char *option;
        const char *name;
    } formats[] = {
        {"CONFIG_RD_GZIP", "gzip"}, {"CONFIG_RD_BZIP2", "bzip2"}, {"CONFIG_RD_LZMA", "lzma"},
        {"CONFIG_RD_XZ", "xz"},     {"CONFIG_RD_LZO", "lzo"},     {"CONFIG_RD_LZ4", "lz4"},
        {"CONFIG_RD_ZSTD", "zstd"},
    };
    GString *list = g_string_new (NULL);
    VmmImageBasis basis;

    for (size_t i = 0; i < G_N_ELEMENTS (formats); i++)
        if (vmm_image_evidence_ask (&image->evidence, formats[i].option, &basis) == VMM_IMAGE_YES)
            g_string_append_printf (list, "%s%s", list->len > 0 ? ", " : "", formats[i].name);
    return g_string_free (list, FALSE);
}

static void
check_initrd (VmmImage *image)
{
    const char *id = "initrd", *title = "initrd";
    VmmImageBasis basis;
    VmmImageAnswer answer = vmm_image_evidence_ask (&image->evidence, "CONFIG_BLK_DEV_INITRD", &basis);

    if (answer == VMM_IMAGE_YES && basis == VMM_IMAGE_BASIS_CONFIG) {
        g_autofree char *formats = list_initrd_formats (image);
        add (image, id, title, VMM_IMAGE_OK, basis,
             g_strdup (formats[0] != '\0' ? formats : "uncompressed only"),
             g_strdup ("It unpacks an initrd (a cpio archive) that is compressed so, or not at all."), NULL);
        return;
    }
    add (image, id, title,
         answer == VMM_IMAGE_NO    ? VMM_IMAGE_WARNING
         : answer == VMM_IMAGE_YES ? VMM_IMAGE_OK
                                   : VMM_IMAGE_NOTE,
         basis, describe_answer (answer, basis),
         g_strdup (answer == VMM_IMAGE_NO
                       ? "It ignores an initrd: its first program must be inside it or on a disk."
                   : answer == VMM_IMAGE_YES ? "It unpacks an initrd; with which compression is not known."
                                             : "Whether it can unpack an initrd is not known."),
         answer == VMM_IMAGE_NO ? g_strdup ("build it with CONFIG_BLK_DEV_INITRD=y") : NULL);
}

static void
check_cpus (VmmImage *image)
{
    const char *id = "cpus", *title = "CPUs";
    VmmImageBasis basis;
    VmmImageAnswer answer = vmm_image_evidence_ask (&image->evidence, "CONFIG_SMP", &basis);
    uint64_t max = vmm_image_evidence_number (&image->evidence, "CONFIG_NR_CPUS");

    image->facts.max_cpus = 0;
    if (answer == VMM_IMAGE_NO) {
        image->facts.max_cpus = 1;
        add (image, id, title, VMM_IMAGE_NOTE, basis,
             g_strdup (basis == VMM_IMAGE_BASIS_GUESS ? "one, it seems" : "one"),
             g_strdup ("It uses one CPU, however many the machine has."),
             g_strdup ("build it with CONFIG_SMP=y"));
    } else if (answer == VMM_IMAGE_YES && max > 0) {
        image->facts.max_cpus = (unsigned)MIN (max, G_MAXUINT);
        add (image, id, title, VMM_IMAGE_OK, basis, g_strdup_printf ("up to %u", image->facts.max_cpus),
             g_strdup ("It uses as many CPUs as the machine has, up to that number."), NULL);
    } else {
        bool known = answer == VMM_IMAGE_YES;
        add (image, id, title, known ? VMM_IMAGE_OK : VMM_IMAGE_NOTE, basis,
             g_strdup (known ? "several, it seems" : "unknown"),
             g_strdup ("How many CPUs it uses is not known."), NULL);
    }
}

/* The weakest of what @options need: a chain is as strong as its weakest link. */
static VmmImageAnswer
ask_all (const VmmImage *image, const char *last)
{
    const char *const options[] = {"CONFIG_ACPI", "CONFIG_PCI", "CONFIG_PCI_MSI", "CONFIG_VIRTIO_PCI", last};
    VmmImageAnswer worst = VMM_IMAGE_YES;
    VmmImageBasis basis;

    for (size_t i = 0; i < G_N_ELEMENTS (options); i++) {
        VmmImageAnswer answer = vmm_image_evidence_ask (&image->evidence, options[i], &basis);
        if (answer == VMM_IMAGE_NO)
            return answer;
        if (worst != VMM_IMAGE_UNKNOWN && answer != VMM_IMAGE_YES)
            worst = answer;
    }
    return worst;
}

/**
 * vmm_image_judge:
 * @image: an image whose facts of its own are complete
 *
 * Makes its checks, and the facts that follow from its configuration, anew.
 */
void
vmm_image_judge (VmmImage *image)
{
    VmmImageFacts *facts = &image->facts;
    VmmImageBasis basis;

    g_clear_pointer (&image->checks, g_ptr_array_unref);
    image->checks = g_ptr_array_new_with_free_func (check_free);
    check_entry (image);
    if (!facts->is_linux) {
        add (image, "kernel", "kernel", VMM_IMAGE_NOTE, VMM_IMAGE_BASIS_IMAGE, g_strdup ("not Linux"),
             g_strdup ("What it finds on the machine is its own affair: a 16550A serial port at 0x3f8, ACPI, "
                       "and a PCI "
                       "bus are there."),
             NULL);
        return;
    }
    check_kaslr (image);
    check_config (image);
    /* Ten lines that say "unknown" would say nothing. */
    if (image->evidence.config == NULL && !image->evidence.searched)
        return;
    for (size_t i = 0; i < G_N_ELEMENTS (rules); i++)
        check_rule (image, &rules[i]);
    check_initrd (image);
    check_cpus (image);
    facts->console = vmm_image_evidence_ask (&image->evidence, "CONFIG_SERIAL_8250_CONSOLE", &basis);
    facts->disks = ask_all (image, "CONFIG_VIRTIO_BLK");
    facts->network = ask_all (image, "CONFIG_VIRTIO_NET");
}
