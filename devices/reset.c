/* SPDX-License-Identifier: Apache-2.0 */
/* reset: the PC's reset control register, port 0xcf9. */
#include <stdlib.h>

#include "devices/platform.h"

#define RESET_SYSTEM 0x02 /* a full reset rather than the CPU alone: the same here */
#define RESET_CPU    0x04 /* rising: reset now */
#define RESET_FULL   0x08 /* with a power cycle: the same here */

/* Lock: device.lock. */
struct reset {
	struct device device;
	struct machine machine;
	uint8_t control;
};

static void reset_read(struct device *device, uint64_t offset, uint32_t size, uint64_t *value)
{
	(void)offset;
	(void)size; /* the window is one byte */
	*value = ((struct reset *)device)->control;
}

static void reset_write(struct device *device, uint64_t offset, uint32_t size, uint64_t value)
{
	struct reset *reset = (struct reset *)device;
	uint8_t rising = (uint8_t)value & ~reset->control;

	(void)offset;
	(void)size;
	reset->control = (uint8_t)value & (RESET_SYSTEM | RESET_CPU | RESET_FULL);
	if (rising & RESET_CPU)
		machine_send(&reset->machine, MACHINE_RESET, 0);
}

static void reset_reset(struct device *device)
{
	((struct reset *)device)->control = 0;
}

static void reset_destroy(struct device *device)
{
	device_fini(device);
	free(device);
}

static const struct device_ops reset_ops = {
	.name = "reset",
	.read = reset_read,
	.write = reset_write,
	.reset = reset_reset,
	.destroy = reset_destroy,
};

struct device *reset_create(const struct machine *machine)
{
	struct reset *reset = calloc(1, sizeof(*reset));

	if (!reset)
		return NULL;
	device_init(&reset->device, &reset_ops);
	reset->machine = *machine;
	return &reset->device;
}
