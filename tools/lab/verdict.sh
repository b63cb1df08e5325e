# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Says how a run of the emulated host ended: reads its control channel, console and result files.
# Sourced by tools/lab/lab; reads $work, $ended, $emulator_status, $output and the options there.

# Prints the last lines of the host's console, indented.
console_tail()
{
	tr -d '\r\000' <"$work/console" | tail -n "${1:-15}" | sed 's/^/    /' >&2
}

# Prints what the host was doing when it was last heard of.
last_words()
{
	if grep -qa '^@status' "$work/control"; then
		echo "after the command had ended"
	elif [ -n "$ready_s" ]; then
		echo "while the command ran (it started after $ready_s s): ${command[*]}"
	else
		echo "while the host was starting"
	fi
}

# Prints which time limit was reached.
limit_words()
{
	if [ -n "$ready_s" ]; then
		echo "time limit of $time_limit s reached $(last_words)"
	else
		echo "the host did not come up within $start_limit_s s"
	fi
}

# True where QEMU's TCG ran an instruction that the host's kernel had long replaced: with several processors it sometimes
# keeps translated code over a change of the text (a static branch), and meets the int3 that stood there meanwhile.
emulator_bug()
{
	[ "$cpu" = amd ] && grep -qa 'Oops: int3' "$work/console"
}

# Prints why a run is tried again.
retry_words()
{
	if [ "$ended" = limit ]; then
		limit_words
	else
		echo "the emulator ran a stale int3 $(last_words)"
	fi
}

# Prints the argument of the first control line named $1.
control_value()
{
	grep -am1 "^@$1 " "$work/control" | cut -d' ' -f2-
}

# Unpacks the result files into $output. Fails when they are not whole.
fetch_result()
{
	local line offset bytes sum
	line=$(grep -abm1 '^@result [0-9]* [0-9a-f]*$' "$work/control") || return 1
	offset=${line%%:*}
	line=${line#*:}
	read -r _ bytes sum <<<"$line"
	tail -c "+$((offset + ${#line} + 2))" "$work/control" | head -c "$bytes" >"$work/result.tar"
	[ "$(stat -c %s "$work/result.tar")" = "$bytes" ] || return 1
	[ "$(sha256sum <"$work/result.tar" | cut -d' ' -f1)" = "$sum" ] || return 1
	[ -z "$output" ] || tar -C "$output" --no-same-owner --no-overwrite-dir -xf "$work/result.tar"
}

# Prints what the emulator itself said last.
emulator_words()
{
	{
		[ ! -f "$work/bochs.log" ] || grep -a -A 1 '>>PANIC<<' "$work/bochs.log" | tail -n 4
		# Bochs paints a text screen: drop the escape sequences.
		sed 's/\x1b[^A-Za-z]*[A-Za-z]//g' "$work/emulator.log" | tr -d '\r\016\017' | tail -n 5
	} | cut -c 1-200 | sed 's/^/    /' >&2
}

# Ends lab when the host did not get as far as the command's status.
verdict_without_status()
{
	local reason
	reason=$(control_value fail)
	[ -z "$reason" ] || die_start "$reason"
	if grep -qaE 'Kernel panic|BUG: |Oops' "$work/console"; then
		tr -d '\r\000' <"$work/console" | grep -aE -m1 -A 40 'Kernel panic|BUG: |Oops' | sed 's/^/    /' >&2
		say "the emulated host crashed $(last_words)"
		exit "$exit_crash"
	fi
	if [ ! -s "$work/console" ]; then
		emulator_words
		die_start "the emulator did not start the kernel (status $emulator_status, see above)"
	fi
	console_tail
	emulator_words
	say "the emulated host or its emulator ended $(last_words) (emulator's status $emulator_status)"
	exit "$exit_crash"
}

verdict()
{
	local status warnings took
	if [ "$ended" = limit ] && ! grep -qa '^@end$' "$work/control"; then
		console_tail
		say "$(limit_words)"
		exit "$exit_time_limit"
	fi
	status=$(control_value status)
	[ -n "$status" ] || verdict_without_status
	if ! fetch_result; then
		say "the command ended with $status, but its result files did not come back whole"
		exit "$exit_crash"
	fi
	warnings=$(grep -a '^@warn ' "$work/control" | cut -d' ' -f2-)
	[ -z "$warnings" ] || say "the kernel warned while the command ran:"$'\n'"$warnings"
	took="after $total_s s (host up after ${ready_s:-?} s)"
	case $status in
		124 | 125 | 126)
			say "the command ended with $status, given as 123, $took"
			exit 123
			;;
	esac
	if [ -n "$warnings" ] && [ "$fail_on_warn" = yes ] && [ "$status" = 0 ]; then
		say "the command ended with 0, but the kernel warned: 121, $took"
		exit 121
	fi
	[ "$status" = 0 ] && [ "$quiet" = yes ] || say "the command ended with $status $took"
	exit "$status"
}
