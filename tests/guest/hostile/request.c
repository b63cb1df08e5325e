/* SPDX-License-Identifier: Apache-2.0 */
/* request: requests that are well-formed enough to reach the inner parts of a device, with fields
 * of any value. */
#include "attack.h"

static void add(struct request *request, struct span span, uint16_t flags)
{
	if (request->count < PARTS_MAX)
		request->parts[request->count++] =
			(struct descriptor){ span.address, span.bytes, flags, 0 };
}

/* A place for bytes that are written here. */
static uint8_t *place(const struct device *device, uint32_t bytes, struct span *span)
{
	span->address =
		device->arena + ARENA_RINGS + below((ARENA_BYTES - ARENA_RINGS - bytes) / 16) * 16;
	span->bytes = bytes;
	return (uint8_t *)span->address;
}

static void add_some(const struct device *device, struct request *request, uint16_t flags,
		     uint32_t bytes_max)
{
	for (uint64_t i = 1 + below(4); i; i--)
		add(request, tame_span(device, bytes_max), flags);
}

static void store(uint8_t *at, uint64_t value, unsigned int bytes)
{
	for (unsigned int i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

/* ---- blk (virtio 1.3 section 5.2.6) ---- */

static uint64_t any_sector(const struct device *device)
{
	uint64_t capacity = read_memory(device->config, 4) | read_memory(device->config + 4, 4)
								     << 32;

	switch (below(8)) {
	case 0:
		return capacity - 1;
	case 1:
		return capacity + below(2);
	case 2:
		return chance() >> below(64);
	case 3:
		return ~UINT64_C(0) >> below(16);
	default:
		return below(capacity);
	}
}

static void make_blk(struct device *device, struct request *request)
{
	static const uint8_t types[] = { 0, 0, 0, 1, 1, 1, 4, 8, 11, 13, 2, 14 };
	uint32_t type = types[below(COUNT(types))];
	uint16_t flags = type == 1 ? 0 : DESC_WRITE;
	struct span span;
	uint8_t *header = place(device, 16, &span);

	store(header, one_in(32) ? chance() : type, 4);
	store(header + 8, any_sector(device), 8);
	add(request, span, 0);
	if (type == 11 || type == 13) {
		uint8_t *segment = place(device, 16, &span);

		store(segment, any_sector(device), 8);
		store(segment + 8, chance() >> below(64), 4);
		store(segment + 12, one_in(8) ? chance() : below(2), 4);
		add(request, span, 0);
	} else if (type != 4) {
		for (uint64_t i = below(5); i; i--) {
			span = tame_span(device, 0x20000);
			if (!one_in(8))
				span.bytes = (span.bytes + 511) & ~511u;
			if (!one_in(3))
				span.address &= ~UINT64_C(0xfff);
			add(request, span, flags);
		}
	}
	add(request, tame_span(device, 1), DESC_WRITE);
}

/* ---- net (5.1.6) ---- */

static void make_net(struct device *device, unsigned int queue, struct request *request)
{
	struct span span;
	uint8_t *at;

	if (queue + 1 == device->queues && queue % 2 == 0 && queue) { /* control */
		at = place(device, 4, &span);
		store(at, one_in(4) ? chance() : 4, 4); /* MQ, VQ_PAIRS_SET */
		store(at + 2, one_in(4) ? chance() : below(6), 2);
		add(request, span, 0);
		add(request, tame_span(device, 1), DESC_WRITE);
		return;
	}
	if (queue % 2 == 0) {
		bool tiny = one_in(2); /* many to a packet */

		for (unsigned int i = 0; tiny && i < PARTS_MAX; i++)
			add(request, tame_span(device, 8), DESC_WRITE);
		if (!tiny)
			add_some(device, request, DESC_WRITE, 0x1000);
		request->parts[0].bytes += 12;
		return;
	}
	at = place(device, 12 + 64, &span);
	store(at, one_in(2) ? 0 : chance(), 8);
	store(at + 8, 0, 4);
	store(at + 12, UINT64_C(0xffffffffffff), 6);
	store(at + 24, one_in(2) ? 0x0008 : chance(), 2); /* IPv4 */
	add(request, span, 0);
	if (one_in(2))
		add_some(device, request, 0, one_in(4) ? 0x10000 : 0x400);
}

/* ---- vsock (5.10.6) ---- */

static void make_vsock(struct device *device, unsigned int queue, struct request *request)
{
	struct span span;
	uint8_t *at;

	if (queue != 1) {
		add_some(device, request, DESC_WRITE, 0x1000);
		request->parts[0].bytes += 44;
		return;
	}
	at = place(device, 44, &span);
	store(at, one_in(32) ? chance() : read_memory(device->config, 4), 8);
	store(at + 8, one_in(32) ? chance() : 2, 8);
	store(at + 16, one_in(32) ? chance() : below(16), 4);       /* source port */
	store(at + 20, one_in(8) ? chance() : 1000 + below(2), 4);  /* destination port */
	store(at + 24, one_in(8) ? chance() >> below(64) : 0, 4);   /* length */
	store(at + 28, one_in(32) ? chance() : 1, 2);               /* stream */
	store(at + 30, one_in(2) ? 1 + 4 * below(2) : below(9), 2); /* operation */
	store(at + 32, below(8), 4);                                /* flags */
	store(at + 36, chance() >> below(64), 4);                   /* buf_alloc */
	store(at + 40, one_in(4) ? chance() >> below(64) : 0, 4);   /* fwd_cnt */
	add(request, span, 0);
	if (one_in(2)) {
		struct span data = tame_span(device, 0x10000);

		if (!one_in(8)) {
			store(at + 24, data.bytes, 4);
			store(at + 30, 5, 2);
		}
		add(request, data, 0);
	}
}

void make_request(struct device *device, unsigned int queue, struct request *request)
{
	request->count = 0;
	switch (device->id) {
	case ID_BLK:
		make_blk(device, request);
		break;
	case ID_NET:
		make_net(device, queue, request);
		break;
	case ID_VSOCK:
		make_vsock(device, queue, request);
		break;
	case ID_HVC:
		add_some(device, request, queue % 2 ? 0 : DESC_WRITE, 0x400);
		break;
	default:
		add_some(device, request, DESC_WRITE, 0x2000);
		break;
	}
}
