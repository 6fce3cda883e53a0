// SPDX-License-Identifier: Apache-2.0
// Goal: whatever stands in a ring, the bridge neither crashes nor reads past it; every record is counted once, what is
// accepted is in range, and a sound record after all that is merged.
//
// Method: the input is written over a ring that a publisher made (positions and data, or names), the feed takes what it
// finds there, and then the publisher goes on.
//
// Input: pieces, each a head of four bytes (target, offset, length in words) and its bytes.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "feed/publisher.h"
#include "feed/ring_feed.h"
#include "tests/core_fixture.h"
#include "tests/fuzz/fuzz.h"

namespace tickbridge::fuzz {
namespace {

constexpr uint32_t kSymbols = 4;

std::string Path() { return "/dev/shm/tickbridge-fuzz-" + std::to_string(::getpid()) + ".ring"; }

// Made once: the tables take long to make. What one input leaves in them does not matter to the next.
struct World {
  World() : ingest(core.MakeIngest({.feed = "ring"})) {
    Publisher::Options options;
    options.file.ring = Path();
    options.file.max_symbols = kSymbols;
    options.file.data_bytes = kRingDataBytesMin;
    RingError error;
    publisher = Publisher::Open(options, &error);
    Require(publisher != nullptr, "a ring can be made");
    publisher->Declare("A");
    publisher->Declare("B");
    // A second look at the file, as somebody else would have it.
    const int fd = ::open(publisher->path().c_str(), O_RDWR | O_CLOEXEC);
    file_bytes = RingHeader::kBytes + 4096 + kRingDataBytesMin;
    base = static_cast<char*>(::mmap(nullptr, file_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    Require(base != MAP_FAILED, "it can be mapped");
    ::close(fd);
    std::memcpy(names.data(), base + RingHeader::kBytes, names.size());
    RingFeed::Options feed_options;
    feed_options.path = publisher->path();
    feed_options.own_thread = false;
    feed = *RingFeed::Open(feed_options, ingest.get(), core.counters.get());
    core.clock.Set(MonoNs{kNsPerSec * 1'000'000});
    feed->watch().Look();
    feed->DoWork();
    std::atexit([] { ::unlink(Path().c_str()); });  // a publisher whose file was removed would give up
  }
  RingHeader& header() { return *reinterpret_cast<RingHeader*>(base); }

  CoreFixture core;
  std::unique_ptr<Ingest> ingest;
  std::unique_ptr<Publisher> publisher;
  std::unique_ptr<RingFeed> feed;
  size_t file_bytes = 0;
  char* base = nullptr;
  std::array<char, kSymbols * sizeof(RingSymbol)> names;
  int64_t price = 0;
};

void Put(World* world, size_t at, const uint8_t* data, size_t bytes) {
  // The state, and the words beside it, are the watch's.
  const bool of_the_watch = at < offsetof(RingHeader, tail) && at + bytes > offsetof(RingHeader, state);
  if (of_the_watch || at + bytes > world->file_bytes) return;
  std::memcpy(world->base + at, data, bytes);
}

void RequireSums(const Ingest& ingest) {
  uint64_t sum = ingest.counts().accepted->Get() + ingest.counts().control->Get();
  for (const Counter* counter : ingest.counts().rejected) sum += counter->Get();
  Require(sum == ingest.counts().records->Get(), "records = accepted + rejected + control");
}

void Run(const uint8_t* data, size_t bytes) {
  static World* const world = new World();
  RingHeader& header = world->header();
  const uint64_t head = header.head.load();
  const size_t data_at = RingHeader::kBytes + 4096;
  while (bytes >= 4) {
    const size_t offset = size_t{data[1]} | size_t{data[2]} << 8;
    const size_t length = std::min<size_t>(size_t{data[3]} * 8, bytes - 4);
    const uint8_t* const piece = data + 4;
    switch (data[0] % 4) {
      case 0: {
        // A record in its place, with a head that fits it: deeper than chance would come.
        const uint64_t lines = std::max<uint64_t>(1, (length + 63) / 64);
        const uint64_t position = header.tail.load();
        Put(world, data_at + position % kRingDataBytesMin, piece, std::min<size_t>(length, 64 * lines));
        const uint64_t word = RingRecordHead(static_cast<RingRecordType>(data[1] % 8), lines, position);
        // The tail may be anywhere by now, also a few bytes from the end.
        Put(world, data_at + position % kRingDataBytesMin, reinterpret_cast<const uint8_t*>(&word), sizeof word);
        header.tail.store(position + 64 * lines);
        break;
      }
      case 1:
        Put(world, data_at + (head + offset) % kRingDataBytesMin, piece, length);
        break;
      case 2:
        Put(world, offset % 1024, piece, length);
        break;
      default:
        // But for the first, which the last check goes by: a name once known stays known.
        Put(world, RingHeader::kBytes + sizeof(RingSymbol) + offset % world->names.size(), piece, length);
    }
    data += 4 + length;
    bytes -= 4 + length;
  }
  for (int i = 0; i < 4; ++i) world->feed->DoWork();
  RequireSums(*world->ingest);

  std::memcpy(world->base + RingHeader::kBytes, world->names.data(), world->names.size());
  header.symbols.store(2);
  for (int i = 0; i < 4; ++i) {
    world->publisher->Heartbeat();
    while (world->feed->DoWork() != 0) {
    }
  }
  RequireSums(*world->ingest);
  world->publisher->Reset(0);  // whatever time was merged is nothing to go by
  Tick tick;
  tick.Set(Field::kBid, {++world->price, 0});
  Require(world->publisher->Publish(0, tick) == Publisher::Result::kPublished, "there is room again");
  while (world->feed->DoWork() != 0) {
  }
  const auto quote = world->core.Find("A");
  Require(quote.has_value() && quote->Get(Field::kBid) == Decimal{world->price, 0}, "the next sound record is merged");
}

}  // namespace
}  // namespace tickbridge::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  tickbridge::fuzz::Run(data, bytes);
  return 0;
}
