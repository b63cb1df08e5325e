/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvm_hold: keeps a VM with a vCPU that never runs, until it is killed. KVM patches its own code
 * when a host's first VM comes and its last one goes (preempt notifiers), and when the first local
 * APIC is switched off by software and the last one on (each vCPU begins switched off). An emulator
 * with several processors does not always survive that; with this VM there it does not happen.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(void)
{
	int kvm = open("/dev/kvm", O_RDWR);
	int vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);

	if (vm < 0 || ioctl(vm, KVM_CREATE_IRQCHIP, 0) < 0 || ioctl(vm, KVM_CREATE_VCPU, 0) < 0) {
		perror("kvm_hold");
		return 1;
	}
	for (;;)
		pause();
}
