// SPDX-License-Identifier: Apache-2.0
// Sixteen characters at once, on x86-64 (SSE2) and arm64 (NEON): both are in every processor of their kind.
//
// A Mask has kMaskBits bits for each character, all set or all clear, the first character lowest.
#pragma once

#include <bit>
#include <cstdint>

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#else
#error "x86-64 or arm64 is needed"
#endif

namespace tickbridge {

class Chars16 {
 public:
  using Mask = uint64_t;

#if defined(__SSE2__)
  static constexpr unsigned kMaskBits = 1;

  explicit Chars16(const char* p) noexcept : value_(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))) {}
  Mask Equal(char c) const noexcept { return ToMask(_mm_cmpeq_epi8(value_, _mm_set1_epi8(c))); }
  Mask EqualEither(char a, char b) const noexcept {
    return ToMask(_mm_or_si128(_mm_cmpeq_epi8(value_, _mm_set1_epi8(a)), _mm_cmpeq_epi8(value_, _mm_set1_epi8(b))));
  }
  Mask Equal(const Chars16& other) const noexcept { return ToMask(_mm_cmpeq_epi8(value_, other.value_)); }
  // Below 0x20, or above 0x7f: as signed numbers both are less than 0x20.
  Mask ControlOrNotAscii() const noexcept { return ToMask(_mm_cmplt_epi8(value_, _mm_set1_epi8(0x20))); }

 private:
  static Mask ToMask(__m128i bytes) noexcept {
    return static_cast<Mask>(static_cast<unsigned>(_mm_movemask_epi8(bytes)));
  }
  __m128i value_;
#else
  static constexpr unsigned kMaskBits = 4;

  explicit Chars16(const char* p) noexcept : value_(vld1q_u8(reinterpret_cast<const uint8_t*>(p))) {}
  Mask Equal(char c) const noexcept { return ToMask(vceqq_u8(value_, vdupq_n_u8(static_cast<uint8_t>(c)))); }
  Mask EqualEither(char a, char b) const noexcept {
    return ToMask(vorrq_u8(vceqq_u8(value_, vdupq_n_u8(static_cast<uint8_t>(a))),
                           vceqq_u8(value_, vdupq_n_u8(static_cast<uint8_t>(b)))));
  }
  Mask Equal(const Chars16& other) const noexcept { return ToMask(vceqq_u8(value_, other.value_)); }
  Mask ControlOrNotAscii() const noexcept { return ToMask(vcltq_s8(vreinterpretq_s8_u8(value_), vdupq_n_s8(0x20))); }

 private:
  // Each pair of bytes, shifted by half a byte, leaves four bits of each.
  static Mask ToMask(uint8x16_t bytes) noexcept {
    return vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(bytes), 4)), 0);
  }
  uint8x16_t value_;
#endif

 public:
  // The place of the first character in a mask that is not empty.
  static unsigned First(Mask mask) noexcept { return static_cast<unsigned>(std::countr_zero(mask)) / kMaskBits; }
  // The first `count` characters; at most 16.
  static constexpr Mask FirstChars(unsigned count) noexcept {
    return count * kMaskBits >= 64 ? ~Mask{0} : (Mask{1} << (count * kMaskBits)) - 1;
  }
};

}  // namespace tickbridge
