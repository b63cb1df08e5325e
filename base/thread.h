/* SPDX-License-Identifier: Apache-2.0 */
/* thread: what the threads that stet makes have in common. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
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

/* sched_attr of sched_setattr(2), first version: <linux/sched/types.h> and <sched.h> exclude each
 * other. */
struct thread_schedule {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t slice_ns, deadline_ns, period_ns;
};

/* How the scheduler treats a thread of this process (0: the calling one). 0, or -1 with errno set;
 * slice_ns is 0 where the host knows no slices (before Linux 6.12). */
static inline int thread_get_schedule(pid_t thread, struct thread_schedule *schedule)
{
	return (int)syscall(SYS_sched_getattr, thread, schedule, sizeof(*schedule), 0);
}

/*
 * A short slice for the calling thread, where it has a longer one: an early turn beside others that
 * want the same processor, while its share stays what it is. Not getting it is no error.
 */
static inline void thread_shorten_slice(uint64_t slice_ns)
{
	struct thread_schedule schedule = { 0 };

	if (thread_get_schedule(0, &schedule) || schedule.policy != SCHED_OTHER ||
	    schedule.slice_ns <= slice_ns)
		return;
	schedule.slice_ns = slice_ns;
	syscall(SYS_sched_setattr, 0, &schedule, 0);
}

#endif
