// SPDX-License-Identifier: Apache-2.0
// The schema is a table a section: a key is one line of it. The loader walks the file and the options by the same
// tables.
#include "tools/config.h"

#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "sink/redis_target.h"
#include "tools/config_check.h"
#include "tools/units.h"

namespace tickbridge {
namespace {

constexpr size_t kFileBytesMax = 16 << 20;
constexpr int64_t kHourNs = 3'600 * kNsPerSec;
constexpr int64_t kTenYearsNs = 3'650 * 24 * kHourNs;

// ---- Values ----

// A value of the file, or of an option: then `raw` is its text, and `node` what that is as TOML, or else a string.
struct Value {
  const toml::node& node;
  std::optional<std::string_view> raw;
};

std::string_view TypeName(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a number with a point";
    case toml::node_type::boolean:
      return "true or false";
    default:
      return "a date or time";
  }
}

std::string MustBe(std::string_view what, const Value& value) {
  return absl::StrCat("must be ", what, ", not ", TypeName(value.node));
}

std::optional<std::string> AsText(const Value& value) {
  if (const auto* text = value.node.as_string()) return text->get();
  if (value.raw.has_value()) return std::string(*value.raw);  // typed by the schema: `--set bridge.instance=7`
  return std::nullopt;
}

std::optional<int64_t> AsInteger(const Value& value) {
  if (const auto* integer = value.node.as_integer()) return integer->get();
  int64_t parsed = 0;
  if (value.raw.has_value() && absl::SimpleAtoi(*AsText(value), &parsed)) return parsed;
  return std::nullopt;
}

std::optional<std::vector<std::string>> AsTexts(const Value& value) {
  std::vector<std::string> result;
  if (const toml::array* array = value.node.as_array()) {
    for (const toml::node& item : *array) {
      const auto* text = item.as_string();
      if (text == nullptr) return std::nullopt;
      result.push_back(text->get());
    }
    return result;
  }
  if (!value.raw.has_value()) return std::nullopt;
  for (const std::string_view item : absl::StrSplit(*AsText(value), ',', absl::SkipWhitespace())) {
    result.emplace_back(absl::StripAsciiWhitespace(item));
  }
  return result;
}

// ---- The kinds of keys ----

// Writes a value into its place; returns what is wrong with it, or "".
template <class T>
using Setter = std::function<std::string(const Value&, T*)>;

template <class T>
struct Key {
  // `of`: the feed types, or the class, that the key has a meaning for; empty: all.
  Key(std::string key_name, Setter<T> setter, std::string of = "")
      : name(std::move(key_name)), set(std::move(setter)), only(std::move(of)) {}

  std::string name;
  Setter<T> set;  // null: a key of the design that this version does not have
  std::string only;
};

template <class T>
using Keys = std::vector<Key<T>>;

// `check` returns what is wrong with the text, or "".
template <class T, class Member, class Check>
Setter<T> Text(Member T::* member, const Check& check) {
  return [member, check](const Value& value, T* into) -> std::string {
    std::optional<std::string> text = AsText(value);
    if (!text.has_value()) return MustBe("a string", value);
    if (std::any_of(text->begin(), text->end(),
                    [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); })) {
      return "holds a control character";
    }
    if (std::string problem = check(*text); !problem.empty()) return problem;
    into->*member = *std::move(text);
    return "";
  };
}

template <class T>
Setter<T> Text(std::string T::* member) {
  return Text(member, [](const std::string&) { return ""; });
}

// `not_yet`: words of the design that this version does not have.
template <class T>
Setter<T> OneOf(std::string T::* member, const std::vector<std::string>& words,
                const std::vector<std::string>& not_yet = {}) {
  return Text(member, [words, not_yet](const std::string& text) -> std::string {
    if (std::find(words.begin(), words.end(), text) != words.end()) return "";
    if (std::find(not_yet.begin(), not_yet.end(), text) != not_yet.end()) {
      return absl::StrCat("\"", text, "\" is not supported by this version");
    }
    const std::string_view nearest = Nearest(text, words);
    return absl::StrCat("must be one of ", absl::StrJoin(words, ", "), "; not \"", text, "\"",
                        nearest.empty() ? "" : absl::StrCat("; did you mean \"", nearest, "\"?"));
  });
}

template <class T, class Int>
Setter<T> Integer(Int T::* member, int64_t min, int64_t max) {
  return [member, min, max](const Value& value, T* into) -> std::string {
    const std::optional<int64_t> integer = AsInteger(value);
    if (!integer.has_value()) return MustBe("an integer", value);
    if (*integer < min || *integer > max) return absl::StrCat("must be from ", min, " to ", max, ", not ", *integer);
    into->*member = static_cast<Int>(*integer);
    return "";
  };
}

// Over 0, up to `max`.
template <class T>
Setter<T> Real(double T::* member, double max) {
  return [member, max](const Value& value, T* into) -> std::string {
    double real = std::numeric_limits<double>::quiet_NaN();
    if (const std::optional<double> number = value.node.value<double>();
        number.has_value() && !value.node.is_boolean()) {
      real = *number;
    } else if (!value.raw.has_value() || !absl::SimpleAtod(*AsText(value), &real)) {
      return MustBe("a number", value);
    }
    if (!(real > 0 && real <= max)) return absl::StrCat("must be over 0 and at most ", max, ", not ", real);
    into->*member = real;
    return "";
  };
}

template <class T>
Setter<T> Flag(bool T::* member) {
  return [member](const Value& value, T* into) -> std::string {
    const auto* flag = value.node.as_boolean();
    if (flag == nullptr) return MustBe("true or false", value);
    into->*member = flag->get();
    return "";
  };
}

template <class T>
Setter<T> Duration(int64_t T::* member, int64_t min, int64_t max) {
  return [member, min, max](const Value& value, T* into) -> std::string {
    const std::optional<std::string> text = AsText(value);
    if (!text.has_value()) return MustBe("a string with a unit, such as \"250us\", \"1.5s\" or \"2m\"", value);
    const absl::StatusOr<int64_t> ns = ParseDuration(*text);
    if (!ns.ok()) return std::string(ns.status().message());
    if (*ns < min || *ns > max) {
      return absl::StrCat("must be from ", FormatDuration(min), " to ", FormatDuration(max), ", not ", *text);
    }
    into->*member = *ns;
    return "";
  };
}

template <class T>
Setter<T> Size(size_t T::* member, size_t min, size_t max) {
  return [member, min, max](const Value& value, T* into) -> std::string {
    std::optional<std::string> text = AsText(value);
    if (const std::optional<int64_t> integer = AsInteger(value)) text = absl::StrCat(*integer);
    if (!text.has_value()) return MustBe("a number of bytes, or a string such as \"64KiB\" or \"8MiB\"", value);
    const absl::StatusOr<uint64_t> bytes = ParseSize(*text);
    if (!bytes.ok()) return std::string(bytes.status().message());
    if (*bytes < min || *bytes > max) {
      return absl::StrCat("must be from ", FormatSize(min), " to ", FormatSize(max), ", not ", *text);
    }
    into->*member = *bytes;
    return "";
  };
}

template <class T>
Setter<T> Texts(std::vector<std::string> T::* member) {
  return [member](const Value& value, T* into) -> std::string {
    std::optional<std::vector<std::string>> texts = AsTexts(value);
    if (!texts.has_value())
      return value.node.is_array() ? "must be a list of strings" : MustBe("a list of strings", value);
    into->*member = *std::move(texts);
    return "";
  };
}

// A key of ours that is refused for a reason.
template <class T>
Setter<T> Refused(std::string_view why) {
  return [why](const Value&, T*) { return std::string(why); };
}

// KeyPattern, or an optional one, which "" clears.
template <class Pattern>
Setter<KeyClass> KeyPatternOf(Pattern KeyClass::* member) {
  return [member](const Value& value, KeyClass* into) -> std::string {
    const std::optional<std::string> text = AsText(value);
    if (!text.has_value()) return MustBe("a string", value);
    if constexpr (!std::is_same_v<Pattern, KeyPattern>) {
      if (text->empty()) {
        (into->*member).reset();
        return "";
      }
    }
    absl::StatusOr<KeyPattern> pattern = KeyPattern::Parse(*text);
    if (!pattern.ok()) return std::string(pattern.status().message());
    if (std::any_of(text->begin(), text->end(),
                    [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); })) {
      return "holds a control character";
    }
    into->*member = *std::move(pattern);
    return "";
  };
}

std::string SetMembers(const Value& value, KeyClass* into) {
  const std::optional<std::vector<std::string>> names = AsTexts(value);
  if (!names.has_value())
    return value.node.is_array() ? "must be a list of strings" : MustBe("a list of strings", value);
  std::vector<std::string> known;
  known.reserve(kQuoteMemberCount);
  for (size_t i = 0; i < kQuoteMemberCount; ++i) known.emplace_back(QuoteMemberName(static_cast<QuoteMember>(i)));
  std::vector<QuoteMember> members;
  for (const std::string& name : *names) {
    const std::optional<QuoteMember> member = ParseQuoteMember(name);
    if (!member.has_value()) {
      const std::string_view nearest = Nearest(name, known);
      return absl::StrCat("unknown field \"", name, "\"; ",
                          nearest.empty() ? absl::StrCat("there are ", absl::StrJoin(known, ", "))
                                          : absl::StrCat("did you mean \"", nearest, "\"?"));
    }
    if (std::find(members.begin(), members.end(), *member) != members.end())
      return absl::StrCat("names ", name, " twice");
    members.push_back(*member);
  }
  if (members.empty()) return "must name at least one field";
  into->members = std::move(members);
  return "";
}

std::string SetSocketMode(const Value& value, FeedConfig* into) {
  std::string digits;
  if (const auto* integer = value.node.as_integer(); integer != nullptr && !value.raw.has_value()) {
    // A plain 660 would be something else in octal, so the file has to say which it means.
    if ((integer->flags() & toml::value_flags::format_as_octal) != toml::value_flags::none && integer->get() >= 0) {
      std::ostringstream octal;
      octal << std::oct << integer->get();
      digits = octal.str();
    }
  } else if (const std::optional<std::string> text = AsText(value)) {
    digits = text->starts_with("0o") ? text->substr(2) : *text;
  }
  uint32_t mode = 0;
  const bool octal = !digits.empty() && digits.size() <= 4 && digits.find_first_not_of("01234567") == std::string::npos;
  for (const char c : octal ? digits : "") mode = mode * 8 + static_cast<uint32_t>(c - '0');
  if (!octal || mode > 0777) return "must be octal permissions up to \"0777\", such as \"0660\" or 0o660";
  into->socket_mode = mode;
  return "";
}

std::string UrlProblem(const std::string& url) {
  if (url.empty()) return "";
  const absl::Status status = ParseRedisUrl(url).status();
  // The key, or the option, is named beside it.
  return std::string(absl::StripPrefix(status.message(), "Redis URL: "));
}

std::string SpeedProblem(const std::string& text) { return std::string(ParseSpeed(text).status().message()); }

std::string FormatProblem(const std::string& text) {
  return text == "ndjson" ? "" : absl::StrCat("\"", text, "\" is not supported by this version, only \"ndjson\" is");
}

std::string SymbolProblem(const std::string& text) {
  const absl::StatusOr<KeyPattern> pattern = KeyPattern::Parse(text);
  if (!pattern.ok()) return std::string(pattern.status().message());
  const size_t at = text.find("{symbol}");
  if (pattern->fields().size() != 1 || at == std::string::npos ||
      text.find_first_of("{}[]", at + 8) != std::string::npos || text.find_first_of("{}[]") != at) {
    return "must hold {symbol} once, and no other braces or brackets, as in \"{symbol}-PERP\"";
  }
  return text.size() - 8 < limits::kSymbolBytesMax
             ? ""
             : absl::StrCat("adds so much that no symbol fits into ", limits::kSymbolBytesMax, " bytes");
}

std::string SetRunnerName(const Value& value, RunnerConfig*) {
  return value.raw.has_value() ? "a runner cannot be renamed here" : "";  // in the file the loader reads it first
}

// ---- The schema ----

// A file of /dev/shm itself.
std::string ShmProblem(const std::string& name) {
  constexpr size_t kBytesMax = 64;
  if (name.find('/') != std::string::npos || name.starts_with('.') || name.size() > kBytesMax) {
    return "must be a plain name of at most 64 bytes, of a file below /dev/shm; empty for none";
  }
  return "";
}

const Keys<Config>& BridgeKeys() {
  static const Keys<Config> keys = {
      {"instance", Text(&Config::instance, NameProblem)},
      {"drain_timeout", Duration(&Config::drain_timeout_ns, 0, kHourNs)},
  };
  return keys;
}

const Keys<Config>& LogKeys() {
  static const Keys<Config> keys = {
      {"level", OneOf(&Config::log_level, {"debug", "info", "warn", "error"})},
  };
  return keys;
}

const Keys<RedisConfig>& RedisKeys() {
  static const Keys<RedisConfig> keys = {
      {"url", Text(&RedisConfig::url, UrlProblem)},
      {"password_file", Text(&RedisConfig::password_file)},
      {"password", Refused<RedisConfig>("a password does not belong here; use password_file or REDIS_PASSWORD")},
      {"share", Real(&RedisConfig::share, 1.0)},
      {"max_in_flight", Integer(&RedisConfig::max_in_flight, 1, limits::kInFlightMax)},
      {"max_in_flight_bytes", Size(&RedisConfig::max_in_flight_bytes, size_t{64} << 10, size_t{1} << 30)},
      {"connect_timeout", Duration(&RedisConfig::connect_timeout_ns, kNsPerMs, kHourNs)},
      {"ack_timeout", Duration(&RedisConfig::ack_timeout_ns, kNsPerMs, kHourNs)},
      {"lanes", Integer(&RedisConfig::lanes, 1, limits::kLanesMax)},
      {"expiry", OneOf(&RedisConfig::expiry, {"relative", "absolute"})},
      {"fence_wait", Duration(&RedisConfig::fence_wait_ns, 0, kHourNs)},
      {"tls_ca", Text(&RedisConfig::tls_ca)},
      {"tls_cert", Text(&RedisConfig::tls_cert)},
      {"tls_key", Text(&RedisConfig::tls_key)},
      {"tls_verify", OneOf(&RedisConfig::tls_verify, {"full", "none"})},
  };
  return keys;
}

const Keys<TableConfig>& TableKeys() {
  static const Keys<TableConfig> keys = {
      {"max_symbols", Integer(&TableConfig::max_symbols, 1, limits::kSymbolsMax)},
      {"max_documents", Integer(&TableConfig::max_documents, 1, limits::kSymbolsMax)},
      {"shm", Text(&TableConfig::shm, ShmProblem)},
      {"owner", Text(&TableConfig::owner)},
      {"group", Text(&TableConfig::group)},
  };
  return keys;
}

const Keys<MemoryConfig>& MemoryKeys() {
  static const Keys<MemoryConfig> keys = {
      {"lock", Flag(&MemoryConfig::lock)},
      {"huge_pages", OneOf(&MemoryConfig::huge_pages, {"off", "try"})},
  };
  return keys;
}

const Keys<KeyClass>& ClassKeys() {
  static const Keys<KeyClass> keys = {
      {"key", KeyPatternOf(&KeyClass::key)},
      {"ttl", Duration(&KeyClass::ttl_ns, kNsPerMs, kTenYearsNs)},
      {"raw", Flag(&KeyClass::raw), "document"},
      {"publish", KeyPatternOf(&KeyClass::publish)},
      {"min_interval", Duration(&KeyClass::min_interval_ns, 0, kTenYearsNs)},
      {"refresh", Flag(&KeyClass::refresh), "price"},
      {"allow_negative", Flag(&KeyClass::allow_negative), "price"},
      {"fields", SetMembers, "price"},
  };
  return keys;
}

constexpr int64_t kReceiveBufferMax = std::numeric_limits<int>::max() / 2;  // the system doubles it in an int

const Keys<FeedConfig>& FeedKeys() {
  static const Keys<FeedConfig> keys = {
      {"type",
       OneOf(&FeedConfig::type, {"file", "unix_stream", "unix_datagram", "tcp", "udp", "shm", "synth"}, {"websocket"})},
      {"path", Text(&FeedConfig::path), "file unix_stream unix_datagram shm"},
      {"folder", Text(&FeedConfig::folder), "shm"},
      {"address", Text(&FeedConfig::address), "tcp"},
      {"a", Text(&FeedConfig::a), "udp"},
      {"b", nullptr},
      {"interface", Text(&FeedConfig::interface), "udp"},
      {"format", Text(&FeedConfig::format, FormatProblem)},
      {"symbol", Text(&FeedConfig::symbol, SymbolProblem)},
      {"liveness_timeout", Duration(&FeedConfig::liveness_timeout_ns, kNsPerMs, kHourNs)},
      {"max_ahead", Duration(&FeedConfig::max_ahead_ns, 0, 24 * kHourNs)},
      {"socket_mode", SetSocketMode, "unix_stream unix_datagram"},
      {"speed", Text(&FeedConfig::speed, SpeedProblem), "file"},
      {"symbols", Integer(&FeedConfig::symbols, 1, limits::kSymbolsMax), "synth"},
      {"rate", Real(&FeedConfig::rate, 1e9), "synth"},
      {"seed", Integer(&FeedConfig::seed, 0, std::numeric_limits<int64_t>::max()), "synth"},
      {"receive_buffer", Size(&FeedConfig::receive_buffer, 0, kReceiveBufferMax), "unix_stream unix_datagram tcp udp"},
  };
  return keys;
}

const Keys<RunnerConfig>& RunnerKeys() {
  static const Keys<RunnerConfig> keys = {
      {"name", SetRunnerName},
      {"cpu", Integer(&RunnerConfig::cpu, -1, std::numeric_limits<int>::max())},
      {"priority", Integer(&RunnerConfig::priority, 0, 99)},
      {"idle", OneOf(&RunnerConfig::idle, {"spin", "yield", "backoff"})},
      {"max_park", Duration(&RunnerConfig::max_park_ns, kNsPerUs, kNsPerSec)},
      {"agents", Texts(&RunnerConfig::agents)},
  };
  return keys;
}

const std::vector<std::string>& Sections() {
  static const std::vector<std::string> sections = {"bridge", "redis", "class",  "table",
                                                    "memory", "feed",  "runner", "log"};
  return sections;
}

// ---- The loader ----

struct Place {
  std::string file;
  int line = 0;
};

class Loader {
 public:
  explicit Loader(std::string file) : file_(std::move(file)) {}

  // False if the file is not TOML at all; then nothing else can be said.
  bool ReadFile();
  void ReadOption(std::string option, const std::string& key, std::string_view text);
  void Report(Place at, std::string message) { errors_.push_back({std::move(at.file), at.line, std::move(message)}); }
  LoadResult Finish();

 private:
  template <class Item>
  Place At(const Item& item) const {
    return {file_, static_cast<int>(item.source().begin.line)};
  }
  // Where `key` was set; else where the section was that it belongs to.
  Place Find(std::string key) const;

  void ReadSection(const std::string& section, const Place& at, const toml::node& node);
  void ReadInstances(const std::string& section, const toml::table& tables);
  void ReadRunners(const toml::node& node, const Place& at);
  // Sets `key` of a section or, by `name`, of one of its instances.
  void Set(const std::string& section, const std::string& name, const std::string& key, const Value& value,
           const Place& at);
  template <class T>
  void SetIn(const Keys<T>& keys, const std::string& prefix, const std::string& key, const Value& value,
             const Place& at, T* into);
  template <class T>
  T* Named(std::vector<T>* list, const std::string& section, const std::string& name, const Place& at);
  void AddRunner(const std::string& name) {
    config_.runners.emplace_back();
    config_.runners.back().name = name;
  }
  void SetRunner(const std::string& name, const std::string& key, const Value& value, const Place& at);
  void CheckFeedKeys();

  std::string file_;
  Config config_;
  bool has_runners_ = false;             // in the file
  std::map<std::string, Place> places_;  // of every key and section that was set
  std::set<std::string> refused_;        // keys whose last value was: the default stands in for it
  std::vector<ConfigError> errors_;
};

Place Loader::Find(std::string key) const {
  while (!key.empty()) {
    if (const auto found = places_.find(key); found != places_.end()) return found->second;
    const size_t end = key.find_last_of(".[");
    key.resize(end == std::string::npos ? 0 : end);
  }
  return {file_.empty() ? "configuration" : file_, 0};
}

bool Loader::ReadFile() {
  const auto failed = [&](std::string_view what) {
    Report({file_, 0}, absl::StrCat("cannot be read: ", what));
    return false;
  };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> in(std::fopen(file_.c_str(), "rbe"), &std::fclose);
  if (in == nullptr) return failed(std::strerror(errno));
  std::string text;
  std::array<char, 64 << 10> piece;
  while (std::feof(in.get()) == 0 && std::ferror(in.get()) == 0) {
    const size_t bytes = std::fread(piece.data(), 1, piece.size(), in.get());
    text.append(piece.data(), bytes);
    if (text.size() > kFileBytesMax) return failed("larger than 16 MiB");
  }
  if (std::ferror(in.get()) != 0) return failed(std::strerror(errno));

  toml::table root;
  try {
    root = toml::parse(text, file_);
  } catch (const toml::parse_error& error) {
    Report({file_, static_cast<int>(error.source().begin.line)}, absl::StrCat("not TOML: ", error.description()));
    return false;
  }
  for (const auto& [name, node] : root) ReadSection(std::string(name.str()), At(name), node);
  return true;
}

void Loader::ReadSection(const std::string& section, const Place& at, const toml::node& node) {
  if (section == "http") return Report(at, "[http] is not supported by this version");
  if (std::find(Sections().begin(), Sections().end(), section) == Sections().end()) {
    const std::string_view nearest = Nearest(section, Sections());
    return Report(at, absl::StrCat("unknown section [", section, "]; ",
                                   nearest.empty() ? absl::StrCat("there are ", absl::StrJoin(Sections(), ", "))
                                                   : absl::StrCat("did you mean [", nearest, "]?")));
  }
  places_.emplace(section, at);
  if (section == "runner") return ReadRunners(node, at);
  const toml::table* const table = node.as_table();
  if (table == nullptr) return Report(at, absl::StrCat("[", section, "] must be a table, not ", TypeName(node)));
  if (section == "class" || section == "feed") return ReadInstances(section, *table);
  for (const auto& [key, value] : *table) Set(section, "", std::string(key.str()), {value, {}}, At(key));
}

void Loader::ReadInstances(const std::string& section, const toml::table& tables) {
  // toml++ sorts by name; the order of the file is the user's.
  std::vector<std::pair<const toml::key*, const toml::node*>> items;
  for (const auto& [name, node] : tables) items.emplace_back(&name, &node);
  const auto place = [](const auto& item) {
    return std::pair(item.first->source().begin.line, item.first->source().begin.column);
  };
  std::sort(items.begin(), items.end(), [&](const auto& a, const auto& b) { return place(a) < place(b); });
  for (const auto& [key, node] : items) {
    const std::string name(key->str());
    const toml::table* const table = node->as_table();
    if (table == nullptr) {
      Report(At(*key), absl::StrCat("[", section, ".", name, "] must be a table, not ", TypeName(*node)));
      continue;
    }
    places_.emplace(absl::StrCat(section, ".", name), At(*key));
    // Also where no key follows: an empty [feed.x] is one that lacks its type.
    const bool known = section == "class" ? Named(&config_.classes, section, name, At(*key)) != nullptr
                                          : Named(&config_.feeds, section, name, At(*key)) != nullptr;
    if (!known) continue;
    for (const auto& [item, value] : *table) Set(section, name, std::string(item.str()), {value, {}}, At(item));
  }
}

void Loader::ReadRunners(const toml::node& node, const Place& at) {
  const toml::array* const array = node.as_array();
  const bool well_formed = array != nullptr && std::all_of(array->begin(), array->end(),
                                                           [](const toml::node& item) { return item.is_table(); });
  if (!well_formed) return Report(at, "runners are written as [[runner]], each with its name");
  has_runners_ = !array->empty();
  for (const toml::node& item : *array) {
    const toml::table& table = *item.as_table();
    const Place place = At(item);
    std::string name = table["name"].value_or(std::string());
    bool good = false;
    if (!table.contains("name")) {
      Report(place, "[[runner]] needs a name");
    } else if (const std::string problem = NameProblem(name); !problem.empty()) {
      Report(At(*table.get("name")), absl::StrCat("runner.name: ", problem));
    } else if (places_.contains("runner." + name)) {
      Report(At(*table.get("name")), absl::StrCat("runner.name: there is a runner \"", name, "\" already"));
    } else {
      good = true;
    }
    // With a name that no other can have, the rest of it is still read and checked.
    if (!good) name = absl::StrCat("#", config_.runners.size() + 1);
    places_["runner." + name] = place;
    AddRunner(name);
    for (const auto& [key, value] : table) Set("runner", name, std::string(key.str()), {value, {}}, At(key));
  }
}

void Loader::Set(const std::string& section, const std::string& name, const std::string& key, const Value& value,
                 const Place& at) {
  if (section == "bridge") return SetIn(BridgeKeys(), section, key, value, at, &config_);
  if (section == "log") return SetIn(LogKeys(), section, key, value, at, &config_);
  if (section == "redis") return SetIn(RedisKeys(), section, key, value, at, &config_.redis);
  if (section == "table") return SetIn(TableKeys(), section, key, value, at, &config_.table);
  if (section == "memory") return SetIn(MemoryKeys(), section, key, value, at, &config_.memory);
  if (section == "runner") return SetRunner(name, key, value, at);
  const std::string prefix = absl::StrCat(section, ".", name);
  if (section == "feed") {
    if (FeedConfig* feed = Named(&config_.feeds, section, name, at)) SetIn(FeedKeys(), prefix, key, value, at, feed);
  } else if (KeyClass* key_class = Named(&config_.classes, section, name, at)) {
    for (const Key<KeyClass>& known : ClassKeys()) {
      if (known.name != key || known.only.empty() || (known.only == "price") == (name == "price")) continue;
      return Report(
          at, absl::StrCat(prefix, ".", key,
                           known.only == "price" ? ": is for the price class only" : ": is not for the price class"));
    }
    SetIn(ClassKeys(), prefix, key, value, at, key_class);
  }
}

template <class T>
void Loader::SetIn(const Keys<T>& keys, const std::string& prefix, const std::string& key, const Value& value,
                   const Place& at, T* into) {
  const std::string full = absl::StrCat(prefix, ".", key);
  const auto found = std::find_if(keys.begin(), keys.end(), [&](const Key<T>& known) { return known.name == key; });
  if (found == keys.end()) {
    std::vector<std::string> names;
    for (const Key<T>& known : keys) {
      if (known.set != nullptr && known.name != "password") names.push_back(known.name);
    }
    const std::string_view nearest = Nearest(key, names);
    return Report(at, absl::StrCat(full, ": unknown key; ",
                                   nearest.empty() ? absl::StrCat("there are ", absl::StrJoin(names, ", "))
                                                   : absl::StrCat("did you mean \"", nearest, "\"?")));
  }
  if (found->set == nullptr) return Report(at, full + ": is not supported by this version");
  places_[full] = at;
  if (const toml::array* const array = value.node.as_array(); array != nullptr && !value.raw.has_value()) {
    size_t index = 0;
    for (const toml::node& item : *array) places_[absl::StrCat(full, "[", index++, "]")] = At(item);
  }
  if (const std::string problem = found->set(value, into); !problem.empty()) {
    refused_.insert(full);
    // An option of its own says by its name what it sets.
    const bool named = at.line == 0 && at.file.starts_with("--") && at.file != "--set";
    Report(at, named ? problem : absl::StrCat(full, ": ", problem));
  } else {
    refused_.erase(full);
  }
}

// The instance of that name, made where there is none yet. Null, with the error reported, if it cannot have that name.
template <class T>
T* Loader::Named(std::vector<T>* list, const std::string& section, const std::string& name, const Place& at) {
  for (T& item : *list) {
    if (item.name == name) return &item;
  }
  if (std::string problem = NameProblem(name); !problem.empty()) {
    Report(at, absl::StrCat("[", section, ".", name, "]: ", problem));
    return nullptr;
  }
  places_.emplace(absl::StrCat(section, ".", name), at);
  list->emplace_back();
  list->back().name = name;
  return &list->back();
}

void Loader::SetRunner(const std::string& name, const std::string& key, const Value& value, const Place& at) {
  std::vector<std::string> names;
  for (RunnerConfig& runner : config_.runners) {
    if (runner.name == name) return SetIn(RunnerKeys(), "runner." + name, key, value, at, &runner);
    names.push_back(runner.name);
  }
  const std::string_view nearest = Nearest(name, names);
  Report(at, absl::StrCat("there is no runner \"", name, "\"; ",
                          nearest.empty() ? absl::StrCat("there are ", absl::StrJoin(names, ", "))
                                          : absl::StrCat("did you mean \"", nearest, "\"?")));
}

void Loader::ReadOption(std::string option, const std::string& key, std::string_view text) {
  // Without [[runner]] there is the one that Finish gives all agents to; it can be tuned, too.
  if (config_.runners.empty()) AddRunner("main");
  const Place at{std::move(option), 0};
  const std::vector<std::string> parts = absl::StrSplit(key, '.');
  const std::string& section = parts[0];
  if (section == "http") return Report(at, "http is not supported by this version");
  if (std::find(Sections().begin(), Sections().end(), section) == Sections().end()) {
    const std::string_view nearest = Nearest(section, Sections());
    return Report(at, absl::StrCat(key, ": unknown section \"", section, "\"; ",
                                   nearest.empty() ? absl::StrCat("there are ", absl::StrJoin(Sections(), ", "))
                                                   : absl::StrCat("did you mean \"", nearest, "\"?")));
  }
  const bool has_instances = section == "class" || section == "feed" || section == "runner";
  if (parts.size() != (has_instances ? 3 : 2)) {
    return Report(at, absl::StrCat(key, ": write ", section, has_instances ? ".NAME.KEY=VALUE" : ".KEY=VALUE"));
  }
  toml::table parsed;
  try {
    parsed = toml::parse(absl::StrCat("value = ", text));
  } catch (const toml::parse_error&) {
    parsed.clear();  // a bare string
  }
  if (parsed.size() != 1) parsed = toml::table{{"value", std::string(text)}};
  Set(section, has_instances ? parts[1] : "", parts.back(), {*parsed.get("value"), text}, at);
}

// A key that the feed's type does not use is a misunderstanding, best told before it costs a morning.
void Loader::CheckFeedKeys() {
  for (const FeedConfig& feed : config_.feeds) {
    if (feed.type.empty()) continue;
    for (const Key<FeedConfig>& key : FeedKeys()) {
      const auto place = places_.find(absl::StrCat("feed.", feed.name, ".", key.name));
      const std::vector<std::string> types = absl::StrSplit(key.only, ' ', absl::SkipEmpty());
      if (place == places_.end() || types.empty() || std::find(types.begin(), types.end(), feed.type) != types.end())
        continue;
      Report(place->second, absl::StrCat(place->first, ": has no meaning for type ", feed.type, ", only for ",
                                         absl::StrJoin(types, ", ")));
    }
  }
}

// Those of the file by line; what has no line keeps its order, behind them.
std::vector<ConfigError> InOrder(std::vector<ConfigError> errors) {
  std::multimap<int, ConfigError> sorted;
  for (ConfigError& error : errors) {
    const int at = error.line > 0 ? error.line : std::numeric_limits<int>::max();
    sorted.emplace(at, std::move(error));
  }
  errors.clear();
  for (auto& [at, error] : sorted) errors.push_back(std::move(error));
  return errors;
}

LoadResult Loader::Finish() {
  if (config_.runners.empty()) AddRunner("main");
  const bool implied = !has_runners_ && !places_.contains("runner.main.agents");
  if (implied && config_.runners.front().agents.empty()) config_.runners.front().agents = AllAgents(config_);
  CheckFeedKeys();
  CheckConfig(config_, [&](const std::string& key, const std::string& message) {
    // What only follows from a value refused before would confuse.
    if (!refused_.contains(key)) Report(Find(key), message);
  });
  return {std::move(config_), InOrder(std::move(errors_))};
}

}  // namespace

std::string ConfigError::ToString() const {
  return line > 0 ? absl::StrCat(file, ":", line, ": ", message) : absl::StrCat(file, ": ", message);
}

LoadResult LoadConfig(const std::string& path, std::span<const std::string> sets,
                      std::span<const ConfigOverride> overrides) {
  Loader loader(path);
  // Of a file that is no TOML nothing is known, so whatever else could be said would be guessed.
  if (!path.empty() && !loader.ReadFile()) return loader.Finish();
  for (const std::string& set : sets) {
    const size_t equals = set.find('=');
    const std::string key(absl::StripAsciiWhitespace(std::string_view(set).substr(0, equals)));
    if (equals == std::string::npos || key.empty()) {
      loader.Report({"--set", 0}, "needs the form KEY=VALUE, such as class.price.ttl=10s");
      continue;
    }
    loader.ReadOption("--set", key, std::string_view(set).substr(equals + 1));
  }
  for (const ConfigOverride& item : overrides) loader.ReadOption(item.option, item.key, item.value);
  return loader.Finish();
}

std::vector<std::string> ConfigKeys() {
  std::vector<std::string> result;
  const auto add = [&](std::string_view prefix, const auto& keys) {
    for (const auto& key : keys) {
      if (key.set != nullptr && key.name != "password") result.push_back(absl::StrCat(prefix, key.name));
    }
  };
  add("bridge.", BridgeKeys());
  add("redis.", RedisKeys());
  add("class.*.", ClassKeys());
  add("table.", TableKeys());
  add("memory.", MemoryKeys());
  add("feed.*.", FeedKeys());
  add("runner.*.", RunnerKeys());
  add("log.", LogKeys());
  return result;
}

std::string SharedTableName(const Config& config) {
  if (config.table.shm.has_value()) return *config.table.shm;
  // What was played into a Redis that is gone is not for the next bridge.
  if (config.redis.url == "embedded") return "";
  return config.instance == "main" ? "tickbridge" : "tickbridge-" + config.instance;
}

std::pair<std::string, std::string> SymbolAffixes(const FeedConfig& feed) {
  const size_t at = feed.symbol.find("{symbol}");
  return {feed.symbol.substr(0, at), feed.symbol.substr(at + std::strlen("{symbol}"))};
}

std::vector<std::string> AllAgents(const Config& config) {
  std::vector<std::string> agents;
  agents.reserve(config.feeds.size() + 1);
  for (const FeedConfig& feed : config.feeds) agents.push_back("feed." + feed.name);
  agents.push_back("sink");
  return agents;
}

}  // namespace tickbridge
