/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "vmm/error.h"
#include "vmm/options.h"

static void
expect_error (GError *error, const char *part)
{
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE));
    cr_assert_not_null (strstr (error->message, part), "\"%s\" does not say \"%s\"", error->message, part);
    g_error_free (error);
}

Test (options, takes_words_apart)
{
    g_auto (VmmOptions) options = {0};
    g_autofree char *path = NULL;
    g_autofree char *serial = NULL;
    static const char *const formats[] = {"raw", "qcow2", NULL};
    unsigned format = 0;
    bool read_only = false;
    bool discard = true;
    uint64_t size = 0;
    uint64_t queues = 1;

    vmm_options_init (&options, "disk",
                      "a,,b=c.img,format=qcow2,readonly,discard=off,bps=3M,queues=4,serial=x=y");
    path = vmm_options_take_first (&options);
    cr_assert_str_eq (path, "a,b=c.img");
    cr_assert (vmm_options_take_choice (&options, "format", formats, &format, NULL));
    cr_assert_eq (format, 1);
    cr_assert (vmm_options_take_flag (&options, "readonly", &read_only, NULL));
    cr_assert (read_only);
    cr_assert (vmm_options_take_flag (&options, "discard", &discard, NULL));
    cr_assert_not (discard);
    cr_assert (vmm_options_take_size (&options, "bps", &size, NULL));
    cr_assert_eq (size, 3u << 20);
    cr_assert (vmm_options_take_unsigned (&options, "queues", 1, 8, &queues, NULL));
    cr_assert_eq (queues, 4);
    serial = vmm_options_take (&options, "serial");
    cr_assert_str_eq (serial, "x=y");
    cr_assert (vmm_options_finish (&options, "nothing", NULL));
}

Test (options, what_is_absent_stays_as_it_was)
{
    g_auto (VmmOptions) options = {0};
    uint64_t number = 7;
    bool flag = true;

    vmm_options_init (&options, "disk", "");
    cr_assert_null (vmm_options_take_first (&options));
    cr_assert (vmm_options_take_unsigned (&options, "queues", 1, 8, &number, NULL));
    cr_assert (vmm_options_take_flag (&options, "readonly", &flag, NULL));
    cr_assert_eq (number, 7);
    cr_assert (flag);
}

Test (options, refuses_with_the_key_and_the_way_out)
{
    static const char *const formats[] = {"raw", "qcow2", NULL};
    g_auto (VmmOptions) options = {0};
    GError *error = NULL;
    unsigned index;
    uint64_t number;
    bool flag;

    vmm_options_init (&options, "disk",
                      "x,format=vmdk,queues=9,bps=1e3,size=99999999999T,readonly=maybe,what=1");
    g_free (vmm_options_take_first (&options));
    cr_assert_not (vmm_options_take_choice (&options, "format", formats, &index, &error));
    expect_error (g_steal_pointer (&error), "format=vmdk: say one of raw, qcow2");
    cr_assert_not (vmm_options_take_unsigned (&options, "queues", 1, 8, &number, &error));
    expect_error (g_steal_pointer (&error), "queues=9: give a number from 1 to 8");
    cr_assert_not (vmm_options_take_size (&options, "bps", &number, &error));
    expect_error (g_steal_pointer (&error), "bps=1e3");
    cr_assert_not (vmm_options_take_size (&options, "size", &number, &error));
    expect_error (g_steal_pointer (&error), "size=99999999999T");
    cr_assert_not (vmm_options_take_flag (&options, "readonly", &flag, &error));
    expect_error (g_steal_pointer (&error), "readonly=maybe");
    cr_assert_not (vmm_options_finish (&options, "format and queues", &error));
    expect_error (g_steal_pointer (&error), "\"what=1\" is not known: there are format and queues");
}
