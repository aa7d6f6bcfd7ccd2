#!/bin/sh
# Makes sure that the programs named are there: from the system's own packages, from the registries of crates, Python and
# Node packages, or built from tests/lab/peers. And a C compiler, which Rust links with. Usage: tools.sh PROGRAM...
set -eu
PATH=$PATH:/usr/sbin:/sbin
own=target/tools

# The system's packages a program comes from or needs.
packages() {
	case $1 in
	cc) echo gcc libc6-dev ;;
	nft) echo nftables ;;
	ip | ss) echo iproute2 ;;
	unshare | nsenter | kill) echo util-linux ;;
	ping) echo iputils-ping ;;
	libcoap_peer) echo gcc libc6-dev pkg-config libcoap3-dev ;;
	aiocoap | zig) echo python3 python3-venv ;;
	busybox) echo busybox-static ;;
	eslint | playwright-core) echo nodejs npm ;;
	node) echo nodejs ;;
	qemu-*-static) echo qemu-user-static ;;
	qemu-system-x86_64) echo qemu-system-x86 ;;
	modprobe) echo kmod ;;
	strip) echo binutils ;;
	systemd-analyze) echo systemd ;;
	rustc-web) echo rustc-web cargo-web rust-web-src ;;
	*) echo "$1" ;;
	esac
}

is_there() {
	case $1 in
	cc) echo 'int main(void) { return 0; }' | cc -x c -o /dev/null - 2>/dev/null ;;
	ubus-client | ubusd | cargo-mutants | linux | fastnetmon) true ;;
	eslint | playwright-core) command -v node npm >/dev/null ;;
	libcoap_peer) [ -e /usr/include/coap3/coap.h ] && command -v cc pkg-config >/dev/null ;;
	aiocoap | zig) python3 -c 'import ensurepip' 2>/dev/null ;;
	rustc-web) [ -d /usr/lib/rustlib/src/rust/library ] ;;
	*) command -v "$1" >/dev/null ;;
	esac
}

# What lies in our own folder, made once.
make_own() {
	case $1 in
	ubus-client | ubusd)
		[ -x "$own/bin/$1" ] || cargo install --quiet --locked --root $own "$1@0.5.0"
		;;
	cargo-mutants)
		[ -x $own/bin/cargo-mutants ] || cargo install --quiet --locked --root $own cargo-mutants@27.1.0
		;;
	eslint | playwright-core)
		[ -d "$own/node/node_modules/$1" ] ||
			npm install --silent --no-audit --no-fund --no-package-lock --prefix $own/node eslint@9.39.1 playwright-core@1.56.1
		;;
	libcoap_peer)
		source=tests/lab/peers/libcoap_peer.c
		mkdir -p $own/bin
		# shellcheck disable=SC2046 # one word per flag
		[ $own/bin/libcoap_peer -nt $source ] ||
			cc -O1 -Wall -Wextra -o $own/bin/libcoap_peer $source $(pkg-config --cflags --libs libcoap-3-openssl)
		;;
	aiocoap)
		[ -x $own/python/bin/python ] || python3 -m venv $own/python
		$own/python/bin/python -c 'import aiocoap' 2>/dev/null || $own/python/bin/python -m pip install --quiet aiocoap==0.4.17
		;;
	linux)
		[ -e $own/linux/lib ] || unpack_linux
		;;
	fastnetmon)
		[ -x $own/fastnetmon/usr/sbin/fastnetmon ] || unpack_fastnetmon
		;;
	zig)
		[ -x $own/python/bin/python ] || python3 -m venv $own/python
		[ -x $own/python/bin/cargo-zigbuild ] ||
			$own/python/bin/python -m pip install --quiet ziglang==0.17.1 cargo-zigbuild==0.24.1
		;;
	esac
}

# Debian's kernel for machines that are emulated: unpacked, not installed.
unpack_linux() {
	image=linux-image-cloud-amd64
	as_root=
	[ "$(id -u)" -eq 0 ] || as_root=sudo
	apt-cache show $image >/dev/null 2>&1 || $as_root apt-get update -qq
	image=$(apt-cache depends $image | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p')
	echo "fetching: $image"
	rm -rf $own/linux.new
	mkdir -p $own/linux.new
	# It warns that the folder isn't its own.
	(cd $own/linux.new && apt-get download -qq "$image" 2>/dev/null)
	dpkg-deb -x $own/linux.new/*.deb $own/linux.new
	rm -rf $own/linux.new/*.deb $own/linux
	depmod -b $own/linux.new "$(ls $own/linux.new/lib/modules)"
	mv $own/linux.new $own/linux
}

# Unpacked, not installed: a package of a service starts it. What it needs is installed.
unpack_fastnetmon() {
	as_root=
	[ "$(id -u)" -eq 0 ] || as_root=sudo
	apt-cache show fastnetmon >/dev/null 2>&1 || $as_root apt-get update -qq
	echo "fetching: fastnetmon"
	rm -rf $own/fastnetmon.new $own/fastnetmon
	mkdir -p $own/fastnetmon.new
	# It warns that the folder isn't its own.
	(cd $own/fastnetmon.new && apt-get download -qq fastnetmon 2>/dev/null)
	needed=$(dpkg-deb -f $own/fastnetmon.new/*.deb Depends)
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get satisfy -y -qq --no-install-recommends "$needed" >/dev/null
	dpkg-deb -x $own/fastnetmon.new/*.deb $own/fastnetmon.new
	rm -f $own/fastnetmon.new/*.deb
	mv $own/fastnetmon.new $own/fastnetmon
}

install() {
	echo "installing: $*"
	as_root=
	[ "$(id -u)" -eq 0 ] || as_root=sudo
	if ! command -v apt-get >/dev/null || { [ -n "$as_root" ] && ! command -v sudo >/dev/null; }; then
		echo "please install with your package manager, as root: $*" >&2
		exit 1
	fi
	$as_root apt-get update -qq
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

set -- cc "$@"
missing=
for program in "$@"; do
	is_there "$program" || missing="$missing $(packages "$program")"
done
# shellcheck disable=SC2086 # one word per package
[ -z "$missing" ] || install $missing
for program in "$@"; do
	make_own "$program"
done
