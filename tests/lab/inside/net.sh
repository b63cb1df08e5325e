#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# Guests on a tap, on one with four queues, and behind passt: traffic both ways, then the other end goes away. No guest
# takes a stage-2 fault, from the first KVM_RUN to the end.

# passt shuts itself in with pivot_root(), which the kernel refuses where the root is the initial one: so this script goes
# on in a mount namespace whose root is another.
if [ "${1-}" != again ]; then
	exec unshare -m sh /share/stage/net-root.sh sh /share/stage/net.sh again
fi

# shellcheck source=tests/lab/inside/common.sh
. /share/stage/common.sh

limit_s=150
ip=$(find /usr/sbin /usr/bin /sbin /bin -name ip | head -n 1) # not busybox's

# Waits until the extended regular expression $1 stands in the guest's console.
wait_for()
{
	for _ in $(seq $((limit_s * 5))); do
		grep -qE "$1" console.txt && return 0
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.2
	done
	grep -qE "$1" console.txt
}

# Starts a guest of name $1 with $2 vCPUs on network $3, its own words of command line in $4.
start()
{
	name=$1
	: >console.txt
	rm -f stats.json
	trace_on
	./stet run -k vmlinux-small -i initrd-net -c "$2" -m 256M --backing hugetlb-2M --prefault require --net "$3" \
		-a "console=ttyS0 quiet panic=-1 $4" --console file:console.txt --stats=stats.json --json >stet.txt 2>&1 &
	pid=$!
	wait_for '^@ready' || complain "the guest is not ready"
}

complain()
{
	not_ok "$name: $1"
	show stet.txt "stet said"
	show console.txt "the guest said" 30
}

# The guest said $1 ...
said()
{
	if tr -d '\r' <console.txt | grep -qxE "@$1"; then
		ok "$name: ${2:-$1}"
	else
		complain "${2:-$1}: not so"
	fi
}

# The backend $1 has just gone: the guest sees it, stet says it once, and the guest goes on to its end.
survives()
{
	wait_for '^@alive' || true
	(sleep 30; kill -9 "$pid" 2>/dev/null) &
	watchdog=$!
	wait "$pid"
	status=$?
	kill $watchdog 2>/dev/null
	faults=$(trace_faults_to_the_end)
	said "link down" "the guest sees that the link is down"
	said alive "the guest goes on"
	lines=$(grep -c "the $1 backend is gone" stet.txt)
	if [ "$status" = 0 ] && [ "$lines" = 1 ]; then
		ok "$name: stet says it once and ends with the guest"
	else
		complain "stet ended with $status and said it $lines times"
	fi
	counted=$(jq .stage2_faults stats.json)
	if [ "$counted" = 0 ] && [ "${faults%% *}" = 0 ] && [ "${faults##* }" = 0 ]; then
		ok "$name: 0 stage-2 faults"
	else
		complain "$counted stage-2 faults; tracepoints (RAM, MMIO, lost): $faults"
	fi
}

# Makes tap $1; more arguments are those of ip tuntap.
make_tap()
{
	tap=$1
	shift
	"$ip" tuntap add dev "$tap" mode tap "$@" && "$ip" addr add 10.9.0.1/24 dev "$tap" && "$ip" link set "$tap" up ||
		not_ok "no tap device"
}

on_tap="net.mode=tap net.address=10.9.0.2/24 net.peer=10.9.0.1"
iperf3 -s >iperf3.txt 2>&1 &
server=$!

make_tap tap0
start "tap" 1 tap=tap0 "$on_tap net.streams=1"
for line in "ping answered" "iperf3 sent" "iperf3 received"; do
	said "$line"
done
"$ip" link delete tap0
survives tap

make_tap tap1 multi_queue
start "4 queues on 4 vCPUs" 4 tap=tap1,queues=4 "$on_tap net.streams=8"
for line in "ping answered" "iperf3 sent" "iperf3 received" "queues 4"; do
	said "$line"
done
said "queues_used [2-4]" "several queues receive"
"$ip" link delete tap1
survives tap
kill $server

# A command in a VM with a network of its own, and limits: each of three transfers has three times what its limit lets
# through in a second, so that it cannot have taken less than two.
make_tap tap2
mkdir -p tree/bin
cp /bin/busybox tree/bin/
for tool in sh ip ping nc dd cmp date echo; do
	ln -s busybox tree/bin/$tool
done
head -c 3145728 /dev/urandom >limited.img
socat -u OPEN:limited.img TCP-LISTEN:7000 &
socat -u TCP-LISTEN:7001 CREATE:sent &
cat >tree/work <<'end'
ip addr add 10.9.0.3/24 dev eth0 && ip link set eth0 up && ping -c 3 10.9.0.1 >/dev/null && echo ping answered
spent() { now=$(date +%s); [ $((now - before)) -ge 2 ] && echo "$1 limited"; before=$now; }
before=$(date +%s)
dd if=/dev/vda bs=64k >/image 2>/dev/null
spent disk
nc 10.9.0.1 7000 </dev/null >/received
spent receiving
nc 10.9.0.1 7001 </received
spent sending
cmp /image /received && echo whole
end
status=0
timeout -s KILL $limit_s ./stet run -k vmlinux-small --root tree -m 256M --disk limited.img,bw=1M,bw-burst=64K \
	--net tap=tap2,rx-bw=1M,rx-bw-burst=64K,tx-bw=1M,tx-bw-burst=64K --stats=stats.json --json -- sh /work \
	>said.txt 2>stet.txt || status=$?
name="a command with a network and limits"
if [ "$status" = 0 ] && [ "$(cat said.txt)" = "ping answered
disk limited
receiving limited
sending limited
whole" ] && cmp -s sent limited.img; then
	ok "$name: ping, 3 MiB from the disk, 3 MiB each way, none too fast"
else
	not_ok "$name: exit code $status"
	show said.txt "the command said"
	show stet.txt "stet said"
fi
held=$(jq -r '[.virtio[] | select(.throttled > 0 or .rate_waits > 0) | .type] | join(" ")' stats.json)
if [ "$(jq .stage2_faults stats.json)" = 0 ] && [ "$held" = "blk net" ]; then
	ok "$name: held back where it says, and 0 stage-2 faults"
else
	not_ok "$name: held back: '$held', $(jq .stage2_faults stats.json) stage-2 faults"
fi
"$ip" link delete tap2

# A host with a default route, as passt wants it, and a web server that only it can reach.
"$ip" addr add 127.0.0.1/8 dev lo 2>/dev/null
"$ip" link add d0 type dummy && "$ip" addr add 10.0.2.15/24 dev d0 && "$ip" link set d0 up &&
	"$ip" route add default via 10.0.2.2 || not_ok "no default route"
grep -q '^nobody:' /etc/passwd 2>/dev/null || echo nobody:x:65534:65534::/:/bin/false >>/etc/passwd
grep -q '^nogroup:' /etc/group 2>/dev/null || echo nogroup:x:65534: >>/etc/group
mkdir web
file_bytes=4194304
head -c $file_bytes /dev/urandom >web/file
busybox httpd -f -p 127.0.0.1:8000 -h web &
server=$!
start "user" 1 user,forward=8080:80 "net.mode=user net.address=10.0.2.15/24 net.peer=10.0.2.2"
[ "$(wc -c <web/file)" = $file_bytes ] || not_ok "no file for the guest"
said "fetched $(sha256sum <web/file | cut -d' ' -f1)" "the guest fetches a file from the host"
# Behind the answer's head comes the file.
printf 'GET /twice HTTP/1.0\r\n\r\n' | socat -t 60 - TCP:127.0.0.1:8080 | tail -c $((2 * file_bytes)) >twice
said "serving $(sha256sum <twice | cut -d' ' -f1)" "the host fetches a file from the guest"
passt=$(pidof passt passt.avx2)
# shellcheck disable=SC2086 # one or several
kill -9 $passt
survives passt
left=$(pidof passt passt.avx2)
[ -z "$left" ] && ok "no passt is left" || not_ok "passt is left: $left"
kill $server
finish
