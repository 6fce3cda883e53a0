// SPDX-License-Identifier: Apache-2.0
#include "core/file.h"

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace tickbridge {

void OwnedFd::Close() noexcept {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

absl::Status SystemError(std::string_view what, std::string_view path) {
  return absl::ErrnoToStatus(errno, absl::StrCat(what, " ", path));
}

bool IsStillAt(int fd, const std::string& path) {
  struct stat opened{};
  struct stat there{};
  return ::fstat(fd, &opened) == 0 && ::lstat(path.c_str(), &there) == 0 && opened.st_dev == there.st_dev &&
         opened.st_ino == there.st_ino;
}

absl::StatusOr<Ownership> FindOwnership(const std::string& owner, const std::string& group) {
  Ownership found;
  if (!owner.empty() && !absl::SimpleAtoi(owner, &found.owner)) {
    const passwd* const entry = ::getpwnam(owner.c_str());
    if (entry == nullptr) return absl::NotFoundError(absl::StrCat("there is no user \"", owner, "\""));
    found.owner = entry->pw_uid;
  }
  if (!group.empty() && !absl::SimpleAtoi(group, &found.group)) {
    const struct group* const entry = ::getgrnam(group.c_str());
    if (entry == nullptr) return absl::NotFoundError(absl::StrCat("there is no group \"", group, "\""));
    found.group = entry->gr_gid;
  }
  return found;
}

absl::Status SetOwnership(int fd, const Ownership& ownership, mode_t mode, std::string_view path) {
  constexpr auto kAsItIs = static_cast<uid_t>(-1);
  if ((ownership.owner != kAsItIs || ownership.group != kAsItIs) &&
      ::fchown(fd, ownership.owner, ownership.group) != 0) {
    return SystemError(
        absl::StrCat("cannot give to user ", static_cast<int64_t>(static_cast<int32_t>(ownership.owner)), " and group ",
                     static_cast<int64_t>(static_cast<int32_t>(ownership.group)), " (-1: as it is)"),
        path);
  }
  if (::fchmod(fd, mode) != 0) return SystemError("cannot set the permissions of", path);
  return absl::OkStatus();
}

}  // namespace tickbridge
