/* SPDX-License-Identifier: Apache-2.0 */
/* test_passt: starting and ending passt: the real one where it is installed, and programs in its
 * place that fail in every way. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "vmm/passt.h"

static char program[64]; /* what runs in place of passt */

static const char *script(const char *text)
{
	FILE *file = fopen(program, "w");

	assert_non_null(file);
	fprintf(file, "#!/bin/sh\n%s\n", text);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(program, 0755), 0);
	return program;
}

static void refused(const struct passt_setup *setup, int code, const char *text)
{
	struct net_backend *backend = NULL;
	struct passt passt = { 0 };
	struct error error = { 0 };

	assert_int_equal(passt_start(&passt, setup, &backend, &error), -code);
	assert_null(backend);
	assert_int_equal(passt.pid, 0);
	if (!strstr(error.text, text))
		fail_msg("'%s' is not in '%s'", text, error.text);
}

static void test_not_installed(void **state)
{
	const struct passt_setup setup = { .program = "/nonexistent/passt" };

	(void)state;
	refused(&setup, ENOENT, "/nonexistent/passt");
}

static void test_complaints_are_told(void **state)
{
	struct passt_setup setup = { .program = script("echo 'Failed to send 1 byte' >&2\n"
						       "echo 'the network is out of order' >&2\n"
						       "echo 'Failed to send 28 bytes to syslog' "
						       ">&2\nexit 1") };

	(void)state;
	refused(&setup, EIO, "passt does not start: the network is out of order");
	setup.program = script("exit 1");
	refused(&setup, EIO, "passt does not start");
	/* One that says very much and does not stop. */
	setup.program = script("while echo 'more and more' >&2; do :; done; exit 1");
	refused(&setup, EIO, "passt does not start: more");
}

static void test_nonsense_on_the_stream(void **state)
{
	const struct passt_setup setup = { .program = script("printf '\\377\\377\\377\\377' >&3\n"
							     "sleep 100") };
	uint64_t begin_ns = clock_ns();

	(void)state;
	refused(&setup, EIO, "passt does not start");
	assert_true(clock_ns() - begin_ns < 60 * NS_PER_SEC);
}

/* It is waited for, then taken for one that does not answer; and ended though it would not. */
static void test_silent_and_stubborn(void **state)
{
	const struct passt_setup setup = { .program = script("trap '' TERM\n"
							     "while :; do sleep 0.1; done") };
	struct net_backend *backend = NULL;
	struct passt passt = { 0 };
	pid_t pid;

	(void)state;
	assert_int_equal(passt_start(&passt, &setup, &backend, NULL), 0);
	pid = passt.pid;
	assert_int_equal(kill(pid, 0), 0);
	net_backend_destroy(backend);
	passt_stop(&passt);
	assert_int_equal(passt.pid, 0);
	assert_int_equal(kill(pid, 0), -1);
	passt_stop(&passt);
}

/* It gets its socket, the null device and nothing else of ours; and no signal is blocked. */
static void test_what_it_inherits(void **state)
{
	const struct passt_setup setup = {
		.program = script("ls /proc/self/fd | tr '\\n' ' ' >&2; echo \"args $*\" >&2\n"
				  "grep SigBlk /proc/self/status >&2\n"
				  "echo $(ls /proc/$$/fd) $* $(grep SigBlk /proc/$$/status) >&2"),
		.forwards = (const struct passt_forward[]){ { false, 18080, 80 },
							    { true, 15353, 53 },
							    { false, 18443, 443 } },
		.forward_count = 3,
	};
	const int leaked = dup2(1, 77);
	sigset_t all, before;

	(void)state;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	/* 4 and 10 are the shell's own, for a pipe and its script. */
	refused(&setup, EIO,
		"0 1 10 2 3 4 --foreground --fd 3 -t 18080:80,18443:443 -u 15353:53 SigBlk: "
		"0000000000000000");
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(leaked);
}

static void test_ports(void **state)
{
	struct passt_forward forward = { .host_port = 0, .guest_port = 80 };
	const struct passt_setup setup = { .program = script("exit 1"),
					   .forwards = &forward,
					   .forward_count = 1 };
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t bytes = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	refused(&setup, EINVAL, "1 to 65535");
	assert_int_equal(bind(fd, (struct sockaddr *)&address, bytes), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
	forward.host_port = ntohs(address.sin_port);
	refused(&setup, EADDRINUSE, "cannot forward TCP port");
	close(fd);
}

/* The real one answers for every address. */
static void test_real(void **state)
{
	const struct passt_setup setup = { .mac = { 0x52, 0x54, 0, 1, 2, 3 } };
	uint8_t request[54] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0,    1,    2,   3,   0x08, 0x06,
		0,    1,    8,    0,    6,    4,    0,    1,    0x52, 0x54, 0,   1,   2,    3,
		169,  254,  250,  9,    0,    0,    0,    0,    0,    0,    169, 254, 250,  10,
	};
	uint8_t packet[NET_HEADER_BYTES + 42], answer[2000];
	struct iovec out = { packet, sizeof(packet) }, in = { answer, sizeof(answer) };
	struct net_backend *backend = NULL;
	struct passt passt = { 0 };
	struct error error = { 0 };
	struct pollfd ready = { .events = POLLIN };
	ssize_t got;
	pid_t pid;

	(void)state;
	if (access("/usr/bin/passt", X_OK))
		skip();
	if (passt_start(&passt, &setup, &backend, &error) == -EIO) {
		/* A host without a network of its own: passt says so. */
		assert_non_null(strstr(error.text, "passt does not start: "));
		skip();
	}
	assert_non_null(backend);
	pid = passt.pid;
	memset(packet, 0, NET_HEADER_BYTES);
	memcpy(packet + NET_HEADER_BYTES, request, 42);
	assert_int_equal(backend->ops->send(backend, 0, &out, 1), 0);
	ready.fd = backend->ops->fd(backend, 0);
	do {
		assert_int_equal(poll(&ready, 1, 5000), 1);
		got = backend->ops->receive(backend, 0, &in, 1);
	} while (got == -EAGAIN || (got > 0 && load_le16(answer + 24) != htons(0x0806)));
	assert_true(got >= NET_HEADER_BYTES + 42);
	assert_memory_equal(answer + NET_HEADER_BYTES, request + 6, 6);
	assert_memory_equal(answer + NET_HEADER_BYTES + 28, request + 38, 4);
	net_backend_destroy(backend);
	passt_stop(&passt);
	assert_int_equal(kill(pid, 0), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_installed),
		cmocka_unit_test(test_complaints_are_told),
		cmocka_unit_test(test_nonsense_on_the_stream),
		cmocka_unit_test(test_silent_and_stubborn),
		cmocka_unit_test(test_what_it_inherits),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_real),
	};
	int failed;

	snprintf(program, sizeof(program), "/tmp/stet-test-passt-%d", getpid());
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(program);
	return failed;
}
