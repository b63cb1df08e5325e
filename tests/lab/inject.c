/* SPDX-License-Identifier: Apache-2.0 */
/* inject: makes another program do a system call: inject PID NUMBER [ARGUMENT]... */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#define ARGUMENTS_MAX 6
/* "syscall", which every thread that waits in the kernel has behind it. */
#define SYSCALL_BYTES 2
#define SYSCALL_CODE  0x050f

static int failed(const char *what)
{
	fprintf(stderr, "inject: %s: %s\n", what, strerror(errno));
	return 1;
}

/* The thread stands still, in a system call that it begins anew when its registers are back. */
static int stop(pid_t pid)
{
	int status;

	if (ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_SUSPEND_SECCOMP))
		return failed("attach");
	if (ptrace(PTRACE_INTERRUPT, pid, 0, 0) || waitpid(pid, &status, __WALL) != pid)
		return failed("stop");
	return 0;
}

static int call(pid_t pid, const unsigned long long *words, long long *result)
{
	struct user_regs_struct before, regs;
	int status;

	if (ptrace(PTRACE_GETREGS, pid, 0, &before))
		return failed("registers");
	regs = before;
	regs.rip -= SYSCALL_BYTES;
	errno = 0;
	if ((ptrace(PTRACE_PEEKTEXT, pid, regs.rip, 0) & 0xffff) != SYSCALL_CODE || errno)
		return failed("the program is in no system call");
	regs.orig_rax = (unsigned long long)-1;
	regs.rax = words[0];
	regs.rdi = words[1];
	regs.rsi = words[2];
	regs.rdx = words[3];
	regs.r10 = words[4];
	regs.r8 = words[5];
	regs.r9 = words[6];
	if (ptrace(PTRACE_SETREGS, pid, 0, &regs) || ptrace(PTRACE_SINGLESTEP, pid, 0, 0) ||
	    waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status) ||
	    ptrace(PTRACE_GETREGS, pid, 0, &regs))
		return failed("the call");
	*result = (long long)regs.rax;
	return ptrace(PTRACE_SETREGS, pid, 0, &before) ? failed("registers back") : 0;
}

int main(int argc, char **argv)
{
	unsigned long long words[1 + ARGUMENTS_MAX] = { 0 };
	long long result = -1;
	int code;

	if (argc < 3 || argc > 3 + ARGUMENTS_MAX) {
		fprintf(stderr, "usage: inject PID NUMBER [ARGUMENT]...\n");
		return 2;
	}
	for (int i = 2; i < argc; i++)
		words[i - 2] = strtoull(argv[i], NULL, 0);
	pid_t pid = atoi(argv[1]);

	if (stop(pid))
		return 1;
	code = call(pid, words, &result);
	if (ptrace(PTRACE_DETACH, pid, 0, 0))
		return failed("let go");
	printf("%lld\n", result);
	return code || result < 0;
}
