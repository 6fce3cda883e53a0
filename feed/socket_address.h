// SPDX-License-Identifier: Apache-2.0
// Addresses of sockets as the configuration writes them. Literal addresses only: a name would need DNS, which blocks.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace tickbridge {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t bytes = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
  bool IsMulticast() const;
  uint16_t port() const;
  // "10.0.0.1:5000", "[::1]:5000", or a path.
  std::string ToString() const;
};

// "10.0.0.1:5000" or "[::1]:5000"; ":5000" is every IPv4 interface.
absl::StatusOr<SocketAddress> ParseInetAddress(std::string_view text);
absl::StatusOr<SocketAddress> MakeUnixAddress(std::string_view path);
// Where a socket is bound.
SocketAddress LocalAddress(int fd);

// The index of a network interface given by its name or by one of its addresses; 0 for "".
absl::StatusOr<int> FindInterface(std::string_view name_or_address);

// Binds a socket to a path and gives it its mode. A socket file that a dead process left is replaced; one that
// answers, or a file that is no socket, is refused. `type`: SOCK_STREAM or SOCK_DGRAM.
absl::Status BindUnix(int fd, int type, const std::string& path, unsigned mode);

// A bound socket's file; removes it when this dies, unless another file has taken the path since.
class SocketFile {
 public:
  SocketFile() = default;
  ~SocketFile() { Remove(); }
  SocketFile(const SocketFile&) = delete;
  SocketFile& operator=(const SocketFile&) = delete;
  // Takes charge of what is at `path` now.
  void Own(const std::string& path);
  void Remove();

 private:
  std::string path_;
  uint64_t device_ = 0;
  uint64_t inode_ = 0;
};

}  // namespace tickbridge
