// SPDX-License-Identifier: Apache-2.0
#include "feed/ring_file.h"

#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <set>
#include <utility>
#include <vector>

namespace tickbridge {
namespace {

constexpr size_t kPage = 4096;
constexpr mode_t kMode = 0640;
constexpr mode_t kGroupMode = 0660;
constexpr int kOpenAttempts = 10;
// What the two locks are on.
constexpr off_t kPublisherByte = 0;
constexpr off_t kBridgeByte = 1;

std::array<char, 40> BootId() {
  std::array<char, 40> boot_id{};
  const int fd = ::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    if (::read(fd, boot_id.data(), boot_id.size() - 1) < 0) boot_id = {};
    ::close(fd);
  }
  std::replace(boot_id.begin(), boot_id.end(), '\n', '\0');
  return boot_id;
}

RingLayout LayoutOf(uint32_t max_symbols, uint64_t data_bytes) {
  RingLayout layout;
  layout.symbol_capacity = max_symbols;
  layout.data_bytes = data_bytes;
  layout.symbols_offset = RingHeader::kBytes;
  layout.data_offset = layout.symbols_offset + (uint64_t{max_symbols} * sizeof(RingSymbol) + kPage - 1) / kPage * kPage;
  layout.file_bytes = layout.data_offset + data_bytes;
  layout.boot_id = BootId();
  return layout;
}

bool IsAllowed(uint32_t max_symbols, uint64_t data_bytes) {
  return max_symbols >= 1 && max_symbols <= limits::kSymbolsMax && std::has_single_bit(data_bytes) &&
         data_bytes >= kRingDataBytesMin && data_bytes <= kRingDataBytesMax;
}

std::nullptr_t Fail(RingError* error, RingErrorCode code, std::string message) {
  *error = {code, std::move(message)};
  return nullptr;
}
std::nullptr_t FailSystem(RingError* error, const std::string& what, int number) {
  return Fail(error, number == ENOENT ? RingErrorCode::kNotFound : RingErrorCode::kSystem,
              what + ": " + std::strerror(number));
}

struct flock ByteLock(off_t byte) {
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  return lock;
}
bool TryLock(int fd, off_t byte) {
  struct flock lock = ByteLock(byte);
  return ::fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

// The header as it is now, by a read: a file that is too short for a mapping gives what there is of it.
struct HeaderBytes {
  alignas(RingHeader) std::array<char, RingHeader::kBytes> bytes{};
  ssize_t read = 0;
  const RingHeader& header() const { return *reinterpret_cast<const RingHeader*>(bytes.data()); }
  bool has_layout() const { return read >= static_cast<ssize_t>(sizeof(RingLayout)); }
};
HeaderBytes ReadHeader(int fd) {
  HeaderBytes result;
  result.read = ::pread(fd, result.bytes.data(), result.bytes.size(), 0);
  return result;
}

std::string Holder(const HeaderBytes& bytes, const std::atomic<int64_t> RingHeader::* pid) {
  const int64_t number = (bytes.header().*pid).load(std::memory_order_relaxed);
  return number > 0 ? " (process " + std::to_string(number) + ")" : "";
}

// In every version the mark is at this place.
void MarkSuperseded(int fd) {
  const auto mark = static_cast<uint32_t>(RingHeader::State::kSuperseded);
  if (::pwrite(fd, &mark, sizeof(mark), offsetof(RingHeader, state)) < 0) return;  // then it is only not in place
}

bool IsNamed(const std::string& path, int fd) {
  struct stat named{};
  struct stat mine{};
  return ::stat(path.c_str(), &named) == 0 && ::fstat(fd, &mine) == 0 && named.st_ino == mine.st_ino &&
         named.st_dev == mine.st_dev;
}

// A file descriptor that is closed unless released.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// Gives the file to the group, if one was named.
bool SetPermissions(int fd, const std::string& path, const std::string& group, RingError* error) {
  struct stat info{};
  if (::fstat(fd, &info) != 0) info = {};
  const auto set_mode = [&](mode_t mode) {
    // Also of a new file: the umask may have taken the group's bits.
    if ((info.st_mode & 0777) == mode || ::fchmod(fd, mode) == 0) return true;
    FailSystem(error, "cannot set the mode of the ring " + path, errno);
    return false;
  };
  if (group.empty()) return set_mode(kMode);
  std::vector<char> buffer(16 << 10);
  struct group entry{};
  struct group* found = nullptr;
  ::getgrnam_r(group.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr) {
    Fail(error, RingErrorCode::kInvalid, "group \"" + group + "\": this host has none of that name");
    return false;
  }
  if (info.st_gid != found->gr_gid && ::fchown(fd, static_cast<uid_t>(-1), found->gr_gid) != 0) {
    FailSystem(error, "cannot give the ring " + path + " to the group \"" + group + "\"", errno);
    return false;
  }
  return set_mode(kGroupMode);
}

// Whether anybody could have made the file, to be taken for somebody else's: it lies where all may put files, and is of
// another user, with whom this process shares no group either.
bool IsAnybodys(const std::string& path, const struct stat& info) {
  if (info.st_uid == ::geteuid() || info.st_uid == 0) return false;
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, std::max<size_t>(slash, 1));
  struct stat of_folder{};
  if (::stat(folder.c_str(), &of_folder) == 0 && (of_folder.st_mode & S_IWOTH) == 0) return false;
  std::vector<gid_t> groups(static_cast<size_t>(std::max(::getgroups(0, nullptr), 0)));
  groups.resize(static_cast<size_t>(std::max(::getgroups(static_cast<int>(groups.size()), groups.data()), 0)));
  groups.push_back(::getegid());
  return std::find(groups.begin(), groups.end(), info.st_gid) == groups.end();
}

// A small /dev/shm is an error here, not a SIGBUS later. 0, or an errno.
int Allocate(int fd, uint64_t bytes) {
  int failed;
  do {
    failed = ::posix_fallocate(fd, 0, static_cast<off_t>(bytes));
  } while (failed == EINTR);
  return failed;
}

// The length of the UTF-8 sequence that begins there, 0 if there is none (RFC 3629, section 4).
size_t SequenceBytes(std::string_view text) {
  const auto at = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto follows = [&](size_t i, unsigned low = 0x80, unsigned high = 0xbf) {
    return at(i) >= low && at(i) <= high;
  };
  const unsigned first = at(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    return follows(1, first == 0xe0 ? 0xa0 : 0x80, first == 0xed ? 0x9f : 0xbf) && follows(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    return follows(1, first == 0xf0 ? 0x90 : 0x80, first == 0xf4 ? 0x8f : 0xbf) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

std::string RingPath(std::string_view name) {
  if (name.empty() || name.find('\0') != std::string_view::npos) return "";
  if (name.find('/') != std::string_view::npos) return std::string(name);
  if (name.front() == '.') return "";
  std::string path(kRingFolder);
  path.append("/").append(name);
  return name.ends_with(kRingSuffix) ? path : path.append(kRingSuffix);
}

bool IsValidRingSymbol(std::string_view name) {
  if (name.empty() || name.size() > limits::kSymbolBytesMax) return false;
  for (size_t bytes; !name.empty(); name.remove_prefix(bytes)) {
    const auto c = static_cast<unsigned char>(name.front());
    if (c < 0x20 || c == 0x7f || c == '{' || c == '}') return false;
    bytes = SequenceBytes(name);
    if (bytes == 0) return false;
  }
  return true;
}

std::unique_ptr<RingFile> RingFile::OpenForPublisher(const RingFileOptions& options, bool guarded, RingError* error) {
  const std::string path = RingPath(options.ring);
  if (path.empty()) {
    return Fail(error, RingErrorCode::kInvalid, "ring \"" + options.ring + "\": must be a name or a path");
  }
  if (!IsAllowed(options.max_symbols, options.data_bytes)) {
    return Fail(error, RingErrorCode::kInvalid,
                "ring " + path + ": max_symbols must be 1 to " + std::to_string(limits::kSymbolsMax) +
                    ", and ring_bytes a power of two from 64 KiB to 1 GiB");
  }
  const RingLayout wanted = LayoutOf(options.max_symbols, options.data_bytes);
  const std::string fresh = path + ".new";
  for (int attempt = 0; attempt < kOpenAttempts; ++attempt) {
    // No links: /dev/shm is everyone's.
    Descriptor before(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (before.get() >= 0) {
      struct stat info{};
      if (::fstat(before.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
        return Fail(error, RingErrorCode::kNotARing, "ring " + path + ": is not a plain file");
      }
      const HeaderBytes bytes = ReadHeader(before.get());
      const RingHeader& header = bytes.header();
      if (info.st_size != 0 && (!bytes.has_layout() || header.layout.magic != RingLayout::kMagic)) {
        return Fail(error, RingErrorCode::kNotARing,
                    "ring " + path + ": there is a file that is not a ring; remove it, or choose another name");
      }
      // Who made it has it open, perhaps, whatever its mode is from now on.
      if (info.st_uid != ::geteuid()) {
        return Fail(error, RingErrorCode::kSystem,
                    "ring " + path + ": belongs to user " + std::to_string(info.st_uid) +
                        ", who could write into it; remove it, or choose another name");
      }
      if (!TryLock(before.get(), kPublisherByte)) {
        return Fail(error, RingErrorCode::kBusy,
                    "ring " + path + ": another publisher has it" + Holder(bytes, &RingHeader::publisher_pid) +
                        "; a ring has one publisher: stop that one, or use another ring");
      }
      // Somebody put another file in its place before we had the lock.
      if (!IsNamed(path, before.get())) continue;
      if (header.layout == wanted && info.st_size == static_cast<off_t>(wanted.file_bytes) &&
          header.state.load(std::memory_order_relaxed) != static_cast<uint32_t>(RingHeader::State::kSuperseded)) {
        std::unique_ptr<RingFile> file(new RingFile(path, ::fcntl(before.get(), F_DUPFD_CLOEXEC, 0), wanted));
        if (!file->Map(guarded, error)) return nullptr;
        if (file->IsSound()) {
          if (!SetPermissions(before.get(), path, options.group, error)) return nullptr;
          RingHeader& mapped = file->header();
          mapped.publisher_pid.store(::getpid(), std::memory_order_relaxed);
          mapped.state.store(static_cast<uint32_t>(RingHeader::State::kLive), std::memory_order_release);
          file->adopted_ = true;
          return file;
        }
      }
    } else if (errno != ENOENT) {
      return FailSystem(error, "cannot open the ring " + path, errno);
    }

    // One at a time makes a new file: who has its lock. What a publisher that was killed left there is begun anew.
    Descriptor fd(::open(fresh.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, kMode));
    if (fd.get() < 0) return FailSystem(error, "cannot create the ring " + fresh, errno);
    if (!TryLock(fd.get(), kPublisherByte)) {
      return Fail(error, RingErrorCode::kBusy, "ring " + path + ": another publisher is about to make it");
    }
    // It became the ring, or was removed, before we had the lock.
    if (!IsNamed(fresh, fd.get())) continue;
    const auto drop = [&] {
      ::unlink(fresh.c_str());
      return nullptr;
    };
    if (::ftruncate(fd.get(), 0) != 0) {  // nobody has mapped it yet
      FailSystem(error, "cannot create the ring " + fresh, errno);
      return drop();
    }
    if (!SetPermissions(fd.get(), path, options.group, error)) return drop();
    if (const int full = Allocate(fd.get(), wanted.file_bytes); full != 0) {
      FailSystem(error, "no room for the " + std::to_string(wanted.file_bytes) + " bytes of the ring " + path, full);
      return drop();
    }
    std::unique_ptr<RingFile> file(new RingFile(path, fd.Release(), wanted));
    if (!file->Map(guarded, error)) return drop();
    RingHeader& header = file->header();
    header.layout = wanted;
    header.publisher_pid.store(::getpid(), std::memory_order_relaxed);
    header.state.store(static_cast<uint32_t>(RingHeader::State::kLive), std::memory_order_release);
    const bool replaces = before.get() >= 0;
    if (::renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, path.c_str(), replaces ? 0 : RENAME_NOREPLACE) == 0) {
      if (replaces) MarkSuperseded(before.get());
      return file;
    }
    const int failed = errno;
    drop();
    if (failed != EEXIST) return FailSystem(error, "cannot rename to " + path, failed);
    // Another publisher was first.
  }
  return Fail(error, RingErrorCode::kBusy, "ring " + path + ": other publishers keep replacing it");
}

std::unique_ptr<RingFile> RingFile::OpenForBridge(const std::string& path, RingError* error) {
  Descriptor fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (fd.get() < 0) {
    const int number = errno;
    if (number == EACCES) {
      return Fail(error, RingErrorCode::kSystem,
                  "ring " + path +
                      ": no permission to read and write it; let the publisher make it with a `group` "
                      "that this bridge is in");
    }
    return FailSystem(error, "cannot open the ring " + path, number);
  }
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return Fail(error, RingErrorCode::kNotARing, "ring " + path + ": is not a plain file");
  }
  if ((info.st_mode & S_IWOTH) != 0) {
    return Fail(
        error, RingErrorCode::kNotARing,
        "ring " + path + ": everybody may write it, so anybody could say a price; its mode must be 0640, or 0660");
  }
  if (IsAnybodys(path, info)) {
    return Fail(
        error, RingErrorCode::kNotARing,
        "ring " + path + ": belongs to user " + std::to_string(info.st_uid) +
            ", in a folder into which anybody may put files; let its publisher make it with a `group` that this "
            "bridge is in, or in a folder that others cannot write");
  }
  const HeaderBytes bytes = ReadHeader(fd.get());
  const RingLayout& layout = bytes.header().layout;
  const auto damaged = [&](const std::string& how) {
    return Fail(error, RingErrorCode::kNotARing, "ring " + path + ": " + how);
  };
  if (!bytes.has_layout())
    return damaged("is truncated, or no ring: it has " + std::to_string(info.st_size) + " bytes");
  if (layout.magic != RingLayout::kMagic) return damaged("is no ring, or was overwritten: it does not begin like one");
  if (layout.version != RingLayout::kVersion) {
    return damaged("is of layout version " + std::to_string(layout.version) + ", this bridge reads version " +
                   std::to_string(RingLayout::kVersion) + "; use a publisher of the same release");
  }
  if (!IsAllowed(layout.symbol_capacity, layout.data_bytes)) return damaged("its header was overwritten");
  RingLayout wanted = LayoutOf(layout.symbol_capacity, layout.data_bytes);
  if (layout.boot_id != wanted.boot_id) return damaged("was left by an earlier boot; it waits for its publisher");
  if (layout != wanted) return damaged("its header was overwritten");
  if (info.st_size < static_cast<off_t>(wanted.file_bytes)) {
    return damaged("is truncated: it has " + std::to_string(info.st_size) + " of " + std::to_string(wanted.file_bytes) +
                   " bytes; its publisher makes it anew when it is restarted");
  }
  if (!TryLock(fd.get(), kBridgeByte)) {
    return Fail(error, RingErrorCode::kBusy,
                "ring " + path + ": another bridge reads it" + Holder(bytes, &RingHeader::consumer_pid) +
                    "; a ring has one reader: stop that bridge, or take the ring out of one configuration");
  }
  std::unique_ptr<RingFile> file(new RingFile(path, fd.Release(), wanted));
  if (!file->Map(true, error)) return nullptr;
  file->header().consumer_pid.store(::getpid(), std::memory_order_relaxed);
  return file;
}

RingFile::~RingFile() {
  guard_.Release();
  if (base_ != nullptr) ::munmap(base_, mapped_bytes_);
  if (fd_ >= 0) ::close(fd_);
}

bool RingFile::Map(bool guarded, RingError* error) {
  mapped_bytes_ = layout_.data_offset + 2 * layout_.data_bytes;
  const auto failed = [&](int number) {
    FailSystem(error, "cannot map the ring " + path_, number);
    return false;
  };
  void* const base = ::mmap(nullptr, mapped_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return failed(errno);
  base_ = static_cast<char*>(base);
  const auto place = [&](size_t at, size_t bytes, size_t offset) {
    return ::mmap(base_ + at, bytes, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_SHARED | MAP_POPULATE, fd_,
                  static_cast<off_t>(offset)) != MAP_FAILED;
  };
  if (!place(0, layout_.file_bytes, 0) || !place(layout_.file_bytes, layout_.data_bytes, layout_.data_offset)) {
    return failed(errno);
  }
  if (guarded && !guard_.Guard(base_, mapped_bytes_)) {
    *error = {RingErrorCode::kSystem,
              "cannot open the ring " + path_ + ": there are " + std::to_string(MappingGuard::kMax) + " open already"};
    return false;
  }
  return true;
}

// What an earlier publisher left: any process of our user could have written it.
bool RingFile::IsSound() const {
  const uint64_t head = header().head.load(std::memory_order_acquire);
  const uint64_t tail = header().tail.load(std::memory_order_relaxed);
  if (head % kRingLineBytes != 0 || tail % kRingLineBytes != 0 || tail - head > layout_.data_bytes) return false;
  const uint32_t symbols = header().symbols.load(std::memory_order_relaxed);
  if (symbols > layout_.symbol_capacity) return false;
  std::set<std::string> names;
  for (uint32_t number = 0; number < symbols; ++number) {
    std::string name = Symbol(number);
    if (!IsValidRingSymbol(name) || !names.insert(std::move(name)).second) return false;
  }
  return true;
}

std::string RingFile::Symbol(uint32_t number) const {
  if (number >= std::min(header().symbols.load(std::memory_order_acquire), layout_.symbol_capacity)) return "";
  const RingSymbol& symbol = reinterpret_cast<const RingSymbol*>(base_ + layout_.symbols_offset)[number];
  std::array<char, limits::kSymbolBytesMax> text;
  for (size_t i = 0; i < symbol.text.size(); ++i) {
    const uint64_t word = symbol.text[i].load(std::memory_order_relaxed);  // published with `symbols`, or by the tail
    std::memcpy(text.data() + 8 * i, &word, 8);
  }
  const uint64_t check = symbol.check.load(std::memory_order_relaxed);
  if ((check & 0xff) > text.size()) return "";
  const std::string_view name(text.data(), check & 0xff);
  return check >> 8 == RingNameHash(name) ? std::string(name) : "";
}

void RingFile::SetSymbol(uint32_t number, std::string_view name) {
  RingSymbol& symbol = reinterpret_cast<RingSymbol*>(base_ + layout_.symbols_offset)[number];
  std::array<char, limits::kSymbolBytesMax> text{};
  std::copy(name.begin(), name.end(), text.begin());
  for (size_t i = 0; i < symbol.text.size(); ++i) {
    uint64_t word;
    std::memcpy(&word, text.data() + 8 * i, 8);
    symbol.text[i].store(word, std::memory_order_relaxed);
  }
  symbol.check.store(name.size() | RingNameHash(name) << 8, std::memory_order_relaxed);
  header().symbols.store(number + 1, std::memory_order_release);
}

bool RingFile::PublisherIsThere() const {
  struct flock lock = ByteLock(kPublisherByte);
  return ::fcntl(fd_, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

bool RingFile::IsInPlace() const { return IsNamed(path_, fd_); }

bool RingFile::IsTruncated() const {
  struct stat info{};
  return ::fstat(fd_, &info) == 0 && info.st_size < static_cast<off_t>(layout_.file_bytes);
}

}  // namespace tickbridge
