/* SPDX-License-Identifier: Apache-2.0 */
/* serial: a 16550A UART (National Semiconductor PC16550D data sheet). */
#ifndef DEVICES_SERIAL_H
#define DEVICES_SERIAL_H

#include <stddef.h>
#include <stdint.h>

#include "devices/device.h"
#include "devices/irq.h"

#define SERIAL_BYTES 8
#define SERIAL_INPUT_BYTES \
	64 /* receive buffer: a FIFO's 16 and a little; what does not fit is not taken */

/*
 * The other end of the wire. send() is called with the device's lock held and never blocks: it
 * returns how many bytes it took; with fewer the transmitter stays busy (LSR.THRE clear) until
 * serial_sent(). ready() says that the receive buffer has room again. Neither calls back into the
 * serial port.
 */
struct serial_wire {
	size_t (*send)(void *opaque, const uint8_t *data, size_t bytes);
	void (*ready)(void *opaque);
	void *opaque;
};

/* NULL where memory is short. */
struct device *serial_create(const struct irq_line *irq, const struct serial_wire *wire);

/* From the I/O loop's thread; take the device's lock. receive returns how many bytes fitted (the
 * rest is the caller's to keep). */
size_t serial_receive(struct device *serial, const uint8_t *data, size_t bytes);
/* The wire has room again after send() took less than it was given. */
void serial_sent(struct device *serial);

#endif
