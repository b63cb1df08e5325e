# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the test scripts share. A script prints "ok - NAME", "not ok - NAME" or "ok - NAME # SKIP WHY" for
# each thing it checks, and fails when one of them did not hold.

tap_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# The build tree that is tested.
# shellcheck disable=SC2034 # for the scripts that source this
tap_build=${STET_BUILD:-$tap_root/build/dev}
tap_failed=0

tap_ok()
{
	echo "ok - $1"
}

# Further arguments are lines that say more.
tap_not_ok()
{
	echo "not ok - $1"
	shift
	[ $# -eq 0 ] || printf '%s\n' "$@" | sed 's/^/# /'
	tap_failed=1
}

tap_skip()
{
	echo "ok - $1 # SKIP $2"
}

# tap_check NAME COMMAND...: holds when the command succeeds; its output is shown when not.
tap_check()
{
	local name=$1 output
	shift
	if output=$("$@" 2>&1); then
		tap_ok "$name"
	else
		tap_not_ok "$name" "$output"
	fi
}

# A scratch directory that goes with the script.
tap_scratch()
{
	tap_dir=$(mktemp -d "${TMPDIR:-/tmp}/stet-test.XXXXXX")
	# Not in a subshell that a signal ends.
	trap '[ "$BASHPID" != $$ ] || rm -rf "$tap_dir"' EXIT
}

# The script's last word.
tap_end()
{
	exit "$tap_failed"
}
