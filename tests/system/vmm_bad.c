// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* A module that does one bad thing when it is loaded: mode= says which. bedlib/bad.py builds it. */
#include <linux/bug.h>
#include <linux/compiler.h>
#include <linux/init.h>
#include <linux/irqflags.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/string.h>

static char *mode = "";
module_param (mode, charp, 0);
MODULE_PARM_DESC (mode, "null, oops, bug, warn, hang, softlockup, sleep, stall");

static noinline void
bad_null (void)
{
    *(volatile int *)NULL = 1;
}

/* An address that is none: a general protection fault, whose report does not begin with BUG. */
static noinline void
bad_oops (void)
{
    *(volatile int *)0xdead000000000000 = 1;
}

static noinline void
bad_bug (void)
{
    BUG ();
}

static noinline void
bad_warn (void)
{
    WARN (1, "vmm_bad warns\n");
}

static noinline void
bad_hang (void)
{
    local_irq_disable ();
    for (;;)
        barrier ();
}

/* Interrupts come, and no other task gets a turn. */
static noinline void
bad_softlockup (void)
{
    preempt_disable ();
    for (;;)
        barrier ();
}

static struct rcu_head head;

static void
on_rcu (struct rcu_head *unused)
{
}

/* Somebody waits for all CPUs to come by, and this one never does. Another one has to begin that. */
static noinline void
bad_stall (void)
{
    call_rcu (&head, on_rcu);
    bad_softlockup ();
}

static noinline void
bad_sleep (void)
{
    set_current_state (TASK_UNINTERRUPTIBLE);
    schedule ();
}

static const struct {
    const char *name;
    void (*act) (void);
} modes[] = {
    {"null", bad_null},   {"oops", bad_oops},   {"bug", bad_bug},
    {"warn", bad_warn},   {"hang", bad_hang},   {"softlockup", bad_softlockup},
    {"sleep", bad_sleep}, {"stall", bad_stall},
};

static int __init
vmm_bad_init (void)
{
    for (size_t i = 0; i < ARRAY_SIZE (modes); i++) {
        if (strcmp (mode, modes[i].name) == 0) {
            modes[i].act ();
            return 0;
        }
    }
    return -EINVAL;
}

module_init (vmm_bad_init);
MODULE_LICENSE ("Dual BSD/GPL");
MODULE_DESCRIPTION ("Does what a test wants to see");
