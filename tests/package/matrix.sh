#!/bin/sh
# Builds the daemon for OpenWrt's architectures, runs each under qemu, packs it, and prints the sizes beside their budgets.
# Usage: matrix.sh [ARCH...]
set -eu
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || set -- x86_64 aarch64_generic aarch64_cortex-a53 arm_cortex-a7_neon-vfpv4 mipsel_24kc mips_24kc riscv64_riscv64
sh tests/tools.sh qemu-mipsel-static
begin=$(date +%s)
failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Budgets in KiB of the binary; the .ipk has one for all.
budget() {
	case $1 in
	aarch64_*) echo 1946 ;;
	mipsel_*) echo 2304 ;;
	*) echo - ;;
	esac
}
ipk_budget=950

# What runs its binaries here, with no more than the processor has that the architecture is named after.
emulator() {
	case $1 in
	x86_64) echo qemu-x86_64-static ;;
	aarch64_generic) echo "qemu-aarch64-static -cpu cortex-a35" ;;
	aarch64_*) echo "qemu-aarch64-static -cpu ${1#*_}" ;;
	arm_*) echo "qemu-arm-static -cpu cortex-a7" ;;
	riscv64_*) echo qemu-riscv64-static ;;
	mips_*) echo "qemu-mips-static -cpu 24Kc" ;;
	mipsel_*) echo "qemu-mipsel-static -cpu 24Kc" ;;
	esac
}

# The command fails and says this.
complains() {
	words=$1
	shift
	! "$@" >"$work/said" 2>&1 && grep -q "$words" "$work/said" || {
		echo "'$words' was expected of: $*" >&2
		cat "$work/said" >&2
		return 1
	}
}

printf "config globals 'globals'\n\toption consent 'perhaps'\n" >"$work/bad"
version="dots-callhome $(sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' Cargo.toml)"

# The binary itself, as far as it gets: qemu's user mode has no netfilter.
runs() {
	run=$(emulator "$1")
	[ "$($run "$2" --version)" = "$version" ]
	[ -z "$($run "$2" --check --config files/etc/config/dots-callhome 2>&1)" ]
	complains "section globals, option consent" $run "$2" --check --config "$work/bad"
	complains "error: netlink: Protocol not supported" $run "$2" --state "$work" --run "$work" \
		--config files/etc/config/dots-callhome
}

# Calls over TLS and DTLS from the first byte to the question at home, and what depends on the machine's byte order.
session() {
	RUSTC_BOOTSTRAP=1 sh openwrt/build.sh "$1" test --quiet --config "target.'cfg(unix)'.runner = '$(emulator "$1")'" \
		--features client --example machine -- -Z unstable-options --force-run-in-process >"$work/session" 2>&1 || {
		cat "$work/session" >&2
		return 1
	}
	grep -q "test result: ok" "$work/session"
}

kib() {
	echo $((($(wc -c <"$1") + 1023) / 1024))
}

within() {
	[ "$2" = - ] || [ "$1" -le "$2" ] || { failed=1 && echo "$3 is over its budget" >&2; }
}

printf '%-26s %10s %10s %10s %10s %10s\n' architecture binary budget .ipk budget session
for arch; do
	binary=$(sh openwrt/build.sh "$arch")
	runs "$arch" "$binary"
	ipk=$(sh openwrt/package.sh ipk "$arch" "$binary" | head -1)
	cp "$binary" "$work/binary"
	session "$arch"
	printf '%-26s %6d KiB %10s %6d KiB %10s %10s\n' "$arch" "$(kib "$work/binary")" "$(budget "$arch")" "$(kib "$ipk")" \
		$ipk_budget ok
	within "$(kib "$work/binary")" "$(budget "$arch")" "the binary for $arch"
	within "$(kib "$ipk")" $ipk_budget "the package for $arch"
done
echo "took $((($(date +%s) - begin + 59) / 60)) minutes"
exit $failed
