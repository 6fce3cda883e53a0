// SPDX-License-Identifier: Apache-2.0
// Which boot of the machine this is: monotonic times and shared memory of another one mean nothing.
#pragma once

#include <array>
#include <cstddef>

namespace tickbridge {

// Of this boot of the machine: the text of /proc/sys/kernel/random/boot_id, padded with zeros; all zero where the
// kernel does not say.
using BootId = std::array<char, 40>;
inline constexpr size_t kBootIdChars = 36;
BootId ReadBootId();

}  // namespace tickbridge
