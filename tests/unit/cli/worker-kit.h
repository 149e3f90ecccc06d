/* SPDX-License-Identifier: Apache-2.0 */
/* Scenarios made by hand, for tests of what runs them. GUESTS is the folder of the micro-guests. */
#ifndef TESTS_WORKER_KIT_H
#define TESTS_WORKER_KIT_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "judge.h"
#include "worker.h"

/* What a run came to, and what was told on the way. */
typedef struct {
    json_t *events;
    json_t *result;
    int status; /* of the process */
} Told;

static inline void
need_kvm (void)
{
    int fd = open ("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (fd < 0)
        cr_skip_test ("cannot open /dev/kvm: %s", g_strerror (errno));
    close (fd);
}

static inline void
set_machine (TestRun *run, const char *key, const char *value)
{
    g_autoptr (GError) error = NULL;

    cr_assert (vmm_config_set (run->config, key, value, &error), "%s", error != NULL ? error->message : "");
    g_ptr_array_add (run->machine, test_pair_new (key, value));
}

/* @guest as in tests/guests; it is listened to on its serial console. */
static inline TestRun *
make_run (const char *guest)
{
    TestRun *run = test_run_new ();

    run->name = g_strdup_printf ("by hand[%s]", guest);
    run->scenario = g_strdup ("by hand");
    run->file = g_strdup ("by-hand.test");
    run->kernel = g_strdup_printf ("%s/%s.elf", GUESTS, guest);
    run->consoles = g_strsplit ("serial", ";", -1);
    run->timeout_us = 120 * G_USEC_PER_SEC;
    run->outcome = g_strdup ("passed");
    run->cpus = 1;
    run->memory = 32u << 20;
    set_machine (run, "mem", "32M");
    return run;
}

static inline TestStep *
add_step (TestRun *run, const char *name, const char *expect, TestAction action, const char *text)
{
    TestStep *step = g_new0 (TestStep, 1);

    step->name = g_strdup (name);
    step->expect = g_strdup (expect);
    step->within_us = 60 * G_USEC_PER_SEC;
    step->silence_us = 60 * G_USEC_PER_SEC;
    step->action = action;
    step->text = g_strdup (text);
    step->exists = true;
    if (action == TEST_ACTION_SEND)
        step->bytes = g_bytes_new (text, strlen (text));
    g_ptr_array_add (run->steps, step);
    return step;
}

static inline TestStep *
add_expect (TestRun *run, const char *name, const char *pattern)
{
    return add_step (run, name, pattern, TEST_ACTION_NONE, NULL);
}

static inline TestStep *
add_wait (TestRun *run, const char *name, TestWait wait)
{
    static const char *const texts[] = {"poweroff", "reboot", "halt", "end", "exit"};
    TestStep *step = add_step (run, name, NULL, TEST_ACTION_WAIT, texts[wait]);

    step->wait = wait;
    return step;
}

static inline void
add_forbid (TestRun *run, const char *name, const char *pattern)
{
    TestForbid *forbid = g_new0 (TestForbid, 1);

    forbid->name = g_strdup (name);
    forbid->pattern = g_strdup (pattern);
    forbid->console = -1;
    g_ptr_array_add (run->forbids, forbid);
}

/* Starts a worker for @run, as vmm test does; its events come from @ret_fd. */
static inline pid_t
start_worker (const TestRun *run, const char *results, int *ret_fd)
{
    int fds[2];
    pid_t child;

    cr_assert_eq (pipe2 (fds, O_CLOEXEC), 0);
    fflush (NULL);
    child = fork ();
    cr_assert_geq (child, 0);
    if (child == 0) {
        close (fds[0]);
        g_log_set_always_fatal (G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING);
        _exit (test_worker_run (run, results, fds[1]));
    }
    close (fds[1]);
    *ret_fd = fds[0];
    return child;
}

/* Hears a worker out. */
static inline Told
hear (pid_t child, int fd)
{
    Told told = {.events = json_array ()};
    FILE *lines = fdopen (fd, "r");
    json_t *event;

    while ((event = json_loadf (lines, JSON_DISABLE_EOF_CHECK, NULL)) != NULL) {
        cr_assert_null (told.result, "something was told behind the result");
        told.result = json_object_get (event, "result");
        json_array_append_new (told.events, event);
    }
    cr_assert (feof (lines), "not JSON");
    fclose (lines);
    cr_assert_eq (waitpid (child, &told.status, 0), child);
    return told;
}

static inline Told
do_run (const TestRun *run)
{
    int fd;
    pid_t child = start_worker (run, NULL, &fd);
    Told told = hear (child, fd);

    cr_assert_not_null (told.result, "no result");
    cr_assert (test_verdict_is_known (json_string_value (json_object_get (told.result, "verdict"))),
               "its parent would not take that verdict");
    cr_assert (WIFEXITED (told.status) && WEXITSTATUS (told.status) == 0, "wait status 0x%x", told.status);
    return told;
}

static inline void
told_clear (Told *told)
{
    json_decref (told->events);
}

static inline const char *
text_of (const json_t *object, const char *key)
{
    const char *text = json_string_value (json_object_get (object, key));

    return text != NULL ? text : "(null)";
}

static inline json_t *
step_of (const Told *told, size_t index)
{
    return json_array_get (json_object_get (told->result, "steps"), index);
}

/* Has @part in the reason. */
static inline void
check_verdict (const Told *told, const char *verdict, const char *part)
{
    cr_assert_str_eq (text_of (told->result, "verdict"), verdict, "%s: %s", text_of (told->result, "verdict"),
                      text_of (told->result, "reason"));
    cr_assert_not_null (strstr (text_of (told->result, "reason"), part), "%s",
                        text_of (told->result, "reason"));
}

/* Does @run, frees it, and checks what it came to. */
static inline void
expect_verdict (TestRun *run, const char *verdict, const char *part)
{
    Told told = do_run (run);

    check_verdict (&told, verdict, part);
    told_clear (&told);
    test_run_free (run);
}

#endif
