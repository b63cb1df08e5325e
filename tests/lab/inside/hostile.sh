#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# Guests that are their own worst drivers (tests/guest/hostile), each against one device, all at a time, for $2
# seconds; beside them good ones. $1: the directory with stet (built with sanitizers), hostile and vsock_peer.
# Runs in an emulated host as well as on a machine whose /dev/kvm has no nested paging.
cd "${1:-/share/stage}" || exit 1
seconds=${2:-60}
seed=${3:-$(date +%s)}
settle_s=5
# Nothing of stet's is allocated while it runs.
growth_kib_max=256
image_bytes=8388608
# A line in a second at most, those that may come at once (base/log.h), and statistics at the end.
lines_max=$((seconds + 2 * 90 + 200))
failures=0
pair=' pair'
nets=0
taps=''

# Not detect_stack_use_after_return: its fake stacks grow for minutes.
export ASAN_OPTIONS=exitcode=99 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:exitcode=99

ok()
{
	echo "ok - $*"
}

not_ok()
{
	echo "not ok - $*"
	failures=$((failures + 1))
}

# A file name of VM $1 with ending $2.
of()
{
	echo "hostile-$1.$2"
}

# Starts VM $1 with words $2; more arguments are stet's. It is the next in $vms, its process in its file .pid.
start()
{
	vm=$1 words=$2
	shift 2
	./stet run -m 64M -k hostile -a "$words" -c 2 --stats --console "file:$(of "$vm" console)" "$@" \
		>"$(of "$vm" out)" 2>&1 </dev/null &
	echo $! >"$(of "$vm" pid)"
	vms="$vms $vm"
}

add_tap()
{
	/usr/sbin/ip tuntap add dev "$1" mode tap || return 1
	/usr/sbin/ip link set "$1" up
	taps="$taps $1"
	# Frames for the guest, some larger than its buffers.
	/usr/sbin/ip addr add "$2.1/24" dev "$1"
	/usr/sbin/ip neigh add "$2.2" lladdr 06:5a:a5:c3:3c:96 dev "$1"
	ping -q -s 1400 -i 0.05 "$2.2" >/dev/null 2>&1 &
	peers="$peers $!"
}

start_all()
{
	for transport in pci mmio; do
		for device in rng blk net vsock hvc; do
			vm=$device-$transport
			words="seed=$seed"
			[ $transport = mmio ] || words="$words$pair"
			case $device in
			rng) start "$vm" "$words" --transport $transport --rng ;;
			blk) # the one with limits, so that their timers run too
				dd if=/dev/zero of="$(of "$vm" img)" bs=1M count=0 seek=8 2>/dev/null
				limits=
				[ $transport = pci ] || limits=,bw=16M,iops=500
				start "$vm" "$words" --transport $transport --disk "path=$(of "$vm" img)$limits"
				;;
			net)
				nets=$((nets + 1))
				add_tap "hostile-$transport" "10.77.$nets" || { not_ok "a tap for the guest"; continue; }
				start "$vm" "$words" --transport $transport --net "tap=hostile-$transport"
				;;
			vsock)
				./vsock_peer "$(of "$vm" sock)" 2>/dev/null &
				peers="$peers $!"
				start "$vm" "$words" --transport $transport --vsock "uds=$(of "$vm" sock)"
				;;
			hvc) start "$vm" "$words" --transport $transport --hvc "file:$(of "$vm" hvc)" ;;
			esac
		done
		dd if=/dev/zero of="$(of calm-$transport img)" bs=1M count=0 seek=8 2>/dev/null
		start calm-$transport "seed=$seed calm" --transport $transport --disk "$(of calm-$transport img)" --rng
	done
}

# Memory that is its own: not the pages of its files, which come when they are looked at.
own_kib()
{
	awk '/^RssAnon:/ { print $2 }' "/proc/$1/status" 2>/dev/null
}

fd_count()
{
	find "/proc/$1/fd" -mindepth 1 2>/dev/null | wc -l
}

# Notes memory and descriptors of all VMs in files with ending $1.
note()
{
	for vm in $vms; do
		pid=$(cat "$(of "$vm" pid)")
		echo "$(own_kib "$pid") $(fd_count "$pid")" >"$(of "$vm" "$1")"
	done
}

# The good ones go on, while the others do what they do: they say something again within each of these times.
calm_lines()
{
	cat hostile-calm-*.console 2>/dev/null | grep -c '^calm: '
}

# All guests run, and have done something: from now on nothing may grow.
settle()
{
	for _ in $(seq 120); do
		# shellcheck disable=SC2046,SC2086 # words
		[ "$(grep -lE '^(hostile|calm): [0-9]' $(for vm in $vms; do of $vm console; done) 2>/dev/null | wc -w)" \
			= "$(echo $vms | wc -w)" ] && break
		sleep 1
	done
	sleep $settle_s
	note begun
}

watch_all()
{
	for part in 1 2; do
		lines=$(calm_lines)
		sleep $((seconds / 2))
		if [ "$(calm_lines)" -gt "$lines" ]; then
			ok "half $part: the good guests beside them work on"
		else
			not_ok "half $part: the good guests beside them stand still"
		fi
	done
	note ended
}

# Ends VM $1 with its power button and says what is wrong with it, if anything.
judge()
{
	vm=$1 wrong=
	pid=$(cat "$(of "$vm" pid)")
	wait "$pid"
	status=$?
	read -r kib_begun fds_begun <"$(of "$vm" begun)"
	read -r kib_ended fds_ended <"$(of "$vm" ended)"
	growth=$((${kib_ended:-0} - ${kib_begun:-0}))
	fds_more=$((${fds_ended:-0} - ${fds_begun:-0}))
	# A vsock's connections have a descriptor each, and up to 64 KiB where their peer does not read.
	case $vm in vsock-*) growth=$((growth - 16384)) fds_more=$((fds_more - 300)) ;; esac
	[ "$status" = 0 ] || wrong="$wrong; exit code $status"
	[ $growth -le $growth_kib_max ] || wrong="$wrong; its memory grew from $kib_begun to $kib_ended KiB"
	[ $fds_more -le 0 ] || wrong="$wrong; its descriptors grew from $fds_begun to $fds_ended"
	grep -q 'powered off after' "$(of "$vm" console)" || wrong="$wrong; the guest did not power off"
	grep -qE 'Sanitizer|runtime error' "$(of "$vm" out)" && wrong="$wrong; a sanitizer spoke"
	# What lies before and behind guest memory cannot be touched: a system call that was told to says so.
	grep -q 'Bad address' "$(of "$vm" out)" && wrong="$wrong; it touched what is not the guest's"
	image=$(of "$vm" img)
	[ ! -e "$image" ] || [ "$(stat -c %s "$image")" = $image_bytes ] || wrong="$wrong; its image has $(stat -c %s "$image") bytes"
	[ "$(wc -l <"$(of "$vm" out)")" -le $lines_max ] || wrong="$wrong; it said $(wc -l <"$(of "$vm" out)") lines"
	done_s=$(tr -d '\r' <"$(of "$vm" console)" | sed -n 's/.*powered off after //p')
	if [ -z "$wrong" ]; then
		ok "$vm: ${done_s:-nothing} ($kib_begun to $kib_ended KiB, $fds_begun to $fds_ended descriptors)"
	else
		not_ok "$vm${wrong}"
		tail -n 60 "$(of "$vm" out)" | sed 's/^/# stet: /'
		tr -d '\r' <"$(of "$vm" console)" | tail -n 6 | sed 's/^/# guest: /'
	fi
}

echo "# seed $seed"
vms=''
peers=''
faults=''
if [ "${1:-/share/stage}" = /share/stage ]; then
	# What the kernel gathers into huge pages by itself is memory that nobody asked for (the guest's was asked for).
	echo madvise >/sys/kernel/mm/transparent_hugepage/enabled
	# Two processors of one guest are no business of the emulator's; and see kvm_hold.c.
	pair=''
	./kvm_hold &
	peers=$!
	./disk_faults.sh "$seconds" >disk_faults.txt 2>&1 &
	faults=$!
fi
start_all
settle
watch_all
for vm in $vms; do
	kill -TERM "$(cat "$(of "$vm" pid)")" || not_ok "$vm ended by itself"
done
(
	sleep 60
	# Whoever does not listen ends at the second one, and says what its devices did.
	# shellcheck disable=SC2046 # words
	kill -TERM $(cat hostile-*.pid)
	sleep 20
	# shellcheck disable=SC2046 # words
	kill -KILL $(cat hostile-*.pid)
) 2>/dev/null &
watchdog=$!
for vm in $vms; do
	judge "$vm"
done
# shellcheck disable=SC2086 # words
kill $watchdog $peers 2>/dev/null || true
for tap in $taps; do
	/usr/sbin/ip link delete "$tap" || not_ok "the tap $tap is gone"
done
if [ -n "$faults" ]; then
	wait "$faults" || failures=$((failures + 1))
	cat disk_faults.txt
fi
[ "$failures" = 0 ]
