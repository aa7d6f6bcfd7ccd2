#!/bin/sh
# Builds the daemon for OpenWrt's architectures, runs each under qemu, packs it, and prints the sizes beside their budgets.
# Usage: matrix.sh [ARCH...]
set -eu
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || set -- x86_64 aarch64_generic aarch64_cortex-a53 arm_cortex-a7_neon-vfpv4 mipsel_24kc mips_24kc riscv64_riscv64
sh tests/tools.sh qemu-mipsel-static
failed=0

# Budgets in KiB of the binary; the .ipk has one for all.
budget() {
	case $1 in
	aarch64_*) echo 1946 ;;
	mipsel_*) echo 2304 ;;
	*) echo - ;;
	esac
}
ipk_budget=950

# What runs its binaries here.
emulator() {
	case $1 in
	x86_64) ;;
	aarch64_*) echo qemu-aarch64-static ;;
	arm_*) echo qemu-arm-static ;;
	riscv64_*) echo qemu-riscv64-static ;;
	mips_*) echo "qemu-mips-static -cpu 24Kc" ;;
	mipsel_*) echo "qemu-mipsel-static -cpu 24Kc" ;;
	esac
}

kib() {
	echo $((($(wc -c <"$1") + 1023) / 1024))
}

within() {
	[ "$2" = - ] || [ "$1" -le "$2" ] || { failed=1 && echo "$3 is over its budget" >&2; }
}

printf '%-26s %10s %10s %10s %10s\n' architecture binary budget .ipk budget
for arch; do
	binary=$(sh openwrt/build.sh "$arch")
	run=$(emulator "$arch")
	$run "$binary" --version | grep -qx "dots-callhome $(sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' Cargo.toml)"
	$run "$binary" --check --config files/etc/config/dots-callhome
	ipk=$(sh openwrt/package.sh ipk "$arch" "$binary" | head -1)
	printf '%-26s %6d KiB %10s %6d KiB %10s\n' "$arch" "$(kib "$binary")" "$(budget "$arch")" "$(kib "$ipk")" $ipk_budget
	within "$(kib "$binary")" "$(budget "$arch")" "the binary for $arch"
	within "$(kib "$ipk")" $ipk_budget "the package for $arch"
done
exit $failed
