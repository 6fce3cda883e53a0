// SPDX-License-Identifier: Apache-2.0
// A lane before a real server, stepped by hand: no threads but the connector's, no sleeps.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "sink/lane.h"
#include "sink/redis_connector.h"
#include "tests/far_line.h"
#include "tests/redis_server.h"

namespace tickbridge {

// A bridge without feeds: the test calls Ingest as a decoder would.
class LaneTest : public ::testing::Test {
 protected:
  // `program`: the server to start.
  explicit LaneTest(std::string program = "redis-server") : program_(std::move(program)) {}
  void SetUp() override { Build(DefaultKeyClasses(), Lane::Options{}); }

  void Build(std::vector<KeyClass> classes, Lane::Options options, uint32_t symbols = 4096) {
    lane_.reset();
    classes_ = std::move(classes);
    counters_ = *CountersFile::Create("");
    symbols_ = std::make_unique<SymbolTable>(symbols);
    table_ = std::make_unique<LatestTable>(LatestTable::Options{symbols, 1'000});
    dirty_ = std::make_unique<DirtyQueue>(table_.get(), 1, 1);
    sources_ = std::make_unique<SourceTable>();
    documents_ = std::make_unique<DocumentTable>(1024, 1, sources_.get());
    core_ = {&clock_, symbols_.get(), table_.get(), dirty_.get(), documents_.get(), sources_.get(), &classes_};
    Ingest::Options input;
    input.feed = "test";
    ingest_ = std::make_unique<Ingest>(core_, input, counters_.get());
    RedisConnector::Options connect;
    connect.target.kind = RedisTarget::Kind::kUnix;
    connect.target.unix_path = server_->socket();
    connect.target.user = user_;
    connect.client_name = "tickbridge:test:0";
    std::unique_ptr<Connector> connector = *RedisConnector::Create(connect);
    if (line_delay_ns_ != 0) connector = std::make_unique<FarConnector>(std::move(connector), &line_delay_ns_);
    lane_ = std::make_unique<Lane>(core_, std::move(options), std::move(connector), counters_.get());
    source_ = sources_->Open(0, clock_.Now());
    Batch();
  }

  void Batch() { ingest_->BeginBatch(source_, clock_.Now()); }
  void Quote(const std::string& symbol, int64_t bid, int64_t ask) {
    Tick tick;
    tick.Set(Field::kBid, {bid, -2});
    tick.Set(Field::kAsk, {ask, -2});
    tick.quote_time = VenueNsFromMs(1'700'000'000'000);
    ingest_->OnTick(symbol, tick);
  }
  void Document(std::string_view key_class, std::string_view account, std::string_view value, bool deleted = false) {
    const KeyPattern::FieldValue field{"account", account};
    DocumentRecord record;
    record.key_class = key_class;
    record.fields = {&field, 1};
    record.value = value;
    record.deleted = deleted;
    ingest_->OnDocument(record);
  }
  uint64_t Pending() const {
    const LaneCounts& counts = lane_->counts();
    return ingest_->counts().accepted->Get() - counts.written->Get() - counts.conflated->Get() - counts.expired->Get() -
           counts.failed->Get();
  }
  bool Drain() {
    return WaitFor([this] {
      lane_->DoWork();
      return Pending() == 0;
    });
  }

  const std::string program_;
  std::string user_;           // empty: Redis' default user
  int64_t line_delay_ns_ = 0;  // not 0 before Build: every answer comes so much later
  SystemClock clock_;
  RedisServer redis_{{}, program_};
  RedisServer* server_ = &redis_;
  std::vector<KeyClass> classes_;
  std::unique_ptr<CountersFile> counters_;
  std::unique_ptr<SymbolTable> symbols_;
  std::unique_ptr<LatestTable> table_;
  std::unique_ptr<DirtyQueue> dirty_;
  std::unique_ptr<SourceTable> sources_;
  std::unique_ptr<DocumentTable> documents_;
  Core core_;
  std::unique_ptr<Ingest> ingest_;
  std::unique_ptr<Lane> lane_;
  SourceId source_{};
};

}  // namespace tickbridge
