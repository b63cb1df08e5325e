#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# Provokes each end of a guest and each way to stop stet, and looks at what is left behind. Then lets Debian's
# kernels say what machine they found, and whether they had anything to complain about.
# shellcheck source=tests/lab/inside/common.sh
. /share/stage/common.sh

time_limit_s=150
mib=256
# The emulator does not intercept XSETBV: KVM never learns which states the guest enabled, CPUID leaf 0xd stays as
# at reset, and the guest warns of it.
quirks="noxsave"

# Starts stet in the background with kernel command line $1; more arguments are stet's. Its process id: $pid.
start()
{
	cmdline=$1
	shift
	: >console.txt
	./stet run -k vmlinuz-6.12-cloud -i initrd-6.12-cloud -a "console=ttyS0 quiet $quirks stet.facts=off $cmdline" \
		-m "${mib}M" --backing hugetlb-2M --prefault require --console file:console.txt "$@" >stet.txt 2>&1 &
	pid=$!
}

complain()
{
	not_ok "$*"
	show stet.txt "stet said"
	show console.txt "the guest said"
}

# The last exit code must be $1; $2: name.
status_is()
{
	if [ "$status" = "$1" ]; then
		ok "$2: exit code $1"
	else
		complain "$2: exit code $status, not $1"
	fi
}

# No process of stet's and no huge page is left; $1: the test's name.
nothing_left()
{
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		left=$(stet_processes)
		free=$(huge_pages_free)
		if [ -z "$left" ] && [ "$free" = "$free_at_start" ]; then
			ok "$1: no process and no huge page is left"
			return
		fi
		sleep 0.5
	done
	not_ok "$1: left: processes '$left', huge pages $((free_at_start - free))"
}

# A guest with command line $2 must make stet end with exit code $3 and say $4 (empty: whatever). $1: name; then
# options of stet.
ends()
{
	name=$1 wanted=$3 says=$4
	cmdline_of_case=$2
	shift 4
	start "$cmdline_of_case" "$@"
	wait_for_end
	if [ "$status" = "$wanted" ] && { [ -z "$says" ] || grep -qE "$says" stet.txt; }; then
		ok "exit code $wanted: $name"
	else
		complain "$name: exit code $status, not $wanted, or it does not say '$says'"
	fi
}

exit_codes()
{
	ends "powered off (ACPI)" "stet.end=poweroff" 0 ""
	ends "powered off (ACPI), 4 vCPUs" "stet.end=poweroff" 0 "" -c 4
	ends "reset (keyboard controller)" "stet.end=reboot reboot=k" 32 "reset"
	ends "reset (ACPI reset register)" "stet.end=reboot reboot=a" 32 "reset"
	ends "reset (port 0xcf9)" "stet.end=reboot reboot=p" 32 "reset"
	ends "reset after a panic nobody hears of" "stet.end=panic panic=-1 reboot=k" 32 "reset" -i initrd-bare
	ends "triple fault" "stet.end=reboot reboot=t" 33 "triple fault"
	if grep -qE '^RIP [0-9a-f]{16} ' stet.txt && grep -qE '^CR0 ' stet.txt; then
		ok "triple fault: the registers are printed"
	else
		complain "triple fault: no registers"
	fi
	ends "panic (process 1 ended)" "stet.end=panic panic=-1" 34 "panic"
	ends "panic (null pointer), 2 vCPUs" "stet.end=crash panic=-1 oops=panic" 34 "panic" -c 2
	nothing_left "after all these"
}

signals()
{
	start "stet.end=button"
	wait_for_line 'guest: waiting button' && kill -TERM "$pid"
	wait_for_end
	if [ "$status" = 0 ] && grep -q 'guest: button pressed' console.txt; then
		ok "SIGTERM: the guest hears its power button and powers off"
	else
		complain "SIGTERM and power button: exit code $status"
	fi

	start "stet.end=hang" -c 2
	wait_for_line 'guest: waiting for ever' && kill -TERM "$pid" && sleep 1
	if kill -0 "$pid" 2>/dev/null; then
		kill -TERM "$pid"
		wait_for_end
		status_is 143 "second SIGTERM"
	else
		wait_for_end
		complain "the first SIGTERM ended a guest that does not listen: exit code $status"
	fi
	nothing_left "SIGTERM twice"

	start "stet.end=hang" -c 2
	wait_for_line 'guest: waiting for ever'
	# What the checks below look for is there now.
	if [ "$(stet_processes)" = "stet " ] && [ "$(huge_pages_free)" = $((free_at_start - mib / 2)) ]; then
		ok "a running guest is seen: one process, $((mib / 2)) huge pages"
	else
		not_ok "a running guest is not seen: processes '$(stet_processes)', $(huge_pages_free) free huge pages"
	fi
	kill -9 "$pid"
	wait_for_end
	nothing_left "kill -9 of a running guest"

	mib=1024
	start "stet.end=hang"
	until [ "$(huge_pages_free)" -lt "$free_at_start" ] || ! kill -0 "$pid"; do :; done
	kill -9 "$pid"
	wait_for_end
	mib=256
	nothing_left "kill -9 while memory is made ready"

	start "stet.end=hang"
	sleep 0.3
	kill -TERM "$pid"
	wait_for_end
	status_is 143 "SIGTERM before the guest runs"
	nothing_left "SIGTERM before the guest runs"
}

# The terminal has its modes back; $1: name.
modes_back()
{
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		[ "$(stty -g <&5)" = "$modes_before" ] && break
		sleep 0.3
	done
	if [ "$(stty -g <&5)" = "$modes_before" ]; then
		ok "$1: the terminal has its modes back"
	else
		not_ok "$1: the terminal's modes are not as before"
	fi
}

start_echo_on_terminal()
{
	start_on_terminal -k vmlinuz-6.12-cloud -i initrd-6.12-cloud -m "${mib}M" --backing hugetlb-2M \
		-a "console=ttyS0 quiet $quirks stet.facts=off stet.end=echo"
}

terminal()
{
	start_echo_on_terminal
	screen_shows 'guest: waiting input' "a guest runs on a terminal"
	if [ "$(stty -g <&5)" != "$modes_before" ]; then
		ok "the terminal is raw while the guest runs"
	else
		not_ok "the terminal is not raw while the guest runs"
	fi
	printf 'what is typed\r' >&4
	screen_shows 'guest: echo what is typed' "what is typed reaches the guest"
	printf '\001s' >&4
	screen_shows 'stage-2 faults +0' "Ctrl-a s prints statistics"
	printf '\001x' >&4
	wait_for_end
	status_is 0 "Ctrl-a x"
	modes_back "Ctrl-a x"
	close_terminal
	nothing_left "Ctrl-a x"

	start_echo_on_terminal
	wait_for_line 'guest: waiting input' screen.txt
	kill -9 "$pid"
	wait_for_end
	modes_back "kill -9"
	close_terminal
	nothing_left "kill -9 on a terminal"

	start_echo_on_terminal
	wait_for_line 'guest: waiting input' screen.txt
	close_terminal
	wait_for_end
	status_is 129 "closed terminal"
	nothing_left "closed terminal"
}

# Prints the value of the guest's fact $1.
fact()
{
	sed -n "s/^guest: $1 //p" facts.txt | head -n 1
}

# Fact $1 must be $2.
fact_is()
{
	[ "$(fact "$1")" = "$2" ] || wrong="$wrong; $1 is '$(fact "$1")', not '$2'"
}

# Boots flavour $1 on $2 vCPUs with 3200 MiB, 128 of them above 4 GiB, and checks what it says of the machine.
machine()
{
	flavour=$1 cpus=$2 wrong=
	# Without prefault only what the guest uses is made.
	./stet run -k "vmlinuz-$flavour" -i "initrd-$flavour" -a "console=ttyS0 quiet loglevel=1 $quirks" -c "$cpus" -m 3200M \
		--backing thp --prefault off --console file:console.txt >stet.txt 2>&1 &
	pid=$!
	wait_for_end
	tr -d '\r\000' <console.txt >facts.txt
	[ "$status" = 0 ] || wrong="; exit code $status"
	fact_is facts end
	fact_is cpus "$cpus"
	fact_is apic x2apic
	fact_is clocksource kvm-clock
	fact_is memory_above_4g $((128 << 20))
	fact_is ttyS0 16550A
	fact_is rtc_date "$(date -u +%Y-%m-%d)"
	for device in PNP0501:00 PNP0B00:00 PNP0C0C:00 QEMU0001:00 ACPI0013:00 "ACPI0007:0$((cpus - 1))"; do
		grep -q "^guest: acpi $device\$" facts.txt || wrong="$wrong; no ACPI device $device"
	done
	if [ -z "$wrong" ]; then
		ok "Debian $flavour finds its $cpus CPUs, x2APIC, clock, memory on both sides of 4G, serial port, ACPI devices"
	else
		complain "Debian $flavour: ${wrong#; }"
	fi
	sed -n 's/^guest: warning //p' facts.txt | grep -vEf allowed.txt >warnings.txt
	if [ ! -s warnings.txt ]; then
		ok "Debian $flavour has no warning that stet could be the reason of"
	else
		not_ok "Debian $flavour warns"
		show warnings.txt "lines that are not in tests/lab/allowed-warnings" 20
	fi
}

grep -v '^#' allowed-warnings | cut -f1 >allowed.txt
echo "an invented warning" | grep -qvEf allowed.txt || not_ok "tests/lab/allowed-warnings allows everything"
free_at_start=$(huge_pages_free)
[ $# -gt 0 ] || set -- exit_codes signals terminal machines
for part in "$@"; do
	case $part in
		exit_codes) exit_codes ;;
		signals) signals ;;
		terminal) terminal ;;
		machines)
			for flavour in 6.12-cloud 6.1-cloud 6.12 6.1; do
				machine $flavour 2
			done
			;;
		*) not_ok "no part '$part'" ;;
	esac
done
finish
