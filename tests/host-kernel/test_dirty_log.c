/* SPDX-License-Identifier: Apache-2.0 */
/* test_dirty_log.c: dirty logging of huge pages without a slow fault per page, and back again. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "tests/host-kernel/machine.h"

#define RAM (64ull << 20)

static uint64_t bitmap[RAM / PAGE / 64];

static int premap(const struct machine *m, uint64_t on)
{
	struct kvm_enable_cap cap = { .cap = STET_KVM_CAP_DIRTY_PREMAP, .args = { on } };

	return ioctl(m->vm, KVM_ENABLE_CAP, &cap) < 0 ? -errno : 0;
}

/* Fetches and clears the log; the number of dirty pages. */
static unsigned dirty_pages(const struct machine *m)
{
	struct kvm_dirty_log log = { .slot = 0, .dirty_bitmap = bitmap };
	unsigned dirty = 0;

	memset(bitmap, 0, sizeof(bitmap));
	ioctl(m->vm, KVM_GET_DIRTY_LOG, &log);
	for (size_t i = 0; i < sizeof(bitmap) / sizeof(*bitmap); i++)
		dirty += (unsigned)__builtin_popcountll(bitmap[i]);
	return dirty;
}

static bool is_dirty(uint64_t gpa)
{
	return bitmap[gpa / PAGE / 64] >> (gpa / PAGE % 64) & 1;
}

/* Logging from the start, memory populated: what a migration target's or a restarted log sees. */
static void test_logged_from_the_start(enum memory_kind kind, const char *name)
{
	const unsigned tables = (RAM - TOUCH_BASE) / PAGE_2M, pages = tables * 512;
	struct machine m;

	machine_create(&m, kind, RAM, 1);
	populate(&m, 0, RAM);
	set_slot(&m, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, RAM, m.memory);
	check_patched(premap(&m, 1) == 0, "%s: premapping can be turned on", name);
	check(guest_touch(&m, 0, TOUCH_BASE, RAM, PAGE, true) == 0, "%s: the guest writes all",
	      name);
	/* Apart from the page of the code. */
	int64_t slow = stat_cpu(&m, 0, "pf_taken") - stat_cpu(&m, 0, "pf_fast");

	check_patched(slow <= tables + 1, "%s: one slow fault per 2 MiB (%lld)", name,
		      (long long)slow);
	unsigned dirty = dirty_pages(&m);

	check(dirty >= pages && dirty <= pages + 512, "%s: every page written is dirty (%u)", name,
	      dirty);
	check(guest_touch(&m, 0, TOUCH_BASE + PAGE, RAM, 2 * PAGE, true) == 0,
	      "%s: the guest writes every other page", name);
	dirty = dirty_pages(&m);
	check(dirty == pages / 2 && is_dirty(TOUCH_BASE + PAGE) && !is_dirty(TOUCH_BASE),
	      "%s: exactly those are dirty again (%u)", name, dirty);

	/* Reads must not make anything dirty. */
	check(guest_touch(&m, 0, TOUCH_BASE, RAM, PAGE, false) == 0, "%s: the guest reads all",
	      name);
	dirty = dirty_pages(&m);
	check(dirty == 0, "%s: reading makes nothing dirty (%u)", name, dirty);
	machine_destroy(&m);
}

/* A read fault premaps as well; nothing may be dirty then, and each write afterwards is. */
static void test_read_first(void)
{
	struct machine m;

	machine_create(&m, MEMORY_THP, RAM, 1);
	populate(&m, 0, RAM);
	set_slot(&m, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, RAM, m.memory);
	premap(&m, 1);
	guest_touch(&m, 0, TOUCH_BASE, RAM, PAGE_2M, false);
	dirty_pages(&m);
	guest_touch(&m, 0, TOUCH_BASE + 5 * PAGE, RAM, PAGE_2M, true);
	unsigned dirty = dirty_pages(&m), want = (RAM - TOUCH_BASE) / PAGE_2M;

	check(dirty == want && is_dirty(TOUCH_BASE + 5 * PAGE), "writes after reads are dirty (%u)",
	      dirty);
	machine_destroy(&m);
}

/* Logging on, writes, logging off: the huge pages come back, without a fault. */
static void test_back_again(enum memory_kind kind, const char *name)
{
	struct machine m;

	machine_create(&m, kind, RAM, 1);
	populate(&m, 0, RAM);
	premap(&m, 1);
	guest_touch(&m, 0, TOUCH_BASE, RAM, PAGE, true);
	check(stat_vm(&m, "pages_2m") == (int64_t)(RAM / PAGE_2M), "%s: huge pages at first", name);
	set_slot(&m, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, RAM, m.memory);
	guest_touch(&m, 0, TOUCH_BASE, RAM, PAGE, true);
	dirty_pages(&m);
	check(stat_vm(&m, "pages_2m") == 0, "%s: none while logging", name);
	set_slot(&m, 0, 0, 0, RAM, m.memory);
	int64_t faults = stat_cpu(&m, 0, "pf_taken");

	check_patched(stat_vm(&m, "pages_2m") == (int64_t)(RAM / PAGE_2M),
		      "%s: all of them after logging (%lld)", name,
		      (long long)stat_vm(&m, "pages_2m"));
	check(guest_touch(&m, 0, TOUCH_BASE, RAM, PAGE, true) == 0, "%s: the guest writes", name);
	faults = stat_cpu(&m, 0, "pf_taken") - faults;
	check_patched(faults == 0, "%s: without a fault (%lld)", name, (long long)faults);
	bool same = true;

	for (uint64_t at = TOUCH_BASE; at < RAM && same; at += PAGE)
		same = m.memory[at] == 0x5a;
	check(same, "%s: and the host sees it", name);
	set_slot(&m, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, RAM, m.memory);
	guest_touch(&m, 0, TOUCH_BASE, TOUCH_BASE + PAGE_2M, PAGE, true);
	unsigned dirty = dirty_pages(&m);

	check(dirty == 512, "%s: logged again, each write is seen (%u)", name, dirty);
	machine_destroy(&m);
}

/* Where the host has small pages there is nothing to premap or to recover. */
static void test_small_pages(void)
{
	struct machine m;

	machine_create(&m, MEMORY_4K, RAM, 1);
	populate(&m, 0, RAM);
	set_slot(&m, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, RAM, m.memory);
	premap(&m, 1);
	guest_touch(&m, 0, TOUCH_BASE, RAM, PAGE, true);
	check(stat_cpu(&m, 0, "pf_premap") <= 0, "4K pages of the host are not premapped");
	set_slot(&m, 0, 0, 0, RAM, m.memory);
	check(stat_vm(&m, "tables_recovered") <= 0, "nor made huge");
	machine_destroy(&m);
}

static void test_limits(void)
{
	struct machine m;

	machine_create(&m, MEMORY_4K, RAM, 1);
	check(premap(&m, 2) == -EINVAL, "another argument is EINVAL");
	check(premap(&m, ~0ull) == -EINVAL, "a negative one as well");
	machine_destroy(&m);
}

int main(void)
{
	test_logged_from_the_start(MEMORY_THP, "THP");
	test_logged_from_the_start(MEMORY_HUGETLB, "hugetlb");
	test_read_first();
	test_back_again(MEMORY_THP, "THP");
	test_back_again(MEMORY_HUGETLB, "hugetlb");
	test_small_pages();
	test_limits();
	return checks_done();
}
