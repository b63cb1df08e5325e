/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init: the first process of `stet run --root DIR -- COMMAND`. Static, and beside the tree in the
 * initrd: mounts what a system needs, inserts modules, connects to stet, runs the command, and
 * powers off.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "tools/init/frame.h"
#include "tools/init/relay.h"
#include "tools/init/settings.h"
#include "tools/init/system.h"

#define CONNECT_TRIES 100
#define CONNECT_NS    20000000
/* How long processes that outlive the command have from SIGTERM to SIGKILL. */
#define GRACE_TRIES   50

static struct settings settings;

static void say(const char *what, const char *which)
{
	dprintf(STDERR_FILENO, "stet-init: %s%s: %s\n", what, which, strerror(errno));
}

static void nap(void)
{
	const struct timespec pause = { .tv_nsec = CONNECT_NS };

	(void)nanosleep(&pause, NULL);
}

static int read_settings(void)
{
	const char *path = SETTINGS_DIRECTORY "/settings";
	struct stat stat;
	char *text;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &stat)) {
		say("cannot read ", path);
		return -1;
	}
	text = malloc((size_t)stat.st_size + 1); /* for ever */
	if (!text || read(fd, text, (size_t)stat.st_size) != stat.st_size) {
		say("cannot read ", path);
		return -1;
	}
	close(fd);
	errno = -settings_parse(&settings, text, (size_t)stat.st_size);
	if (!errno)
		return 0;
	say("wrong words in ", path);
	return -1;
}

static int connect_to_stet(void)
{
	const struct sockaddr_vm address = { .svm_family = AF_VSOCK,
					     .svm_cid = VMADDR_CID_HOST,
					     .svm_port = FRAME_PORT };
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		say("no virtio sockets in this kernel", "");
		return -1;
	}
	/* The device may still be on its way. */
	for (int i = 0; i < CONNECT_TRIES; i++) {
		if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0) {
			(void)fcntl(fd, F_SETFL, O_NONBLOCK);
			return fd;
		}
		if (errno != ENODEV && errno != ENETUNREACH && errno != EADDRNOTAVAIL)
			break;
		nap();
	}
	say("cannot reach stet", "");
	close(fd);
	return -1;
}

/* What the command left running gets a moment. */
static void end_others(void)
{
	(void)kill(-1, SIGTERM);
	for (int i = 0; i < GRACE_TRIES; i++) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (waitpid(-1, NULL, WNOHANG) < 0) /* ECHILD */
			return;
		nap();
	}
	(void)kill(-1, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		;
}

int main(void)
{
	int fd;

	if (getpid() != 1) {
		fprintf(stderr, "stet-init: this is the first process of a virtual machine\n");
		return 2;
	}
	system_mount();
	if (read_settings() == 0) {
		system_modules(settings.modules);
		system_prepare(settings.hostname);
		fd = connect_to_stet();
		if (fd >= 0) {
			system_forget();
			relay_run(fd, &settings);
			end_others();
			system_unmount();
			close(fd);
		}
	}
	sync();
	(void)reboot(RB_POWER_OFF);
	return 1; /* the kernel panics */
}
