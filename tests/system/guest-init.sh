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

report_cpus() {
    for dir in /sys/devices/system/cpu/cpu[0-9]*; do
        cpu=${dir##*cpu}
        cd "$dir/topology" 2> /dev/null || continue
        echo "@cpu: $cpu socket=$(cat physical_package_id) core=$(cat core_id)" \
            "siblings=$(cat thread_siblings_list) package=$(cat core_siblings_list)"
    done
    cd /
    awk -F': *' '/^processor/ { cpu = $2 } /^apicid/ { print "@apicid: " cpu " " $2 }
        /^cpu cores/ { cores = $2 } /^siblings/ { siblings = $2 } /^model name/ { model = $2 }
        END { print "@cpuinfo: cores=" cores " siblings=" siblings " model=" model }' /proc/cpuinfo
}

report() {
    echo "@kernel: $(uname -r)"
    echo "@cmdline: $(cat /proc/cmdline)"
    echo "@nproc: $(nproc)"
    echo "@memtotal-kb: $(awk '/^MemTotal/ { print $2 }' /proc/meminfo)"
    # The two numbers: usable at that moment, and all the RAM that the firmware's map gave.
    dmesg | sed -n 's|.*Memory: \([0-9]*\)K/\([0-9]*\)K available.*|@memory-map-kb: \2|p'
    report_cpus
    echo "@clocksource: $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
    dmesg | sed -n 's/.*\(ttyS0 at .* is a .*\)/@uart: \1/p'
    # The kernel's own words for what a machine gets wrong.
    dmesg | grep -E 'ACPI( BIOS)? (Error|Exception)|ACPI: Unable|AE_[A-Z]+|too much work|BUG:|WARNING:|Call Trace|\[Firmware Bug\]|nobody cared|soft lockup|clocksource: .*unstable|\[Hardware Error\]|MP-BIOS bug|not responding' \
        | sed 's/^/@complaint: /'
    for dev in /sys/bus/pci/devices/*; do
        [ -e "$dev/vendor" ] && echo "@pci: ${dev##*/} $(cat "$dev/vendor"):$(cat "$dev/device") $(cat "$dev/class")"
    done
    dmesg | grep -iE 'mmconfig|ECAM' | head -3 | sed 's/^/@mmconfig: /'
    awk '/ttyS0|timer|rtc|acpi|i8042/ { sum = 0; for (i = 2; i <= NF; i++) if ($i ~ /^[0-9]+$/) sum += $i
        print "@irq: " $1 " " sum " " $NF }' /proc/interrupts
    dmesg | grep -cE 'smpboot|APIC' | sed 's/^/@smp-lines: /'
    [ -e /sys/class/rtc/rtc0 ] && echo "@rtc: $(cat /sys/class/rtc/rtc0/date) $(cat /sys/class/rtc/rtc0/time)"
    echo "@report-end:"
}

act() {
    case $1 in
    report) report ;;
    modules) load_modules ;;
    shell) setsid cttyhack sh ;;
    poweroff) poweroff -f ;;
    reboot) reboot -f ;;
    halt) halt -f ;;
    panic) echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger ;;
    hang) insmod /modules/hang.ko ;; # turns interrupts off and loops: see bedlib/hang.py
    busy) while :; do :; done ;;
    idle) sleep 1000000 ;;
    flood) seq 1 "$(sed -n 's/.*vmmtest.lines=\([0-9]*\).*/\1/p' /proc/cmdline)"; echo "@flood-end:" ;;
    exit) exit 0 ;; # PID 1 ends: the kernel panics by itself
    lspci) for dev in /sys/bus/pci/devices/*; do echo "${dev##*/}"; done ;;
    power-button) # the ACPI daemon of a real system, in one line
        mkdir -p /etc/acpi
        printf '#!/bin/sh\npoweroff -f\n' > /etc/acpi/poweroff && chmod +x /etc/acpi/poweroff
        echo "@waiting-for-power-button:"
        acpid -d -c /etc/acpi -e /dev/input/event0 ;;
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
