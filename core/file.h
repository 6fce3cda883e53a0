// SPDX-License-Identifier: Apache-2.0
// What every user of files and shared memory needs: descriptors that close themselves, errors that name the path, and
// whether a file is still the one that it was.
//
// Threading: an OwnedFd belongs to one thread at a time; the functions may be called by any.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"

namespace tickbridge {

// A file descriptor that is closed with its owner.
class OwnedFd {
 public:
  explicit OwnedFd(int fd = -1) : fd_(fd) {}
  ~OwnedFd() { Close(); }
  OwnedFd(OwnedFd&& other) noexcept : fd_(other.Release()) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    if (this != &other) {
      Close();
      fd_ = other.Release();
    }
    return *this;
  }
  int get() const noexcept { return fd_; }
  bool valid() const noexcept { return fd_ >= 0; }
  void Close() noexcept;
  // Gives it away, open.
  int Release() noexcept { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// errno, as "<what> <path>: <its text>".
absl::Status SystemError(std::string_view what, std::string_view path);

// True if the open file is the one that has the path now, and no link to it.
bool IsStillAt(int fd, const std::string& path);

// Of this boot of the machine: the text of /proc/sys/kernel/random/boot_id, padded with zeros; all zero where the
// kernel does not say.
using BootId = std::array<char, 40>;
inline constexpr size_t kBootIdChars = 36;
BootId ReadBootId();

}  // namespace tickbridge
