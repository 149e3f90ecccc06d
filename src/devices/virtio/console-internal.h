/* SPDX-License-Identifier: Apache-2.0 */
/* What the console's files share. */
#ifndef VMM_DEVICES_VIRTIO_CONSOLE_INTERNAL_H
#define VMM_DEVICES_VIRTIO_CONSOLE_INTERNAL_H

#include "devices/virtio/console.h"

#define VMM_PORT_BUFFER 4096u

/* What the driver is still to be told of a port, in the order in which it is. */
enum {
    VMM_PORT_TELL_ADD = 1u << 0,
    VMM_PORT_TELL_NAME = 1u << 1,
    VMM_PORT_TELL_OPEN = 1u << 2,
    VMM_PORT_TELL_ALL = VMM_PORT_TELL_ADD | VMM_PORT_TELL_NAME | VMM_PORT_TELL_OPEN,
};

typedef struct _VmmConsole VmmConsole;

/*
 * @name: NULL: the one port of a plain console
 * @rx, @tx: its queues
 * @ready: the driver knows it
 * @guest_open: a program of the guest has it open
 * @tell: VMM_PORT_TELL_*
 * @chain: being sent, when @has_chain
 * @sent: bytes of it that have been read
 * @skip: bytes of the next chain that were read before it was given back by a pause
 * @out: of which [@out_start, @out_end) the host has not taken
 * @in: a ring of @in_len bytes from @in_start on
 */
typedef struct {
    VmmConsole *console;
    const char *name;
    VmmChardev *chardev;
    unsigned rx;
    unsigned tx;
    /* The loop's thread. */
    bool ready;
    bool guest_open;
    uint32_t tell;
    VmmChain chain;
    bool has_chain;
    uint64_t sent;
    uint64_t skip;
    unsigned out_start;
    unsigned out_end;
    uint8_t out[VMM_PORT_BUFFER];
    GMutex lock; /* of what follows */
    bool host_open;
    bool host_changed;
    unsigned in_start;
    unsigned in_len;
    uint8_t in[VMM_PORT_BUFFER];
} VmmPort;

/*
 * @multiport: what was offered; with it the queues 2 and 3 are the control queues
 * @posted: the loop will look at all ports; atomic
 * @chain: of what is done at once
 */
struct _VmmConsole {
    VmmVirtioDevice *device;
    bool multiport;
    VmmPort *ports;
    unsigned n_ports;
    bool posted;
    /* The loop's thread. */
    bool quiet; /* paused, or without a driver */
    VmmChain chain;
    VmmLoopTimer *reminder; /* of the terminal's size; NULL until there is one */
    int64_t reminder_ns;
    unsigned reminders;
    GMutex lock; /* of what follows */
    uint16_t columns;
    uint16_t rows;
    bool resized;
};

/* console.c */
void vmm_console_post (VmmConsole *console);

/* console-port.c; the loop's thread, but for init and clear */
void vmm_port_init (VmmPort *port, VmmConsole *console, VmmChardev *chardev);
void vmm_port_clear (VmmPort *port);
void vmm_port_send (VmmPort *port);
void vmm_port_receive (VmmPort *port);
void vmm_port_quiesce (VmmPort *port);
void vmm_port_reset (VmmPort *port);
void vmm_port_forget_chain (VmmPort *port);
void vmm_port_save (VmmPort *port, VmmStateWriter *writer);
bool vmm_port_load (VmmPort *port, VmmStateReader *reader);

/* console-ctrl.c; the loop's thread */
void vmm_console_read_control (VmmConsole *console);
void vmm_console_tell (VmmConsole *console);

#endif
