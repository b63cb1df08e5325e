/* SPDX-License-Identifier: Apache-2.0 */
/* i8042: the reset line of the PC's keyboard controller, and nothing else of it. */
#include <stdlib.h>

#include "devices/platform.h"

#define STATUS_PORT 4 /* 0x64; the data port is offset 0 */

/* Commands 0xf0-0xff pulse the output lines whose bit is 0; bit 0 is the reset line. */
#define COMMAND_PULSE_MASK  0xf1
#define COMMAND_PULSE_RESET 0xf0

struct i8042 {
	struct device device;
	struct machine machine;
};

/* Both buffers are empty at all times: a command may be written, no byte waits to be read. */
static void i8042_read(struct device *device, uint64_t offset, uint32_t size, uint64_t *value)
{
	(void)device;
	if (size == 1 && (offset == STATUS_PORT || offset == 0))
		*value = 0;
}

static void i8042_write(struct device *device, uint64_t offset, uint32_t size, uint64_t value)
{
	struct i8042 *i8042 = (struct i8042 *)device;

	if (size != 1 || offset != STATUS_PORT)
		return;
	if ((value & COMMAND_PULSE_MASK) == COMMAND_PULSE_RESET)
		machine_send(&i8042->machine, MACHINE_RESET, 0);
}

static void i8042_destroy(struct device *device)
{
	device_fini(device);
	free(device);
}

static const struct device_ops i8042_ops = {
	.name = "i8042",
	.read = i8042_read,
	.write = i8042_write,
	.destroy = i8042_destroy,
};

struct device *i8042_create(const struct machine *machine)
{
	struct i8042 *i8042 = calloc(1, sizeof(*i8042));

	if (!i8042)
		return NULL;
	device_init(&i8042->device, &i8042_ops);
	i8042->machine = *machine;
	return &i8042->device;
}
