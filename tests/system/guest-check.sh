#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What a stock kernel says of the machine that it runs on, compared with what the machine should be:
#     check WHAT [VALUE]...     see the end
# Says what is wrong, and then fails.
wrong() {
    echo "check: $*"
    status=1
}

# between WHAT VALUE LEAST MOST
between() {
    [ "$2" -ge "$3" ] && [ "$2" -le "$4" ] || wrong "$1 is $2, not within $3 to $4"
}

# same WHAT VALUE WANTED
same() {
    [ "$2" = "$3" ] || wrong "$1: $2, not $3"
}

kib() {
    case $1 in
    *G) echo $((${1%G} << 20)) ;;
    *M) echo $((${1%M} << 10)) ;;
    *) echo "$(($1 << 10))" ;;
    esac
}

# Of the RAM below 1 MiB some is hidden behind the hole for the video memory and the BIOS. What the kernel keeps for
# itself: its image, page tables, per-CPU areas, and a share for the page descriptors.
memory() {
    size=$(kib "$1")
    between "RAM by the firmware's map, KiB" "$(dmesg | sed -n 's|.*Memory: [0-9]*K/\([0-9]*\)K available.*|\1|p')" $((size - 1024)) "$size"
    between "MemTotal, KiB" "$(awk '/^MemTotal/ { print $2 }' /proc/meminfo)" $((size - 80 * 1024 - size * 35 / 1000)) "$size"
}

topology() {
    cat /sys/devices/system/cpu/cpu[0-9]*/topology/"$1"
}

cores() {
    for folder in /sys/devices/system/cpu/cpu[0-9]*/topology; do
        echo "$(cat "$folder/physical_package_id") $(cat "$folder/core_id")"
    done
}

distinct() {
    sort -u | wc -l
}

# cpus N[,sockets=S][,cores=C][,threads=T]
cpus() {
    count=${1%%,*}
    same "online CPUs" "$(nproc)" "$count"
    same "distinct APIC ids" "$(sed -n 's/^apicid.*: //p' /proc/cpuinfo | distinct)" "$count"
    sockets=$(topology physical_package_id | distinct)
    for part in $(echo "$1" | tr , ' '); do
        case $part in
        sockets=*) same sockets "$sockets" "${part#*=}" ;;
        cores=*) same "cores of all sockets" "$(cores | distinct)" $((${part#*=} * sockets)) ;;
        threads=*) same "sets of sibling threads" "$(topology thread_siblings_list | distinct)" $((count / ${part#*=})) ;;
        esac
    done
}

# The kernel's own words for what a machine gets wrong.
log() {
    dmesg > /tmp/log
    grep -E 'ACPI( BIOS)? (Error|Exception)|ACPI: Unable|AE_[A-Z]+|too much work|BUG:|WARNING:|Call Trace|\[Firmware Bug\]|nobody cared|soft lockup|clocksource: .*unstable|\[Hardware Error\]|MP-BIOS bug|not responding|I/O error' /tmp/log \
        && wrong "the kernel complains"
    grep -q 'ttyS0 at .* is a 16550A' /tmp/log || wrong "ttyS0 is not a 16550A: $(grep ttyS0 /tmp/log)"
}

clock() {
    [ -e /sys/class/rtc/rtc0/time ] || wrong "there is no RTC"
    between "the RTC's year" "$(cut -d- -f1 /sys/class/rtc/rtc0/date)" 2024 2099
}

# devices TRANSPORT DRIVER...: such virtio devices are there, reached so, each with its driver.
devices() {
    case $1 in pci) path=/pci ;; *) path=/LNRO0005 ;; esac
    shift
    for name in /sys/bus/virtio/devices/*; do
        readlink -f "$name" | grep -q "$path" || wrong "$(readlink -f "$name") is not at $path"
    done
    same drivers "$(for name in /sys/bus/virtio/devices/*; do basename "$(readlink "$name/driver")"; done | sort | xargs)" "$(echo "$@" | xargs -n 1 | sort | xargs)"
}

status=0
what=$1
shift
case $what in
memory | cpus | log | clock | devices) "$what" "$@" ;;
*) wrong "what is \"$what\"?" ;;
esac
exit $status
