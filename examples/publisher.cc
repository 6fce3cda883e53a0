// SPDX-License-Identifier: Apache-2.0
// A feed handler in C++, over the C ABI: it links libtickbridge_publisher and nothing else of tickbridge. (Within the
// CMake package, tickbridge::feed has the class Publisher, feed/publisher.h.)
//
//   g++ -std=c++20 publisher.cc -ltickbridge_publisher -o publisher && ./publisher local
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "tickbridge_publisher.h"

namespace {

struct Close {
  void operator()(tbp_publisher* publisher) const { tbp_close(publisher); }
};

uint64_t UnixNs() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

}  // namespace

int main(int argc, char** argv) {
  const std::string ring = argc > 1 ? argv[1] : "local";
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 1000;
  std::array<char, 512> error{};
  tbp_options options{};
  options.size = sizeof(options);
  options.max_symbols = 1000;
  options.ring_bytes = 1 << 20;
  const std::unique_ptr<tbp_publisher, Close> publisher(tbp_open(ring.c_str(), &options, error.data(), error.size()));
  if (publisher == nullptr) {
    std::fprintf(stderr, "%s\n", error.data());
    return 1;
  }
  const int32_t es = tbp_declare(publisher.get(), "ESZ5");
  tbp_decimal price;
  if (es < 0 || tbp_parse_decimal("5000.25", &price) != 0) return 1;
  for (int i = 0; i < rounds; ++i) {
    if (tbp_publish_trade(publisher.get(), es, price.mantissa + i, price.exponent, 1, 0, UnixNs()) < 0) return 1;
    if (tbp_heartbeat(publisher.get()) < 0) return 1;
  }
  std::printf("published %d trades\n", rounds);
  return 0;
}
