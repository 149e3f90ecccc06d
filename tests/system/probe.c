/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the device scenarios need and busybox has not, as one static program for guests and for the bed's
 * machine:
 *
 *     probe fill FILE SEED [BYTES]     write a pattern over a file or a whole disk, and sync it
 *     probe check FILE SEED [BYTES]    is the pattern there? "-" is the standard input
 *     probe zero DISK OFFSET BYTES     have the disk zero them by itself
 *     probe serve ADDRESS              answer the three below, for ever
 *     probe stuck ADDRESS              accept connections, and read nothing, for ever
 *     probe get ADDRESS SEED BYTES     have the pattern sent, and check it
 *     probe put ADDRESS SEED BYTES     send it, and hear whether it came whole
 *     probe many ADDRESS N             N connections, 32 open at a time, with a few bytes each way
 *     probe line ADDRESS TEXT          send a line, and print the one that comes back
 *     probe dns PORT NAME IPV4         answer that name's A queries by UDP, and no other name's
 *
 * ADDRESS is tcp:IPV4:PORT, vsock:CID:PORT, unix:PATH, or mux:PATH:PORT: a Unix socket on which a line
 * "CONNECT PORT" asks for a connection to a guest, and "OK ..." grants it. Lines, and nothing else, go to
 * udp:IPV4:PORT as well.
 *
 * Each command says what it did in one line, and ends with 0 when all was well. The pattern is a function of
 * seed and offset, so that nothing has to be hashed or kept in order to be compared.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <linux/fs.h>
#include <linux/vm_sockets.h>

enum {
    CHUNK = 1 << 20,
    MANY_AT_ONCE = 32,
    LINE_LIMIT = 256,
};

static double
now (void)
{
    struct timespec time;
    clock_gettime (CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void __attribute__ ((noreturn, format (printf, 1, 2))) die (const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    printf ("probe: ");
    vprintf (format, arguments);
    printf ("\n");
    va_end (arguments);
    exit (1);
}

static uint64_t
mix (uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    return x ^ x >> 27;
}

/* The pattern of [offset, offset + size); both are multiples of 8. */
static void
make_pattern (uint64_t *words, uint64_t seed, uint64_t offset, size_t size)
{
    uint64_t at = (seed + 1) * 0x9e3779b97f4a7c15 + offset / 8 * 0x632be59bd9b4e019;
    for (size_t i = 0; i < size / 8; i++, at += 0x632be59bd9b4e019)
        words[i] = mix (at);
}

static bool
write_all (int fd, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size > 0) {
        ssize_t done = write (fd, at, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        at += done;
        size -= (size_t)done;
    }
    return true;
}

/* Returns how many came before the end. */
static size_t
read_all (int fd, void *bytes, size_t size)
{
    size_t got = 0;
    while (got < size) {
        ssize_t done = read (fd, (char *)bytes + got, size - got);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            break;
        got += (size_t)done;
    }
    return got;
}

static bool
send_pattern (int fd, uint64_t seed, uint64_t bytes)
{
    static uint64_t words[CHUNK / 8];
    for (uint64_t at = 0; at < bytes; at += CHUNK) {
        size_t size = bytes - at < CHUNK ? (size_t)(bytes - at) : CHUNK;
        make_pattern (words, seed, at, (size + 7) & ~(size_t)7);
        if (!write_all (fd, words, size))
            return false;
    }
    return true;
}

/* Returns the offset of the first byte that is wrong or missing, or `bytes`. */
static uint64_t
compare_pattern (int fd, uint64_t seed, uint64_t bytes)
{
    static uint64_t want[CHUNK / 8], got[CHUNK / 8];
    for (uint64_t at = 0; at < bytes; at += CHUNK) {
        size_t size = bytes - at < CHUNK ? (size_t)(bytes - at) : CHUNK;
        size_t came = read_all (fd, got, size);
        make_pattern (want, seed, at, (size + 7) & ~(size_t)7);
        if (came == size && memcmp (want, got, size) == 0)
            continue;
        size_t same = 0;
        while (same < came && ((char *)want)[same] == ((char *)got)[same])
            same++;
        return at + same;
    }
    return bytes;
}

static uint64_t
size_of (int fd, const char *path, const char *given)
{
    if (given)
        return strtoull (given, NULL, 0);
    off_t end = lseek (fd, 0, SEEK_END);
    if (end <= 0 || lseek (fd, 0, SEEK_SET) != 0)
        die ("%s: its size is not known", path);
    return (uint64_t)end;
}

static int
fill (const char *path, uint64_t seed, const char *size)
{
    int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        die ("%s: %s", path, strerror (errno));
    uint64_t bytes = size_of (fd, path, size);
    if (!send_pattern (fd, seed, bytes))
        die ("%s: write: %s", path, strerror (errno));
    if (fsync (fd) != 0)
        die ("%s: fsync: %s", path, strerror (errno));
    printf ("%s: %llu bytes written\n", path, (unsigned long long)bytes);
    return 0;
}

static int
check (const char *path, uint64_t seed, const char *size)
{
    bool is_stdin = strcmp (path, "-") == 0;
    int fd = is_stdin ? 0 : open (path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        die ("%s: %s", path, strerror (errno));
    uint64_t bytes = size_of (fd, path, size);
    posix_fadvise (fd, 0, 0, POSIX_FADV_DONTNEED);
    uint64_t same = compare_pattern (fd, seed, bytes);
    if (same != bytes)
        die ("%s: differs at byte %llu of %llu", path, (unsigned long long)same, (unsigned long long)bytes);
    printf ("%s: %llu bytes are right\n", path, (unsigned long long)bytes);
    return 0;
}

/* What is read next is the disk's, and not the cache's. */
static int
zero (const char *path, uint64_t offset, uint64_t bytes)
{
    uint64_t range[2] = {offset, bytes};
    int fd = open (path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || ioctl (fd, BLKZEROOUT, range) != 0)
        die ("%s: %s", path, strerror (errno));
    posix_fadvise (fd, 0, 0, POSIX_FADV_DONTNEED);
    printf ("%s: %llu bytes zeroed\n", path, (unsigned long long)bytes);
    return 0;
}

typedef struct {
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_un un;
        struct sockaddr_vm vm;
    };
    socklen_t length;
    int type;
    char mux_port[16]; /* empty: a plain socket */
} Address;

static Address
parse_address (const char *text)
{
    Address address = {.type = SOCK_STREAM};
    char kind[16], place[128], port[16] = "0";
    if (sscanf (text, "%15[^:]:%127[^:]:%15s", kind, place, port) < 2)
        die ("%s: not an address", text);
    if (!strcmp (kind, "tcp") || !strcmp (kind, "udp")) {
        address.type = kind[0] == 'u' ? SOCK_DGRAM : SOCK_STREAM;
        address.in.sin_family = AF_INET;
        address.in.sin_port = htons ((uint16_t)atoi (port));
        if (inet_pton (AF_INET, place, &address.in.sin_addr) != 1)
            die ("%s: not an IPv4 address", place);
        address.length = sizeof address.in;
    } else if (!strcmp (kind, "vsock")) {
        address.vm.svm_family = AF_VSOCK;
        address.vm.svm_cid = (unsigned)strtoul (place, NULL, 0);
        address.vm.svm_port = (unsigned)strtoul (port, NULL, 0);
        address.length = sizeof address.vm;
    } else if (!strcmp (kind, "unix") || !strcmp (kind, "mux")) {
        address.un.sun_family = AF_UNIX;
        snprintf (address.un.sun_path, sizeof address.un.sun_path, "%.100s", place);
        address.length = sizeof address.un;
        if (kind[0] == 'm')
            memcpy (address.mux_port, port, sizeof port);
    } else {
        die ("%s: no such kind of address", kind);
    }
    return address;
}

/* Returns false when the other end refuses. */
static bool
ask_mux (int fd, const char *port)
{
    char line[LINE_LIMIT];
    size_t length = 0;
    int size = snprintf (line, sizeof line, "CONNECT %s\n", port);
    if (!write_all (fd, line, (size_t)size))
        return false;
    /* Byte by byte: what follows the line is the connection's. */
    while (length < sizeof line - 1 && read (fd, line + length, 1) == 1) {
        if (line[length++] == '\n')
            return !strncmp (line, "OK ", 3);
    }
    return false;
}

static int
connect_to (const char *text)
{
    Address address = parse_address (text);
    int fd = socket (address.any.sa_family, address.type | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect (fd, &address.any, address.length) != 0)
        die ("%s: connect: %s", text, strerror (errno));
    if (address.mux_port[0] && !ask_mux (fd, address.mux_port))
        die ("%s: the connection was refused", text);
    return fd;
}

/* One connection: a line "get SEED BYTES" or "put SEED BYTES", or any other, which comes back. */
static void
answer (int fd)
{
    char line[LINE_LIMIT];
    unsigned long long seed, bytes;
    size_t length = 0;
    while (length < sizeof line - 1 && read (fd, line + length, 1) == 1)
        if (line[length++] == '\n')
            break;
    line[length] = '\0';
    if (sscanf (line, "get %llu %llu", &seed, &bytes) == 2) {
        send_pattern (fd, seed, bytes);
    } else if (sscanf (line, "put %llu %llu", &seed, &bytes) == 2) {
        bool whole = compare_pattern (fd, seed, bytes) == bytes;
        write_all (fd, whole ? "whole\n" : "wrong\n", 6);
    } else {
        write_all (fd, line, length);
    }
    shutdown (fd, SHUT_WR);
    read_all (fd, line, 1);
}

static void __attribute__ ((noreturn)) echo_datagrams (int fd)
{
    for (;;) {
        char bytes[LINE_LIMIT];
        struct sockaddr_in peer;
        socklen_t length = sizeof peer;
        ssize_t size = recvfrom (fd, bytes, sizeof bytes, 0, (struct sockaddr *)&peer, &length);
        if (size > 0)
            sendto (fd, bytes, (size_t)size, 0, (struct sockaddr *)&peer, length);
    }
}

static int
serve (const char *text, bool stuck)
{
    Address address = parse_address (text);
    int on = 1;
    int fd = socket (address.any.sa_family, address.type | SOCK_CLOEXEC, 0);
    if (fd >= 0 && address.any.sa_family == AF_INET)
        setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address.any.sa_family == AF_UNIX)
        unlink (address.un.sun_path);
    if (fd < 0 || bind (fd, &address.any, address.length) != 0 ||
        (address.type == SOCK_STREAM && listen (fd, 128) != 0))
        die ("%s: %s", text, strerror (errno));
    if (address.type == SOCK_DGRAM)
        echo_datagrams (fd);
    signal (SIGCHLD, SIG_IGN);
    for (;;) {
        int peer = accept4 (fd, NULL, NULL, SOCK_CLOEXEC);
        if (peer < 0)
            continue;
        if (stuck)
            continue;
        if (fork () == 0) {
            answer (peer);
            _exit (0);
        }
        close (peer);
    }
}

static void
report (const char *text, const char *did, uint64_t bytes, double seconds)
{
    printf ("%s: %llu bytes %s, %.2f MiB/s\n", text, (unsigned long long)bytes, did,
            (double)bytes / seconds / (1 << 20));
}

static int
get (const char *text, uint64_t seed, uint64_t bytes)
{
    double began = now ();
    int fd = connect_to (text);
    dprintf (fd, "get %llu %llu\n", (unsigned long long)seed, (unsigned long long)bytes);
    uint64_t same = compare_pattern (fd, seed, bytes);
    char more;
    if (same != bytes)
        die ("%s: what came differs at byte %llu", text, (unsigned long long)same);
    if (read (fd, &more, 1) != 0)
        die ("%s: the stream does not end after %llu bytes", text, (unsigned long long)bytes);
    report (text, "came whole", bytes, now () - began);
    return 0;
}

static int
put (const char *text, uint64_t seed, uint64_t bytes)
{
    char line[8] = "";
    double began = now ();
    int fd = connect_to (text);
    dprintf (fd, "put %llu %llu\n", (unsigned long long)seed, (unsigned long long)bytes);
    if (!send_pattern (fd, seed, bytes))
        die ("%s: sending: %s", text, strerror (errno));
    if (read_all (fd, line, 6) != 6 || strcmp (line, "whole\n") != 0)
        die ("%s: what was sent did not come whole", text);
    report (text, "went whole", bytes, now () - began);
    return 0;
}

static void
finish_one (const char *text, int fd, int number)
{
    char want[32], got[32] = "";
    int size = snprintf (want, sizeof want, "number %d\n", number);
    if (read_all (fd, got, (size_t)size) != (size_t)size || strcmp (want, got) != 0)
        die ("%s: connection %d was not answered", text, number);
    close (fd);
}

static int
many (const char *text, int n)
{
    int fds[MANY_AT_ONCE];
    for (int i = 0; i < n + MANY_AT_ONCE; i++) {
        if (i >= MANY_AT_ONCE && i - MANY_AT_ONCE < n)
            finish_one (text, fds[i % MANY_AT_ONCE], i - MANY_AT_ONCE);
        if (i < n) {
            fds[i % MANY_AT_ONCE] = connect_to (text);
            dprintf (fds[i % MANY_AT_ONCE], "number %d\n", i);
        }
    }
    printf ("%s: %d connections\n", text, n);
    return 0;
}

static int
line_for_line (const char *text, const char *line)
{
    char got[LINE_LIMIT];
    size_t length = 0;
    ssize_t came = 1;
    int fd = connect_to (text);
    dprintf (fd, "%s\n", line);
    while (length < sizeof got - 1 && came > 0 && !memchr (got, '\n', length)) {
        came = read (fd, got + length, sizeof got - 1 - length);
        length += came > 0 ? (size_t)came : 0;
    }
    got[length] = '\0';
    printf ("%s%s", got, length && got[length - 1] == '\n' ? "" : "(no end of line)\n");
    return length && got[length - 1] == '\n' ? 0 : 1;
}

/* Returns the answer's size: the query with the answer behind it (RFC 1035 section 4.1). */
static size_t
answer_dns (uint8_t *packet, size_t size, const char *name, const char *ipv4)
{
    char asked[LINE_LIMIT] = "";
    size_t at = 12, length = 0;
    while (at < size && packet[at] != 0 && length + packet[at] + 1 < sizeof asked && at + packet[at] < size) {
        memcpy (asked + length, packet + at + 1, packet[at]);
        length += packet[at];
        at += packet[at] + 1u;
        asked[length++] = '.';
    }
    asked[length ? length - 1 : 0] = '\0';
    if (at + 5 > size)
        return 0;
    bool known = !strcmp (asked, name);
    bool is_a = packet[at + 2] == 1;
    size = at + 5;
    packet[2] = 0x84 | (packet[2] & 1);
    packet[3] = known ? 0x80 : 0x83; /* recursion available; no such name */
    memset (packet + 6, 0, 6);
    if (known && is_a) {
        static const uint8_t record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4};
        packet[7] = 1;
        memcpy (packet + size, record, sizeof record);
        size += sizeof record;
        inet_pton (AF_INET, ipv4, packet + size);
        size += 4;
    }
    return size;
}

static int
dns (const char *port, const char *name, const char *ipv4)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons ((uint16_t)atoi (port))};
    int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind (fd, (struct sockaddr *)&address, sizeof address) != 0)
        die ("port %s: %s", port, strerror (errno));
    for (;;) {
        uint8_t packet[1024];
        struct sockaddr_in peer;
        socklen_t length = sizeof peer;
        ssize_t size = recvfrom (fd, packet, sizeof packet - 32, 0, (struct sockaddr *)&peer, &length);
        if (size <= 12)
            continue;
        size_t answer_size = answer_dns (packet, (size_t)size, name, ipv4);
        sendto (fd, packet, answer_size, 0, (struct sockaddr *)&peer, length);
    }
}

int
main (int argc, char **argv)
{
    const char *verb = argc > 2 ? argv[1] : "";
    uint64_t seed = argc > 3 ? strtoull (argv[3], NULL, 0) : 0;
    const char *size = argc > 4 ? argv[4] : NULL;

    setvbuf (stdout, NULL, _IOLBF, 0);
    signal (SIGPIPE, SIG_IGN);
    if (!strcmp (verb, "fill"))
        return fill (argv[2], seed, size);
    if (!strcmp (verb, "check"))
        return check (argv[2], seed, size);
    if (!strcmp (verb, "zero") && size)
        return zero (argv[2], seed, strtoull (size, NULL, 0));
    if (!strcmp (verb, "serve"))
        return serve (argv[2], false);
    if (!strcmp (verb, "stuck"))
        return serve (argv[2], true);
    if (!strcmp (verb, "get") && size)
        return get (argv[2], seed, strtoull (size, NULL, 0));
    if (!strcmp (verb, "put") && size)
        return put (argv[2], seed, strtoull (size, NULL, 0));
    if (!strcmp (verb, "many") && argc > 3)
        return many (argv[2], atoi (argv[3]));
    if (!strcmp (verb, "line") && argc > 3)
        return line_for_line (argv[2], argv[3]);
    if (!strcmp (verb, "dns") && size)
        return dns (argv[2], argv[3], size);
    fprintf (stderr, "usage: see the head of probe.c\n");
    return 2;
}
