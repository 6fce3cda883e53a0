// SPDX-License-Identifier: Apache-2.0
// Documents: the newest version of a key wins, in the place of the oldest that waits; deletes, owners, freeing and
// reuse of entries. Rules one by one, then random operations against a std::map, then two feeds and a sink on threads.
#include "core/document_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <iostream>
#include <map>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace tickbridge {
namespace {

constexpr OwnerId kMe{1};
constexpr OwnerId kOther{2};

class DocumentTableTest : public testing::Test {
 protected:
  DocumentTableTest() : source_(sources_.Open(0, MonoNs{1})) {}

  std::shared_ptr<Document> Make(std::string_view key, std::string_view value, int64_t received, int64_t ttl = 1'000) {
    auto document = std::make_shared<Document>();
    document->key = key;
    document->value = value;
    document->received = MonoNs{received};
    document->ttl_ns = ttl;
    document->deadline = MonoNs{received + ttl};
    document->source = source_;
    return document;
  }
  std::shared_ptr<Document> MakeDelete(std::string_view key, int64_t received) {
    auto document = Make(key, "", received);
    document->deleted = true;
    document->deadline = MonoNs{};
    return document;
  }
  DocumentTable::PutResult Put(std::string_view key, std::string_view value, int64_t received, OwnerId owner = kMe) {
    return table_.Put(Make(key, value, received), owner);
  }
  std::vector<DocumentTable::Taken> Take(size_t max = 100, uint32_t lane = 0) {
    std::vector<DocumentTable::Taken> taken;
    const size_t count = table_.Take(lane, max, &taken);
    EXPECT_EQ(count, taken.size());
    return taken;
  }
  // `key=value` of each, joined; a delete is `key!`.
  static std::string Show(const std::vector<DocumentTable::Taken>& taken) {
    std::string text;
    for (const auto& t : taken) {
      text += (text.empty() ? "" : " ") + t.document->key + (t.document->deleted ? "!" : "=" + t.document->value);
    }
    return text;
  }

  SourceTable sources_;
  SourceId source_;
  DocumentTable table_{4, 1, &sources_};
};

using PutResult = DocumentTable::PutResult;

TEST_F(DocumentTableTest, TheNewestVersionOfAKeyWinsInItsPlace) {
  EXPECT_TRUE(table_.Empty(0));
  Put("a", "1", 10);
  Put("b", "1", 11);
  Put("a", "2", 12);
  Put("a", "3", 13);
  EXPECT_FALSE(table_.Empty(0));
  const auto taken = Take();
  EXPECT_EQ(Show(taken), "a=3 b=1") << "oldest first";
  EXPECT_EQ(taken[0].since, MonoNs{10}) << "of the oldest version that the taking covers";
  EXPECT_EQ(taken[0].document->received, MonoNs{13});
  EXPECT_EQ(taken[0].document->sequence, 3u);
  EXPECT_EQ(taken[1].document->sequence, 1u);
  EXPECT_TRUE(table_.Empty(0));
  EXPECT_EQ(Show(Take()), "");
  Put("a", "4", 14);
  const auto again = Take();
  EXPECT_EQ(Show(again), "a=4");
  EXPECT_EQ(again[0].since, MonoNs{14});
  EXPECT_EQ(again[0].id, taken[0].id);
  EXPECT_EQ(again[0].document->sequence, 4u);
  EXPECT_EQ(taken[0].document->value, "3") << "a taken version does not change";
}

TEST_F(DocumentTableTest, TakesNoMoreThanAsked) {
  for (const char* const key : {"a", "b", "c"}) Put(key, "1", 10);
  EXPECT_EQ(Show(Take(2)), "a=1 b=1");
  EXPECT_FALSE(table_.Empty(0));
  EXPECT_EQ(Show(Take(2)), "c=1");
}

TEST_F(DocumentTableTest, ADeleteKeepsThePlaceAndTheDeadlineOfWhatItDeletes) {
  Put("a", "1", 10);
  Put("b", "1", 11);
  ASSERT_EQ(table_.Put(MakeDelete("a", 20), kMe), PutResult::kOk);
  auto taken = Take();
  EXPECT_EQ(Show(taken), "a! b=1");
  EXPECT_EQ(taken[0].document->deadline, MonoNs{1'010});
  EXPECT_EQ(taken[0].since, MonoNs{10});
  table_.Put(MakeDelete("a", 30), kMe);
  taken = Take();
  EXPECT_EQ(taken[0].document->deadline, MonoNs{1'010}) << "a second delete remembers it, too";
  table_.Put(MakeDelete("a", 5'000), kMe);
  EXPECT_EQ(Take()[0].document->deadline, MonoNs{5'000}) << "nothing is left to wait for";
  Put("a", "2", 6'000);
  EXPECT_EQ(Take()[0].document->deadline, MonoNs{7'000}) << "a value after a delete has its own";
}

TEST_F(DocumentTableTest, ADeleteOfAnUnknownKeyIsPassedOn) {
  ASSERT_EQ(table_.Put(MakeDelete("a", 20), kMe), PutResult::kOk);
  const auto taken = Take();
  EXPECT_EQ(Show(taken), "a!");
  EXPECT_EQ(taken[0].document->deadline, MonoNs{20});
}

TEST_F(DocumentTableTest, AKeyHasOneWriterWhileItsSourceLives) {
  Put("a", "1", 10);
  EXPECT_EQ(Put("a", "2", 11, kOther), PutResult::kWrongOwner);
  EXPECT_EQ(table_.Put(MakeDelete("a", 11), kOther), PutResult::kWrongOwner);
  EXPECT_EQ(Put("b", "9", 11, kOther), PutResult::kOk) << "another key";
  const auto taken = Take();
  EXPECT_EQ(Show(taken), "a=1 b=9");
  EXPECT_EQ(taken[0].document->sequence, 1u);
  EXPECT_EQ(Put("a", "3", 12), PutResult::kOk) << "its owner goes on";

  const SourceId dead = source_;
  source_ = sources_.Open(0, MonoNs{20});
  sources_.Close(dead);
  EXPECT_EQ(Put("a", "4", 21, kOther), PutResult::kOk) << "its source is dead";
  EXPECT_EQ(Put("a", "5", 22), PutResult::kWrongOwner) << "now it is the other's";
  EXPECT_EQ(Show(Take()), "a=4");
}

TEST_F(DocumentTableTest, ASilentSourceIsDeadToo) {
  source_ = sources_.Open(100, MonoNs{1'000});
  Put("a", "1", 1'000);
  EXPECT_EQ(Put("a", "2", 1'100, kOther), PutResult::kWrongOwner);
  EXPECT_EQ(Put("a", "2", 1'101, kOther), PutResult::kOk);
}

TEST_F(DocumentTableTest, RequeueQueuesAgainUnlessANewerVersionDid) {
  Put("a", "1", 10);
  Put("b", "1", 11);
  auto taken = Take();
  table_.Requeue(taken[0].id, taken[0].since);
  auto again = Take();
  EXPECT_EQ(Show(again), "a=1");
  EXPECT_EQ(again[0].since, MonoNs{10});
  Put("a", "2", 20);
  table_.Requeue(taken[0].id, MonoNs{10});
  table_.Requeue(taken[0].id, MonoNs{15});
  again = Take();
  EXPECT_EQ(Show(again), "a=2") << "once";
  EXPECT_EQ(again[0].since, MonoNs{10});
}

TEST_F(DocumentTableTest, FreeForgetsOnlyTheNewestVersionThatIsNotQueued) {
  Put("a", "1", 10);
  const DocumentId id = Take()[0].id;
  Put("a", "2", 11);
  EXPECT_FALSE(table_.Free(id, 1)) << "not the newest";
  EXPECT_FALSE(table_.Free(id, 2)) << "it waits to be taken";
  Take();
  EXPECT_FALSE(table_.Free(id, 1));
  EXPECT_TRUE(table_.Free(id, 2));
  EXPECT_FALSE(table_.Free(id, 2)) << "it is gone";
  EXPECT_EQ(table_.size(), 0u);
}

TEST_F(DocumentTableTest, AFreedEntryIsUsedAgainAndKnowsNothingOfItsPast) {
  Put("a", "1", 10);
  const auto first = Take();
  ASSERT_TRUE(table_.Free(first[0].id, 1));
  EXPECT_EQ(Put("b", "9", 20, kOther), PutResult::kOk);
  const auto second = Take();
  EXPECT_EQ(second[0].id, first[0].id);
  EXPECT_EQ(second[0].document->sequence, 1u);
  EXPECT_EQ(second[0].since, MonoNs{20});
  EXPECT_EQ(first[0].document->value, "1") << "who took a version keeps it";
  EXPECT_EQ(Put("a", "2", 30), PutResult::kOk) << "the old key is a new one";
  EXPECT_EQ(table_.size(), 2u);
}

TEST_F(DocumentTableTest, AFullTableTakesNoNewKeyUntilOneIsFreed) {
  EXPECT_EQ(table_.capacity(), 4u);
  for (const char* const key : {"a", "b", "c", "d"}) EXPECT_EQ(Put(key, "1", 10), PutResult::kOk);
  EXPECT_EQ(Put("e", "1", 10), PutResult::kFull);
  EXPECT_EQ(Put("a", "2", 11), PutResult::kOk) << "a key that it has";
  const auto taken = Take();
  EXPECT_EQ(Show(taken), "a=2 b=1 c=1 d=1");
  ASSERT_TRUE(table_.Free(taken[1].id, 1));
  EXPECT_EQ(Put("e", "1", 12), PutResult::kOk);
  EXPECT_EQ(Put("f", "1", 12), PutResult::kFull);
}

TEST_F(DocumentTableTest, EachKeyHasOneLane) {
  DocumentTable table(100, 3, &sources_);
  std::set<std::string> keys;
  for (int i = 0; i < 100; ++i) {
    keys.insert("key" + std::to_string(i));
    ASSERT_EQ(table.Put(Make("key" + std::to_string(i), "1", 10), kMe), PutResult::kOk);
  }
  std::set<std::string> taken_keys;
  std::map<std::string, uint32_t> lanes;
  for (uint32_t lane = 0; lane < 3; ++lane) {
    EXPECT_FALSE(table.Empty(lane)) << "of 100 keys each lane has some";
    std::vector<DocumentTable::Taken> taken;
    table.Take(lane, 1'000, &taken);
    EXPECT_TRUE(table.Empty(lane));
    std::set<std::string> visited;
    table.ForEach(lane, [&](DocumentId, const Document& document) { visited.insert(document.key); });
    for (const auto& t : taken) {
      EXPECT_TRUE(taken_keys.insert(t.document->key).second);
      EXPECT_TRUE(visited.erase(t.document->key));
      lanes[t.document->key] = lane;
    }
    EXPECT_TRUE(visited.empty());
    for (const auto& t : taken) table.Requeue(t.id, t.since);
  }
  EXPECT_EQ(taken_keys, keys);
  for (uint32_t lane = 0; lane < 3; ++lane) {
    std::vector<DocumentTable::Taken> taken;
    table.Take(lane, 1'000, &taken);
    for (const auto& t : taken) EXPECT_EQ(lanes[t.document->key], lane) << "requeued in its lane";
  }
}

TEST_F(DocumentTableTest, RandomOperationsAgreeWithAModel) {
  const char* const given = std::getenv("TICKBRIDGE_TEST_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::cout << "seed " << seed << "\n";
  std::mt19937_64 random(seed);
  constexpr size_t kCapacity = 6;
  DocumentTable table(kCapacity, 1, &sources_);
  struct Entry {
    std::string value;
    bool deleted;
    uint64_t sequence;
    int64_t deadline;
    int64_t deadline_max = 0;  // of all versions
    OwnerId owner;
    bool queued;
    int64_t since;
  };
  std::map<std::string, Entry> model;
  std::vector<std::string> queue;                     // keys, oldest first
  std::map<std::string, DocumentTable::Taken> taken;  // the last taking of each key in the model
  for (int64_t now = 1; now < 100'000; ++now) {
    const std::string key(1, static_cast<char>('a' + random() % 9));
    const auto known = model.find(key);
    switch (random() % 6) {
      case 0:
      case 1:
      case 2: {
        const bool deleted = random() % 4 == 0;
        const OwnerId owner = random() % 10 == 0 ? kOther : kMe;
        const std::string value = deleted ? "" : std::to_string(now);
        const int64_t ttl = static_cast<int64_t>(random() % 100);
        PutResult expected = PutResult::kOk;
        if (known == model.end() && model.size() == kCapacity) expected = PutResult::kFull;
        if (known != model.end() && known->second.owner != owner) expected = PutResult::kWrongOwner;
        ASSERT_EQ(table.Put(deleted ? MakeDelete(key, now) : Make(key, value, now, ttl), owner), expected) << now;
        if (expected != PutResult::kOk) break;
        Entry& entry = model[key];
        entry.deadline = deleted ? std::max(now, entry.deadline_max) : now + ttl;
        entry.deadline_max = std::max(entry.deadline_max, entry.deadline);
        entry.value = value;
        entry.deleted = deleted;
        entry.owner = owner;
        ++entry.sequence;
        if (!std::exchange(entry.queued, true)) {
          entry.since = now;
          queue.push_back(key);
        }
        break;
      }
      case 3: {
        std::vector<DocumentTable::Taken> got;
        const size_t max = random() % 4;
        ASSERT_EQ(table.Take(0, max, &got), std::min(max, queue.size()));
        for (const auto& t : got) {
          ASSERT_EQ(t.document->key, queue.front()) << now;
          Entry& entry = model[queue.front()];
          ASSERT_EQ(t.document->value, entry.value);
          ASSERT_EQ(t.document->deleted, entry.deleted);
          ASSERT_EQ(t.document->sequence, entry.sequence);
          ASSERT_EQ(t.document->deadline.value, entry.deadline) << now;
          ASSERT_EQ(t.since.value, entry.since) << now;
          entry.queued = false;
          taken[queue.front()] = t;
          queue.erase(queue.begin());
        }
        break;
      }
      case 4:
        if (taken.count(key) != 0) {
          table.Requeue(taken[key].id, taken[key].since);
          Entry& entry = known->second;
          if (!std::exchange(entry.queued, true)) {
            entry.since = taken[key].since.value;
            queue.push_back(key);
          }
          entry.since = std::min(entry.since, taken[key].since.value);
        }
        break;
      default:
        if (taken.count(key) != 0) {
          const uint64_t sequence = taken[key].document->sequence;
          const bool gone = !known->second.queued && known->second.sequence == sequence;
          ASSERT_EQ(table.Free(taken[key].id, sequence), gone) << now;
          if (gone) {
            model.erase(known);
            taken.erase(key);
          }
        }
    }
    ASSERT_EQ(table.size(), model.size());
    ASSERT_EQ(table.Empty(0), queue.empty());
  }
}

// Goal: the last version of each key reaches the sink, and no key goes back. Method: two feeds put keys of their own,
// one sink takes, requeues and frees at random; when the feeds are done and the queue is empty, it holds their last.
TEST_F(DocumentTableTest, TwoFeedsAndASinkConverge) {
  constexpr int kRounds = 50'000;
  constexpr int kKeys = 8;
  DocumentTable table(2 * kKeys, 1, &sources_);
  std::atomic<int> feeding{2};
  std::atomic<int> refused{0};
  const auto feed = [&](int me) {
    for (int round = 1; round <= kRounds; ++round) {
      const std::string key = std::to_string(me) + ":" + std::to_string(round % kKeys);
      if (table.Put(Make(key, std::to_string(round), round), OwnerId{static_cast<uint32_t>(me)}) != PutResult::kOk) {
        refused.fetch_add(1);
      }
    }
    feeding.fetch_sub(1, std::memory_order_release);
  };
  std::vector<std::thread> feeds;
  for (int i = 1; i <= 2; ++i) feeds.emplace_back(feed, i);
  std::minstd_rand random(7);
  std::map<std::string, int> seen;
  std::vector<DocumentTable::Taken> taken;
  bool went_back = false;
  for (bool more = true; more;) {
    more = feeding.load(std::memory_order_acquire) != 0;
    if (table.Empty(0)) continue;
    more = true;
    taken.clear();
    table.Take(0, 4, &taken);
    for (const auto& t : taken) {
      if (random() % 8 == 0) {
        table.Requeue(t.id, t.since);
        continue;
      }
      const int round = std::stoi(t.document->value);
      went_back |= round < seen[t.document->key];
      seen[t.document->key] = round;
      if (random() % 4 == 0) table.Free(t.id, t.document->sequence);
    }
  }
  for (std::thread& thread : feeds) thread.join();
  EXPECT_FALSE(went_back);
  EXPECT_EQ(refused.load(), 0);
  ASSERT_EQ(seen.size(), size_t{2 * kKeys});
  for (const auto& [key, round] : seen) EXPECT_GT(round, kRounds - kKeys) << key;
}

}  // namespace
}  // namespace tickbridge
