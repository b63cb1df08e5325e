/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_devices: makes the virtio devices of a configuration and plugs them. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "devices/blk.h"
#include "devices/hvc.h"
#include "devices/net.h"
#include "devices/rng.h"
#include "devices/vsock.h"
#include "vmm/passt.h"
#include "vmm/tap.h"
#include "vmm/vm.h"

static bool wants_hvc(const struct stet_config *config)
{
	return config->hvc_in_fd >= 0 || config->hvc_out_fd >= 0;
}

uint64_t virtio_devices_count(const struct stet_config *config)
{
	return (uint64_t)config->disk_count + config->net_count + (config->vsock_path != NULL) +
	       wants_hvc(config) + (config->rng != 0);
}

static int plug(struct stet_vm *vm, const struct stet_config *config, struct virtio *virtio,
		struct error *error)
{
	if (config->transport == STET_TRANSPORT_MMIO)
		return plug_virtio_mmio(&vm->plug, virtio, error);
	return plug_virtio_pci(&vm->plug, virtio, error);
}

/* An element of a configuration as this library knows it: what an older header lacks is zero, what
 * a newer one has must be. */
static int read_element(void *own, size_t own_bytes, const void *given, const char *what,
			struct error *error)
{
	size_t bytes;

	memset(own, 0, own_bytes);
	if (!given)
		return error_set(error, EINVAL, "a %s is missing from the configuration", what);
	memcpy(&bytes, given, sizeof(bytes));
	if (bytes < sizeof(bytes))
		return error_set(error, EINVAL, "a %s has no size: call stet_%s_init() first", what,
				 what);
	for (size_t i = own_bytes; i < bytes; i++)
		if (((const uint8_t *)given)[i])
			return error_set(error, E2BIG,
					 "a %s asks for what this library (%s) does not know", what,
					 STET_VERSION);
	memcpy(own, given, num_min(bytes, own_bytes));
	return 0;
}

/* ---- Disks ---- */

static int check_serial(const struct stet_disk *disk, struct error *error)
{
	if (disk->serial && strlen(disk->serial) > BLK_SERIAL_BYTES)
		return error_set(error, EINVAL,
				 "disk '%s': the serial number '%s' is longer than %d characters",
				 disk->path, disk->serial, BLK_SERIAL_BYTES);
	return 0;
}

static int add_disk(struct stet_vm *vm, const struct stet_config *config,
		    const struct stet_disk *given, struct error *error)
{
	struct blk_config blk = { .queue_count = (uint16_t)config->vcpu_count };
	struct image_options options;
	struct virtio *virtio;
	struct stet_disk disk;
	int ret = read_element(&disk, sizeof(disk), given, "disk", error);

	if (ret)
		return ret;
	if (!disk.path || !disk.path[0])
		return error_set(error, EINVAL, "a disk has no path");
	ret = check_serial(&disk, error);
	if (ret)
		return ret;
	options = (struct image_options){ .read_only = disk.read_only, .direct = disk.direct };
	ret = image_open(&blk.image, disk.path, &options, error);
	if (ret)
		return ret;
	if (disk.serial)
		memcpy(blk.serial, disk.serial, strlen(disk.serial) + 1);
	blk.bytes = (struct limit_rate){ disk.rate.bytes_per_s, disk.rate.bytes_burst, 0 };
	blk.requests = (struct limit_rate){ disk.rate.ops_per_s, disk.rate.ops_burst, 0 };
	ret = blk_create(&virtio, &blk, &vm->ram, vm->loop, &vm->log, error);
	return ret ? ret : plug(vm, config, virtio, error);
}

/* ---- Network devices ---- */

/* A station's address that is nobody's: locally administered, random. */
static int make_up_mac(uint8_t mac[6], struct error *error)
{
	if (getrandom(mac, 6, 0) != 6)
		return error_set(error, EIO, "no random numbers for a MAC address: %s",
				 error_name(errno));
	mac[0] = (uint8_t)((mac[0] & 0xfc) | 0x02);
	return 0;
}

static int start_passt(struct stet_vm *vm, const struct stet_net *net, const uint8_t mac[6],
		       struct net_backend **backend, struct error *error)
{
	struct passt_forward forwards[PASST_FORWARDS_MAX];
	struct passt_setup setup = { .forwards = forwards, .forward_count = net->forward_count };
	int ret;

	if (net->forward_count > PASST_FORWARDS_MAX)
		return error_set(error, EINVAL, "%u ports forwarded: at most %d",
				 net->forward_count, PASST_FORWARDS_MAX);
	for (uint32_t i = 0; i < net->forward_count; i++)
		forwards[i] = (struct passt_forward){
			.udp = net->forwards[i].udp,
			.host_port = net->forwards[i].host_port,
			.guest_port = net->forwards[i].guest_port,
		};
	memcpy(setup.mac, mac, sizeof(setup.mac));
	ret = passt_start(&vm->passts[vm->passt_count], &setup, backend, error);
	if (!ret)
		vm->passt_count++;
	return ret;
}

static int open_backend(struct stet_vm *vm, const struct stet_net *net, const uint8_t mac[6],
			struct net_backend **backend, struct error *error)
{
	if (net->kind == STET_NET_USER)
		return start_passt(vm, net, mac, backend, error);
	if (net->kind != STET_NET_TAP)
		return error_set(error, EINVAL, "a network device is neither tap nor user");
	if (!net->tap || !net->tap[0])
		return error_set(error, EINVAL, "a network device names no tap");
	return tap_open(backend, net->tap, net->queue_pairs ? net->queue_pairs : 1, error);
}

static struct net_rate rate_of(const struct stet_rate *rate)
{
	return (struct net_rate){
		.bytes = { rate->bytes_per_s, rate->bytes_burst, 0 },
		.packets = { rate->ops_per_s, rate->ops_burst, 0 },
	};
}

static int add_net(struct stet_vm *vm, const struct stet_config *config,
		   const struct stet_net *given, struct error *error)
{
	static const uint8_t none[NET_MAC_BYTES];
	struct net_setup setup = { .ram = &vm->ram, .log = &vm->log, .loop = vm->loop };
	struct virtio *virtio;
	struct stet_net net;
	int ret = read_element(&net, sizeof(net), given, "net", error);

	if (ret)
		return ret;
	memcpy(setup.mac, net.mac, sizeof(setup.mac));
	if (!memcmp(net.mac, none, sizeof(none))) {
		ret = make_up_mac(setup.mac, error);
		if (ret)
			return ret;
	}
	ret = open_backend(vm, &net, setup.mac, &setup.backend, error);
	if (ret)
		return ret;
	setup.mtu = net.mtu || net.kind != STET_NET_USER ? net.mtu : PASST_MTU;
	setup.receive_rate = rate_of(&net.receive);
	setup.send_rate = rate_of(&net.send);
	ret = net_create(&virtio, &setup, error);
	if (ret) {
		net_backend_destroy(setup.backend);
		return ret;
	}
	return plug(vm, config, virtio, error);
}

/* ---- One of a kind ---- */

static int add_vsock(struct stet_vm *vm, const struct stet_config *config, struct error *error)
{
	const struct vsock_setup setup = {
		.ram = &vm->ram,
		.log = &vm->log,
		.loop = vm->loop,
		.guest_cid = config->vsock_cid,
		.path = config->vsock_path,
	};
	struct virtio *virtio;
	int ret = vsock_create(&virtio, &setup, error);

	return ret ? ret : plug(vm, config, virtio, error);
}

static int add_hvc(struct stet_vm *vm, const struct stet_config *config, struct error *error)
{
	const struct hvc_setup setup = {
		.ram = &vm->ram,
		.log = &vm->log,
		.loop = vm->loop,
		.in_fd = config->hvc_in_fd,
		.out_fd = config->hvc_out_fd,
		.columns = config->hvc_columns,
		.rows = config->hvc_rows,
	};
	struct virtio *virtio;
	int ret = hvc_create(&virtio, &setup, error);

	if (!ret)
		ret = plug(vm, config, virtio, error);
	if (!ret)
		vm->hvc = virtio;
	return ret;
}

/* The order is the order the guest finds them in. */
int virtio_devices_add(struct stet_vm *vm, const struct stet_config *config, struct error *error)
{
	int ret = 0;

	for (uint32_t i = 0; !ret && i < config->disk_count; i++)
		ret = add_disk(vm, config, config->disks[i], error);
	for (uint32_t i = 0; !ret && i < config->net_count; i++)
		ret = add_net(vm, config, config->nets[i], error);
	if (!ret && config->vsock_path)
		ret = add_vsock(vm, config, error);
	if (!ret && wants_hvc(config))
		ret = add_hvc(vm, config, error);
	if (!ret && config->rng)
		ret = plug(vm, config, rng_create(&vm->ram, &vm->log), error);
	return ret ? ret : plug_close_pci(&vm->plug, vm->ram.range_count, error);
}
