// SPDX-License-Identifier: Apache-2.0
//
// The counters file between its writer and readers of the same and of other processes, and readers before files that
// are not what they seem.

#include "core/counters.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace tickbridge {
namespace {

using Kind = CountersFile::Kind;

class CountersFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/tickbridge-counters-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = folder_ + "/main.counters";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<CountersFile> Create() {
    auto file = CountersFile::Create(path_);
    EXPECT_TRUE(file.ok()) << file.status();
    return file.ok() ? std::move(*file) : nullptr;
  }

  std::string folder_;
  std::string path_;
};

TEST_F(CountersFileTest, ShowsWhatWasAddedAndWritten) {
  const auto writer = Create();
  Counter* const records = writer->AddCounter("feed.local.records");
  Gauge* const lag = writer->AddGauge("feed.local.lag_ns");
  TextCell* const state = writer->AddText("feed.local.state");
  Histogram* const latency = writer->AddHistogram("sink.tick_to_ack_ns");
  records->Add();
  records->Add(41);
  lag->Set(-7);
  state->Set("connected");
  latency->Record(1234);
  writer->Beat(MonoNs{99});

  const auto reader = CountersFile::OpenReadOnly(path_);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ((*reader)->pid(), ::getpid());
  EXPECT_TRUE((*reader)->WriterIsAlive());
  EXPECT_GT((*reader)->started().value, 1'600'000'000 * kNsPerSec);
  EXPECT_EQ((*reader)->last_beat(), MonoNs{99});
  std::vector<CountersFile::Entry> entries = (*reader)->Entries();
  ASSERT_EQ(entries.size(), 4U);
  EXPECT_EQ(entries[0].name, "feed.local.records");
  EXPECT_EQ(entries[0].kind, Kind::kCounter);
  EXPECT_EQ(entries[0].counter, 42U);
  EXPECT_EQ(entries[1].kind, Kind::kGauge);
  EXPECT_EQ(entries[1].gauge, -7);
  EXPECT_EQ(entries[2].kind, Kind::kText);
  EXPECT_EQ(entries[2].text, "connected");
  EXPECT_EQ(entries[3].kind, Kind::kHistogram);
  ASSERT_NE(entries[3].histogram, nullptr);
  EXPECT_EQ(Summarize(*entries[3].histogram).max, 1234);

  records->Add(8);
  writer->AddCounter("late");
  entries = (*reader)->Entries();
  ASSERT_EQ(entries.size(), 5U);
  EXPECT_EQ(entries[0].counter, 50U);
  EXPECT_EQ(entries[4].name, "late");
  EXPECT_EQ(writer->Entries().size(), 5U);
}

TEST_F(CountersFileTest, NeedsNoFile) {
  const auto file = CountersFile::Create("");
  ASSERT_TRUE(file.ok());
  (*file)->AddCounter("a")->Add(3);
  ASSERT_EQ((*file)->Entries().size(), 1U);
  EXPECT_EQ((*file)->Entries()[0].counter, 3U);
  EXPECT_TRUE((*file)->WriterIsAlive());
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(CountersFileTest, IsForOwnerAndGroupWhateverTheUmaskAndGoneAtTheEnd) {
  const mode_t before = ::umask(0777);
  auto file = Create();
  ::umask(before);
  struct stat info{};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640U);
  EXPECT_FALSE(std::filesystem::exists(path_ + ".new"));
  EXPECT_TRUE(std::filesystem::exists(path_ + ".lock"));
  file.reset();
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(CountersFileTest, LeavesNoLockWhereItCouldNotBeMade) {
  std::filesystem::create_directory(path_);  // nothing can be renamed to it
  EXPECT_FALSE(CountersFile::Create(path_).ok());
  std::filesystem::remove(path_);
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(CountersFileTest, LeavesTheFilesOfAnotherThatTookItsPlace) {
  auto first = Create();
  std::filesystem::remove(path_ + ".lock");  // by hand, although a bridge runs
  const auto second = Create();
  ASSERT_NE(second, nullptr);
  first.reset();
  EXPECT_TRUE(std::filesystem::exists(path_));
  EXPECT_EQ(CountersFile::Create(path_).status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(CountersFileTest, SaysWhoseTheLockIsThatMayNotBeOpened) {
  const std::string lock = path_ + ".lock";
  std::ofstream(lock) << "1";
  ::chmod(lock.c_str(), 0);
  ::chmod(folder_.c_str(), 01777);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    constexpr uid_t kNobody = 65'534;
    if (::geteuid() == 0 && ::setuid(kNobody) != 0) ::_exit(1);  // root may open anything
    const std::string said(CountersFile::Create(path_).status().message());
    ::_exit(::write(ends[1], said.data(), said.size()) > 0 ? 0 : 1);
  }
  ::close(ends[1]);
  std::string said(4096, '\0');
  said.resize(static_cast<size_t>(std::max<ssize_t>(::read(ends[0], said.data(), said.size()), 0)));
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  for (const std::string& part : {lock, "uid " + std::to_string(::geteuid()), std::string("remove it"),
                                  std::string("another [bridge] instance")}) {
    EXPECT_NE(said.find(part), std::string::npos) << part << "\n" << said;
  }
}

// Goal: at most one at a time holds an instance, although each removes the lock's file at its end.
// Method: processes of two threads each make and drop the same path as fast as they can, and count who is inside in
// memory that they share. Without the second look at the path, two are inside within a few rounds.
TEST_F(CountersFileTest, IsHeldByOneAtATimeHoweverManyComeAndGo) {
  struct Shared {
    std::atomic<int> inside{0};
    std::atomic<int> held{0};
    std::atomic<int> broken{0};
  };
  void* const memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  auto* const shared = new (memory) Shared;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(1'500);
  const auto turn = [&] {
    while (std::chrono::steady_clock::now() < deadline) {
      auto file = CountersFile::Create(path_);
      if (!file.ok()) {
        if (!absl::IsAlreadyExists(file.status())) shared->broken.fetch_add(1);
        continue;
      }
      if (shared->inside.fetch_add(1) != 0) shared->broken.fetch_add(1);
      shared->held.fetch_add(1);
      shared->inside.fetch_sub(1);
    }
  };
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    children.push_back(::fork());
    if (children.back() != 0) continue;
    std::thread other(turn);
    turn();
    other.join();
    ::_exit(0);
  }
  for (const pid_t child : children) {
    int status = -1;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(shared->broken.load(), 0);
  EXPECT_GT(shared->held.load(), 10);
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
  ::munmap(memory, sizeof(Shared));
}

TEST_F(CountersFileTest, RefusesASecondBridgeAndNamesTheFirst) {
  auto first = Create();
  first->AddCounter("a")->Add(1);
  const auto second = CountersFile::Create(path_);
  ASSERT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  const std::string message(second.status().message());
  EXPECT_NE(message.find("(pid " + std::to_string(::getpid()) + ")"), std::string::npos) << message;
  EXPECT_NE(message.find(path_ + ".lock"), std::string::npos) << message;
  EXPECT_NE(message.find("[bridge] instance"), std::string::npos) << message;
  const auto reader = CountersFile::OpenReadOnly(path_);
  ASSERT_TRUE(reader.ok()) << "the first's file is untouched";
  EXPECT_EQ((*reader)->Entries()[0].counter, 1U);
  first.reset();
  EXPECT_NE(Create(), nullptr);
}

TEST_F(CountersFileTest, ReplacesTheFileOfABridgeThatWasKilled) {
  const pid_t child = ::fork();
  if (child == 0) {
    auto file = CountersFile::Create(path_);
    (*file)->AddCounter("of-the-dead");
    std::ofstream(path_ + ".new") << "half";
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  const auto left = CountersFile::OpenReadOnly(path_);
  ASSERT_TRUE(left.ok()) << left.status();
  EXPECT_EQ((*left)->pid(), child);
  EXPECT_FALSE((*left)->WriterIsAlive());
  const auto file = Create();
  ASSERT_NE(file, nullptr);
  EXPECT_TRUE(file->Entries().empty());
  // Whoever still has the old one mapped reads on in it.
  EXPECT_EQ((*left)->Entries()[0].name, "of-the-dead");
}

TEST_F(CountersFileTest, AChildProcessDoesNotInheritTheLock) {
  auto file = Create();
  const pid_t child = ::fork();
  if (child == 0) {
    ::execl("/bin/sleep", "sleep", "30", nullptr);
    ::_exit(1);
  }
  // The fork shares the lock until its exec has closed it.
  file.reset();
  absl::StatusOr<std::unique_ptr<CountersFile>> again = absl::UnknownError("");
  for (int attempt = 0; attempt < 500 && !again.ok(); ++attempt) {
    again = CountersFile::Create(path_);
    ::usleep(10'000);
  }
  EXPECT_TRUE(again.ok()) << again.status();
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}

TEST_F(CountersFileTest, FollowsNoLinks) {
  const std::string victim = folder_ + "/victim";
  std::ofstream(victim) << "precious";
  std::filesystem::create_symlink(victim, path_ + ".new");
  ASSERT_NE(Create(), nullptr);
  std::filesystem::remove(path_ + ".lock");
  std::filesystem::create_symlink(victim, path_ + ".lock");
  EXPECT_FALSE(CountersFile::Create(path_).ok());
  std::string content;
  std::ifstream(victim) >> content;
  EXPECT_EQ(content, "precious");
}

TEST_F(CountersFileTest, SaysWhyItCannotBeMade) {
  const auto file = CountersFile::Create(folder_ + "/missing/main.counters");
  EXPECT_EQ(file.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(file.status().message().find("/missing/main.counters.lock"), std::string_view::npos) << file.status();
}

TEST_F(CountersFileTest, OpensOnlyCountersFiles) {
  EXPECT_EQ(CountersFile::OpenReadOnly(path_).status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(CountersFile::OpenReadOnly(folder_).ok());
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_EQ(CountersFile::OpenReadOnly(path_).status().code(), absl::StatusCode::kFailedPrecondition);
  std::filesystem::remove(path_);
  std::ofstream(path_) << "short";
  EXPECT_EQ(CountersFile::OpenReadOnly(path_).status().code(), absl::StatusCode::kFailedPrecondition);
  std::filesystem::resize_file(path_, size_t{8} << 20);
  EXPECT_EQ(CountersFile::OpenReadOnly(path_).status().code(), absl::StatusCode::kFailedPrecondition);
}

// Goal: whatever the file holds, reading it stays within it.
// Method: a good file with random bytes changed in its header and directory; values are read through. A sanitizer or a
// fault would tell.
TEST_F(CountersFileTest, TrustsNothingInTheFile) {
  const uint64_t seed = std::random_device{}();
  std::cout << "seed " << seed << "\n";
  std::mt19937_64 random(seed);
  std::string good;
  {
    const auto writer = Create();
    for (int i = 0; i < 20; ++i) {
      writer->AddCounter("counter");
      writer->AddText("text")->Set("some text");
      writer->AddHistogram("histogram");
    }
    std::ifstream in(path_, std::ios::binary);
    good.assign(std::istreambuf_iterator<char>(in), {});
  }
  for (int round = 0; round < 100; ++round) {
    std::string bad = good;
    for (int change = 0; change < 40; ++change) {
      // The identity at the front stays in most rounds, or none would be opened.
      const size_t at = round % 10 == 0
                            ? random() % 64
                            : 24 + random() % 100 + (random() % 2) * 4072 + (random() % 60) * 128 * (random() % 2);
      bad[at] = static_cast<char>(random());
    }
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bad;
    const auto reader = CountersFile::OpenReadOnly(path_);
    if (!reader.ok()) {
      continue;
    }
    (*reader)->WriterIsAlive();
    for (const CountersFile::Entry& entry : (*reader)->Entries()) {
      if (entry.histogram != nullptr) {
        Summarize(*entry.histogram);
      }
    }
  }
}

TEST_F(CountersFileTest, SkipsEntriesThatDoNotLieWithinTheValues) {
  constexpr size_t kFileBytes = size_t{8} << 20;
  constexpr size_t kDirectoryBegin = 4096;
  constexpr size_t kOffsetInEntry = 8;
  std::string good;
  {
    const auto writer = Create();
    writer->AddCounter("counter");
    writer->AddText("text");
    writer->AddHistogram("histogram");
    std::ifstream in(path_, std::ios::binary);
    good.assign(std::istreambuf_iterator<char>(in), {});
  }
  ASSERT_EQ(good.size(), kFileBytes);
  const auto names_with_offset = [&](uint64_t offset) {
    std::string bad = good;
    for (size_t entry = 0; entry < 3; ++entry) {
      std::memcpy(bad.data() + kDirectoryBegin + entry * 128 + kOffsetInEntry, &offset, sizeof(offset));
    }
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bad;
    std::string names;
    const auto reader = CountersFile::OpenReadOnly(path_);
    EXPECT_TRUE(reader.ok()) << reader.status();
    for (const CountersFile::Entry& entry : (*reader)->Entries()) {
      names += entry.name + " ";
    }
    return names;
  };
  EXPECT_EQ(names_with_offset(kFileBytes - sizeof(Histogram)), "counter text histogram ");
  EXPECT_EQ(names_with_offset(kFileBytes - sizeof(Histogram) + 8), "counter text ");
  EXPECT_EQ(names_with_offset(kFileBytes - sizeof(TextCell) + 8), "counter ");
  for (const uint64_t offset : {uint64_t{0}, uint64_t{kDirectoryBegin}, uint64_t{kFileBytes}, uint64_t{kFileBytes - 7},
                                ~uint64_t{7}, ~uint64_t{0}}) {
    EXPECT_EQ(names_with_offset(offset), "") << offset;
  }
}

TEST_F(CountersFileTest, GroupsShareNoCacheLine) {
  const auto file = CountersFile::Create("");
  ASSERT_TRUE(file.ok());
  const auto line = [](const void* p) { return reinterpret_cast<uintptr_t>(p) / 64; };
  Counter* const a = (*file)->AddCounter("a");
  (*file)->AlignGroup();
  Counter* const b = (*file)->AddCounter("b");
  Counter* const c = (*file)->AddCounter("c");
  EXPECT_NE(line(a), line(b));
  EXPECT_EQ(line(b), line(c));
}

TEST_F(CountersFileTest, TakesNewEntriesFromSeveralThreadsWhileBeingRead) {
  const auto writer = Create();
  const auto reader = CountersFile::OpenReadOnly(path_);
  ASSERT_TRUE(reader.ok());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        writer->AddCounter("thread." + std::to_string(t) + "." + std::to_string(i))->Add(static_cast<uint64_t>(t) + 1);
      }
    });
  }
  size_t seen = 0;
  while (seen < 800) {
    const auto entries = (*reader)->Entries();
    ASSERT_GE(entries.size(), seen);
    seen = entries.size();
    for (const auto& entry : entries) {
      ASSERT_EQ(entry.name.substr(0, 7), "thread.");
    }
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  uint64_t sum = 0;
  for (const auto& entry : (*reader)->Entries()) {
    sum += entry.counter;
  }
  EXPECT_EQ(sum, 200U * (1 + 2 + 3 + 4));
}

TEST(TextCell, CutsLongTextsBetweenCharacters) {
  TextCell cell{};
  EXPECT_EQ(cell.Get(), "");
  cell.Set(std::string(TextCell::kBytesMax, 'x'));
  EXPECT_EQ(cell.Get(), std::string(TextCell::kBytesMax, 'x'));
  cell.Set(std::string(TextCell::kBytesMax - 1, 'x') + "é");
  EXPECT_EQ(cell.Get(), std::string(TextCell::kBytesMax - 1, 'x'));
  cell.Set("short again");
  EXPECT_EQ(cell.Get(), "short again");
  cell.Set("");
  EXPECT_EQ(cell.Get(), "");
}

TEST(TextCell, GivesUpOnAWriterThatDiedWithinASet) {
  TextCell cell{};
  cell.Set("before");
  cell.version.store(3, std::memory_order_relaxed);
  EXPECT_EQ(cell.Get(), "");
}

// Goal: a reader sees whole texts only. Method: the writer alternates between texts of one letter; any mix is torn.
TEST(TextCell, IsNeverReadTorn) {
  TextCell cell{};
  std::atomic<bool> done{false};
  std::thread writer([&] {
    const std::string a(200, 'a');
    const std::string b(TextCell::kBytesMax, 'b');
    for (int i = 0; i < 50'000; ++i) {
      cell.Set(i % 2 == 0 ? a : b);
    }
    done.store(true, std::memory_order_release);
  });
  while (!done.load(std::memory_order_acquire)) {
    const std::string text = cell.Get();
    if (!text.empty()) {
      ASSERT_EQ(text, std::string(text[0] == 'a' ? 200 : TextCell::kBytesMax, text[0]));
    }
  }
  writer.join();
  EXPECT_EQ(cell.Get()[0], 'b');
}

}  // namespace
}  // namespace tickbridge
