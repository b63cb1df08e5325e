/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_x86: what processor the guest sees (CPUID), and the state it starts in (system registers,
 * MSRs). */
#ifndef VMM_CPU_X86_H
#define VMM_CPU_X86_H

#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "boot/boot.h"
#include "vmm/kvm.h"

/* One CPUID table for all vCPUs; the few fields that hold a vCPU's own id are filled in for each.
 * Room for what stet adds. */
#define CPU_CPUID_ENTRIES_MAX (KVM_CPUID_ENTRIES_MAX + 8)

struct cpu_model {
	uint32_t vcpu_count;
	bool intel;              /* else AMD, or one of its kin */
	uint32_t id_bits;        /* bits of an APIC id that number the cores */
	struct kvm_cpuid2 cpuid; /* its entries follow: room for CPU_CPUID_ENTRIES_MAX */
};

/*
 * Makes the model from what the host supports: cores of one socket, x2APIC, TSC deadline timer, the
 * TSC's and APIC timer's frequencies (tsc_khz, 0 where unknown), no PMU, no nested virtualization.
 * The caller frees *model.
 */
int cpu_model_create(struct cpu_model **model, int kvm_fd, uint32_t vcpu_count, uint32_t tsc_khz,
		     struct error *error);

/* KVM_SET_CPUID2. Must come before stage 2 is prefaulted (its depth may depend on it). */
int cpu_set_cpuid(struct cpu_model *model, int vcpu_fd, uint32_t id, struct error *error);

/*
 * Registers for the first instruction: vCPU 0 as image's protocol says (Linux/x86 boot protocol
 * section "64-bit boot protocol", or PVH), the others as the architecture does (waiting for INIT
 * and SIPI). All start with their APIC in x2APIC mode.
 */
int cpu_set_state(int vcpu_fd, uint32_t id, const struct boot_image *image, struct error *error);

/* Appends the registers, lines of text: for the report of a crash. */
void cpu_dump(int vcpu_fd, uint32_t id, struct text *text);

#endif
