/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why /dev/kvm could not be opened, and what the user can do about it.
 *
 * The error number alone says little: the same ENOENT means a processor without virtualization, a module that
 * is not loaded, or a container without the node. So the signs around it are read (VmmHostSigns), and pure
 * functions turn signs into a diagnosis.
 */
#include "vmm/host-internal.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KVM_NODE "/dev/kvm"
#define MAX_GROUPS 4096
#define NAME_BUFFER 16384

static VmmHostDiagnosis *
diagnosis_new (char *what, char *advice)
{
    VmmHostDiagnosis *diagnosis = g_new0 (VmmHostDiagnosis, 1);

    diagnosis->what = what;
    diagnosis->advice = advice;
    return diagnosis;
}

void
vmm_host_diagnosis_free (VmmHostDiagnosis *diagnosis)
{
    if (diagnosis == NULL)
        return;
    g_free (diagnosis->what);
    g_free (diagnosis->advice);
    g_free (diagnosis);
}

static bool
path_exists (const char *root, const char *path)
{
    g_autofree char *full = g_strconcat (root, path, NULL);

    return access (full, F_OK) == 0;
}

/* The first "flags" line of an x86 /proc/cpuinfo; other architectures have none, and there nothing is known.
 */
static void
read_cpu_flags (const char *cpuinfo, VmmHostSigns *signs)
{
    const char *line = g_str_has_prefix (cpuinfo, "flags") ? cpuinfo : strstr (cpuinfo, "\nflags");
    if (line == NULL)
        return;
    if (*line == '\n')
        line++;
    g_autofree char *flags = g_strndup (line, strcspn (line, "\n"));
    g_auto (GStrv) words = g_strsplit_set (flags, " \t:", -1);

    signs->cpu_known = true;
    signs->cpu_vmx = g_strv_contains ((const char *const *)words, "vmx");
    signs->cpu_svm = g_strv_contains ((const char *const *)words, "svm");
    signs->cpu_hypervisor = g_strv_contains ((const char *const *)words, "hypervisor");
}

/* /proc/misc has one "MINOR NAME" a line, whatever /dev this process sees. */
static bool
misc_lists_kvm (const char *misc)
{
    g_auto (GStrv) lines = g_strsplit (misc, "\n", -1);

    for (char **line = lines; *line != NULL; line++) {
        g_strstrip (*line);
        const char *name = strchr (*line, ' ');
        if (name != NULL && g_str_equal (name + 1, "kvm"))
            return true;
    }
    return false;
}

/**
 * vmm_host_signs_read:
 * @root: what goes before every path, "" for the host
 * @ret_signs: (out): what was found; a file that cannot be read leaves its signs false
 *
 * Reads what the kernel says about virtualization. Any thread.
 */
void
vmm_host_signs_read (const char *root, VmmHostSigns *ret_signs)
{
    g_autofree char *cpuinfo_path = g_strconcat (root, "/proc/cpuinfo", NULL);
    g_autofree char *misc_path = g_strconcat (root, "/proc/misc", NULL);
    g_autofree char *cpuinfo = NULL, *misc = NULL;

    memset (ret_signs, 0, sizeof *ret_signs);
    if (g_file_get_contents (cpuinfo_path, &cpuinfo, NULL, NULL))
        read_cpu_flags (cpuinfo, ret_signs);
    if (g_file_get_contents (misc_path, &misc, NULL, NULL))
        ret_signs->kernel_has_kvm = misc_lists_kvm (misc);
    /* Docker, Podman, and what follows systemd's container interface. */
    ret_signs->in_container = path_exists (root, "/.dockerenv") || path_exists (root, "/run/.containerenv") ||
                              path_exists (root, "/run/systemd/container");
}

/**
 * vmm_host_diagnose_denied:
 * @owner: the node's mode and group, and who asks
 *
 * Says why opening the node ended with EACCES.
 *
 * Returns: (transfer full): the diagnosis
 */
VmmHostDiagnosis *
vmm_host_diagnose_denied (const VmmHostDeviceOwner *owner)
{
    const char *user = owner->user != NULL ? owner->user : "$USER";

    /* Membership in root's own group is no advice to give, and a group without access gives none. */
    if ((owner->mode & 0060) != 0060 || owner->gid == 0)
        return diagnosis_new (
            g_strdup_printf ("permission denied: only root may open it (mode %04o)",
                             (unsigned)owner->mode & 07777),
            g_strdup_printf ("run as root, or let this user in until the next reboot with \"sudo "
                             "setfacl -m u:%s:rw " KVM_NODE "\"",
                             user));
    if (owner->process_in_group)
        return diagnosis_new (g_strdup ("permission denied, although its mode and group would allow it"),
                              g_strdup ("look for a rule of SELinux, AppArmor or an access control list that "
                                        "forbids it (\"getfacl " KVM_NODE "\")"));
    if (owner->group == NULL)
        return diagnosis_new (
            g_strdup_printf ("permission denied: it belongs to group id %u, which has no name here",
                             (unsigned)owner->gid),
            g_strdup_printf ("give this process that group, in a container with \"--group-add %u\"",
                             (unsigned)owner->gid));
    if (owner->user_listed_in_group)
        return diagnosis_new (
            g_strdup_printf ("permission denied: it belongs to group \"%s\", which \"%s\" joined "
                             "after this session began",
                             owner->group, user),
            g_strdup_printf ("log in again, or start a shell with \"newgrp %s\"", owner->group));
    return diagnosis_new (g_strdup_printf ("permission denied: it belongs to group \"%s\"", owner->group),
                          g_strdup_printf ("add yourself with \"sudo usermod -aG %s %s\" and log in again",
                                           owner->group, user));
}

static VmmHostDiagnosis *
diagnose_not_registered (const VmmHostSigns *signs, const char *what)
{
    if (signs->cpu_known && !signs->cpu_vmx && !signs->cpu_svm) {
        if (signs->cpu_hypervisor)
            return diagnosis_new (
                g_strdup_printf ("%s: this host is a virtual machine whose processor shows no VT-x or AMD-V",
                                 what),
                g_strdup (
                    "turn on nested virtualization for it in the hypervisor below, or use another host"));
        return diagnosis_new (
            g_strdup_printf ("%s: the processor shows no VT-x (vmx) or AMD-V (svm)", what),
            g_strdup ("turn virtualization on in the firmware setup; a processor without it cannot run KVM"));
    }
    if (signs->in_container)
        return diagnosis_new (
            g_strdup_printf ("%s: the kernel below this container has not loaded its KVM module", what),
            g_strdup ("load it outside the container with \"sudo modprobe kvm_intel\" or \"kvm_amd\""));
    if (!signs->cpu_known)
        return diagnosis_new (
            g_strdup_printf ("%s: the running kernel has no KVM", what),
            g_strdup ("use a kernel with CONFIG_KVM, started at a level that may run guests"));
    return diagnosis_new (
        g_strdup_printf ("%s: the KVM module is not loaded", what),
        g_strdup_printf (
            "load it with \"sudo modprobe %s\"; where that fails, \"sudo dmesg\" says why (often "
            "virtualization is turned off in the firmware setup)",
            signs->cpu_svm ? "kvm_amd" : "kvm_intel"));
}

/**
 * vmm_host_diagnose_missing:
 * @signs: what the kernel says
 * @node_exists: there is a node, but no driver behind it
 *
 * Says why there is no KVM where /dev/kvm should be.
 *
 * Returns: (transfer full): the diagnosis
 */
VmmHostDiagnosis *
vmm_host_diagnose_missing (const VmmHostSigns *signs, bool node_exists)
{
    const char *what = node_exists ? "no driver behind it" : "no such device";

    if (!signs->kernel_has_kvm)
        return diagnose_not_registered (signs, what);
    if (node_exists)
        return diagnosis_new (g_strdup ("not the KVM device, although the kernel has one"),
                              g_strdup ("make the node again with \"sudo rm " KVM_NODE
                                        "; sudo mknod -m 0660 " KVM_NODE " c 10 232\""));
    if (signs->in_container)
        return diagnosis_new (
            g_strdup ("no such device: the kernel has KVM, but this container was given no node"),
            g_strdup ("start the container with \"--device " KVM_NODE "\""));
    return diagnosis_new (g_strdup ("no such device: the kernel has KVM, but this /dev has no node for it"),
                          g_strdup ("make it with \"sudo mknod -m 0660 " KVM_NODE
                                    " c 10 232\", or give the node to this chroot or container"));
}

static bool
group_in_list (gid_t wanted, const gid_t *groups, int n_groups)
{
    for (int i = 0; i < n_groups; i++)
        if (groups[i] == wanted)
            return true;
    return false;
}

/* Fills in the names around a node. The strings live in @buffer; the databases are read by their reentrant
 * calls. */
static void
owner_fill (VmmHostDeviceOwner *owner, const struct stat *st, char *buffer, size_t half)
{
    struct group group_entry, *group = NULL;
    struct passwd user_entry, *user = NULL;
    g_autofree gid_t *groups = g_new (gid_t, MAX_GROUPS);

    owner->mode = st->st_mode;
    owner->gid = st->st_gid;
    if (getgrgid_r (st->st_gid, &group_entry, buffer, half, &group) == 0 && group != NULL)
        owner->group = group->gr_name;
    if (getpwuid_r (geteuid (), &user_entry, buffer + half, half, &user) == 0 && user != NULL)
        owner->user = user->pw_name;

    int n_groups = getgroups (MAX_GROUPS, groups);
    owner->process_in_group = getegid () == st->st_gid || group_in_list (st->st_gid, groups, n_groups);
    n_groups = MAX_GROUPS;
    if (user != NULL && getgrouplist (user->pw_name, user->pw_gid, groups, &n_groups) >= 0)
        owner->user_listed_in_group = group_in_list (st->st_gid, groups, n_groups);
}

static VmmHostDiagnosis *
diagnose_denied_node (const char *root)
{
    g_autofree char *node = g_strconcat (root, KVM_NODE, NULL);
    g_autofree char *buffer = g_malloc (2 * NAME_BUFFER);
    VmmHostDeviceOwner owner = {0};
    struct stat st;

    if (stat (node, &st) < 0)
        return diagnosis_new (g_strdup ("permission denied, by a folder above it"),
                              g_strdup ("run where this user may look into /dev"));
    owner_fill (&owner, &st, buffer, NAME_BUFFER);
    return vmm_host_diagnose_denied (&owner);
}

/**
 * vmm_host_diagnose_kvm_open:
 * @root: what goes before every path, "" for the host
 * @errno_value: what open() of /dev/kvm, or KVM_CREATE_VM, left in errno
 *
 * Says why /dev/kvm could not be used, from the error and the signs around it. Any thread; reads files and
 * the user and group databases.
 *
 * Returns: (transfer full): the diagnosis
 */
VmmHostDiagnosis *
vmm_host_diagnose_kvm_open (const char *root, int errno_value)
{
    VmmHostSigns signs;

    switch (errno_value) {
    case EACCES:
        return diagnose_denied_node (root);
    case EPERM:
        /* The mode gives EACCES; EPERM comes from a device cgroup, a seccomp filter or a security module. */
        return diagnosis_new (
            g_strdup ("not permitted: the rules of a container or service keep this process from "
                      "the device"),
            g_strdup ("allow it there: \"--device " KVM_NODE "\" for a container, DeviceAllow=" KVM_NODE
                      " for a systemd service"));
    case ENOENT:
    case ENODEV:
    case ENXIO:
        vmm_host_signs_read (root, &signs);
        return vmm_host_diagnose_missing (&signs, errno_value != ENOENT);
    case EBUSY:
        return diagnosis_new (g_strdup ("busy: another hypervisor holds the processor's virtualization"),
                              g_strdup ("stop its machines (VirtualBox, VMware) and try again"));
    case EMFILE:
        return diagnosis_new (g_strdup ("too many open files in this process"),
                              g_strdup ("raise its limit with \"ulimit -n\""));
    case ENFILE:
        return diagnosis_new (g_strdup ("too many open files on this host"),
                              g_strdup ("raise the sysctl fs.file-max"));
    case ENOMEM:
        return diagnosis_new (g_strdup ("the host kernel has no memory left"), g_strdup ("free some memory"));
    default:
        return diagnosis_new (g_strdup (g_strerror (errno_value)), g_strdup ("run \"vmm doctor\" for more"));
    }
}

/**
 * vmm_host_explain_kvm_open:
 * @errno_value: what open() of /dev/kvm, or KVM_CREATE_VM, left in errno
 *
 * The one line to show when /dev/kvm could not be opened, such as `/dev/kvm: permission denied: it belongs to
 * group "kvm"; add yourself with "sudo usermod -aG kvm alice" and log in again`. Any thread.
 *
 * Returns: (transfer full): the line, without a full stop or newline at its end
 */
char *
vmm_host_explain_kvm_open (int errno_value)
{
    g_autoptr (VmmHostDiagnosis) diagnosis = vmm_host_diagnose_kvm_open ("", errno_value);

    return g_strdup_printf (KVM_NODE ": %s; %s", diagnosis->what, diagnosis->advice);
}
