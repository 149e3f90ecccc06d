# SPDX-License-Identifier: Apache-2.0
"""Runs vmm-init as the first process of a container made of namespaces, over a small tree in a tmpfs. Its port is one
end of a socket pair; the other is the host's, which speaks the protocol of firmware/vmm-init/protocol.h."""
import ctypes
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

PATIENCE = 60
HELLO, DATA, EOF, WINDOW = 1, 2, 3, 4
ARG, ENV, CWD, USER, PTY, OUTPUT, START, RESIZE, SIGNAL, BYE = range(16, 26)
STARTED, EXIT, FILE_FAILED, DONE = range(32, 36)
EXITED, SIGNALLED, NOT_STARTED = range(3)
MANY = 1 << 30

NEW_NAMESPACES = 0x00020000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000  # NS UTS IPC USER PID NET
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
PR_SET_PDEATHSIG = 1
APPLETS = ("cat", "echo", "env", "hostname", "id", "ifconfig", "kill", "ln", "mkdir", "pwd", "route", "setsid", "sh", "sleep", "stty", "test",
           "true", "yes")
PASSWD = "root:x:0:0:root:/root:/bin/sh\ndev:x:1000:1001:A developer:/srv/dev:/bin/sh\n"
GROUP = "root:x:0:\nstaff:x:50:dev,other\nfiles:x:60:other\nwheel:x:70:other,dev\ndev:x:1001:\n"

libc = ctypes.CDLL(None, use_errno=True)


def system(call, *arguments):
    if call(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "%s: %s" % (call.__name__, os.strerror(ctypes.get_errno())))


def mount(source, target, kind, flags, options=None):
    system(libc.mount, *(text and text.encode() for text in (source, target, kind)), ctypes.c_ulong(flags), options and options.encode())


class Kit:
    """What all guests of a run share: the programs, and the folder where their root is put."""

    def __init__(self, init, folder):
        self.init, self.folder = init, folder
        self.root = os.path.join(folder, "root")
        self.busybox = shutil.which("busybox")
        os.mkdir(self.root)
        listed = subprocess.run(["ldd", init], check=False, capture_output=True, text=True)
        # A program with a sanitizer is a dynamic one.
        self.libraries = re.findall(r"(/\S+) \(0x", listed.stdout) if listed.returncode == 0 else []

    def fill(self, root, boot, extra):
        for name in ("bin", "dev", "etc", "srv/dev", "proc", "root", "run", "sys", "tmp", ".vmm"):
            os.makedirs(root + "/" + name)
        shutil.copy(self.busybox, root + "/bin/busybox")
        for name in APPLETS:
            os.symlink("busybox", root + "/bin/" + name)
        shutil.copy(self.init, root + "/.vmm/init")
        for library in self.libraries:
            os.makedirs(os.path.dirname(root + library), exist_ok=True)
            shutil.copy(library, root + library)
        for name, text in {".vmm/boot": boot, "etc/passwd": PASSWD, "etc/group": GROUP, **extra}.items():
            with open(root + "/" + name, "wb") as file:
                file.write(text.encode() if isinstance(text, str) else text)

    def bind_devices(self, root, log):
        for name, source in {"null": "/dev/null", "zero": "/dev/zero", "tty": "/dev/tty", "kmsg": log}.items():
            with open(root + "/dev/" + name, "wb"):
                pass
            mount(source, root + "/dev/" + name, None, MS_BIND)


class Guest:
    def __init__(self, kit, boot="", extra=None, interface=None):
        self.kit, self.boot, self.extra, self.interface = kit, boot, extra or {}, interface
        self.log = tempfile.NamedTemporaryFile(dir=kit.folder, prefix="log-")
        os.chmod(self.log.name, 0o666)
        self.sock, self.port = socket.socketpair()
        self.wide = os.geteuid() == 0  # whether there is more than one user
        ready, mapped = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.child(ready[1], mapped[0])
            except BaseException as wrong:  # pylint: disable=broad-except
                os.write(2, ("cannot make a guest: %r\n" % wrong).encode())
            os._exit(99)
        os.close(ready[1])
        os.close(mapped[0])
        self.port.close()
        if os.read(ready[0], 1) and self.wide:
            for name in ("uid_map", "gid_map"):
                with open("/proc/%d/%s" % (self.pid, name), "w", encoding="ascii") as file:
                    file.write("0 0 65536")
        os.write(mapped[1], b"m")
        os.close(ready[0])
        os.close(mapped[1])

    def child(self, ready, mapped):
        """Between the host and the guest's first process: waits for that, and tells how it ended."""
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        uid, gid = os.geteuid(), os.getegid()
        system(libc.unshare, NEW_NAMESPACES)
        if not self.wide:
            for name, text in (("setgroups", "deny"), ("uid_map", "0 %d 1" % uid), ("gid_map", "0 %d 1" % gid)):
                with open("/proc/self/" + name, "w", encoding="ascii") as file:
                    file.write(text)
        os.write(ready, b"r")
        os.read(mapped, 1) if self.wide else None
        first = os.fork()
        if first == 0:
            self.become_init()
        self.sock.close()
        self.port.close()
        status = os.waitpid(first, 0)[1]
        os._exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))

    def become_init(self):
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.setresuid(0, 0, 0) if self.wide else None
        root = self.kit.root
        mount("none", "/", None, MS_REC | MS_PRIVATE)
        mount("tmpfs", root, "tmpfs", 0, "mode=0755")
        if self.interface:
            self.interface()
        self.kit.fill(root, self.boot, self.extra)
        self.kit.bind_devices(root, self.log.name)
        if self.kit.libraries:
            mount("proc", root + "/proc", "proc", 0)
        os.dup2(self.log.fileno(), 2)
        os.chroot(root)
        os.chdir("/")
        os.set_inheritable(self.port.fileno(), True)
        os.execve("/.vmm/init", ["init", "quiet", "--port", str(self.port.fileno()), "--boot", "/.vmm/boot"],
                  {"HOME": "/nowhere", "ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "halt_on_error=1"})

    def said(self):
        with open(self.log.name, encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait(self):
        """Returns how the first process ended: SIGINT is what a power-off looks like in a container."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1
            time.sleep(0.002)
        return None

    def end(self):
        self.sock.close()
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        self.log.close()


class Result:
    def __init__(self):
        self.kind = self.status = self.text = None
        self.data = {1: bytearray(), 2: bytearray(), 3: bytearray()}
        self.ended, self.archives, self.failures = [], [], []
        self.started = self.done = self.input_ended = False
        self.allowed = 0
        self.order = []

    out = property(lambda self: bytes(self.data[1]))
    err = property(lambda self: bytes(self.data[2]))
    end = property(lambda self: (self.kind, self.status))


class Host:
    """The host's half of the protocol. Each frame from the guest is checked as it comes."""

    def __init__(self, guest, credit=(MANY, MANY, MANY)):
        self.guest, self.sock, self.result = guest, guest.sock, Result()
        self.sock.settimeout(PATIENCE)
        self.buffer = bytearray()
        self.credit = {1: 0, 2: 0, 3: 0}
        self.greeted = False
        self.send(HELLO, 0, struct.pack("<I", 1))
        for stream, count in enumerate(credit, 1):
            if count:
                self.allow(stream, count)

    def send(self, kind, stream=0, body=b""):
        self.sock.sendall(struct.pack("<BBHI", kind, stream, 0, len(body)) + body)

    def allow(self, stream, count):
        self.credit[stream] += count
        self.send(WINDOW, stream, struct.pack("<I", count))

    def start(self, *args, env=(), cwd=None, user=None, pty=None, outputs=()):
        for arg in args:
            self.send(ARG, 0, arg.encode() if isinstance(arg, str) else arg)
        for each in env:
            self.send(ENV, 0, each.encode())
        for kind, text in ((CWD, cwd), (USER, user)):
            if text is not None:
                self.send(kind, 0, text.encode())
        if pty:
            self.send(PTY, 0, struct.pack("<HH", *pty[:2]) + pty[2].encode())
        for output in outputs:
            self.send(OUTPUT, 0, output.encode())
        self.send(START)

    def read_frame(self):
        """The next frame, or None at the end."""
        while True:
            if len(self.buffer) >= 8:
                kind, stream, zero, length = struct.unpack_from("<BBHI", self.buffer)
                assert zero == 0 and length <= 65536, "a frame that is none: %r" % bytes(self.buffer[:8])
                if len(self.buffer) >= 8 + length:
                    body = bytes(self.buffer[8:8 + length])
                    del self.buffer[:8 + length]
                    return kind, stream, body
            try:
                some = self.sock.recv(1 << 18)
            except ConnectionResetError:
                some = b""
            if not some:
                assert not self.buffer, "half a frame at the end"
                return None
            self.buffer += some

    def take(self):
        """Takes one frame into the result. False at the end."""
        frame = self.read_frame()
        if frame is None:
            return False
        kind, stream, body = frame
        result = self.result
        assert self.greeted == (kind != HELLO), "HELLO is the first frame, and only that"
        assert not result.done, "a frame after DONE: %d" % kind
        result.order.append((kind, stream))
        if kind == HELLO:
            assert body == struct.pack("<I", 1)
            self.greeted = True
        elif kind == STARTED:
            result.started = True
        elif kind == DATA:
            assert body and stream not in result.ended
            self.credit[stream] -= len(body)
            assert self.credit[stream] >= 0, "more of stream %d than was allowed" % stream
            result.data[stream] += body
        elif kind == EOF:
            self.take_end(stream)
        elif kind == WINDOW:
            assert stream == 0 and result.started
            result.allowed += struct.unpack("<I", body)[0]
        elif kind == EXIT:
            assert result.kind is None, "a second EXIT"
            result.kind, result.status = struct.unpack_from("<II", body)
            result.text = body[8:].decode()
        elif kind == FILE_FAILED:
            result.failures.append((struct.unpack_from("<I", body)[0], body[4:].decode()))
        elif kind == DONE:
            result.done = True
        else:
            raise AssertionError("a frame of type %d" % kind)
        return True

    def take_end(self, stream):
        result = self.result
        if stream == 0:
            assert not result.input_ended
            result.input_ended = True
        elif stream == 3:
            result.archives.append(bytes(result.data[3]))
            result.data[3].clear()
        else:
            assert stream not in result.ended
            result.ended.append(stream)

    def until(self, wanted):
        """Takes frames until wanted(result)."""
        while not wanted(self.result):
            assert self.take(), "the guest ended too early; it said: " + self.guest.said()
        return self.result

    def input(self, data, finish=True):
        """Sends standard input as the guest allows, and takes what comes meanwhile."""
        at = 0
        while at < len(data) and not self.result.input_ended:
            if self.result.allowed == 0:
                assert self.take(), "the guest ended"
                continue
            part = data[at:at + min(self.result.allowed, 65536)]
            self.send(DATA, 0, part)
            self.result.allowed -= len(part)
            at += len(part)
            while select.select([self.sock], [], [], 0)[0] and self.take():
                pass
        if finish and not self.result.input_ended:
            self.send(EOF, 0)

    def finish(self):
        """Until DONE; then BYE, and the guest must power off."""
        result = self.until(lambda result: result.done)
        self.send(BYE)
        how = self.guest.wait()
        assert how == 128 + signal.SIGINT, "ended by %s; it said: %s" % (how, self.guest.said())
        return result


def read_archive(data):
    """{name: (mode, contents)} of a newc archive, in order."""
    found, at = {}, 0
    while True:
        assert data[at:at + 6] == b"070701", "no header at %d" % at
        fields = [int(data[at + 6 + 8 * i:at + 14 + 8 * i], 16) for i in range(13)]
        name = data[at + 110:at + 110 + fields[11] - 1].decode()
        at += (110 + fields[11] + 3) & ~3
        body = data[at:at + fields[6]]
        assert len(body) == fields[6]
        at += (fields[6] + 3) & ~3
        if name == "TRAILER!!!":
            assert at == len(data), "bytes after the trailer"
            return found
        assert name not in found
        found[name] = (fields[1], body)
