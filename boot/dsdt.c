/* SPDX-License-Identifier: Apache-2.0 */
/* dsdt: the devices of the machine as ACPI names them (ACPI 6.5 sections 5.6, 6.1, 7.4). */
#include "boot/dsdt.h"

#include "boot/aml.h"
#include "mem/layout.h"

/* From revision 2 on integers have 64 bits. */
#define DSDT_REVISION 2

#define NOTIFY_BUTTON_PRESSED 0x80 /* section 5.6.6, control method power button */
#define STA_PRESENT           0x0f /* present, enabled, shown, working */

/* Processor devices (section 8.4): their _UID is that of the MADT. */
static void put_processors(struct acpi_area *area, uint32_t count)
{
	static const char digits[] = "0123456789ABCDEF";
	char name[] = "CP00";
	uint64_t device;
	uint32_t i;

	for (i = 0; i < count; i++) {
		name[2] = digits[i / 16 % 16];
		name[3] = digits[i % 16];
		device = aml_begin_device(area, name);
		aml_hid(area, "ACPI0007");
		aml_uid(area, i);
		aml_end(area, device);
	}
}

static void put_serial(struct acpi_area *area)
{
	uint64_t device = aml_begin_device(area, "COM1");
	uint64_t resources;

	aml_hid_eisa(area, "PNP0501");
	aml_uid(area, 1);
	resources = aml_begin_resources(area);
	aml_io(area, LAYOUT_PORT_COM1, 8);
	aml_interrupt_edge(area, LAYOUT_GSI_COM1);
	aml_end_resources(area, resources);
	aml_end(area, device);
}

/* The clock has no alarm, hence no interrupt. */
static void put_rtc(struct acpi_area *area)
{
	uint64_t device = aml_begin_device(area, "RTC");
	uint64_t resources;

	aml_hid_eisa(area, "PNP0B00");
	resources = aml_begin_resources(area);
	aml_io(area, LAYOUT_PORT_RTC, 2);
	aml_end_resources(area, resources);
	aml_end(area, device);
}

/* As QEMU describes it: a driver matches the name, reads the port and writes what happened. */
static void put_pvpanic(struct acpi_area *area)
{
	uint64_t device = aml_begin_device(area, "PEVT");
	uint64_t resources;

	aml_hid(area, "QEMU0001");
	aml_name(area, "_STA");
	aml_integer(area, STA_PRESENT);
	resources = aml_begin_resources(area);
	aml_io(area, LAYOUT_PORT_PVPANIC, 1);
	aml_end_resources(area, resources);
	aml_end(area, device);
}

/*
 * The power button, and the generic event device (section 5.6.9) through which it is heard on a
 * hardware-reduced machine: its interrupt runs _EVT, which asks what happened (reading clears) and
 * tells the button.
 */
static void put_power_button(struct acpi_area *area)
{
	uint64_t device = aml_begin_device(area, "PWRB");
	uint64_t resources;
	uint64_t method;
	uint64_t pressed;

	aml_hid_eisa(area, "PNP0C0C");
	aml_end(area, device);

	device = aml_begin_device(area, "GED");
	aml_hid(area, "ACPI0013");
	aml_uid(area, 0);
	resources = aml_begin_resources(area);
	aml_interrupt_edge(area, LAYOUT_GSI_ACPI);
	aml_end_resources(area, resources);
	aml_port_field(area, "EREG", "ESTS", LAYOUT_PORT_ACPI + LAYOUT_ACPI_EVENTS);
	method = aml_begin_method(area, "_EVT", 1);
	aml_store_to_local0(area, "ESTS");
	pressed = aml_begin_if(area);
	aml_local0_and(area, LAYOUT_ACPI_EVENT_POWER_BUTTON);
	aml_notify(area, "PWRB", NOTIFY_BUTTON_PRESSED);
	aml_end(area, pressed);
	aml_end(area, method);
	aml_end(area, device);
}

/* What to write into the sleep control register to power off (section 7.4.2). */
static void put_s5(struct acpi_area *area)
{
	uint64_t package;

	aml_name(area, "\\_S5");
	package = aml_begin_package(area, 4);
	aml_integer(area, LAYOUT_ACPI_SLP_TYP_S5);
	aml_integer(area, LAYOUT_ACPI_SLP_TYP_S5);
	aml_integer(area, 0);
	aml_integer(area, 0);
	aml_end(area, package);
}

uint64_t dsdt_write(struct acpi_area *area, const struct acpi_machine *machine)
{
	uint64_t table = acpi_begin_table(area, "DSDT", DSDT_REVISION);
	uint64_t scope = aml_begin_scope(area, "\\_SB");

	put_processors(area, machine->vcpu_count);
	if (machine->serial)
		put_serial(area);
	put_rtc(area);
	put_pvpanic(area);
	put_power_button(area);
	aml_end(area, scope);
	put_s5(area);
	return acpi_end_table(area, table);
}
