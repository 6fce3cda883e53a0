// SPDX-License-Identifier: Apache-2.0
// The least that a writer can do: it sends commands that were encoded before, with so many in flight, and counts the
// bytes of the answers. What a server takes from it is the limit for any writer.
//
// Threading: the thread that calls.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "sink/resp.h"
#include "sink/transport.h"

namespace tickbridge {

// 115 bytes with the default members: as long as the example of the design.
inline constexpr size_t kProbeValueBytes = 115;

struct ProbeCommands {
  std::string bytes;
  std::vector<size_t> ends;  // of each command
  size_t keys = 1;           // of one
  std::string_view answer;   // to one, all of the same length
};

inline ProbeCommands ProbeSetex(const std::vector<std::string>& keys) {
  ProbeCommands commands{.bytes = {}, .ends = {}, .keys = 1, .answer = "+OK\r\n"};
  const std::string value(kProbeValueBytes, 'x');
  for (const std::string& key : keys) {
    resp::AppendCommand(&commands.bytes, {"SETEX", key, "5", value});
    commands.ends.push_back(commands.bytes.size());
  }
  return commands;
}

// As many rounds over the keys as make whole commands of `batch` keys.
inline ProbeCommands ProbeMsetex(const std::vector<std::string>& keys, size_t batch) {
  ProbeCommands commands{.bytes = {}, .ends = {}, .keys = batch, .answer = ":1\r\n"};
  const std::string value(kProbeValueBytes, 'x');
  const std::string count = absl::StrCat(batch);
  for (size_t next = 0; next < keys.size() * batch; next += batch) {
    std::vector<std::string_view> words = {"MSETEX", count};
    for (size_t i = 0; i < batch; ++i) {
      words.push_back(keys[(next + i) % keys.size()]);
      words.push_back(value);
    }
    words.insert(words.end(), {"EX", "5"});
    resp::AppendCommand(&commands.bytes, words);
    commands.ends.push_back(commands.bytes.size());
  }
  return commands;
}

struct ProbeResult {
  uint64_t writes = 0;  // keys of commands that were answered
  std::string refused;  // the first answer, where it is not the one that was to come
};

// Until `over` says so. `window`: keys in flight; a quarter of it is written at a time.
template <typename Over>
ProbeResult RunProbe(Transport* transport, const ProbeCommands& commands, size_t window_keys, Over over) {
  const size_t window = std::max<size_t>(window_keys / commands.keys, 2);
  const size_t part = std::max<size_t>(window / 4, 1);
  size_t next = 0;  // command that is next to be begun
  size_t sent = 0;  // bytes of the round over all commands that are out
  size_t in_flight = 0;
  size_t answered_bytes = 0;
  ProbeResult result;
  std::array<char, 65'536> replies;
  for (uint64_t cycle = 1; cycle % 64 != 0 || !over(); ++cycle) {
    size_t moved = 0;
    if (in_flight + part <= window) {
      const size_t until = std::min({next + part, next + window - in_flight, commands.ends.size()});
      const std::string_view bytes = std::string_view(commands.bytes).substr(sent, commands.ends[until - 1] - sent);
      if (!bytes.empty() && transport->Write(bytes, &moved) == Transport::Result::kOk) {
        sent += moved;
        const size_t begun = next;
        while (next < commands.ends.size() && commands.ends[next] <= sent) ++next;
        in_flight += next - begun;
        if (next == commands.ends.size()) next = sent = 0;
      }
    }
    if (in_flight == 0 || transport->Read(replies, &moved) != Transport::Result::kOk) continue;
    if (result.writes == 0 && replies[0] != commands.answer[0]) {
      result.refused.assign(replies.data(), moved);
      return result;
    }
    answered_bytes += moved;
    const size_t answers = answered_bytes / commands.answer.size();
    answered_bytes %= commands.answer.size();
    result.writes += answers * commands.keys;
    in_flight -= std::min(answers, in_flight);
  }
  return result;
}

}  // namespace tickbridge
