#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The /init of the kernels under test. vmmtest=ACTION[,ACTION...] on the kernel command line says what to do;
# lines that start with @ are read by the test bed.
export PATH=/bin HOME=/ PS1='guest:\w# '
mount -t proc none /proc
mount -t sysfs none /sys
[ -c /dev/null ] || mount -t devtmpfs none /dev
echo "@init: $(cut -d' ' -f1 /proc/uptime)"

load_modules() {
    for name in $(cat /modules/order); do
        insmod "/modules/$name" && echo "@module: $name"
    done
}

act() {
    case $1 in
    cmdline) echo "@cmdline: $(cat /proc/cmdline)" ;;
    modules) load_modules ;;
    shell) setsid cttyhack sh ;;
    poweroff) poweroff -f ;;
    reboot) reboot -f ;;
    halt) halt -f ;;
    panic) echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger ;;
    busy) while :; do :; done ;;
    idle) sleep 1000000 ;;
    flood) seq 1 "$(sed -n 's/.*vmmtest.lines=\([0-9]*\).*/\1/p' /proc/cmdline)"; echo "@flood-end:" ;;
    exit) exit 0 ;; # PID 1 ends: the kernel panics by itself
    prompt) printf 'login: '; read -r name; echo "hello $name" ;;
    bytes) printf '\0\0\0\0after the NULs\n\033[1;31mred\033[0m\n\033]0;title\007\033[2J\303(\n\360\237\nafter \377\376\303\n\033[' ;;
    power-button) # what an ACPI daemon waits for
        echo "@waiting-for-power-button:"
        head -c 24 /dev/input/event0 > /tmp/event && echo "@power-button:" ;;
    *) if [ -e /bin/devices.sh ]; then . /bin/devices.sh; device_act "$1"; else echo "@unknown-action: $1"; fi ;;
    esac
}

actions=$(sed -n 's/.*vmmtest=\([^ ]*\).*/\1/p' /proc/cmdline)
for action in $(echo "${actions:-shell,poweroff}" | tr , ' '); do
    act "$action"
done
echo "@done:"
poweroff -f
sleep 1000
