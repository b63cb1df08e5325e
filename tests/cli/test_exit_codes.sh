#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Each way a guest can end gives its exit code, and what stet says about it.
set -u
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
need_kvm "exit codes"

guest "say=hello poweroff" </dev/null
expect "poweroff: 0" 0 "hello"
guest "say=hello" </dev/null
expect "the guest's output is complete" 0 "hello"
guest "reset" </dev/null
expect "reset through port 0xcf9: 32" 32
guest "i8042" </dev/null
expect "reset through the keyboard controller: 32" 32
guest "triple" </dev/null
expect "triple fault: 33, with registers" 33 "triple fault" "RIP 0" "CR0 " "EFER "
guest "panic" </dev/null
expect "panic through pvpanic: 34" 34
run run -m 16M -k "$tiny" -a "panic"
expect "a panic is said" 34 "panicked"
run run -m 16M -k "$tiny" -a "reset"
expect "a reset is said" 32 "reset"
guest "poweroff" -c 4 </dev/null
expect "poweroff with other vCPUs waiting: 0" 0
guest "triple" -c 4 </dev/null
expect "triple fault with other vCPUs waiting: 33" 33

# A signal while the guest runs: the first asks, the second ends.
signal_ends()
{
	local name=$1 signal=$2 want=$3 times=$4 words=$5 pid
	: | tee "$out" >"$err"
	"$stet" run -m 16M -k "$tiny" -a "say=READY $words say=BYE" </dev/null >"$out" 2>"$err" &
	pid=$!
	wait_for "READY" "$out"
	for ((i = 1; i <= times; i++)); do
		kill -"$signal" "$pid"
		((i == times)) || wait_for "asked the guest" "$err"
	done
	status=0
	wait "$pid" || status=$?
	expect "$name" "$want"
}

wait_for()
{
	local i
	for ((i = 0; i < 300; i++)); do
		grep -qF "$1" "$2" && return
		sleep 0.1
	done
	tap_not_ok "waiting for '$1'"
}

# Not with job control off: a background command ignores SIGINT then.
set -m
signal_ends "SIGTERM presses the power button" TERM 0 1 listen
expect "the guest heard it" 0 "BYE"
signal_ends "SIGINT does too where stdin is no terminal" INT 0 1 listen
signal_ends "a second SIGTERM ends it: 143" TERM 143 2 spin
signal_ends "a second SIGINT ends it: 130" INT 130 2 spin
signal_ends "SIGHUP ends it: 129" HUP 129 1 spin
signal_ends "SIGQUIT ends it: 131" QUIT 131 1 spin
signal_ends "SIGTERM ends a guest that floods its console" TERM 143 2 flood
set +m

# Before the guest runs, while its memory is made ready, a signal ends stet at once.
free_kib=$(awk '/^MemAvailable/ { print $2 }' /proc/meminfo)
if ((free_kib > 10 * 1024 * 1024)); then
	: | tee "$out" >"$err"
	"$stet" run -q -m 8G --backing 4k -k "$tiny" -a "say=RAN" </dev/null >"$out" 2>"$err" &
	pid=$!
	sleep 0.5
	kill -TERM "$pid"
	status=0
	wait "$pid" || status=$?
	expect "SIGTERM while memory is made ready" 143
	tap_check "and no guest ran" test ! -s "$out"
else
	tap_skip "SIGTERM while memory is made ready" "less than 10 GiB free"
fi

# nohup: an ignored SIGHUP stays ignored.
: | tee "$out" >"$err"
(
	trap '' HUP
	exec "$stet" run -q -m 16M -k "$tiny" -a "say=READY listen say=BYE" </dev/null >"$out" 2>"$err"
) &
pid=$!
wait_for "READY" "$out"
kill -HUP "$pid"
sleep 0.3
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
expect "an ignored SIGHUP stays ignored" 0 "BYE"

tap_end
