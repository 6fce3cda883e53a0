// SPDX-License-Identifier: Apache-2.0
// Servers made of facts, one mistake at a time; and what is collected from a real one.
#include "tools/redis_checks.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <string>
#include <string_view>

#include "tests/redis_server.h"
#include "tests/tree.h"

namespace tickbridge {
namespace {

constexpr int64_t kTimeoutNs = 5'000'000'000;

class RedisChecksTest : public testing::Test {
 protected:
  RedisChecksTest() {
    target_.kind = RedisTarget::Kind::kUnix;
    target_.unix_path = "/run/redis.sock";
    config_.runners.resize(1);
    config_.runners[0].name = "main";
    config_.runners[0].cpu = 1;
    facts_.info = ParseInfo(
        "# Server\r\nredis_version:8.4.1\r\nprocess_id:77\r\nrole:master\r\nconnected_slaves:0\r\n"
        "db0:keys=10,expires=10,avg_ttl=900\r\nconnected_clients:5\r\nrejected_connections:0\r\n");
    facts_.has_msetex = true;
    facts_.config = {{"maxmemory", "0"},
                     {"maxmemory-policy", "noeviction"},
                     {"save", ""},
                     {"appendonly", "no"},
                     {"appendfsync", "everysec"},
                     {"io-threads", "1"},
                     {"tcp-keepalive", "300"},
                     {"timeout", "0"},
                     {"client-output-buffer-limit", "normal 0 0 0 slave 1 1 1 pubsub 1 1 1"},
                     {"slowlog-log-slower-than", "10000"},
                     {"latency-monitor-threshold", "5"},
                     {"hz", "10"},
                     {"active-expire-effort", "1"},
                     {"activedefrag", "no"},
                     {"maxclients", "10000"},
                     {"unixsocket", "/run/redis.sock"},
                     {"disable-thp", "yes"}};
    tree_.Add("/proc/77/comm", "redis-server").Add("/proc/77/status", "Name:\tredis-server\nCpus_allowed_list:\t0");
  }

  Findings Check() { return CheckRedis(facts_, {&config_, &target_, {}, tree_.root()}); }
  // Exactly one finding worse than ok, and this is it.
  Finding ExpectOnly(std::string_view check, Severity severity, const std::string& part) {
    Finding only;
    size_t worse = 0;
    for (const Finding& finding : Check()) {
      if (finding.severity == Severity::kOk) continue;
      ++worse;
      only = finding;
      EXPECT_EQ(finding.check, check) << finding.seen;
      EXPECT_EQ(finding.severity, severity) << finding.seen;
      EXPECT_NE((finding.seen + finding.cost + finding.fix).find(part), std::string::npos)
          << finding.seen << finding.fix;
      EXPECT_FALSE(finding.cost.empty()) << "what it costs is said";
      EXPECT_FALSE(finding.fix.empty()) << "and what helps";
    }
    EXPECT_EQ(worse, 1U) << check;
    return only;
  }
  void ExpectApplies(const Finding& finding, const std::string& parameter, const std::string& value) {
    ASSERT_EQ(finding.apply.size(), 1U) << finding.check;
    EXPECT_EQ(finding.apply[0].first, parameter);
    EXPECT_EQ(finding.apply[0].second, value);
    EXPECT_FALSE(finding.loses.empty()) << "what is lost by it is said";
  }

  Tree tree_;
  Config config_;
  RedisTarget target_;
  RedisFacts facts_;
};

TEST_F(RedisChecksTest, SaysNothingAgainstAGoodServer) {
  for (const Finding& finding : Check()) {
    EXPECT_EQ(finding.severity, Severity::kOk) << finding.check << ": " << finding.seen;
    EXPECT_TRUE(finding.apply.empty());
  }
}

TEST_F(RedisChecksTest, LivesWithAServerThatTellsNothing) {
  facts_ = {};
  facts_.refused = {{"INFO", "NOPERM"}, {"CONFIG GET", "ERR"}};
  ExpectOnly("redis.rights", Severity::kInfo, "INFO (NOPERM), CONFIG GET (ERR)");
}

TEST_F(RedisChecksTest, KnowsVersions) {
  facts_.has_msetex = false;
  facts_.info["redis_version"] = "7.0.15";
  ExpectOnly("redis.version", Severity::kInfo, "MSETEX");
  facts_.info["redis_version"] = "6.0.16";
  ExpectOnly("redis.version", Severity::kWarn, "PXAT");
  config_.redis.expiry = "absolute";
  ExpectOnly("redis.version", Severity::kBad, "PXAT");
  facts_.info["redis_version"] = "6.10.0";
  ExpectOnly("redis.version", Severity::kInfo, "MSETEX");
}

TEST_F(RedisChecksTest, KnowsRoles) {
  facts_.info["connected_slaves"] = "2";
  ExpectOnly("redis.role", Severity::kInfo, "2 replicas");
  facts_.info["role"] = "slave";
  ExpectOnly("redis.role", Severity::kBad, "READONLY");
  facts_.info["role"] = "master";
  facts_.info["connected_slaves"] = "0";
  facts_.info["loading"] = "1";
  ExpectOnly("redis.loading", Severity::kBad, "loading");
}

TEST_F(RedisChecksTest, PrefersTheSocketOfThisHost) {
  target_.kind = RedisTarget::Kind::kTcp;
  target_.unix_path = "";
  target_.host = "127.0.0.1";
  ExpectOnly("redis.path", Severity::kWarn, "unix:///run/redis.sock");
  facts_.config["unixsocket"] = "";
  ExpectOnly("redis.path", Severity::kWarn, "in redis.conf");
  target_.host = "10.0.0.7";
  ExpectOnly("redis.path", Severity::kInfo, "network");
}

TEST_F(RedisChecksTest, SeesAServerOnTheCpuOfARunner) {
  tree_.Add("/proc/77/status", "Cpus_allowed_list:\t0-1");
  ExpectOnly("redis.cpus", Severity::kWarn, "taskset -apc 0 77");
  tree_.Add("/proc/77/comm", "sshd");
  for (const Finding& finding : Check())
    EXPECT_EQ(finding.severity, Severity::kOk) << "somebody else: " << finding.seen;
}

TEST_F(RedisChecksTest, SeesEviction) {
  facts_.config["maxmemory-policy"] = "allkeys-lru";
  for (const Finding& finding : Check())
    EXPECT_EQ(finding.severity, Severity::kOk) << "without a limit: " << finding.seen;
  facts_.config["maxmemory"] = "1000000";
  ExpectApplies(ExpectOnly("redis.eviction", Severity::kWarn, "allkeys-lru"), "maxmemory-policy", "noeviction");
  facts_.config["maxmemory-policy"] = "noeviction";
  facts_.info["evicted_keys"] = "3";
  ExpectOnly("redis.evicted", Severity::kBad, "3 keys");
}

TEST_F(RedisChecksTest, SeesPersistenceAndKeepsItWhereSomebodyNeedsIt) {
  facts_.config["save"] = "3600 1 300 100";
  ExpectApplies(ExpectOnly("redis.save", Severity::kWarn, "3600 1 300 100"), "save", "");
  facts_.config["save"] = "";
  facts_.config["appendonly"] = "yes";
  facts_.config["appendfsync"] = "always";
  ExpectApplies(ExpectOnly("redis.appendonly", Severity::kWarn, "every write"), "appendonly", "no");
  facts_.config["save"] = "3600 1";
  facts_.config["maxmemory"] = "1000000";
  facts_.config["maxmemory-policy"] = "allkeys-lru";
  facts_.info["db3"] = "keys=5,expires=4,avg_ttl=0";
  for (const Finding& finding : Check()) {
    EXPECT_TRUE(finding.apply.empty()) << finding.check << ": a key without expiry is meant to be kept";
  }
}

TEST_F(RedisChecksTest, AppliesNothingWhereItDoesNotKnowWhatIsKept) {
  facts_.config["save"] = "3600 1";
  facts_.config["maxmemory"] = "1000000";
  facts_.config["maxmemory-policy"] = "allkeys-lru";
  facts_.config["appendonly"] = "yes";
  facts_.info.clear();
  facts_.refused = {{"INFO", "NOPERM"}};
  for (const Finding& finding : Check()) EXPECT_TRUE(finding.apply.empty()) << finding.check << ": INFO was refused";
}

TEST_F(RedisChecksTest, AppliesNothingAtAReplica) {
  facts_.config["save"] = "3600 1";
  facts_.config["timeout"] = "60";
  facts_.info["role"] = "slave";
  for (const Finding& finding : Check()) {
    EXPECT_TRUE(finding.apply.empty()) << finding.check << ": it is not the server that the bridge writes to";
  }
}

TEST_F(RedisChecksTest, SaysThatReplicasBecomeEmptyToo) {
  facts_.config["save"] = "3600 1";
  facts_.info["connected_slaves"] = "1";
  for (const Finding& finding : Check()) {
    if (finding.check != "redis.save") continue;
    EXPECT_NE(finding.loses.find("replicas"), std::string::npos) << finding.loses;
  }
}

TEST_F(RedisChecksTest, SeesForksAndHugePages) {
  facts_.info["latest_fork_usec"] = "400";
  ExpectOnly("redis.fork", Severity::kInfo, "400 us");
  facts_.info["latest_fork_usec"] = "40000";
  ExpectOnly("redis.fork", Severity::kWarn, "40000 us");
  facts_.info["latest_fork_usec"] = "0";
  facts_.config["disable-thp"] = "no";
  ExpectOnly("redis.thp", Severity::kWarn, "2 MiB");
}

TEST_F(RedisChecksTest, SeesOthersKeysAndCommands) {
  facts_.info["db1"] = "keys=7,expires=0,avg_ttl=0";
  ExpectOnly("redis.lasting_keys", Severity::kInfo, "7 keys");
  facts_.info.erase("db1");
  facts_.info["cmdstat_keys"] = "calls=12,usec=99";
  ExpectOnly("redis.keys_command", Severity::kWarn, "calls=12");
}

TEST_F(RedisChecksTest, NamesTheSlowest) {
  facts_.slow = {{"SORT", 12'000}, {"KEYS", 250'000}, {"GET", 11'000}, {"EVAL", 90'000}};
  ExpectOnly("redis.slowlog", Severity::kWarn,
             "4 slow commands, the slowest: KEYS 250.0 ms, EVAL 90.0 ms, SORT 12.0 ms");
  facts_.slow.clear();
  facts_.config["slowlog-log-slower-than"] = "-1";
  ExpectOnly("redis.slowlog", Severity::kInfo, "not written down");
  facts_.config["slowlog-log-slower-than"] = "10000";
  facts_.events = {{"FORK", 3}, {"COMMAND", 80}};
  ExpectOnly("redis.latency", Severity::kWarn, "longest stops: COMMAND 80 ms");
  facts_.events.clear();
  facts_.config["latency-monitor-threshold"] = "0";
  ExpectOnly("redis.latency", Severity::kInfo, "off");
}

TEST_F(RedisChecksTest, SeesClients) {
  facts_.monitors = {"12", "15"};
  ExpectOnly("redis.monitor", Severity::kBad, "CLIENT KILL ID 12; CLIENT KILL ID 15");
  facts_.monitors.clear();
  facts_.info["rejected_connections"] = "4";
  ExpectOnly("redis.clients", Severity::kWarn, "4 were refused");
  facts_.info["rejected_connections"] = "0";
  facts_.info["connected_clients"] = "9000";
  ExpectOnly("redis.clients", Severity::kWarn, "9000 of 10000");
  facts_.info["connected_clients"] = "1";
  facts_.config["client-output-buffer-limit"] = "normal 1000 0 0 slave 1 1 1";
  ExpectOnly("redis.output_buffer", Severity::kInfo, "normal 1000 0 0");
  facts_.config["client-output-buffer-limit"] = "normal 0 0 0 slave 1 1 1";
  facts_.config["timeout"] = "60";
  ExpectApplies(ExpectOnly("redis.timeout", Severity::kWarn, "timeout 60 s"), "timeout", "0");
  facts_.config["timeout"] = "0";
  facts_.config["tcp-keepalive"] = "0";
  ExpectOnly("redis.tcp_keepalive", Severity::kInfo, "300");
}

TEST_F(RedisChecksTest, SeesHousekeeping) {
  facts_.config["hz"] = "500";
  ExpectOnly("redis.hz", Severity::kInfo, "hz 500");
  facts_.config["hz"] = "10";
  facts_.config["active-expire-effort"] = "10";
  ExpectApplies(ExpectOnly("redis.expire_effort", Severity::kWarn, "10"), "active-expire-effort", "1");
  facts_.config["active-expire-effort"] = "1";
  facts_.config["activedefrag"] = "yes";
  ExpectApplies(ExpectOnly("redis.activedefrag", Severity::kWarn, "yes"), "activedefrag", "no");
  facts_.config["activedefrag"] = "no";
  facts_.config["io-threads"] = "4";
  ExpectOnly("redis.io_threads", Severity::kInfo, "io-threads 4");
}

TEST_F(RedisChecksTest, CollectsTheFactsOfARealServerAndNoSecret) {
  ::signal(SIGPIPE, SIG_IGN);
  RedisServer redis({"--save", "3600 1", "--enable-debug-command", "yes", "--slowlog-log-slower-than", "1000",
                     "--latency-monitor-threshold", "10", "--masterauth", "hunter2"});
  redis.Call({"SET", "lasting", "1"});
  redis.Call({"DEBUG", "SLEEP", "0.05"});
  RedisTarget target;
  target.kind = RedisTarget::Kind::kUnix;
  target.unix_path = redis.socket();
  auto monitor = RedisClient::Connect(target, kTimeoutNs);
  ASSERT_TRUE(monitor.ok());
  ASSERT_TRUE(monitor->Command({"MONITOR"}).ok());
  auto client = RedisClient::Connect(target, kTimeoutNs);
  ASSERT_TRUE(client.ok());
  const absl::StatusOr<RedisFacts> facts = CollectRedis(&*client);
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_TRUE(facts->refused.empty());
  EXPECT_EQ(facts->config.at("save"), "3600 1");
  EXPECT_EQ(facts->info.at("role"), "master");
  EXPECT_EQ(facts->monitors.size(), 1U);
  ASSERT_FALSE(facts->slow.empty());
  EXPECT_EQ(facts->slow[0].command, "DEBUG");
  EXPECT_GE(facts->slow[0].us, 50'000);
  ASSERT_FALSE(facts->events.empty());
  EXPECT_EQ(facts->events[0].name, "COMMAND");
  for (const auto& [name, value] : facts->config) EXPECT_EQ(value.find("hunter2"), std::string::npos) << name;

  redis.Call({"ACL", "SETUSER", "default", "-config", "-slowlog", "-client", "-latency", "+client|id"});
  const absl::StatusOr<RedisFacts> limited = CollectRedis(&*client);
  ASSERT_TRUE(limited.ok()) << limited.status();
  ASSERT_EQ(limited->refused.size(), 4U);
  EXPECT_EQ(limited->refused[0].first, "CONFIG GET");
  EXPECT_EQ(limited->refused[0].second, "NOPERM");
  EXPECT_EQ(limited->info.at("role"), "master");

  redis.Kill();
  EXPECT_EQ(CollectRedis(&*client).status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace tickbridge
