/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one core of all virtio devices (virtio 1.2 chapters 2 and 3). It stands between a device model (blk,
 * net, ...), which knows requests, and a transport (PCI, MMIO), which decodes registers. Status, features,
 * queues and reset are its own affair, and the same whatever is above and below.
 */
#ifndef VMM_DEVICES_VIRTIO_DEVICE_H
#define VMM_DEVICES_VIRTIO_DEVICE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/device.h"
#include "devices/virtio/virtqueue.h"
#include "vmm/core/loop.h"

/* Device status (virtio 1.2 section 2.1). */
#define VMM_VIRTIO_STATUS_ACKNOWLEDGE 1u
#define VMM_VIRTIO_STATUS_DRIVER 2u
#define VMM_VIRTIO_STATUS_DRIVER_OK 4u
#define VMM_VIRTIO_STATUS_FEATURES_OK 8u
#define VMM_VIRTIO_STATUS_NEEDS_RESET 64u
#define VMM_VIRTIO_STATUS_FAILED 128u

/* Features of every device (virtio 1.2 chapter 6). */
#define VMM_VIRTIO_F_INDIRECT_DESC (UINT64_C (1) << 28)
#define VMM_VIRTIO_F_EVENT_IDX (UINT64_C (1) << 29)
#define VMM_VIRTIO_F_VERSION_1 (UINT64_C (1) << 32)
#define VMM_VIRTIO_F_ACCESS_PLATFORM (UINT64_C (1) << 33)
#define VMM_VIRTIO_F_RING_PACKED (UINT64_C (1) << 34)
#define VMM_VIRTIO_F_IN_ORDER (UINT64_C (1) << 35)
#define VMM_VIRTIO_F_RING_RESET (UINT64_C (1) << 40)

/* Device types (virtio 1.2 chapter 5). */
enum {
    VMM_VIRTIO_ID_NET = 1,
    VMM_VIRTIO_ID_BLOCK = 2,
    VMM_VIRTIO_ID_CONSOLE = 3,
    VMM_VIRTIO_ID_RNG = 4,
    VMM_VIRTIO_ID_BALLOON = 5,
    VMM_VIRTIO_ID_VSOCK = 19,
};

#define VMM_VIRTIO_QUEUES_MAX 64u
#define VMM_VIRTIO_CONFIG_MAX 256u

typedef struct _VmmVirtioDevice VmmVirtioDevice;

/**
 * VmmVirtioModel:
 * @name: what kind it is, for saved state and messages: "blk"
 * @id: device type
 * @features: the device's own feature bits and those of VMM_VIRTIO_F_* beyond what the core adds to all
 *   (VERSION_1, INDIRECT_DESC, EVENT_IDX, RING_PACKED, RING_RESET)
 * @withheld: (nullable): those of what the core adds that it cannot have
 * @config_size: bytes of its configuration space, at most %VMM_VIRTIO_CONFIG_MAX; what lies beyond reads as 0
 * @config_read: fills @buf with [@offset, @offset + @len), which lies inside; vCPU thread, with the core's
 * lock
 * @config_write: (nullable): the guest's write, which lies inside; vCPU thread, with the core's lock
 * @features_ok: (nullable): the driver has chosen @features, a subset of what is offered; false refuses them;
 *   vCPU thread, with the core's lock
 * @activate: DRIVER_OK: the queues may be used from now on; loop thread
 * @notify: the driver has put something into queue @index, or may have; loop thread
 * @queue_reset: (nullable): nothing that belongs to queue @index is in flight after the return, chains that
 *   were popped are forgotten; loop thread
 * @quiesce: nothing is in flight after the return, each popped chain was pushed, or unpopped in the reverse
 *   order; nothing is started until @resume or @reset. A pause, before each save, and while the device must
 * not touch memory; loop thread
 * @resume: ends a quiesce; the core then calls @notify for each queue; loop thread
 * @reset: back to the state before the driver came; after @quiesce or before @activate; loop thread, or the
 *   building thread while there is no guest
 * @save: the fields of the model, one by one; after @quiesce
 * @load: reads them back; false for what cannot be; input is hostile; before the guest runs. When the saved
 *   machine was running, @activate follows
 * @free: ends the model; after the guest; accepts what is half built
 *
 * A kind of device. No call comes at the same time as another one on the same loop. What is called with the
 * core's lock must not call the core; and a lock that it takes must not be held while the core is called.
 */
typedef struct {
    const char *name;
    uint16_t id;
    uint64_t (*features) (void *model);
    uint64_t (*withheld) (void *model);
    unsigned config_size;
    void (*config_read) (void *model, unsigned offset, void *buf, unsigned len);
    void (*config_write) (void *model, unsigned offset, const void *buf, unsigned len);
    bool (*features_ok) (void *model, uint64_t features);
    void (*activate) (void *model);
    void (*notify) (void *model, unsigned index);
    void (*queue_reset) (void *model, unsigned index);
    void (*quiesce) (void *model);
    void (*resume) (void *model);
    void (*reset) (void *model);
    void (*save) (void *model, VmmStateWriter *writer);
    bool (*load) (void *model, VmmStateReader *reader, uint32_t version);
    void (*free) (void *model);
} VmmVirtioModel;

/**
 * VmmVirtioEnv:
 * @memory: the guest's
 * @loop: where the device works: one of its own for heavy I/O, else one that it shares with others
 * @name: what the user calls the device: "disk0"; copied
 * @warn: (nullable): something that the user should know, on any thread; the core limits the rate
 * @user: what @warn gets
 *
 * What every device is made with; all borrowed, and outliving it.
 */
typedef struct {
    VmmGuestMemory *memory;
    VmmLoop *loop;
    const char *name;
    void (*warn) (void *user, const char *text);
    void *user;
} VmmVirtioEnv;

/* For models. vmm_virtio_device_new() takes over @model, and frees it by its own free. */
VmmVirtioDevice *vmm_virtio_device_new (const VmmVirtioEnv *env, const VmmVirtioModel *ops, void *model,
                                        unsigned n_queues, uint16_t queue_size);
VmmVirtqueue *vmm_virtio_device_queue (VmmVirtioDevice *device, unsigned index);
uint64_t vmm_virtio_device_features (const VmmVirtioDevice *device);
void vmm_virtio_device_config_changed (VmmVirtioDevice *device);
void vmm_virtio_device_warn (VmmVirtioDevice *device, const char *format, ...) G_GNUC_PRINTF (2, 3);
VmmLoop *vmm_virtio_device_loop (VmmVirtioDevice *device);

/* For models whose queues the host's kernel serves (vhost): see device-lend.c. */
int vmm_virtio_device_lend_queue (VmmVirtioDevice *device, unsigned index);
void vmm_virtio_device_take_queue_back (VmmVirtioDevice *device, unsigned index);

/**
 * VmmVirtioCounters:
 * @queues: of all of them together
 * @kicks: how often the driver notified
 */
typedef struct {
    VmmVirtqueueCounters queues;
    uint64_t kicks;
} VmmVirtioCounters;

/* For the machine; its thread. */
void vmm_virtio_device_free (VmmVirtioDevice *device);
const char *vmm_virtio_device_name (const VmmVirtioDevice *device);
void *vmm_virtio_device_model (VmmVirtioDevice *device);
uint16_t vmm_virtio_device_id (const VmmVirtioDevice *device);
void vmm_virtio_device_pause (VmmVirtioDevice *device);
void vmm_virtio_device_resume (VmmVirtioDevice *device);
void vmm_virtio_device_tell_rest (VmmVirtioDevice *device);
void vmm_virtio_device_get_counters (VmmVirtioDevice *device, VmmVirtioCounters *ret_counters);
void vmm_virtio_device_save (VmmVirtioDevice *device, VmmStateWriter *writer);
bool vmm_virtio_device_load (VmmVirtioDevice *device, VmmStateReader *reader, uint32_t version);

/**
 * VmmVirtioInterrupts:
 * @queue: used buffers in queue @index; loop thread
 * @config: the configuration or the status changed; any thread
 * @call: (nullable): each signal of @fd is an interrupt of queue @index from now on; -1: no more. The
 * transport tells by vmm_virtio_device_call_is_direct() while it takes care of that by itself; loop thread
 *
 * How a transport raises interrupts.
 */
typedef struct {
    void (*queue) (void *transport, unsigned index);
    void (*config) (void *transport);
    void (*call) (void *transport, unsigned index, int fd);
} VmmVirtioInterrupts;

/* Which of a queue's three addresses (virtio 1.2 sections 4.1.4.3, 4.2.2). */
typedef enum {
    VMM_VIRTIO_QUEUE_DESC,
    VMM_VIRTIO_QUEUE_DRIVER,
    VMM_VIRTIO_QUEUE_DEVICE,
} VmmVirtioQueueAddress;

/*
 * For transports. All of them: vCPU threads, any arguments; what is out of range reads as 0 and writes into
 * nothing. A write of status 0, and a queue's reset, return when it is done.
 */
void vmm_virtio_device_set_transport (VmmVirtioDevice *device, const VmmVirtioInterrupts *interrupts,
                                      void *transport);
void vmm_virtio_device_set_dma (VmmVirtioDevice *device, bool allowed);
void vmm_virtio_device_call_is_direct (VmmVirtioDevice *device, unsigned index, bool direct);
uint32_t vmm_virtio_device_offered (VmmVirtioDevice *device, uint32_t word);
uint32_t vmm_virtio_device_accepted (VmmVirtioDevice *device, uint32_t word);
void vmm_virtio_device_accept (VmmVirtioDevice *device, uint32_t word, uint32_t bits);
uint8_t vmm_virtio_device_status (VmmVirtioDevice *device);
void vmm_virtio_device_set_status (VmmVirtioDevice *device, uint8_t status);
unsigned vmm_virtio_device_n_queues (const VmmVirtioDevice *device);
uint16_t vmm_virtio_device_queue_max (const VmmVirtioDevice *device, unsigned index);
uint16_t vmm_virtio_device_queue_size (VmmVirtioDevice *device, unsigned index);
void vmm_virtio_device_set_queue_size (VmmVirtioDevice *device, unsigned index, uint16_t size);
uint64_t vmm_virtio_device_queue_address (VmmVirtioDevice *device, unsigned index,
                                          VmmVirtioQueueAddress which);
void vmm_virtio_device_set_queue_address (VmmVirtioDevice *device, unsigned index,
                                          VmmVirtioQueueAddress which, uint64_t mask, uint64_t bits);
bool vmm_virtio_device_queue_enabled (VmmVirtioDevice *device, unsigned index);
void vmm_virtio_device_enable_queue (VmmVirtioDevice *device, unsigned index);
void vmm_virtio_device_reset_queue (VmmVirtioDevice *device, unsigned index);
int vmm_virtio_device_doorbell (const VmmVirtioDevice *device, unsigned index);
void vmm_virtio_device_notify (VmmVirtioDevice *device, unsigned index);
uint32_t vmm_virtio_device_config_generation (VmmVirtioDevice *device);
uint64_t vmm_virtio_device_config_read (VmmVirtioDevice *device, unsigned offset, unsigned size);
void vmm_virtio_device_config_write (VmmVirtioDevice *device, unsigned offset, unsigned size, uint64_t value);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmVirtioDevice, vmm_virtio_device_free)

#endif
