/* SPDX-License-Identifier: Apache-2.0 */
/* stats: KVM's binary statistics, found by name (KVM API document, 4.133 KVM_GET_STATS_FD). */
#ifndef VMM_STATS_H
#define VMM_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What stet reads of a vCPU. The names in the kernel stand in stats.c. */
enum vcpu_stat {
	VCPU_STAT_PF_TAKEN, /* stage-2 faults handed to the MMU: what "stage2_faults" counts */
	VCPU_STAT_PF_FIXED,
	VCPU_STAT_PF_FAST,
	VCPU_STAT_PF_SPURIOUS,
	VCPU_STAT_PF_EMULATE,
	VCPU_STAT_PF_MMIO_SPTE_CREATED,
	VCPU_STAT_EXITS,
	VCPU_STAT_IO_EXITS,
	VCPU_STAT_MMIO_EXITS,
	VCPU_STAT_HALT_EXITS,
	VCPU_STAT_IRQ_EXITS,
	VCPU_STAT_IRQ_WINDOW_EXITS,
	VCPU_STAT_NMI_WINDOW_EXITS,
	VCPU_STAT_REQUEST_IRQ_EXITS,
	VCPU_STAT_SIGNAL_EXITS,
	VCPU_STAT_HYPERCALLS,
	VCPU_STAT_INSN_EMULATION,
	VCPU_STAT_IRQ_INJECTIONS,
	VCPU_STAT_TLB_FLUSH,
	/* With stet's patches to KVM (tools/host-kernel): */
	VCPU_STAT_STAGE2_VIOLATIONS, /* stage-2 faults apart from MMIO: then "stage2_faults" is this
				      */
	VCPU_STAT_STAGE2_MMIO,
	VCPU_STAT_STAGE2_FAULT_NS,
	VCPU_STAT_VIOLATIONS_AFTER_PREFAULT,
	VCPU_STAT_PF_AROUND,
	VCPU_STAT_COUNT,
};

/* What stet reads of a VM. */
enum vm_stat {
	VM_STAT_PAGES_4K,
	VM_STAT_PAGES_2M,
	VM_STAT_PAGES_1G,
	VM_STAT_REMOTE_TLB_FLUSH,
	/* With stet's patches: */
	VM_STAT_MN_INVALIDATE,
	VM_STAT_MN_HIT,
	VM_STAT_MN_SPURIOUS,
	VM_STAT_MN_HIT_NS,
	VM_STAT_MN_SPURIOUS_NS,
	VM_STAT_MN_AGE,
	VM_STAT_MN_AGE_HIT,
	VM_STAT_PREFAULT_4K,
	VM_STAT_PREFAULT_2M,
	VM_STAT_PREFAULT_1G,
	VM_STAT_PREFAULT_PRESENT,
	VM_STAT_PREFAULT_MMIO,
	VM_STAT_COUNT,
};

#define STATS_VALUES_MAX VCPU_STAT_COUNT

/* Where each wanted value lies in the data block. The same for all vCPUs of a kernel; read once. */
struct stats_layout {
	uint64_t data_offset;
	uint32_t data_bytes;
	uint32_t count;
	uint32_t at[STATS_VALUES_MAX]; /* offset in the data block, or STATS_ABSENT */
	/* The one histogram stet reads: of a vCPU its exits by reason, of a VM what hit guest
	 * memory by cause. */
	uint32_t histogram_at; /* STATS_ABSENT: none (a stock kernel) */
	uint32_t histogram_count;
};

#define STATS_ABSENT  UINT32_MAX
#define STATS_BUCKETS 256

/* The kernel's name of a value, which is also its name in the JSON report. */
const char *vcpu_stat_name(enum vcpu_stat stat);
const char *vm_stat_name(enum vm_stat stat);

/* Reads the descriptors behind fd. 0 or negative errno (-EPROTO where they make no sense). Nothing
 * wanted is required to be there. */
int stats_layout_vcpu(struct stats_layout *layout, int stats_fd);
int stats_layout_vm(struct stats_layout *layout, int stats_fd);

/* Reads the values now, with one system call; absent ones are 0. Any thread, at any time. values
 * has room for layout->count. */
int stats_read(const struct stats_layout *layout, int stats_fd, uint64_t *values);

/* The histogram's buckets; -ENOENT where there is none. */
int stats_read_histogram(const struct stats_layout *layout, int stats_fd,
			 uint64_t buckets[STATS_BUCKETS]);

bool stats_has(const struct stats_layout *layout, unsigned int stat);

#endif
