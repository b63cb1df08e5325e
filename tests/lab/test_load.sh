#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/host-kernel/load and unload swap the KVM modules of a host, or refuse.
set -euo pipefail
# shellcheck source=tests/lab/lib.sh
. "$(dirname "$0")/lib.sh"

make_stage
stage_stet
stage_tiny
stage_modules
stage_kernel 6.12-cloud
version=$(basename "$tree"/lib/modules/*)

# What a host has of its own.
own=$tree/lib/modules/$version
mkdir -p "$stage/lib-modules/kernel/arch/x86" "$stage/lib-modules/kernel/virt"
cp -r "$own/kernel/arch/x86/kvm" "$stage/lib-modules/kernel/arch/x86/"
cp -r "$own/kernel/virt/lib" "$stage/lib-modules/kernel/virt/"
cp "$own"/modules.builtin* "$own"/modules.order "$stage/lib-modules/" 2>/dev/null || true
mkdir -p "$work/root/lib/modules"
ln -s "$stage/lib-modules" "$work/root/lib/modules/$version"
PATH=$PATH:/usr/sbin:/sbin depmod -b "$work/root" "$version" || die "depmod fails"

cp "$root"/tools/host-kernel/{load,unload,folios,modules.sh} "$stage/"
mkdir "$stage"/{nothing,patched,mixed,other}
# shellcheck disable=SC2154 # set by stage_modules
cp "$modules"/{kvm,kvm-amd}.ko "$stage/patched/"
cp "$modules/kvm.ko" "$stage/mixed/"
xz -dc "$own/kernel/arch/x86/kvm/kvm-amd.ko.xz" >"$stage/mixed/kvm-amd.ko" 2>/dev/null ||
	cp "$own/kernel/arch/x86/kvm/kvm-amd.ko" "$stage/mixed/"
# The same for another kernel.
for module in kvm kvm-amd; do
	sed "s/vermagic=$version/vermagic=0.0.0${version:5}/" "$modules/$module.ko" >"$stage/other/$module.ko"
done

tools=()
for tool in bash id grep cat cut sort paste find modinfo modprobe insmod rmmod dirname mktemp xz head rm uname; do
	tools+=(--tool "$tool")
done
run_inside load.sh --cpus 1 --memory 1G --time-limit 120 "${tools[@]}"
