/* SPDX-License-Identifier: Apache-2.0 */
/* kvm: each KVM ioctl wrapped once. Functions return 0 (or a value) or negative errno; EINTR is
 * retried where that is safe. */
#ifndef VMM_KVM_H
#define VMM_KVM_H

#include <linux/kvm.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* What the headers of Debian 12 (6.1) do not have yet. */
#ifndef KVM_CAP_PRE_FAULT_MEMORY
#define KVM_CAP_PRE_FAULT_MEMORY 236
struct kvm_pre_fault_memory {
	__u64 gpa;
	__u64 size;
	__u64 flags;
	__u64 padding[5];
};
#define KVM_PRE_FAULT_MEMORY _IOWR(KVMIO, 0xd5, struct kvm_pre_fault_memory)
#endif
#ifndef KVM_X86_QUIRK_SLOT_ZAP_ALL
#define KVM_X86_QUIRK_SLOT_ZAP_ALL (1 << 7)
#endif
#ifndef KVM_CAP_VM_DISABLE_NX_HUGE_PAGES
#define KVM_CAP_VM_DISABLE_NX_HUGE_PAGES 220
#endif
#ifndef KVM_EXIT_MEMORY_FAULT
#define KVM_EXIT_MEMORY_FAULT 39
#endif

#define KVM_CPUID_ENTRIES_MAX 256

/* Opens /dev/kvm and checks the API version. Its descriptor, or negative errno with what to do
 * (-ENOENT, -EACCES, -EINVAL). */
int kvm_open(struct error *error);

int kvm_create_vm(int kvm_fd);
int kvm_vcpu_mmap_bytes(int kvm_fd);
/* The answer to KVM_CHECK_EXTENSION; 0 where the kernel does not know it. */
int kvm_check(int fd, int capability);
int kvm_enable_cap(int fd, uint32_t capability, uint64_t argument);

/* Entries the host supports, in *cpuid (room for KVM_CPUID_ENTRIES_MAX; nent is set). */
int kvm_supported_cpuid(int kvm_fd, struct kvm_cpuid2 *cpuid);

int kvm_create_irqchip(int vm_fd);
int kvm_create_pit(int vm_fd);
int kvm_irq_line(int vm_fd, uint32_t gsi, bool level);
/* A message-signalled interrupt, delivered at once, from any thread. */
int kvm_signal_msi(int vm_fd, uint64_t address, uint32_t data);
/* From now on a guest's write that fits doorbell signals its descriptor and does not leave the
 * kernel (KVM API document, 4.59). */
int kvm_ioeventfd(int vm_fd, const struct kvm_ioeventfd *doorbell);
/* From now on writes in the zone wait in the VM's ring (KVM API document, 4.116). */
int kvm_defer_writes(int vm_fd, const struct kvm_coalesced_mmio_zone *zone);
int kvm_set_slot(int vm_fd, uint32_t slot, uint64_t gpa, uint64_t bytes, void *host);
int kvm_create_vcpu(int vm_fd, uint32_t id);
/* The binary statistics' descriptor of a VM or vCPU (KVM API document, 4.133). */
int kvm_stats_fd(int vm_or_vcpu_fd);

int kvm_set_cpuid(int vcpu_fd, const struct kvm_cpuid2 *cpuid);
int kvm_set_msr(int vcpu_fd, uint32_t index, uint64_t value);
int kvm_tsc_khz(int vcpu_fd);
int kvm_get_regs(int vcpu_fd, struct kvm_regs *regs);
int kvm_set_regs(int vcpu_fd, const struct kvm_regs *regs);
int kvm_get_sregs(int vcpu_fd, struct kvm_sregs *sregs);
int kvm_set_sregs(int vcpu_fd, const struct kvm_sregs *sregs);
/* The signal mask that holds inside KVM_RUN only. */
int kvm_set_signal_mask(int vcpu_fd, const sigset_t *mask);
/* Not retried: -EINTR says that a signal is pending. */
int kvm_run(int vcpu_fd);

/*
 * Maps [gpa, gpa + bytes) into stage 2 as a read fault would (KVM_PRE_FAULT_MEMORY); goes on until
 * all is mapped. 0; -ENOENT where there is no RAM (the MMIO entry of that page is then installed,
 * which is what a caller wants for a device window); -EOPNOTSUPP where this host cannot.
 */
int kvm_prefault(int vcpu_fd, uint64_t gpa, uint64_t bytes);

/*
 * The same for several ranges at once, with stet's patches to KVM (tools/host-kernel): populates
 * the host's page tables for write as well, any thread, without a vCPU. Pages without RAM get their
 * MMIO entry and are no error. kvm_prefault_vm_works() says whether the kernel behind /dev/kvm has
 * it.
 */
struct stet_kvm_range;
bool kvm_prefault_vm_works(int kvm_fd);
int kvm_prefault_vm(int vm_fd, const struct stet_kvm_range *ranges, uint32_t count);

#endif
