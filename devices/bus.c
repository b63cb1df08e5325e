/* SPDX-License-Identifier: Apache-2.0 */
/* bus: address ranges to devices. */
#include "devices/bus.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/num.h"

void bus_init(struct bus *bus, const char *name)
{
	memset(bus, 0, sizeof(*bus));
	bus->name = name;
}

/* The index of the first range that ends after address: it holds address, or is where a range that
 * begins there belongs. */
static uint32_t bus_search(const struct bus *bus, uint64_t address)
{
	uint32_t low = 0, high = bus->range_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct bus_range *range = &bus->ranges[middle];

		if (range->base <= address && address - range->base >= range->bytes)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int bus_add(struct bus *bus, uint64_t base, uint64_t bytes, struct device *device,
	    struct error *error)
{
	uint64_t last;
	uint32_t at;

	if (bus->frozen)
		return error_set(error, EBUSY, "%s bus: the machine runs, no device can be added",
				 bus->name);
	if (!bytes || !num_add(base, bytes - 1, &last))
		return error_set(error, EINVAL, "%s bus: no room for %s at 0x%llx", bus->name,
				 device->ops->name, (unsigned long long)base);
	if (bus->range_count == BUS_RANGES_MAX)
		return error_set(error, ENOSPC, "%s bus: more than %d device windows", bus->name,
				 BUS_RANGES_MAX);
	at = bus_search(bus, base);
	if (at < bus->range_count && bus->ranges[at].base <= last)
		return error_set(error, EEXIST, "%s bus: %s at 0x%llx overlaps %s", bus->name,
				 device->ops->name, (unsigned long long)base,
				 bus->ranges[at].device->ops->name);
	memmove(&bus->ranges[at + 1], &bus->ranges[at],
		(bus->range_count - at) * sizeof(bus->ranges[0]));
	memset(&bus->ranges[at], 0, sizeof(bus->ranges[at]));
	bus->ranges[at].base = base;
	bus->ranges[at].bytes = bytes;
	bus->ranges[at].device = device;
	bus->range_count++;
	return 0;
}

void bus_freeze(struct bus *bus)
{
	bus->frozen = true;
}

/* The range that holds all of the access, or NULL. KVM cuts an access that crosses a page, so odd
 * sizes do come from a guest. */
static struct bus_range *bus_find(struct bus *bus, uint64_t address, uint32_t size)
{
	uint32_t at = bus_search(bus, address);
	struct bus_range *range = &bus->ranges[at];

	if (at == bus->range_count || address < range->base)
		return NULL;
	if (size > 8 || !num_is_power_of_two(size))
		return NULL;
	return num_within(address - range->base, size, range->bytes) ? range : NULL;
}

bool bus_read(struct bus *bus, uint64_t address, uint32_t size, void *data)
{
	struct bus_range *range = bus_find(bus, address, size);
	uint64_t value = UINT64_MAX;

	if (!range) {
		atomic_fetch_add_explicit(&bus->unclaimed_reads, 1, memory_order_relaxed);
		memset(data, 0xff, size);
		return false;
	}
	atomic_fetch_add_explicit(&range->reads, 1, memory_order_relaxed);
	pthread_mutex_lock(&range->device->lock);
	range->device->ops->read(range->device, address - range->base, size, &value);
	pthread_mutex_unlock(&range->device->lock);
	value = htole64(value);
	memcpy(data, &value, size);
	return true;
}

/* range is where bus_find() found it. */
static bool write_range(struct bus *bus, struct bus_range *range, uint64_t address, uint32_t size,
			const void *data)
{
	uint64_t value = 0;

	if (!range) {
		atomic_fetch_add_explicit(&bus->unclaimed_writes, 1, memory_order_relaxed);
		return false;
	}
	memcpy(&value, data, size);
	value = le64toh(value);
	pthread_mutex_lock(&range->device->lock);
	range->device->ops->write(range->device, address - range->base, size, value);
	pthread_mutex_unlock(&range->device->lock);
	return true;
}

bool bus_write(struct bus *bus, uint64_t address, uint32_t size, const void *data)
{
	struct bus_range *range = bus_find(bus, address, size);

	if (range)
		atomic_fetch_add_explicit(&range->writes, 1, memory_order_relaxed);
	return write_range(bus, range, address, size, data);
}

bool bus_write_deferred(struct bus *bus, uint64_t address, uint32_t size, const void *data)
{
	struct bus_range *range = bus_find(bus, address, size);

	if (range)
		atomic_fetch_add_explicit(&range->deferred, 1, memory_order_relaxed);
	return write_range(bus, range, address, size, data);
}
