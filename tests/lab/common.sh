# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the lab tests share: result lines, a scratch directory, programs for the emulated host.
# A test sources this file, reports with ok, not_ok, skip or check, and ends with finish.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck disable=SC2034 # used by the tests
lab=$top/tools/lab/lab
scratch=$(mktemp -d "${TMPDIR:-/tmp}/stet-test.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

tests_run=0
tests_failed=0

# ok NAME: one test passed.
ok()
{
	tests_run=$((tests_run + 1))
	echo "ok - $1"
}

# not_ok NAME [DETAIL]: one test failed; the detail follows as comment lines.
not_ok()
{
	tests_run=$((tests_run + 1))
	tests_failed=$((tests_failed + 1))
	echo "not ok - $1"
	[ -z "${2-}" ] || printf '%s\n' "$2" | tail -n 80 | sed 's/^/# /'
}

# skip NAME WHY: one test cannot run here.
skip()
{
	tests_run=$((tests_run + 1))
	echo "ok - $1 # SKIP $2"
}

# check NAME COMMAND...: the test is that the command succeeds; what it prints is the detail.
check()
{
	local name=$1 output
	shift
	if output=$("$@" 2>&1); then
		ok "$name"
	else
		not_ok "$name" "failed: $* $output"
	fi
}

# check_equal NAME EXPECTED GOT [DETAIL]
check_equal()
{
	if [ "$2" = "$3" ]; then
		ok "$1"
	else
		not_ok "$1" "expected '$2', got '$3'"$'\n'"${4-}"
	fi
}

# check_matches NAME REGEX TEXT
check_matches()
{
	if grep -qE -- "$2" <<<"$3"; then
		ok "$1"
	else
		not_ok "$1" "nothing matches '$2' in: $3"
	fi
}

# static_program OUT SOURCE...: a program that runs in the emulated host without libraries.
static_program()
{
	local out=$1
	shift
	gcc -std=gnu11 -O2 -Wall -Wextra -Werror -static -I"$top" -o "$out" "$@"
}

# finish: prints the plan, ends with 1 when a test failed or none ran.
finish()
{
	echo "1..$tests_run"
	[ "$tests_failed" = 0 ] && [ "$tests_run" -gt 0 ]
	exit
}
