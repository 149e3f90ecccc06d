/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The program's streams, a terminal as a rule, are the serial console's, unless that is put elsewhere. A
 * device that wants them gets them when it has something to say: what a kernel says before it has a driver
 * for the device is seen, too, and what a person types goes where the guest listens. The next boot begins at
 * the serial console again.
 */
#include "devices/virtio/console.h"
#include "vmm/config-internal.h"
#include "vmm/core/timer.h"
#include "vmm/error.h"
#include "vmm/machine-internal.h"

/**
 * vmm_machine_open_serial:
 *
 * Returns: false with %VMM_ERROR_USAGE or %VMM_ERROR_HOST
 */
bool
vmm_machine_open_serial (VmmMachine *machine, GError **error)
{
    const VmmConfig *config = machine->config;
    VmmEndpointOptions serial = {.kind = VMM_ENDPOINT_FDS, .stdio = true};
    unsigned others = vmm_config_stdio_devices (config);

    if (config->serial != NULL)
        serial = *config->serial;
    machine->lends_stdio = config->serial == NULL && others > 0;
    if (others + (config->serial != NULL && serial.stdio ? 1 : 0) > 1) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                     "console \"stdio\": standard input and output are another console's: send one of them "
                     "elsewhere");
        return false;
    }
    machine->serial = vmm_endpoint_options_open (&serial, "serial", machine->context, config, error);
    if (machine->serial == NULL)
        return false;
    vmm_chardev_set_tap (vmm_endpoint_chardev (machine->serial), vmm_machine_on_console_output, machine);
    if (vmm_endpoint_terminal (machine->serial) != NULL) {
        g_ptr_array_add (machine->early_notices, g_strdup_printf ("the serial console is at %s",
                                                                  vmm_endpoint_terminal (machine->serial)));
    }
    return true;
}

/**
 * vmm_machine_hand_over_stdio:
 * @to_device: to the device that wants the streams, or back to the serial console for the next boot
 */
void
vmm_machine_hand_over_stdio (VmmMachine *machine, bool to_device)
{
    const VmmConfig *config = machine->config;
    VmmChardev *serial = vmm_endpoint_chardev (machine->serial);

    if (!machine->lends_stdio)
        return;
    vmm_chardev_flush (serial, 0);
    vmm_chardev_connect (serial, to_device ? -1 : config->serial_in, to_device ? -1 : config->serial_out);
    for (guint i = 0; i < config->devices->len; i++) {
        const VmmDeviceSpec *spec = config->devices->pdata[i];

        if (spec->kind->takes_stdio != NULL && spec->kind->takes_stdio (spec->description))
            spec->kind->give_stdio (vmm_backends_get (machine->backends, i),
                                    to_device ? config->serial_in : -1);
    }
}

/**
 * vmm_machine_on_takes_stdio:
 *
 * Any thread: the device that wants the streams has something to say.
 */
void
vmm_machine_on_takes_stdio (void *user)
{
    VmmMachine *machine = user;

    __atomic_store_n (&machine->stdio_asked, true, __ATOMIC_SEQ_CST);
    vmm_timer_arm (machine->wake, 0);
}

/**
 * vmm_machine_size_terminal:
 * @board: (nullable): of the next boot
 *
 * Tells the console that has the terminal how large that is.
 */
void
vmm_machine_size_terminal (VmmMachine *machine, VmmBoard *board)
{
    for (guint i = 0; board != NULL && machine->columns > 0 && i < machine->config->devices->len; i++) {
        const VmmDeviceSpec *spec = machine->config->devices->pdata[i];
        VmmVirtioDevice *device = NULL;

        if (spec->kind->takes_stdio != NULL && spec->kind->takes_stdio (spec->description))
            device = vmm_board_find_device (board, spec->name);
        if (device != NULL && vmm_virtio_device_id (device) == VMM_VIRTIO_ID_CONSOLE)
            vmm_virtio_console_resize (device, machine->columns, machine->rows);
    }
}

/**
 * vmm_machine_send_break:
 * @machine: a machine
 *
 * Sends a BREAK to the guest's serial port, as a terminal's Break key does. A Linux kernel whose console it
 * is takes the next character for a SysRq key, where it was built and told to (CONFIG_MAGIC_SYSRQ_SERIAL,
 * kernel.sysrq). It comes before what was typed and the guest has not taken yet. Nothing happens before the
 * guest begins, and after its end.
 *
 * Since: 0.1
 */
void
vmm_machine_send_break (VmmMachine *machine)
{
    /* Not with the machine's lock held: the UART's comes before that, see vmm_machine_on_console_output(). */
    if (machine->started && !machine->has_verdict && machine->board != NULL)
        vmm_arch_vm_send_break (vmm_board_arch (machine->board));
}

/**
 * vmm_machine_set_terminal_size:
 * @machine: a machine
 * @columns: of the terminal behind the standard streams
 * @rows: of the same
 *
 * Tells the guest's console that has the standard streams, if there is one, how large the terminal is. To be
 * called at the start and whenever that changes. A serial console cannot be told.
 *
 * Since: 0.1
 */
void
vmm_machine_set_terminal_size (VmmMachine *machine, unsigned columns, unsigned rows)
{
    machine->columns = columns;
    machine->rows = rows;
    if (!machine->has_verdict)
        vmm_machine_size_terminal (machine, machine->board);
}
