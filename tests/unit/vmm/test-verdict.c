/* SPDX-License-Identifier: Apache-2.0 */
/* Exit codes and names of the kinds of end: what scripts of users depend on. */
#include "vmm/verdict.h"

#include <criterion/criterion.h>
#include <string.h>

#include "vmm/error.h"
#include "vmm/verdict-internal.h"

#define N_KINDS (VMM_VERDICT_HOST_ERROR + 1)

Test (verdict, no_two_meanings_share_an_exit_code)
{
    /* What comes before a run has codes too; a host that fails is the same thing before it and in it. */
    bool used[256] = {[VMM_EXIT_USAGE] = true, [VMM_EXIT_NOT_BOOTABLE] = true};

    cr_assert_neq (VMM_EXIT_USAGE, VMM_EXIT_HOST_ERROR);
    cr_assert_neq (VMM_EXIT_USAGE, VMM_EXIT_NOT_BOOTABLE);
    cr_assert_neq (VMM_EXIT_HOST_ERROR, VMM_EXIT_NOT_BOOTABLE);
    for (int kind = 0; kind < N_KINDS; kind++) {
        int code = vmm_verdict_exit_code ((VmmVerdictKind)kind, 0);

        if (kind == VMM_VERDICT_GUEST_EXIT)
            continue;
        cr_assert (code >= 0 && code < 126, "%d: shells use the codes from 126 on", code);
        cr_assert_eq (code % 2, 0, "%d: guests choose the odd ones", code);
        cr_assert_not (used[code], "%d has two meanings", code);
        used[code] = true;
    }
}

Test (verdict, the_codes_are_those_of_the_manual)
{
    static const int codes[N_KINDS] = {
        [VMM_VERDICT_POWEROFF] = 0,   [VMM_VERDICT_REBOOT] = 8,        [VMM_VERDICT_HALT] = 10,
        [VMM_VERDICT_PANIC] = 12,     [VMM_VERDICT_TRIPLE_FAULT] = 14, [VMM_VERDICT_HANG] = 16,
        [VMM_VERDICT_TIMEOUT] = 18,   [VMM_VERDICT_CPU_ERROR] = 20,    [VMM_VERDICT_STOPPED] = 22,
        [VMM_VERDICT_HOST_ERROR] = 4,
    };

    for (int kind = 0; kind < N_KINDS; kind++) {
        if (kind != VMM_VERDICT_GUEST_EXIT)
            cr_assert_eq (vmm_verdict_exit_code ((VmmVerdictKind)kind, 77), codes[kind], "kind %d", kind);
    }
}

Test (verdict, a_guest_chooses_its_own_code)
{
    cr_assert_eq (vmm_verdict_exit_code (VMM_VERDICT_GUEST_EXIT, 33), 33);
    cr_assert_eq (vmm_verdict_exit_code (VMM_VERDICT_GUEST_EXIT, 1), 1);
    cr_assert_eq (vmm_verdict_exit_code (VMM_VERDICT_GUEST_EXIT, 255), 255);
}

Test (verdict, names_are_stable_and_unique)
{
    static const char *const names[N_KINDS] = {"poweroff",  "guest-exit",   "reboot",    "halt",
                                               "panic",     "triple-fault", "hang",      "timeout",
                                               "cpu-error", "stopped",      "host-error"};

    for (int kind = 0; kind < N_KINDS; kind++)
        cr_assert_str_eq (vmm_verdict_kind_to_string ((VmmVerdictKind)kind), names[kind]);
    cr_assert_str_eq (vmm_verdict_kind_to_string ((VmmVerdictKind)N_KINDS), "unknown");
    cr_assert_str_eq (vmm_verdict_kind_to_string ((VmmVerdictKind)-1), "unknown");
}

Test (verdict, errors_have_codes_too)
{
    static const struct {
        VmmError error;
        int code;
    } rows[] = {
        {VMM_ERROR_HOST, 4},  {VMM_ERROR_USAGE, 2}, {VMM_ERROR_NOT_BOOTABLE, 6},
        {VMM_ERROR_STATE, 4}, {VMM_ERROR_BUSY, 4},
    };
    g_autoptr (GError) foreign = g_error_new_literal (G_FILE_ERROR, G_FILE_ERROR_NOENT, "no");

    for (size_t i = 0; i < G_N_ELEMENTS (rows); i++) {
        g_autoptr (GError) error = g_error_new_literal (VMM_ERROR, (int)rows[i].error, "no");

        cr_assert_eq (vmm_exit_code_for_error (error), rows[i].code, "class %d", (int)rows[i].error);
    }
    cr_assert_eq (vmm_exit_code_for_error (foreign), 4);
}
