/* SPDX-License-Identifier: Apache-2.0 */
/* test_fixes.c: the three repairs of KVM_PRE_FAULT_MEMORY. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "tests/host-kernel/machine.h"

#define RAM         (64ull << 20)
#define SPARE_GPA   (1ull << 30)
#define SPARE_BYTES (16ull << 20)

/* D1: after a slot delete the root is obsolete; nobody dropped it before the next KVM_RUN. */
static void test_prefault_after_slot_delete(void)
{
	struct machine m;
	void *spare =
		mmap(NULL, PAGE_2M, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	machine_create(&m, MEMORY_4K, RAM, 1);
	populate(&m, 0, RAM);
	check(set_slot(&m, 1, 0, SPARE_GPA, PAGE_2M, spare) == 0, "a second slot is added");
	check(prefault_cpu(&m, 0, 0, RAM, 20) == 0, "memory is prefaulted");
	check(set_slot(&m, 1, 0, SPARE_GPA, 0, spare) == 0, "the second slot is deleted");
	int r = prefault_cpu(&m, 0, 0, RAM, 3);

	check_patched(r == 0, "a prefault after a slot delete ends (result %d)", r);
	check(guest_touch(&m, 0, TOUCH_BASE, RAM, PAGE, true) == 0, "the guest runs");
	if (r == 0)
		check(stat_cpu(&m, 0, "pf_taken") == 0, "and takes no fault (%lld)",
		      (long long)stat_cpu(&m, 0, "pf_taken"));
	machine_destroy(&m);
	munmap(spare, PAGE_2M);
}

struct deleter {
	struct machine *m;
	void *spare;
	atomic_bool stop;
	atomic_uint cycles;
};

static void *delete_and_add(void *argument)
{
	struct deleter *d = argument;

	while (!atomic_load(&d->stop)) {
		set_slot(d->m, 1, 0, SPARE_GPA, 0, d->spare);
		set_slot(d->m, 1, 0, SPARE_GPA, SPARE_BYTES, d->spare);
		atomic_fetch_add(&d->cycles, 1);
	}
	return NULL;
}

/* D2: the prefault held SRCU while it waited for the slot, the deletion waited for SRCU. */
static void test_prefault_during_slot_delete(uint64_t gpa, uint64_t bytes, const char *which)
{
	struct deleter d = { 0 };
	struct machine m;
	pthread_t thread;
	unsigned stuck = 0;

	machine_create(&m, MEMORY_4K, RAM, 1);
	d.m = &m;
	d.spare = mmap(NULL, SPARE_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	set_slot(&m, 1, 0, SPARE_GPA, SPARE_BYTES, d.spare);
	pthread_create(&thread, NULL, delete_and_add, &d);
	/* A patched kernel needs milliseconds for each of these; a stock one sticks within a few.
	 */
	time_t end = time(NULL) + 10;

	while (time(NULL) < end && !stuck) {
		unsigned before = atomic_load(&d.cycles);
		int r = prefault_cpu(&m, 0, gpa, bytes, 3);

		/* Slow is not stuck: then the other thread stands still as well. */
		stuck += r == -EINTR && atomic_load(&d.cycles) <= before + 1;
	}
	atomic_store(&d.stop, true);
	pthread_join(thread, NULL);
	check_patched(stuck == 0,
		      "prefault of %s and a slot delete do not wait for each other (%u cycles)",
		      which, atomic_load(&d.cycles));
	check(guest_touch(&m, 0, TOUCH_BASE, RAM, PAGE, true) == 0, "the guest runs");
	machine_destroy(&m);
	munmap(d.spare, SPARE_BYTES);
}

#define TRACING "/sys/kernel/tracing/"

static void trace_write(const char *file, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), TRACING "%s", file);
	int fd = open(path, O_WRONLY | O_TRUNC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		note("%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

static unsigned trace_lines(const char *event)
{
	FILE *trace = fopen(TRACING "trace", "r");
	char line[512];
	unsigned count = 0;

	while (trace && fgets(line, sizeof(line), trace))
		count += strstr(line, event) != NULL;
	if (trace)
		(void)fclose(trace);
	return count;
}

/* D3: after the guest used its pages, a second prefault must not change a single entry. */
static void test_prefault_twice(void)
{
	const uint64_t bytes = 1ull << 20;
	struct machine m;

	machine_create(&m, MEMORY_4K, RAM, 1);
	populate(&m, 0, RAM);
	check(prefault_cpu(&m, 0, 0, RAM, 20) == 0, "memory is prefaulted");
	check(guest_touch(&m, 0, TOUCH_BASE, TOUCH_BASE + bytes, PAGE, true) == 0,
	      "the guest writes");
	trace_write("events/kvmmmu/kvm_tdp_mmu_spte_changed/enable", "1");
	trace_write("trace", "");
	check(prefault_cpu(&m, 0, TOUCH_BASE, bytes, 20) == 0,
	      "the same memory is prefaulted again");
	trace_write("events/kvmmmu/kvm_tdp_mmu_spte_changed/enable", "0");
	unsigned changed = trace_lines("kvm_tdp_mmu_spte_changed");

	check_patched(changed == 0, "a second prefault changes no entry (%u changed)", changed);

	/* The exception: host memory that was read-only at first, and no longer is. */
	mprotect(m.memory + TOUCH_BASE, bytes, PROT_READ);
	check(prefault_cpu(&m, 0, TOUCH_BASE, bytes, 20) == 0, "read-only memory is prefaulted");
	mprotect(m.memory + TOUCH_BASE, bytes, PROT_READ | PROT_WRITE);
	populate(&m, TOUCH_BASE, bytes);
	check(prefault_cpu(&m, 0, TOUCH_BASE, bytes, 20) == 0, "and again when it is writable");
	int64_t before = stat_cpu(&m, 0, "pf_taken");

	guest_touch(&m, 0, TOUCH_BASE, TOUCH_BASE + bytes, PAGE, true);
	check(stat_cpu(&m, 0, "pf_taken") == before, "the guest's writes then take no fault");
	machine_destroy(&m);
}

int main(void)
{
	test_prefault_after_slot_delete();
	test_prefault_during_slot_delete(SPARE_GPA, SPARE_BYTES, "that slot");
	test_prefault_during_slot_delete(0, RAM, "another slot");
	test_prefault_twice();
	return checks_done();
}
