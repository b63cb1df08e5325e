#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# First process of a guest that tries its network, as its kernel's command line says, and tells the console: "@NAME VALUE".
#   net.mode=tap|user  against ping and iperf3 on the host, or against a web server behind passt and as one
#   net.address=A/N    its own address                net.peer=A     the host's
#   net.streams=N      of iperf3 at a time
# Then it waits until the link is down, says that it is still there, and powers off.
export PATH=/bin:/usr/bin
/bin/busybox mkdir -p /proc /sys /dev /tmp
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mount -t tmpfs tmp /tmp

say()
{
	echo "@$*"
}

# Prints the value of NAME=VALUE on the kernel's command line.
word()
{
	tr ' ' '\n' </proc/cmdline | sed -n "s/^$1=//p"
}

carrier()
{
	cat /sys/class/net/eth0/carrier 2>/dev/null
}

# How many of eth0's receive queues had an interrupt since the start.
queues_used()
{
	awk '/-input/ { sum = 0; for (i = 2; $i ~ /^[0-9]+$/; i++) sum += $i; if (sum) used++ } END { print used + 0 }' /proc/interrupts
}

try_tap()
{
	ping -c 3 -W 10 "$peer" >/tmp/ping && say "ping answered"
	iperf3 -c "$peer" -n 16M -P "$(word net.streams)" >/tmp/sent 2>&1 && say "iperf3 sent"
	iperf3 -c "$peer" -n 16M -P "$(word net.streams)" -R >/tmp/received 2>&1 && say "iperf3 received"
	say "queues $(find /sys/class/net/eth0/queues -name 'rx-*' | wc -l)"
	say "queues_used $(queues_used)"
}

try_user()
{
	ip route add default via "$peer"
	wget -q -O /tmp/fetched "http://$peer:8000/file" && say "fetched $(sha256sum </tmp/fetched | cut -d' ' -f1)"
	cat /tmp/fetched /tmp/fetched >/tmp/twice
	httpd -p 80 -h /tmp && say "serving $(sha256sum </tmp/twice | cut -d' ' -f1)"
}

peer=$(word net.peer)
ip link set lo up
ip addr add "$(word net.address)" dev eth0
ip link set eth0 up
for _ in $(seq 50); do
	[ "$(carrier)" != 1 ] || break
	usleep 100000
done
"try_$(word net.mode)"
ping "$peer" >/dev/null 2>&1 &
say "ready"
for _ in $(seq 600); do
	[ "$(carrier)" = 1 ] || break
	usleep 100000
done
[ "$(carrier)" = 1 ] || say "link down"
sleep 1
say "alive"
poweroff -f
