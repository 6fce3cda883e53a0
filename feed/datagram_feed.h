// SPDX-License-Identifier: Apache-2.0
// Datagrams from one socket through a decoder.
//
// A datagram is whole or it is nothing: one that was cut is a `truncated` record, and none of it is decoded.
// The socket is one source, from its first datagram on, alive while it was heard of within the liveness time-out.
// Counters: `feed.<name>.kernel_drops`, `feed.<name>.datagrams`, and the gauge `feed.<name>.open`.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "feed/datagram_socket.h"
#include "feed/decoder.h"
#include "feed/feed.h"

namespace tickbridge {

class DatagramFeed final : public Feed {
 public:
  struct Options {
    std::string name = "datagram";
    DatagramSocket::Options socket{};
    int64_t liveness_timeout_ns = 2 * kNsPerSec;
  };

  // Binds and joins. `ingest` outlives the feed. `decoder` null: NDJSON, one or more lines a datagram.
  static absl::StatusOr<std::unique_ptr<DatagramFeed>> Open(Options options, Ingest* ingest, CountersFile* counters,
                                                            std::unique_ptr<DatagramDecoder> decoder = nullptr);
  ~DatagramFeed() override;

  int DoWork() noexcept override;
  void OnClose() noexcept override;

  uint16_t port() const noexcept { return port_; }

 private:
  DatagramFeed(Options options, Ingest* ingest, CountersFile* counters, std::unique_ptr<DatagramDecoder> decoder,
               std::unique_ptr<DatagramSocket> socket);

  const Options options_;
  Ingest* const ingest_;
  const std::unique_ptr<DatagramDecoder> decoder_;
  std::unique_ptr<DatagramSocket> socket_;
  const uint16_t port_;
  Counter* const datagrams_;
  Counter* const kernel_drops_;
  SourceId source_ = kNoSource;
};

}  // namespace tickbridge
