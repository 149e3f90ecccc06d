/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_INIT_BOOT_H
#define VMM_INIT_BOOT_H

#include <stdbool.h>

/*
 * What the host wrote into the boot file. One entry a line, a key and words between spaces:
 *
 *      module PATH [PARAMETERS]        loaded as the file is read, in this order; not compressed
 *      root DEVICE [ro]                the file system that becomes /; without, the initramfs is it
 *      net IFACE ADDRESS/PREFIX [GATEWAY [DNS]]
 *      hostname NAME
 *      keep /run                       something has been put there: no tmpfs hides it
 *
 * Empty lines and lines that begin with # are for people. What is not known is said and passed over.
 */
typedef struct {
    char *text; /* the file; the others point into it */
    char *root_device;
    bool root_readonly;
    char *iface, *address, *gateway, *dns;
    char *hostname;
    bool keep_run;
} Boot;

/* Reads the file, and loads the modules. A file that is not there is an empty one, which is said. */
void boot_read (Boot *boot, const char *path);

#endif
