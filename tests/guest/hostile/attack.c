/* SPDX-License-Identifier: Apache-2.0 */
/* attack: what a hostile driver does to a device. */
#include "attack.h"

#define STEPS_MAX      128
#define STORM_KICKS    64
#define COMMON_BYTES   0x40
#define COMMON_DEVICE  0x30 /* PCI: the used ring's address */
#define MMIO_DEVICE    0xa0
#define MMIO_REGISTERS 0x100
#define INDIRECT_BYTES 16

/*
 * Half of the sessions break no rule that a device can see from outside requests: they get far.
 * The others break any, and mostly end with a device that wants to be reset.
 */
struct session {
	struct device *device;
	bool mild;
	uint64_t features;
};

static uint64_t any_value(void)
{
	static const uint64_t some[] = { 0,      1,      2,      0xff,       0x100,     0xffff,
					 0x7fff, 0x8000, 0xffff, 0xffffffff, 0x80000000 };

	switch (below(4)) {
	case 0:
		return some[below(COUNT(some))];
	case 1:
		return ~UINT64_C(0);
	case 2:
		return below(64);
	default:
		return chance();
	}
}

/* ---- Registers ---- */

/*
 * What the guest would only hurt itself with stays out: the used ring in its own program, and
 * messages that are no interrupts (NMI, SMI, INIT, start-up) to its own processor: an emulated host
 * steps through the guest for ever after some NMIs.
 */
static uint64_t harmless(const struct device *device, uint64_t address, uint64_t value)
{
	uint64_t ring = device->pci ? device->common + COMMON_DEVICE : device->window + MMIO_DEVICE;
	uint64_t entry = address - device->msix_table;

	if (address + 8 > ring && address < ring + 8) {
		uint64_t wild = wild_address(device, 0x1000);

		/* A half may come to stand beside another one's half. */
		if (address == ring && (wild & UINT32_MAX) < ram_end)
			wild &= 0xfffff;
		return address == ring + 4 ? wild >> 32 : wild;
	}
	if (device->msix_table && entry < device->msix_bytes)
		value &= ~UINT64_C(0x0000070000000700);
	return value;
}

static uint64_t any_register(const struct device *device)
{
	if (!device->pci)
		return device->window +
		       below(one_in(4) ? device->window_bytes : MMIO_REGISTERS + 64);
	switch (below(8)) {
	case 0:
		return device->window + below(device->window_bytes);
	case 1:
		return device->msix_table + below(device->msix_bytes + 16);
	case 2:
		return device->config + below(64);
	case 3:
		return device->window + below(8) * 0x1000;
	default:
		return device->common + below(COMMON_BYTES);
	}
}

static void poke(const struct device *device)
{
	unsigned int bytes = 1u << below(4);
	uint64_t address = any_register(device);

	if (!one_in(4))
		address &= ~(uint64_t)(bytes - 1);
	/* An access that crosses the page is two: the second is in the window all the same. */
	if (address + bytes > device->window + device->window_bytes)
		return;
	if (one_in(3))
		read_memory(address, bytes);
	else
		write_memory(address, bytes, harmless(device, address, any_value()));
}

/* Configuration space: its own, mostly. */
static void poke_config_space(const struct device *device)
{
	unsigned int bytes = 1u << below(3);
	uint64_t ecam = one_in(8) ? UINT64_C(0xe0000000) + below(0x100000) : device->ecam;
	uint64_t address = (ecam & ~UINT64_C(0xfff)) + below(one_in(8) ? 0x1000 : 0x100);

	if (!one_in(8))
		address &= ~(uint64_t)(bytes - 1);
	if ((address & 0xfff) + bytes > 0x1000)
		return;
	if (one_in(2))
		read_memory(address, bytes);
	else
		write_memory(address, bytes, one_in(8) ? ~UINT64_C(0) : below(0x40));
}

static void reconfigure(const struct session *session)
{
	const struct device *device = session->device;
	struct ring ring = {
		.size = (uint16_t)any_value(),
		.descriptors = (void *)wild_address(device, 0x1000),
		.available = (void *)wild_address(device, 0x1000),
		.used = (void *)wild_address(device, 0x1000),
	};

	bool live = get_status(device) & STATUS_DRIVER_OK;
	uint32_t before, after;

	select_queue(device, (unsigned int)below(device->queues + 1));
	before = queue_state(device);
	set_queue(device, &ring);
	enable_queue(device, (uint16_t)below(2));
	set_features(device, chance());
	after = queue_state(device);
	if (live && !second_runs() && before != after)
		fail("is a queue's state that changed after DRIVER_OK", before << 16 | after);
}

/* ---- Descriptors and rings ---- */

static struct descriptor wild_descriptor(const struct session *session, uint16_t size)
{
	struct span span = wild_span(session->device);

	return (struct descriptor){
		.address = span.address,
		.bytes = span.bytes,
		.flags = (uint16_t)(one_in(16) ? chance() : below(8)),
		.next = (uint16_t)(one_in(8) ? chance() : below(size)),
	};
}

/* The table as a whole: cycles, one chain of all of it, or anything. */
static void scramble(const struct session *session, struct ring *ring)
{
	uint64_t how = below(3);

	for (uint16_t i = 0; i < ring->size; i++) {
		struct descriptor one = wild_descriptor(session, ring->size);

		if (how < 2) {
			struct span span = tame_span(session->device, 64);

			one = (struct descriptor){ span.address, span.bytes, DESC_NEXT,
						   (uint16_t)((i + 1) % ring->size) };
		}
		if (how == 1 && i + 1 == ring->size)
			one.flags = DESC_WRITE;
		ring->descriptors[i] = one;
	}
}

static void spoil(const struct session *session, struct request *request)
{
	struct descriptor *part = &request->parts[below(request->count)];

	switch (below(6)) {
	case 0:
		part->flags ^= DESC_WRITE;
		break;
	case 1: /* across the end of RAM, as the only thing that is wrong */
	case 2:
		part = &request->parts[0];
		part->address = ram_end - below(part->bytes);
		part->bytes += part->address + part->bytes <= ram_end ? part->bytes : 0;
		break;
	case 3:
		part->bytes = (uint32_t)any_value();
		if (part->address + part->bytes > OWN_BEGIN)
			part->bytes = 0;
		break;
	case 4:
		request->count -= request->count > 1;
		break;
	default:
		*part = wild_descriptor(session, QUEUE_SIZE_MAX);
		break;
	}
}

/* Writes a request to descriptors from ring->next on, or to a table of its own; its head. */
static uint16_t put(const struct session *session, struct ring *ring, struct request *request)
{
	bool indirect = session->features & FEATURE_INDIRECT && one_in(3);
	uint16_t head = ring->next;
	volatile struct descriptor *table = ring->descriptors;
	struct span span = { 0 };

	if (indirect) {
		span.address = session->device->arena + ARENA_TABLES + 16 * below(TABLES_MAX);
		if (!session->mild && one_in(8)) /* a table across the end of RAM */
			span.address = ram_end - 16 * below(request->count);
		table = (volatile struct descriptor *)span.address;
	}
	for (unsigned int i = 0; i < request->count; i++) {
		uint16_t at = indirect ? (uint16_t)i : ring->next;

		ring->next = indirect ? ring->next : (uint16_t)((ring->next + 1) % ring->size);
		if (i + 1 < request->count) {
			request->parts[i].flags |= DESC_NEXT;
			request->parts[i].next = indirect ? (uint16_t)(i + 1) : ring->next;
		}
		table[at] = request->parts[i];
	}
	if (indirect) {
		ring->descriptors[head] =
			(struct descriptor){ span.address, request->count * INDIRECT_BYTES,
					     DESC_INDIRECT, 0 };
		ring->next = (uint16_t)((head + 1) % ring->size);
	}
	return head;
}

/* One request more, or one that was there before: the same head twice. */
static void add_request(const struct session *session, unsigned int queue)
{
	struct ring *ring = &session->device->rings[queue];
	struct request request;
	uint16_t head;

	if (session->mild && (uint16_t)(ring->available[1] - ring->used[1]) >= ring->size)
		return;
	make_request(session->device, queue, &request);
	if (request.count > ring->size)
		return;
	if (!session->mild && one_in(4))
		spoil(session, &request);
	head = put(session, ring, &request);
	for (uint64_t i = one_in(8) ? 2 : 1; i; i--) {
		if (!session->mild || (uint16_t)(ring->available[1] - ring->used[1]) < ring->size)
			offer(ring, head);
	}
	session->device->requests++;
}

static void break_ring(const struct session *session, struct ring *ring)
{
	switch (below(5)) {
	case 0:
		scramble(session, ring);
		break;
	case 1: /* heads that there are not */
		for (uint16_t i = 0; i < ring->size; i++)
			ring->available[2 + i] = (uint16_t)any_value();
		break;
	case 2: /* further than a queue is long, or back */
		ring->available[1] = (uint16_t)(ring->available[1] + any_value());
		break;
	case 3:
		ring->available[0] = (uint16_t)any_value();
		ring->available[2 + ring->size] = (uint16_t)any_value();
		break;
	default: /* what the device writes is not the driver's */
		ring->used[1] = (uint16_t)any_value();
		break;
	}
}

/* ---- A session ---- */

static void begin_queue(const struct session *session, unsigned int queue)
{
	struct device *device = session->device;
	struct ring ring;
	uint16_t size_max;

	select_queue(device, queue);
	size_max = queue_size_max(device);
	if (!size_max || size_max > QUEUE_SIZE_MAX)
		size_max = 64;
	lay_ring(device, queue, (uint16_t)(size_max >> below(4)));
	if (!device->rings[queue].size)
		device->rings[queue].size = 1;
	ring = device->rings[queue];
	if (!session->mild && one_in(3)) {
		ring.size = one_in(2) ? (uint16_t)any_value() : ring.size;
		ring.descriptors = one_in(3) ? (void *)wild_address(device, 0) : ring.descriptors;
		ring.available = one_in(3) ? (void *)wild_address(device, 0) : ring.available;
		ring.used = one_in(3) ? (void *)wild_address(device, 0x1000) : ring.used;
	}
	set_queue(device, &ring);
	if (device->pci && one_in(2)) /* its message */
		write_memory(device->common + 0x1a, 2, below(device->msix_bytes / 16 + 1));
	if (session->mild || !one_in(8))
		enable_queue(device, 1);
}

static void begin(struct session *session)
{
	struct device *device = session->device;
	uint64_t offered;

	if (one_in(3))
		set_status(device, 0); /* and no look at whether it is done */
	else if (!reset(device))
		fail("a reset is never done; device", device->id);
	set_status(device, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
	offered = get_features(device);
	session->features = offered & (chance() | FEATURE_VERSION_1);
	if (session->mild && one_in(2))
		session->features = offered;
	if (!session->mild && one_in(8))
		session->features = chance();
	set_features(device, session->features);
	set_status(device, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
	for (unsigned int i = 0; i < device->queues; i++)
		begin_queue(session, i);
	set_status(device,
		   STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
}

static void storm(const struct device *device)
{
	unsigned int queue = (unsigned int)below(device->queues);

	for (unsigned int i = 0; i < STORM_KICKS; i++)
		kick(device, queue);
}

static void break_rules(const struct session *session, struct ring *ring)
{
	const struct device *device = session->device;

	switch (below(5)) {
	case 0:
		break_ring(session, ring);
		break;
	case 1:
		reconfigure(session);
		break;
	case 2:
		if (device->pci)
			poke_config_space(device);
		break;
	default:
		poke(device);
		break;
	}
}

static void step(const struct session *session)
{
	struct device *device = session->device;
	unsigned int queue = (unsigned int)below(device->queues);

	switch (below(16)) {
	case 0:
		if (one_in(2))
			storm(device);
		break;
	case 1:
	case 2:
	case 3:
		kick(device, queue);
		break;
	case 4:
	case 5:
		if (!session->mild)
			break_rules(session, &device->rings[queue]);
		break;
	case 6: /* a kick for a queue that there is not */
		kick(device, device->pci ? device->queues : (unsigned int)any_value());
		break;
	default: /* one, or as many as the queue takes */
		for (uint64_t i = one_in(16) ? QUEUE_SIZE_MAX / 2 : 1; i; i--)
			add_request(session, queue);
		break;
	}
}

void attack(struct device *device)
{
	struct session session = { .device = device, .mild = one_in(2) };

	begin(&session);
	for (uint64_t i = below(STEPS_MAX); i; i--)
		step(&session);
	/* Requests are in flight now, or the device stands still: the next session resets it. */
	device->sessions++;
	device->broken += get_status(device) & STATUS_NEEDS_RESET ? 1 : 0;
}
