#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs, by apt, what building and testing vmm needs. Only what is missing; says nothing when nothing is.
#
#   scripts/deps.sh [build] [run] [test]    default: build
set -eu

# musl-tools make the program that runs inside guests small; it does without.
build='gcc musl-tools meson ninja-build pkg-config binutils libc6-dev libglib2.0-dev zlib1g-dev liblz4-dev libzstd-dev liblzma-dev libjansson-dev libpcre2-dev
    liburing-dev libslirp-dev libarchive-dev'
run='busybox-static qemu-system-x86 e2fsprogs python3 dpkg'
# Unit tests, ACPI tables, the lints, man pages, fuzzing, the page that vmm test writes.
test='libcriterion-dev acpica-tools clang clang-format-14 libclang-rt-14-dev mandoc
    git ca-certificates make libelf1 libgcc-12-dev qemu-utils iproute2 fio iperf3 debootstrap expect python3-yaml
    chromium chromium-driver'

[ $# -gt 0 ] || set -- build
wanted=
for part in "$@"; do
    case $part in
    build) wanted="$wanted $build" ;;
    run) wanted="$wanted $run" ;;
    test) wanted="$wanted $build $run $test" ;;
    *)
        echo "deps.sh: $part is not known: say build, run or test" >&2
        exit 2
        ;;
    esac
done

if ! command -v dpkg-query > /dev/null || ! command -v apt-get > /dev/null; then
    echo "deps.sh: this is not a Debian system. Needed are the equivalents of:$wanted" >&2
    exit 77
fi

missing=
for package in $wanted; do
    case $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2> /dev/null || true) in
    ii*) ;;
    *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo > /dev/null; then
        echo "deps.sh: run this as root:  apt-get install$missing" >&2
        exit 1
    fi
    as_root=sudo
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing > "$log" 2>&1
}

echo "deps.sh: installing$missing"
# A fresh image has no package lists, and old lists name versions that are gone: both need an update first.
if ! install; then
    $as_root apt-get -qq update > /dev/null
    if ! install; then
        cat "$log" >&2
        exit 1
    fi
fi
