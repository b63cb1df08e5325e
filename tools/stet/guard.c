/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard: a tiny child that gives the terminal its modes back when stet is killed with SIGKILL.
 *
 * It is a session of its own with every signal blocked, so that what ends stet (the keyboard, kill
 * of a process group, a hangup) does not end it first. It holds the terminal and the reading end of
 * a pipe, nothing else: when the last writing end is gone, stet is.
 */
#include "tools/stet/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Shorter than PIPE_BUF: written and read whole. */
struct order {
	enum {
		ORDER_NOTHING, /* the terminal is as it was */
		ORDER_RESTORE, /* modes are to be restored at the end */
		ORDER_LEAVE,
	} what;
	struct termios modes;
};

static ssize_t read_order(int fd, struct order *order)
{
	ssize_t n;

	do
		n = read(fd, order, sizeof(*order));
	while (n < 0 && errno == EINTR);
	return n;
}

static _Noreturn void guard_main(int tty_fd, int pipe_fd)
{
	struct order last = { .what = ORDER_NOTHING };
	struct order order;

	(void)setsid();
	(void)prctl(PR_SET_NAME, "stet-guard");
	if (dup2(tty_fd, STDIN_FILENO) < 0 || dup2(pipe_fd, STDOUT_FILENO) < 0 || chdir("/"))
		_exit(1);
	(void)close_range(STDERR_FILENO, ~0U, 0);
	while (read_order(STDOUT_FILENO, &order) == (ssize_t)sizeof(order)) {
		if (order.what == ORDER_LEAVE)
			_exit(0);
		last = order;
	}
	if (last.what == ORDER_RESTORE)
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &last.modes);
	_exit(0);
}

int guard_start(struct guard *guard, int tty_fd)
{
	sigset_t all;
	sigset_t before;
	int fds[2];
	int result = 0;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0)
		guard_main(tty_fd, fds[0]);
	if (pid < 0)
		result = -errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(fds[0]);
	if (pid < 0) {
		close(fds[1]);
		return result;
	}
	guard->pid = pid;
	guard->fd = fds[1];
	return 0;
}

static void send_order(const struct guard *guard, const struct order *order)
{
	ssize_t n;

	if (guard->fd < 0)
		return;
	do
		n = write(guard->fd, order, sizeof(*order));
	while (n < 0 && errno == EINTR);
}

void guard_tell(const struct guard *guard, const struct termios *modes)
{
	struct order order;

	memset(&order, 0, sizeof(order));
	if (modes) {
		order.what = ORDER_RESTORE;
		order.modes = *modes;
	}
	send_order(guard, &order);
}

void guard_dismiss(struct guard *guard)
{
	struct order order;

	if (guard->fd < 0)
		return;
	memset(&order, 0, sizeof(order));
	order.what = ORDER_LEAVE;
	send_order(guard, &order);
	close(guard->fd);
	guard->fd = -1;
	while (waitpid(guard->pid, NULL, 0) < 0 && errno == EINTR)
		;
}
