/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inject_once: sends one interrupt to a guest without an operating system whose handler counts its
 * calls, keeps interrupts off and takes many of the host's ticks. Prints "delivered N".
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define GUEST_BYTES 0x10000
#define VECTOR      0x20
#define MAIN        0x1000
#define HANDLER     0x1100
#define COUNT       0x2000
#define STACK       0x8000
#define PORT        0x10

#define APIC_SPURIOUS 0xf0

#define FLAGS_RESERVED  0x2
#define FLAGS_INTERRUPT 0x200

/* Real mode. What the delivery and the handler need is touched first, so that neither exits. */
static void write_guest(uint8_t *memory)
{
	static const uint8_t main_code[] = {
		0x66, 0x83, 0x06, 0x00, 0x20, 0x00, /* add dword [COUNT], 0 */
		0xa1, 0x00, 0x00,                   /* mov ax, [0] */
		0x50,                               /* push ax */
		0xe6, PORT,                         /* out PORT, al */
		0xeb, 0xfe,                         /* jmp to itself */
	};
	static const uint8_t handler_code[] = {
		0x66, 0xff, 0x06, 0x00, 0x20,       /* inc dword [COUNT] */
		0x66, 0xb9, 0x00, 0x00, 0x00, 0x02, /* mov ecx, 0x2000000 */
		0x66, 0x49,                         /* dec ecx */
		0x75, 0xfc,                         /* jnz back */
		0xe6, PORT,                         /* out PORT, al */
	};
	const uint16_t entry[] = { HANDLER, 0 };

	memcpy(memory + MAIN, main_code, sizeof(main_code));
	memcpy(memory + HANDLER, handler_code, sizeof(handler_code));
	memcpy(memory + VECTOR * sizeof(entry), entry, sizeof(entry));
}

/* At the first instruction, the APIC switched on. 0, or -1 with errno set. */
static int set_state(int vcpu)
{
	const uint32_t on = 0x1ff;
	struct kvm_regs regs = { .rip = MAIN, .rsp = STACK, .rflags = FLAGS_RESERVED };
	struct kvm_lapic_state apic;
	struct kvm_sregs sregs;

	if (ioctl(vcpu, KVM_GET_SREGS, &sregs) || ioctl(vcpu, KVM_GET_LAPIC, &apic))
		return -1;
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	memcpy(apic.regs + APIC_SPURIOUS, &on, sizeof(on));
	if (ioctl(vcpu, KVM_SET_SREGS, &sregs) || ioctl(vcpu, KVM_SET_LAPIC, &apic))
		return -1;
	return ioctl(vcpu, KVM_SET_REGS, &regs);
}

/* The guest writes to the port; then it is interrupted, and writes again in the handler. */
static int interrupt(int vm, int vcpu)
{
	struct kvm_msi message = { .address_lo = 0xfee00000, .data = VECTOR };
	struct kvm_regs regs;

	if (ioctl(vcpu, KVM_RUN, 0) || ioctl(vcpu, KVM_GET_REGS, &regs))
		return -1;
	regs.rflags |= FLAGS_INTERRUPT;
	if (ioctl(vcpu, KVM_SET_REGS, &regs) || ioctl(vm, KVM_SIGNAL_MSI, &message) != 1)
		return -1;
	return ioctl(vcpu, KVM_RUN, 0);
}

int main(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int vm = ioctl(kvm, KVM_CREATE_VM, 0);
	uint8_t *memory =
		mmap(NULL, GUEST_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region region = {
		.memory_size = GUEST_BYTES,
		.userspace_addr = (uintptr_t)memory,
	};
	uint32_t count;
	int vcpu;

	if (vm < 0 || memory == MAP_FAILED || ioctl(vm, KVM_CREATE_IRQCHIP) ||
	    ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region)) {
		perror("inject_once: a VM");
		return 1;
	}
	write_guest(memory);
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	if (vcpu < 0 || set_state(vcpu) || interrupt(vm, vcpu)) {
		perror("inject_once: a vCPU");
		return 1;
	}
	memcpy(&count, memory + COUNT, sizeof(count));
	printf("delivered %u\n", count);
	return 0;
}
