// SPDX-License-Identifier: Apache-2.0
#include "feed/stream_feed.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/log.h"
#include "feed/ndjson_decoder.h"

namespace tickbridge {
namespace {

constexpr int kBacklog = 128;
constexpr size_t kEventsPerCycle = 64;
constexpr int kAcceptsPerCycle = 16;

// A peer whose host vanished sends nothing, not even an end: the kernel asks after it.
void SetKeepAlive(int fd) {
  const int on = 1;
  const int idle_s = 10;
  const int interval_s = 5;
  const int probes = 3;
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

bool Watch(int epoll_fd, int fd, void* what) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = what;
  return ::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<StreamFeed>> StreamFeed::Open(Options options, Ingest* ingest, CountersFile* counters,
                                                             std::unique_ptr<LineDecoder> decoder) {
  if (options.unix_path.empty() == options.tcp_address.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("feed.", options.name, ": give a path or an address, one of the two"));
  }
  if (decoder == nullptr) decoder = std::make_unique<NdjsonDecoder>(ingest);
  std::unique_ptr<StreamFeed> feed(new StreamFeed(std::move(options), ingest, counters, std::move(decoder)));
  if (const absl::Status status = feed->Listen(); !status.ok()) {
    return absl::Status(status.code(), absl::StrCat(feed->name(), ": ", status.message()));
  }
  return feed;
}

StreamFeed::StreamFeed(Options options, Ingest* ingest, CountersFile* counters, std::unique_ptr<LineDecoder> decoder)
    : Feed(options.name, options.liveness_timeout_ns,
           counters->AddGauge(absl::StrCat("feed.", options.name, ".connections"))),
      options_(std::move(options)),
      ingest_(ingest),
      decoder_(std::move(decoder)),
      refused_(counters->AddCounter(absl::StrCat("feed.", options_.name, ".refused"))) {
  connections_.reserve(options_.connections_max);
}

StreamFeed::~StreamFeed() { StreamFeed::OnClose(); }

absl::Status StreamFeed::Listen() {
  const auto failed = [](std::string_view what) { return absl::ErrnoToStatus(errno, what); };
  epoll_ = OwnedFd(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.valid()) return failed("epoll_create1");
  if (!options_.unix_path.empty()) {
    listener_ = OwnedFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!listener_.valid()) return failed("cannot make a Unix socket");
    const absl::Status bound = BindUnix(listener_.get(), SOCK_STREAM, options_.unix_path, options_.unix_mode);
    if (!bound.ok()) return bound;
    socket_file_.Own(options_.unix_path);
  } else {
    const absl::StatusOr<SocketAddress> address = ParseInetAddress(options_.tcp_address);
    if (!address.ok()) return address.status();
    listener_ = OwnedFd(::socket(address->family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!listener_.valid()) return failed("cannot make a TCP socket");
    const int on = 1;
    ::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (::bind(listener_.get(), address->get(), address->bytes) != 0) {
      return failed(absl::StrCat("cannot bind ", options_.tcp_address));
    }
    port_ = LocalAddress(listener_.get()).port();
  }
  if (::listen(listener_.get(), kBacklog) != 0) return failed("listen");
  if (!Watch(epoll_.get(), listener_.get(), nullptr)) return failed("epoll_ctl");
  return absl::OkStatus();
}

int StreamFeed::DoWork() noexcept {
  if (!listener_.valid()) return 0;
  int work = 0;
  std::array<epoll_event, kEventsPerCycle> events;
  const int ready = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
  const MonoNs now = ingest_->core().clock->Now();
  for (int i = 0; i < ready; ++i) {
    void* const what = events[static_cast<size_t>(i)].data.ptr;
    work += what == nullptr ? Accept(now) : Read(static_cast<Connection*>(what));
  }
  ingest_->Maintain(now);
  return work;
}

int StreamFeed::Accept(MonoNs now) noexcept {
  int work = 0;
  for (; work < kAcceptsPerCycle; ++work) {
    OwnedFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd.valid()) {
      // A connection that was gone before it was taken is none.
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno != EAGAIN) Refuse(now, std::strerror(errno));
      break;
    }
    if (connections_.size() >= options_.connections_max) {
      Refuse(now, absl::StrCat("all ", options_.connections_max, " connections are in use"));
      continue;
    }
    if (port_ != 0) SetKeepAlive(fd.get());
    auto connection = std::make_unique<Connection>(std::move(fd), options_.splitter);
    connection->source = ingest_->core().sources->Open(options_.liveness_timeout_ns, now);
    if (connection->source == kNoSource || !Watch(epoll_.get(), connection->fd.get(), connection.get())) {
      ingest_->core().sources->Close(connection->source);
      Refuse(now, "no room for another source");
      continue;
    }
    SourceOpened(now);
    connection->index = connections_.size();
    connections_.push_back(std::move(connection));
  }
  return work;
}

void StreamFeed::Refuse(MonoNs now, std::string_view why) noexcept {
  refused_->Add();
  if (refusal_logged_.value != 0 && now - refusal_logged_ < kNsPerSec) return;
  refusal_logged_ = now;
  Log(LogLevel::kWarn, absl::StrCat(name(), ": a connection was refused: ", why));
}

int StreamFeed::Read(Connection* connection) noexcept {
  std::span<char> space = connection->splitter.WritableSpace();
  space = space.first(std::min(space.size(), options_.read_bytes_max));
  const ssize_t bytes = ::recv(connection->fd.get(), space.data(), space.size(), 0);
  if (bytes < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  const MonoNs received = ingest_->core().clock->Now();
  int work = 1;
  LineSplitter::Line line;
  ingest_->BeginBatch(connection->source, received);
  SignOfLife(received);
  if (bytes <= 0) {  // its end, or it broke
    if (connection->splitter.Finish(&line)) work += DecodeLine(line);
    Close(connection);
    return work;
  }
  connection->splitter.Commit(static_cast<size_t>(bytes));
  ingest_->counts().bytes->Add(static_cast<uint64_t>(bytes));
  while (connection->splitter.Next(&line)) work += DecodeLine(line);
  return work;
}

int StreamFeed::DecodeLine(const LineSplitter::Line& line) noexcept {
  if (line.too_long) {
    ingest_->OnReject(RejectReason::kLineTooLong, line.offset, {});
  } else {
    decoder_->Decode(line.data, line.bytes, line.offset);
  }
  return 1;
}

void StreamFeed::Close(Connection* connection) noexcept {
  ingest_->core().sources->Close(connection->source);
  SourceClosed();
  const size_t index = connection->index;
  if (index + 1 != connections_.size()) {
    std::swap(connections_[index], connections_.back());
    connections_[index]->index = index;
  }
  connections_.pop_back();  // its descriptor leaves the epoll set as it closes
}

void StreamFeed::OnClose() noexcept {
  socket_file_.Remove();
  listener_.Close();
  while (!connections_.empty()) Close(connections_.back().get());
}

}  // namespace tickbridge
