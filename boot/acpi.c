/* SPDX-License-Identifier: Apache-2.0 */
/* acpi: the tables of a hardware-reduced machine (ACPI 6.5 sections 3.11.1, 4.1, 5.2). */
#include <errno.h>

#include "base/num.h"
#include "boot/acpi_area.h"
#include "boot/acpi_ids.h"
#include "boot/boot.h"
#include "boot/dsdt.h"
#include "mem/layout.h"

/* RSDP, section 5.2.5.3. */
#define RSDP_BYTES             36
#define RSDP_BYTES_V1          20 /* what the first checksum covers */
#define RSDP_CHECKSUM          8
#define RSDP_EXTENDED_CHECKSUM 32
#define RSDP_REVISION          2

#define XSDT_REVISION 1
#define MCFG_REVISION 1

/* FADT, section 5.2.9. Offsets in the table; all that is not named is zero: on hardware-reduced
 * machines it is ignored. */
#define FADT_REVISION          6
#define FADT_MINOR             5
#define FADT_BYTES             276
#define FADT_PROFILE           45
#define FADT_BOOT_ARCH         109
#define FADT_FLAGS             112
#define FADT_RESET_REG         116
#define FADT_RESET_VALUE       128
#define FADT_MINOR_VERSION     131
#define FADT_X_DSDT            140
#define FADT_SLEEP_CONTROL     244
#define FADT_SLEEP_STATUS      256
#define FADT_HYPERVISOR_VENDOR 268

#define PROFILE_ENTERPRISE_SERVER 4

#define BOOT_ARCH_LEGACY_DEVICES (1u << 0) /* COM1 */
#define BOOT_ARCH_NO_VGA         (1u << 2)

#define FLAG_WBINVD           (1u << 0)
#define FLAG_PROC_C1          (1u << 2)
#define FLAG_NO_FIXED_POWER   (1u << 4) /* the power button is a device */
#define FLAG_NO_FIXED_SLEEP   (1u << 5)
#define FLAG_NO_FIXED_RTC     (1u << 6)
#define FLAG_RESET_REG        (1u << 10)
#define FLAG_HEADLESS         (1u << 12)
#define FLAG_HARDWARE_REDUCED (1u << 20)

/* MADT, section 5.2.12. */
#define MADT_REVISION      6
#define MADT_PCAT_COMPAT   1 /* there are 8259s, to be masked */
#define MADT_LAPIC         0
#define MADT_LAPIC_BYTES   8
#define MADT_LAPIC_ENABLED 1
#define MADT_IOAPIC        1
#define MADT_IOAPIC_BYTES  12
#define MADT_NMI           4
#define MADT_NMI_BYTES     6
#define MADT_ALL_CPUS      0xff

_Static_assert(LAYOUT_ACPI + LAYOUT_ACPI_BYTES <= LAYOUT_RESET_VECTOR, "no overlap");

/* Local APIC entries hold ids below 255; larger machines need x2APIC entries. */
_Static_assert(LAYOUT_VCPUS_MAX < 255, "ids fit into local APIC entries");

static uint64_t write_madt(struct acpi_area *area, const struct acpi_machine *machine)
{
	uint64_t table = acpi_begin_table(area, "APIC", MADT_REVISION);
	uint32_t i;

	acpi_put_u32(area, (uint32_t)LAYOUT_LAPIC);
	acpi_put_u32(area, MADT_PCAT_COMPAT);
	for (i = 0; i < machine->vcpu_count; i++) {
		acpi_put_u8(area, MADT_LAPIC);
		acpi_put_u8(area, MADT_LAPIC_BYTES);
		acpi_put_u8(area, (uint8_t)i); /* processor uid: _UID in the DSDT */
		acpi_put_u8(area, (uint8_t)i); /* local APIC id */
		acpi_put_u32(area, MADT_LAPIC_ENABLED);
	}

	/* No interrupt source overrides: KVM's default routes take every GSI to the I/O APIC pin of
	 * the same number, and hardware-reduced machines have no legacy interrupts to move. */
	acpi_put_u8(area, MADT_IOAPIC);
	acpi_put_u8(area, MADT_IOAPIC_BYTES);
	acpi_put_u8(area, 0); /* id, as the in-kernel I/O APIC has it after reset */
	acpi_put_u8(area, 0);
	acpi_put_u32(area, (uint32_t)LAYOUT_IOAPIC);
	acpi_put_u32(area, 0); /* its first GSI */

	acpi_put_u8(area, MADT_NMI);
	acpi_put_u8(area, MADT_NMI_BYTES);
	acpi_put_u8(area, MADT_ALL_CPUS);
	acpi_put_u16(area, 0); /* polarity and trigger mode of the bus */
	acpi_put_u8(area, 1);  /* LINT1 */
	return acpi_end_table(area, table);
}

/* Generic address structure (section 5.2.3.2) of a one-byte I/O port. */
static void set_port(struct acpi_area *area, uint64_t offset, uint16_t port)
{
	uint8_t address[12] = { 1 /* system I/O */, 8 /* bits */, 0, 1 /* byte access */ };

	store_le64(address + 4, port);
	acpi_set(area, offset, address, sizeof(address));
}

static uint64_t write_fadt(struct acpi_area *area, const struct acpi_machine *machine,
			   uint64_t dsdt_gpa)
{
	const uint32_t flags = FLAG_WBINVD | FLAG_PROC_C1 | FLAG_NO_FIXED_POWER |
			       FLAG_NO_FIXED_SLEEP | FLAG_NO_FIXED_RTC | FLAG_RESET_REG |
			       FLAG_HEADLESS | FLAG_HARDWARE_REDUCED;
	uint64_t table = acpi_begin_table(area, "FACP", FADT_REVISION);
	uint8_t value[8];

	acpi_put_zeros(area, FADT_BYTES - ACPI_HEADER_BYTES);
	acpi_set(area, table + FADT_PROFILE, &(uint8_t){ PROFILE_ENTERPRISE_SERVER }, 1);
	store_le16(value, BOOT_ARCH_NO_VGA | (machine->serial ? BOOT_ARCH_LEGACY_DEVICES : 0));
	acpi_set(area, table + FADT_BOOT_ARCH, value, 2);
	store_le32(value, flags);
	acpi_set(area, table + FADT_FLAGS, value, 4);
	set_port(area, table + FADT_RESET_REG, LAYOUT_PORT_RESET);
	acpi_set(area, table + FADT_RESET_VALUE, &(uint8_t){ LAYOUT_RESET_VALUE }, 1);
	acpi_set(area, table + FADT_MINOR_VERSION, &(uint8_t){ FADT_MINOR }, 1);
	store_le64(value, dsdt_gpa);
	acpi_set(area, table + FADT_X_DSDT, value, 8);
	set_port(area, table + FADT_SLEEP_CONTROL, LAYOUT_PORT_ACPI + LAYOUT_ACPI_SLEEP_CONTROL);
	set_port(area, table + FADT_SLEEP_STATUS, LAYOUT_PORT_ACPI + LAYOUT_ACPI_SLEEP_STATUS);
	acpi_set(area, table + FADT_HYPERVISOR_VENDOR, ACPI_HYPERVISOR_ID, 8);
	return acpi_end_table(area, table);
}

/* PCI Firmware 3.3 section 4.1.2: the configuration space of bus 0. */
static uint64_t write_mcfg(struct acpi_area *area)
{
	uint64_t table = acpi_begin_table(area, "MCFG", MCFG_REVISION);

	acpi_put_zeros(area, 8);
	acpi_put_u64(area, LAYOUT_PCI_ECAM);
	acpi_put_u16(area, 0); /* segment */
	acpi_put_u8(area, 0);  /* first bus */
	acpi_put_u8(area, 0);  /* last bus */
	acpi_put_zeros(area, 4);
	return acpi_end_table(area, table);
}

/* At the beginning of the area, where room was left for it. */
static void write_rsdp(struct acpi_area *area, uint64_t xsdt_gpa)
{
	uint8_t rsdp[RSDP_BYTES] = "RSD PTR ";

	memcpy(rsdp + 9, ACPI_OEM_ID, 6);
	rsdp[15] = RSDP_REVISION;
	store_le32(rsdp + 20, RSDP_BYTES);
	store_le64(rsdp + 24, xsdt_gpa);
	acpi_set(area, 0, rsdp, sizeof(rsdp));
	acpi_set_checksum(area, 0, RSDP_BYTES_V1, RSDP_CHECKSUM);
	acpi_set_checksum(area, 0, RSDP_BYTES, RSDP_EXTENDED_CHECKSUM);
}

int acpi_write(const struct ram *ram, const struct acpi_machine *machine, struct error *error)
{
	struct acpi_area area = {
		.data = ram_ptr(ram, LAYOUT_ACPI, LAYOUT_ACPI_BYTES),
		.gpa = LAYOUT_ACPI,
		.capacity = LAYOUT_ACPI_BYTES,
	};
	uint64_t fadt;
	uint64_t madt;
	uint64_t mcfg = 0;
	uint64_t xsdt;

	if (!machine->vcpu_count || machine->vcpu_count > LAYOUT_VCPUS_MAX)
		return error_set(error, EINVAL, "ACPI tables for %u vCPUs; 1 to %u can be had",
				 machine->vcpu_count, LAYOUT_VCPUS_MAX);
	if (machine->virtio_mmio_count > LAYOUT_VIRTIO_MMIO_MAX)
		return error_set(error, EINVAL,
				 "ACPI tables for %u virtio-mmio devices; %u can be had",
				 machine->virtio_mmio_count, LAYOUT_VIRTIO_MMIO_MAX);
	acpi_put_zeros(&area, RSDP_BYTES);
	fadt = write_fadt(&area, machine, dsdt_write(&area, machine));
	madt = write_madt(&area, machine);
	if (machine->pci)
		mcfg = write_mcfg(&area);
	xsdt = acpi_begin_table(&area, "XSDT", XSDT_REVISION);
	acpi_put_u64(&area, fadt);
	acpi_put_u64(&area, madt);
	if (machine->pci)
		acpi_put_u64(&area, mcfg);
	write_rsdp(&area, acpi_end_table(&area, xsdt));
	if (area.full)
		return error_set(error, ENOSPC, "the ACPI tables do not fit into %u bytes",
				 (unsigned int)LAYOUT_ACPI_BYTES);
	return 0;
}
