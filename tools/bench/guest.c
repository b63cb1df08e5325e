/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest: first process of the guests of tools/bench/io: uses /dev/vda or eth0 in phases and marks
 * where each begins (I/O port 0x5e0), then reboots. On the kernel's command line:
 *
 *   (any)        15: it runs
 *   bench=blk    16: random 4 KiB reads of /dev/vda, one at a time; 17: 32 at a time; 18: end
 *   bench=net    16: TCP to the peer; 17: TCP from it; 18: UDP round trips; 19: end
 *   count=N      reads in a phase, or round trips; bytes are N times 16 KiB
 *
 * Each phase is done once in small before the first mark.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

#define MARK_PORT   0x5e0
#define MARK_USER   15
#define MARK_FIRST  16
#define MARK_FAILED 0xff
#define BLOCK_BYTES 4096
#define DEPTH_MAX   32
#define WARM        64

static void mark(uint8_t value)
{
	int fd = open("/dev/port", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || pwrite(fd, &value, 1, MARK_PORT) != 1)
		perror("/dev/port");
	close(fd);
}

static void __attribute__((noreturn)) fail(const char *what)
{
	perror(what);
	mark(MARK_FAILED);
	reboot(RB_AUTOBOOT);
	exit(1);
}

/* The number, or the text, that follows NAME= on the command line. */
static const char *option(const char *name)
{
	static char text[4096];
	int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t got = read(fd, text, sizeof(text) - 1);
	const char *at;

	close(fd);
	text[got > 0 ? got : 0] = 0;
	at = strstr(text, name);
	return at ? at + strlen(name) : "";
}

/* ---- Disk ---- */

struct disk {
	int fd;
	uint64_t blocks, random;
	aio_context_t aio;
	uint8_t *buffers;
};

static void disk_open(struct disk *disk)
{
	uint64_t bytes;

	memset(disk, 0, sizeof(*disk));
	disk->random = 88172645463325252;
	disk->fd = open("/dev/vda", O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (disk->fd < 0 || ioctl(disk->fd, BLKGETSIZE64, &bytes) ||
	    syscall(SYS_io_setup, DEPTH_MAX, &disk->aio))
		fail("/dev/vda");
	disk->blocks = bytes / BLOCK_BYTES;
	disk->buffers = aligned_alloc(BLOCK_BYTES, (size_t)DEPTH_MAX * BLOCK_BYTES);
	if (!disk->buffers)
		fail("memory");
}

static void prepare(struct disk *disk, struct iocb *request, uint64_t slot)
{
	disk->random ^= disk->random << 13;
	disk->random ^= disk->random >> 7;
	disk->random ^= disk->random << 17;
	*request = (struct iocb){
		.aio_data = slot,
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_fildes = (uint32_t)disk->fd,
		.aio_buf = (uintptr_t)(disk->buffers + slot * BLOCK_BYTES),
		.aio_nbytes = BLOCK_BYTES,
		.aio_offset = (int64_t)(disk->random % disk->blocks * BLOCK_BYTES),
	};
}

/* Keeps depth requests in flight until total are done; what is done at one time is replaced at one
 * time. */
static void disk_read(struct disk *disk, unsigned int depth, unsigned int total)
{
	struct iocb requests[DEPTH_MAX], *list[DEPTH_MAX];
	struct io_event events[DEPTH_MAX];
	unsigned int issued = 0, done = 0;
	long batch = 0, got;

	for (; issued < depth && issued < total; issued++) {
		list[batch] = &requests[batch];
		prepare(disk, list[batch++], issued);
	}
	while (done < total) {
		if (batch && syscall(SYS_io_submit, disk->aio, batch, list) != batch)
			fail("io_submit");
		got = syscall(SYS_io_getevents, disk->aio, 1, DEPTH_MAX, events, NULL);
		if (got <= 0)
			fail("io_getevents");
		batch = 0;
		for (long i = 0; i < got; i++, done++) {
			if (events[i].res != BLOCK_BYTES)
				fail("a read");
			if (issued == total)
				continue;
			issued++;
			list[batch] = &requests[batch];
			prepare(disk, list[batch++], events[i].data);
		}
	}
}

static void use_disk(unsigned int count)
{
	struct disk disk;

	disk_open(&disk);
	disk_read(&disk, 1, WARM);
	disk_read(&disk, DEPTH_MAX, WARM);
	mark(MARK_FIRST);
	disk_read(&disk, 1, count);
	mark(MARK_FIRST + 1);
	disk_read(&disk, DEPTH_MAX, count);
	mark(MARK_FIRST + 2);
}

/* ---- Network ---- */

static struct sockaddr_in address(const char *text, uint16_t port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };

	inet_pton(AF_INET, text, &in.sin_addr);
	return in;
}

static void net_up(void)
{
	struct ifreq request = { .ifr_name = "eth0" };
	struct sockaddr_in in = address(BENCH_GUEST, 0);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(&request.ifr_addr, &in, sizeof(in));
	if (fd < 0 || ioctl(fd, SIOCSIFADDR, &request))
		fail("eth0's address");
	in = address("255.255.255.0", 0);
	memcpy(&request.ifr_netmask, &in, sizeof(in));
	if (ioctl(fd, SIOCSIFNETMASK, &request) || ioctl(fd, SIOCGIFFLAGS, &request))
		fail("eth0's netmask");
	request.ifr_flags |= IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &request))
		fail("eth0");
	close(fd);
}

static int net_connect(int type, uint16_t port)
{
	struct sockaddr_in peer = address(BENCH_PEER, port);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&peer, sizeof(peer)))
		fail("connect");
	return fd;
}

/* The peer closes when it has read all of it. */
static void net_send(uint64_t bytes)
{
	static char data[BENCH_CHUNK];
	int fd = net_connect(SOCK_STREAM, BENCH_SINK);

	for (uint64_t left = bytes; left;) {
		ssize_t sent = send(fd, data, left < sizeof(data) ? left : sizeof(data), 0);

		if (sent <= 0)
			fail("send");
		left -= (uint64_t)sent;
	}
	shutdown(fd, SHUT_WR);
	if (read(fd, data, 1) != 0)
		fail("the peer's end");
	close(fd);
}

static void net_receive(uint64_t bytes)
{
	static char data[BENCH_CHUNK];
	int fd = net_connect(SOCK_STREAM, BENCH_SOURCE);
	ssize_t got;

	if (write(fd, &bytes, sizeof(bytes)) != sizeof(bytes))
		fail("the source");
	while (bytes && (got = read(fd, data, sizeof(data))) > 0)
		bytes -= (uint64_t)got;
	if (bytes)
		fail("receive");
	close(fd);
}

static void net_ping(unsigned int count)
{
	char data[64] = { 0 };
	int fd = net_connect(SOCK_DGRAM, BENCH_ECHO);

	while (count--)
		if (send(fd, data, sizeof(data), 0) != sizeof(data) ||
		    recv(fd, data, sizeof(data), 0) != sizeof(data))
			fail("a round trip");
	close(fd);
}

static void use_net(unsigned int count)
{
	net_up();
	net_ping(WARM);
	net_send(BENCH_CHUNK);
	net_receive(BENCH_CHUNK);
	mark(MARK_FIRST);
	net_send((uint64_t)count * BENCH_BYTES);
	mark(MARK_FIRST + 1);
	net_receive((uint64_t)count * BENCH_BYTES);
	mark(MARK_FIRST + 2);
	net_ping(count);
	mark(MARK_FIRST + 3);
}

int main(void)
{
	unsigned int count;

	mkdir("/dev", 0755);
	mkdir("/proc", 0755);
	mount("dev", "/dev", "devtmpfs", 0, NULL);
	mount("proc", "/proc", "proc", 0, NULL);
	mark(MARK_USER);
	count = (unsigned int)strtoul(option("count="), NULL, 10);
	if (!strncmp(option("bench="), "net", 3))
		use_net(count);
	else
		use_disk(count);
	reboot(RB_AUTOBOOT);
	return 1;
}
