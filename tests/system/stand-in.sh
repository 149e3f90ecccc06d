#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# QEMU behind vmm's options: with it the bed tests itself, and a failing scenario can be tried against another
# machine. Exit codes and JSON are vmm's own, so scenarios that look at them fail here. There is no vsock.
mem=512M cpus=1 kernel='' initrd='' append='' devices='' transport=pci count=0 control=''
PATH=$PATH:$(dirname "$0")

# value NAME WORDS: what NAME= has in a list with commas, or nothing
value() {
    echo "$2" | tr ',' '\n' | sed -n "s/^$1=//p"
}

has() {
    echo ",$2," | grep -q ",$1,"
}

# The port of the monitor that stands for a control socket.
monitor_port() {
    echo $((20000 + $(echo "$1" | cksum | cut -d' ' -f1) % 20000))
}

# device NAME OPTIONS: eight functions a slot on PCI
device() {
    if [ "$transport" = mmio ]; then
        devices="$devices -device virtio-$1-device,$2"
    else
        devices="$devices -device virtio-$1-pci,$2,disable-legacy=on,multifunction=on,addr=$(printf '%x.%x' $((count / 8 + 3)) $((count % 8)))"
    fi
    count=$((count + 1))
}

add_disk() {
    path=${1%%,*} id=drive$count drive='' extra=''
    has readonly "$1" && drive=,readonly=on
    has discard "$1" && drive=$drive,discard=unmap
    [ -n "$(value serial "$1")" ] && extra=,serial=$(value serial "$1")
    [ -n "$(value queues "$1")" ] && extra=$extra,num-queues=$(value queues "$1")
    format=$(value format "$1")
    devices="$devices -drive file=$path,format=${format:-raw},if=none,id=$id,werror=report$drive"
    device blk "drive=$id$extra"
}

add_net() {
    id=net$count
    case $1 in
    user*) forward=$(value hostfwd "$1"); restrict=''
        has restrict "$1" && restrict=,restrict=on
        devices="$devices -netdev user,id=$id$restrict${forward:+,hostfwd=$forward}" ;;
    tap*) devices="$devices -netdev tap,id=$id,script=no,downscript=no,ifname=$(value ifname "$1")" ;;
    *) echo "stand-in: no --net $1" >&2; exit 77 ;;
    esac
    mac=$(value mac "$1")
    rom=''
    [ "$transport" = pci ] && rom=,romfile=
    device net "netdev=$id${mac:+,mac=$mac}$rom"
}

if [ "$1" = ctl ]; then
    case $3 in
    pause) command=stop ;;
    resume) command=cont ;;
    stop) command=quit ;;
    balloon) command="balloon $4" ;;
    resize) command="block_resize drive${4#disk} $(($5 / 1048576))" ;;
    *) command="info status" ;;
    esac
    (echo "$command"; sleep 1) | nc 127.0.0.1 "$(monitor_port "$2")"
    exit 0
fi
while [ $# -gt 0 ]; do
    case $1 in
    --kernel) kernel=$2 ;;
    --mem) mem=$2 ;;
    --cpus) cpus=$2 ;;
    --append) append="$append $2" ;;
    --transport) transport=$2 ;;
    --disk) add_disk "$2" ;;
    --net) add_net "$2" ;;
    --rng) device rng max-bytes=1048576,period=1 ;;
    --balloon) device balloon free-page-reporting=on,deflate-on-oom=on ;;
    --control) control="-monitor tcp:127.0.0.1:$(monitor_port "$2"),server=on,wait=off" ;;
    --console)
        [ -n "$serial_bus" ] || { device serial id=serial; serial_bus=1; }
        path=$(value file "$2") name=$(value name "$2") socket=$(value socket "$2") id=char$count
        count=$((count + 1))
        if [ -n "$socket" ]; then devices="$devices -chardev socket,id=$id,path=$socket,server=on,wait=off"
        elif [ -n "$path" ]; then devices="$devices -chardev file,id=$id,path=$path"
        else devices="$devices -chardev null,id=$id"; fi
        if [ -n "$name" ]; then devices="$devices -device virtserialport,chardev=$id,name=$name"
        else devices="$devices -device virtconsole,chardev=$id"; fi ;;
    --initrd)
        initrd=/tmp/initrd.$$
        cat "$2" >> "$initrd" ;;
    esac
    shift $(($# > 1 ? 2 : 1))
done
serial=stdio
[ -t 0 ] && serial=mon:stdio # the multiplexer stalls on a pipe
machine="-M q35,accel=kvm -device pvpanic-pci"
[ "$transport" = mmio ] && machine="-M microvm,accel=kvm,acpi=on -global virtio-mmio.force-legacy=false"
exec qemu-system-x86_64 -L /usr/share/seabios -L /usr/share/qemu $machine -cpu host -nodefaults -no-reboot -display none -serial "$serial" -m "$mem" -smp "$cpus" \
    -kernel "$kernel" -initrd "$initrd" $devices $control -append "console=ttyS0 panic=-1 $append"
