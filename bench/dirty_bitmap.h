// SPDX-License-Identifier: Apache-2.0
// A candidate for the hand-off from feed to sink (core/dirty_queue.h), behind the same interface: instead of a queue of
// ids, a bit a symbol in words of 64, and above them a bit a word. bench/dirty_handoff.cc compares the two.
//
// Protocol: the marks are as in the queue: an exchange on both sides. A writer that found 0 sets its bit in the word,
//   then the word's bit in the summary if it is not set. The sink takes a word of the summary, then the words that it
//   names, each with an exchange to 0.
// Memory order: all four steps are sequentially consistent. If the writer still sees its summary bit set (2), the
//   sink's exchange of the summary (3) is later, so its exchange of the word (4) finds the bit that was set in it (1).
// Fairness: words are taken in turn from where the last taking ended; a symbol waits for one round of the others.
// Threading: Mark by any number of threads; Take by one thread per lane at a time.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/latest_table.h"
#include "core/pages.h"
#include "core/types.h"

namespace tickbridge {

class DirtyBitmap {
 public:
  DirtyBitmap(LatestTable* table, uint32_t /*producers*/, uint32_t lanes) : table_(table), lane_count_(lanes) {
    for (uint32_t i = 0; i < lanes; ++i) lanes_.push_back(std::make_unique<Lane>(table->capacity() / lanes + 1));
  }

  uint32_t LaneOf(SymbolId id) const noexcept { return lane_count_ == 1 ? 0 : Index(id) % lane_count_; }

  void Mark(uint32_t /*producer*/, SymbolId id, MonoNs since) noexcept {
    if (table_->Dirty(id).exchange(1, std::memory_order_acq_rel) == 0) {
      // Relaxed: the word releases it.
      table_->DirtySinceNs(id).store(since.value, std::memory_order_relaxed);
      Push(id);
    }
  }

  size_t Take(uint32_t lane_index, std::span<SymbolId> ids) noexcept {
    Lane& lane = *lanes_[lane_index];
    size_t count = 0;
    while (count < ids.size() && (lane.bits != 0 || lane.NextWord())) {
      const auto bit = static_cast<uint32_t>(std::countr_zero(lane.bits));
      lane.bits &= lane.bits - 1;
      ids[count++] = SymbolId{(lane.word * kBits + bit) * lane_count_ + lane_index};
    }
    return count;
  }

  MonoNs Begin(SymbolId id) noexcept {
    const MonoNs since{table_->DirtySinceNs(id).load(std::memory_order_relaxed)};
    table_->Dirty(id).exchange(0, std::memory_order_acq_rel);
    return since;
  }

 private:
  static constexpr uint32_t kBits = 64;

  struct Lane {
    explicit Lane(uint32_t symbols)
        : words((symbols + kBits - 1) / kBits), summary((words.size() + kBits - 1) / kBits) {}

    // The next word that has a bit. False: there is none.
    bool NextWord() noexcept {
      // One more than there are: the first may have been taken a part of.
      for (size_t looked = 0;;) {
        while (words_left != 0) {
          word = at * kBits + static_cast<uint32_t>(std::countr_zero(words_left));
          words_left &= words_left - 1;
          bits = words[word].exchange(0, std::memory_order_seq_cst);  // (4)
          if (bits != 0) return true;
        }
        if (looked++ == summary.size()) return false;
        at = at + 1 == summary.size() ? 0 : at + 1;
        // Relaxed: a bit that is not seen now will be at the next taking.
        if (summary[at].load(std::memory_order_relaxed) == 0) continue;
        words_left = summary[at].exchange(0, std::memory_order_seq_cst);  // (3)
      }
    }

    PageArray<std::atomic<uint64_t>> words;
    PageArray<std::atomic<uint64_t>> summary;
    // The sink's: what it took and has not handed out.
    uint32_t at = 0;  // in the summary
    uint32_t word = 0;
    uint64_t words_left = 0;
    uint64_t bits = 0;
  };

  void Push(SymbolId id) noexcept {
    Lane& lane = *lanes_[LaneOf(id)];
    const uint32_t index = lane_count_ == 1 ? Index(id) : Index(id) / lane_count_;
    const uint32_t word = index / kBits;
    lane.words[word].fetch_or(uint64_t{1} << (index % kBits), std::memory_order_seq_cst);  // (1)
    const uint64_t bit = uint64_t{1} << (word % kBits);
    std::atomic<uint64_t>& summary = lane.summary[word / kBits];
    if ((summary.load(std::memory_order_seq_cst) & bit) != 0) return;  // (2)
    summary.fetch_or(bit, std::memory_order_seq_cst);                  // (2)
  }

  LatestTable* table_;
  uint32_t lane_count_;
  std::vector<std::unique_ptr<Lane>> lanes_;
};

}  // namespace tickbridge
