# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What load and unload share: which modules, and whether they are in use.

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

# kvm-amd or kvm-intel, as the processor has it.
vendor_module() {
	if grep -qw svm /proc/cpuinfo; then
		echo kvm-amd
	elif grep -qw vmx /proc/cpuinfo; then
		echo kvm-intel
	else
		die "this processor has neither SVM nor VMX"
	fi
}

# Every open VM holds a reference on the vendor module; rmmod would refuse too, but not say why.
refuse_when_in_use() {
	local module count pids
	for module in kvm_amd kvm_intel; do
		count=$(cat "/sys/module/$module/refcnt" 2>/dev/null || echo 0)
		[ "$count" -gt 0 ] || continue
		pids=$(find /proc/[0-9]*/fd -lname '*kvm-vm*' 2>/dev/null | cut -d/ -f3 | sort -nu | paste -sd' ')
		die "$module is in use, by process ${pids:-(unknown)}: stop the virtual machines first"
	done
}

# Never by force.
remove_modules() {
	local module
	for module in kvm_amd kvm_intel kvm; do
		[ ! -d "/sys/module/$module" ] || rmmod "$module" || die "cannot remove $module"
	done
}
