/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/verdict.h"

#include "vmm/error.h"
#include "vmm/verdict-internal.h"

/* One row for each kind, in its order: the name in reports and the exit code. */
static const struct {
    const char *name;
    int exit_code;
} kinds[] = {
    [VMM_VERDICT_POWEROFF] = {"poweroff", VMM_EXIT_POWEROFF},
    [VMM_VERDICT_GUEST_EXIT] = {"guest-exit", -1},
    [VMM_VERDICT_REBOOT] = {"reboot", VMM_EXIT_REBOOT},
    [VMM_VERDICT_HALT] = {"halt", VMM_EXIT_HALT},
    [VMM_VERDICT_PANIC] = {"panic", VMM_EXIT_PANIC},
    [VMM_VERDICT_TRIPLE_FAULT] = {"triple-fault", VMM_EXIT_TRIPLE_FAULT},
    [VMM_VERDICT_HANG] = {"hang", VMM_EXIT_HANG},
    [VMM_VERDICT_TIMEOUT] = {"timeout", VMM_EXIT_TIMEOUT},
    [VMM_VERDICT_CPU_ERROR] = {"cpu-error", VMM_EXIT_CPU_ERROR},
    [VMM_VERDICT_STOPPED] = {"stopped", VMM_EXIT_STOPPED},
    [VMM_VERDICT_HOST_ERROR] = {"host-error", VMM_EXIT_HOST_ERROR},
};

/**
 * vmm_verdict_kind_to_string:
 * @kind: a kind of end
 *
 * Returns: (transfer none): its stable name, as in JSON reports: "poweroff", "triple-fault"
 * Since: 0.1
 */
const char *
vmm_verdict_kind_to_string (VmmVerdictKind kind)
{
    return (unsigned)kind < G_N_ELEMENTS (kinds) ? kinds[kind].name : "unknown";
}

/**
 * vmm_verdict_exit_code:
 * @kind: how the run ended
 * @guest_code: what the guest chose, for %VMM_VERDICT_GUEST_EXIT
 *
 * Returns: the exit code of a program whose purpose was the run
 */
int
vmm_verdict_exit_code (VmmVerdictKind kind, uint32_t guest_code)
{
    return kind == VMM_VERDICT_GUEST_EXIT ? (int)(guest_code & 0xff) : kinds[kind].exit_code;
}

/**
 * vmm_exit_code_for_error:
 * @error: an error of libvmm, or of another domain
 *
 * Returns: the exit code of a program that could not do its work because of it, see vmm(1)
 * Since: 0.1
 */
int
vmm_exit_code_for_error (const GError *error)
{
    if (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE))
        return VMM_EXIT_USAGE;
    if (g_error_matches (error, VMM_ERROR, VMM_ERROR_NOT_BOOTABLE))
        return VMM_EXIT_NOT_BOOTABLE;
    return VMM_EXIT_HOST_ERROR;
}
