/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR Apache-2.0 */
/*
 * stet_kvm.h: what stet's KVM patch series and its users agree on. The build copies this file to
 * include/uapi/linux/ of the patched source; programs include it from here.
 *
 * Everything is private: ioctl numbers from 0xf0 and capabilities from 0x50460000, which mainline
 * does not use. A stock kernel answers 0 to KVM_CHECK_EXTENSION and ENOTTY to the ioctl. Statistics
 * have no number at all: they are found by name in KVM's binary statistics descriptors.
 */
#ifndef STET_KVM_H
#define STET_KVM_H

#include <linux/types.h>
#include <linux/ioctl.h>

/*
 * Capabilities, for KVM_CHECK_EXTENSION on /dev/kvm and on a VM.
 *
 * FIXES         bits STET_KVM_FIX_*: which defects of KVM_PRE_FAULT_MEMORY are repaired.
 * PREFAULT_VM   bits STET_KVM_PREFAULT_*: the flags STET_KVM_PREFAULT_VM accepts.
 * FAULT_AROUND  the largest number of pages; KVM_ENABLE_CAP on a VM with args[0] = 0 or 1 (map the
 *               faulting page only) or a power of two up to that number. KVM's default: none in the
 *               TDP MMU, 8 in the shadow MMU; the setting replaces both.
 * DIRTY_PREMAP  1; KVM_ENABLE_CAP on a VM with args[0] = 1 (on) or 0 (off, the default).
 */
#define STET_KVM_CAP_FIXES 0x50460000
#define STET_KVM_CAP_PREFAULT_VM 0x50460001
#define STET_KVM_CAP_FAULT_AROUND 0x50460002
#define STET_KVM_CAP_DIRTY_PREMAP 0x50460003

#define STET_KVM_FIX_OBSOLETE_ROOT (1 << 0)
#define STET_KVM_FIX_SLOT_IN_FLUX (1 << 1)
#define STET_KVM_FIX_PRESENT_KEPT (1 << 2)

#define STET_KVM_FAULT_AROUND_MAX 512

/*
 * STET_KVM_PREFAULT_VM, an ioctl of the VM: map ranges of guest memory in KVM's page tables.
 *
 * Ranges are taken in order. The call is its own continuation: next_range and next_gpa say where to
 * begin (0, 0 for a new call) and are updated, like the counters, whatever the result. After EINTR
 * or EAGAIN the same structure is passed again.
 */
#define STET_KVM_PREFAULT_WRITE (1 << 0) /* populate and break copy-on-write in the host first */
#define STET_KVM_PREFAULT_ACCESSED (1 << 1) /* mark accessed: first touch sets no bit */
#define STET_KVM_PREFAULT_MMIO (1 << 2) /* a hole is not an error but gets its MMIO entry */
#define STET_KVM_PREFAULT_SMM (1 << 3) /* fill the tables of system management mode as well */

#define STET_KVM_PREFAULT_RANGES_MAX 512

struct stet_kvm_range {
	__u64 gpa; /* bytes, multiple of 4096 */
	__u64 size; /* bytes, multiple of 4096, not 0 */
};

struct stet_kvm_prefault {
	__u32 flags; /* in: STET_KVM_PREFAULT_* */
	__u32 nr_ranges; /* in: 1 to STET_KVM_PREFAULT_RANGES_MAX */
	__u64 ranges; /* in: address of struct stet_kvm_range[nr_ranges] */
	__u32 next_range; /* in and out: the first range not finished; nr_ranges at the end */
	__u32 pad; /* 0 */
	__u64 next_gpa; /* in and out: where in that range; 0 is its beginning */
	__u64 mapped_4k; /* out, added to: entries made, by page size */
	__u64 mapped_2m;
	__u64 mapped_1g;
	__u64 present; /* out, added to: entries found as asked for */
	__u64 mmio; /* out, added to: MMIO entries made or found */
	__u64 reserved[6]; /* 0 */
};

#define STET_KVM_PREFAULT_VM _IOWR(0xAE, 0xf0, struct stet_kvm_prefault)

/*
 * Bucket of the VM statistic mn_hit_cause_hist: who * STET_KVM_MN_EVENTS + event. An event is the
 * kernel's enum mmu_notifier_event; the last column takes what a newer kernel may add.
 */
#define STET_KVM_MN_EVENTS 16
#define STET_KVM_MN_UNMAP 0 /* munmap, mremap */
#define STET_KVM_MN_CLEAR 1 /* page table entries dropped: MADV_DONTNEED, migration, reclaim ... */
#define STET_KVM_MN_PROTECTION_VMA 2 /* mprotect, NUMA balancing, userfaultfd write protection */
#define STET_KVM_MN_PROTECTION_PAGE 3 /* copy-on-write protection by fork, page_mkclean */
#define STET_KVM_MN_SOFT_DIRTY 4 /* /proc/PID/clear_refs */
#define STET_KVM_MN_RELEASE 5
#define STET_KVM_MN_MIGRATE 6 /* device memory */
#define STET_KVM_MN_EXCLUSIVE 7 /* device memory */

#define STET_KVM_MN_WHOS 16
#define STET_KVM_MN_BY_SELF 0 /* a thread of the VMM: a system call or a page fault of its own */
#define STET_KVM_MN_BY_NUMA 1 /* NUMA balancing's scan, in a thread of the VMM */
#define STET_KVM_MN_BY_KHUGEPAGED 2
#define STET_KVM_MN_BY_KCOMPACTD 3
#define STET_KVM_MN_BY_KSM 4
#define STET_KVM_MN_BY_KSWAPD 5
#define STET_KVM_MN_BY_RECLAIM 6 /* direct reclaim or compaction, whoever allocates */
#define STET_KVM_MN_BY_OTHER_TASK 7 /* another process: compact_memory, move_pages, truncation ... */
#define STET_KVM_MN_BY_OTHER_KTHREAD 8

/*
 * Bucket of the vCPU statistic exit_reason_hist. VMX: the basic exit reason. SVM: the exit code up to
 * 0xef; 0x400 (nested page fault) to 0x40e become 0xf0 to 0xfe. Anything else: 0xff.
 */
#define STET_KVM_EXIT_REASONS 256
#define STET_KVM_EXIT_SVM_NPF 0xf0
#define STET_KVM_EXIT_OTHER 0xff

#endif
