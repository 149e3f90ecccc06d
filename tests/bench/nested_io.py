# SPDX-License-Identifier: Apache-2.0
"""A stock guest that keeps a disk or a network card busy, under vmm and under QEMU in turn, in the nested bed.

One outer machine runs all programs one after the other, so its counting clock tells how much work each took; the
guest's own clock says the same, and both are printed. The work is fixed, not the time: so many reads, so many bytes.
What KVM and vmm count meanwhile is looked at when the guest says that it begins, and when it says that it is done.
"""

import json
import re
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

from bedlib import images, kernels, nested, scenarios

QEMU = "qemu-system-x86_64"
DISK_MIB = 64  # in the outer machine's memory; the guest has less cache than that, and goes around it
LIMIT = 100  # seconds of the outer machine's clock for one program
TRIES = 3
ADDRESS = "10.7.0.1"
# What QEMU's virtio devices are called with each of vmm's transports, and on which of its machines.
QEMU_MACHINES = {"pci": ("q35,accel=kvm", "pci,disable-legacy=on"),
                 "mmio": ("microvm,accel=kvm", "device")}
SNAPSHOT = """cut -d' ' -f1 /proc/uptime > $1.uptime
grep -s . /sys/kernel/debug/kvm/* > $1.kvm
[ ! -S /tmp/control ] || /in/bin/vmm ctl /tmp/control status --json > $1.vmm
"""


class Unavailable(Exception):
    """This host cannot run it; the text says why."""


def quote(text):
    return "'" + text.replace("'", "'\\''") + "'"


def vmm_line(line, device, transport):
    return (f"/in/bin/vmm --kernel $K --initrd $I --mem 256M --cmdline {line} --transport {transport} --control /tmp/control"
            f" --json $JSON {device}")


def qemu_line(line, device, transport):
    return (f"/in/bin/{QEMU} -L /usr/share/qemu -L /usr/share/seabios -cpu host -m 256 -nodefaults -no-user-config -display none"
            f" -no-reboot -serial stdio -kernel $K -initrd $I -append {line} -M {QEMU_MACHINES[transport][0]}"
            f" -global virtio-mmio.force-legacy=off {device}")


def disk_programs(line, image):
    """Return {(program, transport): command line in the outer machine}."""
    found = {}
    for transport, (_, bus) in QEMU_MACHINES.items():
        found["vmm", transport] = vmm_line(line, f"--disk {image}", transport)
        for engine in ("io_uring", "threads") if transport == "pci" else ("io_uring",):
            device = f"-object iothread,id=loop -drive file={image},format=raw,if=none,id=disk,aio={engine},cache=writeback"
            found[f"QEMU, {engine}", transport] = qemu_line(line, f"{device} -device virtio-blk-{bus},drive=disk,iothread=loop", transport)
    return found


def network_programs(line):
    found = {}
    for transport, (_, bus) in QEMU_MACHINES.items():
        for vhost in ("off", "on") if transport == "pci" else ("off",):
            suffix = ", vhost" if vhost == "on" else ""
            card = f"virtio-net-{bus},netdev=net" + (",romfile=" if transport == "pci" else "")
            found[f"vmm{suffix}", transport] = vmm_line(line, f"--net tap,ifname=tap7,vhost={vhost}", transport)
            found[f"QEMU{suffix}", transport] = qemu_line(
                line, f"-netdev tap,id=net,ifname=tap7,script=no,downscript=no,vhost={vhost} -device {card}", transport)
    return found


def choose(options, programs):
    return {key: command for key, command in programs.items() if re.search(options.only, ", ".join(key))}


def write_job(job, command, setup, loads):
    """One program in a job of its own: should the outer machine be lost with it, the others' results stand."""
    out = f"/out/{job.name}"
    job.mkdir(parents=True)
    (job / "snapshot").write_text(SNAPSHOT)
    script = []
    for load in loads:
        snapshot = f"run 20 sh /in/jobs/{job.name}/snapshot {out}/{load}"
        script += [f"expect {LIMIT} ^@bench-begin: {load}", f"{snapshot}.begin", f"expect {LIMIT} ^@bench-end: {load}", f"{snapshot}.end"]
    (job / "script").write_text("\n".join(script) + "\n")
    lines = [f"OUT={out} K=/in/kernels/cloud-6.1 I=/in/initrd/bench.img JSON={out}/vmm.json", "export PATH=/in/bin:$PATH",
             "find /in/bin /in/kernels /in/initrd /in/root -type f | xargs cat > /dev/null",  # into the page cache
             "mount -t debugfs none /sys/kernel/debug 2> /dev/null", "rm -f /tmp/control", *setup,
             # The emulator now and then interrupts a guest that has interrupts off, and its kernel then panics.
             f"for n in $(seq {TRIES}); do",
             f"drive --timeout {LIMIT} --script /in/jobs/{job.name}/script --log $OUT/log --result $OUT/result -- {command}",
             f"[ -s $OUT/{loads[-1]}.end.kvm ] && break", "mv $OUT/log $OUT/log.$n; done"]
    (job / "run").write_text("\n".join(lines) + "\n")


def make_stage(options, stage):
    busybox = images.find_busybox()
    for program in (QEMU, "fio", "iperf3"):
        if not images.find_program(program):
            raise Unavailable(f"{program} is needed")
    if not busybox:
        raise Unavailable("busybox-static is needed")
    try:
        kernel = kernels.get("cloud-6.1")
    except kernels.Unavailable as reason:
        raise Unavailable(str(reason)) from reason
    (stage / "initrd").mkdir(parents=True)
    (stage / "root").mkdir()
    for tool in ("drive", "probe"):
        images.place(options.build / "tests/system" / tool, stage / "bin" / tool)
    images.add_program(stage, "vmm", options.vmm)
    images.add_program(stage, "iperf3", images.find_program("iperf3"))
    images.add_qemu(stage)
    images.place(kernel.image, stage / "kernels/cloud-6.1")
    # One file for all: QEMU takes one only.
    (stage / "initrd/bench.img").write_bytes(
        images.guest_initrd(busybox) + images.device_modules(kernel) + images.guest_tools(stage.parent, stage / "bin/probe"))
    return kernel


def run(options, programs, setup, loads):
    """Yield (program, folder) of each run that was not lost; the programs take turns."""
    results = Path(tempfile.mkdtemp(prefix="bench-nested-", dir=options.build))
    stage = results / "stage"
    try:
        kernel = make_stage(options, stage)
        jobs, keys = {}, {}
        for number in range(options.rounds):
            for index, (key, command) in enumerate(programs.items()):
                job = stage / "jobs" / f"{number:03}-{index}"
                write_job(job, command, setup, loads)
                jobs[job.name], keys[job.name] = scenarios.Scenario(name=job.name, timeout=2 * LIMIT), key
        # QEMU 7.2 has been seen to stall when it counts: the run is then tried anew, and given up in the end.
        for job, folder, lost in nested.run(jobs, stage, results, 1, kernel, 2048, 1, nested.PLAIN if options.plain else nested.COUNTED):
            if lost:
                print(f"{', '.join(keys[job])}: {lost}", flush=True)
            else:
                yield keys[job], folder
    finally:
        if options.keep:
            print(f"logs are in {results}")
        else:
            shutil.rmtree(results)


def read_counts(path):
    """Return (seconds, KVM's counters, vmm's own counts of exits)."""
    kvm = {}
    for line in Path(f"{path}.kvm").read_text().splitlines():
        name, _, value = line.rpartition(":")
        if value.isdigit():
            kvm[Path(name).name] = int(value)
    own = Path(f"{path}.vmm").read_text() if Path(f"{path}.vmm").exists() else ""
    return float(Path(f"{path}.uptime").read_text()), kvm, json.loads(own)["exits"] if own else {}


def difference(before, after):
    return {name: count - before.get(name, 0) for name, count in after.items() if count > before.get(name, 0)}


def read_load(folder, load):
    """Return what the guest said at the end of a load, and what was counted meanwhile; or None."""
    log = folder / "log"
    told = re.search(rf"^@bench-end: {load} (.*)$", log.read_text(errors="replace"), re.M) if log.exists() else None
    if not told or not (folder / f"{load}.end.kvm").exists():
        return None
    (start, kvm_before, own_before), (end, kvm_after, own_after) = (read_counts(folder / f"{load}.{when}") for when in ("begin", "end"))
    return {"told": told.group(1).strip(), "outer_seconds": end - start, "kvm": difference(kvm_before, kvm_after),
            "vmm_exits": difference(own_before, own_after)}


def collect(options, programs, setup, loads, read_rate):
    """Return {load: {(program, transport): [run]}}; a run has its `rate` besides."""
    found = {load: {key: [] for key in programs} for load in loads}
    for key, folder in run(options, programs, setup, loads):
        for load in loads:
            entry = read_load(folder, load)
            rate = read_rate(entry["told"]) if entry else None
            if rate is None:
                print(f"{', '.join(key)}: no {load} from it; {folder}/log* has its console", flush=True)
                continue
            print(f"# {', '.join(key)}: {load}: {rate:.0f} in the guest's clock, {entry['outer_seconds']:.2f} s in the outer one's", flush=True)
            found[load][key].append({**entry, "rate": rate})
    return found


def median(runs, what):
    return statistics.median(what(run) for run in runs)


def compare(targets, what, rates):
    """Each of vmm's rates beside the best of QEMU's with the same transport and the same kernel's help."""
    for (program, transport), rate in rates.items():
        suffix = program.removeprefix("vmm")
        peers = [other for (name, bus), other in rates.items()
                 if bus == transport and name.startswith("QEMU") and name.endswith("vhost") == suffix.endswith("vhost")]
        if not program.startswith("vmm") or not peers:
            continue
        if suffix:  # no work of the programs' own, so nothing to be better at
            print(f"({what}, {transport}{suffix}: rate beside QEMU: {rate / max(peers):.3g}; the kernel moves these frames)")
        else:
            targets.at_least(f"{what}, {transport}: rate beside QEMU", rate / max(peers), 1.0)


def default_line(options, actions):
    """vmm's own default command line, for all alike."""
    default = options.cmdline or subprocess.run([options.vmm, "--print-cmdline"], capture_output=True, check=True, text=True).stdout.strip()
    return quote(f"{default} vmmtest=devices,{actions},sleep:1,poweroff")


def count_text(counts, requests):
    """The larger ones of some counts, for each request."""
    return ", ".join(f"{name} {count / requests:.2f}" for name, count in sorted(counts.items(), key=lambda item: -item[1])
                     if count / requests >= 0.005) or "none"


def fio(options, targets, table):
    """Reads of 4 KiB at random places, 32 at a time, past the guest's cache."""
    image, requests = "/dev/shm/disk.img", options.requests
    programs = choose(options, disk_programs(default_line(options, f"bench-fio:vda:{requests * 4}k"), image))
    setup = [f"dd if=/dev/zero of={image} bs=1M count={DISK_MIB} 2> /dev/null", f"trap 'rm -f {image}' EXIT"]

    def read_rate(told):  # the read fields of fio's terse output, version 3
        fields = told.split(";")
        return requests / (int(fields[8]) / 1000) if len(fields) > 8 and fields[4] == "0" and int(fields[8]) else None

    runs = collect(options, programs, setup, ["fio"], read_rate)["fio"]
    rows, rates = [], {}
    for (program, transport), entries in runs.items():
        if entries:
            rates[program, transport] = median(entries, lambda run: run["rate"])
            rows.append([f"{program}, {transport}", f"{rates[program, transport]:.0f}", f"{median(entries, lambda run: run['outer_seconds']):.2f}",
                         *(f"{median(entries, lambda run: run['kvm'].get(name, 0)) / requests:.2f}" for name in ("exits", "irq_injections"))])
    table([f"{requests} reads of 4 KiB, depth 32", "IOPS, guest's clock", "s, outer clock", "exits/request", "interrupts/request"], rows)
    for (program, transport), entries in runs.items():
        if entries and program == "vmm":
            print(f"(exits to vmm itself for each request, {transport}: {count_text(entries[0]['vmm_exits'], requests)})")
    compare(targets, "fio randread", rates)
    return [{"program": program, "transport": transport, "runs": entries} for (program, transport), entries in runs.items()]


def iperf3(options, targets, table):
    """One TCP connection over a tap, in both directions."""
    mib, loads = options.mib, ["send", "receive"]
    actions = f"address:eth0:10.7.0.2,wait-ping:{ADDRESS},bench-iperf3:send:{ADDRESS}:{mib}M,bench-iperf3:receive:{ADDRESS}:{mib}M:-R"
    programs = choose(options, network_programs(default_line(options, actions)))
    setup = ["tunctl -t tap7 > /dev/null", f"ifconfig tap7 {ADDRESS} netmask 255.255.255.0 up",
             f"iperf3 -s -B {ADDRESS} > $OUT/iperf3.log 2>&1 & server=$!", "trap 'kill $server; tunctl -d tap7' EXIT"]

    def read_rate(told):
        found = re.search(r"([0-9.]+) Kbits/sec", told)
        return float(found.group(1)) / 1000 if found else None

    found = collect(options, programs, setup, loads, read_rate)
    rows, rates = [], {load: {} for load in loads}
    for load, runs in found.items():
        for (program, transport), entries in runs.items():
            if entries:
                rates[load][program, transport] = median(entries, lambda run: run["rate"])
                rows.append([f"guest {load}s, {program}, {transport}", f"{rates[load][program, transport]:.0f}",
                             f"{median(entries, lambda run: run['outer_seconds']):.2f}",
                             *(f"{median(entries, lambda run: run['kvm'].get(name, 0)) / mib:.1f}" for name in ("exits", "irq_injections"))])
    table([f"{mib} MiB over a tap", "Mbit/s, guest's clock", "s, outer clock", "exits/MiB", "interrupts/MiB"], rows)
    for load in loads:
        compare(targets, f"iperf3, guest {load}s", rates[load])
    return [{"load": load, "program": program, "transport": transport, "runs": entries}
            for load, runs in found.items() for (program, transport), entries in runs.items()]
