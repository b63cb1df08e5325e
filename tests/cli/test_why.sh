#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# stet why: finds a running VM by name and by number, and says clearly what it cannot find.
set -u
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

bad()
{
	local name=$1 want=$2 text=$3
	shift 3
	run why "$@"
	if [ "$status" != "$want" ] || [ -s "$out" ] || [ "$(wc -l <"$err")" != 1 ] ||
		! grep -qF -e "$text" "$err"; then
		run_failed "$name (wanted one line with '$text', exit code $want)"
	else
		tap_ok "$name"
	fi
}

bad "no target" 2 "PID or NAME"
bad "no such process" 1 "no process 4194304" 4194304
bad "a process without a VM" 1 "no virtual machine" $$
bad "no such name" 1 "no VM named" stet-no-such-name
bad "interval of nothing" 2 "at least 1" 1 --interval 0
run run -k "$tiny" --name 77
expect "a number is no name" 2 "not a number"
run why --help
expect "help" 0 "Usage: stet why"

[ -w /dev/kvm ] || { tap_skip "a running VM" "no /dev/kvm"; tap_end; exit; }
name=stet-why-$$
"$stet" run -q -m 16M --name "$name" --kernel "$tiny" --console none --cmdline spin 2>/dev/null &
vm=$!
for _ in $(seq 100); do
	"$stet" why "$name" --count 1 >/dev/null 2>&1 && break
	sleep 0.1
done
run why "$name" --count 2 --json
expect "by name" 0 "\"pid\":$vm,"
if [ "$(wc -l <"$out")" = 2 ]; then tap_ok "one object for each report"; else run_failed "one object for each report"; fi
run why "$vm" --count 1
expect "by number" 0 "pages"
(sleep 1.5; kill -KILL "$vm") &
run why "$vm"
expect "ends with the VM" 0 "pages"
wait
tap_end
