// SPDX-License-Identifier: Apache-2.0
#include "feed/file_reader.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace tickbridge {
namespace {

constexpr size_t kReadBytes = size_t{128} << 10;
constexpr size_t kMagicBytes = 4;
constexpr std::string_view kGzipMagic = "\x1f\x8b";
constexpr std::string_view kZstdMagic = "\x28\xb5\x2f\xfd";

// zstd's skippable frames: 0x184D2A50 to 0x184D2A5F, little-endian.
bool IsSkippableFrame(std::string_view head) {
  return head.size() >= kMagicBytes && (static_cast<uint8_t>(head[0]) & 0xf0U) == 0x50 &&
         head.substr(1, 3) == "\x2a\x4d\x18";
}

}  // namespace

// Turns the bytes of the file into those of its content, as much at a time as there is room for.
class FileReader::Decompressor {
 public:
  virtual ~Decompressor() = default;
  // Takes from the front of `input`, and returns how many bytes it wrote to `output`. Nothing taken and nothing
  // written means that more input is needed.
  virtual absl::StatusOr<size_t> Step(std::span<const char>* input, std::span<char> output) = 0;
  // After the last input: whether that was a good place to end.
  virtual bool Complete() const { return true; }
};

class FileReader::Plain final : public Decompressor {
 public:
  absl::StatusOr<size_t> Step(std::span<const char>* input, std::span<char> output) override {
    const size_t bytes = std::min(input->size(), output.size());
    std::copy_n(input->data(), bytes, output.data());
    *input = input->subspan(bytes);
    return bytes;
  }
};

class FileReader::Gzip final : public Decompressor {
 public:
  Gzip() {
    constexpr int kGzipOnly = 15 + 16;
    if (inflateInit2(&stream_, kGzipOnly) != Z_OK) throw std::bad_alloc();
  }
  ~Gzip() override { inflateEnd(&stream_); }

  absl::StatusOr<size_t> Step(std::span<const char>* input, std::span<char> output) override {
    if (between_members_) {
      // Tapes and block devices pad with zeros.
      while (!input->empty() && input->front() == 0) *input = input->subspan(1);
      if (input->empty()) return 0;
      if (input->front() != kGzipMagic[0]) return absl::DataLossError("trailing garbage after gzip data");
      inflateReset(&stream_);
      between_members_ = false;
    }
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input->data()));
    stream_.avail_in = static_cast<uInt>(input->size());
    stream_.next_out = reinterpret_cast<Bytef*>(output.data());
    stream_.avail_out = static_cast<uInt>(output.size());
    const int result = inflate(&stream_, Z_NO_FLUSH);
    *input = input->last(stream_.avail_in);
    const size_t bytes = output.size() - stream_.avail_out;
    if (result == Z_STREAM_END) {
      between_members_ = true;
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
      error_ = absl::DataLossError(
          absl::StrCat("corrupt gzip data", stream_.msg == nullptr ? "" : absl::StrCat(": ", stream_.msg)));
    }
    // What came before the error is delivered first.
    if (!error_.ok() && bytes == 0) return error_;
    return bytes;
  }
  bool Complete() const override { return between_members_; }

 private:
  z_stream stream_{};
  bool between_members_ = false;
  absl::Status error_;
};

class FileReader::Zstd final : public Decompressor {
 public:
  Zstd() : context_(ZSTD_createDCtx()) {
    if (context_ == nullptr) throw std::bad_alloc();
  }
  ~Zstd() override { ZSTD_freeDCtx(context_); }

  absl::StatusOr<size_t> Step(std::span<const char>* input, std::span<char> output) override {
    ZSTD_inBuffer in{input->data(), input->size(), 0};
    ZSTD_outBuffer out{output.data(), output.size(), 0};
    if (error_.ok() && !(complete_ && input->empty())) {
      const size_t result = ZSTD_decompressStream(context_, &out, &in);
      if (ZSTD_isError(result) != 0) {
        error_ = absl::DataLossError(absl::StrCat("corrupt zstd data: ", ZSTD_getErrorName(result)));
      } else {
        complete_ = result == 0;
      }
      *input = input->subspan(in.pos);
    }
    if (!error_.ok() && out.pos == 0) return error_;
    return out.pos;
  }
  bool Complete() const override { return complete_; }

 private:
  ZSTD_DCtx* context_;
  bool complete_ = false;  // the last frame ended, and no other began
  absl::Status error_;
};

absl::StatusOr<std::unique_ptr<FileReader>> FileReader::Open(const std::string& path, const Options& options) {
  const bool is_stdin = path == "-";
  const int fd = is_stdin ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", path));
  struct stat info{};
  if (::fstat(fd, &info) != 0 || S_ISDIR(info.st_mode)) {
    const int error = S_ISDIR(info.st_mode) ? EISDIR : errno;
    if (!is_stdin) ::close(fd);
    return absl::ErrnoToStatus(error, absl::StrCat("cannot read ", is_stdin ? "standard input" : path));
  }
  std::unique_ptr<FileReader> reader(new FileReader(is_stdin ? "standard input" : path, fd, !is_stdin, options));
  reader->stop_fd_ = ::eventfd(0, EFD_CLOEXEC);
  if (reader->stop_fd_ < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot read ", path));
  reader->thread_ = std::thread([r = reader.get()] { r->Run(); });
  return reader;
}

FileReader::FileReader(std::string path, int fd, bool close_fd, const Options& options)
    : path_(std::move(path)),
      fd_(fd),
      close_fd_(close_fd),
      chunk_bytes_(std::max<size_t>(options.chunk_bytes, 1)),
      chunks_(std::max<size_t>(options.chunks, 1)) {
  for (Chunk& chunk : chunks_) chunk.data = std::make_unique_for_overwrite<char[]>(chunk_bytes_);
}

FileReader::~FileReader() {
  if (thread_.joinable()) {
    stopping_.store(true, std::memory_order_release);  // (5)
    const uint64_t one = 1;
    static_cast<void>(!::write(stop_fd_, &one, sizeof(one)));  // an eventfd takes it
    for (Chunk& chunk : chunks_) {
      chunk.full.store(0, std::memory_order_release);  // (3)
      chunk.full.notify_all();
    }
    thread_.join();
  }
  if (stop_fd_ >= 0) ::close(stop_fd_);
  if (close_fd_) ::close(fd_);
}

FileReader::Take FileReader::TryTake(std::span<const char>* chunk) noexcept {
  const Chunk& next = chunks_[taking_];
  // The end is looked at first: what was pushed before it is then seen, too. Acquire (2) pairs with the release (1).
  const bool ended = ended_.load(std::memory_order_acquire);
  if (next.full.load(std::memory_order_acquire) == 0) {  // (2)
    return ended ? Take::kEnd : Take::kNothingYet;
  }
  *chunk = {next.data.get(), next.bytes};
  return Take::kChunk;
}

void FileReader::Release() noexcept {
  Chunk& chunk = chunks_[taking_];
  taking_ = taking_ + 1 == chunks_.size() ? 0 : taking_ + 1;
  // The system call of a wake-up is made only where the helper sleeps.
  chunk.full.store(0, std::memory_order_release);  // (3) pairs with (4)
  chunk.full.notify_one();
}

bool FileReader::WaitForChunk() {
  // Also before the wait: the destructor empties every chunk only once.
  if (stopping_.load(std::memory_order_acquire)) return false;  // (5)
  const Chunk& chunk = chunks_[filling_];
  chunk.full.wait(1, std::memory_order_acquire);      // (4)
  return !stopping_.load(std::memory_order_acquire);  // (5)
}

void FileReader::PushChunk() {
  Chunk& chunk = chunks_[filling_];
  filling_ = filling_ + 1 == chunks_.size() ? 0 : filling_ + 1;
  chunk.full.store(1, std::memory_order_release);  // (1)
}

void FileReader::Run() {
  status_ = ReadAll();
  ended_.store(true, std::memory_order_release);  // (1)
}

absl::Status FileReader::ReadAll() {
  std::vector<char> buffer(kReadBytes);
  std::span<const char> input;
  bool at_end = false;
  // Enough to recognise what it is.
  size_t head = 0;
  while (head < kMagicBytes && !at_end) {
    absl::StatusOr<size_t> bytes = Read(buffer.data() + head, buffer.size() - head);
    if (!bytes.ok()) return bytes.status();
    at_end = *bytes == 0;
    head += *bytes;
  }
  input = {buffer.data(), head};
  absl::StatusOr<std::unique_ptr<Decompressor>> decompressor = Recognise(input, at_end);
  if (!decompressor.ok()) return decompressor.status();

  absl::Status status;
  bool done = false;
  while (!done) {
    if (!WaitForChunk()) return absl::CancelledError();
    Chunk& chunk = chunks_[filling_];
    chunk.bytes = 0;
    while (chunk.bytes < chunk_bytes_) {
      const std::span<char> space{chunk.data.get() + chunk.bytes, chunk_bytes_ - chunk.bytes};
      const size_t input_before = input.size();
      absl::StatusOr<size_t> written = (*decompressor)->Step(&input, space);
      if (!written.ok()) {
        status = Error(written.status().code(), written.status().message());
        done = true;
        break;
      }
      chunk.bytes += *written;
      if (*written != 0 || input.size() != input_before) continue;
      if (at_end) {
        if (!(*decompressor)->Complete()) {
          status = Error(absl::StatusCode::kDataLoss, "the compressed data ends too early: the file is truncated");
        }
        done = true;
        break;
      }
      // What a slow pipe has given so far is not held back for a full chunk.
      if (chunk.bytes != 0) {
        pollfd ready{fd_, POLLIN, 0};
        if (::poll(&ready, 1, 0) == 0) break;
      }
      absl::StatusOr<size_t> bytes = Read(buffer.data(), buffer.size());
      if (!bytes.ok()) {
        status = bytes.status();
        done = true;
        break;
      }
      at_end = *bytes == 0;
      input = {buffer.data(), *bytes};
    }
    if (chunk.bytes != 0) PushChunk();
  }
  return status;
}

absl::StatusOr<std::unique_ptr<FileReader::Decompressor>> FileReader::Recognise(std::span<const char> head,
                                                                                bool at_end) const {
  const std::string_view magic(head.data(), head.size());
  if (magic.starts_with(kGzipMagic)) return std::make_unique<Gzip>();
  if (magic.starts_with(kZstdMagic) || IsSkippableFrame(magic)) return std::make_unique<Zstd>();
  if (at_end && (absl::EndsWith(path_, ".gz") || absl::EndsWith(path_, ".zst"))) {
    return Error(absl::StatusCode::kDataLoss, "it is named as compressed, but too short to be: the file is truncated");
  }
  return std::make_unique<Plain>();
}

absl::StatusOr<size_t> FileReader::Read(char* data, size_t bytes) {
  for (;;) {
    pollfd ready[] = {{fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
    if (::poll(ready, 2, -1) < 0 && errno != EINTR) return Error(absl::StatusCode::kInternal, std::strerror(errno));
    if (ready[1].revents != 0) return size_t{0};
    if (ready[0].revents == 0) continue;
    const ssize_t got = ::read(fd_, data, bytes);
    if (got >= 0) return static_cast<size_t>(got);
    if (errno != EINTR && errno != EAGAIN) return absl::ErrnoToStatus(errno, absl::StrCat("cannot read ", path_));
  }
}

absl::Status FileReader::Error(absl::StatusCode code, std::string_view what) const {
  return absl::Status(code, absl::StrCat(path_, ": ", what));
}

}  // namespace tickbridge
