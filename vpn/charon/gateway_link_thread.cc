// SPDX-License-Identifier: GPL-2.0-or-later
//
// GatewayLink's own thread: it connects, says what there is, and takes what the gateway says.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <linux/capability.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

#include "vpn/charon/gateway_link.h"
#include "vpn/charon/message_bytes.h"

namespace hnv::charon {
namespace {

namespace wire = sa_protocol;

constexpr std::chrono::seconds kTick{1};

// The thread reads a socket and a clock. Capabilities are a thread's own; those that charon drops
// after its start would stay here.
void drop_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2]{};
  (void)syscall(SYS_capset, &header, none);
}

}  // namespace

void GatewayLink::run() {
  (void)pthread_setname_np(pthread_self(), "hnv-gateway");
  drop_capabilities();
  bool said = false;
  for (;;) {
    const int fd = connect_gateway();
    {
      const std::scoped_lock lock(mutex_);
      if (stop_) {
        if (fd >= 0) close(fd);
        return;
      }
      fd_ = fd;
      if (fd >= 0) {
        wire::Hello hello{};
        hello.slice = static_cast<uint16_t>(wire::Slice::v5_9_8_to_5_9_11);
        hello.pid = static_cast<uint32_t>(getpid());
        hello.incarnation = incarnation_;
        enqueue(bytes_of(wire::Type::hello, ++sequence_, hello));
      }
    }
    if (fd >= 0) {
      serve();
      {
        const std::scoped_lock lock(mutex_);
        close_connection();
      }
      say("the gateway is gone");
      said = false;
    } else if (!said) {
      say("the gateway is not there yet: " + options_.path);
      said = true;
    }
    pause(options_.retry);
    tick();
  }
}

void GatewayLink::pause(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  answered_.wait_for(lock, time, [this] { return stop_; });
}

// A connected socket whose other end is the gateway's user, or -1.
int GatewayLink::connect_gateway() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (options_.path.size() >= sizeof address.sun_path) return -1;
  std::memcpy(address.sun_path, options_.path.data(), options_.path.size());
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  const int room = 1 << 20;
  (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  ucred who{};
  socklen_t size = sizeof who;
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
      getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0) {
    if (who.uid == options_.gateway) return fd;
    say("a process of user " + std::to_string(who.uid) + " is at " + options_.path +
        ", not the gateway: it gets no keys");
  }
  close(fd);
  return -1;
}

void GatewayLink::serve() {
  Bytes buffer(wire::kMaxMessage + 1);
  auto next_tick = Clock::now() + kTick;
  for (;;) {
    bool writing = false;
    {
      const std::scoped_lock lock(mutex_);
      if (stop_) return;
      if (!flush()) return;
      writing = !out_.empty();
    }
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(next_tick - Clock::now()).count();
    pollfd fds[2] = {{fd_, static_cast<short>(writing ? POLLIN | POLLOUT : POLLIN), 0},
                     {wake_fd_, POLLIN, 0}};
    (void)poll(fds, 2, static_cast<int>(std::clamp<int64_t>(left, 0, 1000)));
    uint64_t woken = 0;
    (void)!read(wake_fd_, &woken, sizeof woken);
    if (!receive(buffer)) return;
    if (Clock::now() >= next_tick) {
      next_tick = Clock::now() + kTick;
      tick();
    }
  }
}

// False when the connection is to end.
bool GatewayLink::receive(Bytes& buffer) {
  for (unsigned i = 0; i < 256; ++i) {
    const ssize_t n = recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (n <= 0) return false;
    if (!take(buffer.data(), static_cast<size_t>(n))) {
      say("the gateway says what this plugin does not understand");
      return false;
    }
  }
  return true;
}

namespace {

template <class T>
std::optional<T> fixed(const uint8_t* bytes, size_t size) {
  if (size != sizeof(T)) return std::nullopt;
  T out;
  std::memcpy(&out, bytes, sizeof out);
  return out;
}

}  // namespace

bool GatewayLink::take(const uint8_t* bytes, size_t size) {
  wire::Header header;
  if (size < sizeof header) return false;
  std::memcpy(&header, bytes, sizeof header);
  if (header.size != size) return false;
  switch (static_cast<wire::Type>(header.type)) {
    case wire::Type::welcome: {
      const auto in = fixed<wire::Welcome>(bytes, size);
      if (!in || in->version != wire::kVersion || in->indexes == 0 ||
          in->indexes > wire::kIndexes || in->first_index > wire::kIndexes - in->indexes ||
          in->next_index < in->first_index || in->next_index - in->first_index >= in->indexes) {
        return false;
      }
      welcome(*in);
      return true;
    }
    case wire::Type::ack: {
      const auto in = fixed<wire::Ack>(bytes, size);
      if (in) acknowledged(*in);
      return in.has_value();
    }
    case wire::Type::counters:
      counted(bytes, size);
      return true;
    case wire::Type::expire: {
      const auto in = fixed<wire::Expire>(bytes, size);
      if (in)
        calls_.expire(in->name,
                      in->hard != 0 ? CharonCalls::Expiry::hard : CharonCalls::Expiry::soft);
      return in.has_value();
    }
    case wire::Type::mapping: {
      const auto in = fixed<wire::Mapping>(bytes, size);
      if (in) calls_.mapping(in->name, in->remote);
      return in.has_value();
    }
    case wire::Type::acquire: {
      const auto in = fixed<wire::Acquire>(bytes, size);
      if (in) calls_.acquire(in->reqid);
      return in.has_value();
    }
    default:
      return false;
  }
}

void GatewayLink::welcome(const wire::Welcome& in) {
  {
    const std::scoped_lock lock(mutex_);
    if (in.indexes != indexes_.size() || in.first_index != first_index_) {
      first_index_ = in.first_index;
      indexes_.assign(in.indexes, Index::free);
      tags_.assign(in.indexes, 0);
      next_index_ = in.next_index - in.first_index;
      for (const auto& [key, sa] : sas_) {
        const uint32_t index = wire::index_of_spi(key.spi);
        if ((sa.message.flags & wire::kInbound) == 0 || index < first_index_ ||
            index - first_index_ >= indexes_.size()) {
          continue;
        }
        indexes_[index - first_index_] = Index::used;
        tags_[index - first_index_] = key.spi >> wire::kIndexBits;
      }
    }
    replay();
    open_ = true;
  }
  say("the gateway is connected");
}

void GatewayLink::replay() {
  const auto now = Clock::now();
  for (const auto& [key, sa] : sas_) {
    wire::AddSa message = sa.message;
    message.flags |= wire::kReplayed;
    message.lifetimes.hard_seconds = 0;
    if (sa.hard) {
      const auto left = std::chrono::ceil<std::chrono::seconds>(*sa.hard - now).count();
      message.lifetimes.hard_seconds = static_cast<uint64_t>(std::max<int64_t>(left, 1));
    }
    const uint32_t sequence = ++sequence_;
    replayed_.emplace(sequence, key);
    out_.push_back(bytes_of(wire::Type::add_sa, sequence, message, sa.selectors));
    explicit_bzero(&message, sizeof message);
  }
  enqueue(bytes_of(wire::Type::sync, ++sequence_, wire::Bare{}));
}

void GatewayLink::acknowledged(const wire::Ack& in) {
  const std::scoped_lock lock(mutex_);
  unanswered_ = false;
  const auto status = static_cast<wire::Status>(in.status);
  if (const auto waiting = waiting_.find(in.header.sequence); waiting != waiting_.end()) {
    waiting->second = status;
    answered_.notify_all();
    return;
  }
  const auto replayed = replayed_.find(in.header.sequence);
  if (replayed == replayed_.end()) return;
  const auto sa = sas_.find(replayed->second);
  replayed_.erase(replayed);
  if (sa == sas_.end() || status == wire::Status::done) return;
  // The gateway cannot encrypt with it (closed), or will not have it at all.
  to_rekey_.push_back({name_of(sa->second), status == wire::Status::closed
                                                ? CharonCalls::Expiry::soft
                                                : CharonCalls::Expiry::hard});
  if (to_rekey_.size() == 1) wake();
}

void GatewayLink::counted(const uint8_t* bytes, size_t size) {
  wire::Counters head;
  if (size < sizeof head) return;
  std::memcpy(&head, bytes, sizeof head);
  if (size != sizeof head + head.count * sizeof(wire::SaCounters)) return;
  const std::scoped_lock lock(mutex_);
  unanswered_ = false;
  for (size_t i = 0; i < head.count; ++i) {
    wire::SaCounters one;
    std::memcpy(&one, bytes + sizeof head + i * sizeof one, sizeof one);
    const auto at = sas_.find(key_of(one.name.spi, one.name.destination));
    if (at == sas_.end()) continue;
    at->second.usage = {one.bytes, one.packets, one.last_use_seconds};
  }
}

// Once a second: what is due. charon is told without the lock: it may ask back at once.
void GatewayLink::tick() {
  std::vector<Due> due;
  {
    const std::scoped_lock lock(mutex_);
    const auto now = Clock::now();
    for (auto& [key, sa] : sas_) {
      if (sa.hard && *sa.hard <= now) {
        due.push_back({name_of(sa), CharonCalls::Expiry::hard});
        sa.hard.reset();
        sa.soft.reset();
      } else if (sa.soft && *sa.soft <= now) {
        due.push_back({name_of(sa), CharonCalls::Expiry::soft});
        sa.soft.reset();
      }
    }
    for (unsigned i = 0; i < options_.rekeys_a_second && !to_rekey_.empty(); ++i) {
      due.push_back(to_rekey_.front());
      to_rekey_.pop_front();
    }
  }
  for (const Due& one : due) calls_.expire(one.name, one.kind);
}

}  // namespace hnv::charon
