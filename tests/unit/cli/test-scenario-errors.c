/* SPDX-License-Identifier: Apache-2.0 */
/* Mistakes, and what people are told. */
#include "scenario-keys.h"
#include "scenario-rig.h"

typedef struct {
    const char *text;
    const char *said;
} Bad;

static void
expect_refusals (const Bad *bad, size_t n)
{
    for (size_t i = 0; i < n; i++)
        expect_refusal (bad[i].text, bad[i].said);
}

Test (scenario_errors, of_lines)
{
    static const Bad bad[] = {
        {"name = x\n", "1: \"name\" belongs to no group: put a line such as [test] before it"},
        {"[test]\nhello\n", "2: this is not of the form key = value"},
        {"[test]\n; hello\n", "2: this is not of the form key = value: a comment begins with #"},
        {"[test\nname = x\n", "1: a group is one name in brackets"},
        {"[test] # comment\n", "1: a group is one name in brackets"},
        {"[]\n", "1: a group is one name in brackets"},
        {"[test]\n = x\n", "2: before the \"=\" belongs the name of a key"},
        {"[test]\nname[de] = x\n", "2: before the \"=\" belongs the name of a key"},
        {"[test]\nname = x\n\n# y\nname = z\n", "5: [test] name is in line 2 already"},
        {"[test]\n[step a]\nkey = f1\n[test]\n", "4: [test] is in line 1 already: put its keys together"},
        {"[step a]\nkey = f1\n[step  a ]\n", "3: [step a] is in line 1 already"},
        {"[test]\nname = \xff\n", "2: this is not text in UTF-8"},
    };

    expect_refusals (bad, G_N_ELEMENTS (bad));
}

Test (scenario_errors, of_groups_and_keys)
{
    static const Bad bad[] = {
        {"[stpe boot]\n", "1: no group [stpe boot]: did you mean [step boot]?"},
        {"[steps]\n", "1: no group [steps]: did you mean [step]?"},
        {"[network]\n", "1: no group [network]: there are test, variables, matrix"},
        {"[step]\n", "1: [step] needs a name of its own, such as [step 1]"},
        {"[test smoke]\n", "1: [test smoke]: there is one [test] only, without a name"},
        {"[step boot]\n\nexpct = x\n", "3: no key \"expct\" in [step boot]: did you mean \"expect\"?"},
        {"[step boot]\npassword = x\n", "2: no key \"password\" in [step boot]: there are on, expect"},
        {"[test]\ntime-out = 3\n", "2: no key \"time-out\" in [test]: did you mean \"timeout\"?"},
        {"[test]\nname 2 = x\n", "2: [test] name 2: name can be said once only"},
        {"[machine]\nmemory = 1G\n", "2: no key \"memory\" in [machine]: did you mean \"mem\"?"},
        {"[machine]\nmem 2 = 1G\n", "2: [machine] mem 2: mem can be said once only"},
        {"[machine]\ntimeout = 3\n",
         "2: [machine] timeout \"3\": a test has a limit of its own: say timeout in"},
        {"[guest]\ncomand = a\n", "2: no key \"comand\" in [guest]: did you mean \"command\"?"},
        {"[variables]\na b = c\n", "2: [variables] a b: a name has letters"},
        {"[variables]\ndir = c\n", "2: [variables] dir: ${dir} has a meaning already"},
        {"[variables]\nenv.X = c\n", "has a meaning already"},
        {"[variables]\nkernel = c\n", "2: [variables] kernel: ${kernel} has a meaning already"},
    };

    expect_refusals (bad, G_N_ELEMENTS (bad));
}

Test (scenario_errors, of_the_test)
{
    static const Bad bad[] = {
        {"[test]\ntimeout = soon\n",
         "2: [test] timeout \"soon\": not a time: give seconds, such as 30 or 0.5"},
        {"[test]\ntimeout = 3 # s\n",
         "\"3 # s\": not a time: give seconds, such as 30 or 0.5; a comment needs a line"},
        {"[test]\ntimeout = off\n", "2: [test] timeout \"off\": not a time"},
        {"[test]\nwithin = nan\n", "2: [test] within \"nan\""},
        {"[test]\nsilence = never\n", "2: [test] silence \"never\": not a time"},
        {"[test]\nretries = -1\n", "2: [test] retries \"-1\": give a whole number from 0 to 100"},
        {"[test]\nretries = 101\n", "from 0 to 100"},
        {"[test]\noutcome = panick\n",
         "2: [test] outcome \"panick\": there is no such verdict: did you mean \"panic\"?"},
        {"[test]\noutcome = success\n", "there is no such verdict: there are panic, no-root"},
        {"[test]\noutcome = host-error\n",
         "2: [test] outcome \"host-error\": this says nothing of the guest"},
        {"[test]\nreason = x\n", "2: [test] reason \"x\": what has passed has no reason"},
        {"[test]\noutcome = check-failed\nreason = ${tmp}/x\n",
         "3: [test] reason \"${tmp}/x\": ${tmp} has another name each time: say what is behind it"},
        {"[test]\noutcome = panic\nreason = (x\n", "3: [test] reason: pattern \"(x\": missing"},
        {"[test]\nallow = warning; opps\n",
         "2: [test] allow \"opps\": there is no such report of the kernel: did you "
         "mean \"oops\"?"},
        {"[test]\nallow = none; oom\n", "2: [test] allow \"none; oom\": none stands alone"},
        {"[test]\nconsoles = ;\n", "2: [test] consoles \";\": give from 1 to 31 consoles"},
        {"[test]\nconsoles = ttyS0\n", "2: [test] consoles \"ttyS0\": the serial console is called serial"},
        {"[test]\nconsoles = hvc1\n",
         "2: [test] consoles \"hvc1\": a guest has one console of this kind: hvc0"},
        {"[test]\nconsoles = a b\n", "2: [test] consoles \"a b\": a port's name has letters"},
        {"[test]\nconsoles = serial; serial\n", "2: [test] consoles \"serial\": it is there twice"},
        {"[test]\nname = a\033[31mb\n", "2: [test] name \"a?[31mb\": there is a control character in it"},
        {"[test]\nname = a/b\n", "2: [test] name \"a/b\": there is a slash in it"},
    };

    expect_refusals (bad, G_N_ELEMENTS (bad));
}

Test (scenario_errors, of_the_machine_and_the_guest)
{
    static const Bad bad[] = {
        {"[machine]\nmem = lots\n", "2: [machine] mem \"lots\": not a size: give a number with K, M, G or T"},
        {"[machine]\ndisk x = a.img,formt=raw\n", "2: [machine] disk \"a.img,formt=raw\""},
        {"[machine]\nserial = stdio\n", "2: [machine] serial \"stdio\": a test has no terminal"},
        {"[machine]\nconsole = stdio,name=a\n",
         "2: [machine] console \"stdio,name=a\": a test has no terminal"},
        {"[machine]\nserial = null\n",
         "2: [machine] serial \"null\": vmm test listens to this console itself"},
        {"[test]\nconsoles = a\n[machine]\nconsole = null,name=a\n", "listens to this console itself"},
        {"[test]\nconsoles = hvc0\n[machine]\nconsole = null\n", "listens to this console itself"},
        {"[guest]\ncommand = true\n", "1: [guest] needs a Linux kernel: give kernel in [machine]"},
        {"[machine]\nkernel = k\n[guest]\n",
         "3: [guest] has nothing to do: give a command, or steps with run"},
        {"[machine]\nkernel = k\n[guest]\ncommand = 'a\n", "4: [guest] command \"'a\": "},
        {"[machine]\nkernel = k\n[guest]\nstatus = 1\n", "4: [guest] status \"1\": it is that of command"},
        {"[machine]\nkernel = k\n[guest]\ncommand = a\ncopy = b\n",
         "5: [guest] copy \"b\": say SOURCE:DESTINATION"},
        {"[machine]\nkernel = k\n[guest]\ncommand = a\ncopy 2 = b:c\n",
         "a path in the guest begins with a slash"},
        {"[machine]\nkernel = k\n[guest]\ncommand = a\nout = b:c\n",
         "a path in the guest begins with a slash"},
        {"[machine]\nkernel = k\n[guest]\ncommand = a\nenv = b\n", "5: [guest] env \"b\": say NAME=value"},
    };

    expect_refusals (bad, G_N_ELEMENTS (bad));
}

Test (scenario_errors, of_values_that_vanish)
{
    static const Bad bad[] = {
        {"[variables]\nP =\n[step a]\nexpect = ${P}\nsend = x\n",
         "4: [step a] expect \"${P}\": nothing is left when its variables are replaced"},
        {"[variables]\nP =\n[machine]\nkernel = ${P}\n", "4: [machine] kernel \"${P}\": nothing is left"},
        {"[variables]\nP =\n[matrix]\nkernel = ${P}\n",
         "4: [matrix] kernel \"${P}\": give at least one value"},
    };

    expect_refusals (bad, G_N_ELEMENTS (bad));
}

Test (scenario_errors, a_console_may_go_elsewhere_when_nobody_listens)
{
    g_autoptr (GPtrArray) runs =
        make_runs ("[test]\nconsoles = hvc0\n[machine]\nserial = file=log\nconsole 2 = null,name=agent\n");

    cr_assert_eq (run_at (runs, 0)->machine->len, 2);
}

Test (scenario_errors, of_the_command_line)
{
    static const struct {
        const char *option;
        const char *value;
        const char *said;
    } bad[] = {
        {"machine", "mem", "--machine mem: say NAME=VALUE"},
        {"machine", "=x", "--machine =x: say NAME=VALUE"},
        {"machine", "memry=1G", "--machine memry: no such key: did you mean \"mem\"?"},
        {"machine", "mem=lots", "--machine: mem \"lots\": not a size"},
        {"machine", "kernel=", "--machine kernel: the value is empty"},
        {"machine", "timeout=3", "--machine timeout: a test has a limit of its own"},
        {"machine", "serial=stdio", "--machine: serial \"stdio\": a test has no terminal"},
        {"set", "X", "--set X: say NAME=VALUE"},
        {"set", "X=1", "--set X: [variables] of /scenarios/smoke.test has no such name"},
        {"set", "mem=1", "--set mem: [variables] of /scenarios/smoke.test has no such name: use --machine"},
        {"set", "modul=1", "no such name: did you mean \"MODULE\"?"},
        {"set", "A=${B}", "--set: ${A}: there is no variable ${B}"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS (bad); i++) {
        char *values[] = {(char *)bad[i].value, NULL};
        TestLoadOptions options = {.time_scale = 1};

        *(*bad[i].option == 'm' ? &options.machine : &options.variables) = values;
        expect_refusal_with ("[variables]\nA = 1\nMODULE = x\n", &options, bad[i].said);
    }
}

Test (scenario_errors, are_cut_where_values_are_long)
{
    g_autoptr (GString) text = g_string_new ("[test]\nretries = ");
    TestLoadOptions options = {.time_scale = 1};
    g_autoptr (GError) error = NULL;

    for (unsigned i = 0; i < 1000; i++)
        g_string_append (text, "ä");
    cr_assert_null (make_runs_with (text->str, &options, &error));
    cr_assert_lt (strlen (error->message), 300);
    cr_assert (g_utf8_validate (error->message, -1, NULL));
}
