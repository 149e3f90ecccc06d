/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_LOADER_KALLSYMS_H
#define VMM_LOADER_KALLSYMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/core/bytes.h"

/* Takes one function: its linked address and its name of @len bytes, not terminated; false ends the walk. */
typedef bool (*VmmKallsymsFunc) (void *data, uint64_t address, const char *name, size_t len);

bool vmm_kallsyms_walk (VmmSpan vmlinux, VmmKallsymsFunc func, void *data);

#endif
