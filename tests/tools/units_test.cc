// SPDX-License-Identifier: Apache-2.0
#include "tools/units.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

namespace tickbridge {
namespace {

TEST(Units, ReadsDurations) {
  EXPECT_EQ(*ParseDuration("0"), 0);
  EXPECT_EQ(*ParseDuration("0s"), 0);
  EXPECT_EQ(*ParseDuration("7ns"), 7);
  EXPECT_EQ(*ParseDuration("250us"), 250'000);
  EXPECT_EQ(*ParseDuration("1.5s"), 1'500'000'000);
  EXPECT_EQ(*ParseDuration("0.1ms"), 100'000);
  EXPECT_EQ(*ParseDuration("2m"), 120'000'000'000);
  EXPECT_EQ(*ParseDuration("1h"), 3'600'000'000'000);
  EXPECT_EQ(*ParseDuration("9223372036854775807ns"), std::numeric_limits<int64_t>::max());
  for (const char* bad : {"", "5", "s", "5 parsecs", "-1s", "1.5ns", ".5s", "5.s", "1.2.3s", "1e3s", "5S",
                          "9223372036854775808ns", "9999999999999999999999h", "1s1s", "+1s"}) {
    EXPECT_FALSE(ParseDuration(bad).ok()) << bad;
  }
}

TEST(Units, PrintsDurationsSoThatTheyReadBack) {
  for (const int64_t ns : {0L, 1L, 999L, 1'500'000L, 1'000'000'000L, 90'000'000'000L, 3'600'000'000'000L}) {
    EXPECT_EQ(*ParseDuration(FormatDuration(ns)), ns) << FormatDuration(ns);
  }
  EXPECT_EQ(FormatDuration(1'500'000'000), "1500ms");
  EXPECT_EQ(FormatDuration(0), "0s");
}

TEST(Units, ReadsSizes) {
  EXPECT_EQ(*ParseSize("0"), 0U);
  EXPECT_EQ(*ParseSize("512"), 512U);
  EXPECT_EQ(*ParseSize("512B"), 512U);
  EXPECT_EQ(*ParseSize("64KiB"), 65'536U);
  EXPECT_EQ(*ParseSize("1.5MiB"), 1'572'864U);
  EXPECT_EQ(*ParseSize("2GiB"), 2'147'483'648U);
  for (const char* bad : {"", "MiB", "8MB", "8M", "-1", "0.1B"}) EXPECT_FALSE(ParseSize(bad).ok()) << bad;
  for (const uint64_t bytes : {0UL, 1UL, 1024UL, 1025UL, 8UL << 20}) EXPECT_EQ(*ParseSize(FormatSize(bytes)), bytes);
}

TEST(Units, ReadsSpeeds) {
  EXPECT_EQ(*ParseSpeed("max"), 0.0);
  EXPECT_EQ(*ParseSpeed("real"), 1.0);
  EXPECT_EQ(*ParseSpeed("10x"), 10.0);
  EXPECT_EQ(*ParseSpeed("0.5x"), 0.5);
  for (const char* bad : {"", "x", "0x", "-1x", "10", "fast", "infx", "1e999x"})
    EXPECT_FALSE(ParseSpeed(bad).ok()) << bad;
}

TEST(Units, FindsTheNearestWord) {
  const std::vector<std::string> words = {"share", "lanes", "max_in_flight", "url"};
  EXPECT_EQ(Nearest("shrae", words), "share");
  EXPECT_EQ(Nearest("lane", words), "lanes");
  EXPECT_EQ(Nearest("max_inflight", words), "max_in_flight");
  EXPECT_EQ(Nearest("ur", words), "url");
  EXPECT_EQ(Nearest("lanes_per_server", words), "lanes");
  EXPECT_EQ(Nearest("elephant", words), "");
  EXPECT_EQ(Nearest("", words), "");
}

TEST(Units, RatesHaveTheirFactor) {
  EXPECT_EQ(*ParseRate("10000"), 10'000);
  EXPECT_EQ(*ParseRate("10k"), 10'000);
  EXPECT_EQ(*ParseRate("2.5M"), 2'500'000);
  for (const char* bad : {"", "k", "0", "-1", "10x", "1e9k", "1 000"}) EXPECT_FALSE(ParseRate(bad).ok()) << bad;
  for (const char* text : {"10k", "2.5M", "999"}) EXPECT_EQ(FormatRate(*ParseRate(text)), text);
}

}  // namespace
}  // namespace tickbridge
