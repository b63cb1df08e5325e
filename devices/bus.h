/* SPDX-License-Identifier: Apache-2.0 */
/* bus: address ranges to devices. Filled before the VM starts, then frozen, hence no lock. */
#ifndef DEVICES_BUS_H
#define DEVICES_BUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "devices/device.h"

#define BUS_RANGES_MAX 64

/* reads and writes count accesses that left the guest for user space, deferred the writes that came
 * later without that; read at any time, relaxed. */
struct bus_range {
	uint64_t base;
	uint64_t bytes;
	struct device *device;
	_Atomic uint64_t reads;
	_Atomic uint64_t writes;
	_Atomic uint64_t deferred;
};

/* One for ports, one for memory. Owner: the VM; it does not own the devices. Invariant: ranges are
 * sorted and do not overlap. */
struct bus {
	const char *name; /* "pio" or "mmio" */
	bool frozen;
	uint32_t range_count;
	struct bus_range ranges[BUS_RANGES_MAX];
	_Atomic uint64_t unclaimed_reads;
	_Atomic uint64_t unclaimed_writes;
};

void bus_init(struct bus *bus, const char *name);

/* -EEXIST where it overlaps another range, -EBUSY when frozen, -ENOSPC when full, -EINVAL for an
 * empty or wrapping range. */
int bus_add(struct bus *bus, uint64_t base, uint64_t bytes, struct device *device,
	    struct error *error);
void bus_freeze(struct bus *bus);

/*
 * One access of a vCPU thread; size is 1, 2, 4 or 8. Little-endian bytes in data. What no device
 * claims, and what crosses the end of a device's window, reads as all ones, is ignored when
 * written, is counted, and returns false.
 */
bool bus_read(struct bus *bus, uint64_t address, uint32_t size, void *data);
bool bus_write(struct bus *bus, uint64_t address, uint32_t size, const void *data);
/* A write that was made before (see vmm/deferred.h); any size up to 8 is judged here. */
bool bus_write_deferred(struct bus *bus, uint64_t address, uint32_t size, const void *data);

#endif
