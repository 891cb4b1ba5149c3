/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Has the service manager start a unit, and waits until that has ended. */
#ifndef DAXMGR_PORT_START_UNIT_H
#define DAXMGR_PORT_START_UNIT_H

struct port;

/* Return: 0 when the start went well; -ENOEXEC when the unit failed; another negative errno, with a message. */
int start_unit(struct port *port, const char *unit);

#endif
