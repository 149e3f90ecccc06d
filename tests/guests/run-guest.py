#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""vmm-init runs commands for a host that this test plays, in a container: no KVM, no kernel of its own. TAP.

    run-guest.py VMM_INIT [NAME...]     skipped where containers cannot be made
"""
import errno
import hashlib
import os
import random
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import time

from init_guest import (ARG, BYE, CWD, DATA, ENV, EOF, EXITED, HELLO, NOT_STARTED, OUTPUT, PTY, RESIZE, SIGNAL, SIGNALLED, START, STARTED, WINDOW,
                        Guest, Host, Kit, Result, read_archive)


class Skip(Exception):
    pass


class Session:
    """One guest and its host, ended at the end of a with block."""

    def __init__(self, kit, credit=(1 << 30,) * 3, **guest):
        self.guest = Guest(kit, **guest)
        self.host = Host(self.guest, credit)

    def __enter__(self):
        return self.host

    def __exit__(self, *_):
        self.guest.end()


def run(kit, *args, stdin=b"", boot="", extra=None, interface=None, **job):
    with Session(kit, boot=boot, extra=extra, interface=interface) as host:
        host.start(*args, **job)
        host.until(lambda result: result.started or result.kind is not None)
        if host.result.started:
            host.input(stdin)
        result = host.finish()
        result.said = host.guest.said()
        return result


def shell(kit, script, **job):
    return run(kit, "sh", "-c", script, **job)


def expect(got, wanted):
    assert got == wanted, "%r instead of %r" % (got, wanted)


def check_codes(kit):
    """exit statuses come back: each bit, and those that mean something elsewhere"""
    for code in (0, 1, 2, 4, 8, 16, 32, 64, 126, 127, 128, 137, 255):
        expect(shell(kit, "exit %d" % code).end, (EXITED, code))


def check_signals(kit):
    """a command that a signal ended"""
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGSEGV, signal.SIGPIPE, signal.SIGRTMAX):
        expect(shell(kit, "kill -%d $$" % number).end, (SIGNALLED, number))


def check_not_started(kit):
    """a command that cannot be started, and why"""
    extra = {"bin/data": "no program", "bin/lost": "#!/bin/nothing\n"}
    cases = [(("frobnicate",), {}, errno.ENOENT, "frobnicate: not found in PATH"),
             (("/bin/frobnicate",), {}, errno.ENOENT, "/bin/frobnicate: No such file"),
             (("/bin/data",), {}, errno.EACCES, "/bin/data: Permission denied"),
             (("data",), {}, errno.EACCES, "data: Permission denied"),
             (("/bin",), {}, errno.EACCES, "/bin: Permission denied"),
             (("",), {}, errno.ENOENT, "not found"),
             (("true",), {"cwd": "/nothing"}, errno.ENOTDIR, "cannot go to folder /nothing: No such file"),
             (("true",), {"user": "nobody-here"}, errno.EINVAL, "user nobody-here: no such user"),
             (("true",), {"user": "0:nothing"}, errno.EINVAL, "no such group"),
             (("true",), {"env": ["PATH=/empty"]}, errno.ENOENT, "PATH, which is /empty")]
    for args, job, reason, text in cases:
        result = run(kit, *args, extra=extra, **job)
        expect((result.end, result.started), ((NOT_STARTED, reason), False))
        assert text in result.text, result.text
    result = run(kit, "frobnicate", outputs=["/etc/passwd"])
    expect((result.ended, result.archives), ([], []))


def check_interpreters(kit):
    """a script without a first line is the shell's; one whose interpreter is missing says so"""
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "kit")
        os.mkdir(copy)
        scripted = Kit(kit.init, copy)
        plain = scripted.fill

        def fill(root, boot, extra):
            plain(root, boot, {"bin/plain": "echo plain $1\nexit 3\n", "bin/lost": "#!/bin/nothing\n"})
            os.chmod(root + "/bin/plain", 0o755)
            os.chmod(root + "/bin/lost", 0o755)
        scripted.fill = fill
        result = run(scripted, "plain", "x y")
        expect((result.end, result.out), ((EXITED, 3), b"plain x y\n"))
        result = run(scripted, "/bin/lost")
        expect(result.end, (NOT_STARTED, errno.ENOENT))
        assert "interpreter" in result.text, result.text


def check_input(kit):
    """8 MiB of any bytes go through cat and come back"""
    data = random.Random(1).randbytes(8 << 20)
    with Session(kit, credit=(300000, 1, 1)) as host:
        host.start("cat")
        granted, at = 300000, 0
        while not host.result.done:
            part = data[at:at + min(host.result.allowed, 30000)] if host.result.started else b""
            if part:
                host.send(DATA, 0, part)
                host.result.allowed -= len(part)
                at += len(part)
                if at == len(data):
                    host.send(EOF, 0)
            else:
                assert host.take()
            while granted - len(host.result.out) < 200000:
                host.allow(1, 100000)
                granted += 100000
        result = host.finish()
        expect(result.end, (EXITED, 0))
        expect(hashlib.sha256(result.out).digest(), hashlib.sha256(data).digest())


def check_streams(kit):
    """stdout and stderr are two streams"""
    result = shell(kit, "echo out; echo err >&2; echo more; exec >&-; echo end >&2")
    expect((result.out, result.err, result.end), (b"out\nmore\n", b"err\nend\n", (EXITED, 0)))
    expect(sorted(result.ended), [1, 2])
    expect(shell(kit, "echo out > /dev/stdout; echo err > /dev/stderr; cat /dev/fd/0", stdin=b"in").out, b"out\nin")


def check_blocked_output(kit):
    """who does not read stdout still gets stderr, the end, and then the rest"""
    with Session(kit, credit=(0, 1000, 0)) as host:
        host.start("sh", "-c", "echo a line of output; echo err >&2; exec yes")
        host.until(lambda result: result.err == b"err\n")
        host.send(SIGNAL, 0, struct.pack("<I", 9))
        host.until(lambda result: result.kind is not None)
        expect((host.result.end, host.result.out, host.result.done), ((SIGNALLED, 9), b"", False))
        host.allow(1, 10)
        host.until(lambda result: len(result.out) == 10)
        assert 1 not in host.result.ended
        host.allow(1, 1 << 20)
        result = host.finish()
        rest = result.out[17:]
        expect(result.out, b"a line of output\n" + (b"y\n" * (len(rest) // 2 + 1))[:len(rest)])
    with Session(kit, credit=(0, 0, 0)) as host:  # nothing to read needs no credit to end
        host.start("true")
        expect(host.finish().end, (EXITED, 0))


def check_unread_output(kit):
    """who writes to a stream that nobody reads gets SIGPIPE or EPIPE; the others of the command go on"""
    tellers = {"yes; echo ended by $? >&2": b"ended by 141\n",  # 128 and SIGPIPE
               "trap '' PIPE; yes 2> /dev/null; echo ended by $? >&2": b"ended by 1\n"}
    for script, wanted in tellers.items():
        with Session(kit) as host:
            host.start("sh", "-c", script)
            host.until(lambda result: len(result.out) > 100000)
            host.send(EOF, 1)
            result = host.finish()
            expect((result.end, result.err), ((EXITED, 0), wanted))
    with Session(kit) as host:
        host.start("sh", "-c", "cat; echo lost >&2; echo out", outputs=["/etc/passwd"])
        host.until(lambda result: result.started)
        host.send(EOF, 2)
        host.input(b"in")
        result = host.finish()
        expect((result.out, result.err, len(result.archives)), (b"in", b"", 1))
        expect(result.end, (SIGNALLED, signal.SIGPIPE))
    with Session(kit) as host:  # a terminal is hung up
        host.start("sh", "-c", "echo ready; exec sleep 1000", pty=(24, 80, "vt100"))
        host.until(lambda result: b"ready" in result.out)
        host.send(EOF, 1)
        expect(host.finish().end, (SIGNALLED, signal.SIGHUP))
    with Session(kit) as host:  # after its end there is nothing to close
        host.start("sh", "-c", "exec >&-; cat >&2")
        host.until(lambda result: 1 in result.ended)
        host.send(EOF, 1)
        host.input(b"x")
        expect(host.finish().end, (EXITED, 0))


def check_unread_input(kit):
    """a command that does not read its input stops nothing"""
    with Session(kit) as host:
        host.start("sh", "-c", "echo a; sleep 0.3; echo b")
        host.until(lambda result: result.allowed >= 65536)
        sent = 0
        while not host.result.done:
            if host.result.allowed and not host.result.input_ended:
                host.send(DATA, 0, b"x" * host.result.allowed)
                sent += host.result.allowed
                host.result.allowed = 0
            host.take()
        result = host.finish()
        expect((result.out, result.end), (b"a\nb\n", (EXITED, 0)))
        assert 65536 <= sent <= 4 * 65536, sent


def check_closed_input(kit):
    """a command that closes its input: the host is told, and may go on sending"""
    with Session(kit) as host:
        host.start("sh", "-c", "exec <&-; echo closed; sleep 0.3; echo end")
        host.until(lambda result: result.input_ended and result.allowed >= 65536)
        expect(host.result.kind, None)
        for _ in range(3):
            host.send(DATA, 0, b"x" * 30000)
        host.until(lambda result: result.allowed >= 65536)
        result = host.finish()
        expect((result.out, result.end), (b"closed\nend\n", (EXITED, 0)))


def check_end_of_input(kit):
    """the end of input is one"""
    expect(run(kit, "cat").out, b"")
    expect(run(kit, "cat", stdin=b"\0\x04\xff").out, b"\0\x04\xff")
    with Session(kit) as host:  # without waiting for anything
        host.start("sh", "-c", "cat; exit 5")
        host.send(EOF, 0)
        expect(host.finish().end, (EXITED, 5))


def check_terminal(kit):
    """a terminal: size, new size, keys, the end of input"""
    result = run(kit, "sh", "-c", "stty size; test -t 0 && test -t 1 && test -t 2 && echo $TERM >&2", pty=(33, 101, "vt220"))
    expect((result.out, result.err, result.end), (b"33 101\r\nvt220\r\n", b"", (EXITED, 0)))
    with Session(kit) as host:
        host.start("sh", "-c", "trap 'stty size; exit 4' WINCH; echo ready; while :; do sleep 0.05; done", pty=(1, 2, ""))
        host.until(lambda result: b"ready" in result.out)
        host.send(RESIZE, 0, struct.pack("<HH", 50, 60))
        result = host.finish()
        expect((result.out, result.end), (b"ready\r\n50 60\r\n", (EXITED, 4)))
    with Session(kit) as host:
        host.start("sh", "-c", "echo ready; exec sleep 1000", pty=(24, 80, "vt100"))
        host.until(lambda result: b"ready" in result.out and result.allowed)
        host.send(DATA, 0, b"\x03")
        expect(host.finish().end, (SIGNALLED, signal.SIGINT))
    for text in (b"a line\n", b"half"):
        result = run(kit, "sh", "-c", "stty -echo; echo ready; cat; echo end", pty=(24, 80, "vt100"), stdin=text)
        assert result.out.endswith(text.replace(b"\n", b"\r\n") + b"end\r\n"), result.out
        expect(result.end, (EXITED, 0))


def check_signal_frames(kit):
    """signals from the host reach the group, and the foreground group of a terminal"""
    with Session(kit) as host:
        host.start("sh", "-c", "trap 'echo got; exit 7' TERM; echo ready; while :; do sleep 0.05; done")
        host.until(lambda result: b"ready" in result.out)
        host.send(SIGNAL, 0, struct.pack("<I", signal.SIGTERM))
        result = host.finish()
        expect((result.out, result.end), (b"ready\ngot\n", (EXITED, 7)))
    with Session(kit) as host:
        host.start("sh", "-m", "-c", "sh -c 'echo ready; exec sleep 1000'; echo after $?", pty=(24, 80, ""))
        host.until(lambda result: b"ready" in result.out)
        host.send(SIGNAL, 0, struct.pack("<I", signal.SIGTERM))
        result = host.finish()
        assert b"after 143" in result.out, result.out
        expect(result.end, (EXITED, 0))


def check_environment(kit):
    """environment, folder, arguments"""
    usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    expect(sorted(run(kit, "env", env=["A=b=c", "EMPTY="]).out.decode().split("\n")), sorted(["", "A=b=c", "EMPTY=", "HOME=/root", "PATH=" + usual]))
    expect(run(kit, "env", env=["HOME=/x", "PATH=/bin"]).out, b"HOME=/x\nPATH=/bin\n")
    expect(run(kit, "pwd", cwd="/srv/dev").out, b"/srv/dev\n")
    expect(run(kit, "pwd").out, b"/\n")
    expect(run(kit, "echo", b"\xff\n", "", " x ").out, b"\xff\n   x \n")
    many = [str(number) for number in range(2000)]
    expect(run(kit, "echo", *many).out.decode(), " ".join(many) + "\n")


def check_user(kit):
    """another user, by name and by number"""
    if os.geteuid() != 0:
        raise Skip("one user only without root")
    script = "id -u; id -g; id -G; echo $HOME > /dev/stdout"
    for user, wanted in (("dev", "1000 1001 1001 50 70 /srv/dev"), ("1000", "1000 1001 1001 50 70 /srv/dev"), ("dev:files", "1000 60 60 /srv/dev"),
                         ("2000:3000", "2000 3000 3000 /"), ("2000", "2000 2000 2000 /"), ("0", "0 0 0 /root")):
        result = shell(kit, script, user=user)
        expect((result.end, result.out.decode().split()), ((EXITED, 0), wanted.split()))
    result = run(kit, "sh", "-c", "id -u; echo > /dev/tty; test -O /dev/stdin && echo mine", user="dev", pty=(24, 80, ""))
    expect(result.out.split(), [b"1000", b"mine"])


def check_orphans(kit):
    """what the command leaves running does not hold up the end"""
    for script in ("sleep 1000 & echo x", "setsid sleep 1000 & echo x", "sh -c 'trap \"\" TERM HUP; sleep 1000' & echo x", "yes > /dev/null & echo x"):
        begin = time.monotonic()
        result = shell(kit, script)
        expect((result.out, result.end), (b"x\n", (EXITED, 0)))
        assert time.monotonic() - begin < 10
    result = shell(kit, "yes & sleep 0.1; exit 9")
    expect(result.end, (EXITED, 9))
    assert result.out.startswith(b"y\ny\n")
    expect(run(kit, "sh", "-c", "sleep 1000 & echo x; exit 2", pty=(24, 80, "")).end, (EXITED, 2))


def check_files(kit):
    """files and folders come back as archives, in order"""
    big = random.Random(2).randbytes(3 << 20)
    script = ("mkdir -p /out/a/empty /out/deep/er; echo hello > /out/a/file; cat > /out/big; ln -s ../x /out/a/link; ln -s /out /latest; : > /out/nothing;"
              "echo spaces > '/out/a b'; mkdir -p /w; echo rel > /w/rel; : > /out/held; sleep 1000 >> /out/held &")
    outputs = ["/out", "/missing", "/out/a/file", "/latest/", "rel", "/", "/out/..", "/dev/null"]
    result = shell(kit, "mkdir /w; cd /w; " + script, stdin=big, outputs=outputs, cwd="/root")
    expect(result.end, (EXITED, 0))
    expect(len(result.archives), len(outputs))
    tree = read_archive(result.archives[0])
    expect(sorted(tree), ["out", "out/a", "out/a b", "out/a/empty", "out/a/file", "out/a/link", "out/big", "out/deep", "out/deep/er", "out/held", "out/nothing"])
    expect(list(tree)[0], "out")
    assert stat.S_ISDIR(tree["out/a"][0]) and stat.S_ISREG(tree["out/big"][0])
    assert stat.S_ISLNK(tree["out/a/link"][0])
    expect((tree["out/a/file"][1], tree["out/a/link"][1], tree["out/nothing"][1]), (b"hello\n", b"../x", b""))
    assert tree["out/big"][1] == big
    expect(read_archive(result.archives[2])["file"][1], b"hello\n")
    expect(read_archive(result.archives[3])["latest/a/file"][1], b"hello\n")
    for number in (1, 4, 5, 6, 7):
        expect(result.archives[number], b"")
    expect(result.failures, [(errno.ENOENT, "/missing"), (errno.ENOENT, "/root/rel"), (errno.EINVAL, "/"), (errno.EINVAL, "/out/.."),
                             (errno.EINVAL, "/dev/null")])
    result = shell(kit, "echo rel > rel", cwd="/root", outputs=["rel"])
    expect(read_archive(result.archives[0])["rel"][1], b"rel\n")


def check_files_without_size(kit):
    """files of the kernel come back whole: those that say no size, and those that say too much"""
    script = ("cat /proc/version > /version; cat /proc/kallsyms > /symbols; cat /sys/kernel/mm/transparent_hugepage/enabled > /huge;"
              "cat /version /huge; cat /symbols | { read line; }")
    paths = ["/proc/version", "/proc/kallsyms", "/sys/kernel/mm/transparent_hugepage/enabled"]
    result = shell(kit, script, outputs=[each for pair in zip(paths, ("/version", "/symbols", "/huge")) for each in pair])
    expect(result.failures, [])
    files = [next(iter(read_archive(archive).values()))[1] for archive in result.archives]
    assert len(files[0]) > 10 and len(files[2]) > 1 << 17 and 10 < len(files[4]) < 4096, [len(each) for each in files]
    for at in (0, 2, 4):
        expect(files[at], files[at + 1])


def check_slow_files(kit):
    """files come as fast as the host allows; DONE comes after them"""
    with Session(kit, credit=(1000, 1000, 0)) as host:
        host.start("sh", "-c", "yes | { while read x && test ${#t} -lt 20000; do t=$t$x$x$x$x$x$x$x$x; done; echo $t > /f; }", outputs=["/f", "/nothing"])
        host.until(lambda result: len(result.ended) == 2)
        for step in range(1, 4):
            host.allow(3, 1000)
            host.until(lambda result, step=step: len(result.data[3]) == 1000 * step)
        host.allow(3, 1 << 20)
        result = host.finish()
        assert len(read_archive(result.archives[0])["f"][1]) > 20000
        expect(result.failures, [(errno.ENOENT, "/nothing")])


def frame(kind, stream=0, body=b"", zero=0, length=None):
    return struct.pack("<BBHI", kind, stream, zero, len(body) if length is None else length) + body


GREETING = frame(HELLO, 0, struct.pack("<I", 1))
RUNNING = GREETING + frame(ARG, 0, b"sleep") + frame(ARG, 0, b"1000") + frame(START)
WRONG = {
    "no HELLO": frame(START),
    "another length of HELLO": frame(HELLO, 0, b"\1"),
    "HELLO twice": GREETING * 2,
    "no such type": GREETING + frame(99),
    "type 0": GREETING + frame(0),
    "a guest's type": GREETING + frame(STARTED),
    "reserved bits": GREETING + frame(ARG, 0, b"x", zero=1),
    "a length over the limit": GREETING + frame(ARG, length=65537),
    "a length far over the limit": GREETING + frame(ARG, length=0xffffffff),
    "text": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "START without a command": GREETING + frame(START),
    "START with a body": GREETING + frame(ARG, 0, b"true") + frame(START, 0, b"x"),
    "START twice": RUNNING + frame(START),
    "ARG after START": RUNNING + frame(ARG, 0, b"x"),
    "a NUL": GREETING + frame(ARG, 0, b"a\0b"),
    "ENV without =": GREETING + frame(ENV, 0, b"x"),
    "ENV without a name": GREETING + frame(ENV, 0, b"=x"),
    "a short PTY": GREETING + frame(PTY, 0, b"\0\0\0"),
    "input too early": GREETING + frame(DATA, 0, b"x"),
    "input before it is allowed": RUNNING + frame(DATA, 0, b"x" * 65536) + frame(DATA, 0, b"x" * 65536) + frame(DATA, 0, b"x" * 65536),
    "data of stdout": RUNNING + frame(DATA, 1, b"x"),
    "EOF twice": RUNNING + frame(EOF) * 2,
    "EOF of stdout twice": RUNNING + frame(EOF, 1) * 2,
    "EOF of stdout too early": GREETING + frame(EOF, 1),
    "EOF of files": RUNNING + frame(EOF, 3),
    "EOF of no stream": RUNNING + frame(EOF, 200),
    "EOF with a body": RUNNING + frame(EOF, 2, b"x"),
    "a WINDOW of stdin": RUNNING + frame(WINDOW, 0, b"1234"),
    "a WINDOW of no stream": RUNNING + frame(WINDOW, 4, b"1234"),
    "a short WINDOW": RUNNING + frame(WINDOW, 1, b"123"),
    "RESIZE without a terminal": RUNNING + frame(RESIZE, 0, b"1234"),
    "SIGNAL 0": RUNNING + frame(SIGNAL, 0, struct.pack("<I", 0)),
    "SIGNAL 65": RUNNING + frame(SIGNAL, 0, struct.pack("<I", 65)),
    "SIGNAL too early": GREETING + frame(SIGNAL, 0, struct.pack("<I", 1)),
    "too many strings": GREETING + frame(ARG, 0, b"x" * 65536) * 33,
    "too many empty strings": GREETING + frame(ARG) * (240 << 10),
}


def send_raw(kit, data, close):
    """Returns the host after it has sent this and taken what came, and how the guest ended."""
    guest = Guest(kit)
    host = Host.__new__(Host)
    host.guest, host.sock, host.buffer, host.greeted = guest, guest.sock, bytearray(), False
    host.credit = {1: 1 << 40, 2: 1 << 40, 3: 1 << 40}
    host.result = Result()
    guest.sock.settimeout(20)
    try:
        guest.sock.sendall(data)
        if close:
            guest.sock.shutdown(1)
        while host.take():
            if host.result.done and not close:
                guest.sock.sendall(frame(BYE))
    except (BrokenPipeError, ConnectionResetError):
        pass
    how = guest.wait()
    host.result.said = guest.said()
    guest.end()
    return host.result, how


def check_wrong_frames(kit):
    """a host that breaks the rules is told so, and the machine ends"""
    for name, data in WRONG.items():
        result, how = send_raw(kit, data, False)
        expect((name, how), (name, 128 + signal.SIGINT))
        assert "the host broke the protocol: " in result.said, (name, result.said)
        expect((name, result.end, result.done), (name, (NOT_STARTED, errno.EPROTO), True))


def check_wrong_version(kit):
    """another version of the protocol"""
    result, how = send_raw(kit, frame(HELLO, 0, struct.pack("<I", 2)), False)
    expect((how, result.end), (128 + signal.SIGINT, (NOT_STARTED, errno.EPROTONOSUPPORT)))
    assert "version 2" in result.text, result.text


def check_truncated(kit):
    """a host that goes away, at any byte"""
    whole = RUNNING + frame(WINDOW, 1, b"1234") + frame(SIGNAL, 0, struct.pack("<I", signal.SIGWINCH)) + frame(EOF)
    for cut in list(range(0, len(whole), 5)) + [len(whole)]:
        result, how = send_raw(kit, whole[:cut], True)
        expect((cut, how), (cut, 128 + signal.SIGINT))
        assert "the host has gone" in result.said, result.said


def check_noise(kit):
    """random frames and bytes, from before and after the start"""
    source = random.Random(3)
    for _ in range(60):
        data = source.choice((b"", GREETING, RUNNING, GREETING + frame(PTY, 0, b"\1\0\1\0x") + RUNNING[len(GREETING):]))
        for _ in range(source.randrange(30)):
            kinds = source.choice((range(256), (ARG, ENV, CWD, OUTPUT, WINDOW, RESIZE, SIGNAL, DATA, EOF, START)))
            data += frame(source.choice(kinds), source.choice((0, 0, 1, 2, 3, 200)), source.randbytes(source.choice((0, 4, 4, 5, 1000))))
        result, how = send_raw(kit, data + source.randbytes(source.randrange(20)), True)
        expect(how, 128 + signal.SIGINT)
        assert "Sanitizer" not in result.said, result.said


def check_bye(kit):
    """BYE ends everything at once"""
    for script in ("sleep 1000", "trap '' HUP INT TERM; yes"):
        with Session(kit, credit=(0, 0, 0)) as host:
            host.start("sh", "-c", script, outputs=["/etc"])
            host.until(lambda result: result.started)
            host.send(BYE)
            expect(host.guest.wait(), 128 + signal.SIGINT)
    with Session(kit) as host:  # without a BYE, the end comes by itself
        host.start("true")
        host.until(lambda result: result.done)
        expect(host.guest.wait(), 128 + signal.SIGINT)


def make_interface():
    for kind in (("type", "dummy"), ("type", "veth", "peer", "name", "other")):
        if subprocess.run(["ip", "link", "add", "eth0", *kind], check=False, capture_output=True).returncode == 0:
            return


def check_boot_file(kit):
    """the boot file: host name, network, and what is wrong in it"""
    boot = "# a comment\n\nhostname a-guest\nmodule /lib/nothing.ko a=1\nwhat is this\nnet\nmodule /etc/passwd\n"
    result = shell(kit, "hostname; ifconfig lo", boot=boot)
    assert result.out.startswith(b"a-guest\n") and b"UP LOOPBACK" in result.out, result.out
    for text in ("module /lib/nothing.ko: No such file", "boot file: what: not known", "boot file: net: a value is missing", "module /etc/passwd: "):
        assert "vmm-init: " + text in result.said, result.said
    result = shell(kit, "cat /etc/resolv.conf", boot="net eth7 1.2.3.4.5/24\nnet eth0 nonsense\n", interface=make_interface)
    assert "net eth0: not ADDRESS/PREFIX" in result.said, result.said


def check_network(kit):
    """an interface with its address, route and name server"""
    if not shutil.which("ip"):
        raise Skip("no ip")
    script = "ifconfig eth0; route -n; cat /etc/resolv.conf"
    for extra in ({}, {"etc/resolv.conf": "nameserver 9.9.9.9\n"}):
        result = shell(kit, script, boot="net eth0 10.0.2.15/20 10.0.2.2 10.0.2.3", extra=extra, interface=make_interface)
        if b"eth0" not in result.out:
            raise Skip("no interface to try it with")
        words = result.out.decode().split()
        for word in ("addr:10.0.2.15", "Mask:255.255.240.0", "UP", "UG"):
            assert word in words, result.out
        assert result.out.endswith(b"nameserver 10.0.2.3\n"), result.out


def check_root(kit):
    """a root that does not appear is told to the host"""
    result = shell(kit, "true", boot="root /dev/nothing ro")
    expect(result.end, (NOT_STARTED, errno.ENODEV))
    assert "/dev/nothing" in result.text, result.text


def check_mounts(kit):
    """what programs expect of a system is mounted"""
    result = shell(kit, "echo x > /run/x; echo x > /dev/shm/x; echo x > /tmp/x; cat /proc/self/mounts; cat /proc/1/comm",
                   extra={"etc/hosts": ""})
    expect((result.end, result.err), ((EXITED, 0), b""))
    for path in (b" /run tmpfs", b" /tmp tmpfs", b" /dev/shm tmpfs", b" /dev/pts devpts", b" /proc proc"):
        assert path in result.out, result.out
    result = shell(kit, "cat /tmp/kept /proc/self/mounts", extra={"tmp/kept": "kept\n"})
    assert result.out.startswith(b"kept\n") and b" /tmp tmpfs" not in result.out, result.out
    result = shell(kit, "cat /run/kept /proc/self/mounts", extra={"run/kept": "kept\n"}, boot="keep /run\n")
    assert result.out.startswith(b"kept\n") and b" /run tmpfs" not in result.out, result.out


CHECKS = [check_codes, check_signals, check_not_started, check_interpreters, check_input, check_streams, check_blocked_output, check_unread_output,
          check_unread_input,
          check_closed_input, check_end_of_input, check_terminal, check_signal_frames, check_environment, check_user, check_orphans, check_files,
          check_files_without_size, check_slow_files, check_wrong_frames, check_wrong_version, check_truncated, check_noise, check_bye, check_boot_file, check_network, check_root,
          check_mounts]


def obstacle(kit):
    """Why there can be no guest here, or None."""
    if not kit.busybox:
        return "no busybox"
    if subprocess.run(["unshare", "-Urmpfuin", "true"], check=False, capture_output=True).returncode != 0:
        return "namespaces are refused"
    guest = Guest(kit)
    greeted = guest.sock.recv(8)
    guest.sock.close()
    how = guest.wait()
    guest.end()
    return "a container cannot be set up here" if how == 99 and not greeted else None


def main():
    names = sys.argv[2:]
    checks = [check for check in CHECKS if not names or check.__name__[6:] in names]
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        kit = Kit(os.path.abspath(sys.argv[1]), folder)
        reason = obstacle(kit)
        if reason:
            print("1..0 # SKIP " + reason)
            return 0
        print("1..%d" % len(checks))
        for number, check in enumerate(checks, 1):
            try:
                check(kit)
                print("ok %d - %s" % (number, check.__doc__), flush=True)
            except Skip as why:
                print("ok %d - %s # SKIP %s" % (number, check.__doc__, why), flush=True)
            except (AssertionError, OSError) as wrong:
                failures += 1
                line = wrong.__traceback__.tb_next.tb_lineno
                print("not ok %d - %s\n# line %d: %r" % (number, check.__doc__, line, wrong), flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
