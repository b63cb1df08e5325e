/* SPDX-License-Identifier: Apache-2.0 */
/* test_ram: what the mapping is like, and ram_ptr() at every limit. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/num.h"
#include "mem/prefault.h"
#include "mem/ram.h"

static void init(struct ram *ram, uint64_t bytes, enum backing backing)
{
	struct error error = { 0 };

	if (ram_init(ram, bytes, backing, &error))
		fail_msg("%s", error.text);
}

/* Whether the host would believe in a mapping of that size; nothing here populates it. */
static bool is_mappable(uint64_t bytes)
{
	struct backing_host host;

	backing_probe_host(&host);
	return bytes + 256 * MIB < host.memory_total_bytes;
}

static bool have_thp(void)
{
	struct backing_host host;

	backing_probe_host(&host);
	return host.thp;
}

static void sizes(void **state)
{
	struct error error = { 0 };

	(void)state;
	assert_int_equal(ram_check_bytes(2 * MIB, &error), 0);
	assert_int_equal(ram_check_bytes(LAYOUT_RAM_BYTES_MAX, &error), 0);
	assert_string_equal(error.text, "");
	assert_int_equal(ram_check_bytes(0, &error), -EINVAL);
	assert_int_equal(ram_check_bytes(MIB, &error), -EINVAL);
	assert_int_equal(ram_check_bytes(LAYOUT_RAM_BYTES_MAX + 2 * MIB, &error), -EINVAL);
	assert_int_equal(ram_check_bytes(UINT64_MAX, &error), -EINVAL);
	assert_non_null(strstr(error.text, "512 GiB"));
	assert_int_equal(ram_check_bytes(3 * MIB, &error), -EINVAL);
	assert_non_null(strstr(error.text, "multiple of 2 MiB"));
	assert_int_equal(ram_check_bytes(2 * MIB + 1, NULL), -EINVAL);
}

static void bad_arguments(void **state)
{
	struct error error = { 0 };
	struct ram ram, zero;

	(void)state;
	memset(&ram, 0xff, sizeof(ram));
	memset(&zero, 0, sizeof(zero));
	assert_int_equal(ram_init(&ram, MIB, BACKING_4K, &error), -EINVAL);
	assert_memory_equal(&ram, &zero, sizeof(ram));
	assert_int_equal(ram_init(&ram, 2 * MIB, BACKING_AUTO, &error), -EINVAL);
	assert_int_equal(ram_init(&ram, 2 * MIB, (enum backing)9, &error), -EINVAL);
	assert_int_equal(ram_init(&ram, 2 * MIB, BACKING_HUGETLB_1G, &error), -EINVAL);
	assert_non_null(strstr(error.text, "1 GiB"));
	assert_memory_equal(&ram, &zero, sizeof(ram));
	ram_fini(&ram);
	assert_null(ram_ptr(&ram, 0, 1));
	assert_true(ram_low_end(&ram) == 0);
}

/* [gpa, gpa + bytes) is there, and at the right place. */
static void inside(const struct ram *ram, uint64_t gpa, uint64_t bytes, uint64_t host_offset)
{
	assert_ptr_equal(ram_ptr(ram, gpa, bytes), ram->host + host_offset);
}

static void outside(const struct ram *ram, uint64_t gpa, uint64_t bytes)
{
	assert_null(ram_ptr(ram, gpa, bytes));
}

static void pointers_one_range(void **state)
{
	uint64_t end = 16 * MIB;
	struct ram ram;

	(void)state;
	init(&ram, end, BACKING_4K);
	assert_int_equal(ram.range_count, 1);
	assert_true(ram_low_end(&ram) == end);
	inside(&ram, 0, 1, 0);
	inside(&ram, 0, end, 0);
	inside(&ram, end - 1, 1, end - 1);
	inside(&ram, 1, end - 1, 1);
	outside(&ram, 0, 0);
	outside(&ram, 5, 0);
	outside(&ram, 0, end + 1);
	outside(&ram, 1, end);
	outside(&ram, end - 1, 2);
	outside(&ram, end, 0);
	outside(&ram, end, 1);
	outside(&ram, UINT64_MAX, 0);
	outside(&ram, UINT64_MAX, 1);
	outside(&ram, UINT64_MAX, 2);      /* wraps to 0, 1 */
	outside(&ram, UINT64_MAX - 9, 20); /* likewise */
	outside(&ram, 0, UINT64_MAX);
	outside(&ram, 1, UINT64_MAX); /* the sum is 0 */
	outside(&ram, end - 1, UINT64_MAX);
	outside(&ram, UINT64_MAX, UINT64_MAX);
	outside(&ram, LAYOUT_HIGH_RAM_BASE, 1);
	outside(&ram, UINT64_C(1) << 63, UINT64_C(1) << 63);
	ram_fini(&ram);
}

static void pointers_two_ranges(void **state)
{
	uint64_t low = LAYOUT_LOW_RAM_BYTES_MAX, base = LAYOUT_HIGH_RAM_BASE;
	uint64_t high = 64 * MIB, end = base + high;
	struct ram ram;

	(void)state;
	if (!is_mappable(low + high))
		skip();
	init(&ram, low + high, BACKING_4K);
	assert_int_equal(ram.range_count, 2);
	assert_true(ram_low_end(&ram) == low);
	inside(&ram, low - 1, 1, low - 1);
	inside(&ram, 0, low, 0);
	outside(&ram, low - 1, 2);
	outside(&ram, low, 1);
	outside(&ram, 0, low + 1);
	outside(&ram, base - 1, 1);
	outside(&ram, base - 1, 2);
	outside(&ram, low - 1, base - low + 2); /* from one range over the hole into the other */
	outside(&ram, 0, end);
	outside(&ram, 0, low + high);
	inside(&ram, base, 1, low);
	inside(&ram, base, high, low);
	inside(&ram, end - 1, 1, low + high - 1);
	outside(&ram, base, high + 1);
	outside(&ram, end - 1, 2);
	outside(&ram, end, 1);
	outside(&ram, base, UINT64_MAX);
	outside(&ram, base, UINT64_MAX - base + 1); /* the sum is 0 */
	outside(&ram, UINT64_MAX, 1);
	outside(&ram, LAYOUT_LAPIC, 1);
	ram_fini(&ram);
}

static void writes(void **state)
{
	uint64_t end = 2 * MIB;
	struct ram ram;

	(void)state;
	init(&ram, end, BACKING_4K);
	assert_true(ram_write(&ram, 0x1000, "abc", 3));
	assert_memory_equal(ram.host + 0x1000, "abc\0", 4);
	assert_true(ram_write(&ram, end - 3, "xyz", 3));
	assert_false(ram_write(&ram, end - 2, "abc", 3));
	assert_memory_equal(ram.host + end - 3, "xyz", 3);
	assert_false(ram_write(&ram, end, "a", 1));
	assert_false(ram_write(&ram, UINT64_MAX, "ab", 2));
	assert_true(ram_write(&ram, 0, NULL, 0));
	ram_fini(&ram);
}

static void alignment(void **state)
{
	static const uint64_t sizes[] = { 2 * MIB, 6 * MIB, 130 * MIB, 3 * GIB + 2 * MIB };
	struct ram ram;
	unsigned int i;
	uint32_t range;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(sizes) && is_mappable(sizes[i]); i++) {
		init(&ram, sizes[i], BACKING_4K);
		assert_true(ram.mapped_bytes == sizes[i]);
		for (range = 0; range < ram.range_count; range++)
			assert_true(num_is_aligned((uintptr_t)ram.ranges[range].host ^
							   ram.ranges[range].gpa,
						   2 * MIB));
		ram_fini(&ram);
	}
}

/* What the child of a fork ends with when it touches at: its signal, or 0. */
static int touch_in_child(volatile uint8_t *at)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		*at = 1;
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* A child has neither the memory nor, before and behind it, anything but guards. */
static void fork_and_guards(void **state)
{
	uint8_t stack = 0;
	struct ram ram;

	(void)state;
	init(&ram, 4 * MIB, BACKING_4K);
	ram.host[0] = 1;
	assert_int_equal(touch_in_child(&stack), 0);
	assert_int_equal(touch_in_child(ram.host), SIGSEGV);
	assert_int_equal(touch_in_child(ram.host - 1), SIGSEGV);
	assert_int_equal(touch_in_child(ram.host + ram.bytes), SIGSEGV);
	ram_fini(&ram);
}

/* The flags of the mapping that begins at start, from /proc/self/smaps; and its length. */
static uint64_t vm_flags(const void *start, char flags[256])
{
	unsigned long long first, end, found = 0;
	FILE *smaps = fopen("/proc/self/smaps", "re");
	char line[1024];

	assert_non_null(smaps);
	flags[0] = '\0';
	while (fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%llx-%llx ", &first, &end) == 2)
			found = first == (uintptr_t)start ? end - first : 0;
		else if (found && strncmp(line, "VmFlags:", 8) == 0)
			break;
	}
	if (found)
		snprintf(flags, 256, "%.255s", line + 8);
	fclose(smaps);
	return found;
}

static void mapping_flags(void **state)
{
	char flags[256];
	struct ram ram;

	(void)state;
	init(&ram, 8 * MIB, BACKING_4K);
	/* One mapping, exactly as long as the memory. */
	assert_true(vm_flags(ram.host, flags) == ram.bytes);
	assert_non_null(strstr(flags, " dc")); /* not copied on fork */
	assert_non_null(strstr(flags, " dd")); /* not dumped */
	assert_null(strstr(flags, " mg"));     /* not mergeable */
	assert_null(strstr(flags, " nr"));     /* accounted */
	assert_null(strstr(flags, " hg"));
	ram_fini(&ram);
	if (!have_thp())
		return;
	init(&ram, 8 * MIB, BACKING_THP);
	vm_flags(ram.host, flags);
	assert_non_null(strstr(flags, " hg"));
	ram_fini(&ram);
}

/* Nothing is populated by ram_init(), and nothing is left by ram_fini(). */
static void lazy_and_gone(void **state)
{
	unsigned char resident[4 * MIB / 4096];
	struct ram ram, zero;
	uint8_t *host;
	unsigned int i;

	(void)state;
	memset(&zero, 0, sizeof(zero));
	init(&ram, 4 * MIB, BACKING_4K);
	host = ram.host;
	assert_int_equal(mincore(host, ram.bytes, resident), 0);
	for (i = 0; i < sizeof(resident); i++)
		assert_int_equal(resident[i] & 1, 0);
	ram_fini(&ram);
	assert_memory_equal(&ram, &zero, sizeof(ram));
	assert_int_equal(mincore(host, 4 * MIB, resident), -1);
	assert_int_equal(errno, ENOMEM);
	ram_fini(&ram);
}

static void huge_bytes(void **state)
{
	struct error error = { 0 };
	struct ram ram;

	(void)state;
	init(&ram, 16 * MIB, BACKING_4K);
	assert_int_equal(prefault_host(&ram, 1, NULL, &error), 0);
	assert_true(ram_huge_bytes(&ram) == 0);
	ram_fini(&ram);
	assert_true(ram_huge_bytes(&ram) == 0);
	if (!have_thp())
		skip();
	init(&ram, 16 * MIB, BACKING_THP);
	assert_true(ram_huge_bytes(&ram) == 0);
	memset(ram.host, 1, 2 * MIB); /* one page, or (fragmented) none */
	assert_true(ram_huge_bytes(&ram) <= 2 * MIB);
	assert_int_equal(prefault_host(&ram, 1, NULL, &error), 0);
	assert_true(ram_huge_bytes(&ram) <= 16 * MIB);
	print_message("THP: %llu MiB of 16 on huge pages\n",
		      (unsigned long long)(ram_huge_bytes(&ram) / MIB));
	/* A free gigabyte without one whole 2 MiB in it would be a very strange machine. */
	assert_true(ram_huge_bytes(&ram) > 0);
	ram_fini(&ram);
}

static void lock(void **state)
{
	struct rlimit none = { 0, 0 };
	struct ram ram;
	pid_t child;
	int status;

	(void)state;
	init(&ram, 2 * MIB, BACKING_4K);
	ram_lock(&ram); /* 2 MiB fit into anybody's limit unless it was lowered */
	ram_fini(&ram);

	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct error error;

		/* Without the right and without a limit that allows it: no error, no lock. */
		if (setrlimit(RLIMIT_MEMLOCK, &none) || (geteuid() == 0 && setuid(65534)))
			_exit(2);
		if (ram_init(&ram, 2 * MIB, BACKING_4K, &error))
			_exit(3);
		ram_lock(&ram);
		_exit(ram.locked ? 4 : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* More than the pool has: refused here, in words, not by SIGBUS later. */
static void hugetlb_short(void **state)
{
	struct error error = { 0 };
	struct backing_host host;
	struct ram ram, zero;
	uint64_t pages;

	(void)state;
	memset(&zero, 0, sizeof(zero));
	backing_probe_host(&host);
	pages = host.hugetlb_2m_free + host.hugetlb_2m_spare + 64;
	if (host.hugetlb_2m_missing || pages * 2 * MIB > LAYOUT_RAM_BYTES_MAX)
		skip();
	assert_int_equal(ram_init(&ram, pages * 2 * MIB, BACKING_HUGETLB_2M, &error), -ENOMEM);
	assert_non_null(strstr(error.text, "nr_hugepages"));
	assert_memory_equal(&ram, &zero, sizeof(ram));
}

static void hugetlb(void **state)
{
	struct error error = { 0 };
	struct backing_host host;
	char flags[256];
	struct ram ram;

	(void)state;
	backing_probe_host(&host);
	if (host.hugetlb_2m_free < 2)
		skip();
	init(&ram, 4 * MIB, BACKING_HUGETLB_2M);
	assert_true(num_is_aligned((uintptr_t)ram.host, 2 * MIB));
	assert_true(vm_flags(ram.host, flags) == ram.bytes);
	assert_non_null(strstr(flags, " ht"));
	assert_non_null(strstr(flags, " dc"));
	assert_non_null(strstr(flags, " dd"));
	assert_int_equal(prefault_host(&ram, 0, NULL, &error), 0);
	assert_true(ram_huge_bytes(&ram) == ram.bytes);
	ram_lock(&ram);
	assert_false(ram.locked);
	assert_true(ram.numa_pinned);
	ram_fini(&ram);
}

static void wanted(void **state)
{
	struct error error = { 0 };
	struct ram ram;

	(void)state;
	assert_int_equal(ram_init_wanted(&ram, MIB, BACKING_AUTO, true, &error), -EINVAL);
	if (!is_mappable(LAYOUT_RAM_BYTES_MAX)) {
		assert_int_equal(
			ram_init_wanted(&ram, LAYOUT_RAM_BYTES_MAX, BACKING_4K, true, &error),
			-ENOMEM);
		assert_null(ram.host);
	}
	if (ram_init_wanted(&ram, 16 * MIB, BACKING_AUTO, true, &error))
		fail_msg("%s", error.text);
	assert_int_not_equal(ram.backing, BACKING_AUTO);
	assert_true(ram.bytes == 16 * MIB);
	ram_fini(&ram);
	if (ram_init_wanted(&ram, 16 * MIB, BACKING_4K, false, &error))
		fail_msg("%s", error.text);
	assert_int_equal(ram.backing, BACKING_4K);
	ram_fini(&ram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(bad_arguments),
		cmocka_unit_test(pointers_one_range),
		cmocka_unit_test(pointers_two_ranges),
		cmocka_unit_test(writes),
		cmocka_unit_test(alignment),
		cmocka_unit_test(fork_and_guards),
		cmocka_unit_test(mapping_flags),
		cmocka_unit_test(lazy_and_gone),
		cmocka_unit_test(huge_bytes),
		cmocka_unit_test(lock),
		cmocka_unit_test(hugetlb_short),
		cmocka_unit_test(hugetlb),
		cmocka_unit_test(wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
