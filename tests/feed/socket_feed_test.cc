// SPDX-License-Identifier: Apache-2.0
// The socket feeds on real sockets. What a peer sent to a local socket is there when send returns, but for TCP, where a
// test waits for it with a deadline.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "core/file.h"
#include "feed/datagram_feed.h"
#include "feed/stream_feed.h"
#include "tests/core_fixture.h"
#include "tests/feed/test_files.h"

namespace tickbridge {
namespace {

OwnedFd Connect(int type, const SocketAddress& address) {
  OwnedFd fd(::socket(address.family(), type, 0));
  if (::connect(fd.get(), address.get(), address.bytes) != 0) return OwnedFd();
  return fd;
}
OwnedFd ConnectUnix(const std::string& path, int type = SOCK_STREAM) { return Connect(type, *MakeUnixAddress(path)); }
OwnedFd ConnectInet(uint16_t port, int type = SOCK_STREAM) {
  return Connect(type, *ParseInetAddress("127.0.0.1:" + std::to_string(port)));
}
void Send(const OwnedFd& fd, std::string_view bytes) {
  ASSERT_EQ(::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()))
      << std::strerror(errno);
}
std::string TickLine(const std::string& symbol, int bid) {
  return "{\"symbol\":\"" + symbol + "\",\"Bid\":" + std::to_string(bid) + "}\n";
}

template <typename FeedType>
struct Bench {
  Bench() : ingest(core.MakeIngest(Ingest::Options{.feed = "x"})) {}
  absl::Status Open(typename FeedType::Options options) {
    options.name = "x";
    auto opened = FeedType::Open(std::move(options), ingest.get(), core.counters.get());
    if (opened.ok()) feed = *std::move(opened);
    return opened.status();
  }
  // Turns the feed until the condition holds.
  bool Until(const std::function<bool()>& condition) {
    return WaitFor([&] {
      feed->DoWork();
      return condition();
    });
  }
  bool UntilAccepted(uint64_t count) {
    return Until([&] { return ingest->counts().accepted->Get() >= count; });
  }
  void Drain() {
    while (feed->DoWork() != 0) {
    }
  }
  std::string Bid(std::string_view symbol) const {
    const auto quote = core.Find(symbol);
    return quote ? FieldText(*quote, Field::kBid) : "none";
  }
  uint64_t CounterOf(const std::string& name) const {
    for (const auto& entry : core.counters->Entries()) {
      if (entry.name == name)
        return entry.kind == CountersFile::Kind::kGauge ? static_cast<uint64_t>(entry.gauge) : entry.counter;
    }
    ADD_FAILURE() << "no counter " << name;
    return 0;
  }
  uint64_t Rejected(RejectReason reason) const { return ingest->counts().rejected[static_cast<size_t>(reason)]->Get(); }

  CoreFixture core;
  std::unique_ptr<Ingest> ingest;
  std::unique_ptr<FeedType> feed;
};
using StreamBench = Bench<StreamFeed>;
using DatagramBench = Bench<DatagramFeed>;

mode_t ModeOf(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 ? info.st_mode & 07777U : 0;
}

TEST(StreamFeed, TakesLinesInPiecesFromUnixAndTcp) {
  const TempDir dir;
  for (const bool tcp : {false, true}) {
    StreamBench bench;
    ASSERT_TRUE(bench
                    .Open(tcp ? StreamFeed::Options{.tcp_address = "127.0.0.1:0"}
                              : StreamFeed::Options{.unix_path = dir.Path("s")})
                    .ok());
    EXPECT_EQ(bench.feed->port() != 0, tcp);
    if (!tcp) {
      EXPECT_EQ(ModeOf(dir.Path("s")), 0660U);
    }
    OwnedFd peer = tcp ? ConnectInet(bench.feed->port()) : ConnectUnix(dir.Path("s"));
    ASSERT_TRUE(peer.valid());
    ASSERT_TRUE(bench.Until([&] { return bench.feed->open_sources() == 1; }));
    EXPECT_EQ(bench.CounterOf("feed.x.connections"), 1U);
    const std::string line = TickLine("A", 1);
    Send(peer, line.substr(0, 10));
    bench.Drain();
    EXPECT_EQ(bench.ingest->counts().records->Get(), 0U);
    Send(peer, line.substr(10) + TickLine("B", 2) + "bad\r\n" + R"({"symbol":"C","Bid":3})");
    ASSERT_TRUE(bench.UntilAccepted(2));
    bench.Drain();
    EXPECT_EQ(bench.ingest->counts().records->Get(), 3U);
    EXPECT_EQ(bench.Rejected(RejectReason::kMalformed), 1U);
    EXPECT_EQ(bench.Bid("C"), "none");
    const SourceId source = bench.core.Find("A")->source;
    EXPECT_TRUE(bench.core.sources.IsAlive(source, bench.core.clock.Now()));
    // The end of the stream ends its last line, too, and its source.
    peer.Close();
    ASSERT_TRUE(bench.UntilAccepted(3));
    EXPECT_EQ(bench.Bid("C"), "3");
    EXPECT_FALSE(bench.core.sources.IsAlive(source, bench.core.clock.Now()));
    EXPECT_EQ(bench.feed->open_sources(), 0U);
    EXPECT_FALSE(bench.feed->IsAlive(bench.core.clock.Now()));
    EXPECT_EQ(bench.CounterOf("feed.x.connections"), 0U);
  }
}

TEST(StreamFeed, IsAliveWhileItIsHeardOf) {
  const TempDir dir;
  StreamBench bench;
  ASSERT_TRUE(bench.Open({.unix_path = dir.Path("s"), .liveness_timeout_ns = 2 * kNsPerSec}).ok());
  EXPECT_FALSE(bench.feed->IsAlive(bench.core.clock.Now()));
  const OwnedFd peer = ConnectUnix(dir.Path("s"));
  Send(peer, TickLine("A", 1));
  ASSERT_TRUE(bench.UntilAccepted(1));
  const SourceId source = bench.core.Find("A")->source;
  const auto alive = [&] {
    const MonoNs now = bench.core.clock.Now();
    EXPECT_EQ(bench.core.sources.IsAlive(source, now), bench.feed->IsAlive(now));
    return bench.feed->IsAlive(now);
  };
  bench.core.clock.Advance(2 * kNsPerSec);
  EXPECT_TRUE(alive());
  Send(peer, "{\"heartbeat\":true}\n");
  ASSERT_TRUE(bench.Until([&] { return bench.ingest->counts().control->Get() == 1; }));
  bench.core.clock.Advance(2 * kNsPerSec);
  EXPECT_TRUE(alive());
  bench.core.clock.Advance(1);
  EXPECT_FALSE(alive());
  // It was quiet, not closed.
  Send(peer, TickLine("A", 2));
  ASSERT_TRUE(bench.UntilAccepted(2));
  EXPECT_TRUE(alive());
}

TEST(StreamFeed, LetsNoFastSenderHoldUpASlowOne) {
  const TempDir dir;
  StreamBench bench;
  ASSERT_TRUE(bench.Open({.unix_path = dir.Path("s"), .read_bytes_max = 4096}).ok());
  const OwnedFd fast = ConnectUnix(dir.Path("s"));
  const OwnedFd slow = ConnectUnix(dir.Path("s"));
  std::string flood;
  while (flood.size() < 100'000) flood += TickLine("FAST", 1);
  Send(fast, flood);
  Send(slow, TickLine("SLOW", 7));
  int cycles = 0;
  while (bench.Bid("SLOW") == "none" && cycles < 1000) {
    bench.feed->DoWork();
    ++cycles;
  }
  EXPECT_LE(cycles, 3);
  EXPECT_LT(bench.ingest->counts().bytes->Get(), 4 * 4096U);
  bench.Drain();
  EXPECT_EQ(bench.ingest->counts().rejected[static_cast<size_t>(RejectReason::kMalformed)]->Get(), 0U);
  EXPECT_EQ(bench.ingest->counts().bytes->Get(), flood.size() + TickLine("SLOW", 7).size());
}

TEST(StreamFeed, SkipsALineThatIsTooLong) {
  const TempDir dir;
  StreamBench bench;
  ASSERT_TRUE(
      bench.Open({.unix_path = dir.Path("s"), .splitter = {.line_bytes_max = 100, .first_buffer_bytes = 64}}).ok());
  const OwnedFd peer = ConnectUnix(dir.Path("s"));
  Send(peer, TickLine("A", 1) + std::string(5000, 'x') + "\n" + TickLine("A", 2));
  ASSERT_TRUE(bench.UntilAccepted(2));
  EXPECT_EQ(bench.Rejected(RejectReason::kLineTooLong), 1U);
  EXPECT_EQ(bench.ingest->counts().records->Get(), 3U);
}

TEST(StreamFeed, RefusesOneConnectionTooMany) {
  const TempDir dir;
  StreamBench bench;
  ASSERT_TRUE(bench.Open({.unix_path = dir.Path("s")}).ok());
  std::vector<OwnedFd> peers;
  for (uint32_t i = 0; i < limits::kConnectionsPerFeed; ++i) {
    peers.push_back(ConnectUnix(dir.Path("s")));
    ASSERT_TRUE(peers.back().valid());
    bench.feed->DoWork();
  }
  ASSERT_TRUE(bench.Until([&] { return bench.feed->open_sources() == limits::kConnectionsPerFeed; }));
  const OwnedFd extra = ConnectUnix(dir.Path("s"));
  ASSERT_TRUE(bench.Until([&] { return bench.CounterOf("feed.x.refused") == 1; }));
  char byte;
  EXPECT_EQ(::recv(extra.get(), &byte, 1, 0), 0);  // closed
  // The others live; when one goes, there is room.
  Send(peers[255], TickLine("A", 1));
  ASSERT_TRUE(bench.UntilAccepted(1));
  peers[0].Close();
  ASSERT_TRUE(bench.Until([&] { return bench.feed->open_sources() == limits::kConnectionsPerFeed - 1; }));
  const OwnedFd next = ConnectUnix(dir.Path("s"));
  Send(next, TickLine("A", 2));
  ASSERT_TRUE(bench.UntilAccepted(2));
  EXPECT_EQ(bench.CounterOf("feed.x.refused"), 1U);
}

TEST(StreamFeed, ReplacesADeadSocketFileAndRefusesALivingOne) {
  const TempDir dir;
  const std::string path = dir.Path("s");
  StreamBench bench;
  ASSERT_TRUE(bench.Open({.unix_path = path, .unix_mode = 0600}).ok());
  EXPECT_EQ(ModeOf(path), 0600U);
  StreamBench second;
  const absl::Status refused = second.Open({.unix_path = path});
  EXPECT_EQ(refused.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_NE(refused.message().find(path), std::string::npos) << refused;
  EXPECT_TRUE(ConnectUnix(path).valid());  // the first is still there
  bench.feed->OnClose();
  EXPECT_NE(::access(path.c_str(), F_OK), 0);
  EXPECT_EQ(bench.feed->DoWork(), 0);

  {  // What a process that died leaves: a file that nobody listens on.
    const OwnedFd dead(::socket(AF_UNIX, SOCK_STREAM, 0));
    const SocketAddress address = *MakeUnixAddress(path);
    ASSERT_EQ(::bind(dead.get(), address.get(), address.bytes), 0);
  }
  EXPECT_TRUE(second.Open({.unix_path = path}).ok());
  EXPECT_TRUE(ConnectUnix(path).valid());
  // A successor that took the path keeps it.
  std::filesystem::remove(path);
  dir.Write("s", "mine");
  second.feed->OnClose();
  EXPECT_EQ(::access(path.c_str(), F_OK), 0);
  StreamBench third;
  EXPECT_EQ(third.Open({.unix_path = path}).code(), absl::StatusCode::kAlreadyExists);  // a plain file is not touched
}

TEST(StreamFeed, ValidatesItsOptions) {
  StreamBench bench;
  for (const char* bad : {"localhost:5000", "127.0.0.1", "127.0.0.1:70000", "127.0.0.1:x", "[::1:5", "1.2.3:4"}) {
    const absl::Status status = bench.Open({.tcp_address = bad});
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_NE(status.message().find(bad), std::string::npos) << status;
  }
  EXPECT_FALSE(bench.Open({}).ok());
  EXPECT_FALSE(bench.Open({.unix_path = "/x", .tcp_address = "127.0.0.1:0"}).ok());
  EXPECT_FALSE(bench.Open({.unix_path = std::string(200, 'x')}).ok());
  EXPECT_FALSE(bench.Open({.unix_path = "/nonexistent/folder/s"}).ok());
  EXPECT_FALSE(bench.Open({.tcp_address = "203.0.113.7:5000"}).ok());  // not ours
}

TEST(DatagramFeed, TakesSeveralLinesADatagramFromUnixAndUdp) {
  const TempDir dir;
  for (const bool udp : {false, true}) {
    DatagramBench bench;
    DatagramFeed::Options options;
    (udp ? options.socket.udp_address : options.socket.unix_path) = udp ? "127.0.0.1:0" : dir.Path("d");
    ASSERT_TRUE(bench.Open(options).ok());
    const OwnedFd peer = udp ? ConnectInet(bench.feed->port(), SOCK_DGRAM) : ConnectUnix(dir.Path("d"), SOCK_DGRAM);
    ASSERT_TRUE(peer.valid());
    EXPECT_FALSE(bench.feed->IsAlive(bench.core.clock.Now()));
    Send(peer, TickLine("A", 1) + "\r\n" + TickLine("B", 2) + R"({"symbol":"C","Bid":3})");
    ASSERT_TRUE(bench.UntilAccepted(3));
    EXPECT_TRUE(bench.feed->IsAlive(bench.core.clock.Now()));
    // Halves in two datagrams are two bad records, not one good.
    const std::string line = TickLine("D", 4);
    Send(peer, line.substr(0, 12));
    Send(peer, line.substr(12));
    Send(peer, TickLine("E", 5));
    ASSERT_TRUE(bench.UntilAccepted(4));
    EXPECT_EQ(bench.Rejected(RejectReason::kMalformed), 2U);
    EXPECT_EQ(bench.Bid("D"), "none");
    EXPECT_EQ(bench.CounterOf("feed.x.datagrams"), 4U);
    EXPECT_EQ(bench.CounterOf("feed.x.kernel_drops"), 0U);
    bench.core.clock.Advance(2 * kNsPerSec + 1);
    EXPECT_FALSE(bench.feed->IsAlive(bench.core.clock.Now()));
    bench.feed->OnClose();
    EXPECT_FALSE(bench.core.sources.IsAlive(bench.core.Find("E")->source, bench.core.clock.Now()));
  }
  EXPECT_NE(::access(dir.Path("d").c_str(), F_OK), 0);
}

TEST(DatagramFeed, CountsATruncatedDatagramOnce) {
  const TempDir dir;
  DatagramBench bench;
  DatagramFeed::Options options;
  options.socket.unix_path = dir.Path("d");
  ASSERT_TRUE(bench.Open(options).ok());
  const OwnedFd peer = ConnectUnix(dir.Path("d"), SOCK_DGRAM);
  std::string big;
  while (big.size() <= limits::kDatagramBytesMax) big += TickLine("BIG", 1);
  Send(peer, big);
  Send(peer, TickLine("A", 2));
  ASSERT_TRUE(bench.UntilAccepted(1));
  EXPECT_EQ(bench.Rejected(RejectReason::kTruncated), 1U);
  EXPECT_EQ(bench.ingest->counts().records->Get(), 2U);
  EXPECT_EQ(bench.Bid("BIG"), "none");  // no part of it
  // One that just fits is whole.
  std::string fits = TickLine("FIT", 3);
  fits.resize(limits::kDatagramBytesMax, '\n');
  Send(peer, fits);
  ASSERT_TRUE(bench.UntilAccepted(2));
  EXPECT_EQ(bench.Bid("FIT"), "3");
}

TEST(DatagramFeed, CountsWhatTheKernelDropped) {
  DatagramBench bench;
  DatagramFeed::Options options;
  options.socket.udp_address = "127.0.0.1:0";
  options.socket.receive_buffer_bytes = 4096;
  ASSERT_TRUE(bench.Open(options).ok());
  const OwnedFd peer = ConnectInet(bench.feed->port(), SOCK_DGRAM);
  const std::string line = TickLine("A", 1);
  constexpr uint64_t kSent = 2000;
  for (uint64_t i = 0; i < kSent; ++i) ::send(peer.get(), line.data(), line.size(), 0);
  bench.Drain();
  Send(peer, line);  // carries the count
  const uint64_t before = bench.ingest->counts().accepted->Get();
  ASSERT_TRUE(bench.UntilAccepted(before + 1));
  EXPECT_GT(bench.CounterOf("feed.x.kernel_drops"), 0U);
  EXPECT_EQ(bench.CounterOf("feed.x.kernel_drops") + bench.ingest->counts().accepted->Get(), kSent + 1);
}

TEST(DatagramFeed, JoinsAMulticastGroup) {
  for (const char* interface : {"lo", "127.0.0.1"}) {
    DatagramBench bench;
    DatagramFeed::Options options;
    options.socket.udp_address = "239.255.77.7:0";
    options.socket.interface = interface;
    const absl::Status status = bench.Open(options);
    if (!status.ok()) GTEST_SKIP() << "this kernel does not let a socket join a group on lo: " << status;
    const OwnedFd peer(::socket(AF_INET, SOCK_DGRAM, 0));
    ip_mreqn via{};
    via.imr_ifindex = *FindInterface("lo");
    ASSERT_EQ(::setsockopt(peer.get(), IPPROTO_IP, IP_MULTICAST_IF, &via, sizeof(via)), 0);
    const SocketAddress group = *ParseInetAddress("239.255.77.7:" + std::to_string(bench.feed->port()));
    const std::string line = TickLine("A", 1);
    if (::sendto(peer.get(), line.data(), line.size(), 0, group.get(), group.bytes) < 0) {
      GTEST_SKIP() << "this kernel does not send to a group on lo: " << std::strerror(errno);
    }
    EXPECT_TRUE(bench.UntilAccepted(1));
  }
  DatagramBench bench;
  DatagramFeed::Options options;
  options.socket.udp_address = "239.255.77.7:0";
  options.socket.interface = "no-such-if";
  EXPECT_EQ(bench.Open(options).code(), absl::StatusCode::kNotFound);
  options.socket.udp_address = "127.0.0.1:0";
  options.socket.interface = "lo";
  EXPECT_EQ(bench.Open(options).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tickbridge
