/* SPDX-License-Identifier: Apache-2.0 */
/* When a boot was where, by what its console says. */
#include "timeline.h"

#include <criterion/criterion.h>
#include <string.h>

static void
feed (TestTimeline *timeline, double t, const char *text)
{
    test_timeline_feed (timeline, (const uint8_t *)text, strlen (text), t);
}

/* "NAME BEGIN-END, ..." */
static void
check_stages (const TestTimeline *timeline, double first_instruction, double first_output, double end,
              const char *expected)
{
    g_autoptr (GString) text = g_string_new (NULL);
    json_t *stages = test_timeline_stages (timeline, first_instruction, first_output, end);
    json_t *stage;
    size_t i;

    json_array_foreach (stages, i, stage) g_string_append_printf (
        text, "%s%s %g-%g", i > 0 ? ", " : "", json_string_value (json_object_get (stage, "name")),
        json_real_value (json_object_get (stage, "begin")), json_real_value (json_object_get (stage, "end")));
    json_decref (stages);
    cr_assert_str_eq (text->str, expected, "became \"%s\"", text->str);
}

static void
check_initcalls (const TestTimeline *timeline, const char *expected)
{
    g_autoptr (GString) text = g_string_new (NULL);
    json_t *initcalls = test_timeline_initcalls (timeline);
    json_t *initcall;
    size_t i;

    json_array_foreach (initcalls, i, initcall) g_string_append_printf (
        text, "%s%s %.6f+%.6f", i > 0 ? ", " : "", json_string_value (json_object_get (initcall, "name")),
        json_real_value (json_object_get (initcall, "begin")),
        json_real_value (json_object_get (initcall, "seconds")));
    json_decref (initcalls);
    cr_assert_str_eq (text->str, expected, "became \"%s\"", text->str);
}

static void
feed_boot (TestTimeline *timeline, double t)
{
    feed (timeline, t,
          "[    0.000000] Linux version 6.1.0-18-cloud-amd64 (debian-kernel@lists.debian.org)\r\n");
    feed (timeline, t, "[    0.000000] Command line: console=ttyS0\r\n");
    feed (timeline, t, "[    0.500000] printk: console [ttyS0] enabled\r\n");
    feed (timeline, t + 0.5, "[    1.000000] Freeing unused kernel image (initmem) memory: 2048K\r\n");
    feed (timeline, t + 0.75, "[    1.250000] Run /init as init process\r\n");
}

Test (timeline, linux)
{
    g_autoptr (TestTimeline) timeline = test_timeline_new ();
    double offset = 0;

    cr_assert_str_eq (test_timeline_stage (timeline), "vmm");
    cr_assert_not (test_timeline_kernel_offset (timeline, &offset));
    check_stages (timeline, -1, -1, 1, "vmm 0-1");
    check_stages (timeline, 0.5, -1, 1, "vmm 0-0.5, guest 0.5-1");
    feed (timeline, 2, "[    0.000000] Linux version 6.1.0\n");
    cr_assert_str_eq (test_timeline_stage (timeline), "kernel");
    check_stages (timeline, 0.5, 2, 3, "vmm 0-0.5, early kernel 0.5-2, kernel 2-3");
    feed_boot (timeline, 2);
    cr_assert_str_eq (test_timeline_stage (timeline), "userspace");
    cr_assert (test_timeline_kernel_offset (timeline, &offset));
    cr_assert_float_eq (offset, 1.5, 1e-9);
    check_stages (timeline, 0.5, 1.5, 4,
                  "vmm 0-0.5, early kernel 0.5-1.5, kernel 1.5-2.75, userspace 2.75-4");
}

Test (timeline, somebody_writes_before_the_kernel)
{
    g_autoptr (TestTimeline) timeline = test_timeline_new ();

    feed (timeline, 1, "SeaBIOS (version 1.16)\r\n");
    cr_assert_str_eq (test_timeline_stage (timeline), "guest");
    check_stages (timeline, 0.5, 1, 5, "vmm 0-0.5, guest 0.5-5");
    feed_boot (timeline, 2);
    check_stages (timeline, 0.5, 1, 5, "vmm 0-0.5, firmware 0.5-2, kernel 2-2.75, userspace 2.75-5");
}

Test (timeline, the_kernel_unpacks_itself)
{
    g_autoptr (TestTimeline) timeline = test_timeline_new ();

    feed (timeline, 1, "\r\n\r\nDecompressing Linux... Parsing ELF... done.\r\nBooting the kernel.\r\n");
    feed_boot (timeline, 2);
    check_stages (timeline, 0.5, 1, 5, "vmm 0-0.5, early kernel 0.5-1, kernel 1-2.75, userspace 2.75-5");
}

Test (timeline, without_stamps)
{
    g_autoptr (TestTimeline) timeline = test_timeline_new ();
    double offset;

    feed (timeline, 1, "Linux version 6.1.0\r\nCommand line: console=ttyS0\r\n");
    feed (timeline, 2,
          "text of the kernel\r\ninitcall acpi_init+0x0/0x4a0 returned 0 after 500000 usecs\r\n");
    cr_assert_str_eq (test_timeline_stage (timeline), "kernel");
    feed (timeline, 3, "Run /sbin/init as init process\r\n");
    cr_assert_not (test_timeline_kernel_offset (timeline, &offset));
    check_initcalls (timeline, "");
    check_stages (timeline, 0.5, 1, 5, "vmm 0-0.5, early kernel 0.5-1, kernel 1-3, userspace 3-5");
}

Test (timeline, other_signs_of_userspace)
{
    const char *const signs[] = {
        "[    1.250000] Freeing unused kernel memory: 1700K\r\n[    2.000000] late\r\n",
        "[    1.250000] systemd[1]: Inserted module 'autofs4'\r\n",
        "Loading, please wait...\r\n",
        "Welcome to Debian GNU/Linux 12!\r\n",
        "\033[1m# ", /* a prompt has no line end */
    };

    for (size_t i = 0; i < G_N_ELEMENTS (signs); i++) {
        g_autoptr (TestTimeline) timeline = test_timeline_new ();

        feed (timeline, 2,
              "[    0.000000] Linux version 6.1.0\r\n[    0.250000] x86/fpu: text\r\n  x\r\n[    0.2");
        cr_assert_str_eq (test_timeline_stage (timeline), "kernel");
        feed (timeline, 2, "50000] text\r\n");
        cr_assert_str_eq (test_timeline_stage (timeline), "kernel");
        feed (timeline, 3, signs[i]);
        cr_assert_str_eq (test_timeline_stage (timeline), "userspace", "\"%s\"", signs[i]);
        check_stages (timeline, 0.5, 2, 5, "vmm 0-0.5, early kernel 0.5-2, kernel 2-3, userspace 3-5");
    }
}

Test (timeline, initcalls)
{
    g_autoptr (TestTimeline) timeline = test_timeline_new ();

    check_initcalls (timeline, "");
    feed (timeline, 2, "[    0.000000] Linux version 6.1.0\r\n");
    feed (timeline, 2, "[    0.500000] calling  acpi_init+0x0/0x4a0 @ 1\r\n");
    feed (timeline, 3,
          "[    0.900000][    T1] initcall slow_init+0x0/0x4a0 returned -19 after 250000 usecs\r\n");
    feed (timeline, 3, "[    0.600000] initcall acpi_init+0x0/0x4a0 returned 0 after 100000 usecs\r\n");
    feed (timeline, 4, "[    2.000000] initcall a.b_2+0x0/0xff4 [virtio_blk] returned 0 after 12 usecs\r\n");
    check_initcalls (timeline,
                     "acpi_init 0.500000+0.100000, slow_init 0.650000+0.250000, a.b_2 1.999988+0.000012");
    feed (timeline, 4, "[    2.000000] probe of 0000:00:01.0 returned 0 after 12 usecs\r\n");
    feed (timeline, 4,
          "[    2.000000] initcall levels\r\n[    2.000000] initcall x returned 0 after 1 usecs\r\n");
    feed (timeline, 4, "[    2.000000] initcall +0x0 returned 0 after 1 usecs\r\ninitcall");
    check_initcalls (timeline,
                     "acpi_init 0.500000+0.100000, slow_init 0.650000+0.250000, a.b_2 1.999988+0.000012");
}

/* The longest ones stay, in constant memory, however many there are and whatever they claim. */
Test (timeline, many_initcalls)
{
    g_autoptr (TestTimeline) timeline = test_timeline_new ();
    json_t *initcalls;

    for (unsigned i = 1; i <= 3000; i++) {
        unsigned usecs = i * 7919 % 3001;
        g_autofree char *line = g_strdup_printf (
            "[%5u.000000] initcall n%u+0x0/0x1 returned 0 after %u usecs\n", i, usecs, usecs);

        feed (timeline, 5000, line);
    }
    feed (timeline, 5000,
          "[    1.000000] initcall x+0x0/0x1 returned 0 after 99999999999999999999999999 usecs\n");
    initcalls = test_timeline_initcalls (timeline);
    cr_assert_eq (json_array_size (initcalls), TEST_TIMELINE_INITCALLS_MAX);
    for (size_t i = 0; i < json_array_size (initcalls); i++) {
        double seconds = json_real_value (json_object_get (json_array_get (initcalls, i), "seconds"));

        cr_assert_gt (seconds, 0.0028);
        cr_assert_leq (seconds, 1);
    }
    json_decref (initcalls);
}

Test (timeline, a_restart)
{
    const char *const announcements[] = {"[    9.000000] reboot: Restarting system\r\n",
                                         "[    9.000000] Rebooting in 1 seconds..\r\n",
                                         "[    9.000000] kexec_core: Starting new kernel\r\n", NULL};

    for (size_t i = 0; i < G_N_ELEMENTS (announcements); i++) {
        g_autoptr (TestTimeline) timeline = test_timeline_new ();
        double offset = 0;

        feed_boot (timeline, 2);
        feed (timeline, 3, "[    1.500000] initcall old+0x0/0x4a0 returned 0 after 100000 usecs\r\n");
        if (announcements[i] != NULL)
            feed (timeline, 10.5, announcements[i]);
        else
            test_timeline_restarted (timeline, 10.5);
        feed (timeline, 10.6, "[    9.000000] the old kernel's last words\r\n");
        feed_boot (timeline, 12);
        feed (timeline, 13, "[    1.500000] initcall new+0x0/0x4a0 returned 0 after 100000 usecs\r\n");
        cr_assert (test_timeline_kernel_offset (timeline, &offset));
        cr_assert_float_eq (offset, 11.5, 1e-9);
        check_initcalls (timeline, "new 1.400000+0.100000");
        check_stages (timeline, 0.5, 2, 20,
                      "vmm 0-0.5, earlier boots 0.5-12, kernel 12-12.75, userspace 12.75-20");
    }
}

Test (timeline, a_restart_without_stamps)
{
    g_autoptr (TestTimeline) timeline = test_timeline_new ();

    feed (timeline, 1, "Linux version 6.1.0\r\nRun /init as init process\r\nreboot: Restarting system\r\n");
    feed (timeline, 2, "late\r\n");
    feed (timeline, 3, "Linux version 6.1.0\r\n");
    check_stages (timeline, 0.5, 1, 5, "vmm 0-0.5, earlier boots 0.5-3, kernel 3-5");
}

/* The log of this boot, and the kernel's version, are no new boot. */
Test (timeline, dmesg)
{
    g_autoptr (TestTimeline) timeline = test_timeline_new ();
    double offset = 0;

    feed_boot (timeline, 2);
    feed (timeline, 8, "# cat /proc/version\r\nLinux version 6.1.0\r\n# dmesg\r\n");
    feed_boot (timeline, 9);
    cr_assert (test_timeline_kernel_offset (timeline, &offset));
    cr_assert_float_eq (offset, 1.5, 1e-9);
    check_stages (timeline, 0.5, 2, 20, "vmm 0-0.5, early kernel 0.5-2, kernel 2-2.75, userspace 2.75-20");
}

/* Pieces of any size, lines of any length, any bytes. */
Test (timeline, any_stream)
{
    g_autoptr (TestTimeline) timeline = test_timeline_new ();
    const char *text = "[    0.000000] Linux version 6.1.0\r\n\033[1mtext\033[0m\r\n[99999.000000] a lie\r\n";
    uint32_t random = 1;
    double offset = 0;

    for (const char *p = text; *p != '\0'; p++)
        test_timeline_feed (timeline, (const uint8_t *)p, 1, 2);
    cr_assert (test_timeline_kernel_offset (timeline, &offset));
    cr_assert_float_eq (offset, 2, 1e-9);
    cr_assert_str_eq (test_timeline_stage (timeline), "userspace");
    for (unsigned i = 0; i < 200000; i++) {
        uint8_t bytes[7];

        for (size_t j = 0; j < sizeof bytes; j++)
            bytes[j] = (uint8_t)((random = random * 1103515245 + 12345) >> 16);
        test_timeline_feed (timeline, bytes, i % 8, 3 + i * 1e-6);
        if (i % 1000 == 0)
            test_timeline_stage (timeline);
    }
    json_decref (test_timeline_initcalls (timeline));
}
