/* SPDX-License-Identifier: Apache-2.0 */
/* The host probe: what a user is told, on hosts made of a few files, and once on the real one. */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/host-internal.h"

#define INTEL_FLAGS "processor\t: 0\nflags\t\t: fpu vme vmx sse2\nbugs\t\t: none\n"
#define AMD_FLAGS "processor\t: 0\nflags\t\t: fpu svm hypervisor sse2\n"
#define PLAIN_FLAGS "processor\t: 0\nflags\t\t: fpu vme sse2 vmx_not_this\n"
#define GUEST_FLAGS "processor\t: 0\nflags\t\t: fpu hypervisor sse2\n"
#define ARM_CPUINFO "processor\t: 0\nFeatures\t: fp asimd\n"

/* A host of its own: files below a fresh folder. */
typedef struct {
    char *root;
} FakeHost;

static void
fake_host_clear (FakeHost *host)
{
    const char *argv[] = {"rm", "-rf", "--", host->root, NULL};

    g_spawn_sync (NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
    g_free (host->root);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (FakeHost, fake_host_clear)

static void
fake_host_init (FakeHost *host)
{
    host->root = g_dir_make_tmp ("vmm-test-host-XXXXXX", NULL);
    cr_assert_not_null (host->root);
}

static void
fake_host_write (const FakeHost *host, const char *path, const char *text)
{
    g_autofree char *full = g_strconcat (host->root, path, NULL);
    g_autofree char *folder = g_path_get_dirname (full);

    cr_assert_eq (g_mkdir_with_parents (folder, 0755), 0);
    cr_assert (g_file_set_contents (full, text, -1, NULL));
}

static const VmmHostCheck *
find_check (const VmmHostReport *report, const char *id)
{
    for (unsigned i = 0; i < vmm_host_report_get_n_checks (report); i++) {
        const VmmHostCheck *check = vmm_host_report_get_check (report, i);
        if (g_str_equal (check->id, id))
            return check;
    }
    return NULL;
}

static void
expect_diagnosis (VmmHostDiagnosis *taken, const char *what, const char *advice)
{
    g_autoptr (VmmHostDiagnosis) diagnosis = taken;

    cr_expect (strstr (diagnosis->what, what) != NULL, "\"%s\" should say \"%s\"", diagnosis->what, what);
    cr_expect (strstr (diagnosis->advice, advice) != NULL, "\"%s\" should say \"%s\"", diagnosis->advice,
               advice);
    cr_expect_null (strchr (diagnosis->what, '\n'));
    cr_expect_null (strchr (diagnosis->advice, '\n'));
}

Test (host, denied_names_the_group_and_the_command)
{
    VmmHostDeviceOwner owner = {.mode = 0660, .gid = 108, .group = "kvm", .user = "alice"};

    expect_diagnosis (vmm_host_diagnose_denied (&owner), "permission denied: it belongs to group \"kvm\"",
                      "add yourself with \"sudo usermod -aG kvm alice\" and log in again");
}

Test (host, denied_to_a_fresh_member_says_log_in_again)
{
    VmmHostDeviceOwner owner = {.mode = 0660, .gid = 108, .group = "kvm", .user = "alice"};

    owner.user_listed_in_group = true;
    expect_diagnosis (vmm_host_diagnose_denied (&owner), "joined after this session began", "log in again");
}

Test (host, denied_never_advises_to_join_root)
{
    VmmHostDeviceOwner owner = {.mode = 0660, .gid = 0, .group = "root", .user = "alice"};
    g_autoptr (VmmHostDiagnosis) diagnosis = vmm_host_diagnose_denied (&owner);

    cr_expect_null (strstr (diagnosis->advice, "usermod"));
    cr_expect_not_null (strstr (diagnosis->advice, "setfacl -m u:alice:rw /dev/kvm"));
}

Test (host, denied_by_a_mode_without_group_access)
{
    VmmHostDeviceOwner owner = {.mode = 0600, .gid = 108, .group = "kvm", .user = "alice"};

    expect_diagnosis (vmm_host_diagnose_denied (&owner), "only root may open it (mode 0600)", "run as root");
}

Test (host, denied_by_a_group_without_name)
{
    VmmHostDeviceOwner owner = {.mode = 0660, .gid = 992, .user = "alice"};

    expect_diagnosis (vmm_host_diagnose_denied (&owner), "group id 992", "--group-add 992");
}

Test (host, denied_to_a_member_is_some_other_rule)
{
    VmmHostDeviceOwner owner = {
        .mode = 0660, .gid = 108, .group = "kvm", .user = "alice", .process_in_group = true};

    expect_diagnosis (vmm_host_diagnose_denied (&owner), "although", "SELinux");
}

Test (host, denied_without_a_user_name_still_gives_a_command)
{
    VmmHostDeviceOwner owner = {.mode = 0660, .gid = 108, .group = "kvm"};

    expect_diagnosis (vmm_host_diagnose_denied (&owner), "kvm", "usermod -aG kvm $USER");
}

Test (host, missing_device_tells_its_reasons_apart)
{
    const struct {
        VmmHostSigns signs;
        bool node_exists;
        const char *what;
        const char *advice;
    } rows[] = {
        {{.cpu_known = true}, false, "no VT-x (vmx) or AMD-V (svm)", "firmware"},
        {{.cpu_known = true, .cpu_hypervisor = true}, false, "is a virtual machine", "nested virtualization"},
        {{.cpu_known = true, .cpu_vmx = true}, false, "module is not loaded", "modprobe kvm_intel"},
        {{.cpu_known = true, .cpu_svm = true}, false, "module is not loaded", "modprobe kvm_amd"},
        {{.cpu_known = true, .cpu_svm = true, .in_container = true},
         false,
         "below this container",
         "outside"},
        {{.cpu_known = true, .cpu_vmx = true, .kernel_has_kvm = true, .in_container = true},
         false,
         "this container was given no node",
         "--device /dev/kvm"},
        {{.cpu_known = true, .kernel_has_kvm = true}, false, "this /dev has no node", "mknod"},
        {{.cpu_known = true, .cpu_vmx = true, .kernel_has_kvm = true}, true, "not the KVM device", "mknod"},
        {{.cpu_known = true, .cpu_vmx = true}, true, "no driver behind it", "modprobe kvm_intel"},
        {{.cpu_known = false}, false, "the running kernel has no KVM", "CONFIG_KVM"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
        expect_diagnosis (vmm_host_diagnose_missing (&rows[i].signs, rows[i].node_exists), rows[i].what,
                          rows[i].advice);
}

Test (host, signs_come_from_whole_words)
{
    g_auto (FakeHost) host = {0};
    VmmHostSigns signs;

    fake_host_init (&host);
    fake_host_write (&host, "/proc/cpuinfo", INTEL_FLAGS);
    fake_host_write (&host, "/proc/misc", "  1 psaux\n232 kvm\n");
    vmm_host_signs_read (host.root, &signs);
    cr_expect (signs.cpu_known && signs.cpu_vmx && !signs.cpu_svm && !signs.cpu_hypervisor);
    cr_expect (signs.kernel_has_kvm && !signs.in_container);

    fake_host_write (&host, "/proc/cpuinfo", AMD_FLAGS);
    fake_host_write (&host, "/proc/misc", "232 kvm_like\n");
    fake_host_write (&host, "/run/.containerenv", "");
    vmm_host_signs_read (host.root, &signs);
    cr_expect (signs.cpu_svm && !signs.cpu_vmx && signs.cpu_hypervisor);
    cr_expect (!signs.kernel_has_kvm && signs.in_container);

    fake_host_write (&host, "/proc/cpuinfo", PLAIN_FLAGS);
    vmm_host_signs_read (host.root, &signs);
    cr_expect (signs.cpu_known && !signs.cpu_vmx && !signs.cpu_svm);

    fake_host_write (&host, "/proc/cpuinfo", ARM_CPUINFO);
    vmm_host_signs_read (host.root, &signs);
    cr_expect (!signs.cpu_known);
}

Test (host, errors_of_policy_and_resources_have_their_own_words)
{
    expect_diagnosis (vmm_host_diagnose_kvm_open ("", EPERM), "not permitted", "--device /dev/kvm");
    expect_diagnosis (vmm_host_diagnose_kvm_open ("", EBUSY), "another hypervisor", "VirtualBox");
    expect_diagnosis (vmm_host_diagnose_kvm_open ("", EMFILE), "too many open files", "ulimit -n");
    expect_diagnosis (vmm_host_diagnose_kvm_open ("", EIO), g_strerror (EIO), "vmm doctor");
}

Test (host, explanation_is_one_line_that_names_the_device)
{
    const int errors[] = {ENOENT, EACCES, EPERM, ENODEV, ENXIO, EBUSY, EMFILE, ENFILE, ENOMEM, EINVAL};

    for (gsize i = 0; i < G_N_ELEMENTS (errors); i++) {
        g_autofree char *line = vmm_host_explain_kvm_open (errors[i]);
        cr_expect (g_str_has_prefix (line, "/dev/kvm: "), "%s", line);
        cr_expect_null (strchr (line, '\n'));
        cr_expect (!g_str_has_suffix (line, "."));
    }
}

Test (host, probe_of_a_host_without_the_node)
{
    g_auto (FakeHost) host = {0};

    fake_host_init (&host);
    fake_host_write (&host, "/proc/cpuinfo", GUEST_FLAGS);
    g_autoptr (VmmHostReport) report = vmm_host_probe_root (host.root, VMM_HOST_PROBE_DEFAULT);
    const VmmHostFacts *facts = vmm_host_report_get_facts (report);
    const VmmHostCheck *device = find_check (report, "kvm.device");

    cr_expect (!facts->kvm_present && !facts->kvm_accessible && !facts->kvm_usable && !facts->ring0_fast);
    cr_expect (facts->cpu_in_vm);
    cr_assert_not_null (device);
    cr_expect_eq (device->level, VMM_HOST_FAILURE);
    cr_expect_not_null (strstr (device->advice, "nested virtualization"));
    cr_expect_eq (vmm_host_report_get_level (report), VMM_HOST_FAILURE);
    cr_expect_null (find_check (report, "kvm.api"));
}

Test (host, probe_of_a_file_in_the_place_of_the_node)
{
    g_auto (FakeHost) host = {0};

    fake_host_init (&host);
    fake_host_write (&host, "/proc/cpuinfo", INTEL_FLAGS);
    fake_host_write (&host, "/dev/kvm", "not a device");
    g_autoptr (VmmHostReport) report = vmm_host_probe_root (host.root, VMM_HOST_PROBE_DEFAULT);
    const VmmHostFacts *facts = vmm_host_report_get_facts (report);

    cr_expect (facts->kvm_present && facts->kvm_accessible && !facts->kvm_usable);
    cr_expect_eq (facts->kvm_api_version, 0);
    cr_assert_not_null (find_check (report, "kvm.api"));
    cr_expect_eq (find_check (report, "kvm.api")->level, VMM_HOST_FAILURE);
}

Test (host, memory_and_huge_pages_are_read)
{
    g_auto (FakeHost) host = {0};

    fake_host_init (&host);
    fake_host_write (&host, "/proc/meminfo", "MemTotal:  2048 kB\nMemFree: 1 kB\nMemAvailable:    1024 kB\n");
    fake_host_write (&host, "/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
    fake_host_write (&host, "/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", "2\n");
    fake_host_write (&host, "/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages", "1\n");
    fake_host_write (&host, "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "64\n");
    fake_host_write (&host, "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "64\n");
    g_autoptr (VmmHostReport) report = vmm_host_probe_root (host.root, VMM_HOST_PROBE_NO_SPEED);
    const VmmHostFacts *facts = vmm_host_report_get_facts (report);

    cr_expect_eq (facts->memory_total, 2048u * 1024);
    cr_expect_eq (facts->memory_available, 1024u * 1024);
    cr_expect_eq (find_check (report, "memory.available")->level, VMM_HOST_WARNING);
    cr_expect_str_eq (facts->thp_mode, "never");
    cr_assert_eq (facts->n_hugepages, 2);
    cr_expect_eq (facts->hugepages[0].size, 2u << 20);
    cr_expect_eq (facts->hugepages[0].total, 64);
    cr_expect_eq (facts->hugepages[1].size, 1u << 30);
    cr_expect_eq (facts->hugepages[1].free, 1);
}

Test (host, cgroup2_is_found_alone_and_beside_v1)
{
    const char *places[] = {"/sys/fs/cgroup/cgroup.controllers", "/sys/fs/cgroup/unified/cgroup.controllers"};

    for (gsize i = 0; i < G_N_ELEMENTS (places); i++) {
        g_auto (FakeHost) host = {0};
        fake_host_init (&host);
        g_autoptr (VmmHostReport) without = vmm_host_probe_root (host.root, VMM_HOST_PROBE_NO_SPEED);
        cr_expect (!vmm_host_report_get_facts (without)->cgroup2);
        fake_host_write (&host, places[i], "cpu memory\n");
        g_autoptr (VmmHostReport) with = vmm_host_probe_root (host.root, VMM_HOST_PROBE_NO_SPEED);
        cr_expect (vmm_host_report_get_facts (with)->cgroup2);
    }
}

Test (host, ring0_speed_is_judged_alone_and_beside_ring3)
{
    cr_expect (vmm_host_ring0_is_fast (6000, 6100));
    cr_expect (vmm_host_ring0_is_fast (400, 0));
    cr_expect (vmm_host_ring0_is_fast (150, 500));
    cr_expect (!vmm_host_ring0_is_fast (1.7, 8000));
    cr_expect (!vmm_host_ring0_is_fast (1.7, 0));
    cr_expect (!vmm_host_ring0_is_fast (150, 8000));
    cr_expect (!vmm_host_ring0_is_fast (0, 0));
}

Test (host, the_report_is_complete_and_bounded)
{
    g_autoptr (VmmHostReport) report = vmm_host_probe (VMM_HOST_PROBE_NO_SPEED);
    unsigned n_checks = vmm_host_report_get_n_checks (report);

    cr_assert_gt (n_checks, 5);
    for (unsigned i = 0; i < n_checks; i++) {
        const VmmHostCheck *check = vmm_host_report_get_check (report, i);
        cr_expect (check->id != NULL && check->title != NULL && check->value != NULL &&
                   check->explanation != NULL);
        if (check->level >= VMM_HOST_WARNING)
            cr_expect_not_null (check->advice, "%s is bad and has no advice", check->id);
        for (unsigned j = 0; j < i; j++)
            cr_expect_str_neq (check->id, vmm_host_report_get_check (report, j)->id);
    }
    cr_expect_null (vmm_host_report_get_check (report, n_checks));
    vmm_host_report_free (NULL);
}

Test (host, speed_is_measured_where_kvm_is)
{
    int fd = open ("/dev/kvm", O_RDWR | O_CLOEXEC);
    double mips = -1;
    g_autoptr (GError) error = NULL;

    if (fd < 0) {
        int open_error = errno;
        g_autofree char *line = vmm_host_explain_kvm_open (open_error);
        cr_expect (!vmm_host_measure_ring0 (&mips, &error));
        cr_expect (g_error_matches (error, VMM_ERROR, VMM_ERROR_HOST));
        cr_expect_str_eq (error->message, line);
        cr_expect_eq (mips, -1, "an output was touched on failure");
        return;
    }
    close (fd);
    cr_assert (vmm_host_measure_ring0 (&mips, &error), "%s", error != NULL ? error->message : "");
    g_autoptr (VmmHostReport) report = vmm_host_probe (VMM_HOST_PROBE_DEFAULT);
    const VmmHostFacts *facts = vmm_host_report_get_facts (report);

    cr_expect (facts->kvm_usable);
    cr_expect_eq (facts->kvm_api_version, 12);
    cr_expect (facts->kvm_max_vcpus >= facts->kvm_recommended_vcpus && facts->kvm_recommended_vcpus > 0);
    /* The two measurements of ring 0 agree about what it is, within the noise of a busy host. */
    cr_expect (mips > 0.01 && facts->ring0_mips > 0.01 && facts->ring3_mips > 10, "%g, %g, %g", mips,
               facts->ring0_mips, facts->ring3_mips);
    cr_expect (mips < facts->ring0_mips * 10 && facts->ring0_mips < mips * 10, "%g, %g", mips,
               facts->ring0_mips);
    cr_expect_eq (find_check (report, "kvm.ring0-speed")->level,
                  facts->ring0_fast ? VMM_HOST_OK : VMM_HOST_WARNING);
}

static gpointer
measure_in_thread (gpointer data)
{
    return GINT_TO_POINTER (vmm_host_measure_ring0 ((double *)data, NULL));
}

Test (host, speed_is_measured_by_several_threads_at_once)
{
    double mips[4] = {0};
    GThread *threads[G_N_ELEMENTS (mips)];

    if (access ("/dev/kvm", R_OK | W_OK) < 0)
        cr_skip_test ("no /dev/kvm for this user");
    for (gsize i = 0; i < G_N_ELEMENTS (mips); i++)
        threads[i] = g_thread_new ("measure", measure_in_thread, &mips[i]);
    for (gsize i = 0; i < G_N_ELEMENTS (mips); i++) {
        cr_expect (GPOINTER_TO_INT (g_thread_join (threads[i])));
        cr_expect_gt (mips[i], 0);
    }
}
