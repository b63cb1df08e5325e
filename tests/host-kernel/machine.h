/* SPDX-License-Identifier: Apache-2.0 */
/* machine.h: a tiny guest and raw KVM calls, for the tests of the host kernel. */
#ifndef TESTS_HOST_KERNEL_MACHINE_H
#define TESTS_HOST_KERNEL_MACHINE_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/host-kernel/include/stet_kvm.h"

#define PAGE             4096ull
#define PAGE_2M          (2ull << 20)
#define MACHINE_CPUS_MAX 4

/* Guest physical pages that hold the guest's code; tests touch memory from TOUCH_BASE on. */
#define CODE_GPA   0x1000ull
#define TOUCH_BASE 0x200000ull

enum memory_kind {
	MEMORY_4K,      /* private, MADV_NOHUGEPAGE */
	MEMORY_THP,     /* private, MADV_HUGEPAGE */
	MEMORY_HUGETLB, /* private hugetlb pages of 2 MiB */
	MEMORY_HUGETLB_1G,
	MEMORY_PLAIN, /* private, as the host has it */
};

struct machine {
	int kvm, vm;
	unsigned nr_cpus;
	int cpu[MACHINE_CPUS_MAX];
	int cpu_stats[MACHINE_CPUS_MAX];
	int vm_stats;
	struct kvm_run *run[MACHINE_CPUS_MAX];
	size_t run_bytes;
	uint8_t *memory; /* slot 0, from guest physical address 0 */
	uint64_t bytes;
};

/* Ends the program with a message when anything fails: without a machine there is no test. */
void machine_create(struct machine *m, enum memory_kind kind, uint64_t bytes, unsigned nr_cpus);
/* The same without slots and memory; machine_memory() adds them. */
void machine_bare(struct machine *m, unsigned nr_cpus);
void machine_memory(struct machine *m, enum memory_kind kind, uint64_t bytes);
void machine_destroy(struct machine *m);

int set_slot(const struct machine *m, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t bytes,
	     void *at);

/* The guest writes (or reads) one word every step bytes in [from, to). 0, or what went wrong. */
int guest_touch(struct machine *m, unsigned cpu, uint64_t from, uint64_t to, uint32_t step,
		bool write);

/*
 * Turns paging on in the guest: 4K pages of the guest's own, each where it is without paging. From
 * then on KVM's shadow MMU, where it is used, shadows page tables. They lie below CODE_GPA's 2 MiB.
 */
void guest_paging(const struct machine *m, unsigned cpu);

/* Populate for write, as stet does. */
void populate(const struct machine *m, uint64_t gpa, uint64_t bytes);

/* KVM_PRE_FAULT_MEMORY over a range, EAGAIN tried again; 0 or negative errno, EINTR after
 * timeout_s. */
int prefault_cpu(const struct machine *m, unsigned cpu, uint64_t gpa, uint64_t bytes,
		 unsigned timeout_s);
/* One call of STET_KVM_PREFAULT_VM over one range; 0 or negative errno. */
int prefault_vm(const struct machine *m, uint64_t gpa, uint64_t bytes, uint32_t flags,
		struct stet_kvm_prefault *result);

/* A statistic by name; bucket 0 of a histogram. -1 when the kernel does not have it. */
int64_t stat_vm(const struct machine *m, const char *name);
int64_t stat_cpu(const struct machine *m, unsigned cpu, const char *name);
/* Reads up to nr buckets; the number read, -1 when there is no such statistic. */
int stat_read(int stats_fd, const char *name, uint64_t *values, size_t nr);

/*
 * Results. A check is one line of TAP. check_patched() states what only the patched kernel does: on
 * a stock kernel it is the opposite that must be seen, so that the check is known to be able to
 * fail.
 */
bool kernel_is_patched(void);
/* False where KVM has no two-dimensional paging (npt=0, ept=0): the shadow MMU is at work. */
bool kernel_has_tdp(void);
void check(bool good, const char *what, ...) __attribute__((format(printf, 2, 3)));
void check_patched(bool good, const char *what, ...) __attribute__((format(printf, 2, 3)));
void note(const char *what, ...) __attribute__((format(printf, 1, 2)));
/* Prints the plan; the exit status of main(). */
int checks_done(void);

#endif
