/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Says whether this host's KVM can do what zero stage-2 faults need, and runs a guest of one
 * instruction on it. Prints "NAME VALUE" lines; exits 1 when /dev/kvm does not work.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define CAP_PRE_FAULT_MEMORY 236 /* KVM_CAP_PRE_FAULT_MEMORY, Linux 6.11 */
#define GUEST_BYTES          0x1000
#define CODE_GPA             0x1000

/* Runs one hlt in real mode at CODE_GPA; returns the exit reason or -1. */
static int run_hlt(int vm)
{
	struct kvm_userspace_memory_region region = { 0 };
	struct kvm_sregs sregs;
	struct kvm_regs regs = { .rip = 0, .rflags = 2 };
	struct kvm_run *run;
	unsigned char *memory;
	int vcpu;

	memory = mmap(NULL, GUEST_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return -1;
	memory[0] = 0xf4;
	region.guest_phys_addr = CODE_GPA;
	region.memory_size = GUEST_BYTES;
	region.userspace_addr = (unsigned long)memory;
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	if (vcpu < 0 || ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region))
		return -1;
	run = mmap(NULL, sizeof(*run), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED || ioctl(vcpu, KVM_GET_SREGS, &sregs))
		return -1;
	sregs.cs.base = CODE_GPA;
	sregs.cs.selector = CODE_GPA >> 4;
	if (ioctl(vcpu, KVM_SET_SREGS, &sregs) || ioctl(vcpu, KVM_SET_REGS, &regs))
		return -1;
	if (ioctl(vcpu, KVM_RUN, 0))
		return -1;
	return (int)run->exit_reason;
}

int main(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm;

	if (kvm < 0) {
		perror("/dev/kvm");
		return 1;
	}
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0) {
		perror("KVM_CREATE_VM");
		return 1;
	}
	printf("pre_fault_memory %d\n", ioctl(vm, KVM_CHECK_EXTENSION, CAP_PRE_FAULT_MEMORY));
	printf("hlt_exit %d\n", run_hlt(vm) == KVM_EXIT_HLT);
	return 0;
}
