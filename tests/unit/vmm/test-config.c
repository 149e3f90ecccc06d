/* SPDX-License-Identifier: Apache-2.0 */
/* Each key's good and bad values, as a user writes them; and that a bad one changes nothing. */
#include "vmm/config.h"

#include <criterion/criterion.h>
#include <string.h>

#include "vmm/config-internal.h"
#include "vmm/error.h"

#define MIB (UINT64_C (1) << 20)

/* @key takes @value. */
static void
accept (VmmConfig *config, const char *key, const char *value)
{
    g_autoptr (GError) error = NULL;

    cr_assert (vmm_config_set (config, key, value, &error), "%s \"%s\": %s", key, value,
               error != NULL ? error->message : "");
    cr_assert_null (error);
}

/* @key refuses @value in one line that names both and says @why. */
static void
refuse (const char *key, const char *value, const char *why)
{
    g_autoptr (VmmConfig) config = vmm_config_new ();
    g_autoptr (VmmConfig) fresh = vmm_config_new ();
    g_autoptr (GError) error = NULL;
    g_autofree char *start = g_strdup_printf ("%s \"%s\": ", key, value);

    cr_assert_not (vmm_config_set (config, key, value, &error), "%s takes \"%s\"", key, value);
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE));
    cr_assert (g_str_has_prefix (error->message, start), "%s", error->message);
    cr_assert (strstr (error->message, why) != NULL, "\"%s\" does not say \"%s\"", error->message, why);
    cr_assert_null (strchr (error->message, '\n'));
    cr_assert_not (g_str_has_suffix (error->message, "."), "%s", error->message);

    /* All else is as it was. */
    cr_assert_null (config->kernel);
    cr_assert_eq (config->initrds->len, 0);
    cr_assert_eq (config->mem, fresh->mem);
    cr_assert_eq (memcmp (&config->backing, &fresh->backing, sizeof fresh->backing), 0);
    cr_assert_eq (memcmp (&config->cpus, &fresh->cpus, sizeof fresh->cpus), 0);
    cr_assert_eq (config->entry, fresh->entry);
    cr_assert_eq (config->irqchip, fresh->irqchip);
    cr_assert_eq (config->reboots, fresh->reboots);
    cr_assert_eq (config->debug_exit_port, fresh->debug_exit_port);
    cr_assert_eq (config->timeout_ns, fresh->timeout_ns);
    cr_assert_eq (config->watchdog_ns, fresh->watchdog_ns);
}

Test (config, memory_sizes)
{
    static const struct {
        const char *value;
        uint64_t bytes;
    } good[] = {
        {"512M", 512 * MIB},   {"2G", 2048 * MIB},   {"512", 512 * MIB},        {"8", 8 * MIB},
        {"1t", 1048576 * MIB}, {"8192K", 8 * MIB},   {"8T", 8 * 1048576 * MIB}, {"16GiB", 16384 * MIB},
        {"256mb", 256 * MIB},  {"0512M", 512 * MIB}, {"3000M", 3000 * MIB},
    };

    for (size_t i = 0; i < G_N_ELEMENTS (good); i++) {
        g_autoptr (VmmConfig) config = vmm_config_new ();

        accept (config, "mem", good[i].value);
        cr_assert_eq (config->mem, good[i].bytes, "%s is %" G_GUINT64_FORMAT, good[i].value, config->mem);
    }
}

Test (config, memory_sizes_that_no_machine_has)
{
    refuse ("mem", "0", "at least 8M");
    refuse ("mem", "3", "at least 8M");
    refuse ("mem", "0G", "at least 8M");
    refuse ("mem", "7M", "at least 8M");
    refuse ("mem", "8191K", "at least 8M");
    refuse ("mem", "1P", "the most that vmm can give a machine is 8T");
    refuse ("mem", "9T", "8T");
    refuse ("mem", "99999999999999999999", "8T");
    refuse ("mem", "18446744073709551615T", "8T");
    refuse ("mem", "17592186044416M", "8T"); /* 2^64 bytes: not 0 */
    refuse ("mem", "10001K", "4K");
}

Test (config, memory_sizes_that_are_none)
{
    static const char *const bad[] = {"",     "M",     "-1",   "-512M", "+512M", " 512M", "512M ",
                                      "512X", "512MM", "1.5G", "0x200", "512 M", "G512",  "512iB"};

    for (size_t i = 0; i < G_N_ELEMENTS (bad); i++)
        refuse ("mem", bad[i], "such as 512M");
}

Test (config, memory_backings)
{
    g_autoptr (VmmConfig) config = vmm_config_new ();

    accept (config, "mem-backing", "memfd,shared,prefault");
    cr_assert_eq (config->backing.kind, VMM_MEM_BACKING_MEMFD);
    cr_assert (config->backing.shared);
    cr_assert (config->backing.prefault);
    accept (config, "mem-backing", "hugetlb");
    cr_assert_eq (config->backing.kind, VMM_MEM_BACKING_HUGETLB);
    cr_assert_eq (config->backing.page_size, 2 * MIB);
    cr_assert_not (config->backing.shared, "left over from the value before");
    cr_assert_not (config->backing.prefault, "left over from the value before");
    accept (config, "mem-backing", "hugetlb=1G,private");
    cr_assert_eq (config->backing.page_size, 1024 * MIB);
    accept (config, "mem-backing", "anon");
    cr_assert_eq (config->backing.kind, VMM_MEM_BACKING_ANON);
    cr_assert_eq (config->backing.page_size, 0);
    refuse ("mem-backing", "shared", "memfd,shared");
    refuse ("mem-backing", "anon,shared", "memfd,shared");
    refuse ("mem-backing", "", "say anon, memfd");
    refuse ("mem-backing", "hugetlb=4K", "hugetlb=2M");
    refuse ("mem-backing", "memfd,,prefault", "say anon, memfd");
    refuse ("mem-backing", "memfd;shared", "say anon, memfd");
}

Test (config, cpus)
{
    g_autoptr (VmmConfig) config = vmm_config_new ();

    accept (config, "cpus", "64");
    cr_assert_eq (config->cpus.cpus, 64);
    accept (config, "cpus", "8,sockets=1,cores=4,threads=2");
    cr_assert_eq (config->cpus.cpus, 8);
    cr_assert_eq (config->cpus.sockets, 1);
    cr_assert_eq (config->cpus.cores, 4);
    cr_assert_eq (config->cpus.threads, 2);
    accept (config, "cpus", "2");
    cr_assert_eq (config->cpus.cores, 0, "left over from the value before");
}

Test (config, cpus_that_no_machine_has)
{
    static const char *const bad[] = {"",
                                      "-1",
                                      "two",
                                      "1.5",
                                      "2,",
                                      "2,cores",
                                      "2,cores=",
                                      "2,cores=0",
                                      "2,cores=x",
                                      "2,dies=1",
                                      "2 ",
                                      " 2",
                                      "0x2",
                                      "4294967296",
                                      "99999999999999999999",
                                      "2,cores=1;threads=2",
                                      "2,sockets=99999"};

    refuse ("cpus", "0", "at least one");
    refuse ("cpus", "99999", "4096");
    refuse ("cpus", "4097", "4096");
    for (size_t i = 0; i < G_N_ELEMENTS (bad); i++)
        refuse ("cpus", bad[i], "say a number of CPUs");
}

Test (config, what_a_machine_takes_of_its_host)
{
    g_autoptr (VmmConfig) config = vmm_config_new ();

    cr_assert_eq (vmm_config_get_cpus (config), 1);
    cr_assert_eq (vmm_config_get_memory (config), 512 * MIB);
    accept (config, "cpus", "8,sockets=1,cores=4,threads=2");
    accept (config, "mem", "9G");
    cr_assert_eq (vmm_config_get_cpus (config), 8);
    cr_assert_eq (vmm_config_get_memory (config), 9216 * MIB);
    cr_assert_not (vmm_config_set (config, "cpus", "0", NULL));
    cr_assert_not (vmm_config_set (config, "mem", "1", NULL));
    cr_assert_eq (vmm_config_get_cpus (config), 8);
    cr_assert_eq (vmm_config_get_memory (config), 9216 * MIB);
}

Test (config, times)
{
    g_autoptr (VmmConfig) config = vmm_config_new ();
    static const char *const keys[] = {"timeout", "watchdog"};

    accept (config, "timeout", "30");
    cr_assert_eq (config->timeout_ns, INT64_C (30000000000));
    accept (config, "timeout", "0.5");
    cr_assert_eq (config->timeout_ns, INT64_C (500000000));
    accept (config, "timeout", "2s");
    cr_assert_eq (config->timeout_ns, INT64_C (2000000000));
    accept (config, "watchdog", "1e1");
    cr_assert_eq (config->watchdog_ns, INT64_C (10000000000));
    accept (config, "watchdog", "off");
    cr_assert_eq (config->watchdog_ns, 0);
    for (size_t i = 0; i < G_N_ELEMENTS (keys); i++) {
        refuse (keys[i], "0", "a microsecond at least");
        refuse (keys[i], "-3", "a microsecond at least");
        refuse (keys[i], "nan", "a microsecond at least");
        refuse (keys[i], "inf", "a year at most");
        refuse (keys[i], "1e300", "a year at most");
        refuse (keys[i], "", "not a time");
        refuse (keys[i], "s", "not a time");
        refuse (keys[i], "5m", "not a time");
        refuse (keys[i], "1,5", "not a time");
    }
    refuse ("timeout", "off", "not a time");
    /* So short that it would round to none, which means never. */
    refuse ("timeout", "1e-12", "a microsecond at least");
    refuse ("watchdog", "0.0000009", "a microsecond at least");
    accept (config, "timeout", "0.000001");
    cr_assert_eq (config->timeout_ns, 1000);
}

Test (config, words)
{
    g_autoptr (VmmConfig) config = vmm_config_new ();

    accept (config, "on-reboot", "reboot");
    cr_assert (config->reboots);
    accept (config, "on-reboot", "exit");
    cr_assert_not (config->reboots);
    accept (config, "kernel-entry", "bzimage");
    accept (config, "kernel-entry", "unpacked");
    accept (config, "kernel-entry", "pvh");
    cr_assert_neq (config->entry, VMM_KERNEL_ENTRY_AUTO);
    accept (config, "kernel-entry", "auto");
    cr_assert_eq (config->entry, VMM_KERNEL_ENTRY_AUTO);
    accept (config, "irqchip", "split");
    cr_assert_eq (config->irqchip, VMM_IRQCHIP_SPLIT);
    accept (config, "irqchip", "kernel");
    cr_assert_eq (config->irqchip, VMM_IRQCHIP_KERNEL);
    accept (config, "irqchip", "auto");
    refuse ("on-reboot", "Exit", "say exit or reboot");
    refuse ("on-reboot", "", "say exit or reboot");
    refuse ("kernel-entry", "efi", "say auto, bzimage, unpacked or pvh");
    refuse ("irqchip", "pic", "say auto, split or kernel");
}

Test (config, debug_exit_ports)
{
    g_autoptr (VmmConfig) config = vmm_config_new ();

    cr_assert_eq (config->debug_exit_port, 0xf4);
    accept (config, "debug-exit", "0x501");
    cr_assert_eq (config->debug_exit_port, 0x501);
    accept (config, "debug-exit", "244");
    cr_assert_eq (config->debug_exit_port, 244);
    accept (config, "debug-exit", "off");
    cr_assert_eq (config->debug_exit_port, -1);
    accept (config, "debug-exit", "0xfffc");
    refuse ("debug-exit", "0xfffd", "0xfffd");
    refuse ("debug-exit", "0x1000000f4", "0xfffd");
    refuse ("debug-exit", "-1", "such as 0xf4");
    refuse ("debug-exit", "", "such as 0xf4");
    refuse ("debug-exit", "0xf4h", "such as 0xf4");
    refuse ("debug-exit", "on", "such as 0xf4");
}

Test (config, files)
{
    g_autoptr (VmmConfig) config = vmm_config_new ();

    accept (config, "kernel", "one");
    accept (config, "kernel", "/boot/two");
    cr_assert_str_eq (config->kernel, "/boot/two");
    accept (config, "initrd", "a");
    accept (config, "initrd", "b");
    cr_assert_eq (config->initrds->len, 2);
    cr_assert_str_eq (config->initrds->pdata[0], "a");
    cr_assert_str_eq (config->initrds->pdata[1], "b");
    accept (config, "symbols", "System.map");
    cr_assert_str_eq (config->symbols, "System.map");
    refuse ("kernel", "", "name of a file");
    refuse ("initrd", "", "name of a file");
    refuse ("symbols", "", "name of a file");
}

Test (config, serial_and_consoles)
{
    g_autoptr (VmmConfig) config = vmm_config_new ();

    cr_assert (vmm_config_uses_stdio (config), "the serial console has the terminal");
    accept (config, "serial", "null");
    cr_assert_not (vmm_config_uses_stdio (config));
    accept (config, "console", "null");
    accept (config, "console", "file=a,,b,append,name=log");
    cr_assert_not (vmm_config_uses_stdio (config));
    accept (config, "console", "stdio");
    cr_assert (vmm_config_uses_stdio (config));
    g_autofree char *line = vmm_config_build_cmdline (config);
    cr_assert (g_str_has_suffix (line, " console=hvc0"), "%s", line);
    accept (config, "cmdline", "quiet");
    g_autofree char *own = vmm_config_build_cmdline (config);
    cr_assert_str_eq (own, "quiet");
    for (unsigned i = 0; i < 2; i++) {
        const char *key = i == 0 ? "serial" : "console";

        refuse (key, "", "begin with where it goes");
        refuse (key, "name=x", "begin with where it goes");
        refuse (key, "pty=x", "begin with where it goes");
        refuse (key, "file", "begin with where it goes");
        refuse (key, "file=", "give a path");
        refuse (key, "fd=-1", "number of an open descriptor");
        refuse (key, "fd=x", "number of an open descriptor");
        refuse (key, "null,append", "append");
        refuse (key, "stdio,colour", "colour");
    }
    refuse ("serial", "null,name=x", "name");
    refuse ("console", "null,name=", "letters");
    refuse ("console", "null,name=../x", "letters");
    refuse ("console", "null,name=.x", "letters");
    refuse ("console", "null,name=a/b", "letters");
}

/* A port of a machine without any console=hvc0. */
Test (config, a_port_is_no_console)
{
    g_autoptr (VmmConfig) config = vmm_config_new ();

    accept (config, "console", "null,name=agent");
    g_autofree char *line = vmm_config_build_cmdline (config);
    cr_assert_null (strstr (line, "hvc0"), "%s", line);
}

Test (config, a_key_that_does_not_exist)
{
    g_autoptr (VmmConfig) config = vmm_config_new ();
    static const char *const keys[] = {"memory", "", "Mem", "mem ", "--mem", "help"};

    for (size_t i = 0; i < G_N_ELEMENTS (keys); i++) {
        g_autoptr (GError) error = NULL;
        g_autofree char *start = g_strdup_printf ("%s: ", keys[i]);

        cr_assert_not (vmm_config_set (config, keys[i], "1", &error));
        cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE));
        cr_assert (g_str_has_prefix (error->message, start), "%s", error->message);
    }
}

/* A value that each key takes; a key that is new has to be added here. */
Test (config, each_listed_key_can_be_set)
{
    static const struct {
        const char *key;
        const char *value;
    } good[] = {
        {"kernel", "k"},
        {"initrd", "i"},
        {"cmdline", ""},
        {"append", ""},
        {"mem", "64M"},
        {"mem-backing", "anon"},
        {"cpus", "1"},
        {"timeout", "1"},
        {"watchdog", "1"},
        {"on-reboot", "exit"},
        {"kernel-entry", "auto"},
        {"irqchip", "auto"},
        {"debug-exit", "off"},
        {"symbols", "s"},
        {"disk", "d.img"},
        {"console", "socket=p,name=agent.0"},
        {"serial", "file=log,append"},
        {"vsock", "cid=3,path=p"},
        {"rng", "on"},
        {"balloon", "on,size=64M,deflate-on-oom=off,free-page-reporting=on"},
        {"net", "user,hostfwd=tcp:127.0.0.1:2222-:22,restrict,mac=52:54:00:12:34:56,mtu=1400"},
        {"transport", "mmio-cmdline"},
        {"control", "c"},
    };
    g_autoptr (VmmConfig) config = vmm_config_new ();
    size_t n;
    const VmmConfigKey *keys = vmm_config_keys (&n);

    cr_assert_eq (n, G_N_ELEMENTS (good));
    for (size_t i = 0; i < n; i++) {
        bool found = false;

        for (size_t j = 0; j < G_N_ELEMENTS (good); j++) {
            if (strcmp (good[j].key, keys[i].name) != 0)
                continue;
            found = true;
            accept (config, keys[i].name, good[j].value);
        }
        cr_assert (found, "no value for %s", keys[i].name);
        cr_assert_gt (strlen (keys[i].summary), 0);
        cr_assert_gt (strlen (keys[i].value), 0);
        for (size_t j = 0; j < i; j++)
            cr_assert_str_neq (keys[i].name, keys[j].name);
    }
}

Test (config, a_text_of_several_lines)
{
    g_autoptr (VmmConfig) config = vmm_config_new ();
    g_autoptr (GError) error = NULL;

    cr_assert (vmm_config_parse (config,
                                 "# a machine\n\n  mem = 64M  \ncpus=2\r\n\t# more\ninitrd = a\ninitrd = b\n"
                                 "append = root=/dev/vda  ro\ncmdline =\nkernel = name with = and # in it",
                                 "test.conf", &error),
               "%s", error != NULL ? error->message : "");
    cr_assert_eq (config->mem, 64 * MIB);
    cr_assert_eq (config->cpus.cpus, 2);
    cr_assert_eq (config->initrds->len, 2);
    cr_assert_str_eq (config->appends->pdata[0], "root=/dev/vda  ro");
    cr_assert_str_eq (config->cmdline, "");
    cr_assert_str_eq (config->kernel, "name with = and # in it");
    cr_assert (vmm_config_parse (config, "", "empty", &error));
}

static void
refuse_text (const char *text, const char *message)
{
    g_autoptr (VmmConfig) config = vmm_config_new ();
    g_autoptr (GError) error = NULL;

    cr_assert_not (vmm_config_parse (config, text, "test.conf", &error));
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE));
    cr_assert (g_str_has_prefix (error->message, message), "%s", error->message);
    cr_assert_null (strchr (error->message, '\n'));
}

Test (config, a_wrong_line_is_named_by_its_number)
{
    refuse_text ("mem = 3", "test.conf:1: mem \"3\": ");
    refuse_text ("# one\n\nmem = 64M\ncpus = none\nmem = 3\n", "test.conf:4: cpus \"none\": ");
    refuse_text ("mem=64M\r\nmemory=3\r\n", "test.conf:2: memory: ");
    refuse_text ("mem 64M", "test.conf:1: \"mem 64M\" is not of the form key = value");
    refuse_text ("= 64M", "test.conf:1: ");
    refuse_text ("mem =", "test.conf:1: mem \"\": ");
}

Test (config, lines_before_a_wrong_one_have_been_set)
{
    g_autoptr (VmmConfig) config = vmm_config_new ();

    cr_assert_not (vmm_config_parse (config, "mem = 64M\ncpus = 0\ninitrd = a", "test.conf", NULL));
    cr_assert_eq (config->mem, 64 * MIB);
    cr_assert_eq (config->initrds->len, 0);
}

static size_t
no_filter (void *user, uint8_t *data, size_t len)
{
    return len;
}

Test (config, a_copy_is_independent)
{
    g_autoptr (VmmConfig) config = vmm_config_new ();
    int dummy;

    accept (config, "kernel", "k");
    accept (config, "initrd", "a");
    accept (config, "append", "one");
    accept (config, "cmdline", "base");
    accept (config, "symbols", "s");
    vmm_config_set_serial_fds (config, 5, 6);
    vmm_config_set_input_filter (config, no_filter, &dummy);
    g_autoptr (VmmConfig) copy = vmm_config_copy (config);
    accept (config, "kernel", "other");
    accept (config, "initrd", "b");
    accept (config, "append", "two");
    accept (config, "cmdline", "other");
    accept (config, "mem", "64M");
    vmm_config_free (g_steal_pointer (&config));

    cr_assert_str_eq (copy->kernel, "k");
    cr_assert_eq (copy->initrds->len, 1);
    cr_assert_str_eq (copy->initrds->pdata[0], "a");
    cr_assert_str_eq (copy->symbols, "s");
    cr_assert_eq (copy->mem, 512 * MIB);
    cr_assert_eq (copy->serial_in, 5);
    cr_assert_eq (copy->serial_out, 6);
    cr_assert_eq (copy->filter, no_filter);
    cr_assert_eq (copy->filter_user, &dummy);
    g_autofree char *line = vmm_config_build_cmdline (copy);
    cr_assert_str_eq (line, "base one");
    vmm_config_free (NULL);
}

Test (config, the_command_line)
{
    g_autoptr (VmmConfig) config = vmm_config_new ();
    g_autofree char *by_default = vmm_config_build_cmdline (config);

    g_autofree char *expected = g_strconcat (by_default, " quiet init=/bin/sh", NULL);

    /* A console that a stock kernel finds, and a panic that ends the run. */
    cr_assert (g_str_has_prefix (by_default, "console=ttyS0 panic=-1"), "%s", by_default);
    accept (config, "append", "quiet");
    accept (config, "append", "");
    accept (config, "append", "init=/bin/sh");
    g_autofree char *appended = vmm_config_build_cmdline (config);
    cr_assert_str_eq (appended, expected);
    accept (config, "cmdline", "root=/dev/vda");
    g_autofree char *replaced = vmm_config_build_cmdline (config);
    cr_assert_str_eq (replaced, "root=/dev/vda quiet init=/bin/sh");
    accept (config, "cmdline", "");
    g_autofree char *emptied = vmm_config_build_cmdline (config);
    cr_assert_str_eq (emptied, "quiet init=/bin/sh");
}

/* What vmm run needs of the kernel is not said to init. */
Test (config, the_command_line_of_vmm_run)
{
    g_autoptr (VmmConfig) config = vmm_config_new ();

    accept (config, "cmdline", "quiet");
    config->own = "rdinit=/run";
    g_autofree char *plain = vmm_config_build_cmdline (config);
    cr_assert_str_eq (plain, "quiet rdinit=/run");
    accept (config, "append", "-- single");
    g_autofree char *for_init = vmm_config_build_cmdline (config);
    cr_assert_str_eq (for_init, "quiet rdinit=/run -- single");
}
