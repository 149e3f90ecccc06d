#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The /init of the nested bed's outer machines. The disk holds the scenarios and all that they need; a virtio-serial
# port says which to run, and takes the results as tar streams: bedlib/nested.py is the other end.
export PATH=/bin
mount -t proc none /proc
mount -t sysfs none /sys
[ -c /dev/null ] || mount -t devtmpfs none /dev
mkdir -p /dev/pts /dev/shm /out /tmp
mount -t devpts none /dev/pts
mount -t tmpfs none /dev/shm
for name in $(cat /modules/order); do
    insmod "/modules/$name" || echo "bed: cannot load $name"
done
ifconfig lo 127.0.0.1 up
mkdir -p /etc
echo nameserver 127.0.0.1 > /etc/resolv.conf
echo 1 > /proc/sys/vm/overcommit_memory # a guest may be given more memory than it will ever touch
mount -t ext4 -o ro /dev/vda /in || echo "bed: cannot mount the input disk"
for dir in /in/root/*; do
    ln -s "$dir" "/${dir##*/}"
done
grep -q bed.demo /proc/cmdline || echo "bed: up after $(cut -d' ' -f1 /proc/uptime) s; kvm: $(ls /dev/kvm)"

if grep -q bed.demo /proc/cmdline; then
    setsid cttyhack sh /in/jobs/demo/run
    echo "demo: vmm ended with exit code $?"
    poweroff -f
fi

for entry in /sys/class/virtio-ports/*; do
    [ "$(cat "$entry/name")" = jobs ] && port=/dev/${entry##*/}
done
exec 3<> "$port"
# A sign of life: the emulator stalls now and then, and then this stops.
while sleep 5; do
    echo "bed: alive" > /dev/console
done &
while read -r job <&3 && [ "$job" != end ]; do
    mkdir -p "/out/$job"
    : > "/out/$job/started"
    tar c -C /out "$job/started" >&3
    sh "/in/jobs/$job/run" > "/out/$job/run.log" 2>&1
    tar c -C /out "$job" >&3
    : > "/out/$job/finished"
    tar c -C /out "$job/finished" >&3
    rm -rf "/out/$job"
done
dmesg | grep -E 'BUG:|Oops|Call Trace|Out of memory' | sed 's/^/bed: kernel: /'
echo "bed: done"
poweroff -f
sleep 1000
