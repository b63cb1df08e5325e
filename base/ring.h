/* SPDX-License-Identifier: Apache-2.0 */
/* ring: the io_uring of a loop: how it is set up, and what it may do. For loop.c alone, and with it
 * the one place that includes liburing. */
#ifndef BASE_RING_H
#define BASE_RING_H

#include <liburing.h>

/* 0 or a negative errno; a ring that is set up is its owner's to end (io_uring_queue_exit()). It
 * takes no submission before IORING_REGISTER_ENABLE_RINGS. */
int ring_setup(struct io_uring *ring, unsigned int entries);

/* From the moment it is enabled the ring takes what loop.c submits and registers, nothing else. */
int ring_restrict(struct io_uring *ring);

/* io_uring_register(2): not negative, or a negative errno. */
int ring_register(const struct io_uring *ring, unsigned int operation, const void *argument,
		  unsigned int count);

#endif
