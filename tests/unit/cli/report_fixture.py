# SPDX-License-Identifier: Apache-2.0
"""Results of vmm test for the tests of its reports: each status and verdict, guests that mean harm, a matrix."""

# What a guest can write, and what must not come of it.
SCRIPT = "</script><script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">"
COMMENT = "<!-- --><![CDATA[ ]]> &amp; &lt; \"quoted\" 'single'"
TERMINAL = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x1b[0m \x1b[1;32mbold green\x1b[0m \x1b[38;5;208morange\x1b[0m\x1b[?25l"
CONTROLS = "nul:\0 bell:\a escape:\x1b\x01 delete:\x7f c1:\x85 bidi:\u202egnp.exe"
COMMANDS = "::error::owned\n ::set-output name=a::b\n##[error]owned\nnot ok 1 - owned\n...\nBail out!"
HOSTILE = "\n".join([SCRIPT, COMMENT, TERMINAL, CONTROLS, COMMANDS, "\ufffe\uffff", "emoji 🐧 ümläut"])

OOPS = """BUG: kernel NULL pointer dereference, address: 0000000000000000
#PF: supervisor write access in kernel mode
#PF: error_code(0x0002) - not-present page
PGD 0 P4D 0
Oops: 0002 [#1] PREEMPT SMP NOPTI
CPU: 1 PID: 214 Comm: sh Not tainted 6.12.9-amd64 #1
RIP: 0010:sysrq_handle_crash+0x16/0x20
Code: 66 90 0f 1f 44 00 00 c7 05 9a 3c 7d 01 01 00 00 00 0f ae f8 <c6> 04 25 00 00 00 00 01 c3
RSP: 0018:ffffb2c4c0553e38 EFLAGS: 00010282
Call Trace:
 <TASK>
 ? __die+0x23/0x70
 ? page_fault_oops+0x171/0x4e0
 __handle_sysrq+0x9f/0x170
 write_sysrq_trigger+0x28/0x40
 proc_reg_write+0x5a/0xa0
 vfs_write+0xf5/0x460
 </TASK>
---[ end trace 0000000000000000 ]---
Kernel panic - not syncing: Fatal exception
"""
REGISTERS = """vCPU 0: at 0xffffffff81a2b3c4 (native_halt+0x14), ring 0
  rax 0000000000000000  rbx 0000000000000001  rcx 0000000000000000
  rip ffffffff81a2b3c4  rflags 00000002  cr2 0000000000000000
vCPU 1: at 0xffffffff81001234 (sysrq_handle_crash+0x16), ring 0
  rax 0000000000000007  rbx ffffffff82e05a40  rcx 0000000000000000
"""


def kernel_log(lines=40):
    return "".join(f"[    {0.01 * i:.6f}] subsystem {i}: initialised\r\n" for i in range(lines))


def stages(ready=1.9, end=4.0):
    return [{"name": "vmm", "begin": 0.0, "end": 0.004}, {"name": "early kernel", "begin": 0.004, "end": 0.35},
            {"name": "kernel", "begin": 0.35, "end": ready}, {"name": "userspace", "begin": ready, "end": end}]


def step(name, begin, end, state="passed", **more):
    return {"name": name, "kind": "expect", "what": "login:", "console": "serial", "state": state, "begin": begin, "end": end,
            "line": None, "status": None, "stdout": None, "stderr": None, "message": None, **more}


def console(text, name="serial", fail_line=None, **more):
    return {"name": name, "bytes": len(text), "lines": text.count("\n"), "head": text, "tail": "", "tail_line": 1,
            "fail_line": fail_line, "log": None, **more}


def machine(verdict="poweroff", reason="the guest powered off", report=None):
    return {"verdict": verdict, "exit_code": 0, "reason": reason, "report": report, "boots": 1,
            "exits": {"io": 12345, "mmio": 678, "hlt": 90}, "output_bytes": 23456,
            "devices": [{"name": "disk0", "kind": "disk", "requests": 812, "bytes_from_guest": 40960, "bytes_to_guest": 5242880,
                         "kicks": 400, "interrupts": 390}],
            "guest_memory": {"bytes": 268435456, "used_bytes": 98566144}}


def result(name, status="pass", verdict="passed", reason="all steps passed", seconds=4.0, **more):
    scenario = name.split("[")[0]
    log = kernel_log() + "debian login: \r\n"
    return {"name": name, "scenario": scenario, "file": f"tests/boot/{scenario}.test", "description": f"boots and checks {scenario}",
            "tags": ["quick"], "axes": {}, "status": status, "verdict": verdict, "reason": reason, "outcome": "passed",
            "outcome_reason": None, "known_failure": None, "step": None, "seconds": seconds, "stages": stages(end=seconds),
            "initcalls": [], "kernel_clock_offset": None,
            "steps": [step("log in", 1.9, 2.4, line=41), step("check the kernel", 2.4, 2.9, kind="run", what="uname -r", status=0, stdout="6.12.9-amd64\n")],
            "consoles": [console(log)], "reports": [], "samples": [], "machine": machine(), "command": None, "notes": [], "worker_output": None,
            "attempts": [], "repeat": 0, **more}


def matrix():
    """2 x 2 x 2: one hangs, and one combination fails with an oops."""
    runs = []
    for kernel in ("debian-6.1", "debian-6.12"):
        for cpus in ("1", "4"):
            for transport in ("mmio", "pci"):
                name = f"smoke[{kernel},{cpus},{transport}]"
                axes = {"kernel": kernel, "cpus": cpus, "transport": transport}
                if (kernel, cpus, transport) == ("debian-6.12", "4", "pci"):
                    runs.append(oops(name, axes))
                elif (kernel, cpus, transport) == ("debian-6.1", "4", "mmio"):
                    runs.append(hang(name, axes))
                else:
                    runs.append(result(name, axes=axes, seconds=3.2 + 0.3 * len(runs)))
    return runs


def oops(name, axes):
    log = kernel_log(700) + "".join(f"[    9.{i:06d}] {line}\r\n" for i, line in enumerate(OOPS.splitlines())) + "the end\n"
    report = {"kind": "bug", "summary": "BUG: kernel NULL pointer dereference in sysrq_handle_crash", "function": "sysrq_handle_crash",
              "title": OOPS.splitlines()[0], "text": OOPS, "console": "serial", "line": 701, "allowed": False}
    warning = {"kind": "warning", "summary": "WARNING at kernel/foo.c:12", "function": "foo", "title": "WARNING: CPU: 0", "text": "WARNING: CPU: 0\n",
               "console": "serial", "line": 12, "allowed": True}
    return result(name, "fail", "bug", "BUG: kernel NULL pointer dereference in sysrq_handle_crash", 9.4, axes=axes, step=1,
                  steps=[step("log in", 1.9, 2.4, line=41), step("crash it", 2.4, 9.4, "failed", kind="run", what="echo c > /proc/sysrq-trigger", message="the guest's kernel reported a BUG"),
                         step("power off", None, None, "not-run", kind="wait", what="poweroff")],
                  consoles=[console(log, fail_line=701), console("hvc0 says hello\n", "hvc0")], reports=[warning, report],
                  machine=machine("panic", "Kernel panic - not syncing: Fatal exception", REGISTERS))


def hang(name, axes):
    return result(name, "fail", "hang", "step \"log in\": the guest has done nothing for 60 s; the last line was \"subsystem 39: initialised\"", 61.9, axes=axes, step=0,
                  stages=stages(end=61.9), steps=[step("log in", 1.9, 61.9, "failed", message="no match for /login:/"), step("check the kernel", None, None, "not-run")],
                  consoles=[console(kernel_log(), fail_line=40)],
                  samples=[{"t": 60.1 + i, "vcpus": REGISTERS} for i in range(3)], machine=machine("stopped", "ended by vmm test", REGISTERS))


VERDICTS = ["failed-expectation", "command-failed", "forbidden", "panic", "no-root", "init-killed", "oops", "warning", "soft-lockup", "rcu-stall",
            "hung-task", "kasan", "oom", "triple-fault", "timeout", "ended", "cpu-error", "cannot-boot", "check-failed", "stopped"]


def verdicts():
    return [result(f"verdict-{verdict}", "fail", verdict, f"it ended with {verdict}", 2.0 + i / 10, step=0,
                   steps=[step("log in", 1.9, 2.0 + i / 10, "failed")], consoles=[console(kernel_log(), fail_line=12)]) for i, verdict in enumerate(VERDICTS)]


def initcalls():
    calls = [{"name": f"driver_{i}_init", "begin": 0.02 * i, "seconds": 0.001 + 0.0021 * ((i * 37) % 23)} for i in range(60)]
    return result("initcalls", seconds=2.5, stages=stages(ready=1.6, end=2.5), initcalls=calls, kernel_clock_offset=0.2)


def flaky():
    before = result("network", "fail", "timeout", "step \"log in\": no match within 30 s", 31.0, consoles=[console("waiting\n", fail_line=1)])
    return result("network", "flaky", seconds=4.4, attempts=[before])


def hostile():
    return result(f"hostile {SCRIPT} \x1b[31m#1 \\", "fail", "failed-expectation", f"the last line was \"{SCRIPT}\" {CONTROLS} ##[error]owned", 3.0, step=0,
                  description=COMMENT, tags=[SCRIPT], axes={}, stages=[{"name": SCRIPT, "begin": 0, "end": 3}],
                  steps=[step(SCRIPT, 1.0, 3.0, "failed", what=HOSTILE, stdout=HOSTILE, stderr=SCRIPT, message=HOSTILE)],
                  consoles=[console(HOSTILE + "\n" + "x" * 9000 + "\nthe end without a newline", SCRIPT, fail_line=1)],
                  reports=[{"kind": SCRIPT, "summary": SCRIPT, "title": SCRIPT, "function": SCRIPT, "text": HOSTILE, "console": SCRIPT, "line": 1, "allowed": False}],
                  samples=[{"t": 1, "vcpus": HOSTILE}], machine=machine(SCRIPT, HOSTILE, HOSTILE), command={"end": SCRIPT, "status": 1, "message": HOSTILE})


def huge():
    """A wall of output, cut by the worker in the middle; the failing line is in its tail."""
    head = "".join(f"wall of output, line {i}\n" for i in range(1, 6001))
    tail = "".join(f"wall of output, line {i}\n" for i in range(994001, 1000001))
    return result("huge", "fail", "forbidden", "forbidden text was found", 20.0, consoles=[{**console(head, fail_line=998000), "tail": tail, "tail_line": 994001,
                  "lines": 1000000, "bytes": 27888896, "log": "results/huge/serial.log"}])


def repeats():
    runs = []
    for i in range(1, 21):
        bad = i in (7, 15)
        runs.append(result("race", "fail" if bad else "pass", "hang" if bad else "passed", "the guest has done nothing for 10 s" if bad else "all steps passed",
                           9.0 + 0.05 * i if bad else 2.0 + 0.07 * ((i * 13) % 11), repeat=i))
    return runs


def others():
    return [
        result("known", "xfail", "panic", "Kernel panic - not syncing: VFS", known_failure="the driver of 6.1 is broken, see bug 12"),
        result("mended", "xpass", known_failure="was broken by 6.1"),
        result("left-out", "skip", "passed", "needs /dev/vhost-net", 0.0, stages=[], steps=[], consoles=[], machine=None),
        result("no-host", "error", "host-error", "no memory for the guest: Cannot allocate memory", 0.1, stages=[], steps=[], consoles=[], machine=None),
        result("cannot", "error", "setup", "kernel \"debian-7\": no such file", 0.0, stages=[], steps=[], consoles=[], machine=None),
        result("dies-well", "pass", "panic", "Kernel panic - not syncing: sysrq triggered crash", outcome="panic", outcome_reason="sysrq"),
        result("ends-early", "fail", "ended", "the guest powered off before step \"log in\" had passed", 2.0, step=0, notes=[f"the log is cut short: {SCRIPT}"], worker_output=HOSTILE,
               steps=[step("log in", 1.9, 2.0, "failed", kind="send", what="root\\n", expect="login:")], consoles=[console("booting\nPowering off.\n")],
               stages=[{"name": "vmm", "begin": 0, "end": 0.5}, {"name": "guest", "begin": 0.5, "end": 2.0}]),
        result("command", "fail", "command-failed", "the command ended with 2", 6.0, command={"end": "exited", "status": 2, "message": "exited with 2"}, step=0,
               steps=[step("make check", 2.0, 6.0, "failed", kind="command", what="make check", status=2, stdout="ok 1\nnot ok 2\n", stderr="make: *** [check] Error 2\n")]),
    ]


def results():
    return matrix() + others() + [flaky(), initcalls(), hostile(), huge()] + verdicts() + repeats()
