/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the host probe, for its own files, its tests, and whoever opens /dev/kvm and must say why it
 * could not.
 *
 * Each function that looks at files takes a @root that goes before every path: "" is the host itself, and a
 * test gives a folder with files of its own.
 */
#ifndef VMM_HOST_INTERNAL_H
#define VMM_HOST_INTERNAL_H

#include <sys/types.h>

#include "vmm/host.h"

G_BEGIN_DECLS

struct VmmHostReport {
    VmmHostFacts facts;
    GPtrArray *checks; /* of VmmHostCheck, whose strings it owns */
};

/*
 * Why something is not as it should be, and the way out. Both are parts of one line: no full stop at the end.
 * Neither is NULL.
 */
typedef struct {
    char *what;
    char *advice;
} VmmHostDiagnosis;

void vmm_host_diagnosis_free (VmmHostDiagnosis *diagnosis);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmHostDiagnosis, vmm_host_diagnosis_free)

/* Who may open a device node, and who asks. */
typedef struct {
    mode_t mode;
    gid_t gid;
    const char *group;         /* the name of @gid, NULL where it has none */
    const char *user;          /* who asks, NULL where the id has no name */
    bool process_in_group;     /* this process runs with @gid */
    bool user_listed_in_group; /* the group database lists the user, whatever this process has */
} VmmHostDeviceOwner;

/* What /proc/cpuinfo, /proc/misc and friends say about the way to KVM. */
typedef struct {
    bool cpu_known; /* the flags could be read: the four that follow mean something */
    bool cpu_vmx;
    bool cpu_svm;
    bool cpu_hypervisor;
    bool kernel_has_kvm; /* the running kernel has registered the device, wherever its node is */
    bool in_container;
} VmmHostSigns;

/* host.c */
void vmm_host_report_add (VmmHostReport *report, const char *id, const char *title, VmmHostLevel level,
                          char *value, const char *explanation, const char *advice);
VmmHostReport *vmm_host_probe_root (const char *root, VmmHostProbeFlags flags);
char *vmm_host_read_line (const char *root, const char *path);

/* host-explain.c */
void vmm_host_signs_read (const char *root, VmmHostSigns *ret_signs);
VmmHostDiagnosis *vmm_host_diagnose_denied (const VmmHostDeviceOwner *owner);
VmmHostDiagnosis *vmm_host_diagnose_missing (const VmmHostSigns *signs, bool node_exists);
VmmHostDiagnosis *vmm_host_diagnose_kvm_open (const char *root, int errno_value);
char *vmm_host_explain_kvm_open (int errno_value);

/* host-kvm.c */
void vmm_host_probe_kvm (VmmHostReport *report, const char *root, VmmHostProbeFlags flags);

/* host-system.c */
void vmm_host_probe_system (VmmHostReport *report, const char *root);

G_END_DECLS

#endif
