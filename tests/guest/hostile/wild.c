/* SPDX-License-Identifier: Apache-2.0 */
/* wild: addresses and lengths that a driver should not use. */
#include "attack.h"

static const uint64_t places[] = {
	0xa0000,
	0xd0000000,
	0xd0001000,
	0xd1000000,
	0xd1004000,
	0xd1008000,
	0xe0000000,
	0xe0008000,
	0xfec00000,
	0xfee00000,
	0x100000000,
	0x100001000,
	0x7fffffff,
	0x80000000,
	0xffffffff,
	0x8000000000000000,
	0x7fffffffffffffff,
	0x0000800000000000,
	0xffff888000000000,
	0xfffffffffffff000,
	0xfffffffffffffff0,
	0xffffffffffffffff,
};

static uint32_t wild_bytes(void)
{
	static const uint32_t some[] = {
		0,          1,          2,          4,          15,         16,       17,
		511,        512,        4095,       4096,       65536,      0x100000, 0x2000000,
		0x7fffffff, 0x80000000, 0xfffff000, 0xfffffff0, 0xffffffff,
	};

	if (one_in(2))
		return some[below(COUNT(some))];
	return (uint32_t)below(one_in(4) ? UINT64_C(0x100000000) : 0x10000);
}

static uint64_t any_address(const struct device *device)
{
	switch (below(10)) {
	case 0:
		return places[below(COUNT(places))] + (one_in(2) ? below(0x2000) : 0);
	case 1:
		return ram_end - below(0x2000);
	case 2:
		return ram_end + (one_in(2) ? 0 : below(0x200000));
	case 3:
		return chance() >> below(64);
	case 4: /* rings, its own and others' */
		return 2 * MIB + below(device_count) * ARENA_BYTES + below(0x10000);
	case 5:
		return below(ram_end) & ~UINT64_C(0xfff);
	default:
		return device->arena + ARENA_RINGS + below(ARENA_BYTES - ARENA_RINGS);
	}
}

/* What the device would refuse as a whole may say what it wants. */
static bool is_own(uint64_t address, uint64_t bytes)
{
	return address < ram_end && bytes <= ram_end - address && address < OWN_END &&
	       address + bytes > OWN_BEGIN;
}

uint64_t wild_address(const struct device *device, uint32_t bytes)
{
	uint64_t address = any_address(device);

	return is_own(address, bytes) ? device->arena + ARENA_RINGS : address;
}

struct span wild_span(const struct device *device)
{
	struct span span = { any_address(device), wild_bytes() };

	if (is_own(span.address, span.bytes))
		span = tame_span(device, 0x10000);
	return span;
}

struct span tame_span(const struct device *device, uint32_t bytes_max)
{
	uint32_t bytes = 1 + (uint32_t)below(bytes_max);
	uint64_t room = ARENA_BYTES - ARENA_RINGS - bytes;

	return (struct span){ device->arena + ARENA_RINGS + below(room), bytes };
}
