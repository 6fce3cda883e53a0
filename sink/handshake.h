// SPDX-License-Identifier: Apache-2.0
// What is said on a new connection before its first write: who we are, who the server is, and the end of every
// predecessor of our name.
//
// Fencing: a connection that died may have bytes on their way to the server. So that none of them lands after a newer
// write, every other connection of our name is ended, by id and address, and the answer awaited, before the first write
// goes out. So are those of every lane of an earlier process of our instance: which symbols were whose was another
// matter then. Where CLIENT is forbidden nothing can be ended; then `fence_wait` is given to what is on its way.
//
// Written as steps that never block, over any Transport: a helper thread waits for the socket between them, a
// simulation does not need to.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "core/clock.h"
#include "core/types.h"
#include "sink/own_connections.h"
#include "sink/transport.h"

namespace tickbridge {

class Handshake {
 public:
  struct Options {
    std::string user;      // empty: Redis' default user
    std::string password;  // empty: no AUTH
    int db = 0;
    std::string client_name;  // `tickbridge:<instance>:<lane>`, without spaces and, but for these two, without `:`
    int64_t fence_wait_ns = kNsPerSec;
    // Another connection of our name that keeps giving signs of life is another bridge, and a reason to refuse, unless
    // it is one that we made before ourselves.
    bool refuse_rival = false;
    std::shared_ptr<OwnConnections> own = std::make_shared<OwnConnections>();  // of this process
  };

  // `transport` and `clock` outlive it.
  Handshake(Options options, Transport* transport, const Clock* clock);
  ~Handshake();

  // AUTH, SELECT, INFO, CLIENT ID, TIME.
  void Greet();
  // CLIENT SETNAME, CLIENT LIST, CLIENT KILL. Named only here: by then everybody of this process knows whose it is.
  void Fence();
  // Sends and reads what the transport takes and has. The outcome of Greet or Fence, once it is known.
  // Errors: see Connector.
  std::optional<absl::Status> Step();

  bool wants_write() const;
  // When Step should be called again even if the transport has nothing; MonoNs{INT64_MAX}: need not be.
  MonoNs wake() const;
  const ServerInfo& server() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tickbridge
