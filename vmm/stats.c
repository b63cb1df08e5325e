/* SPDX-License-Identifier: Apache-2.0 */
/* stats: KVM's binary statistics, found by name. */
#include "vmm/stats.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"

/* Bounds of what is believed of a descriptor table: today's has some 60 entries of 64 bytes and a
 * data block of 4 KiB. */
#define DESCRIPTORS_MAX 1024
#define NAME_BYTES_MAX  256
#define DATA_BYTES_MAX  (64 * KIB)
#define DATA_READ_BYTES (16 * 1024)

#define HISTOGRAM_VCPU "exit_reason_hist"
#define HISTOGRAM_VM   "mn_hit_cause_hist"

static const char *const vcpu_names[VCPU_STAT_COUNT] = {
	[VCPU_STAT_PF_TAKEN] = "pf_taken",
	[VCPU_STAT_PF_FIXED] = "pf_fixed",
	[VCPU_STAT_PF_FAST] = "pf_fast",
	[VCPU_STAT_PF_SPURIOUS] = "pf_spurious",
	[VCPU_STAT_PF_EMULATE] = "pf_emulate",
	[VCPU_STAT_PF_MMIO_SPTE_CREATED] = "pf_mmio_spte_created",
	[VCPU_STAT_EXITS] = "exits",
	[VCPU_STAT_IO_EXITS] = "io_exits",
	[VCPU_STAT_MMIO_EXITS] = "mmio_exits",
	[VCPU_STAT_HALT_EXITS] = "halt_exits",
	[VCPU_STAT_IRQ_EXITS] = "irq_exits",
	[VCPU_STAT_IRQ_WINDOW_EXITS] = "irq_window_exits",
	[VCPU_STAT_NMI_WINDOW_EXITS] = "nmi_window_exits",
	[VCPU_STAT_REQUEST_IRQ_EXITS] = "request_irq_exits",
	[VCPU_STAT_SIGNAL_EXITS] = "signal_exits",
	[VCPU_STAT_HYPERCALLS] = "hypercalls",
	[VCPU_STAT_INSN_EMULATION] = "insn_emulation",
	[VCPU_STAT_IRQ_INJECTIONS] = "irq_injections",
	[VCPU_STAT_TLB_FLUSH] = "tlb_flush",
	[VCPU_STAT_STAGE2_VIOLATIONS] = "stage2_violation_exits",
	[VCPU_STAT_STAGE2_MMIO] = "stage2_mmio_exits",
	[VCPU_STAT_STAGE2_FAULT_NS] = "stage2_fault_ns",
	[VCPU_STAT_VIOLATIONS_AFTER_PREFAULT] = "violations_after_prefault",
	[VCPU_STAT_PF_AROUND] = "pf_around",
};

static const char *const vm_names[VM_STAT_COUNT] = {
	[VM_STAT_PAGES_4K] = "pages_4k",
	[VM_STAT_PAGES_2M] = "pages_2m",
	[VM_STAT_PAGES_1G] = "pages_1g",
	[VM_STAT_REMOTE_TLB_FLUSH] = "remote_tlb_flush",
	[VM_STAT_MN_INVALIDATE] = "mn_invalidate",
	[VM_STAT_MN_HIT] = "mn_invalidate_hit",
	[VM_STAT_MN_SPURIOUS] = "mn_invalidate_spurious",
	[VM_STAT_MN_HIT_NS] = "mn_invalidate_hit_ns",
	[VM_STAT_MN_SPURIOUS_NS] = "mn_invalidate_spurious_ns",
	[VM_STAT_MN_AGE] = "mn_age",
	[VM_STAT_MN_AGE_HIT] = "mn_age_hit",
	[VM_STAT_PREFAULT_4K] = "prefault_4k",
	[VM_STAT_PREFAULT_2M] = "prefault_2m",
	[VM_STAT_PREFAULT_1G] = "prefault_1g",
	[VM_STAT_PREFAULT_PRESENT] = "prefault_present",
	[VM_STAT_PREFAULT_MMIO] = "prefault_mmio",
};

const char *vcpu_stat_name(enum vcpu_stat stat)
{
	return vcpu_names[stat];
}

const char *vm_stat_name(enum vm_stat stat)
{
	return vm_names[stat];
}

/* False where the values would lie beyond what is believed of a data block. */
static bool take_in(struct stats_layout *layout, uint32_t offset, uint64_t values)
{
	uint64_t end;

	if (!num_add(offset, values * sizeof(uint64_t), &end) || end > DATA_BYTES_MAX)
		return false;
	layout->data_bytes = (uint32_t)num_max(layout->data_bytes, end);
	return true;
}

/* Notes where a descriptor's value is, if it is wanted. The name is terminated by the caller. */
static void note(struct stats_layout *layout, const char *const *names, const char *histogram,
		 const struct kvm_stats_desc *desc, const char *name)
{
	if (!strcmp(name, histogram) && desc->size <= STATS_BUCKETS &&
	    take_in(layout, desc->offset, desc->size)) {
		layout->histogram_at = desc->offset;
		layout->histogram_count = desc->size;
	}
	for (uint32_t i = 0; i < layout->count; i++)
		if (!strcmp(names[i], name) && take_in(layout, desc->offset, 1))
			layout->at[i] = desc->offset;
}

static int read_layout(struct stats_layout *layout, int fd, const char *const *names,
		       uint32_t count, const char *histogram)
{
	struct stats_layout found = { .count = count, .histogram_at = STATS_ABSENT };
	struct kvm_stats_header header;
	size_t entry_bytes, table_bytes;
	uint8_t *table;
	int ret = fd_read_at(fd, &header, sizeof(header), 0);

	if (ret)
		return ret;
	if (!header.name_size || header.name_size > NAME_BYTES_MAX ||
	    header.num_desc > DESCRIPTORS_MAX)
		return -EPROTO;
	entry_bytes = sizeof(struct kvm_stats_desc) + header.name_size;
	table_bytes = entry_bytes * header.num_desc;
	table = malloc(table_bytes + 1);
	if (!table)
		return -ENOMEM;
	ret = fd_read_at(fd, table, table_bytes, header.desc_offset);
	if (ret)
		goto out;
	for (uint32_t i = 0; i < count; i++)
		found.at[i] = STATS_ABSENT;
	for (uint32_t i = 0; i < header.num_desc; i++) {
		struct kvm_stats_desc desc;
		char name[NAME_BYTES_MAX + 1];

		memcpy(&desc, table + i * entry_bytes, sizeof(desc));
		memcpy(name, table + i * entry_bytes + sizeof(desc), header.name_size);
		name[header.name_size] = 0;
		note(&found, names, histogram, &desc, name);
	}
	found.data_offset = header.data_offset;
	*layout = found;
out:
	free(table);
	return ret;
}

int stats_layout_vcpu(struct stats_layout *layout, int stats_fd)
{
	return read_layout(layout, stats_fd, vcpu_names, VCPU_STAT_COUNT, HISTOGRAM_VCPU);
}

int stats_layout_vm(struct stats_layout *layout, int stats_fd)
{
	return read_layout(layout, stats_fd, vm_names, VM_STAT_COUNT, HISTOGRAM_VM);
}

bool stats_has(const struct stats_layout *layout, unsigned int stat)
{
	return stat < layout->count && layout->at[stat] != STATS_ABSENT;
}

/* One system call for the whole block, so that the values belong together. */
static int read_block(const struct stats_layout *layout, int fd, uint8_t *data, size_t bytes)
{
	/* The values stet wants lie in the first kilobytes; a kernel that puts them elsewhere has
	 * moved too far. */
	if (layout->data_bytes > bytes)
		return -E2BIG;
	return fd_read_at(fd, data, layout->data_bytes, layout->data_offset);
}

int stats_read(const struct stats_layout *layout, int stats_fd, uint64_t *values)
{
	uint8_t data[DATA_READ_BYTES];
	int ret = read_block(layout, stats_fd, data, sizeof(data));

	if (ret)
		return ret;
	for (uint32_t i = 0; i < layout->count; i++)
		values[i] = stats_has(layout, i) ? load_le64(data + layout->at[i]) : 0;
	return 0;
}

int stats_read_histogram(const struct stats_layout *layout, int stats_fd,
			 uint64_t buckets[STATS_BUCKETS])
{
	uint8_t data[DATA_READ_BYTES];
	int ret;

	if (!layout->count || layout->histogram_at == STATS_ABSENT)
		return -ENOENT;
	ret = read_block(layout, stats_fd, data, sizeof(data));
	if (ret)
		return ret;
	for (uint32_t i = 0; i < STATS_BUCKETS; i++)
		buckets[i] = i < layout->histogram_count
				     ? load_le64(data + layout->histogram_at + i * sizeof(uint64_t))
				     : 0;
	return 0;
}
