/* SPDX-License-Identifier: Apache-2.0 */
/* layout: the guest-physical map, I/O ports and interrupt lines of the x86 machine, as data. */
#ifndef MEM_LAYOUT_H
#define MEM_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "base/num.h"

/* RAM: from 0 up to the device hole, the rest from 4 GiB on. One KVM slot each. */
#define LAYOUT_LOW_RAM_BYTES_MAX (3 * GIB)
#define LAYOUT_HIGH_RAM_BASE     (4 * GIB)
#define LAYOUT_RAM_RANGES_MAX    2
#define LAYOUT_RAM_BYTES_MIN     (2 * MIB)
#define LAYOUT_RAM_BYTES_MAX     (512 * GIB)
#define LAYOUT_PAGE_BYTES        UINT64_C(4096)
#define LAYOUT_HUGE_PAGE_BYTES   (2 * MIB)

/* What stet writes below 1 MiB. The area from 0xa0000 is RAM too (nothing faults there) but
 * reserved in e820. */
#define LAYOUT_GDT            UINT64_C(0x500)
#define LAYOUT_PVH_START_INFO UINT64_C(0x6000)
#define LAYOUT_ZERO_PAGE      UINT64_C(0x7000)
#define LAYOUT_BOOT_STACK     UINT64_C(0x8ff0)
#define LAYOUT_PAGE_TABLES \
	UINT64_C(0x9000) /* 6 pages: PML4, PDPT, 4 page directories: 4 GiB identity */
#define LAYOUT_PAGE_TABLES_BYTES UINT64_C(0x6000)
#define LAYOUT_CMDLINE           UINT64_C(0x20000)
#define LAYOUT_CMDLINE_BYTES \
	UINT64_C(0x10000) /* the kernel's own limit (cmdline_size) is usually 2047 */
#define LAYOUT_LOW_RESERVED       UINT64_C(0x9fc00) /* e820: usable below */
#define LAYOUT_ACPI               UINT64_C(0xe0000) /* RSDP first, where a scan looks */
#define LAYOUT_ACPI_BYTES         UINT64_C(0x1fff0)
#define LAYOUT_RESET_VECTOR       UINT64_C(0xffff0) /* F000:FFF0, where a PC's processor starts */
#define LAYOUT_RESET_VECTOR_BYTES 16
#define LAYOUT_KERNEL             UINT64_C(0x100000) /* lowest address of a kernel */

/* Device windows in the hole below 4 GiB. */
#define LAYOUT_MMIO_BASE       UINT64_C(0xd0000000) /* virtio-mmio, one page each */
#define LAYOUT_MMIO_BYTES      UINT64_C(0x00100000)
#define LAYOUT_PCI_BAR_BASE    UINT64_C(0xd1000000) /* BARs of the functions, fixed, 32 KiB each */
#define LAYOUT_PCI_BAR_BYTES   UINT64_C(0x00100000)
#define LAYOUT_PCI_ECAM        UINT64_C(0xe0000000) /* configuration space of bus 0 */
#define LAYOUT_PCI_ECAM_BYTES  UINT64_C(0x00100000)
#define LAYOUT_PCI_ECAM_MAPPED LAYOUT_HUGE_PAGE_BYTES /* memory there: more than the bus needs */
#define LAYOUT_IOAPIC          UINT64_C(0xfec00000)
#define LAYOUT_LAPIC           UINT64_C(0xfee00000)

/* I/O ports. */
#define LAYOUT_PORT_RTC           0x70 /* 0x70 index, 0x71 data */
#define LAYOUT_PORT_I8042         0x60 /* 0x60 data */
#define LAYOUT_PORT_I8042_COMMAND 0x64
#define LAYOUT_PORT_COM1          0x3f8 /* 8 ports */
#define LAYOUT_PORT_PVPANIC       0x505
#define LAYOUT_PORT_MARK          0x5e0
#define LAYOUT_PORT_ACPI \
	0x600 /* devices/acpi_pm: sleep control, sleep status, event status; 16 ports */
#define LAYOUT_PORT_ACPI_BYTES 16
#define LAYOUT_PORT_RESET      0xcf9
#define LAYOUT_PCI_PORT_BASE   0xc000 /* doorbells of PCI functions, 512 ports each */
#define LAYOUT_PCI_PORT_COUNT  0x3000
#define LAYOUT_RESET_VALUE     6 /* what written there resets */

/* Registers at LAYOUT_PORT_ACPI, and their values: the device and the ACPI tables agree on them. */
#define LAYOUT_ACPI_SLEEP_CONTROL      0
#define LAYOUT_ACPI_SLEEP_STATUS       1
#define LAYOUT_ACPI_EVENTS             4 /* one byte: pending events, cleared by reading */
#define LAYOUT_ACPI_EVENT_POWER_BUTTON 1
#define LAYOUT_ACPI_SLP_TYP_S5         5

/* Global system interrupts (I/O APIC pins). */
#define LAYOUT_GSI_COM1        4
#define LAYOUT_GSI_RTC         8
#define LAYOUT_GSI_ACPI        9 /* the generic event device's, a level */
#define LAYOUT_GSI_FIRST_FREE  16
#define LAYOUT_VIRTIO_MMIO_MAX 8 /* one line each, from LAYOUT_GSI_FIRST_FREE on */
#define LAYOUT_GSI_COUNT       24

#define LAYOUT_VCPUS_MAX 32

/* A range of guest-physical RAM. */
struct layout_range {
	uint64_t gpa;
	uint64_t bytes;
};

/* Splits ram_bytes over the map. Fills ranges in rising order and returns how many (1 or 2).
 * ram_bytes was checked by mem/ram. */
size_t layout_ram_ranges(uint64_t ram_bytes, struct layout_range ranges[LAYOUT_RAM_RANGES_MAX]);

/* Pages outside RAM that a guest may touch (I/O APIC, local APIC, device windows): prefaulted so
 * that no first access is a stage-2 fault. Returns the table, its length in *count. */
const struct layout_range *layout_device_windows(size_t *count);

#endif
