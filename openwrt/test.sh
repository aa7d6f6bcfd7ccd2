#!/bin/sh
# Run by the packages feed's CI in a system with the package installed, after it has compared the version itself.
# Usage: test.sh PACKAGE VERSION

case "$1" in
"dots-callhome")
	# As installed it has nothing to complain about, and says what is wrong with what is.
	[ ! -e /etc/config/dots-callhome ] || dots-callhome --check || exit 1
	printf "config globals 'globals'\n\toption consent 'perhaps'\n" >/tmp/dots-callhome.test
	! dots-callhome --check --config /tmp/dots-callhome.test 2>/tmp/dots-callhome.said || exit 1
	grep -qF "section globals, option consent" /tmp/dots-callhome.said
	;;
esac
