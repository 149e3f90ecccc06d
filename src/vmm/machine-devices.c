/* SPDX-License-Identifier: Apache-2.0 */
/* What devices can be told while the guest runs, and what they tell. */
#include <string.h>

#include "devices/virtio/balloon.h"
#include "devices/virtio/blk.h"
#include "vmm/config-internal.h"
#include "vmm/error.h"
#include "vmm/machine-internal.h"

static bool
refuse (GError **error, const char *name, const char *why)
{
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "device \"%s\": %s", name, why);
    return false;
}

/* The name of the only device of a kind. */
static const char *
only_device (const VmmMachine *machine, const char *kind, GError **error)
{
    const char *found = NULL;
    unsigned count = 0;

    for (unsigned i = 0; i < vmm_machine_get_n_devices (machine); i++) {
        if (strcmp (vmm_machine_get_device_kind (machine, i), kind) != 0)
            continue;
        found = vmm_machine_get_device_name (machine, i);
        count++;
    }
    if (count == 1)
        return found;
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                 count == 0 ? "the machine has no %s" : "the machine has more than one %s: name one", kind);
    return NULL;
}

/* The device of this boot. A NULL @name means the only one of its kind. */
static VmmVirtioDevice *
find (VmmMachine *machine, const char *name, const char *kind, GError **error)
{
    VmmVirtioDevice *device;

    if (name == NULL)
        name = only_device (machine, kind, error);
    if (name == NULL)
        return NULL;
    for (unsigned i = 0; i < vmm_machine_get_n_devices (machine); i++) {
        if (strcmp (vmm_machine_get_device_name (machine, i), name) != 0)
            continue;
        if (strcmp (vmm_machine_get_device_kind (machine, i), kind) != 0) {
            refuse (error, name, "this device cannot do that");
            return NULL;
        }
        device = machine->board != NULL && !machine->has_verdict
                     ? vmm_board_find_device (machine->board, name)
                     : NULL;
        if (device == NULL)
            g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY, "device \"%s\": the run is over", name);
        return device;
    }
    refuse (error, name, "the machine has no such device: status lists those that it has");
    return NULL;
}

/**
 * vmm_machine_new_counts:
 *
 * Returns: (transfer full) (nullable): a count for each device of the configuration, with nothing counted
 */
VmmDeviceCount *
vmm_machine_new_counts (const VmmMachine *machine)
{
    unsigned n = vmm_machine_get_n_devices (machine);
    VmmDeviceCount *counts = g_new0 (VmmDeviceCount, n);

    for (unsigned i = 0; i < n; i++) {
        counts[i].name = vmm_machine_get_device_name (machine, i);
        counts[i].kind = vmm_machine_get_device_kind (machine, i);
    }
    return counts;
}

/**
 * vmm_machine_add_counts:
 * @counts: (inout): as vmm_machine_new_counts() made it: what this boot's devices have counted is added
 *
 * There is a board.
 */
void
vmm_machine_add_counts (const VmmMachine *machine, VmmDeviceCount *counts)
{
    for (unsigned i = 0; i < vmm_machine_get_n_devices (machine); i++) {
        VmmVirtioDevice *device = vmm_board_find_device (machine->board, counts[i].name);
        VmmVirtioCounters boot;

        if (device == NULL)
            continue; /* a part of another one */
        vmm_virtio_device_get_counters (device, &boot);
        counts[i].requests += boot.queues.requests;
        counts[i].bytes_from_guest += boot.queues.bytes_from_guest;
        counts[i].bytes_to_guest += boot.queues.bytes_to_guest;
        counts[i].interrupts += boot.queues.interrupts;
        counts[i].kicks += boot.kicks;
    }
}

/**
 * vmm_machine_set_balloon:
 * @machine: a machine
 * @name: (nullable): a balloon's name, "balloon0"; NULL: the only one
 * @bytes: how much memory the guest is to give back; it comes to whole pages, and to at most what there is
 *
 * Asks the guest, and does not wait for it. It is asked again after a reboot.
 *
 * Returns: false with %VMM_ERROR_USAGE when there is no such balloon, with %VMM_ERROR_BUSY when the run is
 * over Since: 0.1
 */
bool
vmm_machine_set_balloon (VmmMachine *machine, const char *name, uint64_t bytes, GError **error)
{
    VmmVirtioDevice *device = find (machine, name, "balloon", error);

    if (device == NULL)
        return false;
    vmm_virtio_balloon_set_target (device, bytes);
    return true;
}

/**
 * vmm_machine_note_balloons:
 * @board: one that is about to end
 *
 * Returns: (transfer full): how large its balloons were to be, of uint64_t, for the board that takes its
 * place
 */
GArray *
vmm_machine_note_balloons (VmmBoard *board)
{
    GArray *targets = g_array_new (FALSE, FALSE, sizeof (uint64_t));

    for (unsigned i = 0; i < vmm_board_n_devices (board); i++) {
        VmmVirtioDevice *device = vmm_board_device (board, i);

        if (vmm_virtio_device_id (device) == VMM_VIRTIO_ID_BALLOON) {
            uint64_t target = vmm_virtio_balloon_target (device);

            g_array_append_val (targets, target);
        }
    }
    return targets;
}

/**
 * vmm_machine_restore_balloons:
 * @board: one with the same devices, whose guest does not run yet
 * @targets: what vmm_machine_note_balloons() gave
 *
 * What was asked of the guest before its reboot is asked of it again.
 */
void
vmm_machine_restore_balloons (VmmBoard *board, const GArray *targets)
{
    guint next = 0;

    for (unsigned i = 0; i < vmm_board_n_devices (board) && next < targets->len; i++) {
        VmmVirtioDevice *device = vmm_board_device (board, i);

        if (vmm_virtio_device_id (device) == VMM_VIRTIO_ID_BALLOON)
            vmm_virtio_balloon_set_target (device, g_array_index (targets, uint64_t, next++));
    }
}

/**
 * vmm_machine_get_balloon:
 * @machine: a machine
 * @name: (nullable): a balloon's name; NULL: the only one
 *
 * Returns: (transfer none) (nullable): how it is now; the machine's, and written anew by the next call. NULL
 * with an error as vmm_machine_set_balloon() has Since: 0.1
 */
const VmmBalloonInfo *
vmm_machine_get_balloon (VmmMachine *machine, const char *name, GError **error)
{
    VmmVirtioDevice *device = find (machine, name, "balloon", error);
    VmmVirtioBalloonInfo info;

    if (device == NULL)
        return NULL;
    vmm_virtio_balloon_get (device, &info);
    machine->balloon = (VmmBalloonInfo){
        .target_bytes = info.target,
        .actual_bytes = info.actual,
        .stats = machine->balloon_stats,
    };
    for (unsigned i = 0; i < VMM_BALLOON_STATS; i++) {
        if ((info.has >> i & 1) != 0)
            machine->balloon_stats[machine->balloon.n_stats++] =
                (VmmBalloonStat){vmm_virtio_balloon_stat_name (i), info.stats[i]};
    }
    return &machine->balloon;
}

/**
 * vmm_machine_resize_disk:
 * @machine: a machine
 * @name: (nullable): a disk's name, "disk0"; NULL: the only one
 * @bytes: its new size, a multiple of 512; a disk only grows
 *
 * Makes the disk's image larger, and tells the guest.
 *
 * Returns: false with %VMM_ERROR_USAGE when there is no such disk or it cannot have that size, with
 *   %VMM_ERROR_BUSY when the run is over, with %VMM_ERROR_HOST when the host could not do it
 * Since: 0.1
 */
bool
vmm_machine_resize_disk (VmmMachine *machine, const char *name, uint64_t bytes, GError **error)
{
    VmmVirtioDevice *device = find (machine, name, "disk", error);

    return device != NULL && vmm_virtio_blk_resize (device, bytes, error);
}
