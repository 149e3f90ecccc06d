/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A board is all that a guest runs on, from its KVM to its last vCPU, wired as a configuration says. A
 * machine makes one for each boot: a guest that reboots finds a new one, and nothing of the old.
 *
 * The order of building is the order of speed. Memory is shown to KVM before there are interrupt controllers.
 * Of a large memory only the start is shown before the first vCPU runs, with the kernel in it; a thread shows
 * the rest meanwhile, since a KVM without hardware page tables needs a millisecond for each few GiB. Should
 * the guest be there first, its access comes to us as MMIO; it waits for the thread and is done on the RAM
 * itself.
 */
#include "vmm/board.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "firmware.h"
#include "vmm/board-devices.h"
#include "vmm/config-internal.h"
#include "vmm/error.h"
#include "vmm/guest-symbols.h"
#include "vmm/host-internal.h"
#include "vmm/mapped-file.h"
#include "vmm/memory-slots.h"

struct _VmmBoard {
    const VmmConfig *config; /* borrowed */
    VmmBoardEvents events;
    int kvm_fd;
    VmmGuestMemory *memory;
    VmmKvm *kvm;
    VmmMemorySlots *slots;
    VmmArchVm *arch;
    VmmBoardDevices *devices;
    VmmVcpu **vcpus;
    unsigned n_vcpus;
    VmmMappedFile kernel_file;
    VmmKernelImage *image;
    VmmLoadedKernel kernel;
    VmmGuestSymbols *symbols;
};

static bool
parse_kernel (VmmBoard *board, GError **error)
{
    VmmSpan file = {vmm_firmware_hello, vmm_firmware_hello_size};
    const char *name = "built-in guest";

    if (board->config->kernel != NULL) {
        name = board->config->kernel;
        if (!vmm_mapped_file_open ("kernel", name, &board->kernel_file, error))
            return false;
        file = vmm_mapped_file_span (&board->kernel_file);
    }
    board->symbols =
        vmm_guest_symbols_new (board->config->symbols, board->events.warn, board->events.user, error);
    if (board->symbols == NULL)
        return false;
    return vmm_kernel_image_parse (file, name, &board->image, error);
}

static bool
open_kvm (VmmBoard *board, GError **error)
{
    board->kvm_fd = open ("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (board->kvm_fd < 0) {
        g_autofree char *why = vmm_host_explain_kvm_open (errno);

        g_set_error_literal (error, VMM_ERROR, VMM_ERROR_HOST, why);
        return false;
    }
    board->kvm = vmm_kvm_new (board->kvm_fd, error);
    return board->kvm != NULL;
}

static bool
check_cpus (VmmBoard *board, GError **error)
{
    int max = vmm_kvm_check (board->kvm, KVM_CAP_MAX_VCPUS);

    if (max <= 0)
        max = vmm_kvm_check (board->kvm, KVM_CAP_NR_VCPUS);
    if (max > 0 && board->config->cpus.cpus > (unsigned)max) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "cpus \"%u\": KVM on this host allows at most %d CPUs", board->config->cpus.cpus, max);
        return false;
    }
    return true;
}

static void
on_wait_memory (void *machine)
{
    VmmBoard *board = machine;

    vmm_memory_slots_wait (board->slots);
}

static void
on_memory_failed (void *user, char *message)
{
    VmmBoard *board = user;

    board->events.vcpu.ended (board->events.vcpu.machine, 0, VMM_ARCH_EXIT_HOST_ERROR,
                              g_strconcat (message, "\n", NULL));
    g_free (message);
}

static bool
build_memory (VmmBoard *board, GError **error)
{
    VmmMemRange ranges[VMM_ARCH_MEMORY_RANGES_MAX];
    size_t n = vmm_arch_memory_ranges (board->config->mem, ranges, error);

    if (n == 0)
        return false;
    board->memory = vmm_guest_memory_new (ranges, n, &board->config->backing, error);
    if (board->memory == NULL)
        return false;
    board->slots = vmm_memory_slots_new (board->kvm, board->memory, on_memory_failed, board, error);
    return board->slots != NULL;
}

static bool
open_initrds (VmmBoard *board, VmmInitrd **ret_initrd, GError **error)
{
    const GPtrArray *paths = board->config->initrds;
    g_autoptr (VmmInitrd) initrd = vmm_initrd_new ();

    *ret_initrd = NULL;
    if (paths->len + board->config->n_first_initrds == 0)
        return true;
    for (unsigned i = 0; i < board->config->n_first_initrds; i++) {
        const VmmConfigInitrd *first = &board->config->first_initrds[i];

        if (!vmm_initrd_add (initrd, first->fd, first->name, error))
            return false;
    }
    for (guint i = 0; i < paths->len; i++) {
        const char *path = paths->pdata[i];
        int fd = open (path, O_RDONLY | O_CLOEXEC);
        bool ok = fd >= 0;

        if (!ok)
            g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "initrd \"%s\": %s", path, g_strerror (errno));
        ok = ok && vmm_initrd_add (initrd, fd, path, error);
        if (fd >= 0)
            close (fd);
        if (!ok)
            return false;
    }
    if (vmm_initrd_warning (initrd) != NULL)
        board->events.notice (board->events.user, vmm_initrd_warning (initrd));
    *ret_initrd = g_steal_pointer (&initrd);
    return true;
}

static bool
load (VmmBoard *board, VmmInitrd **initrd, GError **error)
{
    g_autofree char *cmdline = vmm_config_build_cmdline (board->config);
    VmmArchBoot boot = {
        .image = board->image,
        .entry = board->config->entry,
        .cmdline = cmdline,
        .memory_end = VMM_MEMORY_SLOTS_EARLY,
    };

    if (*initrd == NULL && !open_initrds (board, initrd, error))
        return false;
    boot.initrd = *initrd;
    /* Never blocks after the host's own start-up, and never gives less than was asked for. */
    if (getrandom (boot.kaslr_seed, sizeof boot.kaslr_seed, 0) != sizeof boot.kaslr_seed) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "the host gives no random numbers: %s",
                     g_strerror (errno));
        return false;
    }
    if (!vmm_arch_vm_load (board->arch, &boot, &board->kernel, error))
        return false;
    if (board->kernel.kaslr == VMM_KERNEL_KASLR_LOST && board->image->is_linux) {
        g_autofree char *text =
            g_strdup_printf ("kernel \"%s\": its addresses are not randomized (KASLR): %s",
                             board->image->name, board->kernel.kaslr_lost);

        board->events.notice (board->events.user, text);
    }
    return true;
}

static bool
build_arch (VmmBoard *board, const VmmBoardParts *parts, GError **error)
{
    VmmArchVmConfig config = {
        .kvm = board->kvm,
        .memory = board->memory,
        .context = parts->context,
        .console = parts->console,
        .cpus = board->config->cpus,
        .irqchip = board->config->irqchip,
        .debug_exit_port = board->config->debug_exit_port,
        .events = board->events.guest,
        .wait_memory = on_wait_memory,
        .machine = board,
    };

    if (config.irqchip == VMM_IRQCHIP_AUTO)
        config.irqchip = board->config->kernel == NULL
                             ? VMM_IRQCHIP_SPLIT
                             : vmm_arch_choose_irqchip (board->image, board->config->transport);
    board->arch = vmm_arch_vm_new (&config, error);
    return board->arch != NULL;
}

static bool
build_devices (VmmBoard *board, const VmmBoardParts *parts, GError **error)
{
    VmmBoardDevicesEnv env = {
        .config = board->config,
        .backends = parts->backends,
        .memory = board->memory,
        .arch = board->arch,
        .warn = board->events.warn,
        .user = board->events.user,
    };

    return vmm_board_devices_new (&env, &board->devices, error);
}

static bool
build_vcpus (VmmBoard *board, GError **error)
{
    unsigned n = board->config->cpus.cpus;

    board->vcpus = g_new0 (VmmVcpu *, n);
    for (; board->n_vcpus < n; board->n_vcpus++) {
        board->vcpus[board->n_vcpus] =
            vmm_vcpu_new (board->kvm, board->arch, board->n_vcpus, &board->events.vcpu, error);
        if (board->vcpus[board->n_vcpus] == NULL)
            return false;
    }
    return true;
}

/**
 * vmm_board_new:
 * @parts: what to make it of
 * @initrd: (inout): what an earlier board of the same configuration left there, which a pipe gives only once;
 *   or NULL, and this one's afterwards. The caller's to free
 * @events: whom to tell; copied
 *
 * Returns: (transfer full) (nullable): a board whose guest is loaded and does not run yet; NULL with an error
 * of #VmmError that names what is wrong
 */
VmmBoard *
vmm_board_new (const VmmBoardParts *parts, VmmInitrd **initrd, const VmmBoardEvents *events, GError **error)
{
    g_autoptr (VmmBoard) board = g_new0 (VmmBoard, 1);

    board->config = parts->config;
    board->events = *events;
    board->kvm_fd = -1;
    /* What the user named comes first: a wrong file is told even where there is no KVM. */
    if (!parse_kernel (board, error) || !open_kvm (board, error) || !check_cpus (board, error) ||
        !build_memory (board, error) || !build_arch (board, parts, error) ||
        !build_devices (board, parts, error) || !load (board, initrd, error) || !build_vcpus (board, error))
        return NULL;
    return g_steal_pointer (&board);
}

/**
 * vmm_board_free:
 * @board: (nullable): its vCPUs are stopped if they still run
 */
void
vmm_board_free (VmmBoard *board)
{
    if (board == NULL)
        return;
    vmm_board_request_stop (board);
    vmm_board_join (board);
    /* Before the vCPUs: its thread may be about to tell of a failure, which stops them. */
    vmm_memory_slots_free (board->slots);
    for (unsigned i = 0; i < board->n_vcpus; i++)
        vmm_vcpu_free (board->vcpus[i]);
    g_free (board->vcpus);
    vmm_board_stop_devices (board);
    vmm_arch_vm_free (board->arch);
    vmm_board_devices_free (board->devices);
    vmm_kvm_free (board->kvm);
    if (board->kvm_fd >= 0)
        close (board->kvm_fd);
    vmm_guest_memory_free (board->memory);
    vmm_kernel_image_free (board->image);
    vmm_guest_symbols_free (board->symbols);
    vmm_mapped_file_close (&board->kernel_file);
    g_free (board);
}

/**
 * vmm_board_start:
 *
 * Starts the vCPUs.
 *
 * Returns: false with %VMM_ERROR_HOST; those that did start are asked to end
 */
bool
vmm_board_start (VmmBoard *board, GError **error)
{
    bool ok = true;

    for (unsigned i = 0; ok && i < board->n_vcpus; i++)
        ok = vmm_vcpu_start (board->vcpus[i], error);
    if (!ok)
        vmm_board_request_stop (board);
    /* After them: on a host where this takes its time, it takes a CPU's. One that runs may wait for it. */
    vmm_memory_slots_show_rest (board->slots);
    return ok;
}

/**
 * vmm_board_request_stop:
 *
 * Any thread: asks all vCPUs to end.
 */
void
vmm_board_request_stop (VmmBoard *board)
{
    for (unsigned i = 0; i < board->n_vcpus; i++)
        vmm_vcpu_request_stop (board->vcpus[i]);
}

/**
 * vmm_board_join:
 *
 * Waits for the end of all vCPU threads, after vmm_board_request_stop().
 */
void
vmm_board_join (VmmBoard *board)
{
    for (unsigned i = 0; i < board->n_vcpus; i++)
        vmm_vcpu_join (board->vcpus[i]);
}

/**
 * vmm_board_stop_devices:
 *
 * After vmm_board_join(): what devices have in flight is brought to its end, and they do nothing more.
 */
void
vmm_board_stop_devices (VmmBoard *board)
{
    if (board->devices != NULL)
        vmm_board_devices_stop (board->devices);
}

/**
 * vmm_board_n_devices:
 *
 * Returns: how many virtio devices there are
 */
unsigned
vmm_board_n_devices (const VmmBoard *board)
{
    return vmm_board_devices_count (board->devices);
}

/**
 * vmm_board_device:
 * @index: below vmm_board_n_devices()
 *
 * Returns: (transfer none): a virtio device
 */
VmmVirtioDevice *
vmm_board_device (VmmBoard *board, unsigned index)
{
    return vmm_board_devices_get (board->devices, index);
}

/**
 * vmm_board_find_device:
 * @name: what the user calls it
 *
 * Returns: (transfer none) (nullable): that device
 */
VmmVirtioDevice *
vmm_board_find_device (VmmBoard *board, const char *name)
{
    for (unsigned i = 0; i < vmm_board_n_devices (board); i++) {
        if (strcmp (vmm_virtio_device_name (vmm_board_device (board, i)), name) == 0)
            return vmm_board_device (board, i);
    }
    return NULL;
}

/**
 * vmm_board_pause:
 *
 * Returns when all vCPUs are at rest, and nothing of a device is in flight.
 */
void
vmm_board_pause (VmmBoard *board)
{
    for (unsigned i = 0; i < board->n_vcpus; i++)
        vmm_vcpu_request_pause (board->vcpus[i]);
    for (unsigned i = 0; i < board->n_vcpus; i++)
        vmm_vcpu_wait_paused (board->vcpus[i]);
    vmm_board_devices_pause (board->devices);
}

/**
 * vmm_board_resume:
 *
 * Ends a pause.
 */
void
vmm_board_resume (VmmBoard *board)
{
    vmm_board_devices_resume (board->devices);
    for (unsigned i = 0; i < board->n_vcpus; i++)
        vmm_vcpu_resume (board->vcpus[i]);
}

/**
 * vmm_board_n_vcpus:
 *
 * Returns: how many vCPUs there are
 */
unsigned
vmm_board_n_vcpus (const VmmBoard *board)
{
    return board->n_vcpus;
}

/**
 * vmm_board_vcpu:
 * @index: below vmm_board_n_vcpus()
 *
 * Returns: (transfer none): a vCPU
 */
VmmVcpu *
vmm_board_vcpu (VmmBoard *board, unsigned index)
{
    return board->vcpus[index];
}

/**
 * vmm_board_arch:
 *
 * Returns: (transfer none): the architecture's part
 */
VmmArchVm *
vmm_board_arch (VmmBoard *board)
{
    return board->arch;
}

/**
 * vmm_board_memory_size:
 *
 * Returns: bytes of the guest's RAM
 */
uint64_t
vmm_board_memory_size (const VmmBoard *board)
{
    return vmm_guest_memory_size (board->memory);
}

/**
 * vmm_board_memory_used:
 *
 * Returns: bytes of the guest's RAM that are in the host's RAM now
 */
uint64_t
vmm_board_memory_used (const VmmBoard *board)
{
    const uint64_t page = VMM_GUEST_PAGE_SIZE;
    unsigned char resident[4096];
    uint64_t used = 0;

    for (size_t i = 0; i < vmm_guest_memory_n_regions (board->memory); i++) {
        const VmmMemRegion *r = vmm_guest_memory_region (board->memory, i);

        for (uint64_t off = 0; off < r->size; off += sizeof resident * page) {
            uint64_t len = MIN (r->size - off, sizeof resident * page);

            if (mincore (r->host + off, len, resident) < 0)
                continue;
            for (uint64_t p = 0; p < len / page; p++)
                used += (resident[p] & 1) * page;
        }
    }
    return used;
}

/**
 * vmm_board_name_function:
 * @sample: where a vCPU is
 *
 * On the loop thread. The first call reads the symbols.
 *
 * Returns: (transfer full) (nullable): the function there, "schedule+0x1c/0xa0"; NULL where no symbols tell
 */
char *
vmm_board_name_function (VmmBoard *board, const VmmVcpuSample *sample)
{
    return vmm_guest_symbols_describe (board->symbols, board->image, &board->kernel, sample);
}
