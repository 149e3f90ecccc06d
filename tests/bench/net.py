# SPDX-License-Identifier: Apache-2.0
"""A network card kept busy: a tap in a network namespace of its own, the same for all.

Two kinds of frames: those that the host takes and drops at once ("send"), and those that its kernel forwards back
to where they came from ("echo"), so that each is sent and received. No other program has a part in it, whose turn
on a machine with few CPUs would be most of what is measured."""

import contextlib
import os
import shutil
import subprocess

import driven

TAP = "bench0"
MTU = 4096
MAC_HOST, MAC_GUEST = "02:00:00:00:00:01", "02:00:00:00:00:02"  # bench-net.c has the same
SEGMENT = 1448  # what a large TCP segment would be cut into; Linux makes one of 45 of these
LARGE = 14 + 20 + 20 + 45 * SEGMENT
# name: depth, bytes of a frame, frames, whether they come back, bytes of the pieces of a large segment
LOADS = {
    "4 KiB send, depth 1": (1, 4096, 200000, False, 0),
    "4 KiB send, depth 32": (32, 4096, 600000, False, 0),
    "4 KiB echo, depth 1": (1, 4096, 100000, True, 0),
    "4 KiB echo, depth 32": (32, 4096, 300000, True, 0),
    "1 MiB send, 16 of 64 KiB": (16, LARGE, 300000, False, SEGMENT),
    "1 MiB echo, 16 of 64 KiB": (16, LARGE, 50000, True, SEGMENT),
}
# The host forwards to 10.0.0.3, which is where 10.0.0.2 is, and says nothing by itself.
SET_UP = f"""
set -e
for setting in ipv4/ip_forward=1 ipv4/conf/all/send_redirects=0 ipv4/conf/default/send_redirects=0 \\
        ipv4/conf/all/rp_filter=0 ipv4/conf/default/rp_filter=0; do
    echo ${{setting#*=}} > /proc/sys/net/${{setting%=*}}
done
if [ -d /proc/sys/net/ipv6 ]; then echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6; fi
ip tuntap add {TAP} mode tap vnet_hdr
ip link set {TAP} address {MAC_HOST} mtu {MTU} up
ip address add 10.0.0.1/24 dev {TAP}
ip neighbour add 10.0.0.3 lladdr {MAC_GUEST} nud permanent dev {TAP}
echo ready
exec cat
"""


def why_not():
    """Return what is missing, or None."""
    if os.geteuid() != 0:
        return "only root may make a tap"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "/dev/net/tun cannot be opened for reading and writing"
    missing = [name for name in ("ip", "nsenter", "unshare") if not shutil.which(name)]
    return f"there is no {missing[0]}: install iproute2 and util-linux" if missing else None


@contextlib.contextmanager
def network():
    """Give the words in front of a command that is to run in a namespace with the tap; both end with the context."""
    with subprocess.Popen(["unshare", "--net", "sh", "-c", SET_UP], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as holder:
        if holder.stdout.readline() != "ready\n":
            raise RuntimeError(f"no tap in a network namespace: {holder.stderr.read().strip()}")
        try:
            yield ["nsenter", f"--net=/proc/{holder.pid}/ns/net", "--"]
        finally:
            holder.stdin.close()


def commands(options, transport, words):
    """Return {program: command}."""
    guest = str(options.build / "tests/guests/bench-net.elf")
    backend = ["-netdev", f"tap,id=net,ifname={TAP},script=no,downscript=no,vnet_hdr=on,vhost=off"]
    return {
        "vmm": driven.vmm_command(options, transport, guest, words, ["--net", f"tap,ifname={TAP},vhost=off,mac={MAC_GUEST}"]),
        "QEMU": driven.qemu_command(transport, guest, words, backend, "net", f"netdev=net,mac={MAC_GUEST}"),
    }


def measure(options, transport, enter):
    def for_load(load, _number):
        depth, size, requests, echo, segment = LOADS[load]
        # On a busy host it may take half a second until the two threads have a CPU each: that does not count.
        words = f"depth={depth} bytes={size} requests={requests} warm={requests // 3} echo={int(echo)} tso={segment}"
        return {program: command and enter + command for program, command in commands(options, transport, words).items()}

    return driven.measure(options, transport, LOADS, for_load)


def net(options, targets, table):
    with network() as enter:
        found = {transport: measure(options, transport, enter) for transport in driven.TRANSPORTS}
    driven.print_table(found, table)
    driven.judge(found, targets, lambda load: "MiB" in load)
    return found
