/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernel_log_decode.h"

#include <isolate/view.h>
#include <stdio.h>
#include <string.h>

/* A stack has some twenty lines, registers and modules before it another thirty. */
enum { STACK_LINES_MAX = 80 };

static const uint64_t stack_ns_max = UINT64_C(5000000000);

/* Decimal digits up to `end`. Return: what follows them, or NULL. */
static const char *take_number(const char *at, const char *end, uint64_t *ret)
{
	const char *begin = at;
	uint64_t value = 0;

	for (; at < end && *at >= '0' && *at <= '9'; at++) {
		uint64_t digit = (uint64_t)(*at - '0');

		if (value > (UINT64_MAX - digit) / 10)
			return NULL;
		value = value * 10 + digit;
	}
	if (at == begin)
		return NULL;
	*ret = value;
	return at;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* The kernel writes what is not printable, and the backslash, as \xNN. Return: false when it was cut. */
static bool copy_text(char *to, size_t room, const char *from, const char *end)
{
	size_t n = 0;

	while (from < end && n + 1 < room) {
		char c = *from++;

		if (c == '\\' && end - from >= 3 && *from == 'x' && hex_digit(from[1]) >= 0 &&
		    hex_digit(from[2]) >= 0) {
			c = (char)(hex_digit(from[1]) << 4 | hex_digit(from[2]));
			from += 3;
		}
		to[n++] = c >= ' ' && c <= '~' ? c : '?';
	}
	to[n] = '\0';
	return from == end;
}

/* "6,339,5140900,-;": priority, sequence number, microseconds, flags, more in later kernels. */
static const char *take_header(const char *at, const char *end, struct kernel_log_record *record)
{
	uint64_t priority, us;

	at = take_number(at, end, &priority);
	if (!at || at == end || *at++ != ',' || priority > UINT32_MAX)
		return NULL;
	at = take_number(at, end, &record->sequence);
	if (!at || at == end || *at++ != ',')
		return NULL;
	at = take_number(at, end, &us);
	if (!at || at == end || *at != ',' || us > UINT64_MAX / 1000)
		return NULL;
	record->level = priority & 7;
	record->facility = (uint32_t)(priority >> 3);
	record->at_ns = us * 1000;
	record->fragment = at + 1 < end && (at[1] == 'c' || at[1] == '+');
	at = memchr(at, ';', (size_t)(end - at));
	return at ? at + 1 : NULL;
}

enum kernel_log_outcome kernel_log_decode(const char *record, size_t bytes,
					  struct kernel_log_record *ret)
{
	static const char key[] = " DEVICE=";
	const char *end = record + bytes, *at, *line_end;
	struct kernel_log_record read = {0};

	at = take_header(record, end, &read);
	if (!at)
		return KERNEL_LOG_MALFORMED;
	line_end = memchr(at, '\n', (size_t)(end - at));
	if (!line_end)
		line_end = end;
	read.cut = !copy_text(read.text, sizeof(read.text), at, line_end);
	while (line_end < end) {
		at = line_end + 1;
		line_end = memchr(at, '\n', (size_t)(end - at));
		if (!line_end)
			line_end = end;
		if ((size_t)(line_end - at) > sizeof(key) - 1 && !memcmp(at, key, sizeof(key) - 1))
			copy_text(read.device, sizeof(read.device), at + sizeof(key) - 1, line_end);
	}
	*ret = read;
	return KERNEL_LOG_DECODED;
}

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

struct phrase {
	const char *text;
	enum kernel_log_kind kind;
};

/*
 * What a line of the kernel begins with. The first that fits counts: the special
 * ones stand before the general ones.
 */
static const struct phrase phrases[] = {
	{"Kernel panic - not syncing", KERNEL_LOG_PANIC},
	{"watchdog: BUG: soft lockup", KERNEL_LOG_SOFT_LOCKUP},
	{"BUG: soft lockup", KERNEL_LOG_SOFT_LOCKUP},
	{"BUG: workqueue lockup", KERNEL_LOG_SOFT_LOCKUP},
	{"BUG: unable to handle", KERNEL_LOG_OOPS},
	{"BUG: kernel NULL pointer dereference", KERNEL_LOG_OOPS},
	{"BUG: ", KERNEL_LOG_BUG},
	{"WARNING: ", KERNEL_LOG_WARNING},
	{"DMAR: [", KERNEL_LOG_IOMMU_FAULT},
	{"DMAR: DRHD: handling fault", KERNEL_LOG_IOMMU_FAULT},
	{"AMD-Vi: Event logged", KERNEL_LOG_IOMMU_FAULT},
	{"mce: [Hardware Error]", KERNEL_LOG_MACHINE_CHECK},
	{"mce: Uncorrected hardware memory error", KERNEL_LOG_MACHINE_CHECK},
};

/* The same after "DRIVER ADDRESS: " of a device that the record itself is of. */
static const struct phrase device_phrases[] = {
	{"AMD-Vi: Event logged", KERNEL_LOG_IOMMU_FAULT},
	{"DPC: containment event", KERNEL_LOG_DPC},
	{"DPC: unmasked uncorrectable error detected", KERNEL_LOG_DPC},
	{"AER: ", KERNEL_LOG_AER},
	{"PCIe Bus Error: severity=", KERNEL_LOG_AER},
	{"CXL Bus Error: severity=", KERNEL_LOG_AER},
};

static enum kernel_log_kind find_phrase(const struct phrase *in, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++)
		if (begins(text, in[i].text))
			return in[i].kind;
	return KERNEL_LOG_NOTHING;
}

/* "+pci:0000:0c:00.0" is the kernel's own and nobody's text. Return: the address or name, or "". */
static const char *device_of(const struct kernel_log_record *record)
{
	const char *colon = strchr(record->device, ':');

	return record->device[0] == '+' && colon ? colon + 1 : "";
}

/* What a driver says of its PCI device after "DRIVER ADDRESS: ". Return: NULL when it is no such line. */
static const char *said_of_device(const struct kernel_log_record *record)
{
	const char *address = device_of(record), *at = strchr(record->text, ' ');
	size_t n = strlen(address);

	if (!begins(record->device, "+pci:") || !n || !at || strncmp(at + 1, address, n) != 0)
		return NULL;
	at += 1 + n;
	return begins(at, ": ") ? at + 2 : NULL;
}

/* "pciehp: Slot(2): Link Down", of the port itself. */
static enum kernel_log_kind slot_kind(const struct kernel_log_record *record, const char *said)
{
	static const char before[] = "pciehp: Slot(";

	if (!begins(record->text, "pcieport ") || !begins(said, before))
		return KERNEL_LOG_NOTHING;
	said += sizeof(before) - 1;
	said += strcspn(said, ")");
	/* To the end: "Link Down/Up ignored" is a link that the kernel itself has reset. */
	if (!strcmp(said, "): Link Down"))
		return KERNEL_LOG_LINK_DOWN;
	return !strcmp(said, "): Card not present") ? KERNEL_LOG_CARD_GONE : KERNEL_LOG_NOTHING;
}

static enum kernel_log_kind device_kind(const struct kernel_log_record *record)
{
	const char *said = said_of_device(record);
	enum kernel_log_kind kind;

	if (!said)
		return KERNEL_LOG_NOTHING;
	kind = slot_kind(record, said);
	if (kind != KERNEL_LOG_NOTHING)
		return kind;
	kind = find_phrase(device_phrases, sizeof(device_phrases) / sizeof(device_phrases[0]),
			   said);
	/* Drivers tell at start that they may use it: that is no error. */
	return kind == KERNEL_LOG_AER && record->level > 4 ? KERNEL_LOG_NOTHING : kind;
}

/* "[12]", "(12)", " (12)", "/12:". */
static bool is_number_of_process(const char *at)
{
	const char *end = at + strlen(at);
	uint64_t pid;
	char close;

	at += begins(at, " (");
	close = *at == '[' ? ']' : *at == '(' ? ')' : *at == '/' ? ':' : '\0';
	if (!close)
		return false;
	at = take_number(at + 1, end, &pid);
	return at && *at == close;
}

/*
 * Whether the line begins with the name of a process, which is of its own
 * choice: such a line says nothing of the kernel, whatever it looks like.
 */
static bool is_of_process(const char *text)
{
	enum { COMM_MAX = 15 };

	/* A file's name before that of the process, where the kernel is told to print these. */
	if (strstr(text, ": potentially unexpected fatal signal "))
		return true;
	for (size_t n = 0; n <= COMM_MAX; n++) {
		if (is_number_of_process(text + n) || begins(text + n, " invoked oom-killer: ") ||
		    begins(text + n, ": page allocation failure: ") ||
		    begins(text + n, ": vmalloc error: "))
			return true;
		if (!text[n])
			break;
	}
	return false;
}

/* "0002 [#1] PREEMPT SMP": what follows the number is not what follows a name. */
static bool is_oops_end(const char *at)
{
	const char *end = at + strlen(at);
	uint64_t count;

	if (strspn(at, "0123456789abcdef") != 4 || !begins(at + 4, " [#"))
		return false;
	at = take_number(at + strlen("0002 [#"), end, &count);
	if (!at || *at++ != ']')
		return false;
	return !*at || (at[0] == ' ' && at[1] >= 'A' && at[1] <= 'Z');
}

/* "Oops: Oops: 0002 [#1] PREEMPT", "Oops: general protection fault, …: 0000 [#1]", and without the first word. */
static bool is_oops_header(const char *text)
{
	static const char *const first[] = {"Oops: ", "general protection fault",
					    "invalid opcode: "};
	bool is = false;

	for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++)
		is = is || begins(text, first[i]);
	if (!is)
		return false;
	for (const char *at = text; (at = strstr(at, ": ")); at += 2)
		if (is_oops_end(at + 2))
			return true;
	return false;
}

/* "kernel BUG at mm/memory.c:1!" */
static bool is_bug_header(const char *text)
{
	static const char before[] = "kernel BUG at ";
	size_t n = strlen(text);

	return begins(text, before) && !strchr(text + sizeof(before) - 1, ' ') &&
	       text[n - 1] == '!';
}

/* "watchdog: Watchdog detected hard LOCKUP on cpu 3"; later kernels say first who detected it. */
static bool is_hard_lockup(const char *text)
{
	static const char own[] = "watchdog: ", by[] = "CPU";
	const char *after;
	uint64_t cpu;

	text += begins(text, "NMI ") ? strlen("NMI ") : 0;
	if (!begins(text, own))
		return false;
	text += sizeof(own) - 1;
	if (begins(text, by)) {
		text += sizeof(by) - 1;
		after = take_number(text, text + strlen(text), &cpu);
		if (!after || !begins(after, ": "))
			return false;
		text = after + 2;
	}
	return begins(text, "Watchdog detected hard LOCKUP on cpu ");
}

/* "rcu: INFO: rcu_preempt self-detected stall on CPU" */
static bool is_rcu_stall(const char *text)
{
	static const char before[] = "rcu: INFO: ";

	if (!begins(text, before))
		return false;
	text += sizeof(before) - 1;
	text += strcspn(text, " ");
	return begins(text, " self-detected stall on CPU") ||
	       begins(text, " detected stalls on CPUs") ||
	       begins(text, " detected expedited stalls on CPUs");
}

/* What the kernel says of itself stands where it prints it, at the begin of a line. */
static enum kernel_log_kind host_kind(const char *text)
{
	if (is_oops_header(text) || is_bug_header(text))
		return KERNEL_LOG_OOPS;
	if (is_hard_lockup(text))
		return KERNEL_LOG_HARD_LOCKUP;
	if (is_rcu_stall(text))
		return KERNEL_LOG_RCU_STALL;
	return find_phrase(phrases, sizeof(phrases) / sizeof(phrases[0]), text);
}

/* A name, ':' or '[', and a number. Return: what follows, or NULL and `ret` as it was. */
static const char *take_process(const char *at, char mark, struct kernel_log_news *ret)
{
	const char *end = at + strlen(at), *number = NULL, *after = NULL;
	uint64_t pid = 0;

	/* A name may hold any sign: the last mark that a number follows, before the sentence goes on. */
	for (const char *scan = at; scan < end && (size_t)(scan - at) < sizeof(ret->process);
	     scan++) {
		uint64_t value;
		const char *behind;

		if (*scan != mark)
			continue;
		behind = take_number(scan + 1, end, &value);
		if (!behind || value == 0 || value > INT32_MAX)
			continue;
		if (mark == '[' ? *behind != ']' : *behind != ' ')
			continue;
		number = scan;
		after = behind + (mark == '[');
		pid = value;
	}
	if (!number)
		return NULL;
	snprintf(ret->process, sizeof(ret->process), "%.*s", (int)(number - at), at);
	ret->pid = (int32_t)pid;
	return after;
}

/* "INFO: task NAME:PID blocked for more than 120 seconds." */
static bool is_hung_task(const char *text, struct kernel_log_news *ret)
{
	static const char before[] = "INFO: task ";
	const char *after;

	if (!begins(text, before))
		return false;
	after = take_process(text + sizeof(before) - 1, ':', ret);
	return after && begins(after, " blocked for more than ");
}

/* "Memory failure: 0xPFN: …": what became of it, or who is told. */
static enum kernel_log_kind memory_failure(const char *text, struct kernel_log_news *ret)
{
	static const char before[] = "Memory failure: 0x", told[] = "Sending SIGBUS to ";
	const char *at = text + sizeof(before) - 1;
	uint64_t pfn = 0;
	int digit;

	if (!begins(text, before))
		return KERNEL_LOG_NOTHING;
	for (; (digit = hex_digit(*at)) >= 0 && pfn <= UINT64_MAX >> 4; at++)
		pfn = pfn << 4 | (uint64_t)digit;
	ret->pfn = pfn;
	ret->has_pfn = true;
	at = strstr(at, told);
	if (at && take_process(at + sizeof(told) - 1, ':', ret))
		return KERNEL_LOG_PROCESS_FAULT;
	return KERNEL_LOG_MEMORY_FAILURE;
}

/* "NAME[PID]: segfault at …", "traps: NAME[PID] trap …", "MCE: Killing NAME:PID due to …". */
static bool is_process_fault(const char *text, struct kernel_log_news *ret)
{
	static const char killing[] = "MCE: Killing ", traps[] = "traps: ";
	const char *after;

	if (begins(text, killing)) {
		after = take_process(text + sizeof(killing) - 1, ':', ret);
		return after && begins(after, " due to ");
	}
	if (begins(text, traps)) {
		after = take_process(text + sizeof(traps) - 1, '[', ret);
		return after && strstr(after, " ip:");
	}
	if (!strstr(text, ": segfault at "))
		return false;
	after = take_process(text, '[', ret);
	return after && begins(after, ": segfault at ");
}

/* "Out of memory: Killed process PID (NAME) …", with "Memory cgroup " before it or without. */
static bool is_out_of_memory(const char *text, struct kernel_log_news *ret)
{
	static const char killed[] = ": Killed process ", asking[] = " (oom_kill_allocating_task)";
	const char *at = text, *end = text + strlen(text), *close;
	uint64_t pid;

	at += begins(at, "Memory cgroup o") ? strlen("Memory cgroup ") : 0;
	if (!begins(at, "Out of memory") && !begins(at, "out of memory"))
		return false;
	at += strlen("Out of memory");
	at += begins(at, asking) ? sizeof(asking) - 1 : 0;
	if (!begins(at, killed))
		return false;
	at = take_number(at + sizeof(killed) - 1, end, &pid);
	if (!at || pid > INT32_MAX || !begins(at, " ("))
		return false;
	close = strchr(at, ')');
	if (!close)
		return false;
	snprintf(ret->process, sizeof(ret->process), "%.*s", (int)(close - at - 2), at + 2);
	ret->pid = (int32_t)pid;
	return true;
}

static bool is_own_function(const char *word)
{
	static const char *const prefixes[] = {"cxl_",      "dax_",           "dev_dax_",
					       "pciehp_",   "memunmap_pages", "memremap_pages",
					       "devm_cxl_", "__cxl_",         "device_dax"};

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (begins(word, prefixes[i]))
			return true;
	return false;
}

/* " cxl_decoder_detach+0x12/0x340 [cxl_core]", with "? " before it when it is a guess. */
static bool is_own_stack(const char *text, struct kernel_log_news *ret)
{
	size_t n;

	if (begins(text, "RIP: 0010:"))
		text += strlen("RIP: 0010:");
	text += strspn(text, " ");
	if (begins(text, "? ") || !is_own_function(text))
		return false;
	n = strcspn(text, "+ ");
	if (text[n] != '+')
		return false;
	snprintf(ret->function, sizeof(ret->function), "%.*s", (int)(n < 63 ? n : 63), text);
	return true;
}

/* The first such line of what was printed last; the others say the same. */
static bool is_stack_of_last(const struct kernel_log_record *record,
			     struct kernel_log_context *context, struct kernel_log_news *ret)
{
	if (context->of == KERNEL_LOG_NOTHING)
		return false;
	if (++context->lines > STACK_LINES_MAX || record->at_ns < context->at_ns ||
	    record->at_ns - context->at_ns > stack_ns_max) {
		context->of = KERNEL_LOG_NOTHING;
		return false;
	}
	if (!is_own_stack(record->text, ret))
		return false;
	ret->of = context->of;
	context->of = KERNEL_LOG_NOTHING;
	return true;
}

static bool has_stack(enum kernel_log_kind kind)
{
	return kind >= KERNEL_LOG_OOPS && kind <= KERNEL_LOG_HUNG_TASK;
}

static bool is_of_cxl(const struct kernel_log_record *record)
{
	return begins(record->text, "cxl_") || begins(record->text, "cxl ") ||
	       begins(record->text, "device_dax ") || begins(record->text, "dax_") ||
	       begins(record->device, "+cxl:") || begins(record->device, "+dax:");
}

static enum kernel_log_kind classify(const struct kernel_log_record *record,
				     struct kernel_log_context *context,
				     struct kernel_log_news *ret)
{
	const char *text = record->text;
	enum kernel_log_kind kind;

	if (is_hung_task(text, ret))
		return KERNEL_LOG_HUNG_TASK;
	kind = memory_failure(text, ret);
	if (kind != KERNEL_LOG_NOTHING)
		return kind;
	if (is_process_fault(text, ret))
		return KERNEL_LOG_PROCESS_FAULT;
	if (is_out_of_memory(text, ret))
		return KERNEL_LOG_OUT_OF_MEMORY;
	kind = device_kind(record);
	if (kind != KERNEL_LOG_NOTHING)
		return kind;
	if (is_of_process(text))
		return KERNEL_LOG_NOTHING;
	kind = host_kind(text);
	if (kind != KERNEL_LOG_NOTHING)
		return kind;
	if (is_stack_of_last(record, context, ret))
		return KERNEL_LOG_STACK;
	return record->level <= 4 && is_of_cxl(record) ? KERNEL_LOG_CXL : KERNEL_LOG_NOTHING;
}

enum kernel_log_kind kernel_log_meaning(const struct kernel_log_record *record,
					struct kernel_log_context *context,
					struct kernel_log_news *ret)
{
	*ret = (struct kernel_log_news){0};
	/* The rest of a line, cut off by others, begins with whatever stood there: a name of a control group. */
	if (record->facility != 0 || record->fragment)
		return ret->kind;
	ret->kind = classify(record, context, ret);
	if (ret->kind == KERNEL_LOG_NOTHING)
		return ret->kind;
	snprintf(ret->device, sizeof(ret->device), "%s", device_of(record));
	ret->fatal = strstr(record->text, "(Fatal)") || strstr(record->text, "severity=Fatal") ||
		     strstr(record->text, "Uncorrected (Fatal)");
	if (has_stack(ret->kind))
		*context = (struct kernel_log_context){ret->kind, 0, record->at_ns};
	return ret->kind;
}

bool kernel_log_fault(const struct kernel_log_news *news, uint64_t at_ns, struct iso_fault *ret)
{
	struct iso_fault fault = {.unit_kind = ISO_UNIT_PORT_ADDRESS, .record_ns = at_ns};

	if (news->kind != KERNEL_LOG_LINK_DOWN && news->kind != KERNEL_LOG_CARD_GONE)
		return false;
	if (!iso_pci_address_parse(news->device, &fault.address))
		return false;
	fault.cause = ISO_CAUSE_LINK_DOWN;
	*ret = fault;
	return true;
}

const char *kernel_log_kind_name(enum kernel_log_kind kind)
{
	static const char *const names[KERNEL_LOG_KINDS] = {
		[KERNEL_LOG_NOTHING] = "nothing",
		[KERNEL_LOG_PANIC] = "panic",
		[KERNEL_LOG_OOPS] = "oops",
		[KERNEL_LOG_BUG] = "bug",
		[KERNEL_LOG_WARNING] = "warning",
		[KERNEL_LOG_SOFT_LOCKUP] = "soft-lockup",
		[KERNEL_LOG_HARD_LOCKUP] = "hard-lockup",
		[KERNEL_LOG_RCU_STALL] = "rcu-stall",
		[KERNEL_LOG_HUNG_TASK] = "hung-task",
		[KERNEL_LOG_STACK] = "stack",
		[KERNEL_LOG_IOMMU_FAULT] = "iommu-fault",
		[KERNEL_LOG_MACHINE_CHECK] = "machine-check",
		[KERNEL_LOG_MEMORY_FAILURE] = "memory-failure",
		[KERNEL_LOG_PROCESS_FAULT] = "process-fault",
		[KERNEL_LOG_OUT_OF_MEMORY] = "out-of-memory",
		[KERNEL_LOG_LINK_DOWN] = "link-down",
		[KERNEL_LOG_CARD_GONE] = "card-not-present",
		[KERNEL_LOG_DPC] = "dpc",
		[KERNEL_LOG_AER] = "aer",
		[KERNEL_LOG_CXL] = "cxl",
	};

	return kind < KERNEL_LOG_KINDS ? names[kind] : "unknown";
}
