#!/bin/sh
# Packs a staged package as apk wants it, the package manager of OpenWrt 25.12 and newer: the same tree gives the same bytes.
# Usage: apk.sh STAGE DIRECTORY; prints the file. SOURCE_DATE_EPOCH is the time of everything in it.
#
# Only apk-tools 3 write this format, and neither Debian nor the registries of crates and Python packages have them.
set -eu
stage=${1:?usage: apk.sh STAGE DIRECTORY} directory=${2:?usage: apk.sh STAGE DIRECTORY}
if ! apk --version 2>/dev/null | grep -q '^apk-tools 3'; then
	echo "An .apk takes apk-tools 3 in PATH, as in staging_dir/host/bin of OpenWrt's SDK or on Alpine Linux." >&2
	echo "Without them build with the SDK: see openwrt/Makefile." >&2
	exit 1
fi

value() {
	sed -n "s/^$1: //p" "$control/control"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mv "$stage/CONTROL" "$work/CONTROL"
control=$work/CONTROL
package=$(value Package)
info=$stage/lib/apk/packages/$package

# The scripts of all packages, with the package's own part behind. $1 is what they call, $2 the part, $3 what they begin with.
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

script "add_group_and_user; default_postinst" postinst-pkg "" >"$work/post-install"
script "default_postinst" postinst-pkg "export PKG_UPGRADE=1" >"$work/post-upgrade"
script "default_prerm" prerm-pkg "" >"$work/pre-deinstall"

# What the postinst of other packages and sysupgrade read.
mkdir -p "${info%/*}"
[ -z "$(value Require-User)" ] || value Require-User >"$info.rusers"
(cd "$stage" && find . -type f | sed 's/^\.//' | LC_ALL=C sort) >"$work/list"
mv "$work/list" "$info.list"
if [ -s "$control/conffiles" ] && grep -q . "$control/conffiles"; then
	cp "$control/conffiles" "$info.conffiles"
	while read -r path; do
		[ ! -f "$stage$path" ] || echo "$path $(sha256sum <"$stage$path" | cut -d' ' -f1)"
	done <"$control/conffiles" >"$info.conffiles_static"
fi
find "$stage" -exec touch -h -d "@${SOURCE_DATE_EPOCH:?}" {} +

arch=$(value Architecture)
mkdir -p "$directory"
file=$directory/$package-$(value Version).$arch.apk
# apk notes the owners it finds.
as_root=
[ "$(id -u)" -eq 0 ] || as_root="unshare --map-root-user"
$as_root apk mkpkg --info "name:$package" --info "version:$(value Version)" --info "description:$(value Description)" \
	--info "arch:$([ "$arch" = all ] && echo noarch || echo "$arch")" --info "license:$(value License)" \
	--info "origin:$(value Source)" --info "maintainer:$(value Maintainer)" \
	--info "depends:$(value Depends | sed 's/,//g')" \
	--script "post-install:$work/post-install" --script "post-upgrade:$work/post-upgrade" \
	--script "pre-deinstall:$work/pre-deinstall" --files "$stage" --output "$file"
echo "$file"
