#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kills vmm while a guest writes numbered records, and looks for each record that the guest saw flushed. TAP.

Theory of operation: disk-records.elf writes batches of records, flushes, and says "safe FIRST LAST". What a record
is follows from seed and number, so that here, too, it is known what every sector may hold: the last record that was
said to be safe, or a later one that was on its way. vmm is killed at a moment drawn from the seed; then the image is
checked and read by qemu-img, not by vmm; then vmm is started once more on the same image, and so on. After some kills
a new image is taken, because one in which every cluster is allocated has less to lose.

What a SIGKILL leaves in the host's page cache stays: this is about vmm's promises, not about power failures.
"""
import argparse
import os
import random
import re
import selectors
import shutil
import struct
import subprocess
import sys
import tempfile
import time

PLACES, RECORD_SECTORS, BATCH, PLACE_OFFSET, SECTOR = 256, 64, 32, 96, 512
MAGIC = 0x64726F6365726D76
MASK = (1 << 64) - 1
BASE_NUMBER = 1 << 62  # what a backing file is filled with
NOTHING = -1           # no record was ever safe here
BYTES = 8 << 30
KILLS_PER_IMAGE = 10
# How far the guest may be beyond the last line that arrived.
AHEAD = 512
LATEST_SECONDS = 0.2
ZEROES = bytes(SECTOR)
BASE_PLACES = 64
EXIT_USAGE = 2
LOCK_TRIES = 60
SKIP = 77


def mix(x):
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & MASK
    return x ^ x >> 31


class Schedule:
    """What record each number is: (place, sectors, zeroes?, numbers in the batch that begins here)."""

    def __init__(self, seed, has_zeroes):
        self.seed, self.has_zeroes = seed, has_zeroes

    def record(self, number):
        bits = mix((self.seed << 40 & MASK) ^ number)
        return (bits % PLACES, 1 + (bits >> 16) % RECORD_SECTORS, self.has_zeroes and (bits >> 32) % 16 == 0,
                1 + (bits >> 40) % BATCH)

    def sector(self, number, sector):
        return (struct.pack("<4Q", MAGIC, number, sector, self.seed)
                + struct.pack("<Q", mix(number ^ (sector << 32 & MASK))) * (SECTOR // 8 - 4))


class Wrong(Exception):
    """A promise was broken; the text says which."""


class Image:
    """One disk image, and what it must hold."""

    def __init__(self, kind, folder, seed):
        self.kind, self.folder, self.seed = kind, folder, seed
        self.schedule = Schedule(seed, True)
        self.format = "raw" if kind == "raw" else "qcow2"
        self.path = os.path.join(folder, "disk." + self.format)
        self.share = BYTES // SECTOR // PLACES
        self.safe = [[NOTHING] * RECORD_SECTORS for _ in range(PLACES)]
        self.zeroed = [[NOTHING] * RECORD_SECTORS for _ in range(PLACES)]  # the last number that may have zeroed it
        self.seen = {}
        self.next = 0
        self.last = -1
        self.leaks = self.refused = 0
        self.make()

    def make(self):
        base = []
        if self.kind == "qcow2-backed":
            base = ["-b", self.make_base(), "-F", "raw"]
        if os.path.exists(self.path):
            os.unlink(self.path)
        if self.format == "raw":
            with open(self.path, "wb") as out:
                out.truncate(BYTES)
        else:
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *base, self.path, str(BYTES)], check=True)

    def make_base(self):
        path = os.path.join(self.folder, "base.raw")
        with open(path, "wb") as out:
            out.truncate(BYTES)
            for place in range(BASE_PLACES):
                first = place * self.share + PLACE_OFFSET
                out.seek(first * SECTOR)
                out.write(b"".join(self.schedule.sector(BASE_NUMBER, first + i) for i in range(RECORD_SECTORS)))
        return path

    def first(self, place, index):
        """What a sector holds before any record came."""
        if self.kind == "qcow2-backed" and place < BASE_PLACES:
            return self.schedule.sector(BASE_NUMBER, place * self.share + PLACE_OFFSET + index)
        return ZEROES

    def note_safe(self, first, last):
        if first < self.next or last < first or last - first >= BATCH:
            raise Wrong("the guest says that %d to %d are safe, which cannot be" % (first, last))
        used = set()
        for number in range(first, last + 1):
            place, sectors, zeroes, _ = self.schedule.record(number)
            if place not in used:
                used.add(place)
                self.safe[place][:sectors] = [number] * sectors
        self.last = last

    def note_end(self, began):
        """The machine has ended: what may have been written, and where the next one starts."""
        last = max(self.last, began - 1)
        for number in range(began, last + 1 + AHEAD):
            place, sectors, zeroes, _ = self.schedule.record(number)
            if zeroes:
                self.zeroed[place][:sectors] = [number] * sectors
        self.next = last + 1 + 2 * AHEAD

    def check(self):
        if self.format != "qcow2":
            return self.path
        for _ in range(60):
            done = subprocess.run(["qemu-img", "check", "-f", "qcow2", self.path], capture_output=True, text=True, check=False)
            # The kernel ends the requests of a dead process after the process; until then the image is locked, rightly.
            if "Failed to lock" not in done.stderr:
                break
            time.sleep(0.05)
        if done.returncode not in (0, 3):
            raise Wrong("qemu-img check: " + " ".join((done.stdout + done.stderr).split())[:600])
        leaks = re.search(r"(\d+) leaked clusters", done.stdout + done.stderr)
        self.leaks += int(leaks.group(1)) if leaks else 0
        flat = os.path.join(self.folder, "flat.raw")
        subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", self.path, flat], check=True)
        return flat

    def verify(self):
        with open(self.check(), "rb") as disk:
            for place in range(PLACES):
                first = place * self.share + PLACE_OFFSET
                disk.seek(first * SECTOR)
                data = disk.read(RECORD_SECTORS * SECTOR)
                for index in range(RECORD_SECTORS):
                    self.verify_sector(place, index, first + index, data[index * SECTOR:(index + 1) * SECTOR])

    def verify_sector(self, place, index, sector, data):
        safe = self.safe[place][index]
        known = self.seen.get(sector)
        if known and known[0] == data and known[1] >= safe:
            return
        if safe == NOTHING and data == self.first(place, index):
            return
        if data == ZEROES and self.zeroed[place][index] != NOTHING and self.zeroed[place][index] >= safe:
            return
        magic, number = struct.unpack_from("<2Q", data)
        where = "sector %d (place %d)" % (sector, place)
        if magic != MAGIC:
            raise Wrong("%s: record %d was safe, and there is %s" % (where, safe, "nothing" if data == ZEROES else "garbage"))
        if data != self.schedule.sector(number, sector):
            raise Wrong("%s: a broken record %d" % (where, number))
        if number < safe or number == BASE_NUMBER:
            raise Wrong("%s: record %d was safe, and there is record %d" % (where, safe, number))
        holds, sectors, zeroes, _ = self.schedule.record(number)
        if holds != place or index >= sectors or zeroes or number >= self.next:
            raise Wrong("%s: record %d does not belong there" % (where, number))
        self.seen[sector] = (data, number)
        self.safe[place][index] = number  # what is there stays there


def vmm_command(options, image, transport, extra, cmdline):
    disk = "%s,format=%s%s" % (image.path, image.format, extra)
    return [options.vmm, "--kernel", os.path.join(options.guests, "disk-records.elf"), "--mem", "64M", "--timeout", "60",
            "--transport", transport, "--disk", disk, "--cmdline", cmdline]


def qemu_command(options, image, transport, extra, cmdline):
    """The same machine by QEMU: is the test wrong, or vmm?"""
    cache = re.search(r"cache=(\w+)", extra)
    machine = ["-M", "q35,accel=kvm", "-device", "virtio-blk-pci,drive=d,disable-legacy=on"]
    if transport == "mmio":
        machine = ["-M", "microvm,accel=kvm,x-option-roms=off,rtc=off,pic=off,pit=off", "-global", "virtio-mmio.force-legacy=false",
                   "-device", "virtio-blk-device,drive=d"]
    return ["qemu-system-x86_64", *machine, "-cpu", "max,-arch-capabilities", "-m", "64M", "-nodefaults", "-no-reboot",
            "-display", "none", "-serial", "stdio", "-kernel", os.path.join(options.guests, "disk-records.elf"), "-append", cmdline,
            "-drive", "file=%s,format=%s,if=none,id=d,cache=%s" % (image.path, image.format, cache.group(1) if cache else "writeback")]


def read_until(process, deadline, lines):
    """Collect what the guest says until then, or until there were so many lines that are safe; None: no limit."""
    out = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if not selector.select(left):
                break
            piece = os.read(process.stdout.fileno(), 65536)
            if not piece:
                break
            out += piece
            if lines is not None and out.count(b"safe ") > lines:
                break
    return out


def run_and_kill(options, image, transport, rng):
    began = image.next
    extra = ",cache=" + rng.choice(options.caches)
    cmdline = "seed=%d first=%d" % (image.seed, began)
    command = (qemu_command if options.stand_in else vmm_command)(options, image, transport, extra, cmdline)
    # Half of the moments are any, so that the start is among them; half come soon after some flush.
    by_lines = rng.randrange(40) if rng.random() < 0.5 else None
    delay, after = rng.uniform(0, LATEST_SECONDS * options.scale), rng.uniform(0, 0.004)
    for _ in range(LOCK_TRIES):
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            out = read_until(process, time.monotonic() + (delay if by_lines is None else 10), by_lines)
            if by_lines is not None:
                time.sleep(after)
            process.kill()
            rest, errors = process.communicate()
        # The kernel ends the requests of a dead process after the process; until then the image is locked, rightly.
        if process.returncode != EXIT_USAGE or b"another program uses it" not in errors:
            break
        image.refused += 1
        time.sleep(0.05)
    out = (out + rest).decode("ascii", "replace")
    if process.returncode != -9:
        raise Wrong("it ended by itself with %d: %s" % (process.returncode, " ".join((errors.decode() + out[-200:]).split())[:600]))
    if "failed:" in out:
        raise Wrong("the guest says: " + re.search(r"failed:.*", out).group(0))
    told = re.search(r"^disk \d+ ([01])\r?\n", out, re.M)
    if told:
        image.schedule.has_zeroes = told.group(1) == "1"
    for first, last in re.findall(r"^safe (\d+) (\d+)\r?\n", out, re.M):
        image.note_safe(int(first), int(last))
    image.note_end(began)
    return out.count("safe ")


def run_case(options, kind, transport, seed, kills):
    """Returns (how many batches were safe, how many clusters leaked, how often an image was still locked)."""
    rng = random.Random("%d %s %s" % (seed, kind, transport))
    batches = leaks = refused = 0
    image = None
    folder = tempfile.mkdtemp(prefix="vmm-records-", dir=options.folder)
    for kill in range(kills):
        if kill % KILLS_PER_IMAGE == 0:
            leaks, refused = leaks + (image.leaks if image else 0), refused + (image.refused if image else 0)
            image = Image(kind, folder, rng.randrange(1 << 20))
        try:
            batches += run_and_kill(options, image, transport, rng)
            image.verify()
        except Wrong as what:
            kept = "" if not options.keep else "; the image is kept in " + folder
            raise Wrong("kill %d of seed %d: %s%s" % (kill + 1, seed, what, kept)) from None
        finally:
            if not options.keep and sys.exc_info()[0] is not None:
                shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    if batches == 0:
        raise Wrong("the guest never came to write anything in %d runs" % kills)
    return batches, leaks + image.leaks, refused + image.refused


CASES = [("raw", "pci"), ("raw", "mmio"), ("qcow2", "pci"), ("qcow2", "mmio"), ("qcow2-backed", "pci")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("vmm")
    parser.add_argument("guests", help="the folder that has disk-records.elf")
    parser.add_argument("cases", nargs="*", help="such as raw/pci; all if none is named")
    parser.add_argument("--kills", type=int, default=200 if os.environ.get("VMM_TEST_LONG") else 20, help="of each case")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=float, default=float(os.environ.get("VMM_TEST_SCALE", 1)))
    parser.add_argument("--caches", type=lambda text: text.split(","), default=["writeback", "writethrough", "none"])
    parser.add_argument("--folder", help="where images are made (default: the folder for temporary files)")
    parser.add_argument("--keep", action="store_true", help="keep the image of a failure")
    parser.add_argument("--stand-in", action="store_true", help="QEMU in vmm's place")
    options = parser.parse_intermixed_args()
    help_text = "--disk" if options.stand_in else subprocess.run([options.vmm, "--help"], capture_output=True, text=True, check=False).stdout
    for missing, why in (("--disk" not in help_text, "vmm was built without disks"),
                         (not os.access("/dev/kvm", os.R_OK | os.W_OK), "no access to /dev/kvm"),
                         (shutil.which("qemu-img") is None, "qemu-img looks at the images: apt-get install qemu-utils")):
        if missing:
            print("1..0 # SKIP " + why)
            return SKIP
    cases = [case for case in CASES if not options.cases or "/".join(case) in options.cases or case[0] in options.cases]
    print("1..%d" % len(cases), flush=True)
    failures = 0
    for number, (kind, transport) in enumerate(cases, 1):
        began = time.monotonic()
        name = "records/%s/%s" % (kind, transport)
        try:
            batches, leaks, refused = run_case(options, kind, transport, options.seed, options.kills)
            print("ok %d - %s: %d kills, %d batches, %d leaked clusters, %d times locked after the end (%.1f s)"
                  % (number, name, options.kills, batches, leaks, refused, time.monotonic() - began))
        except Wrong as what:
            failures += 1
            print("not ok %d - %s\n# %s" % (number, name, what))
            print("%s: %s" % (name, what), file=sys.stderr)
        sys.stdout.flush()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
