// SPDX-License-Identifier: Apache-2.0
#include "core/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

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

BootId ReadBootId() {
  BootId id{};
  const OwnedFd fd(::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
  if (!fd.valid() || ::read(fd.get(), id.data(), kBootIdChars) != static_cast<ssize_t>(kBootIdChars)) id.fill(0);
  return id;
}

}  // namespace tickbridge
