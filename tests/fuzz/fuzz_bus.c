/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_bus: all devices of the platform on one bus, with accesses a guest might choose. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "devices/bus.h"
#include "devices/platform.h"
#include "devices/serial.h"
#include "mem/layout.h"

static size_t send_all(void *opaque, const uint8_t *data, size_t bytes)
{
	(void)opaque;
	(void)data;
	return bytes;
}

static void plug(struct bus *bus, uint64_t base, uint64_t bytes, struct device *device)
{
	if (!device || bus_add(bus, base, bytes, device, NULL))
		abort();
}

static void plug_all(struct bus *bus)
{
	const struct machine machine = { 0 };
	const struct irq_line irq = { 0 };
	const struct serial_wire wire = { .send = send_all };

	plug(bus, LAYOUT_PORT_RTC, RTC_BYTES, rtc_create());
	plug(bus, LAYOUT_PORT_I8042, I8042_BYTES, i8042_create(&machine));
	plug(bus, LAYOUT_PORT_COM1, SERIAL_BYTES, serial_create(&irq, &wire));
	plug(bus, LAYOUT_PORT_PVPANIC, PVPANIC_BYTES, pvpanic_create(&machine));
	plug(bus, LAYOUT_PORT_MARK, MARK_BYTES, mark_create(&machine));
	plug(bus, LAYOUT_PORT_ACPI, ACPI_PM_BYTES, acpi_pm_create(&machine, &irq));
	plug(bus, LAYOUT_PORT_RESET, RESET_BYTES, reset_create(&machine));
	bus_freeze(bus);
}

/* Each step is 12 bytes: which range, an offset near it, a size, a direction, the data. */
struct step {
	uint8_t range;
	int8_t offset;
	uint8_t size;
	uint8_t write;
	uint8_t data[8];
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct bus bus;

	bus_init(&bus, "pio");
	plug_all(&bus);
	for (size_t at = 0; at + sizeof(struct step) <= bytes; at += sizeof(struct step)) {
		struct step step;
		uint64_t address;

		memcpy(&step, data + at, sizeof(step));
		address = bus.ranges[step.range % bus.range_count].base + (uint64_t)step.offset;
		if (step.write & 1)
			bus_write(&bus, address, step.size % 9, step.data);
		else
			bus_read(&bus, address, step.size % 9, step.data);
	}
	for (uint32_t i = 0; i < bus.range_count; i++)
		device_destroy(bus.ranges[i].device);
	return 0;
}
