/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "readings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int readings_add(struct readings *readings, const char *unit, const uint64_t *serial,
		 const char *name, uint64_t value)
{
	struct reading *r;

	if (readings->n == readings->room) {
		uint32_t room = readings->room ? 2 * readings->room : 256;
		struct reading *more;

		if (room > READINGS_MAX)
			return -EOVERFLOW;
		more = reallocarray(readings->list, room, sizeof(*more));
		if (!more)
			return -ENOMEM;
		readings->list = more;
		readings->room = room;
	}
	r = &readings->list[readings->n++];
	memset(r, 0, sizeof(*r)); /* it is written to a file as it is */
	snprintf(r->unit, sizeof(r->unit), "%s", unit);
	snprintf(r->name, sizeof(r->name), "%s", name);
	r->value = value;
	r->has_serial = serial != NULL;
	r->serial = serial ? *serial : 0;
	return 0;
}

int readings_end(struct port *port, struct readings *readings, int error)
{
	int fd = error ? error : reading_file_write(readings->list, readings->n);

	free(readings->list);
	*readings = (struct readings){0};
	return fd < 0 ? port_fail(port, fd, "readings: %s", strerror(-fd)) : fd;
}
