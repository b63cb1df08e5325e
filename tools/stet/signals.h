/* SPDX-License-Identifier: Apache-2.0 */
/* signals: blocked in every thread; while the VM is made they end the program, then they are read.
 */
#ifndef TOOLS_STET_SIGNALS_H
#define TOOLS_STET_SIGNALS_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

struct signals {
	sigset_t read; /* those that signals_next() gives */
	int fd;        /* readable when one came */
	pthread_t waiter;
	bool waiter_runs;
};

/*
 * Blocks all signals in this thread and those it starts, except those that tell of a fault. Until
 * signals_ready() a thread sees to it that SIGINT and its like end the program at once: preparing a
 * large memory takes long. Signals that the parent ignored (nohup) stay ignored. 0 or a negative
 * errno.
 */
int signals_open(struct signals *signals);

/* From now on signals are for signals_next(). */
void signals_ready(struct signals *signals);

/* The number of a signal that came, or 0. Does not block. */
int signals_next(struct signals *signals);

void signals_close(struct signals *signals);

#endif
