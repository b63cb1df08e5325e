/* SPDX-License-Identifier: Apache-2.0 */
/*
 * launch: starts a program as a benchmark wants it: says "start" in the kernel's trace just before
 * exec, gives it no input, and reports what it was when it has ended.
 *
 *   launch PROGRAM [ARGUMENT]...
 *
 * The last line of its own on standard output: "status N maxrss_kb N"; exit status 0, or 1 where
 * the program could not be started.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRACE_MARKER "/sys/kernel/tracing/trace_marker"

static void start(char **arguments)
{
	int input = open("/dev/null", O_RDONLY);
	int marker = open(TRACE_MARKER, O_WRONLY | O_CLOEXEC);

	if (input < 0 || marker < 0 || dup2(input, STDIN_FILENO) < 0) {
		perror("launch");
		_exit(127);
	}
	if (write(marker, "start", 5) != 5)
		perror(TRACE_MARKER);
	execv(arguments[0], arguments);
	perror(arguments[0]);
	_exit(127);
}

int main(int argc, char **argv)
{
	struct rusage usage;
	int status;
	pid_t pid;

	if (argc < 2) {
		fprintf(stderr, "usage: launch PROGRAM [ARGUMENT]...\n");
		return 2;
	}
	pid = fork();
	if (pid == 0)
		start(argv + 1);
	if (pid < 0 || wait4(pid, &status, 0, &usage) != pid) {
		perror("launch");
		return 1;
	}
	printf("status %d maxrss_kb %ld\n",
	       WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), usage.ru_maxrss);
	return WIFEXITED(status) && WEXITSTATUS(status) == 127;
}
