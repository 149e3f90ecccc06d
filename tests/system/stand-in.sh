#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# QEMU behind vmm's options: with it the bed tests itself, and a failing scenario can be tried against another
# machine. Exit codes and JSON are vmm's own, so scenarios that look at them fail here.
mem=512M cpus=1 kernel='' initrd='' append='' watchdog=''
while [ $# -gt 0 ]; do
    case $1 in
    --kernel) kernel=$2 ;;
    --mem) mem=$2 ;;
    --cpus) cpus=$2 ;;
    --append) append="$append $2" ;;
    --initrd) # the last file is read before it is replaced, so that nothing is left to delete
        [ -z "$initrd" ] && initrd=$2 || { cat "$initrd" "$2" > "/tmp/initrd.$$" && initrd=/tmp/initrd.$$; } ;;
    esac
    shift $(($# > 1 ? 2 : 1))
done
PATH=$PATH:$(dirname "$0")
serial=stdio
[ -t 0 ] && serial=mon:stdio # the multiplexer stalls on a pipe
exec qemu-system-x86_64 -L /usr/share/seabios -L /usr/share/qemu -M q35,accel=kvm -cpu host -nodefaults -no-reboot -display none -serial "$serial" -m "$mem" -smp "$cpus" \
    -kernel "$kernel" -initrd "$initrd" -device pvpanic-pci -append "console=ttyS0 panic=-1 $append"
