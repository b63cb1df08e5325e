/* SPDX-License-Identifier: Apache-2.0 */
/* test_stats: binary statistics as a file that a kernel could have written, or could not. */
#include <errno.h>
#include <linux/kvm.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/stats.h"

#define NAME_BYTES  48
#define DESC_OFFSET 64
#define DATA_OFFSET 4096

struct entry {
	char name[NAME_BYTES];
	uint32_t offset;
};

static int stats_file(const struct entry *entries, uint32_t count, struct kvm_stats_header header,
		      const uint64_t *data, size_t values)
{
	int fd = memfd_create("stats", 0);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, &header, sizeof(header), 0), sizeof(header));
	for (uint32_t i = 0; i < count; i++) {
		uint8_t one[sizeof(struct kvm_stats_desc) + NAME_BYTES] = { 0 };
		struct kvm_stats_desc desc = { .size = 1, .offset = entries[i].offset };

		memcpy(one, &desc, sizeof(desc));
		memcpy(one + sizeof(desc), entries[i].name, NAME_BYTES);
		assert_int_equal(pwrite(fd, one, sizeof(one), DESC_OFFSET + i * sizeof(one)),
				 sizeof(one));
	}
	if (values)
		assert_int_equal(pwrite(fd, data, values * 8, DATA_OFFSET), values * 8);
	return fd;
}

static struct kvm_stats_header good_header(uint32_t count)
{
	return (struct kvm_stats_header){
		.name_size = NAME_BYTES,
		.num_desc = count,
		.desc_offset = DESC_OFFSET,
		.data_offset = DATA_OFFSET,
	};
}

static void finds_values_by_name(void **state)
{
	static const struct entry entries[] = {
		{ "something_else", 0 },
		{ "exits", 8 },
		{ "pf_taken", 24 },
		{ "pf_takenx", 16 },
	};
	static const uint64_t data[] = { 1, 77, 3, 42 };
	struct stats_layout layout;
	uint64_t values[VCPU_STAT_COUNT];
	int fd = stats_file(entries, 4, good_header(4), data, 4);

	(void)state;
	assert_int_equal(stats_layout_vcpu(&layout, fd), 0);
	assert_true(stats_has(&layout, VCPU_STAT_PF_TAKEN));
	assert_false(stats_has(&layout, VCPU_STAT_HALT_EXITS));
	assert_int_equal(stats_read(&layout, fd, values), 0);
	assert_int_equal(values[VCPU_STAT_PF_TAKEN], 42);
	assert_int_equal(values[VCPU_STAT_EXITS], 77);
	assert_int_equal(values[VCPU_STAT_HALT_EXITS], 0);
	close(fd);
}

static void refuses_nonsense(void **state)
{
	struct kvm_stats_header bad[] = { good_header(1), good_header(1), good_header(1),
					  good_header(1) };
	static const struct entry entry = { "exits", 8 };

	(void)state;
	bad[0].name_size = 0;
	bad[1].name_size = 0xffffffff;
	bad[2].num_desc = 0xffffffff;
	bad[3].desc_offset = 0x7fffffff; /* beyond the end */
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct stats_layout layout = { .count = 99 };
		int fd = stats_file(&entry, 1, bad[i], NULL, 0);

		assert_true(stats_layout_vcpu(&layout, fd) < 0);
		assert_int_equal(layout.count, 99); /* untouched */
		close(fd);
	}
}

/* A name that fills its field has no terminator; an offset may be anywhere. */
static void bounds(void **state)
{
	struct entry entries[2] = { { "", 0 }, { "exits", 0xfffffff8 } };
	struct stats_layout layout;
	uint64_t values[VCPU_STAT_COUNT];
	int fd;

	(void)state;
	memset(entries[0].name, 'x', NAME_BYTES);
	fd = stats_file(entries, 2, good_header(2), NULL, 0);
	assert_int_equal(stats_layout_vcpu(&layout, fd), 0);
	assert_false(stats_has(&layout, VCPU_STAT_EXITS));
	assert_int_equal(stats_read(&layout, fd, values), 0);
	close(fd);
}

static void short_data_is_an_error(void **state)
{
	static const struct entry entry = { "exits", 800 };
	static const uint64_t data[1] = { 1 };
	struct stats_layout layout;
	uint64_t values[VCPU_STAT_COUNT];
	int fd = stats_file(&entry, 1, good_header(1), data, 1);

	(void)state;
	assert_int_equal(stats_layout_vcpu(&layout, fd), 0);
	assert_int_equal(stats_read(&layout, fd, values), -ENODATA);
	close(fd);
}

/* A histogram is found by its name and its size, and one of another size is not believed. */
static void histogram(void **state)
{
	static const struct entry entries[] = { { "exit_reason_hist", 8 }, { "exits", 0 } };
	static const uint64_t data[] = { 5, 10, 20 };
	struct stats_layout layout;
	uint64_t buckets[STATS_BUCKETS];
	int fd = stats_file(entries, 2, good_header(2), data, 3);

	(void)state;
	assert_int_equal(stats_layout_vcpu(&layout, fd), 0);
	assert_int_equal(layout.histogram_count, 1); /* stats_file() says size 1 */
	assert_int_equal(stats_read_histogram(&layout, fd, buckets), 0);
	assert_int_equal(buckets[0], 10);
	assert_int_equal(buckets[1], 0);
	assert_int_equal(stats_layout_vm(&layout, fd), 0);
	assert_int_equal(stats_read_histogram(&layout, fd, buckets), -ENOENT);
	close(fd);
}

static void every_value_has_a_name(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < VCPU_STAT_COUNT; i++)
		assert_non_null(vcpu_stat_name(i));
	for (unsigned int i = 0; i < VM_STAT_COUNT; i++)
		assert_non_null(vm_stat_name(i));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_values_by_name),
		cmocka_unit_test(refuses_nonsense),
		cmocka_unit_test(bounds),
		cmocka_unit_test(short_data_is_an_error),
		cmocka_unit_test(histogram),
		cmocka_unit_test(every_value_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
