#!/bin/sh
# Whether advisories against the linked Mbed TLS are known and answered: no list of crates tells of C code. Fails for an
# advisory without a reason why it may stay, and for a version that nobody has read the advisories for.
# Usage: advisories.sh [VERSION [LIST]]
set -eu
cd "$(dirname "$0")/.."

# The version of the source that build.rs compiles, or of the library it links instead.
linked() {
	if [ -n "${MBEDTLS_DIR:-}" ]; then
		headers=$MBEDTLS_DIR/include
	else
		host=$(rustc -vV | sed -n 's/^host: //p')
		headers=$(RUSTFLAGS=--cfg=mbedtls_source cargo metadata --format-version=1 --locked --filter-platform "$host" |
			grep -o '"[^"]*/mbedtls-rs-sys-[^"/]*/Cargo.toml"' | head -n 1 | tr -d '"')
		headers=${headers%/Cargo.toml}/mbedtls/include
	fi
	sed -n 's/^#define MBEDTLS_VERSION_STRING  *"\(.*\)"/\1/p' "$headers/mbedtls/build_info.h"
}

version=${1:-$(linked)}
awk -F '\t' -v version="$version" '
	function number(text,  parts) { split(text, parts, "."); return parts[1] * 1000000 + parts[2] * 1000 + parts[3] }
	/^#/ { next }
	$1 == "version" { read = $2; on = $3; next }
	NF < 4 { print "advisories: line " NR " has too few fields"; bad = 1; next }
	number(version) >= number($2) && ($3 == "-" || number(version) < number($3)) {
		if ($5 == "") { print "advisories: Mbed TLS " version " is affected by " $1 ": " $4; bad = 1 } else { stay++ }
	}
	END {
		if (version == "") { print "advisories: the version of Mbed TLS cannot be told"; bad = 1 }
		else if (read != version) {
			print "advisories: Mbed TLS is " version ", and its advisories were read for " read ": read them, renew " FILENAME
			bad = 1
		}
		if (!bad) print "advisories: Mbed TLS " version ", read on " on ", " stay + 0 " affect the library and not our build"
		exit bad
	}
' "${2:-tests/advisories.tsv}"
