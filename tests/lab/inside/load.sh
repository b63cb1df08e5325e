#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# Swaps the modules of a host that runs: load and unload must do what they say, or refuse and change nothing.
# shellcheck source=tests/lab/inside/common.sh
. /share/stage/common.sh

# Here the VM that is there all the time would be in the way; the host has one processor.
kill "$kvm_hold"
wait "$kvm_hold" 2>/dev/null
mkdir -p /lib/modules
[ -e /bin/bash ] || ln -s /usr/bin/bash /bin/bash
cp -r lib-modules "/lib/modules/$(uname -r)"

# Prints which modules are loaded: patched, stock, or none.
loaded()
{
	if [ ! -d /sys/module/kvm_amd ] || [ ! -d /sys/module/kvm ]; then
		echo none
	elif [ -f /sys/module/kvm/version ]; then
		echo patched
	else
		echo stock
	fi
}

# "$4..." must end with exit code $2, having said $3; afterwards the modules must be $1.
swaps()
{
	modules=$1 code=$2 says=$3
	shift 3
	"$@" >said.txt 2>&1
	status=$?
	if [ "$status" = "$code" ] && [ "$(loaded)" = "$modules" ] && grep -q "$says" said.txt; then
		ok "$* ends with $code ($says); the modules are $modules"
	else
		not_ok "$* ended with $status, not $code; the modules are $(loaded), wanted: $modules; wanted words: $says"
		show said.txt "it said"
	fi
}

# Whether pages of 64 KiB are as wanted: $1 is the switch's value.
folios_are()
{
	if [ "$(./folios show)" = "$1" ]; then
		ok "$2: hugepages-64kB is $1"
	else
		not_ok "$2: hugepages-64kB is $(./folios show), not $1"
	fi
}

guest_runs()
{
	if ./stet run -q -m 16M --kernel tiny --cmdline "say=here poweroff" --console file:console.txt >stet.txt 2>&1; then
		ok "a guest runs on modules that are $(loaded)"
	else
		not_ok "no guest runs on modules that are $(loaded)"
		show stet.txt "stet said"
	fi
}

[ "$(loaded)" = stock ] || not_ok "the host has $(loaded) modules at the beginning"
folios_are never "as the host comes"
swaps stock 1 "no kvm.ko in" ./load /share/stage/nothing
swaps stock 1 "is for 0.0.0" ./load /share/stage/other
folios_are never "what was refused changes nothing"
swaps patched 0 "patched kvm-amd is loaded" ./load /share/stage/patched
folios_are madvise "load"
if grep -q "on for memory that asks for them" said.txt; then ok "load says so"; else not_ok "load does not say so"; fi
guest_runs

./kvm_hold &
vm=$!
for _ in $(seq 50); do
	[ "$(cat /sys/module/kvm_amd/refcnt)" -gt 0 ] && break
	sleep 0.1
done
swaps patched 1 "in use, by process $vm:" ./load /share/stage/patched
swaps patched 1 "in use, by process $vm:" ./unload
if kill -0 $vm; then ok "the VM is still there"; else not_ok "the VM is gone"; fi
kill $vm
wait $vm 2>/dev/null

swaps stock 0 "the kernel's own kvm-amd is loaded" ./unload
folios_are never "unload"
guest_runs
# A kvm.ko and a kvm-amd.ko that do not fit each other: the kernel refuses the second.
swaps stock 1 "the stock ones are back" ./load /share/stage/mixed
guest_runs
# What an administrator chose before, or since, stays.
switch=/sys/kernel/mm/transparent_hugepage/hugepages-64kB/enabled
echo always >$switch
swaps patched 0 "patched kvm-amd is loaded" ./load /share/stage/patched
folios_are always "load after a choice"
swaps stock 0 "the kernel's own kvm-amd is loaded" ./unload
folios_are always "unload after it"
echo never >$switch
swaps patched 0 "patched kvm-amd is loaded" ./load /share/stage/patched
echo inherit >$switch
swaps stock 0 "the kernel's own kvm-amd is loaded" ./unload
folios_are inherit "unload after a choice"
echo never >$switch
./folios off
folios_are never "off twice"
# Files that are not what folios expects: nothing is written, or it fails in words.
folios_of()
{
	wanted=$1
	shift
	printf '%s' "$1" >/tmp/switch
	before=$(cat /tmp/switch)
	STET_FOLIOS_SWITCH=/tmp/switch STET_FOLIOS_MARK=/tmp/mark/folios ./folios on >said.txt 2>&1
	status=$?
	if [ "$status $(cat /tmp/switch)" = "$wanted" ] && [ ! -e /tmp/mark/folios ] &&
		{ [ "$status" = 0 ] || grep -q "folios: cannot write 'madvise' to /tmp/switch" said.txt; }; then
		ok "folios on with '$before' ends with $status"
	else
		not_ok "folios on with '$before': $status, $(cat /tmp/switch)"
		show said.txt "it said"
	fi
}
for text in '' '[' '[]' 'never' '[never' '[NEVER]' '[never-ever]' 'always [sometimes] never' '[madvise] never' '[always]' '[inherit]'; do
	folios_of "0 $text" "$text"
done
folios_of "1 madvise" "always [never]"
for switch in /nowhere/enabled /tmp; do
	if STET_FOLIOS_SWITCH=$switch STET_FOLIOS_MARK=/tmp/mark/folios ./folios on >said.txt 2>&1 && [ ! -s said.txt ] &&
		[ "$(STET_FOLIOS_SWITCH=$switch ./folios show)" = missing ] && [ ! -e /tmp/mark/folios ]; then
		ok "folios on with $switch does nothing"
	else
		not_ok "folios on with $switch"
		show said.txt "it said"
	fi
done
./folios frob 2>/dev/null
if [ $? = 2 ]; then ok "folios frob is wrong usage"; else not_ok "folios frob is no wrong usage"; fi
./kvm_hold &
kvm_hold=$!
finish
