/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvm_hold: keeps a VM without vCPUs open until it is killed. KVM changes its own code when a
 * host's first VM comes and its last one goes (preempt notifiers), which an emulator with several
 * processors does not always survive.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(void)
{
	int kvm = open("/dev/kvm", O_RDWR);

	if (kvm < 0 || ioctl(kvm, KVM_CREATE_VM, 0) < 0) {
		perror("kvm_hold");
		return 1;
	}
	for (;;)
		pause();
}
