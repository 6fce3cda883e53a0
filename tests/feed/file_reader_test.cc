// SPDX-License-Identifier: Apache-2.0
#include "feed/file_reader.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <random>
#include <string>

#include "tests/feed/test_files.h"

namespace tickbridge {
namespace {

std::string Text(size_t bytes, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string text;
  while (text.size() < bytes) text += std::to_string(random() % 100'000) + (random() % 8 == 0 ? "\n" : " ");
  return text;
}

// All that a file gives, and how it ended.
std::pair<std::string, absl::Status> ReadAll(const std::string& path, const FileReader::Options& options = {}) {
  auto reader = FileReader::Open(path, options);
  if (!reader.ok()) return {"", reader.status()};
  std::string text;
  EXPECT_TRUE(WaitFor([&] {
    std::span<const char> chunk;
    const FileReader::Take took = (*reader)->TryTake(&chunk);
    if (took == FileReader::Take::kChunk) {
      EXPECT_FALSE(chunk.empty());
      EXPECT_LE(chunk.size(), options.chunk_bytes);
      text.append(chunk.data(), chunk.size());
      (*reader)->Release();
    }
    return took == FileReader::Take::kEnd;
  }));
  return {text, (*reader)->status()};
}

TEST(FileReader, ReadsPlainGzipAndZstd) {
  const TempDir dir;
  const std::string a = Text(700'000, 1);
  const std::string b = Text(100'000, 2);
  std::string skippable = "\x5a\x2a\x4d\x18\x03";
  skippable += std::string(3, '\0') + "abc";
  const std::pair<std::string, std::string> files[] = {
      {dir.Write("plain", a), a},
      {dir.Write("empty", ""), ""},
      {dir.Write("short", "a"), "a"},
      {dir.Write("one.gz", GzipOf(a)), a},
      {dir.Write("members.gz", GzipOf(a) + GzipOf("") + GzipOf(b)), a + b},
      {dir.Write("padded.gz", GzipOf(a) + std::string(1000, '\0')), a},
      {dir.Write("nothing.gz", GzipOf("")), ""},
      {dir.Write("one.zst", ZstdOf(a)), a},
      {dir.Write("frames.zst", ZstdOf(a) + ZstdOf("") + ZstdOf(b)), a + b},
      {dir.Write("skippable.zst", skippable + ZstdOf(b)), b},
      // The bytes say what it is, not the name.
      {dir.Write("gzip.txt", GzipOf(b)), b},
      {dir.Write("zstd.gz", ZstdOf(b)), b},
      {dir.Write("plain.gz", b), b},
  };
  for (const auto& [path, text] : files) {
    for (const FileReader::Options& options :
         {FileReader::Options{}, {.chunk_bytes = 1000, .chunks = 1}, {.chunk_bytes = 4096, .chunks = 2}}) {
      SCOPED_TRACE(path);
      const auto [read, status] = ReadAll(path, options);
      EXPECT_TRUE(status.ok()) << status;
      EXPECT_TRUE(read == text) << read.size() << " bytes, not " << text.size();
    }
  }
}

TEST(FileReader, DeliversWhatCameBeforeAnError) {
  const TempDir dir;
  const std::string text = Text(3'000'000, 3);
  for (const bool gzip : {true, false}) {
    const std::string whole = gzip ? GzipOf(text) : ZstdOf(text);
    for (const size_t bytes : {whole.size() - 1, whole.size() / 2, size_t{20}}) {
      const auto [read, status] = ReadAll(dir.Write("cut", whole.substr(0, bytes)));
      EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
      EXPECT_NE(status.message().find("truncated"), std::string::npos) << status;
      EXPECT_NE(status.message().find(dir.Path("cut")), std::string::npos) << status;
      EXPECT_TRUE(text.starts_with(read));
      if (bytes == whole.size() / 2) {
        EXPECT_GT(read.size(), text.size() / 4);
      }
    }
    // A second member that is cut.
    const auto [read, status] = ReadAll(dir.Write("cut2", whole + whole.substr(0, 100)));
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
    EXPECT_TRUE(read.starts_with(text));

    std::string corrupt = whole;
    for (size_t i = whole.size() / 2; i < whole.size() / 2 + 64; ++i) corrupt[i] = static_cast<char>(~corrupt[i]);
    const auto [before, broken] = ReadAll(dir.Write("corrupt", corrupt));
    EXPECT_EQ(broken.code(), absl::StatusCode::kDataLoss) << broken;
    EXPECT_NE(broken.message().find("corrupt"), std::string::npos) << broken;
    EXPECT_GT(before.size(), text.size() / 8);
  }
  EXPECT_EQ(ReadAll(dir.Write("garbage.gz", GzipOf(text) + "garbage")).second.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ReadAll(dir.Write("none.gz", "")).second.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ReadAll(dir.Write("none.zst", "\x28\xb5")).second.code(), absl::StatusCode::kDataLoss);
}

TEST(FileReader, KnowsAtOnceWhatCannotBeOpened) {
  const TempDir dir;
  const auto missing = FileReader::Open(dir.Path("missing"));
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(missing.status().message().find(dir.Path("missing")), std::string::npos);
  EXPECT_FALSE(FileReader::Open(dir.Path(".")).ok());
}

TEST(FileReader, HandsOverWhatAPipeHasGivenSoFar) {
  const TempDir dir;
  const std::string path = dir.Path("fifo");
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  auto reader = FileReader::Open(path);
  ASSERT_TRUE(reader.ok()) << reader.status();
  const int fd = ::open(path.c_str(), O_WRONLY);
  ASSERT_GE(fd, 0);
  const auto take = [&] {
    std::span<const char> chunk;
    EXPECT_TRUE(WaitFor([&] { return (*reader)->TryTake(&chunk) == FileReader::Take::kChunk; }));
    std::string text(chunk.data(), chunk.size());
    (*reader)->Release();
    return text;
  };
  for (const std::string text : {"first\n", "second\n"}) {
    ASSERT_EQ(::write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    EXPECT_EQ(take(), text);
  }
  ::close(fd);
  std::span<const char> chunk;
  EXPECT_TRUE(WaitFor([&] { return (*reader)->TryTake(&chunk) == FileReader::Take::kEnd; }));
}

TEST(FileReader, CanBeDestroyedAtAnyTime) {
  const TempDir dir;
  const std::string fifo = dir.Path("fifo");
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  {
    ASSERT_TRUE(FileReader::Open(fifo).ok());
  }  // nobody will ever write
  const std::string path = dir.Write("file", Text(1'000'000, 4));
  for (const size_t chunks : {size_t{1}, size_t{3}}) {
    for (int takes = 0; takes < 50; ++takes) {
      auto reader = FileReader::Open(path, {.chunk_bytes = 1000, .chunks = chunks});
      ASSERT_TRUE(reader.ok());
      std::span<const char> chunk;
      for (int i = 0; i < takes; ++i) {
        if ((*reader)->TryTake(&chunk) == FileReader::Take::kChunk) (*reader)->Release();
      }
    }
  }
}

}  // namespace
}  // namespace tickbridge
