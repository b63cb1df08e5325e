/* SPDX-License-Identifier: Apache-2.0 */
/* machine: what a device can tell the machine it is in: that the guest ends it, or marks a moment.
 */
#ifndef DEVICES_MACHINE_H
#define DEVICES_MACHINE_H

#include <stdint.h>

enum machine_event {
	MACHINE_POWEROFF,     /* ACPI S5 */
	MACHINE_RESET,        /* i8042, port 0xcf9, ACPI reset register */
	MACHINE_PANIC,        /* pvpanic: the guest's kernel panicked */
	MACHINE_CRASH_LOADED, /* pvpanic: a crash kernel takes over; the machine goes on */
	MACHINE_MARK,         /* the guest marks a moment; value is the byte it wrote */
};

/* Called on a vCPU thread with the sending device's lock held; must not call back into a device or
 * block. */
struct machine {
	void (*event)(void *opaque, enum machine_event event, uint8_t value);
	void *opaque;
};

static inline void machine_send(const struct machine *machine, enum machine_event event,
				uint8_t value)
{
	if (machine->event)
		machine->event(machine->opaque, event, value);
}

#endif
