/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The control API as it is on the wire: interface org.daxmgr.Manager. The
 * descriptions that `varlinkctl introspect` prints come from the tables in
 * varlink_types.c, varlink_methods.c and varlink_interface.c.
 */
#ifndef DAXMGR_VARLINK_INTERFACE_H
#define DAXMGR_VARLINK_INTERFACE_H

#include <systemd/sd-varlink-idl.h>

#define VARLINK_INTERFACE    "org.daxmgr.Manager"
#define VARLINK_METHOD(name) VARLINK_INTERFACE "." name
#define VARLINK_ERROR(name)  VARLINK_INTERFACE "." name

extern const sd_varlink_interface vl_interface_org_daxmgr_Manager;

extern const sd_varlink_symbol vl_type_HostBridge;
extern const sd_varlink_symbol vl_type_Port;
extern const sd_varlink_symbol vl_type_RootPort;
extern const sd_varlink_symbol vl_type_Memdev;
extern const sd_varlink_symbol vl_type_Region;
extern const sd_varlink_symbol vl_type_Instance;
extern const sd_varlink_symbol vl_type_Fence;
extern const sd_varlink_symbol vl_type_Part;
extern const sd_varlink_symbol vl_type_PartWish;
extern const sd_varlink_symbol vl_type_Lease;
extern const sd_varlink_symbol vl_type_Component;
extern const sd_varlink_symbol vl_type_DomainStatus;
extern const sd_varlink_symbol vl_type_Victim;
extern const sd_varlink_symbol vl_type_Note;
extern const sd_varlink_symbol vl_type_Incident;
extern const sd_varlink_symbol vl_type_Event;
extern const sd_varlink_symbol vl_type_Replayed;
extern const sd_varlink_symbol vl_type_Worker;
extern const sd_varlink_symbol vl_type_Source;
extern const sd_varlink_symbol vl_type_Verdict;
extern const sd_varlink_symbol vl_type_AffectedRegion;
extern const sd_varlink_symbol vl_type_AffectedVm;
extern const sd_varlink_symbol vl_type_Finding;
extern const sd_varlink_symbol vl_type_BadRange;
extern const sd_varlink_symbol vl_type_RuleAction;
extern const sd_varlink_symbol vl_type_Rule;
extern const sd_varlink_symbol vl_type_RuleExplanation;

extern const sd_varlink_symbol vl_method_GetStatus;
extern const sd_varlink_symbol vl_method_GetTopology;
extern const sd_varlink_symbol vl_method_ListRegions;
extern const sd_varlink_symbol vl_method_CreateRegion;
extern const sd_varlink_symbol vl_method_DestroyRegion;
extern const sd_varlink_symbol vl_method_Acquire;
extern const sd_varlink_symbol vl_method_Attach;
extern const sd_varlink_symbol vl_method_Release;
extern const sd_varlink_symbol vl_method_ListLeases;
extern const sd_varlink_symbol vl_method_WhatIf;
extern const sd_varlink_symbol vl_method_Isolate;
extern const sd_varlink_symbol vl_method_Recover;
extern const sd_varlink_symbol vl_method_Confirm;
extern const sd_varlink_symbol vl_method_ListIncidents;
extern const sd_varlink_symbol vl_method_ListEvents;
extern const sd_varlink_symbol vl_method_ReplayEvents;
extern const sd_varlink_symbol vl_method_Monitor;
extern const sd_varlink_symbol vl_method_Acknowledge;
extern const sd_varlink_symbol vl_method_GetWorkers;
extern const sd_varlink_symbol vl_method_ListSources;
extern const sd_varlink_symbol vl_method_GetHealth;
extern const sd_varlink_symbol vl_method_Reconcile;
extern const sd_varlink_symbol vl_method_Adopt;
extern const sd_varlink_symbol vl_method_ListPorts;
extern const sd_varlink_symbol vl_method_ArmPort;
extern const sd_varlink_symbol vl_method_DisarmPort;
extern const sd_varlink_symbol vl_method_ListPoison;
extern const sd_varlink_symbol vl_method_ReadPoison;
extern const sd_varlink_symbol vl_method_ListRules;
extern const sd_varlink_symbol vl_method_ReloadPolicy;
extern const sd_varlink_symbol vl_method_ExplainRecord;
extern const sd_varlink_symbol vl_method_Inject;

#endif
