/* SPDX-License-Identifier: Apache-2.0 */
/* cpuid_x86: the CPUID table of the guest (Intel SDM volume 2A CPUID; AMD APM volume 3 appendix E;
 * KVM's cpuid.rst). */
#include <errno.h>
#include <stdlib.h>

#include "base/num.h"
#include "vmm/cpu_x86.h"

#define LEAF_KVM          0x40000000u
#define LEAF_KVM_FEATURES 0x40000001u
#define LEAF_TIMING \
	0x40000010u /* TSC and APIC bus frequency in kHz, as several hypervisors give it */
#define APIC_BUS_KHZ 1000000u /* KVM's APIC timer counts nanoseconds */

#define BIT32(bit) (1u << (bit))

/* CPUID.1 ECX */
#define ECX1_MONITOR          BIT32(3)
#define ECX1_VMX              BIT32(5)
#define ECX1_SMX              BIT32(6)
#define ECX1_PDCM             BIT32(15)
#define ECX1_X2APIC           BIT32(21)
#define ECX1_TSC_DEADLINE     BIT32(24)
#define ECX1_HYPERVISOR       BIT32(31)
#define EDX1_HTT              BIT32(28)
/* CPUID.7.0 EBX */
#define EBX7_SGX              BIT32(2)
#define EBX7_PT               BIT32(25)
/* CPUID.80000001 ECX */
#define ECX81_CMP_LEGACY      BIT32(1)
#define ECX81_SVM             BIT32(2)
#define ECX81_IBS             BIT32(10)
#define ECX81_SKINIT          BIT32(12)
#define ECX81_PERFCTR         (BIT32(23) | BIT32(24) | BIT32(28))
/* KVM features (cpuid.rst) that only cost a guest whose memory is all there: asynchronous page
 * faults. */
#define KVM_FEATURES_ASYNC_PF (BIT32(4) | BIT32(10) | BIT32(14))

static struct kvm_cpuid_entry2 *find(struct cpu_model *model, uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < model->cpuid.nent; i++) {
		struct kvm_cpuid_entry2 *entry = &model->cpuid.entries[i];

		if (entry->function == function && entry->index == index)
			return entry;
	}
	return NULL;
}

/* The entry, made where it is not there yet; NULL when the table is full. */
static struct kvm_cpuid_entry2 *obtain(struct cpu_model *model, uint32_t function, uint32_t index,
				       uint32_t flags)
{
	struct kvm_cpuid_entry2 *entry = find(model, function, index);

	if (entry || model->cpuid.nent == CPU_CPUID_ENTRIES_MAX)
		return entry;
	entry = &model->cpuid.entries[model->cpuid.nent++];
	*entry = (struct kvm_cpuid_entry2){ .function = function, .index = index, .flags = flags };
	return entry;
}

static void drop(struct cpu_model *model, uint32_t function)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < model->cpuid.nent; i++)
		if (model->cpuid.entries[i].function != function)
			model->cpuid.entries[kept++] = model->cpuid.entries[i];
	model->cpuid.nent = kept;
}

static bool is_intel(struct cpu_model *model)
{
	const struct kvm_cpuid_entry2 *entry = find(model, 0, 0);

	return entry && entry->ebx == 0x756e6547; /* "Genu" */
}

static void set_features(struct cpu_model *model)
{
	struct kvm_cpuid_entry2 *entry = find(model, 1, 0);

	if (entry) {
		entry->ecx &= ~(ECX1_MONITOR | ECX1_VMX | ECX1_SMX | ECX1_PDCM);
		entry->ecx |= ECX1_X2APIC | ECX1_TSC_DEADLINE | ECX1_HYPERVISOR;
		entry->ebx = (entry->ebx & 0xff00ffff) | (1u << model->id_bits) << 16;
		if (model->vcpu_count > 1)
			entry->edx |= EDX1_HTT;
	}
	entry = find(model, 7, 0);
	if (entry)
		entry->ebx &= ~(EBX7_SGX | EBX7_PT);
	entry = find(model, 0x80000001, 0);
	if (entry) {
		entry->ecx &= ~(ECX81_SVM | ECX81_IBS | ECX81_SKINIT | ECX81_PERFCTR);
		if (model->vcpu_count > 1 && !model->intel)
			entry->ecx |= ECX81_CMP_LEGACY;
	}
	entry = find(model, LEAF_KVM_FEATURES, 0);
	if (entry)
		entry->eax &= ~KVM_FEATURES_ASYNC_PF;
	drop(model, 0xa);        /* PMU */
	drop(model, 0x12);       /* SGX */
	drop(model, 0x14);       /* processor trace */
	drop(model, 0x8000000a); /* SVM */
	drop(model, 0x80000022); /* performance monitoring version 2 */
}

/* Caches as the host has them, but shared as the guest's topology says: L1 and L2 by a core alone,
 * L3 by the socket. */
static void set_caches(struct cpu_model *model)
{
	uint32_t cores = (1u << model->id_bits) - 1;

	for (uint32_t i = 0; i < model->cpuid.nent; i++) {
		struct kvm_cpuid_entry2 *entry = &model->cpuid.entries[i];
		uint32_t level = (entry->eax >> 5) & 7;
		uint32_t sharing = level >= 3 ? cores : 0;

		if (!(entry->eax & 0x1f))
			continue;
		if (entry->function == 4)
			entry->eax = (entry->eax & 0x3fff) | sharing << 14 | cores << 26;
		else if (entry->function == 0x8000001d)
			entry->eax = (entry->eax & 0x3fff) | sharing << 14;
	}
}

/* Extended topology (leaf 0xb): one thread for each core, all cores in one package. Leaf 0x1f would
 * say the same again. */
static void set_topology(struct cpu_model *model)
{
	bool extended = find(model, 0xb, 0) != NULL;
	struct kvm_cpuid_entry2 *entry;

	drop(model, 0xb);
	drop(model, 0x1f);
	for (uint32_t level = 0; extended && level < 3; level++) {
		entry = obtain(model, 0xb, level, KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
		if (!entry)
			return;
		entry->eax = level == 1 ? model->id_bits : 0;
		entry->ebx = level == 0 ? 1 : level == 1 ? model->vcpu_count : 0;
		entry->ecx = level == 0 ? 0x100 : level == 1 ? 0x201 : level;
	}
	entry = find(model, 0x80000008, 0);
	if (entry && !model->intel)
		entry->ecx = model->id_bits << 12 | (model->vcpu_count - 1);
}

static void set_frequencies(struct cpu_model *model, uint32_t tsc_khz)
{
	struct kvm_cpuid_entry2 *entry = find(model, LEAF_KVM, 0);

	if (!tsc_khz)
		return;
	if (entry)
		entry->eax = LEAF_TIMING;
	entry = obtain(model, LEAF_TIMING, 0, 0);
	if (entry) {
		entry->eax = tsc_khz;
		entry->ebx = APIC_BUS_KHZ;
	}
	if (!model->intel)
		return;
	entry = find(model, 0, 0);
	if (entry)
		entry->eax = (uint32_t)num_max(entry->eax, 0x16);
	entry = obtain(model, 0x15, 0, 0);
	if (entry) {
		/* TSC = ECX * EBX / EAX, with the APIC timer's clock as the crystal in ECX (Hz). */
		entry->eax = APIC_BUS_KHZ;
		entry->ebx = tsc_khz;
		entry->ecx = APIC_BUS_KHZ * 1000;
		entry->edx = 0;
	}
	entry = obtain(model, 0x16, 0, 0);
	if (entry) {
		entry->eax = tsc_khz / 1000;
		entry->ebx = tsc_khz / 1000;
		entry->ecx = 100;
	}
}

int cpu_model_create(struct cpu_model **out, int kvm_fd, uint32_t vcpu_count, uint32_t tsc_khz,
		     struct error *error)
{
	struct cpu_model *model =
		calloc(1, sizeof(*model) + CPU_CPUID_ENTRIES_MAX * sizeof(struct kvm_cpuid_entry2));
	int ret;

	if (!model)
		return error_set(error, ENOMEM, "no memory for the CPUID table");
	model->vcpu_count = vcpu_count;
	while ((1u << model->id_bits) < vcpu_count)
		model->id_bits++;
	ret = kvm_supported_cpuid(kvm_fd, &model->cpuid);
	if (ret) {
		free(model);
		return error_set(error, -ret, "KVM does not say which CPUID it supports: %s",
				 error_name(-ret));
	}
	model->intel = is_intel(model);
	set_features(model);
	set_caches(model);
	set_topology(model);
	set_frequencies(model, tsc_khz);
	*out = model;
	return 0;
}

/* Fields that hold the vCPU's own APIC id. */
static void set_id(struct cpu_model *model, uint32_t id)
{
	for (uint32_t i = 0; i < model->cpuid.nent; i++) {
		struct kvm_cpuid_entry2 *entry = &model->cpuid.entries[i];

		if (entry->function == 1)
			entry->ebx = (entry->ebx & 0x00ffffff) | id << 24;
		else if (entry->function == 0xb)
			entry->edx = id;
		else if (entry->function == 0x8000001e) {
			entry->eax = id;
			entry->ebx = id;
			entry->ecx = 0;
		}
	}
}

int cpu_set_cpuid(struct cpu_model *model, int vcpu_fd, uint32_t id, struct error *error)
{
	int ret;

	set_id(model, id);
	ret = kvm_set_cpuid(vcpu_fd, &model->cpuid);
	if (ret)
		return error_set(error, -ret, "KVM does not take the CPUID of vCPU %u: %s", id,
				 error_name(-ret));
	return 0;
}
