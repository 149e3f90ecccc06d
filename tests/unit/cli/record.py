#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sessions that vmm record writes down, and vmm test does again.

    record.py VMM GUEST_DIR     prints TAP; each case has a folder of its own
"""
import ctypes
import os
import re
import signal
import subprocess
import sys
import tempfile

import terminal
from terminal import CTRL_A, Failed, Session, expect

SECONDS = 60
HEAD = "# A session, as vmm record has written it down. vmm test does it again.\n\n"


def run(*arguments, stdin=b"", stdout=subprocess.PIPE):
    return subprocess.run([terminal.VMM, *arguments], input=stdin, stdout=stdout, stderr=subprocess.PIPE,
                          timeout=SECONDS, check=False)


def guest(name):
    return os.path.join(terminal.GUESTS, name + ".elf")


def record(name, *options, stdin=b""):
    """A session whose input is a pipe."""
    return run("record", "--kernel", guest(name), *options, stdin=stdin)


def read(path="recorded.test"):
    with open(path, encoding="utf-8") as file:
        return file.read()


def check_scenario(expected, kernel, more="", prompts=True):
    """What is in the file, but for its head; without prompts where it depends on the host's speed if they were there."""
    text = read() if prompts else re.sub(r"expect = .*\n", "", read())
    whole = HEAD + "%s[machine]\nkernel = %s\n" % (more, guest(kernel)) + expected
    expect(text == whole, "the scenario is %r" % text)


def replay(path="recorded.test", times=3, status=0):
    for _ in range(times):
        done = run("test", path)
        expect(done.returncode == status, "vmm test ended with %d: %s %s" % (done.returncode, done.stdout, done.stderr))


def has_nameless(folder):
    """Whether this file system has files without a name."""
    try:
        os.close(os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o600))
        return True
    except OSError:
        return False


def names_seen(folder):
    """What tells the names that files have got in this folder from now on, if only for a moment."""
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    expect(watch >= 0 and libc.inotify_add_watch(watch, folder.encode(), 0x180) >= 0, "no inotify")  # IN_CREATE | IN_MOVED_TO

    def tell():
        events, names = os.read(watch, 65536), set()
        while events:
            size = 16 + int.from_bytes(events[12:16], sys.byteorder)
            names.add(events[16:size].rstrip(b"\0").decode())
            events = events[size:]
        os.close(watch)
        return names

    return tell


class AtTerminal:
    """vmm record on a terminal of its own, in this folder."""

    def __init__(self, name, *options):
        self.session = Session(name, *options, command=("record",))

    def __enter__(self):
        return self.session

    def __exit__(self, *_):
        self.session.close()


def check_terminal():
    """what is typed at a prompt is done again"""
    with AtTerminal("echo") as session:
        session.wait_raw()
        session.type(b"hello\r")
        session.wait_for(rb"line: hello\r\n> ")
        session.type(b"how ")
        session.wait_for(rb"how ")
        session.type(b"are $y\r")
        session.wait_for(rb"line: how are \$y\r\n> ")
        session.type(b"quit\r")
        expect(session.wait_end() == 0)
        session.wait_restored()
        expect(b'the session is in "recorded.test"' in session.output, session.output)
    check_scenario("\n[step hello]\nexpect = ^>\\s\nsend = hello\\r\n"
                   "\n[step how are $y]\nexpect = ^>\\s\nsend = how are $y\\r\n"
                   "\n[step quit]\nexpect = ^>\\s\nsend = quit\\r\n"
                   "\n[step poweroff]\nwait = poweroff\n", "echo")
    replay()


def check_expectations():
    """a guest that says something else fails it"""
    check_terminal()
    text = read()
    for wrong in (text.replace("^>", "^none>", 1), text.replace("= poweroff", "= halt")):
        with open("wrong.test", "w", encoding="utf-8") as file:
            file.write(wrong.replace("[machine]", "[test]\nwithin = 2\n[machine]"))
        replay("wrong.test", times=1, status=1)


def check_leave():
    """Ctrl-A x: it goes as far again"""
    with AtTerminal("echo") as session:
        session.wait_raw()
        session.type(b"one\r")
        session.wait_for(rb"line: one\r\n> ")
        session.type(CTRL_A + b"x")
        expect(session.wait_end() == 0)
        session.wait_restored()
    check_scenario("\n[step one]\nexpect = ^>\\s\nsend = one\\r\n\n[step the end]\nexpect = ^>\\s\n", "echo")
    replay()


def check_keys():
    """keys of vmm are none of the guest's; the power button is pressed again, and a BREAK is sent"""
    with AtTerminal("echo") as session:
        session.wait_raw()
        session.type(CTRL_A + b"a\x03")
        session.wait_for(rb"\^A\^C")
        session.type(CTRL_A + b"h")
        session.wait_for(rb"vmm: Ctrl-A then")
        session.type(CTRL_A + b"p" + CTRL_A + b"b\rquit\r")
        expect(session.wait_end() == 0)
    check_scenario("\n[step type]\nexpect = ^>\\s\nsend = \\x01\\x03\n"
                   "\n[step power button]\nexpect = \\^A\\^C\nmachine = power-button\n"
                   "\n[step break]\nmachine = break\n"
                   "\n[step key enter]\nkey = enter\n"
                   "\n[step quit]\nsend = quit\\r\n"
                   "\n[step poweroff]\nwait = poweroff\n", "echo")
    replay()


def check_pipe():
    """with a pipe as standard input, too; its output goes by"""
    done = record("echo", stdin=b"hello\rquit\r")
    expect(done.returncode == 0, done.stderr)
    expect(done.stdout.endswith(b"line: hello\r\n> quit\r\n"), done.stdout)
    check_scenario("\n[step hello]\nsend = hello\\r\n\n[step quit]\nsend = quit\\r\n"
                   "\n[step poweroff]\nwait = poweroff\n", "echo", prompts=False)
    replay()


def check_no_reader():
    """a reader that goes away does not end it"""
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as stdout:
        done = run("record", "--kernel", guest("echo"), stdin=b"quit\r", stdout=stdout)
    expect(done.returncode == 0, done.stderr)
    replay(times=1)


def check_settings():
    """the machine is the same, wherever it was described"""
    with open("machine.conf", "w", encoding="utf-8") as file:
        file.write("# a comment\n mem = 64M \ncpus=2\nconsole = file=port.log,name=port\n")
    done = record("echo", "--config", "machine.conf", "--cpus", "1", "--append", "a=${b}", "--append=c", "--rng", "--timeout", "50",
                  stdin=b"quit\r")
    expect(done.returncode == 0, done.stderr)
    check_scenario("mem = 64M\nconsole = file=port.log,name=port\ncpus = 1\nappend = a=$${b}\nappend 2 = c\nrng = on\n"
                   "\n[step quit]\nsend = quit\\r\n\n[step poweroff]\nwait = poweroff\n", "echo", "[test]\ntimeout = 50\n\n", prompts=False)
    replay(times=1)


def check_ends():
    """however the machine ends"""
    for name, test, step in (
            ("debug-exit", "", r"\n\[step exit \d+\]\nwait = exit \d+\n"),
            ("reset-cf9", "", r"\n\[step reboot\]\nwait = reboot\n"),
            ("halt", "", r"\n\[step halt\]\nwait = halt\n"),
            ("panic", r"\[test\]\noutcome = panic\n\n", r"\n\[step the end\]\nwait = end\n"),
            ("triple-fault", r"\[test\]\noutcome = triple-fault\n\n", r"\n\[step the end\]\nwait = end\n"),
            ("console-panic", r"\[test\]\noutcome = [a-z-]+\n\n", r"\n\[step the end\]\nwait = end\n")):
        done = record(name, "--force")
        expect(done.returncode == 0, name, done.stderr)
        text = read()
        expect(re.fullmatch(re.escape(HEAD) + test + r"\[machine\]\nkernel = [^\n]+\n" + step, text), name, text)
        replay(times=1)


def check_there_already():
    """a file is not replaced, unless one says so"""
    with open("a.test", "w", encoding="utf-8") as file:
        file.write("mine")
    os.symlink("nowhere", "link.test")
    os.mkdir("folder")
    for path in ("a.test", "link.test", "folder", "no-folder/a.test"):
        done = record("echo", "-o", path, stdin=b"quit\r")
        expect(done.returncode == 2 and path.encode() in done.stderr and done.stderr.count(b"\n") == 1, done.stderr)
        expect(done.stdout == b"", "the guest ran before")
    done = record("echo", "-o", "folder", "--force", stdin=b"quit\r")
    expect(done.returncode == 2 and b"no file" in done.stderr, done.stderr)
    expect(read("a.test") == "mine")
    expect(record("echo", "-o", "a.test", "--force", stdin=b"quit\r").returncode == 0)
    expect(read("a.test").startswith(HEAD))
    expect(sorted(os.listdir()) == ["a.test", "folder", "link.test"], os.listdir())


def check_there_meanwhile():
    """nor is one that comes while the guest runs: the session is not lost"""
    with AtTerminal("echo") as session:
        session.wait_raw()
        with open("recorded.test", "w", encoding="utf-8") as file:
            file.write("mine")
        session.type(b"quit\r")
        expect(session.wait_end() == 4)
        found = re.search(rb'the scenario is in "(recorded\.test\.\w+)"', session.output)
        expect(found, session.output)
    expect(read() == "mine")
    replay(found.group(1).decode(), times=1)


def check_killed():
    """one that is killed leaves no file, at no moment, and one that is told to end writes it"""
    names = names_seen(".")
    for signum, files in ((signal.SIGKILL, []), (signal.SIGTERM, ["recorded.test"])):
        with AtTerminal("echo") as session:
            session.wait_raw()
            os.kill(session.pid, signum)
            expect(session.wait_end() == (-signum if signum == signal.SIGKILL else 0))
            session.wait_restored(5)
        expect(os.listdir() == files, os.listdir())
    expect(not has_nameless(".") or names() == {"recorded.test"}, "there were more files, for a moment")
    replay(times=1)


def check_usage():
    """what makes no sense is refused before the boot"""
    for options, hint in ((("--serial", "null"), b"--serial"), (("--mem", "3"), b"mem"), (("stray",), b"stray"), (("--nonsense",), b"--nonsense")):
        done = record("echo", *options)
        expect(done.returncode == 2 and hint in done.stderr and done.stderr.count(b"\n") == 1, done.stderr)
    done = run("record", "-o", "", "--kernel", guest("echo"), stdin=b"quit\r")
    expect(done.returncode == 2 and b"name of a file" in done.stderr and done.stdout == b"", done.stderr)
    expect(os.listdir() == [], os.listdir())


CASES = [check_terminal, check_expectations, check_leave, check_keys, check_pipe, check_no_reader, check_settings, check_ends,
         check_there_already, check_there_meanwhile, check_killed, check_usage]


def run_case(check):
    with tempfile.TemporaryDirectory(prefix="vmm-record-") as folder:
        os.chdir(folder)
        try:
            check()
            return None
        except (Failed, subprocess.TimeoutExpired, OSError) as failed:
            return str(failed) or "failed"
        finally:
            os.chdir("/")


def main():
    terminal.VMM, terminal.GUESTS = (os.path.abspath(argument) for argument in sys.argv[1:3])
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("1..0 # SKIP no access to /dev/kvm")
        return 77
    print("1..%d" % len(CASES), flush=True)
    failures = 0
    for number, check in enumerate(CASES, 1):
        wrong = run_case(check)
        failures += wrong is not None
        print("%s %d - %s" % ("not ok" if wrong else "ok", number, check.__doc__))
        if wrong:
            print("# %s" % wrong.replace("\n", " "))
        sys.stdout.flush()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
