/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the virtio core share; see device.c for who may touch what. */
#ifndef VMM_DEVICES_VIRTIO_DEVICE_INTERNAL_H
#define VMM_DEVICES_VIRTIO_DEVICE_INTERNAL_H

#include "devices/virtio/device.h"

#define VMM_VIRTIO_STATUS_DRIVER_BITS                                                                        \
    (VMM_VIRTIO_STATUS_ACKNOWLEDGE | VMM_VIRTIO_STATUS_DRIVER | VMM_VIRTIO_STATUS_DRIVER_OK |                \
     VMM_VIRTIO_STATUS_FEATURES_OK | VMM_VIRTIO_STATUS_FAILED)

typedef struct {
    VmmVirtioDevice *device;
    unsigned index;
    VmmVirtqueue *ring;
    VmmVirtqueueLayout layout; /* as the driver has set it */
    bool enabled;              /* by the driver; the ring itself is enabled while the device is active */
    int doorbell;
    VmmLoopWatch *watch;
    /* device-lend.c */
    bool lent;
    bool direct; /* atomic */
    int call;    /* -1 until the first lending */
    VmmLoopWatch *call_watch;
} VmmVirtioQueue;

struct _VmmVirtioDevice {
    char *name;
    const VmmVirtioModel *ops;
    void *model;
    VmmLoop *loop;
    void (*warn) (void *user, const char *text);
    void *warn_user;
    const VmmVirtioInterrupts *interrupts;
    void *transport;
    uint64_t offered;
    unsigned n_queues;
    uint16_t queue_max;
    VmmVirtioQueue *queues;

    GMutex handover; /* taken first: one change of the model's state at a time */
    bool paused;
    bool no_dma;
    bool resting; /* the loop's: the model was quiesced, for one of the two */
    GMutex lock;  /* all below */
    uint64_t accepted;
    uint8_t status;
    uint32_t generation;
    bool active; /* the model was activated */
    unsigned n_warnings;
    unsigned n_unsaid; /* warnings since the last one that was told */
    int64_t warn_from_ns;
};

/* device.c: all that runs on the loop's thread. */
void vmm_virtio_device_do_activate (void *device);
void vmm_virtio_device_do_reset (void *device);
void vmm_virtio_device_do_enable_queue (void *queue);
void vmm_virtio_device_do_reset_queue (void *queue);

void vmm_virtio_device_watch_queue (VmmVirtioQueue *queue);

/* device-lend.c */
void vmm_virtio_device_end_lending (VmmVirtioDevice *device);

/* device-status.c */
bool vmm_virtio_device_features_are_good (VmmVirtioDevice *device);
void vmm_virtio_device_forget_driver (VmmVirtioDevice *device);
bool vmm_virtio_device_start_ring (VmmVirtioQueue *queue);
void vmm_virtio_device_needs_reset (VmmVirtioDevice *device);

static inline void
vmm_virtio_device_raise_config (VmmVirtioDevice *device)
{
    if (device->interrupts != NULL)
        device->interrupts->config (device->transport);
}

#endif
