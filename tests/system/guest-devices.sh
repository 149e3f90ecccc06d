# SPDX-License-Identifier: Apache-2.0
# Sourced by guest-init.sh where the "tools" initrd is: what a guest does with its devices. An action is WORD:ARG:ARG.
# What goes wrong is said as @device-fault, and the rest goes on; bedlib/judge.py reads it.

fault() {
    echo "@device-fault: $*"
}

# must WHAT COMMAND...: the command's output follows WHAT, and its failure is a fault.
must() {
    what=$1
    shift
    if output=$("$@" 2>&1); then
        echo "@$what: $(echo "$output" | tail -n 1)"
    else
        echo "$output" | sed 's/^/# /'
        fault "$what: $(echo "$output" | grep -v '^$' | tail -n 1)"
    fi
}

# One disk written wholly with the pattern of a seed, read back from the device and not from the cache.
disk_fill() {
    must disk-written probe fill "/dev/$1" "$2"
    echo 3 > /proc/sys/vm/drop_caches
    must disk-read probe check "/dev/$1" "$2"
}

# disk_zero DISK MIB: that much at the disk's end is zeroed by the device, and what is before it stays.
disk_zero() {
    from=$(($(cat "/sys/block/$1/size") / 2048 - $2))
    must disk-written probe fill "/dev/$1" 31
    must disk-zeroed probe zero "/dev/$1" $((from << 20)) $(($2 << 20))
    must disk-read probe check "/dev/$1" 31 $((from << 20))
    dd if="/dev/$1" bs=1M skip="$from" 2> /dev/null | cmp -n $(($2 << 20)) - /dev/zero || fault "$1: what was zeroed is not zero"
    # A kernel whose device refuses writes the zeroes itself, and takes a note of that.
    [ "$(cat "/sys/block/$1/queue/write_zeroes_max_bytes")" -gt 0 ] || fault "$1 does not zero by itself"
}

# A file system made, filled, mounted again and checked.
disk_ext4() {
    must ext4-made /bin/mke2fs -q -F -t ext4 "/dev/$1" || return
    mkdir -p /mnt
    must ext4-mounted mount -t ext4 "/dev/$1" /mnt
    free=$(($(stat -f -c '%a * %S' /mnt) / 1048576))
    n=0
    while [ "$n" -lt $((free / 4 - 1)) ]; do
        probe fill "/mnt/file$n" "$n" 4194304 > /dev/null || { fault "ext4: file $n cannot be written"; break; }
        n=$((n + 1))
    done
    must ext4-unmounted umount /mnt
    must ext4-mounted mount -t ext4 "/dev/$1" /mnt
    while [ "$n" -gt 0 ]; do
        n=$((n - 1))
        probe check "/mnt/file$n" "$n" 4194304 > /dev/null || fault "ext4: file $n is not what was written"
    done
    umount /mnt
    must ext4-clean e2fsck -f -n "/dev/$1"
}

disk_fio() {
    command -v fio > /dev/null || { echo "@fio: not on the host"; return; }
    for depth in 1 32; do
        must fio fio --name=mixed --filename="/dev/$1" --ioengine=libaio --direct=1 --rw=randrw --bsrange=4k-128k --blockalign=4k \
            --iodepth="$depth" --size="${2:-8M}" --verify=crc32c --verify_fatal=1 --randseed="$depth" --minimal --output=/tmp/fio
    done
}

# For tests/bench: a fixed amount of work, between two marks. DISK BYTES
bench_fio() {
    echo "@bench-begin: fio"
    fio --name=bench --filename="/dev/$1" --rw=randread --bs=4k --iodepth=32 --ioengine=libaio --direct=1 --io_size="$2" \
        --eta=never --minimal --output=/tmp/fio
    echo "@bench-end: fio $(cut -d ';' -f 1-9 /tmp/fio)"
}

# NAME ADDRESS BYTES [-R]
bench_iperf3() {
    echo "@bench-begin: $1"
    iperf3 -c "$2" -n "$3" -f k $4 > /tmp/iperf3 2>&1
    echo "@bench-end: $1 $(grep receiver /tmp/iperf3 || cat /tmp/iperf3)"
}

disk_report() {
    block=/sys/block/$1
    echo "@disk-$1: sectors=$(cat "$block/size") ro=$(cat "$block/ro") serial=$(cat "$block/serial" 2> /dev/null)" \
        "discard=$(cat "$block/queue/discard_max_bytes") zeroes=$(cat "$block/queue/write_zeroes_max_bytes")" \
        "cache=$(cat "$block/queue/write_cache" | tr ' ' -) queues=$(ls "$block/mq" | wc -l)"
}

# Wait until a disk has that many sectors, for a minute.
disk_wait_size() {
    for _ in $(seq 120); do
        [ "$(cat "/sys/block/$1/size")" = "$2" ] && echo "@disk-resized: $1 $2" && return
        sleep 0.5
    done
    fault "$1 never came to $2 sectors"
}

net_dhcp() {
    mkdir -p /etc
    cat > /bin/on-dhcp << 'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
ifconfig "$interface" "$ip" netmask "${subnet:-255.255.255.0}"
[ -n "$router" ] && route add default gw "$router" dev "$interface"
for server in $dns; do echo "nameserver $server"; done > /etc/resolv.conf
echo "$ip router=$router dns=$dns" > "/tmp/lease-$interface"
END
    chmod +x /bin/on-dhcp
    ifconfig "$1" up
    udhcpc -i "$1" -n -q -t 10 -s /bin/on-dhcp > /tmp/udhcpc 2>&1 || fault "dhcp on $1: $(tail -n 1 /tmp/udhcpc)"
    echo "@dhcp: $1 $(cat "/tmp/lease-$1") mac=$(cat "/sys/class/net/$1/address")"
}

# transfer ADDRESS BYTES: both ways
transfer() {
    must "came" probe get "$1" 11 "$2"
    must "went" probe put "$1" 12 "$2"
}

# unreachable ADDRESS: there is no way to a service that other guests reach
unreachable() {
    output=$(timeout 5 probe get "$1" 11 1000 2>&1) && fault "$1 can be reached" || echo "@unreachable: $1 $output"
}

# The cable is pulled: that can take a moment to be told.
net_wait_carrier() {
    for _ in $(seq 100); do
        [ "$(cat "/sys/class/net/$1/carrier")" = "$2" ] && echo "@carrier: $1 $2" && return
        sleep 0.2
    done
    fault "the carrier of $1 never became $2"
}

port_of() {
    for entry in /sys/class/virtio-ports/*; do
        [ "$(cat "$entry/name" 2> /dev/null)" = "$1" ] && echo "/dev/${entry##*/}"
    done
}

port_echo() {
    port=$(port_of "$1")
    [ -n "$port" ] || { fault "no port is called $1"; return; }
    exec 4<> "$port"
    echo "@port-open: $1"
    until read -r line <&4 && [ -n "$line" ]; do sleep 0.1; done # nobody is there: that reads as the end
    echo "guest heard: $line" >&4
    sleep 1
    exec 4>&-
}

# The rest of what is said goes to a console, which hears what is typed there.
hvc() {
    for _ in $(seq 100); do [ -c "/dev/$1" ] && break; sleep 0.1; done
    [ -c "/dev/$1" ] || { fault "there is no /dev/$1"; return; }
    exec < "/dev/$1" > "/dev/$1" 2>&1
    echo "@hvc: $1 $(sed -n 's/^\(hvc[0-9]*\).*(\(.*\)).*/\1=\2/p' /proc/consoles | tr -d ' ')"
}

size_wait() {
    for _ in $(seq 200); do
        [ "$(stty size 2> /dev/null)" = "$1 $2" ] && echo "@size: $1 $2" && return
        sleep 0.1
    done
    fault "the terminal has $(stty size), never $1 $2"
}

rng_report() {
    echo "@rng: $(cat /sys/class/misc/hw_random/rng_current)"
    bytes=$(dd if=/dev/hwrng bs=64 count=16 2> /dev/null | wc -c)
    distinct=$(dd if=/dev/hwrng bs=64 count=16 2> /dev/null | od -An -v -tx1 | tr ' ' '\n' | sort -u | wc -l)
    [ "$bytes" = 1024 ] && [ "$distinct" -gt 200 ] || fault "/dev/hwrng gave $bytes bytes, $distinct distinct ones"
}

# Wait for a MemTotal below or above so many KiB: the balloon takes pages out of it.
memory_wait() {
    for _ in $(seq 240); do
        now=$(awk '/^MemTotal/ { print $2 }' /proc/meminfo)
        [ "$now" "-$1" "$2" ] && echo "@memory: $now KiB is $1 $2" && return
        sleep 0.25
    done
    fault "MemTotal is $now KiB, never $1 $2"
}

# memory_hold MIB: fills that much memory, with something that is not zero; "release" lets go of it.
memory_hold() {
    mkdir -p /hold
    mount -t tmpfs -o "size=$(($1 + 1))m" none /hold
    probe fill /hold/file 41 $(($1 << 20)) > /tmp/held 2>&1 || fault "$1 MiB cannot be held: $(cat /tmp/held)"
    must held probe check /hold/file 41
}

# Numbers for ever, each in its sector and synced, until the disk's end; what is on the disk is looked at elsewhere.
write_for_ever() {
    while :; do probe fill "/dev/$1" 21 > /dev/null && probe check "/dev/$1" 21 > /dev/null || fault "$1 while paused and resumed"; done &
    writer=$!
}

# A disk may be named by its serial.
disk_name() {
    for disk in $(ls /sys/block | grep ^vd); do
        [ "$(cat "/sys/block/$disk/serial" 2> /dev/null)" = "$1" ] && echo "$disk" && return
    done
    echo "$1"
}

device_act() {
    set -- $(echo "$1" | tr ':' ' ')
    case $1 in
    fill | ext4 | fio | disk | zero | resized | discard | no-write | write-error | busy-disk | stop-busy)
        word=$1 disk=$(disk_name "$2")
        shift 2
        set -- "$word" "$disk" "$@"
        ;;
    esac
    case $1 in
    devices) load_modules > /dev/null 2>&1; echo "@virtio: $(ls /sys/bus/virtio/devices | wc -l) $(ls /sys/bus/virtio/drivers | tr '\n' ' ')" ;;
    fill) disk_fill "$2" "$3" ;;
    ext4) disk_ext4 "$2" ;;
    zero) disk_zero "$2" "$3" ;;
    fio) disk_fio "$2" "$3" ;;
    disk) disk_report "$2" ;;
    resized) echo "@waiting-for-size:"; disk_wait_size "$2" "$3" ;;
    discard) must discarded blkdiscard "/dev/$2" ;;
    no-write) dd if=/dev/zero of="/dev/$2" bs=4k count=1 conv=fsync 2> /dev/null && fault "$2 let itself be written" ;;
    write-error) # more than the host has room for
        if probe fill "/dev/$2" 5 > /tmp/error 2>&1; then fault "$2 took all"; else echo "@write-error: $(cat /tmp/error)"; fi ;;
    count) echo "@count: disks=$(ls -d /sys/block/vd* | wc -l) nets=$(ls -d /sys/class/net/eth* | wc -l)" ;;
    every-disk) for disk in $(ls /sys/block | grep ^vd); do dd if=/dev/zero of="/dev/$disk" bs=64k count=1 conv=fsync 2> /dev/null || fault "$disk"; done ;;
    dhcp) net_dhcp "$2" ;;
    every-net) for card in $(ls /sys/class/net | grep ^eth); do net_dhcp "$card"; ifconfig "$card" down; done ;;
    carrier) net_wait_carrier "$2" "$3" ;;
    no-ping) ping -c 2 -W 1 -q "$2" > /dev/null && fault "$2 answers" ;;
    no-tcp) unreachable "tcp:$2:$3" ;;
    address) ifconfig "$2" "$3" netmask 255.255.255.0 up ;;
    ping) must ping ping -c 3 -W 5 -q "$2" ;;
    wait-ping) for _ in $(seq 60); do ping -c 1 -W 1 -q "$2" > /dev/null 2>&1 && break; sleep 0.5; done ;;
    name) must name nslookup "$2" ;;
    tcp) transfer "tcp:$2:$3" "$4" ;;
    many) must many probe many "tcp:$2:$3" "$4" ;;
    serve) probe serve "tcp:0.0.0.0:$2" & ;;
    serve-udp) probe serve "udp:0.0.0.0:$2" & ;;
    iperf3) command -v iperf3 > /dev/null && must iperf3 sh -c "iperf3 -c $2 -t ${3:-3} | grep receiver" ;;
    bench-fio) bench_fio "$2" "$3" ;;
    bench-iperf3) bench_iperf3 "$2" "$3" "$4" "$5" ;;
    vsock) transfer "vsock:2:$2" "$3"; must vsock-many probe many "vsock:2:$2" 64 ;;
    vsock-stuck) # the peer does not read: the sender waits, and nobody else does
        timeout 4 probe put "vsock:2:$2" 6 8000000 > /dev/null 2>&1
        [ $? = 143 ] && echo "@vsock-stuck: waited" || fault "a peer that does not read took 8 MB" ;;
    vsock-serve) probe serve "vsock:4294967295:$2" & ;;
    port) port_echo "$2" ;;
    port-write) echo "$3" > "$(port_of "$2")" || fault "port $2 cannot be written" ;;
    hvc) hvc "$2" ;;
    size) size_wait "$2" "$3" ;;
    read) stty -echo; echo "@reading:"; read -r line; echo "@read: $line" ;;
    rng) rng_report ;;
    memory) memory_wait "$2" "$3" ;;
    hold) memory_hold "$2" ;;
    release) umount /hold || fault "/hold cannot be unmounted" ;;
    root) # a real system takes over; it is the console's user who ends it
        mkdir -p /newroot
        init=$(sed -n 's/.* init=\([^ ]*\).*/\1/p' /proc/cmdline)
        mount -t ext4 "/dev/$(disk_name "$2")" /newroot && mount -t devtmpfs none /newroot/dev && exec switch_root /newroot "${init:-/sbin/init}"
        fault "the root file system on $2 cannot be used" ;;
    say) echo "@said: $2" ;;
    wait) read -r _ ;; # for a line on the console
    wait-file) while [ ! -e "$2" ]; do sleep 0.2; done ;;
    busy-disk) write_for_ever "$2" ;;
    stop-busy) kill "$writer"; wait "$writer" 2> /dev/null; dd if="/dev/$2" of=/dev/null bs=1M 2> /dev/null || fault "$2 cannot be read" ;;
    sleep) sleep "$2" ;;
    end) dmesg | grep -E 'I/O error|BUG:|WARNING:|Call Trace|virtio.*(fail|error|broken)|nobody cared|blocked for more' | head -5 | sed 's/^/@device-fault: kernel: /'; echo "@devices-end:" ;;
    end-with-errors) dmesg | grep -E 'BUG:|WARNING:|Call Trace|nobody cared|blocked for more' | head -5 | sed 's/^/@device-fault: kernel: /'; echo "@devices-end:" ;;
    *) echo "@unknown-action: $1"; fault "unknown action $1" ;;
    esac
}
