// SPDX-License-Identifier: GPL-2.0-or-later
//
// The plugin's end of the socket to the gateway: it hands SAs over, remembers them for a gateway
// that comes back, gives out SPIs, and runs the timers of lifetimes, which charon leaves to the
// kernel.
//
//   charon's threads ── add, update, remove, query ──▶ GatewayLink ══ SOCK_SEQPACKET ══ gateway
//   its own thread  ◀── acknowledgements, counters, limits, moved peers ──┘
//
// charon's threads never wait here, but in add() for the acknowledgement: a second at most, and not
// at all while the gateway is away or left the last one unanswered. What the socket does not take
// is kept in a bounded queue; when that is full the connection ends, and begins anew with
// everything.
//
// Knows nothing of strongSwan: what it tells charon goes through CharonCalls.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <sys/types.h>
#include <thread>
#include <vector>

#include "vpn/charon/sa_protocol.h"

namespace hnv::charon {

// What the link tells charon; called on the link's thread without a lock held.
class CharonCalls {
 public:
  CharonCalls() = default;
  CharonCalls(const CharonCalls&) = delete;
  CharonCalls& operator=(const CharonCalls&) = delete;
  virtual ~CharonCalls() = default;
  enum class Expiry : uint8_t { soft, hard };
  virtual void expire(const sa_protocol::SaName& name, Expiry kind) = 0;
  virtual void mapping(const sa_protocol::SaName& name, const sa_protocol::Endpoint& remote) = 0;
  virtual void acquire(uint32_t reqid) = 0;
  virtual void log(const std::string& line) = 0;
};

class GatewayLink {
 public:
  struct Options {
    std::string path;                          // of the gateway's socket
    uid_t gateway = 0;                         // its user: nobody else gets keys
    std::chrono::milliseconds patience{1000};  // for an acknowledgement
    std::chrono::milliseconds retry{200};      // between two attempts to connect
    unsigned rekeys_a_second = 100;            // after the gateway restarted
  };
  struct Usage {
    uint64_t bytes = 0;
    uint64_t packets = 0;
    uint64_t last_use_seconds = 0;  // CLOCK_MONOTONIC; 0: never
  };
  struct Lifetime {  // seconds from now; 0: none
    uint64_t soft = 0;
    uint64_t hard = 0;
  };

  // Starts the thread: signals are blocked in it, and it gives up every capability first.
  GatewayLink(Options options, CharonCalls& calls);
  ~GatewayLink();
  GatewayLink(const GatewayLink&) = delete;
  GatewayLink& operator=(const GatewayLink&) = delete;

  // An inbound SPI, host order; nothing while the gateway is away.
  [[nodiscard]] std::optional<uint32_t> next_spi();
  // Whether the gateway took it. `message` is wiped.
  [[nodiscard]] bool add(sa_protocol::AddSa& message,
                         const std::vector<sa_protocol::Selector>& selectors,
                         const Lifetime& lifetime);
  // Of an SA or of an SPI that was given out. Which direction it is, is known by the SA.
  bool update(uint32_t spi, const sa_protocol::Endpoint& destination,
              sa_protocol::UpdateSa& message);
  void remove(uint32_t spi, const sa_protocol::Endpoint& destination);
  void remove_all();
  [[nodiscard]] std::optional<Usage> usage(uint32_t spi,
                                           const sa_protocol::Endpoint& destination) const;
  [[nodiscard]] bool connected() const;

 private:
  using Clock = std::chrono::steady_clock;
  using Bytes = std::vector<uint8_t>;
  struct Key {
    uint32_t spi = 0;
    std::array<uint8_t, 17> destination{};  // address and family
    friend auto operator<=>(const Key&, const Key&) = default;
  };
  struct Sa {
    sa_protocol::AddSa message;  // outbound: without keys
    std::vector<sa_protocol::Selector> selectors;
    std::optional<Clock::time_point> soft;
    std::optional<Clock::time_point> hard;
    Usage usage;
    Sa() = default;
    Sa(Sa&&) = default;
    Sa& operator=(Sa&&) = default;
    Sa(const Sa&) = delete;
    Sa& operator=(const Sa&) = delete;
    ~Sa();
  };
  struct Due {
    sa_protocol::SaName name;
    CharonCalls::Expiry kind = CharonCalls::Expiry::soft;
  };
  enum class Index : uint8_t { free, reserved, used };

  static Key key_of(uint32_t spi, const sa_protocol::Endpoint& destination);
  static sa_protocol::SaName name_of(const Sa& sa);

  void run();
  void pause(std::chrono::milliseconds time);  // of the thread, until stop
  [[nodiscard]] int connect_gateway();
  void serve();
  bool receive(Bytes& buffer);
  bool take(const uint8_t* bytes, size_t size);
  void welcome(const sa_protocol::Welcome& in);
  void acknowledged(const sa_protocol::Ack& in);
  void counted(const uint8_t* bytes, size_t size);
  void tick();
  void say(const std::string& line) { calls_.log(line); }

  // With mutex_ held.
  void replay();
  void enqueue(Bytes message);
  bool flush();
  void close_connection();
  void wake() const;
  [[nodiscard]] std::optional<size_t> slot_of(uint32_t spi) const;
  void release(uint32_t spi, Index from);
  [[nodiscard]] std::optional<sa_protocol::Status> wait_for(std::unique_lock<std::mutex>& lock,
                                                            uint32_t sequence);

  const Options options_;
  CharonCalls& calls_;
  const uint64_t incarnation_;
  int wake_fd_ = -1;

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable answered_;
  bool stop_ = false;
  int fd_ = -1;
  bool open_ = false;        // welcomed
  bool unanswered_ = false;  // the last request was not answered in time: no more waiting
  uint32_t sequence_ = 0;
  std::deque<Bytes> out_;
  std::map<Key, Sa> sas_;
  std::map<uint32_t, std::optional<sa_protocol::Status>> waiting_;
  std::map<uint32_t, Key> replayed_;  // by sequence
  std::deque<Due> to_rekey_;
  uint32_t first_index_ = 0;
  uint32_t next_index_ = 0;  // from first_index_
  std::vector<Index> indexes_;
  std::vector<uint32_t> tags_;  // of each index in use
  std::mt19937 random_;

  std::thread thread_;
};

}  // namespace hnv::charon
