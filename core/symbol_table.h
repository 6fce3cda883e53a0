// SPDX-License-Identifier: Apache-2.0
// Symbol names and their dense ids. A name gets its id once and keeps it while the process lives.
//
// Threading: any number of threads. Find and Name are wait-free but for the probe length and take no lock;
//   Insert takes a mutex, and only for a name never seen before.
// Memory: fixed at construction, pre-faulted; 64 bytes a name, 1 byte of length, and at most 32 bytes of index. It is
//   private: of a shared table the names are written a second time, for its readers, and what they or others scribble
//   there is not read again.
// Memory order: a cell of the index is published with release (2) after the name was written, and read with acquire
// (1).
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/limits.h"
#include "core/pages.h"
#include "core/types.h"

namespace tickbridge {

class SymbolTable {
 public:
  // Where readers of other processes find the same; all null: nowhere. Zeroed, or left by an earlier SymbolTable of
  // this capacity, which had given ids to `names_there`: they keep them.
  struct Shared {
    std::vector<std::string> names_there;    // checked: valid, each once
    char* names = nullptr;                   // capacity × kNameBytes
    uint8_t* lengths = nullptr;              // capacity
    std::atomic<uint64_t>* cells = nullptr;  // CellCount(capacity)
    std::atomic<uint32_t>* size = nullptr;
  };
  static constexpr size_t kNameBytes = limits::kSymbolBytesMax;
  static uint64_t CellCount(uint32_t capacity) noexcept { return std::bit_ceil(uint64_t{capacity} * 2); }

  // `capacity`: 1…limits::kSymbolsMax.
  explicit SymbolTable(uint32_t capacity) : SymbolTable(capacity, Shared()) {}
  SymbolTable(uint32_t capacity, Shared shared);
  SymbolTable(const SymbolTable&) = delete;
  SymbolTable& operator=(const SymbolTable&) = delete;

  // The id of a name, or kNoSymbol.
  SymbolId Find(std::string_view name) const noexcept;

  // The id of a name, given now if it had none. kNoSymbol when the table is full.
  // `name` must be valid (IsValidName).
  SymbolId Insert(std::string_view name);

  // The name of an id that Find or Insert returned. Lives as long as the table.
  std::string_view Name(SymbolId id) const noexcept;

  uint32_t size() const noexcept { return size_.load(std::memory_order_acquire); }
  uint32_t capacity() const noexcept { return capacity_; }

  // 1…64 bytes, no control characters (0x00-0x1f, 0x7f) and no braces. UTF-8 is the decoder's to check.
  static bool IsValidName(std::string_view name) noexcept;
  // Of a name: its upper half is the tag of its cell, and its lower bits say where to look first.
  static uint64_t Hash(std::string_view name) noexcept;

 private:
  struct NameRecord {
    char text[kNameBytes];
  };

  // Gives the next id. Returns the place in the index, and what to put there.
  std::pair<uint64_t, uint64_t> Append(std::string_view name);

  const uint32_t capacity_;
  const uint64_t cell_mask_;
  Shared shared_;
  PageArray<NameRecord> names_;
  PageArray<uint8_t> lengths_;
  // id + 1 in the low 32 bits, the upper half of the hash in the high 32; 0: free. Linear probing, at most half full.
  PageArray<std::atomic<uint64_t>> cells_;
  std::atomic<uint32_t> size_{0};
  std::mutex insert_mutex_;
};

}  // namespace tickbridge
