#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The terminal is the guest's while it runs and as it was after every kind of end; nobody stays behind.
set -u
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
need_kvm "terminal"

# terminal NAME WORDS STEP...: stet with the tiny guest on a terminal of its own (see pty.c).
terminal()
{
	local name=$1 words=$2
	shift 2
	tap_check "$name" "$pty" "$@" -- \
		"$stet" run -m 16M -k "$tiny" -a "say=READY $words say=BYE"
}

ctrl_a=$'\x01'
terminal "raw while the guest runs, as before when it powers off" echo \
	expect:READY raw send:abc expect:abc send:q expect:BYE exit:0 cooked alone
terminal "as before when the guest resets" "echo reset" \
	expect:READY raw send:q exit:32 cooked alone
terminal "as before when the guest crashes" "echo triple" \
	expect:READY raw send:q "expect:RIP " exit:33 cooked alone
terminal "as before when the guest panics" "echo panic" \
	expect:READY raw send:q exit:34 cooked alone
terminal "Ctrl-c is the guest's" echo \
	expect:READY raw $'send:\x03' $'expect:\x03' send:q exit:0 cooked alone
terminal "Ctrl-a x ends the VM" spin \
	expect:READY raw "send:${ctrl_a}x" exit:0 cooked alone
terminal "Ctrl-a x ends a VM that floods its console" flood \
	expect:xxxx raw "send:${ctrl_a}x" exit:0 cooked alone
terminal "Ctrl-a h helps, Ctrl-a s prints statistics, Ctrl-a a is Ctrl-a" echo \
	expect:READY raw "send:${ctrl_a}h" $'expect:Ctrl-a s  print statistics\r\n' \
	"send:${ctrl_a}s" "expect:stage-2 faults" $'expect:\r\n' "send:${ctrl_a}a" "expect:${ctrl_a}" \
	send:q exit:0 cooked alone
terminal "SIGTERM twice" spin \
	expect:READY raw signal:15 "expect:asked the guest" signal:15 exit:143 cooked alone
terminal "SIGTERM to a guest that listens" listen \
	expect:READY raw signal:15 expect:BYE exit:0 cooked alone
terminal "SIGINT twice" spin \
	expect:READY raw signal:2 "expect:asked the guest" signal:2 exit:130 cooked alone
terminal "SIGQUIT" spin expect:READY raw signal:3 exit:131 cooked alone
terminal "SIGHUP" spin expect:READY raw signal:1 exit:129 cooked alone
terminal "SIGKILL: the guard restores" spin expect:READY raw signal:9 exit:137 cooked alone
if grep -q '^STET_SANITIZE:STRING=.' "$tap_build/CMakeCache.txt"; then
	tap_skip "SIGSEGV and SIGABRT" "the sanitizers have their own handlers"
else
	ulimit -c 0
	terminal "SIGSEGV" spin expect:READY raw signal:11 exit:139 cooked alone
	terminal "SIGABRT" spin expect:READY raw signal:6 exit:134 cooked alone
fi
terminal "stopped and continued" echo \
	expect:READY raw signal:20 stopped cooked signal:18 raw send:q expect:BYE exit:0 cooked alone
terminal "SIGKILL while stopped leaves the terminal alone" spin \
	expect:READY raw signal:20 stopped cooked signal:9 exit:137 cooked alone
terminal "in the background without the terminal, then with it again" echo \
	expect:READY raw background signal:19 stopped signal:18 foreground raw send:q expect:BYE \
	exit:0 cooked alone
terminal "closed terminal" spin expect:READY raw hangup exit:129 alone
tap_check "closed terminal that stet leads" "$pty" --leader expect:READY raw hangup exit:129 alone -- \
	"$stet" run -m 16M -k "$tiny" -a "say=READY spin"
tap_check "a bad kernel leaves the terminal as it was" "$pty" "expect:No such file" exit:1 cooked alone -- \
	"$stet" run -k /nonexistent
tap_check "standard output and error are still open to others" "$pty" expect:READY raw \
	"send:${ctrl_a}x" expect:AFTER exit:0 cooked alone -- \
	sh -c '"$@"; echo AFTER' sh "$stet" run -m 16M -k "$tiny" -a "say=READY spin"

# Eight gigabytes of small pages take more than a second to populate.
if (($(awk '/^MemAvailable/ { print $2 }' /proc/meminfo) > 10 * 1024 * 1024)); then
	tap_check "a progress bar while memory is made ready, gone when the guest runs" "$pty" \
		"expect:populate memory [" $'expect:\r\x1b[K' expect:READY "send:${ctrl_a}x" exit:0 cooked alone -- \
		"$stet" run -m 8G --backing 4k -k "$tiny" -a "say=READY spin"
else
	tap_skip "a progress bar while memory is made ready" "less than 10 GiB free"
fi

# The guard holds the terminal and a pipe, nothing else.
tap_check "the guard holds two descriptors" "$pty" expect:GUARD-OK raw \
	"send:${ctrl_a}x" exit:0 alone -- \
	sh -c 'exec 3</dev/null; (
		# Before it has settled it has more.
		until guard=$(pgrep -x stet-guard -P $$) && set -- /proc/$guard/fd/* && [ $# = 2 ]; do
			sleep 0.1
		done
		echo GUARD-OK
	) & exec "$@"' sh "$stet" run -m 16M -k "$tiny" -a "say=READY spin"

tap_end
