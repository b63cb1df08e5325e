#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The socket of --vsock is there while the VM lives, and no dead one is in the way of the next.
set -u
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
need_kvm "vsock"

# shellcheck disable=SC2154 # set by tap_scratch
socket=$tap_dir/vm.sock

# A VM that waits for its power button, in the background: $vm is the process of stet.
start_vm()
{
	rm -f "$tap_dir/vm"
	"$stet" run -q -m 16M -k "$tiny" -a "say=READY listen" --vsock "uds=$socket" "$@" \
		>"$tap_dir/vm" 2>&1 </dev/null &
	vm=$!
	for _ in $(seq 600); do
		grep -qs READY "$tap_dir/vm" && return
		sleep 0.1
	done
	tap_not_ok "the VM runs" "$(cat "$tap_dir/vm")"
}

# Can somebody connect?
is_live()
{
	python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])' "$socket" 2>/dev/null
}

for transport in pci mmio; do
	start_vm --transport $transport
	tap_check "$transport: the socket is there" is_live
	run run -q -m 16M -k "$tiny" -a "say=x" --vsock "uds=$socket"
	expect "$transport: a second VM does not get it" 1 "$socket is in use"
	tap_check "$transport: and does no harm to it" is_live
	kill -TERM "$vm"
	wait "$vm"
	tap_check "$transport: it is gone with the VM" test ! -e "$socket"
done

start_vm
kill -KILL "$vm"
wait "$vm" 2>/dev/null
tap_check "a VM that is killed leaves it" test -S "$socket"
start_vm
tap_check "the next one replaces it" is_live
kill -TERM "$vm"
wait "$vm"
tap_check "and removes it" test ! -e "$socket"

start_vm
rm "$socket"
echo precious >"$socket"
kill -TERM "$vm"
wait "$vm"
tap_check "what came in its place is left alone" grep -q precious "$socket"
rm "$socket"

run run -q -m 16M -k /nonexistent --vsock "uds=$socket"
expect "a start that fails" 1 "No such file"
tap_check "leaves none" test ! -e "$socket"
tap_end
