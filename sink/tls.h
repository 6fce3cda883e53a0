// SPDX-License-Identifier: Apache-2.0
// TLS for the connection to Redis, by OpenSSL: TLS 1.2 or newer, the server's certificate and name verified by default.
//
// hiredis' own TLS is not used: up to 1.2 it verifies that a certificate is signed, but not for whom.
// Threading: a TlsContext may be used by any thread; a Transport of it by one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "core/types.h"
#include "sink/transport.h"

namespace tickbridge {

// [redis] tls_*.
struct TlsOptions {
  std::string ca;    // file of the authorities to trust, PEM; empty: the system's
  std::string cert;  // our certificate chain, PEM; empty: none is shown
  std::string key;   // its key
  bool verify = true;
};

class TlsContext {
 public:
  // Errors: kInvalidArgument, naming the file that cannot be used.
  static absl::StatusOr<std::shared_ptr<TlsContext>> Create(const TlsOptions& options);
  ~TlsContext();

  // Shakes hands on a connected socket until `deadline`; `stop_fd` becoming readable interrupts it. Takes the socket
  // over, also when it fails. `host`: the name or address that the certificate must be for.
  // Errors: kFailedPrecondition: a certificate was refused, by us or by the server, with the reason; kUnavailable.
  absl::StatusOr<std::unique_ptr<Transport>> Connect(int fd, const std::string& host, MonoNs deadline,
                                                     int stop_fd) const;

 private:
  struct Impl;
  explicit TlsContext(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tickbridge
