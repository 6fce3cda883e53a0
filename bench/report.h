// SPDX-License-Identifier: Apache-2.0
// The files of a report: `report.html` (self-contained: no script, nothing from the network), `result.json`, and for
// each run and each thing measured a percentile file in HdrHistogram's text form (`.hgrm`), in microseconds.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "bench/results.h"

namespace tickbridge {

// Errors: what the system says of the folder or a file.
absl::Status WriteReport(const BenchReport& report, const std::string& folder);

std::string ReportHtml(const BenchReport& report);

}  // namespace tickbridge
