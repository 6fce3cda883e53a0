// SPDX-License-Identifier: Apache-2.0
// What a server says in RESP2 or RESP3, as a stream of tokens: nothing is copied, and a reply need not be complete
// before its first elements are used. For those who read many values; a lane, whose answers are short, has ReplyReader.
// Source of the format: Redis documentation, "Redis serialization protocol specification".
//
// An array, a map, a set or a push is a token of its own that says how many elements follow it, one level deeper.
// Types that no command of ours is answered with (doubles, booleans, big numbers, verbatim strings, attributes) are
// protocol errors, and so is a depth of more than kDepthMax.
//
// Threading: one thread. Progress: never blocks; it only looks at bytes it was given.
// Memory: one buffer, whatever comes. A string of more than kStringBytesMax is skipped as it comes (kTooLong).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace tickbridge {

class RespScanner {
 public:
  enum class Type : uint8_t { kStatus, kError, kInteger, kString, kTooLong, kNull, kArray, kMap, kSet, kPush };
  struct Token {
    Type type = Type::kNull;
    uint8_t depth = 0;        // 0: begins a reply or a push
    bool ends_reply = false;  // with it, the reply or push is complete
    int64_t number = 0;       // an integer's value; the elements of an aggregate, of a map twice its pairs
    std::string_view text;    // of kStatus, kError and kString; lives until the next call of Next
  };
  enum class Result : uint8_t { kToken, kNeedMore, kProtocolError };

  static constexpr size_t kStringBytesMax = 4096;
  static constexpr size_t kLineBytesMax = 4096;
  static constexpr size_t kDepthMax = 8;
  static constexpr int64_t kElementsMax = int64_t{1} << 20;

  RespScanner();

  // Room for bytes from the connection; never empty once Next has said kNeedMore.
  std::span<char> WritableSpace();
  void Commit(size_t bytes) { end_ += bytes; }

  // After kProtocolError it says so until Reset.
  Result Next(Token* token);

  // Forgets everything, for a new connection.
  void Reset();

 private:
  Result Broken();
  Result Emit(Token* token, Type type);
  Result EmitAggregate(Token* token, Type type, int64_t elements);
  Result NextString(Token* token, int64_t bytes, size_t after_header);
  Result Skip(Token* token);

  std::vector<char> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  uint64_t skip_bytes_ = 0;  // of a string that is too long, with its line end
  bool broken_ = false;
  size_t depth_ = 0;
  std::array<int64_t, kDepthMax> left_{};  // elements still to come, of each aggregate that is open
};

}  // namespace tickbridge
