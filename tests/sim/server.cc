// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/server.h"

#include <algorithm>
#include <charconv>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace tickbridge::sim {
namespace {

std::string Bulk(std::string_view text) { return absl::StrCat("$", text.size(), "\r\n", text, "\r\n"); }
std::string Error(std::string_view text) { return absl::StrCat("-", text, "\r\n"); }
std::string Integer(int64_t value) { return absl::StrCat(":", value, "\r\n"); }

// A line `<type><number>\r\n` at the beginning of `bytes`, which is taken off.
std::optional<int64_t> TakeNumber(std::string_view* bytes, char type) {
  const size_t end = bytes->find("\r\n");
  int64_t number = 0;
  if (end == std::string_view::npos || bytes->front() != type ||
      !absl::SimpleAtoi(bytes->substr(1, end - 1), &number)) {
    return std::nullopt;
  }
  bytes->remove_prefix(end + 2);
  return number;
}

// A whole command at the beginning of `bytes`; how many bytes it takes, 0 if it is not whole yet.
size_t TakeCommand(std::string_view bytes, std::vector<std::string>* words) {
  const size_t before = bytes.size();
  const std::optional<int64_t> count = TakeNumber(&bytes, '*');
  if (!count.has_value()) return 0;
  for (int64_t i = 0; i < *count; ++i) {
    if (bytes.empty()) return 0;
    const std::optional<int64_t> size = TakeNumber(&bytes, '$');
    if (!size.has_value() || bytes.size() < static_cast<size_t>(*size) + 2) return 0;
    words->emplace_back(bytes.substr(0, static_cast<size_t>(*size)));
    bytes.remove_prefix(static_cast<size_t>(*size) + 2);
  }
  return before - bytes.size();
}

std::string WrongArguments(std::string_view command) {
  return Error(absl::StrCat("ERR wrong number of arguments for '", absl::AsciiStrToLower(command), "' command"));
}

}  // namespace

void Server::Restart(Keys keys) {
  ++runs_;
  next_id_ = 1;
  clients_.clear();
  keys_ = std::move(keys);
}

Server::ClientId Server::Accept() {
  clients_[next_id_] = {};
  return next_id_++;
}

const Server::Key* Server::Find(const std::string& name) const {
  const auto found = keys_.find(name);
  if (found == keys_.end() || (found->second.expires_ms && *found->second.expires_ms <= time_ms())) return nullptr;
  return &found->second;
}

void Server::DropExpired() {
  std::erase_if(keys_,
                [this](const auto& key) { return key.second.expires_ms && *key.second.expires_ms <= time_ms(); });
}

bool Server::HasWork(ClientId id) const {
  const auto client = clients_.find(id);
  std::vector<std::string> words;
  return client != clients_.end() && TakeCommand(client->second.input, &words) != 0;
}

std::string Server::Receive(ClientId id, std::string_view bytes, size_t commands_max) {
  const auto client = clients_.find(id);
  if (client == clients_.end()) return "";
  client->second.input += bytes;
  std::string replies;
  for (size_t i = 0; i < commands_max; ++i) {
    Words words;
    const size_t size = TakeCommand(client->second.input, &words);
    if (size == 0) break;
    client->second.input.erase(0, size);
    replies += Execute(id, words);
  }
  return replies;
}

std::string Server::Execute(ClientId id, const Words& words) {
  const std::string command = absl::AsciiStrToUpper(words[0]);
  // A server that loads answers what asks for nothing; one that is busy with a script hardly anything.
  if (error_.starts_with("BUSY") || (error_.starts_with("LOADING") && command == "PING")) return Error(error_);
  if (command == "CLIENT") return OnClientCommand(id, words);
  if (command == "PING") return "+PONG\r\n";
  if (command == "SELECT") return "+OK\r\n";
  if (command == "AUTH") return "+OK\r\n";
  if (command == "INFO") {
    return Bulk(
        absl::StrCat("# Server\r\nredis_version:", msetex_ ? "8.4.0" : "7.0.15", "\r\nrun_id:", run_id(), "\r\n"));
  }
  if (command == "TIME") {
    return absl::StrCat("*2\r\n", Bulk(absl::StrCat(now_us_ / 1'000'000)), Bulk(absl::StrCat(now_us_ % 1'000'000)));
  }
  if (command == "GETRANGE" || command == "GET") {
    if (words.size() != (command == "GET" ? 2 : 4)) return WrongArguments(command);
    if (error_.starts_with("LOADING") || error_.starts_with("BUSY") || error_.starts_with("MASTERDOWN") ||
        error_.starts_with("CLUSTERDOWN") || error_.starts_with("NOAUTH")) {
      return Error(error_);
    }
    const Key* key = Find(words[1]);
    if (command == "GET") return key == nullptr ? "$-1\r\n" : Bulk(key->value);
    // Only from the beginning, as lanes ask.
    int64_t last = 0;
    if (words[2] != "0" || !absl::SimpleAtoi(words[3], &last) || last < 0) {
      return Error("ERR value is not an integer or out of range");
    }
    return Bulk(key == nullptr ? "" : std::string_view(key->value).substr(0, static_cast<size_t>(last) + 1));
  }
  if (command == "PTTL") {
    if (words.size() != 2) return WrongArguments(command);
    const Key* key = Find(words[1]);
    return Integer(key == nullptr ? -2 : key->expires_ms ? *key->expires_ms - time_ms() : -1);
  }
  if (!error_.empty()) return Error(error_);
  if (command == "PUBLISH") {
    if (words.size() != 3) return WrongArguments(command);
    return Integer(0);
  }
  if (command == "MSETEX" && msetex_) return SetMany(words);
  if (words.size() > 1 && !denied_.empty() && words[1].find(denied_) != std::string::npos) {
    return Error("NOPERM No permissions to access a key");
  }
  if (command == "SETEX" || command == "PSETEX") {
    if (words.size() != 4) return WrongArguments(command);
    int64_t life = 0;
    if (!absl::SimpleAtoi(words[2], &life)) return Error("ERR value is not an integer or out of range");
    if (life <= 0)
      return Error(absl::StrCat("ERR invalid expire time in '", absl::AsciiStrToLower(command), "' command"));
    return Set(words[1], words[3], time_ms() + (command == "SETEX" ? life * 1000 : life));
  }
  if (command == "SET") {
    if (words.size() == 3) return Set(words[1], words[2], std::nullopt);
    if (words.size() != 5 || absl::AsciiStrToUpper(words[3]) != "PXAT") return Error("ERR syntax error");
    int64_t deadline = 0;
    if (!absl::SimpleAtoi(words[4], &deadline)) return Error("ERR value is not an integer or out of range");
    if (deadline <= 0) return Error("ERR invalid expire time in 'set' command");
    return Set(words[1], words[2], deadline);
  }
  if (command == "UNLINK") {
    if (words.size() < 2) return WrongArguments(command);
    int64_t gone = 0;
    for (size_t i = 1; i < words.size(); ++i) {
      gone += Find(words[i]) != nullptr;
      const auto found = keys_.find(words[i]);
      if (found == keys_.end()) {
        if (on_change_) on_change_(words[i], nullptr, nullptr);
        continue;
      }
      const Key before = found->second;
      keys_.erase(found);
      if (on_change_) on_change_(words[i], &before, nullptr);
    }
    return Integer(gone);
  }
  // As the real one: the arguments are repeated.
  std::string arguments;
  for (size_t i = 1; i < words.size(); ++i) absl::StrAppend(&arguments, "'", words[i], "' ");
  return Error(absl::StrCat("ERR unknown command '", words[0], "', with args beginning with: ", arguments));
}

std::string Server::Set(const std::string& name, std::string value, std::optional<int64_t> expires_ms) {
  const Key* const found = Find(name);
  const std::optional<Key> before = found == nullptr ? std::nullopt : std::optional(*found);
  if (expires_ms && *expires_ms <= time_ms()) {
    // A deadline that has passed deletes.
    keys_.erase(name);
    if (on_change_ && before) on_change_(name, &*before, nullptr);
    return "+OK\r\n";
  }
  Key& key = keys_[name] = {std::move(value), expires_ms};
  if (on_change_) on_change_(name, before ? &*before : nullptr, &key);
  return "+OK\r\n";
}

// MSETEX numkeys key value … EX|PX|PXAT lifetime, as lanes send it. Source: the command's page in the documentation of
// Redis 8.4.
std::string Server::SetMany(const Words& words) {
  size_t count = 0;
  int64_t life = 0;
  if (words.size() < 4) return WrongArguments("MSETEX");
  if (!absl::SimpleAtoi(words[1], &count) || count == 0) return Error("ERR invalid numkeys value");
  if (words.size() != 2 * count + 4) return Error("ERR syntax error");
  const std::string unit = absl::AsciiStrToUpper(words[words.size() - 2]);
  if (!absl::SimpleAtoi(words.back(), &life)) return Error("ERR value is not an integer or out of range");
  if (life <= 0) return Error("ERR invalid expire time in 'msetex' command");
  if (unit != "EX" && unit != "PX" && unit != "PXAT") return Error("ERR syntax error");
  for (size_t i = 0; i < count && !denied_.empty(); ++i) {
    if (words[2 + 2 * i].find(denied_) != std::string::npos) return Error("NOPERM No permissions to access a key");
  }
  const int64_t expires_ms = unit == "EX" ? time_ms() + life * 1000 : unit == "PX" ? time_ms() + life : life;
  for (size_t i = 0; i < count; ++i) Set(words[2 + 2 * i], words[3 + 2 * i], expires_ms);
  return Integer(1);
}

std::string Server::OnClientCommand(ClientId id, const Words& words) {
  const std::string sub = words.size() > 1 ? absl::AsciiStrToUpper(words[1]) : "";
  if (client_forbidden_) {
    return Error(absl::StrCat("NOPERM this user has no permissions to run the 'client|", absl::AsciiStrToLower(sub),
                              "' command"));
  }
  if (sub == "SETNAME" && words.size() == 3) {
    clients_[id].name = words[2];
    return "+OK\r\n";
  }
  if (sub == "ID" && words.size() == 2) return Integer(id);
  if (sub == "LIST" && words.size() == 2) {
    std::string list;
    for (const auto& [other, client] : clients_) {
      absl::StrAppend(&list, "id=", other, " addr=10.0.0.1:", 1000 + other,
                      " laddr=10.0.0.2:6379 fd=8 name=", client.name, " age=1 idle=5 flags=N db=0\n");
    }
    return Bulk(list);
  }
  if (sub == "KILL" && words.size() == 6) {
    int64_t victim = 0;
    if (!absl::SimpleAtoi(words[3], &victim) || !clients_.contains(victim) || victim == id ||
        words[5] != absl::StrCat("10.0.0.1:", 1000 + victim)) {
      return Integer(0);
    }
    clients_.erase(victim);
    return Integer(1);
  }
  return Error("ERR syntax error");
}

}  // namespace tickbridge::sim
