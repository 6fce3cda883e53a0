// SPDX-License-Identifier: Apache-2.0
// Making, locking and reading the mapped file.
#include "core/counters.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/file.h"

namespace tickbridge {
namespace {

constexpr uint64_t kMagic = 0x7469636b62726467;  // "tickbrdg"
constexpr uint32_t kVersion = 1;
constexpr size_t kNameBytes = 112;
constexpr uint32_t kEntriesMax = 8192;
constexpr size_t kHeaderBytes = 4096;
constexpr int kTextAttempts = 100;
// At most `bytes_max` of `text`, and no part of a UTF-8 sequence at the end.
std::string_view Cut(std::string_view text, size_t bytes_max) {
  if (text.size() <= bytes_max) return text;
  size_t end = bytes_max;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80) --end;
  return text.substr(0, end);
}

// Opens the file, or makes it. Not by O_CREAT alone: in a folder like /dev/shm some kernels refuse that for a file of
// somebody else, even to root. Closed on exec: a lock that a child inherited would outlive the bridge. No links:
// /dev/shm is everyone's. -1 with errno on failure.
int OpenLock(const std::string& path) {
  constexpr int kFlags = O_RDWR | O_CLOEXEC | O_NOFOLLOW;
  while (true) {
    int fd = ::open(path.c_str(), kFlags);
    if (fd >= 0 || errno != ENOENT) return fd;
    fd = ::open(path.c_str(), kFlags | O_CREAT | O_EXCL, 0640);
    if (fd >= 0 || errno != EEXIST) return fd;
  }
}

absl::Status LockProblem(const std::string& path) {
  const int error = errno;
  struct stat info{};
  if (error == EACCES && ::lstat(path.c_str(), &info) == 0) {
    return absl::PermissionDeniedError(absl::StrCat("cannot open ", path, ": it belongs to the user with uid ",
                                                    info.st_uid,
                                                    ", whose bridge of this instance runs or was killed; remove it if "
                                                    "none runs, or set another [bridge] instance"));
  }
  errno = error;
  return SystemError("cannot open", path);
}

// Of the process that holds the lock, as it wrote it there; "" where it has not yet.
std::string HolderOf(int lock_fd) {
  char text[24];
  const ssize_t size = ::pread(lock_fd, text, sizeof(text), 0);
  const std::string_view digits(text, static_cast<size_t>(std::max<ssize_t>(size, 0)));
  const size_t end = std::min(digits.find_first_not_of("0123456789"), digits.size());
  return end == 0 ? "" : absl::StrCat(" (pid ", digits.substr(0, end), ")");
}

}  // namespace

void TextCell::Set(std::string_view text) noexcept {
  text = Cut(text, kBytesMax);
  const uint64_t v = version.load(std::memory_order_relaxed);
  version.store(v + 1, std::memory_order_relaxed);  // kept before the words by their release (2)
  for (size_t i = 0; i < words.size(); ++i) {
    uint64_t word = 0;
    if (i * 8 < text.size()) std::memcpy(&word, text.data() + i * 8, std::min<size_t>(8, text.size() - i * 8));
    words[i].store(word, std::memory_order_release);  // (2)
  }
  version.store(v + 2, std::memory_order_release);
}

std::string TextCell::Get() const {
  for (int attempt = 0; attempt < kTextAttempts; ++attempt) {
    const uint64_t v = version.load(std::memory_order_acquire);
    char text[kBytesMax];
    for (size_t i = 0; i < words.size(); ++i) {
      const uint64_t word = words[i].load(std::memory_order_acquire);  // (1)
      std::memcpy(text + i * 8, &word, 8);
    }
    if ((v & 1) == 0 && version.load(std::memory_order_relaxed) == v)
      return std::string(text, ::strnlen(text, kBytesMax));
  }
  return "";
}

struct CountersFile::Header {
  uint64_t magic;
  uint32_t version;
  uint32_t entries_max;
  uint64_t file_bytes;
  int64_t pid;
  int64_t started_unix_ns;
  std::atomic<int64_t> beat_mono_ns;
  std::atomic<uint32_t> entries;
  char boot_id[kBootIdChars];
};

struct CountersFile::DirectoryEntry {
  uint32_t kind;
  uint32_t reserved;
  uint64_t offset;
  char name[kNameBytes];
};

CountersFile::Header* CountersFile::header() const { return reinterpret_cast<Header*>(base_); }
CountersFile::DirectoryEntry* CountersFile::directory() const {
  return reinterpret_cast<DirectoryEntry*>(base_ + kHeaderBytes);
}

absl::StatusOr<std::unique_ptr<CountersFile>> CountersFile::Create(const std::string& path) {
  static_assert(sizeof(Header) <= kHeaderBytes && sizeof(DirectoryEntry) == 128 && sizeof(TextCell) == 256);
  std::unique_ptr<CountersFile> file(new CountersFile);
  file->bytes_ = kFileBytes;
  int fd = -1;
  const std::string fresh = path + ".new";
  if (!path.empty()) {
    if (absl::Status status = file->Lock(path + ".lock"); !status.ok()) return status;
    // Left by a bridge that was killed in between; the lock says that it is nobody's.
    ::unlink(fresh.c_str());
    fd = ::open(fresh.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0) return SystemError("cannot create", fresh);
    ::fchmod(fd, 0640);  // the umask may have taken the group's bit
    // A small /dev/shm is an error here, not a SIGBUS later.
    if (const int error = ::posix_fallocate(fd, 0, static_cast<off_t>(kFileBytes)); error != 0) {
      ::close(fd);
      ::unlink(fresh.c_str());
      return absl::ErrnoToStatus(error, absl::StrCat("no room for ", kFileBytes, " bytes of ", path));
    }
  }
  void* base = ::mmap(nullptr, kFileBytes, PROT_READ | PROT_WRITE,
                      (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED) | MAP_POPULATE, fd, 0);
  if (fd >= 0) ::close(fd);
  if (base == MAP_FAILED) {
    absl::Status status = SystemError("cannot map", path);
    if (!path.empty()) ::unlink(fresh.c_str());
    return status;
  }
  file->base_ = static_cast<char*>(base);
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  Header* header = file->header();
  header->magic = kMagic;
  header->version = kVersion;
  header->entries_max = kEntriesMax;
  header->file_bytes = kFileBytes;
  header->pid = ::getpid();
  header->started_unix_ns = now.tv_sec * kNsPerSec + now.tv_nsec;
  std::memcpy(header->boot_id, ReadBootId().data(), kBootIdChars);
  file->next_offset_ = kHeaderBytes + kEntriesMax * sizeof(DirectoryEntry);
  if (!path.empty()) {
    if (::rename(fresh.c_str(), path.c_str()) != 0) {
      absl::Status status = SystemError("cannot rename to", path);
      ::unlink(fresh.c_str());
      return status;
    }
    file->path_ = path;
  }
  return file;
}

absl::Status CountersFile::Lock(const std::string& path) {
  int fd = -1;
  while (true) {
    fd = OpenLock(path);
    if (fd < 0) return LockProblem(path);
    const bool locked = ::flock(fd, LOCK_EX | LOCK_NB) == 0;
    const int error = errno;
    // Its holder removes it while it holds it. Who opened it before that has a file that nobody will find any more, and
    // a lock on it is worth nothing.
    if (!IsStillAt(fd, path)) {
      ::close(fd);
      continue;
    }
    if (locked) break;
    const std::string holder = HolderOf(fd);
    ::close(fd);
    errno = error;
    if (error != EWOULDBLOCK) return SystemError("cannot lock", path);
    return absl::AlreadyExistsError(absl::StrCat("another bridge of this instance is running", holder, ": it holds ",
                                                 path, "; stop it, or set another [bridge] instance"));
  }
  lock_fd_ = fd;
  lock_path_ = path;
  const std::string pid = absl::StrCat(::getpid(), "\n");
  if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, pid.data(), pid.size(), 0) < 0) return SystemError("cannot write", path);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<CountersFile>> CountersFile::OpenReadOnly(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe of that name would hold us up
  if (fd < 0) return SystemError("cannot open", path);
  struct stat info{};
  void* base = MAP_FAILED;
  const bool right_size =
      ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size == static_cast<off_t>(kFileBytes);
  if (right_size) base = ::mmap(nullptr, kFileBytes, PROT_READ, MAP_SHARED, fd, 0);
  ::close(fd);
  if (!right_size) return absl::FailedPreconditionError(absl::StrCat(path, " is not a counters file of this version"));
  if (base == MAP_FAILED) return SystemError("cannot map", path);
  std::unique_ptr<CountersFile> file(new CountersFile);
  file->base_ = static_cast<char*>(base);
  file->bytes_ = kFileBytes;
  const Header* header = file->header();
  if (header->magic != kMagic || header->version != kVersion || header->entries_max != kEntriesMax ||
      header->file_bytes != kFileBytes) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is not a counters file of this version"));
  }
  return file;
}

CountersFile::~CountersFile() {
  if (base_ != nullptr) ::munmap(base_, bytes_);
  if (lock_fd_ < 0) return;
  // If somebody removed the lock by hand, both files may be another bridge's by now.
  if (IsStillAt(lock_fd_, lock_path_)) {
    if (!path_.empty()) ::unlink(path_.c_str());
    // Last, and while the lock is held: from here on another bridge may make both anew.
    ::unlink(lock_path_.c_str());
  }
  ::close(lock_fd_);
}

void* CountersFile::Add(Kind kind, std::string_view name, size_t bytes, size_t alignment) {
  const std::lock_guard lock(mutex_);
  const uint32_t index = header()->entries.load(std::memory_order_relaxed);  // only changed under the mutex
  const size_t offset = (next_offset_ + alignment - 1) / alignment * alignment;
  if (index == kEntriesMax || offset + bytes > bytes_ || name.size() >= kNameBytes) {
    std::fprintf(stderr, "tickbridge: no room for counter %.*s\n", static_cast<int>(name.size()), name.data());
    std::abort();
  }
  next_offset_ = offset + bytes;
  DirectoryEntry& entry = directory()[index];
  entry.kind = static_cast<uint32_t>(kind);
  entry.offset = offset;
  std::memcpy(entry.name, name.data(), name.size());
  header()->entries.store(index + 1, std::memory_order_release);  // (2)
  return base_ + offset;
}

Counter* CountersFile::AddCounter(std::string_view name) {
  return static_cast<Counter*>(Add(Kind::kCounter, name, sizeof(Counter), alignof(Counter)));
}
Gauge* CountersFile::AddGauge(std::string_view name) {
  return static_cast<Gauge*>(Add(Kind::kGauge, name, sizeof(Gauge), alignof(Gauge)));
}
TextCell* CountersFile::AddText(std::string_view name) {
  return static_cast<TextCell*>(Add(Kind::kText, name, sizeof(TextCell), 64));
}
Histogram* CountersFile::AddHistogram(std::string_view name) {
  return static_cast<Histogram*>(Add(Kind::kHistogram, name, sizeof(Histogram), 64));
}

void CountersFile::AlignGroup() {
  const std::lock_guard lock(mutex_);
  next_offset_ = (next_offset_ + 63) / 64 * 64;
}

std::vector<CountersFile::Entry> CountersFile::Entries() const {
  std::vector<Entry> entries;
  const uint32_t count = std::min(header()->entries.load(std::memory_order_acquire), kEntriesMax);  // (1)
  for (uint32_t i = 0; i < count; ++i) {
    const DirectoryEntry& entry = directory()[i];
    Entry result;
    result.kind = static_cast<Kind>(entry.kind);
    result.name.assign(entry.name, ::strnlen(entry.name, kNameBytes));
    const uint64_t offset = entry.offset;
    constexpr uint64_t kValuesBegin = kHeaderBytes + kEntriesMax * sizeof(DirectoryEntry);
    const auto fits = [&](size_t bytes) {
      return offset % 8 == 0 && offset >= kValuesBegin && offset <= bytes_ && bytes <= bytes_ - offset;
    };
    const char* at = base_ + std::min<uint64_t>(offset, bytes_);  // not read unless it fits
    switch (result.kind) {
      case Kind::kCounter:
        if (!fits(sizeof(Counter))) continue;
        result.counter = reinterpret_cast<const Counter*>(at)->Get();
        break;
      case Kind::kGauge:
        if (!fits(sizeof(Gauge))) continue;
        result.gauge = reinterpret_cast<const Gauge*>(at)->Get();
        break;
      case Kind::kText:
        if (!fits(sizeof(TextCell))) continue;
        result.text = reinterpret_cast<const TextCell*>(at)->Get();
        break;
      case Kind::kHistogram:
        if (!fits(sizeof(Histogram))) continue;
        result.histogram = reinterpret_cast<const Histogram*>(at);
        break;
      default:
        continue;
    }
    entries.push_back(std::move(result));
  }
  return entries;
}

int64_t CountersFile::pid() const { return header()->pid; }
bool CountersFile::WriterIsAlive() const {
  if (std::memcmp(header()->boot_id, ReadBootId().data(), kBootIdChars) != 0) return false;
  const auto pid = static_cast<pid_t>(header()->pid);
  return pid > 0 && (::kill(pid, 0) == 0 || errno == EPERM);
}
UnixNs CountersFile::started() const { return UnixNs{header()->started_unix_ns}; }
void CountersFile::Beat(MonoNs now) noexcept { header()->beat_mono_ns.store(now.value, std::memory_order_relaxed); }
MonoNs CountersFile::last_beat() const noexcept {
  return MonoNs{header()->beat_mono_ns.load(std::memory_order_relaxed)};
}

}  // namespace tickbridge
