/* SPDX-License-Identifier: Apache-2.0 */
/* test_stats.c: the statistics: who invalidated what, exits by reason, stage-2 faults, prefault. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/host-kernel/machine.h"

#define RAM    (64ull << 20)
#define CAUSES ((size_t)STET_KVM_MN_WHOS * STET_KVM_MN_EVENTS)

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static uint64_t causes_before[CAUSES], causes_after[CAUSES];

static void causes_read(const struct machine *m, uint64_t *causes)
{
	stat_read(m->vm_stats, "mn_hit_cause_hist", causes, CAUSES);
}

/* How often this cause was seen between the two readings. */
static int64_t cause(unsigned who, unsigned event)
{
	unsigned i = who * STET_KVM_MN_EVENTS + event;

	return (int64_t)(causes_after[i] - causes_before[i]);
}

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return good;
}

static void test_names(void)
{
	static const char *const vm_names[] = {
		"mn_invalidate",
		"mn_invalidate_hit",
		"mn_invalidate_spurious",
		"mn_invalidate_hit_ns",
		"mn_invalidate_spurious_ns",
		"mn_age",
		"mn_age_hit",
		"mn_age_spurious",
		"mn_age_hit_ns",
		"mn_age_spurious_ns",
		"mn_hit_cause_hist",
		"prefault_4k",
		"prefault_2m",
		"prefault_1g",
		"prefault_present",
		"prefault_mmio",
		"tables_recovered",
	};
	static const char *const cpu_names[] = {
		"exit_reason_hist", "stage2_violation_exits",    "stage2_mmio_exits",
		"stage2_fault_ns",  "violations_after_prefault", "pf_around",
		"pf_premap",
	};
	struct machine m;

	machine_create(&m, MEMORY_4K, RAM, 1);
	for (size_t i = 0; i < sizeof(vm_names) / sizeof(*vm_names); i++)
		check_patched(stat_vm(&m, vm_names[i]) >= 0, "the VM has %s", vm_names[i]);
	for (size_t i = 0; i < sizeof(cpu_names) / sizeof(*cpu_names); i++)
		check_patched(stat_cpu(&m, 0, cpu_names[i]) >= 0, "a vCPU has %s", cpu_names[i]);
	machine_destroy(&m);
}

static void test_spurious(void)
{
	struct machine m;
	int64_t hits, spurious;

	machine_create(&m, MEMORY_4K, RAM, 1);
	populate(&m, 0, RAM);
	hits = stat_vm(&m, "mn_invalidate_hit");
	spurious = stat_vm(&m, "mn_invalidate_spurious");
	for (int i = 0; i < 100; i++) {
		void *other = mmap(NULL, PAGE_2M, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		munmap(other, PAGE_2M);
	}
	check(stat_vm(&m, "mn_invalidate_hit") == hits, "unrelated memory comes and goes: no hit");
	spurious = stat_vm(&m, "mn_invalidate_spurious") - spurious;
	check(spurious >= 100, "but spurious notifications (%lld)", (long long)spurious);
	check(stat_vm(&m, "mn_invalidate") ==
		      stat_vm(&m, "mn_invalidate_hit") + stat_vm(&m, "mn_invalidate_spurious"),
	      "hits and spurious ones are all there are");
	note("%lld ns for each of them", (long long)(stat_vm(&m, "mn_invalidate_spurious_ns") /
						     stat_vm(&m, "mn_invalidate_spurious")));
	machine_destroy(&m);
}

static void test_own_causes(void)
{
	struct machine m;
	int status;

	machine_create(&m, MEMORY_4K, RAM, 1);
	populate(&m, 0, RAM);
	int64_t hits = stat_vm(&m, "mn_invalidate_hit");

	causes_read(&m, causes_before);
	madvise(m.memory + PAGE_2M, PAGE_2M, MADV_DONTNEED);
	causes_read(&m, causes_after);
	check(stat_vm(&m, "mn_invalidate_hit") == hits + 1, "MADV_DONTNEED is one hit");
	check(cause(STET_KVM_MN_BY_SELF, STET_KVM_MN_CLEAR) == 1, "a clear, by ourselves");

	causes_read(&m, causes_before);
	mprotect(m.memory + 2 * PAGE_2M, PAGE_2M, PROT_READ);
	mprotect(m.memory + 2 * PAGE_2M, PAGE_2M, PROT_READ | PROT_WRITE);
	causes_read(&m, causes_after);
	check(cause(STET_KVM_MN_BY_SELF, STET_KVM_MN_PROTECTION_VMA) == 2,
	      "mprotect: a change of protection, by ourselves");

	causes_read(&m, causes_before);
	pid_t child = fork();

	if (child == 0)
		_exit(0);
	waitpid(child, &status, 0);
	causes_read(&m, causes_after);
	check(cause(STET_KVM_MN_BY_SELF, STET_KVM_MN_PROTECTION_PAGE) >= 1,
	      "fork: copy-on-write protection, by ourselves");

	causes_read(&m, causes_before);
	bool cleared = write_file("/proc/self/clear_refs", "4");

	causes_read(&m, causes_after);
	if (cleared)
		check(cause(STET_KVM_MN_BY_SELF, STET_KVM_MN_SOFT_DIRTY) >= 1,
		      "clear_refs: soft-dirty, by ourselves");

	causes_read(&m, causes_before);
	munmap(m.memory + 4 * PAGE_2M, PAGE_2M);
	causes_read(&m, causes_after);
	check(cause(STET_KVM_MN_BY_SELF, STET_KVM_MN_UNMAP) == 1, "munmap: by ourselves");
	machine_destroy(&m);
}

/* Waits until a cause was seen, 15 s at most. */
static bool seen(const struct machine *m, unsigned who, unsigned event)
{
	for (int i = 0; i < 150; i++) {
		causes_read(m, causes_after);
		if (cause(who, event) > 0)
			return true;
		usleep(100000);
	}
	return false;
}

#define KHUGEPAGED "/sys/kernel/mm/transparent_hugepage/khugepaged/"

static void test_khugepaged(void)
{
	struct machine m;

	machine_create(&m, MEMORY_4K, RAM, 1);
	populate(&m, 0, RAM);
	causes_read(&m, causes_before);
	if (!write_file(KHUGEPAGED "scan_sleep_millisecs", "10") ||
	    !write_file(KHUGEPAGED "alloc_sleep_millisecs", "10"))
		note("no khugepaged");
	madvise(m.memory, RAM, MADV_HUGEPAGE);
	check(seen(&m, STET_KVM_MN_BY_KHUGEPAGED, STET_KVM_MN_CLEAR),
	      "khugepaged collapses pages: a clear, by khugepaged");
	check(cause(STET_KVM_MN_BY_SELF, STET_KVM_MN_CLEAR) == 0, "and not by ourselves");
	machine_destroy(&m);
}

#define KSM "/sys/kernel/mm/ksm/"

static void test_ksm(void)
{
	struct machine m;

	machine_create(&m, MEMORY_4K, RAM, 1);
	memset(m.memory + PAGE_2M, 0x42, 4 * PAGE_2M);
	causes_read(&m, causes_before);
	if (!write_file(KSM "sleep_millisecs", "10") || !write_file(KSM "run", "1")) {
		note("no KSM in this kernel");
	} else {
		madvise(m.memory + PAGE_2M, 4 * PAGE_2M, MADV_MERGEABLE);
		check(seen(&m, STET_KVM_MN_BY_KSM, STET_KVM_MN_CLEAR),
		      "KSM merges pages: a clear, by KSM");
		write_file(KSM "run", "2");
	}
	machine_destroy(&m);
}

/* Another process acts on our memory. */
static void test_other_task(void)
{
	struct machine m;
	int status;

	machine_create(&m, MEMORY_4K, RAM, 1);
	populate(&m, 0, RAM);
	madvise(m.memory, RAM, MADV_DONTFORK);
	madvise(m.memory, RAM, MADV_HUGEPAGE);
	causes_read(&m, causes_before);
	pid_t parent = getpid(), child = fork();

	if (child == 0) {
		struct iovec all = { m.memory + PAGE_2M, PAGE_2M };
		int pidfd = (int)syscall(SYS_pidfd_open, parent, 0);
		long r = syscall(SYS_process_madvise, pidfd, &all, 1, MADV_COLLAPSE, 0);

		_exit(r == (long)PAGE_2M ? 0 : 1);
	}
	waitpid(child, &status, 0);
	causes_read(&m, causes_after);
	if (status == 0)
		check(cause(STET_KVM_MN_BY_OTHER_TASK, STET_KVM_MN_CLEAR) >= 1,
		      "process_madvise: a clear, by another process");
	else
		note("process_madvise(MADV_COLLAPSE) is not possible here");
	machine_destroy(&m);
}

/*
 * Compaction asked for by another process. It moves pages from one end of memory to free pages at
 * the other, hence the ballast: with it there or not, guest memory lies at one end or the other.
 */
static int64_t compact(uint64_t ballast_bytes)
{
	const uint64_t bytes = 256ull << 20;
	struct machine m;
	void *ballast = NULL;

	if (ballast_bytes)
		ballast = mmap(NULL, ballast_bytes, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	machine_create(&m, MEMORY_4K, bytes, 1);
	populate(&m, 0, bytes);
	if (ballast_bytes)
		munmap(ballast, ballast_bytes);
	for (uint64_t at = PAGE_2M; at < bytes; at += 2 * PAGE)
		madvise(m.memory + at, PAGE, MADV_DONTNEED);
	causes_read(&m, causes_before);
	pid_t child = fork();

	/* The fork itself is seen as copy-on-write protection, not as a clear. */
	if (child == 0)
		_exit(write_file("/proc/sys/vm/compact_memory", "1") ? 0 : 1);
	waitpid(child, NULL, 0);
	causes_read(&m, causes_after);
	machine_destroy(&m);
	return cause(STET_KVM_MN_BY_OTHER_TASK, STET_KVM_MN_CLEAR);
}

static void test_compaction(void)
{
	uint64_t free_bytes = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * PAGE, own = 0;
	int64_t migrated = 0;

	for (unsigned tenths = 0; tenths <= 8 && !migrated; tenths += 2) {
		migrated = compact(free_bytes / 10 * tenths & ~(PAGE_2M - 1));
		own += (uint64_t)cause(STET_KVM_MN_BY_SELF, STET_KVM_MN_CLEAR);
	}
	check(migrated > 0, "compact_memory migrates pages: a clear, by another process (%lld)",
	      (long long)migrated);
	check(own == 0, "and not by ourselves");
}

#define DAMON "/sys/kernel/mm/damon/admin/kdamonds/"

/* DAMON looks at the accessed bits of a process, and ages them. */
static void test_aging(void)
{
	char pid[16];
	struct machine m;

	machine_create(&m, MEMORY_4K, RAM, 1);
	populate(&m, 0, RAM);
	guest_touch(&m, 0, TOUCH_BASE, RAM, PAGE, true);
	snprintf(pid, sizeof(pid), "%d", getpid());
	bool damon = write_file(DAMON "nr_kdamonds", "1") &&
		     write_file(DAMON "0/contexts/nr_contexts", "1") &&
		     write_file(DAMON "0/contexts/0/operations", "vaddr") &&
		     write_file(DAMON "0/contexts/0/targets/nr_targets", "1") &&
		     write_file(DAMON "0/contexts/0/targets/0/pid_target", pid) &&
		     write_file(DAMON "0/state", "on");

	for (int i = 0; damon && i < 300 &&
			(stat_vm(&m, "mn_age_hit") < 10 || !stat_vm(&m, "mn_age_spurious"));
	     i++)
		usleep(100000);
	write_file(DAMON "0/state", "off");
	if (damon) {
		check(stat_vm(&m, "mn_age_hit") >= 10, "aging of guest memory is counted (%lld)",
		      (long long)stat_vm(&m, "mn_age_hit"));
		check(stat_vm(&m, "mn_age_spurious") > 0, "and that of other memory (%lld)",
		      (long long)stat_vm(&m, "mn_age_spurious"));
		check(stat_vm(&m, "mn_invalidate_hit") == 0, "which is no invalidation");
	} else {
		note("no DAMON in this kernel");
	}
	check(stat_vm(&m, "mn_age") == stat_vm(&m, "mn_age_hit") + stat_vm(&m, "mn_age_spurious"),
	      "aging: hits and spurious ones are all there are");
	machine_destroy(&m);
}

#define TRACING "/sys/kernel/tracing/"

static unsigned traced_exits(void)
{
	FILE *trace = fopen(TRACING "trace", "r");
	unsigned count = 0;
	char line[512];

	while (trace && fgets(line, sizeof(line), trace))
		count += strstr(line, "kvm_exit:") != NULL;
	if (trace)
		(void)fclose(trace);
	return count;
}

static void test_exits(void)
{
	static uint64_t reasons[STET_KVM_EXIT_REASONS];
	uint64_t all = 0;
	struct machine m;

	machine_create(&m, MEMORY_4K, RAM, 1);
	populate(&m, 0, RAM);
	write_file(TRACING "trace", "");
	write_file(TRACING "buffer_size_kb", "4096");
	write_file(TRACING "events/kvm/kvm_exit/enable", "1");
	guest_touch(&m, 0, TOUCH_BASE, TOUCH_BASE + 256 * PAGE, PAGE, true);
	for (int i = 0; i < 10; i++)
		guest_touch(&m, 0, TOUCH_BASE, TOUCH_BASE + PAGE, PAGE, true);
	write_file(TRACING "events/kvm/kvm_exit/enable", "0");
	int nr = stat_read(m.cpu_stats[0], "exit_reason_hist", reasons, STET_KVM_EXIT_REASONS);

	check(nr == STET_KVM_EXIT_REASONS, "exits are counted by reason");
	for (int i = 0; i < nr; i++)
		all += reasons[i];
	unsigned traced = traced_exits();

	check(all == traced, "as many as the tracepoint saw (%llu, %u)", (unsigned long long)all,
	      traced);
	/* SVM: I/O is 0x7b; VMX: 30, and EPT violation 48. */
	check(reasons[0x7b] == 11 || reasons[30] == 11, "11 of them port I/O");
	check(reasons[STET_KVM_EXIT_SVM_NPF] == 257 || reasons[48] == 257,
	      "257 of them nested page faults");
	check(stat_cpu(&m, 0, "stage2_violation_exits") == 257, "all 257 stage-2 violations");
	check(stat_cpu(&m, 0, "stage2_mmio_exits") == 0, "none of them MMIO");
	check(stat_cpu(&m, 0, "stage2_fault_ns") > 0, "their time is known (%lld ns)",
	      (long long)stat_cpu(&m, 0, "stage2_fault_ns"));
	int64_t mmio = stat_cpu(&m, 0, "mmio_exits");

	guest_touch(&m, 0, 0xd0000000, 0xd0000000 + PAGE, 256, false);
	check(stat_cpu(&m, 0, "mmio_exits") == mmio + 16, "16 reads of one MMIO page");
	check(stat_cpu(&m, 0, "stage2_violation_exits") == 258, "are one violation");
	check(stat_cpu(&m, 0, "stage2_mmio_exits") == 15, "and 15 MMIO exits");
	machine_destroy(&m);
}

/* signal_exits is written by code outside of KVM, at the offset of the stock kernel. */
static void test_hidden_abi(void)
{
	struct machine m;

	machine_create(&m, MEMORY_4K, RAM, 1);
	m.run[0]->immediate_exit = 0;
	for (uint64_t at = TOUCH_BASE; at < RAM; at += PAGE_2M)
		guest_touch(&m, 0, at, at + PAGE_2M, PAGE, true);
	check(stat_cpu(&m, 0, "signal_exits") == 0, "no signal, no signal_exits");
	machine_destroy(&m);
}

static void test_prefault_accounting(void)
{
	struct machine m;

	machine_create(&m, MEMORY_THP, RAM, 1);
	populate(&m, 0, RAM / 2);
	madvise(m.memory + RAM / 2, RAM / 2, MADV_NOHUGEPAGE);
	populate(&m, RAM / 2, RAM / 2);
	guest_touch(&m, 0, TOUCH_BASE, TOUCH_BASE + PAGE, PAGE, true);
	check(stat_cpu(&m, 0, "violations_after_prefault") == 0, "a violation before a prefault");
	check(prefault_cpu(&m, 0, 0, RAM, 20) == 0, "memory is prefaulted by the vCPU's ioctl");
	/* Two huge pages were there: that of the code and the one touched. */
	check(stat_vm(&m, "prefault_2m") == (int64_t)(RAM / 2 / PAGE_2M) - 2, "huge pages made");
	check(stat_vm(&m, "prefault_present") == 2, "huge pages found");
	check(stat_vm(&m, "prefault_4k") == (int64_t)(RAM / 2 / PAGE), "small pages made");
	guest_touch(&m, 0, TOUCH_BASE, RAM, PAGE, true);
	check(stat_cpu(&m, 0, "violations_after_prefault") == 0, "no violation after it");
	madvise(m.memory + RAM / 2, 4 * PAGE, MADV_DONTNEED);
	guest_touch(&m, 0, TOUCH_BASE, RAM, PAGE, true);
	check(stat_cpu(&m, 0, "violations_after_prefault") == 4, "four pages are dropped: four");
	machine_destroy(&m);
}

int main(void)
{
	test_names();
	test_hidden_abi();
	if (kernel_is_patched()) {
		test_spurious();
		test_own_causes();
		test_other_task();
		test_compaction();
		test_ksm();
		test_khugepaged();
		test_aging();
		test_exits();
		test_prefault_accounting();
	}
	return checks_done();
}
