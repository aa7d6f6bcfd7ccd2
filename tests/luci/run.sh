#!/bin/sh
# The tests of the LuCI page: linted, then in a real browser on a real bus, then with the real daemon in the lab.
# Arguments: parts of the names of the tests to run. With LUCI_URL they run against a LuCI elsewhere (see world.mjs).
set -u
cd "$(dirname "$0")/../.."

sh tests/tools.sh node chromium ubusd playwright-core eslint nft ip conntrack unshare kill ubus-client || exit
# What fails does not hide what comes after it.
status=0
target/tools/node/node_modules/.bin/eslint -c tests/luci/eslint.config.mjs luci-app || status=1
if [ $# -eq 0 ] && [ -z "${LUCI_URL:-}" ]; then
	cargo test --quiet --features client --test lab -- page || status=1
fi
node tests/luci/suite.mjs "$@" || status=1
exit $status
