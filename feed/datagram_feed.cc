// SPDX-License-Identifier: Apache-2.0
#include "feed/datagram_feed.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "feed/ndjson_decoder.h"

namespace tickbridge {

absl::StatusOr<std::unique_ptr<DatagramFeed>> DatagramFeed::Open(Options options, Ingest* ingest,
                                                                 CountersFile* counters,
                                                                 std::unique_ptr<DatagramDecoder> decoder) {
  auto socket = DatagramSocket::Open(options.socket);
  if (!socket.ok()) {
    return absl::Status(socket.status().code(), absl::StrCat("feed.", options.name, ": ", socket.status().message()));
  }
  if (decoder == nullptr) decoder = std::make_unique<LinesInDatagram>(std::make_unique<NdjsonDecoder>(ingest));
  return std::unique_ptr<DatagramFeed>(
      new DatagramFeed(std::move(options), ingest, counters, std::move(decoder), *std::move(socket)));
}

DatagramFeed::DatagramFeed(Options options, Ingest* ingest, CountersFile* counters,
                           std::unique_ptr<DatagramDecoder> decoder, std::unique_ptr<DatagramSocket> socket)
    : Feed(options.name, options.liveness_timeout_ns, counters->AddGauge(absl::StrCat("feed.", options.name, ".open"))),
      options_(std::move(options)),
      ingest_(ingest),
      decoder_(std::move(decoder)),
      socket_(std::move(socket)),
      port_(socket_->port()),
      datagrams_(counters->AddCounter(absl::StrCat("feed.", options_.name, ".datagrams"))),
      kernel_drops_(counters->AddCounter(absl::StrCat("feed.", options_.name, ".kernel_drops"))) {}

DatagramFeed::~DatagramFeed() { DatagramFeed::OnClose(); }

int DatagramFeed::DoWork() noexcept {
  if (socket_ == nullptr) return 0;
  const std::span<const DatagramSocket::Datagram> datagrams = socket_->Receive();
  const MonoNs now = ingest_->core().clock->Now();
  if (!datagrams.empty()) {
    if (source_ == kNoSource) {
      source_ = ingest_->core().sources->Open(options_.liveness_timeout_ns, now);
      SourceOpened(now);
    }
    SignOfLife(now);
    ingest_->BeginBatch(source_, now);
    for (const DatagramSocket::Datagram& datagram : datagrams) {
      const uint64_t number = datagrams_->Get();
      datagrams_->Add();
      ingest_->counts().bytes->Add(datagram.bytes);
      if (datagram.truncated) {
        ingest_->OnReject(RejectReason::kTruncated, number, {});
      } else {
        decoder_->DecodeDatagram(datagram.data, datagram.bytes, number);
      }
    }
    kernel_drops_->Add(socket_->kernel_drops() - kernel_drops_->Get());
  }
  ingest_->Maintain(now);
  return static_cast<int>(datagrams.size());
}

void DatagramFeed::OnClose() noexcept {
  socket_.reset();
  if (source_ == kNoSource) return;
  ingest_->core().sources->Close(source_);
  source_ = kNoSource;
  SourceClosed();
}

}  // namespace tickbridge
