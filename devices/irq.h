/* SPDX-License-Identifier: Apache-2.0 */
/* irq: an interrupt line as a device sees it. vmm/plug connects it to the interrupt controller. */
#ifndef DEVICES_IRQ_H
#define DEVICES_IRQ_H

#include <stdbool.h>

/*
 * set() may be called on any thread, under the device's lock; it does not block and does not call
 * back. For an edge line a device raises and lowers. A zeroed irq_line is not connected: irq_set()
 * does nothing.
 */
struct irq_line {
	void (*set)(void *opaque, unsigned int gsi, bool level);
	void *opaque;
	unsigned int gsi;
};

static inline void irq_set(const struct irq_line *irq, bool level)
{
	if (irq->set)
		irq->set(irq->opaque, irq->gsi, level);
}

#endif
