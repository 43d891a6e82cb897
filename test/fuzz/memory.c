/*
 * memory.c
 *		The allocator of the code under test, so that AddressSanitizer sees it.
 *
 * A memory context of the server hands out parts of large blocks, between
 * which nobody notices when one is overrun, or used after its end.  Linked
 * before the server's, the functions below allocate each chunk by itself, and
 * free it when the context it belongs to is reset.  Chunks that the server's
 * own functions return are the server's, and are passed on.
 */
#include "postgres.h"

#include <sanitizer/asan_interface.h>

#include "utils/memutils.h"

#define LIVE UINT64CONST(0x66757a7a6c697665)
#define FREED UINT64CONST(0x66757a7a66726565)

/* What is before a chunk. */
typedef struct Chunk
{
	MemoryContextCallback callback;
	MemoryContext context;
	size_t		size;
	uint64		state;			/* right before the bytes handed out */
} Chunk;

#define CHUNK_HEADER MAXALIGN(sizeof(Chunk))
StaticAssertDecl(sizeof(Chunk) % 16 == 0, "chunks must be aligned as malloc's are");

/* Free a chunk: the callback of its context. */
static void
free_chunk(void *arg)
{
	Chunk	   *chunk = arg;

	ASAN_UNPOISON_MEMORY_REGION((char *) chunk + CHUNK_HEADER, chunk->size);
	free(chunk);
}

/* Allocate a chunk in a context. */
static void *
allocate(MemoryContext context, size_t size)
{
	Chunk	   *chunk = malloc(CHUNK_HEADER + size);

	if (chunk == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	chunk->callback.func = free_chunk;
	chunk->callback.arg = chunk;
	chunk->context = context;
	chunk->size = size;
	chunk->state = LIVE;
	MemoryContextRegisterResetCallback(context, &chunk->callback);
	return (char *) chunk + CHUNK_HEADER;
}

/* The same with the server's limit. */
static void *
allocate_checked(MemoryContext context, size_t size)
{
	if (!AllocSizeIsValid(size))
		elog(ERROR, "invalid memory alloc request size %zu", size);
	return allocate(context, size);
}

/* Copy a chunk of ours into a larger or smaller one. */
static void *
reallocate(void *pointer, size_t size)
{
	Chunk	   *chunk = (Chunk *) ((char *) pointer - CHUNK_HEADER);
	void	   *result = allocate(chunk->context, size);

	Assert(chunk->state == LIVE);
	memcpy(result, pointer, Min(size, chunk->size));
	pfree(pointer);
	return result;
}

/* Allocate memory as the function of the same name in the server does. */
void *
palloc(Size size)
{
	return allocate_checked(CurrentMemoryContext, size);
}

/* The same. */
void *
palloc0(Size size)
{
	return memset(palloc(size), 0, size);
}

/* The same. */
void *
MemoryContextAllocHuge(MemoryContext context, Size size)
{
	if (!AllocHugeSizeIsValid(size))
		elog(ERROR, "invalid memory alloc request size %zu", size);
	return allocate(context, size);
}

/* The same. */
void *
MemoryContextAllocExtended(MemoryContext context, Size size, int flags)
{
	return allocate(context, size);
}

/* The same. */
void *
repalloc(void *pointer, Size size)
{
	if (!AllocSizeIsValid(size))
		elog(ERROR, "invalid memory alloc request size %zu", size);
	return reallocate(pointer, size);
}

/* The same. */
void *
repalloc_huge(void *pointer, Size size)
{
	if (!AllocHugeSizeIsValid(size))
		elog(ERROR, "invalid memory alloc request size %zu", size);
	return reallocate(pointer, size);
}

/* The same. */
char *
pnstrdup(const char *in, Size len)
{
	char	   *out;

	len = strnlen(in, len);
	out = memcpy(palloc(len + 1), in, len);
	out[len] = '\0';
	return out;
}

/* The same. */
char *
pstrdup(const char *in)
{
	return pnstrdup(in, strlen(in));
}

/*
 * Forbid to use a chunk of ours from now on; its context frees it.  Nobody
 * needs a chunk of the server's to be freed at once.
 */
void
pfree(void *pointer)
{
	Chunk	   *chunk = (Chunk *) ((char *) pointer - CHUNK_HEADER);
	uint64	   *state = (uint64 *) pointer - 1;

	Assert(*state != FREED);
	if (*state != LIVE)
		return;
	*state = FREED;
	ASAN_POISON_MEMORY_REGION(pointer, chunk->size);
}
