/* SPDX-License-Identifier: Apache-2.0 */
/* test_cli_session: both ends of a command in a guest, init's and stet's, over a socket of this
 * machine: streams apart and complete, exit codes, signals, a terminal. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tools/init/relay.h"
#include "tools/stet/session.h"

#define LIMIT_MS   20000
#define NO_SIGNAL  0
#define CODE_NONE  200 /* no exit code came */
#define CODE_STUCK 201

/* What a command on its way over the socket left. */
struct outcome {
	int code;
	char out[256], err[256];
	size_t out_bytes;
};

/* Settings as stet writes them; words end with NULL. */
static void parse(struct settings *settings, const char *const *words)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);

	for (; *words; words++) {
		fputs(*words, out);
		fputc(0, out);
	}
	fclose(out);
	assert_int_equal(settings_parse(settings, text, bytes), 0);
	/* text stays: the settings point into it */
}

static _Noreturn void be_init(const struct session *session, const char *const *words)
{
	struct settings settings;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	parse(&settings, words);
	if (connect(fd, (const struct sockaddr *)&session->address, sizeof(session->address)))
		_exit(99);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	relay_run(fd, &settings);
	_exit(0);
}

/* Stays with the session; number is sent once output has come. Never returns. */
static _Noreturn void be_stet(const char *const *words, int number)
{
	static struct session session;
	bool sent = number == NO_SIGNAL;
	pid_t init;

	signal(SIGPIPE, SIG_IGN);
	session_init(&session);
	if (session_listen(&session, NULL))
		_exit(98);
	init = fork();
	if (init == 0)
		be_init(&session, words);
	while (!session.over) {
		struct pollfd polls[SESSION_POLLS];
		bool output;

		session_polls(&session, STDIN_FILENO, polls);
		if (poll(polls, SESSION_POLLS, LIMIT_MS) <= 0)
			_exit(CODE_STUCK);
		output = polls[1].revents != 0;
		session_turn(&session, STDIN_FILENO, polls);
		if (output && !sent)
			sent = session_signal(&session, number);
	}
	session_close(&session);
	waitpid(init, NULL, 0); /* it ends when we hang up */
	_exit(session.exited ? (int)session.code : CODE_NONE);
}

static int file_with(const char *text)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static size_t take(int fd, char *text, size_t bytes)
{
	off_t size = lseek(fd, 0, SEEK_END);
	ssize_t n = pread(fd, text, bytes - 1, 0);

	text[n > 0 ? n : 0] = 0;
	close(fd);
	return (size_t)size;
}

static void play(struct outcome *outcome, const char *const *words, int in_fd, int number)
{
	int out = memfd_create("out", MFD_CLOEXEC);
	int err = memfd_create("err", MFD_CLOEXEC);
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		dup2(in_fd, STDIN_FILENO);
		dup2(out, STDOUT_FILENO);
		dup2(err, STDERR_FILENO);
		be_stet(words, number);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(in_fd);
	outcome->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	outcome->out_bytes = take(out, outcome->out, sizeof(outcome->out));
	take(err, outcome->err, sizeof(outcome->err));
}

#define SHELL(script) "arg=/bin/sh", "arg=-c", "arg=" script, NULL

static void streams_are_apart(void **state)
{
	static const char *const words[] = { "env=A=b c",
					     SHELL("echo \"$A\"; echo bad >&2; exit 7") };
	struct outcome outcome;

	(void)state;
	play(&outcome, words, file_with(""), NO_SIGNAL);
	assert_string_equal(outcome.out, "b c\n");
	assert_string_equal(outcome.err, "bad\n");
	assert_int_equal(outcome.code, 7);
}

static void input_arrives_and_ends(void **state)
{
	static const char *const words[] = { "arg=/bin/cat", NULL };
	struct outcome outcome;

	(void)state;
	play(&outcome, words, file_with("one\ntwo\n"), NO_SIGNAL);
	assert_string_equal(outcome.out, "one\ntwo\n");
	assert_int_equal(outcome.code, 0);
}

/* More than all buffers hold, through the command and back. */
static void much_data(void **state)
{
	static const char *const words[] = { SHELL("cat; cat /dev/null") };
	const size_t bytes = 3000000;
	struct outcome outcome;
	int fd = memfd_create("in", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	play(&outcome, words, fd, NO_SIGNAL);
	assert_int_equal(outcome.code, 0);
	assert_int_equal(outcome.out_bytes, bytes);
}

/* A command that does not read its input is not held up, nor is a signal for it. (exec: a shell
 * that gets the signal while it forks waits for the child all the same.) */
static void input_that_nobody_reads(void **state)
{
	static const char *const quick[] = { SHELL("exec true") };
	static const char *const slow[] = { SHELL("echo ready; exec sleep 60") };
	struct outcome outcome;
	int fd = memfd_create("in", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(ftruncate(fd, 1000000), 0);
	play(&outcome, quick, dup(fd), NO_SIGNAL);
	assert_int_equal(outcome.code, 0);
	lseek(fd, 0, SEEK_SET);
	play(&outcome, slow, fd, SIGINT);
	assert_int_equal(outcome.code, 128 + SIGINT);
}

static void programs_that_do_not_run(void **state)
{
	static const char *const missing[] = { "arg=/nonexistent/program", NULL };
	static const char *const in_path[] = { "env=PATH=/bin:/usr/bin", "arg=no-such-program",
					       NULL };
	static const char *const directory[] = { "arg=/tmp", NULL };
	static const char *const nowhere[] = { "workdir=/nonexistent",
					       "workdir-wanted=", "arg=/bin/true", NULL };
	struct outcome outcome;

	(void)state;
	play(&outcome, missing, file_with(""), NO_SIGNAL);
	assert_int_equal(outcome.code, 127);
	assert_string_equal(outcome.err, "stet: cannot run '/nonexistent/program': No such file or "
					 "directory\n");
	play(&outcome, in_path, file_with(""), NO_SIGNAL);
	assert_int_equal(outcome.code, 127);
	play(&outcome, directory, file_with(""), NO_SIGNAL);
	assert_int_equal(outcome.code, 126);
	play(&outcome, nowhere, file_with(""), NO_SIGNAL);
	assert_int_equal(outcome.code, 126);
	assert_non_null(strstr(outcome.err, "/nonexistent"));
}

static void signals_end_it(void **state)
{
	static const char *const itself[] = { SHELL("kill -KILL $$") };
	static const char *const trapped[] = { SHELL(
		"trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done") };
	struct outcome outcome;

	(void)state;
	play(&outcome, itself, file_with(""), NO_SIGNAL);
	assert_int_equal(outcome.code, 128 + SIGKILL);
	play(&outcome, trapped, file_with(""), SIGTERM);
	assert_int_equal(outcome.code, 3);
}

/* What it left in the background is not waited for, even with its standard output. */
static void background_is_not_waited_for(void **state)
{
	static const char *const words[] = { SHELL("sleep 30 & echo here") };
	struct outcome outcome;

	(void)state;
	play(&outcome, words, file_with(""), NO_SIGNAL);
	assert_int_equal(outcome.code, 0);
	assert_string_equal(outcome.out, "here\n");
}

static void a_terminal(void **state)
{
	static const char *const words[] = {
		"terminal=", "columns=93", "rows=17",
		SHELL("stty size; tty; test -t 2 && echo err is one")
	};
	static const char *const apart[] = {
		"terminal=", "stderr-apart=", "columns=80", "rows=24",
		SHELL("test -t 1 && echo out; test -t 2 || echo no >&2")
	};
	struct outcome outcome;

	(void)state;
	play(&outcome, words, file_with(""), NO_SIGNAL);
	assert_int_equal(outcome.code, 0);
	assert_non_null(strstr(outcome.out, "17 93\r\n/dev/pts/"));
	assert_non_null(strstr(outcome.out, "err is one"));
	play(&outcome, apart, file_with(""), NO_SIGNAL);
	assert_string_equal(outcome.out, "out\r\n");
	assert_string_equal(outcome.err, "no\n");
}

/* Ctrl-C as a character: the line discipline makes the signal of it. */
static void a_key_interrupts(void **state)
{
	static const char *const words[] = { "terminal=", "arg=/bin/cat", NULL };
	struct outcome outcome;

	(void)state;
	play(&outcome, words, file_with("\x03"), NO_SIGNAL);
	assert_int_equal(outcome.code, 128 + SIGINT);
}

/* Nobody reads its output: it gets SIGPIPE, as in a pipe of this machine. */
static void output_nobody_reads(void **state)
{
	static const char *const words[] = { "arg=/usr/bin/yes", NULL };
	int fds[2];
	int status = 0;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		close(fds[0]);
		close(fds[1]);
		be_stet(words, NO_SIGNAL);
	}
	close(fds[1]);
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 128 + SIGPIPE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_are_apart),
		cmocka_unit_test(input_arrives_and_ends),
		cmocka_unit_test(much_data),
		cmocka_unit_test(input_that_nobody_reads),
		cmocka_unit_test(programs_that_do_not_run),
		cmocka_unit_test(signals_end_it),
		cmocka_unit_test(background_is_not_waited_for),
		cmocka_unit_test(a_terminal),
		cmocka_unit_test(a_key_interrupts),
		cmocka_unit_test(output_nobody_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
