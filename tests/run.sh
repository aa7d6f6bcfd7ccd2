#!/bin/sh
# Runs targets of the Makefile, each whatever became of the others, and tells at the end which tests failed. The last line
# is `N passed, N failed`. Usage: run.sh TARGET...
set -u
cd "$(dirname "$0")/.."
logs=target/run
rm -rf $logs
mkdir -p $logs

for part in "$@"; do
	{ make --no-print-directory "$part" 2>&1; echo $? >"$logs/$part.status"; } | tee "$logs/$part.log"
done

# The lines by which the harnesses tell of counts and failures: of Rust, of the page, of the emulated machine.
for part in "$@"; do
	awk -v part="$part" -v status="$(cat "$logs/$part.status")" '
		$1 == "Running" { where = ($2 == "unittests" ? $3 : $2) ": " }
		/^test result: / { passed += $4; failed += $6; skipped += $8 }
		/^(offload: )?[0-9]+ passed, [0-9]+ failed/ { sub(/^offload: /, ""); passed += $1; failed += $3; skipped += $5 }
		/^test .* FAILED$/ { names[++n] = where $2 }
		/^FAIL / { names[++n] = substr($0, 6) }
		/^[^t].*  FAILED$/ { sub(/  +FAILED$/, ""); names[++n] = $0 }
		/^    `.*`$/ { sub(/^ +/, ""); names[++n] = $0 }
		END {
			if (status != 0 && !failed) failed = 1
			if (status == 0 && !passed) passed = 1
			if (status != 0 && !n) names[++n] = "see above"
			for (i = 1; i <= n; i++) print "failed: " part ": " names[i]
			print "counts", passed + 0, failed + 0, skipped + 0
		}' "$logs/$part.log"
done >$logs/summary
grep '^failed: ' $logs/summary
awk '$1 == "counts" { passed += $2; failed += $3; skipped += $4 }
	END {
		printf "%d passed, %d failed", passed, failed
		print skipped ? ", " skipped " skipped" : ""
		exit failed > 0
	}' $logs/summary
