// SPDX-License-Identifier: Apache-2.0
#include "sink/tls.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "sink/wait.h"

namespace tickbridge {
namespace {

struct SslDeleter {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};
using SslPtr = std::unique_ptr<SSL, SslDeleter>;

// The newest error that OpenSSL noted, as text; the rest is dropped, so that it does not show up later.
std::string TakeError() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* const reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "unknown error" : reason;
}

absl::Status TakeErrorStatus() {
  const unsigned long code = ERR_peek_last_error();
  // An alert is the server's own refusal, such as of a missing or unknown certificate of ours.
  if (ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) > SSL_AD_REASON_OFFSET) {
    return absl::FailedPreconditionError(absl::StrCat("TLS: the server refused us: ", TakeError()));
  }
  return absl::UnavailableError(absl::StrCat("TLS: ", TakeError()));
}

// A socket under OpenSSL that never raises SIGPIPE: its own would, and a library must not change what signals do.
int BioWrite(BIO* bio, const char* bytes, int size) {
  const ssize_t done = ::send(static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio))), bytes,
                              static_cast<size_t>(size), MSG_DONTWAIT | MSG_NOSIGNAL);
  BIO_clear_retry_flags(bio);
  if (done < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) BIO_set_retry_write(bio);
  return static_cast<int>(done);
}

int BioRead(BIO* bio, char* into, int size) {
  const ssize_t done = ::recv(static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio))), into,
                              static_cast<size_t>(size), MSG_DONTWAIT);
  BIO_clear_retry_flags(bio);
  if (done < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) BIO_set_retry_read(bio);
  return static_cast<int>(done);
}

long BioControl(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) { return command == BIO_CTRL_FLUSH; }

const BIO_METHOD* SocketMethod() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket without SIGPIPE");
    BIO_meth_set_write(made, BioWrite);
    BIO_meth_set_read(made, BioRead);
    BIO_meth_set_ctrl(made, BioControl);
    return made;
  }();
  return method;
}

class TlsTransport final : public Transport {
 public:
  TlsTransport(SslPtr ssl, int fd) : ssl_(std::move(ssl)), fd_(fd) {}
  SSL* ssl() { return ssl_.get(); }
  absl::Status error() const override { return error_; }
  ~TlsTransport() override {
    SSL_shutdown(ssl_.get());  // says goodbye if the socket takes it; does not wait for the answer
    ERR_clear_error();
    ssl_.reset();
    ::close(fd_);
  }

  Result Read(std::span<char> into, size_t* bytes) noexcept override {
    *bytes = 0;
    return Outcome(SSL_read_ex(ssl_.get(), into.data(), into.size(), bytes));
  }
  Result Write(std::span<const char> from, size_t* bytes) noexcept override {
    // One record a call is what OpenSSL takes (16 KiB); more would cost the caller a duty cycle each.
    *bytes = 0;
    Result result = Result::kOk;
    while (*bytes < from.size() && result == Result::kOk) {
      size_t some = 0;
      result = Outcome(SSL_write_ex(ssl_.get(), from.data() + *bytes, from.size() - *bytes, &some));
      *bytes += some;
    }
    return *bytes != 0 && result == Result::kWouldBlock ? Result::kOk : result;
  }

 private:
  Result Outcome(int result) noexcept {
    if (result > 0) return Result::kOk;
    const int error = SSL_get_error(ssl_.get(), result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
      ERR_clear_error();
      return Result::kWouldBlock;
    }
    // With TLS 1.3 a server refuses our certificate after the handshake, by an alert.
    if (ERR_peek_last_error() != 0) error_ = TakeErrorStatus();
    return Result::kClosed;
  }

  SslPtr ssl_;
  const int fd_;
  absl::Status error_;
};

bool IsAddress(const std::string& host) {
  unsigned char parsed[sizeof(in6_addr)];
  return ::inet_pton(AF_INET, host.c_str(), parsed) == 1 || ::inet_pton(AF_INET6, host.c_str(), parsed) == 1;
}

}  // namespace

struct TlsContext::Impl {
  ~Impl() { SSL_CTX_free(context); }
  SSL_CTX* context = nullptr;
  bool verify = true;
};

TlsContext::TlsContext(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TlsContext::~TlsContext() = default;

absl::StatusOr<std::shared_ptr<TlsContext>> TlsContext::Create(const TlsOptions& options) {
  const auto bad = [](std::string_view key, const std::string& file) {
    return absl::InvalidArgumentError(absl::StrCat(key, " = \"", file, "\": ", TakeError()));
  };
  auto impl = std::make_unique<Impl>();
  impl->verify = options.verify;
  SSL_CTX* const context = impl->context = SSL_CTX_new(TLS_client_method());
  if (context == nullptr) return absl::ResourceExhaustedError("no memory for TLS");
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  // The lane's buffer may have moved when it offers the rest of a write again.
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_verify(context, options.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (!options.ca.empty()) {
    if (SSL_CTX_load_verify_locations(context, options.ca.c_str(), nullptr) != 1) return bad("tls_ca", options.ca);
  } else {
    SSL_CTX_set_default_verify_paths(context);
  }
  if (!options.cert.empty()) {
    if (SSL_CTX_use_certificate_chain_file(context, options.cert.c_str()) != 1) return bad("tls_cert", options.cert);
    if (SSL_CTX_use_PrivateKey_file(context, options.key.c_str(), SSL_FILETYPE_PEM) != 1) {
      return bad("tls_key", options.key);
    }
    if (SSL_CTX_check_private_key(context) != 1) return bad("tls_key", options.key);
  }
  return std::shared_ptr<TlsContext>(new TlsContext(std::move(impl)));
}

absl::StatusOr<std::unique_ptr<Transport>> TlsContext::Connect(int fd, const std::string& host, MonoNs deadline,
                                                               int stop_fd) const {
  SslPtr ssl(SSL_new(impl_->context));
  BIO* const bio = BIO_new(SocketMethod());
  if (ssl == nullptr || bio == nullptr) {
    ::close(fd);
    return absl::ResourceExhaustedError("no memory for TLS");
  }
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<intptr_t>(fd)));  // NOLINT(performance-no-int-to-ptr)
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl.get(), bio, bio);
  bool named = false;
  if (IsAddress(host)) {
    // Names only may be indicated; an address is looked for among the certificate's addresses.
    named = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl.get()), host.c_str()) == 1;
  } else {
    named = SSL_set_tlsext_host_name(ssl.get(), host.c_str()) == 1 && SSL_set1_host(ssl.get(), host.c_str()) == 1;
  }
  auto transport = std::make_unique<TlsTransport>(std::move(ssl), fd);
  if (!named) return absl::FailedPreconditionError(absl::StrCat("TLS: ", host, " cannot be the name of a server"));
  SSL* const handshake = transport->ssl();
  while (true) {
    const int result = SSL_connect(handshake);
    if (result == 1) break;
    const int error = SSL_get_error(handshake, result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
      ERR_clear_error();
      if (absl::Status status = WaitForSocket(fd, error == SSL_ERROR_WANT_WRITE, deadline, stop_fd); !status.ok()) {
        return absl::Status(status.code(), absl::StrCat("TLS handshake: ", status.message()));
      }
      continue;
    }
    if (const long verdict = SSL_get_verify_result(handshake); impl_->verify && verdict != X509_V_OK) {
      ERR_clear_error();
      return absl::FailedPreconditionError(
          absl::StrCat("TLS: the certificate of ", host, " is refused: ", X509_verify_cert_error_string(verdict)));
    }
    if (ERR_peek_last_error() == 0) {
      return absl::UnavailableError("TLS: the server closed the connection during the handshake");
    }
    return TakeErrorStatus();
  }
  return std::unique_ptr<Transport>(std::move(transport));
}

}  // namespace tickbridge
