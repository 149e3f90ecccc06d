/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions, and the scenarios that are made of them. record.py does some again. */
#include "record.h"

#include <criterion/criterion.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "scenario.h"

typedef struct {
    TestRecord *record;
    double t;
} Session;

static Session
begin (void)
{
    return (Session){.record = test_record_new ()};
}

static void
show (Session *session, const char *text)
{
    session->t += 0.125;
    test_record_output (session->record, (const uint8_t *)text, strlen (text), session->t);
}

static void
type_bytes (Session *session, const char *text)
{
    session->t += 0.125;
    test_record_typed (session->record, (const uint8_t *)text, strlen (text), session->t);
}

/* Key by key, at a console that echoes. */
static void
type (Session *session, const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        const char key[] = {*p, '\0'};

        type_bytes (session, key);
        show (session, *p == '\r' ? "\r\n" : key);
    }
}

/* Whatever was done, the file is a scenario. */
static void
check_loads (const char *text)
{
    g_autofree char *path = g_strdup ("/tmp/test-record-XXXXXX");
    g_autoptr (GError) error = NULL;
    g_autoptr (GPtrArray) runs = NULL;
    const TestLoadOptions options = {.time_scale = 1};
    int fd = g_mkstemp (path);

    cr_assert_geq (fd, 0);
    close (fd);
    g_setenv ("PASSWORD", "x", TRUE);
    g_setenv ("PASSWORD2", "x", TRUE);
    cr_assert (g_file_set_contents (path, text, -1, NULL));
    runs = test_scenario_load (path, &options, &error);
    g_unlink (path);
    cr_assert_not_null (runs, "%s:\n%s", error != NULL ? error->message : "", text);
}

/* Behind its first comment. */
static void
end (Session *session, VmmVerdictKind kind, int exit_code, const char *expected)
{
    const VmmVerdict verdict = {.kind = kind, .exit_code = exit_code};
    g_autofree char *text = NULL;

    test_record_end (session->record, &verdict, session->t);
    text = test_record_to_scenario (session->record);
    cr_assert_str_eq (strstr (text, "\n\n") + 2, expected, "became:\n%s", text);
    check_loads (text);
    test_record_free (session->record);
}

Test (record, a_session)
{
    Session session = begin ();

    test_record_set (session.record, "kernel", "debian-6.12");
    show (&session, "[    0.000000] Linux version 6.12\r\nWelcome\r\n\r\ndebian login: ");
    type (&session, "root\r");
    show (&session, "Last login: today\r\n\033[1mroot@debian\033[0m:~# ");
    type (&session, "ls '$x'  \r");
    show (&session, "a  b\r\nroot@debian:~# ");
    type (&session, "poweroff\r");
    end (&session, VMM_VERDICT_POWEROFF, 0,
         "[machine]\nkernel = debian-6.12\n"
         "\n[step root]\nexpect-text = debian login:\nsend = root\\r\n"
         "\n[step ls '$x']\nexpect-text = root@debian:~#\nsend = ls '$x'  \\r\n"
         "\n[step poweroff]\nexpect-text = root@debian:~#\nsend = poweroff\\r\n"
         "\n[step poweroff (2)]\nwait = poweroff\n");
}

Test (record, prompts_that_say_little_or_have_numbers)
{
    Session session = begin ();

    show (&session, "12:34:56 up 1.5\r\n/ # ");
    type (&session, "a\r");
    show (&session, "tty1 vm-3f2a9c01 (x)? ");
    type (&session, "b\r");
    show (&session, "\r\x1b[K>>> ");
    type (&session, "c\r");
    end (&session, VMM_VERDICT_REBOOT, 8,
         "[machine]\n"
         "\n[step a]\nexpect = ^/ #\\s\nsend = a\\r\n"
         "\n[step b]\nexpect = ^tty\\d+ vm-[[:xdigit:]]+ \\(x\\)\\?\\s\nsend = b\\r\n"
         "\n[step c]\nexpect = >>>\\s\nsend = c\\r\n"
         "\n[step reboot]\nwait = reboot\n");
}

Test (record, single_keys)
{
    Session session = begin ();

    show (&session, "Continue? ");
    type_bytes (&session, "y");
    show (&session, "\r\nworking\r\nPress a key");
    type_bytes (&session, "\033[A");
    type_bytes (&session, "\003");
    show (&session, "^C\r\n");
    type_bytes (&session, "\r");
    show (&session, "\r\nbye\r\n");
    end (&session, VMM_VERDICT_GUEST_EXIT, 43,
         "[machine]\n"
         "\n[step y]\nexpect-text = Continue?\nsend = y\n"
         "\n[step type]\nexpect-text = Press a key\nsend = \\e[A\\x03\n"
         "\n[step key enter]\nexpect = \\^C\nkey = enter\n"
         "\n[step exit 21]\nwait = exit 21\n");
}

/* What was there already when the step before began is not waited for again. */
Test (record, typed_ahead)
{
    Session session = begin ();

    type_bytes (&session, "first\rsecond\r\nthird");
    show (&session, "login: first\r\n");
    type_bytes (&session, "\r");
    end (&session, VMM_VERDICT_POWEROFF, 0,
         "[machine]\n"
         "\n[step first]\nsend = first\\r\n"
         "\n[step second]\nsend = second\\r\\n\n"
         "\n[step third]\nsend = third\n"
         "\n[step key enter]\nexpect-text = login: first\nkey = enter\n"
         "\n[step poweroff]\nwait = poweroff\n");
}

/* The program that Ctrl-C is for may have to be started first. */
Test (record, pauses)
{
    Session session = begin ();

    show (&session, "guest:/# ");
    session.t += 10;
    type (&session, "sleep 1000\r");
    session.t += 1.5;
    type_bytes (&session, "\003");
    show (&session, "^Cguest:/# ");
    type (&session, "cat >x\r");
    session.t += 60;
    type (&session, "text\r");
    type (&session, "more\r");
    end (&session, VMM_VERDICT_POWEROFF, 0,
         "[machine]\n"
         "\n[step sleep 1000]\nexpect-text = guest:/#\nsend = sleep 1000\\r\n"
         "\n[step a moment]\nexpect = sleep \\d+\nsleep = 1.6\n"
         "\n[step key ctrl-c]\nkey = ctrl-c\n"
         "\n[step cat >x]\nexpect-text = guest:/#\nsend = cat >x\\r\n"
         "\n[step a moment (2)]\nexpect-text = cat >x\nsleep = 2.0\n"
         "\n[step text]\nsend = text\\r\n"
         "\n[step more]\nexpect-text = text\nsend = more\\r\n"
         "\n[step poweroff]\nwait = poweroff\n");
}

/* The terminal answers, and nobody has typed that. */
Test (record, answers_of_the_terminal)
{
    Session session = begin ();

    show (&session, "guest:/# \033[6n");
    type_bytes (&session, "\033[24;10R");
    type_bytes (&session, "l\033[?62;1cs\033[0n\r");
    show (&session, "ls\r\nguest:/# \033[6n");
    type_bytes (&session, "\033[24;10R\033[A\033[1;5D\033[3~\r\033[12");
    end (&session, VMM_VERDICT_POWEROFF, 0,
         "[machine]\n"
         "\n[step ls]\nexpect-text = guest:/#\nsend = ls\\r\n"
         "\n[step type]\nexpect-text = guest:/#\nsend = \\e[A\\e[1;5D\\e[3~\\r\n"
         "\n[step type (2)]\nsend = \\e[12\n"
         "\n[step poweroff]\nwait = poweroff\n");
}

/* The kernel says what it wants, when it wants. */
Test (record, messages_of_the_kernel)
{
    Session session = begin ();

    show (&session, "$ [    5.250000] random: crng init done\r\n");
    type_bytes (&session, "l");
    show (&session, "l");
    show (&session, "<6>[    6.250000][   T1] usb: new\r\n");
    type_bytes (&session, "s");
    show (&session, "s");
    type_bytes (&session, "\r");
    show (&session, "\r\n[    7.250000] more\r\n");
    end (&session, VMM_VERDICT_STOPPED, 22,
         "[machine]\n"
         "\n[step l]\nexpect = ^\\$\\s\nsend = l\n"
         "\n[step s]\nexpect = l\nsend = s\\r\n"
         "\n[step the end]\nexpect = s\n");
}

Test (record, secrets)
{
    for (unsigned keep = 0; keep < 2; keep++) {
        Session session = begin ();

        test_record_keep_secrets (session.record, keep != 0);
        show (&session, "Password: ");
        type_bytes (&session, "geheim\r");
        show (&session, "\r\nEnter code:");
        type_bytes (&session, "4711 ");
        type_bytes (&session, "\r");
        show (&session, "\r\nPassword: ");
        type (&session, "geheim\r");
        show (&session, "\r\nname: ");
        type (&session, "nobody\r");
        show (&session, "root@passat:~# ");
        type (&session, "ls\r");
        cr_assert_eq (test_record_lacks_secrets (session.record), keep == 0);
        end (&session, VMM_VERDICT_HALT, 10,
             keep ? "[variables]\npassword = geheim\npassword2 = 4711\\s\n\n"
                    "[machine]\n"
                    "\n[step password]\nexpect-text = Password:\nsend = ${password}\\r\n"
                    "\n[step password (2)]\nexpect-text = Enter code:\nsend = ${password2}\\r\n"
                    "\n[step password (3)]\nexpect-text = Password:\nsend = ${password}\\r\n"
                    "\n[step nobody]\nexpect-text = name:\nsend = nobody\\r\n"
                    "\n[step ls]\nexpect-text = root@passat:~#\nsend = ls\\r\n"
                    "\n[step halt]\nwait = halt\n"
                  : "# What was typed without an echo is not in this file: it comes from the environment,\n"
                    "# or from vmm test --set password=TEXT.\n"
                    "[variables]\npassword = ${env.PASSWORD}\npassword2 = ${env.PASSWORD2}\n\n"
                    "[machine]\n"
                    "\n[step password]\nexpect-text = Password:\nsend = ${password}\\r\n"
                    "\n[step password (2)]\nexpect-text = Enter code:\nsend = ${password2}\\r\n"
                    "\n[step password (3)]\nexpect-text = Password:\nsend = ${password}\\r\n"
                    "\n[step nobody]\nexpect-text = name:\nsend = nobody\\r\n"
                    "\n[step ls]\nexpect-text = root@passat:~#\nsend = ls\\r\n"
                    "\n[step halt]\nwait = halt\n");
    }
}

Test (record, settings)
{
    Session session = begin ();

    test_record_set (session.record, "mem", "256M");
    test_record_set (session.record, "disk", "a.img");
    test_record_set (session.record, "mem", "512M");
    test_record_set (session.record, "disk", "b.img,ephemeral");
    test_record_set (session.record, "append", "a=${b} $$ $c");
    test_record_set (session.record, "console", "stdio");
    test_record_set (session.record, "control", "/run/x");
    test_record_set (session.record, "timeout", "90");
    end (&session, VMM_VERDICT_TIMEOUT, 18,
         "[test]\nconsoles = hvc0\ntimeout = 90\noutcome = timeout\n\n"
         "[machine]\ndisk = a.img\nmem = 512M\ndisk 2 = b.img,ephemeral\nappend = a=$${b} $$$ $c\n"
         "\n[step the end]\nwait = end\n");
}

Test (record, a_guest_that_takes_long)
{
    Session session = begin ();

    show (&session, "loading\r\n");
    session.t += 100;
    show (&session, "login: ");
    session.t += 1000;
    type (&session, "root\r");
    session.t += 20;
    end (&session, VMM_VERDICT_POWEROFF, 0,
         "[test]\ntimeout = 542\n\n[machine]\n"
         "\n[step root]\nexpect-text = login:\nwithin = 401\nsilence = 401\nsend = root\\r\n"
         "\n[step poweroff]\nwithin = 81\nwait = poweroff\n");
}

Test (record, troubles_and_ends)
{
    Session session = begin ();

    show (&session, "[    1.000000] Kernel panic - not syncing: sysrq triggered crash\r\n"
                    "[    1.000000] ---[ end Kernel panic - not syncing: sysrq triggered crash ]---\r\n");
    end (&session, VMM_VERDICT_PANIC, 12,
         "[test]\noutcome = panic\n\n[machine]\n\n[step the end]\nwait = end\n");
    session = begin ();
    show (&session, "[    1.000000] ------------[ cut here ]------------\r\n"
                    "[    1.000000] WARNING: CPU: 0 PID: 1 at kernel/x.c:12 f+0x10/0x20\r\n"
                    "[    1.000000] ---[ end trace 0000000000000000 ]---\r\n# ");
    end (&session, VMM_VERDICT_POWEROFF, 0,
         "[test]\nallow = warning\n\n[machine]\n\n[step poweroff]\nwait = poweroff\n");
    session = begin ();
    end (&session, VMM_VERDICT_TRIPLE_FAULT, 14,
         "[test]\noutcome = triple-fault\n\n[machine]\n\n[step the end]\nwait = end\n");
    session = begin ();
    end (&session, VMM_VERDICT_STOPPED, 22, "[machine]\n\n[step a moment]\nsleep = 1\n");
}

Test (record, the_power_button)
{
    Session session = begin ();

    show (&session, "login: ");
    test_record_power_button (session.record, 3);
    show (&session, "going down\r\n");
    end (&session, VMM_VERDICT_POWEROFF, 0,
         "[machine]\n\n[step power button]\nexpect-text = login:\nmachine = power-button\n"
         "\n[step poweroff]\nwait = poweroff\n");
}

Test (record, a_break)
{
    Session session = begin ();

    show (&session, "login: ");
    test_record_break (session.record, 3);
    show (&session, "sysrq: HELP\r\n");
    type (&session, "h");
    end (&session, VMM_VERDICT_POWEROFF, 0,
         "[machine]\n\n[step break]\nexpect-text = login:\nmachine = break\n"
         "\n[step h]\nexpect-text = sysrq: HELP\nsend = h\n"
         "\n[step poweroff]\nwait = poweroff\n");
}

/* Names and patterns stay what a file can have. */
Test (record, any_bytes)
{
    TestRecord *record = test_record_new ();
    const VmmVerdict verdict = {.kind = VMM_VERDICT_STOPPED};
    uint32_t random = 1;
    g_autofree char *text = NULL;

    for (unsigned i = 0; i < 3000; i++) {
        uint8_t bytes[64];

        for (size_t j = 0; j < sizeof bytes; j++)
            bytes[j] = (uint8_t)((random = random * 1103515245 + 12345) >> 16);
        test_record_output (record, bytes, sizeof bytes, i);
        if (i % 3 == 0)
            test_record_typed (record, bytes, bytes[0] % sizeof bytes, i + 0.5);
    }
    test_record_end (record, &verdict, 3001);
    cr_assert (test_record_is_full (record));
    text = test_record_to_scenario (record);
    cr_assert_lt (strlen (text), 1 << 20);
    check_loads (text);
    test_record_free (record);
}

Test (record, a_wall_of_input)
{
    TestRecord *record = test_record_new ();
    const VmmVerdict verdict = {.kind = VMM_VERDICT_POWEROFF};
    g_autofree char *wall = g_strnfill (1 << 20, 'y');
    g_autofree char *text = NULL;

    test_record_typed (record, (const uint8_t *)wall, 1 << 20, 1);
    cr_assert (test_record_is_full (record));
    test_record_end (record, &verdict, 2);
    text = test_record_to_scenario (record);
    cr_assert_not_null (strstr (text, "too long"));
    cr_assert_lt (strlen (text), 1 << 20);
    check_loads (text);
    test_record_free (record);
}
