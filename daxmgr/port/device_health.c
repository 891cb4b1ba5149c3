/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Get Health Info of each memdev through libcxl: a mailbox command of the kernel's own list, nothing raw. */
#include <cxl/libcxl.h>
#include <errno.h>
#include <stdio.h>

#include "../cleanup.h"
#include "libcxl_root.h"
#include "readings.h"

struct health_value {
	const char *name;
	int (*get)(struct cxl_cmd *cmd);
};

/* What the device judges itself: 0 or 1. The names begin with "flag.": they are compared, not counted. */
static const struct health_value values[] = {
	{"flag.maintenance-needed", cxl_cmd_health_info_get_maintenance_needed},
	{"flag.performance-degraded", cxl_cmd_health_info_get_performance_degraded},
	{"flag.replacement-needed", cxl_cmd_health_info_get_hw_replacement_needed},
	{"flag.media-not-ready", cxl_cmd_health_info_get_media_not_ready},
	{"flag.persistence-lost", cxl_cmd_health_info_get_media_persistence_lost},
	{"flag.data-lost", cxl_cmd_health_info_get_media_data_lost},
	{"flag.data-loss-imminent", cxl_cmd_health_info_get_media_data_loss_imminent},
	{"flag.life-used-warning", cxl_cmd_health_info_get_ext_life_used_warning},
	{"flag.life-used-critical", cxl_cmd_health_info_get_ext_life_used_critical},
	{"flag.temperature-warning", cxl_cmd_health_info_get_ext_temperature_warning},
	{"flag.temperature-critical", cxl_cmd_health_info_get_ext_temperature_critical},
	{"flag.corrected-errors-warning", cxl_cmd_health_info_get_ext_corrected_volatile_warning},
	{"life-used", cxl_cmd_health_info_get_life_used},
	{"temperature", cxl_cmd_health_info_get_temperature},
	{"dirty-shutdowns", cxl_cmd_health_info_get_dirty_shutdowns},
	{"volatile-errors", cxl_cmd_health_info_get_volatile_errors},
};

static void cmd_unrefp(struct cxl_cmd **cmd)
{
	if (*cmd)
		cxl_cmd_unref(*cmd);
}

/* Return: 1 when it said something, 0 when it cannot, or a negative errno. */
static int add_memdev(struct readings *readings, struct cxl_memdev *memdev)
{
	_cleanup_(cmd_unrefp) struct cxl_cmd *cmd = cxl_cmd_new_get_health_info(memdev);
	uint64_t serial = cxl_memdev_get_serial(memdev);
	int error;

	if (!cmd || cxl_cmd_submit(cmd) < 0 || cxl_cmd_get_mbox_status(cmd) != 0)
		return 0;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		int value = values[i].get(cmd);

		if (value < 0) /* the device does not have that, as libcxl says it */
			continue;
		error = readings_add(readings, cxl_memdev_get_devname(memdev), &serial,
				     values[i].name, (uint64_t)value);
		if (error)
			return error;
	}
	return 1;
}

int device_health_read(struct port *port)
{
	_cleanup_(libcxl_unrefp) struct cxl_ctx *ctx = NULL;
	unsigned int n = 0, n_said = 0;
	struct readings readings = {0};
	struct cxl_memdev *memdev;
	int error = libcxl_open(port, &ctx);

	if (error)
		return error;
	cxl_memdev_foreach(ctx, memdev)
	{
		int said = add_memdev(&readings, memdev);

		if (said < 0)
			return readings_end(port, &readings, said);
		n++;
		n_said += said > 0;
	}
	if (n && !n_said)
		return readings_end(
			port, &readings,
			port_fail(port, -EOPNOTSUPP, "no memory device answers Get Health Info"));
	return readings_end(port, &readings, 0);
}
