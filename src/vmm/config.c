/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Everything that can be said about a machine is a key with a value in text, and there is one table of them:
 * the command line, configuration files and embedding programs all come through vmm_config_set(), so a value
 * means the same everywhere and is refused with the same words. A value is checked here as far as it can be
 * without looking at the host; what depends on files, KVM or each other is checked when a machine is made.
 */
#include "vmm/config.h"

#include <errno.h>
#include <string.h>

#include "vmm/config-internal.h"
#include "vmm/error.h"

#define MIB (UINT64_C (1) << 20)
#define MEM_MIN (8 * MIB)
#define MEM_MAX (UINT64_C (8) << 40) /* pages of one KVM memory slot: less than 2^31 */
#define CPUS_MAX 4096u
#define SECONDS_MIN 0.000001   /* timers count in microseconds, and 0 of them mean never */
#define SECONDS_MAX 31536000.0 /* a year */
#define NS_PER_S 1000000000.0

typedef bool (*Setter) (VmmConfig *config, const char *value, GError **error);

static bool
refuse (GError **error, const char *key, const char *value, const char *why)
{
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "%s \"%s\": %s", key, value, why);
    return false;
}

static bool
parse_size (const char *key, const char *value, uint64_t *ret_size, GError **error)
{
    static const char suffixes[] = "KMGTP";
    unsigned shift = 20; /* a bare number is MiB, as everywhere in the field */
    char *end = NULL;
    guint64 number;

    if (!g_ascii_isdigit (value[0]))
        return refuse (error, key, value, "not a size: give a number with K, M, G or T, such as 512M");
    errno = 0;
    number = g_ascii_strtoull (value, &end, 10);
    if (*end != '\0') {
        const char *suffix = strchr (suffixes, g_ascii_toupper (*end));

        if (suffix == NULL || (end[1] != '\0' && g_ascii_strcasecmp (end + 1, "iB") != 0 &&
                               g_ascii_strcasecmp (end + 1, "B") != 0))
            return refuse (error, key, value, "not a size: give a number with K, M, G or T, such as 512M");
        shift = 10 * (unsigned)(suffix - suffixes + 1);
    }
    if (errno == ERANGE || number > (UINT64_MAX >> shift))
        number = UINT64_MAX >> shift;
    *ret_size = number << shift;
    return true;
}

static bool
parse_unsigned (const char *text, unsigned max, unsigned *ret_value)
{
    guint64 number;

    if (!g_ascii_string_to_unsigned (text, 10, 0, max, &number, NULL))
        return false;
    *ret_value = (unsigned)number;
    return true;
}

static bool
parse_seconds (const char *key, const char *value, int64_t *ret_ns, GError **error)
{
    char *end = NULL;
    double seconds = g_ascii_strtod (value, &end);

    if (end == value || (*end != '\0' && strcmp (end, "s") != 0))
        return refuse (error, key, value, "not a time: give seconds, such as 30 or 0.5");
    if (!(seconds >= SECONDS_MIN && seconds <= SECONDS_MAX))
        return refuse (error, key, value, "give a microsecond at least and a year at most");
    *ret_ns = (int64_t)(seconds * NS_PER_S);
    return true;
}

static bool
set_path (char **path, const char *key, const char *value, GError **error)
{
    if (*value == '\0')
        return refuse (error, key, value, "give the name of a file");
    g_free (*path);
    *path = g_strdup (value);
    return true;
}

static bool
set_kernel (VmmConfig *config, const char *value, GError **error)
{
    return set_path (&config->kernel, "kernel", value, error);
}

static bool
set_initrd (VmmConfig *config, const char *value, GError **error)
{
    if (*value == '\0')
        return refuse (error, "initrd", value, "give the name of a file");
    g_ptr_array_add (config->initrds, g_strdup (value));
    return true;
}

static bool
set_cmdline (VmmConfig *config, const char *value, GError **error)
{
    g_free (config->cmdline);
    config->cmdline = g_strdup (value);
    return true;
}

static bool
set_append (VmmConfig *config, const char *value, GError **error)
{
    g_ptr_array_add (config->appends, g_strdup (value));
    return true;
}

static bool
set_symbols (VmmConfig *config, const char *value, GError **error)
{
    return set_path (&config->symbols, "symbols", value, error);
}

static bool
set_control (VmmConfig *config, const char *value, GError **error)
{
    return set_path (&config->control, "control", value, error);
}

static bool
set_serial (VmmConfig *config, const char *value, GError **error)
{
    g_auto (VmmOptions) options = {0};
    VmmEndpointOptions serial = {0};

    vmm_options_init (&options, "serial", value);
    if (!vmm_endpoint_options_take (&serial, &options, error) ||
        !vmm_options_finish (&options, VMM_ENDPOINT_WORDS, error)) {
        vmm_endpoint_options_clear (&serial);
        return false;
    }
    vmm_endpoint_options_free (config->serial);
    config->serial = g_memdup2 (&serial, sizeof serial);
    return true;
}

static bool
set_mem (VmmConfig *config, const char *value, GError **error)
{
    uint64_t size;

    if (!parse_size ("mem", value, &size, error))
        return false;
    if (size < MEM_MIN)
        return refuse (error, "mem", value,
                       "a machine needs at least 8M of memory, and a stock Linux kernel some 128M");
    if (size > MEM_MAX)
        return refuse (error, "mem", value, "the most that vmm can give a machine is 8T");
    if (size % VMM_GUEST_PAGE_SIZE != 0)
        return refuse (error, "mem", value, "memory comes in pages of 4K: give a multiple");
    config->mem = size;
    return true;
}

static bool
set_backing_word (VmmMemBacking *backing, const char *word, const char *value, GError **error)
{
    if (strcmp (word, "anon") == 0) {
        backing->kind = VMM_MEM_BACKING_ANON;
    } else if (strcmp (word, "memfd") == 0) {
        backing->kind = VMM_MEM_BACKING_MEMFD;
    } else if (strcmp (word, "hugetlb") == 0 || strcmp (word, "hugetlb=2M") == 0) {
        backing->kind = VMM_MEM_BACKING_HUGETLB;
        backing->page_size = 2 * MIB;
    } else if (strcmp (word, "hugetlb=1G") == 0) {
        backing->kind = VMM_MEM_BACKING_HUGETLB;
        backing->page_size = 1024 * MIB;
    } else if (strcmp (word, "shared") == 0) {
        backing->shared = true;
    } else if (strcmp (word, "private") == 0) {
        backing->shared = false;
    } else if (strcmp (word, "prefault") == 0) {
        backing->prefault = true;
    } else {
        return refuse (
            error, "mem-backing", value,
            "say anon, memfd, hugetlb=2M or hugetlb=1G, then shared or private, then prefault, with commas");
    }
    return true;
}

static bool
set_mem_backing (VmmConfig *config, const char *value, GError **error)
{
    VmmMemBacking backing = {.kind = VMM_MEM_BACKING_ANON};
    g_auto (GStrv) words = g_strsplit (value, ",", -1);

    /* Of an empty text there are no words. */
    if (words[0] == NULL)
        return set_backing_word (&backing, "", value, error);
    for (char **w = words; *w != NULL; w++) {
        if (!set_backing_word (&backing, *w, value, error))
            return false;
    }
    if (backing.shared && backing.kind == VMM_MEM_BACKING_ANON)
        return refuse (error, "mem-backing", value, "anonymous memory cannot be shared: say memfd,shared");
    config->backing = backing;
    return true;
}

static bool
set_cpus (VmmConfig *config, const char *value, GError **error)
{
    static const char help[] =
        "say a number of CPUs, and if wanted how they lie: 8,sockets=1,cores=4,threads=2";
    g_auto (GStrv) words = g_strsplit (value, ",", -1);
    VmmArchCpus cpus = {0};

    if (words[0] == NULL || !parse_unsigned (words[0], UINT_MAX, &cpus.cpus))
        return refuse (error, "cpus", value, help);
    if (cpus.cpus == 0)
        return refuse (error, "cpus", value, "a machine needs at least one CPU");
    if (cpus.cpus > CPUS_MAX)
        return refuse (error, "cpus", value, "no KVM takes more than 4096 CPUs");
    for (char **w = words + 1; *w != NULL; w++) {
        unsigned *field = g_str_has_prefix (*w, "sockets=")   ? &cpus.sockets
                          : g_str_has_prefix (*w, "cores=")   ? &cpus.cores
                          : g_str_has_prefix (*w, "threads=") ? &cpus.threads
                                                              : NULL;

        if (field == NULL || !parse_unsigned (strchr (*w, '=') + 1, CPUS_MAX, field) || *field == 0)
            return refuse (error, "cpus", value, help);
    }
    config->cpus = cpus;
    return true;
}

static bool
set_kernel_entry (VmmConfig *config, const char *value, GError **error)
{
    if (vmm_kernel_entry_from_name (value, &config->entry))
        return true;
    return refuse (error, "kernel-entry", value, "say auto, bzimage, unpacked or pvh");
}

static bool
set_irqchip (VmmConfig *config, const char *value, GError **error)
{
    if (strcmp (value, "auto") == 0)
        config->irqchip = VMM_IRQCHIP_AUTO;
    else if (strcmp (value, "split") == 0)
        config->irqchip = VMM_IRQCHIP_SPLIT;
    else if (strcmp (value, "kernel") == 0)
        config->irqchip = VMM_IRQCHIP_KERNEL;
    else
        return refuse (error, "irqchip", value, "say auto, split or kernel");
    return true;
}

static bool
set_on_reboot (VmmConfig *config, const char *value, GError **error)
{
    if (strcmp (value, "exit") == 0)
        config->reboots = false;
    else if (strcmp (value, "reboot") == 0)
        config->reboots = true;
    else
        return refuse (error, "on-reboot", value, "say exit or reboot");
    return true;
}

static bool
set_debug_exit (VmmConfig *config, const char *value, GError **error)
{
    char *end = NULL;
    guint64 port;

    if (strcmp (value, "off") == 0) {
        config->debug_exit_port = -1;
        return true;
    }
    port = g_ascii_strtoull (value, &end, 0);
    if (!g_ascii_isdigit (value[0]) || *end != '\0' || port > 0xfffc)
        return refuse (error, "debug-exit", value, "say off or a port below 0xfffd, such as 0xf4 or 0x501");
    config->debug_exit_port = (int)port;
    return true;
}

static bool
set_timeout (VmmConfig *config, const char *value, GError **error)
{
    return parse_seconds ("timeout", value, &config->timeout_ns, error);
}

static bool
set_watchdog (VmmConfig *config, const char *value, GError **error)
{
    if (strcmp (value, "off") == 0) {
        config->watchdog_ns = 0;
        return true;
    }
    if (!parse_seconds ("watchdog", value, &config->watchdog_ns, error))
        return false;
    config->watchdog_exact = true;
    return true;
}

static bool
set_transport (VmmConfig *config, const char *value, GError **error)
{
    if (strcmp (value, "pci") == 0)
        config->transport = VMM_VIRTIO_TRANSPORT_PCI;
    else if (strcmp (value, "mmio") == 0)
        config->transport = VMM_VIRTIO_TRANSPORT_MMIO;
    else if (strcmp (value, "mmio-cmdline") == 0)
        config->transport = VMM_VIRTIO_TRANSPORT_MMIO_CMDLINE;
    else
        return refuse (error, "transport", value, "say pci, mmio or mmio-cmdline");
    return true;
}

/* A device of @kind more, or instead of the one that there is. */
static bool
set_device (VmmConfig *config, const VmmDeviceKind *kind, const char *value, GError **error)
{
    VmmDeviceSpec *spec;
    unsigned count = 0;

    if (kind == NULL)
        return refuse (error, "device", value, "this build of vmm has no such device");
    for (guint i = 0; i < config->devices->len; i++)
        count += ((VmmDeviceSpec *)config->devices->pdata[i])->kind == kind ? 1 : 0;
    spec = vmm_device_spec_new (kind, kind->repeats ? count : 0, value, error);
    if (spec == NULL)
        return false;
    for (guint i = 0; !kind->repeats && i < config->devices->len; i++) {
        if (((VmmDeviceSpec *)config->devices->pdata[i])->kind == kind)
            g_ptr_array_remove_index (config->devices, i);
    }
    g_ptr_array_add (config->devices, spec);
    return true;
}

/* Each key once: what it is called, what it takes, what it does; and below, in the same order, what sets it:
 * NULL for devices. */
static const VmmConfigKey keys[] = {
    {"kernel", "FILE", "the kernel: bzImage, vmlinux, or an ELF kernel with a PVH entry [a built-in guest]",
     false, NULL},
    {"initrd", "FILE", "an initrd; several are put together in order", true, NULL},
    {"cmdline", "TEXT", "the kernel's command line, instead of the default", false, NULL},
    {"append", "TEXT", "more for the kernel's command line", true, NULL},
    {"mem", "SIZE", "memory: 512M, 2G; a bare number is MiB [512M]", false, NULL},
    {"mem-backing", "KIND", "anon, memfd, hugetlb=2M, hugetlb=1G; then shared, prefault [anon]", false, NULL},
    {"cpus", "N", "virtual CPUs, and how they lie: N[,sockets=,cores=,threads=] [1]", false, NULL},
    {"transport", "KIND", "how the guest reaches its devices: pci, mmio, mmio-cmdline [pci]", false, NULL},
    {"timeout", "SECONDS", "end the run after that long [never]", false, NULL},
    {"watchdog", "SECONDS", "a CPU stuck that long with interrupts off is a hang; off [60]", false, NULL},
    {"on-reboot", "exit|reboot", "what a guest's reboot does [exit]", false, NULL},
    {"kernel-entry", "KIND", "auto, bzimage (the kernel unpacks itself), unpacked, pvh [auto]", false, NULL},
    {"irqchip", "KIND", "auto, split, kernel (with PIC and PIT) [auto]", false, NULL},
    {"debug-exit", "PORT", "port where a guest ends the run with a code of its own; off [0xf4]", false, NULL},
    {"symbols", "FILE", "System.map or vmlinux, to name functions in reports", false, NULL},
    {"control", "PATH", "a Unix socket that controls the machine: see vmm ctl", false, NULL},
    {"serial", "TO[,...]", "the serial console: stdio, null, pty, file=, socket=, fd= [stdio]", false, NULL},
    /* Devices have no setters. */
    {"disk", "PATH[,...]", "a disk from an image file or a block device", true, NULL},
    {"net", "tap|user|socket[,...]", "a network card, and what it is connected to", true, NULL},
    {"console", "TO[,name=]", "hvc0, or with a name a port: stdio, null, pty, file=, socket=, fd=", true,
     NULL},
    {"vsock", "cid=N,path=PATH", "AF_VSOCK in the guest, Unix sockets on the host", false, NULL},
    {"rng", "on", "the host's random numbers for the guest [none]", false, "on"},
    {"balloon", "on[,size=BYTES,...]", "memory that the guest gives back [none]", false, "on"},
};

static const Setter setters[G_N_ELEMENTS (keys)] = {
    set_kernel,  set_initrd,     set_cmdline, set_append,   set_mem,       set_mem_backing,
    set_cpus,    set_transport,  set_timeout, set_watchdog, set_on_reboot, set_kernel_entry,
    set_irqchip, set_debug_exit, set_symbols, set_control,  set_serial,
};

/**
 * vmm_config_new:
 *
 * Returns: (transfer full): the configuration of a machine with 512 MiB, one CPU and the built-in guest,
 * whose console goes nowhere Since: 0.1
 */
VmmConfig *
vmm_config_new (void)
{
    VmmConfig *config = g_new0 (VmmConfig, 1);

    config->initrds = g_ptr_array_new_with_free_func (g_free);
    config->appends = g_ptr_array_new_with_free_func (g_free);
    config->devices = g_ptr_array_new_with_free_func ((GDestroyNotify)vmm_device_spec_unref);
    config->mem = 512 * MIB;
    config->backing.kind = VMM_MEM_BACKING_ANON;
    config->cpus.cpus = 1;
    config->entry = VMM_KERNEL_ENTRY_AUTO;
    config->irqchip = VMM_IRQCHIP_AUTO;
    config->debug_exit_port = 0xf4;
    config->watchdog_ns = (int64_t)(60 * NS_PER_S);
    config->serial_in = -1;
    config->serial_out = -1;
    return config;
}

static gpointer
copy_string (gconstpointer string, gpointer user)
{
    return g_strdup (string);
}

static gpointer
copy_device (gconstpointer spec, gpointer user)
{
    return vmm_device_spec_ref ((VmmDeviceSpec *)spec);
}

/**
 * vmm_config_copy:
 * @config: a configuration
 *
 * Returns: (transfer full): one just like it; descriptors are the same numbers
 * Since: 0.1
 */
VmmConfig *
vmm_config_copy (const VmmConfig *config)
{
    VmmConfig *copy = g_memdup2 (config, sizeof *config);

    copy->kernel = g_strdup (config->kernel);
    copy->cmdline = g_strdup (config->cmdline);
    copy->symbols = g_strdup (config->symbols);
    copy->control = g_strdup (config->control);
    copy->serial = vmm_endpoint_options_copy (config->serial);
    copy->initrds = g_ptr_array_copy (config->initrds, copy_string, NULL);
    copy->appends = g_ptr_array_copy (config->appends, copy_string, NULL);
    copy->devices = g_ptr_array_copy (config->devices, copy_device, NULL);
    return copy;
}

/**
 * vmm_config_free:
 * @config: (nullable): a configuration
 *
 * Since: 0.1
 */
void
vmm_config_free (VmmConfig *config)
{
    if (config == NULL)
        return;
    g_ptr_array_unref (config->initrds);
    g_ptr_array_unref (config->appends);
    g_ptr_array_unref (config->devices);
    g_free (config->kernel);
    g_free (config->cmdline);
    g_free (config->symbols);
    g_free (config->control);
    vmm_endpoint_options_free (config->serial);
    g_free (config);
}

/**
 * vmm_config_keys:
 * @ret_n: (out): how many there are
 *
 * Returns: (transfer none) (array length=ret_n): the keys that vmm_config_set() knows, in the order of --help
 * Since: 0.1
 */
const VmmConfigKey *
vmm_config_keys (size_t *ret_n)
{
    *ret_n = G_N_ELEMENTS (keys);
    return keys;
}

/**
 * vmm_config_set:
 * @config: a configuration
 * @key: one of vmm_config_keys()
 * @value: its value in text, as vmm-config(5) describes it
 *
 * Sets or, where a key repeats, adds a value.
 *
 * Returns: false with %VMM_ERROR_USAGE, and @config as it was, when the key is unknown or the value is wrong
 * Since: 0.1
 */
bool
vmm_config_set (VmmConfig *config, const char *key, const char *value, GError **error)
{
    for (size_t i = 0; i < G_N_ELEMENTS (keys); i++) {
        if (strcmp (keys[i].name, key) != 0)
            continue;
        if (setters[i] != NULL)
            return setters[i](config, value, error);
        return set_device (config, vmm_device_kind_find (key), value, error);
    }
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "%s: there is no such key: see vmm-config(5)", key);
    return false;
}

/**
 * vmm_config_set_serial_fds:
 * @config: a configuration
 * @in_fd: where the serial console's input comes from, or -1
 * @out_fd: where its output goes, or -1 for nowhere
 *
 * The descriptors are borrowed: they stay open as long as the machine lives, their flags and a terminal's
 * settings are left alone.
 *
 * Since: 0.1
 */
void
vmm_config_set_serial_fds (VmmConfig *config, int in_fd, int out_fd)
{
    config->serial_in = in_fd;
    config->serial_out = out_fd;
}

/**
 * vmm_config_set_input_filter:
 * @config: a configuration
 * @filter: (nullable): sees the serial console's input first
 * @user: what it gets
 *
 * Since: 0.1
 */
void
vmm_config_set_input_filter (VmmConfig *config, VmmInputFilter filter, void *user)
{
    config->filter = filter;
    config->filter_user = user;
}
