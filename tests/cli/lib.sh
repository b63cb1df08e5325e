# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the tests of the program share: the program, a guest, and how to judge a run.
# shellcheck source=tests/tap.sh
. "$(dirname "${BASH_SOURCE[0]}")/../tap.sh"

stet=$tap_build/stet
tiny=$tap_build/tests/guest/tiny
pty=$tap_build/tests/cli/pty
limit_s=60
for file in "$stet" "$tiny" "$pty"; do
	[ -x "$file" ] || { echo "not ok - $file is not built"; exit 1; }
done
tap_scratch
# shellcheck disable=SC2154 # set by tap_scratch
out=$tap_dir/out
err=$tap_dir/err

# Runs stet with the given arguments: $status, and what it said in $out and $err.
run()
{
	status=0
	timeout -s KILL "$limit_s" "$stet" "$@" >"$out" 2>"$err" </dev/null || status=$?
}

# A run of the tiny guest with words $1 and further options; its standard input is ours.
guest()
{
	local words=$1
	shift
	status=0
	timeout -s KILL "$limit_s" "$stet" run -q -m 16M --kernel "$tiny" --cmdline "$words" "$@" \
		>"$out" 2>"$err" || status=$?
}

# Reports what the last run did not do as wanted.
run_failed()
{
	tap_not_ok "$1" "exit code $status" "standard output: $(head -c 2000 "$out")" \
		"standard error: $(head -c 2000 "$err")"
}

# expect NAME STATUS TEXT...: the last run ended with STATUS and each TEXT stands in its output or errors.
expect()
{
	local name=$1 want=$2 text
	shift 2
	if [ "$status" != "$want" ]; then
		run_failed "$name (wanted exit code $want)"
		return
	fi
	for text; do
		if ! grep -qF -e "$text" "$out" "$err"; then
			run_failed "$name (wanted '$text')"
			return
		fi
	done
	tap_ok "$name"
}

have_kvm()
{
	[ -r /dev/kvm ] && [ -w /dev/kvm ]
}

# Without /dev/kvm no guest runs: the whole script is skipped.
need_kvm()
{
	have_kvm && return
	tap_skip "$1" "no access to /dev/kvm"
	exit 0
}
