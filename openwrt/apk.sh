#!/bin/sh
# Packs a staged package as apk wants it, the package manager of OpenWrt 25.12 and newer: the same tree gives the same bytes.
# Usage: apk.sh STAGE DIRECTORY; prints the file. SOURCE_DATE_EPOCH is the time of everything in it.
set -eu
stage=${1:?usage: apk.sh STAGE DIRECTORY} directory=${2:?usage: apk.sh STAGE DIRECTORY}

value() {
	sed -n "s/^$1: //p" "$control/control"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mv "$stage/CONTROL" "$work/CONTROL"
control=$work/CONTROL
package=$(value Package)
info=$stage/lib/apk/packages/$package

# What every package runs, with its own part behind. $1 is what it calls, $2 the part, $3 what it begins with.
script() {
	cat <<-END
		#!/bin/sh
		$3
		[ "\${IPKG_NO_SCRIPT}" = "1" ] && exit 0
		[ -s "\${IPKG_INSTROOT}/lib/functions.sh" ] || exit 0
		. "\${IPKG_INSTROOT}/lib/functions.sh"
		export root="\${IPKG_INSTROOT}"
		export pkgname="$package"
		$1
	END
	sed '/^#!/d' "$control/$2"
}

mkdir "$work/scripts"
script "add_group_and_user; default_postinst" postinst-pkg "" >"$work/scripts/post-install"
script "add_group_and_user; default_postinst" postinst-pkg "export PKG_UPGRADE=1" >"$work/scripts/post-upgrade"
script "default_prerm" prerm-pkg "" >"$work/scripts/pre-deinstall"
! grep -qs . "$control/postrm" || cp "$control/postrm" "$work/scripts/post-deinstall"

# What OpenWrt's scripts and sysupgrade read.
mkdir -p "${info%/*}"
[ -z "$(value Require-User)" ] || value Require-User >"$info.rusers"
(cd "$stage" && find . -type f | sed 's/^\.//' | LC_ALL=C sort) >"$work/list"
mv "$work/list" "$info.list"
if grep -qs . "$control/conffiles"; then
	cp "$control/conffiles" "$info.conffiles"
	while read -r path; do
		[ ! -f "$stage$path" ] || echo "$path $(sha256sum <"$stage$path" | cut -d' ' -f1)"
	done <"$control/conffiles" >"$info.conffiles_static"
fi

arch=$(value Architecture)
mkdir -p "$directory"
# OpenWrt's own names say no architecture; here lie several.
file=$directory/$package-$(value Version).$arch.apk
[ "$arch" != all ] || arch=noarch
python3 openwrt/apk.py "$stage" "$file" "$work/scripts" name="$package" version="$(value Version)" arch="$arch" \
	description="$(value Description)" license="$(value License)" url="$(value URL)" origin="$(value Source)" \
	maintainer="$(value Maintainer)" depends="$(value Depends | sed 's/,//g')"
echo "$file"
