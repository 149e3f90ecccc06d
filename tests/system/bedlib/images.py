# SPDX-License-Identifier: Apache-2.0
"""Initrds, and the tree of files that a run needs, be it used in place or as the outer machine's disk."""

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

from . import stubs

HERE = Path(__file__).resolve().parent.parent
# What a guest kernel may need and has as modules only.
GUEST_MODULES = ["pvpanic", "pvpanic-pci", "pvpanic-mmio", "evdev", "button"]
DEVICE_MODULES = ["crc32c_intel", "crc32c_generic", "virtio_pci", "virtio_mmio", "virtio_blk", "virtio_net", "virtio_console",
                  "virtio_rng", "virtio_balloon", "vmw_vsock_virtio_transport", "af_packet", "libcrc32c", "ext4"]
# What busybox lacks, and where it is on a host that has it.
GUEST_TOOLS = {"mke2fs": "e2fsprogs", "e2fsck": "e2fsprogs", "fio": "fio", "iperf3": "iperf3"}


class Cpio:
    """Writes a cpio archive in the "newc" format, device nodes included, without being root."""

    def __init__(self):
        self._parts = []
        self._inode = 0
        self._folders = set()

    def _entry(self, name, mode, data=b"", device=(0, 0)):
        self._inode += 1
        encoded = name.encode() + b"\0"
        fields = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        self._parts.append(header + encoded + bytes(-(len(header) + len(encoded)) % 4))
        self._parts.append(data + bytes(-len(data) % 4))

    def _parents(self, name):
        for parent in reversed(Path(name).parents):
            self.folder(str(parent))

    def folder(self, name):
        if name not in (".", "") and name not in self._folders:
            self._parents(name)
            self._folders.add(name)
            self._entry(name, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o644):
        self._parents(name)
        self._entry(name, stat.S_IFREG | mode, data)

    def link(self, name, target):
        self._parents(name)
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def device(self, name, major, minor):
        self._parents(name)
        self._entry(name, stat.S_IFCHR | 0o600, device=(major, minor))

    def close(self):
        self._entry("TRAILER!!!", 0)
        return b"".join(self._parts)


def find_busybox():
    """Return the static busybox, or None."""
    for candidate in (shutil.which("busybox.static"), shutil.which("busybox"), "/bin/busybox"):
        if candidate and b"/lib64/ld-linux" not in Path(candidate).read_bytes():
            return Path(candidate)
    return None


def _base(busybox, init):
    archive = Cpio()
    for folder in ("proc", "sys", "dev", "in", "tmp", "etc"):
        archive.folder(folder)
    archive.device("dev/console", 5, 1)
    archive.file("bin/busybox", busybox.read_bytes(), 0o755)
    for applet in subprocess.run([busybox, "--list"], check=True, text=True, capture_output=True).stdout.split():
        if applet != "busybox":
            archive.link(f"bin/{applet}", "busybox")
    archive.file("init", init.read_bytes(), 0o755)
    return archive


def _add_modules(archive, modules):
    archive.folder("modules")
    archive.file("modules/order", "".join(name + "\n" for name, _ in modules).encode())
    for name, data in modules:
        archive.file(f"modules/{name}", data)


def guest_initrd(busybox):
    """The initrd of every guest: busybox and guest-init.sh."""
    return _base(busybox, HERE / "guest-init.sh").close()


def guest_modules(kernel):
    """A second initrd, with modules of one kernel; the guest sees both as one tree."""
    archive = Cpio()
    _add_modules(archive, kernel.with_dependencies(GUEST_MODULES))
    return archive.close()


def device_modules(kernel):
    """A second initrd, with the drivers of virtio devices and what they are tested with."""
    archive = Cpio()
    _add_modules(archive, kernel.with_dependencies(DEVICE_MODULES))
    return archive.close()


def add_modules_folder(folder, kernel):
    """The same drivers as files, where `vmm run` and `vmm test` look for those of a kernel in the folder."""
    for name, data in kernel.with_dependencies(DEVICE_MODULES):
        path = folder / "modules" / kernel.release / "kernel" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def guest_tools(folder, probe):
    """A third initrd, with the scenarios' programs. What this host has not is left out: the guest says so."""
    archive = Cpio()
    archive.file("bin/probe", probe.read_bytes(), 0o755)
    archive.file("bin/devices.sh", (HERE / "guest-devices.sh").read_bytes())
    libraries = {}
    for name in GUEST_TOOLS:
        program = find_program(name)
        if program is None:
            continue
        archive.file(f"bin/{name}", Path(program).read_bytes(), 0o755)
        libraries.update(stubs.libraries(program, folder))
    for path, data in libraries.items():
        archive.file(path.lstrip("/"), data, 0o755)
    return archive.close()


def outer_initrd(busybox, kernel):
    """The initrd of the nested bed's outer machine."""
    archive = _base(busybox, HERE / "l1-init.sh")
    wanted = ["virtio_pci", "virtio_blk", "virtio_console", "kvm", "kvm_amd", "tun", "vhost_net", "dm_mod", "loop"]
    _add_modules(archive, kernel.with_dependencies(wanted))
    return archive.close()


def find_program(name):
    """Return the path of a program, administrators' ones included, or None."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def place(source, target):
    """Put a file into the tree, as a hard link where that is possible."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copyfile(source, target)
        shutil.copymode(source, target)


def shared_libraries(program):
    """Return the paths of the loader and of all shared libraries that the program needs."""
    listed = subprocess.run(["ldd", program], check=False, text=True, capture_output=True).stdout
    return re.findall(r"(/\S+) \(0x", listed)


def add_program(stage, name, program):
    """Put a program at bin/NAME and its libraries where its loader will look in the outer machine."""
    place(program, stage / "bin" / name)
    os.chmod(stage / "bin" / name, 0o755)
    for library in shared_libraries(program):
        place(library, stage / "root" / library.lstrip("/"))


def add_qemu(stage):
    """Put QEMU and its firmware at the places where it looks in the outer machine."""
    add_program(stage, "qemu-system-x86_64", shutil.which("qemu-system-x86_64"))
    for folder in ("seabios", "qemu"):
        for rom in Path("/usr/share", folder).glob("*.*"):
            place(rom, stage / "root/usr/share" / folder / rom.name)


def add_library(stage, name):
    """Put a library that a program loads by itself, and those that it needs; nothing when this host has none."""
    listed = subprocess.run(["/sbin/ldconfig", "-p"], check=False, text=True, capture_output=True).stdout
    found = re.search(rf"^\s*{re.escape(name)} .*x86-64.* => (/\S+)", listed, re.MULTILINE)
    if not found:
        return
    for library in [found.group(1), *shared_libraries(found.group(1))]:
        place(library, stage / "root" / library.lstrip("/"))


def make_disk(stage, disk):
    """Make an ext4 image of the tree."""
    size = sum(path.lstat().st_blocks * 512 for path in stage.rglob("*")) * 11 // 10 + (48 << 20)
    disk.unlink(missing_ok=True)
    made = subprocess.run(
        ["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", stage, disk, f"{size >> 10}k"],
        check=False, text=True, capture_output=True, env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"},
    )
    if made.returncode != 0:
        raise OSError(f"mke2fs: {made.stderr.strip()}")
