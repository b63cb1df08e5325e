/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_prefault.c: what it costs to have all guest memory mapped for writing, in nanoseconds of
 * the host's clock. Under tools/lab/lab --icount that is instructions.
 */
#include <stdio.h>
#include <time.h>

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
	uint64_t pages = kind == MEMORY_4K ? RAM / PAGE : RAM / PAGE_2M, start;
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

int main(void)
{
	printf("%s kernel, 64 MiB %20s %9s\n", kernel_is_patched() ? "patched" : "stock", "ns",
	       "per page");
	run(MEMORY_4K, "4K, first");
	run(MEMORY_4K, "4K");
	run(MEMORY_THP, "THP");
	run(MEMORY_HUGETLB, "hugetlb");
	return 0;
}
