/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pty: runs a command on a terminal of its own and checks what becomes of both.
 *
 *     pty [--leader] STEP... -- COMMAND [ARGUMENT]...
 *
 * The command is a job in the foreground of a session whose leader waits for it, as under a shell;
 * with --leader it leads the session itself. Steps, in order, each with a time limit:
 *
 *     expect:TEXT   TEXT comes out            send:BYTES   type BYTES
 *     raw           the terminal is raw       cooked       its modes are those of the beginning
 *     signal:N      send signal N             hangup       close the terminal
 *     background    another job gets the foreground        foreground   the command gets it back
 *     stopped       the command was stopped   exit:N       it ends with N, as a shell sees it
 *     alone         no process of it is left
 *
 * Exits 0 when all held; else says which did not, with the output so far.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_MS     120000
#define OUTPUT_BYTES (1 << 20)
#define STILL_RUNS   (-1)

struct pty {
	int master;
	int slave;   /* ours, to look at its modes: kept open so that they stay */
	int orders;  /* to the leader: 'f' or 'b' */
	int reports; /* from the leader: the command's pid, then its wait statuses */
	pid_t leader;
	pid_t command; /* in its own process group */
	int status;
	bool stopped;
	struct termios before;
	size_t bytes;
	size_t matched; /* output up to here was expected already */
	char output[OUTPUT_BYTES + 1];
};

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void require(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "pty: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void send_report(int fd, int value)
{
	require(write(fd, &value, sizeof(value)) == (ssize_t)sizeof(value), "report");
}

/* The job: its own process group, in the foreground before it starts. */
static _Noreturn void exec_command(char **command, int slave)
{
	for (int number = 1; number < NSIG; number++)
		(void)signal(number, SIG_DFL);
	require(dup2(slave, 0) == 0 && dup2(slave, 1) == 1 && dup2(slave, 2) == 2, "dup2");
	(void)close_range(3, ~0U, 0);
	execvp(command[0], command);
	fprintf(stderr, "pty: %s: %s\n", command[0], strerror(errno));
	_exit(127);
}

static pid_t start_job(char **command, int slave)
{
	pid_t pid = fork();

	require(pid >= 0, "fork");
	if (pid == 0) {
		(void)setpgid(0, 0);
		require(tcsetpgrp(slave, getpid()) == 0, "tcsetpgrp");
		exec_command(command, slave);
	}
	(void)setpgid(pid, pid);
	return pid;
}

/* What a shell does for a job: gives it the foreground, takes it away, sees it stop and end. */
static _Noreturn void lead(char **command, int slave, int orders, int reports)
{
	pid_t pid;
	int status;

	for (int number = 1; number < NSIG; number++)
		if (number != SIGCHLD)
			(void)signal(number, SIG_IGN);
	pid = start_job(command, slave);
	send_report(reports, pid);
	for (;;) {
		struct pollfd order = { .fd = orders, .events = POLLIN };
		char letter;

		if (waitpid(pid, &status, WNOHANG | WUNTRACED) == pid) {
			send_report(reports, status);
			if (!WIFSTOPPED(status))
				_exit(0);
		}
		if (poll(&order, 1, 10) == 1 && read(orders, &letter, 1) == 1)
			(void)tcsetpgrp(slave, letter == 'f' ? pid : getpid());
	}
}

static void start(struct pty *pty, char **command, bool as_leader)
{
	int orders[2];
	int reports[2];

	require(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0, "subreaper");
	require(openpty(&pty->master, &pty->slave, NULL, NULL, NULL) == 0, "openpty");
	require(tcgetattr(pty->slave, &pty->before) == 0, "tcgetattr");
	require(pipe2(orders, O_CLOEXEC) == 0 && pipe2(reports, O_CLOEXEC) == 0, "pipe");
	pty->leader = fork();
	require(pty->leader >= 0, "fork");
	if (pty->leader == 0) {
		close(pty->master);
		require(setsid() > 0 && ioctl(pty->slave, TIOCSCTTY, 0) == 0, "setsid");
		if (as_leader)
			exec_command(command, pty->slave);
		lead(command, pty->slave, orders[0], reports[1]);
	}
	close(orders[0]);
	close(reports[1]);
	pty->orders = orders[1];
	pty->reports = reports[0];
	pty->command = pty->leader;
	if (!as_leader)
		require(read(pty->reports, &pty->command, sizeof(int)) == sizeof(int), "start");
	else
		pty->reports = -1;
}

/* Takes what the command wrote and how it is doing; waits a little when there is nothing. */
static void look(struct pty *pty)
{
	struct pollfd polls[] = {
		{ .fd = pty->master, .events = POLLIN },
		{ .fd = pty->reports, .events = POLLIN },
	};
	int status;

	(void)poll(polls, 2, 10);
	if (polls[0].revents & POLLIN) {
		ssize_t n = read(pty->master, pty->output + pty->bytes, OUTPUT_BYTES - pty->bytes);

		if (n > 0)
			pty->bytes += (size_t)n;
		if (pty->bytes == OUTPUT_BYTES)
			pty->bytes = pty->matched = 0;
		pty->output[pty->bytes] = '\0';
	}
	if (pty->reports >= 0
		    ? polls[1].revents & POLLIN &&
			      read(pty->reports, &status, sizeof(status)) == (ssize_t)sizeof(status)
		    : waitpid(pty->leader, &status, WNOHANG) == pty->leader) {
		pty->stopped = WIFSTOPPED(status);
		if (WIFEXITED(status))
			pty->status = WEXITSTATUS(status);
		else if (WIFSIGNALED(status))
			pty->status = 128 + WTERMSIG(status);
	}
}

static bool is_raw(const struct pty *pty)
{
	struct termios now;

	return tcgetattr(pty->slave, &now) == 0 && !(now.c_lflag & (ICANON | ECHO | ISIG)) &&
	       !(now.c_oflag & OPOST);
}

static bool is_cooked(const struct pty *pty)
{
	struct termios now;

	return tcgetattr(pty->slave, &now) == 0 && now.c_iflag == pty->before.c_iflag &&
	       now.c_oflag == pty->before.c_oflag && now.c_cflag == pty->before.c_cflag &&
	       now.c_lflag == pty->before.c_lflag &&
	       memcmp(now.c_cc, pty->before.c_cc, sizeof(now.c_cc)) == 0;
}

static bool is_alone(void)
{
	pid_t pid;

	do
		pid = waitpid(-1, NULL, WNOHANG);
	while (pid > 0);
	return pid < 0 && errno == ECHILD;
}

/* Steps that wait for something: is it there? */
static bool holds(struct pty *pty, const char *step)
{
	const char *found;

	if (strncmp(step, "expect:", 7) == 0) {
		found = memmem(pty->output + pty->matched, pty->bytes - pty->matched, step + 7,
			       strlen(step + 7));
		if (found)
			pty->matched = (size_t)(found - pty->output) + strlen(step + 7);
		return found;
	}
	if (strcmp(step, "raw") == 0)
		return is_raw(pty);
	if (strcmp(step, "cooked") == 0)
		return is_cooked(pty);
	if (strcmp(step, "stopped") == 0)
		return pty->stopped;
	if (strncmp(step, "exit:", 5) == 0)
		return pty->status == atoi(step + 5);
	if (strcmp(step, "alone") == 0)
		return is_alone();
	fprintf(stderr, "pty: unknown step '%s'\n", step);
	exit(2);
}

/* Steps that do something. False: it is not one of them. */
static bool act(struct pty *pty, const char *step)
{
	if (strncmp(step, "send:", 5) == 0)
		require(write(pty->master, step + 5, strlen(step + 5)) > 0, step);
	else if (strncmp(step, "signal:", 7) == 0)
		require(kill(pty->command, atoi(step + 7)) == 0, step);
	else if (strcmp(step, "background") == 0 || strcmp(step, "foreground") == 0)
		require(write(pty->orders, step, 1) == 1, step);
	else if (strcmp(step, "hangup") == 0)
		require(close(pty->master) == 0, step);
	else
		return false;
	if (strcmp(step, "hangup") == 0)
		pty->master = -1;
	return true;
}

static int run_step(struct pty *pty, const char *step)
{
	uint64_t end_ms = now_ms() + LIMIT_MS;

	if (act(pty, step))
		return 0;
	while (!holds(pty, step)) {
		if (now_ms() > end_ms) {
			fprintf(stderr, "pty: '%s' did not hold; status %d%s; output so far:\n%s\n",
				step, pty->status, is_raw(pty) ? ", raw" : "", pty->output);
			return 1;
		}
		look(pty);
	}
	return 0;
}

int main(int argc, char **argv)
{
	static struct pty pty = { .status = STILL_RUNS };
	bool as_leader = false;
	int dashes = 1;
	int first = 1;
	int result = 0;

	while (dashes < argc && strcmp(argv[dashes], "--") != 0)
		dashes++;
	if (dashes >= argc - 1) {
		fprintf(stderr, "usage: pty [--leader] STEP... -- COMMAND [ARGUMENT]...\n");
		return 2;
	}
	if (strcmp(argv[first], "--leader") == 0) {
		as_leader = true;
		first++;
	}
	start(&pty, argv + dashes + 1, as_leader);
	while (!result && first < dashes)
		result = run_step(&pty, argv[first++]);
	if (pty.status == STILL_RUNS)
		(void)kill(pty.command, SIGKILL);
	return result;
}
