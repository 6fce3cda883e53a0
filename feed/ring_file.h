// SPDX-License-Identifier: Apache-2.0
// The file of a ring (feed/ring.h): made, taken over, opened, locked, mapped.
//
// One file a ring: a name without a slash is /dev/shm/<name>.ring, anything else a path. Two locks (open file
// description locks, so that they end with the process that holds them, however it ends) on a byte each: one publisher,
// one bridge. A child made by fork holds its parent's lock until it ends or calls exec.
// Permissions: 0640; with a group 0660, since a bridge of another user writes its position into the file. Set at each
// opening by a publisher, which takes over no file of another user. A bridge takes no file that everybody may write,
// and, where everybody may put files (/dev/shm), none of a user other than its own and root with whom it shares no
// group.
// Errors: RingError, whose message names the file and what to do. No Abseil here: this is a part of
// libtickbridge_publisher, which feed handlers link.
// Threading: one thread, but for what is said to be for others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "feed/mapping_guard.h"
#include "feed/ring.h"

namespace tickbridge {

enum class RingErrorCode : uint8_t {
  kNone,
  kBusy,      // another living process has this end of the ring
  kNotFound,  // there is no such file
  kNotARing,  // the file is something else, another version, damaged or truncated
  kInvalid,   // an option that cannot be
  kSystem,    // no room, no permission, …
};

struct RingError {
  RingErrorCode code = RingErrorCode::kNone;
  std::string message;
};

struct RingFileOptions {
  std::string ring;  // name or path
  uint32_t max_symbols = 16'384;
  uint64_t data_bytes = uint64_t{4} << 20;  // a power of two
  std::string group;                        // whose members may be the bridge; empty: this user's processes only
};

inline constexpr uint64_t kRingDataBytesMin = uint64_t{64} << 10;
inline constexpr uint64_t kRingDataBytesMax = uint64_t{1} << 30;
inline constexpr std::string_view kRingFolder = "/dev/shm";
inline constexpr std::string_view kRingSuffix = ".ring";

// The file of a name or path; "" for one that cannot be.
std::string RingPath(std::string_view name_or_path);

// 1…64 bytes of UTF-8 without control characters or braces.
bool IsValidRingSymbol(std::string_view name);

class RingFile {
 public:
  // For the publisher: takes over what is there if it is a sound ring of these options and of this boot, else makes a
  // new one in its place. A file that is no ring is left alone (kNotARing). `guarded`: see feed/mapping_guard.h.
  static std::unique_ptr<RingFile> OpenForPublisher(const RingFileOptions& options, bool guarded, RingError* error);
  // For the bridge. Always guarded.
  static std::unique_ptr<RingFile> OpenForBridge(const std::string& path, RingError* error);
  ~RingFile();
  RingFile(const RingFile&) = delete;
  RingFile& operator=(const RingFile&) = delete;

  const std::string& path() const { return path_; }
  bool adopted() const { return adopted_; }
  RingHeader& header() { return *reinterpret_cast<RingHeader*>(base_); }
  const RingHeader& header() const { return *reinterpret_cast<const RingHeader*>(base_); }
  RingWord* data() { return reinterpret_cast<RingWord*>(base_ + layout_.data_offset); }
  // As it was checked when the file was opened; what is in the file may have been scribbled over since.
  const RingLayout& layout() const { return layout_; }

  // A name that was declared, copied out; "" where there is none, or it was overwritten.
  std::string Symbol(uint32_t number) const;
  void SetSymbol(uint32_t number, std::string_view name);

  // True when an access found pages missing: somebody truncated the file. Then it reads as zeros.
  bool lost() const noexcept { return guard_.lost(); }

  // The rest may be called by another thread, too.
  // Whether a living process has the publisher's lock. Of a RingFile of the bridge.
  bool PublisherIsThere() const;
  // Whether the path still names this file.
  bool IsInPlace() const;
  // Whether the file has become smaller than its layout.
  bool IsTruncated() const;

 private:
  RingFile(std::string path, int fd, const RingLayout& layout) : path_(std::move(path)), fd_(fd), layout_(layout) {}
  bool Map(bool guarded, RingError* error);
  bool IsSound() const;

  const std::string path_;
  const int fd_;  // holds the lock
  const RingLayout layout_;
  char* base_ = nullptr;
  size_t mapped_bytes_ = 0;
  bool adopted_ = false;
  MappingGuard guard_;
};

}  // namespace tickbridge
