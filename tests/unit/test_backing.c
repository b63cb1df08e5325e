/* SPDX-License-Identifier: Apache-2.0 */
/* test_backing: which kind of memory is chosen on which host, and what a refusal says. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/num.h"
#include "mem/backing.h"

static void names(void **state)
{
	enum backing backing = BACKING_AUTO;
	unsigned int i;

	(void)state;
	for (i = 0; i < BACKING_COUNT; i++) {
		assert_true(backing_parse(backing_name((enum backing)i), &backing));
		assert_int_equal(backing, i);
	}
	assert_true(backing_parse("HUGETLB-1g", &backing));
	assert_int_equal(backing, BACKING_HUGETLB_1G);
	assert_false(backing_parse("", &backing));
	assert_false(backing_parse("hugetlb", &backing));
	assert_false(backing_parse("4k ", &backing));
	assert_int_equal(backing, BACKING_HUGETLB_1G);
	assert_string_equal(backing_name((enum backing)77), "unknown");
	assert_string_equal(backing_name((enum backing) - 1), "unknown");
}

static void page_sizes(void **state)
{
	(void)state;
	assert_true(backing_page_bytes(BACKING_AUTO) == 0);
	assert_true(backing_page_bytes(BACKING_HUGETLB_1G) == GIB);
	assert_true(backing_page_bytes(BACKING_HUGETLB_2M) == 2 * MIB);
	assert_true(backing_page_bytes(BACKING_THP) == 2 * MIB);
	assert_true(backing_page_bytes(BACKING_4K) == 4096);
}

/* A host with 8 GiB, 4 GiB of it free, THP on and empty pools. */
static const struct backing_host plain = {
	.thp = true,
	.memory_total_bytes = 8 * GIB,
	.memory_available_bytes = 4 * GIB,
};

static void expect(enum backing wanted, uint64_t bytes, bool populate,
		   const struct backing_host *host, enum backing expected)
{
	struct error error = { 0 };
	enum backing chosen = BACKING_AUTO;

	if (backing_choose(wanted, bytes, populate, host, &chosen, &error))
		fail_msg("%s", error.text);
	assert_int_equal(chosen, expected);
	assert_string_equal(error.text, "");
}

static void refuse(enum backing wanted, uint64_t bytes, bool populate,
		   const struct backing_host *host, int rc, const char *text)
{
	enum backing chosen = (enum backing)77;
	struct error error = { 0 };

	assert_int_equal(backing_choose(wanted, bytes, populate, host, &chosen, &error), rc);
	assert_int_equal(chosen, 77);
	assert_int_equal(error.code, -rc);
	if (!strstr(error.text, text))
		fail_msg("\"%s\" is not in \"%s\"", text, error.text);
	assert_true(strlen(error.text) < ERROR_TEXT_BYTES - 1);
}

static void automatic(void **state)
{
	struct backing_host host = plain;

	(void)state;
	expect(BACKING_AUTO, GIB, true, &host, BACKING_THP);
	host.hugetlb_2m_total = 600;
	host.hugetlb_2m_free = 512;
	expect(BACKING_AUTO, GIB, true, &host, BACKING_HUGETLB_2M);
	expect(BACKING_AUTO, GIB + 2 * MIB, true, &host, BACKING_THP);
	host.hugetlb_2m_free = 511;
	host.hugetlb_2m_spare = 1000; /* may not be there when asked: auto does not ask */
	expect(BACKING_AUTO, GIB, true, &host, BACKING_THP);
	host.thp = false;
	expect(BACKING_AUTO, GIB, true, &host, BACKING_4K);
	/* The pool helps where memory would be short. */
	host.hugetlb_2m_free = 3000;
	host.memory_available_bytes = GIB;
	expect(BACKING_AUTO, 5 * GIB, true, &host, BACKING_HUGETLB_2M);
	refuse(BACKING_AUTO, 6 * GIB, true, &host, -ENOMEM, "MemAvailable");
}

static void short_pool(void **state)
{
	struct backing_host host = plain;

	(void)state;
	refuse(BACKING_HUGETLB_2M, 128 * MIB, true, &host, -ENOMEM,
	       "echo 64 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
	/* What is there and taken stays counted: 100 + (64 - 10). */
	host.hugetlb_2m_total = 100;
	host.hugetlb_2m_free = 10;
	refuse(BACKING_HUGETLB_2M, 128 * MIB, false, &host, -ENOMEM, "echo 154 > ");
	refuse(BACKING_HUGETLB_2M, 128 * MIB, false, &host, -ENOMEM, "hugepagesz=2M hugepages=154");
	host.hugetlb_2m_spare = 53;
	refuse(BACKING_HUGETLB_2M, 128 * MIB, false, &host, -ENOMEM, "echo 154 > ");
	host.hugetlb_2m_spare = 54;
	expect(BACKING_HUGETLB_2M, 128 * MIB, true, &host, BACKING_HUGETLB_2M);
	host.hugetlb_2m_free = 64;
	host.hugetlb_2m_spare = 0;
	expect(BACKING_HUGETLB_2M, 128 * MIB, true, &host, BACKING_HUGETLB_2M);
	host.hugetlb_2m_missing = true;
	refuse(BACKING_HUGETLB_2M, 128 * MIB, true, &host, -EOPNOTSUPP, "2M");
}

static void gigabytes(void **state)
{
	struct backing_host host = plain;

	(void)state;
	refuse(BACKING_HUGETLB_1G, GIB + 2 * MIB, true, &host, -EINVAL, "1048576 KiB");
	refuse(BACKING_HUGETLB_1G, 2 * GIB, true, &host, -ENOMEM,
	       "echo 2 > /sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages");
	refuse(BACKING_HUGETLB_1G, 2 * GIB, true, &host, -ENOMEM, "hugepagesz=1G hugepages=2");
	host.hugetlb_1g_total = 2;
	host.hugetlb_1g_free = 2;
	expect(BACKING_HUGETLB_1G, 2 * GIB, true, &host, BACKING_HUGETLB_1G);
	host.hugetlb_1g_missing = true;
	refuse(BACKING_HUGETLB_1G, 2 * GIB, true, &host, -EOPNOTSUPP, "1G");
}

static void small_pages(void **state)
{
	struct backing_host host = plain;

	(void)state;
	expect(BACKING_4K, GIB, true, &host, BACKING_4K);
	refuse(BACKING_THP, GIB + 4096, true, &host, -EINVAL, "2048 KiB");
	refuse(BACKING_4K, GIB + 1, true, &host, -EINVAL, "4 KiB");
	host.thp = false;
	refuse(BACKING_THP, GIB, true, &host, -EOPNOTSUPP,
	       "/sys/kernel/mm/transparent_hugepage/enabled");
}

static void short_memory(void **state)
{
	struct backing_host host = plain;

	(void)state;
	/* All that is available is too much: the host needs page tables and some air. */
	refuse(BACKING_THP, 4 * GIB, true, &host, -ENOMEM, "4096 MiB the host has available");
	expect(BACKING_THP, 4 * GIB - 64 * MIB, true, &host, BACKING_THP);
	/* Not populated now: only what can never be there is refused. */
	expect(BACKING_4K, 8 * GIB, false, &host, BACKING_4K);
	refuse(BACKING_4K, 8 * GIB + 4096, false, &host, -ENOMEM, "8192 MiB of memory");
	refuse(BACKING_4K, UINT64_MAX - 4095, true, &host, -ENOMEM, "8192 MiB of memory");

	host.memory_limit_bytes = GIB;
	refuse(BACKING_THP, GIB, true, &host, -ENOMEM, "memory.max");
	expect(BACKING_THP, GIB - 32 * MIB, true, &host, BACKING_THP);
	expect(BACKING_THP, GIB, false, &host, BACKING_THP);

	/* No /proc: nothing is known, nothing is refused. */
	memset(&host, 0, sizeof(host));
	expect(BACKING_4K, GIB, true, &host, BACKING_4K);
}

/* The short probe leads to the same choice, or the same words, as the long one. */
static void short_probe(void **state)
{
	static const uint64_t sizes[] = { 2 * MIB, 128 * MIB, 4 * GIB, 400 * GIB };
	struct backing_host whole, part;
	unsigned int kind, i;

	(void)state;
	for (kind = 0; kind < BACKING_COUNT; kind++) {
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			enum backing wanted = (enum backing)kind;
			enum backing chosen[2] = { BACKING_AUTO, BACKING_AUTO };
			struct error errors[2] = { { 0 }, { 0 } };

			backing_probe_host(&whole);
			backing_probe_for(&part, wanted, sizes[i]);
			/* What changes by itself between the two. */
			part.memory_available_bytes =
				num_min(part.memory_available_bytes, whole.memory_available_bytes);
			if (part.memory_available_bytes)
				whole.memory_available_bytes = part.memory_available_bytes;
			assert_int_equal(backing_choose(wanted, sizes[i], true, &part, &chosen[0],
							&errors[0]),
					 backing_choose(wanted, sizes[i], true, &whole, &chosen[1],
							&errors[1]));
			assert_int_equal(chosen[0], chosen[1]);
			assert_string_equal(errors[0].text, errors[1].text);
		}
	}
}

static void this_host(void **state)
{
	struct backing_host host;

	(void)state;
	memset(&host, 0xff, sizeof(host));
	backing_probe_host(&host);
	assert_true(host.memory_total_bytes > 16 * MIB);
	assert_true(host.memory_available_bytes > 0);
	assert_true(host.memory_available_bytes <= host.memory_total_bytes);
	assert_true(host.hugetlb_2m_free <= host.hugetlb_2m_total);
	assert_true(host.hugetlb_1g_free <= host.hugetlb_1g_total);
	if (host.hugetlb_2m_missing)
		assert_true(host.hugetlb_2m_total == 0);
	expect(BACKING_4K, 2 * MIB, true, &host, BACKING_4K);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),        cmocka_unit_test(page_sizes),
		cmocka_unit_test(automatic),    cmocka_unit_test(short_pool),
		cmocka_unit_test(gigabytes),    cmocka_unit_test(small_pages),
		cmocka_unit_test(short_memory), cmocka_unit_test(this_host),
		cmocka_unit_test(short_probe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
