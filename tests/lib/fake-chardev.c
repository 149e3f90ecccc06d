/* SPDX-License-Identifier: Apache-2.0 */
#include "fake-chardev.h"

struct _VmmChardev {
    const VmmChardevFrontend *frontend;
    void *device;
    GByteArray *out;
    GByteArray *in;
    size_t budget;
    bool refused;
    bool idle; /* the device had no room and has not asked for more */
    unsigned n_accepts;
};

VmmChardev *
vmm_chardev_new (GMainContext *context, int in_fd, int out_fd)
{
    VmmChardev *chardev = g_new0 (VmmChardev, 1);

    chardev->out = g_byte_array_new ();
    chardev->in = g_byte_array_new ();
    chardev->budget = SIZE_MAX;
    return chardev;
}

VmmChardev *
fake_chardev_new (void)
{
    return vmm_chardev_new (NULL, -1, -1);
}

void
vmm_chardev_free (VmmChardev *chardev)
{
    if (chardev == NULL)
        return;
    g_byte_array_unref (chardev->out);
    g_byte_array_unref (chardev->in);
    g_free (chardev);
}

void
vmm_chardev_set_frontend (VmmChardev *chardev, const VmmChardevFrontend *frontend, void *device)
{
    chardev->frontend = frontend;
    chardev->device = device;
}

void
vmm_chardev_set_tap (VmmChardev *chardev, VmmChardevTap tap, void *user)
{
}

void
vmm_chardev_set_filter (VmmChardev *chardev, VmmChardevFilter filter, void *user)
{
}

void
vmm_chardev_flush (VmmChardev *chardev, int timeout_ms)
{
}

size_t
vmm_chardev_write (VmmChardev *chardev, const uint8_t *data, size_t len)
{
    size_t taken = MIN (len, chardev->budget);

    g_byte_array_append (chardev->out, data, (guint)taken);
    if (chardev->budget != SIZE_MAX)
        chardev->budget -= taken;
    chardev->refused = chardev->refused || taken < len;
    return taken;
}

void
vmm_chardev_accept_input (VmmChardev *chardev)
{
    chardev->n_accepts++;
    chardev->idle = false;
}

void
fake_chardev_allow (VmmChardev *chardev, size_t budget)
{
    chardev->budget = budget;
}

void
fake_chardev_type (VmmChardev *chardev, const char *text, size_t len)
{
    g_byte_array_append (chardev->in, (const guint8 *)text, (guint)len);
}

void
fake_chardev_run (VmmChardev *chardev)
{
    size_t len;

    if (chardev->frontend == NULL)
        return;
    if (chardev->refused && chardev->budget > 0) {
        chardev->refused = false;
        chardev->frontend->drained (chardev->device);
    }
    while (!chardev->idle && chardev->in->len > 0) {
        len = MIN (chardev->frontend->room (chardev->device), chardev->in->len);
        if (len == 0) {
            chardev->idle = true;
            return;
        }
        chardev->frontend->receive (chardev->device, chardev->in->data, len);
        g_byte_array_remove_range (chardev->in, 0, (guint)len);
    }
}

const GByteArray *
fake_chardev_output (VmmChardev *chardev)
{
    return chardev->out;
}

size_t
fake_chardev_input_left (VmmChardev *chardev)
{
    return chardev->in->len;
}

unsigned
fake_chardev_n_accepts (VmmChardev *chardev)
{
    return chardev->n_accepts;
}

bool
fake_chardev_has_frontend (VmmChardev *chardev)
{
    return chardev->frontend != NULL;
}
