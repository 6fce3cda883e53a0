// SPDX-License-Identifier: Apache-2.0
#include "sink/handshake.h"

#include <hiredis/hiredis.h>

#include <algorithm>
#include <array>
#include <deque>
#include <functional>
#include <initializer_list>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "sink/redis_error.h"
#include "sink/resp.h"

namespace tickbridge {
namespace {

// An idle lane sends a PING each second, so the other end of a living connection was heard of within two.
constexpr int64_t kLivingIdleSeconds = 1;
constexpr int64_t kRivalPatienceNs = 3 * kNsPerSec;
constexpr int64_t kRelistNs = 100 * kNsPerMs;
constexpr std::string_view kMaxClients = "ERR max number of clients reached";
constexpr MonoNs kNever{std::numeric_limits<int64_t>::max()};

std::string_view View(const redisReply& reply) { return {reply.str, reply.len}; }
bool IsError(const redisReply& reply) { return reply.type == REDIS_REPLY_ERROR; }
// By an ACL, or since the command was renamed or taken away.
bool IsForbidden(const redisReply& reply) {
  const std::string_view text = View(reply);
  return IsError(reply) && (RedisErrorCode(text) == "NOPERM" || text.starts_with("ERR unknown command") ||
                            absl::StartsWithIgnoreCase(text, "ERR unknown subcommand"));
}

absl::Status ToStatus(const redisReply& reply) {
  if (!IsError(reply)) return absl::OkStatus();
  const std::string_view text = ShownError(View(reply));
  if (ClassifyRedisError(text) == RedisErrorKind::kAuth) return absl::PermissionDeniedError(text);
  return absl::UnavailableError(text);
}

// A line `name:value` of INFO.
std::string InfoField(std::string_view info, std::string_view name) {
  for (const std::string_view line : absl::StrSplit(info, "\r\n")) {
    if (line.size() > name.size() && line.starts_with(name) && line[name.size()] == ':') {
      return std::string(line.substr(name.size() + 1));
    }
  }
  return "";
}

bool IsAtLeast(std::string_view version, int major_least, int minor_least) {
  const std::vector<std::string_view> parts = absl::StrSplit(version, '.');
  int major = 0;
  int minor = 0;
  if (parts.size() < 2 || !absl::SimpleAtoi(parts[0], &major) || !absl::SimpleAtoi(parts[1], &minor)) return false;
  return major > major_least || (major == major_least && minor >= minor_least);
}

// A connection in CLIENT LIST: `id=3 addr=… laddr=… fd=8 name=… age=1 idle=0 …`. An address that is a path may hold
// spaces, so it ends where the next field begins.
struct ListedClient {
  std::string_view id;
  std::string_view address;
  std::string_view name;
  int64_t idle_s = 0;
};

std::string_view Between(std::string_view line, std::string_view begin, std::string_view end) {
  const size_t at = line.find(begin);
  if (at == std::string_view::npos) return {};
  line.remove_prefix(at + begin.size());
  return line.substr(0, line.find(end));
}

ListedClient ParseListed(std::string_view line) {
  ListedClient client;
  client.id = Between(line, "id=", " ");
  client.address = Between(line, " addr=", line.find(" laddr=") != std::string_view::npos ? " laddr=" : " fd=");
  client.name = Between(line, " name=", " ");
  if (!absl::SimpleAtoi(Between(line, " idle=", " "), &client.idle_s)) client.idle_s = 0;
  return client;
}

}  // namespace

struct Handshake::Impl {
  using OnReply = std::function<absl::Status(const redisReply&)>;

  Impl(Options o, Transport* t, const Clock* c)
      : options(std::move(o)), transport(t), clock(c), reader(redisReaderCreate()) {}
  ~Impl() { redisReaderFree(reader); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void Call(std::initializer_list<std::string_view> words, OnReply on_reply) {
    resp::AppendCommand(&unsent, words);
    awaited.push_back(std::move(on_reply));
  }

  void Greet();
  void SetVersion(std::string_view info);
  void Name();
  void List();
  absl::Status OnList(const redisReply& reply);
  bool IsOwn(const ListedClient& client) const {
    int64_t id = 0;
    return absl::SimpleAtoi(client.id, &id) && options.own->Has(id);
  }
  // What a predecessor sent is given time to arrive, from when we stopped using it.
  void BeUnfenced() {
    server.fenced = false;
    if (fence_began.value != 0) wait_until = fence_began + options.fence_wait_ns;
  }
  // False: the peer is gone.
  bool Flush();
  bool Read();

  const Options options;
  Transport* const transport;
  const Clock* const clock;
  redisReader* const reader;
  std::string unsent;
  std::deque<OnReply> awaited;
  ServerInfo server;
  MonoNs fence_began;
  MonoNs list_at = kNever;
  MonoNs wait_until;
};

void Handshake::Impl::Greet() {
  if (!options.password.empty() || !options.user.empty()) {
    const OnReply on_auth = [](const redisReply& reply) -> absl::Status {
      if (!IsError(reply)) return absl::OkStatus();
      if (View(reply) == kMaxClients) return absl::UnavailableError(View(reply));  // said before it reads anything
      const std::string why = CredentialsProblem(View(reply));
      return ClassifyRedisError(View(reply)) == RedisErrorKind::kTransient ? absl::UnavailableError(why)
                                                                           : absl::PermissionDeniedError(why);
    };
    if (options.user.empty()) {
      Call({"AUTH", options.password}, on_auth);
    } else {
      Call({"AUTH", options.user, options.password}, on_auth);
    }
  }
  if (options.db != 0) Call({"SELECT", absl::StrCat(options.db)}, ToStatus);
  // Who may not ask takes every connection to be to another server.
  Call({"INFO", "server"}, [this](const redisReply& reply) {
    if (IsForbidden(reply)) return absl::OkStatus();
    if (absl::Status status = ToStatus(reply); !status.ok()) return status;
    server.run_id = InfoField(View(reply), "run_id");
    SetVersion(View(reply));
    return absl::OkStatus();
  });
  Call({"CLIENT", "ID"}, [this](const redisReply& reply) {
    server.client_id = reply.type == REDIS_REPLY_INTEGER ? reply.integer : 0;
    if (IsForbidden(reply)) {
      BeUnfenced();  // who does not know itself could end itself
      return absl::OkStatus();
    }
    if (server.client_id != 0) options.own->Add(options.client_name, server.run_id, server.client_id);
    return ToStatus(reply);
  });
  Call({"TIME"}, [this, asked = clock->Now()](const redisReply& reply) {
    int64_t seconds = 0;
    int64_t us = 0;
    if (reply.type == REDIS_REPLY_ARRAY && reply.elements == 2 && absl::SimpleAtoi(View(*reply.element[0]), &seconds) &&
        absl::SimpleAtoi(View(*reply.element[1]), &us)) {
      server.clock.OnTime(asked, clock->Now(), seconds * 1'000'000 + us);
    }
    return IsForbidden(reply) ? absl::OkStatus() : ToStatus(reply);
  });
}

// What a server has, its version tells; what one that does not tell has, is not used.
void Handshake::Impl::SetVersion(std::string_view info) {
  // Valkey calls itself Redis 7.2 as well, for clients that know no other.
  const std::string valkey = InfoField(info, "valkey_version");
  const std::string version = valkey.empty() ? InfoField(info, "redis_version") : valkey;
  if (version.empty()) return;
  server.version = absl::StrCat(valkey.empty() ? "redis " : "valkey ", version);
  server.pxat = IsAtLeast(version, 6, 2);
  server.msetex = valkey.empty() ? IsAtLeast(version, 8, 4) : IsAtLeast(version, 9, 1);
}

void Handshake::Impl::Name() {
  // Who may not use CLIENT can be told apart from nobody, and ends nobody.
  Call({"CLIENT", "SETNAME", options.client_name}, [this](const redisReply& reply) {
    if (!IsForbidden(reply)) return ToStatus(reply);
    BeUnfenced();
    return absl::OkStatus();
  });
}

void Handshake::Impl::List() {
  list_at = kNever;
  if (!server.fenced) return BeUnfenced();
  Call({"CLIENT", "LIST"}, [this](const redisReply& reply) { return OnList(reply); });
}

absl::Status Handshake::Impl::OnList(const redisReply& reply) {
  if (IsForbidden(reply)) {
    BeUnfenced();
    return absl::OkStatus();
  }
  if (absl::Status status = ToStatus(reply); !status.ok()) return status;
  std::vector<ListedClient> others;
  const std::string own_id = absl::StrCat(server.client_id);
  const std::string_view instance = std::string_view(options.client_name).substr(0, options.client_name.rfind(':') + 1);
  for (const std::string_view line : absl::StrSplit(View(reply), '\n', absl::SkipEmpty())) {
    const ListedClient client = ParseListed(line);
    if (client.id == own_id) continue;
    const bool of_instance =
        client.name.starts_with(instance) && client.name.find(':', instance.size()) == client.name.npos;
    if (client.name == options.client_name || (of_instance && !IsOwn(client))) others.push_back(client);
  }
  if (options.refuse_rival) {
    for (const ListedClient& other : others) {
      if (other.idle_s > kLivingIdleSeconds || IsOwn(other)) continue;
      // What died a moment ago looks like it lives; what lives still does in a while.
      const MonoNs now = clock->Now();
      if (now - fence_began > kRivalPatienceNs) {
        return absl::AlreadyExistsError(
            absl::StrCat("another living bridge of this instance writes to this Redis, from ", other.address,
                         "; give one of them another bridge.instance"));
      }
      list_at = now + kRelistNs;
      return absl::OkStatus();
    }
  }
  for (const ListedClient& other : others) {
    // An id alone may have passed to a stranger.
    Call({"CLIENT", "KILL", "ID", other.id, "ADDR", other.address}, [this](const redisReply& killed) {
      if (!IsForbidden(killed)) return ToStatus(killed);
      BeUnfenced();
      return absl::OkStatus();
    });
  }
  return absl::OkStatus();
}

bool Handshake::Impl::Flush() {
  while (!unsent.empty()) {
    size_t bytes = 0;
    const Transport::Result result = transport->Write(unsent, &bytes);
    if (result == Transport::Result::kClosed) return false;
    if (result == Transport::Result::kWouldBlock) break;
    unsent.erase(0, bytes);
  }
  return true;
}

bool Handshake::Impl::Read() {
  std::array<char, 16384> buffer;
  while (true) {
    size_t bytes = 0;
    const Transport::Result result = transport->Read(buffer, &bytes);
    if (result == Transport::Result::kClosed) return false;
    if (result == Transport::Result::kWouldBlock) return true;
    redisReaderFeed(reader, buffer.data(), bytes);  // an error of it shows when a reply is asked for
  }
}

Handshake::Handshake(Options options, Transport* transport, const Clock* clock)
    : impl_(std::make_unique<Impl>(std::move(options), transport, clock)) {}
Handshake::~Handshake() = default;

void Handshake::Greet() { impl_->Greet(); }

void Handshake::Fence() {
  impl_->fence_began = impl_->clock->Now();
  impl_->Name();
  impl_->List();
}

std::optional<absl::Status> Handshake::Step() {
  Impl& self = *impl_;
  if (self.list_at <= self.clock->Now()) self.List();
  // The answers of before the end are read even if the peer is gone: they say why.
  bool open = self.Flush();
  open = self.Read() && open;
  while (true) {
    void* parsed = nullptr;
    if (redisReaderGetReply(self.reader, &parsed) != REDIS_OK) {
      return absl::UnavailableError("what came is not the Redis protocol");
    }
    if (parsed == nullptr) break;
    const std::unique_ptr<redisReply, void (*)(void*)> reply(static_cast<redisReply*>(parsed), &freeReplyObject);
    if (self.awaited.empty()) {
      // A server that has no place for us says so before it is asked.
      return IsError(*reply) ? absl::UnavailableError(View(*reply))
                             : absl::UnavailableError("the server sent an answer to nothing");
    }
    const Impl::OnReply on_reply = std::move(self.awaited.front());
    self.awaited.pop_front();
    if (absl::Status status = on_reply(*reply); !status.ok()) return status;
  }
  if (!open) {
    absl::Status why = self.transport->error();
    return why.ok() ? absl::UnavailableError("the server closed the connection") : why;
  }
  if (!self.awaited.empty() || self.list_at != kNever || self.clock->Now() < self.wait_until) {
    // What was called for meanwhile goes out without waiting for the next step.
    self.Flush();
    return std::nullopt;
  }
  return absl::OkStatus();
}

bool Handshake::wants_write() const { return !impl_->unsent.empty(); }

MonoNs Handshake::wake() const {
  if (impl_->list_at != kNever) return impl_->list_at;
  return impl_->awaited.empty() ? impl_->wait_until : kNever;
}

const ServerInfo& Handshake::server() const { return impl_->server; }

}  // namespace tickbridge
