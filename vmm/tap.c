/* SPDX-License-Identifier: Apache-2.0 */
/* tap: opens a tap device of the host for a network device. */
#include "vmm/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "devices/net.h"
#include "devices/net_tap.h"

#define TUN_PATH       "/dev/net/tun"
#define TUN_F_USO_BITS 0x60 /* USO4 and USO6: newer than the headers of Debian 12 */

static int open_error(int code, struct error *error)
{
	switch (code) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return error_set(error, code,
				 "there is no " TUN_PATH " that works: load the module tun "
				 "(modprobe tun)");
	default:
		return error_set(error, code, "cannot open " TUN_PATH ": %s", error_name(code));
	}
}

static int attach_error(int code, const char *name, uint16_t pairs, struct error *error)
{
	switch (code) {
	case EPERM:
		return error_set(error, code,
				 "tap %s is not ours: make it with 'ip tuntap add dev %s mode tap "
				 "user NAME', or run with CAP_NET_ADMIN",
				 name, name);
	case EBUSY:
		return error_set(error, code, "tap %s is in use by another program", name);
	case E2BIG:
		return error_set(error, code, "tap %s has no room for %u more queues", name, pairs);
	case EINVAL:
		return error_set(error, code,
				 pairs > 1 ? "%s is no tap device with several queues: make it "
					     "with 'ip tuntap add dev %s mode tap multi_queue'"
					   : "%s is no tap device: make one with 'ip tuntap add "
					     "dev NAME mode tap'",
				 name, name);
	default:
		return error_set(error, code, "cannot attach to tap %s: %s", name,
				 error_name(code));
	}
}

/* A descriptor attached to the tap with these flags beside the usual ones, or negative errno, then
 * with the error set. */
static int attach(const char *name, short flags, uint16_t pairs, struct error *error)
{
	struct ifreq request = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | flags) };
	int header_bytes = NET_HEADER_BYTES;
	int fd = open(TUN_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return open_error(errno, error);
	memcpy(request.ifr_name, name, strlen(name) + 1); /* the caller checked the length */
	if (ioctl(fd, TUNSETIFF, &request)) {
		ret = attach_error(errno, name, pairs, error);
		goto fail;
	}
	if (ioctl(fd, TUNSETVNETHDRSZ, &header_bytes)) {
		ret = error_set(error, errno, "tap %s does not take virtio headers: %s", name,
				error_name(errno));
		goto fail;
	}
	return fd;
fail:
	fd_close(&fd);
	return ret;
}

/* One queue of a tap that was made for several must be asked for as one of several. */
static int attach_first(const char *name, uint16_t pairs, short *flags, struct error *error)
{
	int fd;

	*flags = pairs > 1 ? IFF_MULTI_QUEUE : 0;
	fd = attach(name, *flags, pairs, error);
	if (fd == -EINVAL && pairs == 1) {
		*flags = IFF_MULTI_QUEUE;
		fd = attach(name, *flags, pairs, error);
	}
	return fd;
}

static uint32_t read_mtu(const char *name)
{
	struct ifreq request = { 0 };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(request.ifr_name, name, strlen(name) + 1);
	if (fd < 0 || ioctl(fd, SIOCGIFMTU, &request))
		request.ifr_mtu = 0;
	fd_close(&fd);
	return (uint32_t)request.ifr_mtu;
}

int tap_open(struct net_backend **backend, const char *name, uint16_t pairs, struct error *error)
{
	struct net_tap_setup setup = { 0 };
	int fds[NET_PAIRS_MAX];
	int ret;
	short flags;

	if (pairs < 1 || pairs > NET_PAIRS_MAX)
		return error_set(error, EINVAL, "tap %s: 1 to %d queues are possible", name,
				 NET_PAIRS_MAX);
	if (strlen(name) >= IFNAMSIZ)
		return error_set(error, ENAMETOOLONG,
				 "'%s' is too long for a network device: at most %d bytes", name,
				 IFNAMSIZ - 1);
	/* Else the kernel would make one, where we are privileged. */
	if (!if_nametoindex(name))
		return error_set(error, ENODEV,
				 "there is no tap %s: make it with 'ip tuntap add dev %s mode tap'",
				 name, name);
	fds[0] = attach_first(name, pairs, &flags, error);
	if (fds[0] < 0)
		return fds[0];
	for (setup.pairs = 1; setup.pairs < pairs; setup.pairs++) {
		fds[setup.pairs] = attach(name, flags, pairs, error);
		if (fds[setup.pairs] < 0) {
			ret = fds[setup.pairs];
			goto fail;
		}
	}
	setup.fds = fds;
	setup.mtu = read_mtu(name);
	setup.udp_segmentation = !ioctl(fds[0], TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_USO_BITS);
	ioctl(fds[0], TUNSETOFFLOAD, 0);
	return net_tap_create(backend, &setup, error);
fail:
	while (setup.pairs)
		fd_close(&fds[--setup.pairs]);
	return ret;
}
