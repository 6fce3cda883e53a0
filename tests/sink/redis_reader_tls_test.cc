// SPDX-License-Identifier: Apache-2.0
// Goal: a RedisReader over TLS is the same near cache as one in the clear, and refuses a server that it does not trust.
//
// Method: a private redis-server with certificates of the test's own. What TLS adds is that bytes may lie decrypted
// where no socket tells of them, so the answers and the changes told of are larger than what one record holds.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "sink/redis_reader.h"
#include "tests/redis_server.h"

namespace tickbridge {
namespace {

using Outcome = RedisReader::Outcome;

constexpr int kSymbols = 2'000;
constexpr int64_t kLongNs = 10 * kNsPerSec;

std::string OutputOf(const std::string& command) {
  std::string text;
  FILE* const pipe = ::popen((command + " 2>&1").c_str(), "r");
  for (int c; (c = std::fgetc(pipe)) != EOF;) text += static_cast<char>(c);
  ::pclose(pipe);
  return text;
}

class RedisReaderTls : public ::testing::Test {
 protected:
  RedisReaderTls() {
    char folder[] = "/tmp/tb-tls-XXXXXX";
    if (::mkdtemp(folder) != nullptr) folder_ = folder;
  }
  ~RedisReaderTls() override { std::filesystem::remove_all(folder_); }

  void SetUp() override {
    if (std::system("openssl version >/dev/null 2>&1") != 0) GTEST_SKIP() << "no openssl here";
    // One without TLS does not know the words; the others miss the file.
    const std::string tried = OutputOf("redis-server --port 0 --tls-port 1 --tls-cert-file none --dir " + folder_);
    if (tried.find("Bad directive") != std::string::npos) GTEST_SKIP() << "this redis-server has no TLS";
    // Each is its own authority.
    for (const char* const name : {"server", "stranger"}) {
      const std::string at = Path(name);
      const std::string command = absl::StrCat(
          "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost "
          "-addext ",
          "subjectAltName=DNS:localhost -keyout ", at, ".key -out ", at, ".crt 2>/dev/null");
      ASSERT_EQ(std::system(command.c_str()), 0);
    }
    port_ = FreePort();
    server_ = std::make_unique<RedisServer>(std::vector<std::string>{
        "--tls-port", absl::StrCat(port_), "--bind", "127.0.0.1", "--tls-cert-file", Path("server.crt"),
        "--tls-key-file", Path("server.key"), "--tls-ca-cert-file", Path("server.crt"), "--tls-auth-clients", "no"});
    for (int i = 0; i < kSymbols; ++i) symbols_.push_back(absl::StrCat("SYMBOL", i));
  }

  std::unique_ptr<RedisReader> Make(const std::string& authority) {
    RedisReader::Options options;
    options.target.host = "localhost";
    options.target.port = port_;
    options.target.tls = true;
    options.target.tls_options.ca = Path(authority);
    absl::StatusOr<std::unique_ptr<RedisReader>> reader = RedisReader::Create(std::move(options), symbols_);
    EXPECT_TRUE(reader.ok()) << reader.status();
    return *std::move(reader);
  }

  // All symbols, by somebody else.
  void WriteAll(int64_t last) {
    std::vector<std::string> words = {"MSET"};
    for (const std::string& symbol : symbols_) {
      words.push_back(absl::StrCat("price:", symbol, ":latest"));
      words.push_back(absl::StrCat(R"({"Last":)", last, R"(,"Timestamp":1700000000000})"));
    }
    ASSERT_EQ(server_->Call(words), "OK");
    ASSERT_EQ(server_->Call({"PING"}), "PONG");  // what is told of the change is on its way
  }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }

  std::string folder_;
  uint16_t port_ = 0;
  std::unique_ptr<RedisServer> server_;
  std::vector<std::string> symbols_;
};

TEST_F(RedisReaderTls, TracksWhatChanges) {
  WriteAll(0);
  const std::unique_ptr<RedisReader> reader = Make("server.crt");
  for (int64_t last = 1; last <= 20; ++last) {
    WriteAll(last);
    // What was told of only now may be read by the Poll after.
    const bool all = WaitFor([&] {
      const Outcome outcome = reader->Poll(kLongNs);
      EXPECT_NE(outcome, Outcome::kDisconnected) << reader->status();
      const Quote* quote = nullptr;
      for (uint32_t i = 0; i < kSymbols; ++i) {
        if (reader->Get(SymbolId{i}, &quote) != QuoteState::kCurrent) return false;
        if (quote->Get(Field::kLast) != Decimal{last, 0}) return false;
      }
      return true;
    });
    ASSERT_TRUE(all) << last;
  }
  EXPECT_EQ(reader->mode(), RedisReader::Mode::kTracking);
  EXPECT_EQ(reader->counts().connections, 1u);
  EXPECT_GE(reader->counts().invalidations, static_cast<uint64_t>(19 * kSymbols));
}

TEST_F(RedisReaderTls, RefusesAServerThatItDoesNotTrust) {
  WriteAll(1);
  const std::unique_ptr<RedisReader> reader = Make("stranger.crt");
  ASSERT_TRUE(WaitFor([&] {
    EXPECT_NE(reader->Poll(kNsPerMs), Outcome::kCurrent);
    return absl::IsFailedPrecondition(reader->status());
  })) << reader->status();
  EXPECT_NE(reader->status().message().find("certificate"), std::string::npos) << reader->status();
  const Quote* quote = nullptr;
  EXPECT_EQ(reader->Get(SymbolId{0}, &quote), QuoteState::kUnknown);
  EXPECT_EQ(reader->counts().keys_read, 0u);
}

}  // namespace
}  // namespace tickbridge
