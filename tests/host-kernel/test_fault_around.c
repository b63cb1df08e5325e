/* SPDX-License-Identifier: Apache-2.0 */
/* test_fault_around.c: the number of pages mapped on one fault, and its limits. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "tests/host-kernel/machine.h"

#define RAM     (64ull << 20)
#define TOUCHED (16ull << 20)

static int fault_around(const struct machine *m, uint64_t pages)
{
	struct kvm_enable_cap cap = { .cap = STET_KVM_CAP_FAULT_AROUND, .args = { pages } };

	return ioctl(m->vm, KVM_ENABLE_CAP, &cap) < 0 ? -errno : 0;
}

/* The faults of one pass over 16 MiB of populated 4K pages; the first page table may cost one more.
 */
static int64_t faults_with(uint64_t pages, bool set, bool paging, bool *works)
{
	struct machine m;

	machine_create(&m, MEMORY_4K, RAM, 1);
	populate(&m, 0, RAM);
	*works = !set || fault_around(&m, pages) == 0;
	if (paging)
		guest_paging(&m, 0);
	if (guest_touch(&m, 0, TOUCH_BASE, TOUCH_BASE + TOUCHED, PAGE, true) != 0)
		*works = false;
	int64_t faults = stat_cpu(&m, 0, "pf_taken");

	machine_destroy(&m);
	return faults;
}

/* The page with the code is a fault more. With paging each of the guest's page tables is one, too.
 */
static int64_t slack(bool paging)
{
	return paging ? 2 + 2 * (int64_t)(TOUCHED / (4ull << 20) + 1) : 2;
}

static void test_counts(bool paging)
{
	static const uint64_t sizes[] = { 0, 1, 2, 8, 32, 128, 512 };
	const uint64_t pages = TOUCHED / PAGE;
	bool works;
	const char *what = paging ? ", guest with paging" : "";
	int64_t usual = faults_with(0, false, paging, &works);

	if (kernel_has_tdp())
		check(usual >= (int64_t)pages, "not set: a fault for each page (%lld)",
		      (long long)usual);
	else
		check(usual >= (int64_t)pages / 8 && usual <= (int64_t)pages / 8 + slack(paging),
		      "not set, shadow MMU%s: a fault for 8 pages (%lld)", what, (long long)usual);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		int64_t faults = faults_with(sizes[i], true, paging, &works);
		int64_t want = (int64_t)(pages / (sizes[i] ? sizes[i] : 1));

		check_patched(works && faults >= want && faults <= want + slack(paging),
			      "%llu pages at a time%s: %lld faults", (unsigned long long)sizes[i],
			      what, (long long)faults);
	}
}

static void test_limits(void)
{
	static const uint64_t bad[] = { 3, 7, 513, 1024, 1ull << 32, ~0ull };
	struct kvm_enable_cap cap = { .cap = STET_KVM_CAP_FAULT_AROUND, .flags = 1, .args = { 8 } };
	struct machine m;

	machine_create(&m, MEMORY_4K, RAM, 1);
	check_patched(ioctl(m.vm, KVM_CHECK_EXTENSION, STET_KVM_CAP_FAULT_AROUND) ==
			      STET_KVM_FAULT_AROUND_MAX,
		      "the VM tells the largest number");
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		check(fault_around(&m, bad[i]) == -EINVAL, "%llu pages are EINVAL",
		      (unsigned long long)bad[i]);
	check(ioctl(m.vm, KVM_ENABLE_CAP, &cap) < 0 && errno == EINVAL, "a flag is EINVAL");
	machine_destroy(&m);
}

/* Only what the host has mapped is mapped: a hole in the host's memory stays unmapped. */
static void test_sparse(void)
{
	struct machine m;

	machine_create(&m, MEMORY_4K, RAM, 1);
	populate(&m, 0, PAGE_2M);
	for (uint64_t at = TOUCH_BASE; at < TOUCH_BASE + TOUCHED; at += 2 * PAGE)
		populate(&m, at, PAGE);
	fault_around(&m, 512);
	guest_touch(&m, 0, TOUCH_BASE, TOUCH_BASE + TOUCHED, 2 * PAGE, true);
	int64_t faults = stat_cpu(&m, 0, "pf_taken");

	note("every other page populated: %lld faults", (long long)faults);
	unsigned char resident[TOUCHED / PAGE];
	unsigned extra = 0;

	mincore(m.memory + TOUCH_BASE, TOUCHED, resident);
	for (size_t i = 1; i < TOUCHED / PAGE; i += 2)
		extra += resident[i] & 1;
	check(extra == 0, "fault-around populates nothing in the host (%u)", extra);
	check(guest_touch(&m, 0, TOUCH_BASE, TOUCH_BASE + TOUCHED, PAGE, true) == 0,
	      "the pages in between can be written as well");
	machine_destroy(&m);
}

/* Pages dropped by the host must not come back with their old contents or at an old place. */
static void test_invalidation(void)
{
	struct machine m;
	bool good = true;

	machine_create(&m, MEMORY_4K, RAM, 1);
	fault_around(&m, 512);
	for (unsigned round = 0; round < 20 && good; round++) {
		populate(&m, 0, RAM);
		memset(m.memory + TOUCH_BASE, 0x77, TOUCHED);
		good = guest_touch(&m, 0, TOUCH_BASE, TOUCH_BASE + TOUCHED, PAGE, true) == 0;
		madvise(m.memory + TOUCH_BASE, TOUCHED, MADV_DONTNEED);
		good = good &&
		       guest_touch(&m, 0, TOUCH_BASE, TOUCH_BASE + TOUCHED, PAGE, true) == 0;
		for (uint64_t at = TOUCH_BASE; at < TOUCH_BASE + TOUCHED && good; at += PAGE)
			good = m.memory[at] == 0x5a && m.memory[at + 4] == 0;
	}
	check(good, "after MADV_DONTNEED guest and host see the same new pages");
	machine_destroy(&m);
}

int main(void)
{
	test_counts(false);
	/* With two-dimensional paging the guest's page tables are its own business. */
	if (!kernel_has_tdp())
		test_counts(true);
	test_limits();
	test_sparse();
	test_invalidation();
	return checks_done();
}
