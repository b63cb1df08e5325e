/* SPDX-License-Identifier: Apache-2.0 */
/* guard: a tiny child that gives the terminal its modes back when stet is killed with SIGKILL. */
#ifndef TOOLS_STET_GUARD_H
#define TOOLS_STET_GUARD_H

#include <sys/types.h>
#include <termios.h>

/* Owned by terminal.c. fd is -1 where there is no guard. */
struct guard {
	pid_t pid;
	int fd;
};

/* Forks the guard for the terminal tty_fd. Call while the process has one thread. 0 or a negative
 * errno. */
int guard_start(struct guard *guard, int tty_fd);

/* What to restore should stet die from here on; NULL: nothing. Safe in a signal handler. */
void guard_tell(const struct guard *guard, const struct termios *modes);

/* Ends the guard and waits for it. Does nothing where there is none. */
void guard_dismiss(struct guard *guard);

#endif
