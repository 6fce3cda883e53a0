// SPDX-License-Identifier: Apache-2.0
// The bytes of a file or of standard input, read and decompressed by a helper thread, since reading blocks.
//
// What is compressed is known by its first bytes: gzip (any number of members) and zstd (any number of frames),
// whatever the file is called; everything else is passed on as it is.
// Threading: one thread calls TryTake and Release. The helper thread lives as long as the reader.
// Progress: TryTake and Release never wait for the helper thread.
// Memory: `chunks` buffers of `chunk_bytes`, and what the decompressor needs.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tickbridge {

class FileReader {
 public:
  struct Options {
    size_t chunk_bytes = size_t{256} << 10;
    size_t chunks = 4;
  };
  enum class Take : uint8_t { kChunk, kNothingYet, kEnd };

  // `path` "-" is standard input. Fails at once where the path cannot be opened or is a directory.
  static absl::StatusOr<std::unique_ptr<FileReader>> Open(const std::string& path, const Options& options);
  static absl::StatusOr<std::unique_ptr<FileReader>> Open(const std::string& path) { return Open(path, Options{}); }
  // Also ends a read that would wait for ever.
  ~FileReader();
  FileReader(const FileReader&) = delete;
  FileReader& operator=(const FileReader&) = delete;

  // kChunk: `chunk` is the next bytes, never none, until Release. Every byte before an error is delivered.
  Take TryTake(std::span<const char>* chunk) noexcept;
  // Gives the taken chunk back.
  void Release() noexcept;

  // What ended the reading; meaningful once TryTake said kEnd. Names the path.
  const absl::Status& status() const noexcept { return status_; }

 private:
  class Decompressor;
  class Plain;
  class Gzip;
  class Zstd;
  // Written by the helper while `full` is 0, read by the taker while it is 1.
  struct Chunk {
    std::unique_ptr<char[]> data;
    size_t bytes = 0;
    std::atomic<uint32_t> full{0};
  };

  FileReader(std::string path, int fd, bool close_fd, const Options& options);

  // The helper thread's.
  void Run();
  absl::Status ReadAll();
  absl::StatusOr<std::unique_ptr<Decompressor>> Recognise(std::span<const char> head, bool at_end) const;
  // The next bytes of the file; 0 at its end, or when the reader is being destroyed.
  absl::StatusOr<size_t> Read(char* data, size_t bytes);
  // An empty chunk to fill; false when the reader is being destroyed.
  bool WaitForChunk();
  void PushChunk();
  absl::Status Error(absl::StatusCode code, std::string_view what) const;

  const std::string path_;
  const int fd_;
  const bool close_fd_;
  const size_t chunk_bytes_;
  int stop_fd_ = -1;  // an eventfd: readable when the reader is being destroyed
  std::vector<Chunk> chunks_;
  absl::Status status_;  // written before ended_
  std::atomic<bool> ended_{false};
  std::atomic<bool> stopping_{false};
  size_t filling_ = 0;  // the helper's
  size_t taking_ = 0;   // the taker's
  std::thread thread_;
};

}  // namespace tickbridge
