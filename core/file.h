// SPDX-License-Identifier: Apache-2.0
// What every user of files and shared memory needs: descriptors that close themselves, errors that name the path,
// whose a file is, and whether it is still the one that it was.
//
// Threading: an OwnedFd belongs to one thread at a time; the functions may be called by any.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/boot_id.h"

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

// Whose a file is. -1: as it is, the process's own.
struct Ownership {
  uid_t owner = static_cast<uid_t>(-1);
  gid_t group = static_cast<gid_t>(-1);
};
// By names or numbers; empty: as it is. kNotFound: there is no such user or group; the message says which of both.
absl::StatusOr<Ownership> FindOwnership(const std::string& owner, const std::string& group);
// Gives the open file its owner, group and permissions, whatever the umask took away. The path is for the message.
absl::Status SetOwnership(int fd, const Ownership& ownership, mode_t mode, std::string_view path);

}  // namespace tickbridge
