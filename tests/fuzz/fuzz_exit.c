/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_exit: the run page as the guest and a hostile kernel could fill it, against the machine's
 * devices. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "devices/bus.h"
#include "devices/platform.h"
#include "devices/serial.h"
#include "mem/layout.h"
#include "vmm/exit.h"
#include "vmm/kvm.h"

#define PAGE_BYTES 8192
/* A count of repetitions is KVM's (at most a page of data); more only makes a run slow. */
#define COUNT_MAX  4096

static size_t take_all(void *opaque, const uint8_t *data, size_t bytes)
{
	(void)opaque;
	(void)data;
	return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	const struct serial_wire wire = { .send = take_all };
	const struct irq_line irq = { 0 };
	const struct machine machine = { 0 };
	struct {
		uint16_t port;
		uint32_t count;
		struct device *device;
	} const devices[] = {
		{ LAYOUT_PORT_COM1, SERIAL_BYTES, serial_create(&irq, &wire) },
		{ LAYOUT_PORT_RTC, RTC_BYTES, rtc_create() },
		{ LAYOUT_PORT_I8042, I8042_BYTES, i8042_create(&machine) },
		{ LAYOUT_PORT_RESET, RESET_BYTES, reset_create(&machine) },
		{ LAYOUT_PORT_PVPANIC, PVPANIC_BYTES, pvpanic_create(&machine) },
		{ LAYOUT_PORT_MARK, MARK_BYTES, mark_create(&machine) },
		{ LAYOUT_PORT_ACPI, ACPI_PM_BYTES, acpi_pm_create(&machine, &irq) },
	};
	static _Alignas(16) uint8_t page_data[PAGE_BYTES];
	struct kvm_run *run = (struct kvm_run *)page_data;
	const struct exit_page page = { run, PAGE_BYTES };
	struct bus pio, mmio;
	const struct exit_target target = { .pio = &pio, .mmio = &mmio };
	const size_t head = offsetof(struct kvm_run, mmio) + 64;

	bus_init(&pio, "pio");
	bus_init(&mmio, "mmio");
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++)
		if (bus_add(&pio, devices[i].port, devices[i].count, devices[i].device, NULL))
			abort();
	bus_freeze(&pio);
	bus_freeze(&mmio);
	while (bytes >= head) {
		const char *why = NULL;
		enum exit_verdict verdict;

		memcpy(page_data, data, head);
		data += head;
		bytes -= head;
		if (run->exit_reason == KVM_EXIT_IO)
			run->io.count %= COUNT_MAX;
		verdict = exit_handle(&target, &page, &why);
		if ((verdict == EXIT_CRASH) != (why != NULL))
			abort();
	}
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++)
		device_destroy(devices[i].device);
	return 0;
}
