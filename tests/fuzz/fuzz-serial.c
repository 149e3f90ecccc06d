/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest and a host in disagreement: each record of the input is a register access of any size, or something
 * that the backend does. After each, the line must agree with the IIR.
 */
#include <string.h>

#include "devices/legacy/serial.h"
#include "fake-chardev.h"
#include "recorders.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t len);

static void
save_and_load (VmmSerial *serial)
{
    g_autoptr (VmmStateWriter) writer = vmm_state_writer_new ();
    g_autoptr (VmmStateReader) reader = NULL;
    g_autoptr (GBytes) bytes = NULL;
    uint32_t version;

    vmm_state_writer_begin (writer, "serial", 1);
    vmm_serial_device_ops.save (serial, writer);
    vmm_state_writer_end (writer);
    bytes = vmm_state_writer_finish (writer);
    reader = vmm_state_reader_new (bytes);
    if (!vmm_state_reader_enter (reader, "serial", 1, &version, NULL) ||
        !vmm_serial_device_ops.load (serial, reader, version) || !vmm_state_reader_leave (reader, NULL))
        __builtin_trap ();
}

static void
step (VmmSerial *serial, VmmChardev *chardev, const uint8_t record[4])
{
    unsigned size = 1u << (record[0] >> 3 & 3);
    unsigned offset = (record[0] & 7) & ~(size - 1);
    uint64_t value = record[1] * UINT64_C (0x0101010101010101) ^ record[2];

    switch (record[3] & 7) {
    case 0:
    case 1:
        vmm_serial_bus_ops.read (serial, offset, size);
        break;
    case 2:
    case 3:
        vmm_serial_bus_ops.write (serial, offset, size, value);
        break;
    case 4:
        fake_chardev_allow (chardev, record[1]);
        break;
    case 5:
        fake_chardev_type (chardev, (const char *)record, 1 + record[1] % 4);
        fake_chardev_run (chardev);
        break;
    case 6:
        if (record[1] == 0xff)
            vmm_serial_send_break (serial);
        fake_chardev_run (chardev);
        break;
    default:
        if (record[1] == 0)
            vmm_serial_device_ops.reset (serial);
        else
            save_and_load (serial);
        break;
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t len)
{
    IrqRecorder irq = {0};
    VmmIrqLine line = irq_recorder_line (&irq);
    g_autoptr (VmmChardev) chardev = fake_chardev_new ();
    g_autoptr (VmmSerial) serial = vmm_serial_new (chardev, &line);

    for (size_t i = 0; i + 4 <= len && i < 16384; i += 4) {
        bool level;

        step (serial, chardev, data + i);
        level = irq.level;
        /* The one permitted lie is the pause in a busy series, which leaves the line high. */
        if (!(vmm_serial_bus_ops.read (serial, 2, 1) & 1) && !level)
            __builtin_trap ();
    }
    return 0;
}
