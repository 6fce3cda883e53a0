// SPDX-License-Identifier: Apache-2.0
// The command line. Each command is a function of tools/commands.h; here is only how it is asked for.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/limits.h"
#include "tools/commands.h"
#include "tools/session.h"
#include "tools/units.h"

#if !defined(TICKBRIDGE_VERSION) || !defined(TICKBRIDGE_COMMIT) || !defined(TICKBRIDGE_BUILD_TYPE)
#error "the build defines TICKBRIDGE_VERSION, TICKBRIDGE_COMMIT and TICKBRIDGE_BUILD_TYPE"
#endif

namespace tickbridge {
namespace {

// The commit is empty where the sources were built outside of their repository.
std::string Version() {
  constexpr const char* kCommit = TICKBRIDGE_COMMIT;
  std::string text = "tickbridge " TICKBRIDGE_VERSION " (commit ";
  text += *kCommit == '\0' ? "unknown" : kCommit;
  return text + ", " TICKBRIDGE_BUILD_TYPE ")";
}

constexpr const char* kOfEveryCommand =
    "Every command takes --config PATH, --redis URL, --set KEY=VALUE (also repeated) and --json.\n"
    "A password comes from the file redis.password_file or from REDIS_PASSWORD, never from the URL.";

// A duration with its unit; at least `min_ns`.
CLI::Option* AddDuration(CLI::App* app, const std::string& name, int64_t min_ns, const std::string& help,
                         const std::function<void(int64_t)>& set) {
  const auto parse = [=](const std::string& text) {
    const absl::StatusOr<int64_t> ns = ParseDuration(text);
    if (!ns.ok()) throw CLI::ValidationError(name, std::string(ns.status().message()));
    if (*ns < min_ns) throw CLI::ValidationError(name, "must be at least " + FormatDuration(min_ns));
    set(*ns);
  };
  return app->add_option_function<std::string>(name, parse, help)->type_name("TIME");
}

class CommandLine {
 public:
  CommandLine()
      : app_(
            "Carries live prices from feed handlers to Redis: when Redis is slower than the market, each symbol's "
            "newest value replaces the older one, and the newest always arrives.",
            "tickbridge") {
    app_.set_version_flag("--version", Version(), "Print version, commit and build type");
    app_.require_subcommand(1);
    app_.fallthrough();  // the options of every command may stand behind it
    app_.add_option("--config", global_.config, "TOML file; see config/tickbridge.toml for every key")
        ->type_name("PATH");
    app_.add_option("--redis", global_.redis, "redis://[user@]host:port/db, unix:///path.sock?db=0, or embedded")
        ->type_name("URL");
    app_.add_option("--set", global_.sets, "Set one key of the configuration; may be repeated")
        ->type_name("KEY=VALUE")
        ->allow_extra_args(false);
    app_.add_flag("--json", global_.json, "Print one JSON object on one line");
    app_.footer(
        "Example:\n  tickbridge run --config config/tickbridge.toml\n\n"
        "Exit codes: 0 ok, 1 failed at run time, 2 usage or configuration.");
    AddRun();
    AddReplay();
    AddGet();
    AddWatch();
    AddStats();
    AddDoctor();
    AddSynth();
    AddBench();
  }

  int Run(int argc, char** argv) {
    for (int i = 0; i < argc; ++i) bench_.command += (i == 0 ? "" : " ") + std::string(argv[i]);
    try {
      app_.parse(argc, argv);
    } catch (const CLI::ExtrasError&) {
      return SayUnknown();
    } catch (const CLI::RequiredError& error) {
      if (app_.get_subcommands().empty() && !app_.remaining().empty()) return SayUnknown();
      return app_.exit(error) == 0 ? kExitOk : kExitUsage;
    } catch (const CLI::ParseError& error) {
      return app_.exit(error) == 0 ? kExitOk : kExitUsage;  // 0: --help and --version
    }
    return command_();
  }

 private:
  CLI::App* Add(const char* name, const char* help, const char* example, std::function<int()> command) {
    CLI::App* const sub = app_.add_subcommand(name, help);
    sub->footer(std::string("Example:\n  tickbridge ") + example + "\n\n" + kOfEveryCommand);
    sub->callback([this, command = std::move(command)] { command_ = command; });
    return sub;
  }

  void AddRun() {
    CLI::App* const sub = Add(
        "run", "The bridge, until SIGINT or SIGTERM; then it delivers what it has, and says what it did",
        "run --config config/tickbridge.toml --set class.price.ttl=10s", [this] { return CommandRun(global_, run_); });
    sub->add_flag("--check-config", run_.check_config, "Only say what is wrong with the configuration, all of it");
    AddDuration(sub, "--for", 0, "Stop after this time, as on SIGTERM",
                [this](int64_t ns) { run_.for_seconds = static_cast<double>(ns) / static_cast<double>(kNsPerSec); });
  }

  void AddReplay() {
    CLI::App* const sub =
        Add("replay", "A recording through the same pipeline, until every latest value is acknowledged",
            "replay ticks.ndjson --redis embedded --json", [this] { return CommandReplay(global_, replay_); });
    sub->add_option("path", replay_.path, "The recording; - is stdin")->required()->type_name("PATH");
    sub->add_option("--format", replay_.format, "Of the recording")->capture_default_str()->type_name("NAME");
    sub->add_option("--speed", replay_.speed, "max, real, or a factor such as 10x")
        ->capture_default_str()
        ->type_name("SPEED");
    AddDuration(sub, "--timeout", kNsPerMs, "Give up after this time without progress [30s]",
                [this](int64_t ns) { replay_.timeout_ns = ns; });
  }

  void AddGet() {
    CLI::App* const sub = Add("get", "The latest quotes, once. Fails if one is absent", "get MNQZ5 ESZ5 --json",
                              [this] { return CommandGet(global_, get_); });
    sub->add_option("symbols", get_.symbols, "Symbols")->required()->type_name("SYMBOL");
    sub->add_flag("--shm", get_.shm, "From the shared table (table.shm), not from Redis");
  }

  void AddWatch() {
    CLI::App* const sub =
        Add("watch", "The latest quotes, live: a table on a terminal, lines below one header elsewhere",
            "watch --all --interval 500ms", [this] { return CommandWatch(global_, watch_); });
    CLI::Option* const symbols = sub->add_option("symbols", watch_.symbols, "Symbols")->type_name("SYMBOL");
    CLI::Option* const all = sub->add_flag("--all", watch_.all, "All symbols that Redis has (by SCAN), or the table");
    sub->add_flag("--shm", watch_.shm, "From the shared table (table.shm), not from Redis");
    all->excludes(symbols);
    AddDuration(sub, "--interval", 10 * kNsPerMs, "Between two looks [1s]",
                [this](int64_t ns) { watch_.interval_ns = ns; });
    AddDuration(sub, "--for", 0, "Stop after this time", [this](int64_t ns) { watch_.for_ns = ns; });
    sub->parse_complete_callback([this] {
      if (watch_.symbols.empty() && !watch_.all) throw CLI::RequiredError("SYMBOL or --all");
    });
  }

  void AddStats() {
    Add("stats", "What the running bridge counts: feeds, lanes, latencies", "stats --json --set bridge.instance=main",
        [this] { return CommandStats(global_); });
  }

  void AddDoctor() {
    CLI::App* const sub = Add("doctor", "What of this machine and of Redis costs latency, and how to change it",
                              "doctor --config config/tickbridge.toml --redis unix:///run/redis/redis.sock",
                              [this] { return CommandDoctor(global_, doctor_); });
    CLI::Option* const apply = sub->add_flag("--apply", doctor_.apply,
                                             "Set what CONFIG SET can, after it has asked; until the server restarts");
    sub->add_flag("--yes", doctor_.yes, "Do not ask")->needs(apply);
  }

  void AddSynth() {
    CLI::App* const sub = Add("synth", "A seeded synthetic market as NDJSON: the same options give the same bytes",
                              "synth --symbols 1000 --rate 10000 --seconds 10 --out ticks.ndjson",
                              [this] { return CommandSynth(global_, synth_); });
    sub->add_option("--symbols", synth_.symbols, "How many")
        ->capture_default_str()
        ->check(CLI::Range(1U, limits::kSymbolsMax));
    sub->add_option_function<std::string>(
           "--rate", [this](const std::string& text) { synth_.rate = RateOf(text); },
           "Ticks a second of the market's own clock [10k]")
        ->type_name("RATE");
    CLI::Option* const seconds = sub->add_option("--seconds", synth_.seconds, "How long, by the market's clock [10]")
                                     ->check(CLI::Range(1e-6, 1e9));
    CLI::Option* const count =
        sub->add_option("--count", synth_.count, "How many ticks")->check(CLI::Range(uint64_t{1}, ~uint64_t{0}));
    sub->add_option("--seed", synth_.seed, "Another seed, another market")->capture_default_str();
    sub->add_option("--start-ms", synth_.start_ms, "Unix time of the start, in ms")
        ->capture_default_str()
        ->check(CLI::Range(int64_t{1}, limits::kUnixMsMax));
    CLI::Option* const out =
        sub->add_option("--out", synth_.out, "Where to; - is stdout")->capture_default_str()->type_name("PATH");
    sub->add_option("--shm", synth_.shm,
                    "Into a shared-memory ring instead, at the market's pace, with the time of sending")
        ->type_name("RING")
        ->excludes(out);
    sub->parse_complete_callback([this, seconds, count] {
      if (seconds->count() == 0 && count->count() == 0) synth_.seconds = 10;
    });
  }

  void AddBench() {
    CLI::App* const sub =
        Add("bench", "Latency of every tick from when it was due: open loop, whatever Redis does",
            "bench --rates 1k,10k,100k,1M --redis embedded --cpu 1 --redis-cpu 0 --out report", [this] {
              bench_.version = Version();
              return CommandBench(global_, bench_);
            });
    const auto rates = [this](const std::vector<std::string>& texts) {
      bench_.rates.clear();
      for (const std::string& text : texts) bench_.rates.push_back(RateOf(text));
    };
    sub->add_option_function<std::vector<std::string>>("--rates,--rate", rates,
                                                       "Ticks a second, one run for each [10k]")
        ->delimiter(',')
        ->type_name("RATE");
    sub->add_option("--symbols,--symbols-sweep", bench_.symbols, "How many, one run for each")
        ->delimiter(',')
        ->capture_default_str()
        ->check(CLI::Range(1U, limits::kSymbolsMax));
    sub->add_option("--burst", bench_.burst, "Ticks that are due at one time; the rate stays")
        ->capture_default_str()
        ->check(CLI::Range(1U, 1'000'000U));
    sub->add_option("--skew", bench_.skew, "The n-th busiest symbol has a share of 1/n^SKEW; 0: all alike")
        ->capture_default_str()
        ->check(CLI::Range(0.0, 10.0));
    sub->add_option("--seed", bench_.seed, "Another seed, another market")->capture_default_str();
    sub->add_option("--replay", bench_.replay, "A recording (NDJSON) instead, at its own times")->type_name("PATH");
    sub->add_option("--speed", bench_.speed, "Of the recording: real, or a factor such as 10x")->capture_default_str();
    AddDuration(sub, "--for", 10 * kNsPerMs, "Measured time of each run [10s]",
                [this](int64_t ns) { bench_.for_ns = ns; });
    AddDuration(sub, "--warmup", 0, "Before it [1s]", [this](int64_t ns) { bench_.warmup_ns = ns; });
    AddDuration(sub, "--timeout", kNsPerMs, "For what is not delivered then [30s]",
                [this](int64_t ns) { bench_.timeout_ns = ns; });
    sub->add_option("--rounds", bench_.rounds, "Of each run, taken together [1; 3 with --baseline]")
        ->check(CLI::Range(1, 100));
    sub->add_option("--generator", bench_.generator, "agent: on the bridge's runner; process: through a Unix socket")
        ->capture_default_str()
        ->check(CLI::IsMember({"agent", "process"}));
    sub->add_flag("--ring", bench_.ring, "Its ticks go through a ring in shared memory, as a feed handler's do");
    sub->add_option("--idle", bench_.idle, "Of the runner")
        ->capture_default_str()
        ->check(CLI::IsMember({"spin", "yield", "backoff"}));
    sub->add_option("--cpu", bench_.cpu, "Of the runner; -1: not pinned")->capture_default_str();
    sub->add_option("--redis-cpu", bench_.redis_cpu, "Of an embedded Redis")->capture_default_str();
    sub->add_option("--watch-cpu", bench_.watch_cpu, "Of each reader that --visible starts")->capture_default_str();
    sub->add_option("--generator-cpu", bench_.generator_cpu, "Of the generator's process")->capture_default_str();
    sub->add_option_function<std::vector<std::string>>(
           "--visible",
           [this](const std::vector<std::string>& where) {
             for (const std::string& place : where)
               (place == "redis" ? bench_.visible_redis : bench_.visible_table) = true;
           },
           "Also until a reader sees it: redis (GET in a loop), table (shared memory)")
        ->delimiter(',')
        ->type_name("WHERE")
        ->check(CLI::IsMember({"redis", "table"}));
    sub->add_flag("--baseline", bench_.baseline, "Bare spinning SETEX round trips in turn with the first run");
    sub->add_option("--out", bench_.out, "Folder for report.html, result.json and percentile files")->type_name("DIR");
  }

  static double RateOf(const std::string& text) {
    const absl::StatusOr<double> rate = ParseRate(text);
    if (!rate.ok()) throw CLI::ValidationError("--rate", std::string(rate.status().message()));
    return *rate;
  }

  // Names the unknown option or command, without what follows it: that could be a secret.
  int SayUnknown() {
    std::vector<std::string> known;
    std::string command;
    for (const CLI::App* app = &app_; app != nullptr;) {
      for (const CLI::Option* option : app->get_options()) {
        for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
      }
      const std::vector<CLI::App*> chosen = app->get_subcommands();
      app = chosen.empty() ? nullptr : chosen.front();
      if (app != nullptr) command = " " + app->get_name();
    }
    const std::vector<std::string> extras = app_.remaining(true);
    const auto option =
        std::find_if(extras.begin(), extras.end(), [](const std::string& text) { return text.starts_with('-'); });
    std::string message = "there is an argument too many";
    if (command.empty() && !extras.empty() && option != extras.begin()) {
      const std::string name = extras.front().substr(0, extras.front().find_first_of("=:@/"));
      std::vector<std::string> commands;
      for (const CLI::App* sub : app_.get_subcommands({})) commands.push_back(sub->get_name());
      const std::string_view nearest = Nearest(name, commands);
      message = "unknown command \"" + name + "\"";
      if (!nearest.empty()) message += "; did you mean " + std::string(nearest) + "?";
    } else if (option != extras.end()) {
      const std::string name = option->substr(0, option->find_first_of("=:@/"));
      const std::string_view nearest = Nearest(name, known);
      message = "unknown option " + name + (nearest.empty() ? "" : "; did you mean " + std::string(nearest) + "?");
    }
    std::fprintf(stderr, "tickbridge: %s\nRun tickbridge%s --help for what there is.\n", message.c_str(),
                 command.c_str());
    return kExitUsage;
  }

  CLI::App app_;
  GlobalOptions global_;
  RunOptions run_;
  ReplayOptions replay_;
  GetOptions get_;
  WatchOptions watch_;
  DoctorOptions doctor_;
  SynthOptions synth_;
  BenchOptions bench_;
  std::function<int()> command_;
};

}  // namespace
}  // namespace tickbridge

int main(int argc, char** argv) {
  // A reader that went away is an error of that write, not the end of the process.
  ::signal(SIGPIPE, SIG_IGN);
  return tickbridge::CommandLine().Run(argc, argv);
}
