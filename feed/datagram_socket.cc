// SPDX-License-Identifier: Apache-2.0
#include "feed/datagram_socket.h"

#include <netinet/in.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "core/limits.h"

namespace tickbridge {
namespace {

constexpr size_t kStride = limits::kDatagramBytesMax + limits::kParsePaddingBytes;
constexpr size_t kControlBytes = CMSG_SPACE(sizeof(uint32_t));

}  // namespace

absl::StatusOr<std::unique_ptr<DatagramSocket>> DatagramSocket::Open(const Options& options) {
  if (options.unix_path.empty() == options.udp_address.empty()) {
    return absl::InvalidArgumentError("give a path or an address, one of the two");
  }
  std::unique_ptr<DatagramSocket> socket(new DatagramSocket(std::clamp<size_t>(options.batch, 1, 1024)));
  if (absl::Status status = socket->Bind(options); !status.ok()) return status;
  return socket;
}

DatagramSocket::DatagramSocket(size_t batch)
    : buffers_(std::make_unique_for_overwrite<char[]>(batch * kStride)),
      control_(std::make_unique<char[]>(batch * kControlBytes)),
      vectors_(batch),
      headers_(batch),
      datagrams_(batch) {
  for (size_t i = 0; i < batch; ++i) {
    vectors_[i] = {buffers_.get() + i * kStride, limits::kDatagramBytesMax};
    headers_[i] = {};
    headers_[i].msg_hdr.msg_iov = &vectors_[i];
    headers_[i].msg_hdr.msg_iovlen = 1;
    headers_[i].msg_hdr.msg_control = control_.get() + i * kControlBytes;
  }
}

absl::Status DatagramSocket::Bind(const Options& options) {
  const auto failed = [](std::string_view what) { return absl::ErrnoToStatus(errno, what); };
  const int on = 1;
  if (!options.unix_path.empty()) {
    fd_ = OwnedFd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd_.valid()) return failed("cannot make a Unix socket");
    const absl::Status bound = BindUnix(fd_.get(), SOCK_DGRAM, options.unix_path, options.unix_mode);
    if (!bound.ok()) return bound;
    socket_file_.Own(options.unix_path);
  } else {
    const absl::StatusOr<SocketAddress> address = ParseInetAddress(options.udp_address);
    if (!address.ok()) return address.status();
    fd_ = OwnedFd(::socket(address->family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd_.valid()) return failed("cannot make a UDP socket");
    // Several may listen to a group; a port of our own must not be shared by accident.
    if (address->IsMulticast()) ::setsockopt(fd_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    // Bound to the group itself, so that no other group on the same port comes in.
    if (::bind(fd_.get(), address->get(), address->bytes) != 0) {
      return failed(absl::StrCat("cannot bind ", options.udp_address));
    }
    port_ = LocalAddress(fd_.get()).port();
    if (address->IsMulticast()) {
      if (const absl::Status joined = Join(*address, options.interface); !joined.ok()) return joined;
    } else if (!options.interface.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("interface \"", options.interface, "\": ", options.udp_address, " is not a multicast group"));
    }
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof(on));
  }
  if (options.receive_buffer_bytes > 0) {
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &options.receive_buffer_bytes, sizeof(options.receive_buffer_bytes));
  }
  socklen_t bytes = sizeof(receive_buffer_bytes_);
  ::getsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes_, &bytes);
  return absl::OkStatus();
}

absl::Status DatagramSocket::Join(const SocketAddress& group, const std::string& interface) {
  const absl::StatusOr<int> index = FindInterface(interface);
  if (!index.ok()) return index.status();
  int result;
  if (group.family() == AF_INET) {
    ip_mreqn request{};
    request.imr_multiaddr = reinterpret_cast<const sockaddr_in*>(group.get())->sin_addr;
    request.imr_ifindex = *index;
    result = ::setsockopt(fd_.get(), IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof(request));
  } else {
    ipv6_mreq request{};
    request.ipv6mr_multiaddr = reinterpret_cast<const sockaddr_in6*>(group.get())->sin6_addr;
    request.ipv6mr_interface = static_cast<unsigned>(*index);
    result = ::setsockopt(fd_.get(), IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &request, sizeof(request));
  }
  if (result != 0) {
    return absl::ErrnoToStatus(errno,
                               absl::StrCat("cannot join ", group.ToString(), " on interface \"", interface, "\""));
  }
  return absl::OkStatus();
}

std::span<const DatagramSocket::Datagram> DatagramSocket::Receive() noexcept {
  for (mmsghdr& header : headers_) header.msg_hdr.msg_controllen = kControlBytes;
  const int count =
      ::recvmmsg(fd_.get(), headers_.data(), static_cast<unsigned>(headers_.size()), MSG_DONTWAIT, nullptr);
  if (count <= 0) return {};
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    const msghdr& header = headers_[i].msg_hdr;
    datagrams_[i] = {static_cast<const char*>(vectors_[i].iov_base), headers_[i].msg_len,
                     (header.msg_flags & MSG_TRUNC) != 0};
    NoteDrops(header);
  }
  return {datagrams_.data(), static_cast<size_t>(count)};
}

void DatagramSocket::NoteDrops(const msghdr& header) noexcept {
  for (const cmsghdr* control = CMSG_FIRSTHDR(&header); control != nullptr;
       control = CMSG_NXTHDR(const_cast<msghdr*>(&header), const_cast<cmsghdr*>(control))) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SO_RXQ_OVFL) continue;
    uint32_t drops;
    std::memcpy(&drops, CMSG_DATA(control), sizeof(drops));
    kernel_drops_ += drops - drops_seen_;
    drops_seen_ = drops;
  }
}

}  // namespace tickbridge
