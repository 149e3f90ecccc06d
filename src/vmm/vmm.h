/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libvmm: virtual machines on Linux KVM, inside your own program. This is the only header to include.
 *
 *     g_autoptr (VmmConfig) config = vmm_config_new ();
 *     vmm_config_set (config, "kernel", "bzImage", &error);
 *     g_autoptr (VmmMachine) machine = vmm_machine_new (config, &error);
 *     const VmmVerdict *verdict = vmm_machine_run (machine, &error);
 *
 * The library never exits, prints, installs a signal handler, changes the working directory or reads the
 * environment. Several machines may live in one process; each may be driven by a GMainContext of its own.
 */
#ifndef VMM_VMM_H
#define VMM_VMM_H

#include "vmm/config.h"
#include "vmm/disk.h"
#include "vmm/error.h"
#include "vmm/expect.h"
#include "vmm/export.h"
#include "vmm/host.h"
#include "vmm/image.h"
#include "vmm/kernel-log.h"
#include "vmm/kernel-package.h"
#include "vmm/machine.h"
#include "vmm/printk-line.h"
#include "vmm/run.h"
#include "vmm/terminal-filter.h"
#include "vmm/verdict.h"

#endif
