/* SPDX-License-Identifier: Apache-2.0 */
/* pvpanic: a port on which the guest says that it panicked (QEMU docs/specs/pvpanic). */
#include <stdlib.h>

#include "devices/platform.h"

#define PVPANIC_PANICKED     0x01
#define PVPANIC_CRASH_LOADED 0x02

struct pvpanic {
	struct device device;
	struct machine machine;
};

/* What is supported. */
static void pvpanic_read(struct device *device, uint64_t offset, uint32_t size, uint64_t *value)
{
	(void)device;
	(void)offset;
	(void)size; /* the window is one byte */
	*value = PVPANIC_PANICKED | PVPANIC_CRASH_LOADED;
}

static void pvpanic_write(struct device *device, uint64_t offset, uint32_t size, uint64_t value)
{
	struct pvpanic *pvpanic = (struct pvpanic *)device;

	(void)offset;
	(void)size;
	if (value & PVPANIC_PANICKED)
		machine_send(&pvpanic->machine, MACHINE_PANIC, (uint8_t)value);
	else if (value & PVPANIC_CRASH_LOADED)
		machine_send(&pvpanic->machine, MACHINE_CRASH_LOADED, (uint8_t)value);
}

static void pvpanic_destroy(struct device *device)
{
	device_fini(device);
	free(device);
}

static const struct device_ops pvpanic_ops = {
	.name = "pvpanic",
	.read = pvpanic_read,
	.write = pvpanic_write,
	.destroy = pvpanic_destroy,
};

struct device *pvpanic_create(const struct machine *machine)
{
	struct pvpanic *pvpanic = calloc(1, sizeof(*pvpanic));

	if (!pvpanic)
		return NULL;
	device_init(&pvpanic->device, &pvpanic_ops);
	pvpanic->machine = *machine;
	return &pvpanic->device;
}
