/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench.c: what it costs to have all guest memory mapped for writing, and more, in nanoseconds of
 * the host's clock. Under tools/lab/lab --icount that is instructions.
 */
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#include "mem/populate.h"
#include "tests/host-kernel/machine.h"

#define RAM (64ull << 20)

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void row(const char *what, uint64_t ns, uint64_t pages)
{
	printf("%-44s %12llu %9llu\n", what, (unsigned long long)ns,
	       (unsigned long long)(ns / pages));
}

static void run(enum memory_kind kind, const char *name)
{
	bool small = kind == MEMORY_4K || kind == MEMORY_PLAIN;
	uint64_t pages = small ? RAM / PAGE : RAM / PAGE_2M, start;
	struct stet_kvm_prefault result;
	struct machine m;
	char text[64];

	machine_create(&m, kind, RAM, 1);
	start = now_ns();
	populate(&m, 0, RAM);
	snprintf(text, sizeof(text), "%s: populate", name);
	row(text, now_ns() - start, pages);
	start = now_ns();
	prefault_cpu(&m, 0, 0, RAM, 60);
	snprintf(text, sizeof(text), "%s: vCPU ioctl after it", name);
	row(text, now_ns() - start, pages);
	start = now_ns();
	prefault_cpu(&m, 0, 0, RAM, 60);
	snprintf(text, sizeof(text), "%s: vCPU ioctl again", name);
	row(text, now_ns() - start, pages);
	machine_destroy(&m);
	if (!kernel_is_patched())
		return;

	machine_create(&m, kind, RAM, 1);
	populate(&m, 0, RAM);
	start = now_ns();
	prefault_vm(&m, 0, RAM, 0, &result);
	snprintf(text, sizeof(text), "%s: VM ioctl after populate", name);
	row(text, now_ns() - start, pages);
	start = now_ns();
	prefault_vm(&m, 0, RAM, 0, &result);
	snprintf(text, sizeof(text), "%s: VM ioctl again", name);
	row(text, now_ns() - start, pages);
	machine_destroy(&m);

	machine_create(&m, kind, RAM, 1);
	start = now_ns();
	prefault_vm(&m, 0, RAM, STET_KVM_PREFAULT_WRITE, &result);
	snprintf(text, sizeof(text), "%s: VM ioctl with WRITE, no populate", name);
	row(text, now_ns() - start, pages);
	machine_destroy(&m);
}

#define FOLIOS "/sys/kernel/mm/transparent_hugepage/hugepages-"

static bool set_folios(const char *size, const char *when)
{
	char path[96];
	FILE *file;
	int r;

	snprintf(path, sizeof(path), FOLIOS "%s/enabled", size);
	file = fopen(path, "w");
	if (!file)
		return false;
	r = fputs(when, file);
	return fclose(file) == 0 && r >= 0;
}

/* 4K entries of pages that the host allocates and clears many at a time (multi-size THP). */
static void run_folios(const char *size)
{
	static const char *const all[] = { "64kB", "256kB", "1024kB", "2048kB" };
	char text[64];

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (!set_folios(all[i], strcmp(all[i], size) ? "never" : "always"))
			return;
	snprintf(text, sizeof(text), "4K in folios of %s", size);
	run(MEMORY_PLAIN, text);
	set_folios("2048kB", "inherit");
	set_folios(size, "never");
}

/* As stet does it where memory that asks for it gets folios of that size, and huge pages too. */
static void run_prepared(unsigned int kib)
{
	struct stet_kvm_prefault result;
	uint64_t pages = RAM / PAGE, start;
	char text[64], size[16];
	struct machine m;

	snprintf(size, sizeof(size), "%ukB", kib);
	if (!set_folios(size, "madvise"))
		return;
	machine_create(&m, MEMORY_4K, RAM, 1);
	start = now_ns();
	populate_prepare(m.memory);
	populate_folios(m.memory, RAM, kib * 1024ull);
	snprintf(text, sizeof(text), "4K, prepared, %s: populate", size);
	row(text, now_ns() - start, pages);
	start = now_ns();
	prefault_cpu(&m, 0, 0, RAM, 60);
	snprintf(text, sizeof(text), "4K, prepared, %s: vCPU ioctl after it", size);
	row(text, now_ns() - start, pages);
	machine_destroy(&m);
	if (kernel_is_patched()) {
		machine_create(&m, MEMORY_4K, RAM, 1);
		populate_prepare(m.memory);
		populate_folios(m.memory, RAM, kib * 1024ull);
		start = now_ns();
		prefault_vm(&m, 0, RAM, STET_KVM_PREFAULT_WRITE, &result);
		snprintf(text, sizeof(text), "4K, prepared, %s: VM ioctl after it", size);
		row(text, now_ns() - start, pages);
		machine_destroy(&m);
	}
	set_folios(size, "never");
}

static void set_cap(const struct machine *m, uint32_t number, uint64_t value)
{
	struct kvm_enable_cap cap = { .cap = number, .args = { value } };

	ioctl(m->vm, KVM_ENABLE_CAP, &cap);
}

/* One pass of the guest over populated 4K pages that are not prefaulted. */
static void fault_around(uint64_t pages, bool set, bool paging)
{
	struct machine m;
	char text[64];

	machine_create(&m, MEMORY_4K, RAM, 1);
	populate(&m, 0, RAM);
	if (set)
		set_cap(&m, STET_KVM_CAP_FAULT_AROUND, pages);
	if (paging)
		guest_paging(&m, 0);
	uint64_t start = now_ns();

	guest_touch(&m, 0, TOUCH_BASE, RAM, PAGE, true);
	uint64_t ns = now_ns() - start;

	if (set)
		snprintf(text, sizeof(text), "fault-around %llu%s: %lld faults",
			 (unsigned long long)pages, paging ? ", paging" : "",
			 (long long)stat_cpu(&m, 0, "pf_taken"));
	else
		snprintf(text, sizeof(text), "fault-around not set%s: %lld faults",
			 paging ? ", paging" : "", (long long)stat_cpu(&m, 0, "pf_taken"));
	row(text, ns, (RAM - TOUCH_BASE) / PAGE);
	machine_destroy(&m);
}

/* First writes to a dirty-logged slot on huge pages; logging off; writes again; the end of it all.
 */
static void dirty_logging(enum memory_kind kind, const char *name, uint64_t bytes, bool premap)
{
	/* A huge page is dropped as a whole or not at all. */
	uint64_t drop = kind == MEMORY_HUGETLB_1G ? 0 : TOUCH_BASE;
	uint64_t pages = (bytes - TOUCH_BASE) / PAGE, start;
	struct machine m;
	char text[64];

	machine_create(&m, kind, bytes, 1);
	populate(&m, 0, bytes);
	if (premap)
		set_cap(&m, STET_KVM_CAP_DIRTY_PREMAP, 1);
	set_slot(&m, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, bytes, m.memory);
	start = now_ns();
	guest_touch(&m, 0, TOUCH_BASE, bytes, PAGE, true);
	snprintf(text, sizeof(text), "%s%s: logged, %lld slow faults", name,
		 premap ? ", premap" : "",
		 (long long)(stat_cpu(&m, 0, "pf_taken") - stat_cpu(&m, 0, "pf_fast")));
	row(text, now_ns() - start, pages);
	start = now_ns();
	set_slot(&m, 0, 0, 0, bytes, m.memory);
	snprintf(text, sizeof(text), "%s%s: logging off", name, premap ? ", premap" : "");
	row(text, now_ns() - start, pages);
	int64_t faults = stat_cpu(&m, 0, "pf_taken");

	start = now_ns();
	guest_touch(&m, 0, TOUCH_BASE, bytes, PAGE, true);
	snprintf(text, sizeof(text), "%s%s: after it, %lld faults", name, premap ? ", premap" : "",
		 (long long)(stat_cpu(&m, 0, "pf_taken") - faults));
	row(text, now_ns() - start, pages);

	/* What zapping a split mapping costs: each small entry marks its page dirty and accessed.
	 */
	set_slot(&m, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, bytes, m.memory);
	guest_touch(&m, 0, TOUCH_BASE, bytes, PAGE, true);
	start = now_ns();
	madvise(m.memory + drop, bytes - drop, MADV_DONTNEED);
	snprintf(text, sizeof(text), "%s%s: dropping it while split", name,
		 premap ? ", premap" : "");
	row(text, now_ns() - start, pages);
	machine_destroy(&m);

	machine_create(&m, kind, bytes, 1);
	populate(&m, 0, bytes);
	guest_touch(&m, 0, TOUCH_BASE, bytes, PAGE, true);
	start = now_ns();
	madvise(m.memory + drop, bytes - drop, MADV_DONTNEED);
	snprintf(text, sizeof(text), "%s%s: dropping it while huge", name,
		 premap ? ", premap" : "");
	row(text, now_ns() - start, pages);
	machine_destroy(&m);
}

static void notifiers(void)
{
	struct machine m;

	machine_create(&m, MEMORY_4K, RAM, 1);
	populate(&m, 0, RAM);
	prefault_cpu(&m, 0, 0, RAM, 60);
	uint8_t *other =
		mmap(NULL, PAGE_2M, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t start = now_ns();

	for (int i = 0; i < 1000; i++)
		madvise(other, PAGE, MADV_DONTNEED);
	row("madvise of unrelated memory", now_ns() - start, 1000);
	start = now_ns();
	for (uint64_t at = TOUCH_BASE; at < RAM; at += 16 * PAGE)
		madvise(m.memory + at, PAGE, MADV_DONTNEED);
	row("madvise of a guest page", now_ns() - start, (RAM - TOUCH_BASE) / (16 * PAGE));
	munmap(other, PAGE_2M);
	start = now_ns();
	for (int i = 0; i < 1000; i++)
		guest_touch(&m, 0, TOUCH_BASE, TOUCH_BASE + PAGE, PAGE, false);
	row("KVM_RUN with one port I/O exit", now_ns() - start, 1000);
	machine_destroy(&m);
}

int main(int argc, char **argv)
{
	static const uint64_t sizes[] = { 0, 8, 32, 512 };
	const bool all = argc < 2, patched = kernel_is_patched();

	printf("%s kernel, 64 MiB %20s %9s\n", patched ? "patched" : "stock", "ns", "per page");
	if (all || !strcmp(argv[1], "prefault")) {
		run(MEMORY_4K, "4K");
		run(MEMORY_THP, "THP");
		run(MEMORY_HUGETLB, "hugetlb");
	}
	if (argc > 1 && !strcmp(argv[1], "folios")) {
		run(MEMORY_4K, "4K");
		run_prepared(64);
		run_prepared(256);
		run_prepared(1024);
		run_folios("64kB");
		run_folios("256kB");
		run_folios("1024kB");
	}
	if (all || !strcmp(argv[1], "around"))
		for (int paging = 0; paging <= (kernel_has_tdp() ? 0 : 1); paging++) {
			fault_around(0, false, paging);
			for (size_t i = 0; patched && i < sizeof(sizes) / sizeof(*sizes); i++)
				fault_around(sizes[i], true, paging);
		}
	if (all || !strcmp(argv[1], "dirty"))
		for (int premap = 0; premap <= (patched ? 1 : 0); premap++)
			dirty_logging(MEMORY_THP, "THP", RAM, premap);
	if (argc > 1 && !strcmp(argv[1], "dirty-1g"))
		for (int premap = 0; premap <= (patched ? 1 : 0); premap++)
			dirty_logging(MEMORY_HUGETLB_1G, "1 GiB page", 1ull << 30, premap);
	if (all || !strcmp(argv[1], "notifiers"))
		notifiers();
	return 0;
}
