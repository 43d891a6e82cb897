/*
 * storeengine.c
 *		Load the library: settings, shared memory, the launcher.
 */
#include "postgres.h"

#include <limits.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/guc.h"

#include "direct.h"
#include "entries.h"
#include "registry.h"
#include "scan.h"
#include "sequencer.h"
#include "worker.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

static shmem_request_hook_type previous_shmem_request_hook = NULL;
static shmem_startup_hook_type previous_shmem_startup_hook = NULL;

/* Ask for shared memory. */
static void
request_memory(void)
{
	if (previous_shmem_request_hook != NULL)
		previous_shmem_request_hook();
	se_registry_request_memory();
}

/* Set shared memory up. */
static void
init_memory(void)
{
	if (previous_shmem_startup_hook != NULL)
		previous_shmem_startup_hook();
	se_registry_init_memory();
}

static const struct config_enum_entry access_options[] = {
	{"auto", SE_ACCESS_AUTO, false},
	{"direct", SE_ACCESS_DIRECT, false},
	{"sql", SE_ACCESS_SQL, false},
	{NULL, 0, false}
};

/* Define the settings that any session has. */
static void
define_settings(void)
{
	DefineCustomIntVariable("storeengine.max_value_size",
							"Sets the maximum size of a value.",
							NULL,
							&se_max_value_size,
							10 * 1024 * 1024, 0, 512 * 1024 * 1024,
							PGC_SUSET, GUC_UNIT_BYTE, NULL, NULL, NULL);
	DefineCustomIntVariable("storeengine.max_batch_size",
							"Sets the maximum size of a batch.",
							"Each entry counts its key, its value and 16 bytes.",
							&se_max_batch_size,
							256 * 1024 * 1024, 0, 512 * 1024 * 1024,
							PGC_SUSET, GUC_UNIT_BYTE, NULL, NULL, NULL);
	DefineCustomIntVariable("storeengine.notify_interval",
							"Sets the shortest time between two notifications of listeners.",
							NULL,
							&se_notify_interval,
							100, 0, 1000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomEnumVariable("storeengine.debug_access",
							 "Sets the way to the tables: direct where that means the same as SQL, or always one of the two.",
							 "For tests of storeengine itself.",
							 &se_debug_access,
							 SE_ACCESS_AUTO, access_options,
							 PGC_SUSET, GUC_NOT_IN_SAMPLE | GUC_NO_SHOW_ALL,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("storeengine.debug_allocation_delay",
							"Sleeps this long between taking a sequence number and writing the batch.",
							"For tests of storeengine itself.",
							&se_debug_allocation_delay,
							0, 0, INT_MAX,
							PGC_SUSET, GUC_UNIT_MS | GUC_NOT_IN_SAMPLE | GUC_NO_SHOW_ALL,
							NULL, NULL, NULL);
}

/*
 * Called when the library is loaded.
 */
void
_PG_init(void)
{
	define_settings();
	se_scan_node_init();

	if (process_shared_preload_libraries_in_progress)
	{
		DefineCustomIntVariable("storeengine.max_databases",
								"Sets how many databases of the server can have a store that is written to.",
								NULL,
								&se_max_databases,
								64, 1, 65536,
								PGC_POSTMASTER, 0, NULL, NULL, NULL);
		previous_shmem_request_hook = shmem_request_hook;
		shmem_request_hook = request_memory;
		previous_shmem_startup_hook = shmem_startup_hook;
		shmem_startup_hook = init_memory;
		se_launcher_register();
	}
	MarkGUCPrefixReserved("storeengine");
}
