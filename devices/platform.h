/* SPDX-License-Identifier: Apache-2.0 */
/* platform: constructors of the small devices of the machine; one file each. All return NULL where
 * memory is short. */
#ifndef DEVICES_PLATFORM_H
#define DEVICES_PLATFORM_H

#include "devices/device.h"
#include "devices/irq.h"
#include "devices/machine.h"
#include "mem/layout.h"

/* rtc.c: MC146818 clock and CMOS memory, ports 0x70 (index) and 0x71 (data): UTC, BCD or binary, 12
 * or 24 hours; writing the time moves the guest's clock only. No alarm (the ACPI tables give it no
 * interrupt). */
#define RTC_BYTES 2
struct device *rtc_create(void);

/* i8042.c: only what resets and probes need: status (0x64), command 0xfe pulses reset. One window
 * of five ports: offset 0 is port 0x60, offset 4 is port 0x64, what lies between reads as ones. */
#define I8042_BYTES 5
struct device *i8042_create(const struct machine *machine);

/* reset.c: port 0xcf9, the PC reset control register; bit 2 rising resets. The ACPI reset register
 * points to it (value 6). */
#define RESET_BYTES 1
struct device *reset_create(const struct machine *machine);

/* pvpanic.c: QEMU's pvpanic ISA port: reads tell what is supported (PANICKED | CRASH_LOADED),
 * writes report. */
#define PVPANIC_BYTES 1
struct device *pvpanic_create(const struct machine *machine);

/* mark.c: a byte written to port 0x5e0 marks a moment. */
#define MARK_BYTES 1
struct device *mark_create(const struct machine *machine);

/*
 * acpi_pm.c: the registers of a hardware-reduced ACPI machine (ACPI 6.5 section 4.8.3.7): sleep
 * control (offset 0), sleep status (1), and the generic event device's status (4, one byte: pending
 * events, cleared by reading). Writing SLP_EN with ACPI_SLP_TYP_S5 ends in MACHINE_POWEROFF.
 * acpi_pm_power_button() sets event bit 0, which holds the interrupt until it is read; any thread,
 * takes the device's lock.
 */
#define ACPI_PM_BYTES              LAYOUT_PORT_ACPI_BYTES
#define ACPI_PM_SLEEP_CONTROL      LAYOUT_ACPI_SLEEP_CONTROL
#define ACPI_PM_SLEEP_STATUS       LAYOUT_ACPI_SLEEP_STATUS
#define ACPI_PM_EVENTS             LAYOUT_ACPI_EVENTS
#define ACPI_PM_EVENT_POWER_BUTTON LAYOUT_ACPI_EVENT_POWER_BUTTON
#define ACPI_SLP_TYP_S5            LAYOUT_ACPI_SLP_TYP_S5
struct device *acpi_pm_create(const struct machine *machine, const struct irq_line *irq);
void acpi_pm_power_button(struct device *acpi_pm);

#endif
