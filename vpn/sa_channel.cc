// SPDX-License-Identifier: Apache-2.0
#include "vpn/sa_channel.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace hnv {
namespace {

// A step must not keep the control thread: the rest comes with the next one.
constexpr unsigned kRequestsAtOnce = 256;
// A plugin that does not read is ended: it may never make the gateway hold more than this.
constexpr size_t kMaxWaiting = 4096;

}  // namespace

Result<OwnedFd> listen_for_sas(const std::string& path, uid_t user) {
  const auto refuse = [&path](std::string_view what) {
    return fail(ErrorCode::internal, fmt::format("the SA socket {}: {}", path, what));
  };
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return refuse("the path is too long");
  std::memcpy(address.sun_path, path.data(), path.size());
  struct stat folder {};
  const std::string parent = std::filesystem::path(path).parent_path();
  if (stat(parent.c_str(), &folder) != 0) return refuse(std::strerror(errno));
  if ((folder.st_mode & 077) != 0 || (folder.st_uid != user && folder.st_uid != geteuid())) {
    return refuse("its folder must have mode 0700 and belong to charon's user or to the gateway's");
  }
  OwnedFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return refuse(std::strerror(errno));
  (void)unlink(path.c_str());
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      chmod(path.c_str(), 0600) != 0 ||
      (user != geteuid() && chown(path.c_str(), user, static_cast<gid_t>(-1)) != 0) ||
      listen(fd.get(), 8) != 0) {
    return refuse(std::strerror(errno));
  }
  return fd;
}

SaChannel::SaChannel(OwnedFd listener, const Options& options, SaDatabase& sas,
                     std::function<void()> publish)
    : listener_(std::move(listener)),
      options_(options),
      sas_(sas),
      publish_(std::move(publish)),
      buffer_(new uint8_t[sa_protocol::kMaxMessage + 1]()) {
  sas_.add_charon(options_.charon, options_.range);
}

SaChannel::~SaChannel() { disconnect("the gateway ends"); }

void SaChannel::add_to(std::vector<pollfd>& fds) const {
  fds.push_back({listener_.get(), POLLIN, 0});
  if (!peer_) return;
  fds.push_back({peer_.get(), static_cast<short>(out_.empty() ? POLLIN : POLLIN | POLLOUT), 0});
}

void SaChannel::accept_peer() {
  OwnedFd peer(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!peer) return;
  ucred who{};
  socklen_t size = sizeof who;
  if (getsockopt(peer.get(), SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 ||
      who.uid != options_.user) {
    spdlog::error("SA channel {}: a process of user {} is refused; charon's is {}", options_.charon,
                  who.uid, options_.user);
    return;
  }
  // charon came back before the end of the old connection was seen.
  if (peer_) disconnect("charon connected anew");
  peer_ = std::move(peer);
  state_ = State::connected;
}

void SaChannel::disconnect(std::string_view why) {
  if (!peer_) return;
  spdlog::info("SA channel {}: disconnected: {}", options_.charon, why);
  peer_ = {};
  greeted_ = false;
  state_ = State::away;
  out_.clear();
  acknowledgements_.clear();
}

void SaChannel::step(Instant now) {
  accept_peer();
  const uint64_t before = sas_.table().generation;
  sas_.tick(now);
  if (peer_) read_requests(now);
  if (sas_.table().generation != before) publish_();
  for (const Acknowledgement& one : std::exchange(acknowledgements_, {})) {
    send(encode_ack(one.sequence, one.status));
  }
  if (state_ == State::synced) report(now);
  flush();
}

void SaChannel::read_requests(Instant now) {
  for (unsigned i = 0; i < kRequestsAtOnce && peer_; ++i) {
    const ssize_t n = recv(peer_.get(), buffer_.get(), sa_protocol::kMaxMessage + 1, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) return disconnect(n == 0 ? "charon ended it" : std::strerror(errno));
    auto request = decode_sa_request({buffer_.get(), static_cast<size_t>(n)});
    explicit_bzero(buffer_.get(), static_cast<size_t>(n));
    if (!request) return disconnect(request.error().message);
    take(std::move(*request), now);
  }
}

void SaChannel::take(SaRequest request, Instant now) {
  if (const auto* hello = std::get_if<SaHello>(&request.what)) return greet(*hello);
  if (!greeted_) return disconnect("it does not begin with hello");
  acknowledgements_.push_back({request.sequence, apply(request, now)});
}

void SaChannel::greet(const SaHello& hello) {
  if (greeted_) return disconnect("it says hello twice");
  if (hello.version != sa_protocol::kVersion) {
    spdlog::error("SA channel {}: the plugin in charon speaks version {}, the gateway {}",
                  options_.charon, hello.version, sa_protocol::kVersion);
    return disconnect("plugin and gateway are not of one version");
  }
  greeted_ = true;
  hello_ = hello;
  sas_.connected(options_.charon);
  spdlog::info("SA channel {}: charon {} connected", options_.charon, hello.pid);
  send(
      encode(SaWelcome{options_.counters_every, options_.range, sas_.next_index(options_.charon)}));
}

sa_protocol::Status SaChannel::apply(SaRequest& request, Instant now) {
  using sa_protocol::Status;
  const CharonId charon = options_.charon;
  struct Apply {
    SaChannel& self;
    CharonId charon = 0;
    Instant now;
    Status operator()(SaAdd& add) const {
      const uint32_t spi = add.spec.spi;
      const auto added = self.sas_.add(charon, std::move(add.spec), add.origin, add.hard, now);
      if (added) return *added == SaDatabase::Added::closed ? Status::closed : Status::done;
      spdlog::error("SA channel {}: SA {:08x} is refused: {}", charon, spi, added.error().message);
      return Status::refused;
    }
    Status operator()(const SaUpdate& update) const {
      const auto done = self.sas_.update(charon, update.name, update.source, update.destination,
                                         update.encapsulation);
      if (done) return Status::done;
      return done.error().code == ErrorCode::not_found ? Status::unknown : Status::refused;
    }
    Status operator()(const SaDelete& deleted) const {
      return self.sas_.remove(charon, deleted.name) ? Status::done : Status::unknown;
    }
    Status operator()(const SaFlush&) const {
      self.sas_.flush(charon);
      return Status::done;
    }
    Status operator()(const SaSync&) const {
      self.sas_.synced(charon, now);
      self.state_ = State::synced;
      return Status::done;
    }
    Status operator()(const SaHello&) const { return Status::refused; }  // greet() takes them
  };
  return std::visit(Apply{*this, charon, now}, request.what);
}

void SaChannel::report(Instant now) {
  for (const SaExpiry& expiry : sas_.take_expiries(options_.charon)) send(encode(expiry));
  if (now < next_report_) return;
  next_report_ = now + options_.counters_every;
  const std::vector<SaReport> reports = sas_.take_reports(options_.charon);
  for (size_t at = 0; at < reports.size(); at += sa_protocol::kMaxCounters) {
    const size_t n = std::min<size_t>(sa_protocol::kMaxCounters, reports.size() - at);
    send(encode(std::span(reports).subspan(at, n)));
  }
}

void SaChannel::mapping(const SaName& inbound, const SaEndpoint& remote) {
  send(encode_mapping(inbound, remote));
}

void SaChannel::acquire(uint32_t reqid) { send(encode_acquire(reqid)); }

void SaChannel::send(SaMessage message) {
  if (!peer_ || !greeted_) return;
  if (out_.size() >= kMaxWaiting) return disconnect("charon does not read");
  out_.push_back(std::move(message));
}

void SaChannel::flush() {
  while (peer_ && !out_.empty()) {
    const SaMessage& next = out_.front();
    const ssize_t n = ::send(peer_.get(), next.data(), next.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n < 0) return disconnect(std::strerror(errno));
    out_.pop_front();
  }
}

}  // namespace hnv
