# SPDX-License-Identifier: Apache-2.0
"""A root file system of Debian with systemd, for guests that boot from a disk: made once by debootstrap, and cached."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

from . import kernels

SUITE, MIRROR = "bookworm", "http://deb.debian.org/debian"
INCLUDED = "systemd-sysv,udev,dbus"
# Raise it when what is below changes, so that cached images are made anew.
VERSION = 1


def _program(name):
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def _run(*command):
    done = subprocess.run(command, check=False, text=True, capture_output=True)
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).strip().splitlines() or ["no message"]
        raise kernels.Unavailable(f"{Path(command[0]).name}: {lines[-1]}")


def _arrange(tree):
    """What makes it a guest: a name, and a root without password."""
    (tree / "etc/hostname").write_text("vmm-guest\n")
    (tree / "etc/fstab").write_text("/dev/vda / ext4 defaults 0 1\n")
    shadow = tree / "etc/shadow"
    shadow.write_text(shadow.read_text().replace("root:*:", "root::"))
    for folder in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(tree / folder, ignore_errors=True)
        (tree / folder).mkdir(parents=True)


def _make(image):
    debootstrap, mke2fs = _program("debootstrap"), _program("mke2fs")
    if not debootstrap or not mke2fs:
        raise kernels.Unavailable("a root file system needs debootstrap and mke2fs: apt-get install debootstrap e2fsprogs")
    if os.geteuid() != 0:
        raise kernels.Unavailable("debootstrap must run as root once, to make a root file system")
    tree, part = image.with_suffix(".tree"), image.with_suffix(".part")
    shutil.rmtree(tree, ignore_errors=True)
    try:
        _run(debootstrap, "--variant=minbase", f"--include={INCLUDED}", SUITE, tree, MIRROR)
        _arrange(tree)
        part.unlink(missing_ok=True)
        _run(mke2fs, "-q", "-t", "ext4", "-L", "vmm-root", "-d", tree, part, "512M")
        part.rename(image)
    finally:
        shutil.rmtree(tree, ignore_errors=True)
        part.unlink(missing_ok=True)


def get():
    """Return the path of the image, or raise kernels.Unavailable with the reason."""
    folder = kernels.cache_folder() / "rootfs"
    folder.mkdir(parents=True, exist_ok=True)
    image = folder / f"{SUITE}-{VERSION}.img"
    with open(folder / ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not image.exists():
            _make(image)
    return image
