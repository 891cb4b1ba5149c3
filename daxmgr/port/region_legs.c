/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "region_legs.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "sysfs.h"

static int region_leg_find(struct port *port, struct cxl_ctx *ctx, const char *name,
			   uint64_t serial, struct region_leg *ret)
{
	struct region_leg leg = {0};
	struct cxl_memdev *memdev;
	struct cxl_endpoint *endpoint;

	cxl_memdev_foreach(ctx, memdev)
	{
		if (cxl_memdev_get_serial(memdev) != serial)
			continue;
		if (leg.memdev)
			return port_fail(port, -ENOTUNIQ,
					 "region %s: %s and %s have the same serial 0x%" PRIx64,
					 name, leg.name, cxl_memdev_get_devname(memdev), serial);
		leg.memdev = memdev;
		leg.name = cxl_memdev_get_devname(memdev);
	}
	if (!leg.memdev)
		return port_fail(port, -ENODEV, "region %s: no memdev has serial 0x%" PRIx64, name,
				 serial);
	endpoint = cxl_memdev_is_enabled(leg.memdev) > 0 ? cxl_memdev_get_endpoint(leg.memdev)
							 : NULL;
	if (!endpoint)
		return port_fail(port, -ENXIO,
				 "region %s: memdev %s (serial 0x%" PRIx64 ") is not bound", name,
				 leg.name, serial);
	leg.endpoint = cxl_endpoint_get_port(endpoint);
	*ret = leg;
	return 0;
}

int region_legs_find(struct port *port, struct cxl_ctx *ctx,
		     const struct iso_region_definition *definition, bool all,
		     struct region_legs *ret)
{
	struct region_legs legs = {0};

	for (uint32_t i = 0; i < definition->ways && i < ISO_WAYS_MAX; i++) {
		struct iso_completion unheard = {0};
		struct port quiet = *port;
		int error;

		if (!all)
			quiet.completion = &unheard;
		error = region_leg_find(&quiet, ctx, definition->name, definition->serials[i],
					&legs.legs[legs.n]);
		if (!error)
			legs.n++;
		else if (all)
			return error;
	}
	*ret = legs;
	return 0;
}

/* Read from the kernel each time: what libcxl remembers is from before our writes. */
static uint64_t region_decoder_dpa(struct port *port, struct cxl_decoder *decoder)
{
	uint64_t bytes = 0;

	(void)sysfs_read_u64(port->root, &bytes, "/sys/bus/cxl/devices/%s/dpa_size",
			     cxl_decoder_get_devname(decoder));
	return bytes;
}

static bool region_decoder_is_free(struct port *port, struct cxl_decoder *decoder)
{
	char region[32] = "";

	/* The link is there while the decoder is a target of a region. */
	return sysfs_read(port->root, region, sizeof(region), "/sys/bus/cxl/devices/%s/region",
			  cxl_decoder_get_devname(decoder)) ||
	       !region[0];
}

/* The kernel frees a memdev's decoders from the last one down. */
static void region_say_held(struct port *port, struct region_leg *leg, struct cxl_decoder *held,
			    struct cxl_decoder *above)
{
	char region[32] = "";

	(void)sysfs_read(port->root, region, sizeof(region), "/sys/bus/cxl/devices/%s/region",
			 cxl_decoder_get_devname(above));
	port_say(port, "left-over DPA of %s (%s) can be freed only after %s, which carries %s",
		 cxl_decoder_get_devname(held), leg->name, cxl_decoder_get_devname(above),
		 region[0] ? region : "no region we know");
}

static int region_leg_free(struct port *port, struct region_leg *leg, const char *name)
{
	struct cxl_decoder *decoder, *above = NULL;

	cxl_decoder_foreach_reverse(leg->endpoint, decoder)
	{
		int error;

		if (!region_decoder_dpa(port, decoder))
			continue;
		if (!region_decoder_is_free(port, decoder)) {
			above = decoder;
			continue;
		}
		error = cxl_decoder_set_dpa_size(decoder, 0);
		if (error == -EBUSY && above) {
			region_say_held(port, leg, decoder, above);
			return REGION_LEGS_HELD;
		}
		if (error && error != -ENOENT && error != -ENODEV)
			return port_fail(
				port, error, "region %s: free left-over DPA: %s (%s of %s)", name,
				strerror(-error), cxl_decoder_get_devname(decoder), leg->name);
	}
	return 0;
}

int region_legs_free(struct port *port, struct region_legs *legs, const char *name)
{
	int held = 0;

	for (uint32_t i = 0; i < legs->n; i++) {
		int error = region_leg_free(port, &legs->legs[i], name);

		if (error < 0)
			return error;
		if (error)
			held = error;
	}
	return held;
}

uint64_t region_legs_room(struct port *port, const struct region_legs *legs)
{
	uint64_t room = UINT64_MAX;

	for (uint32_t i = 0; i < legs->n; i++) {
		unsigned long long size = cxl_memdev_get_ram_size(legs->legs[i].memdev);
		uint64_t used = 0, free_bytes;
		struct cxl_decoder *decoder;

		if (size == ULLONG_MAX)
			size = 0;
		cxl_decoder_foreach(legs->legs[i].endpoint,
				    decoder) if (cxl_decoder_get_mode(decoder) ==
						 CXL_DECODER_MODE_RAM)
			used += region_decoder_dpa(port, decoder);
		free_bytes = size > used ? size - used : 0;
		if (free_bytes < room)
			room = free_bytes;
	}
	return legs->n ? room : 0;
}

static int region_leg_take(struct port *port, struct region_leg *leg, const char *name,
			   uint64_t bytes)
{
	struct cxl_decoder *decoder;
	const char *device;
	int error;

	/* The kernel wants them in ascending order: the first free one. */
	cxl_decoder_foreach(leg->endpoint, decoder) if (!region_decoder_dpa(port, decoder)) break;
	if (!decoder)
		return port_fail(port, -EMFILE, "region %s: %s has no free decoder", name,
				 leg->name);
	device = cxl_decoder_get_devname(decoder);
	error = cxl_decoder_set_mode(decoder, CXL_DECODER_MODE_RAM);
	if (error)
		return port_fail(port, error, "region %s: mode ram: %s (%s of %s)", name,
				 strerror(-error), device, leg->name);
	error = cxl_decoder_set_dpa_size(decoder, bytes);
	if (error)
		return port_fail(port, error, "region %s: dpa_size 0x%" PRIx64 ": %s (%s of %s)",
				 name, bytes, strerror(-error), device, leg->name);
	leg->decoder = decoder;
	return 0;
}

int region_legs_take(struct port *port, struct region_legs *legs, const char *name, uint64_t bytes)
{
	for (uint32_t i = 0; i < legs->n; i++) {
		int error = region_leg_take(port, &legs->legs[i], name, bytes);

		if (error)
			return error;
	}
	return 0;
}

void region_legs_give_back(struct region_legs *legs)
{
	for (uint32_t i = legs->n; i-- > 0;)
		if (legs->legs[i].decoder)
			(void)cxl_decoder_set_dpa_size(legs->legs[i].decoder, 0);
}
