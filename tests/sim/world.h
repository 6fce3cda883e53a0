// SPDX-License-Identifier: Apache-2.0
// A world with one bridge, one server and one reader, in which everything that can go wrong does, by a seed: the real
// core and sink on a simulated clock, network and server, single-stepped on one thread. At every change of a key it
// checks what the bridge promises to those who read.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/ingest.h"
#include "core/restore.h"
#include "sink/lane.h"
#include "tests/sim/clock.h"
#include "tests/sim/network.h"
#include "tests/sim/random.h"
#include "tests/sim/server.h"

namespace tickbridge::sim {

class World {
 public:
  World(uint64_t seed, bool trace);
  ~World();

  // Lives through `rounds` of faults, each with a quiet point behind it. Empty, or what promise was broken and how.
  std::string Run(int rounds);
  // What happened, for a person who wonders whether anything did.
  struct Tally {
    uint64_t ticks = 0, documents = 0, changes = 0, faults = 0, reconnects = 0, restarts = 0, expired = 0, resent = 0;
  };
  const Tally& tally() const { return tally_; }

 private:
  struct Bridge;
  // What differs from seed to seed, besides what happens.
  struct Scenario {
    uint32_t symbols;
    uint32_t documents;
    int64_t ttl_ns;
    int64_t document_ttl_ns;
    int64_t min_interval_ns;
    bool refresh;
    bool absolute;
    bool publish;
    bool unfenced;
    bool msetex;         // the server has it
    bool denied;         // the first symbol may not be written
    uint32_t lanes_max;  // each life of the bridge has its own number
    uint32_t window;
    double share;
    double tick_chance;
    double lane_chance;  // of a duty cycle in a step; where it is small, much is dirty in each
    double fault_chance;
  };
  // What a reader of a key remembers.
  struct Seen {
    uint64_t sequence = 0;
    int64_t timestamp = 0;
    int life = 0;  // of the bridge that wrote it
  };

  void Step(bool faults, bool feed);
  void Meanwhile();
  void Feed();
  void SendTick();
  void SendDocument();
  void Fault();
  void EndFaults();
  void StartBridge();
  void StopBridge(bool host_vanishes);
  void RestartServer(bool empty);
  void Quiesce();
  // The life of the bridge that wrote a value.
  int LifeOf(uint64_t sequence) const;
  void CheckConvergence();
  void CheckSums();
  void OnChange(const std::string& name, const Server::Key* before, const Server::Key* after);
  void OnPrice(const std::string& name, const Server::Key* before, const Server::Key& after);
  void OnDocument(const std::string& name, const Server::Key& after);
  void Violated(std::string promise, std::string how);
  void Trace(const std::string& what);
  int64_t ServerUs() const;

  static Scenario MakeScenario(Random* random);

  Random random_;
  const bool trace_;
  const Scenario scenario_;
  std::vector<KeyClass> classes_;
  SimClock clock_;
  Server server_;
  Network network_;
  std::unique_ptr<Bridge> bridge_;
  int lives_ = 0;                         // of the bridge
  std::vector<uint64_t> sequence_bases_;  // by life
  // In this life of the bridge the server came back with old data: what the bridge read back before was of another.
  int old_data_in_life_ = 0;
  bool feeding_ = false;
  std::optional<MonoNs> bridge_starts_at_;

  // Faults under way.
  MonoNs stalled_until_, error_until_, down_until_, rough_until_;
  int64_t server_offset_ns_ = 0;
  MonoNs server_jumped_at_;

  // What was put in.
  std::vector<int64_t> tick_count_;                              // by symbol
  std::map<std::pair<std::string, uint64_t>, MonoNs> received_;  // of the records merged, by symbol and sequence
  struct LastDocument {
    int64_t version = 0;
    bool deleted = false;
    std::map<int64_t, MonoNs> received;  // by version
  };
  std::map<std::string, LastDocument> documents_;  // by key
  int64_t document_version_ = 0;                   // of any key, over all lives of the bridge
  Server::Keys snapshot_;

  std::map<std::string, Seen> seen_;
  std::map<std::string, int64_t> seen_document_;
  std::string violation_;
  Tally tally_;
};

}  // namespace tickbridge::sim
