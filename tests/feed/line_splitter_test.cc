// SPDX-License-Identifier: Apache-2.0
#include "feed/line_splitter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace tickbridge {
namespace {

struct Seen {
  std::string text;
  uint64_t offset;
  bool too_long;
  bool operator==(const Seen&) const = default;
};

Seen See(const LineSplitter::Line& line) {
  // All of the padding can be read; the sanitizers look.
  volatile char sum = 0;
  for (size_t i = 0; !line.too_long && i < limits::kParsePaddingBytes; ++i) {
    sum = static_cast<char>(sum ^ line.data[line.bytes + i]);
  }
  return {line.too_long ? "" : std::string(line.data, line.bytes), line.offset, line.too_long};
}

// What the lines of a text are, written down plainly.
std::vector<Seen> Model(std::string_view text, size_t line_bytes_max) {
  std::vector<Seen> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t newline = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, newline - at);
    if (line.ends_with('\r')) line.remove_suffix(1);
    const bool too_long = line.size() > line_bytes_max;
    lines.push_back({too_long ? "" : std::string(line), at, too_long});
    at = newline + 1;
  }
  return lines;
}

std::vector<Seen> Split(std::string_view text, const LineSplitter::Options& options, std::mt19937_64& random,
                        size_t cut_bytes_max) {
  LineSplitter splitter(options);
  std::vector<Seen> lines;
  LineSplitter::Line line;
  while (!text.empty()) {
    const std::span<char> space = splitter.WritableSpace();
    EXPECT_FALSE(space.empty());
    const size_t bytes = std::min({space.size(), text.size(), size_t{1} + random() % cut_bytes_max});
    std::copy_n(text.begin(), bytes, space.data());
    splitter.Commit(bytes);
    text.remove_prefix(bytes);
    while (splitter.Next(&line)) lines.push_back(See(line));
    EXPECT_LE(splitter.pending(), options.line_bytes_max + 1);
  }
  if (splitter.Finish(&line)) lines.push_back(See(line));
  EXPECT_FALSE(splitter.Finish(&line));
  return lines;
}

TEST(LineSplitter, MatchesTheModelAtRandomCuts) {
  for (uint64_t seed = 1; seed <= 3000; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const LineSplitter::Options options{.line_bytes_max = 1 + random() % 40, .first_buffer_bytes = 1 + random() % 24};
    std::string text;
    const size_t bytes = random() % 400;
    const uint64_t newline_one_in = 1 + random() % 60;
    while (text.size() < bytes) {
      const uint64_t pick = random() % (newline_one_in + 1);
      text += pick == 0 ? '\n' : random() % 8 == 0 ? '\r' : static_cast<char>('a' + random() % 26);
    }
    ASSERT_EQ(Split(text, options, random, 1 + random() % 50), Model(text, options.line_bytes_max));
  }
}

TEST(LineSplitter, TakesALineOfExactlyTheLimit) {
  std::mt19937_64 random(1);
  const LineSplitter::Options options;
  const std::string longest(limits::kLineBytesMax, 'x');
  const std::string text = longest + "\r\n" + longest + "y\n" + "after\n" + longest;
  const std::vector<Seen> lines = Split(text, options, random, 100'000);
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_EQ(lines[0].text, longest);
  EXPECT_TRUE(lines[1].too_long);
  EXPECT_EQ(lines[1].offset, longest.size() + 2);
  EXPECT_EQ(lines[2].text, "after");
  EXPECT_EQ(lines[3].text, longest);
}

TEST(LineSplitter, ReportsALineThatIsTooLongOnceAndAtOnce) {
  LineSplitter splitter({.line_bytes_max = 10, .first_buffer_bytes = 4});
  LineSplitter::Line line;
  int reports = 0;
  for (int i = 0; i < 100; ++i) {
    const std::span<char> space = splitter.WritableSpace();
    ASSERT_LE(space.size(), 12U);  // however long the line is
    std::fill(space.begin(), space.end(), 'x');
    splitter.Commit(space.size());
    while (splitter.Next(&line)) {
      EXPECT_TRUE(line.too_long);
      ++reports;
    }
  }
  EXPECT_EQ(reports, 1);
  EXPECT_FALSE(splitter.Finish(&line));
}

TEST(LineSplitter, GivesBackTheMemoryOfALongLine) {
  LineSplitter splitter({.line_bytes_max = 1 << 16, .first_buffer_bytes = 64});
  LineSplitter::Line line;
  const std::string text = std::string(50'000, 'x') + "\n";
  for (size_t at = 0; at < text.size();) {
    const std::span<char> space = splitter.WritableSpace();
    const size_t bytes = std::min(space.size(), text.size() - at);
    std::copy_n(text.data() + at, bytes, space.data());
    splitter.Commit(bytes);
    at += bytes;
    const bool complete = splitter.Next(&line);
    EXPECT_EQ(complete, at == text.size());
  }
  EXPECT_EQ(line.bytes, 50'000U);
  EXPECT_EQ(splitter.WritableSpace().size(), 64U);
}

}  // namespace
}  // namespace tickbridge
