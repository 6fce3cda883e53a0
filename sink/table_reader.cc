// SPDX-License-Identifier: Apache-2.0
#include "sink/table_reader.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/boot_id.h"
#include "core/clock.h"
#include "core/futex.h"
#include "core/limits.h"
#include "core/source_table.h"
#include "core/symbol_table.h"

namespace tickbridge {
namespace {

constexpr int64_t kSilentNs = 2 * kNsPerSec;

bool Within(uint64_t offset, uint64_t count, uint64_t size, uint64_t bytes) {
  return offset % 64 == 0 && offset >= SharedTableHeader::kBytes && offset <= bytes && count <= (bytes - offset) / size;
}

bool LayoutMakesSense(const SharedTableLayout& l) {
  return l.magic == SharedTableLayout::kMagic && l.version == SharedTableLayout::kVersion &&
         l.capacity <= limits::kSymbolsMax && l.cell_count == SymbolTable::CellCount(l.capacity) &&
         Within(l.cells_offset, l.cell_count, sizeof(uint64_t), l.file_bytes) &&
         Within(l.names_offset, l.capacity, SymbolTable::kNameBytes, l.file_bytes) &&
         Within(l.lengths_offset, l.capacity, 1, l.file_bytes) &&
         Within(l.slots_offset, l.capacity, LatestTable::kSlotBytes, l.file_bytes) &&
         Within(l.snapshots_offset, l.capacity, LatestTable::kSlotBytes, l.file_bytes) &&
         Within(l.sources_offset, SourceTable::kCells, sizeof(SourceTable::Cell), l.file_bytes);
}

}  // namespace

std::unique_ptr<TableReader> TableReader::Open(const std::string& name, OpenResult* result, std::string* error) {
  const std::string path = name.find('/') == std::string::npos ? "/dev/shm/" + name : name;
  const auto fail = [&](OpenResult why, const std::string& text) {
    if (result != nullptr) *result = why;
    if (error != nullptr) *error = text;
    return nullptr;
  };
  const auto fail_errno = [&](const std::string& what) {
    const int code = errno;
    return fail(code == ENOENT   ? OpenResult::kNotFound
                : code == EACCES ? OpenResult::kNotPermitted
                                 : OpenResult::kFailed,
                what + path + ": " + std::strerror(code));
  };
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return fail_errno("cannot open the shared table ");
  struct stat info{};
  const bool plausible =
      ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size >= static_cast<off_t>(SharedTableHeader::kBytes);
  const bool anyone_writes = (info.st_mode & S_IWOTH) != 0;
  void* base = MAP_FAILED;
  if (plausible && !anyone_writes) {
    base = ::mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
  }
  const int map_error = errno;
  ::close(fd);
  if (!plausible) return fail(OpenResult::kNoTable, path + " is not a shared table");
  if (anyone_writes) {
    return fail(OpenResult::kAnyoneWrites,
                path + ": everybody may write it, so anybody could say a price; its mode must be 0640");
  }
  if (base == MAP_FAILED) {
    errno = map_error;
    return fail_errno("cannot map the shared table ");
  }
  std::unique_ptr<TableReader> reader(new TableReader);
  reader->path_ = path;
  reader->device_ = info.st_dev;
  reader->inode_ = info.st_ino;
  reader->base_ = static_cast<const char*>(base);
  std::memcpy(&reader->layout_, base, sizeof(SharedTableLayout));
  const SharedTableLayout& layout = reader->layout_;
  // Until it is checked, its size is that of the file.
  const auto file_bytes = static_cast<uint64_t>(info.st_size);
  if (layout.file_bytes != file_bytes || !LayoutMakesSense(layout)) {
    reader->layout_.file_bytes = file_bytes;
    return fail(OpenResult::kNoTable,
                path + " is not a shared table of version " + std::to_string(SharedTableLayout::kVersion));
  }
  if (layout.boot_id != ReadBootId()) {
    return fail(OpenResult::kNoTable, path + " was written before this host was started");
  }
  LatestTable::Options view;
  view.capacity = layout.capacity;
  view.sequence_base = reader->header().sequence_base;
  view.slots = const_cast<char*>(reader->base_) + layout.slots_offset;  // only its const functions are called
  view.snapshots = const_cast<char*>(reader->base_) + layout.snapshots_offset;
  view.adopted = true;
  reader->slots_ = std::make_unique<LatestTable>(view);
  if (result != nullptr) *result = OpenResult::kOk;
  return reader;
}

TableReader::~TableReader() {
  if (base_ != nullptr) ::munmap(const_cast<char*>(base_), layout_.file_bytes);
}

uint32_t TableReader::symbols() const noexcept {
  return std::min(header().symbols.load(std::memory_order_acquire), layout_.capacity);
}

std::string_view TableReader::Name(SymbolId id) const noexcept {
  if (Index(id) >= symbols()) return {};
  const auto length = static_cast<uint8_t>(base_[layout_.lengths_offset + Index(id)]);
  return {base_ + layout_.names_offset + size_t{Index(id)} * SymbolTable::kNameBytes,
          std::min<size_t>(length, SymbolTable::kNameBytes)};
}

SymbolId TableReader::Find(std::string_view symbol) const noexcept {
  const auto* const cells = reinterpret_cast<const std::atomic<uint64_t>*>(base_ + layout_.cells_offset);
  const uint64_t hash = SymbolTable::Hash(symbol);
  // Bounded: a sound index always has free cells, a scribbled one need not.
  for (uint64_t i = 0; i < layout_.cell_count; ++i) {
    const uint64_t cell = cells[(hash + i) & (layout_.cell_count - 1)].load(std::memory_order_acquire);
    if (cell == 0) break;
    if ((cell ^ hash) >> 32 != 0) continue;
    const SymbolId id{static_cast<uint32_t>(cell) - 1};
    if (Name(id) == symbol) return id;
  }
  return kNoSymbol;
}

TableReader::Load TableReader::TryLoad(SymbolId id, Quote* quote) const noexcept {
  if (Index(id) >= layout_.capacity) return Load::kInvalid;
  return slots_->TryLoadChecked(id, quote);
}

TableReader::Load TableReader::LoadQuote(SymbolId id, Quote* quote) const noexcept {
  if (Index(id) >= layout_.capacity) return Load::kInvalid;
  return slots_->LoadChecked(id, quote);
}

std::optional<int64_t> TableReader::SourceAgeNs(const Quote& quote, MonoNs now) const noexcept {
  const auto* const cells = reinterpret_cast<const SourceTable::Cell*>(base_ + layout_.sources_offset);
  const SourceTable::Cell& cell = cells[SourceIndex(quote.source)];
  // Relaxed, as in SourceTable: the words are independent of each other.
  if (quote.source == kNoSource || cell.generation.load(std::memory_order_relaxed) != SourceGeneration(quote.source)) {
    return std::nullopt;
  }
  if (cell.liveness_ns.load(std::memory_order_relaxed) == 0) return 0;  // alive until it is closed
  return now.value - cell.last_life_ns.load(std::memory_order_relaxed);
}

TableReader::Life TableReader::life(MonoNs now) const noexcept {
  const auto state = static_cast<SharedTableHeader::State>(header().state.load(std::memory_order_acquire));
  if (state == SharedTableHeader::State::kSuperseded) return Life::kSuperseded;
  const bool closed = state == SharedTableHeader::State::kClosed;
  const int64_t beat_ns = header().beat_mono_ns.load(std::memory_order_relaxed);  // a word of its own
  if (!closed && beat_ns >= now.value - kSilentNs) return Life::kAlive;
  if (IsReplaced()) return Life::kSuperseded;
  return closed ? Life::kClosed : Life::kSilent;
}

bool TableReader::IsReplaced() const noexcept {
  struct stat there{};
  return ::stat(path_.c_str(), &there) == 0 && (there.st_dev != device_ || there.st_ino != inode_);
}

uint64_t TableReader::generation() const noexcept { return header().generation.load(std::memory_order_acquire); }

bool TableReader::WaitForChange(uint32_t* epoch, int64_t timeout_ns) const noexcept {
  const MonoNs begin = SystemClock::ReadMonotonic();
  const MonoNs deadline = begin + std::clamp<int64_t>(timeout_ns, 0, INT64_MAX - begin.value);
  while (true) {
    const uint32_t now = header().epoch.load(std::memory_order_acquire);
    if (now != *epoch) {
      *epoch = now;
      return true;
    }
    const int64_t left_ns = deadline - SystemClock::ReadMonotonic();
    if (left_ns <= 0) return false;
    FutexWait(header().epoch, now, left_ns);
  }
}

}  // namespace tickbridge
