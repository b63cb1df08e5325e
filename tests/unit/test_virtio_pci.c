/* SPDX-License-Identifier: Apache-2.0 */
/* test_virtio_pci: a driver finds an entropy device on the PCI bus, sets it up with MSI-X and uses
 * it; and every way to do that wrong. */
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/num.h"
#include "devices/net.h"
#include "devices/rng.h"
#include "devices/virtio_pci.h"
#include "tests/fake/guest.h"
#include "tests/fake/net.h"

#define SLOT        3
#define BAR_GPA     UINT64_C(0xd1010000)
#define BUFFER      0x80000
#define VERSION_1   VIRTIO_FEATURE(VIRTIO_F_VERSION_1)
#define EVENT_IDX   VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX)
#define NEEDS_RESET 0x40

struct bench {
	struct ram ram;
	struct fake_wires wires;
	struct log log;
	uint8_t *ecam;
	struct pci_function *function;
	struct virtio *rng;
	struct fake_queue q;
};

static void plug(struct bench *bench, struct virtio *virtio, uint16_t notify_port)
{
	struct virtio_pci_setup setup = { .bar_gpa = BAR_GPA, .notify_port = notify_port };

	bench->ecam = calloc(1, PCI_ECAM_BYTES);
	assert_non_null(bench->ecam);
	pci_ecam_init(bench->ecam);
	setup.config_page = pci_ecam_page(bench->ecam, SLOT);
	fake_wires_init(&bench->wires, &setup.wiring);
	bench->function = virtio_pci_create(virtio, &setup);
	fake_queue_init(&bench->q, &bench->ram, 0x10000, 64, true);
}

static void create(struct bench *bench, uint16_t notify_port)
{
	bench->rng = rng_create(&bench->ram, &bench->log);
	plug(bench, bench->rng, notify_port);
}

static void destroy(struct bench *bench)
{
	device_destroy(&bench->function->device);
	free(bench->ecam);
}

static int setup(void **state)
{
	static struct bench bench;

	memset(&bench, 0, sizeof(bench));
	fake_ram_init(&bench.ram);
	create(&bench, 0);
	*state = &bench;
	return 0;
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	destroy(bench);
	fake_ram_fini(&bench->ram);
	return 0;
}

/* As the guest does: it is memory. */
static uint32_t config(struct bench *bench, uint32_t offset, uint32_t size)
{
	uint32_t value = 0;

	memcpy(&value, bench->ecam + (SLOT << 15) + offset, size);
	return le32toh(value);
}

static void set_config(struct bench *bench, uint32_t offset, uint32_t size, uint32_t value)
{
	value = htole32(value);
	memcpy(bench->ecam + (SLOT << 15) + offset, &value, size);
}

static uint32_t get(struct bench *bench, uint64_t offset, uint32_t size)
{
	return (uint32_t)fake_read(&bench->function->device, offset, size);
}

static void put(struct bench *bench, uint64_t offset, uint32_t size, uint64_t value)
{
	fake_write(&bench->function->device, offset, size, value);
}

/* The offset of the n-th capability with this id, or 0. */
static uint32_t capability(struct bench *bench, uint8_t id, uint8_t type)
{
	uint32_t at = config(bench, PCI_CAPABILITY_LIST, 1);

	assert_true(config(bench, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST);
	for (unsigned int i = 0; at && i < 48; i++) {
		assert_int_equal(at % 4, 0);
		if (config(bench, at, 1) == id &&
		    (id != PCI_CAP_ID_VNDR || config(bench, at + 3, 1) == type))
			return at;
		at = config(bench, at + 1, 1);
	}
	return 0;
}

static void test_bus_is_scanned(void **state)
{
	struct bench *bench = *state;

	for (unsigned int i = 0; i < PCI_FUNCTIONS; i++) {
		uint32_t id = load_le32(bench->ecam + i * PCI_ECAM_PAGE_BYTES);

		if (i == SLOT * 8)
			assert_int_equal(id, 0x10441af4);
		else
			assert_true(id == UINT32_MAX || (id == 0 && i % 8));
	}
	assert_int_equal(load_le16(bench->ecam + 0xf900a), 0xffff); /* Linux looks at 31.1 */
	assert_int_equal(config(bench, PCI_REVISION_ID, 1), 1);
	assert_int_equal(config(bench, PCI_CLASS_DEVICE, 2), 0x00ff);
	assert_int_equal(config(bench, PCI_HEADER_TYPE, 1), 0);
	assert_int_equal(config(bench, PCI_INTERRUPT_PIN, 1), 0);
	assert_int_equal(config(bench, 0x100, 4), UINT32_MAX); /* nor is there more of it */
}

/* What is where, is told by Enhanced Allocation only. */
static void test_ranges_are_fixed(void **state)
{
	struct bench *bench = *state;
	uint32_t at = capability(bench, PCI_CAP_EA, 0);

	for (uint32_t bar = 0x10; bar < 0x28; bar += 4)
		assert_int_equal(config(bench, bar, 4), 0);
	assert_int_equal(config(bench, PCI_ROM_ADDRESS, 4), UINT32_MAX);
	assert_int_not_equal(at, 0);
	assert_int_equal(config(bench, at + PCI_EA_NUM_ENT, 1), 1);
	assert_int_equal(config(bench, at + 4, 4), 0x80ff0002); /* memory, number 0 */
	assert_int_equal(config(bench, at + 8, 4), BAR_GPA);
	assert_int_equal(config(bench, at + 12, 4), VIRTIO_PCI_BYTES - 4);
}

static void test_capabilities_lie_in_the_bar(void **state)
{
	struct bench *bench = *state;
	static const uint8_t types[] = { VIRTIO_PCI_CAP_COMMON_CFG, VIRTIO_PCI_CAP_NOTIFY_CFG,
					 VIRTIO_PCI_CAP_ISR_CFG };
	uint32_t at;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		at = capability(bench, PCI_CAP_ID_VNDR, types[i]);
		assert_int_not_equal(at, 0);
		assert_int_equal(config(bench, at + VIRTIO_PCI_CAP_BAR, 1), 0);
		assert_true(num_within(config(bench, at + VIRTIO_PCI_CAP_OFFSET, 4),
				       config(bench, at + VIRTIO_PCI_CAP_LENGTH, 4),
				       VIRTIO_PCI_BYTES));
	}
	assert_int_equal(capability(bench, PCI_CAP_ID_VNDR, VIRTIO_PCI_CAP_DEVICE_CFG), 0);
	at = capability(bench, PCI_CAP_ID_MSIX, 0);
	assert_int_equal(config(bench, at + PCI_MSIX_FLAGS, 2), 1); /* two vectors */
	assert_int_equal(config(bench, at + PCI_MSIX_TABLE, 4), VIRTIO_PCI_AT_MSIX_TABLE);
	assert_int_equal(config(bench, at + PCI_MSIX_PBA, 4), VIRTIO_PCI_AT_MSIX_PENDING);
}

static void set_vector(struct bench *bench, unsigned int vector, uint64_t address, uint32_t data,
		       bool masked)
{
	uint64_t at = VIRTIO_PCI_AT_MSIX_TABLE + 16 * vector;

	put(bench, at, 4, (uint32_t)address);
	put(bench, at + 4, 4, address >> 32);
	put(bench, at + 8, 4, data);
	put(bench, at + 12, 4, masked);
}

static void enable_msix(struct bench *bench, uint16_t flags)
{
	set_config(bench, capability(bench, PCI_CAP_ID_MSIX, 0) + PCI_MSIX_FLAGS, 2, flags);
}

static bool start(struct bench *bench, uint64_t features)
{
	struct fake_queue *q = &bench->q;

	put(bench, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	assert_int_equal(get(bench, VIRTIO_PCI_COMMON_STATUS, 1), 0);
	put(bench, VIRTIO_PCI_COMMON_STATUS, 1, 3);
	for (unsigned int i = 0; i < 2; i++) {
		put(bench, VIRTIO_PCI_COMMON_GFSELECT, 4, i);
		put(bench, VIRTIO_PCI_COMMON_GF, 4, (uint32_t)(features >> 32 * i));
		assert_int_equal(get(bench, VIRTIO_PCI_COMMON_GF, 4),
				 (uint32_t)(features >> 32 * i));
	}
	put(bench, VIRTIO_PCI_COMMON_STATUS, 1, 0x0b);
	if (get(bench, VIRTIO_PCI_COMMON_STATUS, 1) != 0x0b)
		return false;
	put(bench, VIRTIO_PCI_COMMON_MSIX, 2, 0);
	assert_int_equal(get(bench, VIRTIO_PCI_COMMON_MSIX, 2), 0);
	put(bench, VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
	put(bench, VIRTIO_PCI_COMMON_Q_SIZE, 2, q->size);
	put(bench, VIRTIO_PCI_COMMON_Q_MSIX, 2, 1);
	assert_int_equal(get(bench, VIRTIO_PCI_COMMON_Q_MSIX, 2), 1);
	put(bench, VIRTIO_PCI_COMMON_Q_DESCLO, 4, (uint32_t)q->descriptors_gpa);
	put(bench, VIRTIO_PCI_COMMON_Q_DESCHI, 4, q->descriptors_gpa >> 32);
	put(bench, VIRTIO_PCI_COMMON_Q_AVAILLO, 8, q->driver_gpa); /* both halves at once */
	put(bench, VIRTIO_PCI_COMMON_Q_USEDLO, 4, (uint32_t)q->device_gpa);
	put(bench, VIRTIO_PCI_COMMON_Q_USEDHI, 4, q->device_gpa >> 32);
	put(bench, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	put(bench, VIRTIO_PCI_COMMON_STATUS, 1, 0x0f);
	return get(bench, VIRTIO_PCI_COMMON_STATUS, 1) == 0x0f;
}

static void ask(struct bench *bench)
{
	fake_queue_add(&bench->q, (struct fake_buffer[]){ { BUFFER, 32, true } }, 1);
	fake_queue_interrupts(&bench->q, true);
}

static void test_entropy_with_msix(void **state)
{
	struct bench *bench = *state;
	uint32_t head, bytes;

	set_vector(bench, 0, 0xfee00000, 0x40, false);
	set_vector(bench, 1, 0x1fee01000, 0x41, false);
	enable_msix(bench, PCI_MSIX_FLAGS_ENABLE);
	assert_true(start(bench, VERSION_1 | EVENT_IDX));
	ask(bench);
	put(bench, VIRTIO_PCI_AT_NOTIFY, 2, 0);
	fake_wires_run(&bench->wires, bench->rng);
	assert_true(fake_queue_used(&bench->q, &head, &bytes));
	assert_int_equal(bytes, 32);
	assert_int_equal(bench->wires.interrupts[1], 1);
	assert_int_equal(bench->wires.interrupts[0], 0);
	assert_int_equal(get(bench, VIRTIO_PCI_AT_ISR, 1), 0);
	assert_int_equal(bench->wires.routes[1].count, 1);
	assert_true(bench->wires.routes[1].address == 0x1fee01000);
	fake_queue_offer(&bench->q, 999);
	virtio_kick(bench->rng, 0);
	assert_int_equal(bench->wires.routes[0].data, 0x40);
	assert_int_equal(get(bench, VIRTIO_PCI_COMMON_STATUS, 1), 0x0f | NEEDS_RESET);
	assert_int_equal(bench->wires.interrupts[0], 1);
}

static void mask(struct bench *bench, uint32_t masked)
{
	put(bench, VIRTIO_PCI_AT_MSIX_TABLE + 16 + 12, 4, masked);
}

static void interrupt_once(struct bench *bench)
{
	uint32_t head, bytes;

	while (fake_queue_used(&bench->q, &head, &bytes))
		;
	ask(bench);
	virtio_kick(bench->rng, 0);
}

static void test_masking(void **state)
{
	struct bench *bench = *state;

	set_vector(bench, 1, 0xfee00000, 0x41, true);
	enable_msix(bench, PCI_MSIX_FLAGS_ENABLE);
	assert_true(start(bench, VERSION_1 | EVENT_IDX));
	interrupt_once(bench);
	assert_int_equal(bench->wires.interrupts_all, 0);
	assert_int_equal(get(bench, VIRTIO_PCI_AT_MSIX_PENDING, 4), 2);
	enable_msix(bench, 0); /* not now */
	mask(bench, 0);
	assert_int_equal(bench->wires.interrupts_all, 0);
	enable_msix(bench, PCI_MSIX_FLAGS_ENABLE);
	mask(bench, 0);
	assert_int_equal(bench->wires.interrupts[1], 1);
	assert_int_equal(bench->wires.routes[1].count, 1);
	assert_int_equal(get(bench, VIRTIO_PCI_AT_MSIX_PENDING, 4), 0);
	mask(bench, 1); /* masked and not: the same route */
	mask(bench, 0);
	interrupt_once(bench);
	assert_int_equal(bench->wires.interrupts[1], 2);
	assert_int_equal(bench->wires.routes[1].count, 1);
	put(bench, VIRTIO_PCI_AT_MSIX_TABLE + 16 + 8, 4, 0x51);
	interrupt_once(bench);
	assert_int_equal(bench->wires.routes[1].count, 2);
	assert_int_equal(bench->wires.routes[1].data, 0x51);
	assert_int_equal(bench->wires.interrupts[1], 3);
}

static void test_table_accesses(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(get(bench, VIRTIO_PCI_AT_MSIX_TABLE + 12, 4), 1); /* masked at first */
	put(bench, VIRTIO_PCI_AT_MSIX_TABLE, 8, UINT64_C(0x0000001fee000ff0));
	put(bench, VIRTIO_PCI_AT_MSIX_TABLE + 8, 8, 0x77);
	assert_true(fake_read(&bench->function->device, VIRTIO_PCI_AT_MSIX_TABLE, 8) ==
		    UINT64_C(0x0000001fee000ff0));
	assert_int_equal(get(bench, VIRTIO_PCI_AT_MSIX_TABLE + 8, 4), 0x77);
	assert_int_equal(get(bench, VIRTIO_PCI_AT_MSIX_TABLE + 12, 4), 0);
	put(bench, VIRTIO_PCI_AT_MSIX_TABLE + 8, 2, 0x55); /* not as wide as it must be */
	put(bench, VIRTIO_PCI_AT_MSIX_TABLE + 9, 4, 0x55);
	put(bench, VIRTIO_PCI_AT_MSIX_TABLE + 32, 4, 0x55); /* a third vector */
	put(bench, VIRTIO_PCI_AT_MSIX_TABLE + 0xff8, 8, 0x55);
	assert_int_equal(get(bench, VIRTIO_PCI_AT_MSIX_TABLE + 8, 4), 0x77);
	assert_int_equal(get(bench, VIRTIO_PCI_AT_MSIX_TABLE + 0xffc, 4), UINT32_MAX);
	assert_int_equal(get(bench, VIRTIO_PCI_AT_MSIX_PENDING + 0xffc, 4), 0);
}

static void test_vectors_that_there_are_not(void **state)
{
	struct bench *bench = *state;

	put(bench, VIRTIO_PCI_COMMON_MSIX, 2, 2);
	assert_int_equal(get(bench, VIRTIO_PCI_COMMON_MSIX, 2), 0xffff);
	put(bench, VIRTIO_PCI_COMMON_Q_MSIX, 2, 0x8000);
	assert_int_equal(get(bench, VIRTIO_PCI_COMMON_Q_MSIX, 2), 0xffff);
	enable_msix(bench, PCI_MSIX_FLAGS_ENABLE);
	assert_true(start(bench, VERSION_1));
	put(bench, VIRTIO_PCI_COMMON_MSIX, 2, 0xffff);
	fake_queue_offer(&bench->q, 999);
	virtio_kick(bench->rng, 0);
	assert_int_equal(bench->wires.interrupts_all, 0);
}

static void plug_net(struct bench *bench, struct fake_net *backend, uint16_t pairs)
{
	const struct net_setup setup = {
		.ram = &bench->ram,
		.log = &bench->log,
		.backend = &backend->backend,
		.mac = { 2 },
	};
	struct virtio *net = NULL;

	destroy(bench);
	fake_net_init(backend, pairs, 0);
	assert_int_equal(net_create(&net, &setup, NULL), 0);
	plug(bench, net, 0);
}

/* What one pair of network queues has to say is said with one interrupt; more pairs have one for
 * each queue. */
static void test_vectors_of_a_network_device(void **state)
{
	struct bench *bench = *state;
	static struct fake_net backend; /* until teardown */
	uint32_t at;

	for (uint16_t pairs = 1; pairs <= FAKE_NET_PAIRS; pairs++) {
		uint32_t last = pairs > 1 ? 2 * pairs + 1u : 1;

		plug_net(bench, &backend, pairs);
		at = capability(bench, PCI_CAP_ID_MSIX, 0);
		assert_int_equal(config(bench, at + PCI_MSIX_FLAGS, 2), last);
		for (unsigned int queue = 0; queue < 2u * pairs; queue++) {
			put(bench, VIRTIO_PCI_COMMON_Q_SELECT, 2, queue);
			put(bench, VIRTIO_PCI_COMMON_Q_MSIX, 2, last);
			assert_int_equal(get(bench, VIRTIO_PCI_COMMON_Q_MSIX, 2), last);
			put(bench, VIRTIO_PCI_COMMON_Q_MSIX, 2, last + 1);
			assert_int_equal(get(bench, VIRTIO_PCI_COMMON_Q_MSIX, 2), 0xffff);
		}
		fake_net_close_peers(&backend);
	}
}

static void test_without_msix(void **state)
{
	struct bench *bench = *state;

	bench->q.event_index = false;
	assert_true(start(bench, VERSION_1));
	ask(bench);
	fake_wires_run(&bench->wires, bench->rng);
	assert_int_equal(bench->wires.interrupts_all, 0);
	assert_int_equal(get(bench, VIRTIO_PCI_AT_ISR, 1), 1);
	assert_int_equal(get(bench, VIRTIO_PCI_AT_ISR, 1), 0);
}

/* CVE-2026-5747 was a queue's size that was changed after activation, with this transport. */
static void test_frozen_after_driver_ok(void **state)
{
	struct bench *bench = *state;
	struct virtq before;

	assert_true(start(bench, VERSION_1 | EVENT_IDX));
	before = bench->rng->queues[0];
	put(bench, VIRTIO_PCI_COMMON_Q_SIZE, 2, 32);
	put(bench, VIRTIO_PCI_COMMON_Q_DESCLO, 8, UINT64_MAX);
	put(bench, VIRTIO_PCI_COMMON_Q_AVAILHI, 4, 1);
	put(bench, VIRTIO_PCI_COMMON_Q_USEDLO, 4, 0);
	put(bench, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 0);
	put(bench, VIRTIO_PCI_COMMON_Q_MSIX, 2, 0);
	assert_memory_equal(&before, &bench->rng->queues[0], sizeof(before));
	assert_int_equal(get(bench, VIRTIO_PCI_COMMON_Q_MSIX, 2), 1);
	assert_int_equal(get(bench, VIRTIO_PCI_COMMON_Q_SIZE, 2), 64);
}

static void test_bad_queues(void **state)
{
	struct bench *bench = *state;

	bench->q.size = 63;
	assert_false(start(bench, VERSION_1));
	bench->q.size = 128; /* more than it may be */
	assert_false(start(bench, VERSION_1));
	bench->q.size = 0;
	assert_false(start(bench, VERSION_1));
	bench->q.size = 64;
	bench->q.descriptors_gpa = FAKE_LOW_BYTES;
	assert_false(start(bench, VERSION_1));
	assert_int_equal(get(bench, VIRTIO_PCI_COMMON_STATUS, 1), 0x0f | NEEDS_RESET);
	put(bench, VIRTIO_PCI_COMMON_Q_SELECT, 2, 1);
	assert_int_equal(get(bench, VIRTIO_PCI_COMMON_Q_SIZE, 2), 0);
	put(bench, VIRTIO_PCI_COMMON_Q_SELECT, 2, 0xffff);
	put(bench, VIRTIO_PCI_COMMON_Q_SIZE, 2, 8);
	put(bench, VIRTIO_PCI_COMMON_Q_MSIX, 2, 0);
	assert_int_equal(get(bench, VIRTIO_PCI_COMMON_Q_SIZE, 2), 0);
	assert_int_equal(get(bench, VIRTIO_PCI_COMMON_NUMQ, 2), 1);
}

static void test_odd_accesses(void **state)
{
	struct bench *bench = *state;

	put(bench, VIRTIO_PCI_COMMON_Q_SIZE, 1, 8);
	put(bench, VIRTIO_PCI_COMMON_Q_SIZE, 4, 8);
	put(bench, VIRTIO_PCI_COMMON_STATUS, 2, 3);
	put(bench, VIRTIO_PCI_COMMON_NUMQ, 2, 9);
	put(bench, 57, 4, 9);
	put(bench, 0xff8, 8, 9);
	put(bench, VIRTIO_PCI_AT_NOTIFY + 4, 2, 0); /* a second queue */
	put(bench, VIRTIO_PCI_AT_NOTIFY + 0xffc, 4, 0);
	put(bench, 0x7ff8, 8, 0);
	assert_int_equal(get(bench, VIRTIO_PCI_COMMON_Q_SIZE, 2), 64);
	assert_int_equal(get(bench, VIRTIO_PCI_COMMON_STATUS, 1), 0);
	assert_int_equal(get(bench, VIRTIO_PCI_COMMON_NUMQ, 2), 1);
	assert_int_equal(get(bench, 0x38, 4), 0);
	assert_int_equal(get(bench, 0x7ff8, 4), 0);
	assert_int_equal(bench->wires.kicks_all, 0);
}

static void test_reset_waits_for_requests(void **state)
{
	struct bench *bench = *state;

	assert_true(start(bench, VERSION_1));
	virtio_hold(bench->rng);
	put(bench, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	assert_int_equal(get(bench, VIRTIO_PCI_COMMON_STATUS, 1), 0x0f);
	virtio_release(bench->rng);
	assert_int_equal(get(bench, VIRTIO_PCI_COMMON_STATUS, 1), 0);
	assert_int_equal(get(bench, VIRTIO_PCI_COMMON_Q_MSIX, 2), 0xffff);
}

/* A guest may write anything there: it is its own. */
static void test_config_is_the_guests(void **state)
{
	struct bench *bench = *state;

	set_vector(bench, 1, 0xfee00000, 0x41, false);
	memset(bench->ecam + (SLOT << 15), 0xff, PCI_CONFIG_BYTES);
	assert_true(start(bench, VERSION_1 | EVENT_IDX));
	interrupt_once(bench);
	assert_int_equal(bench->wires.interrupts[1], 1);
	memset(bench->ecam + (SLOT << 15), 0, PCI_CONFIG_BYTES);
	interrupt_once(bench);
	assert_int_equal(bench->wires.interrupts[1], 1);
	assert_int_equal(get(bench, VIRTIO_PCI_AT_ISR, 1), 1);
}

static bool may_wait(struct bench *bench, uint64_t offset, uint32_t bytes)
{
	struct virtio_range ranges[VIRTIO_PCI_DEFERRED_MAX];
	unsigned int count = virtio_pci_deferred(bench->function, ranges);

	for (unsigned int i = 0; i < count; i++)
		if (offset < ranges[i].offset + ranges[i].bytes &&
		    offset + bytes > ranges[i].offset)
			return true;
	return false;
}

static void test_deferred(void **state)
{
	struct bench *bench = *state;

	assert_true(may_wait(bench, VIRTIO_PCI_COMMON_GF, 4));
	assert_true(may_wait(bench, VIRTIO_PCI_COMMON_Q_ENABLE, 2));
	assert_true(may_wait(bench, VIRTIO_PCI_COMMON_Q_USEDHI, 4));
	assert_true(may_wait(bench, VIRTIO_PCI_AT_MSIX_TABLE + 16 + 8, 4));
	assert_false(may_wait(bench, VIRTIO_PCI_COMMON_STATUS, 1));
	assert_false(may_wait(bench, VIRTIO_PCI_AT_MSIX_TABLE + 12, 4)); /* masks */
	assert_false(may_wait(bench, VIRTIO_PCI_AT_MSIX_TABLE + 16 + 12, 4));
	assert_false(may_wait(bench, VIRTIO_PCI_AT_NOTIFY, 8));
	assert_false(may_wait(bench, VIRTIO_PCI_AT_DEVICE, 0x1000));
}

static void test_machine_reset(void **state)
{
	struct bench *bench = *state;

	set_vector(bench, 1, 0xfee00000, 0x41, false);
	enable_msix(bench, PCI_MSIX_FLAGS_ENABLE);
	set_config(bench, PCI_COMMAND, 2, 6);
	assert_true(start(bench, VERSION_1));
	bench->function->device.ops->reset(&bench->function->device);
	assert_int_equal(get(bench, VIRTIO_PCI_COMMON_STATUS, 1), 0);
	assert_int_equal(config(bench, PCI_COMMAND, 2), 0);
	assert_int_equal(config(bench, capability(bench, PCI_CAP_ID_MSIX, 0) + 2, 2), 1);
	assert_int_equal(get(bench, VIRTIO_PCI_AT_MSIX_TABLE + 16 + 12, 4), 1);
	assert_int_equal(get(bench, VIRTIO_PCI_AT_MSIX_TABLE + 16, 4), 0);
}

static void test_doorbells(void **state)
{
	struct bench *bench = *state;
	struct virtio_doorbell doorbell;
	uint32_t at;

	virtio_pci_doorbell(bench->function, 2, &doorbell);
	assert_true(doorbell.address == BAR_GPA + VIRTIO_PCI_AT_NOTIFY + 8);
	assert_false(doorbell.port);
	assert_false(doorbell.match);
	destroy(bench);
	create(bench, 0xc000);
	virtio_pci_doorbell(bench->function, 2, &doorbell);
	assert_true(doorbell.address == 0xc008);
	assert_true(doorbell.port);
	at = capability(bench, PCI_CAP_ID_VNDR, VIRTIO_PCI_CAP_NOTIFY_CFG);
	assert_int_equal(config(bench, at + VIRTIO_PCI_CAP_BAR, 1), 2);
	assert_int_equal(config(bench, at + VIRTIO_PCI_NOTIFY_CAP_MULT, 4), 4);
	at = capability(bench, PCI_CAP_EA, 0);
	assert_int_equal(config(bench, at + PCI_EA_NUM_ENT, 1), 2);
	assert_int_equal(config(bench, at + 16, 4), 0x80ff0222); /* ports, number 2 */
	assert_int_equal(config(bench, at + 20, 4), 0xc000);
	assert_int_equal(config(bench, at + 24, 4), VIRTIO_PCI_NOTIFY_PORTS - 4);
}

#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(test_bus_is_scanned),
		BENCH_TEST(test_ranges_are_fixed),
		BENCH_TEST(test_capabilities_lie_in_the_bar),
		BENCH_TEST(test_entropy_with_msix),
		BENCH_TEST(test_masking),
		BENCH_TEST(test_table_accesses),
		BENCH_TEST(test_vectors_that_there_are_not),
		BENCH_TEST(test_vectors_of_a_network_device),
		BENCH_TEST(test_without_msix),
		BENCH_TEST(test_frozen_after_driver_ok),
		BENCH_TEST(test_bad_queues),
		BENCH_TEST(test_odd_accesses),
		BENCH_TEST(test_reset_waits_for_requests),
		BENCH_TEST(test_config_is_the_guests),
		BENCH_TEST(test_deferred),
		BENCH_TEST(test_machine_reset),
		BENCH_TEST(test_doorbells),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
