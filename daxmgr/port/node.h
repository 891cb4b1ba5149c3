/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Device nodes of instances: who owns them, and the links /dev/daxmgr/vm/NAME/memN
 * that lead to them. Nothing here follows a link, and nothing is trusted that
 * somebody other than root could have put there.
 */
#ifndef DAXMGR_NODE_H
#define DAXMGR_NODE_H

#include "port.h"

/*
 * Waits for /dev/<name> to be a character device with this number and makes
 * sure that it is root's, mode 0600. Return: 0, or a negative errno, told.
 */
int node_wait(struct port *port, const char *name, uint32_t major, uint32_t minor);

/* Opens /dev/<name>. Return: the descriptor; -ESTALE when it has another number. */
int node_open(struct port *port, const char *name, uint32_t major, uint32_t minor, int flags);

/*
 * Gives the nodes to uid:gid with mode 0600, then puts the links in place.
 * Return: 0, or a negative errno with all of it taken back, told.
 */
int node_hand_over(struct port *port, const char *lease, uint32_t uid, uint32_t gid,
		   const struct job_instance *instances, uint32_t n);

/*
 * Gives the nodes back to root where they still are these devices, then
 * removes the lease's links and directory. What is gone already is success.
 */
int node_retract(struct port *port, const char *lease, const struct job_instance *instances,
		 uint32_t n);

#endif
