/* SPDX-License-Identifier: Apache-2.0 */
/* ring: the io_uring of a loop: how it is set up, and what it may do. */
#include "base/ring.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/num.h"

/* liburing 2.3 has functions for what we register but forgot to export them. */
int ring_register(const struct io_uring *ring, unsigned int operation, const void *argument,
		  unsigned int count)
{
	int rc = (int)syscall(SYS_io_uring_register, ring->ring_fd, operation, argument, count);

	return rc < 0 ? -errno : rc;
}

/*
 * Disabled at first: the thread that enables it becomes its one submitter, while requests may be
 * queued by another before. With DEFER_TASKRUN (Linux 6.1) completions are posted only inside our
 * wait: no interruption, no wake-up per completion.
 */
int ring_setup(struct io_uring *ring, unsigned int entries)
{
	static const unsigned int flags[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL,
		IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL,
		0,
	};
	unsigned int i;
	int rc = -EINVAL;

	for (i = 0; i < ARRAY_SIZE(flags) && rc == -EINVAL; i++)
		rc = io_uring_queue_init(entries, ring, flags[i] | IORING_SETUP_R_DISABLED);
	return rc;
}

/* Whoever takes over the process can do no more with this ring than we do. */
int ring_restrict(struct io_uring *ring)
{
	static const uint8_t operations[] = { IORING_OP_READ,        IORING_OP_WRITE,
					      IORING_OP_READV,       IORING_OP_WRITEV,
					      IORING_OP_READ_FIXED,  IORING_OP_WRITE_FIXED,
					      IORING_OP_FSYNC,       IORING_OP_FALLOCATE,
					      IORING_OP_POLL_ADD,    IORING_OP_TIMEOUT,
					      IORING_OP_ASYNC_CANCEL };
	static const uint8_t registers[] = { IORING_REGISTER_RING_FDS, IORING_UNREGISTER_RING_FDS,
					     IORING_REGISTER_BUFFERS_UPDATE,
					     IORING_UNREGISTER_BUFFERS };
	struct io_uring_restriction list[ARRAY_SIZE(operations) + ARRAY_SIZE(registers) + 1];
	unsigned int count = 0, i;

	memset(list, 0, sizeof(list));
	for (i = 0; i < ARRAY_SIZE(operations); i++, count++) {
		list[count].opcode = IORING_RESTRICTION_SQE_OP;
		list[count].sqe_op = operations[i];
	}
	for (i = 0; i < ARRAY_SIZE(registers); i++, count++) {
		list[count].opcode = IORING_RESTRICTION_REGISTER_OP;
		list[count].register_op = registers[i];
	}
	list[count].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
	list[count++].sqe_flags = IOSQE_FIXED_FILE;
	return ring_register(ring, IORING_REGISTER_RESTRICTIONS, list, count);
}
