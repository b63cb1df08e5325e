#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Devices that cannot be had give one clear line and exit code 1 or 2, before a vCPU runs.
set -u
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

# bad NAME STATUS TEXT OPTION...: one line "stet: ..." that contains TEXT, nothing else.
bad()
{
	local name=$1 want=$2 text=$3
	shift 3
	run run -m 16M -k "$tiny" "$@"
	if [ "$status" != "$want" ] || [ -s "$out" ] || [ "$(wc -l <"$err")" != 1 ] ||
		! grep -q '^stet: ' "$err" || ! grep -qF -e "$text" "$err"; then
		run_failed "$name (wanted one line with '$text', exit code $want)"
	else
		tap_ok "$name"
	fi
}

# shellcheck disable=SC2154 # set by tap_scratch
image=$tap_dir/image
truncate -s 1M "$image"
: >"$tap_dir/empty"
truncate -s 1000 "$tap_dir/odd"

bad "missing image" 1 "No such file" --disk "$tap_dir/nothing"
bad "empty image" 1 "empty" --disk "$tap_dir/empty"
bad "odd-sized image" 1 "multiple of 512" --disk "$tap_dir/odd"
bad "a directory as image" 1 "directory" --disk "$tap_dir"
bad "neither file nor device" 1 "neither" --disk /dev/zero
bad "the same image twice" 1 "in use" --disk "$image" --disk "$image"
bad "the same id twice" 2 "id=a" --disk "path=$image,id=a" --disk "path=$image,ro,id=a"
bad "serial too long" 1 "longer than 20" --disk "path=$image,id=123456789012345678901"
bad "disk without a path" 2 "path=" --disk "id=x,ro"
bad "unknown key of a disk" 2 "known: path" --disk "path=$image,cache=none"
bad "bad limit" 2 "not a number" --disk "path=$image,iops=-1"
bad "bad bandwidth" 2 "such as 100M" --disk "path=$image,bw=fast"
many=()
for ((i = 0; i < 25; i++)); do
	many+=(--disk "$image")
done
bad "too many disks" 2 "more than 24 times" "${many[@]}"

bad "neither tap nor user" 2 "known: user tap" --net "bridge=br0"
bad "both tap and user" 2 "either" --net "user,tap=tap0"
bad "a tap that does not exist" 1 "ip tuntap add" --net "tap=stet-no-such"
bad "a tap's name too long" 1 "long" --net "tap=a-name-of-more-than-fifteen"
bad "bad MAC" 2 "52:54:00" --net "user,mac=52:54:00"
bad "multicast MAC" 2 "multicast" --net "user,mac=53:54:00:12:34:56"
bad "bad forward" 2 "HOSTPORT" --net "user,forward=0"
bad "forward on a tap" 2 "user" --net "tap=tap0,forward=80"
bad "too many queues" 2 "1 to 32" --net "tap=tap0,queues=33"
bad "MTU too small" 1 "MTU" --net "user,mtu=10"

bad "vsock without a path" 2 "uds=PATH" --vsock cid=3
bad "a path that is empty" 2 "needs a value" --vsock uds=
bad "unknown key of a vsock" 2 "known: uds cid" --vsock "path=$tap_dir/vm.sock"
for cid in 0 1 2 4294967295 4294967296 three -1; do
	bad "CID $cid" 2 "from 3 to 4294967294" --vsock "uds=$tap_dir/vm.sock,cid=$cid"
done
bad "two vsocks" 2 "twice" --vsock "uds=$tap_dir/a.sock" --vsock "uds=$tap_dir/b.sock,cid=4"
bad "a socket path that is too long" 1 "1 to 96 bytes" --vsock "uds=$(printf '%097d' 0)"
bad "a socket path in a folder that does not exist" 1 "No such file" --vsock uds=/nonexistent/vm.sock
bad "a file in the socket's place" 1 "in use" --vsock "uds=$image"
bad "a folder in the socket's place" 1 "in use" --vsock "uds=$tap_dir"
tap_check "what was in the socket's place is still there" test -s "$image" -a -d "$tap_dir"
bad "both consoles on the terminal" 2 "same place" --console tty --hvc tty
bad "unknown place of the virtio console" 2 "file:PATH" --hvc screen
tap_end
