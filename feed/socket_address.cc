// SPDX-License-Identifier: Apache-2.0
#include "feed/socket_address.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/file.h"

namespace tickbridge {
namespace {

sockaddr_in* Inet4(SocketAddress* address) { return reinterpret_cast<sockaddr_in*>(&address->storage); }
sockaddr_in6* Inet6(SocketAddress* address) { return reinterpret_cast<sockaddr_in6*>(&address->storage); }
const sockaddr_in* Inet4(const SocketAddress& address) {
  return reinterpret_cast<const sockaddr_in*>(&address.storage);
}
const sockaddr_in6* Inet6(const SocketAddress& address) {
  return reinterpret_cast<const sockaddr_in6*>(&address.storage);
}

}  // namespace

bool SocketAddress::IsMulticast() const {
  if (family() == AF_INET) return IN_MULTICAST(ntohl(Inet4(*this)->sin_addr.s_addr));
  if (family() == AF_INET6) return IN6_IS_ADDR_MULTICAST(&Inet6(*this)->sin6_addr);
  return false;
}

uint16_t SocketAddress::port() const {
  if (family() == AF_INET) return ntohs(Inet4(*this)->sin_port);
  if (family() == AF_INET6) return ntohs(Inet6(*this)->sin6_port);
  return 0;
}

std::string SocketAddress::ToString() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (family() == AF_INET) {
    inet_ntop(AF_INET, &Inet4(*this)->sin_addr, text.data(), text.size());
    return absl::StrCat(text.data(), ":", port());
  }
  if (family() == AF_INET6) {
    inet_ntop(AF_INET6, &Inet6(*this)->sin6_addr, text.data(), text.size());
    return absl::StrCat("[", text.data(), "]:", port());
  }
  return reinterpret_cast<const sockaddr_un*>(&storage)->sun_path;
}

absl::StatusOr<SocketAddress> ParseInetAddress(std::string_view text) {
  const auto error = [&](std::string_view what) {
    return absl::InvalidArgumentError(
        absl::StrCat("address \"", text, "\": ", what, " (wanted: 10.0.0.1:5000 or [::1]:5000)"));
  };
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return error("it has no port");
  std::string host(text.substr(0, colon));
  uint32_t port = 0;
  if (!absl::SimpleAtoi(text.substr(colon + 1), &port) || port > 65'535) return error("the port must be 0 to 65535");

  SocketAddress address;
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
    sockaddr_in6* const inet = Inet6(&address);
    if (inet_pton(AF_INET6, host.c_str(), &inet->sin6_addr) != 1) return error("not a literal IPv6 address");
    inet->sin6_family = AF_INET6;
    inet->sin6_port = htons(static_cast<uint16_t>(port));
    address.bytes = sizeof(sockaddr_in6);
    return address;
  }
  sockaddr_in* const inet = Inet4(&address);
  if (!host.empty() && inet_pton(AF_INET, host.c_str(), &inet->sin_addr) != 1) return error("not a literal address");
  inet->sin_family = AF_INET;
  inet->sin_port = htons(static_cast<uint16_t>(port));
  address.bytes = sizeof(sockaddr_in);
  return address;
}

absl::StatusOr<SocketAddress> MakeUnixAddress(std::string_view path) {
  SocketAddress address;
  auto* const un = reinterpret_cast<sockaddr_un*>(&address.storage);
  if (path.empty() || path.size() >= sizeof(un->sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("socket path \"", path, "\": must be 1 to ",
                                                   sizeof(un->sun_path) - 1, " bytes, it is ", path.size()));
  }
  un->sun_family = AF_UNIX;
  std::memcpy(un->sun_path, path.data(), path.size());
  address.bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return address;
}

SocketAddress LocalAddress(int fd) {
  SocketAddress address;
  address.bytes = sizeof(address.storage);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.bytes);
  return address;
}

absl::StatusOr<int> FindInterface(std::string_view name_or_address) {
  if (name_or_address.empty()) return 0;
  const std::string wanted(name_or_address);
  if (const unsigned index = ::if_nametoindex(wanted.c_str()); index != 0) return static_cast<int>(index);
  int found = 0;
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) == 0) {
    for (const ifaddrs* one = all; one != nullptr && found == 0; one = one->ifa_next) {
      if (one->ifa_addr == nullptr) continue;
      std::array<char, INET6_ADDRSTRLEN> text{};
      if (one->ifa_addr->sa_family == AF_INET) {
        inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(one->ifa_addr)->sin_addr, text.data(), text.size());
      } else if (one->ifa_addr->sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(one->ifa_addr)->sin6_addr, text.data(), text.size());
      }
      if (wanted == text.data()) found = static_cast<int>(::if_nametoindex(one->ifa_name));
    }
    ::freeifaddrs(all);
  }
  if (found == 0) {
    return absl::NotFoundError(absl::StrCat("interface \"", wanted, "\": this host has none of that name or address"));
  }
  return found;
}

absl::Status BindUnix(int fd, int type, const std::string& path, unsigned mode) {
  const absl::StatusOr<SocketAddress> address = MakeUnixAddress(path);
  if (!address.ok()) return address.status();
  struct stat info{};
  if (::lstat(path.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode)) {
      return absl::AlreadyExistsError(absl::StrCat("socket path ", path, ": there is a file that is not a socket"));
    }
    const OwnedFd probe(::socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (probe.get() < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot make a socket for ", path));
    const bool refused = ::connect(probe.get(), address->get(), address->bytes) != 0 && errno == ECONNREFUSED;
    if (!refused) {
      return absl::AlreadyExistsError(
          absl::StrCat("socket path ", path, ": another process uses it; stop that one, or choose another path"));
    }
    ::unlink(path.c_str());
  }
  if (::bind(fd, address->get(), address->bytes) != 0) {
    if (const size_t slash = path.rfind('/'); errno == ENOENT && slash != std::string::npos) {
      return absl::NotFoundError(
          absl::StrCat("cannot make the socket ", path, ": the folder ", path.substr(0, slash), " does not exist"));
    }
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot bind the socket ", path));
  }
  // The umask took modes away at bind. Before listen, nobody could connect yet.
  if (::chmod(path.c_str(), static_cast<mode_t>(mode)) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot set the mode of the socket ", path));
  }
  return absl::OkStatus();
}

void SocketFile::Own(const std::string& path) {
  Remove();
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) return;
  path_ = path;
  device_ = info.st_dev;
  inode_ = info.st_ino;
}

void SocketFile::Remove() {
  struct stat info{};
  if (!path_.empty() && ::lstat(path_.c_str(), &info) == 0 && info.st_dev == device_ && info.st_ino == inode_) {
    ::unlink(path_.c_str());
  }
  path_.clear();
}

}  // namespace tickbridge
