// SPDX-License-Identifier: Apache-2.0
// Goal: whatever is wrong in a configuration is said, all of it at once, with the line; and what is right arrives
// typed. Method: small files with one mistake each, whose line is the one that holds the comment "# HERE".
#include "tools/config.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace tickbridge {
namespace {

class ConfigTest : public testing::Test {
 protected:
  ConfigTest() {
    char name[] = "/tmp/tickbridge-config-XXXXXX";
    const int fd = ::mkstemp(name);
    EXPECT_GE(fd, 0);
    ::close(fd);
    file_ = name;
  }
  ~ConfigTest() override { ::unlink(file_.c_str()); }

  LoadResult Load(const std::string& text, const std::vector<std::string>& sets = {}) {
    std::ofstream(file_) << text;
    return LoadConfig(file_, sets);
  }

  // The file has exactly one error: in the line marked "# HERE", and with all the `words` in it.
  void ExpectError(const std::string& text, const std::vector<std::string>& words) {
    const LoadResult result = Load(text);
    ASSERT_EQ(result.errors.size(), 1U) << text << "\n" << All(result);
    const ConfigError& error = result.errors.front();
    EXPECT_EQ(error.file, file_);
    const size_t mark = text.find("# HERE");
    ASSERT_NE(mark, std::string::npos) << text;
    EXPECT_EQ(error.line, 1 + std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(mark), '\n'))
        << text << "\n"
        << error.ToString();
    for (const std::string& word : words)
      EXPECT_NE(error.message.find(word), std::string::npos) << word << " not in: " << error.message;
  }

  static std::string All(const LoadResult& result) {
    std::string all;
    for (const ConfigError& error : result.errors) all += error.ToString() + "\n";
    return all;
  }
  static LoadResult Sets(const std::vector<std::string>& sets) { return LoadConfig("", sets); }
  static std::string SetError(const std::string& set) {
    const LoadResult result = Sets({set});
    EXPECT_EQ(result.errors.size(), 1U) << set << "\n" << All(result);
    if (result.errors.empty()) return "";
    EXPECT_EQ(result.errors.front().file, "--set");
    return result.errors.front().message;
  }

  std::string file_;
};

TEST_F(ConfigTest, WithoutAFileGivesTheDefaults) {
  const LoadResult result = LoadConfig("");
  ASSERT_TRUE(result.ok()) << All(result);
  EXPECT_EQ(result.config.instance, "main");
  EXPECT_EQ(result.config.redis.url, "");
  EXPECT_EQ(result.config.classes.size(), DefaultKeyClasses().size());
  EXPECT_TRUE(result.config.feeds.empty());
  ASSERT_EQ(result.config.runners.size(), 1U);
  EXPECT_EQ(result.config.runners[0].name, "main");
  EXPECT_EQ(result.config.runners[0].agents, std::vector<std::string>{"sink"});
}

void ExpectSameRedis(const RedisConfig& a, const RedisConfig& b) {
  EXPECT_EQ(a.url, b.url);
  EXPECT_EQ(a.password_file, b.password_file);
  EXPECT_EQ(a.share, b.share);
  EXPECT_EQ(a.max_in_flight, b.max_in_flight);
  EXPECT_EQ(a.max_in_flight_bytes, b.max_in_flight_bytes);
  EXPECT_EQ(a.connect_timeout_ns, b.connect_timeout_ns);
  EXPECT_EQ(a.ack_timeout_ns, b.ack_timeout_ns);
  EXPECT_EQ(a.lanes, b.lanes);
}

void ExpectSameFeed(const FeedConfig& a, const FeedConfig& b) {
  EXPECT_EQ(a.address, b.address);
  EXPECT_EQ(a.a, b.a);
  EXPECT_EQ(a.interface, b.interface);
  EXPECT_EQ(a.format, b.format);
  EXPECT_EQ(a.symbol, b.symbol);
  EXPECT_EQ(a.liveness_timeout_ns, b.liveness_timeout_ns);
  EXPECT_EQ(a.max_ahead_ns, b.max_ahead_ns);
  EXPECT_EQ(a.socket_mode, b.socket_mode);
  EXPECT_EQ(a.speed, b.speed);
  EXPECT_EQ(a.symbols, b.symbols);
  EXPECT_EQ(a.rate, b.rate);
  EXPECT_EQ(a.seed, b.seed);
  EXPECT_EQ(a.receive_buffer, b.receive_buffer);
}

TEST_F(ConfigTest, KnowsWhoseTheTableIs) {
  ExpectError("[table]\nowner = \"no-such-user\"  # HERE\n", {"table.owner", "there is no user \"no-such-user\""});
  ExpectError("[table]\ngroup = \"no-such-group\"  # HERE\n", {"table.group", "there is no group \"no-such-group\""});
  const LoadResult result = Load("[table]\nowner = \"nobody\"\ngroup = \"0\"\n");
  EXPECT_TRUE(result.ok()) << All(result);
}

TEST_F(ConfigTest, TheShippedFileIsTheDefaultsWithOneFeed) {
  const LoadResult shipped = LoadConfig(TICKBRIDGE_SOURCE_DIR "/config/tickbridge.toml");
  ASSERT_TRUE(shipped.ok()) << All(shipped);
  const Config defaults;
  EXPECT_EQ(shipped.config.instance, defaults.instance);
  EXPECT_EQ(shipped.config.drain_timeout_ns, defaults.drain_timeout_ns);
  EXPECT_EQ(shipped.config.log_level, defaults.log_level);
  EXPECT_EQ(shipped.config.table.max_symbols, defaults.table.max_symbols);
  EXPECT_EQ(shipped.config.table.max_documents, defaults.table.max_documents);
  ExpectSameRedis(shipped.config.redis, defaults.redis);
  ASSERT_EQ(shipped.config.classes.size(), defaults.classes.size());
  for (size_t i = 0; i < defaults.classes.size(); ++i) {
    const KeyClass& a = shipped.config.classes[i];
    const KeyClass& b = defaults.classes[i];
    SCOPED_TRACE(b.name);
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.key.text(), b.key.text());
    EXPECT_EQ(a.ttl_ns, b.ttl_ns);
    EXPECT_EQ(a.raw, b.raw);
    EXPECT_EQ(a.publish.has_value(), b.publish.has_value());
    EXPECT_EQ(a.min_interval_ns, b.min_interval_ns);
    EXPECT_EQ(a.refresh, b.refresh);
    EXPECT_EQ(a.allow_negative, b.allow_negative);
    EXPECT_EQ(a.members, b.members);
  }
  ASSERT_EQ(shipped.config.feeds.size(), 1U);
  EXPECT_EQ(shipped.config.feeds[0].type, "unix_stream");
  ExpectSameFeed(shipped.config.feeds[0], FeedConfig());
  ASSERT_EQ(shipped.config.runners.size(), 1U);
  EXPECT_EQ(shipped.config.runners[0].cpu, RunnerConfig().cpu);
  EXPECT_EQ(shipped.config.runners[0].priority, RunnerConfig().priority);
  EXPECT_EQ(shipped.config.runners[0].idle, RunnerConfig().idle);
  EXPECT_EQ(shipped.config.memory.lock, defaults.memory.lock);
  EXPECT_EQ(shipped.config.memory.huge_pages, defaults.memory.huge_pages);
  EXPECT_EQ(shipped.config.runners[0].max_park_ns, RunnerConfig().max_park_ns);
}

std::string ReadShipped() {
  std::ifstream in(TICKBRIDGE_SOURCE_DIR "/config/tickbridge.toml");
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST_F(ConfigTest, TheShippedFileNamesEveryKey) {
  // The keys assigned in each section, also in those that are commented out.
  std::set<std::string> found;
  std::istringstream lines(ReadShipped());
  std::string section;
  for (std::string line; std::getline(lines, line);) {
    line.erase(0, line.find_first_not_of("# "));
    if (line.starts_with('[')) {
      const size_t begin = line.find_first_not_of('[');
      section = line.substr(begin, line.find_first_of(".]", begin) - begin);
    } else if (const size_t end = line.find(" = "); end != std::string::npos) {
      found.insert(section + "|" + line.substr(0, end));
    }
  }
  for (const std::string& key : ConfigKeys()) {
    EXPECT_TRUE(found.contains(key.substr(0, key.find('.')) + "|" + key.substr(key.rfind('.') + 1))) << key;
  }
}

TEST_F(ConfigTest, ItsCommentedExamplesAreRight) {
  std::istringstream lines(ReadShipped());
  std::string text;
  for (std::string line; std::getline(lines, line);) {
    // An example: "# key = …" or "# [feed.x]". One runner owns all then, so its list has to go.
    if (line.starts_with("# [") || (line.starts_with("# ") && line.find(" = ") != std::string::npos)) line.erase(0, 2);
    if (line.starts_with("[[runner]]")) break;
    text += line + "\n";
  }
  const LoadResult result = Load(text);
  EXPECT_TRUE(result.ok()) << All(result);
  EXPECT_EQ(result.config.feeds.size(), 7U);
  EXPECT_EQ(result.config.feeds.back().name, "made_up");
  EXPECT_TRUE(result.config.classes[0].publish.has_value());
}

TEST_F(ConfigTest, ReadsTypedValues) {
  const LoadResult result = Load(R"(
[bridge]
instance = "eu-1"
drain_timeout = "1.5s"
[redis]
url = "unix:///run/redis.sock?db=2"
share = 1
max_in_flight = 100
max_in_flight_bytes = "64KiB"
ack_timeout = "250ms"
lanes = 2
[class.price]
ttl = "10s"
refresh = true
fields = ["Last", "Status"]
publish = "price.{symbol}"
[class.greeks]
key = "greeks:{account}:{id}"
ttl = "500us"
[class.zeta]
key = "zeta:{x}"
ttl = "87600h"
raw = true
[feed.zulu]
type = "unix_datagram"
path = "/tmp/z.sock"
socket_mode = 0o600
symbol = "X-{symbol}-PERP"
receive_buffer = 4096
[feed.alpha]
type = "synth"
rate = 2.5
seed = 7
[[runner]]
name = "a"
agents = ["feed.zulu", "feed.alpha", "sink.1"]
[[runner]]
name = "b"
idle = "spin"
max_park = "1ms"
agents = ["sink.0"]
)");
  // The ttl of greeks is below the least.
  ASSERT_EQ(result.errors.size(), 1U) << All(result);
  EXPECT_EQ(result.errors[0].line, 19);
  const Config& config = result.config;
  EXPECT_EQ(config.instance, "eu-1");
  EXPECT_EQ(config.drain_timeout_ns, 1'500'000'000);
  EXPECT_EQ(config.redis.url, "unix:///run/redis.sock?db=2");
  EXPECT_EQ(config.redis.share, 1.0);
  EXPECT_EQ(config.redis.max_in_flight, 100U);
  EXPECT_EQ(config.redis.max_in_flight_bytes, 65'536U);
  EXPECT_EQ(config.redis.ack_timeout_ns, 250'000'000);
  const size_t defaults = DefaultKeyClasses().size();
  ASSERT_EQ(config.classes.size(), defaults + 2);
  EXPECT_EQ(config.classes[0].name, "price");
  EXPECT_EQ(config.classes[0].ttl_ns, 10'000'000'000);
  EXPECT_TRUE(config.classes[0].refresh);
  EXPECT_EQ(config.classes[0].members, (std::vector<QuoteMember>{QuoteMember::kLast, QuoteMember::kStatus}));
  EXPECT_EQ(config.classes[0].publish->text(), "price.{symbol}");
  EXPECT_EQ(config.classes[defaults].name, "greeks");
  EXPECT_EQ(config.classes[defaults + 1].name, "zeta");
  EXPECT_EQ(config.classes[defaults + 1].ttl_ns, 3'650LL * 24 * 3'600 * 1'000'000'000);
  EXPECT_TRUE(config.classes[defaults + 1].raw);
  ASSERT_EQ(config.feeds.size(), 2U);  // in the order of the file, not of the alphabet
  EXPECT_EQ(config.feeds[0].name, "zulu");
  EXPECT_EQ(config.feeds[0].socket_mode, 0600U);
  EXPECT_EQ(config.feeds[0].receive_buffer, 4096U);
  EXPECT_EQ(SymbolAffixes(config.feeds[0]), (std::pair<std::string, std::string>("X-", "-PERP")));
  EXPECT_EQ(config.feeds[1].rate, 2.5);
  EXPECT_EQ(config.feeds[1].seed, 7U);
  ASSERT_EQ(config.runners.size(), 2U);
  EXPECT_EQ(config.runners[1].idle, "spin");
  EXPECT_EQ(config.runners[1].max_park_ns, 1'000'000);
}

TEST_F(ConfigTest, SaysUnknownKeysAndSectionsWithTheNearest) {
  ExpectError("[redis]\n\nshrae = 0.5 # HERE\n", {"redis.shrae", "unknown key", "\"share\""});
  ExpectError("[reddis] # HERE\nshare = 0.5\n", {"[reddis]", "[redis]"});
  ExpectError("[redis]\nelephant = 1 # HERE\n", {"redis.elephant", "max_in_flight"});
  ExpectError("[class.price]\ntll = \"5s\" # HERE\n", {"class.price.tll", "\"ttl\""});
  ExpectError("[feed.x]\ntype = \"synth\"\nsymbls = 3 # HERE\n", {"feed.x.symbls", "\"symbols\""});
  ExpectError("[[runner]]\nname = \"m\"\ncpus = 1 # HERE\nagents = [\"sink\"]\n", {"runner.m.cpus", "\"cpu\""});
  ExpectError("instance = \"x\" # HERE\n", {"instance"});
  ExpectError("redis = 3 # HERE\n", {"[redis]", "must be a table"});
  ExpectError("[feed]\nx = 3 # HERE\n", {"[feed.x]", "must be a table"});
  ExpectError("[runner] # HERE\nname = \"x\"\n", {"[[runner]]"});
}

TEST_F(ConfigTest, ARingIsOneOrAFolderOfThem) {
  ExpectError("[feed.x] # HERE\ntype = \"shm\"\n", {"feed.x", "needs path", "or folder"});
  ExpectError("[feed.x]\ntype = \"shm\"\npath = \"a\"\nfolder = \"/b\" # HERE\n",
              {"feed.x.folder", "either path or folder"});
  ExpectError("[feed.x]\ntype = \"shm\"\npath = \"a\"\n[feed.y]\ntype = \"shm\"\npath = \"a\" # HERE\n",
              {"feed.y.path", "feed.x reads it already"});
  ExpectError("[feed.x]\ntype = \"synth\"\nfolder = \"/b\" # HERE\n", {"feed.x.folder", "only for shm"});
}

TEST_F(ConfigTest, SaysWhatThisVersionDoesNotHave) {
  const std::string not_yet = "not supported by this version";
  for (const char* key : {"url = \"redis+cluster://h:1\"", "url = \"redis+sentinel://h:1/m\""}) {
    ExpectError("[redis]\n" + std::string(key) + " # HERE\n", {"redis.", not_yet});
  }
  ExpectError("[http] # HERE\nlisten = \"127.0.0.1:9470\"\n", {"http", not_yet});
  ExpectError("[feed.x]\ntype = \"websocket\" # HERE\n", {"feed.x.type", not_yet});
  ExpectError("[feed.x]\ntype = \"synth\"\nb = \"1.2.3.4:5\" # HERE\n", {"feed.x.b", not_yet});
  ExpectError("[feed.x]\ntype = \"synth\"\nformat = \"iex_tops\" # HERE\n", {"feed.x.format", not_yet});
}

TEST_F(ConfigTest, NamesTheSharedTableAfterTheInstance) {
  EXPECT_EQ(SharedTableName(Load("").config), "tickbridge");
  EXPECT_EQ(SharedTableName(Load("[bridge]\ninstance = \"b\"\n").config), "tickbridge-b");
  EXPECT_EQ(SharedTableName(Load("[bridge]\ninstance = \"b\"\n[table]\nshm = \"t\"\n").config), "t");
  EXPECT_EQ(SharedTableName(Load("[table]\nshm = \"\"\n").config), "");
  EXPECT_EQ(SharedTableName(Load("[redis]\nurl = \"embedded\"\n").config), "");
  EXPECT_EQ(SharedTableName(Load("[redis]\nurl = \"embedded\"\n[table]\nshm = \"t\"\n").config), "t");
  ExpectError("[table]\nshm = \"a/b\" # HERE\n", {"table.shm", "plain name"});
}

TEST_F(ConfigTest, SaysWrongTypes) {
  ExpectError("[redis]\nshare = \"half\" # HERE\n", {"redis.share", "a number", "a string"});
  ExpectError("[redis]\nlanes = 1.5 # HERE\n", {"redis.lanes", "an integer"});
  ExpectError("[redis]\nlanes = \"1\" # HERE\n", {"redis.lanes", "an integer"});
  ExpectError("[redis]\nlanes = true # HERE\n", {"redis.lanes", "an integer"});
  ExpectError("[redis]\nurl = 5 # HERE\n", {"redis.url", "a string"});
  ExpectError("[redis]\nack_timeout = 5 # HERE\n", {"redis.ack_timeout", "unit"});
  ExpectError("[redis]\nack_timeout = \"5\" # HERE\n", {"redis.ack_timeout", "unit"});
  ExpectError("[redis]\nmax_in_flight_bytes = \"8MB\" # HERE\n", {"redis.max_in_flight_bytes", "MiB"});
  ExpectError("[redis]\nmax_in_flight_bytes = true # HERE\n", {"redis.max_in_flight_bytes", "MiB"});
  ExpectError("[redis.url] # HERE\nx = 1\n", {"redis.url", "a table"});
  ExpectError("[class.price]\nrefresh = \"yes\" # HERE\n", {"class.price.refresh", "true or false"});
  ExpectError("[class.price]\nfields = \"Last\" # HERE\n", {"class.price.fields", "a list"});
  ExpectError("[class.price]\nfields = [1] # HERE\n", {"class.price.fields", "a list of strings"});
  ExpectError("[bridge]\ninstance = 2026-01-01 # HERE\n", {"bridge.instance", "a string", "date"});
}

TEST_F(ConfigTest, SaysImpossibleValuesWithTheLimit) {
  ExpectError("[redis]\nshare = 0.0 # HERE\n", {"redis.share", "0", "1"});
  ExpectError("[redis]\nshare = 1.01 # HERE\n", {"redis.share", "at most 1", "1.01"});
  ExpectError("[redis]\nshare = nan # HERE\n", {"redis.share"});
  ExpectError("[redis]\nmax_in_flight = 0 # HERE\n", {"redis.max_in_flight", "1048576"});
  ExpectError("[redis]\nmax_in_flight = 1048577 # HERE\n", {"redis.max_in_flight", "1048576", "1048577"});
  ExpectError("[redis]\nmax_in_flight_bytes = 1 # HERE\n", {"redis.max_in_flight_bytes", "64KiB"});
  ExpectError("[redis]\nmax_in_flight_bytes = -1 # HERE\n", {"redis.max_in_flight_bytes"});
  ExpectError("[redis]\nlanes = 65 # HERE\n", {"redis.lanes", "64"});
  ExpectError("[class.price]\nttl = \"0s\" # HERE\n", {"class.price.ttl", "1ms"});
  ExpectError("[class.price]\nttl = \"999us\" # HERE\n", {"class.price.ttl", "1ms"});
  ExpectError("[class.price]\nttl = \"87601h\" # HERE\n", {"class.price.ttl", "87600h"});
  ExpectError("[class.price]\nmin_interval = \"5s\" # HERE\n", {"class.price.min_interval", "ttl", "5s"});
  ExpectError("[table]\nmax_symbols = 4194305 # HERE\n", {"table.max_symbols", "4194304"});
  ExpectError("[log]\nlevel = \"warning\" # HERE\n", {"log.level", "\"warn\""});
  ExpectError("[bridge]\ninstance = \"a/b\" # HERE\n", {"bridge.instance", "letters"});
  ExpectError("[bridge]\ninstance = \"\" # HERE\n", {"bridge.instance"});
  ExpectError("[redis]\nurl = \"http://h\" # HERE\n", {"redis.url", "rediss://"});
  ExpectError("[redis]\npassword_file = \"a\\u0000b\" # HERE\n", {"redis.password_file", "control"});
}

TEST_F(ConfigTest, NeverRepeatsASecret) {
  for (const char* text :
       {"[redis]\nurl = \"redis://u:s3cret@h\" # HERE\n", "[redis]\npassword = \"s3cret\" # HERE\n"}) {
    ExpectError(text, {"REDIS_PASSWORD"});
    EXPECT_EQ(All(Load(text)).find("s3cret"), std::string::npos);
  }
  for (const char* set :
       {"redis.url=redis://u:s3cret@h", "redis.password=s3cret", "redis.pasword=s3cret", "token=s3cret"}) {
    EXPECT_EQ(SetError(set).find("s3cret"), std::string::npos) << set;
  }
  const ConfigOverride redis[] = {{"--redis", "redis.url", "redis://u:s3cret@h"}};
  const LoadResult result = LoadConfig("", {}, redis);
  ASSERT_EQ(result.errors.size(), 1U);
  EXPECT_EQ(result.errors[0].file, "--redis");
  EXPECT_EQ(All(result).find("s3cret"), std::string::npos);
}

TEST_F(ConfigTest, ChecksClasses) {
  ExpectError("[class.price]\nkey = \"price:{symbol\" # HERE\n", {"class.price.key", "'{' without '}'"});
  ExpectError("[class.price]\nkey = \"price\" # HERE\n", {"class.price.key", "{symbol}"});
  ExpectError("[class.price]\nkey = \"price[:{symbol}]\" # HERE\n", {"class.price.key", "{symbol}"});
  ExpectError("[class.price]\nkey = \"price:{account}\" # HERE\n", {"class.price.key", "{account}"});
  ExpectError("[class.price]\nraw = true # HERE\n", {"class.price.raw"});
  ExpectError("[class.price]\nfields = [\"Lst\"] # HERE\n", {"class.price.fields", "\"Last\""});
  ExpectError("[class.price]\nfields = [\"Last\", \"Last\"] # HERE\n", {"class.price.fields", "twice"});
  ExpectError("[class.price]\nfields = [] # HERE\n", {"class.price.fields", "at least one"});
  ExpectError("[class.feed]\nkey = \"feed:{symbol}\" # HERE\n", {"class.feed.key", "{name}"});
  ExpectError("[class.orders]\nrefresh = true # HERE\n", {"class.orders.refresh", "price"});
  ExpectError("[class.orders]\nkey = \"hft:accounts:{account}\" # HERE\n[class.accounts]\nttl = \"1s\"\n",
              {"same key"});
  ExpectError("[class.new] # HERE\nttl = \"1s\"\n", {"class.new", "needs key"});
  ExpectError("[class.new] # HERE\nkey = \"new:{a}\"\n", {"class.new", "needs ttl"});
  ExpectError("[class.\"a b\"] # HERE\nkey = \"new:{a}\"\nttl = \"1s\"\n", {"a b", "letters"});
  ExpectError("[class.new]\nkey = \"" + std::string(500, 'x') + "{a}\" # HERE\nttl = \"1s\"\n",
              {"class.new.key", "564", "512"});
}

TEST_F(ConfigTest, ChecksFeeds) {
  ExpectError("[feed.x] # HERE\n", {"feed.x", "needs type", "synth"});
  ExpectError("[feed.x]\ntype = \"unix_strem\" # HERE\n", {"feed.x.type", "\"unix_stream\""});
  ExpectError("[feed.x] # HERE\ntype = \"file\"\n", {"feed.x", "needs path"});
  ExpectError("[feed.x] # HERE\ntype = \"unix_stream\"\n", {"feed.x", "needs path"});
  ExpectError("[feed.x] # HERE\ntype = \"tcp\"\n", {"feed.x", "needs address"});
  ExpectError("[feed.x] # HERE\ntype = \"udp\"\n", {"feed.x", "needs a"});
  ExpectError("[feed.x]\ntype = \"tcp\"\naddress = \"localhost\" # HERE\n", {"feed.x.address", "host:port"});
  ExpectError("[feed.x]\ntype = \"tcp\"\naddress = \"::1:80\" # HERE\n", {"feed.x.address", "[IPv6]:port"});
  ExpectError("[feed.x]\ntype = \"udp\"\na = \"h:65536\" # HERE\n", {"feed.x.a", "65535"});
  ExpectError("[feed.x]\ntype = \"synth\"\npath = \"/x\" # HERE\n", {"feed.x.path", "no meaning for type synth"});
  ExpectError("[feed.x]\ntype = \"file\"\npath = \"/x\"\nspeed = \"fast\" # HERE\n", {"feed.x.speed", "10x"});
  ExpectError("[feed.x]\ntype = \"synth\"\nsymbol = \"{name}\" # HERE\n", {"feed.x.symbol", "{symbol}"});
  ExpectError("[feed.x]\ntype = \"synth\"\nsymbol = \"{symbol}[{symbol}]\" # HERE\n", {"feed.x.symbol", "{symbol}"});
  ExpectError("[feed.x]\ntype = \"synth\"\nsymbols = 65537 # HERE\n", {"feed.x.symbols", "max_symbols", "65536"});
  ExpectError("[feed.x]\ntype = \"synth\"\nrate = -1 # HERE\n", {"feed.x.rate"});
  ExpectError("[feed.x]\ntype = \"unix_stream\"\npath = \"/x\"\nsocket_mode = 660 # HERE\n",
              {"feed.x.socket_mode", "0o660"});
  ExpectError("[feed.x]\ntype = \"unix_stream\"\npath = \"/x\"\nsocket_mode = \"0888\" # HERE\n",
              {"feed.x.socket_mode"});
  ExpectError("[feed.x]\ntype = \"unix_stream\"\npath = \"/x\"\nsocket_mode = \"66000000000\" # HERE\n",
              {"socket_mode"});
  ExpectError("[feed.x]\ntype = \"unix_stream\"\npath = \"/" + std::string(107, 'p') + "\" # HERE\n",
              {"feed.x.path", "107"});
  ExpectError("[feed.x]\ntype = \"file\"\npath = \"/x\"\n[feed.y]\ntype = \"file\"\npath = \"/x\" # HERE\n",
              {"feed.y.path", "feed.x"});
}

TEST_F(ConfigTest, ChecksRunners) {
  const std::string feed = "[feed.x]\ntype = \"synth\"\n";
  const std::string runner = "[[runner]]\nname = \"m\"\n";
  EXPECT_TRUE(Load(feed + runner + "agents = [\"sink\", \"feed.x\"]\n").ok());
  ExpectError(feed + runner + "agents = [\"sink\", \"feed.x\",\n \"feed.y\" # HERE\n]\n",
              {"unknown agent \"feed.y\"", "\"feed.x\""});
  ExpectError(feed + runner + "agents = [\"feed.x\", \"sink\", \"sink\"] # HERE\n", {"sink.0", "already"});
  ExpectError(
      feed + runner + "agents = [\"feed.x\", \"sink\"]\n[[runner]]\nname = \"n\"\nagents = [\"feed.x\"] # HERE\n",
      {"runner.n.agents", "feed.x", "\"m\""});
  ExpectError(
      feed + runner + "agents = [\"feed.x\", \"sink\"]\n[[runner]]\nname = \"n\"\nagents = [\"sink.0\"] # HERE\n",
      {"runner.n.agents", "sink.0", "\"m\""});
  ExpectError(runner + "agents = [\"sink\"]\n[feed.x] # HERE\ntype = \"synth\"\n", {"feed.x", "in no runner"});
  ExpectError(feed + "[[runner]] # HERE\nname = \"m\"\nagents = [\"feed.x\"]\n", {"sink", "in no runner"});
  ExpectError("[redis]\nlanes = 2\n[[runner]] # HERE\nname = \"m\"\nagents = [\"sink.1\"]\n",
              {"sink.0", "in no runner"});
  ExpectError(feed + runner + "agents = [\"feed.x\", \"sink\"]\n[[runner]] # HERE\nname = \"n\"\n",
              {"runner.n.agents", "empty"});
  ExpectError(feed + "[[runner]] # HERE\nagents = [\"feed.x\", \"sink\"]\n", {"needs a name"});
  ExpectError(feed + runner + "agents = [\"feed.x\"]\n[[runner]]\nname = \"m\" # HERE\nagents = [\"sink\"]\n",
              {"\"m\" already"});
  ExpectError(feed + runner + "idle = \"sleep\" # HERE\nagents = [\"feed.x\", \"sink\"]\n",
              {"runner.m.idle", "backoff"});
  ExpectError(runner + "cpu = -2 # HERE\nagents = [\"sink\"]\n", {"runner.m.cpu", "-1"});
  ExpectError(runner + "priority = 100 # HERE\nagents = [\"sink\"]\n", {"runner.m.priority", "99"});
  EXPECT_EQ(Load(runner + "priority = 99\nagents = [\"sink\"]\n").config.runners[0].priority, 99);
}

TEST_F(ConfigTest, KnowsTheCpusOfTheProcess) {
  cpu_set_t allowed;
  ASSERT_EQ(::sched_getaffinity(0, sizeof(allowed), &allowed), 0);
  int inside = 0;
  while (!CPU_ISSET(inside, &allowed)) ++inside;
  EXPECT_TRUE(Sets({"runner.main.cpu=" + std::to_string(inside)}).ok());
  int outside = 0;
  while (outside < CPU_SETSIZE && CPU_ISSET(outside, &allowed)) ++outside;
  ExpectError("[[runner]]\nname = \"m\"\nagents = [\"sink\"]\ncpu = " + std::to_string(outside) + " # HERE\n",
              {"runner.m.cpu = " + std::to_string(outside)});
}

TEST_F(ConfigTest, SaysAllErrorsAtOnceInTheOrderOfTheFile) {
  const LoadResult result = Load(R"([redis]
lanes = 0
share = "x"
[class.price]
tll = "5s"
key = "{"
[zebra]
[feed.x]
type = "tcp"
[[runner]]
name = "m"
cpu = 4000
agents = ["feed.z"]
)",
                                 {"redis.lanes=0", "nothing"});
  std::vector<int> lines;
  for (const ConfigError& error : result.errors) lines.push_back(error.line);
  // 8: the feed needs an address, and is in no runner. 10: so is the sink.
  EXPECT_EQ(lines, (std::vector<int>{2, 3, 5, 6, 7, 8, 8, 10, 12, 13, 0, 0})) << All(result);
  EXPECT_EQ(result.errors[0].ToString().find(file_ + ":2: redis.lanes: "), 0U);
}

TEST_F(ConfigTest, SaysWhereAFileIsNoToml) {
  ExpectError("[redis]\nshare = = 1 # HERE\n", {"not TOML"});
  ExpectError("[redis]\nshare = 1\nshare = 1 # HERE\n", {"not TOML", "share"});
  ExpectError("[class.price]\n[class.price] # HERE\n", {"not TOML"});
  for (const std::string& path : {file_ + ".absent", std::string("/tmp")}) {
    const LoadResult result = LoadConfig(path);
    ASSERT_EQ(result.errors.size(), 1U);
    EXPECT_EQ(result.errors[0].file, path);
    EXPECT_NE(result.errors[0].message.find("cannot be read"), std::string::npos);
  }
}

TEST_F(ConfigTest, SetTypesItsValueByTheSchema) {
  const LoadResult result = Sets({"class.price.ttl=10s",
                                  "class.price.refresh=true",
                                  "class.price.fields=Last, Bid",
                                  "class.new.key=new:{a}",
                                  "class.new.ttl=\"1m\"",
                                  "bridge.instance=7",
                                  "redis.url=redis://h:1/2",
                                  "redis.share=1",
                                  "redis.lanes='2'",
                                  "redis.max_in_flight_bytes=1MiB",
                                  "table.max_symbols=1_000",
                                  "feed.syn.type=synth",
                                  "feed.syn.seed=0x10",
                                  "feed.syn.symbol='{symbol}.T'",
                                  "feed.sock.type=unix_stream",
                                  "feed.sock.path=/tmp/a=b.sock",
                                  "feed.sock.socket_mode=600",
                                  "runner.main.idle=spin",
                                  "log.level=debug",
                                  "redis.lanes=3"});
  ASSERT_TRUE(result.ok()) << All(result);
  const Config& config = result.config;
  EXPECT_EQ(config.classes[0].ttl_ns, 10'000'000'000);
  EXPECT_TRUE(config.classes[0].refresh);
  EXPECT_EQ(config.classes[0].members, (std::vector<QuoteMember>{QuoteMember::kLast, QuoteMember::kBid}));
  EXPECT_EQ(config.classes.back().name, "new");
  EXPECT_EQ(config.classes.back().ttl_ns, 60'000'000'000);
  EXPECT_EQ(config.instance, "7");
  EXPECT_EQ(config.redis.url, "redis://h:1/2");
  EXPECT_EQ(config.redis.share, 1.0);
  EXPECT_EQ(config.redis.lanes, 3U);  // the last one wins
  EXPECT_EQ(config.redis.max_in_flight_bytes, size_t{1} << 20);
  EXPECT_EQ(config.table.max_symbols, 1000U);
  ASSERT_EQ(config.feeds.size(), 2U);
  EXPECT_EQ(config.feeds[0].seed, 16U);
  EXPECT_EQ(config.feeds[0].symbol, "{symbol}.T");
  EXPECT_EQ(config.feeds[1].path, "/tmp/a=b.sock");
  EXPECT_EQ(config.feeds[1].socket_mode, 0600U);
  ASSERT_EQ(config.runners.size(), 1U);
  EXPECT_EQ(config.runners[0].idle, "spin");
  EXPECT_EQ(config.runners[0].agents, (std::vector<std::string>{"feed.syn", "feed.sock", "sink"}));
}

TEST_F(ConfigTest, SetWinsOverTheFileAndAnOptionOfItsOwnOverSet) {
  std::ofstream(file_)
      << "[redis]\nurl = \"redis://file:1/0\"\nlanes = 2\n[[runner]]\nname = \"m\"\nagents = [\"sink\"]\n";
  const std::vector<std::string> sets = {"redis.url=redis://set:1/0", "runner.m.max_park=2us"};
  EXPECT_EQ(LoadConfig(file_, sets).config.redis.url, "redis://set:1/0");
  const ConfigOverride redis[] = {{"--redis", "redis.url", "redis://option:1/0"}};
  const LoadResult result = LoadConfig(file_, sets, redis);
  EXPECT_TRUE(result.ok()) << All(result);
  EXPECT_EQ(result.config.redis.url, "redis://option:1/0");
  EXPECT_EQ(result.config.redis.lanes, 2U);
  EXPECT_EQ(result.config.runners[0].max_park_ns, 2'000);
}

TEST_F(ConfigTest, SaysWhatIsWrongWithSet) {
  EXPECT_NE(SetError("redis.lanes").find("KEY=VALUE"), std::string::npos);
  EXPECT_NE(SetError("=5").find("KEY=VALUE"), std::string::npos);
  EXPECT_NE(SetError("redis=5").find("redis.KEY"), std::string::npos);
  EXPECT_NE(SetError("class.price=5").find("class.NAME.KEY"), std::string::npos);
  EXPECT_NE(SetError("redis.lanes=many").find("an integer"), std::string::npos);
  EXPECT_NE(SetError("redis.share=lots").find("a number"), std::string::npos);
  EXPECT_NE(SetError("class.price.refresh=yes").find("true or false"), std::string::npos);
  EXPECT_NE(SetError("class.price.ttl=10").find("unit"), std::string::npos);
  EXPECT_NE(SetError("reds.lanes=1").find("\"redis\""), std::string::npos);
  EXPECT_NE(SetError("runner.mian.cpu=0").find("\"main\""), std::string::npos);
  EXPECT_NE(SetError("http.listen=x").find("not supported by this version"), std::string::npos);
  EXPECT_NE(SetError("runner.main.name=x").find("renamed"), std::string::npos);
  // A line break does not smuggle a second key in.
  EXPECT_NE(SetError("redis.lanes=2\nx = 3").find("an integer"), std::string::npos);
}

}  // namespace
}  // namespace tickbridge
