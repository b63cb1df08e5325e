/* SPDX-License-Identifier: Apache-2.0 */
/* causes: who took guest memory out of stage 2, by what event, and what to do about it. */
#include "vmm/causes.h"

#include <stddef.h>

#include "base/num.h"

static const struct {
	const char *name, *remedy;
} whos[] = {
	[STET_KVM_MN_BY_SELF] = { "vmm", NULL },
	[STET_KVM_MN_BY_NUMA] = { "numa-balancing",
				  "sysctl kernel.numa_balancing=0, or give guest memory a policy "
				  "(mbind, as stet does)" },
	[STET_KVM_MN_BY_KHUGEPAGED] = { "khugepaged",
					"populate guest memory as huge pages from the start: "
					"--backing hugetlb-2M, or thp with --prefault on" },
	[STET_KVM_MN_BY_KCOMPACTD] = { "kcompactd",
				       "--backing hugetlb-2M, or sysctl "
				       "vm.compact_unevictable_allowed=0 with locked memory" },
	[STET_KVM_MN_BY_KSM] = { "ksm", "echo 2 > /sys/kernel/mm/ksm/run, or do not mark guest "
					"memory mergeable" },
	[STET_KVM_MN_BY_KSWAPD] = { "kswapd",
				    "the host is short of memory: lock guest memory (ulimit -l) or use "
				    "--backing hugetlb-2M" },
	[STET_KVM_MN_BY_RECLAIM] = { "reclaim",
				     "the host is short of memory: lock guest memory (ulimit -l) or use "
				     "--backing hugetlb-2M" },
	[STET_KVM_MN_BY_OTHER_TASK] = { "other-process",
					"look for writers of /proc/sys/vm/compact_memory, move_pages, "
					"process_madvise or file truncation; --backing hugetlb-2M is "
					"out of reach of compaction" },
	[STET_KVM_MN_BY_OTHER_KTHREAD] = { "other-kthread",
					   "trace kvm:kvm_unmap_hva_range to see which; --backing "
					   "hugetlb-2M is out of reach of most" },
};

static const struct {
	const char *name, *remedy; /* the remedy where the VMM did it itself */
} events[] = {
	[STET_KVM_MN_UNMAP] = { "unmap",
				"the VMM unmapped or moved guest memory: do that before the "
				"guest runs" },
	[STET_KVM_MN_CLEAR] = { "clear",
				"the VMM gave guest memory back (MADV_DONTNEED, a balloon) or the kernel "
				"replaced its pages: map it again, on huge-page boundaries" },
	[STET_KVM_MN_PROTECTION_VMA] = { "protection",
					 "do not mprotect guest memory or use userfaultfd "
					 "write protection on it" },
	[STET_KVM_MN_PROTECTION_PAGE] = { "protection-page",
					  "the VMM forked: MADV_DONTFORK on guest memory, or posix_spawn" },
	[STET_KVM_MN_SOFT_DIRTY] = { "soft-dirty", "nobody may write /proc/PID/clear_refs" },
	[STET_KVM_MN_RELEASE] = { "release", "the VMM ended" },
	[STET_KVM_MN_MIGRATE] = { "device-migrate",
				  "keep device drivers from migrating guest memory" },
	[STET_KVM_MN_EXCLUSIVE] = { "device-exclusive",
				    "keep device drivers from claiming guest memory" },
};

const char *cause_who(unsigned int who)
{
	return who < ARRAY_SIZE(whos) ? whos[who].name : "other";
}

const char *cause_event(unsigned int event)
{
	return event < ARRAY_SIZE(events) ? events[event].name : "other";
}

const char *cause_remedy(unsigned int who, unsigned int event)
{
	if (who < ARRAY_SIZE(whos) && whos[who].remedy)
		return whos[who].remedy;
	if (who == STET_KVM_MN_BY_SELF && event < ARRAY_SIZE(events))
		return events[event].remedy;
	return "trace kvm:kvm_unmap_hva_range to see who it is";
}
