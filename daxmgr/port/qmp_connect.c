/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "qmp_connect.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "../cleanup.h"

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, r;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

int qmp_connect(struct port *port, const char *path, uint32_t uid)
{
	_cleanup_close_ int fd = -1;
	struct ucred peer;
	socklen_t length = sizeof(peer);
	int connected;

	if (strncmp(path, "/run/", 5) || strstr(path, "/../"))
		return port_fail(port, -EPERM, "%s: not below /run", path);
	fd = connect_to(path);
	if (fd < 0)
		return port_fail(port, fd, "%s: %s", path, strerror(-fd));
	/* Nothing was sent yet: another's socket is not spoken to. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
		return port_fail(port, -errno, "%s: %s", path, strerror(errno));
	if (peer.uid != uid)
		return port_fail(port, -EPERM, "%s: belongs to user %u, not to %u", path, peer.uid,
				 uid);
	connected = fd;
	fd = -1;
	return connected;
}
