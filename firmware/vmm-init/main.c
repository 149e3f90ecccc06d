/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * vmm-init is the first process of a guest that runs one command. It reads the boot file that the host has
 * put beside it, loads modules, opens the port, finds the root, mounts what programs expect and sets up the
 * network. Then a session on the port runs the command (session.c), file systems are brought to rest, and the
 * machine powers off.
 *
 *      vmm-init [--boot FILE] [--port DESCRIPTOR]
 *
 * --port takes a descriptor that is open in place of the virtio port, for tests. The kernel gives all words
 * that it does not know to its init: others are no mistake.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot.h"
#include "mounts.h"
#include "net.h"
#include "port.h"
#include "say.h"
#include "session.h"

#define BOOT_FILE "/.vmm/boot"

/* Descriptors 0 to 2 are for others: none of ours may come to lie there. */
static void
fill_standard (void)
{
    int fd;

    do {
        fd = open ("/dev/null", O_RDWR);
        if (fd < 0)
            fd = open ("/", O_RDONLY);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close (fd);
}

static int
take_port (const char *text)
{
    int fd = text != NULL ? atoi (text) : port_open (VMM_RUN_PORT);

    if (text == NULL && fd < 0)
        say ("no port %s: is there a virtio console for it, and its driver?", VMM_RUN_PORT);
    if (text != NULL && (fd <= STDERR_FILENO || fcntl (fd, F_SETFL, O_NONBLOCK) < 0)) {
        say ("--port %s: no descriptor that is open", text);
        return -1;
    }
    if (fd >= 0)
        fcntl (fd, F_SETFD, FD_CLOEXEC);
    return fd;
}

static void
run (const char *boot_file, const char *port)
{
    static Session session; /* its buffers are too big for a stack */
    Boot boot;
    char wrong[256];
    int fd;

    mounts_early ();
    say_open ();
    fill_standard ();
    boot_read (&boot, boot_file);
    fd = take_port (port);
    if (fd < 0)
        return;
    session_init (&session, fd);
    if (boot.root_device != NULL &&
        !mounts_root (boot.root_device, boot.root_readonly, wrong, sizeof (wrong)))
        session_fail (&session, errno == ENOENT ? ENODEV : errno, "%s", wrong);
    mounts_late (boot.keep_run);
    if (boot.hostname != NULL && sethostname (boot.hostname, strlen (boot.hostname)) < 0)
        say ("hostname %s: %s", boot.hostname, strerror (errno));
    net_up (&boot);
    session_run (&session);
    mounts_end ();
    session_end (&session);
}

int
main (int argc, char **argv)
{
    const char *boot_file = BOOT_FILE, *port = NULL;

    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp (argv[i], "--boot") == 0)
            boot_file = argv[++i];
        else if (strcmp (argv[i], "--port") == 0)
            port = argv[++i];
    }
    if (getpid () != 1) {
        say ("this is for the first process of a machine");
        return 2;
    }
    signal (SIGPIPE, SIG_IGN);
    umask (022);
    run (boot_file, port);
    sync ();
    reboot (RB_POWER_OFF);
    return 1; /* the kernel panics, which ends the machine, too */
}
