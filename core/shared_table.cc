// SPDX-License-Identifier: Apache-2.0
#include "core/shared_table.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/file.h"
#include "core/futex.h"

namespace tickbridge {
namespace {

constexpr size_t kPage = 4096;
constexpr mode_t kMode = 0640;
constexpr int kOpenAttempts = 10;

size_t RoundUp(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

SharedTableLayout LayoutOf(uint32_t capacity) {
  SharedTableLayout layout;
  layout.capacity = capacity;
  layout.cell_count = SymbolTable::CellCount(capacity);
  size_t at = SharedTableHeader::kBytes;
  const auto place = [&](uint64_t* offset, size_t bytes) {
    *offset = at;
    at += RoundUp(bytes);
  };
  place(&layout.cells_offset, layout.cell_count * sizeof(uint64_t));
  place(&layout.names_offset, size_t{capacity} * SymbolTable::kNameBytes);
  place(&layout.lengths_offset, capacity);
  place(&layout.slots_offset, size_t{capacity} * LatestTable::kSlotBytes);
  place(&layout.snapshots_offset, size_t{capacity} * LatestTable::kSlotBytes);
  place(&layout.sources_offset, SourceTable::kCells * sizeof(SourceTable::Cell));
  layout.file_bytes = at;
  layout.boot_id = ReadBootId();
  return layout;
}

// The names that an earlier bridge gave ids to, copied and then checked: any process of our user could have written
// there, and still can. Nothing if they make no sense.
std::optional<std::vector<std::string>> ReadNames(const char* base, const SharedTableLayout& layout) {
  const auto& header = *reinterpret_cast<const SharedTableHeader*>(base);
  const uint32_t count = header.symbols.load(std::memory_order_acquire);
  if (count > layout.capacity) return std::nullopt;
  std::vector<std::string> names;
  std::set<std::string_view> seen;
  names.reserve(count);  // what `seen` looks at stays in its place
  for (uint32_t id = 0; id < count; ++id) {
    const auto bytes = static_cast<uint8_t>(base[layout.lengths_offset + id]);
    if (bytes > SymbolTable::kNameBytes) return std::nullopt;
    names.emplace_back(base + layout.names_offset + size_t{id} * SymbolTable::kNameBytes, bytes);
    if (!SymbolTable::IsValidName(names.back()) || !seen.insert(names.back()).second) return std::nullopt;
  }
  return names;
}

// There will be no other wake-up from this bridge.
void WakeWaiters(SharedTableHeader* header) {
  header->epoch.fetch_add(1, std::memory_order_release);
  FutexWakeAll(&header->epoch);
}

void MarkSuperseded(int fd, size_t bytes) {
  if (bytes < SharedTableHeader::kBytes) return;
  void* const page = ::mmap(nullptr, SharedTableHeader::kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (page == MAP_FAILED) return;
  auto* const header = static_cast<SharedTableHeader*>(page);
  if (header->layout.magic == SharedTableLayout::kMagic) {
    header->state.store(static_cast<uint32_t>(SharedTableHeader::State::kSuperseded), std::memory_order_release);
    WakeWaiters(header);
  }
  ::munmap(page, SharedTableHeader::kBytes);
}

}  // namespace

uint64_t SharedTable::FileBytes(uint32_t capacity) { return LayoutOf(capacity).file_bytes; }

absl::StatusOr<std::unique_ptr<SharedTable>> SharedTable::Open(const Options& options) {
  std::unique_ptr<SharedTable> table(new SharedTable);
  const SharedTableLayout layout = table->layout_ = LayoutOf(options.capacity);
  const std::string fresh = absl::StrCat(options.path, ".new");
  const auto locked = [&]() {
    return absl::AlreadyExistsError(
        absl::StrCat("another bridge writes the shared table ", options.path, "; stop it, or set another table.shm"));
  };
  for (int attempt = 0; attempt < kOpenAttempts; ++attempt) {
    // No links: /dev/shm is everyone's.
    OwnedFd before(::open(options.path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    struct stat info{};
    if (before.valid()) {
      if (::flock(before.get(), LOCK_EX | LOCK_NB) != 0) return locked();
      if (::fstat(before.get(), &info) != 0) return SystemError("cannot look at", options.path);
      if (!S_ISREG(info.st_mode)) return absl::FailedPreconditionError(options.path + " is not a plain file");
      // Somebody put another file in its place before we had the lock.
      if (!IsStillAt(before.get(), options.path)) continue;
      // Who made it has it open, perhaps, whatever its mode is from now on.
      if (info.st_uid != ::geteuid() && info.st_uid != options.ownership.owner) {
        return absl::FailedPreconditionError(absl::StrCat(options.path, " belongs to user ", info.st_uid,
                                                          ", who could write into it; remove it, or set another "
                                                          "table.shm"));
      }
      // Of whatever version and boot: the beginning stays.
      uint64_t magic = 0;
      if (info.st_size != 0 &&
          (::pread(before.get(), &magic, sizeof(magic), 0) != static_cast<ssize_t>(sizeof(magic)) ||
           magic != SharedTableLayout::kMagic)) {
        return absl::FailedPreconditionError(
            absl::StrCat(options.path, " is a file that is not a shared table; remove it, or set another table.shm"));
      }
      if (info.st_size == static_cast<off_t>(layout.file_bytes)) {
        void* const base = MapSharedFile(before.get(), layout.file_bytes);
        if (base == MAP_FAILED) return SystemError("cannot map", options.path);
        const auto& header = *static_cast<SharedTableHeader*>(base);
        table->sequence_base_ = header.sequence_base;
        if (header.layout == layout &&
            header.state.load(std::memory_order_acquire) != static_cast<uint32_t>(SharedTableHeader::State::kFresh) &&
            table->sequence_base_ < options.generation) {
          if (auto names = ReadNames(static_cast<char*>(base), layout); names.has_value()) {
            table->base_ = static_cast<char*>(base);
            table->fd_ = before.Release();
            table->adopted_ = true;
            table->names_ = *std::move(names);
            // The configuration may have changed since.
            if (absl::Status status = SetOwnership(table->fd_, options.ownership, kMode, options.path); !status.ok()) {
              return status;
            }
            table->header().pid.store(::getpid(), std::memory_order_relaxed);
            table->header().generation.store(options.generation, std::memory_order_release);
            return table;
          }
        }
        ::munmap(base, layout.file_bytes);
      }
    } else if (errno != ENOENT) {
      return SystemError("cannot open the shared table", options.path);
    }

    // One at a time makes a new file: who has its lock. What a bridge that was killed left there is begun anew.
    OwnedFd fd(::open(fresh.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, kMode));
    if (!fd.valid()) return SystemError("cannot create", fresh);
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) return locked();
    // It became the table, or was removed, before we had the lock.
    if (!IsStillAt(fd.get(), fresh)) continue;
    if (::ftruncate(fd.get(), 0) != 0) return SystemError("cannot create", fresh);  // nobody has mapped it yet
    if (absl::Status status = SetOwnership(fd.get(), options.ownership, kMode, fresh); !status.ok()) {
      ::unlink(fresh.c_str());
      return status;
    }
    // A small /dev/shm is an error here, not a SIGBUS later.
    if (const int error = ::posix_fallocate(fd.get(), 0, static_cast<off_t>(layout.file_bytes)); error != 0) {
      ::unlink(fresh.c_str());
      return absl::ErrnoToStatus(error, absl::StrCat("no room for the ", layout.file_bytes, " bytes of ", options.path,
                                                     " (table.max_symbols = ", options.capacity, ")"));
    }
    void* const base = MapSharedFile(fd.get(), layout.file_bytes);
    if (base == MAP_FAILED) {
      absl::Status status = SystemError("cannot map", fresh);
      ::unlink(fresh.c_str());
      return status;
    }
    table->base_ = static_cast<char*>(base);
    table->fd_ = fd.Release();
    table->sequence_base_ = options.generation;
    SharedTableHeader& header = *new (base) SharedTableHeader{};
    header.layout = layout;
    header.sequence_base = options.generation;
    header.pid.store(::getpid(), std::memory_order_relaxed);
    header.generation.store(options.generation, std::memory_order_release);
    const bool replaces = before.valid();
    if (::renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, options.path.c_str(), replaces ? 0 : RENAME_NOREPLACE) == 0) {
      if (replaces) MarkSuperseded(before.get(), static_cast<size_t>(info.st_size));
      return table;
    }
    const int error = errno;
    ::unlink(fresh.c_str());
    ::munmap(table->base_, layout.file_bytes);
    table->base_ = nullptr;
    ::close(std::exchange(table->fd_, -1));
    if (error != EEXIST) return absl::ErrnoToStatus(error, absl::StrCat("cannot rename to ", options.path));
    // Another bridge was first.
  }
  return locked();
}

SharedTable::~SharedTable() {
  if (base_ != nullptr) {
    header().state.store(static_cast<uint32_t>(SharedTableHeader::State::kClosed), std::memory_order_release);
    WakeWaiters(&header());
    ::munmap(base_, layout_.file_bytes);
  }
  if (fd_ >= 0) ::close(fd_);
}

SymbolTable::Shared SharedTable::symbols() {
  return {std::move(names_), base_ + layout_.names_offset, reinterpret_cast<uint8_t*>(base_ + layout_.lengths_offset),
          reinterpret_cast<std::atomic<uint64_t>*>(base_ + layout_.cells_offset), &header().symbols};
}

LatestTable::Options SharedTable::table_options() {
  return {layout_.capacity, sequence_base_, base_ + layout_.slots_offset, base_ + layout_.snapshots_offset, adopted_};
}

SourceTable::Cell* SharedTable::source_cells() {
  auto* const cells = reinterpret_cast<SourceTable::Cell*>(base_ + layout_.sources_offset);
  // The sources of the bridge before are dead; their generations go on being counted.
  for (size_t i = 0; i < SourceTable::kCells; ++i) cells[i].generation.store(0, std::memory_order_relaxed);
  return cells;
}

uint32_t SharedTable::Salvage(LatestTable* table, const SymbolTable& symbols) {
  uint32_t emptied = 0;
  const uint32_t used = symbols.size();
  for (uint32_t id = 0; id < table->capacity(); ++id) emptied += table->Salvage(SymbolId{id}, id < used) ? 0 : 1;
  return emptied;
}

void SharedTable::GoLive(MonoNs now) {
  Beat(now);
  header().state.store(static_cast<uint32_t>(SharedTableHeader::State::kLive), std::memory_order_release);
}

}  // namespace tickbridge
