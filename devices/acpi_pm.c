/* SPDX-License-Identifier: Apache-2.0 */
/* acpi_pm: sleep registers and generic event status of a hardware-reduced ACPI machine (ACPI 6.5
 * sections 4.8.3.7 and 5.6.9). */
#include <stdlib.h>

#include "devices/platform.h"

#define SLEEP_TYPE_SHIFT 2
#define SLEEP_TYPE_MASK  0x07
#define SLEEP_ENABLE     0x20 /* write-only: reads as 0 */

/* Lock: device.lock. */
struct acpi_pm {
	struct device device;
	struct machine machine;
	struct irq_line irq;
	uint8_t sleep_type;
	uint8_t events;
};

static struct acpi_pm *to_acpi_pm(struct device *device)
{
	return (struct acpi_pm *)device;
}

/* The line is a level, held while there is something to be read: a button pressed before the
 * guest's driver listens is not lost. */
static void set_events(struct acpi_pm *pm, uint8_t events)
{
	pm->events = events;
	irq_set(&pm->irq, events != 0);
}

static void acpi_pm_read(struct device *device, uint64_t offset, uint32_t size, uint64_t *value)
{
	struct acpi_pm *pm = to_acpi_pm(device);

	if (size != 1)
		return;
	switch (offset) {
	case ACPI_PM_SLEEP_CONTROL:
		*value = (uint64_t)pm->sleep_type << SLEEP_TYPE_SHIFT;
		break;
	case ACPI_PM_SLEEP_STATUS:
		*value = 0; /* the machine never wakes, it only starts */
		break;
	case ACPI_PM_EVENTS:
		*value = pm->events;
		set_events(pm, 0);
		break;
	default:
		break;
	}
}

static void acpi_pm_write(struct device *device, uint64_t offset, uint32_t size, uint64_t value)
{
	struct acpi_pm *pm = to_acpi_pm(device);

	if (size != 1 || offset != ACPI_PM_SLEEP_CONTROL)
		return;
	pm->sleep_type = value >> SLEEP_TYPE_SHIFT & SLEEP_TYPE_MASK;
	if ((value & SLEEP_ENABLE) && pm->sleep_type == ACPI_SLP_TYP_S5)
		machine_send(&pm->machine, MACHINE_POWEROFF, 0);
}

static void acpi_pm_reset(struct device *device)
{
	struct acpi_pm *pm = to_acpi_pm(device);

	pm->sleep_type = 0;
	set_events(pm, 0);
}

static void acpi_pm_destroy(struct device *device)
{
	device_fini(device);
	free(to_acpi_pm(device));
}

static const struct device_ops acpi_pm_ops = {
	.name = "acpi_pm",
	.read = acpi_pm_read,
	.write = acpi_pm_write,
	.reset = acpi_pm_reset,
	.destroy = acpi_pm_destroy,
};

struct device *acpi_pm_create(const struct machine *machine, const struct irq_line *irq)
{
	struct acpi_pm *pm = calloc(1, sizeof(*pm));

	if (!pm)
		return NULL;
	device_init(&pm->device, &acpi_pm_ops);
	pm->machine = *machine;
	pm->irq = *irq;
	return &pm->device;
}

void acpi_pm_power_button(struct device *device)
{
	struct acpi_pm *pm = to_acpi_pm(device);

	pthread_mutex_lock(&device->lock);
	set_events(pm, pm->events | ACPI_PM_EVENT_POWER_BUTTON);
	pthread_mutex_unlock(&device->lock);
}
