# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# What the scripts that run inside an emulated host have in common. Busybox and jq are there.

cd /share/stage || exit 1
failures=0
tracing=/sys/kernel/tracing

# One VM is there all the time (see kvm_hold.c).
./kvm_hold &
kvm_hold=$!

# A host with the patches is prepared as stet-kvm-dkms does it.
[ ! -f /sys/module/kvm/version ] || ./folios on | sed 's/^/# /'

ok()
{
	echo "ok - $*"
}

not_ok()
{
	echo "not ok - $*"
	failures=$((failures + 1))
}

# Prints the names of stet's processes, each with a space after it.
stet_processes()
{
	cat /proc/[0-9]*/comm 2>/dev/null | grep '^stet' | tr '\n' ' '
}

huge_pages_free()
{
	awk '/^HugePages_Free:/ { print $2 }' /proc/meminfo
}

# Ends the script: exit status 1 where something was not ok.
finish()
{
	kill "$kvm_hold"
	[ "$failures" = 0 ] || echo "# $failures failed"
	[ "$failures" = 0 ]
	exit
}

# Prints the end of file $1 (12 lines, or $3) as remarks, with $2 before it.
show()
{
	echo "# $2:"
	tr -d '\r\000' <"$1" | tail -n "${3:-12}" | sed 's/^/#   /'
}

# A script that uses what follows sets time_limit_s; $pid is a process that it started.

# Waits until the extended regular expression $1 stands in file $2 (console.txt).
wait_for_line()
{
	for _ in $(seq $((time_limit_s * 5))); do
		grep -qE "$1" "${2:-console.txt}" && return 0
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.2
	done
	grep -qE "$1" "${2:-console.txt}"
}

# Waits for the end of $pid, at most $time_limit_s; its exit status goes to $status.
wait_for_end()
{
	(sleep $time_limit_s; kill -9 "$pid" 2>/dev/null) &
	watchdog=$!
	wait "$pid" 2>/dev/null
	status=$?
	kill $watchdog 2>/dev/null
	wait $watchdog 2>/dev/null
}

# Makes a terminal /tmp/tty of 99 by 33 characters and runs stet with the given options on it, as the foreground job of
# a session of its own: process $pid. What is written to descriptor 4 is typed, what it shows goes to screen.txt.
start_on_terminal()
{
	rm -f /tmp/keys
	mkfifo /tmp/keys
	: >screen.txt
	socat PTY,link=/tmp/tty 'OPEN:/tmp/keys,rdonly!!OPEN:screen.txt,append' 2>/tmp/socat.txt &
	socat_pid=$!
	exec 4>/tmp/keys
	while [ ! -e /tmp/tty ]; do sleep 0.1; done
	# This shell keeps the terminal open, so that its modes can be seen after stet's end.
	exec 5<>/tmp/tty
	stty cols 99 rows 33 <&5
	modes_before=$(stty -g <&5)
	setsid -c ./stet run "$@" <&5 >&5 2>&5 4>&- 5>&- &
	pid=$!
}

close_terminal()
{
	exec 4>&- 5>&-
	kill -9 "$socat_pid" 2>/dev/null
	wait "$socat_pid" 2>/dev/null
	rm -f /tmp/tty
}

# What the screen shows must come to have extended regular expression $1 in it; $2: name.
screen_shows()
{
	if wait_for_line "$1" screen.txt; then
		ok "$2"
	else
		not_ok "not so: $2"
		show screen.txt "the screen"
	fi
}

# Notes the stage-2 faults KVM sees, and the guest's marks (writes to port 0x5e0).
trace_on()
{
	echo 0 >$tracing/tracing_on
	echo 8192 >$tracing/buffer_size_kb
	echo 'port == 0x5e0' >$tracing/events/kvm/kvm_pio/filter
	echo 1 >$tracing/events/kvm/kvm_pio/enable
	echo 1 >$tracing/events/kvm/kvm_page_fault/enable
	echo >$tracing/trace
	echo 1 >$tracing/tracing_on
}

# Prints "RAM MMIO LOST": stage-2 faults up to the guest's mark $1 (0x7b) that are for RAM or make an MMIO entry, those on an
# MMIO entry (bit 3 of the error code: device emulation, no fault of a page), and events the trace lost.
# "no mark" where the mark is not there.
trace_faults()
{
	trace_faults_to kvm_pio "val $1"
}

# The same up to now.
trace_faults_to_the_end()
{
	echo "the end" >$tracing/trace_marker
	trace_faults_to tracing_mark_write "the end"
}

# The same up to event $1 with $2 in its text.
trace_faults_to()
{
	echo 0 >$tracing/tracing_on
	lost=$(cat $tracing/per_cpu/cpu*/stats | awk '$1 == "overrun:" { sum += $2 } END { print sum + 0 }')
	awk -v event="$1: " -v mark="$2" -v lost="$lost" '
		/kvm_page_fault: / {
			code = $0
			sub(/.*error_code (0x)?/, "", code)
			low = index("0123456789abcdef", substr(code, length(code), 1)) - 1
			if (low >= 8)
				mmio++
			else
				ram++
		}
		index($0, event) && index($0, mark) { found = 1; exit }
		END { if (found) print ram + 0, mmio + 0, lost; else print "no mark" }
	' $tracing/trace
}
