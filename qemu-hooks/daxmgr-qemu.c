/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starts a VM on leased memory: waits for the lease as long as it takes, says
 * to the manager "this child of mine is the VM", which then gives up root and
 * becomes QEMU. When that is killed because its memory failed, all this again.
 *
 * Before it asks for anything it reads QEMU's command line: a VM that will pin
 * its memory endangers the host, and is refused unless the host consents.
 *
 * There is no state of its own: ending this process while it waits ends the
 * request, because the connection that carries it closes.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>
#include <systemd/sd-messages.h>

#include "cleanup.h"
#include "client.h"
#include "launch.h"
#include "pinning.h"
#include "pin_words.h"
#include "vm_process.h"
#include "wish.h"

enum {
	EXIT_NEVER = 78, /* EX_CONFIG: trying again cannot help; the unit does not restart */
	PAUSE_MIN_MS = 100,
	PAUSE_MAX_MS = 2000,
	NAME_IN_USE_TRIES = 20,
};

struct launcher {
	struct wish wish;
	struct pinning pinning;
	struct launch_user user;
	struct vm_process vm;
	char *const *qemu; /* its words, as given */
	const char *socket;
	bool print;
	bool check;
	unsigned int pause_ms;
	unsigned int name_in_use;
	uint64_t align; /* of what was leased; 0: the default */
	char said[600]; /* last line, so that it is not repeated */
};

enum verdict { VERDICT_GO, VERDICT_AGAIN, VERDICT_GIVE_UP, VERDICT_NEVER };

static void usage(FILE *to)
{
	fputs("Usage: daxmgr-qemu --name NAME --size SIZE[@REGION] [OPTIONS] -- QEMU [ARGUMENTS]\n\n"
	      "Leases memory from daxmgrd, waits until it is there, and becomes QEMU with one\n"
	      "'-object memory-backend-file,id=memN,...' argument per size added.\n\n"
	      "  --name NAME            name of the VM\n"
	      "  --size SIZE[@REGION]   memory, e.g. 512M; up to four times\n"
	      "  --user USER            run QEMU as this user, who owns the memory's device nodes\n"
	      "  --align 2M|1G          alignment (daxmgrd.conf)\n"
	      "  --no-restart           do not keep a place in the queue when the VM is killed\n"
	      "  --keep TIME            keep the memory this long after a clean exit (0)\n"
	      "  --poison ACTION        when its memory is poisoned: kill, notify, ignore (daxmgrd.conf)\n"
	      "  --qmp PATH             a monitor for the manager at this socket, below /run\n"
	      "  --check                say whether this QEMU pins its memory, and exit; asks nothing of daxmgrd\n"
	      "  --print                print the command and exit; asks nothing of daxmgrd\n"
	      "  --socket PATH          where daxmgrd listens (" CLIENT_SOCKET ")\n"
	      "  --help, --version\n",
	      to);
}

static void log_line(const struct launcher *launcher, const char *line)
{
	fprintf(stderr, "daxmgr-qemu: %s: %s\n", launcher->wish.name, line);
}

/* What may hold for a while: as the unit's status, too. */
__attribute__((format(printf, 2, 3))) static void say(struct launcher *launcher, const char *format,
						      ...)
{
	char line[sizeof(launcher->said)];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	if (!strcmp(line, launcher->said))
		return;
	memcpy(launcher->said, line, sizeof(line));
	log_line(launcher, line);
	sd_notifyf(0, "STATUS=%s", line);
}

static void pause_before_retry(struct launcher *launcher)
{
	unsigned int ms = launcher->pause_ms;

	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000},
		  NULL);
	launcher->pause_ms = ms * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : ms * 2;
}

static void explain_pins(struct launcher *launcher)
{
	const struct pinning *pinning = &launcher->pinning;

	for (size_t i = 0; i < pinning->n; i++) {
		const struct pinning_finding *finding = &pinning->findings[i];

		say(launcher, "%s: pins its memory: %s. Use %s", finding->evidence, finding->why,
		    finding->remedy);
	}
	if (pinning->n_more)
		say(launcher, "and %zu more like these", pinning->n_more);
	if (pinning->unseen[0])
		say(launcher, "not looked at for what pins memory: %s", pinning->unseen);
}

/* Asking again does not change a command line. */
static enum verdict refuse_pins(struct launcher *launcher, const struct client_failure *failure)
{
	explain_pins(launcher);
	say(launcher,
	    "refused: %s. Pages that are pinned when a port is lost panic the host. Start it without what pins, or set "
	    "[Pins] HostMayPanic=yes in daxmgrd.conf if this host may panic",
	    failure->text);
	return VERDICT_NEVER;
}

static enum verdict judge(struct launcher *launcher, const struct client_failure *failure)
{
	/* Errors that a later attempt may not see; all others need a person. */
	static const char *const passing[] = {"GrantVoid", "Withdrawn", "NotGranted", "NoSuchName",
					      "Fenced",    "TableFull", "NoCapacity"};

	if (failure->not_ready || failure->status == CLIENT_UNREACHABLE ||
	    failure->status == CLIENT_TIMED_OUT) {
		say(launcher, "waiting for daxmgrd: %s", failure->text);
		return VERDICT_AGAIN;
	}
	if (!strcmp(failure->error, "Pinning"))
		return refuse_pins(launcher, failure);
	/* The last VM of that name may be gone for systemd before daxmgrd has seen it. */
	if (!strcmp(failure->error, "NameInUse") && launcher->name_in_use++ < NAME_IN_USE_TRIES) {
		say(launcher, "waiting for the end of the last VM of that name");
		return VERDICT_AGAIN;
	}
	for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++)
		if (!strcmp(failure->error, passing[i])) {
			say(launcher, "asking again: %s", failure->text);
			return VERDICT_AGAIN;
		}
	say(launcher, "%s", failure->text);
	return VERDICT_GIVE_UP;
}

static const char *text_of(sd_json_variant *message, const char *key)
{
	sd_json_variant *value = sd_json_variant_by_key(message, key);

	return sd_json_variant_is_string(value) ? sd_json_variant_string(value) : "";
}

/* The alignment is the daemon's to choose when the command line has not. */
static void take_align(struct launcher *launcher, sd_json_variant *message)
{
	sd_json_variant *part =
		sd_json_variant_by_index(sd_json_variant_by_key(message, "parts"), 0);
	sd_json_variant *align = sd_json_variant_by_key(part, "align");

	if (sd_json_variant_is_unsigned(align))
		launcher->align = sd_json_variant_unsigned(align);
}

static void on_progress(void *userdata, sd_json_variant *message, bool last)
{
	struct launcher *launcher = userdata;
	const char *waits_for = text_of(message, "waitsFor"), *state = text_of(message, "state");

	launcher->pause_ms = PAUSE_MIN_MS;
	if (last) {
		take_align(launcher, message);
		log_line(launcher, "memory leased");
	} else if (*waits_for) {
		say(launcher, "waiting for memory: %s", waits_for);
	} else if (strcmp(state, "acquired")) {
		say(launcher, "lease is %s", state);
	}
}

static enum verdict acquire(struct launcher *launcher)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *parameters = NULL;
	_cleanup_(client_close) sd_varlink *link = NULL;
	struct client_failure failure;

	if (wish_build(&launcher->wish, &parameters) < 0) {
		say(launcher, "out of memory");
		return VERDICT_GIVE_UP;
	}
	if (client_connect(launcher->socket, &link, &failure) != CLIENT_OK)
		return judge(launcher, &failure);
	if (client_stream(link, CLIENT_METHOD("Acquire"), parameters, on_progress, launcher,
			  &failure) != CLIENT_OK)
		return judge(launcher, &failure);
	return VERDICT_GO;
}

/* Return: the child as the VM, with its pidfd to be sent along on `link`; NULL without memory. */
static sd_json_variant *name_child(const struct launcher *launcher, sd_varlink *link)
{
	sd_json_variant *parameters = NULL;
	int index = sd_varlink_push_dup_fd(link, launcher->vm.pidfd);

	if (index < 0 ||
	    sd_json_buildo(&parameters, SD_JSON_BUILD_PAIR_STRING("name", launcher->wish.name),
			   SD_JSON_BUILD_PAIR_INTEGER("pidfd", index)) < 0)
		return NULL;
	return parameters;
}

static enum verdict attach(struct launcher *launcher, bool *ret_same_grant)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *parameters = NULL, *reply = NULL;
	_cleanup_(client_close) sd_varlink *link = NULL;
	struct client_failure failure;

	*ret_same_grant = false;
	if (client_connect(launcher->socket, &link, &failure) == CLIENT_OK) {
		parameters = name_child(launcher, link);
		if (!parameters) {
			say(launcher, "out of memory");
			return VERDICT_GIVE_UP;
		}
		if (launcher->wish.qmp)
			sd_json_variant_set_field_string(&parameters, "qmp", launcher->wish.qmp);
		if (client_call(link, CLIENT_METHOD("Attach"), parameters, &reply, &failure) ==
		    CLIENT_OK)
			return VERDICT_GO;
	}
	/* An earlier call without an answer: this process is still being looked at, or is the VM by now. */
	if (!strcmp(failure.error, "NameInUse") && launcher->name_in_use++ < NAME_IN_USE_TRIES) {
		*ret_same_grant = true;
		say(launcher, "waiting for daxmgrd to look at this process");
		return VERDICT_AGAIN;
	}
	/* Without an answer this process may be attached: acquiring again would find the name in use. */
	*ret_same_grant = !failure.error[0] || failure.not_ready;
	return judge(launcher, &failure);
}

static enum verdict lease_and_attach(struct launcher *launcher)
{
	enum verdict verdict;
	bool same_grant;

	verdict = acquire(launcher);
	while (verdict == VERDICT_GO) {
		verdict = attach(launcher, &same_grant);
		if (verdict != VERDICT_AGAIN)
			return verdict;
		if (!same_grant)
			break;
		pause_before_retry(launcher);
		verdict = VERDICT_GO;
	}
	return verdict;
}

enum {
	NAME = 256,
	SIZE,
	USER,
	ALIGN,
	NO_RESTART,
	KEEP,
	POISON,
	QMP,
	CHECK,
	PRINT,
	SOCKET,
	HELP,
	VERSION
};

static const struct option options[] = {
	{"name", required_argument, NULL, NAME},       {"size", required_argument, NULL, SIZE},
	{"user", required_argument, NULL, USER},       {"align", required_argument, NULL, ALIGN},
	{"no-restart", no_argument, NULL, NO_RESTART}, {"keep", required_argument, NULL, KEEP},
	{"poison", required_argument, NULL, POISON},   {"qmp", required_argument, NULL, QMP},
	{"check", no_argument, NULL, CHECK},           {"print", no_argument, NULL, PRINT},
	{"socket", required_argument, NULL, SOCKET},   {"help", no_argument, NULL, HELP},
	{"version", no_argument, NULL, VERSION},       {0},
};

/* Return: NULL, or what is wrong with its argument. */
static const char *take(struct launcher *launcher, int option)
{
	struct wish *wish = &launcher->wish;

	switch (option) {
	case NAME:
		return wish_set_name(wish, optarg);
	case SIZE:
		return wish_add_size(wish, optarg);
	case USER:
		return wish_set_user(wish, optarg);
	case ALIGN:
		return wish_set_align(wish, optarg);
	case KEEP:
		return wish_set_keep(wish, optarg);
	case POISON:
		return wish_set_poison(wish, optarg);
	case QMP:
		return wish_set_qmp(wish, optarg);
	case NO_RESTART:
		wish->restart = false;
		break;
	case CHECK:
		launcher->check = true;
		break;
	case PRINT:
		launcher->print = true;
		break;
	case SOCKET:
		launcher->socket = optarg;
		break;
	case 'h':
	case HELP:
		usage(stdout);
		exit(EXIT_SUCCESS);
	case VERSION:
		puts("daxmgr-qemu " DAXMGR_VERSION);
		exit(EXIT_SUCCESS);
	}
	return NULL;
}

static int parse(struct launcher *launcher, int argc, char *argv[])
{
	int option, index = 0;

	while ((option = getopt_long(argc, argv, "+h", options, &index)) >= 0) {
		const char *wrong;

		if (option == '?')
			return -EINVAL;
		wrong = take(launcher, option);
		if (!wrong)
			continue;
		fprintf(stderr, "daxmgr-qemu: --%s %s: %s\n", options[index].name, optarg, wrong);
		return -EINVAL;
	}
	return 0;
}

/* In the child. Return: exit status, when it could not become QEMU. */
static int become(void *userdata, uint64_t align)
{
	struct launcher *launcher = userdata;
	char **command = launch_command(&launcher->wish, align, launcher->qemu);
	int r;

	if (!command) {
		fprintf(stderr, "daxmgr-qemu: out of memory\n");
		return EXIT_FAILURE;
	}
	r = launch_drop_privileges(&launcher->user);
	if (r < 0) {
		fprintf(stderr, "daxmgr-qemu: %s: cannot become uid %u: %s\n", launcher->wish.name,
			(unsigned int)launcher->wish.uid, strerror(-r));
		return EXIT_FAILURE;
	}
	unsetenv("NOTIFY_SOCKET"); /* the launcher is whom the service manager listens to */
	prctl(PR_SET_PDEATHSIG, SIGTERM); /* nobody would start it again */
	execvp(command[0], command);
	fprintf(stderr, "daxmgr-qemu: %s: cannot run %s: %s\n", launcher->wish.name, command[0],
		strerror(errno));
	return EXIT_NEVER;
}

static int print_command(const struct launcher *launcher)
{
	_cleanup_free_ char **command =
		launch_command(&launcher->wish, launcher->align, launcher->qemu);

	if (!command) {
		fprintf(stderr, "daxmgr-qemu: out of memory\n");
		return EXIT_FAILURE;
	}
	launch_print(command);
	return EXIT_SUCCESS;
}

/* Of --check. Return: exit status. */
static int check(struct launcher *launcher)
{
	char pins[PIN_WORDS_BYTES];

	explain_pins(launcher);
	printf("%s: %s%s\n", launcher->wish.name,
	       launcher->pinning.pins ? "pins its memory: "
	       : launcher->pinning.unseen[0]
		       ? "nothing was found that pins its memory, but not all was looked at"
		       : "pin-safe",
	       pin_words_format(launcher->pinning.pins, pins));
	return launcher->pinning.pins ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* What is given to the daemon as the launcher's word; the daemon decides. */
static void examine(struct launcher *launcher)
{
	struct pinning *pinning = &launcher->pinning;

	pinning_examine(launcher->qemu, launch_read_file, NULL, pinning);
	launcher->wish.pins = pinning->pins;
	launcher->wish.evidence = pinning->n ? pinning->findings[0].evidence : NULL;
	if (pinning->unseen[0] && !launcher->check && !launcher->print)
		say(launcher, "not looked at for what pins memory: %s", pinning->unseen);
}

/* Before anything is asked for: while the memory is made ready there is time for it. */
static int look_up_user(struct launcher *launcher)
{
	int r = launch_read_user(&launcher->wish, &launcher->user);

	if (r < 0)
		fprintf(stderr, "daxmgr-qemu: %s: cannot look up the groups of uid %u: %s\n",
			launcher->wish.name, (unsigned int)launcher->wish.uid, strerror(-r));
	return r;
}

static const char *check_arguments(const struct launcher *launcher, bool has_command)
{
	const char *wrong = launcher->check ? NULL : wish_check(&launcher->wish);

	if (!wrong && !has_command)
		wrong = "what is to be run is missing: ... -- qemu-system-x86_64 ...";
	return wrong;
}

static int exit_status(const struct launcher *launcher, enum verdict verdict)
{
	return verdict == VERDICT_NEVER || !launcher->name_in_use ? EXIT_NEVER : EXIT_FAILURE;
}

/* As a service manager records the end of a unit's process, which this one was to all but it. */
static void record_end(const struct launcher *launcher, const struct vm_process_end *end)
{
	const char *name = launcher->wish.name;

	if (!getenv("JOURNAL_STREAM"))
		fprintf(stderr, "daxmgr-qemu: %s: QEMU was ended by signal %d\n", name,
			end->status);
	else
		sd_journal_send("MESSAGE=daxmgr-qemu: %s: QEMU was ended by signal %d", name,
				end->status, "PRIORITY=%d", LOG_NOTICE,
				"MESSAGE_ID=" SD_MESSAGE_UNIT_PROCESS_EXIT_STR, "EXIT_CODE=killed",
				"EXIT_STATUS=%d", end->status, NULL);
}

/* One VM from the wish to its end. Return: VERDICT_GO and how it ended, or why there was none. */
static enum verdict run_once(struct launcher *launcher, struct vm_process_end *ret_end)
{
	enum verdict verdict;
	int r = vm_process_prepare(become, launcher, &launcher->vm);

	if (r < 0) {
		say(launcher, "cannot start a process: %s", strerror(-r));
		return VERDICT_GIVE_UP;
	}
	while ((verdict = lease_and_attach(launcher)) == VERDICT_AGAIN)
		pause_before_retry(launcher);
	if (verdict != VERDICT_GO) {
		vm_process_discard(&launcher->vm);
		return verdict;
	}
	sd_notify(0, "STATUS=Running");
	*ret_end = vm_process_run(&launcher->vm, launcher->align);
	return VERDICT_GO;
}

/* Return: exit status, when no VM has run. */
static int launch(struct launcher *launcher)
{
	struct vm_process_end end;
	enum verdict verdict;

	if (look_up_user(launcher) < 0)
		return EXIT_FAILURE;
	while ((verdict = run_once(launcher, &end)) == VERDICT_GO) {
		if (!launcher->wish.restart || !vm_process_lost_memory(&end))
			vm_process_end_alike(&end);
		record_end(launcher, &end);
		launcher->name_in_use = 0;
		launcher->pause_ms = PAUSE_MIN_MS;
		examine(launcher); /* files that its command line names may be others now */
	}
	return exit_status(launcher, verdict);
}

int main(int argc, char *argv[])
{
	struct launcher launcher = {.socket = CLIENT_SOCKET, .pause_ms = PAUSE_MIN_MS};
	const char *wrong;
	int status;

	wish_init(&launcher.wish);
	if (parse(&launcher, argc, argv) < 0) {
		fputs("Try 'daxmgr-qemu --help'.\n", stderr);
		return EXIT_NEVER;
	}
	launcher.align = launcher.wish.align;
	wrong = check_arguments(&launcher, optind < argc);
	if (wrong) {
		fprintf(stderr, "daxmgr-qemu: %s\nTry 'daxmgr-qemu --help'.\n", wrong);
		return EXIT_NEVER;
	}
	if (!launcher.wish.name)
		launcher.wish.name = "VM";
	launcher.qemu = argv + optind;
	examine(&launcher);
	if (launcher.check)
		return check(&launcher);
	if (launcher.print)
		return print_command(&launcher);
	status = launch(&launcher);
	launch_user_free(&launcher.user);
	return status;
}
