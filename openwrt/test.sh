#!/bin/sh
# Run by the packages feed's CI in a system with the package installed. Usage: test.sh PACKAGE VERSION

case "$1" in
"dots-callhome")
	dots-callhome --version | grep -F "$2"
	;;
esac
