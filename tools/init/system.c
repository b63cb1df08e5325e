/* SPDX-License-Identifier: Apache-2.0 */
/* system: what a system has beside its files: mounts, modules, a name, a loopback interface. */
#include "tools/init/system.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/init/settings.h"

#define MODULE_COMPRESSED 4 /* MODULE_INIT_COMPRESSED_FILE */
#define MOUNTS_MAX        64

static void say(const char *what, const char *which)
{
	dprintf(STDERR_FILENO, "stet-init: cannot %s %s: %s\n", what, which, strerror(errno));
}

static void mount_at(const char *type, const char *path, unsigned long flags, const char *options)
{
	(void)mkdir(path, 0755);
	/* EBUSY: it is there. ENODEV: this kernel has no such thing. */
	if (mount(type, path, type, flags, options) && errno != EBUSY && errno != ENODEV)
		say("mount", path);
}

void system_mount(void)
{
	static const char *const links[][2] = {
		{ "/proc/self/fd", "/dev/fd" },
		{ "/proc/self/fd/0", "/dev/stdin" },
		{ "/proc/self/fd/1", "/dev/stdout" },
		{ "/proc/self/fd/2", "/dev/stderr" },
	};

	mount_at("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_at("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_at("devtmpfs", "/dev", MS_NOSUID, "mode=755");
	mount_at("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=620,ptmxmode=666");
	mount_at("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777");
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		(void)symlink(links[i][0], links[i][1]);
	if (mkdir("/tmp", 01777) == 0)
		(void)chmod("/tmp", 01777);
}

static bool is_compressed(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot && strcmp(dot, ".ko") != 0;
}

void system_modules(const char *const *names)
{
	for (; *names; names++) {
		char path[4096];
		int fd;

		snprintf(path, sizeof(path), SETTINGS_DIRECTORY "/%s", *names);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || (syscall(SYS_finit_module, fd, "",
				       is_compressed(*names) ? MODULE_COMPRESSED : 0) &&
			       errno != EEXIST))
			say("insert", *names);
		if (fd >= 0)
			close(fd);
	}
}

static void loopback_up(void)
{
	struct ifreq request = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	if (ioctl(fd, SIOCGIFFLAGS, &request) == 0) {
		request.ifr_flags |= IFF_UP;
		(void)ioctl(fd, SIOCSIFFLAGS, &request);
	}
	close(fd);
}

void system_prepare(const char *hostname)
{
	(void)sethostname(hostname, strlen(hostname));
	loopback_up();
	/* A rootfs that is no tmpfs does not know the option. */
	(void)mount("rootfs", "/", NULL, MS_REMOUNT, "size=90%");
}

void system_forget(void)
{
	DIR *directory = opendir(SETTINGS_DIRECTORY);
	struct dirent *entry;

	while (directory && (entry = readdir(directory)))
		(void)unlinkat(dirfd(directory), entry->d_name, 0);
	if (directory)
		closedir(directory);
	(void)rmdir(SETTINGS_DIRECTORY);
}

void system_unmount(void)
{
	char *paths[MOUNTS_MAX];
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *mount;
	size_t count = 0;

	sync();
	while (mounts && count < MOUNTS_MAX && (mount = getmntent(mounts)))
		if (strncmp(mount->mnt_fsname, "/dev/", 5) == 0)
			paths[count++] = strdup(mount->mnt_dir);
	if (mounts)
		endmntent(mounts);
	while (count--) {
		if (paths[count] && umount(paths[count]))
			say("unmount", paths[count]);
		free(paths[count]);
	}
}
