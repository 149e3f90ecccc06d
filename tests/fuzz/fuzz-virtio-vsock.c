/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest and the host's programs, both in disagreement with everything: each record of the input is a packet
 * of the guest's, room for one of the device's, or something that a program does. Afterwards an honest guest
 * must still be served.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vsock-rig.h"

#define RECORD 8u
#define RECORDS_MAX 400u
#define PROGRAMS 8u
#define PORT 7u

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t len);

typedef struct {
    VsockRig *rig;
    int listener;
    int programs[PROGRAMS];
    unsigned next;
} Fuzz;

/* The few ports that there are, so that records meet each other's connections. */
static uint32_t
host_port_of (const uint8_t *record)
{
    return record[2] & 1 ? (1u << 30) + (record[2] >> 1) % 4 : PORT + (record[2] >> 6);
}

static void
keep (Fuzz *fuzz, int fd)
{
    int *place = &fuzz->programs[fuzz->next++ % PROGRAMS];

    if (*place >= 0)
        close (*place);
    *place = fd;
}

static void
play_packet (Fuzz *fuzz, const uint8_t *record)
{
    static const uint8_t payload[65536];
    VmmVsockHeader header = vsock_rig_header (record[1] % 10, host_port_of (record), record[3] % 4);
    size_t len = record[4] & 0x80 ? (size_t)record[5] << 8 : record[5];

    header.len = (uint32_t)len + (record[6] == 1 ? 1 : 0);
    header.flags = record[4] & 3;
    header.buf_alloc = record[7] & 0x80 ? UINT32_MAX - record[7] : (uint32_t)record[7] << 9;
    header.fwd_cnt = record[6] & 0x80 ? record[6] * UINT32_C (0x01010101) : record[6] & 0x7e;
    header.type = record[4] & 0x40 ? record[6] : VMM_VSOCK_TYPE_STREAM;
    if (record[4] & 0x20)
        header.dst_cid = record[6];
    if (record[4] & 0x10)
        header.src_cid = record[6];
    vsock_rig_receive (fuzz->rig, &header, payload, len);
}

static void
play_program (Fuzz *fuzz, const uint8_t *record)
{
    int fd = fuzz->programs[record[2] % PROGRAMS];
    char buf[4096] = "";

    switch (record[1] % 6) {
    case 0:
        keep (fuzz, vsock_rig_connect (fuzz->rig));
        break;
    case 1:
        keep (fuzz, accept4 (fuzz->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC));
        break;
    case 2:
        (void)!send (fd, "CONNECT 1\nabc", record[3] % 14, MSG_DONTWAIT | MSG_NOSIGNAL);
        break;
    case 3:
        (void)!send (fd, buf, (size_t)record[3] * 16, MSG_DONTWAIT | MSG_NOSIGNAL);
        break;
    case 4:
        (void)!recv (fd, buf, sizeof buf, MSG_DONTWAIT);
        break;
    default:
        shutdown (fd, record[3] % 3);
        break;
    }
}

static void
step (Fuzz *fuzz, const uint8_t *record)
{
    if (record[0] < 128) {
        play_packet (fuzz, record);
    } else if (record[0] < 180) {
        if (vsock_rig_send (fuzz->rig, 2 + record[1] * 16u, 0) && fuzz->rig->header.len > 2 + record[1] * 16u)
            __builtin_trap ();
    } else if (record[0] < 250) {
        play_program (fuzz, record);
    } else {
        vsock_rig_pause (fuzz->rig, record[0] & 1);
    }
}

/* With all room that it wants, the device comes to an end of what it has to say, and answers a new
 * connection. */
static void
check_honest (Fuzz *fuzz)
{
    vsock_rig_pause (fuzz->rig, false);
    close (fuzz->listener);
    for (unsigned i = 0; i < PROGRAMS; i++) {
        if (fuzz->programs[i] >= 0)
            close (fuzz->programs[i]);
    }
    for (unsigned i = 0; vsock_rig_send (fuzz->rig, 65536, 0); i++) {
        if (i > 100000)
            __builtin_trap ();
    }
    vsock_rig_op (fuzz->rig, VMM_VSOCK_OP_REQUEST, 99, 99);
    do {
        if (!vsock_rig_send (fuzz->rig, 65536, 1000))
            __builtin_trap ();
    } while (fuzz->rig->header.op != VMM_VSOCK_OP_RST || fuzz->rig->header.src_port != 99);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t len)
{
    Fuzz fuzz = {.rig = vsock_rig_new ()};

    fuzz.listener = vsock_rig_listen (fuzz.rig, PORT, 4);
    fcntl (fuzz.listener, F_SETFL, O_NONBLOCK);
    for (unsigned i = 0; i < PROGRAMS; i++)
        fuzz.programs[i] = -1;
    for (size_t i = 0; i + RECORD <= len && i < RECORD * RECORDS_MAX; i += RECORD)
        step (&fuzz, data + i);
    check_honest (&fuzz);
    vsock_rig_free (fuzz.rig);
    return 0;
}
