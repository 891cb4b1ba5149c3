/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The stories. All but one are about the same host: two regions below one
 * bridge share its decoders, a third one is alone below another bridge.
 */
#include <string.h>

#include "sim.h"

static struct launcher *vm(struct scenario *s, const char *name, const char *region)
{
	struct launcher *launcher = launcher_add(&s->tenants, name, region);

	launcher->wants = true;
	return launcher;
}

static struct world_process *process_of(struct scenario *s, const char *name)
{
	uint32_t i;

	for (i = 0; i < s->tenants.n; i++)
		if (!strcmp(s->tenants.launchers[i].name, name))
			return &s->w->processes[s->tenants.launchers[i].process];
	world_give_up(s->w, "there is no VM %s", name);
}

static void build(struct scenario *s)
{
	world_start_engine(s->w);
	world_simple_bridge(s->w, 2, 0x10);
	world_simple_bridge(s->w, 1, 0x20);
	scenario_find_root_ports(s);
	world_define_one(s->w, "low", 0x10);
	world_define_one(s->w, "high", 0x11);
	world_define_one(s->w, "far", 0x20);
}

enum { LOW, HIGH, FAR }; /* their root ports */

/* All is well; from here on the story is told. */
static void begin(struct scenario *s)
{
	launchers_run(&s->tenants, 3 * WORLD_SECOND);
	if (!launchers_well(&s->tenants))
		world_break(s->w, "not all VMs run before anything has happened");
	story_status(s, "Before:");
	s->w->silent = false;
	s->w->story_ns = s->w->now_ns;
}

static void go_on(struct scenario *s, uint64_t ms)
{
	launchers_run(&s->tenants, ms * WORLD_MS);
}

static void link_goes_down(struct scenario *s, uint32_t port)
{
	world_tell(s->w, "host", "the link below port %s goes down", s->w->ports[port].path);
	world_surprise_down(s->w, port);
}

static void play_port_lost(struct scenario *s)
{
	build(s);
	vm(s, "web", "far");
	vm(s, "db", "far");
	vm(s, "mail", "low");
	begin(s);
	link_goes_down(s, FAR);
	go_on(s, 2000);
}

static void play_will_not_die(struct scenario *s)
{
	build(s);
	vm(s, "web", "far");
	begin(s);
	world_tell(s->w, "host", "from now on web hangs in the kernel, where no signal reaches it");
	process_of(s, "web")->stubborn = true;
	link_goes_down(s, FAR);
	go_on(s, 15000);
	story_status(s, "What a person sees meanwhile:");
	go_on(s, 45000);
	world_tell(s->w, "host", "what web hung on has ended: it dies of the signal it was sent");
	world_exit(s->w, s->tenants.launchers[0].process);
	go_on(s, 2000);
}

static void play_pinned(struct scenario *s)
{
	s->w->policy.inspect_ns = 10 * WORLD_SECOND;
	s->w->policy.host_may_panic = true;
	build(s);
	vm(s, "web", "far");
	begin(s);
	world_tell(s->w, "host", "web opens a disk image with O_DIRECT");
	process_of(s, "web")->pins = ISO_PIN_DIRECT_IO;
	go_on(s, 12000);
	world_tell(s->w, "host", "a read of web into its memory hangs in a storage driver");
	process_of(s, "web")->stubborn = true;
	link_goes_down(s, FAR);
	go_on(s, 15000);
	story_status(s, "What a person sees meanwhile:");
	go_on(s, 15000);
	world_tell(
		s->w, "host",
		"the driver gives the read up: web dies, its pages are let go of a little later");
	world_exit(s->w, s->tenants.launchers[0].process);
	go_on(s, 6000);
}

static void play_second_loss(struct scenario *s)
{
	static const uint64_t serials[] = {0x11, 0x20};
	uint32_t bridges[] = {0, 1};

	world_start_engine(s->w);
	world_simple_bridge(s->w, 2, 0x10);
	world_simple_bridge(s->w, 1, 0x20);
	world_window(s->w, 16, 2, bridges);
	scenario_find_root_ports(s);
	world_define_one(s->w, "low", 0x10);
	world_define(s->w, "wide", 2, serials);
	vm(s, "mail", "low");
	vm(s, "web", "wide");
	begin(s);
	link_goes_down(s, HIGH);
	go_on(s, 145);
	link_goes_down(s, FAR);
	go_on(s, 3000);
}

static void play_daemon_killed(struct scenario *s)
{
	build(s);
	vm(s, "web", "far");
	vm(s, "mail", "low");
	begin(s);
	link_goes_down(s, FAR);
	go_on(s, 148);
	world_tell(s->w, "host", "somebody kills the daemon with signal 9");
	world_restart(s->w);
	go_on(s, 2000);
}

static void play_disk_full(struct scenario *s)
{
	build(s);
	vm(s, "web", "far");
	vm(s, "mail", "low");
	begin(s);
	world_tell(s->w, "host", "the disk of the store is full");
	world_disk(s->w, WORLD_DISK_FULL);
	world_tell(s->w, "host", "somebody starts the VM shop");
	vm(s, "shop", "high");
	go_on(s, 1500);
	link_goes_down(s, FAR);
	go_on(s, 5000);
	story_status(s, "What a person sees meanwhile:");
	world_tell(s->w, "host", "somebody makes room on the disk");
	world_disk(s->w, WORLD_DISK_GOOD);
	go_on(s, 3000);
}

static void play_flapping(struct scenario *s)
{
	uint32_t i;

	s->w->policy.flap_losses = 3;
	build(s);
	vm(s, "web", "far");
	begin(s);
	for (i = 0; i < 3; i++) {
		link_goes_down(s, FAR);
		go_on(s, 20000);
	}
	story_status(s, "What a person sees meanwhile:");
	world_tell(s->w, "host", "a person has put the riser straight: daxmgrctl recover hb1/00.0");
	world_port_request(s->w, ISO_EVENT_RECOVER, s->root_ports[FAR]);
	go_on(s, 2000);
}

static void play_stranger(struct scenario *s)
{
	uint32_t stranger;

	s->w->policy.inspect_ns = 10 * WORLD_SECOND;
	build(s);
	vm(s, "web", "far");
	begin(s);
	stranger = world_stranger(s->w, "web");
	s->w->processes[stranger].pins = ISO_PIN_RDMA;
	world_tell(s->w, "host", "process %d, of nobody we know, maps web's device for RDMA",
		   s->w->processes[stranger].pid);
	go_on(s, 12000);
	link_goes_down(s, FAR);
	go_on(s, 15000);
	story_status(s, "What a person sees meanwhile:");
	world_tell(s->w, "host", "a person ends process %d", s->w->processes[stranger].pid);
	world_exit(s->w, stranger);
	go_on(s, 4000);
}

static void play_in_the_way(struct scenario *s)
{
	build(s);
	vm(s, "web", "low");
	vm(s, "mail", "high");
	begin(s);
	link_goes_down(s, LOW);
	go_on(s, 3000);
	story_status(s, "What a person sees meanwhile:");
	world_tell(s->w, "host", "a person shuts mail down");
	launcher_want(&s->tenants, &s->tenants.launchers[1], false);
	go_on(s, 1000);
	world_tell(s->w, "host", "a person starts mail again");
	launcher_want(&s->tenants, &s->tenants.launchers[1], true);
	go_on(s, 2000);
}

static void play_maintenance(struct scenario *s)
{
	build(s);
	vm(s, "web", "far");
	vm(s, "mail", "low");
	begin(s);
	world_tell(s->w, "host", "a person wants to change the card: daxmgrctl isolate hb1/00.0");
	world_port_request(s->w, ISO_EVENT_ISOLATE, s->root_ports[FAR]);
	go_on(s, 2000);
	story_status(s, "What a person sees meanwhile:");
	world_tell(s->w, "host", "it is done: daxmgrctl recover hb1/00.0");
	world_port_request(s->w, ISO_EVENT_RECOVER, s->root_ports[FAR]);
	go_on(s, 2000);
}

static const struct story stories[] = {
	{"port-lost", "A port is lost below two tenants",
	 "web and db have their memory below one root port, mail below another bridge. The link of\n"
	 "the first goes down. The kernel unbinds what was below it and resets the link, which\n"
	 "comes up again at once; the region object that the kernel left is used again.\n",
	 play_port_lost},
	{"will-not-die", "A VM that does not die of SIGKILL",
	 "web hangs in the kernel when its port is lost. After the time a VM has to exit it is\n"
	 "stuck; it is shown to pin nothing, so its memory can be taken from it. web dies a minute\n"
	 "later, and is started again.\n",
	 play_will_not_die},
	{"pinned", "A VM that pins its memory",
	 "The host may panic by policy, so web may read from its disks with O_DIRECT. Its port is\n"
	 "lost while such a read hangs. Nothing may be taken from under it: the domain is\n"
	 "quarantined, for a named process, until that has gone and its pages are free.\n",
	 play_pinned},
	{"second-loss", "A second port is lost during recovery",
	 "web has its memory interleaved over ports of two bridges. One is lost, and while what was\n"
	 "lost is being put back, the other one.\n",
	 play_second_loss},
	{"daemon-killed", "The daemon is killed in the middle of a recovery",
	 "web is dead and its memory is about to be made ready again when the daemon dies. Its\n"
	 "successor reads the store and looks at the host.\n",
	 play_daemon_killed},
	{"disk-full", "The disk of the store is full when a port is lost",
	 "Nothing can be made durable. Who dies with the port dies all the same; nothing is handed\n"
	 "out, torn down or made until there is room on the disk.\n",
	 play_disk_full},
	{"flapping", "A port that comes back and goes again",
	 "Each return costs web another death. After the third loss within ten minutes the port is\n"
	 "kept away until a person says otherwise.\n",
	 play_flapping},
	{"stranger", "Somebody else maps a VM's memory",
	 "A process that is not the VM maps its device, and uses RDMA. The port is lost: the VM is\n"
	 "killed, the stranger is not, and its mapping may not be taken from it. It is waited for,\n"
	 "by number.\n",
	 play_stranger},
	{"in-the-way", "Another region is in the way",
	 "The decoders of a bridge are used in the order of addresses: region low, once lost, cannot\n"
	 "be made again while mail runs on region high above it. By this host's policy nobody is\n"
	 "killed for that; it is waited for a person.\n",
	 play_in_the_way},
	{"maintenance", "A card is changed",
	 "An operator isolates a port. Who is there dies, the functions below the port are removed,\n"
	 "and it stays away until the operator wants it back.\n",
	 play_maintenance},
};

const struct story *story_get(uint32_t i)
{
	return i < sizeof(stories) / sizeof(stories[0]) ? &stories[i] : NULL;
}
