/* SPDX-License-Identifier: Apache-2.0 */
/* Where the vCPUs of a board are, and that in words. */
#include "vmm/board.h"

/* A vCPU's thread may be held up by a device that waits for the host. */
#define ANSWER_PATIENCE_US (2 * G_USEC_PER_SEC)

/**
 * vmm_board_take_samples:
 * @ret_samples: (out): where each vCPU is
 * @ret_answered: (out): whether it said so
 *
 * Asks all vCPUs at once, so that the slowest is waited for only once. On the loop thread, whether they run
 * or are paused.
 *
 * Returns: how many answered
 */
unsigned
vmm_board_take_samples (VmmBoard *board, VmmVcpuSample *ret_samples, bool *ret_answered)
{
    unsigned n = vmm_board_n_vcpus (board);
    int64_t deadline = g_get_monotonic_time () + ANSWER_PATIENCE_US;
    unsigned count = 0;

    for (unsigned i = 0; i < n; i++)
        vmm_vcpu_request_sample (vmm_board_vcpu (board, i));
    for (unsigned i = 0; i < n; i++) {
        ret_answered[i] = vmm_vcpu_wait_sample (vmm_board_vcpu (board, i), deadline, &ret_samples[i]);
        count += ret_answered[i] ? 1 : 0;
    }
    return count;
}

static const char *
state_of (const VmmVcpuSample *sample)
{
    if (sample->off)
        return "off";
    if (sample->halted)
        return "waiting for an interrupt";
    return sample->user_mode ? "running a program" : "running the kernel";
}

static void
describe_sample (VmmBoard *board, unsigned index, const VmmVcpuSample *sample, GString *text)
{
    g_autofree char *where = vmm_board_name_function (board, sample);

    g_string_append_printf (text, "vCPU %u: at %016" G_GINT64_MODIFIER "x", index, sample->pc);
    if (where != NULL)
        g_string_append_printf (text, " (%s)", where);
    g_string_append_printf (text, ", %s, interrupts %s\n", state_of (sample),
                            sample->interrupts_off ? "off" : "on");
}

/**
 * vmm_board_describe_samples:
 * @samples: what vmm_board_take_samples() gave
 * @answered: the same
 * @text: gets a line for each vCPU: where it was, in which function if that is known
 *
 * On the loop thread.
 */
void
vmm_board_describe_samples (VmmBoard *board, const VmmVcpuSample *samples, const bool *answered,
                            GString *text)
{
    for (unsigned i = 0; i < vmm_board_n_vcpus (board); i++) {
        if (answered[i])
            describe_sample (board, i, &samples[i], text);
        else
            g_string_append_printf (text, "vCPU %u: ended, or does not answer\n", i);
    }
}

/**
 * vmm_board_describe_vcpus:
 * @text: gets a line for each vCPU: where it is
 *
 * On the loop thread, whether the vCPUs run or are paused.
 */
void
vmm_board_describe_vcpus (VmmBoard *board, GString *text)
{
    unsigned n = vmm_board_n_vcpus (board);
    g_autofree VmmVcpuSample *samples = g_new0 (VmmVcpuSample, n);
    g_autofree bool *answered = g_new0 (bool, n);

    vmm_board_take_samples (board, samples, answered);
    vmm_board_describe_samples (board, samples, answered, text);
}
