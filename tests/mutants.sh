#!/bin/sh
# Changes the checks that tests/mutants.toml names, one at a time, in a copy of the tree, and runs the tests in simulated time
# against each. Fails if one survives. Usage: mutants.sh [ARGUMENT OF cargo mutants...]
set -eu
cd "$(dirname "$0")/.."
PATH=$PWD/target/tools/bin:$PATH
mkdir -p target/mutants
cargo mutants --config tests/mutants.toml --output target/mutants --colors never --no-times --baseline run "$@"
