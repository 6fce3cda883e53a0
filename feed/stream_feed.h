// SPDX-License-Identifier: Apache-2.0
// Listens on a Unix stream socket or a TCP port for feed handlers that send lines.
//
// Each connection is a source of its own: alive while it is open and was heard of within the liveness time-out. A
// connection that closes leaves its last line, if it has no newline, decoded; then its source is closed.
// Fairness: a duty cycle reads each ready connection once, a bounded number of bytes, so that a fast one does not hold
// up a slow one.
// Limits: `connections_max` at a time. One more is accepted and closed at once, counted (`feed.<name>.refused`), and
// logged at most once a second.
// Memory: nothing for a connection that sent nothing; else the buffer of its LineSplitter.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/file.h"
#include "feed/decoder.h"
#include "feed/feed.h"
#include "feed/line_splitter.h"
#include "feed/socket_address.h"

namespace tickbridge {

class StreamFeed final : public Feed {
 public:
  struct Options {
    std::string name = "stream";
    // Either of the two.
    std::string unix_path{};
    std::string tcp_address{};  // "127.0.0.1:5000"; port 0: any free one, see port()
    unsigned unix_mode = 0660;
    int64_t liveness_timeout_ns = 2 * kNsPerSec;
    uint32_t connections_max = limits::kConnectionsPerFeed;
    size_t read_bytes_max = size_t{32} << 10;  // of one connection in one duty cycle
    LineSplitter::Options splitter{};
  };

  // Binds and listens. `ingest` outlives the feed. `decoder` null: NDJSON.
  static absl::StatusOr<std::unique_ptr<StreamFeed>> Open(Options options, Ingest* ingest, CountersFile* counters,
                                                          std::unique_ptr<LineDecoder> decoder = nullptr);
  ~StreamFeed() override;

  int DoWork() noexcept override;
  // Closes everything, and removes the socket file.
  void OnClose() noexcept override;

  // The TCP port that it listens on; 0 for a Unix socket.
  uint16_t port() const noexcept { return port_; }

 private:
  struct Connection {
    Connection(OwnedFd f, const LineSplitter::Options& options) : fd(std::move(f)), splitter(options) {}
    OwnedFd fd;
    LineSplitter splitter;
    SourceId source = kNoSource;
    size_t index = 0;  // in connections_
  };

  StreamFeed(Options options, Ingest* ingest, CountersFile* counters, std::unique_ptr<LineDecoder> decoder);
  absl::Status Listen();

  int Accept(MonoNs now) noexcept;
  void Refuse(MonoNs now, std::string_view why) noexcept;
  int Read(Connection* connection) noexcept;
  int DecodeLine(const LineSplitter::Line& line) noexcept;
  void Close(Connection* connection) noexcept;

  const Options options_;
  Ingest* const ingest_;
  const std::unique_ptr<LineDecoder> decoder_;
  Counter* const refused_;
  OwnedFd listener_;
  OwnedFd epoll_;
  SocketFile socket_file_;
  uint16_t port_ = 0;
  std::vector<std::unique_ptr<Connection>> connections_;
  MonoNs refusal_logged_;
};

}  // namespace tickbridge
