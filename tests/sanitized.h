// SPDX-License-Identifier: Apache-2.0
// Whether this is a build with a sanitizer, in which much takes ten times as long, and malloc is the sanitizer's. Of
// gcc and of clang.
#pragma once

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define TICKBRIDGE_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define TICKBRIDGE_SANITIZED 1
#endif
#endif
#if !defined(TICKBRIDGE_SANITIZED)
#define TICKBRIDGE_SANITIZED 0
#endif

namespace tickbridge {

inline constexpr bool kSanitized = TICKBRIDGE_SANITIZED != 0;

}  // namespace tickbridge
