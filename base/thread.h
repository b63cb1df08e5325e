/* SPDX-License-Identifier: Apache-2.0 */
/* thread: what the threads that stet makes have in common. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <sys/syscall.h>
#include <unistd.h>

#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
#endif

/*
 * Ends the calling thread's restartable sequences (rseq(2)), which the C library registers for each
 * thread and stet's do not use: the kernel keeps them up to date at each switch to the thread, some
 * 250 instructions. Only for a thread of our own. Where they were registered otherwise they stay.
 */
static inline void thread_leave_rseq(void)
{
#ifdef RSEQ_SIG
	enum {
		REGISTERED_BYTES = 32,
		UNREGISTER = 1
	};

	syscall(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset, REGISTERED_BYTES,
		UNREGISTER, RSEQ_SIG);
#endif
}

#endif
