#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What vmm does with the terminal that it runs on: raw while a guest has it, given back after every kind of end.

    terminal.py VMM GUEST_DIR     prints TAP; each case has a terminal of its own, and a process that is its shell
"""
import fcntl
import os
import re
import select
import signal
import sys
import tempfile
import termios
import time

VMM, GUESTS, FOLDER = "", "", ""
SECONDS = 20
CTRL_A, CTRL_C = b"\x01", b"\x03"
COOKED = termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN
STOPPED = 22


class Failed(Exception):
    """A case found something wrong."""


def expect(condition, *what):
    if not condition:
        raise Failed(" ".join(str(part) for part in what))


class Session:
    """vmm on a terminal of its own. A shell stays beside it, as the session's leader: the terminal outlives vmm."""

    def __init__(self, guest, *options, command=(), foreground=True, stdin=None):
        self.master, self.slave = os.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.flags = fcntl.fcntl(self.slave, fcntl.F_GETFL)
        self.output = b""
        self.pid_read, pid_write = os.pipe()
        self.end_read, end_write = os.pipe()
        self.hold_read, self.hold_write = os.pipe()
        argv = [VMM, *command, *(["--kernel", os.path.join(GUESTS, guest + ".elf")] if guest else []), *options]
        self.shell = os.fork()
        if self.shell == 0:
            try:
                os.close(self.hold_write)
                self._shell(argv, foreground, stdin, pid_write, end_write)
            finally:
                os._exit(99)
        for fd in (pid_write, end_write, self.hold_read):
            os.close(fd)
        self.pid = int(os.read(self.pid_read, 20))

    def _shell(self, argv, foreground, stdin, pid_write, end_write):
        os.close(self.master)
        os.setsid()
        fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)
        for signum in (signal.SIGTTOU, signal.SIGHUP):
            signal.signal(signum, signal.SIG_IGN)
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            if foreground:
                os.tcsetpgrp(self.slave, os.getpid())
            for signum in (signal.SIGTTOU, signal.SIGHUP, signal.SIGPIPE):
                signal.signal(signum, signal.SIG_DFL)
            os.dup2(self.slave if stdin is None else stdin, 0)
            os.dup2(self.slave, 1)
            os.dup2(self.slave, 2)
            os.closerange(3, 256)
            os.execv(argv[0], argv)
        os.write(pid_write, b"%d" % pid)
        status = os.waitpid(pid, 0)[1]
        os.write(end_write, b"%d" % os.waitstatus_to_exitcode(status))
        os.close(end_write)
        os.read(self.hold_read, 1)
        os._exit(0)

    def type(self, data):
        os.write(self.master, data)

    def wait_for(self, pattern, seconds=SECONDS):
        """Until the terminal has shown it; forgets what was before its end."""
        end = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.output)
            if found:
                self.output = self.output[found.end():]
                return found
            left = end - time.monotonic()
            expect(left > 0, "the terminal never showed %r, but %r" % (pattern, self.output[-300:]))
            if select.select([self.master], [], [], left)[0]:
                self.output += os.read(self.master, 4096)

    def wait_end(self):
        """vmm's exit code; below 0 for a signal."""
        end = time.monotonic() + SECONDS
        while not select.select([self.end_read], [], [], 0.01)[0]:
            expect(time.monotonic() < end, "vmm does not end")
            if select.select([self.master], [], [], 0)[0]:
                self.output += os.read(self.master, 4096)
        while select.select([self.master], [], [], 0)[0]:
            self.output += os.read(self.master, 4096)
        return int(os.read(self.end_read, 20))

    def is_raw(self):
        return not termios.tcgetattr(self.slave)[3] & COOKED

    def wait_raw(self):
        self.wait_for(rb"> ")
        expect(self.is_raw(), "the terminal is not raw")

    def wait_raw_again(self):
        end = time.monotonic() + SECONDS
        while not self.is_raw():
            expect(time.monotonic() < end, "the terminal does not become raw")
            time.sleep(0.005)

    def stop_and_continue(self):
        """The shell has the terminal meanwhile, in its own mode."""
        os.kill(self.pid, signal.SIGSTOP)
        termios.tcsetattr(self.slave, termios.TCSANOW, self.before)
        os.kill(self.pid, signal.SIGCONT)
        self.wait_raw_again()

    def wait_restored(self, seconds=0):
        end = time.monotonic() + seconds
        while termios.tcgetattr(self.slave) != self.before:
            expect(time.monotonic() < end, "the terminal is not as it was before")
            time.sleep(0.005)
        expect(fcntl.fcntl(self.slave, fcntl.F_GETFL) == self.flags, "the flags of the terminal's open file changed")

    def close(self):
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        for fd in (self.hold_write, self.master, self.slave, self.pid_read, self.end_read):
            os.close(fd)
        os.waitpid(self.shell, 0)


def check_raw_and_quit(session):
    """each key goes to the guest, and a normal end gives the terminal back"""
    session.wait_raw()
    expect(fcntl.fcntl(session.slave, fcntl.F_GETFL) == session.flags, "the open file's flags are the shell's too")
    session.type(b"hello\r")
    session.wait_for(rb"hello\r\nline: hello\r\n> ")
    session.type(b"quit\r")
    expect(session.wait_end() == 0)
    session.wait_restored()


def check_interrupt_key(session):
    """Ctrl-C, Ctrl-Z, Ctrl-S, Ctrl-Q, Ctrl-D and Ctrl-\\ reach the guest"""
    session.wait_raw()
    for key in (CTRL_C, b"\x1a", b"\x13", b"\x11", b"\x04", b"\x1c"):
        session.type(key)
        session.wait_for(re.escape(b"^" + bytes([key[0] + 64])))
    session.type(b"still here\r")
    session.wait_for(rb"line: still here\r\n")
    session.type(CTRL_A + b"x")
    expect(session.wait_end() == STOPPED)


def check_leave(session):
    """Ctrl-A x leaves with a code of its own"""
    session.wait_raw()
    session.type(CTRL_A + b"x")
    expect(session.wait_end() == STOPPED)
    session.wait_restored()
    expect(b"vmm: stopped: by Ctrl-A x" in session.output, session.output)


def check_leave_slowly(session):
    """the two keys may come one by one"""
    session.wait_raw()
    session.type(CTRL_A)
    time.sleep(0.3)
    session.type(b"x")
    expect(session.wait_end() == STOPPED)
    session.wait_restored()


def check_escapes(session):
    """Ctrl-A a and Ctrl-A Ctrl-A are one Ctrl-A for the guest, Ctrl-A b a BREAK, Ctrl-A h helps, other keys do nothing"""
    session.wait_raw()
    session.type(CTRL_A + b"a1" + CTRL_A + CTRL_A + b"2" + CTRL_A + b"q3\r")
    session.wait_for(rb"\^A1\^A23\r\nline: 123\r\n> ")
    session.type(CTRL_A + b"b4\r")
    session.wait_for(rb"\^@4\r\nline: 4\r\n> ")
    session.type(CTRL_A + b"h")
    session.wait_for(rb"vmm: Ctrl-A then: .*\r\n")
    session.type(CTRL_A + b"x")
    expect(session.wait_end() == STOPPED)


def check_signal(signum):
    def check(session):
        session.wait_raw()
        os.kill(session.pid, signum)
        expect(session.wait_end() == STOPPED)
        session.wait_restored()
        name = signal.Signals(signum).name.removeprefix("SIG").encode()
        expect(re.search(rb"vmm: stopped: by signal (SIG)?" + name + rb"\r\n", session.output), session.output)
    check.__doc__ = "%s ends the run and gives the terminal back" % signal.Signals(signum).name
    return check


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


def check_killed(session):
    """a vmm that is killed gives the terminal back too, and leaves no process"""
    session.wait_raw()
    guards = children(session.pid)
    os.kill(session.pid, signal.SIGKILL)
    expect(session.wait_end() == -signal.SIGKILL)
    session.wait_restored(5)
    for guard in guards:
        end = time.monotonic() + 5
        while os.path.exists("/proc/%d" % guard):
            expect(time.monotonic() < end, "the guard is still there")
            time.sleep(0.01)


def check_killed_group(session):
    """so does one whose whole process group is killed"""
    session.wait_raw()
    os.killpg(session.pid, signal.SIGKILL)
    expect(session.wait_end() == -signal.SIGKILL)
    session.wait_restored(5)


def check_continued(session):
    """one that was stopped, and goes on, has a raw terminal again"""
    session.wait_raw()
    session.stop_and_continue()
    session.type(b"quit\r")
    expect(session.wait_end() == 0)
    session.wait_restored()


def check_run_left(session):
    """vmm run: a raw terminal from the start, and Ctrl-A x"""
    session.wait_raw_again()
    session.type(b"x" + CTRL_C + CTRL_A + b"x")
    expect(session.wait_end() == STOPPED)
    session.wait_restored()
    expect(b"vmm: stopped: by Ctrl-A x" in session.output, session.output)


def check_run_stopped(session):
    """vmm run: a signal before there is a command, after vmm was stopped and went on"""
    session.wait_raw_again()
    session.stop_and_continue()
    os.kill(session.pid, signal.SIGTERM)
    expect(session.wait_end() == STOPPED)
    session.wait_restored()


def check_run_killed(session):
    """vmm run: killed"""
    session.wait_raw_again()
    os.kill(session.pid, signal.SIGKILL)
    expect(session.wait_end() == -signal.SIGKILL)
    session.wait_restored(5)


def check_shell_changes(session):
    """what was typed ahead is for the shell"""
    session.wait_for(rb"vmm: stopped|> ")
    os.kill(session.pid, signal.SIGSTOP)
    session.type(CTRL_A + b"x")
    os.kill(session.pid, signal.SIGCONT)
    expect(session.wait_end() == STOPPED)
    session.wait_restored()
    session.type(b"ls\n")
    expect(os.read(session.slave, 100) == b"ls\n", "the shell does not get what is typed after")


def check_triple_fault(session):
    """a guest that dies gives the terminal back"""
    expect(session.wait_end() == 14)
    session.wait_restored()


def check_usage(session):
    """an error before the boot leaves the terminal as it was"""
    expect(session.wait_end() == 2)
    session.wait_restored()
    expect(re.fullmatch(rb"vmm: mem \"3\": [^\r\n]+\r\n", session.output), session.output)


def check_missing(session):
    """and so does one while the machine is made"""
    expect(session.wait_end() == 6)
    session.wait_restored()
    expect(re.fullmatch(rb"vmm: kernel [^\r\n]+\r\n", session.output), session.output)


def check_background(session):
    """in the background the terminal is not touched, and what is typed is not taken"""
    session.wait_for(rb"> ")
    expect(termios.tcgetattr(session.slave) == session.before, "the terminal of another job was changed")
    session.type(b"for the shell\n")
    expect(session.wait_end() == 18)
    session.wait_restored()
    expect(os.read(session.slave, 100) == b"for the shell\n", "vmm took what was typed")


def check_pipe(session):
    """with input from elsewhere the terminal is not touched"""
    session.wait_for(rb"line: from a pipe\r+\n")
    expect(termios.tcgetattr(session.slave) == session.before, "the terminal was changed")
    expect(session.wait_end() == 18)
    session.wait_restored()


def pipe_with(data):
    read_end, write_end = os.pipe()
    os.write(write_end, data)
    os.close(write_end)
    return read_end


# A small guest that passes for a Linux kernel, by what is behind its sections, and runs no command.
RUN = ("--kernel", "@linux", "--root", "@folder", "--kernel-entry", "pvh", "--mem", "64M", "--", "true")

CASES = [
    (check_raw_and_quit, "echo", (), {}),
    (check_interrupt_key, "echo", (), {}),
    (check_leave, "echo", (), {}),
    (check_leave_slowly, "echo", (), {}),
    (check_escapes, "echo", (), {}),
    (check_signal(signal.SIGTERM), "echo", (), {}),
    (check_signal(signal.SIGINT), "echo", (), {}),
    (check_signal(signal.SIGHUP), "echo", (), {}),
    (check_signal(signal.SIGQUIT), "echo", (), {}),
    (check_killed, "echo", (), {}),
    (check_killed_group, "echo", (), {}),
    (check_continued, "echo", (), {}),
    (check_shell_changes, "echo", (), {}),
    *((check, "", RUN, {"command": ("run",)}) for check in (check_run_left, check_run_stopped, check_run_killed)),
    (check_triple_fault, "triple-fault", (), {}),
    (check_usage, "echo", ("--mem", "3"), {}),
    (check_missing, "echo", ("--kernel", "/etc/passwd"), {}),
    (check_background, "echo", ("--timeout", "1.5"), {"foreground": False}),
    (check_pipe, "echo", ("--timeout", "1.5"), {"stdin": b"from a pipe\r"}),
]


def look_up(option):
    return {"@linux": FOLDER + "/linux", "@folder": FOLDER}.get(option, option)


def make_linux():
    with open(GUESTS + "/idle.elf", "rb") as guest, open(FOLDER + "/linux", "wb") as linux:
        linux.write(guest.read() + b"\0Linux version 6.1.0-test (nobody)\0")


def run_case(check, guest, options, more):
    if "stdin" in more:
        more = {**more, "stdin": pipe_with(more["stdin"])}
    session = Session(guest, *(look_up(option) for option in options), **more)
    try:
        check(session)
        return None
    except Failed as failed:
        return str(failed) or "failed"
    finally:
        session.close()
        if "stdin" in more:
            os.close(more["stdin"])


def main():
    global VMM, GUESTS, FOLDER
    VMM, GUESTS = sys.argv[1:3]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("1..0 # SKIP no access to /dev/kvm")
        return 77
    # Who runs the tests under nohup, or behind "&", has signals ignored that are sent here.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    print("1..%d" % len(CASES), flush=True)
    with tempfile.TemporaryDirectory() as FOLDER:
        make_linux()
        return run_cases()


def run_cases():
    failures = 0
    for number, (check, guest, options, more) in enumerate(CASES, 1):
        wrong = run_case(check, guest, options, more)
        failures += wrong is not None
        print("%s %d - %s" % ("not ok" if wrong else "ok", number, check.__doc__))
        if wrong:
            print("# %s" % wrong.replace("\n", " "))
        sys.stdout.flush()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
