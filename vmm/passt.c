/* SPDX-License-Identifier: Apache-2.0 */
/* passt: starts the program passt and gives its socket to a network device. */
#include "vmm/passt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/ethernet.h>
#include <netinet/if_ether.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "base/text.h"
#include "devices/net_stream.h"

#define CHILD_FD      3
/* What it says is kept up to here; it cannot write more. */
#define MESSAGE_BYTES 16384
#define STOP_WAIT_MS  2000

static const char *const installed[] = { "/usr/bin/passt", "/usr/local/bin/passt" };

/* ---- Ports ---- */

/* passt says nothing where a port is taken, so it is tried beforehand. */
static int try_port(const struct passt_forward *forward, struct error *error)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(forward->host_port) };
	const char *name = forward->udp ? "UDP" : "TCP";
	int fd, one = 1, ret = 0;

	if (!forward->host_port || !forward->guest_port)
		return error_set(error, EINVAL, "a forwarded port is 1 to 65535");
	fd = socket(AF_INET, (forward->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return 0; /* no IPv4 here: passt will see */
	if (!forward->udp)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)))
		ret = error_set(error, errno, "cannot forward %s port %u of the host: %s", name,
				forward->host_port, error_name(errno));
	fd_close(&fd);
	return ret;
}

/* "8080:80,8443:443" of one protocol, or "none". */
static void print_ports(struct text *text, const struct passt_setup *setup, bool udp)
{
	for (uint32_t i = 0; i < setup->forward_count; i++) {
		const struct passt_forward *forward = &setup->forwards[i];

		if (forward->udp == udp)
			text_printf(text, "%s%u:%u", text->bytes ? "," : "", forward->host_port,
				    forward->guest_port);
	}
	if (!text->bytes)
		text_printf(text, "none");
}

/* A program may run without standard descriptors; the child's are put there. */
static int above_standard(int *fd)
{
	int copy;

	if (*fd >= CHILD_FD)
		return 0;
	copy = fd_duplicate(*fd);
	if (copy < 0)
		return copy;
	fd_close(fd);
	*fd = copy;
	return 0;
}

/* ---- What it says ---- */

/* A file in memory that cannot grow: nobody has to read it, and a reader that is gone is no signal.
 */
static int make_message_file(int *fd)
{
	*fd = memfd_create("passt-messages", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (*fd < 0 || ftruncate(*fd, MESSAGE_BYTES) || fcntl(*fd, F_ADD_SEALS, F_SEAL_GROW))
		return -errno;
	return above_standard(fd);
}

/* Its last line, but for those about a host without a system log. */
static void read_message(int fd, char *line, size_t bytes)
{
	static const char noise[] = "Failed to send ";
	char all[MESSAGE_BYTES + 1];
	ssize_t got = pread(fd, all, MESSAGE_BYTES, 0);
	char *rest = all, *each;

	line[0] = '\0';
	all[got > 0 ? got : 0] = '\0';
	while ((each = strsep(&rest, "\n"))) {
		size_t length = strnlen(each, bytes - 1);

		if (!length || !strncmp(each, noise, sizeof(noise) - 1))
			continue;
		memcpy(line, each, length);
		line[length] = '\0';
	}
}

/* ---- Starting ---- */

/* One end is ours. A read of it never waits for ever. */
static int make_socket(int ends[2])
{
	const struct timeval limit = { .tv_sec = PASST_WAIT_MS / 1000 };
	int ret;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return -errno;
	ret = above_standard(&ends[1]);
	if (!ret && setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)))
		ret = -errno;
	return ret;
}

static int set_actions(posix_spawn_file_actions_t *actions, int socket_fd, int message_fd)
{
	int ret = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDWR, 0);

	if (!ret)
		ret = posix_spawn_file_actions_adddup2(actions, 0, 1);
	if (!ret)
		ret = posix_spawn_file_actions_adddup2(actions, message_fd, 2);
	if (!ret)
		ret = posix_spawn_file_actions_adddup2(actions, socket_fd, CHILD_FD);
	if (!ret)
		ret = posix_spawn_file_actions_addclosefrom_np(actions, CHILD_FD + 1);
	return ret;
}

/* No signal of our terminal reaches it, and none is blocked or ignored as in our threads. */
static int set_attributes(posix_spawnattr_t *attributes)
{
	sigset_t none, all;
	int ret;

	sigemptyset(&none);
	sigfillset(&all);
	ret = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
							   POSIX_SPAWN_SETSIGDEF);
	if (!ret)
		ret = posix_spawnattr_setsigmask(attributes, &none);
	if (!ret)
		ret = posix_spawnattr_setsigdefault(attributes, &all);
	return ret;
}

/* 0 or a positive errno. */
static int spawn(struct passt *passt, const char *program, char *const *arguments, int socket_fd,
		 int message_fd)
{
	char *const environment[] = { NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	pid_t pid = 0;
	int ret = posix_spawn_file_actions_init(&actions);

	if (ret)
		return ret;
	ret = posix_spawnattr_init(&attributes);
	if (ret) {
		posix_spawn_file_actions_destroy(&actions);
		return ret;
	}
	ret = set_actions(&actions, socket_fd, message_fd);
	if (!ret)
		ret = set_attributes(&attributes);
	if (!ret)
		ret = posix_spawn(&pid, program, &actions, &attributes, arguments, environment);
	if (!ret)
		passt->pid = pid;
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return ret;
}

static int launch(struct passt *passt, const struct passt_setup *setup, int socket_fd,
		  int message_fd, struct error *error)
{
	struct text tcp = { 0 }, udp = { 0 };
	const char *program = setup->program;
	int ret;

	for (unsigned int i = 0; !program && i < ARRAY_SIZE(installed); i++) {
		if (!access(installed[i], X_OK))
			program = installed[i];
	}
	if (!program)
		return error_set(error, ENOENT,
				 "user networking needs the program passt, which is not installed "
				 "(Debian: apt install passt)");
	print_ports(&tcp, setup, false);
	print_ports(&udp, setup, true);
	if (text_ok(&tcp) && text_ok(&udp)) {
		char *const arguments[] = { (char *)"passt",
					    (char *)"--foreground",
					    (char *)"--fd",
					    (char *)"3",
					    (char *)"-t",
					    tcp.data,
					    (char *)"-u",
					    udp.data,
					    NULL };

		ret = spawn(passt, program, arguments, socket_fd, message_fd);
	} else {
		ret = ENOMEM;
	}
	text_free(&tcp);
	text_free(&udp);
	if (ret)
		return error_set(error, ret, "cannot start %s: %s", program, error_name(ret));
	return 0;
}

/* ---- Waiting until it answers ---- */

/*
 * passt does not say when it is ready, or that it will never be. It answers every ARP request (RFC
 * 826) but one for the guest's own address: so one is sent that no other guest would send, and the
 * answer, or the end of the stream, is awaited. The guest's frames come later.
 */
static int ask(int fd, const uint8_t mac[6])
{
	struct {
		uint32_t length;
		struct ether_header ethernet;
		struct ether_arp arp;
	} __attribute__((packed)) request = {
		.length = htonl(sizeof(request) - sizeof(request.length)),
		.ethernet.ether_type = htons(ETHERTYPE_ARP),
		.arp.ea_hdr = { htons(ARPHRD_ETHER), htons(ETHERTYPE_IP), 6, 4,
				htons(ARPOP_REQUEST) },
		.arp.arp_spa = { 169, 254, 250, 1 }, /* link-local: nobody's */
		.arp.arp_tpa = { 169, 254, 250, 2 },
	};

	memset(request.ethernet.ether_dhost, 0xff, 6);
	memcpy(request.ethernet.ether_shost, mac, 6);
	memcpy(request.arp.arp_sha, mac, 6);
	if (send(fd, &request, sizeof(request), MSG_NOSIGNAL) != sizeof(request))
		return -errno;
	return 0;
}

/* 0 where an answer came, and is taken off the stream; -ETIMEDOUT where none did, which is no error
 * (a host with IPv6 only); -EIO where it ended. */
static int await_answer(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	uint8_t frame[1024];
	uint32_t length;
	int ready;

	do
		ready = poll(&poll_fd, 1, PASST_WAIT_MS);
	while (ready < 0 && errno == EINTR);
	if (ready <= 0)
		return -ETIMEDOUT;
	if (recv(fd, &length, sizeof(length), MSG_WAITALL) != sizeof(length))
		return -EIO;
	length = ntohl(length);
	if (length > sizeof(frame) || recv(fd, frame, length, MSG_WAITALL) != (ssize_t)length)
		return -EIO;
	return 0;
}

static int make_ready(const struct passt_setup *setup, int socket_fd, int message_fd,
		      struct error *error)
{
	char line[256];
	int ret = ask(socket_fd, setup->mac);

	if (!ret)
		ret = await_answer(socket_fd);
	if (!ret || ret == -ETIMEDOUT)
		return 0;
	read_message(message_fd, line, sizeof(line));
	return error_set(error, EIO, "passt does not start%s%s", line[0] ? ": " : "", line);
}

int passt_start(struct passt *passt, const struct passt_setup *setup, struct net_backend **backend,
		struct error *error)
{
	int ends[2] = { -1, -1 }, message_fd = -1, ret;

	passt->pid = 0;
	if (setup->forward_count > PASST_FORWARDS_MAX)
		return error_set(error, EINVAL, "at most %d ports can be forwarded",
				 PASST_FORWARDS_MAX);
	for (uint32_t i = 0; i < setup->forward_count; i++) {
		ret = try_port(&setup->forwards[i], error);
		if (ret)
			return ret;
	}
	ret = make_socket(ends);
	if (!ret)
		ret = make_message_file(&message_fd);
	if (ret) {
		error_set(error, -ret, "cannot make descriptors for passt: %s", error_name(-ret));
		goto fail;
	}
	ret = launch(passt, setup, ends[1], message_fd, error);
	if (ret)
		goto fail;
	fd_close(&ends[1]);
	ret = make_ready(setup, ends[0], message_fd, error);
	if (ret)
		goto fail;
	fd_close(&message_fd);
	ret = net_stream_create(backend, "passt", ends[0], error);
	if (ret)
		passt_stop(passt);
	return ret;
fail:
	fd_close(&ends[0]);
	fd_close(&ends[1]);
	fd_close(&message_fd);
	passt_stop(passt);
	return ret;
}

/* True when it is reaped (by us, or by a program that reaps all its children). */
static bool reap(pid_t pid, unsigned int wait_ms)
{
	const struct timespec millisecond = { .tv_nsec = 1000000 };

	for (unsigned int i = 0; i <= wait_ms; i++) {
		pid_t got = waitpid(pid, NULL, WNOHANG);

		if (got == pid || (got < 0 && errno != EINTR))
			return true;
		nanosleep(&millisecond, NULL);
	}
	return false;
}

void passt_stop(struct passt *passt)
{
	if (!passt->pid)
		return;
	kill(passt->pid, SIGTERM);
	if (!reap(passt->pid, STOP_WAIT_MS)) {
		kill(passt->pid, SIGKILL);
		reap(passt->pid, STOP_WAIT_MS);
	}
	passt->pid = 0;
}
