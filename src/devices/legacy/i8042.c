/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A keyboard controller with nothing plugged in. It is here for what a PC hangs on it besides keyboards: the
 * reset line of the CPU, by command 0xFE or bit 0 of the output port, which is how many systems reboot, and
 * the A20 gate, which only ever reads back what was written because A20 is always open.
 *
 * A driver that probes it must neither hang nor wait: the input buffer is never busy, and every command and
 * every byte for a device that is not there is answered at once. A byte for the missing keyboard or mouse
 * reads back as 0xFE with the time-out bit set, which is what the real controller says when no device clocks
 * the byte in. It raises no interrupts: with no device attached there is nothing to interrupt for, and
 * drivers poll the answers to controller commands.
 *
 * The output buffer is one byte deep. A new answer replaces one that was not fetched, as the chip does it.
 */
#include "devices/legacy/i8042.h"

#include <string.h>

#define STATUS_OUTPUT_FULL 0x01u
#define STATUS_SYSTEM 0x04u
#define STATUS_COMMAND 0x08u
#define STATUS_UNLOCKED 0x10u
#define STATUS_AUX_DATA 0x20u
#define STATUS_TIMEOUT 0x40u

#define CONFIG_SYSTEM 0x04u
#define CONFIG_KEYBOARD_OFF 0x10u
#define CONFIG_AUX_OFF 0x20u
#define CONFIG_DEFAULT (CONFIG_SYSTEM | CONFIG_KEYBOARD_OFF | CONFIG_AUX_OFF)

#define OUTPUT_NOT_RESET 0x01u /* low resets the CPU */
#define OUTPUT_A20 0x02u
#define OUTPUT_DEFAULT (0xccu | OUTPUT_NOT_RESET | OUTPUT_A20)

#define RAM_SIZE 32u
#define NO_DEVICE_ANSWER 0xfeu

/* Controller commands, written to port 0x64. */
#define CMD_READ_RAM 0x20u  /* to 0x3f; byte 0 is the configuration */
#define CMD_WRITE_RAM 0x60u /* to 0x7f */
#define CMD_AUX_OFF 0xa7u
#define CMD_AUX_ON 0xa8u
#define CMD_AUX_TEST 0xa9u
#define CMD_SELF_TEST 0xaau
#define CMD_KEYBOARD_TEST 0xabu
#define CMD_KEYBOARD_OFF 0xadu
#define CMD_KEYBOARD_ON 0xaeu
#define CMD_READ_INPUT_PORT 0xc0u
#define CMD_READ_OUTPUT_PORT 0xd0u
#define CMD_WRITE_OUTPUT_PORT 0xd1u
#define CMD_WRITE_KEYBOARD_BUFFER 0xd2u
#define CMD_WRITE_AUX_BUFFER 0xd3u
#define CMD_WRITE_AUX 0xd4u
#define CMD_A20_OFF 0xddu
#define CMD_A20_ON 0xdfu
#define CMD_READ_TEST_INPUTS 0xe0u
#define CMD_PULSE 0xf0u /* to 0xff; the low four bits are active low, bit 0 is the reset line */

struct _VmmI8042 {
    GMutex lock;
    VmmGuestEventSink events;
    uint8_t ram[RAM_SIZE];
    uint8_t status; /* without STATUS_SYSTEM, which mirrors the configuration */
    uint8_t output; /* the output buffer */
    uint8_t output_port;
    uint8_t command; /* waits for its data byte; 0 when none does */
};

static void
answer_locked (VmmI8042 *i8042, uint8_t value, uint8_t flags)
{
    i8042->output = value;
    i8042->status &= ~(STATUS_AUX_DATA | STATUS_TIMEOUT);
    i8042->status |= STATUS_OUTPUT_FULL | flags;
}

static void
reset_locked (VmmI8042 *i8042)
{
    memset (i8042->ram, 0, sizeof i8042->ram);
    i8042->ram[0] = CONFIG_DEFAULT;
    i8042->status = STATUS_UNLOCKED;
    i8042->output = 0;
    i8042->output_port = OUTPUT_DEFAULT;
    i8042->command = 0;
}

/* True when the command pulls the reset line. */
static bool
command_locked (VmmI8042 *i8042, uint8_t command)
{
    i8042->status |= STATUS_COMMAND;
    i8042->command = 0;
    if (command >= CMD_PULSE)
        return (command & 1) == 0;
    if (command >= CMD_READ_RAM && command < CMD_READ_RAM + RAM_SIZE) {
        answer_locked (i8042, i8042->ram[command - CMD_READ_RAM], 0);
        return false;
    }
    if (command >= CMD_WRITE_RAM && command < CMD_WRITE_RAM + RAM_SIZE) {
        i8042->command = command;
        return false;
    }
    switch (command) {
    case CMD_AUX_OFF:
        i8042->ram[0] |= CONFIG_AUX_OFF;
        break;
    case CMD_AUX_ON:
        i8042->ram[0] &= ~CONFIG_AUX_OFF;
        break;
    case CMD_AUX_TEST:
        answer_locked (i8042, 0x01, 0); /* clock line stuck low: there is no port */
        break;
    case CMD_SELF_TEST:
        answer_locked (i8042, 0x55, 0);
        break;
    case CMD_KEYBOARD_TEST:
        answer_locked (i8042, 0x00, 0);
        break;
    case CMD_KEYBOARD_OFF:
        i8042->ram[0] |= CONFIG_KEYBOARD_OFF;
        break;
    case CMD_KEYBOARD_ON:
        i8042->ram[0] &= ~CONFIG_KEYBOARD_OFF;
        break;
    case CMD_READ_INPUT_PORT:
        answer_locked (i8042, 0x80, 0); /* keyboard not locked */
        break;
    case CMD_READ_TEST_INPUTS:
        answer_locked (i8042, 0x00, 0);
        break;
    case CMD_READ_OUTPUT_PORT:
        answer_locked (i8042, i8042->output_port, 0);
        break;
    case CMD_A20_OFF:
        i8042->output_port &= ~OUTPUT_A20;
        break;
    case CMD_A20_ON:
        i8042->output_port |= OUTPUT_A20;
        break;
    case CMD_WRITE_OUTPUT_PORT:
    case CMD_WRITE_KEYBOARD_BUFFER:
    case CMD_WRITE_AUX_BUFFER:
    case CMD_WRITE_AUX:
        i8042->command = command;
        break;
    default:
        break;
    }
    return false;
}

/* True when the byte pulls the reset line. */
static bool
data_locked (VmmI8042 *i8042, uint8_t value)
{
    uint8_t command = i8042->command;

    i8042->status &= ~STATUS_COMMAND;
    i8042->command = 0;
    if (command >= CMD_WRITE_RAM && command < CMD_WRITE_RAM + RAM_SIZE) {
        i8042->ram[command - CMD_WRITE_RAM] = value;
        return false;
    }
    switch (command) {
    case CMD_WRITE_OUTPUT_PORT:
        i8042->output_port = value | OUTPUT_NOT_RESET;
        return (value & OUTPUT_NOT_RESET) == 0;
    case CMD_WRITE_KEYBOARD_BUFFER:
    case CMD_WRITE_AUX_BUFFER:
        /* Without the AUX bit also for 0xD3: a driver that loops a byte learns that there is no AUX port. */
        answer_locked (i8042, value, 0);
        break;
    case CMD_WRITE_AUX:
        answer_locked (i8042, NO_DEVICE_ANSWER, STATUS_TIMEOUT | STATUS_AUX_DATA);
        break;
    default:
        answer_locked (i8042, NO_DEVICE_ANSWER, STATUS_TIMEOUT);
        break;
    }
    return false;
}

static uint64_t
i8042_data_read (void *device, uint64_t offset, unsigned size)
{
    VmmI8042 *i8042 = device;
    uint8_t value;

    g_mutex_lock (&i8042->lock);
    value = i8042->output;
    i8042->status &= ~(STATUS_OUTPUT_FULL | STATUS_AUX_DATA | STATUS_TIMEOUT);
    g_mutex_unlock (&i8042->lock);
    return value;
}

static void
i8042_data_write (void *device, uint64_t offset, unsigned size, uint64_t value)
{
    VmmI8042 *i8042 = device;
    bool reset;

    g_mutex_lock (&i8042->lock);
    reset = data_locked (i8042, (uint8_t)value);
    g_mutex_unlock (&i8042->lock);
    if (reset)
        vmm_guest_event_raise (&i8042->events, VMM_GUEST_EVENT_RESET, 0);
}

static uint64_t
i8042_command_read (void *device, uint64_t offset, unsigned size)
{
    VmmI8042 *i8042 = device;
    uint8_t value;

    g_mutex_lock (&i8042->lock);
    value = i8042->status | (i8042->ram[0] & CONFIG_SYSTEM ? STATUS_SYSTEM : 0);
    g_mutex_unlock (&i8042->lock);
    return value;
}

static void
i8042_command_write (void *device, uint64_t offset, unsigned size, uint64_t value)
{
    VmmI8042 *i8042 = device;
    bool reset;

    g_mutex_lock (&i8042->lock);
    reset = command_locked (i8042, (uint8_t)value);
    g_mutex_unlock (&i8042->lock);
    if (reset)
        vmm_guest_event_raise (&i8042->events, VMM_GUEST_EVENT_RESET, 0);
}

static void
i8042_reset (void *device)
{
    VmmI8042 *i8042 = device;

    g_mutex_lock (&i8042->lock);
    reset_locked (i8042);
    g_mutex_unlock (&i8042->lock);
}

static void
i8042_save (void *device, VmmStateWriter *writer)
{
    VmmI8042 *i8042 = device;

    g_mutex_lock (&i8042->lock);
    vmm_state_put_bytes (writer, i8042->ram, sizeof i8042->ram);
    vmm_state_put_u8 (writer, i8042->status);
    vmm_state_put_u8 (writer, i8042->output);
    vmm_state_put_u8 (writer, i8042->output_port);
    vmm_state_put_u8 (writer, i8042->command);
    g_mutex_unlock (&i8042->lock);
}

static bool
i8042_load (void *device, VmmStateReader *reader, uint32_t version)
{
    const uint8_t status_bits =
        STATUS_OUTPUT_FULL | STATUS_COMMAND | STATUS_UNLOCKED | STATUS_AUX_DATA | STATUS_TIMEOUT;
    VmmI8042 *i8042 = device;
    uint8_t ram[RAM_SIZE], status, output, output_port, command;
    uint32_t len;

    if (!vmm_state_get_bytes (reader, ram, sizeof ram, &len) || len != sizeof ram)
        return false;
    if (!vmm_state_get_u8 (reader, &status) || !vmm_state_get_u8 (reader, &output) ||
        !vmm_state_get_u8 (reader, &output_port) || !vmm_state_get_u8 (reader, &command))
        return false;
    if ((status & ~status_bits) != 0)
        return false;
    g_mutex_lock (&i8042->lock);
    memcpy (i8042->ram, ram, sizeof ram);
    i8042->status = status;
    i8042->output = output;
    i8042->output_port = output_port;
    i8042->command = command;
    g_mutex_unlock (&i8042->lock);
    return true;
}

static void
i8042_free (void *device)
{
    vmm_i8042_free (device);
}

/**
 * vmm_i8042_new:
 * @events: copied; takes %VMM_GUEST_EVENT_RESET
 *
 * Returns: (transfer full): the device; its data and its command port are one port wide each
 */
VmmI8042 *
vmm_i8042_new (const VmmGuestEventSink *events)
{
    VmmI8042 *i8042 = g_new0 (VmmI8042, 1);

    g_mutex_init (&i8042->lock);
    i8042->events = *events;
    reset_locked (i8042);
    return i8042;
}

/**
 * vmm_i8042_free:
 * @i8042: (nullable): no vCPU runs any more
 */
void
vmm_i8042_free (VmmI8042 *i8042)
{
    if (i8042 == NULL)
        return;
    g_mutex_clear (&i8042->lock);
    g_free (i8042);
}

const VmmBusOps vmm_i8042_data_bus_ops = {.read = i8042_data_read, .write = i8042_data_write};
const VmmBusOps vmm_i8042_command_bus_ops = {.read = i8042_command_read, .write = i8042_command_write};

const VmmDeviceOps vmm_i8042_device_ops = {
    .name = "i8042",
    .reset = i8042_reset,
    .save = i8042_save,
    .load = i8042_load,
    .free = i8042_free,
};
