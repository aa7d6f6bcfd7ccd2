#!/bin/sh
# Makes sure that the programs named are there, from the system's own packages and from the crate registry.
# Usage: tools.sh PROGRAM...
set -eu
PATH=$PATH:/usr/sbin:/sbin

package() {
	case $1 in
	nft) echo nftables ;;
	ip | ss) echo iproute2 ;;
	unshare | kill) echo util-linux ;;
	ping) echo iputils-ping ;;
	*) echo "$1" ;;
	esac
}

missing=
for program in "$@"; do
	case $program in
	ubus-client) cargo install --quiet --locked --root target/tools ubus-client@0.5.0 ;;
	*) command -v "$program" >/dev/null || missing="$missing $(package "$program")" ;;
	esac
done
[ -n "$missing" ] || exit 0

echo "installing:$missing"
as_root=
[ "$(id -u)" -eq 0 ] || as_root=sudo
if ! command -v apt-get >/dev/null || { [ -n "$as_root" ] && ! command -v sudo >/dev/null; }; then
	echo "please install with your package manager, as root:$missing" >&2
	exit 1
fi
$as_root apt-get update -qq
# shellcheck disable=SC2086 # one word per package
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
