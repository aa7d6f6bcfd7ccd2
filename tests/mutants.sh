#!/bin/sh
# Changes the checks that tests/mutants.toml names, one at a time, in a copy of the tree, and runs the tests in simulated time
# against each. Fails if one survives, or if a pattern there names nothing any more. Usage: mutants.sh [ARGUMENT OF cargo mutants...]
set -eu
cd "$(dirname "$0")/.."
PATH=$PWD/target/tools/bin:$PATH
config=tests/mutants.toml
mkdir -p target/mutants
cargo mutants --config $config --list --colors never >target/mutants/list
sed -n 's/^ *"\(^src.*\)",$/\1/p' $config | sed 's/\\\\/\\/g' | while read -r pattern; do
	grep -qE -- "$pattern" target/mutants/list || {
		echo "mutants: nothing matches $pattern" >&2
		exit 1
	}
done
cargo mutants --config $config --output target/mutants --colors never --no-times --baseline run "$@"
