#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# Commands on trees in VMs.
# shellcheck source=tests/lab/inside/common.sh
. /share/stage/common.sh

export STET_KERNEL=/share/stage/vmlinux-small
PATH=$PATH:/share/stage
tree=/tmp/tree
limit_s=150

# Runs a command on the small tree: $status, and files out and err. Options of stet end with --.
in_vm()
{
	status=0
	timeout -s KILL $limit_s stet run --root $tree "$@" >/tmp/out 2>/tmp/err || status=$?
}

failed()
{
	not_ok "$1"
	echo "# exit code $status"
	show /tmp/out "standard output"
	show /tmp/err "standard error"
}

# is NAME STATUS OUT ERR: what the last run gave, byte for byte.
is()
{
	if [ "$status" = "$2" ] && [ "$(cat /tmp/out)" = "$3" ] && [ "$(cat /tmp/err)" = "$4" ]; then
		ok "$1"
	else
		failed "$1 (wanted exit code $2, '$3' and '$4')"
	fi
}

# says NAME STATUS REGEX: the last run ended so and has a line like that on standard error.
says()
{
	if [ "$status" = "$2" ] && grep -qE -e "$3" /tmp/err; then
		ok "$1"
	else
		failed "$1 (wanted exit code $2 and '$3')"
	fi
}

# A tree with one of everything below /t.
make_tree()
{
	mkdir -p $tree/bin $tree/t/dir
	cp /bin/busybox $tree/bin/
	for name in sh cat find sort stat sha256sum sleep stty kill poweroff env pwd echo head du; do
		ln -s busybox $tree/bin/$name
	done
	echo text >$tree/t/file
	chmod 640 $tree/t/file
	chown 1234:567 $tree/t/file
	ln $tree/t/file $tree/t/other-name
	ln -s ../nowhere $tree/t/link
	mkfifo $tree/t/fifo
	mknod $tree/t/device c 1 7
	dd if=/dev/urandom of=$tree/t/random bs=1000 count=3333 2>/dev/null
	dd if=/dev/zero of=$tree/t/sparse bs=1 count=1 seek=20M 2>/dev/null
	echo x >$tree/t/setuid
	chmod 4755 $tree/t/setuid
	touch -h -d '2001-02-03 04:05:06' $tree/t/link
	touch -d '2002-02-03 04:05:06' $tree/t/random
	chmod 1777 $tree/t/dir
	touch -d '2003-02-03 04:05:06' $tree/t/dir
	chown 99 $tree/t/dir
}

# shellcheck disable=SC2016 # for the guest's shell
listing='cd /t && find . | sort | while read -r name; do stat -c "%n %f %u %g %Y %h %s %t:%T" "$name"; done
	cat file random sparse | sha256sum'

readme()
{
	status=0
	timeout -s KILL $limit_s stet run --root / --stats=/tmp/stats --json -- uname -a >/tmp/out 2>/tmp/err || status=$?
	if [ "$status" = 0 ] && grep -qE '^Linux stet 6[^ ]* .*x86_64' /tmp/out && [ ! -s /tmp/err ]; then
		ok "stet run --root / -- uname -a"
	else
		failed "stet run --root / -- uname -a"
	fi
	faults=$(jq .stage2_faults /tmp/stats)
	if [ "$faults" = 0 ]; then
		ok "no stage-2 fault, to the end"
	else
		not_ok "stage-2 faults: '$faults'"
	fi
}

exit_codes()
{
	in_vm -- sh -c 'echo out; echo err >&2; exit 7'
	is "exit code 7, output and errors apart" 7 out err
	in_vm -- no-such-program
	is "not found: 127" 127 "" "stet: cannot run 'no-such-program': No such file or directory"
	in_vm -- /t/file
	is "not executable: 126" 126 "" "stet: cannot run '/t/file': Permission denied"
	# shellcheck disable=SC2016
	in_vm -- sh -c 'kill -SEGV $$'
	is "killed by signal 11: 139" 139 "" ""
	in_vm -- poweroff -f
	says "a machine that the command powers off has no exit code of it" 1 "no exit code of the command"
	in_vm -- sh -c 'echo c >/proc/sysrq-trigger'
	says "a panic is one: 34" 34 "panick"
}

the_tree()
{
	sh -c "$(echo "$listing" | sed "s,cd /t,cd $tree/t,")" >/tmp/expected
	in_vm -- sh -c "$listing"
	if [ "$status" = 0 ] && cmp -s /tmp/expected /tmp/out && [ "$(wc -l </tmp/out)" -ge 11 ]; then
		ok "owners, modes, times, links, special files and contents are the tree's"
	else
		failed "the tree is another one"
		diff /tmp/expected /tmp/out | sed 's/^/#   /'
	fi
	in_vm --memory 64M -- true
	says "too little memory is an error that says how much" 1 "give it at least [0-9]+ MiB"
	in_vm --memory 160M --transport mmio --env A=b --workdir /t/dir -- sh -c 'pwd; echo $A $HOME; [ ! -e /.stet ]'
	is "working directory and environment, with virtio-mmio" 0 "/t/dir
b /root" ""
	status=0
	(cd $tree/t && timeout -s KILL $limit_s stet run --root .. -- pwd) >/tmp/out 2>/tmp/err || status=$?
	is "where stet is in the tree, there the command is" 0 /t ""
}

streams()
{
	dd if=/dev/urandom of=/tmp/big bs=1M count=10 2>/dev/null
	status=0
	timeout -s KILL $limit_s stet run --root $tree -- cat </tmp/big >/tmp/out 2>/tmp/err || status=$?
	if [ "$status" = 0 ] && cmp -s /tmp/big /tmp/out; then
		ok "10 MiB through the command and back, whole"
	else
		: >/tmp/out
		failed "10 MiB did not come back whole"
	fi
	status=0
	echo x | timeout -s KILL $limit_s stet run --root $tree -- cat >/tmp/out 2>/tmp/err || status=$?
	is "standard input from a pipe" 0 x ""
	rm /tmp/big
}

# A shell lets what it starts in the background ignore SIGINT: so on a terminal (pty), where standard input is none.
signals()
{
	if pty expect:ready signal:2 "expect:got it" exit:9 alone -- \
		sh -c 'exec stet run --root "$0" -- sh -c "$1" </dev/null' $tree \
		'trap "echo got it; exit 9" INT; echo ready; while :; do sleep 0.1; done' >/tmp/pty 2>&1; then
		ok "SIGINT reaches the command"
	else
		not_ok "SIGINT does not reach the command"
		show /tmp/pty "pty said" 30
	fi
	if pty expect:ready signal:15 expect:no signal:15 exit:143 alone -- \
		sh -c 'exec stet run --root "$0" -- sh -c "$1" </dev/null' $tree \
		'trap "echo no" TERM; echo ready; while :; do sleep 0.1; done' >/tmp/pty 2>&1; then
		ok "a second SIGTERM ends the VM: 143"
	else
		not_ok "a second SIGTERM does not end the VM"
		show /tmp/pty "pty said" 30
	fi
	left=$(stet_processes)
	if [ -z "$left" ] && ! ls -d /tmp/stet.* >/dev/null 2>&1; then
		ok "nothing is left behind"
	else
		not_ok "left: processes '$left', $(ls -d /tmp/stet.* 2>/dev/null)"
	fi
}

terminal()
{
	# shellcheck disable=SC2016
	if pty 'expect:33 101' raw "send:$(printf '\003')" exit:130 cooked alone -- \
		sh -c 'stty rows 33 cols 101; exec stet run --root "$0" -- sh -c "stty size; exec sleep 1000"' $tree >/tmp/pty 2>&1; then
		ok "a terminal of the same size, and Ctrl-c is a key"
	else
		not_ok "the terminal"
		show /tmp/pty "pty said" 30
	fi
}

debian()
{
	kernel=$(ls debian/boot/vmlinuz-*)
	in_vm -k "$kernel" --rng -- sh -c 'cat /proc/version; echo done'
	if [ "$status" = 0 ] && grep -q "^Linux version ${kernel##*/vmlinuz-}" /tmp/out; then
		ok "Debian's kernel, with modules from beside it"
	else
		failed "Debian's kernel"
	fi
	rm -r debian/lib/modules/*/kernel/net
	sed -i '/vmw_vsock_virtio_transport.ko/d' debian/lib/modules/*/modules.dep
	in_vm -k "$kernel" -- true
	says "a module that is not there is named" 1 "module 'vmw_vsock_virtio_transport' is not in"
}

make_tree
readme
exit_codes
the_tree
streams
signals
terminal
debian
finish
