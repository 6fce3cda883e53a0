// SPDX-License-Identifier: Apache-2.0
// The replies of one connection, in order. `+OK`, which is what nearly every reply is, is recognised in place, many at
// once; everything else goes through hiredis' reader.
//
// Threading: one thread. Progress: never blocks; it only looks at bytes it was given.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tickbridge {

struct ServerReply {
  enum class Kind : uint8_t {
    kOk,       // +OK
    kInteger,  // `integer`
    kStatus,   // another simple string, in `text`
    kError,    // `text` begins with the error's code
    kString,   // a bulk string, in `text`
    kNil,
    kPair,   // an array of two decimal numbers, in `pair`: what TIME is answered with
    kOther,  // nothing that a command of a lane is answered with
  };
  Kind kind = Kind::kOk;
  int64_t integer = 0;
  std::array<int64_t, 2> pair{};
  std::string_view text;  // lives until the next call of Next
};

class ReplyReader {
 public:
  enum class Result : uint8_t { kReply, kNeedMore, kProtocolError };

  // An array that claims more is a protocol error. No write is answered with an array, and the room for as many
  // elements as are claimed is taken at once, before one of them has come.
  static constexpr int64_t kArrayElementsMax = 1024;
  // So is a reply that goes on for more than this and what one read brings: hiredis keeps all of it, and takes arrays
  // within arrays apart by recursion, as deep as they are.
  static constexpr size_t kReplyBytesMax = size_t{64} << 10;

  ReplyReader();
  ~ReplyReader();

  // Room for bytes from the connection; never empty.
  std::span<char> WritableSpace();
  void Commit(size_t bytes) { end_ += bytes; }

  Result Next(ServerReply* reply);

  // How many `+OK` come next, as far as that is known; `max` at most. SkipOks takes so many of them.
  size_t CountOks(size_t max) const noexcept;
  void SkipOks(size_t count) noexcept;

  // Forgets everything, for a new connection.
  void Reset();

 private:
  struct Slow;
  Result NextSlow(ServerReply* reply);

  std::vector<char> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  std::unique_ptr<Slow> slow_;
};

}  // namespace tickbridge
