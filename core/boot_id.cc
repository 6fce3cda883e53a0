// SPDX-License-Identifier: Apache-2.0
#include "core/boot_id.h"

#include <fcntl.h>
#include <unistd.h>

namespace tickbridge {

BootId ReadBootId() {
  BootId id{};
  const int fd = ::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return id;
  if (::read(fd, id.data(), kBootIdChars) != static_cast<ssize_t>(kBootIdChars)) id.fill(0);
  ::close(fd);
  return id;
}

}  // namespace tickbridge
