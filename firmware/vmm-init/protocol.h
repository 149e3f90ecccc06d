/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_INIT_PROTOCOL_H
#define VMM_INIT_PROTOCOL_H

/*
 * What vmm-init in the guest and the host say to each other, over one virtio console port or any other stream
 * of bytes. Either end takes the other for broken or hostile.
 *
 * A frame is a header of eight bytes and a body of at most 64 KiB. Numbers are little-endian; a string is the
 * whole body (or what follows the numbers), without a NUL.
 *
 *      0  u8   type, a VmmRunType
 *      1  u8   stream, a VmmRunStream; 0 where the type has no stream
 *      2  u16  zero
 *      4  u32  length of the body
 *
 * In order: both say HELLO first, without waiting for the other. The host describes the job (ARG for each
 * argument, and so on) and says START. The guest answers STARTED or EXIT with VMM_RUN_NOT_STARTED. Then data
 * flows, and EXIT comes at once when the command has ended, whatever is still in the streams. What the
 * command left running is killed; EOF follows for stdout and stderr, each after its last byte. Then each
 * OUTPUT, in the order in which the host named them, comes as one newc cpio archive on VMM_RUN_FILES, ended
 * by an EOF of that stream; where there is nothing to send, FILE_FAILED and the EOF come alone. FILE_FAILED
 * may also come in the middle of an archive, for one file in it. Names in the archive begin with the last
 * component of the path that was asked for. DONE is the last word: file systems are clean. The host says BYE,
 * or two seconds pass, and the machine powers off. A job that did not start has no EOF and no files: DONE
 * follows its EXIT. BYE at any other time ends everything without another word; so does the host's end of the
 * port.
 *
 * Credits: a sender may send as many bytes of DATA on a stream as the receiver's WINDOWs on it have allowed,
 * and none at first. So a reader that stands still on one stream holds up nothing else. VMM_RUN_STDIN is the
 * guest's to allow, the rest the host's, which may do so at any time after its HELLO. EOF from the guest on
 * VMM_RUN_STDIN says that nobody reads it any more: what still arrives is thrown away. EOF from the host on
 * VMM_RUN_STDOUT or VMM_RUN_STDERR, at most one after START, says the same of an output: the guest closes its
 * end of the pipe or the terminal, so that who writes there learns it as anywhere, and sends its own EOF.
 *
 * What breaks these rules ends the job: the guest says why in an EXIT of VMM_RUN_NOT_STARTED with EPROTO,
 * when it has sent no EXIT yet, then DONE, and powers off.
 */
#include <stdint.h>

#define VMM_RUN_PORT "vmm.run" /* the port's name */
#define VMM_RUN_VERSION 1u
#define VMM_RUN_HEADER 8u
#define VMM_RUN_BODY_MAX 65536u
/* All strings of a job together, each with its NUL and a pointer: as much as Linux gives to an exec. */
#define VMM_RUN_STRINGS_MAX (2u << 20)

typedef enum {
    /* either way */
    VMM_RUN_HELLO = 1,  /* u32 version */
    VMM_RUN_DATA = 2,   /* bytes of the stream */
    VMM_RUN_EOF = 3,    /* the stream has ended */
    VMM_RUN_WINDOW = 4, /* u32: so many more bytes of the stream may be sent */
    /* host to guest, before START */
    VMM_RUN_ARG = 16,  /* string, at least one: the command and its arguments */
    VMM_RUN_ENV = 17,  /* string NAME=value, each name once */
    VMM_RUN_CWD = 18,  /* string; default is / */
    VMM_RUN_USER = 19, /* string NAME, UID, or either with :GROUP or :GID; default is root */
    VMM_RUN_PTY =
        20, /* u16 rows, u16 columns, string TERM: a terminal for the command, all its output is stdout */
    VMM_RUN_OUTPUT = 21, /* string: path of a file or folder to send back at the end */
    VMM_RUN_START = 22,
    /* host to guest, later */
    VMM_RUN_RESIZE = 23, /* u16 rows, u16 columns; only after PTY */
    VMM_RUN_SIGNAL = 24, /* u32 number, as Linux counts: to the command's process group, or the terminal's
                            foreground group */
    VMM_RUN_BYE = 25,
    /* guest to host */
    VMM_RUN_STARTED = 32,
    VMM_RUN_EXIT = 33,        /* u32 kind, u32 status, string for people */
    VMM_RUN_FILE_FAILED = 34, /* u32 errno, string: path in the guest */
    VMM_RUN_DONE = 35,
} VmmRunType;

typedef enum {
    VMM_RUN_STDIN = 0,
    VMM_RUN_STDOUT = 1,
    VMM_RUN_STDERR = 2,
    VMM_RUN_FILES = 3,
} VmmRunStream;

/* How a job has ended, and what the number beside it is. */
typedef enum {
    VMM_RUN_EXITED = 0,      /* exit status */
    VMM_RUN_SIGNALLED = 1,   /* signal */
    VMM_RUN_NOT_STARTED = 2, /* errno: ENOENT when there is no such command; the text says what failed */
} VmmRunKind;

static inline uint32_t
vmm_run_get16 (const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8;
}

static inline uint32_t
vmm_run_get32 (const uint8_t *at)
{
    return vmm_run_get16 (at) | vmm_run_get16 (at + 2) << 16;
}

static inline void
vmm_run_put32 (uint8_t *at, uint32_t value)
{
    for (uint32_t i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static inline void
vmm_run_put_header (uint8_t *at, VmmRunType type, VmmRunStream stream, uint32_t length)
{
    at[0] = (uint8_t)type;
    at[1] = (uint8_t)stream;
    at[2] = 0;
    at[3] = 0;
    vmm_run_put32 (at + 4, length);
}

#endif
