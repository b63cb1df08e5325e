/* SPDX-License-Identifier: Apache-2.0 */
/* kvm: each KVM ioctl wrapped once. */
#include "vmm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tools/host-kernel/include/stet_kvm.h"

static int kvm_ioctl(int fd, unsigned long request, void *argument)
{
	int ret = ioctl(fd, request, argument);

	return ret < 0 ? -errno : ret;
}

/* For ioctls whose argument is a number. */
static int kvm_ioctl_number(int fd, unsigned long request, unsigned long number)
{
	int ret = ioctl(fd, request, number);

	return ret < 0 ? -errno : ret;
}

int kvm_open(struct error *error)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int version;

	if (fd < 0 && errno == ENOENT)
		return error_set(error, ENOENT,
				 "/dev/kvm is not there: load the module kvm_amd or kvm_intel (or "
				 "enable virtualization in the firmware, or nesting on the host)");
	if (fd < 0 && (errno == EACCES || errno == EPERM))
		return error_set(error, EACCES,
				 "no permission to open /dev/kvm: add the user to the group kvm "
				 "(usermod -aG kvm USER) and log in again");
	if (fd < 0)
		return error_set(error, errno, "cannot open /dev/kvm: %s", error_name(errno));
	version = kvm_ioctl_number(fd, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION) {
		close(fd);
		return error_set(error, EINVAL,
				 "/dev/kvm answers API version %d, stet needs %d: this is not KVM",
				 version, KVM_API_VERSION);
	}
	return fd;
}

int kvm_create_vm(int kvm_fd)
{
	int fd;

	do {
		fd = kvm_ioctl_number(kvm_fd, KVM_CREATE_VM, 0);
	} while (fd == -EINTR);
	return fd;
}

int kvm_vcpu_mmap_bytes(int kvm_fd)
{
	return kvm_ioctl_number(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
}

int kvm_check(int fd, int capability)
{
	int ret = kvm_ioctl_number(fd, KVM_CHECK_EXTENSION, (unsigned long)capability);

	return ret < 0 ? 0 : ret;
}

int kvm_enable_cap(int fd, uint32_t capability, uint64_t argument)
{
	struct kvm_enable_cap cap = { .cap = capability, .args = { argument } };

	return kvm_ioctl(fd, KVM_ENABLE_CAP, &cap);
}

int kvm_supported_cpuid(int kvm_fd, struct kvm_cpuid2 *cpuid)
{
	cpuid->nent = KVM_CPUID_ENTRIES_MAX;
	return kvm_ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid);
}

int kvm_create_irqchip(int vm_fd)
{
	return kvm_ioctl_number(vm_fd, KVM_CREATE_IRQCHIP, 0);
}

int kvm_create_pit(int vm_fd)
{
	/* Port 0x61 is answered in the kernel too: calibration loops read it. */
	struct kvm_pit_config config = { .flags = KVM_PIT_SPEAKER_DUMMY };

	return kvm_ioctl(vm_fd, KVM_CREATE_PIT2, &config);
}

int kvm_irq_line(int vm_fd, uint32_t gsi, bool level)
{
	struct kvm_irq_level line = { .irq = gsi, .level = level };

	return kvm_ioctl(vm_fd, KVM_IRQ_LINE, &line);
}

int kvm_signal_msi(int vm_fd, uint64_t address, uint32_t data)
{
	struct kvm_msi msi = {
		.address_lo = (uint32_t)address,
		.address_hi = (uint32_t)(address >> 32),
		.data = data,
	};

	return kvm_ioctl(vm_fd, KVM_SIGNAL_MSI, &msi);
}

int kvm_ioeventfd(int vm_fd, const struct kvm_ioeventfd *doorbell)
{
	return kvm_ioctl(vm_fd, KVM_IOEVENTFD, (void *)doorbell);
}

int kvm_defer_writes(int vm_fd, const struct kvm_coalesced_mmio_zone *zone)
{
	return kvm_ioctl(vm_fd, KVM_REGISTER_COALESCED_MMIO, (void *)zone);
}

int kvm_set_slot(int vm_fd, uint32_t slot, uint64_t gpa, uint64_t bytes, void *host)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = gpa,
		.memory_size = bytes,
		.userspace_addr = (uint64_t)(uintptr_t)host,
	};

	return kvm_ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
}

int kvm_create_vcpu(int vm_fd, uint32_t id)
{
	return kvm_ioctl_number(vm_fd, KVM_CREATE_VCPU, id);
}

int kvm_stats_fd(int vm_or_vcpu_fd)
{
	return kvm_ioctl_number(vm_or_vcpu_fd, KVM_GET_STATS_FD, 0);
}

int kvm_set_cpuid(int vcpu_fd, const struct kvm_cpuid2 *cpuid)
{
	return kvm_ioctl(vcpu_fd, KVM_SET_CPUID2, (void *)cpuid);
}

int kvm_set_msr(int vcpu_fd, uint32_t index, uint64_t value)
{
	_Alignas(struct kvm_msrs)
		uint8_t buffer[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)] = { 0 };
	struct kvm_msrs *msrs = (struct kvm_msrs *)buffer;
	int ret;

	msrs->nmsrs = 1;
	msrs->entries[0] = (struct kvm_msr_entry){ .index = index, .data = value };
	ret = kvm_ioctl(vcpu_fd, KVM_SET_MSRS, msrs);
	if (ret < 0)
		return ret;
	return ret == 1 ? 0 : -EINVAL;
}

int kvm_tsc_khz(int vcpu_fd)
{
	return kvm_ioctl_number(vcpu_fd, KVM_GET_TSC_KHZ, 0);
}

int kvm_get_regs(int vcpu_fd, struct kvm_regs *regs)
{
	return kvm_ioctl(vcpu_fd, KVM_GET_REGS, regs);
}

int kvm_set_regs(int vcpu_fd, const struct kvm_regs *regs)
{
	return kvm_ioctl(vcpu_fd, KVM_SET_REGS, (void *)regs);
}

int kvm_get_sregs(int vcpu_fd, struct kvm_sregs *sregs)
{
	return kvm_ioctl(vcpu_fd, KVM_GET_SREGS, sregs);
}

int kvm_set_sregs(int vcpu_fd, const struct kvm_sregs *sregs)
{
	return kvm_ioctl(vcpu_fd, KVM_SET_SREGS, (void *)sregs);
}

int kvm_set_signal_mask(int vcpu_fd, const sigset_t *mask)
{
	/* The kernel's signal set is 64 bits, the C library's is longer. */
	_Alignas(struct kvm_signal_mask) uint8_t buffer[sizeof(struct kvm_signal_mask) + 8];
	struct kvm_signal_mask *argument = (struct kvm_signal_mask *)buffer;

	argument->len = 8;
	memcpy(argument->sigset, mask, 8);
	return kvm_ioctl(vcpu_fd, KVM_SET_SIGNAL_MASK, buffer);
}

int kvm_run(int vcpu_fd)
{
	return kvm_ioctl_number(vcpu_fd, KVM_RUN, 0);
}

int kvm_prefault(int vcpu_fd, uint64_t gpa, uint64_t bytes)
{
	struct kvm_pre_fault_memory range = { .gpa = gpa, .size = bytes };

	/* The ioctl moves gpa and size past what it has mapped. */
	while (range.size) {
		int ret = kvm_ioctl(vcpu_fd, KVM_PRE_FAULT_MEMORY, &range);

		if (ret == -EINTR || ret == -EAGAIN)
			continue;
		if (ret == -ENOTTY || ret == -EINVAL)
			return -EOPNOTSUPP;
		if (ret < 0)
			return ret;
	}
	return 0;
}

#define PREFAULT_VM_FLAGS (STET_KVM_PREFAULT_WRITE | STET_KVM_PREFAULT_MMIO)

bool kvm_prefault_vm_works(int kvm_fd)
{
	return (kvm_check(kvm_fd, STET_KVM_CAP_PREFAULT_VM) & PREFAULT_VM_FLAGS) ==
	       PREFAULT_VM_FLAGS;
}

int kvm_prefault_vm(int vm_fd, const struct stet_kvm_range *ranges, uint32_t count)
{
	struct stet_kvm_prefault call = {
		.flags = PREFAULT_VM_FLAGS,
		.nr_ranges = count,
		.ranges = (uint64_t)(uintptr_t)ranges,
	};
	int ret;

	/* The call is its own continuation. */
	do {
		ret = kvm_ioctl(vm_fd, STET_KVM_PREFAULT_VM, &call);
	} while (ret == -EINTR || ret == -EAGAIN);
	return ret;
}
