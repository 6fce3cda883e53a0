// SPDX-License-Identifier: Apache-2.0
#include "sink/quote_cache.h"

#include "sink/quote_decoder.h"

namespace tickbridge {
namespace {

bool IsOlder(const Quote& quote, const Quote& than) {
  if (quote.sequence != 0 && than.sequence != 0) return quote.sequence < than.sequence;
  return quote.timestamp.value != 0 && quote.timestamp < than.timestamp;
}

// What is kept of a value: of one that is too long to be a quote, no more than shows that. Of an oversize one nothing
// is left, and nothing is no quote either.
std::string_view Kept(const QuoteCache::Value& value) {
  return value.text.value_or("").substr(0, QuoteCache::kValueBytesMax + 1);
}

}  // namespace

std::optional<int64_t> QuoteCache::AgeNs(SymbolId id, MonoNs now) const noexcept {
  const std::optional<MonoNs> deadline = Deadline(id);
  if (!deadline.has_value() || ttl_ns_ == 0 || *deadline - now > ttl_ns_) return std::nullopt;
  return ttl_ns_ - (*deadline - now);
}

std::optional<MonoNs> QuoteCache::Deadline(SymbolId id) const noexcept {
  if (Index(id) >= slots_.size() || slots_[Index(id)].holds != Holds::kQuote) return std::nullopt;
  return slots_[Index(id)].deadline;
}

bool QuoteCache::IsSame(uint32_t index, const Value& value, MonoNs now) const noexcept {
  const Slot& slot = slots_[index];
  if (!slot.confirmed) return false;
  if (!value.text.has_value() && !value.oversize) return slot.holds == Holds::kNothing;
  // The same bytes may have been written again, with a new life.
  return slot.holds != Holds::kNothing && slot.text == Kept(value) &&
         (slot.holds == Holds::kInvalid || now < slot.renew_at);
}

QuoteCache::Taken QuoteCache::Take(uint32_t index, const Value& value, MonoNs deadline, uint32_t server, MonoNs now) {
  Slot& slot = slots_[index];
  if (!value.text.has_value() && !value.oversize) {
    const bool had = Forget(index);
    slot.confirmed = true;
    return had ? Taken::kChanged : Taken::kSame;
  }
  const std::string_view text = Kept(value);
  // To the strategy, one that had run out comes back.
  Taken taken = now < slot.deadline ? Taken::kSame : Taken::kChanged;
  if (slot.holds == Holds::kNothing || slot.text != text) {
    Quote quote;
    const bool readable = text.size() <= kValueBytesMax && DecodeQuote(text, &quote);
    // Also if the key was absent in between: so it is on a server that has not got it yet.
    if (readable && slot.server != server && now < slot.deadline && IsOlder(quote, slot.quote)) {
      slot.confirmed = false;
      return Taken::kHeldBack;
    }
    taken = Taken::kChanged;
    slot.holds = readable ? Holds::kQuote : Holds::kInvalid;
    if (readable) slot.quote = quote;
    slot.text = text;
  }
  slot.server = server;
  slot.confirmed = true;
  slot.seen = true;
  slot.deadline = deadline;
  slot.renew_at = deadline == kNoDeadline ? deadline : now + (deadline - now) / 2;
  return taken;
}

bool QuoteCache::Forget(uint32_t index) noexcept {
  Slot& slot = slots_[index];
  const bool had = slot.holds != Holds::kNothing;
  slot.holds = Holds::kNothing;
  slot.confirmed = false;
  slot.text.clear();
  return had;
}

}  // namespace tickbridge
