/*
 * etcd.cc - load on etcd
 *
 *     ./etcd --target HOST:PORT [--way txn|split|serializable] ...
 *
 * A put is a Put, or a Txn of puts if there are several pairs.  It is durable when
 * it returns, and etcd keeps the revisions of all keys, in order, for its Watch:
 * they are its log, so none is written besides.  Reads are Range calls; many keys
 * are a Txn of them.  Who follows has a Watch of all keys.  The ways:
 *
 *   txn           one Txn for a batch, however large, so that it is atomic.  The
 *                 server must allow it: it has to be started with --max-txn-ops
 *                 and --max-request-bytes (peers.py does); by default it takes 128
 *                 operations.
 *   split         a batch is several Txns of at most 128, one after another, as a
 *                 server with default settings wants it: a batch is not atomic.
 *   serializable  as txn, but reads are answered without asking for a quorum.  With
 *                 one member that takes nothing from what a reader may rely on.
 *
 * Each client has a connection of its own, as separate programs would.
 */
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include <google/protobuf/arena.h>
#include <grpcpp/grpcpp.h>

#include "etcd.grpc.pb.h"

extern "C"
{
#include "load.h"
}

using etcdserverpb::KV;
using etcdserverpb::PutRequest;
using etcdserverpb::PutResponse;
using etcdserverpb::RangeRequest;
using etcdserverpb::RangeResponse;
using etcdserverpb::TxnRequest;
using etcdserverpb::TxnResponse;
using etcdserverpb::Watch;
using etcdserverpb::WatchRequest;
using etcdserverpb::WatchResponse;

static const int DEFAULT_MAX_TXN_OPS = 128;

static int	max_txn_ops = 1000000;
static bool serializable = false;

struct Session
{
	std::unique_ptr<KV::Stub> stub;
	uint64_t	span = 0;		/* how far apart a range's first and last key were */
};

/* A subscriber: a stream on which the server pushes what is put. */
struct Follower
{
	std::unique_ptr<Watch::Stub> stub;
	grpc::ClientContext context;
	std::unique_ptr<grpc::ClientReaderWriter<WatchRequest, WatchResponse>> stream;
	std::atomic<bool> woken{false};
};

[[noreturn]] static void
fail(const char *what, const std::string &detail)
{
	fprintf(stderr, "etcd: %s%s\n", what, detail.c_str());
	exit(1);
}

static void
check(const grpc::Status &status)
{
	if (!status.ok())
		fail("a call failed: ", status.error_message());
}

static void
prepare(const Options *options)
{
	if (options->target == nullptr)
		fail("--target HOST:PORT is missing", "");
	if (options->way == nullptr || strcmp(options->way, "txn") == 0)
		return;
	if (strcmp(options->way, "split") == 0)
		max_txn_ops = DEFAULT_MAX_TXN_OPS;
	else if (strcmp(options->way, "serializable") == 0)
		serializable = true;
	else
		fail("there is no way ", options->way);
}

static std::shared_ptr<grpc::Channel>
open_channel(const Options *options)
{
	grpc::ChannelArguments arguments;

	/* Or else all channels to one address would share a connection. */
	arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
	arguments.SetMaxReceiveMessageSize(-1);
	arguments.SetMaxSendMessageSize(-1);

	auto		channel = grpc::CreateCustomChannel(options->target, grpc::InsecureChannelCredentials(), arguments);

	if (!channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(10)))
		fail("could not connect to ", options->target);
	return channel;
}

static void *
open_session(const Options *options, int)
{
	auto		session = new Session;

	session->stub = KV::NewStub(open_channel(options));
	return session;
}

static void
close_session(void *opaque)
{
	delete static_cast<Session *>(opaque);
}

static void
set_pair(PutRequest *put, const Pair &pair)
{
	put->set_key(pair.key, pair.key_len);
	put->set_value(pair.value, pair.value_len);
}

static void
set_key(RangeRequest *range, const Pair &pair)
{
	range->set_key(pair.key, pair.key_len);
	range->set_serializable(serializable);
}

static void
call_txn(Session *session, const TxnRequest &request, TxnResponse *response)
{
	grpc::ClientContext context;

	check(session->stub->Txn(&context, request, response));
	if (!response->succeeded() || response->responses_size() != request.success_size())
		fail("a Txn has not done what it should", "");
}

static void
put_one(Session *session, const Pair &pair)
{
	grpc::ClientContext context;
	PutRequest	request;
	PutResponse response;

	set_pair(&request, pair);
	check(session->stub->Put(&context, request, &response));
}

static void
put(void *opaque, const Pair *pairs, int count)
{
	auto		session = static_cast<Session *>(opaque);

	if (count == 1)
	{
		put_one(session, pairs[0]);
		return;
	}
	for (int i = 0; i < count;)
	{
		google::protobuf::Arena arena;
		auto		request = google::protobuf::Arena::CreateMessage<TxnRequest>(&arena);
		auto		response = google::protobuf::Arena::CreateMessage<TxnResponse>(&arena);

		for (; i < count && request->success_size() < max_txn_ops; i++)
			set_pair(request->add_success()->mutable_request_put(), pairs[i]);
		call_txn(session, *request, response);
	}
}

static bool
get(void *opaque, const Pair *key)
{
	auto		session = static_cast<Session *>(opaque);
	grpc::ClientContext context;
	RangeRequest request;
	RangeResponse response;

	set_key(&request, *key);
	check(session->stub->Range(&context, request, &response));
	return response.kvs_size() == 1;
}

static int
get_many(void *opaque, const Pair *keys, int count)
{
	auto		session = static_cast<Session *>(opaque);
	int			found = 0;

	for (int i = 0; i < count;)
	{
		google::protobuf::Arena arena;
		auto		request = google::protobuf::Arena::CreateMessage<TxnRequest>(&arena);
		auto		response = google::protobuf::Arena::CreateMessage<TxnResponse>(&arena);

		for (; i < count && request->success_size() < max_txn_ops; i++)
			set_key(request->add_success()->mutable_request_range(), keys[i]);
		call_txn(session, *request, response);
		for (const auto &answer : response->responses())
			found += answer.response_range().kvs_size();
	}
	return found;
}

/* The first eight bytes of a key as a number, and back. */
static uint64_t
decode_prefix(const void *key, size_t len)
{
	uint64_t	number = 0;

	for (size_t i = 0; i < 8; i++)
		number = number << 8 | (i < len ? static_cast<const unsigned char *>(key)[i] : 0);
	return number;
}

static std::string
encode_prefix(uint64_t number)
{
	std::string bytes(8, '\0');

	for (size_t i = 0; i < 8; i++)
		bytes[i] = static_cast<char>(number >> (56 - 8 * i));
	return bytes;
}

/* Where a range that begins with a number may end, as far as experience tells. */
static std::string
guess_end(const Session *session, uint64_t first)
{
	uint64_t	end = first + session->span + session->span / 4;

	/* A zero byte means that there is no end. */
	return session->span == 0 || end < first ? std::string(1, '\0') : encode_prefix(end);
}

/*
 * Read from a key on.  Whatever the limit, etcd 3.4 looks at all keys of a range,
 * to the last one if it has no end.  As who knows the data would do, give one that
 * is only a little too far; should it not be far enough, ask again without one.
 */
static int
range(void *opaque, const Pair *first, int limit)
{
	auto		session = static_cast<Session *>(opaque);
	uint64_t	begin = decode_prefix(first->key, first->key_len);
	RangeRequest request;
	RangeResponse response;

	set_key(&request, *first);
	request.set_limit(limit);
	request.set_range_end(guess_end(session, begin));
	for (;;)
	{
		grpc::ClientContext context;

		check(session->stub->Range(&context, request, &response));
		if (response.kvs_size() == limit || request.range_end().size() == 1)
			break;
		request.set_range_end(std::string(1, '\0'));
	}
	if (response.kvs_size() == limit)
	{
		const std::string &last = response.kvs(limit - 1).key();

		session->span = std::max(session->span, decode_prefix(last.data(), last.size()) - begin);
	}
	return response.kvs_size();
}

/* Watch all keys. */
static void *
open_follower(const Options *options)
{
	auto		follower = new Follower;
	WatchRequest request;
	WatchResponse response;

	follower->stub = Watch::NewStub(open_channel(options));
	follower->stream = follower->stub->Watch(&follower->context);
	request.mutable_create_request()->set_key(std::string(1, '\0'));
	request.mutable_create_request()->set_range_end(std::string(1, '\0'));
	if (!follower->stream->Write(request) || !follower->stream->Read(&response) || !response.created())
		fail("could not watch", "");
	return follower;
}

static void
follow(void *opaque, Hear hear)
{
	auto		follower = static_cast<Follower *>(opaque);
	WatchResponse response;

	if (!follower->stream->Read(&response))
	{
		if (follower->woken)
			return;
		check(follower->stream->Finish());
		fail("a watch has ended", "");
	}
	if (response.canceled())
		fail("a watch was cancelled", "");
	for (const auto &event : response.events())
		hear(event.kv().value().data(), event.kv().value().size());
}

static void
wake_follower(void *opaque)
{
	auto		follower = static_cast<Follower *>(opaque);

	follower->woken = true;
	follower->context.TryCancel();
}

static void
close_follower(void *opaque)
{
	delete static_cast<Follower *>(opaque);
}

int
main(int argc, char **argv)
{
	static Target target;

	target.name = "etcd";
	target.usage = "--target HOST:PORT [--way txn|split|serializable]";
	target.prepare = prepare;
	target.connect = open_session;
	target.put = put;
	target.get = get;
	target.get_many = get_many;
	target.range = range;
	target.disconnect = close_session;
	target.open_follower = open_follower;
	target.follow = follow;
	target.wake_follower = wake_follower;
	target.close_follower = close_follower;
	return load_main(argc, argv, &target);
}
