/* SPDX-License-Identifier: Apache-2.0 */
/* test_deferred: writes that wait in a ring reach their devices in order, and before an access that
 * does not wait. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/num.h"
#include "devices/bus.h"
#include "vmm/deferred.h"
#include "vmm/exit.h"
#include "vmm/kvm.h"

#define PAGE    4096
#define PAGES   3
#define WINDOW  UINT64_C(0xd0000000)
#define HISTORY 512
#define THREADS 4
#define RING_MAX \
	((PAGE - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio))

/* Each write that came to a device. */
static struct {
	unsigned int count;
	struct {
		const struct device *device;
		uint64_t offset, value;
	} writes[HISTORY];
} history;

static void probe_read(struct device *device, uint64_t offset, uint32_t size, uint64_t *value)
{
	(void)device;
	(void)offset;
	(void)size;
	*value = history.count;
}

static void probe_write(struct device *device, uint64_t offset, uint32_t size, uint64_t value)
{
	(void)size;
	assert_true(history.count < HISTORY);
	history.writes[history.count].device = device;
	history.writes[history.count].offset = offset;
	history.writes[history.count].value = value;
	history.count++;
}

static const struct device_ops probe_ops = {
	.name = "probe",
	.read = probe_read,
	.write = probe_write,
	.destroy = device_fini,
};

struct fixture {
	struct device port, memory;
	struct bus pio, mmio;
	struct deferred deferred;
	_Alignas(PAGE) uint8_t pages[PAGES * PAGE];
	struct kvm_coalesced_mmio_ring *ring;
};

static struct fixture fixture;

static int set_up(void **state)
{
	struct fixture *f = &fixture;

	memset(f, 0, sizeof(*f));
	memset(&history, 0, sizeof(history));
	device_init(&f->port, &probe_ops);
	device_init(&f->memory, &probe_ops);
	bus_init(&f->pio, "pio");
	bus_init(&f->mmio, "mmio");
	assert_int_equal(bus_add(&f->pio, 0x70, 2, &f->port, NULL), 0);
	assert_int_equal(bus_add(&f->mmio, WINDOW, 0x1000, &f->memory, NULL), 0);
	deferred_init(&f->deferred, &f->pio, &f->mmio);
	deferred_attach(&f->deferred, (struct kvm_run *)f->pages, sizeof(f->pages), 2);
	f->ring = (struct kvm_coalesced_mmio_ring *)(f->pages + 2 * PAGE);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	deferred_fini(&f->deferred);
	device_destroy(&f->port);
	device_destroy(&f->memory);
	return 0;
}

/* As KVM does it; false where the ring is full. */
static bool defer(struct fixture *f, bool port, uint64_t address, uint32_t bytes, uint64_t value)
{
	uint32_t last = f->ring->last, next = (last + 1) % RING_MAX;
	struct kvm_coalesced_mmio *entry = &f->ring->coalesced_mmio[last];

	if (next == __atomic_load_n(&f->ring->first, __ATOMIC_ACQUIRE))
		return false;
	*entry = (struct kvm_coalesced_mmio){ .phys_addr = address, .len = bytes, .pio = port };
	value = htole64(value);
	memcpy(entry->data, &value, sizeof(entry->data));
	__atomic_store_n(&f->ring->last, next, __ATOMIC_RELEASE);
	return true;
}

static void test_in_order_over_both_buses(void **state)
{
	struct fixture *f = *state;

	assert_true(defer(f, false, WINDOW + 0x10, 4, 1));
	assert_true(defer(f, true, 0x70, 1, 2));
	assert_true(defer(f, false, WINDOW + 0x14, 8, 3));
	deferred_drain(&f->deferred);
	assert_int_equal(history.count, 3);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(history.writes[i].value, i + 1);
	assert_ptr_equal(history.writes[1].device, &f->port);
	assert_int_equal(history.writes[2].offset, 0x14);
	deferred_drain(&f->deferred);
	assert_int_equal(history.count, 3);
	assert_int_equal(f->mmio.ranges[0].deferred, 2);
	assert_int_equal(f->mmio.ranges[0].writes, 0);
	assert_int_equal(f->pio.ranges[0].deferred, 1);
}

/* Another vCPU writes whenever a write was handled: it does not keep this one from its access. */
static void goes_on_writing(struct device *device, uint64_t offset, uint32_t size, uint64_t value)
{
	probe_write(device, offset, size, value);
	assert_true(defer(&fixture, false, WINDOW, 4, value + 1));
}

static void test_somebody_who_never_ceases(void **state)
{
	const struct device_ops ops = {
		.name = "probe",
		.read = probe_read,
		.write = goes_on_writing,
		.destroy = device_fini,
	};
	struct fixture *f = *state;

	f->memory.ops = &ops;
	assert_true(defer(f, false, WINDOW, 4, 1));
	assert_true(defer(f, false, WINDOW, 4, 2));
	deferred_drain(&f->deferred);
	assert_int_equal(history.count, 2);
	deferred_drain(&f->deferred);
	assert_int_equal(history.count, 4);
	f->memory.ops = &probe_ops;
}

static void test_before_an_access(void **state)
{
	struct fixture *f = *state;
	const struct exit_target target = { &f->pio, &f->mmio, &f->deferred };
	struct kvm_run *run = (struct kvm_run *)f->pages;
	const struct exit_page page = { run, sizeof(f->pages) };
	const char *why = NULL;

	assert_true(defer(f, false, WINDOW, 4, 7));
	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = WINDOW;
	run->mmio.len = 4;
	assert_int_equal(exit_handle(&target, &page, &why), EXIT_CONTINUE);
	assert_int_equal(load_le32(run->mmio.data), 1);
	assert_true(defer(f, false, WINDOW, 4, 8));
	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = KVM_EXIT_IO_IN;
	run->io.size = 1;
	run->io.port = 0x71;
	run->io.count = 1;
	run->io.data_offset = PAGE;
	assert_int_equal(exit_handle(&target, &page, &why), EXIT_CONTINUE);
	assert_int_equal(f->pages[PAGE], 2);
}

static void test_round_and_round(void **state)
{
	struct fixture *f = *state;
	uint64_t value = 0;

	for (unsigned int i = 0; i < 2; i++) {
		while (defer(f, false, WINDOW, 4, value))
			value++;
		assert_int_equal(value, (i + 1) * (RING_MAX - 1));
		deferred_drain(&f->deferred);
		assert_int_equal(history.count, value);
	}
	for (uint64_t i = 0; i < value; i++)
		assert_int_equal(history.writes[i].value, i);
}

/* What a guest, or a KVM that goes wrong, can put there. */
static void test_odd_entries(void **state)
{
	struct fixture *f = *state;

	assert_true(defer(f, false, WINDOW, 9, 1));
	assert_true(defer(f, false, WINDOW, 3, 1));
	assert_true(defer(f, false, WINDOW, 0, 1));
	assert_true(defer(f, false, WINDOW + 0xffe, 4, 1));
	assert_true(defer(f, false, UINT64_MAX, 8, 1));
	assert_true(defer(f, true, WINDOW, 4, 1));
	deferred_drain(&f->deferred);
	assert_int_equal(history.count, 0);
	f->ring->first = RING_MAX + 5;
	deferred_drain(&f->deferred);
	assert_int_equal(history.count, 0);
}

static void test_no_ring(void **state)
{
	struct fixture *f = *state;
	struct deferred none;

	deferred_init(&none, &f->pio, &f->mmio);
	deferred_drain(&none);
	deferred_attach(&none, (struct kvm_run *)f->pages, sizeof(f->pages), 0);
	assert_null(none.ring);
	deferred_attach(&none, (struct kvm_run *)f->pages, sizeof(f->pages), PAGES);
	assert_null(none.ring);
	deferred_fini(&none);
}

static void *drain_often(void *argument)
{
	struct fixture *f = argument;

	for (unsigned int i = 0; i < 20000; i++)
		deferred_drain(&f->deferred);
	return NULL;
}

/* Several vCPUs find the same ring: each write is handled once, in order. */
static void test_many_drain(void **state)
{
	struct fixture *f = *state;
	pthread_t threads[THREADS];
	uint64_t value = 0;

	for (unsigned int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, drain_often, f), 0);
	while (value < HISTORY) {
		if (defer(f, false, WINDOW, 4, value))
			value++;
		else
			deferred_drain(&f->deferred);
	}
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	deferred_drain(&f->deferred);
	assert_int_equal(history.count, HISTORY);
	for (uint64_t i = 0; i < HISTORY; i++)
		assert_int_equal(history.writes[i].value, i);
}

#define FIXTURE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_in_order_over_both_buses),
		FIXTURE_TEST(test_somebody_who_never_ceases),
		FIXTURE_TEST(test_before_an_access),
		FIXTURE_TEST(test_round_and_round),
		FIXTURE_TEST(test_odd_entries),
		FIXTURE_TEST(test_no_ring),
		FIXTURE_TEST(test_many_drain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
