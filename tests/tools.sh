#!/bin/sh
# Makes sure that the programs named are there, from the system's own packages.
# Usage: tools.sh PROGRAM...
set -eu
PATH=$PATH:/usr/sbin:/sbin

package() {
	case $1 in
	nft) echo nftables ;;
	ip) echo iproute2 ;;
	unshare) echo util-linux ;;
	*) echo "$1" ;;
	esac
}

missing=
for program in "$@"; do
	command -v "$program" >/dev/null || missing="$missing $(package "$program")"
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
