// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target once with every file of the folders named, without a fuzzer: what was once found stays found, in
// every build.
//
// usage: fuzz_TARGET FOLDER|FILE…     fails when there is nothing to run
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <system_error>
#include <vector>

#include "tests/fuzz/fuzz.h"

namespace {

namespace fs = std::filesystem;

// In name order, so that two runs say the same.
std::vector<fs::path> FilesOf(const fs::path& place) {
  std::vector<fs::path> files;
  if (fs::is_regular_file(place)) files.push_back(place);
  std::error_code absent;
  for (const fs::directory_entry& entry : fs::directory_iterator(place, absent)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

void Run(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(in), {}};
  // Said before, since a broken promise ends the process.
  std::printf("%s\n", file.c_str());
  std::fflush(stdout);
  // In a block that ends where the input ends, so that a sanitizer sees a read behind it.
  const auto block = std::make_unique<uint8_t[]>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), block.get());
  LLVMFuzzerTestOneInput(block.get(), bytes.size());
}

}  // namespace

int main(int argc, char** argv) {
  size_t count = 0;
  for (int i = 1; i < argc; ++i) {
    for (const fs::path& file : FilesOf(argv[i])) {
      Run(file);
      ++count;
    }
  }
  std::printf("%zu inputs, none broke a promise\n", count);
  return count == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
