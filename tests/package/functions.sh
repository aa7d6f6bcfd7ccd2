# Stands in for OpenWrt's /lib/functions.sh: what the package's scripts use of it, and what installing and removing does, in the
# order seen with base-files of August 2026 under opkg-lede 38eccbb and apk-tools 3.0.6. /tmp/log tells what the scripts would
# have done to the router.

log() {
	echo "$*" >>/tmp/log
}

# Functions, as busybox prefers programs of its own to those in PATH.
chown() { log chown "$@"; }
killall() { log killall "$@"; }
logger() { log logger "$@"; }
nft() { log nft "$@"; }

uci() {
	case $* in
	"-q get dots-callhome.globals") grep -q "^config globals 'globals'" /etc/config/dots-callhome ;;
	"-q set dots-callhome.globals=globals") printf "\nconfig globals 'globals'\n" >>/etc/config/dots-callhome ;;
	commit) ;;
	*) exit 1 ;;
	esac
}

# Fails for a file that uci refuses, and reads nothing of it then.
config_load() {
	SECTIONS=
	sh -n "/etc/config/$1" 2>/dev/null || return 1
	. "/etc/config/$1"
}

# A configuration file reads as a shell script.
config() {
	SECTION=${2:-unnamed}
	SECTIONS="$SECTIONS $SECTION"
	eval "KIND_$SECTION=\$1"
}

option() {
	eval "VALUE_${SECTION}_$1=\$2"
}

list() {
	option "$@"
}

config_get() {
	eval "$1=\${VALUE_${2}_$3:-\$4}"
}

config_get_bool() {
	config_get "$@"
	eval "case \$$1 in 1 | on | true | yes | enabled) $1=1 ;; 0 | off | false | no | disabled) $1=0 ;; *) $1=$4 ;; esac"
}

config_foreach() {
	local section kind
	for section in $SECTIONS; do
		eval "kind=\$KIND_$section"
		[ "$kind" != "$2" ] || "$1" "$section"
	done
}

# The files of the package that begin with $1.
installed() {
	grep "^$1" "$INFO.list"
}

own_part() {
	[ ! -f "$INFO.$1-pkg" ] || (. "$INFO.$1-pkg")
}

add_group_and_user() {
	INFO=/usr/lib/opkg/info/$pkgname
	add_user
}

add_user() {
	local wanted
	wanted=$(sed -n 's/^Require-User: //p' "$INFO.control")
	grep -qs "^${wanted##*:}:" /etc/group || echo "${wanted##*:}:x:32768:" >>/etc/group
	grep -qs "^${wanted%%:*}:" /etc/passwd || echo "${wanted%%:*}:x:32768:32768:::/bin/false" >>/etc/passwd
}

# opkg calls it with the script's own path; apk's scripts set the package's name instead, and bring their own part themselves.
default_postinst() {
	INFO=${1%.*}
	[ -n "$1" ] || INFO=/usr/lib/opkg/info/$pkgname
	local file
	add_user
	for file in $(installed /etc/uci-defaults/); do
		[ ! -f "$file" ] || { (. "$file") && rm "$file"; }
	done
	uci commit
	[ -z "$1" ] || own_part postinst
	for file in $(installed /etc/init.d/); do
		[ "$PKG_UPGRADE" = 1 ] || "$file" enable
		"$file" start
	done
}

default_prerm() {
	INFO=${1%.*}
	[ -n "$1" ] || INFO=/usr/lib/opkg/info/$pkgname
	local file
	[ -z "$1" ] || own_part prerm
	for file in $(installed /etc/init.d/); do
		[ "$PKG_UPGRADE" = 1 ] || "$file" disable
		"$file" stop
	done
}
