/* SPDX-License-Identifier: Apache-2.0 */
/* command: starts the user's command with pipes or a pseudo-terminal. */
#include "tools/init/command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* The child's ends. */
struct ends {
	int in_fd, out_fd, err_fd;
};

static int open_terminal(struct command *command, struct ends *ends,
			 const struct settings *settings)
{
	char path[32];
	int unlock = 0;
	unsigned int number;
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);

	if (master < 0)
		return -errno;
	command->terminal_fd = master;
	if (ioctl(master, TIOCSPTLCK, &unlock) || ioctl(master, TIOCGPTN, &number))
		return -errno;
	snprintf(path, sizeof(path), "/dev/pts/%u", number);
	ends->in_fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (ends->in_fd < 0)
		return -errno;
	command_resize(command, settings->columns, settings->rows);
	ends->out_fd = fcntl(ends->in_fd, F_DUPFD_CLOEXEC, 3);
	command->in_fd = fcntl(master, F_DUPFD_CLOEXEC, 3);
	command->out_fd = fcntl(master, F_DUPFD_CLOEXEC, 3);
	if (ends->out_fd < 0 || command->in_fd < 0 || command->out_fd < 0)
		return -errno;
	if (settings->stderr_apart)
		return 0;
	ends->err_fd = fcntl(ends->in_fd, F_DUPFD_CLOEXEC, 3);
	return ends->err_fd < 0 ? -errno : 0;
}

/* A pipe of which our end (0: the reading one) does not block. */
static int open_pipe(int *ours, int *childs, int our_end)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	*ours = fds[our_end];
	*childs = fds[!our_end];
	return fcntl(*ours, F_SETFL, O_NONBLOCK) ? -errno : 0;
}

static int open_ends(struct command *command, struct ends *ends, const struct settings *settings)
{
	int ret = 0;

	if (settings->terminal) {
		ret = open_terminal(command, ends, settings);
	} else {
		ret = open_pipe(&command->in_fd, &ends->in_fd, 1);
		if (!ret)
			ret = open_pipe(&command->out_fd, &ends->out_fd, 0);
	}
	if (!ret && ends->err_fd < 0)
		ret = open_pipe(&command->err_fd, &ends->err_fd, 0);
	return ret;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static _Noreturn void die(int code, const char *what, const char *which)
{
	/* One write: a line of this size comes whole. */
	dprintf(STDERR_FILENO, "stet: cannot %s '%s': %s\n", what, which, strerror(errno));
	_exit(code);
}

static _Noreturn void become(const struct ends *ends, const struct settings *settings)
{
	sigset_t none;

	(void)setsid();
	if (settings->terminal)
		(void)ioctl(ends->in_fd, TIOCSCTTY, 0);
	if (dup2(ends->err_fd, STDERR_FILENO) < 0 || dup2(ends->in_fd, STDIN_FILENO) < 0 ||
	    dup2(ends->out_fd, STDOUT_FILENO) < 0)
		_exit(COMMAND_NOT_EXECUTABLE);
	for (int number = 1; number < NSIG; number++)
		(void)signal(number, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (chdir(settings->workdir) && (settings->workdir_wanted || chdir("/")))
		die(COMMAND_NOT_EXECUTABLE, "go to directory", settings->workdir);
	environ = (char **)settings->environment;
	execvp(settings->arguments[0], (char **)settings->arguments);
	die(errno == ENOENT ? COMMAND_NOT_FOUND : COMMAND_NOT_EXECUTABLE, "run",
	    settings->arguments[0]);
}

/* Returns when the child executes, or has failed to: its terminal and group are there then, for
 * keys and signals. */
static int start_child(struct command *command, const struct ends *ends,
		       const struct settings *settings)
{
	int running[2];
	char byte;

	if (pipe2(running, O_CLOEXEC))
		return -errno;
	command->pid = fork();
	if (command->pid == 0)
		become(ends, settings);
	close(running[1]);
	if (command->pid > 0)
		while (read(running[0], &byte, 1) < 0 && errno == EINTR)
			;
	close(running[0]);
	return command->pid < 0 ? -errno : 0;
}

int command_start(struct command *command, const struct settings *settings)
{
	struct ends ends = { -1, -1, -1 };
	int ret;

	*command = (struct command){ 0, -1, -1, -1, -1 };
	ret = open_ends(command, &ends, settings);
	if (!ret)
		ret = start_child(command, &ends, settings);
	close_fd(ends.in_fd);
	close_fd(ends.out_fd);
	close_fd(ends.err_fd);
	return ret;
}

void command_signal(const struct command *command, int number)
{
	pid_t group = command->pid;

	if (number < 1 || number >= NSIG || group <= 0)
		return;
	if (command->terminal_fd >= 0 && (number == SIGINT || number == SIGQUIT)) {
		pid_t foreground = tcgetpgrp(command->terminal_fd);

		if (foreground > 1)
			group = foreground;
	}
	(void)kill(-group, number);
}

void command_resize(const struct command *command, uint16_t columns, uint16_t rows)
{
	const struct winsize size = { .ws_col = columns, .ws_row = rows };

	if (command->terminal_fd >= 0 && columns && rows)
		(void)ioctl(command->terminal_fd, TIOCSWINSZ, &size);
}
