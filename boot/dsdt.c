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
	aml_interrupt_level(area, LAYOUT_GSI_ACPI);
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

/* As Linux, and others after it, agreed to find virtio-mmio through ACPI: LNRO0005. */
static void put_virtio_mmio(struct acpi_area *area, uint32_t count)
{
	char name[] = "VR0";

	for (uint32_t i = 0; i < count; i++) {
		uint64_t device;
		uint64_t resources;

		name[2] = (char)('0' + i);
		device = aml_begin_device(area, name);
		aml_hid(area, "LNRO0005");
		aml_uid(area, i);
		aml_name(area, "_CCA"); /* coherent, section 6.2.17 */
		aml_integer(area, 1);
		resources = aml_begin_resources(area);
		aml_memory32(area, (uint32_t)(LAYOUT_MMIO_BASE + i * LAYOUT_PAGE_BYTES),
			     (uint32_t)LAYOUT_PAGE_BYTES);
		aml_interrupt_edge(area, LAYOUT_GSI_FIRST_FREE + i);
		aml_end_resources(area, resources);
		aml_end(area, device);
	}
}

/*
 * The host bridge: a plain PCI one (a PCI Express one would be asked for _OSC), bus 0 only, no
 * interrupt pins and hence no _PRT; and beside it the motherboard's resources, where an operating
 * system looks whether the ECAM window of MCFG is to be believed (PCI Firmware 3.3 section 4.1.2).
 */
static void put_pci(struct acpi_area *area)
{
	uint64_t device = aml_begin_device(area, "PCI0");
	uint64_t resources;

	aml_hid_eisa(area, "PNP0A03");
	aml_uid(area, 0);
	aml_name(area, "_SEG");
	aml_integer(area, 0);
	aml_name(area, "_BBN");
	aml_integer(area, 0);
	resources = aml_begin_resources(area);
	aml_bus_numbers(area, 0, 0);
	aml_port_window(area, LAYOUT_PCI_PORT_BASE,
			LAYOUT_PCI_PORT_BASE + LAYOUT_PCI_PORT_COUNT - 1);
	aml_memory_window(area, (uint32_t)LAYOUT_PCI_BAR_BASE, (uint32_t)LAYOUT_PCI_BAR_BYTES);
	aml_end_resources(area, resources);
	aml_end(area, device);

	device = aml_begin_device(area, "MBRD");
	aml_hid_eisa(area, "PNP0C02");
	aml_uid(area, 0);
	resources = aml_begin_resources(area);
	aml_memory32(area, (uint32_t)LAYOUT_PCI_ECAM, (uint32_t)LAYOUT_PCI_ECAM_BYTES);
	aml_end_resources(area, resources);
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
	put_virtio_mmio(area, machine->virtio_mmio_count);
	if (machine->pci)
		put_pci(area);
	aml_end(area, scope);
	put_s5(area);
	return acpi_end_table(area, table);
}
