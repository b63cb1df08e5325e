#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# Virtio sockets both ways with socat, many at once and much on one, peers that die; and the virtio console. The
# guest's side is tests/guest/sockets.c, whose ports are named here.
# shellcheck source=tests/lab/inside/common.sh
. /share/stage/common.sh

time_limit_s=100
uds=/tmp/vm.sock
echo_port=1000 dial_port=1001 zeros_port=1002 drop_port=1003
served_mark=0x7d
many=64

# ---- What a program of the host does ----

# Connects to port $1 of the guest, as a program that knows the protocol; from standard input to standard output. The
# answer goes to file $2.
connect_to_guest()
{
	{
		printf 'CONNECT %s\n' "$1"
		cat
	} | socat -t 100 - UNIX-CONNECT:$uds | {
		read -r answer
		echo "$answer" >"$2"
		cat
	}
}

# Prints the checksum of what port $1 of the guest sends back for $2 MiB.
sum_of_echo()
{
	for _ in $(seq "$2"); do cat /tmp/mib; done | connect_to_guest "$1" answer.txt | md5sum
}

# The guest lives: it echoes. $1: after what.
still_works()
{
	if [ "$(sum_of_echo $echo_port 1)" = "$sum_of_mib" ]; then
		ok "$1: the guest lives and its sockets work"
	else
		not_ok "$1: no echo any more; the answer was '$(cat answer.txt)'"
		show screen.txt "the screen"
	fi
}

# ---- Checks ----

# $1 MiB of port $2 and back have the checksum of what was sent; $3: name.
bulk()
{
	wanted=$(for _ in $(seq "$1"); do cat /tmp/mib; done | md5sum)
	got=$(sum_of_echo $echo_port "$1")
	if [ "$got" = "$wanted" ] && grep -qx 'OK [0-9]*' answer.txt; then
		ok "$2: $1 MiB to the guest and back are unchanged"
	else
		not_ok "$2: $1 MiB to the guest and back: wanted $wanted, got $got, answer '$(cat answer.txt)'"
	fi
}

# Waits until $1 connections were answered.
wait_for_answers()
{
	for _ in $(seq $time_limit_s); do
		cat many/*.answer >answers.txt 2>/dev/null
		[ "$(wc -l <answers.txt)" -ge "$1" ] && break
		sleep 0.2
	done
}

# Connections from the host that all exist before the first one sends. $1: name.
many_to_guest()
{
	rm -rf many
	mkdir many
	mkfifo many/go
	clients=
	for i in $(seq $many); do
		{
			read -r _ <many/go
			cat /tmp/small
		} | connect_to_guest $echo_port "many/$i.answer" | md5sum >"many/$i.sum" &
		clients="$clients $!"
		# They are many programs for one emulated processor to start, and a guest has 10 s to answer.
		[ $((i % 8)) != 0 ] || wait_for_answers "$i"
	done
	taken=$(grep -c '^OK' answers.txt)
	# They wait for a line each.
	exec 6<>many/go
	seq $many >&6
	# shellcheck disable=SC2086 # words
	wait $clients
	exec 6>&-
	good=$(cat many/*.sum | grep -cxF "$sum_of_small")
	if [ "$taken/$good" = "$many/$many" ]; then
		ok "$1: $many connections at once to the guest"
	else
		not_ok "$1: of $many connections to the guest $taken were taken, $good came to a good end"
	fi
}

# What socat runs for each connection of the guest: sends a file and keeps the checksum of what comes back. socat tells
# nobody when its program closes its output only; so as much is read as was sent.
cat >/tmp/serve <<-'END'
	#!/bin/sh
	exec 3<&0
	head -c "$(wc -c <"$1")" <&3 | md5sum >"/tmp/sums/$$" &
	cat "$1"
	wait
END
chmod 755 /tmp/serve

# The guest makes $2 connections to port $3 of the host, each echoes file $4 with checksum $5. $1: name.
from_guest()
{
	rm -rf /tmp/sums
	mkdir /tmp/sums
	socat -t 100 "UNIX-LISTEN:${uds}_$3,fork,backlog=128" "EXEC:/tmp/serve $4" &
	server=$!
	while [ ! -S "${uds}_$3" ]; do sleep 0.1; done
	said=$(echo "$3 $2" | connect_to_guest $dial_port answer.txt)
	kill $server
	wait $server 2>/dev/null
	rm -f "${uds}_$3"
	for _ in $(seq 100); do
		good=$(cat /tmp/sums/* | grep -cxF "$5")
		[ "$good" = "$2" ] && break
		sleep 0.1
	done
	if [ "$said/$good" = "echoed $2/$2" ]; then
		ok "$1: $2 connections from the guest to the host"
	else
		not_ok "$1: the guest says '$said', $good of $2 checksums are right"
	fi
}

refusals()
{
	said=$(echo "2999 1" | connect_to_guest $dial_port answer.txt)
	if [ "$said" = "echoed 0, else ECONNRESET" ]; then
		ok "the guest is refused where nobody listens on the host"
	else
		not_ok "where nobody listens on the host the guest says '$said'"
	fi
	said=$(connect_to_guest 999 answer.txt </dev/null)
	if [ -z "$said$(cat answer.txt)" ]; then
		ok "the host is refused where nobody listens in the guest"
	else
		not_ok "where nobody listens in the guest the host reads '$(cat answer.txt)' and '$said'"
	fi
	still_works "after refusals"
}

# A program that dies in the middle of a stream.
deaths()
{
	mkfifo /tmp/open /tmp/flow
	socat - UNIX-CONNECT:$uds </tmp/open >/tmp/flow &
	victim=$!
	exec 6>/tmp/open 7</tmp/flow
	printf 'CONNECT %s\n' $zeros_port >&6
	came=$(head -c 1000000 <&7 | wc -c)
	# Nobody takes the rest: all buffers fill.
	sleep 1
	kill -9 $victim
	exec 6>&- 7<&-
	[ "$came" = 1000000 ] || not_ok "of 1000000 zeros $came came"
	screen_shows 'guest: zeros ended (EPIPE|ECONNRESET)' "a program of the host dies: the guest sees an error"
	still_works "after a program of the host died"

	# Much more than the guest reads: the rest has nowhere to go.
	for _ in 1 2 3 4 5 6 7 8; do cat /tmp/mib; done | connect_to_guest $drop_port answer.txt >dropped.txt 2>/dev/null
	if grep -q '^OK' answer.txt && [ ! -s dropped.txt ]; then
		ok "a program of the guest dies: the host's stream ends"
	else
		not_ok "a program of the guest dies: the answer was '$(cat answer.txt)', $(wc -c <dropped.txt) bytes came"
	fi
	still_works "after a program of the guest died"
}

# No stage-2 fault from the first instruction to the end, by two counts. $1: name.
no_faults()
{
	traced=$(trace_faults $served_mark)
	counted=$(jq -r .stage2_faults stats.json)
	if [ "$counted/${traced%% *}/${traced##* }" = 0/0/0 ]; then
		ok "$1: 0 stage-2 faults, by KVM's counter and by its tracepoint"
	else
		not_ok "$1: $counted stage-2 faults by KVM's counter, tracepoints (RAM, MMIO, lost): $traced"
	fi
}

# jq expression $1 of the device's statistics must hold; $2: name.
counted()
{
	if [ "$(jq -r "$1" stats.json)" = true ]; then
		ok "$2"
	else
		not_ok "not so: $2"
		jq -c '.virtio[]' stats.json | sed 's/^/#   /'
	fi
}

ended_well()
{
	wait_for_end
	if [ "$status" = 0 ] && [ ! -e $uds ]; then
		ok "$1: the VM ends in order, its socket is gone"
	else
		not_ok "$1: stet ended with $status; $(ls $uds)"
		show stet.txt "stet said"
	fi
}

small_kernel()
{
	trace_on
	start_on_terminal -k vmlinuz-small -i initrd-small -m 128M --backing hugetlb-2M --prefault require \
		--hvc tty --console file:serial.txt --vsock uds=$uds --stats=stats.json --json \
		-a "console=ttyS0 console=hvc0 quiet stet.facts=off stet.end=sockets"
	screen_shows 'guest: size 99x33' "hvc0 is the console and has the terminal's size"
	wait_for_line 'guest: waiting sockets' screen.txt
	stty cols 120 rows 50 <&5
	screen_shows 'guest: size 120x50' "a new size of the terminal reaches the guest"
	printf 'from a person\r' >&4
	screen_shows 'guest: typed from a person' "what is typed reaches the guest"

	bulk "$bulk_mib" "PCI"
	many_to_guest "PCI"
	from_guest "PCI" $many 2000 /tmp/small "$sum_of_small"
	refusals
	deaths
	printf 'off\r' >&4
	ended_well "PCI"
	no_faults "PCI"
	close_terminal
	counted ".virtio[] | select(.type == \"vsock\") | .rules_broken == 0 and .connections > 2 * $many and
		.to_guest_bytes > $bulk_mib * 1048576 and .to_host_bytes > $bulk_mib * 1048576" "the statistics know of it"
}

debian_kernel()
{
	trace_on
	start_on_terminal -k vmlinuz-6.12-cloud -i initrd-6.12-cloud -m 256M --backing hugetlb-2M --prefault require \
		--hvc tty --transport mmio --vsock cid=77,uds=$uds --stats=stats.json --json \
		-a "console=hvc0 quiet noxsave stet.facts=off stet.end=sockets"
	screen_shows 'guest: size 99x33' "Debian's kernel has both on virtio-mmio"
	wait_for_line 'guest: waiting sockets' screen.txt
	bulk 8 "virtio-mmio"
	many_to_guest "virtio-mmio"
	from_guest "virtio-mmio" 4 2001 /tmp/small "$sum_of_small"
	printf 'off\r' >&4
	ended_well "virtio-mmio"
	no_faults "virtio-mmio"
	close_terminal
}

head -c 1048576 /dev/urandom >/tmp/mib
head -c 65536 /dev/urandom >/tmp/small
sum_of_mib=$(md5sum </tmp/mib)
sum_of_small=$(md5sum </tmp/small)
bulk_mib=${1:-256}
small_kernel
debian_kernel
finish
