/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_serial: register accesses, received bytes and a wire that is full now and then. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/num.h"
#include "devices/serial.h"

struct wire {
	size_t room;
	bool level;
	uint8_t sum;
};

static size_t wire_send(void *opaque, const uint8_t *data, size_t bytes)
{
	struct wire *wire = opaque;
	size_t taken = num_min(bytes, wire->room);

	for (size_t i = 0; i < taken; i++)
		wire->sum += data[i]; /* all of it can be read */
	wire->room -= taken;
	return taken;
}

static void wire_irq(void *opaque, unsigned int gsi, bool level)
{
	struct wire *wire = opaque;

	(void)gsi;
	if (wire->level == level)
		abort(); /* only changes are told */
	wire->level = level;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct wire state = { 0 };
	const struct irq_line irq = { .set = wire_irq, .opaque = &state };
	const struct serial_wire wire = { .send = wire_send, .opaque = &state };
	struct device *serial = serial_create(&irq, &wire);
	uint64_t value;

	for (size_t at = 0; serial && at + 2 <= bytes; at += 2) {
		uint8_t action = data[at], argument = data[at + 1];

		switch (action >> 4) {
		case 0:
			serial_receive(serial, data + at, num_min(argument, bytes - at));
			break;
		case 1:
			state.room = argument;
			serial_sent(serial);
			break;
		case 2:
			serial->ops->reset(serial);
			break;
		default:
			if (action & 0x08)
				serial->ops->write(serial, action % SERIAL_BYTES, 1, argument);
			else
				serial->ops->read(serial, action % SERIAL_BYTES, 1, &value);
		}
	}
	device_destroy(serial);
	return 0;
}
