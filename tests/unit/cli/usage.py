#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What vmm says to each likely mistake: one line that names the object, and the exit code of vmm(1).

    usage.py VMM GUEST_DIR     prints TAP; cases that need /dev/kvm are skipped where there is none
"""
import grp
import os
import re
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

USAGE, HOST_ERROR, NOT_BOOTABLE = 2, 4, 6


class Case(NamedTuple):
    """@line is what the whole line must match, behind "vmm: "; @arguments are looked up among the files."""
    name: str
    arguments: tuple
    code: int
    line: str
    kvm: bool = False


# Names of the files that make_files() makes.
CASES = [
    Case("kernel: missing", ("--kernel", "@none"), USAGE, r'kernel "@none": No such file or directory'),
    Case("kernel: directory", ("--kernel", "@folder"), USAGE, r'kernel "@folder": this is a directory.*'),
    Case("kernel: pipe", ("--kernel", "@fifo"), USAGE, r'kernel "@fifo": this is not a regular file'),
    Case("kernel: empty", ("--kernel", "@empty"), USAGE, r'kernel "@empty": the file is empty'),
    Case("kernel: in a file's folder", ("--kernel", "@text/vmlinuz"), USAGE, r'kernel "@text/vmlinuz": Not a directory'),
    Case("kernel: text", ("--kernel", "@text"), NOT_BOOTABLE, r'kernel "@text": not a kernel: .*'),
    Case("kernel: random bytes", ("--kernel", "@random"), NOT_BOOTABLE, r'kernel "@random": not a kernel: .*'),
    Case("kernel: a program", ("--kernel", "/proc/self/exe"), NOT_BOOTABLE, r'kernel "/proc/self/exe": .*not a kernel'),
    Case("kernel: ELF cut in its header", ("--kernel", "@cut30"), NOT_BOOTABLE, r'kernel "@cut30": truncated .*'),
    Case("kernel: ELF cut in its tables", ("--kernel", "@cut100"), NOT_BOOTABLE, r'kernel "@cut100": truncated at byte 100: .*'),
    Case("kernel: ELF cut in its code", ("--kernel", "@cut700"), NOT_BOOTABLE, r'kernel "@cut700": truncated at byte 700: .*'),
    Case("kernel: bzImage cut", ("--kernel", "@cutbz"), NOT_BOOTABLE, r'kernel "@cutbz": truncated at byte 4096: .*'),
    Case("kernel: ELF for arm64", ("--kernel", "@arm"), NOT_BOOTABLE, r'kernel "@arm": .*arm64.*x86-64.*'),
    Case("kernel: Image for arm64", ("--kernel", "@image"), NOT_BOOTABLE, r'kernel "@image": .*arm64.*x86-64.*'),
    Case("kernel: corrupt gzip", ("--kernel", "@gzip"), NOT_BOOTABLE, r'kernel "@gzip": .*gzip.*'),
    Case("kernel: no name", ("--kernel=",), USAGE, r'kernel "": give the name of a file'),
    Case("kernel: not as bzImage", ("--kernel", "@guest", "--kernel-entry", "bzimage"), NOT_BOOTABLE,
         r'kernel "@guest": .*not a bzImage.*', True),
    Case("initrd: missing", ("--initrd", "@none"), USAGE, r'initrd "@none": No such file or directory', True),
    Case("initrd: directory", ("--initrd", "@folder"), USAGE, r'initrd "@folder": .*directory.*', True),
    Case("initrd: empty", ("--initrd", "@empty"), NOT_BOOTABLE, r'initrd "@empty": the file is empty', True),
    Case("initrd: too large", ("--kernel", "@guest", "--initrd", "@large", "--mem", "32M"), NOT_BOOTABLE,
         r'initrd "@large": 64\.0 MiB do not fit into the 32\.0 MiB of guest memory.*--mem.*', True),
    Case("mem: 0", ("--mem", "0"), USAGE, r'mem "0": .*at least 8M.*'),
    Case("mem: 3", ("--mem", "3"), USAGE, r'mem "3": .*at least 8M.*'),
    Case("mem: 1P", ("--mem=1P",), USAGE, r'mem "1P": .*8T'),
    Case("mem: a word", ("--mem", "lots"), USAGE, r'mem "lots": not a size: .*512M'),
    Case("mem: negative", ("--mem=-1",), USAGE, r'mem "-1": not a size: .*512M'),
    Case("mem: nothing behind it", ("--mem",), USAGE, r'.*--mem.*'),
    Case("cpus: 0", ("--cpus", "0"), USAGE, r'cpus "0": .*at least one.*'),
    Case("cpus: beyond any KVM", ("--cpus", "99999"), USAGE, r'cpus "99999": .*4096.*'),
    Case("cpus: beyond this KVM", ("--cpus", "4096"), USAGE, r'cpus "4096": KVM on this host allows at most \d+ CPUs', True),
    Case("cpus: a word", ("--cpus", "all"), USAGE, r'cpus "all": say a number.*'),
    Case("cpus: a topology of another number", ("--cpus", "6,sockets=1,cores=4,threads=2"), USAGE, r'.*\b6\b.*', True),
    Case("timeout: 0", ("--timeout", "0"), USAGE, r'timeout "0": .*'),
    Case("watchdog: a word", ("--watchdog", "on"), USAGE, r'watchdog "on": not a time.*'),
    Case("on-reboot: a word", ("--on-reboot", "stop"), USAGE, r'on-reboot "stop": say exit or reboot'),
    Case("irqchip: a word", ("--irqchip", "ioapic"), USAGE, r'irqchip "ioapic": say auto, split or kernel'),
    Case("debug-exit: too high", ("--debug-exit", "0x10000"), USAGE, r'debug-exit "0x10000": .*0xfffd.*'),
    Case("mem-backing: shared alone", ("--mem-backing", "shared"), USAGE, r'mem-backing "shared": .*memfd,shared'),
    Case("symbols: missing", ("--symbols", "@none"), USAGE, r'symbols "@none": No such file or directory'),
    Case("unknown option", ("--nonsense",), USAGE, r'.*--nonsense.*--help'),
    Case("unknown short option", ("-z",), USAGE, r'.*-z.*--help'),
    Case("a kernel without --kernel", ("--mem", "64M", "vmlinuz"), USAGE, r'"vmlinuz" is no option: .*--kernel.*'),
    Case("unknown command", ("start",), USAGE, r'"start" is no command: .*boot.*--help'),
    Case("command line too long", ("--kernel", "@guest", "--cmdline", "x" * 5000), USAGE,
         r'the kernel command line is 5000 bytes long, and this kernel takes at most 2047; .*--cmdline.*', True),
    Case("json: no such folder", ("--json", "@none/report"), USAGE, r'json "@none/report": its folder does not exist'),
    Case("json: a folder", ("--json", "@folder"), USAGE, r'json "@folder": this is a directory.*'),
    Case("config: missing", ("--config", "@none"), USAGE, r'config "@none": No such file or directory'),
    Case("config: a folder", ("--config", "@folder"), USAGE, r'config "@folder": this is a directory.*'),
    Case("config: a wrong line", ("--config", "@config"), USAGE, r'@config:3: mem "3": .*'),
]

# vmm run: behind the command "run".
RUN_CASES = [
    Case("run: no command", ("--kernel", "@guest"), USAGE, r"run: there is no command: say it behind --"),
    Case("run: no command behind --", ("--kernel", "@guest", "--"), USAGE, r"run: there is no command: say it behind --"),
    Case("run: no kernel", ("--", "true"), USAGE, r"run: name a Linux kernel, with --kernel"),
    Case("run: kernel missing", ("--root", "@folder", "--kernel", "@none", "--", "true"), USAGE,
         r'kernel "@none": No such file or directory'),
    Case("run: kernel is text", ("--root", "@folder", "--kernel", "@text", "--", "true"), NOT_BOOTABLE, r'kernel "@text": not a kernel: .*'),
    Case("run: kernel is not Linux", ("--root", "@folder", "--kernel", "@guest", "--", "true"), NOT_BOOTABLE,
         r'kernel "@guest": only Linux can run a command'),
    Case("run: root missing", ("--kernel", "@guest", "--root", "@none", "--", "true"), USAGE, r'root "@none": No such file or directory'),
    Case("run: root is a pipe", ("--kernel", "@guest", "--root", "@fifo", "--", "true"), USAGE,
         r'root "@fifo": name a folder, an archive \(tar or cpio\) or a disk\'s image'),
    Case("run: root is text", ("--kernel", "@guest", "--root", "@text", "--", "true"), USAGE, r'root: archive "@text": .*'),
    Case("run: copy without a colon", ("--copy", "file", "--", "true"), USAGE, r'copy "file": say SOURCE:DESTINATION, the second one in the guest'),
    Case("run: copy to a relative path", ("--copy", "file:opt", "--", "true"), USAGE,
         r'copy "opt": a path in the guest begins with a slash'),
    Case("run: out without a place", ("--out", "/w:", "--", "true"), USAGE, r'out "/w:": say SOURCE:DESTINATION, the first one in the guest'),
    Case("run: out from a relative path", ("--out", "w:here", "--", "true"), USAGE, r'out "w": a path in the guest begins with a slash'),
    Case("run: out to nowhere", ("--kernel", "@guest", "--out", "/w:@none/w", "--", "true"), USAGE,
         r'out(?:put)? "@none": No such file or directory'),
    Case("run: out of all", ("--kernel", "@guest", "--out", "/:@folder", "--", "true"), USAGE,
         r'output "/": name a file or a folder of the guest, not all of it'),
    Case("run: env without a value", ("--env", "HOME", "--", "true"), USAGE, r'env "HOME": say NAME=value'),
    Case("run: env without a name", ("--env", "=x", "--", "true"), USAGE, r'env "=x": say NAME=value'),
    Case("run: a console at the command's streams", ("--kernel", "@guest", "--console", "stdio", "--", "true"), USAGE,
         r"run: standard input and output are the command's: send the console elsewhere, or use --console-log"),
    Case("run: the serial console at them", ("--kernel", "@guest", "--serial", "stdio", "--", "true"), USAGE,
         r"run: standard input and output are the command's: .*"),
    Case("run: any bytes are a variable, a folder and a user",
         ("--env", b"A=\xc3\xbc\xff", "--cwd", b"/\xff", "--user", b"\xc3\xbc", "--", "true"), USAGE, r"run: name a Linux kernel, with --kernel"),
    Case("run: console-log: the serial console goes elsewhere", ("--kernel", "@guest", "--serial", "null", "--console-log", "@log", "--", "true"),
         USAGE, r'run: the kernel\'s log is to be written, and --serial sends it elsewhere: .*'),
    Case("run: an argument that is too long", ("--kernel", "@guest", "--", "echo", "x" * 70000), USAGE, r'run: the argument "x+…" is 70000 bytes long.*'),
    Case("run: console-log: no such folder", ("--kernel", "@guest", "--console-log", "@none/log", "--", "true"), USAGE,
         r'console-log "@none/log": No such file or directory'),
    Case("run: json: a folder", ("--json", "@folder", "--", "true"), USAGE, r'json "@folder": this is a directory.*'),
    Case("run: unknown option", ("--nonsense", "--", "true"), USAGE, r'.*--nonsense.*; see vmm run --help'),
    Case("run: mem: 3", ("--mem", "3", "--", "true"), USAGE, r'mem "3": .*at least 8M.*'),
]
CASES += [case._replace(arguments=("run", *case.arguments)) for case in RUN_CASES]


def make_files(folder, guest):
    elf = Path(guest).read_bytes()
    arm = bytearray(elf)
    arm[18:20] = struct.pack("<H", 183)
    setup = bytearray(4096)
    setup[0x1F1] = 7                                     # sectors of setup code
    struct.pack_into("<I", setup, 0x1F4, 0x10000)        # paragraphs of kernel: 1 MiB
    setup[0x211] = 1                                     # a bzImage
    setup[0x236] = 1                                     # with a 64-bit entry
    setup[0x1FE:0x206] = b"\x55\xaa\xeb\x66HdrS"
    struct.pack_into("<H", setup, 0x206, 0x20F)
    files = {
        "text": b"This is not a kernel.\n" * 100,
        "random": bytes((i * i * 7 + i // 3) % 251 for i in range(5000)),
        "empty": b"",
        "cut30": elf[:30],
        "cut100": elf[:100],
        "cut700": elf[:700],
        "cutbz": bytes(setup),
        "arm": bytes(arm),
        "image": bytes(0x38) + b"ARM\x64" + bytes(4000),
        "gzip": b"\x1f\x8b\x08" + bytes(5000),
        "config": b"# a machine\nkernel = x\nmem = 3\n",
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    with open(folder / "large", "wb") as large:
        large.write(b"070701")
        large.truncate(64 << 20)
    (folder / "folder").mkdir()
    os.mkfifo(folder / "fifo")
    os.symlink(os.path.abspath(guest), folder / "guest")


def look_up(text, folder):
    return re.sub(r"@(\w+)", lambda found: str(folder / found[1]), text) if isinstance(text, str) else text


def pattern_of(case, folder):
    return re.sub(r"@(\w+)", lambda found: re.escape(str(folder / found[1])), case.line)


def check_line(done, code, pattern):
    """Returns what is wrong, or None."""
    said = done.stderr
    if done.returncode != code:
        return "exit code %d, expected %d: %s" % (done.returncode, code, said[-300:])
    if done.stdout:
        return "it printed to standard output: %.200s" % done.stdout
    if not re.fullmatch(r"vmm: [^\n]+\n", said):
        return "not one line that starts with vmm: %.300r" % said
    if not re.fullmatch(pattern, said[5:-1]):
        return "%r does not match %r" % (said, pattern)
    if said.endswith(".\n"):
        return "a full stop at its end: %r" % said
    return None


def run(argv, **more):
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
                          errors="replace", **more)


def check_no_device(vmm, folder):
    """no /dev/kvm: it says so, and what to do"""
    wrapped = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs none /dev && exec "$0"', vmm]
    if run(["unshare", "-rm", "sh", "-c", "mount -t tmpfs none /dev"]).returncode:
        return "SKIP no namespaces of its own here"
    return check_line(run(wrapped), HOST_ERROR, r".*/dev/kvm.*")


def check_no_permission(vmm, folder):
    """no permission for /dev/kvm: it names the group"""
    if os.geteuid() != 0 or not os.path.exists("/dev/kvm") or os.stat("/dev/kvm").st_mode & 0o006 == 0o006:
        return "SKIP only root can try this, where not everybody may open /dev/kvm"
    done = run([vmm], user=65534, group=65534, extra_groups=[])
    named = r"group \"?%s" % re.escape(grp.getgrgid(os.stat("/dev/kvm").st_gid).gr_name)
    group_may = os.stat("/dev/kvm").st_mode & 0o060 == 0o060
    return check_line(done, HOST_ERROR, r"/dev/kvm: permission denied: .*%s.*" % (named if group_may else ""))


def check_unwritable(vmm, folder):
    """a report that cannot be written is said before the run"""
    if os.geteuid() != 0:
        return "SKIP only root can become somebody else"
    os.chmod(folder, 0o755)
    done = run([vmm, "--json", str(folder / "report")], user=65534, group=65534, extra_groups=[])
    return check_line(done, USAGE, r'json "%s": its folder cannot be written to' % re.escape(str(folder / "report")))


def check_two_wrongs(vmm, folder):
    """a wrong kernel is told even where a report was asked for, and the report says it too"""
    report = folder / "error.json"
    done = run([vmm, "--kernel", str(folder / "none"), "--json", str(report)])
    if not report.exists() or '"exit_code": 2' not in report.read_text(encoding="utf-8"):
        return "no report of the failure"
    return check_line(done, USAGE, r"kernel .*: No such file or directory")


def check_informative(vmm, folder):
    """--help, --version and --print-cmdline are no errors"""
    for arguments, pattern in ((["--help"], r"(?s).*--kernel.*--json.*Exit codes.*"), (["--version"], r"vmm \d+\.\d+.*\n"),
                               (["--print-cmdline", "--append", "quiet"], r"console=ttyS0 panic=-1.* quiet\n"),
                               (["--print-cmdline", "--cmdline", "a b"], r"a b\n"),
                               (["boot", "--version"], r"vmm \d.*\n"),
                               (["record", "--help"], r"(?s)Usage:\n  vmm record .*--passwords.*"), (["ctl", "--help"], r"(?s)Usage:\n  vmm ctl .*"),
                               (["test", "--help"], r"(?s)Usage:\n  vmm test .*125.*"),
                               (["run", "--help"], r"(?s)Usage:\n  vmm run .*COMMAND.*--root.*--out.*Exit codes.*127.*24.*")):
        done = run([vmm, *arguments])
        if done.returncode != 0 or done.stderr or not re.fullmatch(pattern, done.stdout):
            return "%s: exit code %d, %r, %r" % (arguments, done.returncode, done.stdout[:300], done.stderr)
    return None


def check_disk_options(vmm, folder):
    """vmm disk refuses options that its command has no use for"""
    for words, said in ((("info", "--force", "text"), "info: --force is for create"), (("check", "--format", "raw", "text"), "check: --format is for create"),
                        (("create", "--json", "new", "1M"), "create: --json is for info and check")):
        done = run([os.path.abspath(vmm), "disk", *words], cwd=folder)
        if done.returncode != USAGE or done.stdout or done.stderr != f'vmm disk: {said}; see "vmm disk --help"\n':
            return "%s: exit code %d, %r, %r" % (words, done.returncode, done.stdout, done.stderr)
    return "it made a disk all the same" if (folder / "new").exists() else None


def check_closed_output(vmm, folder):
    """what was asked for and cannot be printed, because standard output is closed, is no success"""
    scenario = folder / "closed.test"
    scenario.write_text("[machine]\nkernel = %s\n" % (folder / "guest"), encoding="utf-8")
    environment = {**os.environ, "XDG_DATA_HOME": str(folder / "data")}
    for arguments, code in ((["test", "--list", str(scenario)], 125), (["test", "--list", "--json", "-", str(scenario)], 125),
                             (["test", "--schema"], 125), (["test", "-q", "--json", "-", "--only", "none", str(scenario)], 125),
                             (["kernel", "list", "--json"], HOST_ERROR), (["doctor", "--json", "--no-speed"], HOST_ERROR),
                             (["inspect", "--json", str(folder / "guest")], HOST_ERROR),
                             (["--version"], HOST_ERROR), (["--print-cmdline"], HOST_ERROR), (["--json", "/dev/stdout"], USAGE)):
        done = subprocess.run([vmm, *arguments], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
                              env=environment, preexec_fn=lambda: os.close(1))
        if done.returncode != code or "Bad file descriptor" not in done.stderr:
            return "%s: exit code %d, %r" % (arguments, done.returncode, done.stderr)
    return None


def check_closed_console(vmm, folder):
    """a machine may speak to a standard output that is closed"""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "SKIP no access to /dev/kvm"
    done = subprocess.run([vmm], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
                          preexec_fn=lambda: os.close(1))
    return "exit code %d, %r" % (done.returncode, done.stderr) if done.returncode or "lost" in done.stderr else None


CHECKS = [check_no_device, check_no_permission, check_unwritable, check_two_wrongs, check_informative, check_closed_output, check_closed_console,
          check_disk_options]


def main():
    vmm, guests = sys.argv[1:3]
    has_kvm = os.access("/dev/kvm", os.R_OK | os.W_OK)
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_files(folder, os.path.join(guests, "echo.elf"))
        for case in CASES:
            wrong = "SKIP no access to /dev/kvm"
            if has_kvm or not case.kvm:
                arguments = [look_up(argument, folder) for argument in case.arguments]
                wrong = check_line(run([vmm, *arguments]), case.code, pattern_of(case, folder))
            results.append((case.name, wrong))
        results += [(check.__doc__, check(vmm, folder)) for check in CHECKS]
    print("1..%d" % len(results))
    failures = 0
    for number, (name, wrong) in enumerate(results, 1):
        skipped = wrong is not None and wrong.startswith("SKIP")
        failed = wrong is not None and not skipped
        failures += failed
        print("%s %d - %s%s" % ("not ok" if failed else "ok", number, name, " # " + wrong if skipped else ""))
        if failed:
            print("# " + wrong)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
