// SPDX-License-Identifier: Apache-2.0
// The C ABI of the shared table's readers: the same as the C++ reader shows, and NULL is no crash.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "core/clock.h"
#include "sink/tickbridge_reader.h"
#include "tests/sink/table_writer.h"

namespace tickbridge {
namespace {

class ReaderC : public ::testing::Test {
 protected:
  ~ReaderC() override {
    tbr_close(reader_);
    std::filesystem::remove(path_);
  }

  const std::string path_ = "/dev/shm/tickbridge-reader-c-test." + std::to_string(::getpid());
  tbr_reader* reader_ = nullptr;
};

TEST_F(ReaderC, ShowsAQuoteAndWhoLives) {
  auto writer = std::make_unique<TableWriter>(path_);
  writer->Quote("A", 100);
  char error[256] = "";
  reader_ = tbr_open(path_.c_str(), error, sizeof(error));
  ASSERT_NE(reader_, nullptr) << error;
  tbr_quote quote;
  EXPECT_EQ(tbr_find(reader_, "B"), TBR_NO_SYMBOL);
  EXPECT_EQ(tbr_load(reader_, TBR_NO_SYMBOL, &quote), TBR_INVALID);
  ASSERT_EQ(tbr_load(reader_, tbr_find(reader_, "A"), &quote), TBR_OK);
  EXPECT_EQ(quote.present, 1 << TBR_BID | 1 << TBR_ASK | 1 << TBR_LOW);
  EXPECT_EQ(tbr_to_double(quote.value[TBR_ASK]), 1.01);
  EXPECT_GE(tbr_age_ns(&quote), 0);
  EXPECT_GE(tbr_source_age_ns(reader_, &quote), 0);
  char name[65];
  EXPECT_EQ(tbr_name(reader_, 0, name, sizeof(name)), 1);
  EXPECT_STREQ(name, "A");
  EXPECT_EQ(tbr_symbols(reader_), 1U);
  EXPECT_EQ(tbr_generation(reader_), 1'000U);
  EXPECT_EQ(tbr_life(reader_), TBR_ALIVE);
  writer.reset();
  EXPECT_EQ(tbr_life(reader_), TBR_CLOSED);
  std::filesystem::remove(path_);
  const TableWriter next(path_);
  EXPECT_EQ(tbr_life(reader_), TBR_SUPERSEDED) << "its file was removed, and another bridge made a new one";
}

TEST_F(ReaderC, TakesNull) {
  TableWriter writer(path_);
  writer.Quote("A", 100);
  reader_ = tbr_open(path_.c_str(), nullptr, 0);
  ASSERT_NE(reader_, nullptr);
  EXPECT_EQ(tbr_open(nullptr, nullptr, 0), nullptr);
  tbr_close(nullptr);

  tbr_quote quote{};
  char name[65] = "x";
  uint32_t epoch = 0;
  EXPECT_EQ(tbr_find(nullptr, "A"), TBR_NO_SYMBOL);
  EXPECT_EQ(tbr_symbols(nullptr), 0U);
  EXPECT_EQ(tbr_name(nullptr, 0, name, sizeof(name)), -1);
  EXPECT_STREQ(name, "");
  EXPECT_EQ(tbr_load(nullptr, 0, &quote), TBR_INVALID);
  EXPECT_EQ(tbr_source_age_ns(nullptr, &quote), -1);
  EXPECT_EQ(tbr_life(nullptr), TBR_INVALID);
  EXPECT_EQ(tbr_generation(nullptr), 0U);
  EXPECT_EQ(tbr_wait(nullptr, &epoch, INT64_MAX), 0);

  EXPECT_EQ(tbr_find(reader_, nullptr), TBR_NO_SYMBOL);
  EXPECT_EQ(tbr_name(reader_, 0, nullptr, 0), 1);
  EXPECT_EQ(tbr_load(reader_, 0, nullptr), TBR_INVALID);
  EXPECT_EQ(tbr_age_ns(nullptr), INT64_MAX);
  EXPECT_EQ(tbr_source_age_ns(reader_, nullptr), -1);
  EXPECT_EQ(tbr_wait(reader_, nullptr, INT64_MAX), 0);
}

}  // namespace
}  // namespace tickbridge
