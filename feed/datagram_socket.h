// SPDX-License-Identifier: Apache-2.0
// A socket that receives datagrams: Unix, UDP, or UDP multicast. Bytes only; what they mean is a decoder's to say.
//
// Threading: one thread. Nothing blocks. Memory: `batch` buffers of limits::kDatagramBytesMax, touched as they are
// used.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/file.h"
#include "feed/socket_address.h"

namespace tickbridge {

class DatagramSocket {
 public:
  struct Options {
    // Either of the two.
    std::string unix_path{};
    std::string udp_address{};  // "233.215.21.4:10378"; a multicast group is joined
    std::string interface{};    // of the group: a name ("eth1") or an address of it; empty: the kernel's choice
    unsigned unix_mode = 0660;
    int receive_buffer_bytes = 8 << 20;  // SO_RCVBUF: the kernel grants at most net.core.rmem_max
    size_t batch = 32;                   // datagrams of one system call
  };
  struct Datagram {
    const char* data;  // limits::kParsePaddingBytes behind it can be read
    size_t bytes;
    bool truncated;  // it was longer than its buffer
  };

  static absl::StatusOr<std::unique_ptr<DatagramSocket>> Open(const Options& options);

  // What has arrived, at most a batch; lives until the next call. Empty: nothing is there.
  std::span<const Datagram> Receive() noexcept;

  // Datagrams that the kernel threw away since the socket was opened, for want of room, as far as is known: it says so
  // with the next datagram that it delivers.
  uint64_t kernel_drops() const noexcept { return kernel_drops_; }
  uint16_t port() const noexcept { return port_; }
  // SO_RCVBUF as granted (the kernel doubles it for its own needs).
  int receive_buffer_bytes() const noexcept { return receive_buffer_bytes_; }

 private:
  explicit DatagramSocket(size_t batch);
  absl::Status Bind(const Options& options);
  absl::Status Join(const SocketAddress& group, const std::string& interface);
  void NoteDrops(const msghdr& header) noexcept;

  OwnedFd fd_;
  SocketFile socket_file_;
  uint16_t port_ = 0;
  int receive_buffer_bytes_ = 0;
  uint64_t kernel_drops_ = 0;
  uint32_t drops_seen_ = 0;  // the kernel's own count, which wraps
  std::unique_ptr<char[]> buffers_;
  std::unique_ptr<char[]> control_;
  std::vector<iovec> vectors_;
  std::vector<mmsghdr> headers_;
  std::vector<Datagram> datagrams_;
};

}  // namespace tickbridge
