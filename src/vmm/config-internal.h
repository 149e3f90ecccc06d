/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a configuration, for those who build machines from it. */
#ifndef VMM_CONFIG_INTERNAL_H
#define VMM_CONFIG_INTERNAL_H

#include "devices/virtio/transport.h"
#include "loader/kernel-load.h"
#include "vmm/arch/arch.h"
#include "vmm/config.h"
#include "vmm/core/guest-memory.h"
#include "vmm/device-kind.h"
#include "vmm/endpoint-options.h"

/* An initrd that is open: borrowed, with its name for messages. */
typedef struct {
    int fd;
    const char *name;
} VmmConfigInitrd;

struct _VmmConfig {
    char *kernel;                     /* NULL: the built-in guest */
    GPtrArray *initrds;               /* of char * */
    VmmConfigInitrd first_initrds[2]; /* before those */
    unsigned n_first_initrds;
    char *cmdline;      /* NULL: the default line */
    GPtrArray *appends; /* of char * */
    const char *own; /* static: more for the kernel, also where the user's line goes on for init after `--`;
                        NULL: no more */
    GPtrArray *devices; /* of VmmDeviceSpec, in the order in which the user named them */
    VmmVirtioTransport transport;
    char *symbols;              /* NULL: only what the kernel image has */
    char *control;              /* NULL: no control socket */
    VmmEndpointOptions *serial; /* NULL: the streams below, unless a device has them */
    uint64_t mem;
    VmmMemBacking backing;
    VmmArchCpus cpus;
    VmmKernelEntry entry;
    VmmIrqchip irqchip;
    bool reboots;        /* a guest's reboot starts it again */
    int debug_exit_port; /* -1: none */
    int64_t timeout_ns;  /* 0: none */
    int64_t watchdog_ns; /* 0: none */
    bool watchdog_exact; /* the user's own figure, whatever the host's speed */
    int serial_in;
    int serial_out;
    VmmInputFilter filter;
    void *filter_user;
};

unsigned vmm_config_stdio_devices (const VmmConfig *config);

#endif
