/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the engine call of each other; by file. Included by state.h. */
#ifndef ISOLATE_FUNCTIONS_H
#define ISOLATE_FUNCTIONS_H

#include "state.h"

/* engine.c */
void engine_arm(struct iso_engine *e, uint64_t at_ns);
void engine_observe(struct iso_engine *e);
void engine_place(struct iso_engine *e, void *memory);

/*
 * emit.c: the only place where effects are made. Room for those of a step that
 * kills a lease is touched when its place is used first, so that memory that is
 * locked as it is touched need not be waited for then.
 */
void effects_prepare(struct iso_engine *e);
void effects_reserve(struct iso_engine *e, uint32_t lease);
struct iso_effect *emit(struct iso_engine *e, uint32_t kind);
void emit_kill(struct iso_engine *e, uint32_t lease);
void emit_reply(struct iso_engine *e, uint64_t request, enum iso_reply reply, uint32_t lease,
		uint32_t region, const char *text);
void emit_save_lease(struct iso_engine *e, uint32_t lease);
void emit_save_region(struct iso_engine *e, uint32_t region);
void emit_save_port(struct iso_engine *e, uint32_t port);
void emit_abandon(struct iso_engine *e, uint64_t operation);
void emit_save_incident(struct iso_engine *e, const struct incident *incident);
struct iso_effect *emit_note(struct iso_engine *e, enum iso_note_kind kind, uint64_t incident,
			     const char *format, ...) __attribute__((format(printf, 4, 5)));

/* operation.c */
struct operation_object {
	uint32_t region, instance, lease, port, memdev;
};
uint64_t operation_start(struct iso_engine *e, uint32_t kind, struct operation_object object,
			 uint32_t lane, uint64_t extra_ns);
bool operation_problem(char told[ISO_TEXT_BYTES], const char *problem);
void operation_complete(struct iso_engine *e, const struct iso_completion *completion);
void operation_expire(struct iso_engine *e);

/* transition.c: who may follow whom; a move that is not in the table asserts */
void region_enter(struct iso_engine *e, uint32_t r, enum iso_region_state state);
void instance_enter(struct iso_engine *e, uint32_t i, enum iso_instance_state state);
void lease_enter(struct iso_engine *e, uint32_t l, enum iso_lease_state state);
void domain_enter(struct iso_engine *e, uint32_t d, enum iso_domain_state state,
		  const char *reason);

/* topology.c */
void topology_take_in(struct iso_engine *e, const struct iso_snapshot *snapshot);
void topology_domains(struct iso_engine *e);
uint32_t topology_port_named(struct iso_engine *e, const char *path);
bool topology_below(const struct iso_engine *e, uint32_t port, uint32_t ancestor);
uint32_t topology_root_port(const struct iso_engine *e, uint32_t port);
uint32_t topology_memdev_by_serial(const struct iso_engine *e, uint64_t serial);

/* blast.c */
uint32_t blast_of_port(struct iso_engine *e, uint32_t port);
void blast_of_memdev(struct iso_engine *e, uint32_t memdev);
bool blast_hits(const struct iso_engine *e, const struct region *region);
bool blast_region_on(const struct iso_engine *e, const struct region *region, uint32_t port,
		     uint32_t memdev);

/* fault.c */
void fault_handle(struct iso_engine *e, const struct iso_fault *fault);
void fault_at_address(struct iso_engine *e, const struct iso_fault *fault);
uint32_t fault_port_at(const struct iso_engine *e, struct iso_pci_address address);
uint32_t fault_memdev_at(const struct iso_engine *e, struct iso_pci_address address);
void fault_explain(struct iso_engine *e, uint32_t port, const struct iso_fault *fault);
void fault_settled(struct iso_engine *e, struct iso_pci_address address);
void fault_memdev_gone(struct iso_engine *e, uint32_t memdev, enum iso_cause cause);
void fault_region_gone(struct iso_engine *e, uint32_t region);
void fault_instance_gone(struct iso_engine *e, uint32_t instance, uint64_t record_ns);
void fault_isolate(struct iso_engine *e, uint32_t port);
bool fault_port_isolated(struct iso_engine *e, uint32_t port, uint64_t record_ns);
void fault_restored(struct iso_engine *e, uint32_t region);

void fault_poisoned(struct iso_engine *e, uint32_t instance, const char *unit, uint64_t record_ns);

/* fault_early.c */
void fault_keep_early(struct iso_engine *e, const struct iso_fault *fault);
void fault_observed(struct iso_engine *e);

/* poison.c: from a record that names memory to whom it harms */
void poison_limit(struct iso_poison *poison);
void poison_handle(struct iso_engine *e, const struct iso_poison *poison);
void poison_observed(struct iso_engine *e);
void poison_closed(struct iso_engine *e);
void poison_recheck(struct iso_engine *e, uint32_t instance);
bool poison_kills(const struct iso_engine *e, const struct lease *lease);

/* poison_list.c: when which memdev's poison list is read */
void poison_list_needed(struct iso_engine *e, uint32_t r);
void poison_list_ask(struct iso_engine *e, uint64_t request, const char *memdev);
void poison_list_gap(struct iso_engine *e);
bool poison_list_awaited(const struct iso_engine *e, const struct region *region);
void poison_list_advance(struct iso_engine *e);
void poison_list_completed(struct iso_engine *e, uint32_t m,
			   const struct iso_completion *completion);
void poison_list_read(struct iso_engine *e, uint64_t serial, uint64_t began_ns, bool complete);

/* ledger.c: the bad ranges */
#define LEDGER_OUTDATED (ISO_NONE - 1)
uint32_t ledger_add(struct iso_engine *e, const struct bad_range *key,
		    const struct iso_poison *poison);
void ledger_clear(struct iso_engine *e, const struct bad_range *key,
		  const struct iso_poison *poison, uint32_t evidence);
void ledger_verify(struct iso_engine *e, uint64_t serial, uint64_t began_ns);
void ledger_hit(struct iso_engine *e, uint32_t b, uint32_t instance);
void ledger_forget_region(struct iso_engine *e, uint32_t r);
void ledger_region_made(struct iso_engine *e, uint32_t r);
void ledger_resettle(struct iso_engine *e, uint32_t r);
void ledger_restore(struct iso_engine *e, const struct iso_restore_poison *restore);
void ledger_newcomer(struct iso_engine *e, struct memdev *memdev);
void ledger_close(struct iso_engine *e, uint32_t m, const char *why);
bool ledger_reopen(struct iso_engine *e, struct memdev *memdev, uint64_t began_ns);
void ledger_flush(struct iso_engine *e);

/* ledger_place.c: where bad ranges lie, and what is left beside them */
bool place_computable(const struct iso_engine *e, const struct region *region);
enum place place_bad(const struct iso_engine *e, const struct bad_range *bad, uint32_t r,
		     struct region_span *ret);
uint32_t place_region_at(const struct iso_engine *e, struct iso_hpa hpa);
uint32_t place_keys(const struct iso_engine *e, const struct iso_poison *poison,
		    struct bad_range keys[ISO_WAYS_MAX]);
bool place_covers(const struct iso_engine *e, const struct instance *instance,
		  struct region_span span);
uint32_t place_bad_under(const struct iso_engine *e, const struct instance *instance);
void place_account(struct iso_engine *e);

/* order.c */
bool order_shares_decoders(const struct iso_engine *e, const struct region *a,
			   const struct region *b);
bool order_blocks(const struct iso_engine *e, uint32_t live, uint32_t r);
bool order_before(const struct iso_engine *e, uint32_t a, uint32_t b);
bool order_gap(const struct iso_engine *e, uint32_t r, uint32_t window, uint64_t *ret_start);
void order_left(struct iso_engine *e, uint32_t r);
void order_refused(struct iso_engine *e, uint32_t r);

/* window.c */
uint32_t window_for(const struct iso_engine *e, uint32_t r);
uint32_t window_taken_by(const struct iso_engine *e, uint32_t r);
bool window_misordered(const struct iso_engine *e, uint32_t r);
bool window_shares_bridge(const struct iso_engine *e, const struct region *region);

/* size.c: how much of its memdevs a region gets */
enum iso_region_wait size_plan(struct iso_engine *e, uint32_t r);
bool size_still_fits(const struct iso_engine *e, uint32_t r);
uint64_t size_wanted(const struct iso_engine *e, const struct region *region);

/* region_wait.c: what keeps a region from being made */
void region_set_wait(struct iso_engine *e, uint32_t r, enum iso_region_wait wait);
enum iso_region_wait region_legs_wait(struct iso_engine *e, const struct region *region);
enum iso_region_wait region_decoders_wait(struct iso_engine *e, uint32_t r);
enum iso_region_wait region_creation_wait(struct iso_engine *e, uint32_t r);
bool region_legs_settling(struct iso_engine *e, const struct region *region);
bool region_refill_comes_after(const struct iso_engine *e, uint32_t r);
bool region_decoders_busy(const struct iso_engine *e, uint32_t r);

/* isolation.c: a root port that has isolated, in order; arming: arm.c */
bool isolation_is_operation(uint32_t kind);
bool isolation_has_registers(const struct isolation *isolation);
void isolation_begin(struct iso_engine *e, uint32_t port);
void isolation_link_down(struct iso_engine *e, uint32_t port);
void isolation_seen(struct iso_engine *e, struct iso_pci_address address,
		    const struct iso_isolation *seen);
void isolation_advance(struct iso_engine *e);
void isolation_completed(struct iso_engine *e, const struct operation *operation,
			 const struct iso_completion *completion);
void isolation_undone(struct iso_engine *e, uint32_t port);
void isolation_retry(struct iso_engine *e, uint32_t port);
void isolation_take_in(struct iso_engine *e, const struct iso_snapshot *snapshot);
void isolation_restore(struct iso_engine *e, const struct iso_restore_port *restore);
enum iso_domain_state isolation_judge(const struct iso_engine *e, uint32_t port);
void isolation_judge_text(const struct iso_engine *e, uint32_t port, char *to, size_t room);
bool isolation_holds_port(struct iso_engine *e, uint32_t port);
bool isolation_holds_region(struct iso_engine *e, const struct region *region);
bool isolation_start(struct iso_engine *e, uint32_t port, uint32_t kind);
void isolation_failed(struct iso_engine *e, uint32_t port, uint32_t *failures,
		      const struct iso_completion *completion);

/* arm.c: isolation enabled on a root port, while nothing uses it */
bool arm_wanted(const struct iso_engine *e, const struct port *port);
bool arm_is_known(const struct port *port);
bool arm_may_become_known(struct iso_engine *e, uint32_t port);
bool arm_is_as_wanted(const struct iso_engine *e, const struct port *port);
uint32_t arm_range(const struct iso_engine *e, const struct port *port);
bool arm_comes_first(struct iso_engine *e, uint32_t port);
void arm_advance(struct iso_engine *e, uint32_t port);
void arm_completed(struct iso_engine *e, uint32_t port, const struct iso_completion *completion);
void arm_ask(struct iso_engine *e, const struct iso_event *event);

/* port_request.c: what operators ask of a port */
void port_isolate(struct iso_engine *e, const struct iso_event *event);
void port_recover(struct iso_engine *e, const struct iso_event *event);

/* flap.c: units that come back and go again */
void flap_count(struct iso_engine *e, uint32_t port, uint64_t record_ns, struct incident *incident);
void flap_restore(struct port *port, const struct iso_restore_port *restore);
void flap_forget(struct iso_engine *e, uint32_t port);

/* evict.c: who stands above in the decoder order makes way, by policy */
void evict_advance(struct iso_engine *e);

/* health_gate.c: whether what was lost is made again by itself */
/* Why nothing is made on it by itself; NULL: nothing speaks against it. */
const char *health_gate_reason(const struct iso_engine *e,
			       const struct iso_region_definition *region);
bool health_gate_holds(const struct iso_engine *e, const struct region *region);
/* Not even what is left of it is taken apart. */
bool health_gate_keeps_remains(const struct iso_engine *e, const struct region *region);
bool health_gate_is_waited_for(const struct iso_engine *e, const struct region *region);
void health_gate_take(struct iso_engine *e, const struct iso_health *health);

/* hold.c: why nothing is handed out, beside fences and capacity */
bool hold_intents(struct iso_engine *e);
void hold_intent_begun(struct iso_engine *e, uint64_t operation);
void hold_intent_durable(struct iso_engine *e);
void hold_intent_failed(struct iso_engine *e, uint64_t operation, const char *why);
void hold_begin(struct iso_engine *e, const char *why);
void hold_confirm(struct iso_engine *e, uint64_t request);
bool hold_placement(struct iso_engine *e, char *text, size_t room);
enum iso_region_state hold_standing(const struct iso_engine *e, const struct region *region);
void hold_index(struct iso_engine *e);
bool hold_adopt(struct iso_engine *e, uint32_t instance, int32_t pid);

/* verify.c: nobody maps what a VM had */
void verify_advance(struct iso_engine *e, uint32_t l);
void verify_gathered(struct iso_engine *e);
void verify_completed(struct iso_engine *e, uint32_t l, const struct iso_completion *completion);

/* stuck.c: what outlives the kill */
void stuck_enter(struct iso_engine *e, uint32_t l, const char *evidence);
void stuck_advance(struct iso_engine *e, uint32_t l);
void stuck_revoked(struct iso_engine *e, uint32_t l, const struct iso_completion *completion);
bool stuck_on_region(const struct iso_engine *e, uint32_t r);

/* adopt.c: what was made by hand becomes a lease */
void adopt_ask(struct iso_engine *e, const struct iso_adopt *adopt);
void adopt_advance(struct iso_engine *e);
void adopt_inspected(struct iso_engine *e, const struct iso_inspection *inspection);
void adopt_inspection_ended(struct iso_engine *e, const struct iso_completion *completion);

/* attach.c: a process becomes the VM of a lease, once it was looked at */
void attach_inspected(struct iso_engine *e, uint32_t l, const struct iso_completion *completion);
bool attach_process_taken(const struct iso_engine *e, int32_t pid);
void attach_refuse(struct iso_engine *e, uint32_t l, enum iso_reply reply);

/* region.c */
void region_define(struct iso_engine *e, uint64_t request,
		   const struct iso_region_definition *definition, bool from_operator);
void region_destroy(struct iso_engine *e, uint64_t request, const char *name);
void region_restore(struct iso_engine *e, const struct iso_restore_region *restore);
void region_advance(struct iso_engine *e, uint32_t r);
void region_lose(struct iso_engine *e, uint32_t r, uint64_t incident);
void region_lose_instances(struct iso_engine *e, uint32_t r, uint64_t incident);
void region_drop_leaving(struct iso_engine *e);
void region_take_in(struct iso_engine *e, const struct iso_snapshot *snapshot);
/* False only where it is certain that the kernel region is nobody's whom we manage. */
bool region_may_be_managed(const struct iso_engine *e, const struct iso_observed_region *seen);
void region_completed(struct iso_engine *e, const struct operation *operation,
		      const struct iso_completion *completion);
const struct iso_observed_region *region_observed(const struct iso_engine *e,
						  const struct region *region,
						  const struct iso_snapshot *s);
bool region_works(const struct region *region, const struct iso_observed_region *seen);
void region_undone(struct iso_engine *e, const struct operation *operation,
		   const struct iso_completion *completion);
bool region_take_kernel_id(struct iso_engine *e, uint32_t r, uint32_t kernel_id);
void region_retry(struct iso_engine *e, uint32_t port, bool evict);
uint32_t region_lane(const struct iso_engine *e, uint32_t r);

/* instance.c */
bool instance_has_room(const struct iso_engine *e);
uint32_t instance_new(struct iso_engine *e, uint32_t region, uint32_t lease, uint32_t part,
		      uint64_t bytes, uint64_t align);
void instance_free(struct iso_engine *e, uint32_t i);
void instance_advance(struct iso_engine *e, uint32_t i);
void instance_take_in(struct iso_engine *e, const struct iso_snapshot *snapshot);
void instance_completed(struct iso_engine *e, const struct operation *operation,
			const struct iso_completion *completion);
void instance_undone(struct iso_engine *e, const struct operation *operation);
void instance_stranger(struct iso_engine *e, uint32_t i, int32_t pid);
bool instance_is_another(const struct instance *instance, const struct iso_observed_instance *seen);
void instance_index(const struct iso_engine *e);
uint32_t instance_indexed(const struct iso_engine *e, uint32_t region_kernel_id,
			  uint32_t kernel_id);
uint32_t instance_find(const struct iso_engine *e, uint32_t region_kernel_id, uint32_t kernel_id);

/* lease.c: the life of a lease; lease_request.c: what clients ask */
void lease_dirty(struct iso_engine *e, uint32_t l);
void lease_advance(struct iso_engine *e, uint32_t l);
void lease_fault(struct iso_engine *e, uint32_t l, uint64_t incident);
void lease_exited(struct iso_engine *e, uint32_t l, uint32_t epoch);
void lease_completed(struct iso_engine *e, const struct operation *operation,
		     const struct iso_completion *completion);
void lease_instance_gone(struct iso_engine *e, uint32_t l, uint32_t i);
void lease_free(struct iso_engine *e, uint32_t l);
uint32_t lease_new(struct iso_engine *e, const char *name);
void lease_begin_end(struct iso_engine *e, uint32_t l);
void lease_undone(struct iso_engine *e, const struct operation *operation,
		  const struct iso_completion *completion);
void lease_refuse(struct iso_engine *e, uint32_t l, const char *text);
void lease_begin_grant(struct iso_engine *e, uint32_t l);
void lease_doom_instances(struct iso_engine *e, const struct lease *lease);
bool lease_instances_busy(const struct iso_engine *e, const struct lease *lease);
void lease_operate(struct iso_engine *e, uint32_t l, uint32_t kind);
bool lease_take_apart(struct iso_engine *e, uint32_t l);
void lease_kill_again(struct iso_engine *e, uint32_t l);
void lease_restore_victim(struct iso_engine *e, uint32_t l, uint64_t incident);
void lease_acquire(struct iso_engine *e, const struct iso_acquire *acquire);
void lease_attach(struct iso_engine *e, uint64_t request, const char *name, int32_t pid);
void lease_release(struct iso_engine *e, uint64_t request, const char *name);
void lease_withdraw(struct iso_engine *e, const char *name);
void lease_restore(struct iso_engine *e, const struct iso_restore_lease *restore);

/* plan.c */
enum plan_outcome {
	PLAN_PLACED,
	PLAN_NO_CAPACITY,
	PLAN_FENCED,
	PLAN_NO_REGION,
	PLAN_ON_HOLD,
	PLAN_READING, /* as soon as the poison lists of the memdevs are read */
};
enum plan_outcome plan_lease(struct iso_engine *e, uint32_t l);
void plan_waiting(struct iso_engine *e);
void plan_join(struct iso_engine *e, uint32_t l);
void plan_leave(struct iso_engine *e, uint32_t l);
uint64_t region_free_bytes(const struct region *region);

/* inspection.c: who maps what, and what they pin */
void inspection_take_in(struct iso_engine *e, const struct iso_inspection *inspection);
void inspection_soon(struct iso_engine *e);
bool inspection_now(struct iso_engine *e);
bool inspection_of_everybody(struct iso_engine *e);
void inspection_advance(struct iso_engine *e);
void inspection_completed(struct iso_engine *e, const struct iso_completion *completion);

/* reconcile.c: what is seen against what is believed, in words */
void reconcile_ask(struct iso_engine *e, uint64_t request, bool dry_run);
void reconcile_gap(struct iso_engine *e);
bool reconcile_wants_observation(const struct iso_engine *e);
bool reconcile_begin(struct iso_engine *e);
bool reconcile_observed(struct iso_engine *e, const struct iso_snapshot *snapshot);
void reconcile_observation_ended(struct iso_engine *e, const struct iso_completion *completion);
void reconcile_inspection_ended(struct iso_engine *e, const struct iso_completion *completion);
void reconcile_advance(struct iso_engine *e);

/* rescan.c */
void rescan_advance(struct iso_engine *e);
void rescan_newcomer(struct iso_engine *e, const struct memdev *memdev);
bool rescan_under_way(const struct iso_engine *e, const struct memdev *memdev);
bool rescan_may_help(const struct iso_engine *e, const struct region *region);

/* domain.c */
void domain_update(struct iso_engine *e);

/* incident.c */
struct incident *incident_of_domain(struct iso_engine *e, uint32_t domain);
struct incident *incident_open(struct iso_engine *e, enum iso_cause cause, const char *unit,
			       uint32_t domain, uint64_t record_ns);
struct incident *incident_get(struct iso_engine *e, uint64_t id);
void incident_lease_contained(struct iso_engine *e, uint32_t l);
void incident_lease_restored(struct iso_engine *e, uint32_t l);
void incident_exit_seen(struct iso_engine *e, uint64_t id);
void incident_locate(struct iso_engine *e);
void incident_hold(struct iso_engine *e, struct incident *incident, uint32_t port);
void incident_update(struct iso_engine *e);
void incident_restore(struct iso_engine *e, const struct iso_restore_incident *restore);

/* names.c */
void copy_text(char *to, size_t room, const char *from);

#endif
