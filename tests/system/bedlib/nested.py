# SPDX-License-Identifier: Apache-2.0
"""The nested bed: outer machines under QEMU's emulator, whose own KVM runs the scenarios.

QEMU's TCG emulates AMD's SVM, so a stock kernel in it has a complete KVM whatever this host's /dev/kvm can do.
One boot runs many scenarios. The host hands out one job at a time over a virtio-serial port, and gets tar streams
back on the same port: an entry JOB/started before a job, its whole folder after it, JOB/finished last. A job that
hangs is ended inside by `drive`; if an outer machine itself dies or stops answering, another takes its place and the
job that it had is tried again; one that takes three machines with it is reported as lost.

Each outer machine has one CPU, and there are as many machines as are to run at the same time. With two CPUs in one
machine, emulated by two threads, about one guest in twenty broke down in mid-air (a triple fault or a hang, under
QEMU as under vmm), and it was slower as well.
"""

import os
import queue
import shutil
import socket
import subprocess
import tarfile
import threading
import time

from . import images

# QEMU 7.2 emulates SVM without the intercept of XSETBV: the outer KVM never learns the guest's XCR0 and puts back
# its own idea of it, and the guest's XSAVE then loses register state. So the outer machine has no XSAVE.
OUTER_CPU = "max,-xsave"
# What QEMU has translated for a guest that is gone makes the memory slow that the guest had: each write has to look
# whether it changes translated code. A small cache forgets in time; with the default one all guests but the first take
# 1.7 times as long.
PLAIN = ("-accel", "tcg,thread=single,tb-size=32")
# A clock that counts instructions: for measuring, however busy the host is.
COUNTED = ("-accel", "tcg,tb-size=32", "-icount", "shift=1,sleep=off")
MARGIN = 60  # seconds beyond the running job's own limit
START_LIMIT = 180
SILENCE_LIMIT = 40  # of QEMU's own CPU time without the sign of life that l1-init.sh gives every few seconds
SILENCE_PATIENCE = 300  # seconds without it, should QEMU just sleep or hardly be let to run
MAX_RESTARTS = 60
MAX_TRIES = 6


def outer_command(kernel, initrd, disk, memory_mib, append="", options=PLAIN):
    """Return QEMU's command line for an outer machine, without its console."""
    # QEMU 7.2 loses a timer interrupt now and then while the machine has a guest of its own, and a clock that is
    # set anew at each tick then stands still for ever: it ticks by itself.
    return [
        "qemu-system-x86_64", "-cpu", OUTER_CPU, "-smp", "1", "-m", str(memory_mib), *options,
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-kernel", kernel.image, "-initrd", initrd,
        "-append", f"console=ttyS0 panic=-1 quiet mitigations=off nohz=off highres=off {append}",
        "-drive", f"file={disk},format=raw,if=none,id=inputs,readonly=on", "-device", "virtio-blk-pci,drive=inputs",
    ]


def cpu_seconds(pid):
    """The CPU time that a process has used: on a host that is busy, what the clock says tells little about it."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stream:
            fields = stream.read().rpartition(")")[2].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Outer:
    """One outer machine. What happens in it goes to `events` as (machine, what, job)."""

    def __init__(self, name, command, results, events, scale):
        self.name, self.results, self.events, self.scale = name, results, events, scale
        self.job = None
        self.limit = START_LIMIT * scale
        self.last = self.heard = time.monotonic()
        self.seen = self.used = 0
        self.console = results / f"{name}-console.log"
        self._connection = None
        self._listener = self._listen(f"{name}.sock")
        # The paths of Unix sockets are short: QEMU is started in the folder and given a name only.
        command = command + [
            "-serial", f"file:{self.console}", "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=jobs,path={name}.sock", "-device", "virtserialport,chardev=jobs,name=jobs",
        ]
        with open(results / f"{name}-qemu.log", "wb") as log:
            self.process = subprocess.Popen(command, cwd=results, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._receiver = threading.Thread(target=self._receive, daemon=True)
        self._receiver.start()
        threading.Thread(target=self._watch, daemon=True).start()

    def _listen(self, name):
        (self.results / name).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        folder = os.open(self.results, os.O_PATH | os.O_DIRECTORY)
        listener.bind(f"/proc/self/fd/{folder}/{name}")
        os.close(folder)
        listener.listen(1)
        return listener

    def _receive(self):
        """Unpack the machine's stream as it comes. Where it breaks off, the rest is lost."""
        try:
            self._connection, _ = self._listener.accept()
            self.events.put((self, "connected", None))
            stream = self._connection.makefile("rb")
            with tarfile.open(fileobj=stream, mode="r|", ignore_zeros=True, bufsize=512) as archive:
                for member in archive:
                    self._take(archive, member)
        except (tarfile.TarError, OSError):
            pass

    def _take(self, archive, member):
        job, _, name = member.name.partition("/")
        if not member.isfile() or ".." in member.name.split("/") or not name:
            return
        (self.results / job).mkdir(parents=True, exist_ok=True)
        with open(self.results / job / name.replace("/", "_"), "wb") as out:
            shutil.copyfileobj(archive.extractfile(member), out)
        if name in ("started", "finished"):
            self.events.put((self, name, job))

    def _watch(self):
        self.process.wait()
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._receiver.join(20)
        self.events.put((self, "ended", None))

    def give(self, job, seconds):
        """Hand out a job, or None for "there are no more"."""
        # The first job waits for the machine to come up.
        self.limit = seconds + (MARGIN + (START_LIMIT if self.job is None else 0)) * self.scale
        self.job = job
        self.last = time.monotonic()
        try:
            self._connection.sendall(f"{job or 'end'}\n".encode())
        except OSError:
            pass  # it has died; `ended` is on its way

    def is_overdue(self):
        """Whether the machine has stalled: its job takes too long, or its console has been silent."""
        try:
            size = self.console.stat().st_size
        except OSError:
            size = 0
        used = cpu_seconds(self.process.pid)
        if size != self.seen:
            self.seen, self.heard, self.used = size, time.monotonic(), used
        silent = used > self.used + SILENCE_LIMIT or time.monotonic() > self.heard + SILENCE_PATIENCE * self.scale
        return (self._connection is not None and silent) or time.monotonic() > self.last + self.limit

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._listener.close()


class Fleet:
    """The outer machines of one run, and the jobs that are left."""

    def __init__(self, jobs, command, results, scale):
        self.left = list(jobs)
        self.jobs, self.command, self.results, self.scale = jobs, command, results, scale
        self.events = queue.Queue()
        self.machines = []
        self.started = 0
        self.restarts = 0
        self.tries = {}  # of jobs that were lost with their machine

    def start(self):
        self.started += 1
        self.machines.append(Outer(f"outer-{self.started}", self.command, self.results, self.events, self.scale))

    def next_job(self, machine):
        job = self.left.pop(0) if self.left else None
        machine.give(job, self.jobs[job].timeout * self.scale if job else 0)

    def retire(self, machine, why):
        """Yield what a machine's end means: the job that it had is lost, and another machine may be needed."""
        machine.stop()
        if machine not in self.machines:
            return
        self.machines.remove(machine)
        if machine.job:
            self.tries[machine.job] = self.tries.get(machine.job, 0) + 1
            if self.tries[machine.job] < MAX_TRIES:
                # The emulator stalls now and then, whatever runs in it: only what never ends is a finding.
                print(f"# {machine.job}: {why}; once more in another", flush=True)
                shutil.rmtree(self.results / machine.job, ignore_errors=True)
                self.left.insert(0, machine.job)
            else:
                yield machine.job, self.results / machine.job, f"{why}, {MAX_TRIES} times; its console: {machine.console}"
        if self.left and self.restarts < MAX_RESTARTS:
            self.restarts += 1
            self.start()

    def handle(self, machine, what, job):
        machine.last = time.monotonic()
        if what == "connected":
            self.next_job(machine)
        elif what == "finished" and job == machine.job:
            yield job, self.results / job, None
            self.next_job(machine)
        elif what == "ended":
            yield from self.retire(machine, f"the outer machine ended early (QEMU's exit code {machine.process.returncode})")

    def run(self):
        while self.machines:
            try:
                yield from self.handle(*self.events.get(timeout=1))
            except queue.Empty:
                pass
            for machine in [machine for machine in self.machines if machine.is_overdue()]:
                yield from self.retire(machine, f"the outer machine gave no sign of life, or its job took more than {machine.limit:.0f} s")
        for job in self.left:
            yield job, self.results / job, f"no outer machine was left to run it; see {self.results}/outer-*"

    def stop(self):
        for machine in self.machines:
            machine.stop()


def run(jobs, stage, results, workers, kernel, memory_mib, scale, options=PLAIN):
    """Run the jobs ({id: scenario}); yield (id, folder, None or why it was lost) as they finish."""
    disk, initrd = results / "inputs.img", results / "outer-initrd.img"
    images.make_disk(stage, disk)
    initrd.write_bytes(images.outer_initrd(images.find_busybox(), kernel))
    fleet = Fleet(jobs, outer_command(kernel, initrd, disk, memory_mib, options=options), results, scale)
    try:
        for _ in range(min(workers, len(jobs))):
            fleet.start()
        yield from fleet.run()
    finally:
        fleet.stop()
        disk.unlink(missing_ok=True)
        initrd.unlink(missing_ok=True)
        for path in results.glob("*.sock"):
            path.unlink()
