// SPDX-License-Identifier: Apache-2.0
#include "core/symbol_table.h"

#include <cstring>

namespace tickbridge {
namespace {

uint64_t Mix(uint64_t a, uint64_t b) noexcept {
  const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint64_t LoadPartial(const char* text, size_t bytes) noexcept {
  uint64_t word = 0;
  std::memcpy(&word, text, bytes);
  return word;
}

}  // namespace

SymbolTable::SymbolTable(uint32_t capacity, Shared shared)
    : capacity_(capacity),
      cell_mask_(CellCount(capacity) - 1),
      shared_(std::move(shared)),
      names_(capacity),
      lengths_(capacity),
      cells_(cell_mask_ + 1) {
  for (const std::string& name : std::exchange(shared_.names_there, {})) {
    const auto [at, cell] = Append(name);
    cells_[at].store(cell, std::memory_order_relaxed);  // nobody else is there yet
    size_.fetch_add(1, std::memory_order_relaxed);
  }
  if (shared_.cells == nullptr) return;
  // Readers may be there: what is right already, as it is unless a bridge died or somebody scribbled, stays untouched.
  for (uint64_t at = 0; at <= cell_mask_; ++at) {
    const uint64_t cell = cells_[at].load(std::memory_order_relaxed);
    if (shared_.cells[at].load(std::memory_order_relaxed) != cell) {
      shared_.cells[at].store(cell, std::memory_order_release);  // (2)
    }
  }
}

// Names are short and the input is not adversarial beyond the table's own limit, so one multiply a word is enough.
uint64_t SymbolTable::Hash(std::string_view name) noexcept {
  constexpr uint64_t kSeed = 0x9e3779b97f4a7c15;
  uint64_t hash = kSeed ^ name.size();
  const char* text = name.data();
  size_t left = name.size();
  while (left > 8) {
    hash = Mix(hash ^ LoadPartial(text, 8), 0xa0761d6478bd642f);
    text += 8;
    left -= 8;
  }
  // The common short name: two overlapping loads instead of a copy of variable length.
  uint64_t tail;
  if (left >= 4) {
    tail = LoadPartial(text, 4) | LoadPartial(text + left - 4, 4) << 32;
  } else if (left > 0) {
    tail = static_cast<uint8_t>(text[0]) | uint64_t{static_cast<uint8_t>(text[left / 2])} << 8 |
           uint64_t{static_cast<uint8_t>(text[left - 1])} << 16;
  } else {
    tail = 0;
  }
  return Mix(hash ^ tail, 0xe7037ed1a0b428db);
}

SymbolId SymbolTable::Find(std::string_view name) const noexcept {
  const uint64_t hash = Hash(name);
  const uint64_t tag = hash & 0xffffffff00000000;
  for (uint64_t at = hash & cell_mask_;; at = (at + 1) & cell_mask_) {
    const uint64_t cell = cells_[at].load(std::memory_order_acquire);  // (1) pairs with (2)
    if (cell == 0) return kNoSymbol;
    if ((cell & 0xffffffff00000000) != tag) continue;
    const uint32_t index = static_cast<uint32_t>(cell) - 1;
    if (lengths_[index] == name.size() && std::memcmp(names_[index].text, name.data(), name.size()) == 0) {
      return SymbolId{index};
    }
  }
}

SymbolId SymbolTable::Insert(std::string_view name) {
  // A full table stays full: unknown names then cost their feeds no lock. Find first, for a name that came meanwhile.
  if (size() == capacity_) return Find(name);
  const std::lock_guard lock(insert_mutex_);
  if (const SymbolId known = Find(name); known != kNoSymbol) return known;
  const uint32_t index = size_.load(std::memory_order_relaxed);  // only changed under the mutex
  if (index == capacity_) return kNoSymbol;
  const auto [at, cell] = Append(name);
  if (shared_.cells != nullptr) {
    std::memcpy(shared_.names + size_t{index} * kNameBytes, name.data(), name.size());
    shared_.lengths[index] = lengths_[index];
    shared_.size->store(index + 1, std::memory_order_release);
    shared_.cells[at].store(cell, std::memory_order_release);  // (2)
  }
  size_.store(index + 1, std::memory_order_release);
  cells_[at].store(cell, std::memory_order_release);  // (2)
  return SymbolId{index};
}

std::pair<uint64_t, uint64_t> SymbolTable::Append(std::string_view name) {
  const uint32_t index = size_.load(std::memory_order_relaxed);
  std::memcpy(names_[index].text, name.data(), name.size());
  lengths_[index] = static_cast<uint8_t>(name.size());
  const uint64_t hash = Hash(name);
  uint64_t at = hash & cell_mask_;
  while (cells_[at].load(std::memory_order_relaxed) != 0) at = (at + 1) & cell_mask_;  // only changed by who is here
  return {at, (hash & 0xffffffff00000000) | (uint64_t{index} + 1)};
}

std::string_view SymbolTable::Name(SymbolId id) const noexcept {
  const uint32_t index = Index(id);
  return {names_[index].text, lengths_[index]};
}

bool SymbolTable::IsValidName(std::string_view name) noexcept {
  if (name.empty() || name.size() > limits::kSymbolBytesMax) return false;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || c == '{' || c == '}') return false;
  }
  return true;
}

}  // namespace tickbridge
