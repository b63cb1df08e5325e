/* SPDX-License-Identifier: Apache-2.0 */
/* mark: a port on which the guest marks a moment, so that the statistics of that instant are kept.
 */
#include <stdlib.h>

#include "devices/platform.h"

struct mark {
	struct device device;
	struct machine machine;
};

/* Reads as what it is to a guest: nothing. */
static void mark_read(struct device *device, uint64_t offset, uint32_t size, uint64_t *value)
{
	(void)device;
	(void)offset;
	(void)size;
	(void)value;
}

static void mark_write(struct device *device, uint64_t offset, uint32_t size, uint64_t value)
{
	(void)offset;
	(void)size; /* the window is one byte */
	machine_send(&((struct mark *)device)->machine, MACHINE_MARK, (uint8_t)value);
}

static void mark_destroy(struct device *device)
{
	device_fini(device);
	free(device);
}

static const struct device_ops mark_ops = {
	.name = "mark",
	.read = mark_read,
	.write = mark_write,
	.destroy = mark_destroy,
};

struct device *mark_create(const struct machine *machine)
{
	struct mark *mark = calloc(1, sizeof(*mark));

	if (!mark)
		return NULL;
	device_init(&mark->device, &mark_ops);
	mark->machine = *machine;
	return &mark->device;
}
