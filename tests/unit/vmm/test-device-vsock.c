/* SPDX-License-Identifier: Apache-2.0 */
/* The key vsock: what it takes, what it says to mistakes, and its socket on the host. */
#include "vmm/device-kind.h"
#include "vmm/error.h"

#include <criterion/criterion.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void
check_refused (const char *value, const char *why)
{
    g_autoptr (VmmConfig) config = vmm_config_new ();
    g_autoptr (GError) error = NULL;

    cr_assert_not (vmm_config_set (config, "vsock", value, &error), "%s is taken", value);
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE));
    cr_assert_not_null (strstr (error->message, why), "%s", error->message);
    cr_assert_not_null (strstr (error->message, value), "%s", error->message);
}

Test (vsock, an_address_is_from_3_to_all_but_the_last)
{
    g_autoptr (VmmConfig) config = vmm_config_new ();

    cr_assert (vmm_config_set (config, "vsock", "cid=3,path=v.sock", NULL));
    cr_assert (vmm_config_set (config, "vsock", "path=v.sock,cid=4294967294", NULL));
    check_refused ("cid=2,path=v", "from 3 to 4294967294");
    check_refused ("cid=4294967295,path=v", "from 3 to 4294967294");
    check_refused ("cid=x,path=v", "cid=x");
    check_refused ("path=v", "cid=3");
}

Test (vsock, a_path_has_room_for_ports)
{
    g_autofree char *longest = g_strnfill (96, 'p');
    g_autofree char *good = g_strconcat ("cid=3,path=", longest, NULL);
    g_autofree char *bad = g_strconcat (good, "p", NULL);
    g_autoptr (VmmConfig) config = vmm_config_new ();

    cr_assert (vmm_config_set (config, "vsock", good, NULL));
    check_refused (bad, "at most 96 bytes");
    check_refused ("cid=3", "path=PATH");
    check_refused ("cid=3,path=", "path=PATH");
    check_refused ("cid=3,path=v,speed=9", "speed=9");
    check_refused ("", "cid=3");
}

Test (vsock, its_socket_is_the_owners_and_goes_with_it)
{
    const VmmDeviceKind *kind = vmm_device_kind_find ("vsock");
    g_autofree char *folder = g_dir_make_tmp ("vsock-XXXXXX", NULL);
    g_autofree char *path = g_build_filename (folder, "v", NULL);
    g_autofree char *value = g_strconcat ("cid=3,path=", path, NULL);
    void *description = kind->parse (value, NULL);
    VmmDeviceHost host = {.name = "vsock0"};
    g_autoptr (GError) error = NULL;
    struct stat st;
    void *backend;

    cr_assert_not_null (description);
    backend = kind->open (description, &host, NULL);
    cr_assert_not_null (backend);
    cr_assert_eq (g_lstat (path, &st), 0);
    cr_assert_eq (st.st_mode & 07777, 0600);
    cr_assert_null (kind->open (description, &host, &error));
    cr_assert_not_null (strstr (error->message, path), "%s", error->message);
    kind->close (backend);
    cr_assert_eq (g_access (path, F_OK), -1, "it is left");
    kind->free_description (description);
    g_rmdir (folder);
}
