/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qcow2 files under test: made by qemu-img or by ours, worked on at random beside a model in memory, and
 * judged by qemu-img.
 */
#ifndef TEST_QCOW2_DISK_H
#define TEST_QCOW2_DISK_H

#include "devices/block/qcow2-image.h"

/**
 * Qcow2Disk:
 * @folder: a new one, removed with all files in it by qcow2_disk_clear()
 * @path: of the image in it
 * @model: what the disk must read as
 */
typedef struct {
    char *folder;
    char *path;
    uint8_t *model;
    uint64_t size;
    uint64_t random;
} Qcow2Disk;

bool qcow2_have_tools (void);
uint64_t qcow2_random (uint64_t *state);
int qcow2_run (const char *folder, const char *command);
void qcow2_disk_init (Qcow2Disk *disk, uint64_t size, uint64_t seed);
void qcow2_disk_clear (Qcow2Disk *disk);
VmmQcow2 *qcow2_disk_open (const Qcow2Disk *disk, bool read_only);
bool qcow2_disk_same (const Qcow2Disk *disk, VmmQcow2 *image);
bool qcow2_disk_judge (const Qcow2Disk *disk);

#endif
