// SPDX-License-Identifier: Apache-2.0
// The little JSON that the commands need: to print it, and to look into values of a few hundred bytes.
//
// Not for the hot path: the bridge decodes with simdjson (feed/) and encodes by hand (sink/).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tickbridge {

// `text` as a JSON string with its quotes. What is no UTF-8 becomes U+FFFD.
std::string JsonString(std::string_view text);

// True if `text` is one valid JSON value (RFC 8259), nested up to 100 deep.
bool IsJson(std::string_view text);

// The members of a JSON object in their order: the unescaped name, and the value's text as it stands. Nothing if `text`
// is no valid JSON object.
std::optional<std::vector<std::pair<std::string, std::string_view>>> JsonMembers(std::string_view text);

// The content of a JSON string's text, unescaped; any other value's text as it is.
std::string JsonPlain(std::string_view text);

}  // namespace tickbridge
