// SPDX-License-Identifier: Apache-2.0
// A Redis server as a lane sees one: keys with lifetimes, clients with names, and every way to refuse. One thread, no
// I/O; bytes go in and out by hand. tests/sim/server_test.cc holds it against a real redis-server.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/types.h"

namespace tickbridge::sim {

class Server {
 public:
  struct Key {
    std::string value;
    std::optional<int64_t> expires_ms;  // by the server's clock
    bool operator==(const Key&) const = default;
  };
  using Keys = std::map<std::string, Key, std::less<>>;

  // Called when a command changed a key; `before` and `after` are null where there is none.
  using OnChange = std::function<void(const std::string& name, const Key* before, const Key* after)>;

  // A connection of a client, while it lives.
  using ClientId = int64_t;

  Server() { Restart({}); }

  // A new process with these keys: other run_id, no clients.
  void Restart(Keys keys);
  // The server's clock, Unix microseconds. Never set back but by a test that wants to.
  void SetTime(int64_t unix_us) { now_us_ = unix_us; }
  void DropExpired();
  int64_t time_ms() const { return now_us_ / 1000; }

  ClientId Accept();
  bool Has(ClientId id) const { return clients_.contains(id); }
  void Disconnect(ClientId id) { clients_.erase(id); }
  // Bytes from a client; whole commands in them are carried out, at most `commands_max`, the rest later. Returns the
  // bytes of the replies.
  std::string Receive(ClientId id, std::string_view bytes, size_t commands_max);
  bool HasWork(ClientId id) const;

  // What writes and reads are answered with instead of being carried out; empty: nothing.
  void SetError(std::string text) { error_ = std::move(text); }
  // CLIENT is forbidden.
  void ForbidClient(bool on) { client_forbidden_ = on; }
  // A server new enough for MSETEX.
  void SetMsetex(bool on) { msetex_ = on; }
  // A key whose name holds this may not be written.
  void Deny(std::string part) { denied_ = std::move(part); }

  // As a reader sees it: null when it is not there or has run out.
  const Key* Find(const std::string& name) const;
  const Keys& keys() const { return keys_; }
  std::string run_id() const { return "run" + std::to_string(runs_); }
  void set_on_change(OnChange on_change) { on_change_ = std::move(on_change); }

 private:
  struct Client {
    std::string name;
    std::string input;
  };
  using Words = std::vector<std::string>;

  std::string Execute(ClientId id, const Words& words);
  std::string Set(const std::string& name, std::string value, std::optional<int64_t> expires_ms);
  std::string SetMany(const Words& words);
  std::string OnClientCommand(ClientId id, const Words& words);

  int64_t now_us_ = 0;
  int runs_ = 0;
  ClientId next_id_ = 1;
  std::map<ClientId, Client> clients_;
  Keys keys_;
  std::string error_;
  std::string denied_;
  bool client_forbidden_ = false;
  bool msetex_ = false;
  OnChange on_change_;
};

}  // namespace tickbridge::sim
