/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An entropy device behind a transport, on a bus and in memory of its own, and a driver that brings it up by
 * registers alone, as Linux does.
 */
#ifndef VMM_TESTS_TRANSPORT_RIG_H
#define VMM_TESTS_TRANSPORT_RIG_H

#include "devices/virtio/mmio.h"
#include "devices/virtio/pci.h"
#include "virtq-driver.h"

#define MEMORY (UINT64_C (4) << 20)
#define BAR UINT64_C (0xd0000000)
#define COMMON BAR
#define NOTIFY (BAR + 0x3000)
#define TABLE (BAR + 0x4000)
#define PENDING (BAR + 0x5000)

typedef struct {
    VmmGuestMemory *memory;
    VmmLoop *loop;
    VmmBus *bus;
    VmmVirtioDevice *device;
    VmmVirtioPci *pci;
    VmmPciFunction *function;
    VmmVirtioMmio *mmio;
    VmmVirtqHeap heap;
    VmmVirtqDriver *queue;
    GMutex lock;
    uint64_t message; /* the last one: address and data */
    unsigned n_messages;
    bool line;
    unsigned n_line;   /* how often it changed */
    uint64_t doorbell; /* where it is; 0: nowhere */
} Rig;

Rig *set_up (bool pci);
Rig *set_up_edge (void); /* memory-mapped, its interrupt edge-triggered */
void tear_down (Rig *rig);

/* The guest's accesses of the bus. */
uint64_t get (Rig *rig, uint64_t address, unsigned size);
void put (Rig *rig, uint64_t address, unsigned size, uint64_t value);

/* Where the capability of a type is; 0: there is none. */
unsigned find_capability (Rig *rig, uint8_t id, uint8_t type);

/* To DRIVER_OK, with one queue. */
void bring_up_pci (Rig *rig);
void bring_up_mmio (Rig *rig);

/* Asks for random numbers, by a write to @doorbell, and waits for them. */
void ask (Rig *rig, uint64_t doorbell, unsigned size);

/* Waits for so many messages, or for the line where @messages is 0; whether they came. */
bool wait_for (Rig *rig, unsigned messages);

#endif
