#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""vmm kernel: the store of kernels, what it does when several use it, and when something is damaged.

    kernel-store.py VMM     prints TAP; needs no /dev/kvm. The kernels are made here, too small to run. Real
                            packages are tried where the system tests have fetched them
"""
import gzip
import io
import json
import os
import re
import resource
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

USAGE, HOST, NOT_BOOTABLE = 2, 4, 6
CLOUD, GENERIC, NEWER = "6.1.0-56-cloud-amd64", "6.1.0-56-amd64", "6.12.9-amd64"
# A store has its files written to the disk: a disk that is memory makes that fast.
SCRATCH = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
REAL = Path.home() / ".cache" / "vmm-tests"


def make_elf():
    """A vmlinux of a page: one segment, where Linux is linked to."""
    head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, 0x1000000, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0x1000, 0xffffffff81000000, 0x1000000, 0x1000, 0x1000, 0x1000)
    return (head + segment).ljust(0x1000, b"\0") + b"\xf4" * 0x1000


def make_kernel(release, build="Debian 6.1.1-1"):
    """A bzImage with it inside, gzipped, as Linux: Documentation/arch/x86/boot.rst has it."""
    payload, code = gzip.compress(make_elf(), mtime=0), 0x400
    size = (code + len(payload) + 15) & ~15
    setup = bytearray(1024)
    setup[0:2], setup[0x1F1], setup[0x200:0x202] = b"MZ", 1, b"\xeb\x6a"
    struct.pack_into("<I", setup, 0x1F4, size // 16)
    struct.pack_into("<H", setup, 0x1FE, 0xAA55)
    setup[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", setup, 0x206, 0x20F)
    struct.pack_into("<H", setup, 0x20E, 0x100)
    setup[0x211], setup[0x234] = 1, 1
    struct.pack_into("<II", setup, 0x22C, 0x7FFFFFFF, 0x200000)
    struct.pack_into("<HI", setup, 0x236, 0x7F, 2047)
    struct.pack_into("<II", setup, 0x248, code, len(payload))
    struct.pack_into("<QI", setup, 0x258, 0x1000000, 0x100000)
    version = f"{release} (builder@example) #1 SMP {build}".encode()
    setup[0x300:0x300 + len(version)] = version
    return bytes(setup) + (b"\x90" * code + payload).ljust(size, b"\0")


def package_files(release, modules=3):
    files = {f"boot/vmlinuz-{release}": make_kernel(release),
             f"boot/config-{release}": f"# Linux/x86 {release} Kernel Configuration\nCONFIG_X86_64=y\n".encode(),
             f"boot/System.map-{release}": b"ffffffff81000000 T _text\n",
             f"lib/modules/{release}/modules.builtin": b"kernel/fs/ext4/ext4.ko\n"}
    for number in range(modules):
        files[f"lib/modules/{release}/kernel/drivers/m{number}.ko"] = f"module {number} of {release}\n".encode() * 100
    return files


def put_files(folder, files):
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def put_deb(path, files):
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:xz") as data:
        for name, content in files.items():
            info = tarfile.TarInfo("./" + name)
            info.size = len(content)
            data.addfile(info, io.BytesIO(content))
    parts = b"!<arch>\n"
    for name, content in (("debian-binary", b"2.0\n"), ("control.tar.xz", b""), ("data.tar.xz", tar.getvalue())):
        parts += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode() + content + b"\n" * (len(content) % 2)
    path.write_bytes(parts)
    return path


class Store:
    def __init__(self, vmm, folder):
        self.vmm, self.folder = vmm, folder
        self.root = folder / "data" / "vmm" / "kernels"
        self.env = dict(os.environ, XDG_DATA_HOME=str(folder / "data"), HOME=str(folder))

    def start(self, *words, **how):
        return subprocess.Popen([self.vmm, *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, env=self.env, cwd=self.folder, **how)

    def run(self, *words, **how):
        process = self.start(*words, **how)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def kernel(self, *words):
        return self.run("kernel", *words)

    def ok(self, *words):
        code, out, err = self.kernel(*words)
        check(code == 0 and err == "", (words, code, out, err))
        return out

    def entries(self):
        return {each["name"]: each for each in json.loads(self.ok("list", "--json"))}

    def object_of(self, name, path):
        return Path(os.path.realpath(self.root / "entries" / name / path))

    def waste(self):
        """Objects of no entry, and files in tmp/."""
        used = {os.path.realpath(link) for link in (self.root / "entries").rglob("*") if link.is_symlink()}
        return [each for each in (self.root / "objects").rglob("*") if each.is_file() and str(each) not in used] + \
            list((self.root / "tmp").iterdir())


def check(good, what):
    if not good:
        raise AssertionError(what)


def check_line(done, code, pattern):
    """A mistake is told in one line."""
    check(done[0] == code and re.fullmatch(pattern + r"\n", done[2]), (done, code, pattern))
    check(done[2].count("\n") == 1 and not done[2].endswith(".\n"), done[2])


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.chmod(0o644)
    path.write_bytes(data)


def check_names(store):
    """a kernel has its release, a short name, and what both begin with"""
    for release in (CLOUD, NEWER):
        store.ok("add", put_deb(store.folder / f"{release}.deb", package_files(release)))
    path = store.ok("path", "debian-6.12").strip()
    check(Path(path).read_bytes() == make_kernel(NEWER), path)
    for name in ("6.12", NEWER, "debian-" + NEWER, "debian-6.12.9", "6.12."):
        check(store.ok("path", name).strip() == path, name)
    for name in ("debian-6.1", "6.1", "6.1.0"):
        check(store.ok("path", name).strip().endswith("/vmlinuz-" + CLOUD), "6.1 is not 6.12")
    check_line(store.kernel("path", "debian-6"), USAGE, rf'vmm kernel: kernel "debian-6": several .*: debian-{CLOUD}, debian-{NEWER}; say which')
    check_line(store.kernel("path", "5.10"), USAGE, r'vmm kernel: kernel "5.10": no such file, nor in the store, which has debian-6.1, debian-6.12')
    store.ok("add", put_deb(store.folder / "generic.deb", package_files(GENERIC)))
    check_line(store.kernel("path", "debian-6.1"), USAGE, rf'.*several .*: debian-{GENERIC}, debian-{CLOUD}; say which')
    listed = store.ok("list").splitlines()
    check([line.split()[0] for line in listed] == ["debian-" + GENERIC, "debian-" + CLOUD, "debian-6.12"], listed)


def check_sources(store):
    """a file, a package, an unpacked one, /boot, and the tree of a build give the same"""
    files = package_files(CLOUD)
    unpacked = put_files(store.folder / "unpacked", files)
    built = put_files(store.folder / "built", {
        "arch/x86/boot/bzImage": make_kernel("6.9.0-mine+", "Tue"), ".config": b"# Linux/x86 6.9.0 Kernel Configuration\nCONFIG_X86_64=y\n",
        "System.map": b"ffffffff81000000 T _text\n", "modules.order": b"drivers/net/dummy.o\nkernel/fs/fat.ko\nkernel/trace/t.o\n../../out.o\n",
        "drivers/net/dummy.ko": b"dummy", "fs/fat.ko": b"fat", "kernel/trace/t.ko": b"t", "modules.builtin": b"kernel/fs/ext4/ext4.ko\n"})
    for source in (put_deb(store.folder / "a.deb", files), unpacked, unpacked / "boot", unpacked / "boot" / f"vmlinuz-{CLOUD}"):
        store.ok("add", source)
        tree = store.root / "entries" / f"debian-{CLOUD}"
        is_there = {str(each.relative_to(tree)): each.read_bytes() for each in tree.rglob("*") if each.is_symlink()}
        check(is_there == files, (source, sorted(is_there)))
        check(store.entries()[f"debian-{CLOUD}"]["source"] == str(source), source)
    store.ok("add", built)
    tree = store.root / "entries" / "linux-6.9.0-mine+"
    is_there = sorted(str(each.relative_to(tree)) for each in tree.rglob("*") if each.is_symlink())
    modules = "lib/modules/6.9.0-mine+/"
    check(is_there == ["boot/System.map-6.9.0-mine+", "boot/config-6.9.0-mine+", "boot/vmlinuz-6.9.0-mine+", modules + "kernel/drivers/net/dummy.ko",
                       modules + "kernel/fs/fat.ko", modules + "kernel/kernel/trace/t.ko", modules + "modules.builtin"], is_there)
    check(store.ok("check") == "all is as it was added\n", "damaged")


def check_odd_archive(store):
    """an archive may have a file twice, and names that are none: the later one counts, and a terminal is told nothing"""
    files, module = package_files(CLOUD), f"lib/modules/{CLOUD}/kernel/drivers/m0.ko"
    with tarfile.open(store.folder / "a.tar", "w") as archive:
        for name, data in [*files.items(), ("usr/" + module, b"second\n"), (module, b"third\n"), (f"lib/modules/{CLOUD}/\x1b[31m.ko", b"x"),
                           ("boot/vmlinuz-\x1b[31m", b"no kernel\n"), (f"lib/modules/{CLOUD}/../../../../out.ko", b"x"), (f"/lib/modules/{CLOUD}/a b.ko", b"x")]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for kind in (tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo(f"lib/modules/{CLOUD}/odd.ko")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    out = store.ok("add", store.folder / "a.tar")
    check("with 4 modules" in out and "\x1b" not in out, out)
    check(store.object_of(f"debian-{CLOUD}", module).read_bytes() == b"third\n", "not the later one")
    check(store.ok("check") == "all is as it was added\n" and store.waste() == [], store.kernel("check"))


def put_cpio(path, files):
    """As `cpio -H newc` has it; files of the same content are names of one, and the last one has the content."""
    data, contents = b"", list(files.values())
    for number, (name, content) in enumerate([*files.items(), ("TRAILER!!!", b"")]):
        inode, count = contents.index(content) + 1 if content else 0, contents.count(content) or 1
        here = b"" if content in contents[number + 1:] else content
        head = [inode, 0o100644, 0, 0, count, 0, len(here), 0, 0, 0, 0, len(name) + 1, 0]
        data += b"070701" + b"".join(b"%08x" % field for field in head) + name.encode() + b"\0"
        data += b"\0" * (-len(data) % 4) + here
        data += b"\0" * (-len(data) % 4)
    path.write_bytes(data)
    return path


def check_links(store):
    """modules that are links to modules are added as these; a link out of the package is not"""
    files, base = package_files(CLOUD), f"lib/modules/{CLOUD}/"
    links = [("extra/first.ko", tarfile.SYMTYPE, "../kernel/drivers/m0.ko"), ("extra/far.ko", tarfile.SYMTYPE, f"/usr/{base}kernel/drivers/m1.ko"),
             ("extra/chain.ko", tarfile.SYMTYPE, "first.ko"), ("extra/hard.ko", tarfile.LNKTYPE, f"./{base}kernel/drivers/m2.ko"),
             ("extra/loop.ko", tarfile.SYMTYPE, "loop2.ko"), ("extra/loop2.ko", tarfile.SYMTYPE, "loop.ko"), ("extra/none.ko", tarfile.SYMTYPE, "gone.ko"),
             ("extra/out.ko", tarfile.SYMTYPE, "../../../../../../../etc/passwd"), ("extra/abs.ko", tarfile.SYMTYPE, "/etc/passwd"),
             ("extra/hard-out.ko", tarfile.LNKTYPE, "etc/passwd"), ("build", tarfile.SYMTYPE, "/usr/src/linux"), ("extra/file.ko", tarfile.SYMTYPE, "first.ko")]
    with tarfile.open(store.folder / "a.tar", "w") as archive:
        for name, kind, target in links:                       # before what they lead to
            info = tarfile.TarInfo(base + name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
        for name, data in [*files.items(), (base + "extra/file.ko", b"no link any more\n")]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    out = store.ok("add", store.folder / "a.tar")
    tree = store.root / "entries" / f"debian-{CLOUD}"
    is_there = {str(each.relative_to(tree)): each.read_bytes() for each in tree.rglob("*") if each.is_symlink()}
    modules = [files[f"{base}kernel/drivers/m{number}.ko"] for number in range(3)]
    expected = dict(files, **{f"{base}extra/{name}.ko": data for name, data in (("first", modules[0]), ("far", modules[1]), ("chain", modules[0]),
                                                                               ("hard", modules[2]), ("file", b"no link any more\n"))})
    check(is_there == expected and "with 8 modules" in out, sorted(is_there))
    check(store.ok("check") == "all is as it was added\n" and store.waste() == [], store.waste())
    damage(store.object_of(f"debian-{CLOUD}", base + "extra/first.ko"))
    check(store.ok("check", "--repair").count("now repaired") == 3 and store.ok("check") == "all is as it was added\n", "links are not repaired")
    store.ok("remove", f"debian-{CLOUD}")
    files.update({f"{base}extra/{name}.ko": modules[0] for name in ("one", "two")})
    store.ok("add", put_cpio(store.folder / "a.cpio", files))
    is_there = {str(each.relative_to(tree)): each.read_bytes() for each in tree.rglob("*") if each.is_symlink()}
    check(is_there == files, {name: len(data) for name, data in is_there.items()})
    damage(store.object_of(f"debian-{CLOUD}", base + "extra/one.ko"))
    check(store.ok("check", "--repair").count("now repaired") == 3 and store.ok("check") == "all is as it was added\n", "links are not repaired")


def check_one_module(store):
    """one module is told as one"""
    for modules, text in ((1, "1 module"), (2, "2 modules")):
        out = store.ok("add", put_deb(store.folder / "a.deb", package_files(CLOUD, modules)))
        check(f", with {text}, " in out, out)
        check(re.search(rf" {text}  ", store.ok("list")) and re.search(rf", of them {text}\n", store.kernel("inspect", "debian")[1]), store.ok("list"))


def check_several(store):
    """all kernels of a folder are added; one that has its own name once"""
    boot = put_files(store.folder / "boot", {f"vmlinuz-{CLOUD}": make_kernel(CLOUD), f"vmlinuz-{NEWER}": make_kernel(NEWER),
                                             "vmlinuz-0-rescue": make_kernel(CLOUD, "Debian rescue")})
    os.symlink(f"vmlinuz-{NEWER}", boot / "vmlinuz")
    check_line(store.kernel("add", "--name", "mine", boot), USAGE, r'vmm kernel: name "mine": .* has 2 kernels; .*')
    check(store.ok("add", boot).count(": added") == 2, "not two")
    check(Path(store.ok("path", "debian-6.1").strip()).read_bytes() == make_kernel(CLOUD), "not the plain one")


def check_name(store):
    """--name calls it so, and the same name again replaces"""
    kernel = store.folder / "bzImage"
    for build in ("one", "two"):
        kernel.write_bytes(make_kernel("6.5.0", build))
        out = store.ok("add", "--name", "mine", kernel)
        check(("replaced" if build == "two" else "added") in out, out)
    check(Path(store.ok("path", "mine").strip()).read_bytes() == make_kernel("6.5.0", "two"), "not replaced")
    for name in ("", "a/b", "..", "-x", "a b", "x" * 200):
        check_line(store.kernel("add", "--name=" + name, kernel), USAGE, r'vmm kernel: name ".*": say one of letters.*')
    check_line(store.kernel("add", "--name", "mine", kernel, kernel), USAGE, r'vmm kernel: --name mine: one kernel at a time .*')
    check(list(store.entries()) == ["mine"], store.entries())


def check_dashes(store):
    """behind -- a name may begin with a dash"""
    (store.folder / "-file").write_bytes(make_kernel("6.5.0"))
    check_line(store.kernel("add", "-file"), USAGE, r"vmm kernel: .*-file; see vmm kernel --help")
    for words, name in ((("--name", "mine", "--", "-file"), "mine"), (("--", "-file"), "debian-6.5.0"), (("./-file", "--", "-file"), "debian-6.5.0")):
        out = store.ok("add", *words)
        check(out.startswith(name + ": "), (words, out))
    for words in (("path", "--", "-x"), ("path", "--", "--")):
        check_line(store.kernel(*words), USAGE, rf'vmm kernel: kernel "{words[-1]}": no such file, nor in the store, which has .*')
    check_line(store.kernel("--", "path", "-x"), USAGE, r'vmm kernel: kernel "-x": no such .*')
    check(json.loads(store.run("inspect", "--json", "--", "-file")[1])["release"] == "6.5.0", "not inspected")
    check(store.run("disk", "create", "--", "-disk", "1M") == (0, "", "") and (store.folder / "-disk").exists(), "no disk")


def check_use(store):
    """--kernel takes the store's, unless there is a file"""
    store.ok("add", put_deb(store.folder / "a.deb", package_files(NEWER)))
    code, out, err = store.run("inspect", "--json", "debian-6.12")
    report = json.loads(out)
    check(report["release"] == NEWER and report["config"]["source"] == "beside" and err == "", (code, out, err))
    for words in ((), ("run", "--kernel=debian-6.13", "--", "true"), ("boot",)):
        done = store.run(*words) if words[:1] == ("run",) else store.run(*words, "--kernel", "debian-6.13")
        check_line(done, USAGE, r'vmm: kernel "debian-6.13": no such file, nor in the store, which has debian-6.12')
    check_line(store.run("--kernel", "./debian-6.12"), USAGE, r'vmm: kernel "./debian-6.12": No such file or directory')
    (store.folder / "debian-6.12").mkdir()
    (store.folder / "linux").symlink_to("debian-6.12")
    check(json.loads(store.run("inspect", "--json", "debian-6.12")[1])["release"] == NEWER, "a folder is in the way")
    check_line(store.run("--kernel", "./debian-6.12"), USAGE, r'vmm: kernel "./debian-6.12": this is a directory.*')
    check_line(store.run("--kernel", "linux"), USAGE, r'vmm: kernel "linux": no such file, nor in the store, which has debian-6.12')
    (store.folder / "debian-6.12").rmdir()
    (store.folder / "debian-6.12").write_bytes(b"no kernel\n" * 100)
    check_line(store.run("inspect", "debian-6.12"), NOT_BOOTABLE, r'vmm inspect: kernel "debian-6.12": not a kernel.*')
    code, out, err = store.kernel("inspect", "--json", "debian-6.12")
    check(json.loads(out)["store"] == store.entries()["debian-" + NEWER] and err == "", (code, out, err))
    check("debian-6.12" in store.kernel("inspect", "6.12")[1], "inspect says no name")


def check_config(store):
    """a name in the file of --config is one of the store, too; the last one counts"""
    store.ok("add", put_deb(store.folder / "a.deb", package_files(NEWER)))
    damage(store.object_of("debian-" + NEWER, "boot/vmlinuz-" + NEWER))
    (store.folder / "a.deb").unlink()
    for text in ("kernel = debian-6.12", "kernel = nonsense\n # a comment\nmem=64M\n  kernel=  6.12  "):
        (store.folder / "machine.conf").write_text(text + "\n")
        for command, rest in (((), ()), (("boot",), ()), (("record",), ()), (("run",), ("--", "true"))):
            done = store.run(*command, "--kernel", "none", "--config", "machine.conf", *rest)
            check_line(done, USAGE, rf'vmm.*: kernel "debian-{NEWER}": damaged in the store, .*')
    done = store.run("--config", "machine.conf", "--kernel", "./none")
    check_line(done, USAGE, r'vmm: kernel "./none": No such file or directory')
    (store.folder / "machine.conf").write_text("kernel = debian-6.13\n")
    check_line(store.run("--config", "machine.conf"), USAGE, r'vmm: kernel "debian-6.13": no such file, nor in the store, which has debian-6.12')


def check_empty(store):
    """without a store, a name is a file's"""
    check(store.ok("list") == "" and store.ok("list", "--json") == "[]\n", "not empty")
    check(not store.root.exists(), "looking made a store")
    check_line(store.run("--kernel", "debian-6.12"), USAGE, r'vmm: kernel "debian-6.12": No such file or directory')
    (store.folder / "folder").mkdir()
    check_line(store.run("--kernel", "folder"), USAGE, r'vmm: kernel "folder": this is a directory.*')
    check_line(store.kernel("path", "x"), USAGE, r'vmm kernel: kernel "x": the store is empty; "vmm kernel add FILE" puts one in')
    check_line(store.kernel("remove", "x"), USAGE, r'.*the store is empty.*')


def check_mistakes(store):
    """each mistake has one line and its exit code"""
    put_files(store.folder, {"text": b"not a kernel\n" * 100, "empty.deb": b"", "cut.deb": b"!<arch>\n", "folder/file": b"x"})
    modules = {name: data for name, data in package_files(CLOUD).items() if "/modules/" in name}
    put_deb(store.folder / "modules.deb", modules)
    put_deb(store.folder / "text.deb", {f"boot/vmlinuz-{CLOUD}": b"not a kernel\n" * 100})
    module = f"lib/modules/{CLOUD}/a"
    put_deb(store.folder / "clash.deb", {**package_files(CLOUD), module: b"x", module + "/b/c.ko": b"x"})
    put_deb(store.folder / "clash2.deb", {**package_files(CLOUD), module + "/b/c.ko": b"x", module: b"x"})
    whole = put_deb(store.folder / "whole.deb", package_files(CLOUD)).read_bytes()
    (store.folder / "half.deb").write_bytes(whole[:len(whole) // 2])
    for path, code, pattern in (("none", USAGE, r'.*"\S*/none": No such file or directory'), ("text", NOT_BOOTABLE, r'kernel "\S*/text": not a kernel.*'),
                                ("empty.deb", USAGE, r'.*"\S*/empty.deb": .*'), ("cut.deb", USAGE, r'.*"\S*/cut.deb": .*'),
                                ("half.deb", USAGE, r'.*"\S*/half.deb": .*'), ("folder", USAGE, r'.*"\S*/folder": no kernel in it; give .*'),
                                ("modules.deb", USAGE, rf'.*"\S*/modules.deb": no kernel in it, only files that belong to {CLOUD}; .*'),
                                ("clash.deb", USAGE, rf'.*"\S*/clash.deb": "{module}" is a file and a folder in it'),
                                ("clash2.deb", USAGE, rf'.*"\S*/clash2.deb": "{module}" is a file and a folder in it'),
                                ("text.deb", NOT_BOOTABLE, rf'.*"\S*/text.deb": kernel {CLOUD}: not a kernel.*'), ("/dev/null", USAGE, r'.*"/dev/null": .*')):
        check_line(store.kernel("add", path), code, "vmm kernel: " + pattern)
        check(store.waste() == [], (path, store.waste()))
    for words, pattern in (((), "say add, list.*"), (("add",), "add: name a kernel.*"), (("path",), "path: name .*"), (("start",), '"start": say add.*'),
                           (("list", "x"), 'list: "x" is too much.*'), (("add", "--json", "whole.deb"), "add: --json is for list, inspect and check; .*"),
                           (("remove", "--json", "x"), "remove: --json is for .*"), (("list", "--repair"), "list: --repair is for check; see .*"),
                           (("path", "-v", "x"), "path: --verbose is for inspect; .*"), (("check", "--name", "x"), "check: --name is for add; .*"), (("--nonsense",), ".*--nonsense.*--help")):
        check_line(store.kernel(*words), USAGE, "vmm kernel: " + pattern)
    check(store.entries() == {}, "something was added")
    store.ok("add", "whole.deb")
    check(store.waste() == [], store.waste())


def check_damaged_kernel(store):
    """a damaged kernel is told or repaired before it is used"""
    deb = put_deb(store.folder / "a.deb", package_files(CLOUD))
    store.ok("add", deb)
    kernel = store.object_of("debian-" + CLOUD, "boot/vmlinuz-" + CLOUD)
    for hurt in (damage, Path.unlink, lambda path: (path.chmod(0o644), os.truncate(path, 100))):
        hurt(kernel)
        code, out, err = store.run("inspect", "--json", "debian-6.1")
        check(json.loads(out)["release"] == CLOUD, (code, out, err))
        check(re.fullmatch(r'vmm: note: kernel "\S+" was (damaged|missing) in the store, and is repaired from "\S+/a.deb"\n', err), err)
        check(kernel.read_bytes() == make_kernel(CLOUD) and store.run("inspect", "debian-6.1")[2] == "", "not repaired")
    damage(kernel)
    put_deb(deb, dict(package_files(CLOUD), **{f"boot/vmlinuz-{CLOUD}": make_kernel(CLOUD, "Debian 6.1.2-1")}))
    check_line(store.run("--kernel", "debian-6.1"), USAGE, r'vmm: kernel "\S+": damaged .*: "\S+/a.deb" has another file now; add it again.*')
    deb.unlink()
    check_line(store.run("--kernel", "debian-6.1"), USAGE, r'vmm: kernel "\S+": damaged .* not to be repaired: .*a.deb.*; add it again .*')
    put_deb(deb, package_files(CLOUD))
    store.ok("add", deb)
    check(store.run("inspect", "debian-6.1")[2] == "", "adding it again does not help")


def check_damaged_link(store):
    """a kernel whose link is gone, or leads to another kernel, is never another one, but repaired or refused"""
    store.ok("add", put_deb(store.folder / "a.deb", package_files(CLOUD)))
    store.ok("add", put_deb(store.folder / "b.deb", package_files(NEWER)))
    link = store.root / "entries" / f"debian-{CLOUD}" / "boot" / f"vmlinuz-{CLOUD}"
    other = store.object_of(f"debian-{NEWER}", f"boot/vmlinuz-{NEWER}")
    for hurt in (Path.unlink, lambda path: (path.unlink(), path.symlink_to(other)), lambda path: (path.unlink(), path.write_bytes(make_kernel(NEWER))),
                 lambda path: shutil.rmtree(path.parent)):
        hurt(link)
        code, out, err = store.run("inspect", "--json", "debian-6.1")
        check(json.loads(out)["release"] == CLOUD, (code, out, err))
        check(err == f'vmm: note: kernel "debian-{CLOUD}" had a damaged link in the store, which is repaired\n', err)
        check(link.is_symlink() and link.read_bytes() == make_kernel(CLOUD) and store.run("inspect", "debian-6.1")[2] == "", "not repaired")
    link.unlink()
    link.mkdir()
    check_line(store.run("--kernel", "debian-6.1"), USAGE, r'vmm: kernel "\S+": its link .* not to be repaired: .*; add it again .*')


def check_repair(store):
    """check tells what is damaged, and --repair repairs what can be"""
    deb = put_deb(store.folder / "a.deb", package_files(CLOUD))
    name, modules = "debian-" + CLOUD, f"lib/modules/{CLOUD}/kernel/drivers/"
    store.ok("add", deb)
    check(store.ok("check") == "all is as it was added\n", "not clean")
    damage(store.object_of(name, modules + "m0.ko"))
    store.object_of(name, modules + "m1.ko").unlink()
    (store.root / "entries" / name / modules / "m2.ko").unlink()
    lines = [f"{name}: {modules}m0.ko: damaged", f"{name}: {modules}m1.ko: missing", f"{name}: {modules}m2.ko: its link is damaged"]
    code, out, _ = store.kernel("check")
    check(code == USAGE and sorted(out.splitlines()[:-1]) == lines and "--repair" in out, (code, out))
    out = store.ok("check", "--repair").splitlines()
    check(sorted(out[:-1]) == [line + ", now repaired" for line in lines] and out[-1] == "all is as it was added", out)
    check(store.ok("check") == "all is as it was added\n" and store.waste() == [], store.waste())
    damage(store.object_of(name, modules + "m0.ko"))
    deb.unlink()
    code, out, _ = store.kernel("check", "--repair")
    check_line(store.kernel("remove", "debian"), USAGE, rf'vmm kernel: kernel "debian": say its whole name, {name}')
    check(code == USAGE and re.search(r"m0.ko: damaged, not repaired: .*a.deb.*No such file", out), out)
    check(store.ok("remove", name) == name + ": removed\n" and store.waste() == [] and store.entries() == {}, store.waste())


def check_check_json(store):
    """check has JSON: what is damaged, what was repaired, and why the rest was not"""
    deb = put_deb(store.folder / "a.deb", package_files(CLOUD))
    name, modules = "debian-" + CLOUD, f"lib/modules/{CLOUD}/kernel/drivers/"
    store.ok("add", deb)
    check(json.loads(store.ok("check", "--json")) == {"damaged": 0, "found": []}, "not clean")

    def hurt():
        damage(store.object_of(name, modules + "m0.ko"))
        store.object_of(name, modules + "m1.ko").unlink()
        (store.root / "entries" / name / modules / "m2.ko").unlink()

    def found(repaired):
        return [{"kernel": name, "file": f"{modules}m{number}.ko", "damage": what, "repaired": repaired, "note": None}
                for number, what in enumerate(("damaged", "missing", "link"))]

    def sorted_by_file(text):
        report = json.loads(text)
        return dict(report, found=sorted(report["found"], key=lambda each: each["file"]))
    hurt()
    code, out, err = store.kernel("check", "--json")
    check(code == USAGE and err == "" and sorted_by_file(out) == {"damaged": 3, "found": found(False)}, (code, out, err))
    out = store.ok("check", "--repair", "--json")
    check(sorted_by_file(out) == {"damaged": 0, "found": found(True)}, out)
    damage(store.root / "entries" / name / "index")
    damage(store.object_of(name, modules + "m0.ko"))
    code, out, err = store.kernel("check", "--repair", "--json")
    report = json.loads(out)
    check(code == USAGE and err == "" and report["damaged"] == 1, (code, out, err))
    check(report["found"][0] == {"kernel": name, "file": None, "damage": "index", "repaired": True, "note": "where it came from is lost"}, out)
    check(report["found"][1]["note"] == "nothing says where it came from" and not report["found"][1]["repaired"], out)


def check_damaged_index(store):
    """a damaged index is told, nothing is lost by it, and it is made anew"""
    store.ok("add", put_deb(store.folder / "a.deb", package_files(CLOUD)))
    store.ok("add", put_deb(store.folder / "b.deb", package_files(NEWER)))
    index = store.root / "entries" / f"debian-{CLOUD}" / "index"
    before = json.loads(store.ok("list", "--json"))
    for hurt in (damage, lambda path: os.truncate(path, 100), lambda path: os.truncate(path, 0), Path.unlink):
        hurt(index)
        check(f"debian-{CLOUD}" in store.ok("list") and store.entries()[f"debian-{CLOUD}"]["damaged"], "not told")
        check_line(store.run("--kernel", f"debian-{CLOUD}"), USAGE, r'vmm: kernel "\S+": its index .*"vmm kernel check --repair" .*')
        check_line(store.kernel("inspect", f"debian-{CLOUD}"), USAGE, r'vmm kernel: kernel "\S+": its index .*')
        check_line(store.kernel("path", f"debian-{CLOUD}"), USAGE, r'vmm kernel: kernel "\S+": its index .*')
        check(store.run("inspect", "debian-6.12")[2] == "", "the other one is not usable")
        store.ok("add", store.folder / "b.deb")              # which sweeps
        code, out, _ = store.kernel("check")
        check(code == USAGE and "its index is damaged" in out, out)
        out = store.ok("check", "--repair")
        check("now made anew" in out and store.ok("check") == "all is as it was added\n", out)
        after = json.loads(store.ok("list", "--json"))
        check({**after[0], "source": 0, "added": 0} == {**before[0], "source": 0, "added": 0}, after)
        check(store.run("inspect", "debian-6.1")[2] == "", "not usable")
    damage(index.parent / "files")
    check(store.run("inspect", "debian-6.1")[2] == "", "a kernel needs the list of all its files")
    check(store.kernel("check")[0] == USAGE and "now made anew" in store.ok("check", "--repair"), "the list was not made anew")
    check(store.ok("check") == "all is as it was added\n" and store.waste() == [], store.waste())


def check_damaged_both(store):
    """with a damaged index, damaged modules are told too; and repaired where the index still says from where"""
    name, module = f"debian-{CLOUD}", f"lib/modules/{CLOUD}/kernel/drivers/m0.ko"
    deb = put_deb(store.folder / "a.deb", package_files(CLOUD))
    store.ok("add", deb)
    damage(store.root / "entries" / name / "files")
    damage(store.object_of(name, module))
    out = store.ok("check", "--repair").splitlines()
    check(out == [f"{name}: its index is damaged, now made anew", f"{name}: {module}: damaged, now repaired", "all is as it was added"], out)
    check(store.entries()[name]["source"] == str(deb), "the source is lost")
    damage(store.root / "entries" / name / "index")
    damage(store.object_of(name, module))
    for again in (False, True):
        code, out, _ = store.kernel("check", "--repair")
        check(code == USAGE and (again or "now made anew; where it came from is lost" in out) and f"{module}: damaged, not repaired: nothing says" in out, out)
    store.ok("add", deb)
    check(store.ok("check") == "all is as it was added\n" and store.waste() == [] and store.entries()[name]["modules"] == 3, store.waste())


def check_unreadable(store):
    """a store that cannot be read is not an empty one, and loses nothing"""
    store.ok("add", put_deb(store.folder / "a.deb", package_files(CLOUD)))
    put_deb(store.folder / "b.deb", package_files(NEWER))
    for limit in range(4, 9):            # files that may be open: root may read whatever it likes
        how = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))}
        for words in (("add", "b.deb"), ("check", "--repair"), ("list",)):
            code, out, _ = store.run("kernel", *words, **how)
            check(code != 0 or words != ("list",) or f"debian-{CLOUD}" in out or "debian-6.1 " in out, (limit, code, out))
        check(store.ok("check") == "all is as it was added\n" and f"debian-{CLOUD}" in store.entries(), limit)
    folder = store.root / "entries"
    folder.chmod(0)
    try:
        if not os.access(folder, os.R_OK):
            for words in (("list",), ("check", "--repair"), ("add", "b.deb")):
                check_line(store.kernel(*words), HOST, r'vmm kernel: kernel store: "\S+/entries\S*": Permission denied')
    finally:
        folder.chmod(0o755)
    check(store.ok("check") == "all is as it was added\n", "damaged")


def check_read_only(store):
    """a store that cannot be written to can be used, with or without its locks; what would change it says why not"""
    store.ok("add", put_deb(store.folder / "a.deb", package_files(CLOUD)))
    somebody = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}     # root may write everywhere
    store.folder.chmod(0o755)
    folders = [store.root, *(each for each in store.root.rglob("*") if each.is_dir() and not each.is_symlink())]
    for with_locks in (True, False):
        if not with_locks:
            for each in store.root.glob("*.lock"):
                each.unlink()
        for each in folders:
            each.chmod(0o555)
        try:
            for words in (("list",), ("path", "debian-6.1"), ("check",)):
                code, out, err = store.run("kernel", *words, **somebody)
                check(code == 0 and out != "" and err == "", (with_locks, words, code, out, err))
            code, out, err = store.run("inspect", "--json", "debian-6.1", **somebody)
            check(json.loads(out)["release"] == CLOUD and err == "", (code, out, err))
            for words in (("add", "a.deb"), ("remove", "debian-6.1")):
                check_line(store.run("kernel", *words, **somebody), HOST, r'vmm kernel: kernel store: "\S+": Permission denied')
        finally:
            for each in folders:
                each.chmod(0o755)
    check(store.ok("check") == "all is as it was added\n" and len(store.entries()) == 1, "changed")


def check_together(store):
    """eight add at once, and others look: nobody sees half a kernel"""
    debs = [put_deb(store.folder / f"{n}.deb", package_files(f"6.{n % 6}.0-amd64", 200)) for n in range(8)]
    adding = [store.start("kernel", "add", deb) for deb in debs]
    while any(process.poll() is None for process in adding):
        for entry in store.entries().values():
            check(entry["modules"] == 200 and not entry["damaged"], entry)
            check(Path(entry["kernel"]).read_bytes() == make_kernel(entry["release"]), entry)
        check(store.kernel("check")[0] == 0, "damaged while others add")
    for process in adding:
        out, err = process.communicate()
        check(process.returncode == 0 and err == "", (out, err))
    check(len(store.entries()) == 6, store.entries())
    removing = [store.start("kernel", "remove", f"debian-6.{n}") for n in range(3)] + [store.start("kernel", "add", debs[n]) for n in range(3, 8)]
    for process in removing:
        process.communicate()
    check(store.ok("check") == "all is as it was added\n", "damaged by removing while adding")
    store.ok("check", "--repair")
    check(store.waste() == [] and len(store.entries()) in range(3, 7), (store.waste(), store.entries()))


def check_replaced(store):
    """a kernel that is replaced while the store is checked and repaired stays the new one"""
    first, second = (package_files(CLOUD, 40) for _ in range(2))
    second[f"boot/vmlinuz-{CLOUD}"] = make_kernel(CLOUD, "Debian 6.1.2-1")
    other = package_files(NEWER)
    other[f"lib/modules/{NEWER}/large.ko"] = bytes(32 << 20)     # is read first, and takes a while
    debs = [put_deb(store.folder / f"{number}.deb", files) for number, files in enumerate((first, second))]
    store.ok("add", "--name", "a-large", put_files(store.folder / "large", other))
    store.ok("add", debs[0])
    for number in range(1, 9):
        checking = store.start("kernel", "check", "--repair")
        time.sleep(0.02 * number)
        store.ok("add", debs[number % 2])
        out, err = checking.communicate(timeout=120)
        check(checking.returncode == 0 and out == "all is as it was added\n" and err == "", (number, out, err))
        is_there = store.object_of(f"debian-{CLOUD}", f"boot/vmlinuz-{CLOUD}").read_bytes()
        check(is_there == (first, second)[number % 2][f"boot/vmlinuz-{CLOUD}"], f"round {number}: the old kernel is back")
    check(store.ok("check") == "all is as it was added\n", "damaged")


def check_killed(store):
    """kill -9 while it adds leaves the store as good as it was"""
    deb = put_deb(store.folder / "new.deb", package_files(NEWER, 400))
    store.ok("add", put_deb(store.folder / "old.deb", package_files(CLOUD)))
    start = time.monotonic()
    store.ok("add", deb)
    takes = time.monotonic() - start
    store.ok("remove", "debian-6.12")
    killed = 0
    for number in range(16):
        process = store.start("kernel", "add", deb)
        time.sleep(takes * number / 14)
        killed += process.poll() is None
        process.kill()
        process.communicate()
        entries = store.entries()
        check(f"debian-{CLOUD}" in entries and all(not each["damaged"] for each in entries.values()), entries)
        check(store.ok("check") == "all is as it was added\n" and store.run("inspect", "debian-6.1")[2] == "", "damaged")
        if len(entries) > 1:
            check(entries[f"debian-{NEWER}"]["modules"] == 400, entries)
            store.ok("remove", "debian-6.12")
    check(killed >= 4, f"only {killed} were killed while they worked")
    store.ok("add", deb)
    check(store.waste() == [], store.waste()[:3])


def check_moved(store):
    """a store that was moved works, and one in ~/.local/share"""
    store.ok("add", put_deb(store.folder / "a.deb", package_files(CLOUD)))
    moved = store.folder / "elsewhere"
    shutil.move(store.folder / "data", moved)
    store.root, store.env = moved / "vmm" / "kernels", dict(store.env, XDG_DATA_HOME=str(moved))
    check(store.ok("check") == "all is as it was added\n" and store.run("inspect", "debian-6.1")[2] == "", "not after it was moved")
    (store.folder / ".local").mkdir()
    shutil.move(moved, store.folder / ".local/share")
    store.env["XDG_DATA_HOME"] = "relative"
    check(store.ok("path", "debian-6.1").startswith(str(store.folder / ".local/share/vmm/kernels/")), "not in ~/.local/share")


def check_real(store):
    """Debian's own packages, where the system tests have them"""
    folders = sorted(REAL.glob("cloud-6.1*/linux-image-*"))
    if not folders:
        return "SKIP no packages in %s" % REAL
    for folder in folders:
        store.ok("add", folder)
        release = next((folder / "boot").glob("vmlinuz-*")).name[8:]
        code, out, err = store.run("inspect", "--json", "debian-" + ".".join(release.split(".")[:2]))
        report = json.loads(out)
        check(report["release"] == release and report["config"]["source"] == "beside" and err == "", (code, out, err))
        modules = len(list((folder / "lib" / "modules").rglob("*.ko*")))
        check(store.entries()[f"debian-{release}"]["modules"] == modules, modules)
    check(store.ok("check") == "all is as it was added\n", "damaged")
    return None


CHECKS = [check_names, check_sources, check_odd_archive, check_links, check_one_module, check_several, check_name, check_dashes, check_use,
          check_config, check_empty, check_mistakes, check_damaged_kernel, check_damaged_link, check_repair, check_check_json, check_damaged_index,
          check_damaged_both, check_unreadable, check_read_only, check_together, check_replaced, check_killed, check_moved, check_real]


def main():
    vmm, failures = os.path.abspath(sys.argv[1]), 0
    print("1..%d" % len(CHECKS))
    for number, function in enumerate(CHECKS, 1):
        with tempfile.TemporaryDirectory(dir=SCRATCH) as name:
            try:
                note = function(Store(vmm, Path(os.path.realpath(name))))
                print("ok %d - %s%s" % (number, function.__doc__, " # " + note if note else ""), flush=True)
            except (AssertionError, OSError, ValueError, KeyError, subprocess.TimeoutExpired) as wrong:
                failures += 1
                print("not ok %d - %s\n# %s" % (number, function.__doc__, str(wrong).replace("\n", "\n# ")), flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
