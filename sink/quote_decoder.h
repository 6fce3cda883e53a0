// SPDX-License-Identifier: Apache-2.0
// A quote as it stands in Redis (sink/quote_encoder.h), read back after a restart.
//
// Threading: any thread. Cost: a document parse; off the hot path.
#pragma once

#include <string_view>

#include "core/tick.h"

namespace tickbridge {

// The fields, Timestamp, Sequence and Status of a value. Members that are null, of another form, or not ours are left
// out. False, and `out` as it was, if it is no JSON object.
bool DecodeQuote(std::string_view json, Quote* out);

}  // namespace tickbridge
