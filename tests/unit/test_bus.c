/* SPDX-License-Identifier: Apache-2.0 */
/* test_bus: ranges, odd accesses, counts and the device's lock. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/num.h"
#include "devices/bus.h"

/* A device that remembers its last access and is a memory of 16 bytes. */
struct probe {
	struct device device;
	uint8_t memory[16];
	uint64_t offset;
	uint32_t size;
	unsigned int reads, writes;
	bool locked;
};

static bool is_locked(struct device *device)
{
	if (pthread_mutex_trylock(&device->lock))
		return true;
	pthread_mutex_unlock(&device->lock);
	return false;
}

static void probe_read(struct device *device, uint64_t offset, uint32_t size, uint64_t *value)
{
	struct probe *probe = (struct probe *)device;

	probe->locked = is_locked(device);
	probe->offset = offset;
	probe->size = size;
	probe->reads++;
	assert_int_equal(*value, UINT64_MAX);
	if (num_within(offset, 8, sizeof(probe->memory)))
		*value = load_le64(probe->memory + offset);
}

static void probe_write(struct device *device, uint64_t offset, uint32_t size, uint64_t value)
{
	struct probe *probe = (struct probe *)device;

	probe->locked = is_locked(device);
	probe->offset = offset;
	probe->size = size;
	probe->writes++;
	for (uint32_t i = 0; i < size; i++)
		probe->memory[offset + i] = (uint8_t)(value >> 8 * i);
}

static void probe_destroy(struct device *device)
{
	device_fini(device);
}

static const struct device_ops probe_ops = {
	.name = "probe",
	.read = probe_read,
	.write = probe_write,
	.destroy = probe_destroy,
};

static void add(struct bus *bus, uint64_t base, uint64_t bytes, struct probe *probe)
{
	struct error error = { 0 };

	assert_int_equal(bus_add(bus, base, bytes, &probe->device, &error), 0);
	assert_string_equal(error.text, "");
}

static void test_finds_each_of_many(void **state)
{
	struct probe probes[BUS_RANGES_MAX] = { 0 };
	struct bus bus;
	uint8_t byte;

	(void)state;
	bus_init(&bus, "pio");
	for (unsigned int i = 0; i < BUS_RANGES_MAX; i++) {
		unsigned int at = i * 37 % BUS_RANGES_MAX; /* in no order */

		device_init(&probes[at].device, &probe_ops);
		add(&bus, at * 32, 16, &probes[at]);
	}
	for (unsigned int i = 0; i + 1 < bus.range_count; i++)
		assert_true(bus.ranges[i].base < bus.ranges[i + 1].base);
	for (unsigned int i = 0; i < BUS_RANGES_MAX; i++) {
		assert_true(bus_read(&bus, i * 32 + 15, 1, &byte));
		assert_int_equal(probes[i].reads, 1);
		assert_int_equal(probes[i].offset, 15);
		assert_false(bus_read(&bus, i * 32 + 16, 1, &byte));
		assert_int_equal(byte, 0xff);
	}
	for (unsigned int i = 0; i < BUS_RANGES_MAX; i++)
		device_destroy(&probes[i].device);
}

static void test_refuses(void **state)
{
	struct probe probe = { 0 };
	struct error error = { 0 };
	struct bus bus;

	(void)state;
	bus_init(&bus, "mmio");
	device_init(&probe.device, &probe_ops);
	add(&bus, 0x100, 0x10, &probe);
	assert_int_equal(bus_add(&bus, 0x10f, 1, &probe.device, &error), -EEXIST);
	assert_non_null(strstr(error.text, "probe"));
	assert_int_equal(bus_add(&bus, 0xff, 2, &probe.device, NULL), -EEXIST);
	assert_int_equal(bus_add(&bus, 0, 0x1000, &probe.device, NULL), -EEXIST);
	assert_int_equal(bus_add(&bus, 0x104, 1, &probe.device, NULL), -EEXIST);
	assert_int_equal(bus_add(&bus, 0, 0, &probe.device, NULL), -EINVAL);
	assert_int_equal(bus_add(&bus, UINT64_MAX, 2, &probe.device, NULL), -EINVAL);
	add(&bus, UINT64_MAX, 1, &probe);
	add(&bus, 0x110, 1, &probe);
	add(&bus, 0xff, 1, &probe);
	for (unsigned int i = bus.range_count; i < BUS_RANGES_MAX; i++)
		add(&bus, 0x1000 + i, 1, &probe);
	assert_int_equal(bus_add(&bus, 0x10, 1, &probe.device, NULL), -ENOSPC);
	bus_freeze(&bus);
	assert_int_equal(bus_add(&bus, 0x10, 1, &probe.device, NULL), -EBUSY);
	device_destroy(&probe.device);
}

static void test_passes_sizes_under_lock(void **state)
{
	static const uint8_t bytes[8] = { 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88 };
	struct probe probe = { 0 };
	struct bus bus;

	(void)state;
	bus_init(&bus, "mmio");
	device_init(&probe.device, &probe_ops);
	add(&bus, 0x1000, 16, &probe);
	for (uint32_t size = 1; size <= 8; size *= 2) {
		uint8_t data[9];

		memset(data, 0xaa, sizeof(data));
		assert_true(bus_write(&bus, 0x1003, size,
				      bytes)); /* unaligned is the device's affair */
		assert_true(probe.locked);
		assert_int_equal(probe.size, size);
		assert_int_equal(probe.offset, 3);
		assert_true(bus_read(&bus, 0x1003, size, data));
		assert_true(probe.locked);
		assert_memory_equal(data, bytes, size);
		assert_int_equal(data[size], 0xaa);
	}
	assert_int_equal(bus.ranges[0].reads, 4);
	assert_int_equal(bus.ranges[0].writes, 4);
	assert_false(is_locked(&probe.device));
	device_destroy(&probe.device);
}

static void test_ignores_what_does_not_fit(void **state)
{
	static const struct {
		uint64_t address;
		uint32_t size;
	} cases[] = { { 0xfff, 2 },      { 0x100f, 2 }, { 0x1009, 8 },        { 0x1000, 3 },
		      { 0x1000, 5 },     { 0x1000, 7 }, { 0x1010, 1 },        { 0, 4 },
		      { UINT64_MAX, 8 }, { 0xffc, 8 },  { UINT64_MAX - 3, 4 } };
	struct probe probe = { 0 };
	struct bus bus;

	(void)state;
	bus_init(&bus, "mmio");
	device_init(&probe.device, &probe_ops);
	add(&bus, 0x1000, 16, &probe);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t data[8] = { 0 };

		assert_false(bus_write(&bus, cases[i].address, cases[i].size, data));
		assert_false(bus_read(&bus, cases[i].address, cases[i].size, data));
		for (uint32_t at = 0; at < sizeof(data); at++)
			assert_int_equal(data[at], at < cases[i].size ? 0xff : 0);
	}
	assert_int_equal(probe.reads + probe.writes, 0);
	assert_int_equal(bus.unclaimed_reads, ARRAY_SIZE(cases));
	assert_int_equal(bus.unclaimed_writes, ARRAY_SIZE(cases));
	device_destroy(&probe.device);
}

static void test_empty_bus(void **state)
{
	uint32_t data = 0;
	struct bus bus;

	(void)state;
	bus_init(&bus, "pio");
	assert_false(bus_read(&bus, 0x80, 4, &data));
	assert_int_equal(data, UINT32_MAX);
	device_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_finds_each_of_many),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_passes_sizes_under_lock),
		cmocka_unit_test(test_ignores_what_does_not_fit),
		cmocka_unit_test(test_empty_bus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
