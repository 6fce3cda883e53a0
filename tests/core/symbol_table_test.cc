// SPDX-License-Identifier: Apache-2.0
// Symbol names and ids: dense, given once, found again whatever the name's length, and safe to look up while other
// threads insert. Random names are checked against a std::map.
#include "core/symbol_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <iostream>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace tickbridge {
namespace {

TEST(SymbolTable, IdsAreDenseAndGivenOnce) {
  SymbolTable table(4);
  EXPECT_EQ(table.size(), 0u);
  EXPECT_EQ(table.capacity(), 4u);
  EXPECT_EQ(table.Insert("MNQZ5"), SymbolId{0});
  EXPECT_EQ(table.Insert("ESZ5"), SymbolId{1});
  EXPECT_EQ(table.Insert("MNQZ5"), SymbolId{0});
  EXPECT_EQ(table.size(), 2u);
  EXPECT_EQ(table.Find("ESZ5"), SymbolId{1});
  EXPECT_EQ(table.Find("CLZ5"), kNoSymbol);
  EXPECT_EQ(table.Find(""), kNoSymbol);
  EXPECT_EQ(table.Name(SymbolId{0}), "MNQZ5");
  EXPECT_EQ(table.Name(SymbolId{1}), "ESZ5");
}

TEST(SymbolTable, AFullTableKeepsWhatItHas) {
  for (const uint32_t capacity : {1u, 2u, 3u, 64u, 100u}) {
    SymbolTable table(capacity);
    for (uint32_t i = 0; i < capacity; ++i) EXPECT_EQ(table.Insert("S" + std::to_string(i)), SymbolId{i});
    EXPECT_EQ(table.Insert("more"), kNoSymbol);
    EXPECT_EQ(table.Find("more"), kNoSymbol);
    EXPECT_EQ(table.size(), capacity);
    for (uint32_t i = 0; i < capacity; ++i) {
      EXPECT_EQ(table.Find("S" + std::to_string(i)), SymbolId{i});
      EXPECT_EQ(table.Insert("S" + std::to_string(i)), SymbolId{i});
    }
  }
}

TEST(SymbolTable, NamesThatDifferInOneByteOrInLengthAreDifferent) {
  constexpr size_t kLengthMax = limits::kSymbolBytesMax;
  SymbolTable table(10'000);
  std::map<std::string, SymbolId> ids;
  for (size_t length = 1; length <= kLengthMax; ++length) {
    const std::string name(length, 'a');
    ids[name] = table.Insert(name);
    for (size_t at = 0; at < length; ++at) {
      std::string other = name;
      other[at] = 'b';
      ids[other] = table.Insert(other);
    }
  }
  EXPECT_EQ(ids.size(), table.size());
  for (const auto& [name, id] : ids) {
    EXPECT_EQ(table.Find(name), id);
    EXPECT_EQ(table.Name(id), name);
  }
  EXPECT_EQ(table.Find(std::string(kLengthMax + 1, 'a')), kNoSymbol);
  EXPECT_EQ(table.Find(std::string(100'000, 'a')), kNoSymbol);
}

TEST(SymbolTable, TheNameReadEndsWhereItEnds) {
  // Names that lie at the very end of their memory, for the sanitizer to see a read beyond.
  SymbolTable table(200);
  for (size_t length = 1; length <= limits::kSymbolBytesMax; ++length) {
    const std::vector<char> name(length, 'x');
    const SymbolId id = table.Insert({name.data(), length});
    EXPECT_EQ(table.Find({name.data(), length}), id);
  }
}

TEST(SymbolTable, RandomNamesAgreeWithAMap) {
  const char* const given = std::getenv("TICKBRIDGE_TEST_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::cout << "seed " << seed << "\n";
  std::mt19937_64 random(seed);
  constexpr uint32_t kCapacity = 30'000;
  SymbolTable table(kCapacity);
  std::map<std::string, SymbolId> model;
  for (int i = 0; i < 200'000; ++i) {
    std::string name(1 + random() % (random() % 10 == 0 ? 64 : 5), ' ');
    for (char& c : name) c = static_cast<char>('A' + random() % 7);
    const auto known = model.find(name);
    if (random() % 2 == 0) {
      ASSERT_EQ(table.Find(name), known == model.end() ? kNoSymbol : known->second) << name;
    } else if (known != model.end()) {
      ASSERT_EQ(table.Insert(name), known->second) << name;
    } else {
      const SymbolId expected = model.size() < kCapacity ? SymbolId{static_cast<uint32_t>(model.size())} : kNoSymbol;
      ASSERT_EQ(table.Insert(name), expected) << name;
      if (expected != kNoSymbol) model[name] = expected;
    }
  }
  for (const auto& [name, id] : model) ASSERT_EQ(table.Name(id), name);
}

TEST(SymbolTable, ValidNames) {
  EXPECT_TRUE(SymbolTable::IsValidName("A"));
  EXPECT_TRUE(SymbolTable::IsValidName("BTC/USD-PERP.X:1 [x]"));
  EXPECT_TRUE(SymbolTable::IsValidName("東京"));
  EXPECT_TRUE(SymbolTable::IsValidName(std::string(64, 'a')));
  EXPECT_FALSE(SymbolTable::IsValidName(""));
  EXPECT_FALSE(SymbolTable::IsValidName(std::string(65, 'a')));
  for (int c = 0; c < 256; ++c) {
    const std::string name = {'a', static_cast<char>(c), 'b'};
    EXPECT_EQ(SymbolTable::IsValidName(name), c >= 0x20 && c != 0x7f && c != '{' && c != '}') << c;
  }
}

// Goal: an id that Find returns has its name, whoever inserts meanwhile, and two threads that insert one name get one
// id. Method: two threads insert the same names in opposite orders, each looking up a name of the other's after every
// step.
TEST(SymbolTable, FindsWhileOthersInsert) {
  constexpr uint32_t kNames = 50'000;
  SymbolTable table(kNames);
  std::vector<std::string> names(kNames);
  for (uint32_t i = 0; i < kNames; ++i) names[i] = "SYMBOL-" + std::to_string(i);
  std::array<std::vector<SymbolId>, 2> ids;
  std::array<size_t, 2> wrong{};
  std::atomic<int> ready{0};
  const auto run = [&](size_t me) {
    ids[me].resize(kNames);
    ready.fetch_add(1);
    while (ready.load() != 2) std::this_thread::yield();
    for (uint32_t i = 0; i < kNames; ++i) {
      const uint32_t mine = me == 0 ? i : kNames - 1 - i;
      ids[me][mine] = table.Insert(names[mine]);
      const uint32_t others = kNames - 1 - mine;
      if (const SymbolId found = table.Find(names[others]); found != kNoSymbol) {
        wrong[me] += table.Name(found) != names[others] || Index(found) >= table.size();
      }
    }
  };
  std::thread other(run, 1);
  run(0);
  other.join();
  EXPECT_EQ(wrong[0] + wrong[1], 0u);
  EXPECT_EQ(ids[0], ids[1]);
  EXPECT_EQ(table.size(), kNames);
  std::vector<SymbolId> all = ids[0];
  std::sort(all.begin(), all.end());
  for (uint32_t i = 0; i < kNames; ++i) ASSERT_EQ(all[i], SymbolId{i});
}

}  // namespace
}  // namespace tickbridge
