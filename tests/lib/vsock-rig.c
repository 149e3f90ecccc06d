/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-rig.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct {
    VsockRig *rig;
    const VmmVsockHeader *header;
    const void *payload;
    size_t len;
    bool paused;
    bool sent;
    unsigned n;
} Call;

static void
on_ready (void *user)
{
}

static void
on_warn (void *user, const char *text)
{
    VsockRig *rig = user;

    rig->n_warnings++;
}

static void
start (void *user)
{
    VsockRig *rig = user;

    vmm_vsock_mux_start (rig->mux);
}

static void
stop (void *user)
{
    VsockRig *rig = user;

    vmm_vsock_mux_stop (rig->mux);
}

VsockRig *
vsock_rig_new (void)
{
    VsockRig *rig = g_new0 (VsockRig, 1);
    VmmVsockMuxConfig config = {.guest_cid = VSOCK_RIG_CID, .ready = on_ready, .warn = on_warn, .user = rig};

    rig->folder = g_dir_make_tmp ("vsock-XXXXXX", NULL);
    rig->path = g_build_filename (rig->folder, "v", NULL);
    rig->loop = vmm_loop_new ("vsock", NULL);
    if (rig->loop == NULL || !vmm_unix_listener_open (&rig->listener, "vsock", rig->path, NULL))
        abort ();
    config.loop = rig->loop;
    config.path = rig->path;
    config.listen_fd = rig->listener.fd;
    rig->mux = vmm_vsock_mux_new (&config);
    vmm_loop_call (rig->loop, start, rig);
    return rig;
}

static void
remove_files (const char *folder)
{
    GDir *dir = g_dir_open (folder, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
        g_autofree char *path = g_build_filename (folder, name, NULL);

        g_unlink (path);
    }
    if (dir != NULL)
        g_dir_close (dir);
    g_rmdir (folder);
}

void
vsock_rig_free (VsockRig *rig)
{
    vmm_loop_call (rig->loop, stop, rig);
    vmm_vsock_mux_free (rig->mux);
    vmm_loop_free (rig->loop);
    vmm_unix_listener_close (&rig->listener);
    remove_files (rig->folder);
    g_free (rig->folder);
    g_free (rig->path);
    g_free (rig);
}

VmmVsockHeader
vsock_rig_header (uint16_t op, uint32_t host_port, uint32_t guest_port)
{
    return (VmmVsockHeader){
        .src_cid = VSOCK_RIG_CID,
        .dst_cid = VMM_VSOCK_HOST_CID,
        .src_port = guest_port,
        .dst_port = host_port,
        .type = VMM_VSOCK_TYPE_STREAM,
        .op = op,
        .buf_alloc = 1u << 20,
    };
}

static void
receive (void *user)
{
    Call *call = user;
    /* In pieces, as they may be in a guest's memory. */
    size_t first = call->len / 3;
    struct iovec pieces[2] = {{(void *)call->payload, first},
                              {(uint8_t *)call->payload + first, call->len - first}};

    if (vmm_vsock_mux_can_receive (call->rig->mux))
        vmm_vsock_mux_receive (call->rig->mux, call->header, pieces, call->len > 0 ? 2 : 0);
}

void
vsock_rig_receive (VsockRig *rig, const VmmVsockHeader *header, const void *payload, size_t len)
{
    Call call = {.rig = rig, .header = header, .payload = payload, .len = len};

    vmm_loop_call (rig->loop, receive, &call);
}

void
vsock_rig_op (VsockRig *rig, uint16_t op, uint32_t host_port, uint32_t guest_port)
{
    VmmVsockHeader header = vsock_rig_header (op, host_port, guest_port);

    vsock_rig_receive (rig, &header, NULL, 0);
}

void
vsock_rig_rw (VsockRig *rig, uint32_t host_port, uint32_t guest_port, const void *data, size_t len)
{
    VmmVsockHeader header = vsock_rig_header (VMM_VSOCK_OP_RW, host_port, guest_port);

    header.len = (uint32_t)len;
    vsock_rig_receive (rig, &header, data, len);
}

static void
send_one (void *user)
{
    Call *call = user;
    struct iovec room[2] = {{call->rig->payload, 1}, {call->rig->payload + 1, call->len - 1}};

    call->sent = vmm_vsock_mux_send (call->rig->mux, room, 2, &call->rig->header);
}

bool
vsock_rig_send (VsockRig *rig, size_t room, int wait_ms)
{
    gint64 end = g_get_monotonic_time () + wait_ms * 1000;
    Call call = {.rig = rig, .len = room};

    do {
        vmm_loop_call (rig->loop, send_one, &call);
        if (!call.sent && wait_ms > 0)
            g_usleep (200);
    } while (!call.sent && g_get_monotonic_time () < end);
    return call.sent;
}

static void
set_paused (void *user)
{
    Call *call = user;

    if (call->paused)
        vmm_vsock_mux_pause (call->rig->mux);
    else
        vmm_vsock_mux_resume (call->rig->mux);
}

void
vsock_rig_pause (VsockRig *rig, bool paused)
{
    Call call = {.rig = rig, .paused = paused};

    vmm_loop_call (rig->loop, set_paused, &call);
}

static void
count (void *user)
{
    Call *call = user;

    call->n = vmm_vsock_mux_n_connections (call->rig->mux);
}

unsigned
vsock_rig_n_connections (VsockRig *rig)
{
    Call call = {.rig = rig};

    vmm_loop_call (rig->loop, count, &call);
    return call.n;
}

int
vsock_rig_listen (VsockRig *rig, uint32_t port, int backlog)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf (address.sun_path, sizeof address.sun_path, "%s_%u", rig->path, port);
    if (bind (fd, (const struct sockaddr *)&address, sizeof address) != 0 || listen (fd, backlog) != 0)
        abort ();
    return fd;
}

int
vsock_rig_connect (VsockRig *rig)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    g_strlcpy (address.sun_path, rig->path, sizeof address.sun_path);
    if (connect (fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        close (fd);
        return -1;
    }
    fcntl (fd, F_SETFL, 0);
    return fd;
}
