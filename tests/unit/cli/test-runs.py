#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""vmm test as its users meet it, with guests that do one thing: exit codes, reports, signals, and what is left of it.

    test-runs.py VMM GUEST_DIR     prints TAP; skipped where there is no /dev/kvm
"""
import json
import os
import pty
import random
import re
import resource
import select
import signal
import subprocess
import sys
import tempfile
import termios
import time
import uuid
import xml.etree.ElementTree
from pathlib import Path

PATIENCE = 60
MARK = "VMM_TEST_MARK"
# A machine that does nothing, in a folder that has to go.
IDLE = """
[machine]
kernel = %s/idle.elf
mem = 32M
console = socket=${tmp}/socket,name=port
[step wait]
sleep = %s
"""


class Bench:
    """A folder with scenarios, and runs of vmm test there whose processes can be told from all others."""

    def __init__(self, vmm, guests, folder):
        self.vmm, self.guests, self.folder = vmm, guests, Path(folder)
        self.tmp = self.folder / "tmp"
        self.tmp.mkdir()
        self.mark = uuid.uuid4().hex
        self.env = {**os.environ, MARK: self.mark, "TMPDIR": str(self.tmp), "LC_ALL": "C.UTF-8", "TERM": "xterm"}
        for name in ("GITHUB_ACTIONS", "NO_COLOR"):
            self.env.pop(name, None)
        self.put("good", "[machine]\nkernel = %s/poweroff.elf\nmem = 32M\n" % guests)
        self.put("bad", "[machine]\nkernel = %s/panic.elf\nmem = 32M\n" % guests)
        self.put("broken", "[machine]\nkernel = %s/nothing.elf\nmem = 32M\n" % guests)
        self.put("idle", IDLE % (guests, 30))
        self.put("nap", "[matrix]\nrun = 1;2;3;4;5;6\n[variables]\nrun = 0\n" + IDLE % (guests, 0.3))

    def put(self, name, text):
        (self.folder / (name + ".test")).write_text(text)

    def start(self, *arguments, **more):
        return subprocess.Popen([self.vmm, "test", *arguments], cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, text=True,
                                **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more})

    def run(self, *arguments, **more):
        process = self.start(*arguments, **more)
        out, err = process.communicate(timeout=PATIENCE)
        return process.returncode, out, err

    def processes(self):
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if (MARK + "=" + self.mark).encode() in path.read_bytes():
                    found.append(int(path.parent.name))
            except OSError:
                pass
        return found

    def wait_until(self, condition, what):
        end = time.monotonic() + PATIENCE
        while not condition():
            check(time.monotonic() < end, "waited in vain: " + what)
            time.sleep(0.01)

    def wait_for_machines(self, count):
        """Until so many runs have their folders."""
        self.wait_until(lambda: len(list(self.tmp.iterdir())) >= count, "%d machines" % count)

    def check_nothing_left(self):
        self.wait_until(lambda: not self.processes(), "processes %s are left" % self.processes())
        left = [str(path) for path in self.tmp.rglob("*")]
        check(not left, "files are left: %s" % left)


def check(good, what):
    if not good:
        raise AssertionError(what)


def check_exit_codes(bench):
    """the exit code is the truth"""
    for arguments, code in ((["good.test"], 0), (["bad.test"], 1), (["broken.test"], 125), (["good.test", "bad.test", "broken.test"], 1),
                            (["good.test", "broken.test"], 125), (["good.test", "--only", "nothing"], 125), (["none.test"], 2), ([], 2),
                            (["good.test", "--nonsense"], 2), (["--quiet", "good.test"], 0), (["-q", "bad.test"], 1),
                            (["-q", "none.test"], 128), (["-vq", "none.test"], 128), (["good.test", "-q", "--nonsense"], 128)):
        done, out, err = bench.run(*arguments)
        check(done == code, "%s: %d, not %d: %s%s" % (arguments, done, code, out, err))
        if code in (2, 128):
            check(re.fullmatch(r"vmm: [^\n]+\n", err) and not out, (arguments, out, err))
        elif "--quiet" in arguments or "-q" in arguments:
            check(not out and not err, (arguments, out, err))


def check_errors(bench):
    """an error is one line, whatever it names"""
    code, out, err = bench.run("a\033[31m\n::error::.test")
    check(code == 2 and not out and err == 'vmm: "a ::error::.test": No such file or directory\n', (code, out, err))


def check_lines(bench):
    """plain lines in a pipe, with each step when they are asked for"""
    _, out, err = bench.run("good.test", "bad.test", "--jobs", "1")
    check(not err, err)
    check(re.match(r"PASS  good [\d.]+ m?s\nFAIL  bad [\d.]+ m?s: .*panicked.*\n", out), out)
    check(out.rstrip().splitlines()[-1].startswith("2 runs in") and "\033" not in out, out)
    _, out, _ = bench.run("nap.test", "--only", "1", "--verbose")
    check(re.match(r'   ok nap\[1\]: step 1 "wait" passed after .*\nPASS  nap\[1\] ', out), out)


def check_reports(bench):
    """all reports are written, as a whole"""
    names = ["r.json", "r.xml", "r.tap", "r.html"]
    code, out, err = bench.run("good.test", "bad.test", "--json", names[0], "--junit", names[1], "--tap", names[2], "--html", names[3],
                               "--results", "logs", "--github")
    check(code == 1 and not err, err)
    document = json.loads((bench.folder / names[0]).read_text())
    check([run["status"] for run in document["runs"]] == ["pass", "fail"], document)
    check(document["runs"][1]["verdict"] == "panic" and document["summary"]["total"] == 2, document)
    check(document["command_line"][:3] == ["vmm", "test", "good.test"], document["command_line"])
    check(len(xml.etree.ElementTree.parse(bench.folder / names[1]).getroot().findall(".//failure")) == 1, "JUnit")
    check("not ok 2" in (bench.folder / names[2]).read_text(), "TAP")
    check("</html>" in (bench.folder / names[3]).read_text(), "HTML")
    check("::error" in out, out)
    check((bench.folder / "logs").is_dir(), "no folder for logs")
    left = [path.name for path in bench.folder.iterdir() if path.name.startswith("r.") and path.name not in names]
    check(not left, left)


def check_stdout(bench):
    """a report on standard output is alone there"""
    code, out, err = bench.run("good.test", "--json", "-")
    check(code == 0 and json.loads(out)["summary"]["pass"] == 1 and "PASS" in err, (out, err))
    code, out, err = bench.run("good.test", "--tap", "-", "-q")
    check(code == 0 and out.startswith("TAP version 14\n") and not err, (out, err))


def check_places(bench):
    """a place that cannot be written to is told before the first boot"""
    for option in ("--json", "--junit", "--tap", "--html"):
        code, _, err = bench.run("idle.test", option, "none/report")
        check(code == 2 and err == 'vmm: %s "none/report": its folder does not exist\n' % option[2:], err)
    code, _, err = bench.run("idle.test", "--results", "good.test/logs")
    check(code == 2 and "results" in err, err)
    before = (bench.folder / "idle.test").read_text()
    os.link(bench.folder / "idle.test", bench.folder / "link.tap")
    for option, path in (("--json", "idle.test"), ("--tap", "link.tap"), ("--html", str(bench.folder / "idle.test"))):
        code, _, err = bench.run("good.test", "idle.test", option, path)
        check(code == 2 and err == 'vmm: %s "%s": this is a scenario: choose another name\n' % (option[2:], path), err)
    (bench.folder / "link.tap").unlink()
    check((bench.folder / "idle.test").read_text() == before, "a scenario was replaced")


def check_shared_memory(bench):
    """a report in /dev/shm is made, and takes the place of an older one"""
    if not os.access("/dev/shm", os.W_OK | os.X_OK):
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder) / "report.json"
        for scenario, status in (("good.test", "pass"), ("bad.test", "fail")):
            _, out, err = bench.run(scenario, "-q", "--json", str(path))
            check(not out and not err, (out, err))
            check(json.loads(path.read_text())["summary"][status] == 1, path.read_text())
        check([entry.name for entry in Path(folder).iterdir()] == [path.name], "files are left")


def check_list(bench):
    """--list boots nothing"""
    code, out, _ = bench.run("--list", "nap.test", "idle.test", "--only", "nap.[12]|idle")
    check(code == 0 and out == "nap[1]\nnap[2]\nidle\n", out)
    code, out, _ = bench.run("--list", "nap.test", "--json", "-")
    check(code == 0 and [run["axes"] for run in json.loads(out)][0] == {"run": "1"}, out)
    code, out, _ = bench.run("--schema")
    check(code == 0 and "test" in json.loads(out)["groups"], out)
    for arguments in (["--list", "nap.test"], ["--list", "--json", "-", "nap.test"], ["--schema"]):
        with open("/dev/full", "w", encoding="utf-8") as full:
            code, _, err = bench.run(*arguments, stdout=full)
        check(code == 125 and err == "vmm: standard output: No space left on device\n", (arguments, code, err))


def check_overrides(bench):
    """the command line is stronger than the scenario"""
    for arguments, code in ((["--kernel", bench.guests + "/panic.elf", "good.test"], 1),
                            (["--machine", "kernel=%s/poweroff.elf" % bench.guests, "bad.test"], 0),
                            (["--set", "run=1", "--kernel", bench.guests + "/poweroff.elf", "nap.test"], None)):
        done, out, _ = bench.run(*arguments)
        check(code is None or done == code, (arguments, done, out))


def check_repeat(bench):
    """--repeat tells how often it passed"""
    code, out, _ = bench.run("good.test", "bad.test", "--repeat", "3", "--json", "repeat.json")
    document = json.loads((bench.folder / "repeat.json").read_text())
    check(code == 1 and re.search(r"good: 3 of 3 passed .*median", out) and "bad: 0 of 3 passed" in out, out)
    check([run["repeat"] for run in document["runs"]] == [1, 1, 2, 2, 3, 3], document["runs"])
    check([(each["runs"], each["passed"]) for each in document["repeats"]] == [(3, 3), (3, 0)], document["repeats"])


def check_retries(bench):
    """--retries tries failures again, and no errors"""
    code, out, _ = bench.run("bad.test", "broken.test", "--retries", "2", "--json", "retries.json")
    runs = json.loads((bench.folder / "retries.json").read_text())["runs"]
    check(code == 1 and out.count("is tried again") == 2, out)
    check([len(run["attempts"]) for run in runs] == [2, 0], runs)


def check_fail_fast(bench):
    """--fail-fast ends the rest"""
    start = time.monotonic()
    code, out, _ = bench.run("idle.test", "bad.test", "good.test", "--jobs", "2", "--fail-fast", "--json", "fast.json")
    runs = json.loads((bench.folder / "fast.json").read_text())["runs"]
    check(code == 1 and [run["status"] for run in runs] == ["skip", "fail", "skip"], out)
    check(time.monotonic() - start < 25, "it waited")
    bench.check_nothing_left()


def check_budget(bench):
    """no more CPUs run at the same time than --jobs says"""
    most = 0
    process = bench.start("nap.test", "--jobs", "2")
    while process.poll() is None:
        most = max(most, len(bench.processes()))
        time.sleep(0.005)
    out, _ = process.communicate()
    check(process.returncode == 0 and out.count("PASS") == 6, out)
    check(most == 3, "%d processes at the same time" % most)
    code, out, _ = bench.run("good.test", "--machine", "cpus=4", "--jobs", "1")
    check(code == 0 and "note: " in out and "made alone" in out, out)
    bench.check_nothing_left()


def check_signals(bench):
    """a signal ends all runs in good order, and the reports are written"""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process = bench.start("idle.test", "nap.test", "--jobs", "1", "--json", "signal.json", "--repeat", "2")
        bench.wait_for_machines(1)
        process.send_signal(number)
        out, _ = process.communicate(timeout=PATIENCE)
        document = json.loads((bench.folder / "signal.json").read_text())
        check(process.returncode == 128 + number, (process.returncode, out))
        check(document["runs"][0]["verdict"] == "stopped" and document["runs"][0]["status"] == "error", out)
        check(number.name in document["runs"][0]["reason"], document["runs"][0]["reason"])
        check(document["summary"]["skip"] == 13 and document["summary"]["total"] == 14, document["summary"])
        bench.check_nothing_left()


def check_kill(bench):
    """after SIGKILL nothing is left: no process, no folder, no socket"""
    for _ in range(5):
        process = bench.start("idle.test", "--repeat", "3", "--jobs", "3", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        bench.wait_for_machines(3)
        process.kill()
        process.wait()
        bench.check_nothing_left()


def check_kill_anywhen(bench):
    """after SIGKILL or SIGTERM at any moment nothing is left, and a report is whole or not there"""
    seed = os.environ.get("VMM_TEST_SEED") or str(time.time_ns())
    chance = random.Random(seed)
    reports = [bench.folder / "report.json", bench.folder / "report.html"]
    known = {*bench.folder.iterdir(), *reports}
    command = ["nap.test", "good.test", "bad.test", "--jobs", "4", "--json", "report.json", "--html", "report.html"]
    begin = time.monotonic()
    check(bench.run(*command)[0] == 1, "it does not do what it should when it is left alone")
    whole = time.monotonic() - begin
    for turn in range(200 if os.environ.get("VMM_TEST_LONG") else 15):
        for report in reports:
            report.unlink()
        which = chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM))
        process = bench.start(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds = chance.uniform(0, 1.1 * whole)
        time.sleep(seconds)
        process.send_signal(which)
        process.wait(timeout=PATIENCE)
        try:
            bench.check_nothing_left()
            check(set(bench.folder.iterdir()) <= known, "files are left: %s" % (set(bench.folder.iterdir()) - known))
            if reports[0].exists():
                json.loads(reports[0].read_text())
            check(not reports[1].exists() or reports[1].read_text().rstrip().endswith("</html>"), "half a page")
        except (AssertionError, ValueError) as wrong:
            raise AssertionError("%s after %.3f s, turn %d, VMM_TEST_SEED=%s: %s" % (which.name, seconds, turn, seed, wrong)) from wrong
        for report in reports:
            report.touch()


def check_starved(bench):
    """a guest for which the host has no CPU does not hang: only the time counts that it had, and the rest is told"""
    bench.put("silent", "[test]\nsilence = 0.5\nwithin = 600\ntimeout = 600\n[machine]\nkernel = %s/spin.elf\nmem = 32M\n[step wait]\nexpect = x\n" % bench.guests)
    cpu = min(os.sched_getaffinity(0))
    crowd = [subprocess.Popen(["sh", "-c", "while :; do :; done"], preexec_fn=lambda: os.sched_setaffinity(0, {cpu})) for _ in range(4)]
    try:
        process = bench.start("silent.test", "--json", "silent.json", preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))
        out, _ = process.communicate(timeout=600)
    finally:
        for one in crowd:
            one.kill()
            one.wait()
    run = json.loads((bench.folder / "silent.json").read_text())["runs"][0]
    told = re.search(r"no output and no work for ([\d.]+) s, besides (\d+) s in which it waited for a CPU of the host; vCPU 0: ", run["reason"])
    check(run["verdict"] == "hang" and told, out)
    check(0.5 <= float(told[1]) < 2 and int(told[2]) >= 1, told[0])


def check_dead_worker(bench):
    """a worker that is killed fails its run, and no other, and leaves nothing"""
    process = bench.start("idle.test", "nap.test", "--jobs", "1", "--json", "worker.json")
    bench.wait_for_machines(1)
    for pid in bench.processes():
        if pid != process.pid:
            os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    runs = json.loads((bench.folder / "worker.json").read_text())["runs"]
    check(process.returncode == 125, process.returncode)
    check(runs[0]["verdict"] == "host-error" and "signal 9" in runs[0]["reason"], runs[0])
    check([run["status"] for run in runs[1:]] == ["pass"] * 6, runs)
    bench.check_nothing_left()


class Terminal:
    """vmm test on a terminal of its own."""

    def __init__(self, bench, *arguments):
        self.fd, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, 100)) if hasattr(termios, "tcsetwinsize") else None
        self.before, self.slave, self.said = termios.tcgetattr(slave), slave, b""
        self.process = subprocess.Popen([bench.vmm, "test", *arguments], cwd=bench.folder, env=bench.env, stdin=slave, stdout=slave, stderr=slave,
                                        preexec_fn=lambda: (os.setsid(), __import__("fcntl").ioctl(slave, termios.TIOCSCTTY, 0)))

    def read(self, seconds=0.05):
        while select.select([self.fd], [], [], seconds)[0]:
            self.said += os.read(self.fd, 65536)
            seconds = 0

    def wait(self):
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            check(time.monotonic() < end, "it does not end: %r" % self.said[-500:])
            self.read()
        self.read()
        unchanged = termios.tcgetattr(self.slave) == self.before
        os.close(self.slave)
        os.close(self.fd)
        check(unchanged, "the terminal's mode was changed")
        return self.process.returncode


def check_terminal(bench):
    """a live view on a terminal, colours only where they are wanted"""
    terminal = Terminal(bench, "nap.test", "good.test")
    check(terminal.wait() == 0, terminal.said)
    text = terminal.said.decode()
    check("\033[32m✓ PASS \033[0m nap[1] " in text and " of 7 done" in text and "1/1 wait" in text, text)
    bench.env["NO_COLOR"] = "1"
    terminal = Terminal(bench, "good.test")
    del bench.env["NO_COLOR"]
    check(terminal.wait() == 0 and b"\033[32m" not in terminal.said and "✓".encode() in terminal.said, terminal.said)
    bench.env["TERM"] = "dumb"
    terminal = Terminal(bench, "good.test")
    bench.env["TERM"] = "xterm"
    check(terminal.wait() == 0 and b"\033" not in terminal.said and b"PASS  good" in terminal.said, terminal.said)


def check_interrupt(bench):
    """Ctrl-C reaches vmm test alone, which ends its runs"""
    terminal = Terminal(bench, "idle.test")
    while not list(bench.tmp.iterdir()) or b"wait" not in terminal.said:
        terminal.read()
    os.write(terminal.fd, b"\x03")
    code = terminal.wait()
    check(code == 128 + signal.SIGINT and b"stopped by SIGINT" in terminal.said, (code, terminal.said))
    bench.check_nothing_left()


def check_stalled_terminal(bench):
    """a terminal that nobody reads holds up nobody: a signal ends vmm test in time"""
    terminal = Terminal(bench, "good.test", "--repeat", "5000", "--jobs", "2", "--json", "stalled.json")
    bench.wait_until(lambda: not select.select([], [terminal.slave], [], 0)[1], "a terminal that is full")
    time.sleep(0.5)
    begin = time.monotonic()
    terminal.process.send_signal(signal.SIGTERM)
    try:
        terminal.process.wait(timeout=PATIENCE)
    finally:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.slave)
        os.close(terminal.fd)
    check(time.monotonic() - begin < 10 and (bench.folder / "stalled.json").exists(), "it took %.1f s" % (time.monotonic() - begin))


def check_ignored(bench):
    """a signal that was ignored from the start stays so"""
    process = bench.start("nap.test", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    bench.wait_for_machines(1)
    process.send_signal(signal.SIGHUP)
    out, _ = process.communicate(timeout=PATIENCE)
    check(process.returncode == 0 and out.count("PASS") == 6, out)


def check_closed_reader(bench):
    """a reader that goes away ends nothing"""
    reader, writer = os.pipe()
    process = bench.start("good.test", "--json", "closed.json", stdout=writer)
    os.close(reader)
    os.close(writer)
    process.communicate(timeout=PATIENCE)
    check(process.returncode == 0 and json.loads((bench.folder / "closed.json").read_text()), process.returncode)


def check_full_disk(bench):
    """a log that is cut short is told where people and machines look, in one line"""
    bench.put("talk", "[machine]\nkernel = %s/garbage.elf\nmem = 32M\n" % bench.guests)
    _, out, err = bench.run("talk.test", "--results", "small", "--junit", "/dev/stderr",
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)))
    told = re.findall(r'^note: talk: "small/talk[^"]*" is cut short: File too large$', out, re.M)
    check(len(told) == 1 and re.match(r"\w+ +talk .*\nnote: talk: ", out), out)
    check("is cut short" in xml.etree.ElementTree.fromstring(err).find(".//system-err").text, err)


class FullPipe:
    """A pipe that takes nothing more, and that nobody reads."""

    def __enter__(self):
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.writer, False)
        for size in (65536, 1):
            try:
                while True:
                    os.write(self.writer, b"x" * size)
            except BlockingIOError:
                pass
        os.set_blocking(self.writer, True)
        return self

    def __exit__(self, *_):
        os.close(self.reader)
        os.close(self.writer)


def end_full(bench, number, until, *arguments, **more):
    """Sends a signal to one that has nobody who reads, once there is what it waits for. Returns its exit code."""
    with FullPipe() as pipe:
        process = bench.start(*arguments, **{"stdout": pipe.writer, "stderr": subprocess.DEVNULL, **more})
        bench.wait_until(until, "what is done without a reader")
        begin = time.monotonic()
        process.send_signal(number)
        try:
            code = process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        check(time.monotonic() - begin < 10, "it took %.1f s" % (time.monotonic() - begin))
        check(os.get_blocking(pipe.writer), "the pipe of others was changed")
    bench.check_nothing_left()
    return code


def check_full_pipe(bench):
    """nobody waits for a reader that does not read: runs go on, and a signal ends them in time"""
    command = ["good.test", "idle.test", "--jobs", "1", "--verbose"]
    for number in (signal.SIGTERM, signal.SIGINT):
        code = end_full(bench, number, lambda: list(bench.tmp.rglob("socket")), *command, "--json", "full.json")
        runs = json.loads((bench.folder / "full.json").read_text())["runs"]
        check(code == 128 + number and runs[0]["status"] == "pass" and number.name in runs[-1]["reason"], (code, runs))
        (bench.folder / "full.json").unlink()
    # All has been done, and the summary has to wait: for a reader, or for a signal.
    code = end_full(bench, signal.SIGTERM, (bench.folder / "full.json").exists, "good.test", "--json", "full.json")
    check(code == -signal.SIGTERM, code)
    code = end_full(bench, signal.SIGTERM, lambda: list(bench.tmp.rglob("socket")), "idle.test", "--json", "-")
    check(code == 128 + signal.SIGTERM, code)
    with FullPipe() as pipe:
        process = bench.start("good.test", "bad.test", "--json", "read.json", stdout=pipe.writer, stderr=subprocess.DEVNULL)
        bench.wait_until((bench.folder / "read.json").exists, "the report")
        os.close(pipe.writer)
        pipe.writer = os.dup(pipe.reader)
        out = b""
        while part := os.read(pipe.reader, 65536):
            out += part
        check(process.wait(timeout=PATIENCE) == 1 and re.search(rb"xPASS  good .*\nFAIL  bad .*\n(.*\n)*2 runs in ", out), out[-500:])


CHECKS = [check_exit_codes, check_errors, check_lines, check_reports, check_stdout, check_places, check_shared_memory, check_list, check_overrides, check_repeat, check_retries,
          check_fail_fast, check_budget, check_signals, check_kill, check_kill_anywhen, check_starved, check_dead_worker, check_terminal, check_interrupt, check_stalled_terminal,
          check_ignored, check_closed_reader, check_full_disk, check_full_pipe]


def main():
    vmm, guests = sys.argv[1:3]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("1..0 # SKIP no access to /dev/kvm")
        return 0
    # Who runs the tests under nohup, or behind "&", has signals ignored that are sent here.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    print("1..%d" % len(CHECKS))
    failures = 0
    for number, run in enumerate(CHECKS, 1):
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(os.path.abspath(vmm), os.path.abspath(guests), folder)
            try:
                run(bench)
                bench.check_nothing_left()
                print("ok %d - %s" % (number, run.__doc__), flush=True)
            except (AssertionError, OSError, ValueError, KeyError, subprocess.TimeoutExpired) as wrong:
                failures += 1
                print("not ok %d - %s\n# %r" % (number, run.__doc__, wrong), flush=True)
            finally:
                for pid in bench.processes():
                    os.kill(pid, signal.SIGKILL)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
