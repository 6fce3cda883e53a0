// SPDX-License-Identifier: Apache-2.0
// The main of the micro-benchmarks: pins the thread, says what machine and build the figures are from, and refuses a
// build whose figures would mean nothing. `--smoke` runs them all the same, to see that they work.
#include <benchmark/benchmark.h>
#include <sched.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

int main(int argc, char** argv) {
  [[maybe_unused]] bool smoke = false;
  std::vector<char*> arguments;
  for (int i = 0; i < argc; ++i) {
    if (std::strcmp(argv[i], "--smoke") == 0) {
      smoke = true;
    } else {
      arguments.push_back(argv[i]);
    }
  }
#ifndef NDEBUG
  if (!smoke) {
    std::fprintf(stderr, "This is a build with assertions; use the release preset.\n");
    return 2;
  }
#endif
  // The last CPU: the first is where the system does its own work.
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof(allowed), &allowed);
  int cpu = CPU_SETSIZE - 1;
  while (cpu > 0 && !CPU_ISSET(cpu, &allowed)) --cpu;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  sched_setaffinity(0, sizeof(one), &one);
  benchmark::AddCustomContext("compiler", __VERSION__);
  benchmark::AddCustomContext("pinned_to_cpu", std::to_string(cpu));
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
