// SPDX-License-Identifier: GPL-2.0-or-later
#include "vpn/charon/gateway_link.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include "vpn/charon/message_bytes.h"

namespace hnv::charon {
namespace {

namespace wire = sa_protocol;

// More than a gateway ever leaves lying; beside one message for each SA, which a replay needs.
constexpr size_t kMaxWaiting = 1024;

uint64_t random_number() {
  uint64_t value = 0;
  (void)!getrandom(&value, sizeof value, 0);
  return value;
}

void wipe(std::vector<uint8_t>& bytes) {
  if (!bytes.empty()) explicit_bzero(bytes.data(), bytes.size());
}

}  // namespace

GatewayLink::Sa::~Sa() { explicit_bzero(&message, sizeof message); }

GatewayLink::Key GatewayLink::key_of(uint32_t spi, const wire::Endpoint& destination) {
  Key key;
  key.spi = spi;
  std::memcpy(key.destination.data(), destination.address, sizeof destination.address);
  key.destination[16] = destination.family;
  return key;
}

wire::SaName GatewayLink::name_of(const Sa& sa) {
  wire::SaName name;
  name.spi = sa.message.spi;
  name.inbound = (sa.message.flags & wire::kInbound) != 0 ? 1 : 0;
  name.destination = sa.message.destination;
  return name;
}

GatewayLink::GatewayLink(Options options, CharonCalls& calls)
    : options_(std::move(options)),
      calls_(calls),
      incarnation_(random_number()),
      wake_fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      random_(static_cast<uint32_t>(random_number())) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

GatewayLink::~GatewayLink() {
  {
    const std::scoped_lock lock(mutex_);
    stop_ = true;
    wake();
  }
  thread_.join();
  close(wake_fd_);
}

bool GatewayLink::connected() const {
  const std::scoped_lock lock(mutex_);
  return open_;
}

// ---- SPIs

std::optional<uint32_t> GatewayLink::next_spi() {
  const std::scoped_lock lock(mutex_);
  if (!open_) return std::nullopt;
  for (size_t i = 0; i < indexes_.size(); ++i) {
    const uint32_t index = next_index_;
    next_index_ = (next_index_ + 1) % static_cast<uint32_t>(indexes_.size());
    if (indexes_[index] != Index::free) continue;
    indexes_[index] = Index::reserved;
    const uint32_t tag = std::uniform_int_distribution<uint32_t>(1, 0xffff)(random_);
    tags_[index] = tag;
    return wire::make_spi(tag, first_index_ + index);
  }
  return std::nullopt;
}

std::optional<size_t> GatewayLink::slot_of(uint32_t spi) const {
  const uint32_t index = wire::index_of_spi(spi);
  if (index < first_index_ || index - first_index_ >= indexes_.size()) return std::nullopt;
  const size_t slot = index - first_index_;
  if (tags_[slot] != spi >> wire::kIndexBits) return std::nullopt;
  return slot;
}

void GatewayLink::release(uint32_t spi, Index from) {
  const auto slot = slot_of(spi);
  if (slot && indexes_[*slot] == from) indexes_[*slot] = Index::free;
}

// ---- from charon's threads

bool GatewayLink::add(wire::AddSa& message, const std::vector<wire::Selector>& selectors,
                      const Lifetime& lifetime) {
  std::unique_lock lock(mutex_);
  const bool inbound = (message.flags & wire::kInbound) != 0;
  const Key key = key_of(message.spi, message.destination);
  if (!open_ || unanswered_ || sas_.contains(key)) {
    explicit_bzero(&message, sizeof message);
    return false;
  }
  const uint32_t sequence = ++sequence_;
  enqueue(bytes_of(wire::Type::add_sa, sequence, message, selectors));
  Sa sa;
  sa.message = message;
  explicit_bzero(&message, sizeof message);
  if (!inbound) {
    // Never handed over twice: its sequence numbers would begin anew.
    explicit_bzero(sa.message.encryption_key, sizeof sa.message.encryption_key);
    explicit_bzero(sa.message.integrity_key, sizeof sa.message.integrity_key);
    sa.message.encryption_key_size = sa.message.integrity_key_size = 0;
  }
  sa.selectors = selectors;
  const auto now = Clock::now();
  if (lifetime.soft != 0) sa.soft = now + std::chrono::seconds(lifetime.soft);
  if (lifetime.hard != 0) sa.hard = now + std::chrono::seconds(lifetime.hard);
  const auto status = wait_for(lock, sequence);
  if (status == wire::Status::done) {
    if (const auto slot = slot_of(sa.message.spi); inbound && slot) indexes_[*slot] = Index::used;
    sas_.insert_or_assign(key, std::move(sa));
    return true;
  }
  if (!status && open_) {
    // It may take it yet: what charon was told has failed must not stay.
    unanswered_ = true;
    wire::DelSa deleted{};
    deleted.name = name_of(sa);
    enqueue(bytes_of(wire::Type::del_sa, ++sequence_, deleted));
  }
  return false;
}

std::optional<wire::Status> GatewayLink::wait_for(std::unique_lock<std::mutex>& lock,
                                                  uint32_t sequence) {
  waiting_.emplace(sequence, std::nullopt);
  const int connection = fd_;
  answered_.wait_for(lock, options_.patience, [&] {
    return waiting_.at(sequence).has_value() || fd_ != connection || !open_ || stop_;
  });
  const auto status = waiting_.at(sequence);
  waiting_.erase(sequence);
  return status;
}

bool GatewayLink::update(uint32_t spi, const wire::Endpoint& destination, wire::UpdateSa& message) {
  const std::scoped_lock lock(mutex_);
  const auto at = sas_.find(key_of(spi, destination));
  if (at == sas_.end()) return false;
  Sa sa = std::move(at->second);
  sas_.erase(at);
  message.name = name_of(sa);
  sa.message.source = message.source;
  sa.message.destination = message.destination;
  sa.message.flags &= ~wire::kUdpEncapsulated;
  if (message.udp_encapsulated != 0) sa.message.flags |= wire::kUdpEncapsulated;
  sas_.insert_or_assign(key_of(spi, message.destination), std::move(sa));
  if (open_) enqueue(bytes_of(wire::Type::update_sa, ++sequence_, message));
  return true;
}

void GatewayLink::remove(uint32_t spi, const wire::Endpoint& destination) {
  const std::scoped_lock lock(mutex_);
  const auto at = sas_.find(key_of(spi, destination));
  if (at == sas_.end()) {
    release(spi, Index::reserved);  // of a child that never came to be
    return;
  }
  wire::DelSa deleted{};
  deleted.name = name_of(at->second);
  if (deleted.name.inbound != 0) release(spi, Index::used);
  sas_.erase(at);
  if (open_) enqueue(bytes_of(wire::Type::del_sa, ++sequence_, deleted));
}

void GatewayLink::remove_all() {
  const std::scoped_lock lock(mutex_);
  sas_.clear();
  std::fill(indexes_.begin(), indexes_.end(), Index::free);
  if (open_) enqueue(bytes_of(wire::Type::flush, ++sequence_, wire::Bare{}));
}

std::optional<GatewayLink::Usage> GatewayLink::usage(uint32_t spi,
                                                     const wire::Endpoint& destination) const {
  const std::scoped_lock lock(mutex_);
  const auto at = sas_.find(key_of(spi, destination));
  if (at == sas_.end()) return std::nullopt;
  return at->second.usage;
}

// ---- the queue

void GatewayLink::enqueue(Bytes message) {
  out_.push_back(std::move(message));
  // A full queue ends the connection: the gateway hangs, and hears everything when it is back.
  if (out_.size() > kMaxWaiting + sas_.size() || !flush()) shutdown(fd_, SHUT_RDWR);
  if (!out_.empty()) wake();
}

bool GatewayLink::flush() {
  while (!out_.empty()) {
    Bytes& next = out_.front();
    const ssize_t n = send(fd_, next.data(), next.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    wipe(next);
    out_.pop_front();
  }
  return true;
}

void GatewayLink::close_connection() {
  for (Bytes& message : out_) wipe(message);
  out_.clear();
  replayed_.clear();
  open_ = false;
  unanswered_ = false;
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  answered_.notify_all();
}

void GatewayLink::wake() const {
  const uint64_t one = 1;
  (void)!write(wake_fd_, &one, sizeof one);
}

}  // namespace hnv::charon
