/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The file system of a guest that runs a command, as one cpio archive in memory: a root, vmm-init with its
 * boot file and the kernel's modules below /.vmm, and the user's files over it all. A root that is a cpio
 * archive already is left as it is, and ours goes behind it: Linux takes several in a row. A root that is an
 * image is a disk of the guest, and the archive holds only what brings it up.
 *
 * Which modules are needed follows from the devices that the machine has. What is neither a file nor known to
 * be built in is passed over: most kernels do not say what they have built in, and a guest without its
 * console driver tells so by its silence, which run.c explains.
 */
#include "vmm/run-initrd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "firmware.h"
#include "loader/archive.h"
#include "loader/cpio-reader.h"
#include "loader/kernel-image.h"
#include "loader/modules.h"
#include "loader/tree.h"
#include "vmm/error.h"
#include "vmm/mapped-file.h"

#define FOLDER ".vmm/"
#define MODULES_FOLDER FOLDER "modules/"
#define ENTRIES_MAX (1u << 20)
#define PIECE (64u << 10)

typedef struct {
    const VmmRunTree *tree;
    const VmmConfig *config;
    VmmRunInitrds *initrds;
    VmmCpio *cpio;
    GString *boot;           /* vmm-init's file */
    const char *root_module; /* NULL: none is needed, or which is unknown */
    bool root_is_image;
} Maker;

/* `uname -r` of the kernel, or NULL. */
static bool
find_release (const char *kernel, char **ret_release, GError **error)
{
    g_auto (VmmMappedFile) file = {0};
    g_autoptr (VmmKernelImage) image = NULL;
    g_autofree char *version = NULL;

    if (!vmm_mapped_file_open ("kernel", kernel, &file, error) ||
        !vmm_kernel_image_parse (vmm_mapped_file_span (&file), kernel, &image, error))
        return false;
    if (!image->is_linux) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE, "kernel \"%s\": only Linux can run a command",
                     kernel);
        return false;
    }
    version = vmm_kernel_image_version (image);
    *ret_release = version != NULL ? g_strndup (version, strcspn (version, " ")) : NULL;
    return true;
}

static void
want (GPtrArray *names, VmmModules *modules, const char *name)
{
    if (vmm_modules_find (modules, name) == VMM_MODULE_FILE)
        g_ptr_array_add (names, (gpointer)name);
}

/* The names of modules, as far as they are files. */
static GPtrArray *
needed_modules (const Maker *maker, VmmModules *modules)
{
    const VmmConfig *config = maker->config;
    GPtrArray *names = g_ptr_array_new ();

    want (names, modules, config->transport == VMM_VIRTIO_TRANSPORT_PCI ? "virtio_pci" : "virtio_mmio");
    want (names, modules, vmm_device_kind_console.driver);
    for (guint i = 0; i < config->devices->len; i++)
        want (names, modules, ((VmmDeviceSpec *)config->devices->pdata[i])->kind->driver);
    if (!maker->root_is_image)
        return names;
    want (names, modules, vmm_device_kind_disk.driver);
    /* These compute the checksums of file systems, and no file system names them. */
    want (names, modules, "crc32c_generic");
    want (names, modules, "xxhash_generic");
    if (maker->root_module != NULL)
        want (names, modules, maker->root_module);
    return names;
}

static bool
add_module (Maker *maker, VmmModules *modules, const VmmModule *module, GError **error)
{
    g_autoptr (GBytes) bytes = vmm_modules_read (modules, module, error);
    g_autofree char *path = g_strconcat (MODULES_FOLDER, module->name, ".ko", NULL);
    size_t len;
    const uint8_t *data;

    if (bytes == NULL)
        return false;
    data = g_bytes_get_data (bytes, &len);
    g_string_append_printf (maker->boot, "module /%s\n", path);
    return vmm_cpio_add_file (maker->cpio, path, NULL, (VmmSpan){data, len}, error);
}

static bool
add_modules (Maker *maker, GError **error)
{
    g_autofree char *release = NULL;
    g_autofree char *beside = NULL;
    g_autoptr (VmmModules) modules = NULL;
    g_autoptr (GPtrArray) names = NULL;
    g_autoptr (GPtrArray) list = NULL;

    if (!find_release (maker->config->kernel, &release, error))
        return false;
    if (maker->tree->modules == NULL && release != NULL) {
        beside = vmm_modules_beside (maker->config->kernel, release);
        if (beside == NULL)
            beside = vmm_modules_installed (release);
    }
    if (maker->tree->modules == NULL && beside == NULL)
        return true;
    modules = vmm_modules_open (beside != NULL ? beside : maker->tree->modules, release, error);
    if (modules == NULL)
        return false;
    maker->initrds->has_modules = true;
    names = needed_modules (maker, modules);
    if (!vmm_modules_resolve (modules, (const char *const *)names->pdata, names->len, &list, error))
        return false;
    for (guint i = 0; i < list->len; i++) {
        if (!add_module (maker, modules, list->pdata[i], error))
            return false;
    }
    return true;
}

static bool
unpack_root (Maker *maker, int fd, GError **error)
{
    VmmArchiveLimits limits = {
        .bytes_max = maker->config->mem, .entries_max = ENTRIES_MAX, .for_initrd = true};
    g_autoptr (VmmArchive) archive = vmm_archive_open (fd, maker->tree->root, &limits, error);

    if (archive == NULL || !vmm_archive_unpack (archive, maker->cpio, "", error)) {
        g_prefix_error (error, "root: ");
        return false;
    }
    return true;
}

static bool
on_name (void *cpio, const VmmCpioReadEntry *entry, GError **error)
{
    return vmm_cpio_know (cpio, entry->name, entry->mode);
}

static bool
on_content (void *cpio, VmmSpan bytes, GError **error)
{
    return true;
}

static bool
on_entry_end (void *cpio, GError **error)
{
    return true;
}

/* What copies are laid over. An archive that is none, or stops, is for Linux to judge. */
static void
learn_names (VmmCpio *cpio, int fd)
{
    static const VmmCpioReaderOps ops = {on_name, on_content, on_entry_end};
    g_autoptr (VmmCpioReader) reader = vmm_cpio_reader_new (&ops, cpio);
    g_autofree uint8_t *bytes = g_malloc (PIECE);
    ssize_t n;

    for (off_t at = 0; (n = pread (fd, bytes, PIECE, at)) > 0; at += n) {
        if (!vmm_cpio_reader_feed (reader, (VmmSpan){bytes, (size_t)n}, NULL) ||
            vmm_cpio_reader_complete (reader))
            break;
    }
}

/* A comma in a name is written twice; the image is as it was afterwards. */
static char *
describe_disk (const char *path, bool qcow2)
{
    g_auto (GStrv) parts = g_strsplit (path, ",", -1);
    g_autofree char *quoted = g_strjoinv (",,", parts);

    return g_strconcat (quoted, ",ephemeral", qcow2 ? ",format=qcow2" : "", NULL);
}

static bool
add_root_of (Maker *maker, int fd, GError **error)
{
    const char *path = maker->tree->root;
    VmmRunRootKind kind;
    bool qcow2;

    if (!vmm_run_root_look (fd, path, &kind, &maker->root_module, &qcow2, error))
        return false;
    switch (kind) {
    case VMM_RUN_ROOT_FOLDER:
        return vmm_tree_pack (maker->cpio, path, "",
                              geteuid () == 0 ? VMM_TREE_OWNERS_KEPT : VMM_TREE_OWNERS_ROOT, error);
    case VMM_RUN_ROOT_CPIO:
        if (maker->tree->copies->len > 0)
            learn_names (maker->cpio, fd);
        maker->initrds->fds[0] = fcntl (fd, F_DUPFD_CLOEXEC, 0);
        if (maker->initrds->fds[0] >= 0)
            return true;
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "root \"%s\": %s", path, g_strerror (errno));
        return false;
    case VMM_RUN_ROOT_ARCHIVE:
        return unpack_root (maker, fd, error);
    case VMM_RUN_ROOT_IMAGE:
        break;
    }
    maker->root_is_image = true;
    maker->initrds->disk = describe_disk (path, qcow2);
    g_string_append (maker->boot, "root /dev/vda\n");
    return true;
}

static bool
add_root (Maker *maker, GError **error)
{
    int fd;
    bool ok;

    if (maker->tree->root == NULL)
        return vmm_run_root_add_busybox (maker->cpio, error);
    fd = open (maker->tree->root, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "root \"%s\": %s", maker->tree->root,
                     g_strerror (errno));
        return false;
    }
    ok = add_root_of (maker, fd, error);
    close (fd);
    return ok;
}

/* What vmm-init mounts hides what is below. It leaves /run out when it is told to, and /tmp by itself. */
static bool
prepare_place (Maker *maker, const VmmRunCopy *copy, const char *to, GError **error)
{
    static const char *const mounts[] = {"dev", "proc", "sys"};
    g_autofree char *clean = vmm_cpio_clean_path (to);
    size_t len = strcspn (clean, "/");

    for (size_t i = 0; i < G_N_ELEMENTS (mounts); i++) {
        if (len == strlen (mounts[i]) && strncmp (clean, mounts[i], len) == 0) {
            g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                         "copy \"%s\": in the guest /%s is a file system of the kernel: choose another place",
                         copy->host_path, mounts[i]);
            return false;
        }
    }
    if (len == strlen ("run") && strncmp (clean, "run", len) == 0)
        g_string_append (maker->boot, "keep /run\n");
    return true;
}

static bool
add_copies (Maker *maker, GError **error)
{
    vmm_cpio_lay_over (maker->cpio);
    for (guint i = 0; i < maker->tree->copies->len; i++) {
        const VmmRunCopy *copy = maker->tree->copies->pdata[i];
        g_autofree char *base = g_path_get_basename (copy->host_path);
        g_autofree char *to = g_str_has_suffix (copy->guest_path, "/")
                                  ? g_build_filename (copy->guest_path, base, NULL)
                                  : g_strdup (copy->guest_path);

        if (maker->root_is_image) {
            g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                         "copy \"%s\": the root \"%s\" is an image, into which nothing can be copied: put "
                         "the file into the image, or on a disk of its own",
                         copy->host_path, maker->tree->root);
            return false;
        }
        if (!prepare_place (maker, copy, to, error))
            return false;
        if (!vmm_tree_pack (maker->cpio, copy->host_path, to, VMM_TREE_OWNERS_ROOT, error)) {
            g_prefix_error (error, "copy \"%s\": ", copy->host_path);
            return false;
        }
    }
    return true;
}

/* The addresses of the first card whose network has known ones. */
static void
describe_network (Maker *maker)
{
    unsigned card = 0;

    for (guint i = 0; i < maker->config->devices->len; i++) {
        const VmmDeviceSpec *spec = maker->config->devices->pdata[i];
        const char *network = spec->kind->network != NULL ? spec->kind->network (spec->description) : NULL;

        if (network != NULL) {
            g_string_append_printf (maker->boot, "net eth%u %s\n", card, network);
            return;
        }
        card += spec->kind == &vmm_device_kind_net ? 1 : 0;
    }
}

static bool
add_init (Maker *maker, GError **error)
{
    const VmmCpioAttr program = {.mode = 0755};

    describe_network (maker);
    return vmm_cpio_add_file (maker->cpio, FOLDER "init", &program,
                              (VmmSpan){vmm_firmware_init, vmm_firmware_init_size}, error) &&
           vmm_cpio_add_file (maker->cpio, FOLDER "boot", NULL,
                              (VmmSpan){(const uint8_t *)maker->boot->str, maker->boot->len}, error);
}

/**
 * vmm_run_initrds_make:
 * @initrds: (out): to be cleared by vmm_run_initrds_clear(), after a failure, too
 * @tree: what is to be in it
 * @config: the machine's: its kernel, its memory, which bounds the size, and its devices
 *
 * Returns: false with an error of #VmmError that names what is wrong
 */
bool
vmm_run_initrds_make (VmmRunInitrds *initrds, const VmmRunTree *tree, const VmmConfig *config, GError **error)
{
    g_autoptr (VmmCpio) cpio = vmm_cpio_new (config->mem, error);
    g_autoptr (GString) boot = g_string_new (NULL);
    Maker maker = {.tree = tree, .config = config, .initrds = initrds, .cpio = cpio, .boot = boot};

    *initrds = (VmmRunInitrds){.fds = {-1, -1}};
    if (cpio == NULL || !add_root (&maker, error) || !add_modules (&maker, error) ||
        !add_copies (&maker, error) || !add_init (&maker, error))
        return false;
    initrds->fds[1] = vmm_cpio_finish (cpio, error);
    return initrds->fds[1] >= 0;
}

/**
 * vmm_run_initrds_clear:
 * @initrds: made, or all zeroes with descriptors of -1
 */
void
vmm_run_initrds_clear (VmmRunInitrds *initrds)
{
    for (size_t i = 0; i < G_N_ELEMENTS (initrds->fds); i++) {
        if (initrds->fds[i] >= 0)
            close (initrds->fds[i]);
        initrds->fds[i] = -1;
    }
    g_clear_pointer (&initrds->disk, g_free);
}
